"""Checks of a response that several families share; each raises `DataError` naming row, value and rule."""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import Response
from bayesglmm.errors import DataError


def require_varying(response: Response) -> None:
    """Refuse a response whose values are all equal: nothing could be learned from it."""
    if response.y.size and np.all(response.y == response.y[0]):
        shown = response.categories[int(response.y[0])] if response.categories else f"{response.y[0]:g}"
        raise DataError(f"Response {response.name!r}: all {response.y.size} values are equal ({shown}).")

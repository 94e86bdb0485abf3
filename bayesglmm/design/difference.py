"""Whether two designs differ in more than the values of the response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from bayesglmm.design.design import Design


def differing_part(one: Design, other: Design) -> str | None:
    """Return where two designs first differ, apart from the values of the response; None if nowhere."""
    response, other_response = one.response, other.response
    if len(response.y) != len(other_response.y):
        return f"number of rows used ({len(response.y)} and {len(other_response.y)})"
    ignored = ("y", "rows")
    parts = [field.name for field in fields(response) if field.name not in ignored]
    for name in parts:
        if _difference(getattr(response, name), getattr(other_response, name), name):
            return name
    return _difference(one.predictors, other.predictors, "") or _difference(one.residual, other.residual, "residual")


def _difference(a: Any, b: Any, where: str) -> str | None:
    """Return a description of the first place where two values differ."""
    if type(a) is not type(b):
        return where
    if is_dataclass(a):
        label = getattr(a, "label", where)
        pairs = [(getattr(a, f.name), getattr(b, f.name), label or f.name) for f in fields(a)]
    elif isinstance(a, Mapping):
        if list(a) != list(b):
            return where
        pairs = [(a[key], b[key], where or str(key)) for key in a]
    elif isinstance(a, tuple | list):
        if len(a) != len(b):
            return where
        pairs = [(own, other, where) for own, other in zip(a, b, strict=True)]
    elif isinstance(a, np.ndarray):
        return None if np.array_equal(a, b) else where
    else:
        return None if a is b or a == b else where
    return next((found for own, other, name in pairs if (found := _difference(own, other, name))), None)

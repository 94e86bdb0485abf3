"""Formula + data, wherever they are -> `Design`: in memory, or read piece by piece."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from bayesglmm.design.bind import bind
from bayesglmm.design.design import Design
from bayesglmm.design.stored import LearnedRows, bind_learned, bind_source
from bayesglmm.families.base import Family
from bayesglmm.formula import FormulaSpec
from bayesglmm.sources import open_source


def bind_anywhere(
    spec: FormulaSpec,
    data: Any,
    family: Family,
    weights: str | ArrayLike | None = None,
    likelihood_weights: str | ArrayLike | None = None,
    matrices: Mapping[str, Any] | None = None,
    residual: str | None = None,
    scratch: str | os.PathLike[str] | None = None,
) -> Design:
    """Let a formula meet data, of which a path of parquet files or a dask data frame are read piece by piece.

    Parameters
    ----------
    spec, data, family, weights, likelihood_weights, matrices, residual
        As of `bayesglmm.design.bind`.
    scratch : path, optional
        Where the numbers of data that are read piece by piece are kept; data in memory need no such place.

    Raises
    ------
    FormulaError, UnknownNameError, DataError
        As `bayesglmm.design.bind`.
    """
    if isinstance(data, LearnedRows):
        return bind_learned(spec, data, family, weights, likelihood_weights, matrices)
    source = open_source(data)
    if source is not None:
        return bind_source(spec, source, family, weights, likelihood_weights, matrices, residual, scratch)
    return bind(spec, data, family, weights, likelihood_weights, None, matrices, residual)

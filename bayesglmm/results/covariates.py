"""The data behind a smooth: the rows it met, and the row at which a figure holds everything else fixed."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit
    from bayesglmm.results.smooths import FittedSmooth


def used_rows(fit: Fit) -> pd.DataFrame:
    """Return the rows that the model used, with the columns that its formula mentions.

    Raises
    ------
    BayesglmmError
        If the fit does not hold its design.
    """
    if fit.design is None:
        raise BayesglmmError("This fit does not hold its design; its data are not known.")
    design = cast(Any, fit.design)
    rows: pd.DataFrame = design.data.iloc[design.rows.positions]
    return rows


def members(fit: Fit, found: FittedSmooth) -> NDArray[np.bool_]:
    """Return which of the rows used one curve is for: with ``by=`` of a factor those of its level."""
    n, own = len(used_rows(fit)), found.smooth.rows
    if own is None:
        return np.ones(n, dtype=bool)
    member = np.zeros(n, dtype=bool)
    member[own] = True
    return member


def row_weights(fit: Fit) -> Floats:
    """Return how many observations each row stands for: its trials, else one, times its weight in the likelihood."""
    response = fit.problem.response
    counts = np.ones(len(response.y)) if response.trials is None else np.asarray(response.trials, dtype=float)
    return counts if response.likelihood_weights is None else counts * response.likelihood_weights


def label_with_unit(fit: Fit, name: str) -> str:
    """Return the name of a column, with its unit where the data carry one, as those of `load_dataset` do."""
    about = used_rows(fit).attrs.get("dataset", {}).get("columns", {}).get(name, "")
    unit = about.rpartition("[")[2].removesuffix("]") if about.endswith("]") else ""
    return f"{name} ({unit})" if unit else name


def typical_row(rows: pd.DataFrame, without: Collection[str] = (), factors: Collection[str] = ()) -> dict[str, Any]:
    """Return one value per column: the median of numbers, the most frequent level of everything else.

    Parameters
    ----------
    rows : DataFrame
    without : collection of str
        Columns to leave out.
    factors : collection of str
        Columns that the model codes by levels, whatever they hold: a median of numbers need be none of their levels.
    """
    found: dict[str, Any] = {}
    for name in rows:
        if name in without:
            continue
        values = rows[name]
        number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if number and values.nunique() > 2 and name not in factors:
            found[str(name)] = float(values.median())
        else:  # of two values, a number in between describes no row
            found[str(name)] = values.mode().iloc[0]
    return found

"""Effective sample sizes and R-hat (Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021), from arviz-stats."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.results.draws import pieces

COLUMNS = ("ess_bulk", "ess_tail", "r_hat", "mcse_mean")
_FEWEST = 4  # draws per chain below which split chains have no variance to compare
_SCREENED = 100


def statistics(index: pd.Index, values: Sequence[Any]) -> pd.DataFrame:
    """Return bulk and tail ESS, rank-normalised split R-hat and the Monte Carlo error of the mean.

    Parameters
    ----------
    index : pandas.Index
        Labels of the rows of the table.
    values : sequence of ndarray, each of shape (chains, draws)
        Draws of one parameter each; one that is held at a value has nan everywhere.
    """
    frame = pd.DataFrame(np.nan, index=index, columns=list(COLUMNS))
    for row, own in enumerate(values):
        frame.iloc[row] = _of_one(np.asarray(own, dtype=float))
    return frame


def of_independent(index: pd.Index, values: Sequence[Any]) -> pd.DataFrame:
    """Return the same columns for draws that are independent by construction: each counts as one.

    R-hat is nan: it asks whether chains have forgotten their starts, and there is none.
    """
    frame = pd.DataFrame(np.nan, index=index, columns=list(COLUMNS))
    for row, own in enumerate(values):
        draws = np.asarray(own, dtype=float)
        if draws.size > 1 and np.ptp(draws) > 0.0:
            frame.iloc[row] = [draws.size, draws.size, np.nan, draws.std(ddof=1) / np.sqrt(draws.size)]
    return frame


def of_points(index: pd.Index, values: Sequence[Any]) -> pd.DataFrame:
    """Return the same columns for draws at a few values of the hyperparameters, equal ones following each other.

    Effective sample sizes read autocorrelation, so that a hyperparameter counts as many draws as it has values, and a
    coefficient as many as its spread given them allows. R-hat is nan: there are no chains.
    """
    return statistics(index, values).assign(r_hat=np.nan)


def _array_stats() -> Any:
    """Return arviz-stats' functions of arrays, loaded when first needed."""
    return import_module("arviz_stats.base").array_stats


def _of_one(values: Floats) -> list[float]:
    if values.shape[1] < _FEWEST or not np.isfinite(values).all() or np.ptp(values) == 0.0:
        return [np.nan] * len(COLUMNS)
    # The tail is the 5 and 95 percent quantiles, as in the paper and in R's posterior package.
    return [
        float(_array_stats().ess(values, method="bulk")),
        float(_array_stats().ess(values, method="tail", prob=(0.05, 0.95))),
        r_hat(values),
        float(_array_stats().mcse(values)),
    ]


def r_hat(values: Floats) -> float:
    """Return rank-normalised split R-hat of draws of shape (chains, draws); a lone chain is cut in two."""
    if len(values) == 1:
        half = values.shape[1] // 2
        if half < _FEWEST:
            return float("nan")
        values = values[0, : 2 * half].reshape(2, half)
    return float(_array_stats().rhat(values))


def worst_r_hat(values: Any) -> tuple[float, int]:
    """Return the largest R-hat among many quantities, and which it is.

    Ranks of a hundred thousand group effects would take minutes. So all are screened by split R-hat of the values
    and of their distances from the median, which sees the same faults, and the worst hundred are ranked.

    Parameters
    ----------
    values : ndarray, shape (chains, draws, m)

    Returns
    -------
    tuple of float and int
        nan and -1 where nothing varies.
    """
    chains, draws, m = values.shape
    if draws < 2 * _FEWEST:
        return float("nan"), -1
    chosen = np.arange(m)
    if m > _SCREENED:
        score = np.concatenate([_plain(values[:, :, part]) for part in pieces(m, chains * draws)])
        chosen = np.argsort(-score)[:_SCREENED]
    varying = [j for j in chosen if np.ptp(values[:, :, j]) > 0.0 and np.isfinite(values[:, :, j]).all()]
    ranked = [(r_hat(values[:, :, j]), int(j)) for j in varying]
    return max(ranked, default=(float("nan"), -1))


def _plain(values: Any) -> Floats:
    """Return the larger split R-hat of the values and of their distances from the median, shape (m,)."""
    chains, draws, m = values.shape
    half = draws // 2
    split = values[:, : 2 * half].reshape(chains * 2, half, m)
    folded = np.abs(split - np.median(split.reshape(-1, m), axis=0))
    return np.maximum(_ratio(split), _ratio(folded))


def _ratio(split: Any) -> Floats:
    half = split.shape[1]
    within = split.var(axis=1, ddof=1).mean(axis=0)
    between = split.mean(axis=1).var(axis=0, ddof=1)
    ratio = np.divide(between, within, out=np.zeros_like(within), where=within > 0.0)
    return np.asarray(np.sqrt(ratio + (half - 1.0) / half))


def bfmi(energy: Any) -> float:
    """Return the smallest energy fraction of missing information over the chains; energy is (chains, draws)."""
    return float(np.min(_array_stats().bfmi(np.asarray(energy, dtype=float))))

"""The table of an answer about effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.draws import STATISTICS, summarise
from bayesglmm.results.printed import AnswerTable

if TYPE_CHECKING:
    import xarray as xr

_RENAMED = {"mean": "estimate", "sd": "se"}
LIKELIHOOD = "Standard errors and intervals are those of draws from the asymptotic distribution of the estimates."


class EffectTable(AnswerTable):
    """A table of effects, with the draws that it summarises.

    Parts of it, and what is computed from it, are ordinary frames without draws.
    """

    _internal_names = [*pd.DataFrame._internal_names, "_draws"]  # type: ignore[attr-defined]  # noqa: RUF012
    _draws: xr.DataArray | None = None

    @property
    def draws(self) -> xr.DataArray:
        """Draws, dims chain, draw, row: one row per row of the table, for ArviZ and for whatever else takes draws."""
        if self._draws is None:
            raise BayesglmmError("This is a part of a table of effects, or a copy: the whole table has the draws.")
        return self._draws


def effect_table(
    labels: pd.DataFrame,
    draws: Floats,
    point: Floats | None,
    axis: tuple[str, Sequence[str]] | None,
    chains: tuple[int, int],
    prob: float,
    about: Mapping[str, Any],
    likelihood: bool,
) -> EffectTable:
    """Return the table of effects.

    Parameters
    ----------
    labels : DataFrame
        C rows: what each effect is of.
    draws : ndarray, shape (S, C, K)
    point : ndarray, shape (1, C, K), or None
        The values at maximum likelihood estimates.
    axis : (str, sequence of str) or None
        Name and labels of K.
    chains : tuple of int
        Chains, and draws of each.
    prob : float
    about : mapping
        For `attrs`.
    likelihood : bool
        Whether the fit is one of maximum likelihood: columns are then called estimate and se.
    """
    import xarray as xr

    flat = draws.reshape(len(draws), -1)
    found = summarise(flat, prob)
    width = draws.shape[2]
    parts = {str(name): labels[name].repeat(width).reset_index(drop=True) for name in labels}
    if axis is not None:
        parts[axis[0]] = pd.Series(np.tile(np.array(axis[1], dtype=object), len(labels)))
    table = pd.DataFrame(parts | {name: found[name] for name in STATISTICS}, index=range(flat.shape[1]))
    if likelihood:
        if point is not None:
            table["mean"] = point.reshape(-1)
        table = table.rename(columns=_RENAMED)
    answer = EffectTable(table)
    answer.attrs |= dict(about) | {"prob": prob, "draws": len(draws)}
    if likelihood:
        answer.attrs["note"] = f"{answer.attrs['note']} {LIKELIHOOD}"
    values = flat.reshape(*chains, -1)
    coords = {"chain": np.arange(chains[0]), "draw": np.arange(chains[1]), "row": np.arange(flat.shape[1])}
    answer._draws = xr.DataArray(values, coords, ["chain", "draw", "row"], name="effect", attrs=dict(answer.attrs))
    return answer

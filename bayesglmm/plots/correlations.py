"""Estimated correlation functions: how alike two coefficients of a level are, by the time or distance between."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import titles
from bayesglmm.plots._numerics import check_prob
from bayesglmm.plots._parameters import Fitted
from bayesglmm.plots._style import MAIN, PALE, clean, new_figure, percent
from bayesglmm.results.draws import stacked
from bayesglmm.results.levels import level_factor
from bayesglmm.results.tables import RESIDUAL, require_group

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayesglmm.graph.problem import BlockParts, ResidualParts

_MOST = 80  # distances of a curve
_FEW = 12  # up to so many are drawn as points
_DRAWS = 400
_FADED = 0.02  # where a correlation of residuals is as good as gone


class Drawn(Fitted, Protocol):
    """A fit with draws: of the posterior, or around estimates of maximum likelihood."""

    @property
    def draws(self) -> xr.Dataset:
        """With dims chain and draw first."""


def correlation(
    fit: Drawn, group: str | None = None, prob: float = 0.95, *, figsize: tuple[float, float] | None = None
) -> Figure:
    """Draw the correlation of two coefficients of a level against the lag, time or distance between them.

    Correlated residuals (`residual="ar1(time | g)"`) are drawn, too.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        One grouping factor, or ``"Residual"``; all terms with such a structure if absent.
    prob : float
        Probability of the band: posterior, or of the asymptotic distribution of estimates.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure
        One axes per term: posterior mean and equal-tailed band.

    Raises
    ------
    SettingsError
        If no term has a structure in time or space.
    """
    check_prob(prob)
    if group != RESIDUAL:
        require_group(fit.problem, group)
    draws = stacked(fit.draws)
    size = len(next(iter(draws.values())))
    kept = np.unique(np.linspace(0, size - 1, min(size, _DRAWS)).astype(np.intp))
    draws = {name: values[kept] for name, values in draws.items()}
    chosen = [part for part in fit.problem.blocks if group in (None, part.block.group)]
    placed = [(part, part.covariance.distances(part.block)) for part in chosen]
    found = [_of_effects(part, *own, draws) for part, own in placed if own is not None]
    if fit.problem.residual is not None and group in (None, RESIDUAL):
        found += _of_residuals(fit.problem.residual, draws)
    if not found:
        raise SettingsError(
            "No term has a correlation that is a function of time or distance: ar1, ou, toep, exp, gau and mat have."
        )
    figure = new_figure(figsize or (4.4 * len(found), 3.2))
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for ax, curve in zip(axes, found, strict=True):
        _draw(ax, curve, prob)
    return figure


class _Curve(NamedTuple):
    """Correlations by distance: `values` has the shape (draws, distances)."""

    label: str
    unit: str
    at: Floats
    values: Floats


def _of_residuals(part: ResidualParts, draws: dict[str, Floats]) -> list[_Curve]:
    """Return the curve of the residuals, up to where it has faded; none where it is no function of time."""
    block = part.block
    if not part.structure.timed:
        return []
    span = max(float(np.ptp(block.time[block.index == level])) for level in range(len(block.levels)))
    whole = bool(np.all(block.time == np.round(block.time)))
    at = np.arange(int(span) + 1.0) if whole and span <= _MOST else np.linspace(0.0, span, _MOST)
    values = part.structure.correlation(part.of_posterior(draws), block, at)
    if values is None:
        return []
    alive = np.flatnonzero(np.abs(values).max(axis=0) > _FADED)
    last = min(len(at), int(alive[-1]) + 2)
    return [_Curve(block.label, f"{block.unit} apart", at[:last], values[:, :last])]


def _of_effects(part: BlockParts, distance: Floats, unit: str, draws: dict[str, Floats]) -> _Curve:
    at, rows, columns = _pairs(distance)
    own = {name: draws[part.names.variable(name)] for name in part.parameters}
    values = part.covariance.at_distance(part.block.constants | own, at)
    if values is None:
        factor = level_factor(part, draws)
        covariance = np.einsum("spr,spr->sp", factor[:, rows], factor[:, columns])
        sd = np.sqrt(np.einsum("sir,sir->si", factor, factor))
        values = covariance / np.maximum(sd[:, rows] * sd[:, columns], 1e-300)
    return _Curve(part.block.label, unit, at, values)


def _draw(ax: Axes, curve: _Curve, prob: float) -> None:
    label, unit, at, values = curve
    tail = 0.5 * (1.0 - prob)
    low, high = np.quantile(values, [tail, 1.0 - tail], axis=0)
    mean = values.mean(axis=0)
    ax.axhline(0.0, color=PALE, linewidth=1.0, zorder=0)
    if len(at) <= _FEW:
        ax.vlines(at, low, high, color=MAIN, linewidth=1.6)
        ax.plot(at, mean, "o", color=MAIN, markersize=5.0, markeredgecolor="white")
    else:
        ax.fill_between(at, low, high, color=MAIN, alpha=0.2, linewidth=0.0)
        ax.plot(at, mean, color=MAIN, linewidth=1.6)
    ax.set_ylim(min(-0.05, float(low.min()) - 0.05), 1.05)
    ax.set_xlim(left=0.0)
    clean(ax, ("bottom", "left"))
    titles(ax, label, f"{unit} (mean and {percent(prob)} band)", "correlation")


def _pairs(distance: Floats) -> tuple[Floats, Ints, Ints]:
    """Return distances in their order, each once and not too many, and a pair of coefficients so far apart."""
    rows, columns = np.tril_indices(len(distance))
    apart = distance[rows, columns]
    at, first = np.unique(np.round(apart, 12), return_index=True)
    if len(at) > _MOST:
        some = np.unique(np.searchsorted(at, np.linspace(0.0, at[-1], _MOST)))
        at, first = at[some], first[some]
    return at, rows[first], columns[first]

"""Randomised-quantile residuals: against uniform quantiles, predictions, predictors and groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import legend, titles
from bayesglmm.plots._style import ACCENT, INK, MAIN, MUTED, SMALL, clean, new_figure, shortened
from bayesglmm.results.checking.residual_tests import column_of, levels_in_order

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.protocols import Rebindable

_QUARTILES = (0.25, 0.5, 0.75)
_POINTS = 4000  # dots; more are a black sheet
_BOXES = 30
_BANDWIDTH = 0.12  # of quantile curves, as a share of the rows


class Residual(Protocol):
    """A fit with residuals."""

    @property
    def problem(self) -> Problem:
        """What was fitted."""

    @property
    def design(self) -> Rebindable | None:
        """With the data and the rows used."""

    def residuals(self, kind: str = "quantile", seed: int | None = None, simulations: int = 250) -> pd.DataFrame:
        """Return residuals: observed, fitted, residual."""

    def check_residuals(self, by: Any = None, seed: int | None = None, simulations: int = 250) -> pd.DataFrame:
        """Return tests of them."""


def residuals(
    fit: Residual,
    against: Any = None,
    *,
    seed: int = 0,
    simulations: int = 250,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw randomised-quantile residuals, which are uniform where the model is right.

    Without `against` two panels: the residuals against uniform quantiles, in a band that holds 95 percent of those of
    a right model at each place, with the results of ``fit.check_residuals()``; and against the ranks of the
    predictions. Curves are the running quartiles of the residuals; of a right model they lie at the dashed lines.

    Parameters
    ----------
    fit : Fit
        Of any engine, maximum likelihood included.
    against : str, array, or list of these, optional
        Columns of the formula, or values of others: a panel each, with quartile curves for numbers and boxes for
        levels.
    seed : int
        Of the residuals.
    simulations : int
        Simulated responses per row.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    frame = fit.residuals("quantile", seed=seed, simulations=simulations)
    u = frame["residual"].to_numpy()
    seen = np.isfinite(u)
    if against is None:
        figure = new_figure(figsize or (9.2, 4.4))
        left, right = figure.subplots(1, 2)
        _uniform(left, u[seen], fit.check_residuals(seed=seed, simulations=simulations))
        _curves(right, frame["fitted"].to_numpy()[seen], u[seen], "expected response (by rank)")
        right.set_title("Against the predictions", fontsize=11, color=INK, loc="left")
    else:
        columns = list(against) if isinstance(against, list | tuple) else [against]
        if not columns:
            raise SettingsError("against= is empty: name at least one column, or leave it out.")
        wide = min(3, len(columns))
        high = -(-len(columns) // wide)
        figure = new_figure(figsize or (4.6 * wide + (1.4 if wide == 1 else 0.0), 3.9 * high + 0.3))
        axes = figure.subplots(high, wide, squeeze=False).ravel()
        for ax, column in zip(axes, columns, strict=False):
            name, values = column_of(fit.problem, fit.design, column)
            _against(ax, name, values[seen], u[seen])
        for ax in axes[len(columns) :]:
            ax.set_axis_off()
    legend(figure, _keys(), loc="outside lower center", ncols=3)
    return figure


def _keys() -> list[Any]:
    return [
        Line2D([], [], color=MUTED, marker="o", markersize=3, linewidth=0, label="rows"),
        Line2D([], [], color=ACCENT, linewidth=1.8, label="quartiles of the residuals"),
        Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="quartiles of a right model"),
    ]


def _uniform(ax: Axes, u: Floats, checks: pd.DataFrame) -> None:
    """Draw a quantile plot with the pointwise band of uniform order statistics, and the tests beside it."""
    n = len(u)
    at = np.unique(np.linspace(1, n, min(n, 1000)).astype(int))
    expected = at / (n + 1)
    lower, upper = stats.beta.ppf(0.025, at, n + 1 - at), stats.beta.ppf(0.975, at, n + 1 - at)
    ax.fill_between(expected, lower, upper, color=MAIN, alpha=0.22, linewidth=0)
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.plot(expected, np.sort(u)[at - 1], color=MAIN, linewidth=1.8)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    clean(ax, keep=("left", "bottom"))
    titles(ax, "Against uniform quantiles", "expected quantile", "residual")
    lines, inks = [], []
    columns = (checks[name].tolist() for name in ("check", "value", "p", "verdict"))
    for check, value, p, verdict in zip(*columns, strict=True):
        size = f"{value:.3f}" if check == "uniformity" else f"{value:.2g}"
        chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
        lines.append(f"{check.replace(' over predictions', '')}  {size}  {chance}")
        inks.append(INK if verdict == "good" else ACCENT)
    for j, (line, ink) in enumerate(zip(reversed(lines), reversed(inks), strict=True)):
        ax.text(0.985, 0.02 + 0.052 * j, line, transform=ax.transAxes, ha="right", fontsize=SMALL, color=ink)


def _dots(ax: Axes, x: Floats, u: Floats) -> None:
    shown = slice(None) if len(x) <= _POINTS else np.random.default_rng(0).choice(len(x), _POINTS, replace=False)
    alpha = float(np.clip(300 / max(len(x), 1), 0.15, 0.55))
    ax.scatter(x[shown], u[shown], s=9, color=MUTED, alpha=alpha, linewidths=0, zorder=1)


def _curves(ax: Axes, x: Floats, u: Floats, label: str) -> None:
    """Draw residuals over the ranks of a numeric column, with running quartiles; ticks say its values."""
    ranks = stats.rankdata(x) / (len(x) + 1)
    _dots(ax, ranks, u)
    for level in _QUARTILES:
        ax.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=2)
    if np.ptp(x) > 0.0 and len(x) >= 20:
        grid = np.linspace(ranks.min(), ranks.max(), 60)
        for curve in running_quantiles(ranks, u, grid).T:
            ax.plot(grid, curve, color=ACCENT, linewidth=1.8, zorder=3)
    ticks = np.linspace(0.02, 0.98, 5)
    values = np.quantile(x, ticks)
    kept = [j for j in range(5) if j == 0 or values[j] > values[j - 1]]
    ax.set_xticks(ticks[kept], [f"{values[j]:.3g}" for j in kept])
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    clean(ax, keep=("left", "bottom"))
    titles(ax, "", label, "residual")


def running_quantiles(x: Floats, u: Floats, grid: Floats) -> Floats:
    """Return the quartiles of u near each point of a grid, weighted by a normal kernel, shape (len(grid), 3)."""
    order = np.argsort(u)
    weights = np.exp(-0.5 * np.square((grid[:, None] - x[order]) / _BANDWIDTH))
    shares = np.cumsum(weights, axis=1)
    shares = (shares - 0.5 * weights) / shares[:, -1:]
    return np.array([np.interp(_QUARTILES, row, u[order]) for row in shares])


def _against(ax: Axes, name: str, values: Any, u: Floats) -> None:
    title = f"Against {name}"
    if values.dtype.kind in "iuf" and len(np.unique(values)) > 6:
        _curves(ax, values.astype(float), u, f"{name} (by rank)")
        titles(ax, shortened(title, 40), f"{name} (by rank)", "residual")
        return
    levels, codes = levels_in_order(values)
    shown: Sequence[int] = range(len(levels))
    if len(levels) > _BOXES:  # those whose residuals lie furthest from the middle
        scores = [abs(u[codes == j].mean() - 0.5) * np.sqrt((codes == j).sum()) for j in range(len(levels))]
        shown = sorted(np.argsort(scores)[::-1][:_BOXES])
        title += f": the {_BOXES} most unusual of {len(levels)} levels"
    for level in _QUARTILES:
        ax.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=3)
    for place, j in enumerate(shown):
        own = u[codes == j]
        jitter = np.random.default_rng(j).uniform(-0.22, 0.22, len(own))
        _dots(ax, place + jitter, own)
        if len(own) >= 5:
            low, middle, high = np.quantile(own, _QUARTILES)
            ax.bar(place, high - low, bottom=low, width=0.6, color=MAIN, alpha=0.22, linewidth=0, zorder=2)
            ax.hlines(
                [low, middle, high], place - 0.3, place + 0.3, colors=ACCENT, linewidth=[1.0, 1.8, 1.0], zorder=4
            )
    labels = [shortened(levels[j], 14) for j in shown]
    tilted = sum(map(len, labels)) > 45
    ax.set_xticks(range(len(labels)), labels, parse_math=False, rotation=90 if tilted else 0)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    ax.set_ylim(0, 1)
    clean(ax, keep=("left",))
    ax.tick_params(axis="x", length=0)
    titles(ax, title, name, "residual")

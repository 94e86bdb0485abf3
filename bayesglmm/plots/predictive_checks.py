"""Posterior predictive checks: simulated against observed responses, in the form that suits them, and by groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import legend, reference_line, row_labels, titles
from bayesglmm.plots._numerics import check_prob
from bayesglmm.plots._style import (
    ACCENT,
    INK,
    MAIN,
    MUTED,
    clean,
    counted_percent,
    figure_of,
    new_figure,
    percent,
    shortened,
)
from bayesglmm.plots.predictive import (
    BARS,
    OBSERVED_BAR,
    Responses,
    Simulating,
    bin_shares,
    category_bars,
    count_bins,
    densities,
    proportion_bars,
    range_text,
    responses_of,
    short_count,
)
from bayesglmm.results.checking.residual_tests import column_of, levels_in_order
from bayesglmm.results.draws import require_count

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.results.protocols import Rebindable

type Kind = Literal["density", "rootogram", "bars", "proportions", "stat", "grouped"]
KINDS = ("density", "rootogram", "bars", "proportions", "stat", "grouped")
_USUAL: dict[str, Kind] = {
    "continuous": "density",
    "counts": "rootogram",
    "proportions": "proportions",
    "categories": "bars",
}
STATISTICS: dict[str, Callable[..., Any]] = {
    "mean": np.mean,
    "sd": np.std,
    "min": np.min,
    "max": np.max,
    "median": np.median,
    "zeros": lambda values, axis: np.mean(values == 0, axis=axis),
}
_PANELS, _LEVELS = 12, 40


class Checked(Simulating, Protocol):
    """A fit whose responses can be simulated, with its data."""

    @property
    def draws(self) -> xr.Dataset:
        """Draws of all parameters."""

    @property
    def design(self) -> Rebindable | None:
        """With the data and the rows used."""


def ppc(
    fit: Checked,
    *,
    kind: Kind | None = None,
    by: Any = None,
    stat: str | Callable[..., Any] = "mean",
    prob: float = 0.9,
    draws: int = 200,
    seed: int = 0,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Compare responses that the fitted model simulates with the observed ones.

    Parameters
    ----------
    fit : Fit
        Of any engine, maximum likelihood included. Responses that ``fit.posterior_predictive()`` has left in
        ``fit.data`` are used as they are.
    kind : {"density", "rootogram", "bars", "proportions", "stat", "grouped"}, optional
        ``"density"``: one curve per simulated data set, for continuous responses. ``"rootogram"``: square roots of
        observed frequencies hang from those expected, for counts; they should end at zero, within the band of what
        simulated data do (Kleiber and Zeileis 2016). ``"bars"``: share of each category, for binary, ordinal and
        nominal responses. ``"proportions"``: distribution of proportions. ``"stat"``: a statistic of the data among
        those of simulated data. ``"grouped"``: a statistic of every level of `by`. By default what suits it.
    by : str or array, optional
        A column of the formula, or values of another, one per row: the other kinds get a panel for each level (for
        each quarter of a numeric column).
    stat : {"mean", "sd", "min", "max", "median", "zeros"} or callable
        For ``"stat"`` and ``"grouped"``: a function with the argument ``axis``; ``"zeros"`` is the share of zeros.
    prob : float
        Probability of the intervals over simulated data sets.
    draws : int
        Data sets to simulate, at most.
    seed : int
        For the simulation.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingsError
        For unknown kinds and statistics, ``"grouped"`` without `by`, and more than twelve panels.
    """
    check_prob(prob)
    require_count("draws", draws)
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"kind={kind!r} is not known; choose one of {', '.join(KINDS)}.")
    if kind == "grouped" and by is None:
        raise SettingsError('kind="grouped" needs by=, a column whose levels are compared.')
    if "posterior_predictive" not in fit.data.children:
        total = fit.draws.sizes["chain"] * fit.draws.sizes["draw"]
        fit.posterior_predictive(seed=seed, draws=min(draws, total))
    data = responses_of(fit.data, "posterior")
    name, levels, codes = _levels_of(fit, by, "grouped" if kind == "grouped" else "")
    if kind == "grouped":
        return _grouped(data, name, levels, codes, stat, prob, figsize)
    chosen = kind or _USUAL[data.kind]
    parts = [data] if by is None else [_rows(data, codes == j) for j in range(len(levels))]
    return _panels(parts, levels if by is not None else [""], name, chosen, stat, prob, figsize)


def _panels(
    parts: Sequence[Responses],
    levels: Sequence[str],
    name: str,
    kind: Kind,
    stat: Any,
    prob: float,
    figsize: tuple[float, float] | None,
) -> Figure:
    wide = min(3, len(parts))
    high = -(-len(parts) // wide)
    figure = new_figure(figsize or ((7.0, 4.2) if wide == 1 else (3.6 * wide, 2.9 * high + 0.5)))
    axes = figure.subplots(high, wide, squeeze=False).ravel()
    keys: list[Artist] = []
    for ax, part, level in zip(axes, parts, levels, strict=False):
        keys = _DRAWING[kind](ax, part, prob) if kind != "stat" else _statistic(ax, part, prob, stat)
        title = f"{name} = {level} ({part.observed.size:,} rows)" if name else "Posterior predictive check"
        ax.set_title(shortened(title, 46), fontsize=11 if not name else 9.5, color=INK, loc="left", parse_math=False)
        if name:
            ax.yaxis.label.set_fontsize(8.5)
            ax.xaxis.label.set_fontsize(8.5)
    for ax in axes[len(parts) :]:
        ax.set_axis_off()
    legend(figure, keys, loc="outside lower center", ncols=len(keys))
    return figure


def _levels_of(fit: Checked, by: Any, kind: str) -> tuple[str, list[str], Any]:
    """Return name, levels and codes of the column that divides the rows."""
    if by is None:
        return "", [], None
    name, values = column_of(fit.problem, fit.design, by)
    if values.dtype.kind in "iuf" and len(np.unique(values)) > _PANELS and not kind:
        ends = np.quantile(values.astype(float), [0.0, 0.25, 0.5, 0.75, 1.0])
        codes = np.clip(np.searchsorted(ends, values, side="right") - 1, 0, 3)
        return name, [f"{a:.3g} to {b:.3g}" for a, b in pairwise(ends)], codes
    found, codes = levels_in_order(values)
    if len(found) > _PANELS and not kind:
        raise SettingsError(
            f"{name} has {len(found)} levels, and a figure has at most {_PANELS} panels. "
            'kind="grouped" shows many levels in one panel.'
        )
    return name, found, codes


def _rows(data: Responses, chosen: Any) -> Responses:
    trials = None if data.trials is None else data.trials[chosen]
    return replace(data, simulated=data.simulated[:, chosen], observed=data.observed[chosen], trials=trials)


def _rootogram(ax: Axes, data: Responses, prob: float) -> list[Artist]:
    """Draw a hanging rootogram: bars of the square root of observed frequencies, from the expected down."""
    highest = int(max(np.quantile(data.simulated, 0.99), data.observed.max()))
    starts = np.arange(highest + 1) if highest < BARS else count_bins(highest)
    edges = np.append(starts, highest + 1).astype(float)
    labels = [range_text(int(a), int(b) - 1) for a, b in pairwise(edges)]
    if (data.simulated > highest).any():
        edges, labels = np.append(edges, np.inf), [*labels, f">{short_count(highest)}"]
    n, places = data.observed.size, np.arange(len(labels))
    simulated = n * bin_shares(data.simulated, edges)
    observed = np.sqrt(n * bin_shares(data.observed[None], edges)[0])
    expected = np.sqrt(simulated.mean(axis=0))
    lower, upper = np.quantile(expected - np.sqrt(simulated), [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    ax.bar(places, -observed, bottom=expected, width=0.82, color=OBSERVED_BAR, linewidth=0, zorder=1)
    ax.bar(places, upper - lower, bottom=lower, width=0.82, color=MAIN, alpha=0.28, linewidth=0, zorder=2)
    outside = (expected - observed < lower - 1e-9) | (expected - observed > upper + 1e-9)
    ends = np.where(outside, ACCENT, INK)
    ax.hlines(expected - observed, places - 0.41, places + 0.41, colors=list(ends), linewidth=1.6, zorder=3)
    ax.plot(places, expected, color=MAIN, linewidth=1.4, marker="o", markersize=4, zorder=4)
    ax.axhline(0.0, color=MUTED, linewidth=0.9, zorder=2)
    beside = ax.get_subplotspec()
    every = -(-len(labels) // (16 if beside is None else max(6, 18 // beside.get_gridspec().ncols)))
    ax.set_xticks(places[::every], labels[::every], parse_math=False)
    ax.set_xlim(-0.8, max(len(labels) - 0.2, 6))
    ax.set_ylim(1.06 * min(float((expected - observed).min()), float(lower.min()), -0.1), 1.06 * expected.max())
    clean(ax, keep=("left",))
    ax.tick_params(axis="x", length=0)
    titles(ax, "", data.name, "square root of frequency")
    line = Line2D([], [], color=MAIN, linewidth=1.4, marker="o", markersize=4, label="expected")
    band = Patch(color=MAIN, alpha=0.28, linewidth=0, label=f"where bars may end ({percent(prob)})")
    keys: list[Artist] = [Patch(color=OBSERVED_BAR, label="observed, hanging"), line, band]
    if outside.any():
        keys.append(Line2D([], [], color=ACCENT, linewidth=1.6, label="ends outside"))
    return keys


def _function(stat: str | Callable[..., Any]) -> tuple[str, Callable[..., Any]]:
    if callable(stat):
        return getattr(stat, "__name__", "statistic"), stat
    if stat not in STATISTICS:
        raise SettingsError(f"stat={stat!r} is not known; choose one of {', '.join(STATISTICS)}, or give a function.")
    return ("share of zeros" if stat == "zeros" else stat), STATISTICS[stat]


def _values(data: Responses) -> tuple[Any, Any]:
    """Return simulated and observed responses, as proportions where there are trials."""
    trials = 1.0 if data.trials is None else np.maximum(data.trials, 1.0)
    return data.simulated / trials, data.observed / trials


def _statistic(ax: Axes, data: Responses, prob: float, stat: Any) -> list[Artist]:
    name, function = _function(stat)
    drawn, seen = _values(data)
    simulated, observed = np.asarray(function(drawn, axis=1)), float(function(seen[None], axis=1)[0])
    ax.hist(simulated, bins=30, color=MAIN, alpha=0.35, linewidth=0)
    for end in np.quantile(simulated, [(1 - prob) / 2, (1 + prob) / 2]):
        ax.axvline(end, color=MAIN, linewidth=1.0, linestyle=(0, (4, 3)))
    ax.axvline(observed, color=INK, linewidth=2.0)
    share = float(np.mean(simulated >= observed))
    clean(ax)
    ax.set_yticks([])
    titles(ax, "", f"{name} of {data.name}; {counted_percent(share)} of simulated data sets reach the observed", "")
    return [
        Patch(color=MAIN, alpha=0.35, label="simulated data sets"),
        Line2D([], [], color=MAIN, linestyle=(0, (4, 3)), label=f"{percent(prob)} interval"),
        Line2D([], [], color=INK, linewidth=2.0, label="observed"),
    ]


def _grouped(
    data: Responses,
    name: str,
    levels: list[str],
    codes: Any,
    stat: Any,
    prob: float,
    figsize: tuple[float, float] | None,
) -> Figure:
    """Draw a row per level: the interval of a statistic over simulated data, and the observed one."""
    title, function = _function(stat)
    if data.categories and len(data.categories) > 2 and stat == "mean":
        title = f"mean of codes 0 to {len(data.categories) - 1}"
    drawn, seen = _values(data)
    simulated = np.stack([np.asarray(function(drawn[:, codes == j], axis=1)) for j in range(len(levels))], axis=1)
    observed = np.array([float(function(seen[None, codes == j], axis=1)[0]) for j in range(len(levels))])
    lower, upper = np.quantile(simulated, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    outside = (observed < lower) | (observed > upper)
    spread = np.maximum(simulated.std(axis=0), 1e-12)
    shown = np.arange(len(levels))
    if len(levels) > _LEVELS:
        shown = np.sort(np.argsort(-np.abs(observed - simulated.mean(axis=0)) / spread)[:_LEVELS])
    places = np.arange(len(shown))[::-1].astype(float)
    figure = new_figure(figsize or (6.4, 1.5 + 0.24 * len(shown)))
    ax = figure.subplots()
    ax.hlines(places, lower[shown], upper[shown], colors=MAIN, linewidth=4.0, alpha=0.35, zorder=2)
    ax.scatter(simulated.mean(axis=0)[shown], places, s=14, color=MAIN, zorder=3)
    marks = np.where(outside[shown], ACCENT, INK)
    ax.scatter(observed[shown], places, s=34, marker="D", facecolors="none", edgecolors=list(marks), zorder=4)
    row_labels(ax, places, [levels[j] for j in shown])
    ax.set_ylim(-0.8, len(shown) - 0.2)
    reference_line(ax, float(function(seen[None], axis=1)[0]))
    clean(ax)
    chosen = f", the {_LEVELS} most unusual of {len(levels)}" if len(levels) > _LEVELS else ""
    titles(ax, f"By {name}{chosen}: {int(outside.sum())} of {len(levels)} outside", f"{title} of {data.name}")
    keys: list[Artist] = [
        Line2D([], [], color=MAIN, linewidth=4.0, alpha=0.35, label=f"simulated, {percent(prob)} interval"),
        Line2D([], [], color=INK, marker="D", markerfacecolor="none", linewidth=0, markersize=6, label="observed"),
    ]
    if outside[shown].any():
        keys.append(
            Line2D(
                [], [], color=ACCENT, marker="D", markerfacecolor="none", linewidth=0, markersize=6, label="outside"
            )
        )
    legend(figure_of(ax), keys, loc="outside lower center", ncols=len(keys))
    return figure


_DRAWING: dict[str, Callable[[Axes, Responses, float], list[Artist]]] = {
    "density": densities,
    "rootogram": _rootogram,
    "bars": category_bars,
    "proportions": proportion_bars,
}

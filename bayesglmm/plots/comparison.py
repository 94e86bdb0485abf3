"""Engines side by side: for every parameter the densities over each other, and below them the intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import interval_rows, legend
from bayesglmm.plots._numerics import Interval, check_prob, density, interval, is_constant
from bayesglmm.plots._parameters import Entry, chosen
from bayesglmm.plots._style import INK, MUTED, NORMAL, SMALL, clean, colour, new_figure, percent, shortened, wrapped
from bayesglmm.results.compare import EngineComparison, difference
from bayesglmm.results.compare import compare_engines as compared

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

MOST = 20
INNER = 0.5
_STYLES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")


def compare_engines(
    comparison: EngineComparison | Mapping[str, Fit],
    parameters: str | Sequence[str] | None = None,
    prob: float | None = None,
    *,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw the posterior densities and intervals of several engines over each other.

    One small panel per parameter, all with the same colours: where curves lie on each other the engines agree. Beside
    the name stands the largest difference of means from the first engine, in its posterior standard deviations.

    Parameters
    ----------
    comparison : EngineComparison or mapping of str to Fit
        What `bayesglmm.compare_engines` returns, or what it takes.
    parameters : str or sequence of str, optional
        Names as in `fit.summary()`, group effects as ``b[herd, 3, Intercept]``, or ``fixed``, ``sd``, ``cor``,
        ``dispersion``; at most 20. By default all that the summary shows; of more than 20 those that differ most.
    prob : float, optional
        Posterior probability of the thin intervals; that of the comparison by default. The thick ones hold half.
    figsize : tuple of float, optional
        Width and height in inches; by default the height follows the number of parameters.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes per parameter: densities, intervals.

    Raises
    ------
    UnknownNameError
        For a parameter that the fits do not have.
    SettingsError
        For more than 20 parameters, or fits that cannot be compared.
    """
    if not isinstance(comparison, EngineComparison):
        comparison = compared(comparison, 0.95 if prob is None else prob)
    prob = comparison.prob if prob is None else prob
    check_prob(prob)
    labels, total = _labels(comparison, parameters)
    found = {name: {e.label: e for e in chosen(fit, labels)} for name, fit in comparison.fits.items()}
    columns = min(len(labels), 2 if len(labels) in (2, 4) else 3 if len(labels) <= 9 else 4)
    rows = -(-len(labels) // columns)
    below = 0.14 * len(found)
    width, height = figsize or (max(3.2 * columns, 5.5), rows * (2.1 + below) + 1.0)
    figure = new_figure((width, height), constrained=False)
    notes = _frame(figure, comparison, prob, len(labels), total)
    # Margins in inches, whatever the size: a free layout would set panels of one column at different places.
    top, bottom = 0.55 + 0.16 * notes, 0.65
    edges = {"left": 0.15 / width, "right": 1 - 0.15 / width, "top": 1 - top / height, "bottom": bottom / height}
    grid = figure.add_gridspec(rows, columns, **edges, wspace=0.1, hspace=0.55)
    for place, label in enumerate(labels):
        parts = grid[divmod(place, columns)].subgridspec(2, 1, height_ratios=(1.15, below), hspace=0.05)
        upper = figure.add_subplot(parts[0])
        lower = figure.add_subplot(parts[1], sharex=upper)
        _panel(upper, lower, [own[label] for own in found.values()], prob)
    return figure


def _labels(comparison: EngineComparison, parameters: str | Sequence[str] | None) -> tuple[list[str], int]:
    """Return which parameters are drawn, and how many there are."""
    entries = chosen(next(iter(comparison.fits.values())), parameters)
    labels = [entry.label for entry in entries]
    if len(labels) <= MOST:
        return labels, len(labels)
    if parameters is not None:
        raise SettingsError(f"One figure holds at most {MOST} parameters; parameters= asks for {len(labels)}.")
    farthest = comparison.table.groupby("parameter")["wasserstein"].max().nlargest(MOST)
    return [label for label in labels if label in farthest.index], len(labels)


def _frame(figure: Figure, comparison: EngineComparison, prob: float, shown: int, total: int) -> int:
    """Add what belongs to all panels: legend, and what is drawn; return the number of lines of the latter."""
    width, height = figure.get_size_inches()
    text = (
        f"Posterior densities and {percent(prob)} intervals (thick: {percent(INNER)}); how far means are apart from "
    )
    text = f"{text}{comparison.reference}, in its posterior sds"
    if shown < total:
        text += f". The {shown} of {total} parameters that differ most; parameters= shows others"
    lines = wrapped(text, int(14 * width))
    place: dict[str, Any] = {"x": 0.15 / width, "y": 1 - 0.08 / height, "ha": "left", "va": "top"}
    figure.suptitle(lines, fontsize=SMALL + 1, color=MUTED, parse_math=False, **place)
    handles = [
        Line2D([], [], color=colour(k), linewidth=1.6, label=name, linestyle=_style(k))
        for k, name in enumerate(comparison.fits)
    ]
    rows = -(-len(handles) // 4)  # of equal length: matplotlib fills columns first
    legend(figure, handles=handles, loc="lower left", ncols=-(-len(handles) // rows), handlelength=2.6)
    return lines.count("\n") + 1


def _style(position: int) -> Literal["-", "--", ":", "-."]:
    """Return the line style of an engine: curves that lie on each other must both be seen."""
    return _STYLES[position % len(_STYLES)]


def _panel(upper: Axes, lower: Axes, entries: Sequence[Entry], prob: float) -> None:
    moving = [entry for entry in entries if not is_constant(entry.draws)]
    for k, entry in enumerate(entries):
        if is_constant(entry.draws):
            upper.axvline(float(entry.draws[0]), color=colour(k), linewidth=1.6, linestyle=_style(k))
            continue
        x, height = density(entry.draws, entry.bounds)
        upper.plot(x, height, color=colour(k), linewidth=1.6, linestyle=_style(k), zorder=2 + k)
        if k == 0:
            upper.fill_between(x, height, color=colour(k), alpha=0.15, linewidth=0)
    draws = [entry.draws for entry in entries]
    outer, inner = (_stacked([interval(own, p) for own in draws]) for p in (prob, INNER))
    rows = np.arange(len(entries), dtype=float)
    interval_rows(lower, rows, outer, inner, [colour(k) for k in range(len(entries))], size=5.0)
    lower.set_ylim(len(entries) - 0.4, -0.6)
    for ax in (upper, lower):
        ax.set_yticks([])
    clean(upper, keep=[])
    upper.tick_params(labelbottom=False, length=0)
    clean(lower)
    lower.xaxis.set_major_locator(MaxNLocator(4))
    upper.set_ylim(0.0, None)
    if moving:
        _limits(upper, moving)
    name = shortened(entries[0].label, 40)
    upper.set_title(name, fontsize=NORMAL, color=INK, loc="left", pad=15, parse_math=False)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    upper.annotate(_distance(entries), (0.0, 1.0), (0.0, 3.0), fontsize=SMALL, color=MUTED, **place)


def _stacked(values: Sequence[Interval]) -> Interval:
    return Interval(*(np.array(part) for part in zip(*values, strict=True)))


def _limits(ax: Axes, entries: Sequence[Entry]) -> None:
    """Leave out the far tails, one draw in a thousand: they would squeeze everything else."""
    ends = np.array([np.quantile(entry.draws, [0.001, 0.999]) for entry in entries])
    low, high = ends[:, 0].min(), ends[:, 1].max()
    margin = 0.05 * (high - low)
    bounds = entries[0].bounds
    ax.set_xlim(max(low - margin, bounds[0]), min(high + margin, bounds[1]))


def _distance(entries: Sequence[Entry]) -> str:
    shifts = [difference(entries[0].chains, other.chains)["shift"] for other in entries[1:]]
    if not np.all(np.isfinite(shifts)):
        return ""
    return f"{'at most ' if len(shifts) > 1 else ''}{np.max(np.abs(shifts)):.2f} sd apart"

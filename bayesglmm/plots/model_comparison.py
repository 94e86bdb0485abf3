"""Models side by side, as intervals of what they lose against the best; and the Pareto k of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import interval_rows, reference_line, row_labels, titles
from bayesglmm.plots._numerics import Interval
from bayesglmm.plots._style import ACCENT, INK, MAIN, MUTED, SMALL, clean, new_figure
from bayesglmm.results.evaluation.comparison import ModelComparison
from bayesglmm.results.evaluation.loo import Loo

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMED = 8  # rows with the largest Pareto k that get their label


def compare_models(comparison: ModelComparison, *, figsize: tuple[float, float] | None = None) -> Figure:
    """Draw how much worse each model is than the best, with one and two standard errors of the difference.

    Parameters
    ----------
    comparison : ModelComparison
        What `bayesglmm.compare_models` returns.
    figsize : tuple of float, optional
        Width and height in inches; by default the height follows the number of models.

    Returns
    -------
    matplotlib.figure.Figure
        At the right stand elpd and stacking weight, or log evidence and probability.
    """
    if not isinstance(comparison, ModelComparison):
        raise SettingsError(f"Give what bg.compare_models returns, not a {type(comparison).__name__}.")
    table = comparison.table
    names = [str(name) for name in table.index]
    by = ("log_evidence", "difference", "probability") if comparison.by_evidence else ("elpd", "elpd_diff", "weight")
    value, difference, weight = (table[name].to_numpy(dtype=float) for name in by)
    error = np.nan_to_num(table["se_diff"].to_numpy(dtype=float))
    figure = new_figure(figsize or (7.0, 1.3 + 0.38 * len(names)))
    ax = figure.add_subplot()
    rows = np.arange(len(names), dtype=float)
    outer, inner = (Interval(difference, difference - k * error, difference + k * error) for k in (2.0, 1.0))
    interval_rows(ax, rows, outer, inner, [ACCENT, *[MAIN] * (len(names) - 1)])
    reference_line(ax, 0.0)
    row_labels(ax, rows, names)
    ax.set_ylim(len(names) - 0.4, -0.9)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    clean(ax)
    what = "log evidence" if comparison.by_evidence else "elpd"
    titles(ax, comparison.method, f"Difference of {what} from {names[0]}; thick: one standard error, thin: two")
    _columns(ax, rows, {what: value, "probability" if comparison.by_evidence else "weight": weight})
    return figure


def _columns(ax: Axes, rows: Any, columns: dict[str, Any]) -> None:
    """Write numbers beside the rows, under their names."""
    for k, (name, values) in enumerate(columns.items()):
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right", "va": "center"}
        at = 1.14 + 0.13 * k
        ax.annotate(name, (at, -0.75), fontsize=SMALL, color=MUTED, annotation_clip=False, **place)
        for row, value in zip(rows, values, strict=True):
            text = f"{value:.1f}" if k == 0 else f"{value:.2f}"
            ax.annotate(text, (at, row), fontsize=SMALL + 1, color=INK, annotation_clip=False, **place)


def pareto_k(loo: Loo, *, figsize: tuple[float, float] | None = None) -> Figure:
    """Draw the Pareto k of every row: how far its elpd by importance sampling can be relied on.

    Parameters
    ----------
    loo : Loo
        What `Fit.loo` returns.
    figsize : tuple of float, optional
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure
        Rows above the threshold are marked, the worst of them named.
    """
    if not isinstance(loo, Loo):
        raise SettingsError(f"Give what fit.loo() returns, not a {type(loo).__name__}.")
    k = loo.pareto_k.to_numpy()
    figure = new_figure(figsize or (7.0, 3.2))
    ax = figure.add_subplot()
    bad = k > loo.threshold
    ax.scatter(np.flatnonzero(~bad), k[~bad], s=9, c=MAIN, linewidths=0)
    ax.scatter(np.flatnonzero(bad), k[bad], s=22, c=ACCENT, linewidths=0)
    ax.axhline(loo.threshold, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for row in [int(i) for i in np.argsort(-k)[:_NAMED] if bad[i]]:
        ax.annotate(
            str(loo.pointwise.index[row]),
            (row, k[row]),
            (4, 3),
            textcoords="offset points",
            fontsize=SMALL,
            color=INK,
        )
    clean(ax, keep=("bottom", "left"))
    titles(ax, "Pareto k of the importance weights", "Position of the row in the data", "Pareto k")
    return figure

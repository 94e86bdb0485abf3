"""Figures of answers about effects: predictions, comparisons and slopes, from the tables that a fit gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import interval_rows, legend, ratio_axis, ratio_ticks, reference_line, row_labels, titles
from bayesglmm.plots._numerics import Interval
from bayesglmm.plots._style import (
    INK,
    MAIN,
    MUTED,
    NORMAL,
    SMALL,
    clean,
    colour,
    figure_of,
    new_figure,
    percent,
    wrapped,
)

CURVE = 6  # distinct numbers that make a line instead of points
PANELS = 12
ACROSS = 3
_AXES = ("category", "predictor")


@dataclass(frozen=True, eq=False)
class Layout:
    """What of a table is along x, in colours, and in panels.

    Attributes
    ----------
    x, hue : str or None
    panels : tuple of str
    """

    x: str | None
    hue: str | None
    panels: tuple[str, ...]


def predictions(
    table: pd.DataFrame, x: str | None = None, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Figure:
    """Draw predictions, or estimated marginal means, with their intervals: lines along numbers, points over levels.

    Parameters
    ----------
    table : EffectTable
        Of ``fit.predictions(...)`` or ``fit.emmeans(...)``.
    x : str, optional
        The column along the x axis; the first number with six values or more by default, else the first column. The
        next column has colours, further ones a panel for each of their values.
    ax : Axes, optional
        Where to draw, if there is one panel.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingsError
        For tables that are no answer of this kind, and for more than twelve panels.
    """
    _require(table, ("predictions", "emmeans"), "fit.predictions() or fit.emmeans()")
    return _panels(table, _layout(table, x, ()), str(table.attrs["of"]), ax, figsize)


def comparisons(
    table: pd.DataFrame, x: str | None = None, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Figure:
    """Draw comparisons with their intervals: lines along a number of the grid, else rows.

    Ratios and odds ratios have a logarithmic axis.

    Parameters
    ----------
    table : EffectTable
        Of ``fit.comparisons(...)`` or ``fit.emmeans(..., pairwise=True)``.
    x, ax, figsize
        As of `predictions`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    _require(table, ("comparisons",), "fit.comparisons() or fit.emmeans(pairwise=True)")
    kind = str(table.attrs["kind"])
    what = f"difference in {table.attrs['of']}" if kind == "difference" else f"{kind}: {table.attrs['of']}"
    return _effects(table, x, what, ax, figsize)


def slopes(
    table: pd.DataFrame, x: str | None = None, *, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Figure:
    """Draw slopes with their intervals: along a number of the grid as lines, else as rows with a line at zero.

    Parameters
    ----------
    table : EffectTable
        Of ``fit.slopes(...)``.
    x, ax, figsize
        As of `predictions`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    _require(table, ("slopes",), "fit.slopes()")
    names = pd.unique(table["variable"])
    per = names[0] if len(names) == 1 else "its variable"
    return _effects(table, x, f"change in {table.attrs['of']} per unit of {per}", ax, figsize)


def _require(table: Any, questions: Sequence[str], source: str) -> None:
    if not isinstance(table, pd.DataFrame) or table.attrs.get("question") not in questions:
        raise SettingsError(f"This figure is of a table of {source}, not of {type(table).__name__}.")


def _columns(table: pd.DataFrame) -> list[str]:
    return [name for name in (*table.attrs["columns"], *_AXES) if name in table]


def _is_curve(values: pd.Series[Any]) -> bool:
    number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return number and values.nunique() >= CURVE


def _layout(table: pd.DataFrame, x: str | None, first: tuple[str, ...]) -> Layout:
    """Return what is where; columns in `first` have colours before others."""
    columns = [*first, *(name for name in _columns(table) if name not in first)]
    if x is not None and x not in columns:
        raise SettingsError(f"x={x!r}: the table has the columns {', '.join(columns) or 'of no variable'}.")
    along = x or next((name for name in columns if _is_curve(table[name])), None)
    along = along or next((name for name in columns if name not in first), columns[0] if columns else None)
    rest = [name for name in columns if name != along and table[name].nunique() > 1]
    return Layout(along, rest[0] if rest else None, tuple(rest[1:]))


def _effects(
    table: pd.DataFrame, x: str | None, what: str, ax: Axes | None, figsize: tuple[float, float] | None
) -> Figure:
    names = tuple(name for name in ("contrast", "variable") if name in table)
    if x is not None or any(_is_curve(table[name]) for name in _columns(table)):
        return _panels(table, _layout(table, x, names), what, ax, figsize, float(table.attrs["null"]))
    return _rows(table, what, ax, figsize)


def _interval(table: pd.DataFrame) -> Interval:
    centre = "estimate" if "estimate" in table else "mean"
    return Interval(*(table[name].to_numpy(dtype=float) for name in (centre, "lower", "upper")))


def _caption(table: pd.DataFrame, width: int) -> str:
    note = str(table.attrs.get("note", ""))
    return wrapped(f"{percent(float(table.attrs['prob']))} intervals. {note}", width)


def _rows(table: pd.DataFrame, what: str, ax: Axes | None, figsize: tuple[float, float] | None) -> Figure:
    """Draw one horizontal interval per row of the table, the first on top."""
    columns = [name for name in ("variable", "contrast", *_columns(table)) if name in table]
    told = [name for name in dict.fromkeys(columns) if table[name].nunique() > 1] or columns[:2]
    texts = [", ".join(str(value) for value in row if str(value)) for row in table[told].itertuples(index=False)]
    own = ax is None
    if ax is None:
        ax = new_figure(figsize or (7.0, 1.3 + 0.28 * len(table))).subplots()
    positions = np.arange(len(table), dtype=float)[::-1]
    interval_rows(ax, positions, _interval(table), None, MAIN)
    null = float(table.attrs["null"])
    if null == 1.0:
        ratio_axis(ax)
    reference_line(ax, null)
    clean(ax)
    row_labels(ax, positions, texts, width=48)
    ax.set_ylim(-0.7, len(table) - 0.3)
    alone = [str(table[name].iloc[0]) for name in ("variable",) if name in table and name not in told]
    titles(ax, ", ".join(alone), what)
    return _finished(figure_of(ax), table, own)


def _finished(figure: Figure, table: pd.DataFrame, own: bool) -> Figure:
    if own:
        width = int(figure.get_figwidth() * 16)
        figure.supxlabel(_caption(table, width), fontsize=SMALL, color=MUTED, x=0.01, ha="left")
    return figure


def _panels(
    table: pd.DataFrame,
    layout: Layout,
    what: str,
    ax: Axes | None,
    figsize: tuple[float, float] | None,
    null: float | None = None,
) -> Figure:
    """Draw a panel for each combination of the values of `layout.panels`."""
    levels = [_values(table[name]) for name in layout.panels]
    combinations = [own for own in product(*levels) if _chosen(table, layout.panels, own).any()]
    if len(combinations) > PANELS:
        raise SettingsError(
            f"{len(combinations)} panels are too many (at most {PANELS}): choose fewer columns or values."
        )
    if ax is not None and len(combinations) > 1:
        raise SettingsError(f"ax= holds one panel, and there are {len(combinations)}.")
    across = 2 if len(combinations) == 4 else min(ACROSS, len(combinations))
    down = -(-len(combinations) // across)
    own = ax is None
    if ax is None:
        figure = new_figure(figsize or (max(6.0, 3.6 * across), 0.8 + 3.2 * down))
        axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).ravel()
    else:
        figure, axes = figure_of(ax), np.array([ax])
    hues = _values(table[layout.hue]) if layout.hue else [None]
    for place, panel in enumerate(axes):
        if place >= len(combinations):
            panel.remove()
            continue
        part = table[_chosen(table, layout.panels, combinations[place])]
        _panel(panel, part, layout, hues, null)
        title = ", ".join(f"{name}: {value}" for name, value in zip(layout.panels, combinations[place], strict=True))
        last, left = place + across >= len(combinations), place % across == 0
        titles(panel, title, (layout.x or "") if last else "", what if left else "")
        panel.tick_params(labelbottom=last)
    keys = [_key(hue, j) for j, hue in enumerate(hues) if hue is not None]
    if keys and own:  # beside the panels: no curve is behind it
        legend(figure, keys, title=layout.hue, loc="outside right upper", title_fontsize=NORMAL)
    elif keys:
        legend(axes[0], keys, title=layout.hue, loc="best", title_fontsize=NORMAL)
    return _finished(figure, table, own)


def _chosen(table: pd.DataFrame, names: Sequence[str], values: Sequence[Any]) -> Any:
    chosen = np.ones(len(table), dtype=bool)
    for name, value in zip(names, values, strict=True):
        chosen &= (table[name] == value).to_numpy()
    return chosen


def _values(column: pd.Series[Any]) -> list[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        there = set(column)
        return [value for value in column.dtype.categories if value in there]
    return list(pd.unique(column))


def _key(hue: Any, j: int) -> Artist:
    return Line2D([], [], color=colour(j), linewidth=2.0, marker="o", markersize=4, label=str(hue))


def _panel(ax: Axes, part: pd.DataFrame, layout: Layout, hues: Sequence[Any], null: float | None) -> None:
    curve = layout.x is not None and _is_curve(part[layout.x])
    places = [] if layout.x is None else _values(part[layout.x])
    for j, hue in enumerate(hues):
        own = part if layout.hue is None else part[(part[layout.hue] == hue).to_numpy()]
        if own.empty:
            continue
        centre, lower, upper = _interval(own)
        shade = MAIN if layout.hue is None else colour(j)
        if curve and layout.x is not None:
            at = own[layout.x].to_numpy(dtype=float)
            order = np.argsort(at, kind="stable")
            ax.fill_between(at[order], lower[order], upper[order], color=shade, alpha=0.18, linewidth=0)
            ax.plot(at[order], centre[order], color=shade, linewidth=1.8)
            continue
        moved = 0.0 if len(hues) == 1 else 0.3 * (j / (len(hues) - 1) - 0.5)
        at = np.array([0.0] if layout.x is None else [places.index(value) for value in own[layout.x]]) + moved
        ax.vlines(at, lower, upper, color=shade, linewidth=1.6)
        ax.scatter(at, centre, s=30, color=shade, edgecolors="white", linewidths=0.8, zorder=3)
    if not curve:
        texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in places]
        ax.set_xticks(range(len(places)), texts, parse_math=False)
        ax.set_xlim(-0.6, max(len(places), 1) - 0.4)
    if null is not None:
        ax.axhline(null, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    if null == 1.0:
        _ratio_scale(ax)
    clean(ax, keep=("left", "bottom"))
    ax.tick_params(axis="both", labelcolor=INK)


def _ratio_scale(ax: Axes) -> None:
    """Make the y axis logarithmic, with ticks at round ratios written as plain numbers."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(FixedLocator(list(ratio_ticks(low, high))))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

"""The look of smooth curves: bands, partial residuals, a rug; several panels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import legend, titles
from bayesglmm.plots._style import (
    MAIN,
    MUTED,
    NORMAL,
    SMALL,
    clean,
    colour,
    figure_of,
    new_figure,
    percent,
    shortened,
    wrapped,
)
from bayesglmm.results.curves import Band

MOST_TICKS = 1500


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve of a panel.

    Attributes
    ----------
    label : str
        For the legend; empty where the title says it.
    x : ndarray, shape (m,)
    band : Band or None
        None for the curves of many levels, of which only the means are shown.
    mean : ndarray, shape (m,) or (m, levels)
    beyond : ndarray of bool, shape (m,), or None
        Where it is extrapolated.
    """

    label: str
    x: Floats
    band: Band | None
    mean: Floats
    beyond: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """What one axes shows.

    Attributes
    ----------
    title, xlabel, ylabel : str
    curves : tuple of Curve
    rug : ndarray
        Covariate values of the data.
    dots : tuple of two ndarray, or None
        Partial residuals.
    null : float or None
        Where there is no effect.
    """

    title: str
    xlabel: str
    ylabel: str
    curves: tuple[Curve, ...]
    rug: Floats
    dots: tuple[Floats, Floats] | None = None
    null: float | None = None


def draw(
    panels: Sequence[Panel],
    caption: str,
    prob: float,
    simultaneous: bool | None,
    rug: bool,
    columns: int | None,
    ax: Axes | None,
    figsize: tuple[float, float] | None,
) -> Figure:
    """Draw panels into a new figure with a caption, or a single one into given axes."""
    if simultaneous is None:
        simultaneous = max(len(panel.curves) for panel in panels) <= 2
    if ax is not None:
        if len(panels) > 1:
            raise SettingsError(f"ax= holds one panel, and there are {len(panels)}: name one term.")
        _panel(ax, panels[0], simultaneous, rug)
        return figure_of(ax)
    across = columns or min(len(panels), 2 if len(panels) in (2, 4) else 3 if len(panels) <= 12 else 5)
    down = -(-len(panels) // across)
    small = len(panels) > 12
    width, height = (2.3, 1.9) if small else (3.3, 2.8)
    if len(panels) == 1:
        width, height = 6.0, 4.0
    figure = new_figure(figsize or (max(width * across, 5.0), height * down + 0.5))
    axes = figure.subplots(down, across, squeeze=False)
    for place, own in enumerate(axes.ravel()):
        if place >= len(panels):
            own.remove()
            continue
        _panel(own, panels[place], simultaneous, rug, small)
        if place % across and panels[place].ylabel == panels[place - 1].ylabel:
            own.set_ylabel("")
    bands = f"Bands hold each point with {percent(prob)}."
    if simultaneous:
        bands = f"Dark band: {percent(prob)} for each point; light band: for the whole curve."
    if any(np.any(curve.beyond) for panel in panels for curve in panel.curves if curve.beyond is not None):
        bands += " Dashed: beyond the data of the level, extrapolated."
    text = wrapped(f"{caption} {bands}".strip(), int(15 * figure.get_size_inches()[0]))
    figure.suptitle(text, fontsize=SMALL + 0.5, color=MUTED, x=0.01, ha="left", parse_math=False)
    return figure


def _panel(ax: Axes, panel: Panel, simultaneous: bool, rug: bool, small: bool = False) -> None:
    if panel.null is not None:
        ax.axhline(panel.null, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    for place, curve in enumerate(panel.curves):
        own = MAIN if len(panel.curves) == 1 else colour(place)
        _curve(ax, curve, own, simultaneous, alpha=1.0 if len(panel.curves) == 1 else 0.6)
    _within(ax, panel.curves)
    if panel.dots is not None:
        _dots(ax, panel)
    if rug:
        _rug(ax, panel.rug)
    clean(ax, keep=("left", "bottom"))
    ax.margins(x=0.01)
    width = 28 if small else 60
    titles(ax, shortened(panel.title, width), shortened(panel.xlabel, width), panel.ylabel)
    if small:
        ax.title.set_fontsize(NORMAL)
        for label in (ax.xaxis.label, ax.yaxis.label):
            label.set_fontsize(SMALL)
    if len(panel.curves) > 1 or panel.curves[0].label:
        shown = [Line2D([], [], color=colour(k), label=curve.label) for k, curve in enumerate(panel.curves)]
        legend(ax, shown, loc="best")


def _curve(ax: Axes, curve: Curve, own: str, simultaneous: bool, alpha: float) -> None:
    if curve.band is None:
        ax.plot(curve.x, curve.mean, color=own, linewidth=0.7, alpha=0.5, zorder=2)
        return
    beyond = np.zeros(len(curve.x), dtype=bool) if curve.beyond is None else curve.beyond
    for part, share, line in ((~beyond, 1.0, "-"), (_widened(beyond), 0.4, (0, (3, 2)))):
        if not part.any():
            continue
        look: dict[str, Any] = {"color": own, "linewidth": 0, "zorder": 2, "where": part}
        if simultaneous:
            ax.fill_between(curve.x, curve.band.low, curve.band.high, alpha=0.15 * alpha * share, **look)
        ax.fill_between(curve.x, curve.band.lower, curve.band.upper, alpha=0.28 * alpha * share, **look)
        mean = np.where(part, curve.mean, np.nan)
        ax.plot(curve.x, mean, color=own, linewidth=1.7 if share == 1.0 else 1.2, linestyle=line, zorder=4)


def _within(ax: Axes, curves: Sequence[Curve]) -> None:
    """Let bands beyond the data leave the axes: they would flatten everything else."""
    known = [(curve.band, ~curve.beyond) for curve in curves if curve.band is not None and curve.beyond is not None]
    if all(inside.all() or not inside.any() for _, inside in known):
        return
    low = min(float(np.min(own.low, where=inside, initial=np.inf)) for own, inside in known)
    high = max(float(np.max(own.high, where=inside, initial=-np.inf)) for own, inside in known)
    low, high = (
        min(low, *(float(own.mean.min()) for own, _ in known)),
        max(high, *(float(own.mean.max()) for own, _ in known)),
    )
    room = 0.05 * (high - low)
    ax.set_ylim(low - room, high + room)


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with the neighbours of what it holds, so that parts of a curve meet."""
    out = mask.copy()
    out[:-1] |= mask[1:]
    out[1:] |= mask[:-1]
    return out


def _dots(ax: Axes, panel: Panel) -> None:
    """Draw partial residuals; the far ones sit at the edge as triangles."""
    assert panel.dots is not None
    x, y = panel.dots
    low, high = np.quantile(y, [0.01, 0.99])
    own = panel.curves[0].band
    if own is not None:
        low, high = min(low, own.low.min()), max(high, own.high.max())
    room = 0.05 * (high - low)
    low, high = low - room, high + room
    inside = (y >= low) & (y <= high)
    size = float(np.clip(4000.0 / len(x), 2.0, 14.0))
    look: dict[str, Any] = {"s": size, "color": MUTED, "alpha": 0.45, "linewidths": 0}
    ax.scatter(x[inside], y[inside], zorder=3, rasterized=len(x) > 3000, **look)
    for beyond, marker, edge in ((y > high, "^", high), (y < low, "v", low)):
        ax.scatter(x[beyond], np.full(beyond.sum(), edge), marker=marker, **look)
    ax.set_ylim(low - room / 2, high + room / 2)


def _rug(ax: Axes, values: Floats) -> None:
    shown = np.unique(values)
    if len(shown) > MOST_TICKS:
        shown = np.quantile(values, np.linspace(0, 1, MOST_TICKS))
    look: dict[str, Any] = {"color": MUTED, "markersize": 5, "alpha": 0.5, "clip_on": False}
    ax.plot(shown, np.zeros_like(shown), "|", transform=ax.get_xaxis_transform(), **look)

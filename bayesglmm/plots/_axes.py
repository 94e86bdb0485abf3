"""Pieces of axes that several figures draw: rows of intervals, their labels, ratio scales, reference lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from bayesglmm.blocks import Floats
from bayesglmm.plots._numerics import Interval
from bayesglmm.plots._style import INK, LARGE, MUTED, NORMAL, SMALL, shortened


def interval_rows(
    ax: Axes,
    positions: Floats,
    outer: Interval,
    inner: Interval | None,
    colour: str | Sequence[str],
    *,
    width: float = 1.4,
    size: float = 5.5,
    points: str | Sequence[str] | None = None,
) -> None:
    """Draw horizontal intervals: thin lines for the outer ones, thick for the inner ones, points for the means.

    Parameters
    ----------
    ax : Axes
    positions : ndarray, shape (J,)
        Heights.
    outer : Interval of arrays, shape (J,)
    inner : Interval of arrays or None
    colour : str or sequence of J str
    width, size : float
        Of the thin line and the point.
    points : str or sequence of J str, optional
        Colours of the points, where they differ from the lines.
    """
    ax.hlines(positions, outer.lower, outer.upper, colors=colour, linewidth=width, zorder=2)
    if inner is not None:
        ax.hlines(positions, inner.lower, inner.upper, colors=colour, linewidth=2.6 * width, zorder=2)
    edge = "white" if size > 3 else "none"
    ax.scatter(outer.mean, positions, s=size**2, c=points or colour, edgecolors=edge, linewidths=0.8, zorder=3)


def row_labels(ax: Axes, positions: Floats, labels: Sequence[str], width: int = 40) -> None:
    """Name the rows; names are shown as they are, a ``$`` in them starts no mathematics."""
    ax.set_yticks(np.asarray(positions), [shortened(label, width) for label in labels], parse_math=False)
    ax.tick_params(axis="y", labelsize=NORMAL, labelcolor=INK, length=0)


def titles(ax: Axes, title: str, xlabel: str = "", ylabel: str = "") -> None:
    """Set title and axis labels as plain text."""
    ax.set_title(title, fontsize=LARGE, color=INK, loc="left", parse_math=False)
    ax.set_xlabel(xlabel, fontsize=NORMAL, color=INK, parse_math=False)
    ax.set_ylabel(ylabel, fontsize=NORMAL, color=INK, parse_math=False)


def reference_line(ax: Axes, value: float) -> None:
    """Draw the vertical line of no effect, or of the mean, behind everything."""
    ax.axvline(value, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def ratio_axis(ax: Axes) -> None:
    """Make the x axis logarithmic, with ticks at round ratios written as plain numbers."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    ax.xaxis.set_major_locator(FixedLocator(list(ratio_ticks(low, high))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def ratio_ticks(low: float, high: float) -> Floats:
    """Return up to about seven round numbers between two positive ones."""
    powers = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = np.array([digit * 10.0**power for power in powers for digit in digits])
        ticks = ticks[(ticks >= low) & (ticks <= high)]
        if len(ticks) <= 7:
            break
    else:
        ticks = ticks[:: -(-len(ticks) // 7)]
    if len(ticks) >= 3:
        return ticks
    even = np.asarray(MaxNLocator(5).tick_values(low, high))
    return even[(even >= low) & (even <= high) & (even > 0)]


def legend(where: Axes | Figure, handles: Sequence[Artist], **options: Any) -> None:
    """Add a quiet legend."""
    where.legend(handles=handles, fontsize=SMALL + 0.5, frameon=False, labelcolor=INK, **options)

"""What the figures share in looks: colours, sizes, the figure itself. Nothing global is ever changed."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

# Okabe and Ito's palette, which readers with any kind of colour vision can tell apart; yellow is too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MAIN = COLOURS[0]
ACCENT = COLOURS[1]
INK = "#222222"
MUTED = "#767676"
PALE = "#D9D9D9"

SMALL = 8.0
NORMAL = 9.5
LARGE = 11.0


class Drawing(Figure):
    """A figure that notebooks show although pyplot, which would keep it open, does not know it."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def new_figure(figsize: tuple[float, float], constrained: bool = True) -> Figure:
    """Return an empty figure of the given size in inches."""
    figure = Drawing(figsize=figsize, facecolor="white")
    figure.set_layout_engine("constrained" if constrained else "none")  # whatever the user's settings say
    return figure


def figure_of(ax: Axes) -> Figure:
    """Return the figure that an axes belongs to, also when it sits in a subfigure."""
    found = ax.figure
    while isinstance(found, SubFigure):
        found = found.figure
    return found


def colour(position: int) -> str:
    """Return the colour of the chain or fit with this position."""
    return COLOURS[position % len(COLOURS)]


def clean(ax: Axes, keep: Sequence[str] = ("bottom",)) -> None:
    """Leave only the spines that carry a scale, and quiet ticks."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in keep)
        spine.set_color(MUTED)
    ax.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK, length=3)
    if "left" not in keep:
        ax.tick_params(axis="y", length=0)


def wrapped(text: str, width: int) -> str:
    """Return text in lines of at most `width` characters, broken at spaces where there are any."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) or text


def shortened(text: str, width: int) -> str:
    """Return text with its middle left out where it is longer than `width`: both ends tell levels apart."""
    if len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def decimals(width: float) -> int:
    """Return how many decimals show an interval of this width with two to three significant digits."""
    if not np.isfinite(width) or width <= 0:
        return 2
    return int(np.clip(2 - np.floor(np.log10(width)), 0, 8))


def number(value: float, width: float) -> str:
    """Return a value as text, as precisely as an interval of this width deserves."""
    if abs(value) >= 1e6 or 0 < abs(value) < 1e-5:
        return f"{value:.3g}"
    text = f"{value:.{decimals(width)}f}"
    text = text.replace("-", "", 1) if float(text) == 0 else text
    return text.replace("-", "−")


def percent(prob: float) -> str:
    """Return 0.95 as ``95%``."""
    return f"{100 * prob:g}%"


def counted_percent(share: float) -> str:
    """Return a share of rows or draws as ``12.3%``: to a tenth of a percent, which is what draws tell of it."""
    return percent(round(share, 3))

"""Figures as files in memory."""

from __future__ import annotations

import io

import matplotlib
from matplotlib.figure import Figure


def svg(figure: Figure) -> bytes:
    """Return a figure as SVG: the same bytes each time, text as outlines, no date and no program in it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    """
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "bayesglmm", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()

"""Figures inside of a page: pictures that need no other file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from bayesglmm.plots.pictures import svg
from bayesglmm.reporting.markup import Html, region, tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGEST = 400_000  # bytes of a drawing; beyond, thousands of points are better a picture


def picture(figure: Figure, alt: str, caption: str, label: str) -> Html:
    """Return a figure with its caption.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What it shows, for those who cannot see it.
    caption : str
    label : str
        Its short name.
    """
    drawing, kind = svg(figure), "svg+xml"
    if len(drawing) > _LARGEST:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
        drawing, kind = buffer.getvalue(), "png"
    source = f"data:image/{kind};base64,{base64.b64encode(drawing).decode('ascii')}"
    width, height = (round(96 * side) for side in figure.get_size_inches())
    image = tag("img", src=source, alt=alt, width=width, height=height)
    return tag("figure", region(f"Figure: {label}", image), tag("figcaption", caption))

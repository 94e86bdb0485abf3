"""Fields of numbers with a ragged edge, drawn so that an outline and not the cells ends the colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from scipy.ndimage import distance_transform_edt

from bayesglmm.blocks import Floats
from bayesglmm.plots._style import MUTED, SMALL
from bayesglmm.results.region import Polygon


def padded(centres: Floats) -> Floats:
    """Return cell centres with one more at each end, so that colours reach beyond the bounds of the outer cells."""
    step = centres[1] - centres[0]
    return np.concatenate([[centres[0] - step], centres, [centres[-1] + step]])


def spread(values: Floats) -> Floats:
    """Fill cells outside with their nearest neighbour inside: the outline, not the cells, then ends the colours.

    Shape (m, n) to (m + 2, n + 2).
    """
    values = np.pad(values, 1, constant_values=np.nan)
    rows, columns = distance_transform_edt(~np.isfinite(values), return_distances=False, return_indices=True)
    found: Floats = values[rows, columns]
    return found


def clip(ax: Axes, outline: tuple[Polygon, ...]) -> PathPatch:
    """Draw the outline, and return it as what ends the colours."""
    path = Path.make_compound_path(*(Path(ring, closed=True) for polygon in outline for ring in polygon))
    patch = PathPatch(path, facecolor="none", edgecolor=MUTED, linewidth=0.8, zorder=4)
    ax.add_patch(patch)
    return patch


def labelled(ax: Axes, lines: Any, patch: PathPatch, levels: Any, text: Callable[..., str]) -> None:
    """Write their values on contour lines; a label outside the outline is not shown, since text cannot be clipped."""
    for label in ax.clabel(lines, levels, fontsize=SMALL - 1.5, fmt=text, inline=True, inline_spacing=2):
        label.set_alpha(1.0)
        label.set_visible(bool(patch.get_path().contains_point(label.get_position())))

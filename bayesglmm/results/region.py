"""Where a surface is supported by data: the hull of the points, their neighbourhood, or a polygon of the user's."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, SettingsError

type Bools = NDArray[np.bool_]
# One polygon: its outer ring, then its holes; a ring is an array of shape (m, 2) whose last point is the first.
type Polygon = tuple[Floats, ...]

EDGES = 2_000_000  # comparisons of points with edges that are made at once
TRACED = 300  # cells along the longer side on which the outline of a neighbourhood is traced, at least
MOST_TRACED = 4_000_000  # cells in all


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the plane.

    Attributes
    ----------
    polygons : tuple of polygons
        The outline: for each part its outer ring and its holes, arrays of shape (m, 2).
    label : str
        In words: ``"the convex hull of the data"``.
    inside : callable
        (x, y), arrays of shape (n,), to bool.
    """

    polygons: tuple[Polygon, ...]
    label: str
    inside: Callable[[Floats, Floats], Bools]

    def contains(self, x: Any, y: Any) -> Bools:
        """Return which points lie in the region; any shape."""
        x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
        return self.inside(x.ravel(), y.ravel()).reshape(x.shape)


def region(mask: Any, x: Floats, y: Floats, stretch: tuple[float, float] = (1.0, 1.0)) -> Region:
    """Return the region that a user asks for.

    Parameters
    ----------
    mask : str, float, GeoJSON or None
        ``"hull"``: the convex hull of the points; a number: what lies within this distance of a point; None: the
        rectangle around the points; else a polygon as in `polygons_of`.
    x, y : ndarray, shape (n,)
        The points.
    stretch : tuple of float
        What a unit of x and of y is worth in the unit of the distance: degrees differ.

    Raises
    ------
    SettingsError
        For a mask that means nothing.
    DataError
        For points without a hull, or a polygon without any of them.
    """
    if mask is None:
        box = np.array([[x.min(), y.min()], [x.max(), y.min()], [x.max(), y.max()], [x.min(), y.max()]])
        return polygon_region(((_closed(box),),), "the rectangle around the data")
    if isinstance(mask, str) and mask == "hull":
        return hull(x, y)
    if isinstance(mask, int | float | np.number) and not isinstance(mask, bool):
        return neighbourhood(x, y, float(mask), stretch)
    found = polygon_region(polygons_of(mask), "the polygon given")
    if not found.contains(x, y).any():
        lows = [min(ring[0][:, k].min() for ring in found.polygons) for k in (0, 1)]
        highs = [max(ring[0][:, k].max() for ring in found.polygons) for k in (0, 1)]
        raise DataError(
            f"mask: no row of the data lies in the polygon. It reaches from ({lows[0]:g}, {lows[1]:g}) to "
            f"({highs[0]:g}, {highs[1]:g}), the data from ({x.min():g}, {y.min():g}) to ({x.max():g}, {y.max():g}): "
            "are both in the same coordinates, and in the order (x, y)?"
        )
    return found


def hull(x: Floats, y: Floats) -> Region:
    """Return the convex hull of points."""
    from scipy.spatial import ConvexHull, QhullError

    points = np.column_stack([x, y])
    try:
        corners = points[ConvexHull(points).vertices]
    except (QhullError, ValueError) as error:
        raise DataError(
            'mask="hull" needs at least three places that are not on one line; give a distance or a polygon instead.'
        ) from error
    return polygon_region(((_closed(corners),),), "the convex hull of the data", tolerance=1e-9)


def neighbourhood(x: Floats, y: Floats, distance: float, stretch: tuple[float, float]) -> Region:
    """Return what lies within `distance` of one of the points."""
    from contourpy import FillType, contour_generator
    from scipy.spatial import cKDTree

    if not (np.isfinite(distance) and distance > 0):
        raise SettingsError(f"mask={distance!r}: a distance must be a positive number.")
    scale = np.asarray(stretch, dtype=float)
    nearest = cKDTree(np.column_stack([x, y]) * scale)

    def away(a: Floats, b: Floats) -> Floats:
        return np.asarray(nearest.query(np.column_stack([a, b]) * scale)[0], dtype=float)

    gx, gy, step = _lattice(x, y, distance, scale)
    # Beyond this bound lie no neighbours of a point inside, so that the search need not go further.
    bound = distance + 2.0 * step
    places = np.column_stack([a.ravel() for a in np.meshgrid(gx * scale[0], gy * scale[1])])
    field = np.minimum(nearest.query(places, distance_upper_bound=bound)[0], bound).reshape(len(gy), len(gx))
    traced = contour_generator(gx, gy, field, fill_type=FillType.OuterOffset).filled(-1.0, distance)
    return Region(
        bands_to_polygons(traced), f"places within {distance:g} of the data", lambda a, b: away(a, b) <= distance
    )


def _lattice(x: Floats, y: Floats, distance: float, scale: Floats) -> tuple[Floats, Floats, float]:
    """Return the coordinates on which a neighbourhood is traced, and their step: at most a third of the distance.

    Then every point has a node within the distance, and the outline goes around it.
    """
    low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
    extent = (high - low) * scale
    size = extent + 2.2 * distance
    step = min(float(size.max()) / TRACED, distance / 3.0)
    counts = np.ceil(size / step) + 1.0
    if counts.prod() > MOST_TRACED:
        raise SettingsError(
            f"mask={distance:g}: this is too close for data that reach over {extent[0]:g} by {extent[1]:g}, in units "
            f"of the distance. The smallest that can be drawn is {_smallest(extent):.2g}."
        )
    reach = 1.1 * distance / scale
    gx, gy = (np.linspace(low[k] - reach[k], high[k] + reach[k], int(counts[k])) for k in (0, 1))
    return gx, gy, step


def _smallest(extent: Floats) -> float:
    """Return the distance, two digits rounded up, at which the cells of a third of it are as many as there may be."""
    a, b, room = float(extent.sum()), float(extent.prod()), MOST_TRACED * 0.98
    # (extent_x / d + 2.2) (extent_y / d + 2.2) 9 = room
    lead = room / 9.0 - 2.2**2
    exact = (2.2 * a + np.sqrt((2.2 * a) ** 2 + 4.0 * lead * b)) / (2.0 * lead)
    digit = 10.0 ** (np.floor(np.log10(exact)) - 1.0)
    return float(np.ceil(exact / digit) * digit)


def bands_to_polygons(traced: Any) -> tuple[Polygon, ...]:
    """Return what contourpy traced (fill type OuterOffset) as polygons whose rings touch themselves nowhere.

    Where cells meet at a corner, contourpy passes through it twice; such a ring is cut there into simple ones.
    """
    found: list[Polygon] = []
    for points, cuts in zip(*traced, strict=True):
        rings = [np.asarray(points[a:b], dtype=float) for a, b in pairwise(cuts)]
        pieces = [piece for ring in rings for piece in _simple(ring)]
        outer = [piece for piece in pieces if _area(piece) > 0]
        holes = [piece for piece in pieces if _area(piece) < 0]
        if len(outer) == 1:
            found.append((outer[0], *holes))
            continue
        for ring in outer:
            own = [hole for hole in holes if _inside(*_middle(hole), ring[:-1], ring[1:], 0.0)[0]]
            found.append((ring, *own))
    return tuple(found)


def _area(ring: Floats) -> float:
    """Return the area of a ring, positive where it runs anticlockwise."""
    x, y = (ring - ring[0]).T  # without the large common part of coordinates, which would cost digits
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def _middle(ring: Floats) -> tuple[Floats, Floats]:
    """Return the middle of the first edge of a ring, which no other ring touches; shapes (1, 1)."""
    x, y = (ring[0] + ring[1]) / 2
    return np.array([[x]]), np.array([[y]])


def _simple(ring: Floats) -> list[Floats]:
    """Cut a ring at the points that it passes more than once; pieces without area are left out."""
    found: list[Floats] = []
    path: list[tuple[float, float]] = []
    places: dict[tuple[float, float], int] = {}
    for point in map(tuple, ring.tolist()):
        if point in places:
            start = places[point]
            if len(path) - start >= 3:
                found.append(np.array([*path[start:], point]))
            for passed in path[start:]:
                del places[passed]
            del path[start:]
        places[point] = len(path)
        path.append(point)
    return found


def polygon_region(polygons: tuple[Polygon, ...], label: str, tolerance: float = 0.0) -> Region:
    """Return the region inside polygons, by the even-odd rule: a hole is not inside.

    Parameters
    ----------
    polygons : tuple of polygons
    label : str
    tolerance : float
        Points this close to an edge count as inside, relative to the size of the region: those that span a hull.
    """
    rings = [ring for polygon in polygons for ring in polygon]
    starts = np.concatenate([ring[:-1] for ring in rings])
    ends = np.concatenate([ring[1:] for ring in rings])
    reach = tolerance * float(np.ptp(starts, axis=0).max())

    def inside(x: Floats, y: Floats) -> Bools:
        found = np.empty(len(x), dtype=bool)
        step = max(1, EDGES // len(starts))
        for first in range(0, len(x), step):
            part = slice(first, first + step)
            found[part] = _inside(x[part, None], y[part, None], starts, ends, reach)
        return found

    return Region(polygons, label, inside)


def _inside(x: Floats, y: Floats, starts: Floats, ends: Floats, reach: float) -> Bools:
    """Count the edges that a ray to the right crosses; shapes (n, 1) and (m, 2) to (n,)."""
    (ax, ay), (bx, by) = starts.T, ends.T
    rise = np.where(by == ay, 1.0, by - ay)
    crosses = ((ay > y) != (by > y)) & (x < ax + (bx - ax) * (y - ay) / rise)
    found: Bools = (np.count_nonzero(crosses, axis=1) % 2).astype(bool)
    if reach > 0:
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / np.maximum(dx**2 + dy**2, 1e-300), 0.0, 1.0)
        gap = np.hypot(x - ax - along * dx, y - ay - along * dy)
        found |= gap.min(axis=1) <= reach
    return found


def polygons_of(mask: Any) -> tuple[Polygon, ...]:
    """Return the polygons of a GeoJSON object.

    Parameters
    ----------
    mask : mapping, str, path, or object with ``__geo_interface__``
        Polygon, MultiPolygon, Feature, FeatureCollection or GeometryCollection: as a mapping, as JSON text, as the
        path of a file, or as shapely and geopandas hold it.

    Raises
    ------
    SettingsError
        If it is none of these.
    """
    if hasattr(mask, "__geo_interface__"):
        mask = mask.__geo_interface__
    if isinstance(mask, str | os.PathLike):
        mask = _read(mask)
    if not isinstance(mask, Mapping):
        raise SettingsError(
            f'mask={mask!r} is not known. Choose "hull", a distance, None for the whole rectangle, or a polygon in '
            "GeoJSON: a mapping, a path or an object of shapely or geopandas."
        )
    found = tuple(_polygons(mask))
    if not found:
        raise SettingsError(f"mask: this GeoJSON ({mask.get('type')!r}) holds no polygon.")
    return found


def _read(text: str | os.PathLike[str]) -> Any:
    content = str(text)
    if not content.lstrip().startswith("{"):
        path = Path(text)
        if not path.is_file():
            raise SettingsError(
                f'mask={content!r} is neither "hull" nor a file. A polygon is given in GeoJSON: a mapping, its text, '
                "or the path of a file."
            )
        content = path.read_text(encoding="utf-8")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise SettingsError(f"mask: this is not valid GeoJSON: {error}.") from error


def _polygons(node: Any) -> list[Polygon]:
    if not isinstance(node, Mapping):
        raise SettingsError(f"mask: this is not valid GeoJSON: {_short(node)} stands where an object should.")
    kind = node.get("type")
    if kind == "FeatureCollection":
        return [p for feature in _list(node, "features") for p in _polygons(feature)]
    if kind == "GeometryCollection":
        return [p for geometry in _list(node, "geometries") for p in _polygons(geometry)]
    if kind == "Feature":
        return _polygons(node["geometry"]) if node.get("geometry") else []
    if kind == "Polygon":
        return [_rings(_list(node, "coordinates"))]
    if kind == "MultiPolygon":
        return [_rings(polygon) for polygon in _list(node, "coordinates")]
    return []


def _list(node: Mapping[str, Any], member: str) -> Sequence[Any]:
    """Return a member that must be an array."""
    found = node.get(member)
    if not isinstance(found, Sequence) or isinstance(found, str):
        what = "lacks" if found is None else f"has {_short(found)} as"
        raise SettingsError(f"mask: this is not valid GeoJSON: a {node.get('type')} {what} {member!r}, an array.")
    return found


def _rings(coordinates: Any) -> Polygon:
    try:
        rings = [np.array([point[:2] for point in ring], dtype=float) for ring in coordinates]
    except (TypeError, ValueError) as error:
        raise SettingsError(
            "mask: this is not valid GeoJSON: the coordinates of a polygon are a list of rings, a ring is a list of "
            f"points, a point two numbers; here is {_short(coordinates)}."
        ) from error
    if not rings:
        raise SettingsError("mask: this is not valid GeoJSON: a polygon has no ring.")
    for points in rings:  # a third number, left out above, is a height
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise SettingsError("mask: a ring of the polygon has fewer than three finite points (x, y).")
    return tuple(_closed(points) for points in rings)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _closed(points: Floats) -> Floats:
    return points if (points[0] == points[-1]).all() else np.concatenate([points, points[:1]])


def to_geometry(polygons: tuple[Polygon, ...]) -> dict[str, Any]:
    """Return polygons as a GeoJSON MultiPolygon, rings in the direction that RFC 7946 asks for."""
    return {
        "type": "MultiPolygon",
        "coordinates": [
            [_turned(ring, clockwise=k > 0).tolist() for k, ring in enumerate(polygon)] for polygon in polygons
        ],
    }


def _turned(ring: Floats, clockwise: bool) -> Floats:
    return ring[::-1] if (_area(ring) < 0) != clockwise else ring

"""Regions: hulls, neighbourhoods and polygons with holes, against distances and areas known by hand."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from contourpy import FillType, contour_generator

from bayesglmm.errors import DataError, SettingsError
from bayesglmm.results.region import bands_to_polygons, polygon_region, polygons_of, region, to_geometry

RNG = np.random.default_rng(4)
X, Y = RNG.uniform(0, 4, 60), RNG.uniform(0, 2, 60)
OUTER = [[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]
HOLE = [[1, 0.5], [1, 1.5], [2, 1.5], [2, 0.5], [1, 0.5]]
RING = {"type": "Polygon", "coordinates": [OUTER, HOLE]}


def area(ring: Any) -> float:
    x, y = np.asarray(ring).T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2


def test_the_hull_holds_its_points_and_nothing_beyond() -> None:
    found = region("hull", X, Y)
    assert found.contains(X, Y).all()
    (hull,) = found.polygons[0]
    centre = hull[:-1].mean(axis=0)
    assert not found.contains(*(centre + 1.01 * (hull[:-1] - centre)).T).any()
    assert found.contains(np.ones((2, 3)), np.ones((2, 3))).shape == (2, 3)


def test_a_neighbourhood_is_a_distance_in_the_unit_asked_for() -> None:
    """One point, with x worth 2 and y worth 1: an ellipse; its outline has the area of that ellipse."""
    found = region(1.0, np.array([0.0]), np.array([0.0]), stretch=(2.0, 1.0))
    assert found.contains([0.49, 0.51, 0.0, 0.0], [0.0, 0.0, 0.99, 1.01]).tolist() == [True, False, True, False]
    assert abs(area(found.polygons[0][0])) == pytest.approx(np.pi / 2, rel=2e-3)


def test_polygons_have_holes_and_several_parts() -> None:
    found = region(RING, X, Y)
    assert found.contains([0.5, 1.5, 3.0, 5.0], [1.0, 1.0, 1.0, 1.0]).tolist() == [True, False, True, False]
    two = {"type": "MultiPolygon", "coordinates": [[OUTER], [(np.array(OUTER) + 10).tolist()]]}
    assert region(two, X, Y).contains([1.5, 11.5, 8.0], [1.0, 11.0, 1.0]).tolist() == [True, True, False]


@pytest.mark.parametrize("way", ["mapping", "feature", "collection", "text", "path", "shapely", "geopandas"])
def test_ways_to_give_a_polygon(way: str, tmp_path: Any) -> None:
    feature = {"type": "Feature", "properties": {}, "geometry": RING}
    given: Any = {
        "mapping": RING,
        "feature": feature,
        "collection": {"type": "FeatureCollection", "features": [feature, {"type": "Feature", "geometry": None}]},
        "text": json.dumps(RING),
        "path": tmp_path / "town.geojson",
    }.get(way)
    if way == "path":
        given.write_text(json.dumps(feature), encoding="utf-8")
    if way in ("shapely", "geopandas"):
        shape = pytest.importorskip("shapely.geometry").shape(RING)
        given = shape if way == "shapely" else pytest.importorskip("geopandas").GeoSeries([shape])
    (polygon,) = polygons_of(given)
    assert sorted(abs(area(ring)) for ring in polygon) == [1.0, 8.0]


def test_refusals() -> None:
    with pytest.raises(SettingsError, match='neither "hull" nor a file'):
        region("hul", X, Y)
    with pytest.raises(SettingsError, match="no polygon"):
        region({"type": "Point", "coordinates": [1, 2]}, X, Y)
    with pytest.raises(SettingsError, match="positive number"):
        region(-1.0, X, Y)
    with pytest.raises(SettingsError, match="is not known"):
        region(True, X, Y)
    with pytest.raises(SettingsError, match="fewer than three"):
        region({"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, X, Y)
    with pytest.raises(DataError, match="not on one line"):
        region("hull", X, X)
    away = {"type": "Polygon", "coordinates": [(np.array(OUTER) + 100).tolist()]}
    with pytest.raises(DataError, match=r"from \(100, 100\) to \(104, 102\), the data from .* in the order \(x, y\)"):
        region(away, X, Y)


def test_written_rings_turn_as_the_standard_asks() -> None:
    backwards = {"type": "Polygon", "coordinates": [OUTER[::-1], HOLE[::-1]]}
    outer, hole = to_geometry(polygons_of(backwards))["coordinates"][0]
    assert (area(outer), area(hole)) == (8.0, -1.0)


def test_traced_bands_are_valid_and_keep_their_area() -> None:
    """Cells that meet at a corner only make rings that touch themselves; cut apart they still cover the same area."""
    shapely = pytest.importorskip("shapely.geometry")
    mask = RNG.random((12, 12)) < 0.35
    field = np.ma.array(np.ones((12, 12)), mask=mask)
    traced = contour_generator(z=field, fill_type=FillType.OuterOffset).filled(0.5, 2.0)
    shape = shapely.shape(to_geometry(bands_to_polygons(traced)))
    assert shape.is_valid
    quads = contour_generator(z=field, fill_type=FillType.OuterCode).filled(0.5, 2.0)
    pieces = 0.0
    for points, codes in zip(*quads, strict=True):
        starts = [*np.flatnonzero(codes == 1), len(points)]
        pieces += sum(area(points[a:b]) for a, b in pairwise(starts))
    assert shape.area == pytest.approx(pieces)


@pytest.mark.parametrize("distance", [0.2, 0.02, 0.005])
def test_the_outline_of_a_neighbourhood_goes_around_every_point(distance: float) -> None:
    """Whatever the distance: the polygons agree with the distances themselves, up to a third of a step at the rim."""
    rng = np.random.default_rng(6)
    x, y = rng.uniform(0, 1, 200), rng.uniform(0, 1, 200)
    found = region(distance, x, y)
    drawn = polygon_region(found.polygons, "")
    assert drawn.contains(x, y).all()
    angle = rng.uniform(0, 2 * np.pi, 200)
    near, far = ((x + r * distance * np.cos(angle), y + r * distance * np.sin(angle)) for r in (0.9, 1.1))
    assert drawn.contains(*near).all()
    away = ~found.contains(*far)
    gaps = np.hypot(far[0][:, None] - x, far[1][:, None] - y).min(axis=1)
    assert not drawn.contains(*far)[away & (gaps > 1.05 * distance)].any()


def test_a_distance_too_small_to_draw_is_refused_with_the_smallest() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.uniform(0, 1, 50), rng.uniform(0, 1, 50)
    with pytest.raises(SettingsError, match=r"mask=1e-05: .* The smallest that can be drawn is 0\.0015") as refused:
        region(1e-5, x, y)
    smallest = float(str(refused.value).rstrip(".").rpartition(" ")[2])
    assert polygon_region(region(smallest, x, y).polygons, "").contains(x, y).all()


@pytest.mark.parametrize(
    "malformed",
    [
        {"type": "FeatureCollection"},
        {"type": "FeatureCollection", "features": ["a"]},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": "round"}]},
        {"type": "GeometryCollection", "geometries": 3},
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": None},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[0, 0], [1, 0], [1, 1]]},
        {"type": "Polygon", "coordinates": [[[0], [1], [2]]]},
        {"type": "Polygon", "coordinates": [[["a", "b"], ["c", "d"], ["e", "f"]]]},
        {"type": "MultiPolygon", "coordinates": [3]},
        {"type": "MultiPolygon", "coordinates": [[[[0, 0], [1, 0, 2], [1]]]]},
    ],
    ids=str,
)
def test_malformed_geojson_is_refused_in_words(malformed: Any) -> None:
    with pytest.raises(SettingsError, match=r"mask: (this is not valid GeoJSON|a ring of the polygon)"):
        polygons_of(malformed)

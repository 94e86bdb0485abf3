"""Maps for other programs: GeoJSON and geopandas."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.draws import check_choice
from bayesglmm.results.region import bands_to_polygons, polygons_of, to_geometry

KINDS = ("cells", "contours")
NUMBERS = ("mean", "lower", "upper", "probability", "exceedance")
# Bounds of the bands between which ratios are drawn; differences get even steps.
RATIOS = (0.1, 0.2, 0.25, 1 / 3, 0.5, 2 / 3, 0.8, 0.9, 1.0, 1 / 0.9, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0)
DIGITS = 6  # of a coordinate in degrees: a tenth of a metre


def axes_of(chart: xr.Dataset) -> tuple[str, str]:
    """Return the names of the horizontal and the vertical coordinate."""
    vertical, horizontal = (str(name) for name in chart["mean"].dims)
    return horizontal, vertical


def geojson(chart: xr.Dataset, path: str | os.PathLike[str] | None, kind: str, crs: str | None) -> dict[str, Any]:
    """Return a FeatureCollection; see `EffectMap.to_geojson`."""
    check_choice("kind", kind, KINDS)
    features = _cells(chart) if kind == "cells" else _contours(chart)
    about = {key: value for key, value in chart.attrs.items() if key != "outline"}
    found: dict[str, Any] = {"type": "FeatureCollection", "about": about, "features": features}
    if crs is not None:
        found["crs"] = {"type": "name", "properties": {"name": crs}}
    if path is not None:
        Path(path).write_text(json.dumps(found, allow_nan=False), encoding="utf-8")
    return found


def geodataframe(chart: xr.Dataset, kind: str, crs: str | None) -> Any:
    """Return a GeoDataFrame; see `EffectMap.to_geodataframe`."""
    try:
        import geopandas
    except ImportError as error:
        raise missing("geopandas") from error
    system = crs or ("EPSG:4326" if chart.attrs["units"] == "degrees" else None)
    return geopandas.GeoDataFrame.from_features(geojson(chart, None, kind, None)["features"], crs=system)


def missing(package: str) -> BayesglmmError:
    """Return the error that names the extra which brings a package."""
    return BayesglmmError(f'This needs the package {package}: pip install "bayesglmm[maps]".')


def edges(centres: Floats) -> Floats:
    """Return the bounds of the cells around evenly spaced centres, shape (n + 1,)."""
    half = (centres[1] - centres[0]) / 2
    return np.append(centres - half, centres[-1] + half)


def _cells(chart: xr.Dataset) -> list[dict[str, Any]]:
    horizontal, vertical = axes_of(chart)
    xs, ys = (np.round(edges(chart[name].values), DIGITS + 3).tolist() for name in (horizontal, vertical))
    columns = {name: chart[name].values for name in NUMBERS if name in chart}
    found = []
    for i, j in np.argwhere(chart["mask"].values).tolist():
        west, east, south, north = xs[j], xs[j + 1], ys[i], ys[i + 1]
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        values = {name: float(f"{column[i, j]:.6g}") for name, column in columns.items()}
        found.append(_feature({"type": "Polygon", "coordinates": [ring]}, values))
    return found


def _feature(geometry: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _contours(chart: xr.Dataset) -> list[dict[str, Any]]:
    from contourpy import FillType, contour_generator

    horizontal, vertical = axes_of(chart)
    x, y = chart[horizontal].values, chart[vertical].values

    def bands(name: str, low: float, high: float) -> Any:
        field = np.ma.masked_invalid(chart[name].values)
        traced = contour_generator(x, y, field, fill_type=FillType.OuterOffset).filled(low, high)
        return bands_to_polygons(traced)

    levels = band_levels(chart["mean"].values, float(chart.attrs["null"]))
    found = []
    for low, high in pairwise(levels):
        polygons = bands("mean", low, high)
        if polygons:
            bounds = {"what": "mean", "from": round(low, 6), "to": round(high, 6)}
            found.append(_feature(to_geometry(polygons), bounds))
    null, far = float(chart.attrs["null"]), 1e300
    for name, low, high, word in (("lower", null, far, "above"), ("upper", -far, null, "below")):
        polygons = bands(name, low, high)
        if polygons:
            what = f"{100 * chart.attrs['prob']:g}% interval {word} {null:g}"
            found.append(_feature(to_geometry(polygons), {"what": what}))
    return found


def band_levels(values: Floats, null: float) -> list[float]:
    """Return increasing round values that enclose all finite ones, `null` among the inner ones or at an end."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if null == 1.0:
        inside = [level for level in RATIOS if low < level < high]
        return [low, *inside, high * (1 + 1e-12)]
    reach = max(abs(low), abs(high)) or 1.0
    step = float(10.0 ** np.floor(np.log10(reach / 3)))
    step *= next(factor for factor in (1, 2, 5, 10) if reach / (step * factor) <= 6)
    inside = [step * k for k in range(-8, 9) if low < step * k < high]
    return [low, *inside, high + 1e-12 * reach]


def outline_of(chart: xr.Dataset) -> tuple[tuple[Floats, ...], ...]:
    """Return the polygons of the outline."""
    return polygons_of(chart.attrs["outline"])

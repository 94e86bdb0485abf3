"""Ways out of a map: figure, GeoJSON, GeoDataFrame and web page hold its numbers, and nobody's address."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from bayesglmm.errors import BayesglmmError, DataError, SettingsError
from bayesglmm.maps.export import band_levels
from bayesglmm.plots.maps import symmetric_ticks


def test_the_figure_is_centred_at_one_and_says_what_it_shows(chart: Any, drawn: Any) -> None:
    figure = drawn(chart.plot())
    ax, bar = figure.axes
    (mesh,) = [own for own in ax.collections if own.get_array() is not None and own.get_array().size > 100]
    assert mesh.norm.vmin * mesh.norm.vmax == pytest.approx(1.0)
    assert mesh.norm.vmax >= np.nanmax(chart["mean"].values)
    assert bar.get_ylabel() == "odds ratio, posterior mean"
    assert ax.get_title(loc="left") == "Odds ratio of case"
    assert "km" in " ".join(text.get_text() for text in ax.texts)
    notes = " ".join(text.get_text() for text in reversed(ax.texts))
    assert "everything else in the model is held fixed" in notes
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "95% interval above 1" in entries


def test_contours_enclose_what_the_interval_excludes(chart: Any, drawn: Any) -> None:
    """Heavy lines are where the ends of the interval are 1: bilinear interpolation of `lower` on them gives 1."""
    from scipy.interpolate import RegularGridInterpolator

    (ax, _) = drawn(chart.plot()).axes
    heavy = [own for own in ax.collections if np.isclose(own.get_linewidth(), 1.6).all()]
    points = np.concatenate([path.vertices for own in heavy[:1] for path in own.get_paths()])
    lon, lat = chart["lon"].values, chart["lat"].values
    lower = RegularGridInterpolator((lat, lon), chart["lower"].values, bounds_error=False)(points[:, ::-1])
    assert np.isfinite(lower).sum() > 5
    assert lower[np.isfinite(lower)] == pytest.approx(np.ones(np.isfinite(lower).sum()), abs=0.02)


def test_points_are_drawn_only_when_given(study: Any, chart: Any, drawn: Any) -> None:
    data = study.design.data.assign(case=study.problem.response.y)
    before = len(drawn(chart.plot("probability")).axes[0].collections)
    ax = drawn(chart.plot("exceedance", points=data, cases="case")).axes[0]
    assert len(ax.collections) >= before + 1
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == [f"case = 0 ({(data['case'] == 0).sum()})", f"case = 1 ({(data['case'] == 1).sum()})"]
    own = Figure().subplots()
    assert chart.plot(ax=own, points=data, title="Here") is own.figure
    assert own.get_title(loc="left") == "Here"


def test_refusals_of_the_figure(chart: Any) -> None:
    with pytest.raises(SettingsError, match="which='median' is not known"):
        chart.plot("median")
    with pytest.raises(SettingsError, match="give odds_ratio_map a threshold"):
        chart.drop_vars("exceedance").plot("exceedance")
    with pytest.raises(DataError, match="no column 'lon'"):
        chart.plot(points={"x": [1.0]})
    with pytest.raises(SettingsError, match="names a column of points"):
        chart.plot(cases="case")
    with pytest.raises(SettingsError, match=r"limit=0\.5 must be greater than 1"):
        chart.plot(limit=0.5)
    with pytest.raises(SettingsError, match="leaves no room"):
        chart.plot(figsize=(2, 2))


def test_cells_in_geojson(chart: Any, tmp_path: Any) -> None:
    path = tmp_path / "map.geojson"
    found = chart.to_geojson(path, crs="EPSG:4326")
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(found))
    assert found["crs"]["properties"]["name"] == "EPSG:4326"
    cells = found["features"]
    assert len(cells) == int(chart["mask"].sum())
    i, j = np.argwhere(chart["mask"].values)[7]
    ring = np.array(cells[7]["geometry"]["coordinates"][0])
    assert ring[:-1].mean(axis=0) == pytest.approx([chart["lon"].values[j], chart["lat"].values[i]])
    assert cells[7]["properties"]["mean"] == pytest.approx(float(chart["mean"][i, j]), rel=1e-5)
    assert set(cells[7]["properties"]) == {"mean", "lower", "upper", "probability", "exceedance"}


def test_bands_in_geojson_cover_the_cells(chart: Any) -> None:
    shapely = pytest.importorskip("shapely")
    bands = chart.to_geojson(kind="contours")["features"]
    means = [own for own in bands if own["properties"]["what"] == "mean"]
    shapes = [shapely.geometry.shape(own["geometry"]) for own in means]
    assert all(shape.is_valid for shape in shapes)
    limits = [own["properties"] for own in means]
    assert all(a["to"] == b["from"] for a, b in pairwise(limits))
    place = shapely.geometry.Point(-70.55, 41.65)
    value = float(chart["mean"].interp(lon=-70.55, lat=41.65))
    (here,) = [own["properties"] for own, shape in zip(means, shapes, strict=True) if shape.contains(place)]
    assert here["from"] <= value <= here["to"]
    assert "95% interval above 1" in {own["properties"]["what"] for own in bands}


def test_a_geodataframe(chart: Any) -> None:
    pytest.importorskip("geopandas")
    frame = chart.to_geodataframe()
    assert frame.crs.to_epsg() == 4326
    assert frame.geometry.is_valid.all()
    assert frame["lower"].to_numpy() == pytest.approx(chart["lower"].values[chart["mask"].values], rel=1e-5)


@pytest.mark.parametrize("offline", [True, False])
def test_a_web_page(chart: Any, tmp_path: Any, offline: bool) -> None:
    pytest.importorskip("plotly")
    text = chart.to_html(tmp_path / "map.html", offline=offline)
    assert (tmp_path / "map.html").read_text(encoding="utf-8") == text
    assert "Odds ratio of case: s(lon, lat)" in text
    assert str(chart.attrs["note"])[:60] in text
    assert '"legend":{"orientation":"h"' in text  # beside the bar it covers its title
    assert ("choroplethmap" in text.split("Plotly.newPlot")[-1]) == (not offline)
    assert ('<script charset="utf-8" src="https://' in text) == (not offline)


@pytest.mark.parametrize(("package", "way"), [("geopandas", "to_geodataframe"), ("plotly", "to_html")])
def test_what_is_not_installed_is_named_with_its_extra(
    chart: Any, package: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (package, "plotly.graph_objects"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BayesglmmError, match=rf'package {package}: pip install "bayesglmm\[maps\]"'):
        getattr(chart, way)()


def test_round_levels() -> None:
    assert symmetric_ticks(1.25).tolist() == [1 / 1.2, 1 / 1.1, 1.0, 1.1, 1.2]
    assert symmetric_ticks(40.0)[[0, -1]] == pytest.approx([0.05, 20.0], rel=0.7)
    assert band_levels(np.array([0.6, 1.3]), 1.0)[1:-1] == pytest.approx([2 / 3, 0.8, 0.9, 1.0, 1 / 0.9, 1.25])
    levels = band_levels(np.array([-0.9, 2.1]), 0.0)
    assert levels[0] == -0.9
    assert np.diff(levels[1:-1]) == pytest.approx(0.5)
    assert 0.0 in levels

"""The map: what its numbers are, what it is called, where it is shown, and what is refused."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesglmm as bg
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.results.covariates import row_weights
from bayesglmm.results.geography import middle, stretch
from bayesglmm.results.smooths import smooth_values


def test_the_numbers_are_those_of_the_draws(study: Any, chart: Any) -> None:
    """Every statistic of three cells, computed from the smooth itself; the reference is the mean over the rows."""
    data = study.design.data
    centre = smooth_values(study, "s(lon, lat)", data).mean(axis=1)
    inside = np.argwhere(chart["mask"].values)
    for i, j in inside[[0, len(inside) // 2, -1]]:
        place = {"lon": chart["lon"].values[[j]], "lat": chart["lat"].values[[i]]}
        log_ratio = smooth_values(study, "s(lon, lat)", place)[:, 0] - centre
        cell = chart.isel(lat=i, lon=j)
        lower, upper = np.quantile(np.exp(log_ratio), [0.025, 0.975])
        assert float(cell["mean"]) == pytest.approx(np.exp(log_ratio).mean())
        assert [float(cell["lower"]), float(cell["upper"])] == pytest.approx([lower, upper], rel=1e-2)
        assert float(cell["log_sd"]) == pytest.approx(log_ratio.std(ddof=1))
        assert float(cell["probability"]) == (log_ratio > 0).mean()
        assert float(cell["exceedance"]) == (log_ratio > np.log(1.2)).mean()


def test_it_is_a_dataset_that_a_file_can_hold(chart: Any, tmp_path: Any) -> None:
    assert isinstance(chart, xr.Dataset)
    assert chart["mean"].dims == ("lat", "lon")
    assert chart.attrs["effect"] == "odds ratio"
    assert chart.attrs["units"] == "degrees"
    assert chart.attrs["reference"] == "the geometric mean over the 300 rows of the data"
    assert np.isnan(chart["mean"].values[~chart["mask"].values]).all()
    assert np.isfinite(chart["upper"].values[chart["mask"].values]).all()
    chart.to_netcdf(tmp_path / "map.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "map.nc", engine="scipy") as stored:
        again = bg.maps.EffectMap(stored.load())
    xr.testing.assert_identical(chart, again)
    assert again.to_geojson()["features"] == chart.to_geojson()["features"]


def test_against_a_place_the_ratio_is_one_there(study: Any) -> None:
    place = {"lat": 41.65, "lon": -70.5}
    chart = bg.odds_ratio_map(study, "lon, lat", grid=(41, 31), reference=place, mask=None)
    nearest = chart.sel(lon=-70.5, lat=41.65, method="nearest")
    assert float(nearest["mean"]) == pytest.approx(1.0, abs=0.06)
    assert float(nearest["log_sd"]) < 0.1 * float(chart["log_sd"].max())
    assert "lon = -70.5, lat = 41.65" in chart.attrs["note"]
    pair = bg.odds_ratio_map(study, "lon, lat", grid=(41, 31), reference=(-70.5, 41.65), mask=None)
    xr.testing.assert_equal(chart, pair)
    beyond = bg.odds_ratio_map(study, "lon, lat", grid=5, reference=(-75.0, 41.65))
    assert "outside the convex hull of the data: extrapolated" in beyond.attrs["note"]


@pytest.mark.parametrize(
    ("formula", "family", "effect", "null", "units"),
    [
        ("count ~ s(x_km, y_km, k=8)", "poisson", "rate ratio", 1.0, "km"),
        ("y ~ te(lon, lat, k=4)", "gaussian", "difference (units of y)", 0.0, "degrees"),
        ("case ~ s(lon, lat, k=8, bs='gp')", "bernoulli", "odds ratio", 1.0, "degrees"),
    ],
)
def test_the_link_names_the_effect(
    make: Any, drawn: Any, formula: str, family: str, effect: str, null: float, units: str
) -> None:
    fit = make(formula, family)
    chart = bg.odds_ratio_map(fit, formula.partition("~")[2].split(", k=")[0] + ")", grid=12)
    assert (chart.attrs["effect"], chart.attrs["null"], chart.attrs["units"]) == (effect, null, units)
    inside = chart["mask"].values
    assert (chart["mean"].values[inside] > 0).all() == (null == 1.0)
    title = drawn(chart.plot()).axes[0].get_title(loc="left")
    assert title == f"{effect.partition(' (')[0].capitalize()} of {fit.problem.response.name}"
    mean = "the mean" if null == 0.0 else "the geometric mean"
    assert chart.attrs["reference"] == f"{mean} over the 300 rows of the data"


def test_masks(study: Any) -> None:
    every = bg.odds_ratio_map(study, "s(lon, lat)", grid=20, mask=None)
    assert bool(every["mask"].all())
    near = bg.odds_ratio_map(study, "s(lon, lat)", grid=20, mask=0.8)
    assert "places within 0.8 of the data" in near.attrs["note"]
    square = {"type": "Polygon", "coordinates": [[[-70.6, 41.6], [-70.4, 41.6], [-70.4, 41.7], [-70.6, 41.7]]]}
    town = bg.odds_ratio_map(study, "s(lon, lat)", grid=20, mask=json.dumps(square))
    assert bool(town["mask"].all()), "the grid covers the polygon, which here is a rectangle"
    assert [float(town["lon"].min()), float(town["lon"].max())] == pytest.approx([-70.595, -70.405])
    large = {"type": "Polygon", "coordinates": [[[-71, 41], [-70, 41], [-70, 42], [-71, 42]]]}
    note = bg.odds_ratio_map(study, "s(lon, lat)", grid=20, mask=large).attrs["note"]
    assert "of it lies outside the convex hull of the data: extrapolated" in note


def test_refusals(study: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"no smooth 's\(lon, lot\)'.*Did you mean 's\(lon, lat\)'"):
        bg.odds_ratio_map(study, "s(lon, lot)")
    with pytest.raises(SettingsError, match="grid=1"):
        bg.odds_ratio_map(study, "s(lon, lat)", grid=1)
    with pytest.raises(SettingsError, match='"geometric mean" or a place'):
        bg.odds_ratio_map(study, "s(lon, lat)", reference="mean")
    with pytest.raises(SettingsError, match="must give 'lon' and 'lat' only"):
        bg.odds_ratio_map(study, "s(lon, lat)", reference={"lon": 1.0})
    with pytest.raises(SettingsError, match="no place"):
        bg.odds_ratio_map(study, "s(lon, lat)", reference=(1.0, 2.0, 3.0))
    with pytest.raises(SettingsError, match="a positive number"):
        bg.odds_ratio_map(study, "s(lon, lat)", threshold=-1)
    with pytest.raises(SettingsError, match="prob must be"):
        bg.odds_ratio_map(study, "s(lon, lat)", prob=95)


def test_weights_of_trials() -> None:
    """Rows of trials and the same data row by row have the same reference: binomial rows count once per trial."""
    from bayesglmm.maps.odds_ratio import Places, _mean

    x, y = np.array([0.0, 1.0, 2.0]), np.zeros(3)

    def evaluate(a: Any, b: Any) -> Any:
        return np.array([[1.0], [2.0]]) * (a + b)

    found = _mean(Places("s(x, y)", ("x", "y"), x, y, np.array([1.0, 3.0, 0.0]), evaluate, "odds ratio", True))
    assert found.tolist() == [0.75, 1.5]
    again = np.array([0.0, 1.0, 1.0, 1.0])
    same = _mean(Places("s(x, y)", ("x", "y"), again, 0 * again, np.ones(4), evaluate, "odds ratio", True))
    assert same.tolist() == found.tolist()


def test_rows_count_by_their_trials_and_their_weights_in_the_likelihood() -> None:
    """The reference of a weighted fit is that of the data with each row as often as its weight says."""
    case, trials, often = [1, 0, 1, 1, 0, 1], [2, 1, 4, 3, 1, 5], [1.0, 2.0, 0.5, 1.0, 3.0, 1.0]
    frame = pd.DataFrame({"case": case, "trials": trials, "often": often})
    model = bg.Model("cbind(case, trials - case) ~ 1", frame, family="binomial", likelihood_weights="often")
    fit: Any = SimpleNamespace(problem=model.problem)
    assert row_weights(fit).tolist() == (frame["trials"] * frame["often"]).tolist()
    plain: Any = SimpleNamespace(problem=bg.Model("case ~ 1", frame, family="bernoulli").problem)
    assert row_weights(plain).tolist() == [1.0] * 6


@pytest.mark.parametrize("threshold", ["a", True, [1.5], float("nan")])
def test_a_threshold_is_a_number(study: Any, threshold: Any) -> None:
    with pytest.raises(SettingsError, match=r"threshold=.* must be a positive number"):
        bg.odds_ratio_map(study, "s(lon, lat)", grid=4, threshold=threshold)


def test_the_verdict_is_a_word(study: Any, chart: Any) -> None:
    assert chart.attrs["verdict"] == study.verdict.word


def test_one_latitude_gives_every_length_of_a_map(make: Any, drawn: Any) -> None:
    """Most rows in the south: the mask, the proportions of both figures and the scale bar agree all the same."""
    rng = np.random.default_rng(9)
    lat = np.concatenate([rng.uniform(50, 51, 90), rng.uniform(60, 64, 10)])
    frame = pd.DataFrame({"lon": rng.uniform(0, 4, 100), "lat": lat, "y": rng.normal(size=100)})
    chart = bg.odds_ratio_map(make("y ~ s(lon, lat, k=6)", "gaussian", frame), "s(lon, lat)", grid=8, mask=80.0)
    across, up = stretch("degrees", middle(frame["lat"].to_numpy()))
    assert across == pytest.approx(111.2 * np.cos(np.deg2rad((lat.min() + lat.max()) / 2)))
    figure = drawn(chart.plot())
    assert figure.axes[0].get_aspect() == pytest.approx(up / across, rel=2e-3)
    page = chart.to_html()
    ratio = float(re.findall(r'"scaleratio":\s*([0-9.]+)', page)[-1])
    assert ratio == pytest.approx(up / across, rel=2e-3)
    outline = json.loads(chart.attrs["outline"])["coordinates"]
    xs = np.concatenate([np.asarray(polygon[0])[:, 0] for polygon in outline])
    assert xs.max() - frame["lon"].max() == pytest.approx(80.0 / across, rel=0.02)

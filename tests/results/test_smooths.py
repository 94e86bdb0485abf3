"""Smooths of a fit: found by any spelling, evaluated alone, and summed up in a table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.blocks import RandomBlock
from bayesglmm.errors import DataError, UnknownNameError
from bayesglmm.results.curves import level_curves, partial_residuals
from bayesglmm.results.printed import SmoothTable
from bayesglmm.results.smooths import _random, find_smooth, find_smooths, smooth_values


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 250
    frame = pd.DataFrame({"age": rng.uniform(20, 60, n), "lon": rng.uniform(size=n), "lat": rng.uniform(size=n)})
    frame["sex"] = rng.choice(["female", "male"], n)
    frame["dose"] = rng.uniform(1.0, 2.0, n)
    frame["site"] = rng.choice(list("abcd"), n)
    frame["y"] = np.sin(frame["age"] / 6.0) + 2.0 * frame["lon"] + rng.normal(0.0, 0.3, n)
    return frame


FORMULA = "y ~ sex + s(age, by=sex) + s(lon, lat, k=12) + s(lat, by=dose, k=5) + s(age, site, bs='fs', k=5)"


@pytest.fixture(scope="module")
def fit(data):
    return bg.Model(FORMULA, data).fit("laplace", objective="reml", seed=2)


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        ("s(age):sex[male]", "s(age):sex[male]"),
        (" s( age ) : sex[male]", "s(age):sex[male]"),
        ("s(lon,lat)", "s(lon, lat)"),
        ("lon,lat", "s(lon, lat)"),
        ("s(lat):dose", "s(lat):dose"),
        ("lat", "s(lat):dose"),
        ("s(age,site)", "s(age, site)"),
    ],
)
def test_smooths_are_found_by_what_users_type(asked, label, fit):
    assert find_smooth(fit, asked).label == label


def test_a_term_with_a_factor_means_all_its_curves(fit):
    assert [found.smooth.level for found in find_smooths(fit, "s(age)")] == ["female", "male"]
    with pytest.raises(UnknownNameError, match=r"say which of s\(age\):sex\[female\]"):
        find_smooth(fit, "s(age)")


def test_unknown_and_ambiguous_names_are_errors(fit):
    with pytest.raises(UnknownNameError, match=r"no smooth 's\(agee\)'.*s\(age\)"):
        find_smooth(fit, "s(agee)")
    with pytest.raises(UnknownNameError, match="could be any of"):
        find_smooth(fit, "age")


def test_the_curves_and_the_rest_add_up_to_the_predictor(fit, data):
    beta = fit.fixed()["estimate"]
    total = np.full(len(data), beta["Intercept"]) + beta["sex[male]"] * (data["sex"] == "male").to_numpy()
    for label in ("s(age):sex[female]", "s(age):sex[male]", "s(lon, lat)", "s(lat):dose", "s(age, site)"):
        values = smooth_values(fit, label, data, at_estimates=True)[0]
        level = find_smooth(fit, label).smooth.level
        total = total + values * (1.0 if level is None else (data["sex"] == level).to_numpy())
    np.testing.assert_allclose(total, fit.predict(scale="link")["estimate"], atol=1e-9)


def test_only_the_covariates_are_needed(fit, data):
    alone = smooth_values(fit, "s(age):sex[male]", {"age": [30.0, 40.0]}, draws=50)
    assert alone.shape == (50, 2)
    per_unit = smooth_values(fit, "lat", data[["lat"]], draws=50)
    scaled = smooth_values(fit, "lat", data[["lat", "dose"]], draws=50)
    np.testing.assert_allclose(scaled, per_unit * data["dose"].to_numpy())
    with pytest.raises(DataError, match="function of 'lat', 'lon', but the data lack 'lat'"):
        smooth_values(fit, "lon, lat", data[["lon"]])


def test_plain_smooths_sum_to_zero(fit, data):
    np.testing.assert_allclose(smooth_values(fit, "lon, lat", data, draws=20).mean(axis=1), 0.0, atol=1e-9)


def test_covariates_points_and_levels_are_told(fit, data):
    found = find_smooth(fit, "s(lon, lat)").smooth
    assert found.covariates == found.names == ("lon", "lat")
    np.testing.assert_array_equal(found.points, data[["lon", "lat"]])
    male = find_smooth(fit, "s(age):sex[male]").smooth
    assert (male.by, male.level, male.term) == ("sex", "male", "s(age)")
    assert len(male.points) == (data["sex"] == "male").sum()
    assert find_smooth(fit, "s(age, site)").smooth.levels == ("a", "b", "c", "d")


def test_the_table_has_a_row_per_sd(fit):
    table = fit.smooths()
    assert list(table["smooth"]) == [
        "s(age):sex[female]",
        "s(age):sex[male]",
        "s(lon, lat)",
        "s(lat):dose",
        *["s(age, site)"] * 3,
    ]
    assert list(table["part"])[-3:] == ["curve", "1", "age"]
    assert list(table.columns[4:8]) == ["estimate", "se", "lower", "upper"]
    assert (table["edf"] <= table["columns"] + 1e-9).all()
    assert (table["edf"].iloc[:4] >= 1.0 - 1e-9).all()  # a trend at least
    assert table["reading"].iloc[0] == "curved"
    assert table["reading"].iloc[2].startswith("linear")  # the truth is 2 lon


def test_what_is_not_there_is_called_flat():
    rng = np.random.default_rng(1)
    noise = pd.DataFrame({"x": rng.uniform(size=150), "y": rng.normal(size=150)})
    (reading,) = bg.Model("y ~ s(x)", noise).fit("laplace", seed=1).smooths()["reading"]
    assert reading.startswith("flat")


def test_degrees_of_freedom_are_the_trace_of_the_smoother(data):
    """Independent: numerically, how the fitted curve follows each observation."""
    priors = {"sigma": bg.Prior("Fixed", value=0.3), "sd[s(age)]": bg.Prior("Fixed", value=0.7)}
    few = data.iloc[:60].reset_index(drop=True)
    fit = bg.Model("y ~ s(age, bs='cr', k=8)", few, priors=priors).fit("laplace", objective="reml")

    def fitted(y):
        return bg.Model("y ~ s(age, bs='cr', k=8)", few.assign(y=y), priors=priors).fit("laplace", objective="reml")

    trace = 0.0
    for i in range(0, 60, 10):
        moved = few["y"].copy()
        moved[i] += 1.0
        trace += fitted(moved).predict()["estimate"].iloc[i] - fit.predict()["estimate"].iloc[i]
    leverage = np.diag(_hat(fit))
    np.testing.assert_allclose(trace, leverage[::10].sum(), rtol=1e-6)
    np.testing.assert_allclose(fit.smooths()["edf"], leverage.sum() - 1.0, rtol=1e-8)


def _hat(fit):
    part = fit.problem.predictors[0]
    A = np.hstack([part.predictor.X, 0.7 * part.predictor.random[0].X])
    Q = np.diag([0.0, 0.0] + [1.0] * (A.shape[1] - 2))
    return A @ np.linalg.solve(A.T @ A / 0.09 + Q, A.T) / 0.09


def test_smooths_of_other_parameters_are_prefixed(data):
    fit = bg.Model(["y ~ s(lon)", "sigma ~ s(age, k=5)"], data).fit("laplace", seed=1)
    assert list(fit.smooths()["smooth"]) == ["s(lon)", "sigma.s(age)"]
    assert smooth_values(fit, "sigma.s(age)", data, draws=10).shape == (10, len(data))


def test_a_model_without_smooths_has_an_empty_table(data):
    fit = bg.Model("y ~ age", data).fit("laplace", seed=1)
    assert fit.smooths().empty
    with pytest.raises(UnknownNameError, match="has none"):
        find_smooth(fit, "s(age)")


def test_partial_residuals_of_a_multiplied_curve_are_per_unit_of_its_multiplier():
    """y = (2 + x) z with little noise: around every curve per unit of z lie residuals of size noise / z."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.uniform(0.0, 1.0, 150), "z": rng.choice([0.0, 1.0, 10.0], 150)})
    frame["y"] = (2.0 + np.sin(6.0 * frame["x"])) * frame["z"] + rng.normal(0.0, 0.1, 150)
    fit = bg.Model("y ~ s(x, by=z, k=8)", frame).fit("laplace", objective="reml")
    (found,) = find_smooths(fit, "x")
    x, residuals = partial_residuals(fit, found)
    used = frame[frame["z"] != 0.0]
    np.testing.assert_array_equal(x, used["x"])
    curve = smooth_values(fit, found, used[["x"]], at_estimates=True)[0]
    expected = curve + (used["y"] - fit.predict().iloc[:, 0].to_numpy()[used.index]) / used["z"]
    np.testing.assert_allclose(residuals, expected, rtol=1e-6, atol=1e-8)  # the slope of the mean is a difference
    assert np.std(residuals - curve) < 0.15  # undivided they spread over the size of y


def test_partial_residuals_of_curves_by_level(fit, data):
    x, residuals = partial_residuals(fit, find_smooth(fit, "s(age, site)"))
    curve = smooth_values(fit, "s(age, site)", data, at_estimates=True)[0]
    np.testing.assert_array_equal(x, data["age"])
    np.testing.assert_allclose(
        residuals - curve, data["y"] - fit.predict().iloc[:, 0].to_numpy(), rtol=1e-6, atol=1e-8
    )
    male = (data["sex"] == "male").to_numpy()
    x, residuals = partial_residuals(fit, find_smooth(fit, "s(age):sex[male]"))
    assert x == pytest.approx(data["age"].to_numpy()[male])


def test_the_table_prints_whole_and_rounded(fit):
    """In the narrow display that pandas assumes: every column, every row, and no more than 88 characters."""
    with pd.option_context("display.max_columns", 10, "display.width", 80):
        lines = repr(fit.smooths()).splitlines()
    assert lines[0].split() == ["part", "edf", "columns", "estimate", "se", "lower", "upper", "unit"]
    assert max(map(len, lines)) <= 88
    assert "..." not in "".join(lines)
    assert [line.split()[0] for line in lines[1:8:6]] == ["s(age):sex[female]", "s(age,"]
    assert sum(line.startswith("s(age):sex[male]: ") for line in lines) == 1
    edf = fit.smooths()["edf"].iloc[0]
    assert lines[1].split()[1] == f"{edf:.2f}"
    assert type(fit.smooths()[["smooth", "edf"]]) is pd.DataFrame


def test_small_numbers_keep_their_digits():
    table = SmoothTable({"smooth": ["s(x)"], "part": [""], "edf": [2.0], "sd": [0.00123], "reading": ["curved"]})
    assert repr(table).splitlines()[1].split() == ["s(x)", "2.00", "0.00123"]
    assert repr(table.iloc[:0]).startswith("Empty")


def test_curves_of_all_levels_at_once_are_those_of_each(fit, data):
    found, grid = find_smooth(fit, "s(age, site)"), np.linspace(20.0, 60.0, 7)
    for j, level in enumerate(found.smooth.levels):
        one = smooth_values(fit, found, {"age": grid, "site": [level] * 7}, at_estimates=True)[0]
        np.testing.assert_allclose(level_curves(fit, found, grid)[:, j], one, rtol=1e-12, atol=1e-12)


def test_each_level_looks_at_its_own_rows_only(fit, data):
    """Against the sum written out row by row, with a level that the model has not seen."""
    rng = np.random.default_rng(3)
    index, X, b = rng.integers(-1, 4, 50), rng.normal(size=(50, 2)), rng.normal(size=(6, 4, 2))
    block = RandomBlock("f", "f", ("1", "2"), tuple("abcd"), index, X, "iid")
    expected = np.einsum("snk,nk->sn", b[:, index], X) * (index >= 0)
    np.testing.assert_allclose(_random(b, block), expected, rtol=1e-12, atol=1e-12)
    compared = []

    class Counted(np.ndarray):
        def __eq__(self, other):
            compared.append(other)
            return np.asarray(self) == other

    _random(b, replace(block, index=index.view(Counted)))
    assert not compared  # no comparison of all rows for each level


def test_the_summary_is_computed_once_for_the_table(fit, monkeypatch):
    asked, plain = [], type(fit).summary
    monkeypatch.setattr(type(fit), "summary", lambda own, *given: (asked.append(given), plain(own, *given))[1])
    fit.smooths()
    assert len(asked) == 1

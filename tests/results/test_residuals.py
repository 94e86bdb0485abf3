"""Residuals: uniform where the model is right, not where it is wrong, and what their tests say in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.blocks import Response
from bayesglmm.errors import BayesglmmError, DataError, SettingsError, UnknownNameError
from bayesglmm.results.checking.residual_tests import combined


def counts(seed: int, size: float = np.inf, n: int = 300) -> pd.DataFrame:
    """Return counts with groups: Poisson, or overdispersed with variance mean + mean^2 / size."""
    rng = np.random.default_rng(seed)
    g, x = rng.integers(0, 20, n), rng.normal(size=n)
    mean = np.exp(0.7 + 0.4 * x + rng.normal(0, 0.5, 20)[g])
    y = rng.poisson(mean if np.isinf(size) else mean * rng.gamma(size, 1 / size, n))
    return pd.DataFrame({"y": y, "x": x, "z": rng.normal(size=n), "g": [f"g{i}" for i in g]}, index=np.arange(n) + 7)


@pytest.fixture(scope="module")
def right() -> Any:
    return bg.Model("y ~ x + (1 | g)", counts(1), family="poisson").fit("laplace", seed=1, draws=400)


@pytest.fixture(scope="module")
def wrong() -> Any:
    return bg.Model("y ~ x + (1 | g)", counts(2, size=1.5), family="poisson").fit("laplace", seed=1, draws=400)


def test_a_right_model_has_uniform_residuals(right: Any) -> None:
    frame = right.residuals(seed=3)
    assert frame.columns.tolist() == ["observed", "fitted", "residual"]
    assert frame.index.tolist() == list(range(7, 307))
    assert frame["residual"].between(0, 1, inclusive="neither").all()
    assert stats.kstest(frame["residual"], "uniform").pvalue > 0.01
    assert "one posterior draw" in frame.attrs["note"]
    pd.testing.assert_frame_equal(frame, right.residuals(seed=3))
    assert not frame.equals(right.residuals(seed=4))
    normal = right.residuals("normal", seed=3)["residual"]
    assert normal.to_numpy() == pytest.approx(special.ndtri(frame["residual"]))
    table = right.check_residuals(seed=1)
    assert set(table["verdict"]) == {"good"}
    assert table["advice"].eq("").all()
    names = ["uniformity", "dispersion", "zeros", "outliers", "trend over predictions", "spread over predictions"]
    assert table["check"].tolist() == names


def test_overdispersion_and_zeros_are_found_and_said(wrong: Any) -> None:
    table = wrong.check_residuals(seed=1).set_index("check")
    assert table.loc[["uniformity", "dispersion", "zeros"], "verdict"].eq("bad").all()
    assert table.loc["dispersion", "value"] > 1.3
    assert "times as much as the model says (overdispersion)" in table.loc["dispersion", "meaning"]
    assert "negative_binomial" in table.loc["dispersion", "advice"]
    assert table.loc["zeros", "value"] > 1.2
    assert "zero-inflated" in table.loc["zeros", "advice"]
    assert stats.kstest(wrong.residuals(seed=1)["residual"], "uniform").pvalue < 1e-4


def test_a_missing_bend_shows_as_a_trend() -> None:
    data = counts(3)
    data["y"] = np.random.default_rng(0).poisson(np.exp(0.5 + 0.6 * data["x"] ** 2))
    fit = bg.Model("y ~ x", data, family="negative_binomial").fit("laplace", seed=1, draws=200)
    row = fit.check_residuals(by="x", seed=1).set_index("check").loc["trend over x"]
    assert row["verdict"] == "bad"
    assert "s(x)" in row["advice"]
    other = fit.check_residuals(by=data["z"], seed=1).set_index("check")
    assert other.loc["trend over z", "verdict"] == "good"
    groups = fit.check_residuals(by=data["g"], seed=1).set_index("check")
    assert groups.loc["trend over g", "expected"] == pytest.approx(19 / 299)
    with pytest.raises(UnknownNameError, match="uses no column 'w'"):
        fit.check_residuals(by="w")
    with pytest.raises(DataError, match="one value per row"):
        fit.check_residuals(by=np.ones(3))


@pytest.mark.slow
def test_tests_of_a_right_model_reject_as_often_as_they_say() -> None:
    """Probabilities over forty data sets are about uniform; combining draws may only make them larger."""
    model, found = bg.Model("y ~ x + (1 | g)", counts(0), family="poisson"), []
    for seed in range(1, 41):
        data = counts(0)
        rng = np.random.default_rng(seed)
        b = dict(zip(sorted(set(data["g"])), rng.normal(0, 0.5, 20), strict=True))
        data["y"] = rng.poisson(np.exp(0.7 + 0.4 * data["x"] + data["g"].map(b)))
        fit = model.with_response(data).fit("laplace", seed=seed, draws=200)
        found.append(fit.check_residuals(seed=seed, simulations=100).set_index("check")["p"])
    p = pd.DataFrame(found)
    # Of 40 at most 7 fall below 0.05 with probability 0.999, and at most 3 below 0.01.
    assert ((p < 0.05).sum() <= 7).all()
    assert ((p < 0.01).sum() <= 3).all()
    assert (p.mean() < 0.75).all()


def test_maximum_likelihood_has_residuals_too() -> None:
    fit = bg.Model("y ~ x + (1 | g)", counts(1), family="poisson").fit("laplace", objective="ml", seed=1)
    assert stats.kstest(fit.residuals(seed=1)["residual"], "uniform").pvalue > 0.01
    assert set(fit.check_residuals(seed=1)["verdict"]) == {"good"}


def test_response_and_pearson_residuals_against_closed_forms(binomial: Any, gaussian: Any) -> None:
    fit = binomial.fit()
    frame, response = fit.residuals("response"), binomial.problem.response
    assert frame["observed"].to_numpy() == pytest.approx(response.y / response.trials)
    assert frame["residual"].to_numpy() == pytest.approx(frame["observed"] - frame["fitted"])
    assert frame["fitted"].to_numpy() == pytest.approx(fit.fitted()["mean"].to_numpy(), abs=0.02)
    pearson = fit.residuals("pearson", seed=1)
    p = np.stack([fit._evaluator.mean(d, e) for d, e in [_at(fit)]])[0]
    variance = (p * (1 - p) / response.trials).mean(axis=0)
    # 2,000 simulations know a variance to 3 percent.
    assert (pearson["residual"] / frame["residual"]).to_numpy() == pytest.approx(1 / np.sqrt(variance), rel=0.08)
    fit = gaussian.fit()
    sigma = float(np.sqrt(np.mean(fit.draws["sigma"].values ** 2)))
    ratio = fit.residuals("response")["residual"] / fit.residuals("pearson", seed=1)["residual"]
    assert ratio.to_numpy() == pytest.approx(sigma, rel=0.08)


def _at(fit: Any) -> Any:
    from bayesglmm.results.draws import stacked

    draws = stacked(fit.draws)
    return draws, fit._evaluator.predictors(draws, fit._evaluator.arrays())


def test_censored_rows_lie_among_what_they_may_stand_for(problem: Any) -> None:
    n = 40
    y = np.where(np.arange(n) % 2, 60.0, -60.0)  # far beyond all that is simulated
    case = problem("gaussian", "identity", Response("y", y, censoring=np.where(np.arange(n) % 2, -1, 1)))
    fit = case.fit()
    u = np.concatenate([fit.residuals(seed=seed)["residual"].to_numpy() for seed in range(5)])
    assert stats.kstest(u, "uniform").pvalue > 0.01  # left-censored above everything, right-censored below: no news
    with pytest.raises(BayesglmmError, match="censored responses are not known as numbers"):
        fit.residuals("pearson")
    case = problem("gaussian", "identity", Response("y", y))
    assert set(case.fit().residuals(seed=1)["residual"] > 0.5) == {True, False}
    assert (np.abs(case.fit().residuals(seed=1)["residual"] - 0.5) > 0.49).all()


def test_categories_have_quantile_residuals_only() -> None:
    rng = np.random.default_rng(1)
    grade = pd.Categorical(np.array(["a", "b", "c"])[rng.integers(0, 3, 90)], ordered=True)
    data = pd.DataFrame({"grade": grade, "x": rng.normal(size=90)})
    fit = bg.Model("grade ~ x", data, family="cumulative").fit("laplace", seed=1, draws=100)
    assert stats.kstest(fit.residuals(seed=1)["residual"], "uniform").pvalue > 0.01
    assert "dispersion" not in fit.check_residuals(seed=1)["check"].tolist()
    with pytest.raises(BayesglmmError, match="categories have no differences"):
        fit.residuals("response")
    with pytest.raises(SettingsError, match="kind='deviance' is not known"):
        fit.residuals("deviance")


def test_combined_probabilities() -> None:
    assert combined([0.03] * 8) == pytest.approx(0.03)
    assert combined([1.0] * 7 + [1e-9]) < 1e-7
    rng = np.random.default_rng(0)
    ps = np.array([combined(row) for row in rng.random((4000, 8))])
    assert np.mean(ps < 0.05) == pytest.approx(0.05, abs=0.012)

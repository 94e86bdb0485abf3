"""Nonlinear predictors under every engine, against exact answers: integration on a grid, a truncated normal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines.kernels.newton import conditional_mode
from bayesglmm.graph.latent import LatentView

IDEAL = bg.nonlinear("follows ~ -theta0 * (theta1 - score)^2", theta0="~ 1", theta1="~ 1")
PRIORS = {
    "theta0": bg.Prior("TruncatedNormal", mu=0, sigma=10, lower=0),
    "theta1": bg.Prior("Normal", mu=0, sigma=10),
}


def follows(ideology: float) -> pd.DataFrame:
    """Return what a user of examples/ideal_point.py follows."""
    random = np.random.default_rng(7)
    score = 1.6 * np.sort(np.concatenate([random.normal(-1.0, 0.4, 50), random.normal(1.0, 0.4, 50)]))
    p = 1.0 / (1.0 + np.exp(0.2 * (ideology - score) ** 2))
    return pd.DataFrame({"score": score, "follows": np.random.default_rng(2).binomial(1, p)})


def ideal_point(ideology: float) -> bg.Model:
    return bg.Model(IDEAL, follows(ideology), family="bernoulli", priors=PRIORS)


def exact(data: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return posterior means and standard deviations, by summation over a grid (error below 1e-3 of an sd)."""
    theta0, theta1 = np.linspace(5e-4, 1.0, 800)[:, None], np.linspace(-20.0, 20.0, 1601)
    log = -(theta0**2 + theta1**2) / 200.0
    for score, y in zip(data["score"], data["follows"], strict=True):
        eta = -theta0 * (theta1 - score) ** 2
        log = log + y * eta - np.logaddexp(0.0, eta)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    found = {}
    for name, value in (("theta0.Intercept", theta0), ("theta1.Intercept", theta1)):
        mean = float((weight * value).sum())
        found[name] = mean, float(np.sqrt((weight * (value - mean) ** 2).sum()))
    return found


@pytest.mark.parametrize("ideology", [-1.2, pytest.param(1.2, marks=pytest.mark.slow)])
def test_laplace_on_the_ideal_point(ideology: float) -> None:
    """theta1 given theta0 is skewed, so means agree to 0.15 sd; the interval of theta1 has the right sign."""
    model = ideal_point(ideology)
    fit = model.fit("laplace", seed=1)
    table = fit.fixed(prob=0.9)
    for name, (mean, sd) in exact(follows(ideology)).items():
        assert abs(table.loc[name, "mean"] - mean) < 0.15 * sd, name
    assert table.loc["theta0.Intercept", "sd"] == pytest.approx(
        exact(follows(ideology))["theta0.Intercept"][1], rel=0.1
    )
    assert np.sign(table.loc["theta1.Intercept", "lower"]) == np.sign(ideology)
    assert np.sign(table.loc["theta1.Intercept", "upper"]) == np.sign(ideology)
    assert (fit.draws["theta0_beta"] > 0).all()


def within(fit: Any, truth: dict[str, tuple[float, float]], errors: float = 4.5) -> None:
    """Assert that means lie within Monte Carlo errors of the truth; one in 100,000 does not by chance."""
    table = fit.summary()
    for name, (mean, _) in truth.items():
        assert abs(table.loc[name, "mean"] - mean) < errors * table.loc[name, "mcse_mean"], name


@pytest.mark.parametrize("proposal", ["block", pytest.param("iwls", marks=pytest.mark.slow)])
def test_metropolis_on_the_ideal_point(proposal: str) -> None:
    fit = ideal_point(1.2).fit(
        "metropolis", proposal=proposal, seed=2, draws=400, tune=300, chains=2, progressbar=False
    )
    within(fit, exact(follows(1.2)))


@pytest.mark.slow
def test_nuts_on_the_ideal_point() -> None:
    fit = ideal_point(-1.2).fit("nuts", seed=1, draws=2000, progressbar=False)
    within(fit, exact(follows(-1.2)))


def test_the_random_walk_accepts_as_the_textbook_says() -> None:
    """At scale 0.5 the textbook has about 0.13 for theta0 and 0.56 for theta1, of its own users."""
    for ideology in (-1.2, 1.2):
        fit = ideal_point(ideology).fit(
            "metropolis", proposal="random-walk", scale=0.5, seed=1, draws=600, tune=200, chains=2, progressbar=False
        )
        accepted = fit.data["sample_stats"]
        first, second = (float(accepted[f"acceptance_theta{j}_beta"].mean()) for j in range(2))
        assert first == pytest.approx(0.13, abs=0.06)
        assert second == pytest.approx(0.56, abs=0.12)
        assert np.sign(fit.fixed().loc["theta1.Intercept", "mean"]) == np.sign(ideology)


@pytest.mark.slow
def test_the_random_walk_has_the_exact_posterior() -> None:
    fit = ideal_point(1.2).fit(
        "metropolis", proposal="random-walk", scale={"theta0.Intercept": 0.15, "theta1.Intercept": 0.6}, seed=3,
        draws=3000, tune=300, progressbar=False,
    )  # fmt: skip
    within(fit, exact(follows(1.2)))


@pytest.mark.parametrize("upper", [0.6, pytest.param(None, marks=pytest.mark.slow)])
def test_a_walk_against_a_bound_has_the_truncated_posterior(upper: float | None) -> None:
    """y ~ N(a, 1) with a prior cut off where the likelihood is high: the posterior is a truncated normal."""
    y = np.array([-0.4, 0.1, 0.9, -0.8, 0.3])
    bounds: Any = {"lower": 0.0} if upper is None else {"lower": 0.0, "upper": upper}
    model = bg.Model(
        bg.nonlinear("y ~ a * one", a="~ 1"),
        pd.DataFrame({"y": y, "one": 1.0}),
        priors={"a": bg.Prior("TruncatedNormal", mu=0.5, sigma=2.0, **bounds), "sigma": bg.Prior("Fixed", 1.0)},
    )
    precision = len(y) + 0.25
    mean, sd = (y.sum() + 0.125) / precision, precision**-0.5
    ends = (0.0 - mean) / sd, np.inf if upper is None else (upper - mean) / sd
    truth = stats.truncnorm(*ends, loc=mean, scale=sd)
    fit = model.fit(
        "metropolis", proposal="random-walk", scale=0.6, seed=5, draws=1500, tune=100, keep_proposals=True,
        progressbar=False,
    )  # fmt: skip
    table = fit.summary()
    error = table.loc["a.Intercept", "mcse_mean"]
    assert error < 0.05 * truth.std()
    assert abs(table.loc["a.Intercept", "mean"] - truth.mean()) < 4.5 * error
    assert table.loc["a.Intercept", "sd"] == pytest.approx(truth.std(), rel=0.08)
    stats_ = fit.data["sample_stats"]
    beyond = np.asarray(stats_["proposal"]) < 0.0
    assert beyond.any()
    assert not np.asarray(stats_["accepted"])[beyond].any()


def test_the_conditional_mode_of_a_curved_predictor() -> None:
    """Newton's method in theta1 given theta0 ends where a fine grid has its maximum."""
    data = follows(1.2)
    view = LatentView(ideal_point(1.2).problem)
    for theta0 in (0.1, 0.3, 0.8):
        mode = conditional_mode(view, np.log([theta0]))
        grid = np.linspace(-5.0, 5.0, 20001)
        eta = -theta0 * (grid[:, None] - data["score"].to_numpy()) ** 2
        log = (data["follows"].to_numpy() * eta - np.logaddexp(0.0, eta)).sum(axis=1) - grid**2 / 200.0
        assert mode.converged
        assert mode.x[0] == pytest.approx(grid[np.argmax(log)], abs=1e-3)


def test_prior_predictive_and_predictions_are_those_of_the_expression() -> None:
    model = ideal_point(1.2)
    fit = model.fit("laplace", seed=1, draws=200, chains=1)
    draws = {name: fit.draws[f"{name}_beta"].to_numpy()[0, :, 0] for name in ("theta0", "theta1")}
    score = np.array([-2.0, 0.3])
    eta = -draws["theta0"][:, None] * (draws["theta1"][:, None] - score) ** 2
    new = pd.DataFrame({"score": score})
    np.testing.assert_allclose(fit.predict(new, scale="link")["mean"], eta.mean(axis=0))
    np.testing.assert_allclose(fit.predict(new)["mean"], (1 / (1 + np.exp(-eta))).mean(axis=0))
    outcomes = fit.predict(new, scale="outcome", seed=1)["mean"]
    np.testing.assert_allclose(outcomes, fit.predict(new)["mean"], atol=0.12)  # 200 draws of 0 and 1
    log = np.asarray(fit.log_likelihood()["y"])[0]
    own = -draws["theta0"][:, None] * (draws["theta1"][:, None] - follows(1.2)["score"].to_numpy()) ** 2
    np.testing.assert_allclose(log, follows(1.2)["follows"].to_numpy() * own - np.logaddexp(0, own), rtol=1e-9)
    prior = model.prior_predictive(50, seed=1)
    assert (prior["prior"]["theta0_beta"] > 0).all()
    assert set(np.unique(prior["prior_predictive"]["y"])) == {0, 1}

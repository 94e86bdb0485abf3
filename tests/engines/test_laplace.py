"""The nested Laplace posterior: against exact posteriors, its verdict, and the shape of what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.engines.kernels.conditional import conditional_mode
from bayesglmm.engines.kernels.pareto import smoothed
from bayesglmm.engines.kernels.skewed import HEAVY, LIGHT, SkewedDensity
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
PRIORS = {
    "Intercept": bg.Prior("Normal", mu=0, sigma=2.5),
    "fixed": bg.Prior("Normal", mu=0, sigma=2.5),
    "sd": bg.Prior("HalfNormal", sigma=1),
}


def run(model: bg.Model, seed: int = 1, **settings: Any) -> Any:
    engine = ENGINES.get("laplace")
    return engine.run(model.problem, engine.configure(**settings), seed)


def test_cbpp_agrees_with_the_exact_posterior(expected: Callable, dataset: Callable) -> None:
    """Means within 0.1 posterior sd, sds within 10 percent: 4000 draws alone leave 0.016 and 1 percent."""
    exact = expected("exact_cbpp")
    found = run(bg.Model(CBPP, dataset("cbpp"), family="binomial", priors=PRIORS))
    draws = [*found.draws["beta"].reshape(-1, 4).T, found.draws["sd_herd"].ravel()]
    for name, own in zip(("Intercept", "period2", "period3", "period4", "sd"), draws, strict=True):
        theirs = exact["posterior_exact"][name]
        assert abs(own.mean() - theirs["mean"]) < 0.1 * theirs["sd"], name
        assert abs(own.std() / theirs["sd"] - 1) < 0.1, name
    assert found.quality.verdict == "good"
    assert abs(found.numbers["log_evidence"] - exact["mlik_exact"]) < 0.15


def test_gaussian_posterior_is_that_of_a_grid(dataset: Callable) -> None:
    """x given theta is exact for a gaussian model, so theta on a fine grid gives the posterior."""
    model = bg.Model("Reaction ~ Days + (1 | Subject)", dataset("sleepstudy"))
    found = run(model)
    view = LatentView(model.problem)
    sds, sigmas = np.linspace(np.log(12), np.log(120), 41), np.linspace(np.log(24), np.log(40), 31)
    modes = [conditional_mode(view, np.array([a, b])) for a in sds for b in sigmas]
    log_density = np.array([mode.log_marginal for mode in modes])
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    theta = np.exp([mode.theta for mode in modes])
    # Exponential priors have unit Jacobian left: the density in log sd includes it already.
    for name, column in (("sd_Subject", 0), ("sigma", 1)):
        mean = weights @ theta[:, column]
        sd = np.sqrt(weights @ (theta[:, column] - mean) ** 2)
        own = found.draws[name].ravel()
        assert abs(own.mean() - mean) < 0.06 * sd, name
        assert abs(own.std() / sd - 1) < 0.06, name
    beta = weights @ np.array([mode.x[:2] for mode in modes])
    own = found.draws["beta"].reshape(-1, 2)
    assert np.all(np.abs(own.mean(axis=0) - beta) < 0.06 * own.std(axis=0))
    cell = (sds[1] - sds[0]) * (sigmas[1] - sigmas[0])
    evidence = log_density.max() + np.log(np.exp(log_density - log_density.max()).sum() * cell)
    assert abs(found.numbers["log_evidence"] - evidence) < 0.05
    # Nothing to correct: the exact density equals the approximate one.
    assert max(map(abs, found.quality.shifts.values())) < 1e-6


def test_mode_is_corrected_to_the_mean(dataset: Callable, expected: Callable) -> None:
    """An effect per row makes modes 0.4 sd wrong; NUTS (4000 draws) gave the means below."""
    model = bg.Model("count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", dataset("epilepsy"), family="poisson")
    found = run(model)
    beta = found.draws["beta"].reshape(-1, 5)
    nuts = np.array([1.720, 0.0937, 0.699, -0.265, 0.060])
    assert np.all(np.abs(beta.mean(axis=0) - nuts) < 0.12 * beta.std(axis=0))
    assert abs(found.draws["sd_patient"].mean() - 0.535) < 0.12 * 0.072
    assert abs(found.draws["sd_obs"].mean() - 0.3705) < 0.15 * 0.044
    assert found.quality.method == "draws"
    assert found.quality.verdict == "good"


def poor(groups: int = 80, rows: int = 3, sd: float = 4.0) -> pd.DataFrame:
    """Binary responses, three rows per group, groups that differ a lot: Laplace's worst case."""
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(groups), rows)
    eta = 1.5 + rng.normal(0, sd, groups)[g]
    return pd.DataFrame({"y": (rng.random(len(g)) < 1 / (1 + np.exp(-eta))).astype(int), "g": g.astype(str)})


def test_a_poor_approximation_gets_a_bad_verdict_and_quadrature_mends_it() -> None:
    """NUTS (2000 draws): Intercept 0.996 (sd 0.41), sd_g 2.76 (0.57), Monte Carlo errors 0.01 and 0.02."""
    model = bg.Model("y ~ 1 + (1 | g)", poor(), family="bernoulli")
    found = run(model)
    assert found.quality.verdict == "bad"
    assert "would move sd[g, Intercept] by" in found.quality.sentences[1]
    # The verdict knows how far: the mean that it predicts is that of NUTS, and Laplace's own is not.
    sd_g = found.draws["sd_g"].ravel()
    assert abs(sd_g.mean() + found.quality.shifts["sd[g, Intercept]"] * sd_g.std() - 2.76) < 0.15
    assert sd_g.mean() < 2.5
    mended = run(model, quadrature=15)
    assert mended.quality.verdict == "good"
    assert abs(mended.draws["sd_g"].mean() - 2.76) < 0.1
    assert abs(mended.draws["beta"].mean() - 0.996) < 0.06


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x", "bernoulli"),
        (["z ~ x + (1 | g)", "sigma ~ x"], "gaussian"),
        ("c ~ x + (1 + x | g)", "negative_binomial"),
    ],
    ids=["no hyperparameters", "two predictors", "dispersion"],
)
def test_every_free_variable_is_drawn(formula: Any, family: str) -> None:
    rng = np.random.default_rng(2)
    g, x = rng.integers(0, 9, 150), rng.normal(size=150)
    eta = 0.5 * x + rng.normal(0, 0.5, 9)[g]
    data = pd.DataFrame({"x": x, "g": g.astype(str), "z": eta + rng.normal(size=150)})
    data["y"] = (rng.random(150) < 1 / (1 + np.exp(-eta))).astype(int)
    data["c"] = rng.poisson(np.exp(eta))
    model = bg.Model(formula, data, family=family)
    found = run(model, draws=50, chains=2)
    assert found.draws.keys() == {variable.name for variable in model.graph.free_RVs}
    assert found.draws["beta"].shape == (2, 50, 2)
    assert all(np.shape(values)[:2] == (2, 50) and np.isfinite(values).all() for values in found.draws.values())
    assert found.quality.verdict == "good"


def test_same_seed_same_draws(dataset: Callable) -> None:
    model = bg.Model(CBPP, dataset("cbpp"), family="binomial")
    a, b, c = (run(model, seed, draws=20).draws["beta"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_tables_and_predictions_work_unchanged(dataset: Callable) -> None:
    fit = bg.Model(CBPP, dataset("cbpp"), family="binomial").fit("laplace", draws=100, seed=1)
    assert len(fit.summary()) == 5
    assert len(fit.ranef()) == 15
    assert fit.predict(groups="new", seed=1)["mean"].between(0, 1).all()


def test_flat_priors_have_no_evidence(dataset: Callable) -> None:
    found = run(bg.Model(CBPP, dataset("cbpp"), family="binomial", priors="flat"), draws=20)
    assert "log_evidence" not in found.numbers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "map"}, "objective must be"),
        ({"quadrature": 0}, "quadrature must be an integer"),
        ({"quadrature": 5, "objective": "reml"}, "quadrature above 1 needs"),
        ({"points": 2}, "points must be"),
        ({"drawz": 2}, "no setting 'drawz'"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ENGINES.get("laplace").configure(**settings)


def test_skewed_density_is_normalised_and_drawn_from_as_it_says() -> None:
    axes = np.array([[0.7, 0.0], [0.3, 1.2]])
    density = SkewedDensity(
        np.array([1.0, -2.0]), axes, np.array([[1.4, 0.6], [0.8, 1.1]]), np.array([[HEAVY, LIGHT], [LIGHT, LIGHT]])
    )
    draws = density.quantile(np.random.default_rng(0).random((200_000, 2)))
    reference = stats.multivariate_t([1.0, -2.0], axes @ axes.T, df=3)
    # E_q[p / q] = 1 for any other density p; the error of the mean is near 0.003.
    ratios = np.exp(reference.logpdf(draws) - density.logpdf(draws))
    assert abs(ratios.mean() - 1) < 0.02


@pytest.mark.parametrize("shape", [0.2, 0.9])
def test_pareto_khat_finds_the_tail_of_the_weights(shape: float) -> None:
    ratios = stats.genpareto(shape).rvs(20_000, random_state=3)
    weights, khat = smoothed(np.log(ratios))
    assert abs(khat - shape) < 0.1
    np.testing.assert_allclose(weights.sum(), 1.0)

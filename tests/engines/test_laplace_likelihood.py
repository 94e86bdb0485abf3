"""Maximum likelihood against lme4 and glmmTMB (tests/reference/README.md), boundaries, quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.engines.kernels.identified import standard_errors
from bayesglmm.engines.kernels.likelihood import Likelihood
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
CALLS = "SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest)"
USE = "use ~ age + I(age^2) + urban + livch + (1 | district)"
SEIZURES = "count ~ zAge + zBase * Trt + (1 | patient)"

# data, formula, family, settings, reference file and block: tight lme4 optima or glmmTMB
CASES: dict[str, tuple[str, str, str, dict[str, Any], str, str]] = {
    "Dyestuff REML": ("Dyestuff", "Yield ~ 1 + (1 | Batch)", "gaussian", {"objective": "reml"}, "Dyestuff", "REML"),
    "Dyestuff ML": ("Dyestuff", "Yield ~ 1 + (1 | Batch)", "gaussian", {}, "Dyestuff", "ML"),
    "sleepstudy intercepts": (
        "sleepstudy",
        "Reaction ~ Days + (1 | Subject)",
        "gaussian",
        {},
        "sleepstudy",
        "int_ML",
    ),
    "sleepstudy uncorrelated": (
        "sleepstudy",
        "Reaction ~ Days + (Days || Subject)",
        "gaussian",
        {"objective": "reml"},
        "sleepstudy",
        "uncorr_REML",
    ),
    "sleepstudy ML": (
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        "gaussian",
        {},
        "sleepstudy",
        "corr_ML_tight",
    ),
    "sleepstudy REML": (
        "sleepstudy",
        "Reaction ~ Days + (Days | Subject)",
        "gaussian",
        {"objective": "reml"},
        "sleepstudy",
        "corr_REML_tight",
    ),
    "cbpp 5 nodes": ("cbpp", CBPP, "binomial", {"quadrature": 5}, "cbpp", "nAGQ5"),
    "cbpp 25 nodes": ("cbpp", CBPP, "binomial", {"quadrature": 25}, "cbpp", "nAGQ25"),
    "Contraception": ("Contraception", USE, "bernoulli", {}, "contraception_cm1", "glmmTMB"),
    "VerbAgg": (
        "VerbAgg",
        "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        "bernoulli",
        {},
        "VerbAgg",
        "glmmTMB",
    ),
    "grouseticks": (
        "grouseticks",
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "poisson",
        {},
        "grouseticks",
        "glmmTMB",
    ),
    "epilepsy": ("epilepsy", SEIZURES, "poisson", {}, "epilepsy", "glmmTMB"),
    "epilepsy 25 nodes": ("epilepsy", SEIZURES, "poisson", {"quadrature": 25}, "epilepsy", "glmer_nAGQ25"),
    "epilepsy negative binomial": ("epilepsy", SEIZURES, "negative_binomial", {}, "epilepsy", "glmmTMB_nbinom2"),
    "Owls zero-inflated": ("Owls", CALLS, "zero_inflated_poisson", {}, "Owls", "zi_poisson"),
    "Owls both": ("Owls", CALLS, "zero_inflated_negative_binomial", {}, "Owls", "zi_nbinom2"),
    "Salamanders": (
        "Salamanders",
        "count ~ spp * mined + (1 | site)",
        "negative_binomial",
        {},
        "Salamanders",
        "nbinom2",
    ),
}


def fit(formula: str, data: pd.DataFrame, family: str, **settings: Any) -> Likelihood:
    engine = ENGINES.get("laplace")
    configured = engine.configure(**({"objective": "ml", "draws": 10} | settings))
    run: Any = engine.run(bg.Model(formula, data, family=family).problem, configured, 1)
    return run.likelihood


def numbers(block: Any) -> Any:
    """glmmTMB's blocks have a level more: the conditional model."""
    return np.array(list(block.get("cond", block).values()))


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_the_reference(name: str, expected: Callable, dataset: Callable) -> None:
    data, formula, family, settings, file, key = CASES[name]
    block = expected(file)[key]
    found = fit(formula, dataset(data), family, **settings)
    assert found.converged
    np.testing.assert_allclose(found.loglik, block.get("logLik_full", block["logLik"]), rtol=0, atol=1e-5)
    errors = numbers(block["se"])
    np.testing.assert_allclose((found.beta - numbers(block["fixef"])) / errors, 0.0, atol=2e-3)
    np.testing.assert_allclose(found.beta_se, errors, rtol=2e-3)
    groups = block["sd_cor"].get("cond", block["sd_cor"])
    theirs = np.sort(np.concatenate([np.ravel(group["sd"]) for group in groups.values()]))
    ours = np.sort(np.concatenate([np.ravel(v) for k, v in found.natural.items() if k.startswith("sd_")]))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    if "logLik_full" not in block and settings.get("quadrature", 1) == 1:
        np.testing.assert_allclose([found.aic, found.bic], [block["AIC"], block["BIC"]], atol=1e-4)


def test_a_better_optimum_is_no_inflated_value(expected: Callable, dataset: Callable) -> None:
    """With an effect per row ours is 0.0024 above glmer's, at glmer's own parameters too.

    There the Laplace formula, coded below with dense matrices and solved to rounding, gives our value: glmer stops
    its inner iterations early.
    """
    data = dataset("epilepsy")
    problem = bg.Model("count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", data, family="poisson").problem
    block, view = expected("epilepsy")["glmer_obs"], LatentView(problem)
    sds = np.array([block["sd_cor"][group]["sd"] for group in ("patient", "obs")])
    beta = numbers(block["fixef"])
    mode = LaplaceObjective(view, "ml").mode(np.concatenate([np.log(sds), beta]))
    X = problem.predictors[0].predictor.X
    indicators = [
        pd.get_dummies(data[name]).to_numpy(float) * sd for name, sd in zip(("patient", "obs"), sds, strict=True)
    ]
    Z, y, u = np.hstack(indicators), data["count"].to_numpy(float), np.zeros(59 + 236)
    for _ in range(50):
        mu = np.exp(X @ beta + Z @ u)
        H = Z.T @ (mu[:, None] * Z) + np.eye(len(u))
        u = u + np.linalg.solve(H, Z.T @ (y - mu) - u)
    mu = np.exp(X @ beta + Z @ u)
    direct = stats.poisson.logpmf(y, mu).sum() - 0.5 * u @ u - 0.5 * np.linalg.slogdet(H)[1]
    np.testing.assert_allclose(mode.log_marginal, direct, rtol=0, atol=1e-7)
    assert 0.0 < mode.log_marginal - block["logLik"] < 3e-3


def test_laplace_and_quadrature_pointwise(expected: Callable, dataset: Callable) -> None:
    """30 points (theta, beta) of cbpp: the Laplace formula and the exact integral, coded elsewhere."""
    view = LatentView(bg.Model(CBPP, dataset("cbpp"), family="binomial").problem)
    objective, quadrature = LaplaceObjective(view, "ml"), Quadrature(view, 61)
    points = expected("cbpp")["laplace_pointwise"]["points"]
    assert len(points) == 30
    for point in points:
        theta, beta = np.log([max(point["theta"], 1e-12)]), np.array(point["beta"])
        mode = objective.mode(np.concatenate([theta, beta]))
        np.testing.assert_allclose(mode.log_marginal, point["loglik_laplace_check_direct"], rtol=0, atol=1e-6)
        # At large theta 61 nodes leave an error; so may the reference's own numerical integral.
        np.testing.assert_allclose(quadrature(theta, beta)[0], point["loglik_exact_integrate"], rtol=0, atol=1e-5)


def test_one_node_is_laplace(dataset: Callable) -> None:
    view = LatentView(
        bg.Model("use ~ age + (urban | district)", dataset("Contraception"), family="bernoulli").problem
    )
    beta = np.array([-0.5, 0.01])
    theta = view.initial_theta - 0.5
    laplace = LaplaceObjective(view, "ml").mode(np.concatenate([theta, beta])).log_marginal
    np.testing.assert_allclose(Quadrature(view, 1)(theta, beta)[0], laplace, rtol=1e-10)


def test_vector_quadrature_converges(dataset: Callable) -> None:
    view = LatentView(
        bg.Model("use ~ age + (urban | district)", dataset("Contraception"), family="bernoulli").problem
    )
    theta, beta = view.initial_theta - 0.5, np.array([-0.5, 0.01])
    values = [Quadrature(view, nodes)(theta, beta)[0] for nodes in (1, 5, 11, 15)]
    np.testing.assert_allclose(values[2], values[3], atol=1e-6)
    assert abs(values[1] - values[3]) < 1e-2 < abs(values[0] - values[3])


def test_vector_quadrature_is_the_integral_on_a_dense_grid() -> None:
    """Binary responses with a random slope: 25 nodes per effect against trapezia over a square of 16 deviations."""
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(4), 6), rng.normal(size=24)
    data = pd.DataFrame({"y": rng.binomial(1, 1 / (1 + np.exp(-(0.4 + x)))), "x": x, "g": g.astype(str)})
    view = LatentView(bg.Model("y ~ x + (1 + x | g)", data, family="bernoulli").problem)
    theta, beta = np.array([np.log(1.3), np.log(0.8), 0.6]), np.array([0.4, 0.9])
    (Lambda,) = view.factors(view.natural(theta))
    assert abs(Lambda[1, 0]) > 0.1
    line = np.linspace(-8.0, 8.0, 321)
    u = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    effects, total = u @ Lambda.T, 0.0
    for level in range(4):
        log_f = stats.norm.logpdf(u).sum(axis=-1)
        for y, one in zip(data["y"][g == level], x[g == level], strict=True):
            eta = beta[0] + beta[1] * one + effects[..., 0] + effects[..., 1] * one
            log_f -= np.logaddexp(0.0, np.where(y, -eta, eta))
        total += np.log(np.trapezoid(np.trapezoid(np.exp(log_f), line), line))
    np.testing.assert_allclose(Quadrature(view, 25)(theta, beta)[0], total, rtol=0, atol=1e-7)
    assert abs(Quadrature(view, 5)(theta, beta)[0] - total) < 1e-2 < abs(Quadrature(view, 1)(theta, beta)[0] - total)


def test_quadrature_of_a_categorical_response_is_the_integral_on_a_dense_grid() -> None:
    """Three categories: one random intercept in each of two predictors, both integrated out per level."""
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(4), 6), rng.normal(size=24)
    data = pd.DataFrame({"y": rng.choice(list("abc"), 24), "x": x, "g": g.astype(str)})
    view = LatentView(bg.Model("y ~ x + (1 | g)", data, family="categorical").problem)
    theta, beta = np.log([1.1, 0.7]), np.array([0.3, 0.5, -0.2, 0.8])
    line = np.linspace(-8.0, 8.0, 321)
    u = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)
    total = 0.0
    for level in range(4):
        log_f = stats.norm.logpdf(u).sum(axis=-1)
        for y, one in zip(data["y"][g == level], x[g == level], strict=True):
            etas = [beta[2 * k] + beta[2 * k + 1] * one + np.exp(theta[k]) * u[..., k] for k in (0, 1)]
            log_f += {"a": 0.0, "b": etas[0], "c": etas[1]}[y] - np.log1p(np.exp(etas[0]) + np.exp(etas[1]))
        total += np.log(np.trapezoid(np.trapezoid(np.exp(log_f), line), line))
    np.testing.assert_allclose(Quadrature(view, 25)(theta, beta)[0], total, rtol=0, atol=1e-7)
    laplace = LaplaceObjective(view, "ml").mode(np.concatenate([theta, beta])).log_marginal
    np.testing.assert_allclose(Quadrature(view, 1)(theta, beta)[0], laplace, rtol=1e-10)
    assert abs(laplace - total) < 0.1


def flat_groups() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(6), 5), rng.normal(size=30)
    y = rng.normal(5.0, 3.0, 30)
    y = y - pd.Series(y).groupby(g).transform("mean").to_numpy() + 5.0
    return pd.DataFrame({"y": y, "x": x, "g": g.astype(str)})


@pytest.mark.parametrize("objective", ["ml", "reml"])
def test_a_standard_deviation_at_zero_ends_there_quietly(objective: str) -> None:
    data = flat_groups()
    found = fit("y ~ 1 + (1 | g)", data, "gaussian", objective=objective)
    assert found.converged
    assert found.boundary == ("sd[g, Intercept]",)
    assert found.natural["sd_g"].tolist() == [0.0]
    assert np.isnan(found.natural_se["sd_g"]).all()
    assert "estimated as zero" in found.sentences[0]
    # Without the factor: ordinary least squares.
    np.testing.assert_allclose(found.beta, data["y"].mean(), rtol=1e-10)
    freedom = len(data) - (objective == "reml")
    np.testing.assert_allclose(found.natural["sigma"], np.sqrt(data["y"].var(ddof=0) * 30 / freedom), rtol=1e-6)


def test_a_correlation_of_one_ends_quietly() -> None:
    found = fit("y ~ x + (1 + x | g)", flat_groups(), "gaussian")
    assert found.converged
    assert np.isfinite(found.beta_se).all()


def test_a_singular_correlation_matrix(expected: Callable, dataset: Callable) -> None:
    """Four correlated effects per herd are more than cbpp can tell apart; glmer says "boundary (singular) fit".

    The curvature has no inverse there. Standard errors given the edge are those of glmer, which differences twice in
    parameters that include the edge.
    """
    reference = expected("cbpp_maximal")
    found = fit("cbind(incidence, size - incidence) ~ period + (period | herd)", dataset("cbpp"), "binomial")
    assert found.converged
    assert found.flat.shape[1] == 3
    assert found.loglik == pytest.approx(reference["logLik"], abs=1e-4)
    assert found.loglik >= reference["logLik"]  # where bobyqa ends with default tolerances
    np.testing.assert_allclose(found.beta, list(reference["fixef"].values()), atol=0.02)
    np.testing.assert_allclose(found.beta_se, list(reference["se"].values()), rtol=0.02)
    assert np.all(found.natural_se["sd_herd"] < 1.0)
    assert any("rank 2 of 4" in sentence for sentence in found.sentences)


def test_an_edge_is_found_from_everywhere(dataset: Callable) -> None:
    """The edge lies at infinity of the coordinates.

    glmer 1.1-31 ends at -81.7545176152 with bobyqa, rhoend=1e-10 and tolPwrss=1e-12.
    """
    formula = "cbind(incidence, size - incidence) ~ period + (period | herd)"
    view = LatentView(bg.Model(formula, dataset("cbpp"), family="binomial").problem)
    random = np.random.default_rng(0)
    for _ in range(2):
        start = view.initial_theta + random.normal(0, 0.7, view.theta_size)
        found = maximise(view, "ml", start)
        assert found.converged
        assert found.value == pytest.approx(-81.7545176152, abs=1e-4)


def test_standard_errors_where_the_likelihood_is_flat() -> None:
    """x + y is known with variance 1, x - y not at all: only the sum has a standard error."""
    flat, free = np.array([[1.0], [-1.0]]), np.array([[0.5], [0.5]])
    slopes = np.array([[1.0, 1.0, 1.0, 0.0], [1.0, -1.0, 0.0, 0.0]])
    np.testing.assert_allclose(standard_errors(slopes, free @ free.T, flat), [1.0, np.nan, np.nan, 0.0])


def test_default_priors_are_ignored_and_explicit_ones_refused() -> None:
    data = flat_groups()
    model = bg.Model("y ~ x + (1 | g)", data, priors={"x": bg.Prior("Normal", mu=0, sigma=1)})
    with pytest.raises(SettingsError, match='objective="ml" uses no priors, but there are some for x'):
        model.fit("laplace", objective="ml")
    engine: Any = ENGINES.get("laplace")
    for priors in ("flat", {"fixed": bg.Prior("Flat")}):
        flat: Any = bg.Model("y ~ x + (1 | g)", data, priors=priors).problem
        run = engine.run(flat, engine.configure(objective="ml"), 1)
        np.testing.assert_allclose(run.likelihood.loglik, fit("y ~ x + (1 | g)", data, "gaussian").loglik, atol=1e-8)


def test_quadrature_needs_one_grouping_factor(dataset: Callable) -> None:
    model = bg.Model("count ~ zAge + (1 | patient) + (1 | obs)", dataset("epilepsy"), family="poisson")
    for objective in ("ml", "posterior"):
        with pytest.raises(SettingsError, match=r"exactly one grouping factor.*resample=True"):
            model.fit("laplace", objective=objective, quadrature=5)

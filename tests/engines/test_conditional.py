"""Conditional modes and Laplace's approximation: exact gradients, exactness for gaussian models."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines.kernels.conditional import (
    LaplaceObjective,
    conditional_mode,
    laplace_mode,
    maximise,
    mode_jacobian,
)
from bayesglmm.engines.kernels.newton import positive_part
from bayesglmm.graph.latent import LatentView


def frame(seed: int = 0, n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 12, n), rng.integers(0, 5, n)
    x = rng.normal(size=n)
    eta = 0.3 + 0.5 * x + rng.normal(0, 0.6, 12)[g] + rng.normal(0, 0.4, 5)[h] + rng.normal(0, 0.3, 12)[g] * x
    return pd.DataFrame(
        {
            "x": x,
            "g": g.astype(str),
            "h": h.astype(str),
            "fine": [f"{a}.{b}" for a, b in zip(g, rng.integers(0, 4, n), strict=True)],
            "real": eta + rng.normal(0, 0.7, n),
            "count": rng.poisson(np.exp(eta)),
            "zeros": rng.poisson(np.exp(eta)) * (rng.random(n) < 0.7),
            "binary": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int),
            "share": np.clip(1 / (1 + np.exp(-eta - rng.normal(0, 0.3, n))), 0.01, 0.99),
            "level": pd.Categorical(np.digitize(eta + rng.logistic(size=n), [-0.5, 1.0]).astype(str), ordered=True),
            "w": rng.uniform(0.5, 2.0, n),
        }
    )


MODELS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "scalar": ("count ~ x + (1 | g)", "poisson", {}),
    "us": ("binary ~ x + (1 + x | g)", "bernoulli", {}),
    "diag": ("real ~ x + (1 + x || g)", "gaussian", {}),
    "crossed": ("count ~ x + (1 + x | g) + (1 | h)", "poisson", {}),
    "nested": ("binary ~ x + (1 | g) + (1 | fine)", "bernoulli", {}),
    "dispersion": ("count ~ x + (1 + x | g)", "negative_binomial", {}),
    "two dispersions": ("real ~ x + (1 | g)", "student_t", {}),
    "beta": ("share ~ x + (1 | g)", "beta", {}),
    "cutpoints": ("level ~ x + (1 | g)", "cumulative", {}),
    "two predictors": (["real ~ x + (1 + x | g)", "sigma ~ x + (1 | h)"], "gaussian", {}),
    "zero inflation": (["zeros ~ x + (1 | g)", "zi ~ x"], "zero_inflated_poisson", {}),
    "likelihood weights": ("count ~ x + (1 | g)", "poisson", {"likelihood_weights": "w"}),
    "coefficients in theta": (
        "count ~ x + (1 | g)",
        "poisson",
        {"priors": {"x": bg.Prior("StudentT", nu=4, mu=0, sigma=1)}},
    ),
}


@cache
def view_of(name: str) -> LatentView:
    formula, family, settings = MODELS[name]
    return LatentView(bg.Model(formula, frame(), family=family, **settings).problem)


@pytest.mark.parametrize("kind", ["posterior", "ml"])
@pytest.mark.parametrize("name", MODELS)
def test_gradient_and_jacobian_are_those_of_central_differences(name: str, kind: Any) -> None:
    view = view_of(name)
    if kind == "ml" and name == "coefficients in theta":
        kind = "reml"
    objective = LaplaceObjective(view, kind)
    rng = np.random.default_rng(5)
    psi = np.concatenate([view.initial_theta, view.mean[objective.structure.coefficients]])
    psi = psi + 0.2 * rng.normal(size=objective.size) - 0.5 * (np.arange(objective.size) < view.theta_size)
    mode = objective.mode(psi)
    assert mode.converged
    numbers, moved = [], []
    for unit in 1e-4 * np.eye(objective.size):
        up, down = objective.mode(psi + unit), objective.mode(psi - unit)
        numbers.append((up.log_marginal - down.log_marginal) / 2e-4)
        moved.append((up.x - down.x) / 2e-4)
    # Differences of a function of size 100 with steps of 1e-4 have an error near 1e-6.
    np.testing.assert_allclose(objective.gradient(mode), numbers, rtol=1e-5, atol=2e-5)
    np.testing.assert_allclose(objective.jacobian(mode), np.array(moved).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["us", "nested", "two predictors"])
def test_value_is_the_joint_density_at_the_mode_with_its_curvature(name: str) -> None:
    view = view_of(name)
    mode = conditional_mode(view, view.initial_theta - 0.3)
    joint = view.log_joint(mode.x, mode.theta)
    expected = joint + 0.5 * view.size * np.log(2 * np.pi) - 0.5 * mode.factor.logdet()
    np.testing.assert_allclose(mode.log_marginal, expected, rtol=1e-10)


def test_gaussian_models_are_exact() -> None:
    """The closed form: y ~ N(X m, X S X' + Z Z' sd^2 + sigma^2 I), prior N(m, S) of the coefficients."""
    data = frame()
    view = LatentView(bg.Model("real ~ x + (1 | g)", data, family="gaussian").problem)
    theta = view.initial_theta - 0.4
    mode = conditional_mode(view, theta)
    natural = view.natural(theta)
    design, Q = view.design(theta)[0][1].toarray(), view.precision(theta).toarray()
    covariance = design @ np.linalg.inv(Q) @ design.T + float(natural["sigma"]) ** 2 * np.eye(len(data))
    expected = stats.multivariate_normal.logpdf(data["real"], design @ view.mean, covariance)
    np.testing.assert_allclose(mode.log_marginal - view.log_prior(theta), expected, rtol=1e-10)


def test_mode_search_is_a_function_of_theta_alone() -> None:
    view = view_of("us")
    a = conditional_mode(view, view.initial_theta)
    conditional_mode(view, view.initial_theta + 1.0)
    b = conditional_mode(view, view.initial_theta)
    np.testing.assert_array_equal(a.x, b.x)


def test_laplace_mode_and_its_jacobian() -> None:
    view = view_of("crossed")
    mode, covariance = laplace_mode(view, view.initial_theta)
    assert mode.converged
    assert np.abs(LaplaceObjective(view).gradient(mode)).max() < 1e-4
    assert np.all(np.linalg.eigvalsh(covariance) > 0)
    assert mode_jacobian(view, mode).shape == (view.size, view.theta_size)


def test_far_starts_reach_the_same_optimum() -> None:
    view = view_of("diag")
    values = [maximise(view, "posterior", view.initial_theta + shift).value for shift in (-3.0, 0.0, 3.0)]
    np.testing.assert_allclose(values, values[1], atol=1e-6)


def test_negative_curvature_becomes_positive() -> None:
    W = np.array([[[2.0, -3.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]])
    found = positive_part(W)
    np.testing.assert_allclose(found[:, :, 0], W[:, :, 0])
    np.testing.assert_allclose(found[0, 0, 1], 3.0)
    outliers = frame()
    outliers.loc[:5, "real"] += 40.0
    view = LatentView(bg.Model("real ~ x + (1 | g)", outliers, family="student_t").problem)
    assert maximise(view).converged

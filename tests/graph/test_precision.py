"""Blocks in precision form: x = b with a sparse Q(theta). View against graph, and Laplace against the same model
written another way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytest

import bayesglmm as bg
from bayesglmm.covariances import COVARIANCES, Covariance, CovarianceParameter
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.graph.latent import LatentView

RHO = 0.6


class InPrecisionForm(Covariance):
    """What structures of this form share: b itself is latent."""

    latent = "precision"

    def factor(self, values: Any, k: int, xp: Any) -> Any:
        return np.eye(k)


class DiagonalPrecision(InPrecisionForm):
    """Independent coefficients, each with its own sd, as `diag`."""

    name = "diag_by_precision"

    def parameters(self, block: Any) -> Any:
        return (CovarianceParameter("sd", "scale", block.terms, tuple(range(len(block.terms)))),)

    def couplings(self, block: Any) -> Any:
        every = np.arange(len(block.levels) * len(block.terms))
        return every, every

    def precision(self, values: Any, block: Any, xp: Any) -> Any:
        entry = np.tile(np.arange(len(block.terms)), len(block.levels))
        precisions = values["sd"] ** -2.0
        return precisions[entry], len(block.levels) * xp.log(precisions).sum()


def walk(levels: int) -> tuple[Any, Any, Any]:
    """Return rows, columns and entries of the precision of an AR(1) with unit variance."""
    every = np.arange(levels)
    diagonal = np.where((every == 0) | (every == levels - 1), 1.0, 1.0 + RHO**2)
    entries = np.concatenate([diagonal, np.full(levels - 1, -RHO)]) / (1.0 - RHO**2)
    return np.concatenate([every, every[1:]]), np.concatenate([every, every[:-1]]), entries


class Walk(InPrecisionForm):
    """First-order autoregression over the levels, in their order, with a second, independent part: two parameters.

    Q = T / sd_0^2 + I / sd_1^2 with T that of the stationary process.
    """

    name = "walk_by_precision"

    def parameters(self, block: Any) -> Any:
        return (CovarianceParameter("sd", "scale", ("walk", "rest")),)

    def couplings(self, block: Any) -> Any:
        return walk(len(block.levels))[:2]

    def precision(self, values: Any, block: Any, xp: Any) -> Any:
        rows, columns, entries = walk(len(block.levels))
        T = np.zeros((len(block.levels),) * 2)
        T[rows, columns] = T[columns, rows] = entries
        one, two = values["sd"][0] ** -2.0, values["sd"][1] ** -2.0
        return entries * one + (rows == columns) * two, xp.log(np.linalg.eigvalsh(T) * one + two).sum()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Register both structures for one test."""
    COVARIANCES.names()
    before = dict(COVARIANCES._members), list(COVARIANCES._names)
    COVARIANCES.register(DiagonalPrecision())
    COVARIANCES.register(Walk())
    yield
    COVARIANCES._members, COVARIANCES._names = before


@pytest.mark.parametrize(
    "formula",
    ["x + diag_by_precision(1 + x | g)", "x + walk_by_precision(1 | g) + (1 | h)", "0 + walk_by_precision(1 | g)"],
)
def test_view_and_graph_agree(formula: str, make: Any, points: Any) -> None:
    own = points(make(formula, "poisson"))
    assert "precision" in {part.role for part in own.view.parts}
    for seed in range(2):
        x, theta = own.draw(seed)
        assert own.view.log_joint(x, theta) == pytest.approx(own.graph(x, theta), rel=1e-9, abs=1e-7)


def counts(levels: int = 30, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    g, x = rng.integers(0, levels, n), rng.normal(size=n)
    eta = 0.5 + 0.3 * x + rng.normal(0, 0.6, levels)[g] + rng.normal(0, 0.3, levels)[g] * x
    data = pd.DataFrame({"x": x, "g": np.char.mod("g%02d", g), "h": np.char.mod("h%d", rng.integers(0, 60, n))})
    return data.assign(y=rng.poisson(np.exp(eta)), v=eta + rng.normal(0, 0.5, n))


@pytest.mark.parametrize("kind", ["ml", "posterior", "reml"])
@pytest.mark.parametrize(("response", "family"), [("y", "poisson"), ("v", "gaussian")])
def test_independent_coefficients_are_the_same_in_both_forms(kind: Any, response: str, family: str) -> None:
    """The same objective and gradient at any theta, hence the same maximum; the derivative of the mode, too."""
    data = counts()
    views = [
        LatentView(bg.Model(f"{response} ~ x + {word}(1 + x | g) + (1 | h)", data, family).problem)
        for word in ("diag", "diag_by_precision")
    ]
    one, two = (LaplaceObjective(view, kind) for view in views)
    psi = np.concatenate([views[0].initial_theta - 0.4, np.full(len(one.structure.coefficients), 0.2)])
    first, second = one.mode(psi), two.mode(psi)
    assert first.log_marginal == pytest.approx(second.log_marginal, abs=1e-7)
    np.testing.assert_allclose(one.gradient(first), two.gradient(second), rtol=1e-6, atol=1e-6)
    best = [maximise(view, kind) for view in views]
    assert best[0].value == pytest.approx(best[1].value, abs=1e-6)
    np.testing.assert_allclose(best[0].psi, best[1].psi, atol=1e-4)
    np.testing.assert_allclose(best[0].curvature, best[1].curvature, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("response", ["y", "v"])
def test_gradient_and_the_derivative_of_the_mode(response: str) -> None:
    """Against differences of the objective and of the mode (their own error is 1e-6)."""
    family = "poisson" if response == "y" else "gaussian"
    model = bg.Model(f"{response} ~ x + walk_by_precision(1 | g) + (1 | h)", counts(), family)
    objective = LaplaceObjective(LatentView(model.problem))
    psi = objective.view.initial_theta - 0.3
    here = objective.mode(psi)
    gradient, jacobian = objective.gradient(here), objective.jacobian(here)
    for j, unit in enumerate(1e-4 * np.eye(objective.size)):
        up, down = objective.mode(psi + unit, here), objective.mode(psi - unit, here)
        assert gradient[j] == pytest.approx((up.log_marginal - down.log_marginal) / 2e-4, rel=1e-5, abs=1e-5)
        np.testing.assert_allclose(jacobian[:, j], (up.x - down.x) / 2e-4, atol=1e-5)


def test_an_autoregression_is_that_of_a_dense_covariance() -> None:
    """Marginal log-likelihood of a gaussian model in closed form."""
    data = counts()
    model = bg.Model("v ~ x + walk_by_precision(1 | g)", data)
    objective = LaplaceObjective(LatentView(model.problem), "ml")
    natural = objective.view.natural(objective.view.initial_theta)
    mode = objective.mode(np.concatenate([objective.view.initial_theta, [0.4, 0.1]]))
    levels = sorted(data["g"].unique())
    rows, columns, entries = walk(len(levels))
    T = np.zeros((len(levels),) * 2)
    T[rows, columns] = T[columns, rows] = entries
    sd = natural["sd_g"]
    Z = (data["g"].to_numpy()[:, None] == np.array(levels)).astype(float)
    V = Z @ np.linalg.inv(T / sd[0] ** 2 + np.eye(len(levels)) / sd[1] ** 2) @ Z.T
    V += float(natural["sigma"]) ** 2 * np.eye(len(data))
    residual = data["v"].to_numpy() - 0.4 - 0.1 * data["x"].to_numpy()
    exact = -0.5 * (np.linalg.slogdet(2 * np.pi * V)[1] + residual @ np.linalg.solve(V, residual))
    assert mode.log_marginal == pytest.approx(exact, rel=1e-10)


def test_a_fit_for_the_posterior_finds_the_autoregression() -> None:
    """Draws, verdict and tables; effects within three posterior sds of those that made the data, nearly all."""
    levels, n = 40, 800
    rng = np.random.default_rng(8)
    b = np.zeros(levels)
    b[0] = rng.normal(0, 0.8)
    for t in range(1, levels):
        b[t] = RHO * b[t - 1] + 0.8 * np.sqrt(1 - RHO**2) * rng.normal()
    g = rng.integers(0, levels, n)
    data = pd.DataFrame({"g": np.char.mod("t%02d", g), "y": rng.poisson(np.exp(0.7 + b[g]))})
    fit = bg.Model("y ~ 1 + walk_by_precision(1 | g)", data, "poisson").fit("laplace", seed=1, draws=250)
    found = fit.ranef()
    z = (found["mean"].to_numpy() - b) / found["sd"].to_numpy()
    assert np.mean(np.abs(z) < 3) > 0.95
    assert fit.verdict in ("good", "check")


def test_draws_from_the_prior_have_the_inverse_as_covariance() -> None:
    """With 20,000 draws every entry errs by at most a hundredth of the largest variance: five of these."""
    model = bg.Model("v ~ x + walk_by_precision(1 | g)", counts(levels=6)).problem.model
    own = pm.do(model, {"sd_g": np.array([1.5, 2.0])})
    u, again = (pm.draw(own["u_g"], 20_000, random_seed=4, mode=INTERPRETED).reshape(20_000, -1) for _ in range(2))
    np.testing.assert_array_equal(u, again)
    rows, columns, entries = walk(6)
    T = np.zeros((6, 6))
    T[rows, columns] = T[columns, rows] = entries
    exact = np.linalg.inv(T / 1.5**2 + np.eye(6) / 2.0**2)
    np.testing.assert_allclose(np.cov(u.T), exact, atol=0.05 * np.diag(exact).max())
    np.testing.assert_allclose(u.mean(axis=0), 0.0, atol=0.05 * np.sqrt(np.diag(exact).max()))

"""Searches for conditional modes and means: factors that serve for several steps, where to start, overshooting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import special

import bayesglmm as bg
from bayesglmm.engines.kernels.correction import conditional_mean
from bayesglmm.engines.kernels.newton import NewtonSearch, _arrived
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.graph.latent import LatentView


def crossed() -> LatentView:
    rng = np.random.default_rng(0)
    g, h, x = rng.integers(0, 12, 120), rng.integers(0, 5, 120), rng.normal(size=120)
    eta = 0.3 + 0.5 * x + rng.normal(0, 0.6, 12)[g] + rng.normal(0, 0.4, 5)[h] + rng.normal(0, 0.3, 12)[g] * x
    data = pd.DataFrame({"x": x, "g": g.astype(str), "h": h.astype(str), "count": rng.poisson(np.exp(eta))})
    return LatentView(bg.Model("count ~ x + (1 + x | g) + (1 | h)", data, family="poisson").problem)


def test_a_factor_that_serves_for_several_steps_leads_to_the_same_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a factorisation takes long: steps with an older curvature, judged by how fast their gains fall."""
    view = crossed()
    objective, theta = LaplaceObjective(view), view.initial_theta - 0.3
    original, factored = NewtonSearch.factor, 0

    def counted(search: NewtonSearch, W: Any) -> Any:
        nonlocal factored
        factored += 1
        return original(search, W)

    monkeypatch.setattr(NewtonSearch, "factor", counted)
    assert not objective.structure.pattern.heavy
    wanted = objective.mode(theta)
    newton, factored = factored, 0
    monkeypatch.setitem(objective.structure.pattern.__dict__, "heavy", True)
    found = objective.mode(theta)
    assert found.converged
    assert factored < newton
    # What is left is at most 1e-11 in units of log density: 1e-5 of a posterior standard deviation.
    assert np.linalg.norm(wanted.factor.half_product(found.x - wanted.x)) < 1e-5
    np.testing.assert_allclose(found.log_marginal, wanted.log_marginal, atol=1e-6)


def test_constant_curvature_needs_one_step() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=60), "g": np.tile(list("abcdef"), 10), "y": rng.normal(size=60)})
    objective = LaplaceObjective(LatentView(bg.Model("y ~ x + (1 + x | g)", data).problem))
    mode = objective.mode(objective.view.initial_theta, 10.0 * rng.normal(size=objective.view.size))
    assert mode.converged
    assert mode.iterations == 1
    work = mode.work
    slope = objective.expansion(mode).d1
    np.testing.assert_allclose(work.rows.transpose(slope), work.prior.times(work.inner), atol=1e-8)


def test_wide_dense_designs_are_heavy() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(1000, 4)), columns=["a", "b", "c", "y"])
    few = LaplaceObjective(LatentView(bg.Model("y ~ s(a) + s(b) + s(c)", data).problem))
    many = LaplaceObjective(LatentView(bg.Model("y ~ s(a, b, c, k=150)", data).problem))
    assert [objective.structure.pattern.heavy for objective in (few, many)] == [False, True]


def test_a_search_starts_from_the_effects_of_a_mode_nearby() -> None:
    """Lambda u = b is carried over: not u, whose scale is that of the standard deviations."""
    view = crossed()
    structure = LaplaceObjective(view).structure
    near, far = (view.factors(view.natural(view.initial_theta + shift)) for shift in (0.0, -1.0))
    x = np.random.default_rng(1).normal(size=view.size)
    moved = structure.carried(x, near, far)
    np.testing.assert_allclose(structure.rows(far).eta(moved), structure.rows(near).eta(x), rtol=1e-10)
    gone = tuple(0.0 * factor for factor in far)  # a standard deviation of zero allows no effects
    np.testing.assert_array_equal(structure.carried(x, near, gone), x)


def test_the_mean_of_a_skew_conditional_density_is_found() -> None:
    """Few rows per coefficient and wild predictors: steps with the curvature at the mode grow without end."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40)) ** 3
    data = pd.DataFrame(X, columns=[f"x{j}" for j in range(40)])
    formula = "y ~ " + " + ".join(data)
    data["y"] = (X[:, :6].sum(axis=1) + rng.logistic(size=300) > 0).astype(int)
    model = bg.Model(formula, data, family="bernoulli", priors={"fixed": bg.Prior("Normal", mu=0, sigma=3)})
    view = LatentView(model.problem)
    objective = LaplaceObjective(view)
    mode = objective.mode(np.zeros(0))
    inverse = mode.factor.inverse()
    A, h = view.design(np.zeros(0))[0][1].toarray(), mode.work.rows.covariances(inverse)[0, 0]
    np.testing.assert_allclose(h, np.einsum("ij,jk,ik->i", A, np.linalg.inv(H := hessian(mode, A)), A), rtol=1e-8)
    z, weight = hermegauss(7)
    for guess in (None, 0.3 * rng.normal(size=view.size)):
        mean = conditional_mean(objective, mode, guess)
        assert np.sqrt((mean - mode.x) @ H @ (mean - mode.x)) > 1.0  # far enough for steps to go astray
        expected = special.expit((A @ mean)[:, None] + np.sqrt(h)[:, None] * z) @ (weight / weight.sum())
        left = A.T @ (data["y"] - expected) - mode.work.prior.times(mean)
        assert np.sqrt(left @ np.linalg.solve(H, left)) < 0.1


def hessian(mode: Any, A: Any) -> Any:
    """Return A' W A + Q, densely."""
    Q = np.column_stack([mode.work.prior.times(unit + mode.work.prior.mean) for unit in np.eye(A.shape[1])])
    return A.T @ (-mode.work.d2[0, 0][:, None] * A) + Q


def test_gains_without_bound_are_no_arrival() -> None:
    """A trial far off the mark can gain more than double precision has squares for."""
    assert not _arrived(1e180, 1e200, kept=False)
    assert _arrived(1e-12, 1e-6, kept=False)

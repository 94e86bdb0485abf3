"""Integrands of group effects: against direct computation, the closed gaussian case, and quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.engines.kernels.integrand import Integrands, integrands
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.graph.latent import LatentView


def curves(model: bg.Model, theta: list[float], beta: list[float]) -> tuple[list[Integrands], Any, LatentView]:
    view = LatentView(model.problem)
    mode = LaplaceObjective(view, "ml").mode(np.array([*theta, *beta]))
    return integrands(view, mode.theta, mode.x), mode, view


def test_one_effect_per_level_is_the_integrand_written_out(dataset: Callable[[str], Any]) -> None:
    data = dataset("cbpp")
    beta, sd = np.array([-1.4, -1.0, -1.1, -1.6]), 0.64
    model = bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")
    (found,), mode, view = curves(model, [np.log(sd)], list(beta))
    assert found.log_t.shape == (15, 1, 161)
    X = model.problem.predictors[0].predictor.X
    herd, u_all = data["herd"].to_numpy(), mode.x[next(p for p in view.parts if p.role == "spherical").slice]
    for j, level in enumerate(found.block.block.levels):
        rows = data[herd.astype(str) == level]
        fixed = X[herd.astype(str) == level] @ beta

        def log_f(u: float, rows: Any = rows, fixed: Any = fixed) -> float:
            p = special.expit(fixed + sd * u)
            return float(stats.binom.logpmf(rows["incidence"], rows["size"], p).sum() + stats.norm.logpdf(u))

        centre = u_all[j]
        p = special.expit(fixed + sd * centre)
        spread = (1.0 + sd**2 * (rows["size"] * p * (1 - p)).sum()) ** -0.5
        # log f is flat at the mode
        assert log_f(centre + 1e-4) - log_f(centre - 1e-4) == pytest.approx(0.0, abs=1e-6)
        expected = [log_f(centre + spread * z) - log_f(centre) + 0.5 * z**2 for z in found.z]
        np.testing.assert_allclose(found.log_t[j, 0], expected, rtol=0, atol=1e-8)


def test_the_errors_of_the_levels_are_what_quadrature_adds(dataset: Callable[[str], Any]) -> None:
    model = bg.Model("use ~ age + (1 | district)", dataset("Contraception"), family="bernoulli")
    (found,), mode, view = curves(model, [np.log(0.8)], [-0.5, 0.01])
    exact, _ = Quadrature(view, 41)(mode.theta, np.array([-0.5, 0.01]))
    assert found.log_error.sum() == pytest.approx(exact - mode.log_marginal, abs=1e-5)
    assert np.abs(found.log_error).min() > 0.0


@pytest.mark.parametrize("formula", ["Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"])
def test_gaussian_integrands_are_normal(formula: str, dataset: Callable[[str], Any]) -> None:
    model = bg.Model(formula, dataset("sleepstudy"))
    theta = LatentView(model.problem).initial_theta
    (found,), _, _ = curves(model, list(theta), [250.0, 10.0])
    np.testing.assert_allclose(found.t, 1.0, rtol=0, atol=1e-9)


def test_axes_of_several_effects(dataset: Callable[[str], Any]) -> None:
    """Along every axis slope and second derivative of the integrand are those of the normal density."""
    model = bg.Model("use ~ age + (urban | district)", dataset("Contraception"), family="bernoulli")
    theta = LatentView(model.problem).initial_theta - 0.5
    (found,), _, _ = curves(model, list(theta), [-0.5, 0.01])
    assert found.log_t.shape[:2] == (60, 2)
    centre = len(found.z) // 2
    step = found.z[1] - found.z[0]
    bend = (found.log_t[..., centre + 1] - 2 * found.log_t[..., centre] + found.log_t[..., centre - 1]) / step**2
    slope = (found.log_t[..., centre + 1] - found.log_t[..., centre - 1]) / (2 * step)
    # What is left is of third and fourth order in the step.
    np.testing.assert_allclose(bend, 0.0, atol=5e-3)
    np.testing.assert_allclose(slope, 0.0, atol=5e-3)


def test_effects_of_every_parameter(dataset: Callable[[str], Any]) -> None:
    frame = dataset("Salamanders")
    model = bg.Model(["count ~ mined + (1 | site)", "zi ~ 1 + (1 | site)"], frame, family="zero_inflated_poisson")
    found, _, _ = curves(model, list(LatentView(model.problem).initial_theta - 0.5), [0.1, 0.5, -0.5])
    assert [c.block.names.b for c in found] == [block.names.b for block in model.problem.blocks]
    centre = len(found[0].z) // 2
    for each in found:
        np.testing.assert_allclose(each.log_t[..., centre], 0.0, atol=1e-12)
        np.testing.assert_allclose(each.log_t[..., centre + 1] - each.log_t[..., centre - 1], 0.0, atol=1e-3)
        assert np.isfinite(each.log_error).all()

"""How NUTS moves in conditioned coordinates: its integrator is exact for a normal density, its target stays exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.engines.nuts import NutsSettings
from bayesglmm.engines.prepared import Prepared, prepare

GROUPS, ROWS = 6, 5


@pytest.fixture(scope="module")
def successes() -> np.ndarray:
    return np.array([0, 5, 1, 4, 0, 3])


@pytest.fixture(scope="module")
def model(successes: np.ndarray) -> bg.Model:
    y = np.concatenate([np.repeat([1, 0], [k, ROWS - k]) for k in successes])
    data = pd.DataFrame({"y": y, "g": np.repeat(np.arange(GROUPS), ROWS)})
    priors = {"Intercept": bg.Prior("Normal", 0, 1.5), "sd": bg.Prior("HalfNormal", 2.0)}
    return bg.Model("y ~ 1 + (1 | g)", data, family="bernoulli", priors=priors)


@pytest.fixture(scope="module")
def draws(model: bg.Model) -> Any:
    return model.fit("nuts", path="ahead", seed=1, draws=2000, progressbar=False).draws


def _exact(successes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grids of the intercept and of log sd, and the posterior mass of each pair; effects integrated by quadrature."""
    beta, t = np.linspace(-7.0, 7.0, 281), np.linspace(-9.0, 3.0, 481)
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    eta = beta[:, None, None] + np.exp(t)[:, None] * nodes
    log_p = -0.5 * (beta / 1.5)[:, None] ** 2 - 0.5 * (np.exp(t) / 2.0) ** 2 + t
    for k in successes:
        inner = np.exp(k * eta - ROWS * np.logaddexp(0.0, eta)) @ weights
        log_p = log_p + np.log(inner)
    mass = np.exp(log_p - special.logsumexp(log_p))
    return beta, t, mass


def test_draws_have_the_marginals_found_by_quadrature(draws: Any, successes: np.ndarray) -> None:
    beta, t, mass = _exact(successes)
    for grid, margin, values in (
        (beta, mass.sum(1), np.asarray(draws["beta"])[..., 0]),
        (t, mass.sum(0), np.log(np.asarray(draws["sd_g"])[..., 0])),
    ):
        below = np.cumsum(margin) - 0.5 * margin
        ranks = np.interp(values, grid, below)
        # Every third of 8,000 draws, nearly independent: a true posterior exceeds this once in a thousand seeds.
        assert stats.kstest(ranks[:, ::3].ravel(), "uniform").statistic < 1.95 / np.sqrt(ranks[:, ::3].size)


def test_fewer_gradients_than_by_leapfrog_steps(model: bg.Model) -> None:
    import nutpie

    compiled, per_draw = prepare(model.problem, "ahead").compiled, {}
    for exact in (True, False):
        own = {"tune": 300, "draws": 300, "chains": 2, "seed": 2, "progress_bar": False, "target_accept": 0.8}
        trace = nutpie.sample(compiled, exact_normal_trajectory=exact, **own)
        per_draw[exact] = float(trace["sample_stats"]["n_steps"].mean())
    assert per_draw[True] < per_draw[False]


def test_what_is_left_out_follows_the_coordinates(model: bg.Model) -> None:
    ahead, graph = prepare(model.problem, "ahead"), Prepared(model.problem, None)
    assert NutsSettings().chosen(ahead) == (300, 0.8)
    assert NutsSettings().chosen(graph) == (1000, 0.9)
    assert NutsSettings(sampler="pymc").chosen(prepare(model.problem, "compiled")) == (1000, 0.9)
    assert NutsSettings(tune=700, target_accept=0.95).chosen(ahead) == (700, 0.95)

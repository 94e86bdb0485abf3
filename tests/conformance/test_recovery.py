"""Every family finds the parameters that numpy simulated its responses with.

The fit is the joint mode of Laplace's approximation with its curvature, which compiles nothing: coefficients, group
standard deviation and dispersions must lie within 4.5 posterior standard deviations of the truth (about 100
comparisons; a normal z exceeds 4.5 with probability 7e-6). The simulators use numpy and scipy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines.kernels.optimum import laplace_mode
from bayesglmm.families import FAMILIES
from bayesglmm.graph.latent import LatentView

ROWS, GROUPS = 1200, 40
BETA, SD = np.array([0.6, 0.4]), 0.5
DISPERSIONS: Mapping[str, float] = {"sigma": 0.7, "nu": 5.0, "shape": 3.0, "phi": 8.0, "zi": 0.25, "hu": 0.3}
CUTS = np.array([-0.8, 0.6, 1.9])
TRIALS = 10

type Draw = Callable[[np.random.Generator, Any], Any]


def expit(eta: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-eta))


def nb(r: np.random.Generator, mu: Any) -> Any:
    return r.negative_binomial(3.0, 3.0 / (3.0 + mu))


def zero(r: np.random.Generator, share: float, y: Any) -> Any:
    return np.where(r.random(len(y)) < share, 0, y)


def above(r: np.random.Generator, draw: Callable[[], Any]) -> Any:
    """Draw until positive: a zero-truncated count."""
    y = draw()
    while (y == 0).any():
        y = np.where(y == 0, draw(), y)
    return y


def beta(r: np.random.Generator, eta: Any) -> Any:
    return np.clip(r.beta(8.0 * expit(eta), 8.0 * expit(-eta)), 1e-9, 1 - 1e-9)


def ordinal(r: np.random.Generator, eta: Any) -> Any:
    below = expit(CUTS - eta[:, None])
    return (r.random(len(eta))[:, None] > below).sum(axis=1) + 1


SIMULATE: dict[str, Draw] = {
    "gaussian": lambda r, e: r.normal(e, 0.7),
    "student_t": lambda r, e: e + 0.7 * r.standard_t(5.0, len(e)),
    "lognormal": lambda r, e: np.exp(r.normal(e, 0.7)),
    "bernoulli": lambda r, e: r.binomial(1, expit(e)),
    "binomial": lambda r, e: r.binomial(TRIALS, expit(e)),
    "beta_binomial": lambda r, e: r.binomial(TRIALS, beta(r, e)),
    "zero_inflated_binomial": lambda r, e: zero(r, 0.25, r.binomial(TRIALS, expit(e))),
    "poisson": lambda r, e: r.poisson(np.exp(e)),
    "negative_binomial": lambda r, e: nb(r, np.exp(e)),
    "negative_binomial1": lambda r, e: r.negative_binomial(np.exp(e) / 8.0, 1.0 / 9.0),
    "zero_inflated_poisson": lambda r, e: zero(r, 0.25, r.poisson(np.exp(e))),
    "zero_inflated_negative_binomial": lambda r, e: zero(r, 0.25, nb(r, np.exp(e))),
    "hurdle_poisson": lambda r, e: zero(r, 0.3, above(r, lambda: r.poisson(np.exp(e)))),
    "hurdle_negative_binomial": lambda r, e: zero(r, 0.3, above(r, lambda: nb(r, np.exp(e)))),
    "hurdle_gamma": lambda r, e: zero(r, 0.3, r.gamma(3.0, np.exp(e) / 3.0)),
    "gamma": lambda r, e: r.gamma(3.0, np.exp(e) / 3.0),
    "exponential": lambda r, e: r.exponential(np.exp(e)),
    "weibull": lambda r, e: stats.weibull_min.rvs(3.0, scale=np.exp(e) / stats.weibull_min.mean(3.0), random_state=r),
    "inverse_gaussian": lambda r, e: r.wald(np.exp(e), 3.0),
    "beta": beta,
    "cumulative": ordinal,
    "categorical": lambda r, e: np.array(["a", "b", "c"])[
        np.argmax(np.stack([np.zeros_like(e), e, -0.5 * e], axis=1) + r.gumbel(size=(len(e), 3)), axis=1)
    ],
}


def test_every_family_has_a_simulator() -> None:
    assert set(SIMULATE) == set(FAMILIES.names())


@pytest.mark.parametrize("name", SIMULATE)
def test_parameters_are_recovered(name: str) -> None:
    rng = np.random.default_rng(abs(hash_of(name)))
    group = np.repeat(np.arange(GROUPS), ROWS // GROUPS)
    x = rng.normal(size=ROWS)
    u = rng.normal(0.0, SD, GROUPS)
    eta = BETA[0] + BETA[1] * x + u[group]
    data = pd.DataFrame({"y": SIMULATE[name](rng, eta), "x": x, "g": group, "n": TRIALS})
    trials = "binomial" in name and "negative" not in name
    model = bg.Model(f"{'y | trials(n)' if trials else 'y'} ~ x + (1 | g)", data, family=name)
    view = LatentView(model.problem)
    start = model.graph.initial_point()
    theta = np.concatenate([np.ravel(start[value.name]) for value in view.theta_values])
    mode, covariance = laplace_mode(view, theta)
    assert mode.converged
    for label, estimate, error, truth in _comparisons(name, view, mode, covariance):
        assert abs(estimate - truth) < 4.5 * error, (
            f"{label}: {estimate:.3f} +- {error:.3f}, simulated with {truth:.3f}"
        )


def hash_of(name: str) -> int:
    return sum(ord(letter) * 31**j for j, letter in enumerate(name)) % 2**31


def _comparisons(name: str, view: LatentView, mode: Any, covariance: Any) -> list[tuple[str, float, float, float]]:
    found = []
    for part in view.parts:
        if part.role != "fixed":
            continue
        unit = np.zeros((view.size, part.shape[0]))
        unit[part.slice] = np.eye(part.shape[0])
        errors = np.sqrt(np.diag(mode.factor.solve(unit)[part.slice]))
        found += [
            (f"{part.name}[{j}]", value, error, truth)
            for j, (value, error, truth) in enumerate(
                zip(mode.x[part.slice], errors, _coefficients(name, part.name), strict=True)
            )
        ]
    return found + _hyperparameters(name, view, mode, covariance)


def _coefficients(name: str, variable: str) -> Any:
    if name == "cumulative":
        return BETA[1:]  # the intercept is in the cutpoints
    return -0.5 * BETA if variable == "mu_c_beta" else BETA


def _hyperparameters(
    name: str, view: LatentView, mode: Any, covariance: Any
) -> list[tuple[str, float, float, float]]:
    """Compare on the unconstrained scale, where the posterior is nearly normal."""
    found, start = [], 0
    errors = np.sqrt(np.diag(covariance))
    names = view.problem.names("theta")
    for variable, value, shape in zip(names, view.split(mode.theta), view.theta_shapes, strict=True):
        size = int(np.prod(shape))
        error, start = errors[start : start + size], start + size
        if variable == "cutpoints":
            continue  # ordered and centred inside: looked at through the coefficients and the next test
        if variable.endswith(("sd_g", "_sd_g")):
            # the -0.5 factor of the third category halves its group effects, too
            truth = np.log(SD * (0.5 if variable == "mu_c_sd_g" else 1.0))
        else:
            natural = DISPERSIONS[variable]
            truth = np.log(natural / (1 - natural)) if variable in ("zi", "hu") else np.log(natural)
        found.append((variable, float(np.ravel(value)[0]), float(error[0]), float(truth)))
    return found

"""Log densities where naive formulas fail, against closed forms in log space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy import special, stats

from bayesglmm.arraymath import NUMPY, pytensor_math
from bayesglmm.families import FAMILIES, densities
from bayesglmm.families.base import ResponseData
from bayesglmm.families.polygamma import tetragamma, trigamma
from bayesglmm.links import LINKS, Linked

PY = Mode(linker="py", optimizer="merge")
TINY = np.exp(-30.0)


def log_density(family: str, link: str, eta: float, y: float, trials: int | None = None, **phi: Any) -> float:
    xp, identity = pytensor_math(), LINKS.get("identity")
    symbol = pt.dscalar("eta")
    parameters = {"mu": Linked(symbol, LINKS.get(link), xp)}
    parameters |= {name: Linked(np.asarray(value), identity, xp) for name, value in phi.items()}
    rv = FAMILIES.get(family).dist(parameters, ResponseData(trials=trials))
    value = pm.logp(rv, int(y) if FAMILIES.get(family).discrete else y)
    with np.errstate(all="ignore"):
        return float(pytensor.function([symbol], value, mode=PY)(eta))


CLOSED_FORMS = [
    (("bernoulli", "probit", -30.0, 1), special.log_ndtr(-30.0)),
    (("bernoulli", "cloglog", 30.0, 0), -np.exp(30.0)),
    (("bernoulli", "cauchit", -30.0, 1), np.log(np.arctan(1 / 30.0) / np.pi)),
    (("hurdle_poisson", "log", -30.0, 1, None), np.log(0.7) - TINY / 2),
    (("hurdle_poisson", "log", -30.0, 2, None), np.log(0.7) - 30.0 - np.log(2.0)),
    (("zero_inflated_poisson", "log", 30.0, 0, None), np.log(0.3)),
    (("negative_binomial", "log", 30.0, 0, None), -1.7 * (30.0 - np.log(1.7))),
    (("cumulative", "probit", -30.0, 1, None), special.log_ndtr(-29.0) + np.log1p(-np.exp(
        special.log_ndtr(-30.5) - special.log_ndtr(-29.0)
    ))),
    (("cumulative", "logit", -30.0, 1, None), -29.0 + np.log1p(-np.exp(-1.5))),
    (("cumulative", "cloglog", -30.0, 1, None), -np.exp(29.0)),
]  # fmt: skip
PHI: dict[str, dict[str, Any]] = {
    "hurdle_poisson": {"hu": 0.3},
    "zero_inflated_poisson": {"zi": 0.3},
    "negative_binomial": {"shape": 1.7},
    "negative_binomial1": {"phi": 1.7},
    "cumulative": {"cutpoints": np.array([-1.0, 0.5])},
}


@pytest.mark.parametrize(
    ("arguments", "expected"), CLOSED_FORMS, ids=[f"{a[0]}-{a[1]}{a[2]:g}" for a, _ in CLOSED_FORMS]
)
def test_closed_forms_in_the_tails(arguments: Any, expected: float) -> None:
    assert log_density(*arguments, **PHI.get(arguments[0], {})) == pytest.approx(expected, rel=1e-9)


def test_outside_the_support_of_counts_in_trials() -> None:
    assert log_density("binomial", "logit", 0.0, 7, 6) == -np.inf
    assert log_density("beta_binomial", "logit", 0.0, -1, 6, phi=2.0) == -np.inf


def test_polygammas() -> None:
    x = np.concatenate([np.linspace(1.0, 30.0, 200), [1e3, 1e6, 1e10]])
    np.testing.assert_allclose(trigamma(x), special.polygamma(1, x), rtol=1e-13)
    np.testing.assert_allclose(tetragamma(x), special.polygamma(2, x), rtol=1e-13)


@pytest.mark.parametrize("y", [0.0, 1.0, 7.0, 1000.0])
def test_rising_factorials_are_smooth_across_the_switch_to_stirling(y: float) -> None:
    below, above = (
        densities.log_rising(np.array(a), np.log(a), np.array(y), NUMPY) for a in (1e4 * (1 - 1e-9), 1e4 * (1 + 1e-9))
    )
    assert below == pytest.approx(above, rel=1e-8, abs=1e-7)
    tiny = densities.log_rising(np.array(1e-200), np.log(1e-200), np.array(y), NUMPY)
    assert tiny == pytest.approx(np.log(1e-200) + special.gammaln(y) if y else 0.0)


def test_huge_shapes_and_precisions_reach_the_simpler_family() -> None:
    y, mu = np.arange(5.0), 2.5
    shape = 1e12
    ours = densities.negative_binomial_log_density(y, np.log(mu), np.array(shape), np.log(shape), NUMPY)
    np.testing.assert_allclose(ours, stats.poisson(mu).logpmf(y), rtol=1e-9)
    log_p, log_q = np.log(0.3), np.log(0.7)
    ours = densities.beta_binomial_log_density(y, 6.0, log_p, log_q, np.array(shape), np.log(shape), NUMPY)
    np.testing.assert_allclose(ours, stats.binom(6, 0.3).logpmf(y), rtol=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "lognormal", "exponential", "weibull", "inverse_gaussian", "gamma"])
def test_survival_functions_reach_far(family: str) -> None:
    """A censored row may lie far out on both sides while a sampler finds its way."""
    xp, identity = pytensor_math(), LINKS.get("identity")
    member = FAMILIES.get(family)
    eta = pt.dvector("eta")
    phi = {p.name: Linked(np.asarray(1.3), identity, xp) for p in member.parameters[1:]}
    rv = member.dist({"mu": Linked(eta, LINKS.get(member.main.link), xp), **phi}, ResponseData())
    value = pm.logccdf(rv, pt.as_tensor_variable(2.0))
    real = member.main.domain == "real"
    grid = np.array([-25.0, -9.0, 0.0, 9.0, 25.0]) if real else np.array([-4.0, 0.0, 5.0, 25.0])
    function = pytensor.function([eta], [value, pt.grad(value.sum(), eta)], mode=PY)
    with np.errstate(all="ignore"):
        results = function(grid)
    assert np.all(np.isfinite(results))
    assert np.all(np.diff(results[0]) > 0)

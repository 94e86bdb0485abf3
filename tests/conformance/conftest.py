"""What the conformance suite knows of each family: settings, extreme responses, and an independent reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

LINKS_OF = {
    "unit": ("logit", "probit", "cloglog", "loglog", "cauchit"),
    "positive": ("log", "sqrt", "inverse", "softplus", "identity"),
    "real": ("identity", "log"),
}
CUTS = np.array([-1.0, 0.5, 2.0])
TRIALS = 12.0


@dataclass(frozen=True)
class Moments:
    """A reference distribution at one row: log density, mean and variance, from scipy or by summation."""

    logpdf: Callable[[Any], Any]
    mean: Any
    var: Any


def frozen(distribution: Any, discrete: bool) -> Moments:
    logpdf = distribution.logpmf if discrete else distribution.logpdf
    return Moments(logpdf, distribution.mean(), distribution.var())


def with_extra_zeros(zi: float, base: Moments) -> Moments:
    def logpdf(y: Any) -> Any:
        return np.where(y == 0, np.log(zi + (1 - zi) * np.exp(base.logpdf(0))), np.log1p(-zi) + base.logpdf(y))

    mean = (1 - zi) * base.mean
    return Moments(logpdf, mean, (1 - zi) * (base.var + base.mean**2) - mean**2)


def above_zero(hu: float, base: Moments, zero: Any) -> Moments:
    def logpdf(y: Any) -> Any:
        return np.where(y == 0, np.log(hu), np.log1p(-hu) + base.logpdf(np.maximum(y, 1e-9)) - np.log1p(-zero))

    mean = (1 - hu) * base.mean / (1 - zero)
    return Moments(logpdf, mean, (1 - hu) * (base.var + base.mean**2) / (1 - zero) - mean**2)


def of_codes(probabilities: Any) -> Moments:
    """Category codes 0..K-1; probabilities in the last axis."""
    codes = np.arange(probabilities.shape[-1])
    mean = probabilities @ codes

    def logpdf(y: Any) -> Any:
        return np.log(np.take_along_axis(probabilities, np.asarray(y, int)[..., None], axis=-1)[..., 0])

    return Moments(logpdf, mean, probabilities @ codes**2 - mean**2)


def negative_binomial(mu: Any, shape: float) -> Moments:
    return frozen(stats.nbinom(shape, shape / (shape + mu)), True)


def gamma(mu: Any, shape: float) -> Moments:
    return frozen(stats.gamma(shape, scale=mu / shape), False)


def cut(p: Any) -> Moments:
    eta = special.logit(p)
    below = special.expit(CUTS - np.asarray(eta)[..., None])
    edge = np.zeros_like(below[..., :1])
    return of_codes(np.diff(np.concatenate([edge, below, edge + 1.0], axis=-1), axis=-1))


def softmax(eta: Any) -> Moments:
    """Two predictors eta and -eta / 2 beside the reference."""
    eta = np.asarray(eta, float)
    return of_codes(special.softmax(np.stack([0.0 * eta, eta, -eta / 2], axis=-1), axis=-1))


@dataclass(frozen=True)
class Case:
    """One family under test.

    Attributes
    ----------
    extremes : responses at which derivatives must be finite over the whole range of eta
    typical : responses at which values are compared with the reference
    means : values of the main parameter for draws and reference values
    reference : from the main parameter (natural scale) to `Moments`
    phi : dispersions
    hand_written : whether `derivatives` must not be None
    """

    extremes: tuple[float, ...]
    typical: tuple[float, ...]
    means: tuple[float, ...]
    reference: Callable[[Any], Moments]
    phi: Mapping[str, Any] = field(default_factory=dict)
    trials: float | None = None
    hand_written: bool = True


COUNTS = {"extremes": (0, 1, 1_000_000), "typical": (0, 1, 2, 9), "means": (0.3, 2.0, 40.0)}
POSITIVE = {"extremes": (1e-8, 1.0, 1e6), "typical": (0.2, 1.0, 9.0), "means": (0.3, 2.0, 40.0)}
PROPORTIONS = {"extremes": (1e-8, 0.3, 1 - 1e-8), "typical": (0.1, 0.5, 0.8), "means": (0.1, 0.5, 0.8)}
SUCCESSES = {"extremes": (0, 1, 11, 12), "typical": (0, 1, 7, 12), "means": (0.1, 0.5, 0.8), "trials": TRIALS}
REAL = {"extremes": (-1e3, 0.0, 1e6), "typical": (-3.0, 0.0, 1.5), "means": (-2.0, 0.5, 3.0)}

CASES: dict[str, Case] = {
    "gaussian": Case(**REAL, phi={"sigma": 1.7}, reference=lambda m: frozen(stats.norm(m, 1.7), False)),
    "student_t": Case(
        **REAL,
        phi={"sigma": 1.7, "nu": 9.0},
        reference=lambda m: frozen(stats.t(9.0, m, 1.7), False),
    ),
    "lognormal": Case(
        **POSITIVE | {"means": (-1.0, 0.5, 2.0)},
        phi={"sigma": 0.4},
        reference=lambda m: frozen(stats.lognorm(0.4, scale=np.exp(m)), False),
    ),
    "bernoulli": Case(
        extremes=(0, 1),
        typical=(0, 1),
        means=(0.1, 0.5, 0.8),
        reference=lambda m: frozen(stats.bernoulli(m), True),
    ),
    "binomial": Case(**SUCCESSES, reference=lambda m: frozen(stats.binom(TRIALS, m), True)),
    "beta_binomial": Case(
        **SUCCESSES,
        phi={"phi": 3.0},
        reference=lambda m: frozen(stats.betabinom(TRIALS, 3.0 * m, 3.0 * (1 - m)), True),
    ),
    "zero_inflated_binomial": Case(
        **SUCCESSES,
        phi={"zi": 0.3},
        reference=lambda m: with_extra_zeros(0.3, frozen(stats.binom(TRIALS, m), True)),
    ),
    "poisson": Case(**COUNTS, reference=lambda m: frozen(stats.poisson(m), True)),
    "negative_binomial": Case(**COUNTS, phi={"shape": 1.7}, reference=lambda m: negative_binomial(m, 1.7)),
    "negative_binomial1": Case(**COUNTS, phi={"phi": 1.7}, reference=lambda m: negative_binomial(m, m / 1.7)),
    "zero_inflated_poisson": Case(
        **COUNTS,
        phi={"zi": 0.3},
        reference=lambda m: with_extra_zeros(0.3, frozen(stats.poisson(m), True)),
    ),
    "zero_inflated_negative_binomial": Case(
        **COUNTS,
        phi={"shape": 1.7, "zi": 0.3},
        reference=lambda m: with_extra_zeros(0.3, negative_binomial(m, 1.7)),
    ),
    "hurdle_poisson": Case(
        **COUNTS,
        phi={"hu": 0.3},
        reference=lambda m: above_zero(0.3, frozen(stats.poisson(m), True), np.exp(-m)),
    ),
    "hurdle_negative_binomial": Case(
        **COUNTS,
        phi={"shape": 1.7, "hu": 0.3},
        reference=lambda m: above_zero(0.3, negative_binomial(m, 1.7), (1 + m / 1.7) ** -1.7),
    ),
    "hurdle_gamma": Case(
        **POSITIVE | {"extremes": (0.0, 1e-8, 1.0, 1e6), "typical": (0.0, 0.2, 3.0)},
        phi={"shape": 1.7, "hu": 0.3},
        reference=lambda m: above_zero(0.3, gamma(m, 1.7), 0.0),
    ),
    "gamma": Case(**POSITIVE, phi={"shape": 1.7}, reference=lambda m: gamma(m, 1.7)),
    "exponential": Case(**POSITIVE, reference=lambda m: frozen(stats.expon(scale=m), False)),
    "weibull": Case(
        **POSITIVE,
        phi={"shape": 1.7},
        reference=lambda m: frozen(stats.weibull_min(1.7, scale=m / special.gamma(1 + 1 / 1.7)), False),
    ),
    "inverse_gaussian": Case(
        **POSITIVE | {"means": (0.3, 2.0, 5.0)},
        phi={"shape": 4.0},
        reference=lambda m: frozen(stats.invgauss(m / 4.0, scale=4.0), False),
    ),
    "beta": Case(
        **PROPORTIONS,
        phi={"phi": 3.0},
        reference=lambda m: frozen(stats.beta(3.0 * m, 3.0 * (1 - m)), False),
    ),
    "cumulative": Case(
        extremes=(0, 1, 2, 3),
        typical=(0, 1, 2, 3),
        means=(0.1, 0.5, 0.8),
        phi={"cutpoints": CUTS},
        reference=cut,
    ),
    "categorical": Case(
        extremes=(0, 1, 2), typical=(0, 1, 2), means=(-2.0, 0.5, 3.0), reference=softmax, hand_written=False
    ),
}


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    return CASES


@pytest.fixture(scope="session")
def py_mode() -> Any:
    """No rewrites, no compiler: quick, and the stability that is tested is that of our own formulas."""
    from pytensor.compile.mode import Mode

    return Mode(linker="py", optimizer="merge")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test over every registered family, or over every family and link that suits its main parameter."""
    from bayesglmm.families import FAMILIES

    if "family_link" in metafunc.fixturenames:
        pairs = [(f.name, link) for f in FAMILIES for link in LINKS_OF[f.main.domain] if _suits(f.name, link)]
        metafunc.parametrize("family_link", pairs, ids=["-".join(pair) for pair in pairs])
    elif "family_name" in metafunc.fixturenames:
        metafunc.parametrize("family_name", FAMILIES.names())


def _suits(family: str, link: str) -> bool:
    """The softmax stands for a link, and the mean of a lognormal is exp(mu) already."""
    return family not in ("categorical", "lognormal") or link == "identity"

"""Real and simulated models on which the verdict of the Laplace engine is held against the truth.

Each is one formula, one data set and one family; the simulated ones are made by fixed seeds. They cover what makes
Laplace's approximation good or poor: rows per group, variance between groups, rare events, small counts, effects
per row, likelihoods that are not log-concave, nested and crossed factors, random slopes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

import bayesglmm as bg


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes
    ----------
    name : str
    formula : str or list of str
    family : str
    data : callable
        Returns the data frame.
    link : str or None
    """

    name: str
    formula: Any
    family: str
    data: Callable[[], pd.DataFrame]
    link: str | None = None

    def model(self) -> bg.Model:
        """Return the model under its default priors."""
        extra = {} if self.link is None else {"link": self.link}
        return bg.Model(self.formula, self.data(), family=self.family, **extra)


def _real(name: str, **made: Callable[[pd.DataFrame], Any]) -> Callable[[], pd.DataFrame]:
    return lambda: bg.load_dataset(name).assign(**made)


def _row(data: pd.DataFrame) -> Any:
    return np.arange(len(data)).astype(str)


def _logistic(eta: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-eta))


def grouped(
    response: str,
    groups: int,
    rows: int,
    sd: float,
    intercept: float = 0.0,
    slope: float = 0.5,
    slope_sd: float = 0.0,
    seed: int = 1,
) -> Callable[[], pd.DataFrame]:
    """Return a maker of data with one grouping factor, one predictor and responses of the named kind."""

    def make() -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(groups), rows)
        x = rng.normal(size=len(g))
        eta = intercept + slope * x + rng.normal(0, sd, groups)[g] + x * rng.normal(0, 1, groups)[g] * slope_sd
        return pd.DataFrame({"x": x, "g": g.astype(str), "y": RESPONSES[response](rng, eta)})

    return make


def crossed(
    response: str, a: int, b: int, cells: int | None, sd: tuple[float, float], intercept: float, seed: int = 1
) -> Callable[[], pd.DataFrame]:
    """Return a maker of data with two crossed factors: every cell once, or so many cells taken at random."""

    def make() -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        cell = np.arange(a * b) if cells is None else rng.integers(0, a * b, cells)
        one, two = np.divmod(cell, b)
        x = rng.normal(size=len(cell))
        eta = intercept + 0.5 * x + rng.normal(0, sd[0], a)[one] + rng.normal(0, sd[1], b)[two]
        return pd.DataFrame({"x": x, "a": one.astype(str), "b": two.astype(str), "y": RESPONSES[response](rng, eta)})

    return make


def nested(
    response: str, outer: int, inner: int, rows: int, sd: tuple[float, float], intercept: float, seed: int = 1
) -> Callable[[], pd.DataFrame]:
    """Return a maker of data with one factor nested in another."""

    def make() -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        h = np.repeat(np.arange(outer * inner), rows)
        g = h // inner
        x = rng.normal(size=len(h))
        eta = intercept + 0.5 * x + rng.normal(0, sd[0], outer)[g] + rng.normal(0, sd[1], outer * inner)[h]
        return pd.DataFrame({"x": x, "g": g.astype(str), "h": h.astype(str), "y": RESPONSES[response](rng, eta)})

    return make


RESPONSES: dict[str, Callable[[np.random.Generator, Any], Any]] = {
    "binary": lambda rng, eta: (rng.random(len(eta)) < _logistic(eta)).astype(int),
    "binomial5": lambda rng, eta: rng.binomial(5, _logistic(eta)),
    "poisson": lambda rng, eta: rng.poisson(np.exp(eta)),
    "negative binomial": lambda rng, eta: rng.poisson(np.exp(eta) * rng.gamma(1.0, 1.0, len(eta))),
    "gamma": lambda rng, eta: rng.gamma(1.5, np.exp(eta) / 1.5),
    "gaussian": lambda rng, eta: eta + rng.normal(size=len(eta)),
    "student": lambda rng, eta: eta + rng.standard_t(2.0, len(eta)),
    "zero-inflated": lambda rng, eta: rng.poisson(np.exp(eta)) * (rng.random(len(eta)) > 0.4),
    "ordered": lambda rng, eta: 1 + np.digitize(eta + rng.logistic(size=len(eta)), [-1.5, 0.0, 2.0]),
    "beta": lambda rng, eta: np.clip(rng.beta(2 * _logistic(eta), 2 * _logistic(-eta)), 1e-3, 1 - 1e-3),
}

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
BINOMIAL5 = "cbind(y, 5 - y) ~ x + (1 | g)"

CASES = (
    Case("cbpp", CBPP, "binomial", _real("cbpp")),
    Case("cbpp, effect per row", f"{CBPP} + (1 | row)", "binomial", _real("cbpp", row=_row)),
    Case(
        "Contraception",
        "use ~ age + I(age^2) + urban + livch + (1 | district)",
        "bernoulli",
        _real("Contraception"),
    ),
    Case(
        "Contraception, slopes",
        "use ~ age + I(age^2) + urban + livch + (1 + urban | district)",
        "bernoulli",
        _real("Contraception"),
    ),
    Case("epilepsy", "count ~ zAge + zBase * Trt + (1 | patient)", "poisson", _real("epilepsy")),
    Case(
        "epilepsy, effect per row",
        "count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)",
        "poisson",
        _real("epilepsy"),
    ),
    Case(
        "grouseticks",
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "poisson",
        _real("grouseticks"),
    ),
    Case(
        "VerbAgg",
        "r2 ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        "bernoulli",
        _real("VerbAgg"),
    ),
    Case("sleepstudy", "Reaction ~ Days + (1 + Days | Subject)", "gaussian", _real("sleepstudy")),
    Case("sleepstudy, student_t", "Reaction ~ Days + (1 | Subject)", "student_t", _real("sleepstudy")),
    Case("sleepstudy, gamma", "Reaction ~ Days + (1 | Subject)", "gamma", _real("sleepstudy"), "log"),
    Case("Dyestuff", "Yield ~ 1 + (1 | Batch)", "gaussian", _real("Dyestuff")),
    Case(
        "Owls, negative binomial",
        "SiblingNegotiation ~ FoodTreatment * SexParent + offset(logBroodSize) + (1 | Nest)",
        "negative_binomial",
        _real("Owls"),
    ),
    Case(
        "Owls, zero-inflated",
        "SiblingNegotiation ~ FoodTreatment * SexParent + offset(logBroodSize) + (1 | Nest)",
        "zero_inflated_poisson",
        _real("Owls"),
    ),
    Case("Salamanders", "count ~ spp + mined + (1 | site)", "poisson", _real("Salamanders")),
    Case(
        "Salamanders, zero-inflated",
        ["count ~ spp + mined + (1 | site)", "zi ~ mined"],
        "zero_inflated_poisson",
        _real("Salamanders"),
    ),
    Case("binary, 3 rows, sd 4", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 80, 3, 4.0, 1.5)),
    Case("binary, 4 rows, sd 2", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 100, 4, 2.0)),
    Case("binary, 4 rows, sd 3", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 100, 4, 3.0, 1.0, seed=2)),
    Case("binary, 5 rows, sd 1", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 60, 5, 1.0)),
    Case("binary, 30 rows, sd 1", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 40, 30, 1.0)),
    Case("binary, rare", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 40, 20, 1.0, -4.0)),
    Case("binary, probit", "y ~ x + (1 | g)", "bernoulli", grouped("binary", 60, 4, 3.0), "probit"),
    Case("binary, slopes", "y ~ x + (1 + x | g)", "bernoulli", grouped("binary", 60, 8, 1.0, slope_sd=0.7)),
    Case("binary, slopes, 4 rows", "y ~ x + (1 + x | g)", "bernoulli", grouped("binary", 80, 4, 3.0, slope_sd=2.0)),
    Case("binary, nested", "y ~ x + (1 | g/h)", "bernoulli", nested("binary", 15, 6, 6, (1.0, 1.0), 0.0)),
    Case("binary, nested, 2 rows", "y ~ x + (1 | g/h)", "bernoulli", nested("binary", 20, 8, 2, (1.0, 3.0), 0.5)),
    Case(
        "binary, crossed", "y ~ x + (1 | a) + (1 | b)", "bernoulli", crossed("binary", 30, 20, None, (1.0, 1.0), 0.0)
    ),
    Case(
        "binary, crossed, sparse",
        "y ~ x + (1 | a) + (1 | b)",
        "bernoulli",
        crossed("binary", 60, 50, 240, (2.5, 2.0), 0.5),
    ),
    Case("binomial of 5", BINOMIAL5, "binomial", grouped("binomial5", 30, 4, 1.0)),
    Case("binomial of 5, one row", BINOMIAL5, "binomial", grouped("binomial5", 80, 1, 1.5)),
    Case("poisson, small counts", "y ~ x + (1 | g)", "poisson", grouped("poisson", 50, 3, 1.0, -1.0)),
    Case("poisson, large counts", "y ~ x + (1 | g)", "poisson", grouped("poisson", 20, 10, 0.5, 3.0)),
    Case("poisson, 5 groups", "y ~ x + (1 | g)", "poisson", grouped("poisson", 5, 12, 0.7, 0.0)),
    Case("poisson, effect per row", "y ~ x + (1 | g)", "poisson", grouped("poisson", 120, 1, 1.0, -0.5)),
    Case(
        "poisson, crossed", "y ~ x + (1 | a) + (1 | b)", "poisson", crossed("poisson", 20, 15, None, (0.7, 0.7), 0.0)
    ),
    Case(
        "poisson, crossed, sparse",
        "y ~ x + (1 | a) + (1 | b)",
        "poisson",
        crossed("poisson", 40, 40, 120, (1.0, 1.0), -1.0),
    ),
    Case("negative binomial", "y ~ x + (1 | g)", "negative_binomial", grouped("negative binomial", 30, 6, 0.7, 0.5)),
    Case("gamma", "y ~ x + (1 | g)", "gamma", grouped("gamma", 25, 6, 0.7), "log"),
    Case("beta", "y ~ x + (1 | g)", "beta", grouped("beta", 25, 6, 0.7)),
    Case("student_t, 3 rows", "y ~ x + (1 | g)", "student_t", grouped("student", 40, 3, 2.0)),
    Case("student_t, 10 rows", "y ~ x + (1 | g)", "student_t", grouped("student", 15, 10, 1.0)),
    Case("zero-inflated", "y ~ x + (1 | g)", "zero_inflated_poisson", grouped("zero-inflated", 40, 6, 0.7, 1.0)),
    Case(
        "zero-inflated, 2 rows", "y ~ x + (1 | g)", "zero_inflated_poisson", grouped("zero-inflated", 60, 2, 1.0, 0.5)
    ),
    Case("ordered", "y ~ x + (1 | g)", "cumulative", grouped("ordered", 50, 4, 2.0)),
    Case("gaussian, sigma ~ x", ["y ~ x + (1 | g)", "sigma ~ x"], "gaussian", grouped("gaussian", 20, 6, 1.0)),
)

"""The models of simulation-based calibration: designs, priors, and data simulated without the package.

`run` fits replicate after replicate of a study with an engine and returns the ranks. All replicates of a study share
the design, so that the sampler is compiled once per worker (`Model.with_response`).
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
from sbc_ranks import Band, band, rank, thinned

import bayesglmm as bg
from bayesglmm.parallel import parallel_map

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
DRAWS = 99  # posterior draws per replicate: ranks 0 to 99
type Truth = dict[str, float]


class Study(ABC):
    """A model whose parameters have priors that do not look at y."""

    name: str
    title: str
    formula: str
    family: str
    priors: Mapping[str, bg.Prior]

    @abstractmethod
    def design(self) -> pd.DataFrame:
        """Return the rows without a response; the same at every call."""

    @abstractmethod
    def truth(self, rng: np.random.Generator) -> Truth:
        """Draw the parameters from their priors, by the labels of summaries."""

    @abstractmethod
    def response(self, truth: Truth, rows: pd.DataFrame, rng: np.random.Generator) -> Any:
        """Draw group effects and responses given the parameters, shape (n,)."""

    def replicate(self, number: int) -> tuple[Truth, pd.DataFrame]:
        """Return parameters and data of a replicate, each from its own stream."""
        rng = np.random.default_rng([number, *self.name.encode()])
        rows, truth = self.design(), self.truth(rng)
        return truth, rows.assign(y=self.response(truth, rows, rng))


def half_normal(rng: np.random.Generator, sigma: float) -> float:
    return abs(float(rng.normal(0.0, sigma)))


class GaussianSlopes(Study):
    """12 groups of 8 rows, correlated random intercepts and slopes."""

    name, family = "gaussian", "gaussian"
    title = "Gaussian, random slopes"
    formula = "y ~ x + (1 + x | g)"
    priors: Mapping[str, bg.Prior] = {
        "Intercept": bg.Prior("Normal", 0, 1),
        "x": bg.Prior("Normal", 0, 1),
        "sd": bg.Prior("HalfNormal", 1),
        "cor": bg.Prior("LKJ", 2),
        "sigma": bg.Prior("Gamma", 4, 4),
    }

    def design(self) -> pd.DataFrame:
        return pd.DataFrame({"g": np.repeat(np.arange(12), 8), "x": np.tile(np.linspace(-1, 1, 8), 12)})

    def truth(self, rng: np.random.Generator) -> Truth:
        return {
            "Intercept": rng.normal(0, 1),
            "x": rng.normal(0, 1),
            "sd[g, Intercept]": half_normal(rng, 1),
            "sd[g, x]": half_normal(rng, 1),
            # LKJ(2) for two dimensions: density proportional to 1 - r^2.
            "cor[g, Intercept, x]": 2 * rng.beta(2, 2) - 1,
            "sigma": rng.gamma(4, 1 / 4),
        }

    def response(self, truth: Truth, rows: pd.DataFrame, rng: np.random.Generator) -> Any:
        first, second, r = truth["sd[g, Intercept]"], truth["sd[g, x]"], truth["cor[g, Intercept, x]"]
        covariance = [[first**2, r * first * second], [r * first * second, second**2]]
        b = rng.multivariate_normal([truth["Intercept"], truth["x"]], covariance, 12, method="cholesky")
        return rng.normal(b[rows["g"], 0] + b[rows["g"], 1] * rows["x"], truth["sigma"])


class BernoulliIntercepts(Study):
    """40 groups of 4 binary rows and a wide prior of the standard deviation: hard for Laplace's approximation."""

    name, family = "bernoulli", "bernoulli"
    title = "Bernoulli, random intercepts"
    formula = "y ~ x + (1 | g)"
    priors: Mapping[str, bg.Prior] = {
        "Intercept": bg.Prior("Normal", 0, 1),
        "x": bg.Prior("Normal", 0, 1),
        "sd": bg.Prior("HalfNormal", 2),
    }

    def design(self) -> pd.DataFrame:
        return pd.DataFrame({"g": np.repeat(np.arange(40), 4), "x": np.tile([-1.0, -0.3, 0.3, 1.0], 40)})

    def truth(self, rng: np.random.Generator) -> Truth:
        return {"Intercept": rng.normal(0, 1), "x": rng.normal(0, 1), "sd[g, Intercept]": half_normal(rng, 2)}

    def response(self, truth: Truth, rows: pd.DataFrame, rng: np.random.Generator) -> Any:
        b = rng.normal(0, truth["sd[g, Intercept]"], 40)
        eta = truth["Intercept"] + truth["x"] * rows["x"] + b[rows["g"]]
        return rng.binomial(1, 1 / (1 + np.exp(-eta)))


class PoissonCrossed(Study):
    """Counts, each of 10 levels of one factor with each of 8 of another."""

    name, family = "poisson", "poisson"
    title = "Poisson, crossed factors"
    formula = "y ~ x + (1 | a) + (1 | b)"
    priors: Mapping[str, bg.Prior] = {
        "Intercept": bg.Prior("Normal", 0.5, 0.7),
        "x": bg.Prior("Normal", 0, 0.5),
        "sd": bg.Prior("HalfNormal", 0.7),
    }

    def design(self) -> pd.DataFrame:
        a, b = np.divmod(np.arange(80), 8)
        return pd.DataFrame({"a": a, "b": b, "x": np.linspace(-1, 1, 5)[(3 * a + 2 * b) % 5]})

    def truth(self, rng: np.random.Generator) -> Truth:
        return {
            "Intercept": rng.normal(0.5, 0.7),
            "x": rng.normal(0, 0.5),
            "sd[a, Intercept]": half_normal(rng, 0.7),
            "sd[b, Intercept]": half_normal(rng, 0.7),
        }

    def response(self, truth: Truth, rows: pd.DataFrame, rng: np.random.Generator) -> Any:
        first = rng.normal(0, truth["sd[a, Intercept]"], 10)
        second = rng.normal(0, truth["sd[b, Intercept]"], 8)
        return rng.poisson(np.exp(truth["Intercept"] + truth["x"] * rows["x"] + first[rows["a"]] + second[rows["b"]]))


STUDIES: Mapping[str, Study] = {
    study.name: study for study in (GaussianSlopes(), BernoulliIntercepts(), PoissonCrossed())
}
# Two chains of 1,000 draws, every 20th kept: the least effective parameter has an effective draw in 5 or 10.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "nuts": {"draws": 1000, "tune": 500, "chains": 2, "cores": 1, "progressbar": False},
    "laplace": {"draws": 250, "chains": 4},
}
# A gaussian replicate takes Laplace six times as long as the others: four hyperparameters, 256 points.
REPLICATES: Mapping[tuple[str, str], int] = {
    ("gaussian", "nuts"): 100,
    ("gaussian", "laplace"): 150,
    ("bernoulli", "nuts"): 100,
    ("bernoulli", "laplace"): 300,
    ("poisson", "nuts"): 100,
    ("poisson", "laplace"): 100,
}
ALPHA = 0.05 / len(REPLICATES)  # of one study with one engine: all of them together raise one false alarm in twenty


@dataclass(frozen=True, eq=False)
class Ranks:
    """What one engine did in one study.

    Attributes
    ----------
    study : Study
    engine : str
    table : DataFrame
        One row per replicate, one column per parameter: the rank among `DRAWS` draws.
    verdicts : list of str
        One per replicate.
    """

    study: Study
    engine: str
    table: pd.DataFrame
    verdicts: list[str] = field(default_factory=list)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each verdict among the replicates."""
        return {word: self.verdicts.count(word) / len(self.verdicts) for word in ("good", "check", "bad")}

    def band(self, prob: float) -> Band:
        """Return the simultaneous band for one parameter."""
        return band(len(self.table), DRAWS, prob)

    def outside(self, alpha: float = ALPHA) -> list[str]:
        """Return parameters whose ranks are not uniform, at level `alpha` for all parameters together."""
        own = self.band(1 - alpha / self.table.shape[1])
        return [name for name in self.table if not own.contains(self.table[name].to_numpy())]


@dataclass(eq=False)
class Fitted:
    """Fits a replicate by its number; compiles for the first one of a worker only.

    Attributes
    ----------
    study : Study
    engine : {"nuts", "laplace"}
    settings : mapping
        In place of `SETTINGS`.
    """

    study: Study
    engine: str
    settings: Mapping[str, Any]

    @cached_property
    def model(self) -> bg.Model:
        """The model with the rows of replicate 0: which one a worker meets first shall not matter."""
        study = self.study
        return bg.Model(study.formula, study.replicate(0)[1], family=study.family, priors=study.priors)

    def __call__(self, number: int) -> tuple[dict[str, int], str]:
        """Return ranks by parameter, and the verdict."""
        truth, data = self.study.replicate(number)
        settings = SETTINGS[self.engine] | self.settings
        fit = self.model.with_response(data).fit(self.engine, seed=number, **settings)
        drawn = {parameter.label: thinned(parameter.values, DRAWS) for parameter in fit.parameters}
        values = {name: own for name, own in drawn.items() if np.ptp(own) > 0}  # not those that are held
        if values.keys() != truth.keys():
            raise ValueError(f"The model has {list(values)}, the study {list(truth)}.")
        return {name: rank(own, values[name]) for name, own in truth.items()}, str(fit.verdict).split(":")[0]


def run(
    study: Study, engine: str, replicates: int | None = None, n_jobs: int | None = None, **settings: Any
) -> Ranks:
    """Fit a number of replicates, those of `REPLICATES` if absent, spread as ``joblib.parallel_config`` says."""
    replicates = REPLICATES[study.name, engine] if replicates is None else replicates
    found = list(parallel_map(Fitted(study, engine, settings), range(replicates), n_jobs=n_jobs))
    rows, verdicts = zip(*found, strict=True)
    return Ranks(study, engine, pd.DataFrame(list(rows)), list(verdicts))

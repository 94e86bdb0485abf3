"""Models whose predictive densities and evidence are known in closed form, and fits that several tests share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
SLEEP = "Reaction ~ Days + (Days | Subject)"


@dataclass
class Conjugate:
    """y ~ 1 + x + (1 | g), gaussian, with known standard deviations: y ~ N(m, V) over the priors.

    Attributes
    ----------
    data : DataFrame
    mean, covariance : ndarray
        Of y over all priors.
    model : Model
    fit : Fit
    """

    data: Any
    mean: Any
    covariance: Any
    model: Any
    fit: Any

    def density(self, i: int, given: Any) -> float:
        """Return log p(y_i | y_given)."""
        y, V = self.data["y"].to_numpy(), self.covariance
        given = np.asarray(given, dtype=int)
        gain = np.linalg.solve(V[np.ix_(given, given)], V[given, i])
        mean = self.mean[i] + gain @ (y[given] - self.mean[given])
        return float(stats.norm.logpdf(y[i], mean, np.sqrt(V[i, i] - gain @ V[given, i])))

    @property
    def evidence(self) -> float:
        return float(stats.multivariate_normal.logpdf(self.data["y"], self.mean, self.covariance))


@pytest.fixture(scope="session")
def conjugate() -> Conjugate:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 5)
    x = rng.normal(size=40)
    data = pd.DataFrame({"x": x, "g": [f"g{j}" for j in g]})
    data["y"] = 1.0 + 0.5 * x + 1.2 * rng.normal(size=8)[g] + 0.7 * rng.normal(size=40)
    priors = {
        "Intercept": bg.Prior("Normal", mu=0.5, sigma=2.0),
        "fixed": bg.Prior("Normal", mu=0.0, sigma=1.0),
        "sd": bg.Prior("Fixed", 1.2),
        "sigma": bg.Prior("Fixed", 0.7),
    }
    model = bg.Model("y ~ x + (1 | g)", data, priors=priors)
    X, Z = np.column_stack([np.ones(40), x]), (g[:, None] == np.arange(8)).astype(float)
    covariance = X @ np.diag([4.0, 1.0]) @ X.T + 1.2**2 * Z @ Z.T + 0.7**2 * np.eye(40)
    return Conjugate(data, np.full(40, 0.5), covariance, model, model.fit("laplace", seed=1))


@pytest.fixture(scope="session")
def reference_model() -> Any:
    """Return `reference_model("cbpp", data)`: the model of a brms reference, with its priors."""
    return _reference_model


def _reference_model(name: str, data: Any) -> bg.Model:
    prior = bg.Prior
    if name == "cbpp":
        slopes = prior("Normal", mu=0, sigma=2.5)
        priors = {"Intercept": slopes, "fixed": slopes, "sd": prior("HalfNormal", sigma=1)}
        return bg.Model(CBPP, data, family="binomial", priors=priors)
    priors = {
        "Intercept": prior("Normal", mu=250, sigma=100),
        "fixed": prior("Normal", mu=0, sigma=25),
        "sd[Subject, Intercept]": prior("HalfNormal", sigma=50),
        "sd[Subject, Days]": prior("HalfNormal", sigma=25),
        "cor": prior("LKJ", eta=1),
        "sigma": prior("HalfNormal", sigma=50),
    }
    return bg.Model(SLEEP, data, priors=priors)


@pytest.fixture(scope="session")
def cbpp() -> Any:
    """Laplace fit of the cbpp reference."""
    return _reference_model("cbpp", bg.load_dataset("cbpp")).fit("laplace", seed=1)


@pytest.fixture(scope="session")
def sleep() -> Any:
    """Laplace fit of the sleepstudy reference."""
    return _reference_model("sleepstudy", bg.load_dataset("sleepstudy")).fit("laplace", seed=1)


@pytest.fixture(scope="session")
def cbpp_loo(cbpp: Any) -> Any:
    """Its leave-one-out cross-validation."""
    return cbpp.loo()

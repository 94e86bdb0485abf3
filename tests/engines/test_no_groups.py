"""Models without group effects: maximum likelihood is that of a linear and a generalized linear model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

import bayesglmm as bg


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    x = rng.normal(size=60)
    y = 1.0 + 0.5 * x + rng.normal(size=60)
    return pd.DataFrame({"x": x, "y": y, "k": (rng.random(60) < special.expit(0.3 + x)).astype(int)})


@pytest.mark.parametrize("objective", ["ml", "reml"])
def test_a_linear_model_is_least_squares(objective: str) -> None:
    data = frame()
    fit = bg.Model("y ~ x", data).fit("laplace", objective=objective)
    X = np.column_stack([np.ones(60), data["x"]])
    beta, rss = np.linalg.lstsq(X, data["y"].to_numpy(), rcond=None)[:2]
    variance = float(rss[0]) / (60 if objective == "ml" else 58)
    loglik = -0.5 * (60 * np.log(2 * np.pi * variance) + float(rss[0]) / variance)
    if objective == "reml":
        loglik += 0.5 * (2 * np.log(2 * np.pi * variance) - np.linalg.slogdet(X.T @ X)[1])
    assert fit.loglik == pytest.approx(loglik, abs=1e-6)
    assert fit.fixed()["estimate"].to_numpy() == pytest.approx(beta, abs=1e-6)


def test_a_logistic_regression_is_its_maximum_likelihood() -> None:
    data = frame()
    fit = bg.Model("k ~ x", data, family="bernoulli").fit("laplace", objective="ml")
    X, sign = np.column_stack([np.ones(60), data["x"]]), 2.0 * data["k"].to_numpy() - 1.0
    found = optimize.minimize(lambda b: -special.log_expit(sign * (X @ b)).sum(), np.zeros(2), tol=1e-12)
    p = special.expit(X @ found.x)
    errors = np.sqrt(np.diag(np.linalg.inv(X.T @ ((p * (1 - p))[:, None] * X))))
    table = fit.fixed()
    assert fit.loglik == pytest.approx(-found.fun, abs=1e-8)
    assert table["estimate"].to_numpy() == pytest.approx(found.x, abs=1e-5)
    # Draws and tables take standard errors from central differences of the exact gradient: 1e-4 relative.
    assert table["se"].to_numpy() == pytest.approx(errors, rel=1e-3)

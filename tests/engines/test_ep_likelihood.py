"""Maximum likelihood by expectation propagation: estimates, verdict, profiles, bootstrap, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import SettingsError


@pytest.fixture(scope="module")
def model() -> bg.Model:
    """Sixty groups of three yes-or-no rows; nothing else, so that a group is one site and its evidence exact."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(60), 3)
    chance = 1 / (1 + np.exp(-0.5 - 1.5 * rng.normal(size=60)[g]))
    data = pd.DataFrame({"y": (rng.random(180) < chance).astype(int), "g": g})
    return bg.Model("y ~ 1 + (1 | g)", data, "bernoulli")


@pytest.fixture(scope="module")
def fit(model: bg.Model) -> bg.Fit:
    return model.fit("ep", objective="ml", seed=1)


def test_estimates_are_those_of_quadrature(model: bg.Model, fit: bg.Fit) -> None:
    """Laplace is off by 0.7 in the log-likelihood and half a standard error; quadrature's own error is 1e-6."""
    exact = model.fit("laplace", objective="ml", quadrature=25, seed=1)
    laplace = model.fit("laplace", objective="ml", seed=1)
    assert fit.loglik == pytest.approx(exact.loglik, abs=1e-4)
    assert laplace.loglik < exact.loglik - 0.5
    np.testing.assert_allclose(fit.summary().to_numpy(), exact.summary().to_numpy(), rtol=2e-3, atol=1e-4)
    assert fit.aic == pytest.approx(2 * 2 - 2 * fit.loglik)


def test_the_verdict_speaks_of_the_approximation(fit: bg.Fit) -> None:
    assert fit.verdict.word == "good"
    assert "expectation propagation is good there" in str(fit.verdict)
    assert "aplace" not in str(fit.verdict)
    assert fit.kind == "a maximum likelihood fit"


def test_what_likelihood_fits_answer(fit: bg.Fit, model: bg.Model) -> None:
    interval = fit.profile("sd[g, Intercept]").intervals().iloc[0]
    exact = model.fit("laplace", objective="ml", quadrature=25).profile("sd[g, Intercept]").intervals().iloc[0]
    np.testing.assert_allclose(interval, exact, rtol=0.01)
    replicates = fit.bootstrap(2, seed=1).table
    assert np.isfinite(replicates.to_numpy()).all()
    data = model.design.data.assign(x=np.random.default_rng(2).normal(size=180))
    richer = bg.Model("y ~ x + (1 | g)", data, "bernoulli").fit("ep", objective="ml")
    table = bg.likelihood_ratio(fit, richer)
    assert float(table["chisq"].iloc[1]) == pytest.approx(2 * (richer.loglik - fit.loglik))


def test_saved_and_loaded(fit: bg.Fit, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    assert again.loglik == fit.loglik
    assert str(again.verdict) == str(fit.verdict)


def test_priors_are_refused_and_flat_ones_are_none(model: bg.Model) -> None:
    data = model.design.data
    given = bg.Model("y ~ 1 + (1 | g)", data, "bernoulli", priors={"sd": bg.Prior("HalfNormal", sigma=1)})
    with pytest.raises(SettingsError, match='objective="ml" uses no priors, but there are some for sd'):
        given.fit("ep", objective="ml")
    flat = bg.Model("y ~ 1 + (1 | g)", data, "bernoulli", priors="flat").fit("ep", objective="ml")
    assert flat.loglik == pytest.approx(model.fit("ep", objective="ml").loglik, abs=1e-8)

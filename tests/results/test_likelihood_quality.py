"""The verdict on Laplace's approximation in maximum likelihood fits, against fits by quadrature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"


def hard() -> Any:
    """100 groups of 4 binary rows with a large variance: Laplace is known to be poor."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(100), 4), rng.normal(size=400)
    chance = 1 / (1 + np.exp(-(x + rng.normal(0, 3, 100)[g])))
    data = pd.DataFrame({"y": (rng.random(400) < chance).astype(int), "x": x, "g": g.astype(str)})
    return bg.Model("y ~ x + (1 | g)", data, family="bernoulli")


def test_a_poor_approximation_is_bad_and_quadrature_mends_it() -> None:
    model = hard()
    fit = model.fit("laplace", objective="ml")
    assert fit.verdict == "bad"
    assert "sd[g, Intercept]" in str(fit.verdict)
    assert "quadrature=15" in str(fit.verdict)
    assert model.fit("laplace", objective="ml", quadrature=15).verdict == "good"


def test_shifts_are_those_of_a_fit_by_quadrature() -> None:
    """One Newton step: exact to first order, so to a few thousandths for shifts of a few hundredths."""
    data = bg.load_dataset("cbpp")
    model = bg.Model(CBPP, data, family="binomial")
    plain = model.fit("laplace", objective="ml")
    finer = model.fit("laplace", objective="ml", quadrature=15)
    table = plain.diagnose().set_index("check")
    moved = (finer.summary()["estimate"] - plain.summary()["estimate"]) / plain.summary()["se"]
    assert table.loc["approximation", "value"] == pytest.approx(moved.abs().max(), abs=0.003)
    assert f"by {finer.loglik - plain.loglik:.2f}." in table.loc["approximation", "meaning"]
    assert plain.verdict == "good"
    assert "Laplace's approximation is good there" in str(plain.verdict)


def test_gaussian_fits_approximate_nothing() -> None:
    fit = bg.Model("Yield ~ 1 + (1 | Batch)", bg.load_dataset("Dyestuff")).fit("laplace", objective="ml")
    assert "approximation" not in set(fit.diagnose()["check"])


def test_crossed_factors_are_not_judged_and_it_is_said() -> None:
    data = bg.load_dataset("cbpp").assign(row=lambda d: np.arange(len(d)).astype(str))
    fit = bg.Model(f"{CBPP} + (1 | row)", data, family="binomial").fit("laplace", objective="ml")
    assert "was not judged" in str(fit.verdict)
    assert "posterior" in fit.diagnose().set_index("check").loc["approximation", "advice"]

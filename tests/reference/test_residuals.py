"""Correlated and heteroscedastic residuals against nlme and glmmTMB.

`expected/residuals.R` made the numbers, but those of the follicles, which are in `expected/Ovary.json`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg

GAPS = Path(__file__).parent / "expected" / "residuals_gaps.csv"
GROWTH = "distance ~ age * Sex"
FOLLICLES = "follicles ~ sin(2*pi*Time) + cos(2*pi*Time) + (1 + sin(2*pi*Time) || Mare)"


@pytest.mark.parametrize("objective", ["ml", "reml"])
def test_follicles_of_mares(objective: str, expected: Callable[[str], Any], dataset: Callable[[str], Any]) -> None:
    """The model of Pinheiro and Bates (2000, section 5.3.4): 3 digits and more, which is what nlme prints."""
    numbers = expected("Ovary")
    block, tmb = numbers[f"lme_ar1_{objective.upper()}"], numbers[f"glmmTMB_ar1_{objective.upper()}"]
    fit = bg.Model(FOLLICLES, dataset("Ovary"), residual="ar1(occasion | Mare)").fit("laplace", objective=objective)
    assert fit.loglik == pytest.approx(block["logLik"], abs=1e-6)
    assert fit.loglik == pytest.approx(tmb["logLik"], abs=1e-4)  # its search ends at 1e-5 of the maximum
    assert fit.aic == pytest.approx(block["AIC"], abs=1e-5)
    np.testing.assert_allclose(fit.fixed()["estimate"], list(block["fixef"].values()), rtol=1e-4)
    if objective == "reml":  # nlme's ML standard errors are others: they leave the uncertainty of theta out
        np.testing.assert_allclose(fit.fixed()["se"], list(block["se"].values()), rtol=1e-4)
    table = fit.varcorr().set_index(["group", "kind"])["estimate"]
    np.testing.assert_allclose(table["Mare", "sd"], list(block["random_sd"].values())[:2], rtol=1e-3)
    assert table["Residual", "cor"].item() == pytest.approx(block["ar1_phi"], abs=1e-4)
    assert table["Residual", "cor"].item() == pytest.approx(tmb["ar1_phi"], abs=2e-4)
    assert table["Residual", "sd"].item() == pytest.approx(block["sigma"], rel=1e-4)


@pytest.fixture(scope="module")
def orthodont() -> pd.DataFrame:
    return bg.load_dataset("Orthodont").assign(time=lambda d: (d["age"] - 6) // 2)


def check(fit: Any, block: Any, tolerance: float = 1e-6) -> Any:
    """Compare likelihood and population effects; return the correlations of residuals."""
    assert fit.loglik == pytest.approx(block["logLik"], abs=tolerance)
    own = fit.fixed()["estimate"]
    np.testing.assert_allclose(own[~own.index.str.startswith("sigma")], list(block["fixef"].values()), rtol=2e-3)
    table = fit.varcorr()
    return table.loc[(table["group"] == "Residual") & (table["kind"] != "sd"), "estimate"].to_numpy()


@pytest.mark.parametrize("objective", ["ml", "reml"])
@pytest.mark.parametrize(
    ("key", "residual"),
    [
        ("cs", "cs(1 | Subject)"),
        ("ar1", "ar1(time | Subject)"),
        pytest.param("us", "us(age | Subject)", marks=pytest.mark.slow),
    ],
)
def test_growth(key: str, residual: str, objective: str, orthodont: pd.DataFrame, expected: Any) -> None:
    block = expected("residuals")[f"orthodont_{key}_{objective}"]
    fit = bg.Model(GROWTH, orthodont, residual=residual).fit("laplace", objective=objective)
    found = check(fit, block)
    assert fit.aic == pytest.approx(block["AIC"], abs=1e-5)
    assert fit.varcorr()["estimate"].iloc[-1] == pytest.approx(block["sigma"], rel=1e-4)
    if key == "us":  # nlme goes through the upper triangle by rows, we through the lower one
        block = np.array(block["correlation"])[[0, 1, 3, 2, 4, 5]]
        np.testing.assert_allclose(found, block, atol=1e-4)
    else:
        assert found.item() == pytest.approx(np.ravel(block["correlation"]).item(), abs=1e-5)


@pytest.mark.parametrize("objective", ["ml", pytest.param("reml", marks=pytest.mark.slow)])
def test_growth_with_a_variance_for_each_age(objective: str, orthodont: pd.DataFrame, expected: Any) -> None:
    block = expected("residuals")[f"orthodont_us_by_age_{objective}"]
    model = bg.Model([GROWTH, "sigma ~ 0 + factor(age)"], orthodont, residual="us(age | Subject)")
    fit = model.fit("laplace", objective=objective)
    check(fit, block)
    own = fit.fixed()["estimate"]
    sds = np.exp(own[own.index.str.startswith("sigma")].to_numpy())
    np.testing.assert_allclose(sds / sds[0], list(block["ratios"].values()), rtol=1e-3)
    assert sds[0] == pytest.approx(block["sigma"], rel=1e-3)


@pytest.mark.parametrize("objective", ["ml", "reml"])
@pytest.mark.parametrize("residual", [None, "ar1(time | Subject)"])
def test_a_variance_for_each_sex(
    residual: str | None, objective: str, orthodont: pd.DataFrame, expected: Any
) -> None:
    """nlme's varIdent and glmmTMB's dispformula (which holds log variances): ``sigma ~ Sex``."""
    numbers = expected("residuals")
    block = numbers[f"orthodont_{'by_sex' if residual is None else 'ar1_by_sex'}_{objective}"]
    model = bg.Model([f"{GROWTH} + (1 | Subject)", "sigma ~ Sex"], orthodont, residual=residual)
    fit = model.fit("laplace", objective=objective)
    found = check(fit, block)
    own = fit.fixed()["estimate"]
    assert np.exp(own["sigma.Sex[Female]"]) == pytest.approx(
        block["ratios"]["Female"] / block["ratios"]["Male"], rel=1e-4
    )
    if residual is None:
        disp = numbers[f"tmb_by_sex_{objective}"]["disp"]
        np.testing.assert_allclose(2 * own[["sigma.Intercept", "sigma.Sex[Female]"]], list(disp.values()), atol=2e-3)
    else:
        assert found.item() == pytest.approx(block["correlation"], abs=1e-4)


def test_children_without_some_of_the_ages(orthodont: pd.DataFrame, expected: Any) -> None:
    part = orthodont.drop(index=orthodont.index[[2, 16, 17, 39, 80]])
    fit = bg.Model(GROWTH, part, residual="us(age | Subject)").fit("laplace", objective="reml")
    block = expected("residuals")["orthodont_us_part_reml"]
    np.testing.assert_allclose(check(fit, block), np.array(block["correlation"])[[0, 1, 3, 2, 4, 5]], atol=1e-4)


OXBOYS = {
    # With slopes of their own and a correlation of 0.98 the likelihood is a ridge, on which searches end apart.
    "ar1": ("height ~ age + (age | Subject)", "ar1(Occasion | Subject)", 1e-3),
    "ou": ("height ~ age + (1 | Subject)", "ou(age | Subject)", 1e-3),
    "cs": ("height ~ age", "cs(1 | Subject)", 1e-6),
    "us": ("height ~ age", "us(Occasion | Subject)", 1e-5),
}


@pytest.mark.parametrize("key", [pytest.param(key, marks=pytest.mark.slow) if key == "us" else key for key in OXBOYS])
def test_heights_of_boys(key: str, expected: Any, dataset: Callable[[str], Any]) -> None:
    formula, residual, tolerance = OXBOYS[key]
    fit = bg.Model(formula, dataset("Oxboys"), residual=residual).fit("laplace", objective="reml")
    found, block = check(fit, expected("residuals")[f"oxboys_{key}_reml"], tolerance), expected("residuals")
    if key == "cs":
        assert found.item() == pytest.approx(block["oxboys_cs_reml"]["correlation"], abs=1e-6)


@pytest.mark.parametrize("objective", ["ml", "reml"])
@pytest.mark.parametrize(
    ("key", "formula", "residual", "weights"),
    [
        ("ar1", "y ~ x", "ar1(time | id)", "w"),
        ("ou", "y ~ x", "ou(time | id)", None),
        ("cs", "z ~ x", "cs(1 | id)", None),
        ("order", "y ~ x", "ar1(1 | id)", None),
    ],
)
def test_gaps(key: str, formula: str, residual: str, weights: str | None, objective: str, expected: Any) -> None:
    """Times with gaps, rows in any order, precision weights; a negative correlation (``cs``)."""
    block = expected("residuals")[f"gaps_{key}_{objective}"]
    fit = bg.Model(formula, pd.read_csv(GAPS), residual=residual, weights=weights).fit("laplace", objective=objective)
    found = check(fit, block).item()
    # nlme has the correlation over one unit of time where we have the range.
    found = np.exp(-1.0 / found) if key == "ou" else found
    assert found == pytest.approx(block["correlation"], abs=1e-5)
    assert fit.varcorr()["estimate"].iloc[-1] == pytest.approx(block["sigma"], rel=1e-5)

"""Nonlinear mixed models by maximum likelihood: against nlmer, nls, and R's integrate (expected/nonlinear.R)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.linalg import NotPositiveDefiniteError

GROWTH = "circumference ~ Asym / (1 + exp(-(age - xmid) / scal))"
START = {"Asym": 170.0, "xmid": 700.0, "scal": 350.0}
# R's data set Puromycin, treated cells: concentration of the substrate [ppm], velocity of the reaction.
PUROMYCIN = pd.DataFrame(
    {
        "conc": np.repeat([0.02, 0.06, 0.11, 0.22, 0.56, 1.10], 2),
        "rate": [76.0, 47.0, 97.0, 107.0, 123.0, 139.0, 159.0, 152.0, 191.0, 201.0, 207.0, 200.0],
    }
)


def growth(**formulas: str) -> bg.Model:
    own = {name: formulas.get(name, "~ 1") for name in START}
    return bg.Model(bg.nonlinear(GROWTH, start=START, **own), bg.load_dataset("Orange"))


def same(fit: Any, block: dict[str, Any], rel: float, sd_rel: float) -> None:
    table, spread = fit.fixed()["estimate"], fit.varcorr().set_index("group")["estimate"]
    for name, value in block["fixef"].items():
        assert table[f"{name}.Intercept"] == pytest.approx(value, rel=rel), name
    assert spread["Tree"] == pytest.approx(block["sd"], rel=sd_rel)
    assert spread["Residual"] == pytest.approx(block["sigma"], rel=sd_rel)


def test_an_effect_that_enters_linearly_equals_nlmer(expected: Callable[[str], Any]) -> None:
    """Laplace's approximation is exact for both: estimates to 1e-5, log-likelihood to 1e-5."""
    block = expected("nonlinear")["orange_asym"]
    fit = growth(Asym="~ 1 + (1 | Tree)").fit("laplace", objective="ml", seed=1)
    same(fit, block, 1e-5, 1e-4)
    assert fit.loglik == pytest.approx(block["logLik"], abs=1e-5)
    effects = fit.ranef().set_index("level")["estimate"]
    np.testing.assert_allclose(effects[block["levels"]], block["modes"], rtol=1e-3)


def test_an_effect_that_enters_nonlinearly_equals_exact_integration(expected: Callable[[str], Any]) -> None:
    """Quadrature to 1e-5; Laplace's approximation is no farther from the truth than nlmer's, which drops terms.

    nlmer's determinant has the squared slopes of the curve alone, ours the observed curvature.
    """
    block, by_nlmer = (expected("nonlinear")[name] for name in ("orange_xmid_exact", "orange_xmid"))
    model = growth(xmid="~ 1 + (1 | Tree)")
    exact = model.fit("laplace", objective="ml", quadrature=15, seed=1)
    same(exact, block, 1e-5, 1e-4)
    assert exact.loglik == pytest.approx(block["logLik"], abs=1e-5)
    fit = model.fit("laplace", objective="ml", seed=1)
    same(fit, block, 1e-4, 1e-3)
    same(fit, by_nlmer, 0.02, 0.01)
    assert abs(fit.loglik - block["logLik"]) < abs(by_nlmer["logLik"] - block["logLik"])
    assert fit.loglik == pytest.approx(block["logLik"], abs=0.006)


def test_no_groups_equals_nls(expected: Callable[[str], Any]) -> None:
    """Least squares: estimates to 1e-6. nls's standard errors use expected, ours observed information."""
    block = expected("nonlinear")["puromycin"]
    model = bg.Model(
        bg.nonlinear("rate ~ Vm * conc / (K + conc)", Vm="~ 1", K="~ 1", start={"Vm": 200, "K": 0.05}), PUROMYCIN
    )
    fit = model.fit("laplace", objective="ml", seed=1)
    table = fit.fixed()
    for name, value in block["fixef"].items():
        assert table.loc[f"{name}.Intercept", "estimate"] == pytest.approx(value, rel=1e-6)
        assert table.loc[f"{name}.Intercept", "se"] == pytest.approx(block["se_ml"][name], rel=0.06)
    assert fit.loglik == pytest.approx(block["logLik"], abs=1e-6)
    sigma = fit.varcorr().set_index("group").loc["Residual", "estimate"]
    assert sigma == pytest.approx(block["sigma_ml"], rel=1e-5)
    information = _information(np.array([block["fixef"]["Vm"], block["fixef"]["K"], block["sigma_ml"]]))
    errors = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(table["se"], errors[:2], rtol=1e-3)


def _information(at: Any) -> Any:
    """Return minus the second derivatives of the log-likelihood, by central differences."""
    conc, rate = PUROMYCIN["conc"].to_numpy(), PUROMYCIN["rate"].to_numpy()

    def value(p: Any) -> float:
        residual = rate - p[0] * conc / (p[1] + conc)
        return float(0.5 * np.sum((residual / p[2]) ** 2) + len(rate) * np.log(p[2]))

    steps, out = np.diag(1e-4 * at), np.zeros((3, 3))
    for i, a in enumerate(steps):
        for j, b in enumerate(steps):
            corners = value(at + a + b) - value(at + a - b) - value(at - a + b) + value(at - a - b)
            out[i, j] = corners / (4 * a[i] * b[j])
    return out


@pytest.mark.slow
def test_laplace_and_nuts_agree_on_the_orange_trees() -> None:
    """Means to a tenth and standard deviations to a tenth of themselves (a fifth for the sd of five trees)."""
    priors = {
        "Asym": bg.Prior("Normal", 200, 50),
        "xmid": bg.Prior("Normal", 700, 200),
        "scal": bg.Prior("TruncatedNormal", mu=350, sigma=150, lower=0),
    }
    formula = bg.nonlinear(GROWTH, Asym="~ 1 + (1 | Tree)", xmid="~ 1", scal="~ 1")
    model = bg.Model(formula, bg.load_dataset("Orange"), priors=priors)
    laplace, nuts = (model.fit(engine, seed=1).summary() for engine in ("laplace", "nuts"))
    for name in nuts.index:
        allowed = 0.1 + 4 * nuts.loc[name, "mcse_mean"] / nuts.loc[name, "sd"]
        assert abs(laplace.loc[name, "mean"] - nuts.loc[name, "mean"]) < allowed * nuts.loc[name, "sd"], name
        assert laplace.loc[name, "sd"] == pytest.approx(nuts.loc[name, "sd"], rel=0.2), name


def test_a_poor_start_is_mended_or_named(expected: Callable[[str], Any]) -> None:
    """K 150 times too large: another start is tried. 1500 times: the error says what to do."""
    block = expected("nonlinear")["puromycin"]

    def fitted(Vm: float, K: float) -> Any:
        text = bg.nonlinear("rate ~ Vm * conc / (K + conc)", Vm="~ 1", K="~ 1", start={"Vm": Vm, "K": K})
        return bg.Model(text, PUROMYCIN).fit("laplace", objective="ml", seed=1)

    assert fitted(10.0, 10.0).loglik == pytest.approx(block["logLik"], abs=1e-5)
    with pytest.raises(NotPositiveDefiniteError, match=r"Give others: bg\.nonlinear\(\.\.\., start="):
        fitted(1e-3, 1e5)

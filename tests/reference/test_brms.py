"""NUTS and Laplace against brms under the same priors.

NUTS: every mean, sd and quantile within four joint Monte Carlo standard errors. Laplace: what a good verdict says.
The numbers in `expected/bayes_*.json` come from brms 2.18 with 12,000 or 20,000 draws; their priors sit on the
intercept of the user's columns, hence ``0 + Intercept`` here as there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pytest

import bayesglmm as bg

QUANTILES = {"q5": 0.05, "q50": 0.50, "q95": 0.95}

CBPP = {
    "formula": "incidence | trials(size) ~ 0 + Intercept + period + (1 | herd)",
    "family": "binomial",
    "priors": {
        "Intercept": bg.Prior("Normal", 0, 2.5),
        "fixed": bg.Prior("Normal", 0, 2.5),
        "sd": bg.Prior("HalfNormal", 1),
    },
    "names": {
        "b_Intercept": ("beta", 0),
        "b_period2": ("beta", 1),
        "b_period3": ("beta", 2),
        "b_period4": ("beta", 3),
        "sd_herd__Intercept": ("sd_herd", 0),
    },
}
SLEEPSTUDY = {
    "formula": "Reaction ~ 0 + Intercept + Days + (1 + Days | Subject)",
    "family": "gaussian",
    "priors": {
        "Intercept": bg.Prior("Normal", 250, 100),
        "Days": bg.Prior("Normal", 0, 25),
        "sd[Subject, Intercept]": bg.Prior("HalfNormal", 50),
        "sd[Subject, Days]": bg.Prior("HalfNormal", 25),
        "cor": bg.Prior("LKJ", 1),
        "sigma": bg.Prior("HalfNormal", 50),
    },
    "names": {
        "b_Intercept": ("beta", 0),
        "b_Days": ("beta", 1),
        "sd_Subject__Intercept": ("sd_Subject", 0),
        "sd_Subject__Days": ("sd_Subject", 1),
        "cor_Subject__Intercept__Days": ("cor_Subject", (0, 1)),
        "sigma": ("sigma", ()),
    },
}
EPILEPSY = {
    "formula": "count ~ 0 + Intercept + zAge + zBase * Trt + (1 | patient)",
    "family": "poisson",
    "priors": CBPP["priors"],
    "names": {
        "b_Intercept": ("beta", 0),
        "b_zAge": ("beta", 1),
        "b_zBase": ("beta", 2),
        "b_Trt": ("beta", 3),
        "b_zBase:Trt": ("beta", 4),
        "sd_patient__Intercept": ("sd_patient", 0),
    },
}
CONTRACEPTION = {
    "formula": "use ~ 0 + Intercept + age + I(age^2) + urban + livch + (1 | district)",
    "family": "bernoulli",
    "priors": CBPP["priors"],
    "names": {
        "b_Intercept": ("beta", 0),
        "b_age": ("beta", 1),
        "b_IageE2": ("beta", 2),
        "b_urbanY": ("beta", 3),
        "b_livch1": ("beta", 4),
        "b_livch2": ("beta", 5),
        "b_livch3P": ("beta", 6),
        "sd_district__Intercept": ("sd_district", 0),
    },
}


@pytest.mark.parametrize(("data", "case"), [("cbpp", CBPP), ("sleepstudy", SLEEPSTUDY)], ids=["cbpp", "sleepstudy"])
def test_posterior_is_that_of_brms(
    data: str, case: dict[str, Any], expected: Callable[[str], Any], dataset: Callable[[str], Any]
) -> None:
    reference = expected(f"bayes_{data}")["parameters"]
    model = bg.Model(case["formula"], dataset(data), family=case["family"], priors=case["priors"])
    fit = model.fit("nuts", seed=20, draws=3000, tune=1000, chains=4, progressbar=False)
    posterior = fit.data["posterior"]
    assert int(fit.data["sample_stats"]["diverging"].sum()) == 0
    assert set(case["names"]) <= set(reference)
    for name, (variable, where) in case["names"].items():
        draws = np.asarray(posterior[variable])[(..., *np.atleast_1d(np.asarray(where, dtype=int)))]
        _compare(name, draws, reference[name])


@pytest.mark.parametrize(
    ("data", "case"),
    [("cbpp", CBPP), ("epilepsy", EPILEPSY), ("Contraception", CONTRACEPTION), ("sleepstudy", SLEEPSTUDY)],
    ids=["cbpp", "epilepsy", "Contraception", "sleepstudy"],
)
def test_laplace_posterior_is_that_of_brms(
    data: str, case: dict[str, Any], expected: Callable[[str], Any], dataset: Callable[[str], Any]
) -> None:
    """Means within 0.1 posterior sds, sds within 10 percent, and a verdict that says so.

    Of that, Monte Carlo takes 0.016 sds and 1.1 percent on our side (4,000 independent draws) and at most 0.02 sds
    and 1.2 percent on that of brms.
    """
    reference = expected(f"bayes_{data}")["parameters"]
    model = bg.Model(case["formula"], dataset(data), family=case["family"], priors=case["priors"])
    fit = model.fit("laplace", seed=21, resample=False)
    off, wide = {}, {}
    for name, (variable, where) in case["names"].items():
        draws = np.asarray(fit.draws[variable])[(..., *np.atleast_1d(np.asarray(where, dtype=int)))]
        off[name] = abs(draws.mean() - reference[name]["mean"]) / reference[name]["sd"]
        wide[name] = abs(draws.std(ddof=1) / reference[name]["sd"] - 1.0)
    assert max(off.values()) < 0.1, off
    assert max(wide.values()) < 0.1, wide
    assert fit.verdict == "good"


def _compare(name: str, draws: Any, reference: dict[str, float]) -> None:
    assert az.ess(draws) >= 4000, name
    assert az.rhat(draws) <= 1.01, name
    _within(f"mean of {name}", draws.mean(), az.mcse(draws), reference["mean"], reference["mcse_mean"])
    _within(f"sd of {name}", draws.std(ddof=1), az.mcse(draws, method="sd"), reference["sd"], reference["mcse_sd"])
    for key, prob in QUANTILES.items():
        # brms reports no error for quantiles: take ours for as many effective draws as theirs has.
        own = float(az.mcse(draws, method="quantile", prob=prob))
        ess = az.ess(draws, method="quantile", prob=prob)
        other = own * np.sqrt(float(ess) / min(reference["ess_bulk"], reference["ess_tail"]))
        _within(f"{key} of {name}", np.quantile(draws, prob), own, reference[key], other)


def _within(what: str, value: float, error: float, reference: float, reference_error: float) -> None:
    distance = abs(float(value) - reference) / np.hypot(float(error), reference_error)
    assert distance < 4, f"{what}: {float(value):.5g} against {reference:.5g}, {distance:.1f} standard errors apart"

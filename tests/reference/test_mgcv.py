"""Smooths against mgcv: with its smoothing parameters held, and with both estimating theirs by REML.

The map between the two, in the words of docs/how-to/smooths.md: sd = unit * sqrt(sigma^2 * S.scale / sp). Held
smoothing parameters are a tenth of mgcv's REML estimates, so that nothing sits at an optimum, where errors of the
map would not show. Then nothing is left to choose, and fitted values, predictions of new rows (also beyond the data)
and effective degrees of freedom agree to 1e-6 of the curve's range; mgcv computes eigenvectors of Gaussian processes
by Lanczos iteration with errors to 3e-5 in the smallest, which the tolerances for "gp" allow for.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import ModelWarning

CURVES = ("tp", "cr", "ps", "ps_m", "cc", "ts", "cs", "tp_m3", "gp", "gp_exponential", "gp_stationary", "fx")
SURFACES = ("tp_2d", "gp_2d", "te", "te_tp_ps", "ti", "te_3d")
OTHERS = ("by_factor", "by_ordered", "by_numeric", "re")
LANCZOS = {"gp_stationary": 1e-3, "gp_2d": 1e-4}


@pytest.fixture(scope="module")
def cases(expected) -> dict[str, Any]:
    return expected("smooths_mgcv")


@pytest.fixture(scope="module")
def frames(cases, dataset) -> dict[str, pd.DataFrame]:
    points = pd.DataFrame(cases["points"])
    points["ofac"] = pd.Categorical(points["fac"], ordered=True)
    return {"accel": dataset("mcycle"), "y": points}


def held_priors(model: bg.Model, case: dict[str, Any]) -> dict[str, bg.Prior]:
    """Return mgcv's smoothing parameters as standard deviations that are held."""
    priors = {"sigma": bg.Prior("Fixed", value=float(np.sqrt(case["sigma2"])))}
    parameters = zip(np.ravel(case["sp"]), np.ravel(case["S_scale"]), strict=True)
    blocks = {block.label: block for block in model.design.predictors["mu"].random}
    for smooth in model.design.smooths["mu"]:
        if smooth.label not in blocks:
            continue
        parts = blocks[smooth.label].options.get("parts", (None,))
        for unit, part in zip(smooth.units, parts, strict=True):
            sp, scale = next(parameters)
            key = f"sd[{smooth.label}]" if part is None else f"sd[{smooth.label}, {part}]"
            priors[key] = bg.Prior("Fixed", value=float(unit * np.sqrt(case["sigma2"] * scale / sp)))
    assert next(parameters, None) is None
    return priors


@pytest.mark.parametrize("key", [*CURVES, *SURFACES, *OTHERS])
def test_with_smoothing_parameters_held_curves_are_the_same(key, cases, frames):
    case = cases[key]
    data = frames[case["formula"].split(" ~ ")[0]]
    case = case | ({"S_scale": []} if not np.size(case["sp"]) else {})
    model = bg.Model(case["formula"], data, priors=held_priors(bg.Model(case["formula"], data), case))
    fit = model.fit("laplace", objective="reml", seed=1)
    reach = np.ptp(case["fitted"]) * LANCZOS.get(key, 1e-6)
    own = fit.predict()
    np.testing.assert_allclose(own["estimate"], case["fitted"], rtol=0.0, atol=reach)
    np.testing.assert_allclose(own["se"], case["se"], rtol=0.08)  # of draws
    new = pd.DataFrame(case["new"])
    with warnings.catch_warnings():  # some of the new rows are beyond the data
        warnings.simplefilter("ignore", ModelWarning)
        found = fit.predict(new)["estimate"]
    np.testing.assert_allclose(found, case["predicted"], rtol=0.0, atol=reach)
    edf = fit.smooths().groupby("smooth", sort=False)["edf"].first()
    np.testing.assert_allclose(edf, np.ravel(case["edf"]), rtol=1e-6 if key not in LANCZOS else 1e-4)


@pytest.mark.parametrize("key", ["tp", "cr", "ps", "cc", "ts", "cs", "gp", "tp_2d", "te", "te_tp_ps", "re"])
def test_restricted_likelihood_chooses_the_same_curve(key, cases, frames):
    """Estimates, not held values: edf and curve within one percent, the search itself to 1e-3."""
    case = cases[key]
    fit = bg.Model(case["formula"], frames[case["formula"].split(" ~ ")[0]]).fit("laplace", objective="reml")
    found = fit.predict()["estimate"].to_numpy()
    assert np.max(np.abs(found - case["reml"]["fitted"])) < 0.01 * np.ptp(case["reml"]["fitted"])
    edf = fit.smooths().groupby("smooth", sort=False)["edf"].first()
    np.testing.assert_allclose(edf, np.ravel(case["reml"]["edf"]), rtol=0.01, atol=1e-3)


LEVELS = ("fs", "fs_constant", "t2_constant", "t2")
NEARLY = {"t2_constant": 2e-3, "t2": 1e-2}


@pytest.mark.parametrize("key", LEVELS)
def test_smooths_that_penalise_everything_with_parameters_held(key, expected):
    """mgcv rotates and scales the polynomials of "fs" and t2() in its own way: sds have another meaning there.

    So penalties are compared by what they say of the functions: the mean over rows of the prior variance that one
    with a smoothing parameter of one leaves. "fs" is then the same model. mgcv takes the bent part of a margin of
    t2() to be orthogonal to its polynomials among coefficients, we do among the rows of the data: that is 0.2 % with
    a constant alone, 1 % with straight lines.
    """
    everything = expected("smooths_levels")
    case, data = everything[key], pd.DataFrame(everything["points"])
    (block,) = bg.Model(case["formula"], data).design.predictors["mu"].random
    priors = {"sigma": bg.Prior("Fixed", value=float(np.sqrt(case["sigma2"])))}
    weights, parts = np.asarray(block.options["weights"]), block.options["parts"]
    order = [0, 2, 1] if key.startswith("t2") else range(len(parts))  # mgcv's: the last margin varies first
    for j, sp, size in zip(order, case["sp"], case["size"], strict=True):
        own = weights[j] > 0
        ours = float(np.mean((block.X[:, own] ** 2 / weights[j, own]).sum(axis=1)))
        sd = np.sqrt(case["sigma2"] / sp * size / ours)
        priors[f"sd[{block.label}, {parts[j]}]"] = bg.Prior("Fixed", value=float(sd))
    fit = bg.Model(case["formula"], data, priors=priors).fit("laplace", objective="reml", seed=1)
    close = NEARLY.get(key, 1e-9)
    reach = close * np.ptp(case["fitted"])
    np.testing.assert_allclose(fit.predict()["estimate"], case["fitted"], rtol=0.0, atol=reach)
    np.testing.assert_allclose(fit.smooths()["edf"].iloc[0], case["edf"], rtol=close)


@pytest.mark.parametrize("key", LEVELS)
def test_smooths_that_penalise_everything_by_restricted_likelihood(key, expected):
    """Two of the sds of "fs" are estimated as zero: what the others allow stays."""
    everything = expected("smooths_levels")
    case = everything[key]
    fit = bg.Model(case["formula"], pd.DataFrame(everything["points"])).fit("laplace", objective="reml", seed=1)
    wanted = np.array(case["reml"]["fitted"])
    np.testing.assert_allclose(fit.predict()["estimate"], wanted, rtol=0.0, atol=0.01 * np.ptp(wanted))
    np.testing.assert_allclose(fit.smooths()["edf"].iloc[0], case["reml"]["edf"], rtol=0.01)


@pytest.mark.parametrize("key", ["tp_k10", "tp_k20", "cr_k20", "ps_k10", "cs_k10", "ts_k20"])
def test_motorcycle_curves(key, expected, dataset):
    """Estimated smoothness: the curve between the data, the residual variance, and standard errors.

    Those are mgcv's that count the uncertainty of the smoothing parameter; ours are of 4,000 draws.
    """
    case = expected("mcycle_smooth")[key]
    bs, k = key.split("_k")
    fit = bg.Model(f"accel ~ s(times, bs='{bs}', k={k})", dataset("mcycle")).fit("laplace", objective="reml", seed=1)
    grid = case["grid"]
    found = fit.predict(pd.DataFrame({"times": grid["newdata"]["times"]}))
    reach = 0.01 * np.ptp(grid["fit_link"])
    np.testing.assert_allclose(found["estimate"], grid["fit_link"], rtol=0.0, atol=reach)
    np.testing.assert_allclose(fit.smooths()["edf"], [case["smooths"][0]["edf"]], rtol=0.01)
    np.testing.assert_allclose(fit.summary().loc["sigma", "estimate"] ** 2, case["scale"], rtol=0.01)
    np.testing.assert_allclose(found["se"], grid["se_link_unconditional"], rtol=0.06)


@pytest.mark.parametrize(
    ("name", "key", "formula"),
    [
        ("capecod_sim", "tp_k60", "lung ~ smoking + s(age, k=20) + s(lon, lat, bs='tp', k=60)"),
        ("lansing", "te_k8", "hickory ~ te(x, y, k=8)"),
        ("chorley", "tp_k30", "larynx ~ s(x_km, y_km, bs='tp', k=30)"),
    ],
)
def test_surfaces_of_binary_responses(name, key, formula, expected, dataset):
    """Estimated smoothness of real and simulated maps: the link on mgcv's grid within one percent of its range."""
    case, data = expected(name)[key], dataset(name)
    if "smoking" in data:
        data = data.assign(smoking=pd.Categorical(data["smoking"], categories=["never", "former", "current"]))
    fit = bg.Model(formula, data, family="bernoulli").fit("laplace", objective="reml")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        found = fit.predict(pd.DataFrame(case["grid"]["newdata"]), scale="link")["estimate"]
    reference = np.array(case["grid"]["fit_link"])
    np.testing.assert_allclose(found, reference, rtol=0.0, atol=0.01 * np.ptp(reference))
    edf = fit.smooths().groupby("smooth", sort=False)["edf"].first()
    np.testing.assert_allclose(edf, [smooth["edf"] for smooth in case["smooths"]], rtol=0.01)


def test_a_surface_over_more_points_than_are_knots(expected, dataset):
    """On the same 2,000 of 2,250 points; mgcv's own choice by two seeds is 1.6 % of the range apart."""
    case = expected("lansing_knots")
    fit = bg.Model("hickory ~ s(x, y, bs='tp', k=30)", dataset("lansing"), family="bernoulli")
    fit = fit.fit("laplace", objective="reml", seed=1)
    found = fit.predict(scale="link")["estimate"].to_numpy()[case["rows"]]
    np.testing.assert_allclose(found, case["fitted"], rtol=0.0, atol=1e-6 * np.ptp(case["fitted"]))
    np.testing.assert_allclose(fit.smooths()["edf"].iloc[0], case["edf"], rtol=1e-6)
    assert case["other"] > 0.01

"""Likelihood profiles against lme4's, and their shape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, SettingsError, UnknownNameError

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
SLEEP = "Reaction ~ Days + (Days | Subject)"
FIXED = ["Intercept", "period[2]", "period[3]", "period[4]"]
# data, formula, family, quadrature, blocks of the reference, its rows in our words
CASES: dict[str, tuple[str, str, str, int, tuple[str, ...], list[str]]] = {
    "Dyestuff": (
        "Dyestuff",
        "Yield ~ 1 + (1 | Batch)",
        "gaussian",
        1,
        ("ML", "profile_ci95"),
        ["sd[Batch, Intercept]", "sigma", "Intercept"],
    ),
    "sleepstudy": (
        "sleepstudy",
        SLEEP,
        "gaussian",
        1,
        ("corr_ML", "profile_ci95"),
        [
            "sd[Subject, Intercept]",
            "cor[Subject, Intercept, Days]",
            "sd[Subject, Days]",
            "sigma",
            "Intercept",
            "Days",
        ],
    ),
    "cbpp": ("cbpp", CBPP, "binomial", 1, ("nAGQ1_profile_ci95",), ["sd[herd, Intercept]", *FIXED]),
    "cbpp-25": ("cbpp", CBPP, "binomial", 25, ("nAGQ25_profile_ci95",), ["sd[herd, Intercept]", *FIXED]),
}


@pytest.mark.parametrize("name", CASES)
def test_intervals_are_those_of_lme4(
    name: str, expected: Callable[[str], Any], dataset: Callable[[str], Any]
) -> None:
    data, formula, family, nodes, blocks, labels = CASES[name]
    reference = expected(data)
    for block in blocks:
        reference = reference[block]
    fit = bg.Model(formula, dataset(data), family=family).fit(
        "laplace", seed=1, objective="ml", quadrature=nodes, draws=5
    )
    profile = fit.profile()
    assert profile.left_out == ()
    ours = profile.intervals()
    assert ours.index.tolist() == fit.summary().index.tolist()
    assert ours["estimate"].to_numpy() == pytest.approx(fit.summary()["estimate"].to_numpy())
    theirs = np.array(reference["values"])
    width = theirs[:, [1]] - theirs[:, [0]]
    # Both interpolate between points of the profile.
    assert (ours.loc[labels, ["lower", "upper"]].to_numpy() - theirs) / width == pytest.approx(0.0, abs=1e-3)


@pytest.fixture(scope="module")
def fit() -> Any:
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=60), "g": np.repeat(np.arange(12), 5)})
    data["y"] = 0.2 * rng.normal(size=12)[data["g"]] + rng.normal(size=60)
    return bg.Model("y ~ x + (1 | g)", data).fit("laplace", seed=1, objective="ml", draws=5)


def test_an_interval_that_reaches_zero_does(fit: Any) -> None:
    profile = fit.profile(["sd[g, Intercept]"], reach=0.95)
    assert profile.intervals().index.tolist() == ["sd[g, Intercept]"]
    assert profile.intervals().iloc[0]["lower"] == 0.0
    assert profile.table["value"].iloc[0] == 0.0
    assert (np.diff(profile.table["zeta"]) > 0).all()
    assert "95% intervals" in repr(profile)


def test_a_standard_deviation_of_zero_grows_along_the_profiles_of_others(
    expected: Callable[[str], Any], reference: Path
) -> None:
    """With an effect per observation herds have none; take the former away, and the latter come back."""
    numbers, data = expected("cbpp2")["gm2"]["profile_ci95"], pd.read_csv(reference / "data" / "cbpp2.csv")
    data["treatment"] = pd.Categorical(data["treatment"], ["Partial/null", "Complete", "Unknown"])
    formula = "cbind(incidence, size - incidence) ~ factor(period) + treatment + avg_size + (1 | herd) + (1 | obs)"
    fit = bg.Model(formula, data, family="binomial").fit("laplace", seed=1, objective="ml", draws=5)
    rows = {
        "sd_(Intercept)|obs": "sd[obs, Intercept]",
        "sd_(Intercept)|herd": "sd[herd, Intercept]",
        "treatmentComplete": "treatment[Complete]",
        "treatmentUnknown": "treatment[Unknown]",
        "avg_size": "avg_size",
    }
    ours = fit.profile(list(rows.values())).intervals().loc[list(rows.values()), ["lower", "upper"]].to_numpy()
    theirs = pd.DataFrame(numbers["values"], index=numbers["rows"]).loc[list(rows)].to_numpy()
    width = theirs[:, [1]] - theirs[:, [0]]
    assert (ours - theirs) / width == pytest.approx(0.0, abs=1e-3)  # both interpolate; held at zero: 0.08
    assert fit.summary().loc["sd[herd, Intercept]", "estimate"] == ours[1, 0] == 0.0


def test_a_correlation_that_nothing_is_known_of_can_be_anything() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": np.tile(np.linspace(-1.0, 1.0, 5), 8), "g": np.repeat(np.arange(8), 5)})
    b = rng.normal(size=(8, 2)) * [0.5, 0.6]
    data["y"] = b[data["g"], 0] + b[data["g"], 1] * data["x"] + rng.normal(size=40)
    fit = bg.Model("y ~ x + (x | g)", data).fit("laplace", seed=1, objective="ml", draws=5)
    label = "cor[g, Intercept, x]"
    found = fit.profile(label).intervals().loc[label]
    assert abs(found["estimate"]) < 0.99
    assert (found["lower"], found["upper"]) == (-1.0, 1.0)


def test_one_parameter_may_be_named_alone(fit: Any) -> None:
    assert list(fit.profile("Intercept").intervals().index) == ["Intercept"]


def test_a_profile_of_a_coefficient_is_nearly_straight(fit: Any) -> None:
    table = fit.profile(["x"]).table
    slope = np.gradient(table["zeta"].to_numpy(), table["value"].to_numpy())
    assert slope == pytest.approx(1.0 / fit.fixed().loc["x", "se"], rel=0.15)


def test_what_has_no_profile_is_said(fit: Any) -> None:
    with pytest.raises(UnknownNameError, match="No profile of 'z'"):
        fit.profile(["z"])
    with pytest.raises(SettingsError, match="needs longer profiles"):
        fit.profile(["x"], reach=0.9).intervals(0.95)
    reml = fit.model.fit("laplace", seed=1, objective="reml", draws=5)
    with pytest.raises(BayesglmmError, match='profile needs a fit with objective="ml"'):
        reml.profile()

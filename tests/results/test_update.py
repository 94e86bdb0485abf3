"""fit.update and fit.confint: formulas with dots as R has them, intervals as lme4's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, FormulaError, SettingsError, UnknownNameError
from bayesglmm.formula.update import updated


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("y ~ x + (1 | g)", ". ~ . + z", "y ~ x + (1 | g) + z"),
        ("y ~ x + (1 | g)", "~ . + z", "y ~ x + (1 | g) + z"),
        ("y ~ x + (1 | g)", ". ~ . - (1 | g) + (1 + x | g)", "y ~ x + (1 + x | g)"),
        ("y ~ x*z + (1 | g)", "~ . - x:z", "y ~ x * z + (1 | g) - x:z"),
        ("y ~ x + z", "log(.) ~ .^2", "log(y) ~ (x + z)^2"),
        ("y ~ x + z", "w ~ .", "w ~ x + z"),
        ("y ~ x", "~ . - x", "y ~ 1"),
        ("y ~ 1 + x", "~ . - 1", "y ~ 1 + x - 1"),
        ("y ~ -1 + x", "~ . + z", "y ~ -1 + x + z"),
        ("y ~ x", "y ~ z", "y ~ z"),
        (["y ~ x", "sigma ~ z"], "sigma ~ . + x", ["y ~ x", "sigma ~ z + x"]),
        (["y ~ x", "sigma ~ z"], [". ~ . + z", "sigma ~ 1"], ["y ~ x + z", "sigma ~ 1"]),
        ("y ~ x", [". ~ .", "sigma ~ x"], ["y ~ x", "sigma ~ x"]),
        ("s | trials(n) ~ x", ". ~ . + ar1(0 + t | g)", "s | trials(n) ~ x + ar1(0 + t | g)"),
    ],
)
def test_formulas_with_dots(old: Any, new: Any, expected: Any) -> None:
    assert updated(old, new) == expected


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("y ~ x + (1 | g)", "~ . - (1 | h)", r"no group term `\(1 \| h\)` to take away"),
        ("y ~ x", ["~ .", "sigma ~ . + z"], "the model has no formula of `sigma`"),
        (bg.nonlinear("y ~ a * x", a="~ 1"), "~ . + z", "nonlinear model"),
    ],
)
def test_changes_without_sense(old: Any, new: Any, words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        updated(old, new)


@pytest.fixture(scope="module")
def fit() -> Any:
    data = bg.load_dataset("sleepstudy")
    data["week"] = data["Days"] > 6
    priors = {"Days": bg.Prior("Normal", mu=0, sigma=20)}
    return bg.Model("Reaction ~ Days + (1 | Subject)", data, priors=priors).fit("laplace", seed=3, draws=250)


def test_what_is_not_named_stays(fit: Any) -> None:
    other = fit.update(". ~ . + week")  # a column that the first formula did not mention
    assert other.data.attrs["formula"] == "Reaction ~ Days + (1 | Subject) + week"
    for name in ("seed", "engine", "settings", "family"):
        assert other.data.attrs[name] == fit.data.attrs[name]
    assert "Days" in str(other.model.given["priors"])
    assert "week[True]" in other.fixed().index
    assert "week[True]" not in fit.fixed().index
    pd.testing.assert_frame_equal(fit.update().fixed(), fit.fixed())


@pytest.mark.slow
def test_data_settings_family_and_engine(fit: Any) -> None:
    early = fit.update(data=fit.model.design.data.query("Days < 5"), draws=30)
    assert early.data["observed_data"].sizes["obs"] == 90
    assert early.draws.sizes["draw"] == 30
    assert fit.update(family="student_t", draws=30).data.attrs["family"] == "student_t"
    likelihood = fit.update(objective="ml", priors=None)
    assert np.isfinite(likelihood.loglik)
    assert np.isfinite(likelihood.update("~ . - Days").aic)
    assert fit.update(engine="ep", draws=30).data.attrs["engine"] == "ep"


def test_clear_errors(fit: Any) -> None:
    with pytest.raises(UnknownNameError, match="no column 'weekday'"):
        fit.update(". ~ . + weekday")
    with pytest.raises(SettingsError, match="has no setting 'drews'"):
        fit.update(drews=3)
    data = fit.model.design.data
    weighted = bg.Model("Reaction ~ Days", data, weights=np.ones(len(data))).fit("laplace", seed=1, draws=20)
    with pytest.raises(SettingsError, match="weights= was an array for the rows of the old data"):
        weighted.update(data=data.head(50))
    bare = type(fit)(fit.data, fit.problem)
    with pytest.raises(BayesglmmError, match="does not hold its model"):
        bare.update("~ . + 1")


@pytest.mark.slow
def test_profile_intervals_are_lme4s(dataset: Callable) -> None:
    """confint(lmer(Reaction ~ Days + (Days | Subject), REML = FALSE)), lme4 1.1-31, to a thousandth of the width."""
    theirs = {
        "Intercept": (237.68069547, 265.12951469),
        "Days": (7.35865330, 13.57591874),
        "sd[Subject, Intercept]": (14.38148112, 37.71601874),
        "sd[Subject, Days]": (3.80116476, 8.75336666),
        "cor[Subject, Intercept, Days]": (-0.48150044, 0.68498614),
        "sigma": (22.89826622, 28.85799732),
    }
    fit = bg.Model("Reaction ~ Days + (Days | Subject)", dataset("sleepstudy")).fit("laplace", objective="ml", seed=1)
    found = fit.confint(method="profile")
    _close(found, theirs, 1e-3)
    assert found["kind"].tolist() == ["fixed", "fixed", "sd", "sd", "cor", "dispersion"]
    wald = fit.confint(parameters=["Intercept", "Days"])
    _close(wald, {"Intercept": (238.4063831, 264.403827), "Days": (7.5229688, 13.411603)}, 1e-3)
    boot = fit.confint(0.9, "boot", "Days", n=20, seed=1)
    assert boot.loc["Days", "lower"] < boot.loc["Days", "estimate"] < boot.loc["Days", "upper"]
    expected = fit.bootstrap(n=20, seed=1).summary(0.9).loc["Days", ["lower", "upper"]]
    assert np.allclose(boot.loc["Days", ["lower", "upper"]].astype(float), expected.astype(float))


def test_profile_intervals_of_cbpp_are_lme4s(dataset: Callable) -> None:
    theirs = {
        "sd[herd, Intercept]": (0.3460732, 1.0999746),
        "Intercept": (-1.9012120, -0.9477540),
        "period[2]": (-1.6167833, -0.4077631),
        "period[3]": (-1.8010244, -0.5115361),
        "period[4]": (-2.5007506, -0.8007553),
    }
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    fit = bg.Model(formula, dataset("cbpp"), family="binomial").fit("laplace", objective="ml", seed=1)
    # glmer stops short of its optimum by 1e-3 standard errors, and so do its profiles.
    _close(fit.confint(method="profile"), theirs, 5e-3)


def _close(found: pd.DataFrame, theirs: dict[str, tuple[float, float]], share: float) -> None:
    for name, ends in theirs.items():
        own = found.loc[name, ["lower", "upper"]].to_numpy(dtype=float)
        assert np.abs(own - ends).max() < share * (ends[1] - ends[0]), name


def test_posterior_intervals(fit: Any) -> None:
    table = fit.confint(0.9)
    pd.testing.assert_frame_equal(
        table[["lower", "upper"]], fit.summary(0.9)[["lower", "upper"]], check_names=False, check_dtype=False
    )
    shortest = fit.confint(0.9, "hdi")
    width = [frame["upper"] - frame["lower"] for frame in (shortest, table)]
    assert np.all(width[0] <= width[1] * 1.02)
    draws = fit.draws["beta"].values[..., 1].ravel()
    inside = (draws >= shortest.loc["Days", "lower"]) & (draws <= shortest.loc["Days", "upper"])
    assert inside.mean() == pytest.approx(0.9, abs=0.01)
    assert "90% of the posterior" in table.attrs["note"]


def test_methods_of_the_other_kind(fit: Any) -> None:
    with pytest.raises(SettingsError, match=r"'wald' is for maximum likelihood fits.*'quantile', 'hdi'"):
        fit.confint(method="wald")
    with pytest.raises(SettingsError, match="'walt' is not known"):
        fit.confint(method="walt")
    with pytest.raises(UnknownNameError, match="No parameter is called 'days'"):
        fit.confint(parameters="days")
    with pytest.raises(SettingsError, match='n= is for method="boot" alone'):
        fit.confint(n=10)

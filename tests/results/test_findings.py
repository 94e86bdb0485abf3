"""What model and data cannot tell: every finding made to appear, and its words."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, ModelWarning
from bayesglmm.results.checking.concurvity import concurvity

N = 120


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    found = pd.DataFrame({"x": rng.normal(size=N), "z": rng.uniform(size=N), "g": [f"g{i % 12}" for i in range(N)]})
    found["copy"] = found["x"] + 0.01 * rng.normal(size=N)
    found["curve"] = np.sin(6 * found["z"]) + 0.01 * rng.normal(size=N)
    found["same"] = "h" + found["g"]
    found["row"] = [f"r{i}" for i in range(N)]
    found["three"] = np.arange(N) % 3
    found["y"] = 1.0 + 0.5 * found["x"] + rng.normal(size=N)
    found["no"] = np.where(found["three"] == 2, 0, rng.poisson(3.0, N))
    found["line"] = (found["x"] - found["z"] > 0.2).astype(int)
    return found


def checked(formula: str, data: pd.DataFrame, family: str = "gaussian") -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return bg.Model(formula, data, family=family).check()


@pytest.mark.parametrize(
    ("formula", "family", "check", "words"),
    [
        ("line ~ x + z", "bernoulli", "separation", "decides 120 of 120 responses (complete separation)"),
        ("no ~ factor(three)", "poisson", "separation", "decides 40 of 120 zero counts (quasi-complete separation)"),
        ("y ~ x + copy + z", "gaussian", "aliasing", "of the variation of x is that of copy."),
        (
            "y ~ x + g + (1 | g)",
            "gaussian",
            "aliasing",
            "The population columns can draw an effect for each level of g.",
        ),
        ("y ~ x + (1 | g) + (1 | same)", "gaussian", "aliasing", "g and same divide the rows in the same way."),
        ("y ~ x + (1 | row)", "gaussian", "one-row groups", "Each of the 120 levels of row has one row. The group"),
        ("y ~ x + (1 + x | row)", "gaussian", "one-row groups", "levels of row has one row"),
        ("y ~ x + (1 | three)", "gaussian", "few levels", "three has 3 levels. So few say little"),
        ("y ~ s(z) + s(curve)", "gaussian", "concurvity", "of a curve of s("),
    ],
)
def test_findings_before_a_fit(data: pd.DataFrame, formula: str, family: str, check: str, words: str) -> None:
    table = checked(formula, data, family)
    row = table.set_index("check").loc[[check]].iloc[0]
    assert words in row["meaning"]
    assert row["verdict"] == "check"
    assert row["about"] == "model"
    assert row["advice"]
    assert str(table).startswith("1. ")


def test_nothing_is_found_where_nothing_is(data: pd.DataFrame) -> None:
    table = checked("y ~ x + s(z) + (1 + x | g)", data)
    assert len(table) == 0
    assert str(table) == "Nothing was found."
    assert checked("no ~ x + (1 | row)", data, "poisson")["verdict"].tolist() == [
        "good"
    ]  # overdispersion, on purpose


def test_concurvity_as_mgcv(data: pd.DataFrame) -> None:
    # mgcv 1.8-41: concurvity(gam(y ~ x + s(z, k = 6) + s(w, k = 6))). The worst case does not depend on which basis
    # spans the curves; the other measures do.
    rng = np.random.default_rng(0)
    z = np.arange(200) / 200
    frame = pd.DataFrame({"z": z, "w": z**2 + 0.1 * np.cos(40 * z), "x": np.sin(9 * z), "y": rng.normal(size=200)})
    predictor = bg.Model("y ~ x + s(z, k=6) + s(w, k=6)", frame).design.predictors["mu"]
    table = concurvity(predictor).set_index("term")
    assert table["worst"].to_numpy() == pytest.approx([0.99763340, 0.96236121], abs=1e-5)
    X = predictor.X
    assert table["estimate"].between(0, 1).all()
    assert concurvity(bg.Model("y ~ x", frame).design.predictors["mu"]) is None
    assert X.shape[1] == 4


def test_concurvity_of_estimated_curves(data: pd.DataFrame) -> None:
    fit = bg.Model("y ~ s(z) + s(curve)", data).fit("laplace", seed=1, draws=100)
    table = fit.diagnose()
    rows = table[table["check"] == "concurvity"]
    assert (rows["value"] <= 1.0).all()
    assert rows["meaning"].str.contains("of the estimated curve of s").all()


def test_a_standard_deviation_at_zero_is_named(data: pd.DataFrame) -> None:
    fit = bg.Model("y ~ x + (1 + x | g)", data).fit("laplace", seed=1)
    row = fit.diagnose().set_index("check").loc[["boundary"]].iloc[0]
    assert "cannot be told from zero: its median is" in row["meaning"]
    assert row["about"] == "model"
    assert fit.verdict == "good"  # the numbers are right; it is the data that do not say more


def test_remedies_are_tried_and_told(data: pd.DataFrame) -> None:
    fit = bg.Model("y ~ x + copy + (1 | g)", data).fit("laplace", seed=1, draws=20, chains=1)
    table = fit.diagnose(try_remedies=True, seed=2)
    assert table.columns.tolist()[-4:] == ["tried", "before", "after", "worked"]
    rows = table.set_index("check")
    assert rows.loc["draws", "tried"] == "model.fit('laplace', draws=1000)"
    assert rows.loc["draws", ["before", "after", "worked"]].tolist() == ["20", "1000", True]
    assert rows.loc["aliasing", "tried"] == 'fit.update(formula=". ~ . - copy")'
    assert rows.loc["aliasing", "before"].startswith("AIC ")
    assert rows.loc["aliasing", "worked"] is True
    assert rows.loc["finite draws", "tried"] == ""
    assert rows.loc["finite draws", "worked"] is None
    assert "= tried model.fit('laplace', draws=1000): 20 before, 1000 after; it worked." in str(table)
    again = fit.diagnose(try_remedies=True, seed=2)
    pd.testing.assert_frame_equal(pd.DataFrame(table), pd.DataFrame(again))


def test_a_separated_coefficient_gets_a_prior_of_its_own(data: pd.DataFrame) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        model = bg.Model("line ~ x + z", data, family="bernoulli")
        row = model.fit("laplace", seed=1).diagnose(try_remedies=True, seed=1).set_index("check").loc["separation"]
        assert row["tried"].startswith("priors={'x': bg.Prior('Normal', mu=0, sigma=1")
        assert row["worked"] is True
        likelihood = model.fit("laplace", objective="ml", seed=1).diagnose(try_remedies=True, seed=1)
    row = likelihood.set_index("check").loc["maximum"]
    assert row["tried"] == 'model.fit("laplace")'
    assert row["after"].startswith("largest posterior sd")


def test_a_fit_without_its_model_tries_nothing(gaussian: Any) -> None:
    fit = gaussian.fit()
    fit.model = None
    with pytest.raises(BayesglmmError, match="does not hold its model"):
        fit.diagnose(try_remedies=True)

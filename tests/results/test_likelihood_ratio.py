"""Likelihood ratio tests against R's numbers, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, UnknownNameError
from bayesglmm.results.likelihood_ratio import _printable


def ml(formula: Any, data: Any, family: str = "gaussian", **settings: Any) -> Any:
    return bg.Model(formula, data, family=family).fit(
        "laplace", seed=1, **{"objective": "ml", "draws": 20} | settings
    )


@pytest.fixture(scope="module")
def sleep() -> dict[str, Any]:
    data = bg.load_dataset("sleepstudy")
    groups = {"int": "(1 | Subject)", "uncorr": "(Days || Subject)", "corr": "(Days | Subject)"}
    return {name: ml(f"Reaction ~ Days + {term}", data) for name, term in groups.items()}


def test_nested_models_are_those_of_anova(sleep: dict[str, Any], expected: Callable[[str], Any]) -> None:
    numbers = expected("sleepstudy")
    table = bg.likelihood_ratio(corr=sleep["corr"], int=sleep["int"], uncorr=sleep["uncorr"])
    assert table.index.tolist() == ["int", "uncorr", "corr"]
    assert table.columns.tolist() == ["parameters", "loglik", "aic", "bic", "deviance", "chisq", "df", "p"]
    theirs = [numbers[f"{name}_ML"]["logLik"] for name in table.index]
    assert table["loglik"].to_numpy() == pytest.approx(theirs, abs=1e-4)
    assert table["chisq"].to_numpy()[1:] == pytest.approx(2 * np.diff(theirs), abs=1e-3)
    assert table["parameters"].tolist() == [4, 5, 6]
    assert table["df"].to_numpy()[1:].tolist() == [1, 1]
    assert table["p"].iloc[1] < 1e-9
    assert 0.79 < table["p"].iloc[2] < 0.81  # 0.8004 in lme4's anova
    assert "conservative" in table.attrs["note"]


def test_labels_are_formulas_unless_named(sleep: dict[str, Any]) -> None:
    table = bg.likelihood_ratio(sleep["int"], sleep["int"])
    assert table.index.tolist() == ["Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (1 | Subject) [2]"]
    assert np.isnan(table["p"]).all()
    assert "note" not in table.attrs


def test_what_cannot_be_compared_is_refused(sleep: dict[str, Any]) -> None:
    data = bg.load_dataset("sleepstudy")
    with pytest.raises(BayesglmmError, match="at least two"):
        bg.likelihood_ratio(sleep["int"])
    with pytest.raises(BayesglmmError, match="different rows"):
        bg.likelihood_ratio(sleep["int"], ml("Reaction ~ 1 + (1 | Subject)", data.iloc[:-1]))
    with pytest.raises(BayesglmmError, match="no maximum likelihood fit"):
        bg.likelihood_ratio(sleep["int"], ml("Reaction ~ 1 + (1 | Subject)", data, objective="posterior"))
    reml = [ml(f"Reaction ~ {x} + (1 | Subject)", data, objective="reml") for x in ("1", "Days")]
    with pytest.raises(BayesglmmError, match="objective='reml' but"):
        bg.likelihood_ratio(sleep["int"], reml[0])
    with pytest.raises(BayesglmmError, match="Restricted likelihoods"):
        bg.likelihood_ratio(*reml)
    with pytest.raises(BayesglmmError, match="compares fits"):
        bg.likelihood_ratio("a", "b")
    with pytest.raises(BayesglmmError, match='needs a fit with objective="ml"'):
        reml[1].drop_terms()


def test_drop_terms_is_drop1(expected: Callable[[str], Any], reference: Path) -> None:
    data, numbers = pd.read_csv(reference / "data" / "cbpp2.csv"), expected("cbpp2")["drop1_gm2"]
    data["treatment"] = pd.Categorical(data["treatment"], ["Partial/null", "Complete", "Unknown"])
    formula = "cbind(incidence, size - incidence) ~ factor(period) + treatment + avg_size + (1 | herd) + (1 | obs)"
    table = ml(formula, data, "binomial").drop_terms()
    assert table.index.tolist() == ["(none)", "factor(period)", "treatment", "avg_size"]
    theirs = np.array(numbers["values"], dtype=float)
    ours = table.loc[["(none)", "treatment", "avg_size"], ["df", "aic", "chisq", "p"]].to_numpy()
    assert ours == pytest.approx(theirs, abs=1e-3, nan_ok=True)


def test_only_what_nothing_else_contains_is_dropped() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame(rng.normal(size=(60, 4)), columns=["y", "a", "b", "t"]).assign(g=np.arange(60) % 6)
    data.loc[[4, 5], "a"] = np.nan
    model = bg.Model(["y ~ a*b + poly(t, 2) + offset(t) + (1 | g)", "sigma ~ b"], data)
    assert model.droppable == ("poly(t, 2)", "a:b")
    less = model.without("a:b")
    assert less.droppable == ("a", "b", "poly(t, 2)")
    assert less.without("a").design.n == model.design.n == 58
    assert list(less.design.predictors) == ["mu", "sigma"]
    with pytest.raises(UnknownNameError, match="No term 'a' can be dropped"):
        model.without("a")


def test_array_weights_follow_the_rows_used() -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame(rng.normal(size=(30, 2)), columns=["y", "a"]).assign(g=np.arange(30) % 5)
    data.loc[3, "a"] = np.nan
    weights = np.arange(1.0, 31.0)
    less = bg.Model("y ~ a + (1 | g)", data, weights=weights).without("a")
    assert less.design.response.weights.tolist() == np.delete(weights, 3).tolist()


def test_tables_print_whole_and_rounded() -> None:
    table = pd.DataFrame(
        {"parameters": [2, 5], "loglik": [-104.83131, -92.02628], "chisq": [np.nan, 25.61], "p": [np.nan, 1.2e-05]},
        index=["incidence | trials(size) ~ 1 + (1 | herd)", "incidence | trials(size) ~ period + (1 | herd)"],
    )
    table.attrs["note"] = "p is a bound."
    assert repr(_printable(table)).splitlines() == [
        "1: incidence | trials(size) ~ 1 + (1 | herd)",
        "2: incidence | trials(size) ~ period + (1 | herd)",
        "  parameters   loglik  chisq        p",
        "1          2  -104.83                ",
        "2          5   -92.03  25.61  1.2e-05",
        "p is a bound.",
    ]
    short = _printable(table.set_axis(["null", "period"]))
    assert repr(short).splitlines()[1].startswith("null")
    assert type(short[["loglik"]]) is pd.DataFrame
    assert "loglik" in repr(short["loglik"].to_frame("loglik"))

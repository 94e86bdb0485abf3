"""What a user sees go wrong, from `Model` on: every case of section 9 of the design page, one each.

The rooms test the variants; here the way through the whole recipe is tried, and that the message names the culprit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, ModelWarning

RNG = np.random.default_rng(3)
N = 40


def frame(**extra: Any) -> pd.DataFrame:
    base = {
        "y": RNG.normal(size=N),
        "k": RNG.poisson(3.0, N),
        "x": RNG.normal(size=N),
        "g": np.tile(list("abcd"), 10),
    }
    return pd.DataFrame(base | extra)


SEVEN = np.arange(N) == 7

CASES: dict[str, tuple[Any, ...]] = {
    "rank deficient": ("y ~ x + s", "gaussian", {"s": np.ones(N)}, DataError, "`s` is constant"),
    "a duplicate column": (
        "y ~ g + h",
        "gaussian",
        {"h": np.tile(list("ABCD"), 10)},
        DataError,
        r"`h\[B\]`.*`g\[b\]`",
    ),
    "a constant predictor": ("y ~ c", "gaussian", {"c": np.full(N, 2.0)}, DataError, "`c` is constant"),
    "one level": ("y ~ x + (1 | h)", "gaussian", {"h": ["u"] * N}, DataError, "`h` has one level"),
    "infinite": ("y ~ x", "gaussian", {"x": np.where(SEVEN, np.inf, 1.0)}, DataError, "'x' has 1 infinite.*row 7"),
    "no integer": ("c ~ x", "poisson", {"c": np.where(SEVEN, 1.5, 2.0)}, DataError, "row 7 is"),
    "a negative count": ("c ~ x", "poisson", {"c": np.where(SEVEN, -1, 2)}, DataError, "row 7 is"),
    "negative trials": ("k | trials(n) ~ x", "binomial", {"n": np.where(SEVEN, -3, 99)}, DataError, "row 7"),
    "more successes than trials": (
        "k | trials(n) ~ x",
        "binomial",
        {"n": np.where(SEVEN, 0, 99)},
        DataError,
        "row 7",
    ),
    "outside of (0, 1)": ("c ~ x", "beta", {"c": np.where(SEVEN, 1.0, 0.5)}, DataError, "row 7 is"),
    "text as response": ("g ~ x", "gaussian", {}, DataError, "`?g`?"),
    "many levels as binary": ("g ~ x", "bernoulli", {}, DataError, "`?g`?.*4|4.*`?g`?"),
    "equal responses": ("c ~ x", "gaussian", {"c": np.full(N, 2.0)}, DataError, "same|equal|constant"),
    "a reserved name": ("y ~ Intercept", "gaussian", {"Intercept": RNG.normal(size=N)}, BayesglmmError, "Intercept"),
    "a typo": ("y ~ x + + * g", "gaussian", {}, FormulaError, r"\^"),
    "an unknown column": ("y ~ xx", "gaussian", {}, BayesglmmError, r"xx.*\n?.*Did you mean 'x'|Did you mean 'x'"),
    "too large": ("y ~ factor(i):factor(j)", "gaussian", {"i": range(N), "j": range(N)}, DataError, "columns"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_message_names_the_culprit(case: str) -> None:
    formula, family, extra, error, message = CASES[case]
    with pytest.raises(error, match=rf"(?s){message}"):
        bg.Model(formula, frame(**extra), family)


def test_missing_values_are_counted_and_shown() -> None:
    data = frame(x=np.where(SEVEN, np.nan, RNG.normal(size=N)))
    model = bg.Model("y ~ x", data)
    assert "39 used, 1 dropped of 40" in str(model)


def test_complete_separation_is_a_warning_and_a_note() -> None:
    data = frame(b=np.tile([0, 1, 1, 1], 10), f=np.tile(["u", "v", "v", "v"], 10))
    data.loc[1, "b"], data.loc[2, "b"] = 0, 0
    with pytest.warns(ModelWarning, match="Complete separation.*f = u is a failure"):
        model = bg.Model("b ~ f", data, "bernoulli")
    assert "Complete separation" in str(model)


def test_unknown_levels_in_new_data() -> None:
    model = bg.Model("y ~ h + (1 | g)", frame(h=np.tile(["u", "v"], N // 2)))
    with pytest.raises(DataError, match=r"(?s)h.*w"):
        model.design.rebind({"h": ["u", "w"], "g": ["a", "b"]})


def test_unknown_keywords() -> None:
    with pytest.raises(TypeError, match="familly"):
        bg.Model("y ~ x", frame(), familly="gaussian")  # type: ignore[call-arg]

"""Nonlinear predictors meet data: names, columns that data alone make, new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.design import bind
from bayesglmm.errors import DataError, FormulaError, UnknownNameError
from bayesglmm.families import FAMILIES
from bayesglmm.formula import parse

N = 12
DATA = pd.DataFrame(
    {
        "y": np.arange(N) % 2,
        "x": np.linspace(-1.0, 2.0, N),
        "dose": np.tile([0.0, 1.0, 2.0], 4),
        "g": pd.Categorical(list("abc") * 4),
    }
)


def design(formula: str, data: Any = DATA, family: str = "bernoulli", **parameters: str) -> Any:
    return bind(parse(bg.nonlinear(formula, **(parameters or {"a": "~ 1", "b": "~ 1"}))), data, FAMILIES.get(family))


def test_what_is_data_alone_becomes_columns() -> None:
    found = design("y ~ a * log(dose + 1) + b^2 * (g == 'a') * scale(x) + 2 * pi * b * x + a * log(dose + 1)")
    assert found.nonlinear is not None
    expression = found.nonlinear.expression
    assert expression.parameters == ("a", "b")
    assert expression.columns == ("log(dose + 1)", "g == 'a'", "scale(x)", "x")
    held = found.response.covariates
    np.testing.assert_allclose(held["log(dose + 1)"], np.log1p(DATA["dose"]))
    np.testing.assert_allclose(held["g == 'a'"], DATA["g"] == "a")
    np.testing.assert_allclose(held["scale(x)"].std(ddof=1), 1.0)
    assert list(found.predictors) == ["a", "b"]


def test_new_rows_are_coded_as_the_first_were() -> None:
    found = design("y ~ a * scale(x) + b * dose", a="~ g", b="~ 1")
    new = found.rebind({"x": [0.5, 10.0], "dose": [3.0, 0.0], "g": ["c", "a"]})
    scaled = (np.array([0.5, 10.0]) - DATA["x"].mean()) / DATA["x"].std(ddof=1)
    np.testing.assert_allclose(new.covariates["scale(x)"], scaled)
    np.testing.assert_allclose(new.predictors["a"].X, [[1, 0, 1], [1, 0, 0]])
    with pytest.raises(DataError, match="lack the column 'dose', which the model uses"):
        found.rebind({"x": [0.5], "g": ["a"]})


def test_missing_values_in_the_expression_drop_rows() -> None:
    data = DATA.assign(x=DATA["x"].where(DATA.index != 3))
    found = design("y ~ a * x + b", data)
    assert found.n == N - 1
    assert found.rows.missing == {"x": 1}


@pytest.mark.parametrize(
    ("formula", "parameters", "error", "message", "caret"),
    [
        ("y ~ a * (b - doze)", {}, UnknownNameError, "'doze' is neither a column .* Did you mean 'dose'", 13),
        ("y ~ a * c + b", {}, UnknownNameError, 'give it a formula: c="~ 1"', 8),
        ("y ~ x * b", {"x": "~ 1", "b": "~ 1"}, DataError, "'x' is a parameter .* and a column", None),
        ("y ~ mu * x", {"mu": "~ 1"}, DataError, "'mu' is a parameter of the family 'bernoulli' already", None),
        ("y ~ a * x + b", {"a": "~ 1", "b": "~ y"}, FormulaError, "`y` is the response .* parameter 'b'", 4),
        ("y ~ a + s(x) * b", {}, FormulaError, r"`s\(x\)` is a term .* formula of a parameter: a='~ s\(x\)'", 8),
        ("y ~ a * (b > x)", {}, FormulaError, "`>` has steps", 11),
        ("y ~ a * abs(b)", {}, FormulaError, "`abs` cannot be applied to a parameter", 8),
        ("y ~ a * log(b, 2)", {}, FormulaError, r"write log\(x\) / log\(base\)", 8),
        ("y ~ a * exq(b)", {}, UnknownNameError, "Unknown function `exq`. Did you mean 'exp'", 8),
        ("y ~ a * b * 'x'", {}, FormulaError, "The text 'x' cannot be a value here", 12),
        ("y ~ a * b * g", {}, DataError, "`g` holds categories", 12),
        ("y ~ a * log(x) + b", {}, DataError, r"`log\(x\)` is not a finite number in 4 rows \(first: row 0\)", 8),
        ("y ~ a * b / 0^-1 / log(0)", {}, FormulaError, "is not a finite number", None),
        ("y ~ a * poly(x, 2) + b", {}, FormulaError, "has several columns", None),
    ],
)
def test_refusals_with_their_place(
    formula: str, parameters: Any, error: Any, message: str, caret: int | None
) -> None:
    with pytest.raises(error, match=message) as caught:
        design(formula, **parameters)
    if caret is not None:
        assert str(caught.value).splitlines()[-1].rstrip() == " " * (4 + caret) + "^"


def test_one_expression_cannot_serve_a_predictor_per_category() -> None:
    with pytest.raises(FormulaError, match="'categorical' has one predictor per category"):
        design("g ~ a * x + b", family="categorical")

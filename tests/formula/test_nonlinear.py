"""The formulas of nonlinear predictors: what they say, and what is refused before there are data."""

from __future__ import annotations

from typing import Any

import pytest

import bayesglmm as bg
from bayesglmm.errors import FormulaError, SettingsError
from bayesglmm.formula import parse


def test_an_expression_and_a_formula_for_each_parameter() -> None:
    given = bg.nonlinear("y ~ -theta0 * (theta1 - x)^2", "sigma ~ z", theta0="~ 1", theta1="theta1 ~ x + (1 | g)")
    assert list(given) == ["y ~ -theta0 * (theta1 - x)^2", "theta0 ~ 1", "theta1 ~ x + (1 | g)", "sigma ~ z"]
    spec = parse(given)
    assert spec.nonlinear is not None
    assert spec.nonlinear.parameters == ("theta0", "theta1")
    assert list(spec.predictors) == ["theta0", "theta1", "sigma"]
    assert str(spec.nonlinear.expression) == "-theta0 * (theta1 - x)^2"
    assert [str(factor) for factor in spec.predictors["theta1"].groups[0].factor] == ["g"]
    assert spec.names() >= {"y", "x", "z", "g", "theta0"}


def test_the_tilde_of_a_parameter_may_be_left_out() -> None:
    assert bg.nonlinear("y ~ a * x", a="1 + z").parameters == {"a": "~ 1 + z"}


@pytest.mark.parametrize(
    ("formula", "parameters", "message", "caret"),
    [
        ("y ~ a * (1 | g)", {"a": "~ 1"}, 'in the formula of a parameter|formula of a parameter, as in a="~ 1', 11),
        ("y ~ a * x:z", {"a": "~ 1"}, "`:` makes terms of a linear formula", 9),
        ("y ~ a * .", {"a": "~ 1"}, r"`\.` has no meaning in an expression", 8),
        ("y ~ a * y", {"a": "~ 1"}, "`y` is the response and cannot explain itself", 8),
        ("y ~ a * x + y", {"a": "~ 1", "y": "~ 1"}, "`y` is the response; a parameter needs a name of its own", 12),
        ("y ~ a * x", {"a": "~ 1", "b": "~ 1"}, "'b' has a formula, but `y ~ a \\* x` does not use it", 0),
        ("y ~ a x", {"a": "~ 1"}, "without an operator", 6),
        ("a * x", {"a": "~ 1"}, "no `~`", None),
        ("y ~ a * x", {"a": "b ~ 1"}, "has 'b' on its left side", 0),
        ("y ~ a * x", {"a": "~ 1 +"}, "Nothing follows", 4),
        ("y ~ a * x", {"a": 1}, "a= is a formula such as", None),
        ("y ~ a * x", {}, "needs parameters with formulas of their own", None),
        ("y ~ sd * x", {"sd": "~ 1"}, "cannot be called 'sd'", None),
        ("y ~ a__b * x", {"a__b": "~ 1"}, "cannot be called 'a__b'", None),
    ],
)
def test_refusals_with_their_place(formula: str, parameters: Any, message: str, caret: int | None) -> None:
    with pytest.raises(FormulaError, match=message) as caught:
        parse(bg.nonlinear(formula, **parameters))
    if caret is not None:
        assert str(caught.value).splitlines()[-1].rstrip() == " " * (4 + caret) + "^"


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"b": 1}, "there is no parameter 'b'"),
        ({"a": "one"}, "a must be a number, not 'one'"),
        ({"a": float("inf")}, "a must be finite"),
    ],
)
def test_bad_starts(start: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        bg.nonlinear("y ~ a * x", a="~ 1", start=start)

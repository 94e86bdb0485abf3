"""Arithmetic of formulas, and that nothing beyond it can be reached."""

import os

import numpy as np
import pytest

from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError
from bayesglmm.terms import Factor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I(x + 1)", [2, 3, 4]),
        ("I(x - z / 2)", [-1, -0.5, 0]),
        ("I(x^2)", [1, 4, 9]),
        ("I(-x^2)", [-1, -4, -9]),
        ("I(2^x^1)", [2, 4, 8]),
        ("I(x %% 2)", [1, 0, 1]),
        ("I(x %/% 2)", [0, 1, 1]),
        ("I((x + z) * 2)", [10, 14, 18]),
        ("I(x * pi)", [np.pi, 2 * np.pi, 3 * np.pi]),
        ("I((x > 1) * z)", [0, 5, 6]),
        ("I(b * z)", [4, 0, 6]),
        ("I(+x)", [1, 2, 3]),
        ("I((f == 'u') * 3)", [3, 0, 3]),
        ("I((f != 'u') * 1)", [0, 1, 0]),
        ("I((x == 2) + 0)", [0, 1, 0]),
        ("I((f == g) + 0)", [1, 0, 0]),
    ],
)
def test_arithmetic(make, numbers, text, expected):
    data = make(x=[1, 2, 3], z=[4, 5, 6], b=[True, False, True], f=["u", "v", "u"], g=["u", "u", "v"])
    np.testing.assert_allclose(numbers(text, data), expected)


def test_comparisons_are_factors_with_both_levels(make, evaluate):
    value = evaluate("I(x > 0)", make(x=[1.0, 2.0]))
    assert isinstance(value, Factor)
    assert value.levels == ("False", "True")
    assert value.codes.tolist() == [1, 1]


def test_numbers_compare_with_text_by_their_label(make, evaluate):
    assert evaluate("I(x == '2')", make(x=[1, 2])).codes.tolist() == [0, 1]


def test_text_has_no_order(make, evaluate):
    with pytest.raises(FormulaError, match="only == and != are possible"):
        evaluate("I(f < 'b')", make(f=["a", "b"]))


def test_text_used_as_a_number_names_column_and_levels(make, evaluate):
    with pytest.raises(DataError, match=r"`f` holds categories \(a, b\), but numbers are needed"):
        evaluate("log(f)", make(f=["a", "b"]))


def test_unknown_column_has_a_caret_and_the_nearest_name(make, evaluate):
    with pytest.raises(UnknownNameError, match=r"no column 'wieght'.*Did you mean 'weight'") as caught:
        evaluate("log(wieght)", make(weight=[1.0]))
    formula, mark = str(caught.value).splitlines()[-2:]
    assert formula.strip() == "y ~ log(wieght)"
    assert mark.strip() == "^"


def test_unknown_function_offers_the_nearest(make, evaluate):
    with pytest.raises(UnknownNameError, match=r"Unknown function `sqr`. Did you mean 'sqrt'"):
        evaluate("sqr(x)", make(x=[1.0]))


def test_term_inside_an_expression_is_refused(make, evaluate):
    with pytest.raises(FormulaError, match=r"`offset\(x\)` is a term of its own"):
        evaluate("log(offset(x))", make(x=[1.0]))


def f(x):
    raise AssertionError("a function of the caller was called")


outside = np.arange(3.0)

HOSTILE = [
    "__import__('os')",
    "__import__('os').system",
    "I(__import__('os'))",
    "eval('1')",
    "exec('1')",
    "getattr(x, 'real')",
    "open('/etc/passwd')",
    "f(x)",
    "np.log(x)",
    "os.system('true')",
    "x.__class__",
    "log(x.__class__.__mro__)",
    "I(x.__class__)",
    "log(__builtins__)",
    "I(outside)",
    "outside",
    "poly(x, f(2))",
    "C(x, f)",
    "C(x, Treatment(f))",
    "factor(x, levels=f(x))",
    "scale(x, center=f)",
    "log('x')",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_outside_of_data_and_functions_is_reached(make, evaluate, text, monkeypatch):
    def forbidden(*_):
        raise AssertionError("a command was run")

    monkeypatch.setattr(os, "system", forbidden)
    with pytest.raises(BayesglmmError):
        evaluate(text, make(x=[1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log(x, y, z)", "too many arguments"),
        ("log()", "lacks the argument x"),
        ("sqrt(x, digits=2)", "no argument `digits`"),
        ("poly(x, 1.5)", "whole number"),
        ("poly(x, 0)", "at least 1"),
        ("poly(x, 2, raw=3)", "TRUE or FALSE"),
        ("relevel(x, ref=x)", "a text in quotes"),
        ("'x'", "without quotes"),
        ("I(x:x)", "not arithmetic"),
    ],
)
def test_wrong_arguments(make, evaluate, text, message):
    with pytest.raises(FormulaError, match=message):
        evaluate(text, make(x=[1.0, 2.0, 3.0], y=[1.0, 1.0, 1.0], z=[1.0, 1.0, 1.0]))

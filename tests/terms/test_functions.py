"""The functions of formulas, each against R's value or numpy's."""

import numpy as np
import pytest

from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.parser import parse_expression
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.functions import FUNCTIONS

X = np.array([0.5, 1.0, 2.5, 4.0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("log(x)", np.log(X)),
        ("log(x, 2)", np.log2(X)),
        ("log(x, base=10)", np.log10(X)),
        ("log2(x)", np.log2(X)),
        ("log10(x)", np.log10(X)),
        ("log1p(x)", np.log1p(X)),
        ("exp(x)", np.exp(X)),
        ("expm1(x)", np.expm1(X)),
        ("sqrt(x)", np.sqrt(X)),
        ("abs(-x)", X),
        ("sign(-x)", -np.ones(4)),
        ("sin(x)", np.sin(X)),
        ("cos(x)", np.cos(X)),
        ("tan(x)", np.tan(X)),
        ("floor(x)", [0, 1, 2, 4]),
        ("ceiling(x)", [1, 1, 3, 4]),
        ("round(x)", [0, 1, 2, 4]),
        ("round(x / 3, 2)", [0.17, 0.33, 0.83, 1.33]),
        ("pmin(x, 2)", [0.5, 1, 2, 2]),
        ("pmax(x, 2, x^2)", [2, 2, 6.25, 16]),
        ("I(x)", X),
        ("as.numeric(b)", [1, 0, 1, 0]),
        ("as.numeric(f)", [10, 2, 10, 3]),
        ("scale(x)", (X - X.mean()) / X.std(ddof=1)),
        ("standardize(x)", (X - X.mean()) / X.std(ddof=1)),
        ("scale(x, scale=FALSE)", X - X.mean()),
        ("scale(x, center=FALSE)", X / np.sqrt(np.sum(X**2) / 3)),
        ("center(x)", X - X.mean()),
        ("poly(x, 1)", ((X - X.mean()) / np.linalg.norm(X - X.mean()))[:, None]),
        ("poly(x, 3, raw=TRUE)", np.column_stack([X, X**2, X**3])),
    ],
)
def test_values(make, numbers, text, expected):
    data = make(x=X, b=[True, False, True, False], f=["10", "2", "10", "3"])
    np.testing.assert_allclose(numbers(text, data), expected, atol=1e-12)


def test_poly_is_rs(make, numbers):
    # > poly(1:10, 2)
    first = [-0.49543369, -0.38533732, -0.27524094, -0.16514456, -0.05504819]
    second = [0.52223297, 0.17407766, -0.08703883, -0.26111648, -0.34815531]
    found = numbers("poly(x, 2)", make(x=np.arange(1, 11)))
    np.testing.assert_allclose(found[:, 0], [*first, *(-v for v in first[::-1])], atol=1e-8)
    np.testing.assert_allclose(found[:, 1], [*second, *second[::-1]], atol=1e-8)


def test_poly_is_orthonormal_and_spans_the_powers(make, numbers):
    x = np.random.default_rng(1).gamma(2.0, size=50)
    found = numbers("poly(x, 4)", make(x=x))
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-10)
    powers = np.vander(x, 5)
    _, residual, *_ = np.linalg.lstsq(np.column_stack([np.ones(50), found]), powers, rcond=None)
    np.testing.assert_allclose(residual, 0, atol=1e-12 * np.max(powers) ** 2)


@pytest.mark.parametrize("text", ["scale(x)", "poly(x, 3)", "log(scale(x) + 9)", "center(x)", "I(scale(x)^2)"])
def test_functions_with_a_memory_are_the_same_on_new_rows(make, text):
    x = np.random.default_rng(2).normal(size=30)
    node = parse_expression(text)
    learner = Evaluator(make(x=x), "")
    whole = learner.value(node).floats
    part = Evaluator(make(x=x[:5]), "", learner.learned).value(node).floats
    np.testing.assert_allclose(part, whole[:5], atol=1e-12)


def test_poly_needs_enough_distinct_values(make, evaluate):
    with pytest.raises(DataError, match="more than 2 distinct values; there are 2"):
        evaluate("poly(x, 2)", make(x=[1, 2, 1, 2]))


def test_scale_of_a_constant(make, evaluate):
    with pytest.raises(DataError, match=r"`scale\(x\)`: the values are constant \(3\)"):
        evaluate("scale(x)", make(x=[3, 3, 3]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("factor(x)", ("2", "10")),
        ("as.factor(x)", ("2", "10")),
        ("factor(f)", ("a", "b", "c")),
        ("factor(f, levels=c('c', 'a', 'b'))", ("c", "a", "b")),
        ("ordered(f, levels=c('c', 'a', 'b'))", ("c", "a", "b")),
        ("relevel(f, 'b')", ("b", "a", "c")),
        ("relevel(f, ref='c')", ("c", "a", "b")),
        ("C(f)", ("a", "b", "c")),
        ("C(x, Sum)", ("2", "10")),
        ("C(f, levels=c('b', 'c', 'a'))", ("b", "c", "a")),
        ("factor(x > 5)", ("False", "True")),
        ("numFactor(x)", ("(2)", "(10)")),
        ("numFactor(x, x / 4)", ("(2,0.5)", "(10,2.5)")),
        ("pos(-x, x)", ("(-10,10)", "(-2,2)")),
    ],
)
def test_levels_of_factors(make, levels, text, expected):
    assert levels(text, make(x=[10, 2, 10], f=["c", "a", "b"])) == expected


@pytest.mark.parametrize(
    ("text", "kind", "reference"),
    [
        ("C(f)", "treatment", None),
        ("C(f, Treatment)", "treatment", None),
        ("C(f, Treatment('b'))", "treatment", "b"),
        ("C(f, Treatment(reference='b'))", "treatment", "b"),
        ("C(f, Treatment, 'b')", "treatment", "b"),
        ("C(f, contr.treatment(base=2))", "treatment", 1),
        ("C(f, contr.treatment, base=2)", "treatment", 1),
        ("C(f, Sum)", "sum", None),
        ("C(f, sum)", "sum", None),
        ("C(f, contr.sum)", "sum", None),
        ("C(f, Sum())", "sum", None),
        ("C(f, Helmert)", "helmert", None),
        ("C(f, contr.helmert)", "helmert", None),
        ("C(f, Poly)", "poly", None),
        ("C(f, contr.poly)", "poly", None),
        ("C(f, contr.SAS)", "SAS", None),
    ],
)
def test_contrasts(make, evaluate, text, kind, reference):
    contrast = evaluate(text, make(f=["c", "a", "b"])).contrast
    assert (contrast.kind, contrast.reference) == (kind, reference)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("C(f, Sum2)", "Unknown contrast `Sum2`. Did you mean 'Sum'"),
        ("C(f, 3)", "`3` is no contrast"),
        ("C(f, Sum, 'b')", "belongs to Treatment"),
        ("relevel(f, 'd')", "`f` has no level 'd'"),
        ("factor(f, levels=c('a', 'b'))", "leaves out the level c"),
        ("as.numeric(f)", "Not every level of `f` is a number: a, b, c"),
        ("pmin(f)", "two or more"),
    ],
)
def test_refusals(make, evaluate, text, message):
    with pytest.raises(FormulaError, match=message):
        evaluate(text, make(f=["c", "a", "b"]))


def test_every_function_is_tried_above():
    tried = {"C", "I", "as.numeric", "center", "factor", "log", "ordered", "pmax", "pmin", "poly", "relevel", "round"}
    tried |= {"scale", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs", "sign", "sin", "cos", "tan"}
    assert set(FUNCTIONS.names()) == tried | {"floor", "ceiling", "numFactor"}

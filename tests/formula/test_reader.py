"""Whole formulas: the response, further formulas, and what is refused."""

import pickle

import pytest

from bayesglmm.errors import BayesglmmError, FormulaError
from bayesglmm.formula import MAIN, parse, parse_expression


@pytest.mark.parametrize(
    ("left", "value", "additions"),
    [
        ("y", "y", []),
        ("log(y)", "log(y)", []),
        ("I(y^2)", "I(y^2)", []),
        ("`my y`", "`my y`", []),
        ("cbind(s, f)", "cbind(s, f)", []),
        ("cbind(incidence, size - incidence)", "cbind(incidence, size - incidence)", []),
        ("prop(s, n)", "prop(s, n)", []),
        ("p(s, n)", "p(s, n)", []),
        ("s/n", "s / n", []),
        ("y > 2", "y > 2", []),
        ("s | trials(n)", "s", ["trials(n)"]),
        ("y | cens(c)", "y", ["cens(c)"]),
        ("y | cens(c, y2)", "y", ["cens(c, y2)"]),
        ("y | trunc(lb=0, ub=10)", "y", ["trunc(lb=0, ub=10)"]),
        ("y | trials(n) + weights(w)", "y", ["trials(n)", "weights(w)"]),
        ("log(y) | cens(c) + trunc(lb=0) + weights(w)", "log(y)", ["cens(c)", "trunc(lb=0)", "weights(w)"]),
    ],
)
def test_responses(left, value, additions):
    response = parse(f"{left} ~ x").response
    assert response.value == parse_expression(value)
    assert [str(call) for call in response.additions] == additions


def test_texts_have_even_spacing_but_the_formula_is_as_typed():
    text = "cbind(s,f)~x+(1|g)  # mortality\n"
    spec = parse(text)
    assert spec.text == text
    assert spec.response.text == "cbind(s, f)"
    predictor = spec.predictors[MAIN]
    assert (predictor.text, predictor.formula) == ("x + (1 | g)", text)


def test_positions_point_into_the_formula_of_the_predictor():
    spec = parse(["y ~ x + (1|g)", "sigma ~ 0 + zeta + (1|herd)"])
    sigma = spec.predictors["sigma"]
    ((zeta,),) = sigma.fixed.terms
    assert sigma.formula[zeta.position :].startswith("zeta")
    assert sigma.formula[sigma.groups[0].position :] == "(1|herd)"


def test_further_formulas():
    spec = parse(["y ~ x + (1|g)", "sigma ~ z", "nu ~ 1 + (1 | g)"])
    assert list(spec.predictors) == ["", "sigma", "nu"]
    assert spec.text == "y ~ x + (1|g)"
    assert spec.predictors["nu"].groups == parse("y ~ (1 | g)").predictors[""].groups


def test_a_tuple_of_one_is_as_a_text():
    assert parse(("y ~ x",)) == parse("y ~ x")


def test_names():
    spec = parse(["log(y) | trials(n) ~ a*b + s(x, by=f) + (1 + t | g:h) + ar1(0 + u | k, at=v) + .", "sigma ~ z"])
    assert spec.names() == set("ynabxftghukvz")


def test_equal_formulas_are_equal_however_they_are_spaced():
    one, two = parse("y ~ x + (1 | g)"), parse("y~x+(1|g)")
    assert one.predictors == two.predictors
    assert one.response == two.response


def test_specs_survive_pickling():
    spec = parse(["y | trials(n) ~ a*b + s(x, k=10) + (1 + x || g/h)", "phi ~ ."])
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize(
    ("formula", "position", "words"),
    [
        ("~ x", 0, "response is missing"),
        (". ~ x", 0, "name the columns"),
        ("log(.) ~ x", 4, "name the columns"),
        ("1 ~ x", 0, "names no column"),
        ("'y' ~ x", 0, "names no column"),
        ("2 + 1 ~ x", 0, "names no column"),
        ("y | n ~ x", 4, r"calls joined by `\+`.*found `n`"),
        ("y | trials(n) - weights(w) ~ x", 16, "found `-weights"),
        ("y | trials(n) * weights(w) ~ x", 4, "calls joined"),
        ("y | trials(n) + trials(m) ~ x", 16, "given twice"),
        ("y | cens(c) | trunc(lb=0) ~ x", 2, "one bar"),
        ("y || cens(c) ~ x", 2, "one bar"),
        ("(y | cens(c)) ~ x", 0, r"without the parentheses: `y \| cens\(c\)`"),
        ("f(y | c) ~ x", 4, "cannot stand here"),
        ("y | cens(a | b) ~ x", 11, "cannot stand here"),
        ("y = x", 2, "`~`"),
    ],
)
def test_errors_in_the_response(formula, position, words):
    with pytest.raises(FormulaError, match=words) as caught:
        parse(formula)
    assert (caught.value.formula, caught.value.position) == (formula, position)


@pytest.mark.parametrize(
    ("formula", "position", "words"),
    [
        ("~ z", 0, "names the family parameter"),
        ("log(sigma) ~ z", 0, "belongs to the family"),
        ("a + b ~ z", 0, "plain name"),
        (". ~ z", 0, "plain name"),
        ("nu ~ z", 0, "two formulas"),
        ("y ~ z", 0, "already is the response"),
        ("sigma ~ z w", 10, "follows"),
    ],
)
def test_errors_in_a_further_formula_show_that_formula(formula, position, words):
    with pytest.raises(FormulaError, match=words) as caught:
        parse(["log(y) ~ x", "nu ~ x", formula])
    assert (caught.value.formula, caught.value.position) == (formula, position)


@pytest.mark.parametrize(
    ("formulas", "words"),
    [
        (3, "type int"),
        (None, "NoneType"),
        (b"y ~ x", "bytes"),
        ({"": "y ~ x"}, "dict"),
        ([], "list of formulas is empty"),
        (["y ~ x", 3], "holds 3"),
        ("", "empty"),
        (["y ~ x", " "], "empty"),
    ],
)
def test_what_is_no_formula(formulas, words):
    with pytest.raises(FormulaError, match=words):
        parse(formulas)


@pytest.mark.parametrize(
    "hostile",
    [
        "y ~ __import__('os').system('touch /tmp/x')",
        "y ~ (lambda: 1)()",
        "y ~ [c for c in x]",
        "y ~ x if x else z",
        'y ~ f"{x}"',
        "y ~ (x := 3)",
        "y ~ x; import os",
        "y ~ x\nimport os",
        "y ~ @x",
        "y ~ ${x}",
        "y ~ x.__class__.__bases__[0]",
        "y ~ 'a' 'b'",
        "y ~ \\x",
        "y ~ x != ",
    ],
)
def test_code_is_not_a_formula(hostile):
    with pytest.raises(BayesglmmError) as caught:
        parse(hostile)
    assert "^" in str(caught.value)

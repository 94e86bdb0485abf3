"""The scanner: every character is part of a token, white space or an error with its place."""

import pytest

from bayesglmm.errors import FormulaError
from bayesglmm.formula.scanner import scan


def kinds(formula):
    return [(token.kind, token.text) for token in scan(formula)][:-1]


def test_positions_delimit_the_text_as_typed():
    formula = "y ~ `a b` **2 + 'x'"
    pieces = [formula[token.start : token.end] for token in scan(formula)]
    assert pieces == ["y", "~", "`a b`", "**", "2", "+", "'x'", ""]


@pytest.mark.parametrize("text", ["x", "Sepal.Length", ".x", "_x", "x_1", "x.", "größe", "变量", "TRUE", "..."])
def test_names(text):
    assert kinds(text) == [("name", text)]


@pytest.mark.parametrize("text", ["1", "1.5", ".5", "1.", "1e-3", "1E+5", "2L", "1e3L", "007"])
def test_numbers(text):
    assert kinds(text) == [("number", text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a'", "a"),
        ('"a\'b"', "a'b"),
        (r"'a\'b'", "a'b"),
        (r"'a\\b\n\t\r'", "a\\b\n\t\r"),
        ("'# no comment'", "# no comment"),
        ("''", ""),
    ],
)
def test_strings(text, expected):
    assert kinds(text) == [("string", expected)]


def test_backticks():
    assert kinds("`a b` + `x$y` + `a\\`b`")[::2] == [("backtick", "a b"), ("backtick", "x$y"), ("backtick", "a`b")]


def test_operators_are_read_greedily():
    text = "~ + - * / ^ ** : %in% %% %/% | || = == != < <= > >= ( ) ,"
    assert [t for _, t in kinds(text)] == text.replace("**", "^").split()


def test_comments_and_newlines_are_white_space():
    assert kinds("y ~ # the response\n  x + # one\r\n\tz # two") == kinds("y ~ x + z")


@pytest.mark.parametrize(
    ("formula", "position", "words"),
    [
        ("y ~ x$y", 5, "directly"),
        ("y ~ df@slot", 6, "directly"),
        ("y ~ x[1]", 5, "indexing"),
        ("y ~ x]", 5, "indexing"),
        ("y ~ {x}", 4, "code blocks"),
        ("y ~ x; z", 5, "as a list"),
        ("y ~ a::b", 5, "without their package"),
        ("y ~ a:::b", 5, "without their package"),
        ("y := x", 2, "assigned"),
        ("y ~ I(x <- 1)", 8, "x < -1"),
        ("y ~ I(1 -> x)", 8, "assigned"),
        ("y ~ x |> f()", 6, "pipes"),
        ("y ~ I(!x)", 6, "I\\(x == 0\\)"),
        ("y ~ I(a & b)", 8, "multiply"),
        ("y ~ I(a && b)", 8, "multiply"),
        ("y ~ ?x", 4, "no meaning"),
        ("y ~ sapply(x, \\(z) z)", 14, "defined"),
        ("y ~ x − z", 6, "typographic character; type `-`"),
        ("y ∼ x", 2, "type `~`"),
        ("y ~ “a”", 4, "straight quote"),
        ("y ~ x → z", 6, "backticks"),
        ("y ~ x\0", 5, r"'\\x00'"),
        ("y ~ x %o% z", 6, "Unknown operator `%o%`"),
        ("y ~ x % z", 6, "Unknown operator `%`"),
        ("y ~ 'abc", 4, "quote is never closed"),
        ("y ~ `abc + x", 4, "backtick is never closed"),
        ("y ~ 'a\\", 6, "escape"),
        ("y ~ 'a\\q'", 6, "escape"),
        ("y ~ ``", 4, "cannot be called ''"),
        ("y ~ `.`", 4, r"cannot be called '\.'"),
    ],
)
def test_what_no_formula_can_hold(formula, position, words):
    with pytest.raises(FormulaError, match=words) as caught:
        scan(formula)
    assert caught.value.position == position
    assert str(caught.value).splitlines()[-1] == " " * (4 + position) + "^"

"""The parser: R's precedences, faithful text, and an error with its place for everything else."""

import sys

import pytest

from bayesglmm.errors import FormulaError
from bayesglmm.formula import parse_expression
from bayesglmm.formula.parser import MAX_DEPTH, MAX_LENGTH, parse_sides
from bayesglmm.formula.syntax import Binary, Call, Group, Name, Number, String, Unary, children, walk

a, b, c, x = (Name(text) for text in "abcx")
one, two = Number("1"), Number("2")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a + b - c", Binary("-", Binary("+", a, b), c)),
        ("a + b * c", Binary("+", a, Binary("*", b, c))),
        ("a * b:c", Binary("*", a, Binary(":", b, c))),
        ("a * b %in% c", Binary("*", a, Binary("%in%", b, c))),
        ("a %in% b:c", Binary("%in%", a, Binary(":", b, c))),
        ("a:b^2", Binary(":", a, Binary("^", b, two))),
        ("a / b / c", Binary("/", Binary("/", a, b), c)),
        ("a^b^c", Binary("^", a, Binary("^", b, c))),
        ("a**2", Binary("^", a, two)),
        ("-a^2", Unary("-", Binary("^", a, two))),
        ("-a:b", Binary(":", Unary("-", a), b)),  # as in R
        ("a^-b", Binary("^", a, Unary("-", b))),
        ("a^-b:c", Binary(":", Binary("^", a, Unary("-", b)), c)),
        ("a - -b", Binary("-", a, Unary("-", b))),
        ("--a", Unary("-", Unary("-", a))),
        ("a + b > c", Binary(">", Binary("+", a, b), c)),
        ("1 + a | b", Binary("|", Binary("+", one, a), b)),
        ("a || b", Binary("||", a, b)),
        ("a | b | c", Binary("|", Binary("|", a, b), c)),
        ("a > 1 | b", Binary("|", Binary(">", a, one), b)),
        ("a %% 2 + a %/% 2", Binary("+", Binary("%%", a, two), Binary("%/%", a, two))),
        ("(a + b)", Group(Binary("+", a, b))),
        ("`a b` + Sepal.Length", Binary("+", Name("a b"), Name("Sepal.Length"))),
        ("f()", Call("f")),
        ("log (x)", Call("log", (x,))),
        ("I(x^2)", Call("I", (Binary("^", x, two),))),
        ("C(x, Sum)", Call("C", (x, Name("Sum")))),
        (
            "s(x, k=10, bs='tp', m=c(1, 2))",
            Call(
                "s",
                (x,),
                (("k", Number("10")), ("bs", String("tp")), ("m", Call("c", (one, two)))),
            ),
        ),
        ("poly(x, degree = 2, raw=TRUE)", Call("poly", (x,), (("degree", two), ("raw", Name("TRUE"))))),
        ("as.factor(x)", Call("as.factor", (x,))),
        ("I(a == 'u')", Call("I", (Binary("==", a, String("u")),))),
        ("x.__class__", Name("x.__class__")),
    ],
)
def test_trees(text, tree):
    assert parse_expression(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        "a + b:c - (1 + x | g) + f(x, k=10, `odd name`='tp') * -1e-3^2L",
        "diag(1 + x || g / h) + `a b` %in% `.5`",
        "I(x >= 2) + I(x %/% 2 %% 3) + a^-b^c",
        r"f('it\'s', '\\d\n', `a\`b`)",
        "Sepal.Length + .x + TRUE + .",
    ],
)
def test_the_normal_form_is_kept_as_it_is(text):
    assert str(parse_expression(text)) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("(1+x|g)", "(1 + x | g)"),
        ("a**2", "a^2"),
        ('s( x,k = 10 , bs="tp" )', "s(x, k=10, bs='tp')"),
        ("a : b", "a:b"),
        ("`x` +\n  y # comment", "x + y"),
    ],
)
def test_normal_forms(text, normal):
    assert str(parse_expression(text)) == normal


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (Binary("*", Binary("+", a, b), c), "(a + b) * c"),
        (Binary("-", a, Binary("-", b, c)), "a - (b - c)"),
        (Binary("^", Binary("^", a, b), c), "(a^b)^c"),
        (Binary("^", Unary("-", a), two), "(-a)^2"),
        (Binary("<", Binary("<", a, b), c), "(a < b) < c"),
        (Unary("-", Binary(":", a, b)), "-(a:b)"),
        (Unary("-", Binary("^", a, b)), "-a^b"),
    ],
)
def test_trees_made_by_hand_get_the_parentheses_they_need(tree, text):
    assert str(tree) == text


@pytest.mark.parametrize(("text", "value"), [("2L", 2.0), ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0)])
def test_number_values(text, value):
    assert Number(text).value == value


def test_positions_are_where_a_caret_belongs():
    tree = parse_expression("  a + log(b)^-(c)")
    found = {str(node): node.position for node in walk(tree)}
    assert found["a"] == 2
    assert found["a + log(b)^-(c)"] == 4  # an operation stands at its operator
    assert found["log(b)"] == 6
    assert found["log(b)^-(c)"] == 12
    assert found["-(c)"] == 13
    assert found["(c)"] == 14


def test_walk_and_children_go_through_keyword_arguments():
    tree = parse_expression("f(a, k=g(b)) + -(c)")
    assert [node.text for node in walk(tree) if isinstance(node, Name)] == ["a", "b", "c"]
    assert children(Name("a")) == ()


@pytest.mark.parametrize(
    ("formula", "position", "words"),
    [
        ("y ~ x z", 6, "`z` follows `x` without an operator"),
        ("y ~ a b:c", 6, "`b` follows `a`"),
        ("y ~ x 2", 6, "`2` follows `x`"),
        ("y ~ 2x", 5, "`x` follows `2`"),
        ('y ~ f"a{b}"', 5, "follows `f`"),
        ("y ~ lambda x: x", 11, "`x` follows `lambda`"),
        ("y ~ f(x)(z)", 8, r"`\(` follows `\)`"),
        ("__import__('os').system('x') ~ y", 16, r"`\.system` follows"),
        ("y ~ period (1 | herd)", 11, r"`period \+ "),
        ("y ~ (a + b c", 11, "`c` follows `b`"),
        ("y ~ x +", 6, r"Nothing follows `\+`"),
        ("y ~ + ", 4, r"Nothing follows `\+`"),
        ("y ~ (x + )", 7, r"Nothing follows `\+`"),
        ("y ~ x + * z", 8, r"missing between `\+` and `\*`"),
        ("y ~ * x", 4, "missing between `~` and `\\*`"),
        ("* ~ x", 0, r"Nothing stands on the left of `\*`"),
        ("y ~ f(x, )", 7, "Nothing follows `,`"),
        ("y ~ f(, x)", 6, r"missing between `\(` and `,`"),
        ("y ~ (1 | )", 7, r"Nothing follows `\|`"),
        ("y ~ ( | g)", 6, r"missing between `\(` and `\|`"),
        ("y ~ ()", 4, "empty"),
        ("y ~ (a + b", 4, "parenthesis is never closed"),
        ("y ~ f(a, b", 5, "parenthesis is never closed"),
        ("y ~ (", 4, "parenthesis is never closed"),
        ("y ~ f(", 5, "parenthesis is never closed"),
        ("y ~ a + b)", 9, "closes nothing"),
        ("y ~ x, z", 5, r"joined by `\+`"),
        ("y ~ (x, z)", 6, r"joined by `\+`"),
        ("y ~", 2, "on the right of `~`"),
        ("y", 1, "There is no `~`"),
        ("y + x  # comment", 16, "There is no `~`"),
        ("y = x", 2, "not with `=`"),
        ("y ~ x = 2", 6, "names an argument"),
        ("y ~ f((x = 2))", 9, "names an argument"),
        ("y ~ x ~ z", 6, "one `~` only"),
        ("y ~ (x ~ z)", 7, "one `~` only"),
        ("(y ~ x)", 3, "outside of parentheses"),
        ("y + ~ x", 4, "outside of parentheses"),
        ("y ~ I(a < b < c)", 12, "do not chain"),
        ("y ~ s(x, k=1, k=2)", 14, "`k` is given twice"),
        ("y ~ `my fun`(x)", 4, "without backticks"),
    ],
)
def test_errors_name_the_token_and_its_place(formula, position, words):
    with pytest.raises(FormulaError, match=words) as caught:
        parse_sides(formula)
    assert (caught.value.formula, caught.value.position) == (formula, position)


@pytest.mark.parametrize("formula", ["", "   ", "# only a comment", "\n"])
def test_an_empty_formula(formula):
    with pytest.raises(FormulaError, match="empty"):
        parse_sides(formula)


def test_an_expression_is_read_to_its_end():
    with pytest.raises(FormulaError, match="follows"):
        parse_expression("s(x) y")
    with pytest.raises(FormulaError, match="two sides"):
        parse_expression("y ~ x")


def test_the_caret_stands_right_in_a_formula_of_several_lines():
    with pytest.raises(FormulaError) as caught:
        parse_sides("y ~ a +\n\tb c")
    *_, shown, caret = str(caught.value).splitlines()
    assert shown[caret.index("^")] == "c"


@pytest.mark.parametrize(
    "deep",
    [
        "y ~ " + "(" * 5_000 + "x" + ")" * 5_000,
        "y ~ " + "f(" * 5_000,
        "y ~ " + "-" * 5_000 + "x",
        "y ~ " + "x^" * 5_000 + "x",
        "y ~ " + ":".join("x" * 5_000),
        "y ~ I(" + "+".join("x" * 5_000) + ")",
        "y ~ (1 | " + "/".join("x" * 5_000) + ")",
        "/".join("x" * 5_000) + "~ x",
    ],
)
def test_deep_formulas_are_refused_and_do_not_overflow(deep):
    with pytest.raises(FormulaError, match="nested"):
        parse_sides(deep)


def test_what_is_nested_as_deep_as_allowed_fits_on_half_the_stack():
    levels = MAX_DEPTH // 2 - 1
    text = "f(a + " * levels + "x" + ")" * levels
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit // 2)
    try:
        tree = parse_expression(text)
        assert (str(tree), len({tree, parse_expression(text)})) == (text, 1)
    finally:
        sys.setrecursionlimit(limit)


def test_a_sum_may_be_long():
    text = "y ~ " + " + ".join(f"x{i}" for i in range(3_000))
    assert f"y ~ {parse_sides(text).right}" == text


def test_a_text_that_is_no_formula_is_refused_before_it_is_read():
    with pytest.raises(FormulaError, match="characters"):
        parse_sides("x" * (MAX_LENGTH + 1))

"""Expansion into terms. The expected terms are those of R 4: `attr(terms(y ~ ...), "term.labels")`."""

import pytest

from bayesglmm.errors import FormulaError
from bayesglmm.formula import parse


def right(text):
    return parse(f"y ~ {text}").predictors[""]


def labels(terms):
    return [":".join(map(str, term)) for term in terms]


def groups(text):
    """Group terms as (word, constant, columns, factor)."""
    return [
        (group.word, group.columns.intercept, labels(group.columns.terms), ":".join(map(str, group.factor)))
        for group in right(text).groups
    ]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("x", "x"),
        ("a + b + a", "a b"),
        ("b + a", "b a"),
        ("a:b + a", "a a:b"),
        ("a*b", "a b a:b"),
        ("a*b*c", "a b c a:b a:c b:c a:b:c"),
        ("a*b - a", "b a:b"),
        ("a*b*c - a:b:c", "a b c a:b a:c b:c"),
        ("a + b - c", "a b"),
        ("a - a + a", "a"),
        ("-a + a", "a"),
        ("-(a:b) + a*b - a:b", "a b"),
        ("(a + b)^2", "a b a:b"),
        ("(a + b)**2", "a b a:b"),
        ("(a + b + c)^2", "a b c a:b a:c b:c"),
        ("(a + b + c)^3", "a b c a:b a:c b:c a:b:c"),
        ("(a + b)^(2L)", "a b a:b"),
        ("(a + b)^1", "a b"),
        ("(a + b)^9", "a b a:b"),
        ("(a*b)^2", "a b a:b"),
        ("(a + b*c)^2", "a b c a:b a:c b:c a:b:c"),
        ("a/b", "a a:b"),
        ("a/b/c", "a a:b a:b:c"),
        ("a/(b + c)", "a a:b a:c"),
        ("(a + b)/c", "a b a:b:c"),
        ("a %in% b", "a:b"),
        ("a %in% (b + c)", "a:b:c"),
        ("a + b %in% a", "a a:b"),
        ("(a + b):c", "a:c b:c"),
        ("(a + b):(c + d)", "a:c a:d b:c b:d"),
        ("a:a", "a"),
        ("a:b + b:a", "a:b"),
        ("a + b + b:a", "a b a:b"),  # factors in the order in which the formula first names them
        ("b:a + a", "a b:a"),
        ("a + (b - a)", "a b"),
        ("a*b - (a + b)", "a:b"),
        ("((a))", "a"),
        ("log(x):a + I(x^2)", "I(x^2) log(x):a"),
        ("poly(x, 2)*a", "poly(x, 2) a poly(x, 2):a"),
        ("scale(x) + scale( x )", "scale(x)"),
        ("exp(x) + offset(log(t)) + factor(f)", "exp(x) offset(log(t)) factor(f)"),
        ('s(x, k=10, bs="tp", by=f, m=c(1,2))', "s(x,k=10,bs='tp',by=f,m=c(1,2))"),
        ("`a b`:Sepal.Length", "`a_b`:Sepal.Length"),
        ("1", ""),
        ("0", ""),
        ("a - a", ""),
        ("(a - a):b", ""),
    ],
)
def test_terms(text, terms):
    found = [label.replace(", ", ",").replace("`a b`", "`a_b`") for label in labels(right(text).fixed.terms)]
    assert found == terms.replace("poly(x, 2)", "poly(x,2)").split()


@pytest.mark.parametrize(
    ("text", "intercept"),
    [
        ("x", True),
        ("1 + x", True),
        ("x - 1", False),
        ("-1 + x", False),
        ("0 + x", False),
        ("x + 0", False),
        ("x - 0", True),
        ("x + -1", False),
        ("0 + x + 1", True),
        ("x + 1 - 1", False),
        ("a*b - (1 + a)", False),
        ("x - (a - 1)", True),
        ("(0 + x) + z", False),
        ("0L + x", False),
        ("1.0 + x", True),
        ("0 + (1 | g)", False),
        ("x + (0 + x | g)", True),
    ],
)
def test_constant(text, intercept):
    assert right(text).fixed.intercept is intercept


def test_dot():
    assert right(".").fixed.dot
    assert not right("x").fixed.dot
    fixed = right(". - x + log(z) - a:b - 1").fixed
    assert (fixed.dot, fixed.intercept, labels(fixed.terms)) == (True, False, ["log(z)"])
    assert labels(fixed.removed) == ["x", "a:b"]
    assert labels(right(". - (x + z)").fixed.removed) == ["x", "z"]


@pytest.mark.parametrize(
    "text", [". - x + x", "a*b - a", "- x + .", ". + (a - b)", ". + (a - b):c", ". - (a - b) + a"]
)
def test_only_what_a_dot_could_bring_back_is_noted_as_removed(text):
    assert right(text).fixed.removed == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(1 | g)", [("us", True, [], "g")]),
        ("(1 + x | g)", [("us", True, ["x"], "g")]),
        ("(x | g)", [("us", True, ["x"], "g")]),
        ("(0 + x | g)", [("us", False, ["x"], "g")]),
        ("(x - 1 | g)", [("us", False, ["x"], "g")]),
        ("(-1 + x | g)", [("us", False, ["x"], "g")]),
        ("(x || g)", [("diag", True, ["x"], "g")]),
        ("(1 + a*x || g)", [("diag", True, ["a", "x", "a:x"], "g")]),
        ("(1 | a/b)", [("us", True, [], "a"), ("us", True, [], "a:b")]),
        ("(x | a/b/c)", [("us", True, ["x"], f) for f in ("a", "a:b", "a:b:c")]),
        ("(1 | a:b)", [("us", True, [], "a:b")]),
        ("(1 | b:a)", [("us", True, [], "b:a")]),
        ("(1 | b %in% a)", [("us", True, [], "b:a")]),
        ("(1 | a*b)", [("us", True, [], f) for f in ("a", "b", "a:b")]),
        ("(1 | a + b)", [("us", True, [], f) for f in ("a", "b")]),
        ("(1 | (a + b):c)", [("us", True, [], f) for f in ("a:c", "b:c")]),
        ("(1 | g1:factor(g2))", [("us", True, [], "g1:factor(g2)")]),
        ("(1 | factor(g))", [("us", True, [], "factor(g)")]),
        ("diag(1 + x | g)", [("diag", True, ["x"], "g")]),
        ("us(1 + x | g)", [("us", True, ["x"], "g")]),
        ("ar1(0 + t | g)", [("ar1", False, ["t"], "g")]),
        ("cs(f | g)", [("cs", True, ["f"], "g")]),
        ("cs((0 + f) | g)", [("cs", False, ["f"], "g")]),
        ("exp(pos + 0 | g) + exp(x)", [("exp", False, ["pos"], "g")]),
        ("cs(f | a/b)", [("cs", True, ["f"], "a"), ("cs", True, ["f"], "a:b")]),
        ("((1 | g))", [("us", True, [], "g")]),
        ("(x + (1 | g))", [("us", True, [], "g")]),
        ("(1 | g) + (0 + x | g)", [("us", True, [], "g"), ("us", False, ["x"], "g")]),
        ("(1 | g) + x + (1 | h)", [("us", True, [], "g"), ("us", True, [], "h")]),
        ("(1 | a/b) + (1 | a/c)", [("us", True, [], f) for f in ("a", "a:b", "a:c")]),
        ("(1 | a:b) + (1 | b:a)", [("us", True, [], "a:b")]),
        ("(1 | g) + diag(1 | g)", [("us", True, [], "g"), ("diag", True, [], "g")]),
    ],
)
def test_group_terms(text, expected):
    assert groups(text) == expected


def test_a_group_term_keeps_its_text_options_and_place():
    (group,) = right("x+ar1(0+t|g,order=2,cov=TRUE)").groups
    assert group.text == "ar1(0 + t | g, order=2, cov=TRUE)"
    assert [(name, str(value)) for name, value in group.options] == [("order", "2"), ("cov", "TRUE")]
    assert group.position == 6
    assert labels(right("x + ar1(0 + t | g)").fixed.terms) == ["x"]


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("x^2", 1, r"`I\(x\^2\)`"),
        ("z + log(x)^2", 10, r"`I\(log\(x\)\^2\)`"),
        ("(x)^2", 3, "no more than"),
        ("x^1", 1, "no more than"),
        ("(a + b)^1.5", 7, "whole number"),
        ("(a + b)^0", 7, "whole number"),
        ("(a + b)^-1", 7, "whole number"),
        ("(a + b)^c", 7, "whole number"),
        ("2:x", 0, "number 2 cannot stand inside of `:`"),
        ("x:1", 2, "number 1 cannot stand inside of `:`"),
        ("2*x", 0, r"I\(2 \* x\)"),
        ("x/2", 2, r"I\(x / 2\)"),
        ("(a - 1):b", 5, "number 1"),
        ("(a + b + 0)^2", 9, "number 0"),
        ("-a:b", 0, "sign binds more tightly"),
        ("a*-b", 2, "sign binds more tightly"),
        ("x + 2", 4, "only 0 and 1"),
        ("x == 2", 2, r"I\(x == 2\)"),
        ("x > 2", 2, r"I\(x > 2\)"),
        ("x %% 2", 2, r"I\(x %% 2\)"),
        ("x + 'a'", 4, "The text 'a' cannot be a term"),
        (".^2", 0, r"`\.` cannot be an operand of `\^`"),
        ("(.)^2", 1, "name the columns"),
        (".:x", 0, "name the columns"),
        ("x*.", 2, "name the columns"),
        ("x - .", 4, "cannot be taken away"),
        ("log(.)", 4, "name the columns"),
        ("s(x, by=.)", 8, "name the columns"),
        ("(. | g)", 1, "in a group term"),
        ("(1 | .)", 5, "in a group term"),
        ("x + 1 | g", 6, r"needs parentheses: `\(1 \| g\)`"),
        ("x - 1 | g", 6, r"needs parentheses: `\(1 \| g\)`"),
        ("x || g", 2, r"`\(x \|\| g\)`"),
        ("x:(1 | g)", 2, "operand of `:`"),
        ("x*diag(1 | g)", 2, r"operand of `\*`"),
        ("(x + (1 | g))^2", 5, r"operand of `\^`"),
        ("x - (1 | g)", 4, "taken away"),
        ("-(x + (1 | g))", 6, "taken away"),
        ("(1 + (1 | h) | g)", 5, "inside another"),
        ("(1 | (1 | h))", 5, "inside another"),
        ("(1 | ID | g)", 8, r"second bar.*`\(1 \| g\)`"),
        ("(x || ID | g)", 9, "second bar"),
        ("(1 | gr(g, to=x))", 5, r"no option `to`"),
        ("(1 | gr(g, h))", 5, "one grouping factor"),
        ("(1 | gr(g, cov = K):h)", 5, "stands alone"),
        ("cs(1 | gr(g, cov = K))", 7, "stands alone"),
        ("(0 | g)", 0, r"`\(1 \| g\)`"),
        ("(x - x - 1 | g)", 0, "Nothing varies"),
        ("(1 | 1)", 5, "not the number 1"),
        ("(1 | g - h)", 9, "taken out"),
        ("(1 | 'g')", 5, "cannot be a term"),
        ("(1 | g == 2)", 7, r"I\(g == 2\)"),
        ("(x^2 | g)", 2, r"I\(x\^2\)"),
        ("cs(f | g, 2)", 10, "by name"),
        ("cs(f || g)", 5, "single bar"),
        ("cs(f | g, k = a | b)", 16, "cannot stand here"),
        ("s(x, y | g)", 7, "cannot stand here"),
        ("log((x | g))", 7, "cannot stand here"),
        ("s(x, by = a | b)", 12, "cannot stand here"),
    ],
)
def test_errors_name_the_culprit_and_its_place(text, position, words):
    with pytest.raises(FormulaError, match=words) as caught:
        right(text)
    assert caught.value.position == position + len("y ~ ")


@pytest.mark.parametrize("operator", ["*", ":"])
def test_interactions_do_not_explode(operator):
    many = operator.join(f"(a{i} + b{i} + c{i})" for i in range(30))
    with pytest.raises(FormulaError, match="interactions; 100,000 are allowed"):
        right(many)


def test_powers_do_not_explode():
    with pytest.raises(FormulaError, match="interactions"):
        right(f"({' + '.join(f'x{i}' for i in range(40))})^40")


def test_many_terms_are_quick():
    assert len(right(" + ".join(f"x{i}" for i in range(3_000))).fixed.terms) == 3_000

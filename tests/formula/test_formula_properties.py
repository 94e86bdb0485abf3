"""Properties: text and tree say the same, the algebra obeys its laws, and patsy agrees where it shares it."""

import patsy
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bayesglmm.errors import FormulaError
from bayesglmm.formula import parse, parse_expression
from bayesglmm.formula.syntax import PRECEDENCE, Binary, Call, Group, Name, Number, String, Unary

quick = settings(max_examples=120, deadline=None)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
names = st.one_of(
    st.sampled_from(["x", "y", "Sepal.Length", ".x", "TRUE", "a b", ".5", "..", "if"]),
    texts.filter(lambda text: text not in ("", ".")),
).map(Name)
numbers = st.sampled_from(["0", "1", "2L", "1e-3", ".5", "1."]).map(Number)
functions = st.sampled_from(["f", "log", "as.factor", "I"])


def _extend(inner):
    keywords = st.dictionaries(st.sampled_from(["k", "bs", "odd one"]), inner, max_size=2).map(
        lambda found: tuple(found.items())
    )
    return st.one_of(
        st.builds(Unary, st.sampled_from("+-"), inner),
        st.builds(Binary, st.sampled_from(sorted(PRECEDENCE)), inner, inner),
        st.builds(Group, inner),
        st.builds(Call, functions, st.lists(inner, max_size=3).map(tuple), keywords),
    )


trees = st.recursive(st.one_of(names, numbers, texts.map(String)), _extend, max_leaves=10)


def without_groups(node):
    match node:
        case Group(inner):
            return without_groups(inner)
        case Unary(operator, operand):
            return Unary(operator, without_groups(operand))
        case Binary(operator, left, right):
            return Binary(operator, without_groups(left), without_groups(right))
        case Call(function, args, kwargs):
            options = tuple((key, without_groups(value)) for key, value in kwargs)
            return Call(function, tuple(map(without_groups, args)), options)
        case _:
            return node


@quick
@given(trees)
@example(Binary("^", Unary("-", Name("x")), Number("2")))
@example(Binary("^", Name("x"), Unary("-", Binary("^", Name("y"), Number("2")))))
def test_text_of_a_tree_reads_as_that_tree(tree):
    parsed = parse_expression(str(tree))
    assert without_groups(parsed) == without_groups(tree)
    assert parse_expression(str(parsed)) == parsed
    assert str(parsed) == str(tree)


pieces = st.sampled_from(["x", "g", "y", "0", "1", "2", " ", "%", "#", "'", "`", "\n", "=", ",", "f(", "(", ")", ")"])
operators = st.sampled_from([" + ", " - ", "*", ":", "/", "^", " %in% ", " | ", " || ", " > ", "~"])


@quick
@given(st.lists(st.one_of(pieces, st.tuples(pieces, operators).map("".join)), max_size=8).map("".join))
@example("(1 | g) + x")
def test_any_text_is_a_formula_or_a_formula_error(text):
    try:
        spec = parse(f"y ~ {text}")
    except FormulaError as error:
        shown = error
    else:
        again = parse(f"{spec.response.text} ~ {spec.predictors[''].text}")
        assert again.predictors == spec.predictors
        return
    assert shown.formula == f"y ~ {text}"
    assert 0 <= shown.position <= len(shown.formula)


columns = st.sampled_from(["a", "b", "c", "d"])


def _combine(inner):
    return st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " - ", ":", "*", "/"]), inner).map("({0[0]}{0[1]}{0[2]})".format),
        st.tuples(inner, inner, st.integers(2, 3)).map("({0[0]} + {0[1]})**{0[2]}".format),
    )


operands = st.recursive(columns, _combine, max_leaves=6)


def expanded(text):
    """Terms as sets of factors, in order, and the constant."""
    fixed = parse(f"y ~ {text}").predictors[""].fixed
    return [frozenset(map(str, term)) for term in fixed.terms], fixed.intercept


@quick
@given(
    st.lists(st.tuples(st.sampled_from([" + ", " - "]), operands), min_size=1, max_size=3),
    st.sampled_from(["", "0 + ", "1 + "]),
    st.sampled_from(["", " - 1", " + 1", " + 0"]),
)
def test_terms_are_those_of_patsy(parts, start, end):
    text = start + parts[0][1] + "".join(sign + part for sign, part in parts[1:]) + end
    description = patsy.ModelDesc.from_formula(f"y ~ {text}")
    theirs = [frozenset(factor.name() for factor in term.factors) for term in description.rhs_termlist]
    intercept = frozenset() in theirs
    try:
        ours = expanded(text)
    except FormulaError as error:
        assume("no more than" not in str(error))  # patsy reads (a + a)**2 as a
        raise
    expected = sorted((term for term in theirs if term), key=len)
    if "**" in text:  # there R, and we, order terms of one degree in another way
        assert (set(ours[0]), len(ours[0]), ours[1]) == (set(expected), len(expected), intercept)
    else:
        assert ours == (expected, intercept)


@quick
@given(operands, operands, operands)
def test_laws_of_the_algebra(a, b, c):
    def terms(text):
        try:
            return set(expanded(text)[0])
        except FormulaError as error:
            assume("no more than" not in str(error))
            raise

    assert terms(f"{a} + {a}") == terms(a)
    assert terms(f"{a} + {b}") == terms(f"{b} + {a}")
    assert terms(f"{a}:{b}") == terms(f"{b}:{a}")
    assert terms(f"{a}*{b}") == terms(f"{a} + {b} + {a}:{b}")
    assert terms(f"({a} + {b}):{c}") == terms(f"{a}:{c} + {b}:{c}")
    assert terms(f"({a}:{b}):{c}") == terms(f"{a}:({b}:{c})")
    assert terms(f"({a} + {b}) - {b}") == terms(a) - terms(b)
    assert terms(f"({a})/({b})") == terms(f"{a} + {b} %in% {a}")


@pytest.mark.parametrize(("bar", "word"), [("|", "us"), ("||", "diag")])
@quick
@given(left=operands, right=operands.filter(lambda text: "-" not in text))
def test_a_group_term_expands_its_sides_like_a_formula(bar, word, left, right):
    try:
        predictor = parse(f"y ~ x + ({left} {bar} {right})").predictors[""]
        factors, columns = parse(f"y ~ {right}").predictors[""], parse(f"y ~ {left}").predictors[""]
    except FormulaError as error:
        assume("no more than" not in str(error))
        raise
    assert [group.factor for group in predictor.groups] == list(factors.fixed.terms)
    assert all(group.columns == columns.fixed and group.word == word for group in predictor.groups)

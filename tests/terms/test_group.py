"""Group terms: levels, indices, columns, new data; against a slow dense construction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglmm.blocks import RandomBlock
from bayesglmm.covariances import COVARIANCES
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError
from bayesglmm.formula import parse
from bayesglmm.terms import Columns, Context, Numeric
from bayesglmm.terms.columns import Factor, as_factor
from bayesglmm.terms.group import bind_group, group_text, refuse_shared_columns


def parts(right, data, notes=None):
    formula = f"y ~ {right}"
    specs = parse(formula).predictors[""].groups
    context = Context(data, formula, True, [] if notes is None else notes)
    return specs, [bind_group(spec, context, spec.text) for spec in specs]


def part(right, data, notes=None):
    return parts(right, data, notes)[1][0]


@pytest.fixture
def data(make):
    return make(
        g=["b", "a", "c", "a", "b", "c"],
        h=["u", "u", "v", "v", "u", "v"],
        k=[10, 2, 10, 2, 30, 30],
        x=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        obs=np.arange(6),
    )


def test_intercepts_are_an_index(data):
    block = part("(1 | g)", data).block(data)
    assert (block.group, block.terms, block.levels) == ("g", ("Intercept",), ("a", "b", "c"))
    assert block.index.tolist() == [1, 0, 2, 0, 1, 2]
    np.testing.assert_array_equal(block.X, np.ones((6, 1)))


@pytest.mark.parametrize(
    ("right", "terms", "covariance"),
    [
        ("(1 | g)", ("Intercept",), "diag"),
        ("(0 + x | g)", ("x",), "diag"),
        ("(x | g)", ("Intercept", "x"), "us"),
        ("(1 + x || g)", ("Intercept", "x"), "diag"),
        ("diag(1 + x | g)", ("Intercept", "x"), "diag"),
        ("us(1 + x | g)", ("Intercept", "x"), "us"),
        ("(h | g)", ("Intercept", "h[v]"), "us"),
        ("(0 + h | g)", ("h[u]", "h[v]"), "us"),
        ("(0 + h || g)", ("h[u]", "h[v]"), "diag"),
        ("(0 + Intercept + x | g)", ("Intercept", "x"), "us"),
        ("(h:x | g)", ("Intercept", "h[u]:x", "h[v]:x"), "us"),
        ("(I(x^2) + log(x) | g)", ("Intercept", "I(x^2)", "log(x)"), "us"),
    ],
)
def test_varying_columns_and_covariance(data, right, terms, covariance):
    block = part(right, data).block(data)
    assert (block.terms, block.covariance, block.latent) == (terms, covariance, "spherical")


@pytest.mark.parametrize(
    ("right", "group", "levels"),
    [
        ("(1 | k)", "k", ("2", "10", "30")),
        ("(1 | factor(k))", "factor(k)", ("2", "10", "30")),
        ("(1 | g:h)", "g:h", ("a:u", "a:v", "b:u", "c:v")),
        ("(1 | h:k)", "h:k", ("u:2", "u:10", "u:30", "v:2", "v:10", "v:30")),
        ("(1 | floor(x / 3))", "floor(x / 3)", ("0", "1", "2")),
        ("(1 | obs)", "obs", ("0", "1", "2", "3", "4", "5")),
    ],
)
def test_levels(data, right, group, levels):
    block = part(right, data).block(data)
    assert (block.group, block.levels) == (group, levels)


def test_nesting_gives_two_blocks_with_their_own_labels(data):
    specs, bound = parts("(1 + x || h/g)", data)
    assert [b.group for b in bound] == ["h", "h:g"]
    assert [group_text(spec) for spec in specs] == ["(x || h)", "(x || h:g)"]
    assert bound[1].levels == ("u:a", "u:b", "v:a", "v:c")


def test_combinations_match_row_names(data):
    block = part("(1 | g:h:k)", data).block(data)
    shown = [block.levels[i] for i in block.index]
    factors = [as_factor(data[name], 6) for name in "ghk"]
    assert shown == [":".join(f.levels[f.codes[i]] for f in factors) for i in range(6)]


def test_unused_levels_are_left_out_with_a_note():
    factor = Factor(np.array([0, 2, 0, 2]), ("a", "b", "c"))
    data = Columns(4, {"g": factor}, np.arange(4))
    notes = []
    assert part("(1 | g)", data, notes).levels == ("a", "c")
    assert notes == ["Grouping factor `g`: level b does not occur and is left out."]


def test_one_level(make):
    with pytest.raises(DataError, match=r"The grouping factor `g` has one level \(only\)"):
        part("(1 | g)", make(g=["only", "only"], x=[1.0, 2.0]))


def test_unknown_covariance_word_offers_the_nearest(data):
    with pytest.raises(
        UnknownNameError, match=r"Unknown covariance word `diagg` in `diagg\(1 \| g\)`. Did you mean 'diag'"
    ):
        part("diagg(1 | g)", data)


def test_unknown_grouping_factor(data):
    with pytest.raises(UnknownNameError, match="no column 'gg'"):
        part("(1 | gg)", data)


def test_residual_is_reserved(make):
    with pytest.raises(DataError, match="'Residual' is reserved"):
        part("(1 | Residual)", make(Residual=["a", "b"]))


@pytest.mark.parametrize(
    "right", ["(1 | g) + (1 + x | g)", "(x | g) + (0 + x | g)", "(1 | g:h) + (1 | h:g) + (x | g:h)"]
)
def test_the_same_column_twice_in_a_group_names_both_terms(data, right):
    specs, bound = parts(right, data)
    with pytest.raises(FormulaError, match=r"varies by `.*` twice, in `.*` and in `.*`: the two cannot be told"):
        refuse_shared_columns(bound, specs, f"y ~ {right}")


@pytest.mark.parametrize("right", ["(1 | g) + (0 + x | g)", "(1 | g) + (1 | h)", "(1 | g) + (1 | g:h)"])
def test_different_columns_or_factors_are_fine(data, right):
    specs, bound = parts(right, data)
    refuse_shared_columns(bound, specs, f"y ~ {right}")


def test_new_levels_are_listed_and_shared_between_rows(data, make):
    bound = part("(1 + x | g)", data)
    new = make(g=["zz", "a", "new", "zz"], x=[1.0, 2.0, 3.0, 4.0])
    assert bound.block(new).index.tolist() == [-1, 0, -1, -1]
    found = bound.new_levels(new)
    assert (found.label, found.group, found.levels) == ("(1 + x | g)", "g", ("new", "zz"))
    assert found.index.tolist() == [1, -1, 0, 1]
    assert bound.block(new, known=False).index.tolist() == [-1] * 4


def test_new_combinations_of_known_levels_are_new(data, make):
    bound = part("(1 | g:h)", data)
    new = make(g=["a", "b", "c", "q"], h=["u", "v", "v", "u"])
    assert bound.block(new).index.tolist() == [0, -1, 3, -1]
    assert bound.new_levels(new).levels == ("b:v", "q:u")


def test_new_data_of_known_levels_have_no_new_levels(data):
    found = part("(1 | g:k)", data).new_levels(data)
    assert found.levels == ()
    assert (found.index == -1).all()


def test_numbers_match_by_value(make):
    bound = part("(1 | k)", make(k=[1, 2, 3]))
    assert bound.block(make(k=[3.0, 1.0])).index.tolist() == [2, 0]
    assert bound.block(make(k=["2", "3"])).index.tolist() == [1, 2]


def test_long_identifiers_stay_apart(make):
    assert part("(1 | k)", make(k=[2**60, 2**60 + 1])).levels == (str(2**60), str(2**60 + 1))


LEFTS = ["1", "x", "0 + x", "f", "0 + f", "f:x", "x * f", "0 + f:x", "1 + x + I(x^2)"]
FACTORS = ["g", "h", "g:h", "f:g", "factor(k)", "g:h:k"]


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(LEFTS), st.sampled_from(FACTORS), st.booleans(), st.integers(0, 10_000))
def test_gathers_equal_the_dense_design(left, factor, diagonal, seed):
    rng = np.random.default_rng(seed)
    n = 25
    values = {"x": Numeric(rng.normal(size=n)), "k": Numeric(rng.integers(0, 4, n))}
    for name, size in (("f", 3), ("g", 6), ("h", 4)):
        text = np.concatenate([np.arange(2), rng.integers(0, size, n - 2)]).astype(str)
        values[name] = as_factor(Numeric(text), n)
    data = Columns(n, values, np.arange(n))
    block = part(f"({left} {'||' if diagonal else '|'} {factor})", data).block(data)
    b = rng.normal(size=(len(block.levels), len(block.terms)))
    gathered = np.sum(block.X * b[block.index], axis=1)

    names = factor.replace("factor(k)", "k").split(":")
    factors = [as_factor(values[name], n) for name in names]
    of_row = [":".join(f.levels[f.codes[i]] for f in factors) for i in range(n)]
    assert set(of_row) == set(block.levels)
    Z = np.zeros((n, b.size))
    for i in range(n):
        for j, level in enumerate(block.levels):
            for c in range(len(block.terms)):
                if of_row[i] == level:
                    Z[i, j * len(block.terms) + c] = block.X[i, c]
    np.testing.assert_allclose(gathered, Z @ b.ravel(), atol=1e-12)


def test_structures_that_only_smooths_can_make_are_no_words_of_formulas(data):
    with pytest.raises(UnknownNameError, match=r"Unknown covariance word `penalties`") as caught:
        part("penalties(1 + x | g)", data)
    assert "'penalties'" not in str(caught.value)
    block = RandomBlock("p", "g", ("1",), ("a",), np.zeros(2, dtype=int), np.ones((2, 1)), "penalties")
    with pytest.raises(BayesglmmError, match="needs `weights`"):
        COVARIANCES.get("penalties").parameters(block)

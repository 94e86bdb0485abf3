"""Linear terms: names, coding and order of columns; full rank against patsy."""

import numpy as np
import pandas as pd
import patsy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula import parse
from bayesglmm.terms import Columns, Context, Numeric
from bayesglmm.terms.columns import as_factor
from bayesglmm.terms.linear import bind_linear


def columns_of(frame):
    values = {name: Numeric(frame[name].to_numpy()) for name in frame}
    values = {k: as_factor(v, len(frame)) if v.values.dtype.kind not in "if" else v for k, v in values.items()}
    return Columns(len(frame), values, frame.index.to_numpy())


def part(right, data, constant=True):
    spec = parse(f"y ~ {right}").predictors[""]
    return bind_linear(spec.fixed, Context(data, f"y ~ {right}"), "fixed", constant)


@pytest.fixture
def data(make):
    rng = np.random.default_rng(1)
    values = {
        "a": rng.choice(["p", "q", "r"], 60),
        "b": rng.choice(["u", "v"], 60),
        "x": rng.normal(size=60),
        "z": rng.normal(size=60),
        "t": rng.random(60) < 0.5,
    }
    return make(**values)


@pytest.mark.parametrize(
    ("right", "names"),
    [
        ("1", ["Intercept"]),
        ("0 + x", ["x"]),
        ("x", ["Intercept", "x"]),
        ("a", ["Intercept", "a[q]", "a[r]"]),
        ("0 + a", ["a[p]", "a[q]", "a[r]"]),
        ("t", ["Intercept", "t[True]"]),
        ("a:x", ["Intercept", "a[p]:x", "a[q]:x", "a[r]:x"]),
        ("x + a:x", ["Intercept", "x", "x:a[q]", "x:a[r]"]),
        ("a*b", ["Intercept", "a[q]", "a[r]", "b[v]", "a[q]:b[v]", "a[r]:b[v]"]),
        ("0 + a:b", ["a[p]:b[u]", "a[q]:b[u]", "a[r]:b[u]", "a[p]:b[v]", "a[q]:b[v]", "a[r]:b[v]"]),
        ("I(x^2) + log(exp(x))", ["Intercept", "I(x^2)", "log(exp(x))"]),
        ("poly(x, 2)", ["Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]"]),
        ("poly(x, 1)", ["Intercept", "poly(x, 1)"]),
        ("b:poly(x, 2)", ["Intercept", *(f"b[{b}]:poly(x, 2)[{k}]" for k in (1, 2) for b in "uv")]),
        ("C(a, Sum)", ["Intercept", "C(a, Sum)[1]", "C(a, Sum)[2]"]),
        ("C(a, Poly)", ["Intercept", "C(a, Poly)[.L]", "C(a, Poly)[.Q]"]),
        ("C(a, Treatment('q'))", ["Intercept", "C(a, Treatment('q'))[p]", "C(a, Treatment('q'))[r]"]),
        ("0 + C(a, Helmert)", [f"C(a, Helmert)[{level}]" for level in "pqr"]),
        ("0 + Intercept + a", ["Intercept", "a[q]", "a[r]"]),
        ("I(x > 0)", ["Intercept", "I(x > 0)[True]"]),
    ],
)
def test_names(data, right, names):
    bound = part(right, data)
    block = bound.block(data)
    assert [name.replace('"', "'") for name in block.columns] == names
    assert block.X.shape == (60, len(names))
    assert bound.width == len(names)


def test_terms_are_keys_of_priors(data):
    block = part("a*x", data).block(data)
    assert block.terms == ("Intercept", "a", "a", "x", "a:x", "a:x")


def test_which_column_is_the_intercept(data):
    assert part("x", data).block(data).intercept == 0
    assert part("0 + x", data).block(data).intercept is None
    assert part("0 + Intercept + x", data).block(data).intercept is None


def test_sum_contrasts_code_rows(data):
    block = part("C(a, Sum)", data).block(data)
    codes = data["a"].codes
    np.testing.assert_array_equal(block.X[:, 1:], np.array([[1, 0], [0, 1], [-1, -1]])[codes])


def test_interaction_columns_are_products(data):
    block = part("C(a, Helmert):z + z + b:z", data).block(data)
    column = dict(zip(block.columns, block.X.T, strict=True))
    helmert = np.array([[-1, -1], [1, -1], [0, 2]])[data["a"].codes]
    np.testing.assert_allclose(column["C(a, Helmert)[2]:z"], helmert[:, 1] * data["z"].floats)


def test_cutpoints_take_the_place_of_the_constant(data):
    block = part("a + x", data, constant=False).block(data)
    assert block.columns == ("a[q]", "a[r]", "x")
    assert block.intercept is None
    for right in ("0 + x", "0 + Intercept + x"):
        with pytest.raises(FormulaError, match="cutpoints of this family take the place of the constant"):
            part(right, data, constant=False)


def test_intercept_asked_for_twice(data):
    with pytest.raises(FormulaError, match="write `0 \\+ Intercept`"):
        part("1 + Intercept + x", data)
    with pytest.raises(FormulaError, match="takes no part in interactions"):
        part("0 + Intercept:x", data)


def test_factor_with_one_level(make):
    with pytest.raises(DataError, match=r"The factor `f` has one level \(only\): it is constant"):
        part("f", make(f=["only", "only"]))


def test_unknown_reference_level_has_a_caret(data):
    with pytest.raises(FormulaError, match=r"no level 'zz'.*\n.*\n +\^"):
        part("C(a, Treatment('zz'))", data)


@pytest.mark.parametrize("text", ["log(x)", "sqrt(x)", "I(1/x)"])
def test_expressions_that_are_not_finite_name_the_row(make, text):
    with pytest.raises(DataError, match=r"is not finite in 1 row \(first: row 1"):
        part(text, make(x=[1.0, -1.0 if "1/x" not in text else 0.0, 2.0]))


def test_order_of_numeric_factors_does_not_matter(data):
    block = part("x:z + z:x:a", data).block(data)
    assert block.columns == ("Intercept", "x:z", "x:z:a[q]", "x:z:a[r]")


TERMS = ["a", "b", "c", "x", "z", "a:b", "b:c", "a:x", "b:x", "x:z", "a:z", "a:b:c", "a:b:x", "a:x:z", "a:b:x:z"]


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(TERMS), min_size=1, max_size=6, unique=True),
    st.booleans(),
    st.integers(0, 10_000),
    st.tuples(*[st.integers(2, 4)] * 3),
)
def test_columns_are_those_of_patsy(terms, intercept, seed, sizes):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=50), "z": rng.normal(size=50)})
    for name, size in zip("abc", sizes, strict=True):
        frame[name] = np.concatenate([np.arange(size), rng.integers(0, size, 50 - size)]).astype(str)
    right = " + ".join(["1" if intercept else "0", *terms])
    # patsy gets the terms as we expand them: by degree, factors in the order in which the formula met them
    spec = parse(f"y ~ {right}").predictors[""].fixed
    ordered = " + ".join([right[0], *(":".join(map(str, term)) for term in spec.terms)])
    peer = patsy.dmatrix(ordered, frame, return_type="dataframe")
    data = columns_of(frame)
    block = part(right, data).block(data)
    ours = {frozenset(name.split(":")): values for name, values in zip(block.columns, block.X.T, strict=True)}
    theirs = {frozenset(name.replace("[T.", "[").split(":")): values for name, values in peer.items()}
    assert len(ours) == block.X.shape[1]
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-12)


CODED = ["C(a, Sum)", "C(a, Helmert)", "C(a, Poly)", "C(b, Sum)", "C(a, Sum):C(b, Helmert)", "C(a, Poly):x", "x"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(CODED), min_size=1, max_size=4, unique=True), st.booleans(), st.integers(0, 10_000))
def test_other_contrasts_span_the_space_of_treatment_contrasts(terms, intercept, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=60)})
    for name, size in (("a", 4), ("b", 3)):
        frame[name] = np.concatenate([np.arange(size), rng.integers(0, size, 60 - size)]).astype(str)
    data = columns_of(frame)
    right = " + ".join(["1" if intercept else "0", *terms])
    plain = right
    for word in ("Sum", "Helmert", "Poly"):
        plain = plain.replace(f", {word})", ")")
    ours, peer = part(right, data).block(data).X, part(plain, data).block(data).X
    # with several codings of one factor the plain formula has fewer columns, but never a larger space
    both = np.column_stack([ours, peer])
    assert np.linalg.matrix_rank(both) == np.linalg.matrix_rank(ours) == np.linalg.matrix_rank(peer)

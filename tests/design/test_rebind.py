"""New data: same functions, same levels, and what is said when they do not fit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglmm.design import bind
from bayesglmm.errors import DataError
from bayesglmm.families.base import FAMILIES
from bayesglmm.formula import parse


def frame(seed=1, n=40):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
            "z": rng.gamma(2.0, size=n),
            "f": pd.Categorical(np.resize(["b", "a", "c"], n), ["c", "b", "a"]),
            "t": rng.random(n) < 0.5,
            "k": np.resize([1, 2, 3, 4, 5], n),
            "g": np.resize(["p", "q", "r", "s"], n),
        }
    )


PARTS = [
    "x",
    "f",
    "t",
    "factor(k)",
    "scale(x)",
    "center(z)",
    "poly(x, 3)",
    "log(z)",
    "C(f, Sum)",
    "C(factor(k), Poly)",
    "I(x > 0)",
    "f:z",
    "offset(log(z))",
    "relevel(f, 'a')",
    "(1 | g)",
    "(scale(x) | g:k)",
    "(0 + f || k)",
]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4, unique=True), st.integers(0, 1000), st.integers(1, 7))
def test_new_rows_are_coded_like_the_old_ones(parts, seed, count):
    data = frame(seed)
    if "f:z" in parts:
        parts = [p for p in parts if p != "center(z)"]
    chosen = ["f" in p.split(":")[0] and not p.startswith(("offset", "factor(k)", "(")) for p in parts]
    parts = [p for i, p in enumerate(parts) if not (chosen[i] and any(chosen[:i]))]  # codings of f exclude each other
    if "x" in parts:
        parts = [p for p in parts if p not in ("scale(x)", "poly(x, 3)")]
    if "scale(x)" in parts:
        parts = [p for p in parts if p != "poly(x, 3)"]
    if "factor(k)" in parts:
        parts = [p for p in parts if p != "C(factor(k), Poly)"]
    d = bind(parse("y ~ 1 + " + " + ".join(parts)), data, FAMILIES.get("gaussian"))
    rows = np.random.default_rng(seed).integers(0, len(data), count)
    old, new = d.predictors["mu"], d.rebind(data.iloc[rows]).predictors["mu"]
    assert new.columns == old.columns
    np.testing.assert_allclose(new.X, old.X[rows], atol=1e-10)
    for a, b in zip(old.random, new.random, strict=True):
        assert b.levels == a.levels
        np.testing.assert_array_equal(b.index, a.index[rows])
        np.testing.assert_allclose(b.X, a.X[rows], atol=1e-10)
    if old.offset is not None:
        np.testing.assert_allclose(new.offset, old.offset[rows])


@pytest.fixture
def bound(design):
    return design("y ~ x + f + offset(log(z)) + (1 + x | g)", frame())


NEW = {"x": [0.5, 1.0], "f": ["a", "c"], "z": [1.0, np.e], "g": ["q", "unseen"]}


def test_the_response_is_not_needed(bound):
    new = bound.rebind(NEW)
    assert new.n == 2
    mu = new.predictors["mu"]
    np.testing.assert_allclose(mu.X, [[1, 0.5, 0, 1], [1, 1, 0, 0]])
    np.testing.assert_allclose(mu.offset, [0, 1])
    assert mu.random[0].index.tolist() == [1, -1]
    assert new.response is None


def test_new_levels_of_groups_are_listed(bound):
    (found,) = bound.rebind(NEW).new_levels["mu"]
    assert (found.label, found.group, found.levels) == ("(1 + x | g)", "g", ("unseen",))
    assert found.index.tolist() == [-1, 0]


def test_groups_may_be_left_out(bound):
    new = {name: values for name, values in NEW.items() if name != "g"}
    rebound = bound.rebind(new, groups=False)
    assert rebound.predictors["mu"].random[0].index.tolist() == [-1, -1]
    assert rebound.predictors["mu"].random[0].X.tolist() == [[1, 0.5], [1, 1]]
    assert rebound.new_levels == {"mu": ()}
    with pytest.raises(DataError, match="lack the column 'g'"):
        bound.rebind(new)


def test_columns_that_lack_are_named(bound):
    with pytest.raises(DataError, match="The new data lack the column 'g', 'z', which the model uses"):
        bound.rebind({"x": [1.0], "f": ["a"]})
    with pytest.raises(DataError, match=r"lack the column 'x'.*Did you mean 'xx'"):
        bound.rebind({**{k: v for k, v in NEW.items() if k != "x"}, "xx": [1.0, 2.0]})


def test_unknown_levels_of_fixed_factors(bound):
    with pytest.raises(DataError, match=r"`f` has the level 'd', unknown to the model.*Known: a, b, c"):
        bound.rebind(NEW | {"f": ["a", "d"]})


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("x", [np.nan, 1.0], r"1 missing values in 'x' \(first: row 0\)"),
        ("g", [None, "p"], r"1 missing values in 'g' \(first: row 0\)"),
        ("x", [1.0, np.inf], r"1 infinite values in 'x' \(first: row 1\)"),
        ("z", [1.0, 0.0], r"`log\(z\)` is not finite in 1 row"),
        ("x", ["a", "b"], "`x` was numeric when the model was made; now it holds categories"),
    ],
)
def test_values_that_cannot_be_predicted_from(bound, column, values, message):
    with pytest.raises(DataError, match=message):
        bound.rebind(NEW | {column: values})


def test_no_rows(bound):
    with pytest.raises(DataError, match="no rows"):
        bound.rebind(pd.DataFrame({"x": [], "f": [], "z": [], "g": []}))


def test_levels_in_other_types(design):
    d = design("y ~ factor(k) + t", frame())
    for k in (["2", "5"], [2.0, 5.0], [2, 5]):
        new = d.rebind({"k": k, "t": [True, True]}).predictors["mu"]
        assert new.X.tolist() == [[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 1, 1]]


def test_categories_in_another_order_mean_the_same(design):
    d = design("y ~ f", frame())
    new = d.rebind({"f": pd.Categorical(["a", "c"], ["a", "c"])}).predictors["mu"]
    assert new.X.tolist() == [[1, 0, 1], [1, 0, 0]]


@pytest.mark.parametrize(
    ("left", "weights", "new", "trials"),
    [
        ("cbind(s, n - s)", None, {"s": [1, 0], "n": [4, 9]}, [4, 9]),
        ("prop(s, n)", None, {"n": [4, 9]}, [4, 9]),
        ("s | trials(n)", None, {"n": [4, 9]}, [4, 9]),
        ("s | trials(10)", None, {}, [10, 10]),
        ("I(s / n)", "n", {"n": [4, 9]}, [4, 9]),
        ("prop(s, n)", None, {}, None),
        ("cbind(s, n - s)", None, {"n": [4, 9]}, [4, 9]),
        ("cbind(s, f)", None, {"n": [4, 9]}, None),
    ],
)
def test_trials_come_from_the_new_data(design, left, weights, new, trials):
    data = {"x": [1.0, 2.0, 0.5], "s": [1, 0, 2], "n": [4, 5, 6], "f": [3, 5, 4]}
    d = design(f"{left} ~ x", data, "binomial", weights=weights)
    found = d.rebind({"x": [1.0, 2.0]} | new).trials
    assert (None if found is None else found.tolist()) == trials


def test_the_response_can_be_coded_too(design):
    d = design("u ~ x", {"u": ["no", "yes", "no", "yes"], "x": [1.0, 2.0, 2.5, 0.5]}, "bernoulli")
    again = d.rebind({"u": ["yes", "yes"], "x": [0.0, 1.0]}, response=True).response
    assert again.y.tolist() == [1, 1]
    assert again.categories == ("no", "yes")
    with pytest.raises(DataError, match="category 'maybe', unknown to the model"):
        d.rebind({"u": ["maybe"], "x": [0.0]}, response=True)


def test_every_parameter_is_rebound(design):
    d = design(["y ~ x", "sigma ~ z + (1 | g)"], frame())
    new = d.rebind({"x": [1.0], "z": [2.0], "g": ["new"]})
    assert new.predictors["sigma"].X.tolist() == [[1, 2]]
    assert new.new_levels["sigma"][0].levels == ("new",)


def test_trials_of_cbind_need_no_successes() -> None:
    data = pd.DataFrame({"s": [1, 2, 3, 0], "n": [5, 6, 7, 8], "x": [0.0, 1.0, 3.0, 2.0]})
    design = bind(parse("cbind(s, n - s) ~ x"), data, FAMILIES.get("binomial"))
    assert design.rebind(pd.DataFrame({"x": [1.0], "n": [9]})).trials.tolist() == [9.0]


def test_a_missing_grouping_column_points_to_groups() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 3.5, 0.0], "g": list("aabb"), "x": [0.0, 1.0, 3.0, 2.0]})
    design = bind(parse("y ~ x + (1 | g)"), data, FAMILIES.get("gaussian"))
    with pytest.raises(DataError, match='groups="typical"'):
        design.rebind(pd.DataFrame({"x": [1.0]}))

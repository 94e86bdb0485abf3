"""Data that no model can use: what is said, for every case."""

import warnings

import numpy as np
import pandas as pd
import pytest

from bayesglmm.errors import DataError, ModelWarning

RNG = np.random.default_rng(4)
N = 40
BASE = {"y": RNG.normal(size=N), "x": RNG.normal(size=N), "z": RNG.normal(size=N), "g": np.tile(list("abcd"), 10)}


@pytest.mark.parametrize(
    ("formula", "extra", "message"),
    [
        ("y ~ x + c", {"c": np.full(N, 3.0)}, r"`c` is constant \(3 in every row\).*Leave it out"),
        ("y ~ x + c", {"c": np.zeros(N)}, r"`c` is constant \(0 in every row\)"),
        ("y ~ 0 + x + c", {"c": np.zeros(N)}, r"`c` is constant"),
        ("y ~ x + f", {"f": ["only"] * N}, r"The factor `f` has one level \(only\): it is constant"),
        ("y ~ x + copy", {"copy": BASE["x"]}, r"`copy` is identical to `x`.*Leave out `copy`"),
        ("y ~ x + double", {"double": 2 * BASE["x"]}, r"`double` is 2 times `x`"),
        ("y ~ x + z + s", {"s": BASE["x"] - 2 * BASE["z"]}, r"rank deficient\): `s` = \+1 `x` -2 `z`. Leave out `s`"),
        ("y ~ big + s", {"big": 1e12 * BASE["x"], "s": 2 + BASE["x"]}, r"`s` = \+2 `Intercept` \+1e-12 `big`"),
        ("y ~ x + s", {"s": 3 + BASE["x"]}, r"`s` = \+3 `Intercept` \+1 `x`"),
        ("y ~ g + h", {"h": np.tile(list("uvuv"), 10)}, r"`h\[v\]` = "),
        (
            "y ~ g + x + x:g + z1 + z2",
            {"z1": BASE["x"], "z2": BASE["x"]},
            r"`z1` is identical to `x`; `z2` is identical",
        ),
        (
            "y ~ 1 + (1 + x + copy | g)",
            {"copy": BASE["x"]},
            r"columns of \(1 \+ x \+ copy \| g\) cannot be told apart",
        ),
        ("y ~ 1 + (1 + c | g)", {"c": np.full(N, 2.0)}, r"`c` of \(1 \+ c \| g\) is constant"),
    ],
)
def test_columns_that_cannot_be_told_apart(design, formula, extra, message):
    with pytest.raises(DataError, match=message):
        design(formula, BASE | extra)


def test_more_columns_than_rows(design):
    data = {"y": np.arange(4.0), "f": list("abcd"), "x": [1.0, 5.0, 2.0, 2.0]}
    with pytest.raises(DataError, match=r"There are 5 columns but only 4 rows. Leave out `x`"):
        design("y ~ f + x", data)


def test_a_constant_column_is_a_constant_term_where_there_is_none(design):
    d = design("y ~ 0 + one + x", BASE | {"one": np.ones(N)})
    assert d.predictors["mu"].columns == ("one", "x")


def test_cutpoints_count_as_a_constant(design):
    data = BASE | {"r": np.tile([1, 2, 3, 4], 10), "c": np.full(N, 3.0), "a": np.tile([0.0, 1.0], 20)}
    with pytest.raises(DataError, match="`c` is constant"):
        design("r ~ x + c", data, "cumulative")
    data["b"] = 1 - data["a"]
    with pytest.raises(DataError, match=r"`b` = \+1 `\(the cutpoints\)` -1 `a`"):
        design("r ~ a + b", data, "cumulative")


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e9])
def test_the_scale_of_columns_does_not_matter(design, scale):
    d = design("y ~ x + z", BASE | {"z": scale * BASE["z"]})
    assert d.predictors["mu"].X.shape == (N, 3)


def test_polynomials_of_years_are_not_refused(design):
    years = np.tile(np.arange(1990.0, 2030.0), 1)
    assert design("y ~ t + I(t^2)", BASE | {"t": years}).n == N


def test_combinations_that_never_occur_are_left_out(design):
    a, b = np.tile(list("pq"), 20), np.repeat(list("uvw"), [14, 14, 12])
    b[(a == "q") & (b == "w")] = "v"
    d = design("y ~ a * b", BASE | {"a": a, "b": b})
    assert d.predictors["mu"].columns == ("Intercept", "a[q]", "b[v]", "b[w]", "a[q]:b[v]")
    assert "No row has the combination a[q]:b[w]: left out." in d.notes
    d.rebind({"a": ["p", "q"], "b": ["w", "v"]})
    with pytest.raises(DataError, match=r"combination a\[q\]:b\[w\], which never occurred"):
        d.rebind({"a": ["q"], "b": ["w"]})


@pytest.mark.parametrize("column", ["x", "y"])
def test_infinite_values(design, column):
    data = {**BASE, column: np.where(np.arange(N) == 7, -np.inf, BASE[column])}
    with pytest.raises(DataError, match=rf"Column '{column}' has 1 infinite value \(first: row 7\)"):
        design("y ~ x", data)


def test_infinite_values_in_dropped_rows_do_not_matter(design):
    x, z = BASE["x"].copy(), BASE["z"].copy()
    x[3], z[3] = np.inf, np.nan
    assert design("y ~ x + z", BASE | {"x": x, "z": z}).n == N - 1


def test_a_group_with_one_level(design):
    with pytest.raises(DataError, match=r"grouping factor `h` has one level \(same\): a group with one level"):
        design("y ~ x + (1 | h)", BASE | {"h": ["same"] * N})


def test_text_used_as_numbers(design):
    with pytest.raises(DataError, match=r"`g` holds categories \(a, b, c, d\), but numbers are needed"):
        design("y ~ I(g^2)", BASE)


# ---------------------------------------------------------------------------------------------------- separation


@pytest.mark.parametrize(
    ("formula", "family", "message"),
    [
        ("y ~ f", "bernoulli", "every row with f = b is a success"),
        ("y ~ relevel(f, 'b')", "bernoulli", r"every row with relevel\(f, 'b'\) = b is a success"),
        ("y ~ 0 + f + z", "bernoulli", "every row with f = b is a success"),
        ("y ~ sep", "bernoulli", "`sep` separates successes from failures"),
        ("y ~ z + dummy", "bernoulli", "`dummy` separates successes from failures"),
        ("y ~ z + dummy", "binomial", "`dummy` separates"),
        ("cbind(s, n - s) ~ f", "binomial", "every row with f = c is a failure"),
    ],
)
def test_complete_separation_names_the_level(design, formula, family, message):
    data = {
        "y": [0, 1, 1, 1, 1, 1, 0, 0],
        "f": list("abbbacac"),
        "z": [0.3, 0.1, 0.7, 0.5, 0.2, 0.4, 0.6, 0.45],
        "s": [1, 2, 3, 1, 2, 0, 1, 0],
        "n": [3, 3, 3, 2, 4, 4, 5, 5],
    }
    data["sep"] = np.array(data["y"]) * 3.0 + np.array(data["z"])
    data["dummy"] = [0, 1, 1, 0, 0, 1, 0, 0]
    with pytest.warns(
        ModelWarning, match="Complete separation.*" + message + ".*Maximum likelihood has no finite estimate.*prior"
    ):
        d = design(formula, data, family)
    assert any(note.startswith("Complete separation") for note in d.notes)


def test_no_separation_no_warning(design):
    rng = np.random.default_rng(1)
    data = {"y": rng.integers(0, 2, 60), "f": np.tile(list("abc"), 20), "x": rng.normal(size=60)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not design("y ~ f * x + (1 | f)", data, "bernoulli").notes


# -------------------------------------------------------------------------------------------------------- memory


def test_the_memory_is_estimated_before_anything_is_built(design):
    n = 20_000
    data = {"y": np.arange(float(n)), "person": np.arange(n).astype(str), "item": np.arange(n) % 5000}
    message = r"needs about [\d,.]+ GB; 4.0 GB are free. `person` alone makes 19,999 columns of 20,000 rows"
    with pytest.raises(DataError, match=message):
        design("y ~ person", data, memory_limit=4.0)
    with pytest.raises(DataError, match=r"`person:factor\(item\)` alone makes 99,999,999 columns of 20,000 rows"):
        design("y ~ person:factor(item)", data)
    assert design("y ~ 1 + (1 | person)", data, memory_limit=4.0).groups == {"person": n}


def test_memory_estimate(design):
    from bayesglmm.design import memory_estimate
    from bayesglmm.families.base import FAMILIES
    from bayesglmm.formula import parse

    data = pd.DataFrame({"y": np.arange(1000.0), "x": np.arange(1000.0) ** 2, "g": np.arange(1000) % 50})
    small = memory_estimate(parse("y ~ x + (1 | g)"), data, FAMILIES.get("gaussian"))
    large = memory_estimate(parse("y ~ x * factor(g)"), data, FAMILIES.get("gaussian"))
    assert 1e-5 < small < 1e-3
    assert large == pytest.approx(8 * (3 * 1000 * 100 + 100**2 + 3 * 100) / 1e9, rel=0.01)

"""The left side in every spelling, and what is said about values that do not fit."""

import numpy as np
import pandas as pd
import pytest

from bayesglmm.errors import DataError, FormulaError, UnknownNameError

X = [1.0, 2.0, 0.5, 3.0]
S, N = [1, 0, 3, 2], [4, 2, 3, 5]
COUNTS = {"x": X, "s": S, "n": N, "f": np.subtract(N, S), "prop": np.divide(S, N)}


@pytest.mark.parametrize(
    ("left", "weights"),
    [
        ("cbind(s, f)", None),
        ("cbind(s, n - s)", None),
        ("prop(s, n)", None),
        ("p(s, n)", None),
        ("proportion(s, n)", None),
        ("s | trials(n)", None),
        ("prop", "n"),
        ("I(s / n)", "n"),
        ("s / n", "n"),
        ("prop", N),
    ],
)
def test_binomial_trials_in_every_spelling(design, left, weights):
    response = design(f"{left} ~ x", COUNTS, "binomial", weights=weights).response
    np.testing.assert_array_equal(response.y, S)
    np.testing.assert_array_equal(response.trials, N)
    assert response.weights is None
    assert response.name == left.replace("I(s / n)", "I(s / n)")


def test_trials_may_be_a_number(design):
    response = design("s | trials(5) ~ x", COUNTS, "binomial").response
    assert response.trials.tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize("y", [[0, 1, 1, 0], [False, True, True, False], ["a", "b", "b", "a"]])
def test_binomial_without_trials_has_one_each(design, y):
    response = design("y ~ x", {"y": y, "x": X}, "binomial").response
    assert response.y.tolist() == [0, 1, 1, 0]
    assert response.trials.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("cbind(s, bad) ~ x", "at least 0 trials"),
        ("s | trials(bad) ~ x", "row 1 has -3; needed is at least 0 trials"),
        ("s | trials(half) ~ x", "row 2 has 2.5; needed is a whole number of trials"),
        ("bad | trials(n) ~ x", "row 1 has -3; needed is at least 0 successes"),
        ("half | trials(n) ~ x", "row 2 has 2.5; needed is a whole number of successes"),
        ("n | trials(s) ~ x", "row 0 has 4; needed is at most as many successes as trials. Rows concerned: 3"),
        ("s ~ x", "row 2 has 3; needed is 0 or 1"),
        ("prop ~ x", "row 0 has 0.25; needed is 0 or 1.*for proportions give the trials by `weights=`"),
    ],
)
def test_counts_that_cannot_be(design, formula, message):
    data = COUNTS | {"bad": [1, -3, 1, 2], "half": [1, 1, 2.5, 2]}
    with pytest.raises(DataError, match=message):
        design(formula, data, "binomial")


@pytest.mark.parametrize(
    ("formula", "weights", "message"),
    [
        ("s ~ x", "n", "row 2 has 3; needed is between 0 and 1; with `weights=` the response is a proportion"),
        ("x3 ~ x", "n", "a whole number of successes: proportion times weight"),
        ("cbind(s, f) ~ x", "n", "here the trials are in the formula already.*likelihood_weights"),
    ],
)
def test_proportions_that_cannot_be(design, formula, weights, message):
    with pytest.raises(DataError, match=message):
        design(formula, COUNTS | {"x3": [0.1, 0.5, 1, 0]}, "binomial", weights=weights)


@pytest.mark.parametrize(
    ("formula", "family", "message"),
    [
        ("cbind(s) ~ x", "binomial", "`cbind` takes two expressions: successes and failures"),
        ("prop(s, n, x) ~ x", "binomial", "`prop` takes two expressions: successes and trials"),
        ("cbind(s, f) | trials(n) ~ x", "binomial", "has the trials already"),
        ("s | trials(n, x) ~ x", "binomial", "too many arguments"),
        ("s | trails(n) ~ x", "binomial", "Unknown addition `trails.*Did you mean 'trials'"),
        ("s | trials(n) ~ x", "bernoulli", "use family='binomial', not 'bernoulli'"),
        ("cbind(s, f) ~ x", "gaussian", "family 'gaussian' takes one column"),
        ("cbind(s, f) ~ x", "bernoulli", "use family='binomial'"),
    ],
)
def test_spellings_that_mean_nothing(design, formula, family, message):
    with pytest.raises(FormulaError, match=message) as caught:
        design(formula, COUNTS, family)
    assert "^" in str(caught.value)


# -------------------------------------------------------------------------------------------------------- binary


@pytest.mark.parametrize(
    ("y", "categories"),
    [
        (["N", "Y", "Y", "N"], ("N", "Y")),
        (pd.Categorical(["no", "yes", "yes", "no"], ["no", "yes"]), ("no", "yes")),
        ([False, True, True, False], ("False", "True")),
        (pd.Categorical(["u", "v", "v", "u"], ["w", "u", "v"]), ("u", "v")),
    ],
)
def test_the_second_level_is_success_and_a_note_says_so(design, y, categories):
    d = design("y ~ x", {"y": y, "x": X}, "bernoulli")
    assert d.response.y.tolist() == [0, 1, 1, 0]
    assert d.response.categories == categories
    assert f"Response `y`: success is {categories[1]!r} (second level), failure {categories[0]!r}." in d.notes


@pytest.mark.parametrize("left", ["I(x > 1)", "factor(one)", "I(t == 'b')", "relevel(t, 'a')"])
def test_expressions_as_binary_responses(design, left):
    data = {"x": [0.0, 3.0, 0.5, 4.0], "one": [1, 2, 1, 2], "t": ["a", "b", "a", "b"], "z": [1.0, 1.5, 1.2, 1.1]}
    assert design(f"{left} ~ z", data, "bernoulli").response.y.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b", "c", "a"], r"has 3 levels \(a, b, c\); family 'bernoulli' takes two"),
        ([1, 2, 2, 1], r"row 1 has 2; needed is 0 or 1 \(for other codes write factor"),
        (["a", "a", "a", "a"], "All values of the response `y` are a"),
        ([1, 1, 1, 1], "all 4 values are equal"),
        ([True, True, True, True], "values"),
    ],
)
def test_binary_responses_that_do_not_fit(design, y, message):
    with pytest.raises(DataError, match=message):
        design("y ~ x", {"y": y, "x": X}, "bernoulli")


# ---------------------------------------------------------------------------------------------- numbers, categories


@pytest.mark.parametrize("left", ["log(x)", "I(x^2)", "x / n", "sqrt(x) - 1"])
def test_expressions_as_responses(design, left):
    expected = {"log(x)": np.log(X), "I(x^2)": np.square(X), "x / n": np.divide(X, N), "sqrt(x) - 1": np.sqrt(X) - 1}
    np.testing.assert_allclose(design(f"{left} ~ s", COUNTS).response.y, expected[left])


@pytest.mark.parametrize(
    ("left", "message"),
    [
        ("t", r"holds categories \(a, b, c\); family 'gaussian' takes numbers.*'cumulative' or 'categorical'"),
        ("b", r"holds categories \(False, True\).*family='bernoulli'"),
        ("log(z)", "row 2 has -inf; needed is a finite number"),
        ("log(t)", "holds categories"),
    ],
)
def test_responses_that_are_no_numbers(design, left, message):
    data = {"x": X, "t": ["a", "b", "c", "a"], "b": [True, False, True, True], "z": [1.0, 2.0, 0.0, 3.0]}
    with pytest.raises(DataError, match=message):
        design(f"{left} ~ x", data)


@pytest.mark.parametrize(
    ("y", "categories", "note"),
    [
        (
            pd.Categorical(["lo", "hi", "mid", "hi"], ["lo", "mid", "hi"], ordered=True),
            ("lo", "mid", "hi"),
            "lo < mid < hi.",
        ),
        (
            pd.Categorical(["lo", "hi", "mid", "hi"], ["lo", "mid", "hi"]),
            ("lo", "mid", "hi"),
            "not marked as ordered",
        ),
        ([3, 1, 2, 10], ("1", "2", "3", "10"), "1 < 2 < 3 < 10"),
        (["b", "a", "c", "a"], ("a", "b", "c"), "not marked as ordered"),
    ],
)
def test_ordinal_responses(design, y, categories, note):
    d = design("y ~ x", {"y": y, "x": X}, "cumulative")
    assert d.response.categories == categories
    assert d.response.y.dtype.kind == "i"
    assert any("Response `y`: the order is" in n and note in n for n in d.notes)


def test_unused_categories_are_left_out(design):
    y = pd.Categorical(["a", "c", "a", "d"], ["a", "b", "c", "d"], ordered=True)
    d = design("y ~ x", {"y": y, "x": X}, "cumulative")
    assert d.response.categories == ("a", "c", "d")
    assert "Response `y`: category b does not occur and is left out." in d.notes


def test_nominal_responses(design):
    d = design("y ~ x", {"y": ["b", "a", "c", "a"], "x": X}, "categorical")
    assert d.response.y.tolist() == [1, 0, 2, 0]
    assert len(d.predictors) == 2
    assert "Response `y`: the reference category is 'a'." in d.notes


def test_categories_are_no_fractions(design):
    with pytest.raises(DataError, match=r"row 1 has 1.5; needed is a whole number, text or a category"):
        design("y ~ x", {"y": [1, 1.5, 2, 3], "x": X}, "cumulative")


# ------------------------------------------------------------------------------------------------------- weights


def test_precision_weights(design):
    assert design("x ~ s", COUNTS, weights="n").response.weights.tolist() == N
    assert design("x ~ s", COUNTS, weights=pd.Series(N, index=list("abcd"))).response.weights.tolist() == N


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_weights_where_they_mean_nothing(design, family):
    data = {"y": [0, 1, 1, 0], "x": X}
    with pytest.raises(
        DataError, match=f"family '{family}' has neither. To multiply log densities use `likelihood_we"
    ):
        design("y ~ x", data, family, weights=N)


def test_likelihood_weights(design):
    w = [1.0, 0.0, 2.0, 0.5]
    data = COUNTS | {"w": w}
    for response in (
        design("x ~ s", data, likelihood_weights="w").response,
        design("x ~ s", data, likelihood_weights=w).response,
        design("x | weights(w) ~ s", data).response,
        design("x | weights(w / 2 * 2) ~ s", data).response,
    ):
        assert response.likelihood_weights.tolist() == w
        assert response.weights is None
    with pytest.raises(FormulaError, match="mean the same: give one"):
        design("x | weights(w) ~ s", data, likelihood_weights=w)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, 2, 3], DataError, r"`weights=` has the shape \(3,\); the data have 4 rows"),
        ([1, 2, -3, 1], DataError, "The weights must be finite and not negative; row 2 has -3"),
        ([1, np.inf, 3, 1], DataError, "row 1 has inf"),
        ([1, 0, 3, 1], DataError, "`weights=` is 0 in row 1: the variance there would be infinite"),
        ("m", UnknownNameError, "`weights='m'`: there is no such column"),
        ("t", DataError, r"`weights='t'`: the column holds categories \(a, b\)"),
        (["u", "v", "u", "v"], DataError, "column name or numbers, one per row; got list"),
    ],
)
def test_weights_that_do_not_fit(design, weights, error, message):
    with pytest.raises(error, match=message):
        design("x ~ s", COUNTS | {"t": ["a", "b", "a", "b"]}, weights=weights)


def test_missing_weights_drop_rows(design):
    d = design("x ~ s", COUNTS, weights=[1, np.nan, 2, 3])
    assert d.n == 3
    assert d.response.weights.tolist() == [1, 2, 3]
    assert d.rows.missing == {"weights=": 1}


# -------------------------------------------------------------------------------------------- censoring, truncation


@pytest.mark.parametrize(
    "codes",
    [
        ["none", "left", "right", "interval"],
        [0, -1, 1, 2],
        pd.Categorical(["none", "left", "right", "interval"]),
        ["0", "-1", "1", "2"],
    ],
)
def test_censoring(design, codes):
    data = {"y": [1.0, 2.0, 3.0, 4.0], "x": [0.0, 1.0, 0.5, 3.0], "c": codes, "u": [np.nan, np.nan, np.inf, 6.0]}
    d = design("y | cens(c, u) ~ x", data)
    assert d.response.censoring.tolist() == [0, -1, 1, 2]
    assert d.response.y_upper.tolist() == [1, 2, 3, 6]
    assert d.n == 4


def test_truth_values_mean_right_censored(design):
    data = {"y": [1.0, 2.0, 3.0, 4.0], "x": X, "c": [False, True, False, True]}
    response = design("y | cens(c) ~ x", data, "weibull").response
    assert response.censoring.tolist() == [0, 1, 0, 1]
    assert response.y_upper is None


@pytest.mark.parametrize(
    ("formula", "family", "error", "message"),
    [
        ("y | cens(bad) ~ x", "gaussian", DataError, "`bad` holds the censoring code 'censored'; known are left"),
        ("y | cens(num) ~ x", "gaussian", DataError, "`num` holds the censoring code '7'"),
        ("y | cens(c) ~ x", "gaussian", FormulaError, "need their upper end"),
        (
            "y | cens(c, x) ~ x",
            "gaussian",
            DataError,
            "the upper end of row 3 is 3; in interval censored rows it is above",
        ),
        ("y | cens(c, gap) ~ x", "gaussian", DataError, "the upper end of row 3 is nan"),
        ("y | cens(c, u) ~ x", "hurdle_gamma", DataError, "has no distribution function"),
        ("y | trunc(lb=2) ~ x", "gaussian", DataError, "row 0 has the response 1, outside of its bounds"),
        ("y | trunc(ub=x) ~ x", "gaussian", DataError, "row 2 has the response 3, outside"),
        ("y | trunc() ~ x", "gaussian", FormulaError, "a lower bound, an upper bound or both"),
        ("y | trunc(low=2) ~ x", "gaussian", FormulaError, "no argument `low`"),
    ],
)
def test_censoring_that_does_not_fit(design, formula, family, error, message):
    data = {
        "y": [1.0, 2.0, 3.0, 4.0],
        "x": X,
        "c": ["none", "left", "right", "interval"],
        "bad": ["none", "censored", "none", "none"],
        "num": [0, 7, 0, 1],
        "u": [0.0, 0.0, 0.0, 5.0],
        "gap": [0.0, 0.0, 0.0, np.nan],
    }
    with pytest.raises(error, match=message):
        design(formula, data, family)


def test_truncation(design):
    data = {"y": [1.0, 2.0, 3.0, 4.0], "x": X, "low": [0.0, np.nan, 1.0, -np.inf]}
    response = design("y | trunc(lb=low, ub=9) ~ x", data).response
    assert response.lower.tolist() == [0, -np.inf, 1, -np.inf]
    assert response.upper.tolist() == [9, 9, 9, 9]
    assert design("y | trunc(ub=9) ~ x", data).response.lower is None


def test_several_additions(design):
    data = {"y": [1.0, 2.0, 3.0, 4.0], "x": X, "c": [0, 0, 1, 0], "w": [1.0, 2.0, 1.0, 2.0]}
    response = design("y | cens(c) + weights(w) + trunc(lb=0) ~ x", data, "weibull").response
    assert response.censoring.tolist() == [0, 0, 1, 0]
    assert response.likelihood_weights.tolist() == [1, 2, 1, 2]
    assert response.lower.tolist() == [0, 0, 0, 0]

"""Every family refuses what it cannot model, and says which row, which value and which rule."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy import special

from bayesglmm.blocks import Response
from bayesglmm.errors import DataError
from bayesglmm.families import FAMILIES
from bayesglmm.links import LINKS

COUNTS = (
    "poisson",
    "negative_binomial",
    "negative_binomial1",
    "zero_inflated_poisson",
    "zero_inflated_negative_binomial",
    "hurdle_poisson",
    "hurdle_negative_binomial",
)
TRIALS = ("binomial", "beta_binomial", "zero_inflated_binomial")
REAL = ("gaussian", "student_t")
POSITIVE = ("gamma", "exponential", "weibull", "inverse_gaussian", "lognormal")
GOOD: dict[str, Any] = {
    **{name: [0, 1, 5] for name in COUNTS},
    **{name: [0, 1, 5] for name in TRIALS},
    **{name: [-1.0, 0.0, 2.5] for name in REAL},
    **{name: [0.1, 1.0, 2.5] for name in POSITIVE},
    "hurdle_gamma": [0.0, 1.0, 2.5],
    "bernoulli": [0, 1, 1],
    "beta": [0.1, 0.5, 0.9],
    "cumulative": [0, 1, 2],
    "categorical": [0, 1, 2],
}


def response(family: str, y: Any, trials: Any = None, categories: tuple[str, ...] = ()) -> Response:
    if trials is None and family in TRIALS:
        trials = [6.0] * len(y)
    wanted = None if trials is None else np.asarray(trials, float)
    return Response("y", np.asarray(y, float), trials=wanted, categories=categories)


def refused(family: str, message: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        FAMILIES.get(family).check(response(family, *args, **kwargs))


def test_good_responses_pass() -> None:
    assert set(GOOD) == set(FAMILIES.names())
    for family, y in GOOD.items():
        FAMILIES.get(family).check(response(family, y))


@pytest.mark.parametrize("family", GOOD)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(family: str, bad: float) -> None:
    refused(family, f"Response 'y' must be finite; row 2 is {bad:g}.", [GOOD[family][0], bad, GOOD[family][2]])


@pytest.mark.parametrize("family", GOOD)
def test_all_equal(family: str) -> None:
    refused(family, "Response 'y': all 3 values are equal (", [GOOD[family][1]] * 3)


@pytest.mark.parametrize("family", COUNTS)
def test_counts(family: str) -> None:
    refused(family, "must be counts, which are not negative; row 3 is -1.", [0, 1, -1])
    refused(family, "must be counts, which are whole numbers; row 2 is 1.5 (2 such rows).", [0, 1.5, 2.5])


@pytest.mark.parametrize("family", TRIALS)
def test_trials(family: str) -> None:
    refused(family, "must not exceed the trials; row 2 has 7 successes in 6 trials.", [0, 7, 1])
    refused(family, "must be counts of successes, which are not negative; row 1 is -2.", [-2, 3, 1])
    refused(family, "must be counts of successes, which are whole numbers; row 1 is 0.5.", [0.5, 3, 1])
    refused(family, "must not have a negative number of trials; row 2 is -6.", [0, 3, 1], [6, -6, 6])
    refused(family, "must have a whole number of trials; row 2 is 6.5.", [0, 3, 1], [6, 6.5, 6])
    refused(family, "needs finite trials; row 3 is nan.", [0, 3, 1], [6, 6, np.nan])
    refused(family, "no row has any trials", [0, 0, 0], [0, 0, 0])
    refused(family, "all 3 values are equal (0.5)", [1, 2, 3], [2, 4, 6])
    with pytest.raises(DataError, match=r"needs the number of trials: y \| trials\(n\)"):
        FAMILIES.get(family).check(Response("y", np.array([0.0, 1.0])))


@pytest.mark.parametrize("family", POSITIVE)
def test_positive(family: str) -> None:
    refused(family, "must be positive; row 2 is 0.", [1.0, 0.0, 2.0])
    refused(family, "must be positive; row 3 is -2.", [1.0, 0.5, -2.0])


def test_gamma_offers_a_hurdle_for_zeros() -> None:
    refused("gamma", "use the hurdle_gamma family", [1.0, 0.0, 2.0])
    refused("hurdle_gamma", "must not be negative; row 1 is -1.", [-1.0, 0.0, 2.0])


def test_proportions() -> None:
    refused("beta", "must lie strictly between 0 and 1; row 1 is 45. Divide percentages by 100.", [45, 0.5, 0.2])
    refused("beta", "must lie strictly between 0 and 1; row 2 is 0. A beta density has no mass", [0.5, 0, 0.2])
    refused("beta", "row 3 is 1.", [0.5, 0.3, 1.0])
    refused("beta", "zero_inflated_binomial", [0.5, 0.3, 1.0])


def test_binary() -> None:
    refused("bernoulli", "must be 0 or 1; row 3 is 2. Counts of successes need the binomial family", [0, 1, 2])
    refused("bernoulli", "all 3 values are equal (yes).", [1, 1, 1], categories=("no", "yes"))


@pytest.mark.parametrize("family", ["cumulative", "categorical"])
def test_categories(family: str) -> None:
    refused(family, "no row has the category 'mid'", [0, 2, 0], categories=("low", "mid", "high"))
    refused(family, "must be category codes, which are whole numbers; row 2 is 0.5.", [0, 0.5, 2])
    refused(family, "must be category codes from 0 to 2; row 1 is -1.", [-1, 1, 2])


def test_categorical_needs_three() -> None:
    refused("categorical", "has 2 categories; this family needs at least 3.", [0, 1, 0])


def test_categorical_predictors_have_safe_and_distinct_names() -> None:
    r = response("categorical", [0, 1, 2, 3], categories=("a", "b c", "b-c", "+"))
    assert FAMILIES.get("categorical").main_predictors(r) == ("mu_b_c", "mu_b_c_", "mu_category")
    assert FAMILIES.get("poisson").main_predictors(response("poisson", [0, 1])) == ("mu",)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("normal", "gaussian"),
        ("t", "student_t"),
        ("student", "student_t"),
        ("nb", "negative_binomial"),
        ("nbinom2", "negative_binomial"),
        ("negbinomial", "negative_binomial"),
        ("Gamma", "gamma"),
        ("Beta", "beta"),
        ("zip", "zero_inflated_poisson"),
        ("ZeroInflatedPoisson", "zero_inflated_poisson"),
        ("zero_inflated_negativebinomial", "zero_inflated_negative_binomial"),
        ("hurdle_negativebinomial", "hurdle_negative_binomial"),
        ("NegativeBinomial", "negative_binomial"),
        ("Exponential", "exponential"),
        ("BetaBinomial", "beta_binomial"),
        ("zinb", "zero_inflated_negative_binomial"),
        ("ordinal", "cumulative"),
        ("multinomial", "categorical"),
        ("inverse.gaussian", "inverse_gaussian"),
    ],
)
def test_other_spellings(spelling: str, name: str) -> None:
    assert FAMILIES.get(spelling).name == name


def test_default_scales() -> None:
    y = np.array([1.0, np.e, np.e**2])
    log_scale = FAMILIES.get("lognormal").scale(Response("y", y), None)
    assert log_scale == pytest.approx((1.0, 1.0))
    for family in ("cumulative", "categorical"):
        assert FAMILIES.get(family).scale(Response("y", np.array([0.0, 1.0, 2.0])), None) == (0.0, 1.0)


@pytest.mark.parametrize("link", ["log", "inverse", "sqrt", "identity"])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_default_scales_follow_the_unit_of_the_response(link: str, size: float) -> None:
    y = size * np.array([1.0, 2.0, 3.0, 2.5])
    mean, sd = y.mean(), y.std(ddof=1)
    centres = {"log": np.log(mean), "inverse": 1 / mean, "sqrt": np.sqrt(mean), "identity": mean}
    spreads = {"log": 1.0, "inverse": sd / mean**2, "sqrt": 0.5 * sd / np.sqrt(mean), "identity": sd}
    scale = FAMILIES.get("gamma").scale(Response("y", y), LINKS.get(link))
    assert scale == pytest.approx((centres[link], spreads[link]), rel=1e-6)


def test_default_scales_of_rare_events() -> None:
    none, one = np.zeros(99), np.eye(1, 1000)[0]
    log, logit, scale = LINKS.get("log"), LINKS.get("logit"), FAMILIES.get("poisson").scale
    assert scale(Response("y", none), log).centre == pytest.approx(np.log(0.005))
    assert scale(Response("y", one), log).centre == pytest.approx(np.log(0.001))
    assert scale(Response("y", none), logit).centre == pytest.approx(special.logit(0.005))
    small = np.array([1e-5, 3e-5])
    assert scale(Response("y", small), logit).centre == pytest.approx(special.logit(2e-5))


@pytest.mark.parametrize(("link", "mean"), [("logit", 3.0), ("log", -3.0), ("probit", -1.0), ("cloglog", 2.0)])
def test_a_link_that_the_mean_is_outside_of_is_refused(link: str, mean: float) -> None:
    y = mean + np.array([-0.5, 0.25, 0.25])
    with pytest.raises(DataError, match=f"The {link} link does not suit the response 'y', whose mean is {mean:g}"):
        FAMILIES.get("gaussian").scale(Response("y", y), LINKS.get(link))


def test_rows_are_named_by_their_labels() -> None:
    r = Response("y", np.array([1.0, 2.5, 0.0]), rows=np.array(["r1", "r10", "r3"]))
    with pytest.raises(DataError, match=r"row r10 is 2\.5"):
        FAMILIES.get("poisson").check(r)

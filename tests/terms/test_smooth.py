"""Smooth terms: their words, their blocks, what they leave out, and the same function on new rows."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.bases.thin_plate import FittedThinPlate
from bayesglmm.blocks import FixedBlock
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, ModelWarning, UnknownNameError
from bayesglmm.graph.compiler import UNREWRITTEN
from bayesglmm.graph.latent import LatentView
from bayesglmm.terms.smooth import combinations

EVERY = [
    "s(x)",
    "s(x, bs='cr', k=6)",
    "s(x, z)",
    "s(x, by=f)",
    "o + s(x, k=6) + s(x, by=o, k=6)",
    "s(x, by=z)",
    "s(log(x + 1), fx=TRUE, k=5)",
    "te(x, z, k=c(4, 5), bs=c('tp', 'ps'))",
    "s(x, bs='cr') + s(z, bs='cr') + ti(x, z, k=4)",
    "t2(x, z, k=4)",
    "te(x, z, w, d=c(2, 1), k=c(8, 3))",
    "s(x, f, bs='fs', k=5)",
    "s(f, bs='re') + s(f, x, bs='re')",
    "0 + s(x)",
    "s(x, k=6, bs='gp', m=c(2, 0.5))",
]


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    n = 160
    frame = pd.DataFrame(
        {
            "x": rng.uniform(0.0, 1.0, n),
            "z": rng.uniform(10.0, 30.0, n),
            "w": rng.normal(size=n),
            "f": rng.choice(list("abc"), n),
            "one": 5.0,
            "few": rng.integers(0, 4, n).astype(float),
            "two": rng.integers(0, 2, n).astype(float),
        }
    )
    frame["o"] = pd.Categorical(frame["f"], ordered=True)
    frame["y"] = np.sin(5.0 * frame["x"]) + 0.05 * frame["z"] + rng.normal(0.0, 0.3, n)
    return frame


def design(right: str, data: pd.DataFrame):
    return bg.Model(f"y ~ {right}", data).design


def predictor(right: str, data: pd.DataFrame):
    return design(right, data).predictors["mu"]


@pytest.mark.parametrize("right", EVERY)
def test_new_rows_get_the_same_functions(right, data):
    bound = design(right, data)
    own, chosen = bound.predictors["mu"], [150, 3, 77]
    again = bound.rebind(data.iloc[chosen]).predictors["mu"]
    np.testing.assert_allclose(again.X, own.X[chosen], atol=1e-9)
    for new, old in zip(again.random, own.random, strict=True):
        np.testing.assert_allclose(new.X, old.X[chosen], atol=1e-9)
        np.testing.assert_array_equal(new.index, old.index[chosen])


@pytest.mark.parametrize(
    "right", ["s(x, by=f, k=5)", "te(x, z, k=4)", "s(x, f, bs='fs', k=5)", "0 + s(f, x, bs='re')"]
)
def test_view_and_graph_are_the_same_density(right, data):
    model = bg.Model(f"y ~ {right}", data)
    view = LatentView(model.problem)
    rng = np.random.default_rng(4)
    logp = model.graph.compile_logp(mode=UNREWRITTEN)
    for _ in range(2):
        x, theta = 0.3 * rng.standard_normal(view.size), 0.5 * rng.standard_normal(view.theta_size)
        point = view.point(x, theta)
        jacobian = sum(
            np.linalg.slogdet(model.graph.rvs_to_transforms[model.graph[part.name]].T)[1]
            for part in view.parts
            if part.role == "fixed"
        )
        np.testing.assert_allclose(float(logp(point)) - jacobian, view.log_joint(x, theta), rtol=1e-8)


def test_fixed_columns_are_centred_covariates_in_their_units(data):
    own = predictor("s(x) + s(x, z)", data)
    assert own.columns == ("Intercept", "s(x).x", "s(x, z).z")  # x of the second one is there already
    np.testing.assert_allclose(own.X[:, 1], data["x"] - data["x"].mean(), atol=1e-9)
    np.testing.assert_allclose(own.X[:, 2], data["z"] - data["z"].mean(), atol=1e-7)


@pytest.mark.parametrize(
    ("right", "left_out", "because"),
    [
        ("x + s(x)", "s(x).x", "`x`"),
        ("s(x) + te(x, z)", "te(x, z).x", "`s(x).x`"),
        ("te(x, z) + s(x)", "te(x, z).x", "`s(x).x`"),
        ("z + s(x, by=z)", "s(x):z.1", "`z`"),
        ("s(x) + s(x, by=f)", "s(x):f[a].x", "`s(x).x`"),
        ("0 + f + s(x)", "s(x).1", "`f[a]`"),
    ],
)
def test_columns_that_others_stand_for_are_left_out_and_said(right, left_out, because, data):
    bound = design(right, data)
    own = bound.predictors["mu"]
    assert left_out not in own.columns
    assert np.linalg.matrix_rank(own.X) == own.X.shape[1]
    (note,) = (note for note in bound.notes if left_out in note)
    assert "left out" in note
    assert because in note


def test_without_a_constant_the_smooth_keeps_its_own(data):
    assert predictor("0 + s(x)", data).columns == ("s(x).1", "s(x).x")


def test_random_columns_sum_to_zero_beside_a_constant(data):
    for right in ("s(x, bs='cc')", "s(x, bs='ts')", "te(x, z)", "te(x, z, bs='cs')"):
        (block,) = predictor(right, data).random
        np.testing.assert_allclose(block.X.sum(axis=0), 0.0, atol=1e-6)


def test_a_factor_gives_each_level_a_curve(data):
    own = predictor("f + s(x, by=f, k=5)", data)
    assert [block.label for block in own.random] == ["s(x):f[a]", "s(x):f[b]", "s(x):f[c]"]
    for block, level in zip(own.random, "abc", strict=True):
        assert not block.X[data["f"] != level].any()
        assert block.X[data["f"] == level].any()


def test_of_an_ordered_factor_the_first_level_has_none(data):
    own = predictor("o + s(x) + s(x, by=o)", data)
    assert [block.label for block in own.random] == ["s(x)", "s(x):o[b]", "s(x):o[c]"]


def test_a_number_multiplies_the_curve(data):
    plain, multiplied = predictor("0 + s(x)", data), predictor("s(x, by=z)", data)
    ratio = multiplied.random[0].X / plain.random[0].X
    np.testing.assert_allclose(ratio / data["z"].to_numpy()[:, None], ratio[0, 0] / data["z"].iloc[0], rtol=1e-6)
    np.testing.assert_allclose(np.mean(np.square(multiplied.random[0].X).sum(axis=1)), 1.0)


def test_factor_smooths_have_a_curve_for_each_level_and_three_sds(data):
    model = bg.Model("y ~ s(x, f, bs='fs', k=6)", data)
    (block,) = model.design.predictors["mu"].random
    assert block.levels == ("a", "b", "c")
    assert block.X.shape[1] == 6
    labels = [slot.label for slot in model.priors]
    assert [f"sd[s(x, f), {part}]" for part in ("curve", "1", "x")] == [name for name in labels if "sd" in name]


def test_unpenalised_smooths_have_no_sd(data):
    own = predictor("s(x, fx=TRUE, k=5)", data)
    assert own.columns == ("Intercept", "s(x).x", "s(x).f1", "s(x).f2", "s(x).f3")
    assert own.random == ()


def test_one_sd_has_a_short_key_and_parts_have_their_names(data):
    model = bg.Model(
        "y ~ s(x) + te(x, z)",
        data,
        priors={"sd[s(x)]": bg.Prior("Fixed", value=0.5), "sd[te(x,z), z]": bg.Prior("HalfNormal", sigma=2.0)},
    )
    found = {slot.label: str(slot.prior) for slot in model.priors}
    assert "0.5" in found["sd[s(x)]"]
    assert found["sd[te(x, z), z]"].startswith("HalfNormal")
    assert found["sd[te(x, z), x]"].startswith("Exponential")


def test_default_prior_of_a_smooth_is_the_spread_of_the_response(data):
    model = bg.Model("y ~ s(x)", data)
    (slot,) = (slot for slot in model.priors if slot.label == "sd[s(x)]")
    np.testing.assert_allclose(slot.prior.parameters["lam"], 1.0 / data["y"].std(ddof=1), rtol=0.01)


@pytest.mark.parametrize(
    ("right", "error", "said"),
    [
        ("s(few)", DataError, "4 distinct values, fewer than the k=10"),
        ("s(two)", DataError, "two values, through which any curve is a line"),
        ("s(two, bs='ps')", DataError, "two values, through which any curve is a line"),
        ("s(one, bs='cr')", DataError, "the same value in all rows: leave it out"),
        ("s(f)", DataError, "holds categories (a, b, c)"),
        ("s(x, bs='crr')", UnknownNameError, "Did you mean 'cr'?"),
        ("s(x, z, bs='cr')", FormulaError, "for 1 covariate, not 2"),
        ("s(x, kk=3)", FormulaError, "Did you mean 'k'?"),
        ("s(x, sp=3)", FormulaError, "hold the standard deviation"),
        ("s(x, k='a')", FormulaError, "takes numbers"),
        ("s(x, k=2.5)", FormulaError, "whole numbers"),
        ("s(x, k=2)", DataError, "k=2 is too small"),
        ("s(x, bs=cr)", FormulaError, "text in quotes"),
        ("s(x, fx=1)", FormulaError, "TRUE or FALSE"),
        ("s(x, x)", FormulaError, "there twice"),
        ("s()", FormulaError, "lacks its covariate"),
        ("s(x, bs=c('cr', 'ps'))", FormulaError, "one basis"),
        ("s(x) + s(x, bs='cr')", FormulaError, "two smooths called"),
        ("s(x, knots=c(0, 2))", FormulaError, "takes no knots"),
        ("te(x)", FormulaError, "several covariates"),
        ("te(x, z, k=c(3, 4, 5))", FormulaError, "3 values for 2 margins"),
        ("te(x, z, d=c(2, 1))", FormulaError, "adds up to 3"),
        ("s(x, bs='fs')", DataError, "a covariate and a factor"),
        ("s(x, f, bs='fs', by=z)", FormulaError, "does not go with"),
        ("s(x, f, bs='fs', knots=c(0, 99))", FormulaError, "takes no knots"),
        ("s(f, bs='re', k=3)", FormulaError, "`k=` does not go with bs='re': it has one coefficient for each level"),
        ("s(x, m=list(2, 2))", FormulaError, "an element for each margin of te()"),
        ("s(x, f, bs='fs', m=list(2, 2))", FormulaError, "an element for each margin of te()"),
        ("s(x, 5)", FormulaError, "The number of basis functions is k=5"),
        ("s(x, one)", DataError, "covariate 2 has the same value in all rows"),
        ("s(one, x, bs='gp')", DataError, "covariate 1 has the same value in all rows"),
        ("s(x, I(2 * x))", DataError, "one covariate follows from the others"),
        ("te(x, z, bs='re')", FormulaError, "bs='re' takes a factor and is no basis of a product"),
        ("te(x, z, bs='rr')", UnknownNameError, "cs, gp, os, ps, tl"),
        ("s(x, bs='rr')", UnknownNameError, "cs, fs, gp, os, ps, re, tl"),
        ("s(f, bs='re', m=2)", FormulaError, "`m=` does not go with"),
        ("s(f, bs='re', knots=c(0, 99))", FormulaError, "`knots=` does not go with"),
        ("x:s(x)", FormulaError, "cannot take part in an interaction"),
        ("s(q)", UnknownNameError, "no column 'q'"),
    ],
)
def test_mistakes_are_named_with_a_caret(right, error, said, data):
    with pytest.raises(error) as caught:
        bg.Model(f"y ~ {right}", data)
    assert said in str(caught.value)
    assert str(caught.value).splitlines()[-1].strip() == "^"


def test_missing_values_drop_their_rows(data):
    holes = data.assign(x=data["x"].where(data["x"] > 0.1))
    assert design("s(x)", holes).rows.missing["x"] == int((data["x"] <= 0.1).sum())


def test_unknown_levels_are_an_error(data):
    bound = design("s(f, bs='re')", data)
    with pytest.raises(BayesglmmError, match="'d', unknown to the model"):
        bound.rebind(data.assign(f="d"))


def test_extrapolation_is_said(data):
    fit = bg.Model("y ~ s(x) + s(x, z, k=12)", data).fit("laplace", objective="ml")
    inside = data.assign(middle=(data["x"] - 0.5).abs() + (data["z"] - 20.0).abs() / 20.0).nsmallest(1, "middle")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit.predict(inside)
    outside = pd.concat([inside.assign(x=5.0), inside])
    with pytest.warns(ModelWarning) as caught:
        found = fit.predict(outside)
    first, second = (str(warning.message) for warning in caught)
    assert first.startswith("1 row lies outside of the data of `s(x)`, x from 0")
    assert "`s(x, z)`" in second
    assert "extrapolated" in found.attrs["note"]
    # within both ranges, but not in the hull of the points
    corner = inside.assign(x=data["x"].min(), z=data["z"].min())
    with pytest.warns(ModelWarning, match=r"`s\(x, z\)`"):
        fit.predict(corner)


def test_every_column_of_a_smooth_carries_its_label(data):
    for block in predictor("s(x) + te(x, z) + s(z, by=f)", data).fixed:
        assert isinstance(block, FixedBlock)
        if block.label != "fixed":
            assert set(block.terms) == {block.label}


def test_extrapolation_is_judged_by_the_level_of_a_curve(data):
    """The first half of x is seen in level a only: there all other curves are extrapolated."""
    own = data[(data["f"] == "a") | (data["x"] > 0.5)]
    new = pd.DataFrame({"x": [0.2, 0.2, 0.8], "f": ["a", "b", "b"]})
    (said,) = design("s(x, by=f, k=5)", own).rebind(new).remarks
    assert said.startswith("1 row lies outside of the data of `s(x):f[b]`, x from 0.5")
    (said,) = design("s(x, f, bs='fs', k=5)", own).rebind(new).remarks
    assert said.startswith("1 row lies outside of the data of `s(x, f)` for their level of f (b)")
    (said,) = design("s(x, f, bs='fs', k=5)", own).rebind(new.assign(x=9.0)).remarks
    assert said.startswith("3 rows lie outside of the data of `s(x, f)`, x from 0")


def test_rows_that_a_curve_is_not_multiplied_into_are_no_data_of_it(data):
    own = data.assign(on=(data["x"] > 0.5).astype(float))
    new = pd.DataFrame({"x": [0.2, 0.2, 0.8], "on": [0.0, 1.0, 1.0]})
    (said,) = design("on + s(x, by=on, k=5)", own).rebind(new).remarks
    assert said.startswith("1 row lies outside of the data of `s(x):on`, x from 0.5")


def test_a_basis_is_evaluated_no_more_than_it_must_be(monkeypatch, data):
    """Once by the basis for its scale and once for the columns; not again to settle the model and to build it."""
    asked = []
    plain = FittedThinPlate.columns
    monkeypatch.setattr(FittedThinPlate, "columns", lambda own, x: (asked.append(len(x)), plain(own, x))[1])
    for right in ("s(x, z, k=12)", "f + s(x, by=f, k=5)", "s(x, f, bs='fs', k=5)"):
        asked.clear()
        design(right, data)
        assert asked.count(len(data)) == 2, right


def test_combinations_are_found_as_by_least_squares():
    """Column by column against numpy's least squares on the columns that stay."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(40, 9)) * 10.0 ** np.arange(-4, 5)
    X[:, 4] = X[:, 0] * 3.0 - X[:, 3]
    X[:, 5] = 0.0
    X[:, 8] = X[:, 7] + 1e6 * X[:, 1]
    gone = combinations(X, 2)
    assert list(gone) == [4, 5, 8]
    for j, weights in gone.items():
        stay = list(weights)
        assert stay == [i for i in range(j) if i not in gone]
        length = np.linalg.norm(X[:, stay], axis=0)
        own = np.linalg.norm(X[:, j]) or 1.0
        expected = np.linalg.lstsq(X[:, stay] / length, X[:, j] / own, rcond=None)[0]
        np.testing.assert_allclose(list(weights.values()), expected, atol=1e-9)
    assert list(combinations(rng.normal(size=(3, 5)), 2)) == [3, 4]  # more columns than rows


def test_functions_that_numbers_cannot_tell_from_zero_are_left_out_and_said(data):
    made = design("s(x, k=40, bs='gp', m=c(5, 10))", data)
    (said,) = (note for note in made.notes if "basis functions" in note)
    (block,) = made.predictors["mu"].random
    size = block.X.shape[1] + 2  # and the trend
    assert f"has {size} basis functions, not 40" in said
    assert size < 40

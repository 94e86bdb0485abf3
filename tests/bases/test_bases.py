"""Bases and their mixed-model form against mgcv's matrices, closed forms and their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from bayesglmm.bases import BASES, BasisOptions, mixed_form
from bayesglmm.bases.base import evaluate_monomials
from bayesglmm.bases.gaussian_process import correlation
from bayesglmm.bases.tensor import margin, separable_margin, separable_tensor, tensor
from bayesglmm.bases.thin_plate import radial_function
from bayesglmm.errors import DataError

MGCV = {
    "cr_x_k10": ("cr", ["x"], BasisOptions(10)),
    "tp_x_k10": ("tp", ["x"], BasisOptions(10)),
    "ps_x_k10": ("ps", ["x"], BasisOptions(10)),
    "cc_x_k10": ("cc", ["x"], BasisOptions(10, knots=(0.0, 1.0))),
    "tp_x1x2_k30": ("tp", ["x1", "x2"], BasisOptions(30)),
}
ONE_DIMENSION = ["cr", "cs", "tp", "ts", "ps", "os", "tl", "cc", "gp"]


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(3).gamma(2.0, 3.0, (150, 1))


@pytest.fixture
def points(expected):
    """The points of the reference matrices, one column per covariate."""
    found = expected("smooths_mgcv")["points"]
    return lambda columns: np.column_stack([found[name] for name in columns])


def fitted(name, x, **options):
    return BASES.get(name).fit(x, BasisOptions(**options))


@pytest.mark.parametrize("key", MGCV)
def test_function_space_and_penalty_are_those_of_mgcv(key, expected, points):
    name, columns, options = MGCV[key]
    reference, x = expected("smooth_basis_checks")[key], points(columns)
    form = mixed_form(BASES.get(name).fit(x, options), x, constrain=True)
    columns_here = np.hstack(form.columns(x))
    q = np.linalg.qr(np.column_stack([np.ones(len(x)), columns_here]))[0]
    leverage = np.square(q).sum(axis=1)[:20]
    np.testing.assert_allclose(leverage, reference["column_space_of_1_and_X_hat_diag_first20"], atol=1e-10)
    T = np.hstack([form.fixed, form.random])
    own = linalg.eigh(T.T @ form.basis.penalties[0] @ T, columns_here.T @ columns_here, eigvals_only=True)
    theirs = np.sort(np.ravel(reference["generalised_eigenvalues_S_XtX"]))
    seen = theirs > 1e-8 * theirs[-1]
    # theirs are of the penalty divided by S.scale: beyond that factor the penalties are the same
    np.testing.assert_allclose(own[seen], theirs[seen] * reference["S_scale"], rtol=1e-9)


@pytest.mark.parametrize("key", MGCV)
def test_new_data_give_the_functions_of_mgcv(key, expected, points):
    name, columns, options = MGCV[key]
    reference, x = expected("smooth_basis_checks")[key], points(columns)
    form = mixed_form(BASES.get(name).fit(x, options), x, constrain=True)
    theirs, new = np.array(reference["X"]), np.column_stack([reference["xs"][c] for c in columns])
    map_between = np.linalg.lstsq(np.hstack(form.columns(x)), theirs, rcond=None)[0]
    np.testing.assert_allclose(np.hstack(form.columns(new)) @ map_between, reference["X_predict"], atol=1e-8)


@pytest.mark.parametrize("key", ["te_x1x2_k5", "t2_x1x2_k5"])
def test_tensor_products_span_what_mgcv_s_span(key, expected, points):
    reference, x = expected("smooth_basis_checks")[key], points(["x1", "x2"])
    marginal = [fitted("cr", x[:, [j]], k=5) for j in range(2)]
    if key.startswith("te"):
        basis = tensor([margin(b, x[:, [j]], False, False) for j, b in enumerate(marginal)], constrained=False)
    else:
        basis, about = separable_tensor([separable_margin(b, x[:, [j]]) for j, b in enumerate(marginal)])
        assert sorted(about) == [(0,), (0, 1), (1,)]
    form = mixed_form(basis, x, constrain=True)
    own, theirs = np.hstack(form.columns(x)), np.array(reference["X"])
    # mgcv's t2 keeps the constraint to the unpenalised part, so the constant belongs to both sides
    own, theirs = (np.column_stack([np.ones(len(x)), each]) for each in (own, theirs))
    rest = theirs - own @ np.linalg.lstsq(own, theirs, rcond=None)[0]
    assert np.abs(rest).max() < 1e-9 * np.abs(theirs).max()
    assert own.shape == theirs.shape


@pytest.mark.parametrize("name", ONE_DIMENSION)
@pytest.mark.parametrize("constrain", [True, False])
def test_the_mixed_form_is_what_it_says(name, constrain, x):
    basis = fitted(name, x, k=9)
    form = mixed_form(basis, x, constrain)
    fixed, random = form.columns(x)
    B = basis.columns(x)
    # the prior: c' S c of a function is the sum of squares of its random coefficients, in units of sd
    u = np.random.default_rng(1).standard_normal(random.shape[1])
    c = form.random @ u
    np.testing.assert_allclose(c @ basis.penalties[0] @ c, u @ u / form.units[0] ** 2, rtol=1e-7)
    np.testing.assert_allclose(form.fixed.T @ basis.penalties[0] @ form.fixed, 0.0, atol=1e-7)
    # the size: a root mean square of one over the data
    np.testing.assert_allclose(np.mean(np.square(random).sum(axis=1)), 1.0, rtol=1e-10)
    # fixed columns are the polynomials that they are called
    means = x.mean(axis=0)
    polynomials = evaluate_monomials(x - means, form.monomials)
    np.testing.assert_allclose(fixed, polynomials - constrain * polynomials.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(fixed.T @ random, 0.0, atol=1e-7 * len(x))
    everything = np.column_stack([np.ones(len(x)), fixed, random]) if constrain else np.hstack([fixed, random])
    np.testing.assert_allclose(np.linalg.matrix_rank(everything), np.linalg.matrix_rank(B))
    if constrain:
        np.testing.assert_allclose(np.hstack([fixed, random]).sum(axis=0), 0.0, atol=1e-8)


@pytest.mark.parametrize("name", ["tp", "ts", "gp"])
def test_bases_of_two_covariates(name):
    x = np.random.default_rng(5).uniform(size=(80, 2)) * [1.0, 300.0]
    form = mixed_form(fitted(name, x, k=20), x, constrain=True)
    fixed, random = form.columns(x)
    assert fixed.shape[1] + random.shape[1] == 19
    np.testing.assert_allclose(np.hstack([fixed, random]).sum(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.mean(np.square(random).sum(axis=1)), 1.0)


@pytest.mark.parametrize("name", ONE_DIMENSION)
def test_rows_are_evaluated_one_by_one(name, x):
    """The same function whatever other rows are there: nothing is learned from new data."""
    form = mixed_form(fitted(name, x, k=9), x, constrain=True)
    together, alone = form.columns(x[:40]), form.columns(x[17:18])
    for whole, one in zip(together, alone, strict=True):
        np.testing.assert_allclose(whole[17:18], one, atol=1e-11)


@pytest.mark.parametrize("name", ["cr", "ps", "os"])
def test_splines_are_smooth_and_straight_beyond_the_ends(name, x):
    basis = fitted(name, x, k=9)
    high = x.max() + (0.1 * np.ptp(x) if name == "os" else 0.0)
    beyond = basis.columns(high + np.array([[1.0], [2.0], [3.0]]))
    np.testing.assert_allclose(beyond[2] - beyond[1], beyond[1] - beyond[0], atol=1e-9)
    step = 1e-6
    inside = basis.columns(np.array([[x.max() - step], [x.max()], [x.max() + step]]))
    np.testing.assert_allclose(inside[2] - inside[1], inside[1] - inside[0], atol=1e-9)


def test_cubic_regression_interpolates_and_has_the_exact_penalty(x):
    basis = fitted("cr", x, k=7)
    np.testing.assert_allclose(basis.columns(basis.knots[:, None]), np.eye(7), atol=1e-12)
    values = np.sin(basis.knots)
    fine = np.linspace(basis.knots[0], basis.knots[-1], 200_001)
    second = np.diff(basis.columns(fine[:, None]) @ values, 2) / np.diff(fine)[0] ** 2
    integral = np.sum(second**2) * np.diff(fine)[0]
    np.testing.assert_allclose(values @ basis.penalties[0] @ values, integral, rtol=1e-3)


def test_cyclic_splines_close(x):
    basis = fitted("cc", x, k=8, knots=(0.0, 60.0))
    ends = basis.columns(np.array([[0.0], [60.0], [1e-5], [60.0 - 1e-5], [61.0], [1.0]]))
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-12)
    np.testing.assert_allclose(ends[2] - ends[0], ends[1] - ends[3], atol=1e-9)
    np.testing.assert_allclose(ends[4], ends[5], atol=1e-9)


def test_osullivan_penalty_is_wand_and_ormerod_s(x):
    """Their closed form: Simpson's rule over the spans, with B-splines by the recursion of de Boor."""
    basis = fitted("os", x, k=9)
    knots = basis.knots
    distinct = np.unique(knots)
    middle = (distinct[:-1] + distinct[1:]) / 2.0
    points = np.concatenate([distinct[:-1], middle, distinct[1:]])
    spans = np.diff(distinct)
    weights = np.concatenate([spans / 6.0, 4.0 * spans / 6.0, spans / 6.0])
    inner = np.concatenate([distinct[:-1] + 1e-12, middle, distinct[1:] - 1e-12])
    second = _de_boor_second(knots, inner)
    np.testing.assert_allclose(basis.penalties[0], second.T @ (weights[:, None] * second), rtol=1e-6, atol=1e-8)
    assert len(points) == len(weights)
    quadratic = np.linalg.lstsq(basis.columns(x), x[:, 0] ** 2, rcond=None)[0]
    np.testing.assert_allclose(quadratic @ basis.penalties[0] @ quadratic, 4.0 * np.ptp(knots), rtol=1e-8)


def _de_boor_second(knots, x):
    """Second derivatives of cubic B-splines: differences of linear ones."""

    def ratio(a, b):
        return np.divide(a, b, out=np.zeros_like(a + b), where=(b + 0.0 * a) != 0)

    def splines(degree):
        B = ((knots[:-1] <= x[:, None]) & (x[:, None] < knots[1:])).astype(float)
        for d in range(1, degree + 1):
            low = ratio(x[:, None] - knots[: -d - 1], knots[d:-1] - knots[: -d - 1])
            high = ratio(knots[d + 1 :] - x[:, None], knots[d + 1 :] - knots[1:-d])
            B = low * B[:, :-1] + high * B[:, 1:]
        return B

    out = splines(1)
    for degree in (2, 3):
        gap = knots[degree:] - knots[:-degree]
        scaled = out * degree * np.divide(1.0, gap, out=np.zeros_like(gap), where=gap != 0)
        out = scaled[:, :-1] - scaled[:, 1:]
    return out


def test_truncated_lines_are_that(x):
    basis = fitted("tl", x, k=8)
    at = basis.centre + basis.scale * basis.knots
    new = np.linspace(x.min(), x.max(), 50)
    expected = np.column_stack(
        [np.ones(50), (new - basis.centre) / basis.scale, np.maximum(new[:, None] - at, 0.0) / basis.scale]
    )
    np.testing.assert_allclose(basis.columns(new[:, None]), expected, atol=1e-12)
    np.testing.assert_allclose(at, np.quantile(np.unique(x), np.arange(1, 7) / 7.0), rtol=1e-12)


def test_thin_plate_functions_have_the_known_constants():
    r = np.array([0.0, 0.5, 2.0])
    np.testing.assert_allclose(radial_function(r, 2, 1), r**3 / 12.0)
    np.testing.assert_allclose(radial_function(r, 2, 2)[1:], r[1:] ** 2 * np.log(r[1:]) / (8.0 * np.pi))
    assert radial_function(r, 2, 2)[0] == 0.0


def test_a_full_thin_plate_spline_has_the_integrated_squared_second_derivative():
    x = np.linspace(0.0, 1.0, 15)[:, None] ** 1.3
    basis = fitted("tp", x, k=15)
    c = np.linalg.solve(basis.columns(x), np.cos(5.0 * x[:, 0]))
    cubic = fitted("cr", x, k=15)
    values = np.cos(5.0 * cubic.knots)
    np.testing.assert_allclose(c @ basis.penalties[0] @ c, values @ cubic.penalties[0] @ values, rtol=1e-6)


def test_correlations_at_known_distances():
    r = np.array([0.0, 1.0])
    for kernel, at_one in ((1, 0.0), (2, np.exp(-1)), (3, 2 * np.exp(-1)), (4, 7 / 3 * np.exp(-1))):
        np.testing.assert_allclose(correlation(r, kernel), [1.0, at_one], atol=1e-15)
    np.testing.assert_allclose(correlation(r, 5)[1], (1 + 1 + 0.4 + 1 / 15) * np.exp(-1))


def test_many_points_use_a_fixed_choice_of_them():
    x = np.random.default_rng(8).uniform(size=(2500, 2))
    first, second = (fitted("tp", x, k=12) for _ in range(2))
    assert first.points.shape == (2000, 2)
    np.testing.assert_array_equal(first.columns(x[:5]), second.columns(x[:5]))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cr", {"k": 2}, "k=2 is too small"),
        ("tp", {"k": 200}, "150 distinct values, fewer than the k=200"),
        ("tp", {"m": (0.5,)}, "whole numbers"),
        ("cr", {"m": (3,)}, "fixed at 2"),
        ("cc", {"k": 3}, "needs k >= 4"),
        ("cc", {"knots": (1.0, 2.0)}, "two ends between which all values lie"),
        ("ps", {"k": 2}, "too small"),
        ("ps", {"m": (1, 2, 3)}, "takes 2 whole numbers"),
        ("gp", {"m": (9,)}, "kernel 1"),
        ("os", {"k": 3}, "needs k >= 4"),
        ("tl", {"k": 2}, "needs k >= 3"),
    ],
)
def test_options_that_cannot_be(name, options, said, x):
    with pytest.raises(DataError, match=said.replace("(", r"\(")):
        fitted(name, x, **options)


def test_few_distinct_values_are_the_reason_where_no_k_was_given():
    with pytest.raises(DataError, match="the covariate has two values"):
        fitted("tl", np.repeat([0.0, 1.0], 20)[:, None])
    assert fitted("tl", np.repeat([0.0, 1.0, 2.0], 20)[:, None]).columns(np.zeros((1, 1))).shape == (1, 3)

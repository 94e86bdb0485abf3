"""Row-wise log-likelihoods: derivatives against finite differences, also under censoring and truncation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bayesglmm.families import FAMILIES
from bayesglmm.graph.elementwise import Elementwise
from bayesglmm.graph.observation import response_extras

STEP = 1e-5


def natural(problem: Any) -> dict[str, Any]:
    """Return values of every dispersion."""
    values = {"sigma": 1.3, "nu": 5.0, "shape": 1.7, "phi": 3.0, "zi": 0.3, "hu": 0.3}
    cuts = np.array([-1.0, 0.5])
    return {name: cuts if name == "cutpoints" else values[name] for name in problem.dispersions}


def shifted(phi: dict[str, Any], which: int, step: float) -> dict[str, Any]:
    """Return phi with the flat component `which` moved."""
    sizes = {name: np.size(value) for name, value in phi.items()}
    flat = np.concatenate([np.ravel(value) for value in phi.values()])
    flat[which] += step
    pieces = dict(zip(sizes, np.split(flat, np.cumsum(list(sizes.values()))[:-1]), strict=True))
    return {name: piece if np.ndim(phi[name]) else float(piece[0]) for name, piece in pieces.items()}


def check_derivatives(rows: Elementwise, etas: list[Any], phi: dict[str, Any]) -> None:
    """Central differences of order k - 1 must be the derivatives of order k."""
    exact = rows(etas, phi, 2)
    for p in range(len(etas)):
        up, down = (rows([eta + sign * STEP * (q == p) for q, eta in enumerate(etas)], phi, 2) for sign in (1, -1))
        for order, (numerator, derivative) in enumerate(
            [((up.value, down.value), exact.d1[p]), ((up.d1, down.d1), exact.d2[p]), ((up.d2, down.d2), exact.d3[p])]
        ):
            slope = (numerator[0] - numerator[1]) / (2 * STEP)
            np.testing.assert_allclose(derivative, slope, rtol=1e-5, atol=1e-6, err_msg=f"order {order + 1}")
    for j in range(len(exact.dphi)):
        up, down = (rows(etas, shifted(phi, j, sign * STEP), 2) for sign in (1, -1))
        for name, derivative in (("value", exact.dphi[j]), ("d1", exact.d1phi[j]), ("d2", exact.d2phi[j])):
            slope = (getattr(up, name) - getattr(down, name)) / (2 * STEP)
            np.testing.assert_allclose(derivative, slope, rtol=1e-5, atol=1e-6, err_msg=f"{name} by phi {j}")


def slow(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("right", "family", "arguments"),
    [
        ("x", "cumulative", {}),
        slow("x", "cumulative", {"link": "cloglog"}),
        ("x", "categorical", {}),
        (["x", "sigma ~ z"], "gaussian", {}),
        (["x", "zi ~ z"], "zero_inflated_poisson", {}),
        slow(["x", "hu ~ z"], "hurdle_gamma", {}),
        ("x", "negative_binomial", {"likelihood_weights": "w"}),
        ("x", "gaussian", {"weights": "w"}),
        slow("y | cens(c, y + 1) ~ x", "gaussian", {}),
        ("y | cens(c, y + 1) ~ x", "poisson", {}),
        slow("y | cens(c, y + 1) ~ x", "weibull", {}),
        slow("y | cens(c) ~ x", "negative_binomial", {}),
        ("y | cens(c) ~ x", "exponential", {}),
        slow(["y | cens(c) ~ x", "sigma ~ z"], "lognormal", {}),
        ("y | trunc(lb = lb) ~ x", "gaussian", {}),
        slow("y | trunc(ub = ub) ~ x", "student_t", {}),
        slow("y | trunc(lb = lb, ub = ub) ~ x", "gaussian", {}),
        ("y | trunc(lb = lb, ub = ub) ~ x", "poisson", {}),
        slow("y | trunc(lb = lb, ub = ub) ~ x", "lognormal", {"likelihood_weights": "w"}),
        slow("y | trunc(lb = 0, ub = 20) ~ x", "weibull", {}),
        ("y | trunc(lb = 0, ub = 20) ~ x", "gamma", {}),
        slow("y | trials(n) + trunc(lb = 0, ub = 11) ~ x", "binomial", {}),
    ],
)
def test_derivatives_are_those_of_the_value(
    right: Any, family: str, arguments: Any, make: Any, frame: Any, bounded: Any
) -> None:
    data = bounded(family, "y2" if "y + 1" in right else "") if "|" in str(right) else frame(family)
    model = make(right, family, data, **arguments)
    rng = np.random.default_rng(1)
    etas = [rng.normal(0.2, 0.6, model.design.n) for _ in model.problem.predictors]
    check_derivatives(Elementwise(model.problem, handwritten=False), etas, natural(model.problem))


@pytest.mark.parametrize(
    ("right", "family", "arguments"),
    [
        ("x", "cumulative", {}),
        ("x", "poisson", {}),
        (["x", "zi ~ z"], "zero_inflated_poisson", {}),
        ("y | trials(n) ~ x", "binomial", {}),
        (["x", "sigma ~ z"], "gaussian", {"weights": "w"}),
        ("x", "negative_binomial", {"likelihood_weights": "w"}),
        ("y | trunc(lb = lb, ub = ub) ~ x", "poisson", {}),
    ],
)
def test_several_predictors_at_once_are_one_after_the_other(
    right: Any, family: str, arguments: Any, make: Any, frame: Any, bounded: Any
) -> None:
    """Fewer than before, more than before and as many: what is kept of the rows must fit each time."""
    model = make(right, family, bounded(family) if "|" in str(right) else frame(family), **arguments)
    rows, phi, rng = Elementwise(model.problem), natural(model.problem), np.random.default_rng(1)
    for order, m in ((0, 3), (1, 1), (0, 2), (2, 5), (1, 5), (0, 4)):
        etas = rng.normal(0.2, 0.6, (len(model.problem.predictors), m, model.design.n))
        found = rows.many(etas, phi, order)
        for j in range(m):
            one = rows(list(etas[:, j]), phi, order)
            for name, own in vars(one).items():
                if own is not None:
                    np.testing.assert_allclose(getattr(found, name)[..., j, :], own, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y | trunc(lb = 0, ub = 1) ~ x", "beta"),
        ("y | trunc(lb = 0) ~ x", "gamma"),
        ("y | trunc(lb = -1) ~ x", "poisson"),
        ("y | trials(n) + trunc(lb = 0, ub = 12) ~ x", "binomial"),
    ],
)
def test_bounds_beyond_the_support_are_none(formula: str, family: str, make: Any, frame: Any) -> None:
    assert not response_extras(make(formula, family).design.response, FAMILIES.get(family))


@pytest.mark.parametrize(
    ("left", "family"),
    [
        ("cens(c) + trunc(lb = lb)", "gaussian"),
        ("trunc(lb = lb, ub = ub)", "poisson"),
        slow("cens(c, y + 1)", "poisson"),
        slow("cens(c, y + 1)", "gaussian"),
        slow("trunc(lb = lb, ub = ub)", "gaussian"),
        slow("cens(c, y + 1)", "exponential"),
        slow("trunc(lb = lb, ub = ub)", "exponential"),
    ],
)
def test_branches_that_do_not_apply_spoil_nothing(left: str, family: str, make: Any, bounded: Any) -> None:
    """Far out, where the branch of another row would have an infinite derivative."""
    data = bounded(family, "y2" if "y + 1" in left else "")
    free = (data["c"] == "none") & np.isinf(data["lb"]) & np.isinf(data["ub"])
    problem = make(f"y | {left} ~ x", family, data).problem
    rows = Elementwise(problem, handwritten=False)
    for eta in (-20.0, -4.0, 4.0, 20.0):
        with np.errstate(all="ignore"):
            found = rows([np.full(len(data), eta)], natural(problem), 2)
        for name in ("value", "d1", "d2", "d3", "dphi", "d1phi", "d2phi"):
            assert np.isfinite(getattr(found, name)[..., free]).all(), (name, eta)


def test_values_of_censored_and_truncated_rows(make: Any, bounded: Any) -> None:
    data = bounded("gaussian", "y2")
    problem = make("y | cens(c, y + 1) + trunc(lb = lb) ~ x", "gaussian", data).problem
    eta, sd = np.linspace(-1, 1, len(data)), 1.3
    found = Elementwise(problem)([eta], {"sigma": sd}).value
    y, law = data["y"].to_numpy(), stats.norm(eta, sd)
    kinds = {
        "none": law.logpdf(y),
        "left": law.logcdf(y),
        "right": law.logsf(y),
        "interval": np.log(law.cdf(y + 1) - law.cdf(y)),
    }
    expected = np.choose([list(kinds).index(c) for c in data["c"]], list(kinds.values()))
    np.testing.assert_allclose(found, expected - law.logsf(data["lb"]), rtol=1e-9)


def test_values_of_truncated_counts(make: Any, bounded: Any) -> None:
    """Both bounds are inside, as in brms."""
    data = bounded("poisson")
    problem = make("y | trunc(lb = lb, ub = ub) ~ x", "poisson", data).problem
    eta = np.linspace(-1, 2, len(data))
    law, y = stats.poisson(np.exp(eta)), data["y"].to_numpy()
    mass = law.cdf(data["ub"]) - law.cdf(np.nan_to_num(data["lb"], neginf=-9) - 1)
    np.testing.assert_allclose(Elementwise(problem)([eta], {}).value, law.logpmf(y) - np.log(mass), rtol=1e-9)


def test_intervals_far_out_in_the_right_tail(make: Any, bounded: Any) -> None:
    data = bounded("gaussian", "y2")
    problem = make("y | cens(c, y + 1) ~ x", "gaussian", data).problem
    found = Elementwise(problem)([data["y"].to_numpy() - 12.0], {"sigma": 1.0})
    expected = stats.norm.logsf(12.0) + np.log1p(-np.exp(stats.norm.logsf(13.0) - stats.norm.logsf(12.0)))
    np.testing.assert_allclose(found.value[data["c"] == "interval"], expected, rtol=1e-9)

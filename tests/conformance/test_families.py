"""Every registered family against its contract: completeness, derivatives, values, draws, means, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.integrate import quad

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.families import FAMILIES, Family
from bayesglmm.families.base import ResponseData
from bayesglmm.links import LINKS, Linked

IDENTITY = LINKS.get("identity")
# Where the inverse of the link is positive, and away from poles.
RANGES = {"inverse": (0.05, 30.0), "identity": (0.05, 30.0)}
LOG_MEANS = np.array([-30.0, np.log(1e6), 30.0])


def eta_grid(family: Family, link: str) -> Any:
    low, high = RANGES.get(link, (-30.0, 30.0)) if family.main.domain != "real" else (-30.0, 30.0)
    # Off the responses of the cases: unless it is rewritten, PyMC's (y - mu)**2 has nan as third derivative at 0.
    grid = np.concatenate([np.linspace(low, high, 25), [low + 1e-3, 0.011 + max(low, 0.0)]])
    if family.main.domain == "real":
        grid = grid + 0.003
    if link == "sqrt":
        return grid + 0.007  # at 0 the mean is 0
    return np.concatenate([grid, LOG_MEANS]) if link == "log" else grid


def linked(family: Family, eta: Any, link: str, phi: Any, xp: ArrayMath) -> dict[str, Linked]:
    """Return every parameter of the family; categorical gets the predictors eta and -eta / 2."""
    if family.response == "nominal":
        return {"mu_b": Linked(eta, IDENTITY, xp), "mu_c": Linked(-eta / 2, IDENTITY, xp)}
    main = {family.main.name: Linked(eta, LINKS.get(link), xp)}
    return main | {name: Linked(value, IDENTITY, xp) for name, value in phi.items()}


def data_of(case: Any, shape: Any) -> ResponseData:
    return ResponseData(trials=None if case.trials is None else np.full(shape, case.trials))


def log_density(family: Family, case: Any, link: str, n: int) -> tuple[Any, Any, dict[str, Any], Any]:
    """Return symbols y, eta, phi (one value per row, so that gradients come by row) and the log density."""
    y, eta = pt.lvector("y") if family.discrete else pt.dvector("y"), pt.dvector("eta")
    phi = {name: pt.dvector(name) for name in case.phi}
    rv = family.dist(linked(family, eta, link, phi, pytensor_math()), data_of(case, n))
    return y, eta, phi, pm.logp(rv, y)


def rows_of(family: Family, case: Any, link: str) -> tuple[Any, Any, dict[str, Any]]:
    y, eta = (a.ravel() for a in np.meshgrid(np.asarray(case.extremes, float), eta_grid(family, link)))
    phi = {name: v if np.ndim(v) else np.full(y.shape, v) for name, v in case.phi.items()}
    return y, eta, phi


def test_every_family_is_tested(cases: Any) -> None:
    assert set(cases) == set(FAMILIES.names())


def test_every_dispersion_has_a_default_prior(family_name: str, cases: Any) -> None:
    family = FAMILIES.get(family_name)
    assert {p.name for p in family.parameters[1:]} == set(cases[family_name].phi)
    for parameter in family.parameters:
        link = LINKS.get(parameter.link)
        assert link.domain == parameter.domain
        is_main = parameter is family.main
        assert is_main == (parameter.prior is None and not parameter.scaled)


def test_derivatives_are_finite_and_equal_the_hand_written(family_link: Any, cases: Any, py_mode: Any) -> None:
    name, link = family_link
    family, case = FAMILIES.get(name), cases[name]
    y, eta, phi = rows_of(family, case, link)
    symbol_y, symbol_eta, symbol_phi, value = log_density(family, case, link, y.size)
    d1 = pt.grad(value.sum(), symbol_eta)
    d2 = pt.grad(d1.sum(), symbol_eta)
    d3 = pt.grad(d2.sum(), symbol_eta, disconnected_inputs="ignore")  # a gaussian has none
    elementwise = [name for name, v in case.phi.items() if not np.ndim(v)]
    mixed = [
        pt.grad(d.sum(), symbol_phi[name], disconnected_inputs="ignore")
        for name in elementwise
        for d in (value, d1, d2)
    ]
    inputs = [symbol_y, symbol_eta, *symbol_phi.values()]
    function = pytensor.function(inputs, [value, d1, d2, d3, *mixed], mode=py_mode, on_unused_input="ignore")
    with np.errstate(all="ignore"):  # branches not taken may overflow
        results = function(y.astype(symbol_y.dtype), eta, *phi.values())
    for order, result in enumerate(results[:4]):
        assert np.all(np.isfinite(result)), f"order {order} at {_where(~np.isfinite(result), y, eta)}"
    ours = family.derivatives(y, eta, phi, data_of(case, y.shape), LINKS.get(link), 2)
    assert (ours is not None) == case.hand_written
    if ours is None:
        return
    by_phi = [part[name] for name in elementwise for part in (ours.dphi, ours.d1phi, ours.d2phi)]
    # A derivative may cancel to nothing beside the terms that it is made of: judge it on the scale of its row.
    size = 1e-2 + sum(np.abs(r) for r in results[:4])
    for order, (ours_here, theirs) in enumerate(zip([*ours[:4], *by_phi], results, strict=True)):
        wrong = np.abs(ours_here - theirs) > 1e-7 * np.abs(theirs) + 1e-8 * size
        assert not np.any(wrong), f"output {order} at {_where(wrong, y, eta)}"


def _where(bad: Any, y: Any, eta: Any) -> str:
    return ", ".join(f"y={a:g} eta={b:g}" for a, b in list(zip(y[bad], eta[bad], strict=True))[:5])


def test_orders_of_derivatives_agree(family_name: str, cases: Any) -> None:
    family, case = FAMILIES.get(family_name), cases[family_name]
    if not case.hand_written:
        return
    link = family.main.link
    y, eta, phi = rows_of(family, case, link)
    by_order = [family.derivatives(y, eta, phi, data_of(case, y.shape), LINKS.get(link), k) for k in range(3)]
    zeroth, first, second = by_order
    assert zeroth is not None
    assert first is not None
    assert second is not None
    assert zeroth.d1 is None
    assert first.d3 is None
    for other in (first, second):
        np.testing.assert_array_equal(zeroth.value, other.value)
    np.testing.assert_array_equal(first.d1, second.d1)
    np.testing.assert_array_equal(first.d2, second.d2)
    assert set(second.dphi) == set(second.d1phi) == set(second.d2phi) == set(case.phi)


def test_values_equal_an_independent_reference(family_name: str, cases: Any, py_mode: Any) -> None:
    family, case = FAMILIES.get(family_name), cases[family_name]
    y, m = (a.ravel() for a in np.meshgrid(np.asarray(case.typical, float), case.means))
    link = family.main.link
    eta = LINKS.get(link).link(m, NUMPY)
    symbol_y, symbol_eta, symbol_phi, value = log_density(family, case, link, y.size)
    function = pytensor.function([symbol_y, symbol_eta, *symbol_phi.values()], value, mode=py_mode)
    phi = [v if np.ndim(v) else np.full(y.shape, v) for v in case.phi.values()]
    with np.errstate(all="ignore"):
        result = function(y.astype(symbol_y.dtype), eta, *phi)
    np.testing.assert_allclose(result, case.reference(m).logpdf(y), rtol=1e-10, atol=1e-12)


def test_draws_have_the_right_moments(family_name: str, cases: Any, py_mode: Any) -> None:
    family, case = FAMILIES.get(family_name), cases[family_name]
    means, count = np.asarray(case.means), 4000
    eta = np.broadcast_to(LINKS.get(family.main.link).link(means, NUMPY), (count, means.size))
    phi = {name: np.asarray(value) for name, value in case.phi.items()}
    rv = family.dist(
        linked(family, pt.as_tensor_variable(eta), family.main.link, phi, pytensor_math()), data_of(case, means.shape)
    )
    assert rv.name is None
    draws = pm.draw(rv, random_seed=20, mode=py_mode)
    assert draws.shape == (count, means.size)
    assert np.issubdtype(draws.dtype, np.integer) == family.discrete
    truth = case.reference(means)
    error = np.sqrt(truth.var / count)
    assert np.all(np.abs(draws.mean(axis=0) - truth.mean) < 5 * error)
    squares = (draws - truth.mean) ** 2
    assert np.all(np.abs(squares.mean(axis=0) - truth.var) <= 5 * squares.std(axis=0) / np.sqrt(count) + 1e-12)
    again = pm.draw(rv, random_seed=20, mode=py_mode)
    np.testing.assert_array_equal(draws, again)


def test_draws_are_independent_and_broadcast(family_name: str, cases: Any, py_mode: Any) -> None:
    family, case = FAMILIES.get(family_name), cases[family_name]
    eta = np.linspace(-0.5, 0.5, 150).reshape(3, 50) + (1.0 if family.main.domain == "positive" else 0.0)
    # dispersions as a prediction passes them: one value per draw, ahead of the rows
    phi = {
        name: np.broadcast_to(value, (3, 1, *np.shape(value))) if np.ndim(value) else np.full((3, 1), value)
        for name, value in case.phi.items()
    }
    rv = family.dist(
        linked(family, pt.as_tensor_variable(eta), family.main.link, phi, pytensor_math()), data_of(case, 50)
    )
    first, second = pm.draw(rv, draws=2, random_seed=3, mode=py_mode)
    assert first.shape == (3, 50)
    assert np.any(first != second)
    assert np.any(first[0] != first[1])
    assert np.unique(first).size > 1


def test_mean_is_that_of_the_reference_in_both_vocabularies(family_name: str, cases: Any, py_mode: Any) -> None:
    family, case = FAMILIES.get(family_name), cases[family_name]
    means, link = np.asarray(case.means), family.main.link
    eta = LINKS.get(link).link(means, NUMPY)
    data = data_of(case, means.shape)
    ours = family.mean(linked(family, eta, link, case.phi, NUMPY), data, NUMPY)
    truth = case.reference(means)
    if family.response in ("ordinal", "nominal"):
        expected = np.exp(np.stack([truth.logpdf(np.full(means.shape, k)) for k in range(ours.shape[-1])], axis=-1))
    else:
        expected = truth.mean / (1.0 if case.trials is None else case.trials)
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    symbols = family.mean(
        linked(family, pt.as_tensor_variable(eta), link, case.phi, pytensor_math()), data, pytensor_math()
    )
    np.testing.assert_allclose(symbols.eval(mode=py_mode), ours, rtol=1e-9)
    by_draw = family.mean(linked(family, np.stack([eta, eta]), link, case.phi, NUMPY), data, NUMPY)
    np.testing.assert_allclose(by_draw, np.stack([ours, ours]), rtol=1e-12)


def test_mean_is_finite_over_the_range(family_link: Any, cases: Any) -> None:
    name, link = family_link
    family, case = FAMILIES.get(name), cases[name]
    eta = eta_grid(family, link)
    values = family.mean(linked(family, eta, link, case.phi, NUMPY), data_of(case, eta.shape), NUMPY)
    assert np.all(np.isfinite(values))
    if family.response in ("ordinal", "nominal"):
        np.testing.assert_allclose(values.sum(axis=-1), 1.0, rtol=1e-12)


def test_censorable_families_have_distribution_functions(family_name: str, cases: Any, py_mode: Any) -> None:
    family, case = FAMILIES.get(family_name), cases[family_name]
    if not family.censorable:
        return
    y, m, eta = _censored_at(family), np.asarray(case.means), pt.dvector("eta")
    rv = family.dist(linked(family, eta, family.main.link, case.phi, pytensor_math()), data_of(case, m.shape))
    below, above = (f(rv, pt.as_tensor_variable(y)) for f in (pm.logcdf, pm.logccdf))
    slopes = [pt.grad(each.sum(), eta) for each in (below, above)]
    function = pytensor.function([eta], [below, above, *slopes], mode=py_mode)
    with np.errstate(all="ignore"):
        results = function(LINKS.get(family.main.link).link(m, NUMPY))
    assert np.all(np.isfinite(results))
    truth = np.asarray([_probability_below(case.reference(m[i]), y[i], family) for i in range(m.size)])
    np.testing.assert_allclose(np.exp(results[0]), truth, rtol=1e-6)
    np.testing.assert_allclose(np.exp(results[1]), 1.0 - truth, rtol=1e-6, atol=1e-9)


def _censored_at(family: Family) -> Any:
    if family.discrete:
        return np.array([0.0, 1.0, 3.0])
    return np.array([0.4, 0.3, 0.2]) if family.main.domain == "unit" else np.array([1.0, 2.0, 4.0])


def _probability_below(moments: Any, upper: float, family: Family) -> float:
    if family.discrete:
        return float(sum(np.exp(moments.logpdf(k)) for k in range(int(upper) + 1)))
    lowest = -np.inf if family.name in ("gaussian", "student_t") else 0.0
    return float(quad(lambda x: float(np.exp(moments.logpdf(x))), lowest, upper, epsabs=1e-12)[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Numba will use object mode:UserWarning")  # trigamma, which numba lacks
def test_derivatives_are_finite_as_pymc_compiles_them(family_name: str, cases: Any) -> None:
    """The rewrites of the default mode must not spoil what is stable as written."""
    family, case = FAMILIES.get(family_name), cases[family_name]
    link = family.main.link
    y, eta, phi = rows_of(family, case, link)
    symbol_y, symbol_eta, symbol_phi, value = log_density(family, case, link, y.size)
    outputs = [value]
    for _ in range(3):
        outputs.append(pt.grad(outputs[-1].sum(), symbol_eta, disconnected_inputs="ignore"))
    for result in pm.compile([symbol_y, symbol_eta, *symbol_phi.values()], outputs)(
        y.astype(symbol_y.dtype), eta, *phi.values()
    ):
        assert np.all(np.isfinite(result)), _where(~np.isfinite(result), y, eta)


@pytest.mark.slow
def test_draws_compile_without_callbacks(family_name: str, cases: Any) -> None:
    """In PyTensor's default mode, where a Python callback would warn."""
    family, case = FAMILIES.get(family_name), cases[family_name]
    eta = pt.as_tensor_variable(np.linspace(0.2, 0.8, 4))
    rv = family.dist(linked(family, eta, family.main.link, case.phi, pytensor_math()), data_of(case, 4))
    assert pm.draw(rv, draws=5, random_seed=1).shape == (5, 4)

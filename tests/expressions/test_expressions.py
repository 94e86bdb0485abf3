"""Expressions: numpy and PyTensor agree, and derivatives equal those of PyTensor and of finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from bayesglmm.arraymath import NUMPY, pytensor_math
from bayesglmm.expressions import SMOOTH, Apply, Column, Constant, Expression, Node, Parameter
from bayesglmm.graph.compiler import UNREWRITTEN

A, B, X = Parameter(0), Parameter(1), Column(0)
UNIT, POSITIVE = {"logit", "qlogis"}, {"log", "ln", "log2", "log10", "log1p", "sqrt"}


def call(function: str, *operands: Node) -> Apply:
    return Apply(function, operands)


@pytest.mark.parametrize("name", SMOOTH)
def test_functions_and_their_jets(name: str) -> None:
    """Values by numpy and PyTensor, each derivative against central differences of the one before."""
    function = SMOOTH[name]
    low, high = (0.1, 0.9) if name in UNIT else (0.1, 3.0) if name in POSITIVE else (-3.0, 3.0)
    x = np.linspace(low, high, 9)
    symbol = pt.dvector()
    compiled = pytensor.function([symbol], function.value(pytensor_math(), symbol), mode=UNREWRITTEN)
    jet = function.jet(x)
    np.testing.assert_allclose(function.value(NUMPY, x), jet.value, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(compiled(x), jet.value, rtol=1e-12, atol=1e-15)
    step = 1e-5
    above, below = function.jet(x + step), function.jet(x - step)
    for order in range(3):
        slope = (above[order] - below[order]) / (2 * step)
        np.testing.assert_allclose(jet[order + 1], slope, rtol=2e-6, atol=2e-7, err_msg=f"derivative {order + 1}")


TREES: dict[str, Node] = {
    "ideal point": call("-", call("*", A, call("^", call("-", B, X), Constant(2.0)))),
    "growth": call("/", A, call("+", Constant(1.0), call("exp", call("/", call("-", X, B), A)))),
    "Hill": call("/", call("*", A, call("^", X, B)), call("+", call("^", A, B), call("^", X, B))),
    "powers of data and of parameters": call("+", call("^", A, X), call("^", A, Constant(-1.5))),
    "a cube": call("-", call("^", call("*", A, B), Constant(3.0)), call("/", Constant(2.0), B)),
    "functions": call("*", call("tanh", call("sin", A)), call("pnorm", call("log1p", call("*", B, X)))),
    "one parameter is not used": call("inv_logit", call("+", B, X)),
}


@pytest.mark.parametrize("kind", TREES)
def test_derivatives_up_to_the_third_order(kind: str) -> None:
    """Against PyTensor's, which differentiates the same expression by other rules."""
    rng = np.random.default_rng(3)
    theta, x = rng.uniform(0.5, 2.0, (2, 7)), rng.uniform(0.2, 2.0, 7)
    expression = Expression(kind, ("a", "b"), ("x",), TREES[kind])
    found = expression.derivatives(theta, [x])
    a, b, column = pt.dvectors("a", "b", "x")
    value = expression([a, b], [column], pytensor_math())

    def gradient(rows: Any) -> list[Any]:
        return list(pt.grad(rows.sum(), [a, b], disconnected_inputs="ignore", return_disconnected="zero"))

    first = gradient(value)
    second = [h for g in first for h in gradient(g)]
    third = [t for h in second for t in gradient(h)]
    out = pytensor.function(
        [a, b, column], [value, *first, *second, *third], mode=UNREWRITTEN, on_unused_input="ignore"
    )
    results = [np.broadcast_to(part, (7,)) for part in out(*theta, x)]
    np.testing.assert_allclose(expression(list(theta), [x], NUMPY), results[0], rtol=1e-12)
    np.testing.assert_allclose(found.value, results[0], rtol=1e-12)
    np.testing.assert_allclose(found.d1, np.reshape(results[1:3], (2, 7)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.d2, np.reshape(results[3:7], (2, 2, 7)), rtol=1e-9, atol=1e-11)
    assert found.d3 is not None
    np.testing.assert_allclose(found.d3, np.reshape(results[7:], (2, 2, 2, 7)), rtol=1e-8, atol=1e-10)
    assert expression.derivatives(theta, [x], third=False).d3 is None


def test_zero_to_an_unknown_power_is_zero_and_flat() -> None:
    """A dose of zero in the Hill curve: 0^b = 0 for every b > 0, so its derivatives vanish."""
    expression = Expression("Hill", ("a", "b"), ("x",), TREES["Hill"])
    theta, dose = np.array([[2.0, 2.0], [1.5, 1.5]]), np.array([0.0, 1.0])
    found = expression.derivatives(theta, [dose])
    assert found.value[0] == 0.0
    assert found.d3 is not None
    for part in (found.d1, found.d2, found.d3):
        assert np.all(part[..., 0] == 0.0)
        assert np.all(np.isfinite(part))
    a, b, x = pt.dvectors("a", "b", "x")
    value = expression([a, b], [x], pytensor_math())
    slopes = pytensor.function([a, b, x], [value, *pt.grad(value.sum(), [a, b])], mode=UNREWRITTEN)(*theta, dose)
    np.testing.assert_allclose(slopes, [found.value, *found.d1], rtol=1e-12)


def test_a_power_that_does_not_exist_is_not_made_up() -> None:
    expression = Expression("x^b", ("b",), ("x",), call("^", X, A))
    with np.errstate(all="ignore"):
        value = expression([np.array([0.5, -1.0])], [np.array([-2.0, 0.0])], NUMPY)
    assert np.isnan(value[0])
    assert value[1] == np.inf

"""Functions of each value by itself: ``log``, ``exp``, ``sqrt``, ``I``, ``round``, ``pmin``, ..."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.formula.syntax import Call
from bayesglmm.terms.columns import Factor, Numeric, Value
from bayesglmm.terms.functions.base import FUNCTIONS, Function

if TYPE_CHECKING:
    from bayesglmm.terms.evaluate import Evaluator

_PLAIN: dict[str, Callable[[Any], Any]] = {
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "exp": np.exp,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "floor": np.floor,
    "ceiling": np.ceil,
}


def _elementwise(function: Callable[[Any], Any]) -> Callable[[Evaluator, Call], Value]:
    def run(evaluator: Evaluator, call: Call) -> Value:
        return Numeric(function(evaluator.floats(evaluator.match(call, ("x",))["x"])))

    return run


def _identity(evaluator: Evaluator, call: Call) -> Value:
    return evaluator.value(evaluator.match(call, ("x",))["x"])


def _log(evaluator: Evaluator, call: Call) -> Value:
    given = evaluator.match(call, ("x", "base"))
    values = np.log(evaluator.floats(given["x"]))
    return Numeric(values / np.log(evaluator.floats(given["base"])) if "base" in given else values)


def _round(evaluator: Evaluator, call: Call) -> Value:
    given = evaluator.match(call, ("x", "digits"))
    digits = evaluator.whole(given["digits"]) if "digits" in given else 0
    return Numeric(np.round(evaluator.floats(given["x"]), digits))


def _rowwise(function: Callable[[Any, Any], Any]) -> Callable[[Evaluator, Call], Value]:
    def run(evaluator: Evaluator, call: Call) -> Value:
        if call.kwargs or len(call.args) < 2:
            evaluator.fail(f"`{call.function}` takes two or more expressions.", call)
        return Numeric(reduce(function, [evaluator.floats(arg) for arg in call.args]))

    return run


def _as_numeric(evaluator: Evaluator, call: Call) -> Value:
    """Truth values become 0 and 1, level names that are numbers these numbers; R's codes would surprise."""
    argument = evaluator.match(call, ("x",))["x"]
    match evaluator.value(argument):
        case Factor(codes, levels, boolean=False):
            try:
                numbers = np.array([float(level) for level in levels])
            except ValueError:
                evaluator.fail(f"Not every level of `{argument}` is a number: {', '.join(levels[:10])}.", call)
            return Numeric(numbers[codes])
    return Numeric(evaluator.floats(argument))


for _name, _function in _PLAIN.items():
    FUNCTIONS.register(Function(_name, _elementwise(_function)))
FUNCTIONS.register(Function("I", _identity))
FUNCTIONS.register(Function("log", _log))
FUNCTIONS.register(Function("round", _round, data_arguments=1))
FUNCTIONS.register(Function("pmin", _rowwise(np.minimum)))
FUNCTIONS.register(Function("pmax", _rowwise(np.maximum)))
FUNCTIONS.register(Function("as.numeric", _as_numeric, aliases=("as.integer", "as_numeric")))

"""Functions that learn from the rows of the model and are replayed on new rows: ``scale``, ``center``, ``poly``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError
from bayesglmm.formula.syntax import Call
from bayesglmm.terms.columns import Numeric, Value
from bayesglmm.terms.functions.base import FUNCTIONS, Function

if TYPE_CHECKING:
    from bayesglmm.terms.evaluate import Evaluator


def _scale(evaluator: Evaluator, call: Call) -> Value:
    """R's scale(): subtract the mean, divide by the standard deviation with n - 1."""
    given = evaluator.match(call, ("x", "center", "scale"))
    flags = {name: evaluator.flag(given[name]) if name in given else True for name in ("center", "scale")}
    return _standardised(evaluator, call, evaluator.floats(given["x"]), **flags)


def _center(evaluator: Evaluator, call: Call) -> Value:
    return _standardised(evaluator, call, evaluator.floats(evaluator.match(call, ("x",))["x"]), True, False)


def _standardised(evaluator: Evaluator, call: Call, x: Floats, center: bool, scale: bool) -> Value:
    def learn() -> Mapping[str, Any]:
        middle = float(np.mean(x)) if center else 0.0
        if not scale:
            return {"center": middle, "scale": 1.0}
        # R divides by the root mean square, with n - 1 too, where it does not centre.
        spread = float(np.sqrt(np.sum((x - middle) ** 2) / max(x.size - 1, 1)))
        if not spread > 1e-14 * float(np.max(np.abs(x), initial=0.0)):
            raise DataError(f"`{call}`: the values are constant ({x.flat[0]:g}), there is nothing to scale by.")
        return {"center": middle, "scale": spread}

    state = evaluator.recall(call, learn)
    return Numeric((x - state["center"]) / state["scale"])


def _poly(evaluator: Evaluator, call: Call) -> Value:
    """R's poly(): orthonormal over the rows of the model, by the three-term recurrence; or raw powers."""
    given = evaluator.match(call, ("x", "degree", "raw"))
    degree = evaluator.whole(given["degree"]) if "degree" in given else 1
    x = evaluator.floats(given["x"])
    if degree < 1:
        evaluator.fail(f"The degree in `{call}` is at least 1.", call)
    parts = tuple(str(k + 1) for k in range(degree))
    if "raw" in given and evaluator.flag(given["raw"]):
        return Numeric(np.column_stack([x**k for k in range(1, degree + 1)]), parts)

    def learn() -> Mapping[str, Any]:
        distinct = np.unique(x).size
        if distinct <= degree:
            message = f"`{call}`: a polynomial of degree {degree} needs more than {degree} distinct values; "
            raise DataError(message + f"there are {distinct}.")
        return _learn_polynomial(x, degree)

    state = evaluator.recall(call, learn)
    return Numeric(_polynomial(x, state["alpha"], state["norm2"]), parts)


def _learn_polynomial(x: Floats, degree: int) -> dict[str, list[float]]:
    previous, current = np.zeros_like(x), np.ones_like(x)
    alpha: list[float] = []
    norm2 = [float(x.size)]
    for k in range(degree):
        alpha.append(float(np.sum(x * current**2) / norm2[-1]))
        beta = norm2[-1] / norm2[-2] if k else 0.0
        previous, current = current, (x - alpha[-1]) * current - beta * previous
        norm2.append(float(np.sum(current**2)))
    return {"alpha": alpha, "norm2": norm2}


def _polynomial(x: Floats, alpha: list[float], norm2: list[float]) -> Floats:
    previous, current = np.zeros_like(x), np.ones_like(x)
    columns = []
    for k, centre in enumerate(alpha):
        beta = norm2[k] / norm2[k - 1] if k else 0.0
        previous, current = current, (x - centre) * current - beta * previous
        columns.append(current / np.sqrt(norm2[k + 1]))
    return np.column_stack(columns)


FUNCTIONS.register(Function("scale", _scale, aliases=("standardize",), data_arguments=1))
FUNCTIONS.register(Function("center", _center, data_arguments=1))
FUNCTIONS.register(Function("poly", _poly, data_arguments=1))

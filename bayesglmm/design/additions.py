"""``y | cens(...)`` and ``y | trunc(...)``: censored and truncated responses, spelled as in brms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayesglmm.blocks import Floats, Ints, Response
from bayesglmm.errors import DataError
from bayesglmm.families.base import Family
from bayesglmm.formula.syntax import Call, Node
from bayesglmm.terms.columns import Factor
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.names import caret

CODES = {"left": -1, "none": 0, "right": 1, "interval": 2}


def censored(response: Response, call: Call, evaluator: Evaluator, family: Family) -> Response:
    """Return the response with its censoring.

    Parameters
    ----------
    response : Response
    call : Call
        ``cens(c)`` or ``cens(c, y2)``; c holds left, none, right, interval or -1, 0, 1, 2, or truth values for right
        censored rows. Interval censored rows lie between y and y2.
    evaluator : Evaluator
    family : Family

    Raises
    ------
    DataError
        For families without a distribution function, unknown codes, and intervals without an upper end.
    """
    _require_censorable(family, call, evaluator)
    given = evaluator.match(call, ("c", "y2"))
    codes = _codes(given["c"], evaluator)
    interval = codes == CODES["interval"]
    if "y2" not in given:
        if interval.any():
            evaluator.fail("Interval censored rows need their upper end: `cens(c, y2)`.", call)
        return replace(response, censoring=codes)
    upper = np.array(np.broadcast_to(evaluator.floats(given["y2"]), codes.shape))
    wrong = interval & ~(upper > response.y)  # NaN counts as wrong
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(
            f"`{call}`: the upper end of row {evaluator.columns.rows[i]} is {upper[i]:g}; in interval censored "
            f"rows it is above the response ({response.y[i]:g})."
        )
    return replace(response, censoring=codes, y_upper=np.where(interval, upper, response.y))


def _codes(node: Node, evaluator: Evaluator) -> Ints:
    value = evaluator.value(node)
    if isinstance(value, Factor):
        if value.boolean:
            return value.codes.astype(np.intp)
        try:
            lookup = [
                CODES[level] if level in CODES else {"-1": -1, "0": 0, "1": 1, "2": 2}[level]
                for level in value.levels
            ]
        except KeyError as error:
            raise _unknown(node, str(error.args[0]), evaluator) from None
        return np.array(lookup, dtype=np.intp)[value.codes]
    numbers = np.broadcast_to(value.floats, (evaluator.columns.n,))
    wrong = ~np.isin(numbers, list(CODES.values()))
    if wrong.any():
        raise _unknown(node, f"{numbers[int(np.argmax(wrong))]:g}", evaluator)
    return numbers.astype(np.intp)


def _unknown(node: Node, found: str, evaluator: Evaluator) -> DataError:
    message = f"`{node}` holds the censoring code {found!r}; known are left, none, right, interval or -1, 0, 1, 2."
    return DataError(caret(message, evaluator.formula, node.position))


def truncated(response: Response, call: Call, evaluator: Evaluator, family: Family) -> Response:
    """Return the response with its truncation bounds.

    Parameters
    ----------
    response : Response
    call : Call
        ``trunc(lb=, ub=)``, numbers or columns.
    evaluator : Evaluator
    family : Family

    Raises
    ------
    DataError
        For families without a distribution function, and rows outside their bounds.
    """
    _require_censorable(family, call, evaluator)
    given = evaluator.match(call, ("lb", "ub"), required=0)
    if not given:
        evaluator.fail("`trunc` takes a lower bound, an upper bound or both: `trunc(lb=0)`.", call)
    n = evaluator.columns.n
    lower = _bound(given.get("lb"), evaluator, n, -np.inf)
    upper = _bound(given.get("ub"), evaluator, n, np.inf)
    outside = (response.y < (lower if lower is not None else -np.inf)) | (
        response.y > (upper if upper is not None else np.inf)
    )
    if outside.any():
        i = int(np.argmax(outside))
        raise DataError(
            f"`{call}`: row {evaluator.columns.rows[i]} has the response {response.y[i]:g}, outside of its bounds."
        )
    return replace(response, lower=lower, upper=upper)


def _bound(node: Node | None, evaluator: Evaluator, n: int, absent: float) -> Floats | None:
    if node is None:
        return None
    values = np.array(np.broadcast_to(evaluator.floats(node), (n,)))
    values[np.isnan(values)] = absent
    return values


def _require_censorable(family: Family, call: Call, evaluator: Evaluator) -> None:
    if not family.censorable:
        message = (
            f"Family {family.name!r} has no distribution function here, so `{call.function}(...)` is not possible."
        )
        raise DataError(caret(message, evaluator.formula, call.position))

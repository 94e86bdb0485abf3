"""Missing responses, ``y | mi()``: rows without a response are kept aside, to be predicted from the fit.

Given the parameters a missing response is independent of the observed ones, so its row adds nothing to the
likelihood, and its posterior distribution is the posterior predictive one (Little and Rubin 2002; the response is
missing at random). Rows that lack anything else are left out as ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula import FormulaSpec
from bayesglmm.formula.syntax import Call
from bayesglmm.terms.names import column_names

if TYPE_CHECKING:
    from bayesglmm.design.design import Design

MISSING = "mi"
_COUNTS = ("cbind", "prop", "p", "proportion")


def missing_call(spec: FormulaSpec) -> Call | None:
    """Return the ``mi()`` of the left side, if there is one.

    Raises
    ------
    FormulaError
        For arguments, beside censoring and truncation, and for responses whose trials are missing with them.
    """
    calls = {call.function: call for call in spec.response.additions}
    call = calls.get(MISSING)
    if call is None:
        return None
    if call.args or call.kwargs:
        message = "`mi()` takes no argument: responses measured with known errors are not modelled here."
        raise FormulaError(message, spec.text, call.position)
    for other in ("cens", "trunc"):
        if other in calls:
            message = f"`mi()` and `{other}(...)` cannot be combined: predictions are neither censored nor truncated."
            raise FormulaError(message, spec.text, call.position)
    value = spec.response.value
    if isinstance(value, Call) and value.function in _COUNTS:
        message = f"Where `{value}` is missing, so are its trials: write `successes | trials(n) + mi()`."
        raise FormulaError(message, spec.text, value.position)
    return call


def unobserved(
    spec: FormulaSpec, missing: Mapping[str, NDArray[np.bool_]], n: int, correlated: bool = False
) -> NDArray[np.bool_]:
    """Return which rows lack their response and nothing else, shape (n,); none unless ``mi()`` asks for them.

    Parameters
    ----------
    spec : FormulaSpec
    missing : mapping of str to ndarray of bool, shape (n,)
        By column.
    n : int
        Rows of the data.
    correlated : bool
        Whether residuals of different rows depend on each other.

    Raises
    ------
    FormulaError
        Where `missing_call` does, and for correlated residuals.
    """
    absent, other = np.zeros((2, n), dtype=bool)
    call = missing_call(spec)
    if call is None:
        return absent
    if correlated:
        message = "`mi()` and `residual=` cannot be combined: a missing response would depend on those of other rows."
        raise FormulaError(message, spec.text, call.position)
    own = {name.text for name in column_names(spec.response.value)}
    for name, rows in missing.items():
        if name in own:
            absent |= rows
        else:
            other |= rows
    return np.asarray(absent & ~other)


def check_unobserved(design: Design) -> Design:
    """Return the design; its rows without a response can be predicted.

    Raises
    ------
    DataError
        For factor levels that occur in no other row.
    """
    if len(design.unobserved):
        try:
            design.rebind(design.unobserved)
        except DataError as error:
            raise DataError(f"The rows without a response, which `mi()` predicts: {error}") from None
    return design


def said(count: Any) -> str:
    """Return the sentence for readers of the model."""
    many = f"{count:,} rows have" if count > 1 else "1 row has"
    return f"{many} no response: nothing is learned from such rows, and fit.missing() predicts them."

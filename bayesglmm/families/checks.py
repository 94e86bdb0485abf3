"""Checks of a response that several families share; each raises `DataError` naming row, value and rule.

Rows are named by the labels of the data's index; a response without labels has its rows counted from 1. Columns of
strings are handled by the design, before any family.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bayesglmm.blocks import Response
from bayesglmm.errors import DataError


def refuse(response: Response, bad: Any, rule: str, values: Any = None, hint: str = "") -> None:
    """Raise if any row is bad, quoting the first one.

    Parameters
    ----------
    response : Response
    bad : ndarray of bool, shape (n,)
    rule : str
        What is required: ``"must be positive"``.
    values : ndarray, optional
        What to quote; the response itself if not given.
    hint : str
        A sentence that says what to do.
    """
    rows = np.flatnonzero(bad)
    if not rows.size:
        return
    value = (response.y if values is None else values)[rows[0]]
    more = f" ({rows.size} such rows)" if rows.size > 1 else ""
    message = f"Response {response.name!r} {rule}; row {_label(response, rows[0])} is {value:g}{more}."
    raise DataError(f"{message} {hint}" if hint else message)


def _label(response: Response, i: Any) -> Any:
    return i + 1 if response.rows is None else response.rows[i]


def require_finite(response: Response) -> None:
    """Refuse NaN and infinite values."""
    refuse(response, ~np.isfinite(response.y), "must be finite")


def require_varying(response: Response) -> None:
    """Refuse a response whose values are all equal: nothing could be learned from it.

    Proportions count where there are trials.
    """
    y = response.y if response.trials is None else response.y / np.maximum(response.trials, 1.0)
    if y.size and np.all(y == y[0]):
        shown = response.categories[int(y[0])] if response.categories else f"{y[0]:g}"
        raise DataError(f"Response {response.name!r}: all {y.size} values are equal ({shown}).")


def require_real(response: Response) -> None:
    """Refuse what is not finite, and a constant response."""
    require_finite(response)
    require_varying(response)


def require_positive(response: Response, hint: str = "") -> None:
    """Refuse values at or below zero."""
    require_finite(response)
    refuse(response, response.y <= 0, "must be positive", hint=hint)
    require_varying(response)


def require_nonnegative(response: Response) -> None:
    """Refuse values below zero."""
    require_finite(response)
    refuse(response, response.y < 0, "must not be negative")
    require_varying(response)


def require_counts(response: Response) -> None:
    """Refuse anything but 0, 1, 2, ..."""
    require_finite(response)
    refuse(response, response.y < 0, "must be counts, which are not negative")
    refuse(response, response.y != np.round(response.y), "must be counts, which are whole numbers")
    require_varying(response)


def require_binary(response: Response) -> None:
    """Refuse anything but 0 and 1."""
    require_finite(response)
    hint = "Counts of successes need the binomial family and trials: y | trials(n)."
    refuse(response, (response.y != 0) & (response.y != 1), "must be 0 or 1", hint=hint)
    require_varying(response)


def require_trials(response: Response) -> None:
    """Refuse missing, negative or fractional trials, and successes outside 0..trials."""
    require_finite(response)
    trials = response.trials
    if trials is None:
        raise DataError(
            f"Response {response.name!r} needs the number of trials: y | trials(n), cbind(successes, failures) "
            "or prop(successes, n). For one trial per row use the bernoulli family."
        )
    refuse(response, ~np.isfinite(trials), "needs finite trials", trials)
    refuse(response, trials < 0, "must not have a negative number of trials", trials)
    refuse(response, trials != np.round(trials), "must have a whole number of trials", trials)
    refuse(response, response.y < 0, "must be counts of successes, which are not negative")
    refuse(response, response.y != np.round(response.y), "must be counts of successes, which are whole numbers")
    _refuse_too_many(response, trials)
    if not np.any(trials > 0):
        raise DataError(f"Response {response.name!r}: no row has any trials.")
    require_varying(response)


def _refuse_too_many(response: Response, trials: Any) -> None:
    rows = np.flatnonzero(response.y > trials)
    if rows.size:
        i = rows[0]
        raise DataError(
            f"Response {response.name!r} must not exceed the trials; "
            f"row {_label(response, i)} has {response.y[i]:g} successes in {trials[i]:g} trials."
        )


def require_open_unit(response: Response) -> None:
    """Refuse anything outside (0, 1), naming the ends apart."""
    require_finite(response)
    outside = (response.y < 0) | (response.y > 1)
    refuse(response, outside, "must lie strictly between 0 and 1", hint="Divide percentages by 100.")
    ends = (response.y == 0) | (response.y == 1)
    hint = (
        "A beta density has no mass at 0 and 1: if the values are counts out of a total, use the binomial, "
        "zero_inflated_binomial or beta_binomial family; else model the ends apart with a bernoulli family."
    )
    refuse(response, ends, "must lie strictly between 0 and 1", hint=hint)
    require_varying(response)


def require_categories(response: Response, at_least: int) -> None:
    """Refuse codes that are not 0..K-1, fewer than `at_least` categories, and categories without a row."""
    require_finite(response)
    count = len(response.categories) or int(np.max(response.y)) + 1
    refuse(response, response.y != np.round(response.y), "must be category codes, which are whole numbers")
    refuse(response, (response.y < 0) | (response.y >= count), f"must be category codes from 0 to {count - 1}")
    require_varying(response)
    if count < at_least:
        raise DataError(f"Response {response.name!r} has {count} categories; this family needs at least {at_least}.")
    empty = np.flatnonzero(np.bincount(response.y.astype(int), minlength=count) == 0)
    if empty.size:
        name = response.categories[empty[0]] if response.categories else str(empty[0])
        raise DataError(f"Response {response.name!r}: no row has the category {name!r}; drop the unused level.")

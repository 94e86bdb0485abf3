"""`grid`: rows on which predictions, comparisons and slopes are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.errors import SettingsError
from bayesglmm.results.draws import check_choice
from bayesglmm.results.effects.columns import ModelColumns

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

MEANS, MEDIANS, BALANCED, DATA = "means", "medians", "balanced", "data"
BASES = (MEANS, MEDIANS, BALANCED, DATA)
MOST_ROWS = 2_000_000
POINTS = 50
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
GRID = "grid"  # of attrs


def _levels(columns: ModelColumns, name: str) -> list[Any]:
    return columns.distinct(name)


def _range(columns: ModelColumns, name: str) -> list[Any]:
    numbers = columns.numbers(name)
    return list(np.linspace(numbers.min(), numbers.max(), POINTS))


def _quantiles(columns: ModelColumns, name: str) -> list[Any]:
    return list(dict.fromkeys(np.quantile(columns.numbers(name), QUANTILES).tolist()))


def _ends(columns: ModelColumns, name: str) -> list[Any]:
    numbers = columns.numbers(name)
    return [float(numbers.min()), float(numbers.max())]


def _mean(columns: ModelColumns, name: str) -> list[Any]:
    return [float(columns.numbers(name).mean())]


def _median(columns: ModelColumns, name: str) -> list[Any]:
    return [float(np.median(columns.numbers(name)))]


def _around(columns: ModelColumns, name: str) -> list[Any]:
    numbers = columns.numbers(name)
    return [float(numbers.mean() + k * numbers.std(ddof=1)) for k in (-1, 0, 1)]


WORDS: dict[str, Callable[[ModelColumns, str], list[Any]]] = {
    "levels": _levels,
    "unique": _levels,
    "range": _range,
    "quantiles": _quantiles,
    "ends": _ends,
    "mean": _mean,
    "median": _median,
    "sd": _around,
}
_OF_ANY = ("levels", "unique")


def grid(
    fit: Fit, values: Mapping[str, Any] | None = None, *, at: str | Mapping[str, Any] = MEANS, **columns: Any
) -> pd.DataFrame:
    """Return rows for questions about effects: every combination of the values given, all else held or observed.

    Parameters
    ----------
    fit : Fit
    values : mapping, optional
        Values by column, as `columns`: for names that are no Python names, or that are arguments here.
    at : {"means", "medians", "balanced", "data"} or mapping
        What the other columns of the model hold. ``"means"``: numbers their mean (of two values the more frequent),
        factors their most frequent level; ``"medians"``: medians instead; ``"balanced"``: factors, and numbers with
        two values, take all their levels, crossed, other numbers their mean (the reference grid of R's emmeans);
        ``"data"``: what they hold in the data: every row is repeated for each combination, which is what
        "the average effect over the data" means. A mapping gives values for some; the rest is as for ``"means"``.
    **columns
        Values by column: one value, several, a function of the data's values that returns some, or a word. For any
        column ``"levels"``: all its distinct values. For numbers ``"range"``: 50 evenly spaced ones over the data;
        ``"quantiles"``: 5, 25, 50, 75 and 95 %; ``"ends"``: smallest and largest; ``"mean"``, ``"median"``;
        ``"sd"``: the mean and one standard deviation to each side. A level of a factor goes before a word.

    Returns
    -------
    DataFrame
        Rows with every column that predictions need; grouping factors only where they are named (or observed).
        ``attrs["grid"]`` says what varies and what is held at which value.

    Raises
    ------
    UnknownNameError
        For columns that the model does not have.
    SettingsError
        For unknown words and levels, and for more than two million rows.

    Examples
    --------
    >>> bg.grid(fit, age="range", sex="levels")  # doctest: +SKIP
    >>> bg.grid(fit, dose=[0, 1], at="data")  # doctest: +SKIP
    """
    model = ModelColumns(fit)
    asked = {**dict(values or {}), **columns}
    held = dict(at) if isinstance(at, Mapping) else {}
    base = MEANS if isinstance(at, Mapping) else at
    check_choice("at", base, BASES)
    for name in asked:
        model.require(name, "grid")
        if name in held:
            raise SettingsError(f"at: {name!r} varies already; it cannot be held as well.")
    for name in held:
        model.require(name, "at")
    given = {name: listed(model, name, value) for name, value in (asked | held).items()}
    varied = [*asked, *(name for name in held if len(given[name]) > 1)]
    if base == BALANCED:
        more = [name for name in model.predictors if name not in given and _is_crossed(model, name)]
        given |= {name: model.distinct(name) for name in more}
        varied += more
    if base == DATA:
        return _repeated(model, given, varied)
    rest = {name: model.reference(name, base) for name in model.population if name not in given}
    rows = _crossed(model, given | {name: [value] for name, value in rest.items()})
    fixed = rest | {name: given[name][0] for name in held if len(given[name]) == 1}
    rows.attrs[GRID] = {"base": base, "varied": varied, "held": fixed}
    return rows


def _is_crossed(model: ModelColumns, name: str) -> bool:
    return model.is_factor(name) or len(model.distinct(name)) <= 2


def listed(model: ModelColumns, name: str, value: Any) -> list[Any]:
    """Return the values that a user asks for of one column.

    Parameters
    ----------
    model : ModelColumns
    name : str
    value : scalar, sequence, callable or str
        As of `grid`.
    """
    if callable(value):
        value = value(model.data[name].to_numpy())
    if isinstance(value, str):
        is_level = model.is_factor(name) and value in map(str, model.distinct(name))
        if not is_level and value in WORDS:
            if model.is_factor(name) and value not in _OF_ANY:
                raise SettingsError(f'{name}={value!r} is of numbers, and {name!r} is a factor: take "levels".')
            return WORDS[value](model, name)
        if not is_level and not model.is_factor(name):
            raise SettingsError(f"{name}={value!r} is no number, nor one of the words {', '.join(WORDS)}.")
        value = [value]
    found = [value] if np.ndim(value) == 0 else list(value)
    if not found:
        raise SettingsError(f"{name}: an empty list of values.")
    if len(found) > MOST_ROWS:
        raise SettingsError(f"{name} has {len(found):,} values; a grid has at most {MOST_ROWS:,} rows.")
    return model.checked(name, found)


def _crossed(model: ModelColumns, values: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Return every combination, the last column varying fastest."""
    _require_size(values, 1)
    rows = list(product(*values.values()))
    return pd.DataFrame(
        {name: model.column(name, (row[j] for row in rows)) for j, name in enumerate(values)}, index=range(len(rows))
    )


def _repeated(model: ModelColumns, values: Mapping[str, list[Any]], varied: list[str]) -> pd.DataFrame:
    """Return the data once for each combination."""
    _require_size(values, len(model.data))
    copies = []
    for row in product(*values.values()):
        changed = {name: [value] * len(model.data) for name, value in zip(values, row, strict=True)}
        columns = {name: model.column(name, own).set_axis(model.data.index) for name, own in changed.items()}
        copies.append(model.data.assign(**columns))
    rows = pd.concat(copies, ignore_index=True)
    rows.attrs = {GRID: {"base": DATA, "varied": varied, "held": {}}}
    return rows


def _require_size(values: Mapping[str, list[Any]], each: int) -> None:
    size = each * int(np.prod([float(len(own)) for own in values.values()])) if values else each
    if size > MOST_ROWS:
        sizes = ", ".join(f"{name}: {len(own)}" for name, own in values.items())
        raise SettingsError(f"The grid would have {size:,} rows ({sizes}); at most {MOST_ROWS:,} are made.")

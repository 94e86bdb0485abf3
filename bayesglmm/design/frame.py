"""Data frame -> numpy columns: kinds, missing and infinite values. The only reader of pandas objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesglmm.errors import DataError
from bayesglmm.terms.columns import Factor, Numeric, Value, boolean_factor, level_label


class Converted(NamedTuple):
    """One column of the data.

    Attributes
    ----------
    value : Value
        Its values; NaN or the code -1 where they are missing.
    missing : ndarray of bool, shape (n,)
    """

    value: Value
    missing: NDArray[np.bool_]


def as_frame(data: Any) -> pd.DataFrame:
    """Return any table as a data frame with text as column names.

    Parameters
    ----------
    data : DataFrame, mapping of columns, or a table with ``to_pandas()``
        A mapping whose values are all scalars is one row.

    Raises
    ------
    DataError
        If it is none of these, or has no rows.
    """
    convert = getattr(data, "to_pandas", None)
    if isinstance(data, pd.DataFrame):
        frame = data
    elif isinstance(data, Mapping):
        try:
            one_row = bool(data) and all(pd.api.types.is_scalar(value) for value in data.values())
            frame = pd.DataFrame({name: [value] for name, value in data.items()} if one_row else dict(data))
        except ValueError as error:
            raise DataError(f"The data cannot be made into a table: {error}") from None
    elif callable(convert) and isinstance(converted := convert(), pd.DataFrame):
        frame = converted
    else:
        raise DataError(
            f"The data are a pandas DataFrame, or a mapping of names to columns, not {type(data).__name__}."
        )
    if not len(frame):
        raise DataError("The data have no rows.")
    names = [str(name) for name in frame.columns]
    return frame if list(frame.columns) == names else frame.set_axis(names, axis="columns")


def select(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the named columns.

    Raises
    ------
    DataError
        If one of them is there twice.
    """
    chosen = list(dict.fromkeys(names))
    counts = frame.columns.value_counts()
    for name in chosen:
        if counts[name] > 1:
            raise DataError(f"The data have {counts[name]} columns called {name!r}; rename or drop all but one.")
    return frame[chosen]


def convert(name: str, series: pd.Series[Any]) -> Converted:
    """Return one column as numbers or as a factor.

    Numbers stay numbers, also 0/1; truth values, text and categories become factors.

    Raises
    ------
    DataError
        For columns that are neither: dates, complex numbers, lists.
    """
    dtype = series.dtype
    if pd.api.types.is_object_dtype(dtype):
        series = series.infer_objects()
        dtype = series.dtype
    missing = series.isna().to_numpy(dtype=bool)
    if isinstance(dtype, pd.CategoricalDtype):
        return Converted(_categorical(name, series), missing)
    if pd.api.types.is_bool_dtype(dtype):
        factor = boolean_factor(series.to_numpy(dtype=bool, na_value=False))
        factor.codes[missing] = -1
        return Converted(factor, missing)
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"Column {name!r} holds complex numbers; use their real or imaginary part, or their size.")
    if pd.api.types.is_numeric_dtype(dtype):
        return Converted(Numeric(_numbers(series, missing)), missing)
    if pd.api.types.is_object_dtype(dtype) or isinstance(dtype, pd.StringDtype):
        return Converted(_text(name, series), missing)
    raise DataError(
        f"Column {name!r} holds {dtype} values, which are neither numbers nor categories. "
        "Make numbers of them (such as days since a start) or text."
    )


def _numbers(series: pd.Series[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    if not missing.any() and pd.api.types.is_integer_dtype(series.dtype):
        return series.to_numpy(dtype=np.uint64 if series.dtype == np.uint64 else np.int64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def _text(name: str, series: pd.Series[Any]) -> Factor:
    try:
        codes, distinct = pd.factorize(series)
    except TypeError as error:
        raise DataError(f"Column {name!r} holds values that cannot be levels of a factor ({error}).") from None
    values = list(distinct)
    numbers = all(isinstance(value, int | float) for value in values)
    order = sorted(range(len(values)), key=lambda i: values[i] if numbers else str(values[i]))
    rank = np.empty(len(values) + 1, dtype=np.intp)
    rank[order] = np.arange(len(values))
    rank[-1] = -1
    return Factor(rank[codes], _labels(name, [values[i] for i in order]))


def _categorical(name: str, series: pd.Series[Any]) -> Factor:
    codes = series.cat.codes.to_numpy().astype(np.intp)
    categories = series.cat.categories
    boolean = pd.api.types.is_bool_dtype(categories.dtype)
    return Factor(
        codes, _labels(name, categories), bool(series.cat.ordered), boolean=boolean and len(categories) == 2
    )


def _labels(name: str, values: Iterable[Any]) -> tuple[str, ...]:
    labels = tuple(level_label(value) for value in values)
    if len(set(labels)) < len(labels):
        twice = next(label for i, label in enumerate(labels) if label in labels[:i])
        raise DataError(
            f"Column {name!r} has different values that are both called {twice!r}; make them of one type."
        )
    return labels


def subset(value: Value, keep: NDArray[np.bool_] | None) -> Value:
    """Return some rows of a column; None keeps all."""
    if keep is None:
        return value
    match value:
        case Numeric(values):
            return Numeric(values[keep])
        case Factor():
            return Factor(value.codes[keep], value.levels, value.ordered, value.boolean, value.contrast)


def infinite(value: Value) -> NDArray[np.bool_] | None:
    """Return which rows are infinite, None if none is."""
    match value:
        case Numeric(values) if values.dtype.kind == "f":
            found = np.isinf(values)
            return found if found.any() else None
    return None

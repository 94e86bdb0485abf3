"""Data frame -> numpy columns: kinds, missing and infinite values. The only reader of pandas objects."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesglmm.design.tables import from_column, from_table
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
    data : table, or mapping of names to columns
        A frame of pandas or polars (lazy ones are computed), a table of pyarrow or of another library that narwhals
        reads, or anything with ``to_pandas()``. A mapping whose values are all scalars is one row.

    Raises
    ------
    DataError
        If it is none of these, or has no rows.
    """
    frame = data if isinstance(data, pd.DataFrame) else _of_mapping(data) if isinstance(data, Mapping) else _of(data)
    if not len(frame):
        raise DataError("The data have no rows.")
    names = [str(name) for name in frame.columns]
    return frame if list(frame.columns) == names else frame.set_axis(names, axis="columns")


def _of_mapping(data: Mapping[Any, Any]) -> pd.DataFrame:
    if data and all(pd.api.types.is_scalar(value) for value in data.values()):
        return pd.DataFrame({name: [value] for name, value in data.items()})
    try:
        return pd.DataFrame({name: from_column(value) for name, value in data.items()})
    except ValueError as error:
        raise DataError(f"The data cannot be made into a table: {error}") from None


def _of(data: Any) -> pd.DataFrame:
    """Return the frame of a table that is not one of pandas."""
    found = from_table(data)
    convert = getattr(data, "to_pandas", None)
    if found is None and callable(convert):
        found = convert()
    if not isinstance(found, pd.DataFrame):
        raise DataError(
            "The data are a table (a DataFrame of pandas or polars, a table of pyarrow), or a mapping of names to "
            f"columns, not {type(data).__name__}."
        )
    return found


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

    Numbers stay numbers, also 0/1 and decimals; truth values, text and categories become factors.

    Raises
    ------
    DataError
        For columns that are neither: dates, complex numbers, lists, objects without a text of their own.
    """
    series = _plain(series)
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
        values = _numbers(series, missing)
        return Converted(Numeric(values), missing | np.isnan(values))  # nullable columns can hold both NA and NaN
    if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        _refuse_objects(name, series.dropna())
        return Converted(_text(name, series), missing)
    raise _neither(name, str(dtype))


def _plain(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column without the clothes of arrow or of objects: decimals as floats, dictionaries as categories."""
    dtype = series.dtype
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O" and "dictionary" in dtype.name:
        return pd.Series(series.array.__arrow_array__().to_pandas()).set_axis(series.index)
    if not pd.api.types.is_object_dtype(dtype):
        return series
    series = series.infer_objects()
    match pd.api.types.infer_dtype(series, skipna=True):
        case "decimal":
            return series.map(float, na_action="ignore").astype(np.float64)
        case "boolean":
            return series.astype("boolean")
    return series


def _neither(name: str, what: str) -> DataError:
    return DataError(
        f"Column {name!r} holds {what} values, which are neither numbers nor categories. "
        "Make numbers of them (such as days since a start) or text."
    )


def _refuse_objects(name: str, values: pd.Series[Any]) -> None:
    """Refuse objects that are no levels: times, bytes, and what has no text but its place in memory."""
    for kind in dict.fromkeys(map(type, values)):
        if issubclass(kind, datetime.date | datetime.time | datetime.timedelta | bytes | Decimal):
            raise _neither(name, kind.__name__)
        if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
            raise DataError(
                f"Column {name!r} holds objects ({kind.__name__}) that have no text, so that they cannot be levels "
                "of a factor. Make text or numbers of them."
            )


def _numbers(series: pd.Series[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    if not missing.any() and pd.api.types.is_integer_dtype(series.dtype):
        inner = getattr(series.dtype, "numpy_dtype", series.dtype)
        return series.to_numpy(dtype=np.uint64 if inner == np.uint64 else np.int64)
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

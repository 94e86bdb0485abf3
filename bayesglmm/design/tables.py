"""Tables of other libraries (polars, pyarrow and what else narwhals reads) as pandas frames, by what columns mean.

The one place that knows of them. Numbers become numbers, missing where they are null; decimals become floats; text
and polars' Categorical, whose categories have no order, become text; an Enum, and a dictionary of arrow, keep the
order of their categories. Dates and nested columns are passed on as they are: `design.frame.convert` refuses them if
the formula uses them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def from_table(data: Any) -> pd.DataFrame | None:
    """Return the pandas frame of a table of another library; None if it is none.

    Parameters
    ----------
    data : polars.DataFrame, polars.LazyFrame, pyarrow.Table, ...
        Lazy tables are computed, with all their columns.
    """
    import narwhals as nw

    found = nw.from_native(data, pass_through=True)
    if isinstance(found, nw.LazyFrame):
        found = found.collect()
    if not isinstance(found, nw.DataFrame):
        return None
    if found.implementation.is_pandas_like():
        return found.to_pandas()
    columns = {name: _column(found[name]) for name in found.columns}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(found)))


def from_column(values: Any) -> Any:
    """Return the pandas series of a column of another library; anything else as it is."""
    import narwhals as nw

    found = nw.from_native(values, pass_through=True, allow_series=True)
    if not isinstance(found, nw.Series) or found.implementation.is_pandas_like():
        return values
    return _column(found)


def _column(column: Any) -> pd.Series[Any]:
    """Return one column.

    Parameters
    ----------
    column : narwhals.Series
    """
    import narwhals as nw

    dtype = column.dtype
    if isinstance(dtype, nw.Enum):
        return pd.Series(pd.Categorical(column.to_list(), categories=list(dtype.categories), ordered=True))
    if dtype == nw.Categorical and column.implementation.is_pyarrow():
        return pd.Series(column.to_native().to_pandas())
    if dtype == nw.Boolean and column.null_count():
        return pd.Series(column.to_list(), dtype="boolean")
    if dtype.is_decimal():
        return pd.Series(column.cast(nw.Float64()).to_numpy())
    if dtype.is_numeric() or dtype == nw.Boolean:
        return pd.Series(column.to_numpy())
    if dtype.is_temporal() and dtype != nw.Time:
        return pd.Series(pd.array(column.to_numpy()))
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_list()
    if len(values) == column.null_count():
        return pd.Series(np.full(len(values), np.nan))
    return pd.Series(values, dtype=object)

"""Which source stands for what a user gave as data."""

from __future__ import annotations

import os
from typing import Any

from bayesglmm.sources.base import Source


def open_source(data: Any) -> Source | None:
    """Return the source of a path or of a dask data frame; None for data that are in memory.

    Parameters
    ----------
    data : path, dask.dataframe.DataFrame, or anything else
        A path names a parquet file, a folder of them, or several by a pattern with ``*``.

    Raises
    ------
    DataError
        If there is nothing to read under a path, or its files hold different columns.
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        from bayesglmm.sources.parquet import ParquetSource

        return ParquetSource(os.fspath(data))
    if type(data).__module__.partition(".")[0] in ("dask", "dask_expr") and hasattr(data, "to_delayed"):
        from bayesglmm.sources.dask_frames import DaskSource

        return DaskSource(data)
    return None

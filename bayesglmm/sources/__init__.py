"""Tables that need not fit into memory, read piece by piece: parquet files and dask data frames."""

from bayesglmm.sources.base import Piece, Source
from bayesglmm.sources.opening import open_source

__all__ = ["Piece", "Source", "open_source"]

"""The candidate covariates of a scan: what users pass, as numbers for the rows that a model uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError

_HELD = 2**23  # numbers of candidates that are worked on at once


class UsedRows(Protocol):
    """Which rows of the data a model uses."""

    @property
    def given(self) -> int:
        """Rows in the data."""

    @property
    def positions(self) -> Any:
        """Positions of those used."""


class ScannedDesign(Protocol):
    """Data and rows of a model."""

    @property
    def data(self) -> Any:
        """The data frame."""

    @property
    def rows(self) -> UsedRows:
        """Which of them are used."""


class Candidates:
    """The columns that users pass, for the rows that the model uses."""

    def __init__(self, given: Any, names: Sequence[str] | None, design: ScannedDesign) -> None:
        self.rows = design.rows.positions
        if isinstance(given, pd.DataFrame):
            if not given.index.equals(design.data.index):
                raise DataError(
                    "The candidates have another index than the data. Where the rows are the same, say so: "
                    "candidates.set_axis(data.index)."
                )
            names = list(given.columns) if names is None else names
            self.values: Any = given
        else:
            names = _names(given) if names is None else names
            self.values = _array(given)
        shape = self.values.shape
        if len(shape) != 2 or shape[0] != design.rows.given:
            raise DataError(f"Candidates are a column each for {design.rows.given:,} rows of data; found {shape}.")
        self.names = [f"c{j}" for j in range(shape[1])] if names is None else [str(name) for name in names]
        if len(self.names) != shape[1]:
            raise DataError(f"{shape[1]:,} candidates and {len(self.names):,} names.")
        self._sds = list[Floats]()

    def blocks(self) -> Iterator[Floats]:
        """Yield the candidates some columns at a time, as numbers of shape (n, m)."""
        width = max(1, _HELD // max(len(self.rows), 1))
        for start in range(0, len(self.names), width):
            own = self._numbers(slice(start, start + width))
            bad = np.flatnonzero(~np.isfinite(own).all(axis=0))
            if bad.size:
                shown = ", ".join(repr(self.names[start + j]) for j in bad[:5]) + (", ..." if len(bad) > 5 else "")
                raise DataError(
                    f"Candidates must not be missing or infinite in the rows of the model: {shown}. Fill them in "
                    "(genotypes are often set to the mean), or leave those rows out of the data."
                )
            self._sds.append(own.std(axis=0))
            yield own

    def _numbers(self, at: slice) -> Floats:
        piece = self.values.iloc[:, at].to_numpy() if isinstance(self.values, pd.DataFrame) else self.values[:, at]
        piece = _dense(piece)
        try:
            return np.asarray(piece[self.rows], dtype=float)
        except (TypeError, ValueError):
            raise DataError("Candidates must be numbers; code factors as columns first.") from None

    def sds(self) -> Floats:
        """Return the standard deviations of all candidates."""
        return np.concatenate(self._sds) if self._sds else np.zeros(0)


def _names(given: Any) -> Sequence[str] | None:
    """Return the names of the columns of a table of polars or pyarrow; None for arrays."""
    import narwhals as nw

    found = nw.from_native(given, pass_through=True, eager_only=True)
    return found.columns if isinstance(found, nw.DataFrame) else None


def _array(given: Any) -> Any:
    is_sparse: bool = sparse.issparse(given)
    return sparse.csc_array(given) if is_sparse else np.asarray(given)


def _dense(piece: Any) -> Any:
    is_sparse: bool = sparse.issparse(piece)
    return piece.toarray() if is_sparse else piece

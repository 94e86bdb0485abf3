"""Data frames of dask: every partition is a piece, and whatever is done with it is a task of the client in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from bayesglmm.errors import DataError
from bayesglmm.sources.base import Item, Piece, Result, Source

BATCH = 200_000
"""Rows that are worked on at once."""
_FAN = 4  # results that one task merges


class DaskSource(Source):
    """A dask data frame, possibly with a client and workers elsewhere.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame
        Its partitions are taken in their order. They are computed again whenever they are read: rest on files, or
        ``persist()`` what is expensive.
    """

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.columns = tuple(str(name) for name in frame.columns)
        self.name = f"the dask data frame of {frame.npartitions} partitions"
        if len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise DataError(f"The data have several columns called {twice!r}; rename or drop all but one.")

    @cached_property
    def rows(self) -> int:
        return len(self._frame)

    def _delayed(self, names: Sequence[str]) -> list[Any]:
        given = [name for name in self._frame.columns if str(name) in set(names)]
        return list(self._frame[given].to_delayed())

    def peek(self, names: Sequence[str]) -> pd.DataFrame:
        for part in self._delayed(names):
            frame = _plain(part.compute())
            if len(frame):
                return frame.iloc[:BATCH]
        raise DataError("The data have no rows.")

    def fold(
        self,
        names: Sequence[str],
        work: Callable[[Piece], Result],
        merge: Callable[[Result, Result], Result],
    ) -> Result:
        dask = _dask()
        # One object on the scheduler, however many tasks use it.
        shared = dask.delayed(work, pure=False, traverse=False)
        level = [
            dask.delayed(_work, pure=False)(shared, number, part) for number, part in enumerate(self._delayed(names))
        ]
        while len(level) > 1:
            level = [
                dask.delayed(_merge, pure=False)(merge, level[at : at + _FAN]) for at in range(0, len(level), _FAN)
            ]
        done: Result = level[0].compute()
        return done

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        dask = _dask()
        shared = dask.delayed(work, pure=False, traverse=False)
        tasks = [dask.delayed(_call, pure=False)(shared, item) for item in items]
        return list(dask.compute(*tasks))


def _dask() -> Any:
    """Return the package; its types are incomplete."""
    import dask

    return dask


def _call(work: Callable[[Item], Result], item: Item) -> Result:
    return work(item)


def _work(work: Callable[[Piece], Result], number: int, frame: Any) -> Result:
    return work(Piece(number, _batches(_plain(frame))))


def _batches(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for start in range(0, len(frame), BATCH):
        yield frame.iloc[start : start + BATCH]


def _plain(frame: Any) -> pd.DataFrame:
    found = frame if isinstance(frame, pd.DataFrame) else frame.to_pandas()
    return found.set_axis([str(name) for name in found.columns], axis="columns")


def _merge(merge: Callable[[Any, Any], Any], results: Sequence[Any]) -> Any:
    total = results[0]
    for result in results[1:]:
        total = merge(total, result)
    return total

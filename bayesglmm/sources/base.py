"""What the design asks of a table that is read piece by piece, wherever it is and whoever reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import pandas as pd

Item = TypeVar("Item")
Result = TypeVar("Result")


class Piece(NamedTuple):
    """Some consecutive rows of a table.

    Attributes
    ----------
    number : int
        Which piece: they are counted in the order of the table, and the same rows are always in the same piece.
    frames : iterable of DataFrame
        Its rows in order, read while one goes through them. None is empty, but there may be none.
    """

    number: int
    frames: Iterable[pd.DataFrame]


class Source(ABC):
    """A table in pieces.

    Attributes
    ----------
    columns : tuple of str
    name : str
        What messages call it.
    """

    columns: tuple[str, ...]
    name: str

    @property
    @abstractmethod
    def rows(self) -> int:
        """Number of rows."""

    @abstractmethod
    def peek(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the first rows, for checks that need not read everything.

        Raises
        ------
        DataError
            If there are no rows.
        """

    @abstractmethod
    def fold(
        self,
        names: Sequence[str],
        work: Callable[[Piece], Result],
        merge: Callable[[Result, Result], Result],
    ) -> Result:
        """Return what `work` makes of every piece, merged.

        Parameters
        ----------
        names : sequence of str
            The columns to read.
        work : callable
            A pure function of a piece; it is sent to whoever reads the piece. A piece whose reader was lost is worked
            on again.
        merge : callable
            Of the results of two stretches of the table, the earlier one first. It must be associative: in which
            steps pieces are merged depends on their number alone.
        """

    @abstractmethod
    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return ``work(item)`` for each, in order, computed by those who read the table."""


def merged(results: Iterator[Any], merge: Callable[[Any, Any], Any]) -> Any:
    """Merge results two by two as they come, like a counter in base two: memory grows with the logarithm of their
    number where results keep their size, and the steps depend on the number of results alone.
    """
    waiting: list[tuple[int, Any]] = []  # how many results, and what they were merged to
    for result in results:
        size = 1
        while waiting and waiting[-1][0] == size:
            before = waiting.pop()
            size, result = 2 * size, merge(before[1], result)
        waiting.append((size, result))
    if not waiting:
        return None
    _, total = waiting.pop()
    while waiting:
        total = merge(waiting.pop()[1], total)
    return total

"""Rows in parts: what an engine asks of data that do not have to be in memory all at once.

The rows are split by the levels of a grouping factor, so that all rows of a level, and of everything nested in it,
lie in one part. Coefficients of such factors are *own* to a part; all others (population coefficients, smooths,
crossed factors) are *common*. A part is a handle: it is sent to whoever works on it, a thread, a process or another
machine, and loads its rows there. Which rows are in which part is fixed by the data, never by the number of workers,
and sums over parts are taken in their order: so results do not depend on who computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bayesglmm.blocks import Floats, Ints, Response


@dataclass(frozen=True, eq=False)
class RandomRows:
    """The rows of a part in one random block.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Level of each row: for a common block among all levels of the block, for an own one a position in the part's
        levels (`Part.levels`). Negative where a row has none.
    X : ndarray, shape (n, k)
        The varying columns, as `RandomBlock.X`.
    """

    index: Ints
    X: Floats


@dataclass(frozen=True, eq=False)
class PartRows:
    """The rows of a part.

    Attributes
    ----------
    response : Response
        Everything that has a value per row is that of these rows; the rest (name, categories) as in the problem.
    fixed : tuple of ndarray, each (n, p)
        For each predictor, in the order of ``problem.predictors``: all fixed columns as `Predictor.X` has them, on
        the user's scale, those of held coefficients included.
    offsets : tuple of (ndarray of shape (n,), or None)
        For each predictor.
    random : tuple of RandomRows
        For each random block, in the order of ``problem.blocks``.
    """

    response: Response
    fixed: tuple[Floats, ...]
    offsets: tuple[Floats | None, ...]
    random: tuple[RandomRows, ...]


class Part(Protocol):
    """A handle of some rows: small, and can be pickled unless the rows are in memory anyway."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def levels(self) -> tuple[Sequence[int] | None, ...]:
        """For each random block its levels that lie in this part, ascending (a `range` is small); None if common.

        Over all parts every level of an own block occurs exactly once.
        """

    def load(self) -> PartRows:
        """Return the rows, the same ones in the same order whenever and wherever it is called."""


@dataclass(frozen=True, eq=False)
class Parts:
    """All rows of a problem, in parts.

    A `Problem` with parts takes from its own rows nothing but the start of searches: these may be some of the data.
    Its priors, the levels of its blocks and ``cutpoint_shift`` are those of all rows.

    Attributes
    ----------
    parts : tuple of Part
        In the order in which they are summed.
    means : tuple of ndarray, each (p,)
        Of the fixed columns of each predictor over all rows: the default prior of the intercept is at them.
    chain : tuple of tuple of int, or None
        Own blocks by grouping factor, as positions in ``problem.blocks``: the finest factor first, each nested in the
        next, and blocks of one factor with the same index. None: all own blocks are of one factor.
    """

    parts: tuple[Part, ...]
    means: tuple[Floats, ...]
    chain: tuple[tuple[int, ...], ...] | None = None

    @property
    def rows(self) -> int:
        """Number of rows of all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def factors(self) -> tuple[tuple[int, ...], ...]:
        """`chain`, whether it was given or not."""
        own = tuple(b for b, levels in enumerate(self.parts[0].levels) if levels is not None)
        return (own,) if self.chain is None else self.chain

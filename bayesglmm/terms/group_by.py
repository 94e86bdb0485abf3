"""Group-wise covariances, ``(1 + x | gr(g, by=z))``: levels of g have the standard deviations of their level of z.

Each level of z gets a block of its own, over the levels of g that belong to it. Rows of other levels have zeros for
columns there, so that graph, engines and predictions need to know nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesglmm.blocks import Floats, Ints, Portion
from bayesglmm.errors import DataError
from bayesglmm.formula.syntax import Node
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.base import Context
from bayesglmm.terms.columns import Columns, as_factor
from bayesglmm.terms.names import caret

if TYPE_CHECKING:
    from bayesglmm.terms.group import GroupPart


@dataclass(frozen=True, eq=False)
class By:
    """The levels of a grouping factor that have one level of another factor.

    Attributes
    ----------
    atom : Atom
        That other factor.
    group : str
        The grouping factor, for messages.
    level : int
        Its level.
    of : ndarray of int, shape (J,)
        The level of it that each level of the grouping factor has.
    place : ndarray of int, shape (J,)
        Position of each level of the grouping factor among those of this part. A level of another part has the
        position that it has there, or the last one: so parts that are as large share their index, smaller ones are
        nested in larger ones, and engines eliminate all of them level by level.
    names : tuple of str
        All levels of the grouping factor.
    spreads : tuple of float
        As in `Portion`.
    """

    atom: Atom
    group: str
    level: int
    of: Ints
    place: Ints
    names: tuple[str, ...]
    spreads: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """``z[a]``."""
        return f"{self.atom.label}[{self.atom.levels[self.level]}]"

    def portion(self, columns: tuple[str, ...]) -> Portion:
        """Return what the block says of itself."""
        return Portion(self.label, columns, self.spreads)

    def mine(self, columns: Columns, index: Ints) -> np.ndarray:
        """Return which rows have this level of the other factor, shape (n,).

        Parameters
        ----------
        columns : Columns
        index : ndarray of int, shape (n,)
            Level of the grouping factor, of all of them; -1 where it is unknown.

        Raises
        ------
        DataError
            For a level of the other factor that the model has not seen, and for a level of the grouping factor that
            the model knows with another one.
        """
        factor = as_factor(self.atom.evaluate(columns), columns.n)
        codes = factor.recoded(self.atom.levels).codes
        if (codes < 0).any():
            row = int(np.flatnonzero(codes < 0)[0])
            raise DataError(
                f"`{self.atom.label}` is {factor.levels[factor.codes[row]]!r} in the new data, a level that the "
                f"model has not seen: there is no covariance of {self.group} for it. Known are "
                f"{', '.join(map(repr, self.atom.levels[:10]))}."
            )
        wrong = np.flatnonzero((index >= 0) & (self.of[index] != codes))
        if wrong.size:
            name, levels = self.names[index[wrong[0]]], self.atom.levels
            raise DataError(
                f"The level {name!r} of `{self.group}` has `{self.atom.label}` = {levels[codes[wrong[0]]]!r} in the "
                f"new data and {levels[self.of[index[wrong[0]]]]!r} in the data of the model."
            )
        return np.asarray(codes == self.level)

    def rows(self, columns: Columns, index: Ints, X: Floats) -> tuple[Ints, Floats]:
        """Return level and columns of each row for the block of this part, shapes (n,) and (n, k)."""
        mine = self.mine(columns, index)
        own = np.where(index >= 0, self.place[index], np.where(mine, -1, 0))
        return own, X * mine[:, None]


def parts_by(
    part: GroupPart, node: Node, context: Context, position: int, bind: Callable[[Node, Context], tuple[Atom, Ints]]
) -> list[tuple[By, tuple[str, ...]]]:
    """Return for each level of another factor what tells its levels of the grouping factor apart, and their names.

    Parameters
    ----------
    part : GroupPart
        The term with all levels of its grouping factor.
    node : Node
        The other factor.
    context : Context
    position : int
        Of the term, for messages.
    bind : callable
        Lets a factor meet the data.

    Raises
    ------
    DataError
        If a level of the grouping factor occurs with several levels of the other one, or a level of that has one
        level of the grouping factor only.
    """
    atom, codes = bind(node, context)
    whole = part.block(context.columns)
    of = np.full(len(part.levels), -1, dtype=np.intp)
    of[whole.index] = codes
    mixed = np.flatnonzero(of[whole.index] != codes)
    if mixed.size:
        level = whole.index[mixed[0]]
        found = [atom.levels[c] for c in np.unique(codes[whole.index == level])]
        message = (
            f"The level {part.levels[level]!r} of `{part.group}` occurs with `{atom.label}` = "
            f"{' and '.join(map(repr, found))}: a level that has one covariance has one level of `{atom.label}`."
        )
        raise DataError(caret(message, context.formula, position))
    rank = np.zeros(len(of), dtype=np.intp)
    sizes = np.bincount(of, minlength=len(atom.levels))
    for code, size in enumerate(sizes):
        if size < 2:
            (only,) = np.flatnonzero(of == code)
            message = (
                f"With `{atom.label}` = {atom.levels[code]!r} there is one level of `{part.group}` "
                f"({part.levels[only]}): it says nothing about variation between groups."
            )
            raise DataError(caret(message, context.formula, position))
        rank[of == code] = np.arange(size)
    found = []
    for code, size in enumerate(sizes):
        mine = codes == code
        spreads = tuple(float(each) for each in whole.X[mine].std(axis=0))
        by = By(atom, part.group, code, of, np.minimum(rank, size - 1), part.levels, spreads)
        found.append((by, tuple(name for name, own in zip(part.levels, of, strict=True) if own == code)))
    return found

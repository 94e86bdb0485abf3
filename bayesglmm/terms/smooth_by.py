"""``by=``: what a smooth is multiplied by, or the factor each level of which has a smooth of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError
from bayesglmm.terms.atoms import Atom, bind_atom
from bayesglmm.terms.base import Context
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import caret, column_names
from bayesglmm.terms.smooth_call import SmoothCall


@dataclass(frozen=True, eq=False)
class Copy:
    """One of the curves of a smooth.

    Attributes
    ----------
    suffix : str
        What its label has behind that of the term: ``""``, ``:z``, ``:f[b]``.
    level : str or None
        The level of the factor that it is for.
    """

    suffix: str
    level: str | None = None


@dataclass(frozen=True, eq=False)
class By:
    """What multiplies a smooth.

    Attributes
    ----------
    atom : Atom or None
        None for a plain smooth.
    copies : tuple of Copy
        One curve, or one per level. Of an ordered factor the first level has none: the other curves are differences
        from a plain smooth, as in mgcv.
    constant : bool
        Whether the multiplier is the same in all rows, so that the smooth has to leave the constant out.
    """

    atom: Atom | None = None
    copies: tuple[Copy, ...] = (Copy(""),)
    constant: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the data that a numeric multiplier is computed from; none for a factor."""
        return () if self.atom is None or self.atom.is_factor else self._columns(self.atom)

    @property
    def selectors(self) -> tuple[str, ...]:
        """The columns of the data that a factor is computed from; none for a number."""
        return () if self.atom is None or not self.atom.is_factor else self._columns(self.atom)

    @staticmethod
    def _columns(atom: Atom) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name.text for name in column_names(atom.node)))

    def multiplier(self, copy: Copy, columns: Columns) -> Floats | None:
        """Return what the rows of one curve are multiplied by, shape (n,); None for one."""
        if self.atom is None:
            return None
        if copy.level is None:
            return self.atom.numbers(columns)[:, 0]
        factor = self.atom.factor(columns)
        return np.asarray(factor.codes == self.atom.levels.index(copy.level), dtype=np.float64)


def bind_by(read: SmoothCall, context: Context) -> By:
    """Let ``by=`` meet the data.

    Raises
    ------
    DataError
        For a matrix, or a factor with one level.
    """
    if read.by is None:
        return By()
    atom = bind_atom(read.by, context.columns, context.formula, context.notes)
    if atom.is_factor:
        levels = atom.levels[1:] if atom.ordered else atom.levels
        if len(atom.levels) < 2:
            message = f"`by={atom.label}` has one level ({', '.join(atom.levels)}). Leave it out."
            raise DataError(caret(message, context.formula, read.by.position))
        return By(atom, tuple(Copy(f":{atom.label}[{level}]", level) for level in levels))
    if len(atom.parts) != 1:
        message = f"`by={read.by}` has {len(atom.parts)} columns; a smooth is multiplied by one."
        raise DataError(caret(message, context.formula, read.by.position))
    values = atom.numbers(context.columns)[:, 0]
    return By(atom, (Copy(f":{atom.label}"),), bool(np.ptp(values) <= 1e-12 * np.max(np.abs(values))))

"""Data as terms see them: named columns of numbers or of factor codes, plain numpy. A leaf of this room.

`design` makes these from a data frame; nothing in this room needs to know where they came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.blocks import Floats, Ints
from bayesglmm.terms.contrasts import TREATMENT, Contrast

BOOLEAN_LEVELS = ("False", "True")


@dataclass(frozen=True, eq=False)
class Numeric:
    """Numbers.

    Attributes
    ----------
    values : ndarray, shape (), (n,) or (n, m)
        A constant, a column, or the columns of a basis such as ``poly(x, 2)``. Integers stay integers, so that
        long identifiers keep all their digits when they become factors.
    parts : tuple of str
        Names of the m columns; empty unless `values` has two axes.
    """

    values: NDArray[Any]
    parts: tuple[str, ...] = ()

    @property
    def floats(self) -> Floats:
        """The values in double precision."""
        return np.asarray(self.values, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Factor:
    """A categorical column.

    Attributes
    ----------
    codes : ndarray of int, shape (n,)
        Positions in `levels`; -1 is missing or unknown.
    levels : tuple of str
        Level names, in their order.
    ordered : bool
        Whether the data said that the order means something.
    boolean : bool
        Whether it came from truth values; then arithmetic may use it as 0 and 1.
    contrast : Contrast
        How it is coded where it has to leave out one degree of freedom.
    """

    codes: Ints
    levels: tuple[str, ...]
    ordered: bool = False
    boolean: bool = False
    contrast: Contrast = TREATMENT

    def without_unused(self) -> tuple[Factor, tuple[str, ...]]:
        """Return the factor with the levels that occur, and the names of those that do not."""
        used = np.zeros(len(self.levels), dtype=bool)
        used[self.codes[self.codes >= 0]] = True
        if used.all():
            return self, ()
        position = np.full(len(used) + 1, -1, dtype=np.intp)
        position[:-1][used] = np.arange(used.sum())
        kept = tuple(level for level, here in zip(self.levels, used, strict=True) if here)
        unused = tuple(level for level, here in zip(self.levels, used, strict=True) if not here)
        return replace(self, codes=position[self.codes], levels=kept), unused

    def recoded(self, levels: tuple[str, ...]) -> Factor:
        """Return the same rows as codes into other `levels`; a level not among them becomes -1."""
        if levels == self.levels:
            return self
        place = {level: i for i, level in enumerate(levels)}
        position = np.array([place.get(level, -1) for level in self.levels] + [-1], dtype=np.intp)
        return replace(self, codes=position[self.codes], levels=levels)


type Value = Numeric | Factor


@dataclass(frozen=True, eq=False)
class Columns:
    """The rows that a model uses.

    Attributes
    ----------
    n : int
        How many there are.
    values : mapping of str to Value
        The columns, without missing values.
    rows : ndarray, shape (n,)
        What users call each row (the index of their data frame), for messages.
    """

    n: int
    values: Mapping[str, Value]
    rows: NDArray[Any]

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> Value:
        return self.values[name]


def level_label(value: Any) -> str:
    """Return the name of a factor level: ``1`` for 1 and 1.0, ``True`` for truth, else its text."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 1e15:
        return str(int(value))
    if isinstance(value, np.generic):
        return str(value.item())
    return str(value)


def boolean_factor(truth: NDArray[np.bool_]) -> Factor:
    """Return truth values as a factor with the levels False and True."""
    return Factor(truth.astype(np.intp), BOOLEAN_LEVELS, boolean=True)


def as_factor(value: Value, n: int) -> Factor:
    """Return any value as a factor; the levels of numbers are the distinct values, in their order.

    Parameters
    ----------
    value : Value
    n : int
        Rows, for constants.
    """
    match value:
        case Factor():
            return value
        case Numeric(values):
            distinct, codes = np.unique(np.broadcast_to(values, (n,)), return_inverse=True)
            return Factor(codes.astype(np.intp, copy=False), tuple(level_label(v) for v in distinct.tolist()))

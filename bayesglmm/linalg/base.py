"""What a factorised precision matrix can do; engines ask for no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Ints = NDArray[np.intp]


class NotPositiveDefiniteError(ArithmeticError):
    """The matrix has no Cholesky factor: the point is not near a maximum, or the model is not identified."""


@dataclass(frozen=True, eq=False)
class PriorPrecision:
    """Q, where it is not the identity.

    Attributes
    ----------
    dense : ndarray, shape (d, d)
        Of the dense columns, in the order of the border.
    groups : mapping of int to ndarray
        For groups that are not spherical: entries at the pattern's `couplings`.
    """

    dense: Floats
    groups: Mapping[int, Floats] = field(default_factory=dict)


class SelectedInverse(Protocol):
    """The entries of H^-1 where A' W A + Q has entries."""

    @property
    def dense(self) -> Floats:
        """Between dense columns, in the order of the border, shape (d, d)."""

    def beside(self, g: int, a: int) -> Floats:
        """Return those between entry a of every level of group g and the dense columns, shape (levels, d)."""

    def entries(self, g: int, a: int, h: int, b: int) -> Floats:
        """Return for each row that between entry a of its level in g and entry b of its level in h, shape (n,)."""

    def levels(self, g: int) -> Floats:
        """Return the blocks of every level of group g, shape (levels, width, width)."""

    def coupled(self, g: int) -> Floats:
        """Return the entries at the pattern's couplings of group g."""


class Factor(Protocol):
    """H = L L' for a symmetric positive definite H of size d, rows and columns in the order of x."""

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right, for one or several right sides, shape (d,) or (d, m)."""

    def logdet(self) -> float:
        """Return log |H|."""

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z: for standard normal z a draw from N(0, H^-1); shape (d,) or (d, m)."""

    def half_product(self, x: Floats) -> Floats:
        """Return L' x, shape (d,) or (d, m): the inverse of `half_solve`."""

    def inverse(self) -> SelectedInverse:
        """Return the entries of H^-1 on the pattern of H."""

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1, shape (d,): the conditional variances."""

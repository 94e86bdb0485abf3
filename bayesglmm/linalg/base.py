"""What a factorised precision matrix can do; engines ask for no more."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Ints = NDArray[np.intp]


class NotPositiveDefiniteError(ArithmeticError):
    """The matrix has no Cholesky factor: the point is not near a maximum, or the model is not identified."""


class Factor(Protocol):
    """H = L L' for a symmetric positive definite H of size d, rows and columns in the order of x."""

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right, for one or several right sides, shape (d,) or (d, m)."""

    def logdet(self) -> float:
        """Return log |H|."""

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z: for standard normal z a draw from N(0, H^-1); shape (d,) or (d, m)."""

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1, shape (d,): the conditional variances."""

"""Dense Cholesky factorisation by LAPACK: right for up to a few thousand coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from bayesglmm.linalg.base import Floats, NotPositiveDefiniteError


class DenseFactor:
    """Cholesky factor of a dense copy of H.

    Parameters
    ----------
    H : array or sparse array, shape (d, d)
        Symmetric positive definite.

    Raises
    ------
    NotPositiveDefiniteError
        If it is not.
    """

    def __init__(self, H: Any) -> None:
        dense = np.asarray(H.toarray() if hasattr(H, "toarray") else H, dtype=float)
        # Scaling to a unit diagonal keeps raw columns (a year beside its square) from looking singular.
        diagonal = np.diag(dense).copy()
        if not np.all(diagonal > 0) or not np.isfinite(dense.sum()):
            raise NotPositiveDefiniteError("The precision has a non-positive diagonal.")
        self.scale = 1.0 / np.sqrt(diagonal)
        if not len(dense):
            self.L = np.zeros((0, 0))
            return
        try:
            scaled = dense * self.scale[:, None]
            scaled *= self.scale
            self.L = linalg.cholesky(scaled, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError as error:
            raise NotPositiveDefiniteError(str(error)) from None

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right."""
        if not len(self.L):
            return np.zeros_like(right)
        scale = self._scale(right)
        return scale * linalg.cho_solve((self.L, True), scale * right, check_finite=False)

    def logdet(self) -> float:
        """Return log |H|."""
        return 2.0 * float(np.log(np.diag(self.L) / self.scale).sum())

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z."""
        if not len(self.L):
            return np.zeros_like(z)
        return self._scale(z) * linalg.solve_triangular(self.L, z, lower=True, trans="T", check_finite=False)

    def half_product(self, x: Floats) -> Floats:
        """Return L' x."""
        return np.asarray(self.L.T @ (x / self._scale(x))) if len(self.L) else np.zeros_like(x)

    def inverse(self) -> Floats:
        """Return H^-1, shape (d, d)."""
        if not len(self.L):
            return np.zeros((0, 0))
        # Half the work of solving for the unit vectors; above its diagonal the result is zero, as L is.
        lower, _ = linalg.lapack.dpotri(self.L, lower=1)
        whole = lower + lower.T
        whole[np.diag_indices_from(whole)] *= 0.5
        whole *= self.scale[:, None]
        whole *= self.scale
        return np.asarray(whole)

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1."""
        return np.diag(self.inverse()).copy()

    def _scale(self, right: Floats) -> Floats:
        return self.scale if right.ndim == 1 else self.scale[:, None]

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
        diagonal = dense.diagonal()
        if not np.all(diagonal > 0) or not np.isfinite(dense.sum()):
            raise NotPositiveDefiniteError("The precision has a non-positive diagonal.")
        self.scale = 1.0 / np.sqrt(diagonal)
        if not len(dense):
            self.L, self._logdet = np.zeros((0, 0)), 0.0
            return
        scaled = dense * self.scale[:, None]
        scaled *= self.scale
        # The transpose has LAPACK's order and is no copy; of H itself only the lower triangle is read. LAPACK is
        # called without scipy's checks, which cost more than a small factorisation.
        U, failed = linalg.lapack.dpotrf(scaled.T, lower=0, clean=1, overwrite_a=1)
        self.L = U.T
        if failed:
            raise NotPositiveDefiniteError(f"Minor {failed} of the precision is not positive definite.")
        self._logdet = 2.0 * float(np.log(self.L.diagonal() / self.scale).sum())

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right."""
        if not right.size:
            return np.zeros_like(right)
        scale = self._scale(right)
        found, _ = linalg.lapack.dpotrs(self.L.T, scale * right, lower=0)
        return np.asarray(scale * found.reshape(right.shape))

    def logdet(self) -> float:
        """Return log |H|."""
        return self._logdet

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z."""
        if not z.size:
            return np.zeros_like(z)
        found, _ = linalg.lapack.dtrtrs(self.L.T, z, lower=0)
        return np.asarray(self._scale(z) * found.reshape(z.shape))

    def half_product(self, x: Floats) -> Floats:
        """Return L' x."""
        return np.asarray(self.L.T @ (x / self._scale(x))) if len(self.L) else np.zeros_like(x)

    def inverse(self) -> Floats:
        """Return H^-1, shape (d, d)."""
        if not len(self.L):
            return np.zeros((0, 0))
        # Half the work of solving for the unit vectors; below its diagonal the result is zero, as L' is.
        upper, _ = linalg.lapack.dpotri(self.L.T, lower=0)
        whole = upper + upper.T
        whole.flat[:: len(whole) + 1] *= 0.5
        whole *= self.scale[:, None]
        whole *= self.scale
        return np.asarray(whole)

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1."""
        return np.diag(self.inverse()).copy()

    def _scale(self, right: Floats) -> Floats:
        return self.scale if right.ndim == 1 else self.scale[:, None]

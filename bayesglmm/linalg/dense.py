"""Dense Cholesky factorisation by LAPACK: right for up to a few thousand coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, sparse

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
        dense = H.toarray() if sparse.issparse(H) else np.array(H, dtype=float)
        # Scaling to a unit diagonal keeps raw columns (a year beside its square) from looking singular.
        diagonal = np.diag(dense).copy()
        if not np.all(diagonal > 0) or not np.all(np.isfinite(dense)):
            raise NotPositiveDefiniteError("The precision has a non-positive diagonal.")
        self.scale = 1.0 / np.sqrt(diagonal)
        try:
            self.L = linalg.cholesky(dense * self.scale[:, None] * self.scale, lower=True, check_finite=False)
        except linalg.LinAlgError as error:
            raise NotPositiveDefiniteError(str(error)) from None

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right."""
        scale = self.scale if right.ndim == 1 else self.scale[:, None]
        return scale * linalg.cho_solve((self.L, True), scale * right, check_finite=False)

    def logdet(self) -> float:
        """Return log |H|."""
        return 2.0 * float(np.log(np.diag(self.L)).sum() - np.log(self.scale).sum())

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z."""
        scale = self.scale if z.ndim == 1 else self.scale[:, None]
        return scale * linalg.solve_triangular(self.L, z, lower=True, trans="T", check_finite=False)

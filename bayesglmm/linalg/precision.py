"""Sparse precisions by their entries, and draws from a normal distribution that is given by one alone."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu, spsolve_triangular

from bayesglmm.linalg.base import Floats, Ints, NotPositiveDefiniteError

_SYMMETRIC = {"SymmetricMode": True}


def symmetric(entries: Floats, rows: Ints, columns: Ints, size: int) -> sparse.csr_array:
    """Return a sparse symmetric matrix from the entries of its lower triangle, each given once."""
    off = rows != columns
    values = np.concatenate([entries, entries[off]])
    places = np.concatenate([rows, columns[off]]), np.concatenate([columns, rows[off]])
    return sparse.csr_array((values, places), shape=(size, size))


def precision_draws(Q: sparse.sparray, z: Floats) -> Floats:
    """Return draws from N(0, Q^-1), made of standard normal numbers.

    SuperLU without pivoting factors a reordered Q = L U with U = D L', so that U^-1 D^(1/2) z has the covariance Q^-1
    (Rue and Held 2005, section 2.3, from the Cholesky factor). Memory is that of the factor, never that of a dense Q.

    Parameters
    ----------
    Q : sparse array, shape (d, d)
        Symmetric positive definite.
    z : ndarray, shape (d, m)

    Returns
    -------
    ndarray, shape (d, m)

    Raises
    ------
    NotPositiveDefiniteError
        If Q is not positive definite.
    """
    try:
        found = splu(sparse.csc_array(Q), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=_SYMMETRIC)
    except RuntimeError as error:  # a pivot of exactly zero
        raise NotPositiveDefiniteError(str(error)) from None
    pivots = found.U.diagonal()
    if not np.array_equal(found.perm_r, found.perm_c) or not np.all(pivots > 0.0):
        raise NotPositiveDefiniteError("The precision of a block of coefficients is not positive definite.")
    drawn = spsolve_triangular(sparse.csr_array(found.U), np.sqrt(pivots)[:, None] * z, lower=False)
    return np.asarray(drawn[found.perm_c])

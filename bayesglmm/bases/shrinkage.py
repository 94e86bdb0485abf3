"""Penalties that reach their null space: they turn ``tp`` into ``ts``, ``cr`` into ``cs`` (Marra and Wood 2011)."""

from __future__ import annotations

import numpy as np

from bayesglmm.bases.base import Floats


def shrunk(penalty: Floats, null: int, factor: float, stepwise: bool = False) -> Floats:
    """Return a penalty whose zero eigenvalues are a share of the smallest positive one, as in mgcv.

    Parameters
    ----------
    penalty : ndarray, shape (k, k)
    null : int
        How many eigenvalues are zero.
    factor : float
        The share.
    stepwise : bool
        Each of them is that share of the one before, instead of all the same (mgcv's ``cs``).
    """
    values, vectors = np.linalg.eigh(penalty)
    smallest = values[null]
    for i in range(null):
        values[null - 1 - i] = smallest * factor ** (i + 1 if stepwise else 1)
    return np.asarray((vectors * values) @ vectors.T)

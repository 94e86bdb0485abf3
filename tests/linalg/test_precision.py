"""Draws from a sparse precision against dense inverses."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from bayesglmm.linalg import NotPositiveDefiniteError, precision_draws, symmetric


@pytest.mark.parametrize("density", [0.0, 0.05, 0.3])
def test_the_root_of_the_covariance(density: float) -> None:
    """Of unit vectors it makes a root R with R R' = Q^-1."""
    A = sparse.random_array((60, 60), density=density, rng=np.random.default_rng(1))
    Q = sparse.csr_array(A @ A.T + sparse.diags_array(np.linspace(0.5, 2.0, 60)))
    root = precision_draws(Q, np.eye(60))
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(Q.toarray()), rtol=1e-9, atol=1e-10)


def test_many_levels_need_no_dense_matrix() -> None:
    """An autoregression over 50,000 levels: dense it would have 20 GB. Its variance is one everywhere."""
    d, rho = 50_000, 0.9
    every = np.arange(d)
    diagonal = np.where((every == 0) | (every == d - 1), 1.0, 1.0 + rho**2)
    entries = np.concatenate([diagonal, np.full(d - 1, -rho)]) / (1.0 - rho**2)
    Q = symmetric(entries, np.concatenate([every, every[1:]]), np.concatenate([every, every[:-1]]), d)
    tracemalloc.start()
    drawn = precision_draws(Q, np.random.default_rng(2).standard_normal((d, 3)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e8
    # d (1 - rho) / (1 + rho) independent values, about: an error of the variance of 0.03.
    np.testing.assert_allclose(drawn.var(axis=0), 1.0, atol=0.12)
    np.testing.assert_allclose((drawn[1:] * drawn[:-1]).mean(axis=0), rho, atol=0.12)


@pytest.mark.parametrize("Q", [[[1.0, 2.0], [2.0, 1.0]], [[0.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]])
def test_what_is_no_precision_is_refused(Q: list[list[float]]) -> None:
    with pytest.raises(NotPositiveDefiniteError):
        precision_draws(sparse.csr_array(np.array(Q)), np.ones((2, 1)))

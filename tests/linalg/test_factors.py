"""Structured factorisations against numpy on the same matrix, dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bayesglmm.linalg import (
    ArrowFactor,
    DenseColumns,
    DenseFactor,
    GroupColumns,
    NotPositiveDefiniteError,
    Pattern,
    Rows,
    dense_matrix,
)
from bayesglmm.linalg.rows import unknown_to_zero

N, SIZE = 300, 202
EXACT = {"rtol": 1e-9, "atol": 1e-9}


@dataclass(frozen=True)
class Example:
    """A pattern with values, and the same design as dense arrays."""

    pattern: Pattern
    rows: Rows
    A: Any
    W: Any
    Q: Any
    H: Any


def example(smallest: int) -> Example:
    """Two predictors; a chain of three nested factors, two blocks on the middle one, two crossed factors."""
    rng = np.random.default_rng(1)
    fine = np.concatenate([np.arange(50), rng.integers(0, 50, N - 50)])
    middle = rng.permutation(np.arange(50) % 20)[fine]
    coarse = (np.arange(20) % 7)[middle]
    crossed, other = rng.integers(0, 8, N), rng.integers(0, 5, N)
    dense = [DenseColumns(0, 3, 0), DenseColumns(200, 2, 1)]
    groups = [
        GroupColumns(3, 50, 2, fine, 0, "fine"),
        GroupColumns(103, 20, 1, middle, 0, "middle"),
        GroupColumns(123, 7, 2, coarse, 1, "coarse"),
        GroupColumns(137, 8, 1, crossed, 0, "crossed"),
        GroupColumns(145, 5, 2, other, 1, "other"),
        GroupColumns(155, 20, 2, middle, 1, "middle"),
        GroupColumns(195, 5, 1, other, 0, "other"),
    ]
    pattern = Pattern(N, SIZE, 2, dense, groups, smallest)
    dense_values = [rng.normal(size=(N, part.width)) for part in dense]
    values = [rng.normal(size=(group.width, N)) for group in groups]
    A = np.zeros((2, N, SIZE))
    for part, columns in zip(dense, dense_values, strict=True):
        A[part.predictor, :, part.start : part.start + part.width] = columns
    for group, own in zip(groups, values, strict=True):
        for j in range(group.width):
            A[group.predictor, np.arange(N), group.columns[group.index, j]] += own[j]
    W = 0.3 * rng.normal(size=(2, 2, N))
    W = W + W.swapaxes(0, 1) + 3.0 * np.eye(2)[:, :, None]
    Q = np.diag(rng.uniform(1.0, 2.0, 5))
    whole, at = np.eye(SIZE), pattern.border[:5]
    whole[np.ix_(at, at)] = Q
    H = whole + np.einsum("pia,pqi,qib->ab", A, W, A)
    return Example(pattern, Rows(pattern, dense_values, values), A, W, Q, H)


# Where every factor with more than `smallest` columns may be a corner: chains of three, one and no corners.
@pytest.fixture(scope="module", params=[5, 90, 1000], ids=["chain", "one corner", "dense"])
def case(request: pytest.FixtureRequest) -> Example:
    return example(request.param)


def test_the_chain_of_nested_factors_is_found() -> None:
    assert [len(example(s).pattern.corners) for s in (5, 90, 1000)] == [3, 1, 0]
    assert "fine (50 x 2) in middle (20 x 3) in coarse (7 x 2)" in example(5).pattern.reason
    assert "dense" in example(1000).pattern.reason


def test_rows_multiply_as_their_matrix(case: Example) -> None:
    rng = np.random.default_rng(2)
    x, r = rng.normal(size=SIZE), rng.normal(size=(2, N))
    np.testing.assert_allclose(case.rows.eta(x), case.A @ x, **EXACT)
    np.testing.assert_allclose(case.rows.transpose(r), np.einsum("pia,pi->a", case.A, r), **EXACT)
    np.testing.assert_allclose(dense_matrix(case.pattern, case.rows.gram(case.W, case.Q)), case.H, **EXACT)


def test_factor_agrees_with_numpy(case: Example) -> None:
    factor = ArrowFactor(case.pattern, case.rows.gram(case.W, case.Q))
    right = np.random.default_rng(3).normal(size=(SIZE, 3))
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(case.H)[1], rtol=1e-12)
    np.testing.assert_allclose(factor.solve(right), np.linalg.solve(case.H, right), **EXACT)
    np.testing.assert_allclose(factor.solve(right[:, 0]), np.linalg.solve(case.H, right[:, 0]), **EXACT)
    root = factor.half_solve(np.eye(SIZE))
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(case.H), **EXACT)
    np.testing.assert_allclose(factor.inverse_diagonal(), np.diag(np.linalg.inv(case.H)), **EXACT)


def test_selected_inverse_and_leverages(case: Example) -> None:
    inverse = ArrowFactor(case.pattern, case.rows.gram(case.W, case.Q)).inverse()
    Z, found = np.linalg.inv(case.H), dense_matrix(case.pattern, inverse)
    np.testing.assert_allclose(found[found != 0], Z[found != 0], **EXACT)
    leverage = case.rows.leverage(inverse, case.W)
    np.testing.assert_allclose(leverage.h, np.einsum("pia,ab,qib->pqi", case.A, Z, case.A), **EXACT)
    K = np.einsum("pqi,ab,qib->pia", case.W, Z, case.A)
    for group, own in zip(case.pattern.groups, leverage.groups, strict=True):
        for j in range(group.width):
            expected = K[group.predictor, np.arange(N), group.columns[group.index, j]]
            np.testing.assert_allclose(own[j], expected, **EXACT)
    np.testing.assert_allclose(leverage.dense[0], K[0][:, :3], **EXACT)
    np.testing.assert_allclose(leverage.dense[1], K[1][:, 200:], **EXACT)


def test_dense_factor_agrees_with_numpy_whatever_the_scale_of_the_columns() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(20, 6)) * 10.0 ** np.arange(-3, 3)
    H = X.T @ X
    factor, right = DenseFactor(H), rng.normal(size=6)
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(H)[1], rtol=1e-10)
    np.testing.assert_allclose(H @ factor.solve(right), right, rtol=1e-8)
    np.testing.assert_allclose(factor.inverse_diagonal(), np.diag(np.linalg.inv(H)), rtol=1e-6)
    assert DenseFactor(np.zeros((0, 0))).solve(np.zeros(0)).shape == (0,)


def test_indefinite_matrices_are_refused(case: Example) -> None:
    with pytest.raises(NotPositiveDefiniteError):
        ArrowFactor(case.pattern, case.rows.gram(-case.W, case.Q))
    with pytest.raises(NotPositiveDefiniteError):
        DenseFactor(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_memory_is_estimated_before_it_is_taken() -> None:
    index = np.arange(100_000)
    pattern = Pattern(
        100_000, 200_000, 1, [], [GroupColumns(0, 100_000, 1, index), GroupColumns(100_000, 100_000, 1, index[::-1])]
    )
    assert pattern.gigabytes < 1.0, "one level per row: nested both ways, so nothing is dense"
    crossed = np.random.default_rng(0).integers(0, 50_000, 100_000)
    groups = [GroupColumns(0, 50_000, 1, index // 2), GroupColumns(50_000, 50_000, 1, crossed)]
    with pytest.raises(MemoryError, match="100,000 coefficients needs about"):
        Pattern(100_000, 100_000, 1, [], groups).check_memory(limit=1.0)


def test_rows_of_unknown_levels_have_no_columns() -> None:
    index, values = unknown_to_zero(np.array([1, -1]), np.array([[2.0, 3.0]]))
    np.testing.assert_array_equal(index, [1, 0])
    np.testing.assert_array_equal(values, [[2.0, 0.0]])

"""Structured factorisations against numpy on the same matrix, dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglmm.linalg import (
    ArrowFactor,
    CrossedFactor,
    DenseColumns,
    DenseFactor,
    GroupColumns,
    NotPositiveDefiniteError,
    Pattern,
    PriorPrecision,
    Rows,
    conditional_blocks,
    dense_matrix,
    sparse,
)
from bayesglmm.linalg.crossed import Layout
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
    Q: PriorPrecision
    H: Any

    def factor(self, W: Any) -> Any:
        """As `Rows.factor`, by the factorisation that the example is for."""
        return ArrowFactor.of(self.rows.gram(W, self.Q))


class Crossed(Example):
    """Factorised sparsely, whatever the pattern would choose."""

    layout: Layout

    def factor(self, W: Any) -> Any:
        return CrossedFactor(self.layout, self.rows, W, self.Q)


def example(smallest: int, extra: str = "", kind: type[Example] = Example) -> Any:
    """Two predictors; a chain of three nested factors, two blocks on the middle one, two crossed factors.

    With `extra` "coupled", one of the crossed factors has correlated levels, with a tridiagonal precision. With
    "several", rows belong to two levels of the one and to three of the other, now and then to the same one twice.
    """
    coupled = extra == "coupled"
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
    if extra == "several":
        groups += [
            GroupColumns(137, 8, 1, rng.integers(0, 8, N), 0, "crossed"),
            GroupColumns(145, 5, 2, rng.integers(0, 5, N), 1, "other"),
            GroupColumns(145, 5, 2, rng.integers(0, 5, N), 1, "other"),
        ]
    size = groups[4].levels * groups[4].width
    low, high = np.tril_indices(size)
    near = low - high <= 2
    low, high = low[near], high[near]
    couplings = {4: (low, high)} if coupled else {}
    pattern = Pattern(N, SIZE, 2, dense, groups, smallest, couplings)
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
    entries = {}
    if coupled:
        entries[4] = np.where(low == high, 2.0, -0.4)
        own, Q_group = groups[4].columns.ravel(), np.zeros((size, size))
        Q_group[low, high] = Q_group[high, low] = entries[4]
        whole[np.ix_(own, own)] = Q_group
    H = whole + np.einsum("pia,pqi,qib->ab", A, W, A)
    return kind(pattern, Rows(pattern, dense_values, values), A, W, PriorPrecision(Q, entries), H)


# Where every factor with more than `smallest` columns may be a corner: chains of three, one and no corners. The
# sparse factorisation with its own split between sparse columns and dense block, with no dense block, and with no
# sparse columns.
CASES = {
    "chain": (5, None),
    "one corner": (90, None),
    "dense": (1000, None),
    "sparse": (90, sparse.RATES[0]),
    "sparse throughout": (90, 1e18),
    "sparse with no sparse columns": (90, 1e-3),
}


@pytest.fixture(scope="module", params=[(n, extra) for n in CASES for extra in ("", "coupled", "several")], ids=str)
def case(request: pytest.FixtureRequest) -> Any:
    name, extra = request.param
    smallest, rate = CASES[name]
    if rate is None:
        return example(smallest, extra)
    found = example(smallest, extra, Crossed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "RATES", (rate, sparse.RATES[1]))
        object.__setattr__(found, "layout", Layout(found.pattern))
    own = found.layout.elimination
    assert {"sparse": 0 < own.s < own.m, "sparse throughout": own.s == own.m}.get(name, own.s == 0)
    return found


def test_the_chain_of_nested_factors_is_found() -> None:
    assert [len(example(s).pattern.corners) for s in (5, 90, 1000)] == [3, 1, 0]
    assert "fine (50 x 2) in middle (20 x 3) in coarse (7 x 2)" in example(5).pattern.reason
    assert "dense" in example(1000).pattern.reason


def test_rows_multiply_as_their_matrix(case: Example) -> None:
    rng = np.random.default_rng(2)
    x, r = rng.normal(size=SIZE), rng.normal(size=(2, N))
    np.testing.assert_allclose(case.rows.eta(x), case.A @ x, **EXACT)
    several = rng.normal(size=(SIZE, 3))
    np.testing.assert_allclose(case.rows.etas(several), (case.A @ several).swapaxes(1, 2), **EXACT)
    several[case.pattern.border] = 0.0
    without = case.rows.etas(several, border=False)
    np.testing.assert_allclose(without, (case.A @ several).swapaxes(1, 2), **EXACT)
    np.testing.assert_allclose(case.rows.transpose(r), np.einsum("pia,pi->a", case.A, r), **EXACT)
    if not isinstance(case, Crossed):
        np.testing.assert_allclose(dense_matrix(case.rows.gram(case.W, case.Q)), case.H, **EXACT)


def test_factor_agrees_with_numpy(case: Example) -> None:
    factor = case.factor(case.W)
    right = np.random.default_rng(3).normal(size=(SIZE, 3))
    np.testing.assert_allclose(factor.logdet(), np.linalg.slogdet(case.H)[1], rtol=1e-12)
    np.testing.assert_allclose(factor.solve(right), np.linalg.solve(case.H, right), **EXACT)
    np.testing.assert_allclose(factor.solve(right[:, 0]), np.linalg.solve(case.H, right[:, 0]), **EXACT)
    root = factor.half_solve(np.eye(SIZE))
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(case.H), **EXACT)
    np.testing.assert_allclose(factor.half_product(root), np.eye(SIZE), atol=1e-9)
    np.testing.assert_allclose(factor.half_product(factor.half_solve(right[:, 0])), right[:, 0], **EXACT)
    np.testing.assert_allclose(factor.inverse_diagonal(), np.diag(np.linalg.inv(case.H)), **EXACT)


def test_a_draw_has_the_inverse_as_covariance(case: Example) -> None:
    """4,000 draws leave 1 / sqrt(2000) = 0.022 of every variance: five of these for the largest of 202."""
    z = np.random.default_rng(5).normal(size=(SIZE, 4000))
    drawn = case.factor(case.W).half_solve(z)
    np.testing.assert_allclose(drawn.var(axis=1) / np.diag(np.linalg.inv(case.H)), 1.0, atol=0.11)


def test_selected_inverse_and_leverages(case: Example) -> None:
    inverse = case.factor(case.W).inverse()
    Z = np.linalg.inv(case.H)
    leverage = case.rows.leverage(inverse, case.W)
    np.testing.assert_allclose(leverage.h, np.einsum("pia,ab,qib->pqi", case.A, Z, case.A), **EXACT)
    np.testing.assert_allclose(case.rows.covariances(inverse), leverage.h, **EXACT)
    K = np.einsum("pqi,ab,qib->pia", case.W, Z, case.A)
    for g, (group, own) in enumerate(zip(case.pattern.groups, leverage.groups, strict=True)):
        for j in range(group.width):
            expected = K[group.predictor, np.arange(N), group.columns[group.index, j]]
            np.testing.assert_allclose(own[j], expected, **EXACT)
        levels = Z[group.columns[:, :, None], group.columns[:, None, :]]
        np.testing.assert_allclose(inverse.levels(g), levels, **EXACT)
    np.testing.assert_allclose(leverage.dense[0], K[0][:, :3], **EXACT)
    np.testing.assert_allclose(leverage.dense[1], K[1][:, 200:], **EXACT)
    for g, (rows, columns) in case.pattern.couplings.items():
        own_columns = case.pattern.groups[g].columns.ravel()
        np.testing.assert_allclose(inverse.coupled(g), Z[own_columns[rows], own_columns[columns]], **EXACT)


def test_blocks_of_the_inverse_given_dense_columns(case: Example) -> None:
    inverse, given = case.factor(case.W).inverse(), case.pattern.border[[0, 3]]
    for group in case.pattern.groups:
        found = conditional_blocks(case.pattern, inverse, group.start, given)
        left = np.setdiff1d(np.arange(SIZE), given)
        Z = np.zeros((SIZE, SIZE))
        Z[np.ix_(left, left)] = np.linalg.inv(case.H[np.ix_(left, left)])
        np.testing.assert_allclose(found, Z[group.columns[:, :, None], group.columns[:, None, :]], **EXACT)


@pytest.mark.parametrize("smallest", [5, 90])
def test_the_inverse_given_the_border(smallest: int) -> None:
    found = example(smallest)
    inside = np.setdiff1d(np.arange(SIZE), found.pattern.border)
    Z = np.zeros((SIZE, SIZE))
    Z[np.ix_(inside, inside)] = np.linalg.inv(found.H[np.ix_(inside, inside)])
    given = found.factor(found.W).inverse_given_border()
    entries = dense_matrix(given)
    np.testing.assert_allclose(entries[entries != 0], Z[entries != 0], **EXACT)
    exact = np.einsum("pia,ab,qib->pqi", found.A, Z, found.A)
    for border in (False, True):
        np.testing.assert_allclose(found.rows.covariances(given, border), exact, **EXACT)


def test_the_arrow_inverse_is_right_wherever_it_has_entries() -> None:
    found = example(5)
    Z, entries = np.linalg.inv(found.H), dense_matrix(found.factor(found.W).inverse())
    np.testing.assert_allclose(entries[entries != 0], Z[entries != 0], **EXACT)


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
        case.factor(-case.W)
    with pytest.raises(NotPositiveDefiniteError):
        DenseFactor(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_memory_is_estimated_before_it_is_taken() -> None:
    index = np.arange(100_000)
    pattern = Pattern(
        100_000, 200_000, 1, [], [GroupColumns(0, 100_000, 1, index), GroupColumns(100_000, 100_000, 1, index[::-1])]
    )
    assert pattern.gigabytes < 1.0, "one level per row: nested both ways, so nothing is dense"
    names = r"small \(10000 x 1\) .*big \(10000 x 1\)"
    with pytest.raises(MemoryError, match=f"20,001 coefficients needs about .* GB; .* {names}"):
        crossed(100_000, 10_000).check_memory(limit=0.1)


def crossed(rows: int, levels: int, home: float = 0.0) -> Pattern:
    """Two factors with as many levels; a share `home` of the rows of a level is with one level of the other."""
    rng = np.random.default_rng(0)
    big = rng.integers(0, levels, rows)
    small = np.where(rng.random(rows) < home, big // 2, rng.integers(0, levels, rows))
    groups = [GroupColumns(1, levels, 1, small, 0, "small"), GroupColumns(1 + levels, levels, 1, big, 0, "big")]
    return Pattern(rows, 2 * levels + 1, 1, [DenseColumns(0, 1)], groups)


def test_the_choice_and_its_reason() -> None:
    """Few columns: an arrow. Many, mostly nested: hardly anything is dense. Many at random: the Schur complement."""
    few, nested, random = crossed(2_000, 50), crossed(40_000, 4_000, 0.99), crossed(40_000, 1_200)
    assert few.layout is None
    assert few.reason.startswith("block arrow: small (50 x 1) eliminated level by level, the other 51 coefficients")
    assert "big (50 x 1) crosses" in few.reason
    assert nested.layout is not None
    assert nested.layout.elimination.t < 400
    assert nested.gigabytes < 0.05
    assert "sparse Cholesky: small (4000 x 1) and big (4000 x 1) in order of minimum degree" in repr(nested)
    assert "4001 dense ones" in nested.reason
    assert random.layout is not None
    assert 600 < random.layout.elimination.t <= 1_201


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_an_elimination_order_is_one_and_its_pattern_holds_the_factor(seed: int) -> None:
    """For random sparse matrices: every column once, and L of the permuted matrix lies in the pattern."""
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 60))
    pairs = rng.integers(0, m, size=(int(rng.integers(1, 3 * m)), 2))
    H = np.zeros((m, m))
    H[pairs[:, 0], pairs[:, 1]] = rng.normal(size=len(pairs))
    H = H @ H.T + m * np.eye(m)
    rows, columns = np.nonzero(np.tril(H, -1))
    first = [0, m - 1] if H[0, m - 1] == 0 else [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sparse, "RATES", (1e18, 1.0))
        found = sparse.analyse(np.arange(m), rows, columns, 0, first)
    assert sorted(found.place) == list(range(m))
    order = np.argsort(found.place)
    L = np.linalg.cholesky(H[np.ix_(order, order)])
    inside = np.zeros((m, m), dtype=bool)
    inside[found.rows, np.repeat(np.arange(found.s), np.diff(found.start))] = True
    inside[found.s :, found.s :] = True
    assert np.all(inside | (np.abs(L) < 1e-12))


def test_rows_of_unknown_levels_have_no_columns() -> None:
    index, values = unknown_to_zero(np.array([1, -1]), np.array([[2.0, 3.0]]))
    np.testing.assert_array_equal(index, [1, 0])
    np.testing.assert_array_equal(values, [[2.0, 0.0]])

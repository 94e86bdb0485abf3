"""Tensor products of bases: te(), ti() and t2() (Wood 2006, Biometrics 62; Wood, Scheipl and Faraway 2013)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from bayesglmm.bases.base import FittedBasis, Floats, Monomial, evaluate_monomials, signed


@dataclass(frozen=True, eq=False)
class Margin:
    """One factor of the product, in coordinates in which its penalty is diagonal.

    Attributes
    ----------
    basis : FittedBasis
    dimension : int
        How many covariates it takes.
    coordinates : ndarray, shape (k, q)
        Of the columns in the basis; those that the penalty does not see come first.
    diagonal : ndarray, shape (q,)
        The penalty in these coordinates.
    null : tuple of Monomial
        What the first columns span.
    """

    basis: FittedBasis
    dimension: int
    coordinates: Floats
    diagonal: Floats
    null: tuple[Monomial, ...]

    def columns(self, x: Floats) -> Floats:
        """Return the columns at covariate values x (n, dimension), shape (n, q)."""
        return self.basis.columns(x) @ self.coordinates


@dataclass(frozen=True, eq=False)
class Tensor(FittedBasis):
    """A tensor product.

    Attributes
    ----------
    margins : tuple of Margin
    diagonals : ndarray, shape (M, k)
        The penalties, all of them diagonal.
    has_constant : bool
        Whether the product spans the constant.
    """

    margins: tuple[Margin, ...]
    diagonals: Floats
    null: tuple[Monomial, ...]
    has_constant: bool

    @property
    def penalties(self) -> tuple[Floats, ...]:  # type: ignore[override]
        """The penalties as matrices."""
        return tuple(np.diag(diagonal) for diagonal in self.diagonals)

    def columns(self, x: Floats) -> Floats:
        ends = np.cumsum([margin.dimension for margin in self.margins])
        pieces = np.split(x, ends[:-1], axis=1)
        out = np.ones((len(x), 1))
        for own, piece in zip(self.margins, pieces, strict=True):
            out = _row_products(out, own.columns(piece))
        return out

    def axes(self) -> tuple[Floats, Floats]:
        return np.eye(self.diagonals.shape[1]), self.diagonals


def margin(basis: FittedBasis, x: Floats, by_values: bool, constrain: bool) -> Margin:
    """Return a margin of te() or ti() in mgcv's coordinates.

    A penalty of one margin is applied along every coordinate of the others, so the coordinates matter: they are the
    values of the function at evenly spaced points of the covariate, unless the basis is in terms of values already.

    Parameters
    ----------
    basis : FittedBasis
        With one penalty.
    x : ndarray, shape (n, d)
    by_values : bool
        Change to values at evenly spaced points: for bases of one covariate that are not in terms of values.
    constrain : bool
        Leave out the constant, as ti() does.
    """
    B = basis.columns(x)
    k = B.shape[1]
    T = np.linalg.qr(B.mean(axis=0)[:, None], mode="complete")[0][:, 1:] if constrain else np.eye(k)
    if by_values:
        even = np.linspace(x.min(), x.max(), T.shape[1])[:, None]
        u, s, vt = np.linalg.svd(basis.columns(even) @ T)
        if s[-1] > s[0] * np.finfo(float).eps ** 0.66:
            T = T @ (vt.T / s) @ u.T
    null = tuple(powers for powers in basis.null if any(powers) or not constrain)
    values, vectors = np.linalg.eigh(T.T @ basis.penalties[0] @ T)
    values[: len(null)] = 0.0
    return Margin(basis, x.shape[1], T @ signed(vectors), values / values[-1], null)


def separable_margin(basis: FittedBasis, x: Floats) -> Margin:
    """Return a margin of t2(): polynomials and penalised columns, each of root mean square one over the data."""
    values, vectors = np.linalg.eigh(basis.penalties[0])
    m = len(basis.null)
    B = basis.columns(x)
    N = vectors[:, :m]
    P = evaluate_monomials(x - x.mean(axis=0), basis.null)
    if m:
        P = np.linalg.qr(P)[0] * np.sqrt(len(x))
        N = N @ np.linalg.lstsq(B @ N, P, rcond=None)[0]
    R = vectors[:, m:] / np.sqrt(values[m:])
    R = R / np.sqrt(np.mean(np.square(B @ R)))
    diagonal = np.concatenate([np.zeros(m), np.ones(R.shape[1])])
    return Margin(basis, x.shape[1], np.hstack([N, R]), diagonal, basis.null)


def tensor(margins: Sequence[Margin], constrained: bool) -> Tensor:
    """Return a tensor product with one penalty for each margin: te() and ti().

    Parameters
    ----------
    margins : sequence of Margin
    constrained : bool
        Whether the margins leave out the constant.
    """
    diagonals = []
    for j, own in enumerate(margins):
        parts = [own.diagonal if i == j else np.ones_like(m.diagonal) for i, m in enumerate(margins)]
        diagonals.append(reduce(_kron, parts))
    return Tensor(tuple(margins), np.stack(diagonals), _null(margins), not constrained)


def separable_tensor(margins: Sequence[Margin]) -> tuple[Tensor, tuple[tuple[int, ...], ...]]:
    """Return t2(): a penalty for each choice of penalised and unpenalised parts of the margins.

    Returns
    -------
    Tensor
    tuple of tuple of int
        For each penalty the margins whose penalised part it is about.
    """
    seen = [margin.diagonal > 0.0 for margin in margins]
    diagonals, about = [], []
    for choice in product((True, False), repeat=len(margins)):
        if not any(choice):
            continue
        own = reduce(
            _kron, [np.asarray(mask if c else ~mask, np.float64) for c, mask in zip(choice, seen, strict=True)]
        )
        if own.any():
            diagonals.append(own.astype(float))
            about.append(tuple(j for j, c in enumerate(choice) if c))
    return Tensor(tuple(margins), np.stack(diagonals), _null(margins), True), tuple(about)


def _null(margins: Sequence[Margin]) -> tuple[Monomial, ...]:
    combined = product(*(margin.null for margin in margins))
    return tuple(
        sorted((sum(parts, ()) for parts in combined), key=lambda powers: (sum(powers), [-p for p in powers]))
    )


def _kron(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.kron(left, right), dtype=np.float64)


def _row_products(left: Floats, right: Floats) -> Floats:
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)

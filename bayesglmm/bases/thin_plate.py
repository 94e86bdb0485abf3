"""Thin plate regression splines in any number of covariates: ``bs="tp"``, and ``"ts"`` with shrinkage.

Wood (2003), Thin plate regression splines, JRSS B 65, 95-114: the radial basis at the distinct data points is
truncated to the k eigenvectors with the largest eigenvalues, the best approximation of its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, gamma, pi

import numpy as np
from scipy.sparse.linalg import eigsh
from scipy.spatial.distance import cdist

from bayesglmm.bases.base import (
    BASES,
    Basis,
    BasisOptions,
    FittedBasis,
    Floats,
    Monomial,
    basis_size,
    evaluate_monomials,
    monomials,
    order,
    polynomial_count,
    require_distinct,
    require_plane,
    signed,
)
from bayesglmm.bases.shrinkage import shrunk
from bayesglmm.errors import DataError

MOST_POINTS = 2000
"""Radial functions sit at this many of the distinct points at most, drawn at random (mgcv's ``max.knots``)."""
_PIECE = 2**22  # distances held at once


@dataclass(frozen=True, eq=False)
class FittedThinPlate(FittedBasis):
    """A truncated thin plate spline.

    Attributes
    ----------
    points : ndarray, shape (nu, d)
        Centres of the radial functions, with the means of the covariates taken off.
    centre : ndarray, shape (d,)
        These means.
    order : int
        Derivatives of this order are penalised.
    radial : ndarray, shape (nu, k)
        Weights of the radial functions in each column.
    polynomial : ndarray, shape (M, k)
        Weights of the monomials.
    exponents : tuple of Monomial
        The monomials.
    """

    points: Floats
    centre: Floats
    order: int
    radial: Floats
    polynomial: Floats
    exponents: tuple[Monomial, ...]
    penalties: tuple[Floats, ...]
    null: tuple[Monomial, ...]

    def columns(self, x: Floats) -> Floats:
        centred = x - self.centre
        out = evaluate_monomials(centred, self.exponents) @ self.polynomial
        step = max(1, _PIECE // len(self.points))
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            out[part] += radial_function(cdist(centred[part], self.points), self.order, x.shape[1]) @ self.radial
        return out


class ThinPlate(Basis):
    """The penalty is the integral of the squared derivatives of order m, the same in every direction."""

    name = "tp"
    title = "thin plate regression spline"
    dimensions = (1, 4)
    shrink: float | None = None

    def fit(self, x: Floats, options: BasisOptions) -> FittedThinPlate:
        d = x.shape[1]
        m = order(options, (_default_order(d),), (1,))[0]
        if 2 * m <= d:
            raise DataError(f"m={m} is too small: a thin plate spline of {d} covariates needs 2m > {d}.")
        M = polynomial_count(d, m - 1)
        k = basis_size(
            options, M + (8, 27, 100)[min(d, 3) - 1], M + 1, f"a {self.title} of {d} covariate{'s'[: d - 1]}"
        )
        centre = x.mean(axis=0)
        points = centres(require_distinct(x, k)) - centre
        exponents = tuple(sorted(monomials(d, m - 1), key=lambda powers: powers[::-1]))
        if d > 1:
            require_plane(points, exponents)
        values, vectors = largest(radial_function(cdist(points, points), m, d), k)
        T = evaluate_monomials(points, exponents)
        # delta = Z d with T' U delta = 0: what is left of the radial functions is orthogonal to polynomials
        Z = _null_space((vectors.T @ T).T)
        radial = np.hstack([vectors @ Z, np.zeros((len(points), M))])
        polynomial = np.hstack([np.zeros((M, k - M)), np.eye(M)])
        penalty = np.zeros((k, k))
        penalty[: k - M, : k - M] = Z.T @ (values[:, None] * Z)
        raw = FittedThinPlate(points, centre, m, radial, polynomial, exponents, (penalty,), exponents)
        # columns of root mean square one over the data, as mgcv has them: shrinkage and tensor products depend on it
        scale = 1.0 / np.sqrt(np.mean(np.square(raw.columns(x)), axis=0))
        penalty = penalty * scale * scale[:, None]
        penalty = (penalty + penalty.T) / 2.0
        null = exponents
        if self.shrink is not None:
            penalty, null = shrunk(penalty, M, self.shrink), ()
        return FittedThinPlate(points, centre, m, radial * scale, polynomial * scale, exponents, (penalty,), null)


class ShrunkenThinPlate(ThinPlate):
    """Like `tp`, but polynomials are penalised too, a little: the whole smooth can shrink to nothing."""

    name = "ts"
    title = "thin plate regression spline with shrinkage"
    shrink = 0.1


def radial_function(r: Floats, m: int, d: int) -> Floats:
    """Return the thin plate radial function of order m in d dimensions at distances r; the penalty's own constant.

    Parameters
    ----------
    r : ndarray
    m, d : int
        With 2m > d.
    """
    if d % 2 == 0:
        constant = (-1.0) ** (m + 1 + d // 2) / (
            2.0 ** (2 * m - 1) * pi ** (d / 2) * factorial(m - 1) * factorial(m - d // 2)
        )
        squared = r * r
        with np.errstate(divide="ignore", invalid="ignore"):
            values = constant * 0.5 * squared ** (m - d // 2) * np.log(squared)
        return np.where(squared > 0.0, values, 0.0)
    constant = gamma(d / 2 - m) / (2.0 ** (2 * m) * pi ** (d / 2) * factorial(m - 1))
    return np.asarray(constant * r ** (2 * m - d))


def _default_order(d: int) -> int:
    m = 1
    while 2 * m <= d + 1:
        m += 1
    return m


def _null_space(A: Floats) -> Floats:
    """Return an orthonormal basis of the null space of A (M, k), shape (k, k - M).

    The columns are scaled one by one later, so which basis it is matters to shrinkage and tensor products:
    Householder reflections from the last column on, as in mgcv.
    """
    A, (rows, k) = A.copy(), A.shape
    Q = np.eye(k)
    for i in range(rows):
        width = k - i
        u = A[i, :width].copy()
        length = float(np.copysign(np.linalg.norm(u), u[-1]))
        u[-1] += length
        u *= np.sqrt(1.0 / (length * u[-1]))
        for matrix in (A, Q):
            matrix[:, :width] -= np.outer(matrix[:, :width] @ u, u)
    return Q[:, : k - rows]


def centres(distinct: Floats) -> Floats:
    """Return the points at which radial functions sit: all, or a random choice that is always the same."""
    if len(distinct) <= MOST_POINTS:
        return distinct
    chosen = np.random.default_rng(1).choice(len(distinct), MOST_POINTS, replace=False)
    return distinct[np.sort(chosen)]


def largest(E: Floats, k: int) -> tuple[Floats, Floats]:
    """Return the k eigenvalues of largest size, in decreasing order, and their vectors (n, k)."""
    n = len(E)
    if n <= 400 or 3 * k > n:
        values, vectors = np.linalg.eigh(E)
        chosen = np.sort(np.argsort(-np.abs(values), kind="stable")[:k])[::-1]
        return values[chosen], signed(vectors[:, chosen])
    start = np.random.default_rng(1).standard_normal(n)
    values, vectors = eigsh(E, k=k, which="LM", v0=start, tol=0)
    chosen = np.argsort(-values, kind="stable")
    return values[chosen], signed(vectors[:, chosen])


BASES.register(ThinPlate())
BASES.register(ShrunkenThinPlate())

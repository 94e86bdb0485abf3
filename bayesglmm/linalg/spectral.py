"""Precisions that are diagonal in one basis whatever the parameters: eigenvectors are computed once.

One grouping factor whose J levels are related to each other, dense columns beside it, and rows whose weights keep
their ratios (normal responses): with w the common weight and m the precision of the effects,

    H = [ w X'S X + Q,  w X'S Z ;  w Z'S X,  w Z'S Z + m Q0 ].

There is V with V' Q0 V = I and V' Z'S Z V = diag(mu) (Golub and Van Loan 2013, section 8.7). In the coordinates
b = V a the large block is diag(w mu + m), so that a factorisation costs O(J d^2) for d dense columns, where that of
Cholesky costs O(J^3). This is the rotation of EMMA, FaST-LMM and GEMMA (Kang et al. 2008, Lippert et al. 2011), for
any number of rows per level, levels without rows, and weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from bayesglmm.linalg.base import Floats, Ints
from bayesglmm.linalg.dense import DenseFactor
from bayesglmm.linalg.pattern import Pattern


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The basis, and what does not depend on w and m.

    Attributes
    ----------
    V : ndarray, shape (J, J)
    back : ndarray, shape (J, J)
        Its inverse.
    mu : ndarray, shape (J,)
        Not negative.
    logdet : float
        log |Q0|.
    gram : ndarray, shape (d, d)
        X'S X.
    link : ndarray, shape (J, d)
        V'Z'S X.
    """

    V: Floats
    back: Floats
    mu: Floats
    logdet: float
    gram: Floats
    link: Floats

    @classmethod
    def of(cls, axes: Floats, sds: Floats, weight: Floats, sums: Floats, gram: Floats) -> Spectrum:
        """Return the spectrum of effects whose independent axes are known.

        Parameters
        ----------
        axes : ndarray, shape (J, J)
            Orthonormal eigenvectors of Q0.
        sds : ndarray, shape (J,)
            Standard deviations along them, of the effects with precision Q0.
        weight : ndarray, shape (J,)
            Diagonal of Z'S Z.
        sums : ndarray, shape (J, d)
            Z'S X.
        gram : ndarray, shape (d, d)
            X'S X.
        """
        V, back = axes * sds, (axes / sds).T
        if np.ptp(weight) <= 1e-12 * weight.max():
            mu = weight.mean() * sds**2
        else:
            mu, turn = linalg.eigh(V.T @ (weight[:, None] * V), check_finite=False)
            V, back, mu = V @ turn, turn.T @ back, np.maximum(mu, 0.0)
        return cls(V, back, mu, -2.0 * float(np.log(sds).sum()), gram, V.T @ sums)


@dataclass(frozen=True, eq=False)
class AlongAxes:
    """The matrix m Q0, by what it does to vectors.

    Attributes
    ----------
    spectrum : Spectrum
    m : float
    """

    spectrum: Spectrum
    m: float

    @property
    def shape(self) -> tuple[int, int]:
        """Its shape."""
        return self.spectrum.back.shape[1], self.spectrum.back.shape[1]

    def __matmul__(self, x: Floats) -> Floats:
        """Return m Q0 x, shape (J,) or (J, k)."""
        return np.asarray(self.m * (self.spectrum.back.T @ (self.spectrum.back @ x)))


class SpectralFactor:
    """H = L L' of the module's docstring, as a `Factor`.

    Parameters
    ----------
    spectrum : Spectrum
    pattern : Pattern
        Whose border are the d dense columns and then the J levels of its only group.
    w, m : float
        Positive.
    prior : ndarray, shape (d, d)
        Q of the dense columns.
    columns : ndarray of int
        Which of the spectrum's dense columns are in x.

    Raises
    ------
    NotPositiveDefiniteError
        If H is not positive definite.
    """

    def __init__(
        self, spectrum: Spectrum, pattern: Pattern, w: float, m: float, prior: Floats, columns: Ints
    ) -> None:
        self.spectrum, self.pattern, self.w, self.m = spectrum, pattern, w, m
        self.d = pattern.dense_width
        self.s = 1.0 / (w * spectrum.mu + m)
        # Between the dense columns and every axis, and what remains of the former without the latter.
        self.F = self.s[:, None] * (w * spectrum.link[:, columns])
        self.gram = spectrum.gram[np.ix_(columns, columns)]
        self.schur = DenseFactor(w * self.gram + prior - self._through())

    def _through(self) -> Floats:
        return np.asarray(self.F.T @ (self.F / self.s[:, None]))

    def along(self, dense: Floats, axes: Floats) -> tuple[Floats, Floats]:
        """Return the solution of H x = r in the coordinates of the axes, for r in them; shapes (d,) and (J,)."""
        top = self.schur.solve(dense - self.F.T @ axes)
        return top, (axes.T * self.s).T - self.F @ top

    def _parts(self, x: Floats) -> tuple[Floats, Floats]:
        return x[self.pattern.border[: self.d]], x[self.pattern.border[self.d :]]

    def whole(self, dense: Floats, levels: Floats) -> Floats:
        """Return a vector in the order of x from its dense columns and its levels."""
        out = np.empty((self.pattern.size, *levels.shape[1:]))
        out[self.pattern.border[: self.d]], out[self.pattern.border[self.d :]] = dense, levels
        return out

    def solve(self, right: Floats) -> Floats:
        """Return H^-1 right, shape (size,) or (size, m)."""
        dense, levels = self._parts(right)
        top, axes = self.along(dense, self.spectrum.V.T @ levels)
        return self.whole(top, self.spectrum.V @ axes)

    def logdet(self) -> float:
        """Return log |H|."""
        return self.schur.logdet() - float(np.log(self.s).sum()) + self.spectrum.logdet

    def half_solve(self, z: Floats) -> Floats:
        """Return L^-T z, shape (size,) or (size, m)."""
        dense, levels = self._parts(z)
        top = self.schur.half_solve(dense)
        return self.whole(top, self.spectrum.V @ ((levels.T * np.sqrt(self.s)).T - self.F @ top))

    def half_product(self, x: Floats) -> Floats:
        """Return L' x, shape (size,) or (size, m)."""
        dense, levels = self._parts(x)
        axes = self.spectrum.back @ levels + self.F @ dense
        return self.whole(self.schur.half_product(dense), (axes.T / np.sqrt(self.s)).T)

    def traces(self) -> tuple[float, float]:
        """Return tr(H^-1 A'SA) and tr(H^-1 Q0): the derivatives of log |H| in w and in m."""
        inverse = self.schur.inverse()
        levels = float(self.s.sum() + np.einsum("ij,jk,ik->", self.F, inverse, self.F))
        weighted = self.F * self.spectrum.mu[:, None]
        rows = float((self.s * self.spectrum.mu).sum() + np.einsum("ij,jk,ik->", weighted, inverse, self.F))
        return rows + float(np.sum(inverse * (self.gram - 2.0 * self._through() / self.w))), levels

    def inverse(self) -> SpectralInverse:
        """Return the entries of H^-1 on the pattern of H."""
        return SpectralInverse(self)

    def inverse_diagonal(self) -> Floats:
        """Return the diagonal of H^-1."""
        found = self.inverse()
        return self.whole(np.diag(found.dense), found.diagonal)


class SpectralInverse:
    """The entries of H^-1 where H has any, made when asked for: a `SelectedInverse`."""

    def __init__(self, factor: SpectralFactor) -> None:
        self.factor = factor

    @cached_property
    def dense(self) -> Floats:
        """Between dense columns."""
        return self.factor.schur.inverse()

    @cached_property
    def _leaning(self) -> Floats:
        """How levels lean on the dense columns, shape (J, d)."""
        return -self.factor.spectrum.V @ self.factor.F

    @cached_property
    def _beside(self) -> Floats:
        return np.asarray(self._leaning @ self.dense)

    @cached_property
    def diagonal(self) -> Floats:
        """The variances of the levels, shape (J,)."""
        own = (self.factor.spectrum.V**2) @ self.factor.s
        return np.asarray(own + np.einsum("ij,ij->i", self._beside, self._leaning))

    @cached_property
    def _levels(self) -> Floats:
        """Between all levels, shape (J, J)."""
        root = self.factor.spectrum.V * np.sqrt(self.factor.s)
        return np.asarray(root @ root.T + self._beside @ self._leaning.T)

    def beside(self, g: int, a: int) -> Floats:
        """Return the entries between the levels and the dense columns, shape (J, d)."""
        return self._beside

    def entries(self, g: int, a: int, h: int, b: int) -> Floats:
        """Return for each row the variance of its level, shape (n,)."""
        return np.asarray(self.diagonal[self.factor.pattern.groups[g].index])

    def levels(self, g: int) -> Floats:
        """Return the variances of the levels as blocks, shape (J, 1, 1)."""
        return self.diagonal[:, None, None]

    def coupled(self, g: int) -> Floats:
        """Return the entries at the pattern's couplings."""
        rows, columns = self.factor.pattern.couplings[g]
        return np.asarray(self._levels[rows, columns])

"""What Laplace's approximation replaces by a normal density: the integrand of each level's effects, as it is.

For one level, with hyperparameters, population coefficients and all other effects held at their modes, the integrand
is f(u) = p(y | u) N(u; 0, I). Along the principal axes of its curvature, in units z of the standard deviation of the
normal approximation, t(z) = f(z) / f(0) exp(z^2 / 2) is 1 where the approximation is exact (Bates et al., in the
chapter on generalised linear mixed models of the lme4 book, plot f and t for every level).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayesglmm.blocks import Floats
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.problem import BlockParts

_REACH, _POINTS = 8.0, 161  # skewed integrands are heavy on one side


@dataclass(frozen=True, eq=False)
class Integrands:
    """The integrands of one random block.

    Attributes
    ----------
    block : BlockParts
    z : ndarray, shape (m,)
        Positions, in standard deviations of the normal approximation.
    log_t : ndarray, shape (levels, axes, m)
        log t(z); the first axis of a level is the widest one.
    """

    block: BlockParts
    z: Floats
    log_t: Floats

    @property
    def t(self) -> Floats:
        """Integrand over its normal approximation, shape (levels, axes, m)."""
        with np.errstate(over="ignore"):
            return np.exp(self.log_t)

    @property
    def density(self) -> Floats:
        """The integrand on the scale on which its approximation is the standard normal density."""
        return np.asarray(np.exp(self.log_t + self._log_normal))

    @property
    def normal(self) -> Floats:
        """The standard normal density, shape (m,)."""
        return np.asarray(np.exp(self._log_normal))

    @property
    def log_error(self) -> Floats:
        """What Laplace's approximation leaves out: log of the mean of t, shape (levels, axes)."""
        return np.asarray(np.log(np.trapezoid(self.density, self.z) / np.trapezoid(self.normal, self.z)))

    @property
    def _log_normal(self) -> Any:
        return -0.5 * self.z**2 - 0.5 * np.log(2.0 * np.pi)


def integrands(view: LatentView, theta: Floats, x: Floats) -> list[Integrands]:
    """Evaluate the integrand of every level of every grouping factor.

    Parameters
    ----------
    view : LatentView
    theta : ndarray, shape (t,)
    x : ndarray, shape (view.size,)
        The conditional mode, in the view's layout.
    """
    natural = view.natural(theta)
    phi = view.dispersions(natural)
    etas = np.array([offset + A @ x for offset, A in view.design(theta)])
    d2 = view.elementwise(list(etas), phi, 1).d2
    assert d2 is not None
    z = np.linspace(-_REACH, _REACH, _POINTS)
    factors = view.factors(natural)
    own = {part.name: part for part in view.parts}
    found = []
    for block, Lambda in zip(view.problem.blocks, factors, strict=True):
        part = own[block.names.u]
        # Whether levels are independent of each other.
        alone = part.role == "spherical" and block.block.shares is None
        alone &= block.covariance.loadings(block.block) is None
        if block.block.kind != "group" or not alone:
            continue
        level = _Level(block, Lambda)
        p, mode = part.predictor, x[part.slice].reshape(part.shape)
        axes = level.axes(-d2[p, p])
        log_t = np.empty((*axes.shape[:2], len(z)))
        for a in range(axes.shape[1]):
            move = level.rows(axes[:, a])
            for k, step in enumerate(z):
                there = etas.copy()
                there[p] += step * move
                with np.errstate(all="ignore"):
                    value = level.sums(view.elementwise(list(there), phi, 0).value)
                log_t[:, a, k] = value - 0.5 * np.sum((mode + step * axes[:, a]) ** 2, axis=1)
            log_t[:, a] += 0.5 * z**2 - log_t[:, a, [len(z) // 2]]
        found.append(Integrands(block, z, np.nan_to_num(log_t, nan=-np.inf, posinf=np.inf, neginf=-np.inf)))
    return found


class _Level:
    """The rows of each level of one block.

    Parameters
    ----------
    block : BlockParts
    Lambda : ndarray, shape (k, k)
    """

    def __init__(self, block: BlockParts, Lambda: Floats) -> None:
        index = np.asarray(block.block.index)
        self.known: NDArray[np.bool_] = index >= 0  # a level that is missing has no effect
        self.index = np.where(self.known, index, 0)
        self.levels, self.Lambda = len(block.block.levels), Lambda
        self.Z = np.where(self.known[:, None], block.block.X @ Lambda, 0.0)

    def sums(self, rows: Floats) -> Floats:
        """Return sums over the rows of each level, shape (levels,)."""
        return np.bincount(self.index, np.where(self.known, rows, 0.0), minlength=self.levels)

    def rows(self, direction: Floats) -> Floats:
        """Return the change of eta for a move of every level's u, shape (n,)."""
        return np.asarray(np.einsum("nk,nk->n", self.Z, direction[self.index]))

    def axes(self, weights: Floats) -> Floats:
        """Return the principal axes of each level's normal approximation, a standard deviation long, widest first.

        Shape (levels, k, k): level, axis, component of u. The largest component of each in the effects themselves is
        positive.
        """
        k = self.Z.shape[1]
        H = np.empty((self.levels, k, k))
        for i in range(k):
            for j in range(k):
                H[:, i, j] = self.sums(weights * self.Z[:, i] * self.Z[:, j]) + float(i == j)
        values, vectors = np.linalg.eigh(H)
        axes = (vectors / np.sqrt(np.maximum(values, 1e-10))[:, None, :]).swapaxes(1, 2)
        effects = axes @ self.Lambda.T
        largest = np.take_along_axis(effects, np.abs(effects).argmax(axis=2)[:, :, None], axis=2)
        return np.asarray(np.where(largest < 0.0, -axes, axes))

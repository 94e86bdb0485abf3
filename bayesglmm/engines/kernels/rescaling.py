"""How far group effects and smooths scatter at hyperparameters near a support point.

Draws of x start from the deviations L^-T z that H has at a support point. Those of a spherical block are deviations
of u, and eta takes them times Lambda(theta): where the data say what b = Lambda u is, b would scatter with the drawn
standard deviation, which it does not, and no longer cancel against the population coefficients. So every level's
deviation is multiplied by T with

    T H(theta_k)^-1 T' = H(theta)^-1,    H(theta) = I + Lambda(theta)' M Lambda(theta),    M = Z' W Z,

M that of the level at the support point. For one grouping factor this is the covariance given the population
coefficients. Of the matrices that do so T is the one that leaves b's deviation as it was where the data are many
(T -> Lambda^-1 Lambda_k) and u's where they are few (T -> I): with H = U U' for an upper triangular U it is
U^-T U_k'. Where Lambda = sd I it is, along the axes of M, a factor sqrt((1 + sd_k^2 e) / (1 + sd^2 e)).

T depends on theta alone, so that the density of what was drawn stays known: log |T| goes off it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.newton import ConditionalMode, Work
from bayesglmm.engines.kernels.structure import Block, Structure
from bayesglmm.linalg import Rows

_SMALL = 8  # columns of a level whose matrices are always affordable
_AXES, _TRIANGLES = 3e6, 5e5  # else levels times cubed columns, at most; beyond, deviations stay as they are
_TOGETHER = 2**20  # numbers of one evaluation


class _Scale(Protocol):
    """T of every level of one block, for some draws."""

    @property
    def log_det(self) -> Floats:
        """Return log |T|, shape (draws, levels)."""

    def times(self, u: Floats) -> Floats:
        """Return T u, for u of shape (draws, levels, k)."""


@dataclass(frozen=True, eq=False)
class _Axes:
    """T = V diag(factor) V'.

    Attributes
    ----------
    V : ndarray, shape (levels, k, k)
    factor : ndarray, shape (draws, levels, k)
    """

    V: Floats
    factor: Floats

    @property
    def log_det(self) -> Floats:
        return np.asarray(np.log(self.factor).sum(axis=-1))

    def times(self, u: Floats) -> Floats:
        if u.shape[-1] == 1:
            return u * self.factor
        along = np.einsum("lba,dlb->dla", self.V, u)
        return np.asarray(np.einsum("lab,dlb->dla", self.V, self.factor * along))


@dataclass(frozen=True, eq=False)
class _Triangles:
    """T = U^-T U_k'.

    Attributes
    ----------
    known : ndarray, shape (levels, k, k)
        U_k.
    own : ndarray, shape (draws, levels, k, k)
        U.
    """

    known: Floats
    own: Floats

    @property
    def log_det(self) -> Floats:
        return np.asarray(_log_diagonal(self.known) - _log_diagonal(self.own))

    def times(self, u: Floats) -> Floats:
        out = np.einsum("lba,dlb->dla", self.known, u)
        for a in range(out.shape[-1]):
            out[..., a] -= np.einsum("...b,...b->...", self.own[..., :a, a], out[..., :a])
            out[..., a] /= self.own[..., a, a]
        return np.asarray(out)


def _log_diagonal(U: Floats) -> Floats:
    return np.asarray(np.log(np.einsum("...kk->...k", U)).sum(axis=-1))


def _upper(H: Floats) -> Floats:
    """Return upper triangular U with H = U U'."""
    return np.linalg.cholesky(H[..., ::-1, ::-1])[..., ::-1, ::-1]


class _BlockScale:
    """A spherical block at a support point.

    Attributes
    ----------
    columns : ndarray of int, shape (levels, k)
        Where its effects lie in x.
    position : int
        Among ``problem.blocks``.
    """

    def __init__(self, columns: Ints, position: int, M: Floats, Lambda: Floats) -> None:
        self.columns, self.position, self.M, self.Lambda = columns, position, M, Lambda

    @cached_property
    def _axes(self) -> tuple[Floats, Floats]:
        if self.M.shape[-1] == 1:
            return self.M[..., 0], np.ones_like(self.M)
        e, V = np.linalg.eigh(self.M)
        return np.maximum(e, 0.0), V

    @cached_property
    def _known(self) -> Floats:
        return np.asarray(self._root(self.Lambda[None])[0])

    def _root(self, Lambda: Floats) -> Floats:
        """Return U for every draw and level."""
        turned = np.swapaxes(Lambda, -1, -2)[:, None] @ self.M @ Lambda[:, None]
        return _upper(turned + np.eye(self.M.shape[-1]))

    def at(self, Lambda: Floats) -> _Scale | None:
        """Return T for Lambda of shape (draws, k, k); None where it would take too long, or has no number."""
        levels, k = self.columns.shape
        work = 0 if k <= _SMALL else levels * k**3
        if _isotropic(self.Lambda) and _isotropic(Lambda):
            if work > _AXES:
                return None
            e, V = self._axes
            sd = Lambda[:, 0, 0, None, None]
            return _Axes(V, np.sqrt((1.0 + self.Lambda[0, 0] ** 2 * e) / (1.0 + sd**2 * e)))
        if work > _TRIANGLES:
            return None
        try:
            return _Triangles(self._known, self._root(Lambda))
        except np.linalg.LinAlgError:  # so far out that rounding takes the identity away
            return None


def _isotropic(Lambda: Floats) -> bool:
    """Return whether Lambda is a multiple of the identity."""
    return Lambda.shape[-1] == 1 or bool(np.all(Lambda == Lambda[..., :1, :1] * np.eye(Lambda.shape[-1])))


@dataclass(frozen=True, eq=False)
class Scaling:
    """T of every block, for some draws of the hyperparameters.

    Attributes
    ----------
    blocks : tuple of (ndarray of int, scale)
        Where the effects lie in x, shape (levels, k), and T.
    """

    blocks: tuple[tuple[Ints, _Scale], ...]

    def times(self, x: Floats) -> Floats:
        """Return T x, shape (draws, size); of one T for several x where there is but one draw."""
        out = x.copy()
        for columns, scale in self.blocks:
            out[:, columns] = scale.times(x[:, columns])
        return out

    def log_dets(self) -> Iterator[tuple[Ints, Floats]]:
        """Yield, for every block, where the first effect of each level lies in x, and log |T|, (draws, levels)."""
        for columns, scale in self.blocks:
            yield columns[:, 0], scale.log_det

    def matrices(self) -> dict[int, Floats]:
        """Return T of one draw for every block, by where it starts in x, each (levels, k, k)."""
        return self._matrices

    @cached_property
    def _matrices(self) -> dict[int, Floats]:
        found = {}
        for columns, scale in self.blocks:
            units = np.eye(columns.shape[1])[:, None, :].repeat(len(columns), axis=1)
            # Row b of the answer is column b of T.
            found[int(columns[0, 0])] = np.stack([scale.times(unit[None])[0] for unit in units], axis=-1)
        return found

    def rows(self, structure: Structure, rows: Rows) -> Rows:
        """Return A T for the T of one draw; of what belongs to a level, not of dense columns."""
        matrices = self.matrices()
        own = {b: matrices[block.start] for b, block in enumerate(structure.blocks) if block.start in matrices}
        return scaled_rows(structure, rows, own)


def scaled_rows(structure: Structure, rows: Rows, matrices: Mapping[int, Floats]) -> Rows:
    """Return A T, for T by block, each (levels, k, k); of what belongs to a level, not of dense columns."""
    values = list(rows.groups)
    for b, T in matrices.items():
        group = structure.blocks[b].group
        if group is not None:
            own = T[structure.pattern.groups[group].index]
            values[group] = np.einsum("nab,an->bn", own, values[group])
    return rows.with_groups(values)


def informations(structure: Structure, work: Work) -> list[Floats]:
    """Return Z' W Z of the levels of every block, each (levels, k, k); of a block in precision form nothing."""
    none = np.zeros((0, 0, 0))
    return [
        none if block.latent.role == "precision" else _information(structure, work, block)
        for block in structure.blocks
    ]


def _information(structure: Structure, work: Work, block: Block) -> Floats:
    """Return M of every level, shape (levels, k, k); rows that would take from it are left out."""
    p, Z = block.latent.predictor, block.Z
    if p == 0 and work.whitening is not None:
        Z = (work.whitening.matrix @ Z.T).T
    weights = np.maximum(-work.d2[p, p], 0.0)
    if block.group is None:
        return np.asarray((Z * weights) @ Z.T)[None]
    group, k = structure.pattern.groups[block.group], len(Z)
    M = np.empty((group.levels, k, k))
    for a in range(k):
        for b in range(a + 1):
            M[:, a, b] = M[:, b, a] = np.bincount(group.index, weights * Z[a] * Z[b], group.levels)
    return M


class Rescaling:
    """What a support point knows for the T of other hyperparameters.

    Parameters
    ----------
    structure : Structure
    mode : ConditionalMode
        At the support point.
    """

    def __init__(self, structure: Structure, mode: ConditionalMode) -> None:
        self.structure, self.mode = structure, mode

    def information(self) -> list[Floats]:
        """Return M of the levels of every random block, each (levels, k, k)."""
        return informations(self.structure, self.mode.work)

    @cached_property
    def _blocks(self) -> tuple[_BlockScale, ...]:
        structure, factors = self.structure, self.mode.work.factors
        order = {id(part): position for position, part in enumerate(structure.view.problem.blocks)}
        found: dict[int, _BlockScale] = {}
        for block, M in zip(structure.blocks, self.information(), strict=True):
            size, k = int(np.prod(block.latent.shape)), len(block.Z)
            if block.latent.role == "precision" or not size:
                continue
            position = order[id(block.part)]
            if block.start in found:  # another membership of the same levels
                found[block.start].M += M
                continue
            columns = block.start + np.arange(size).reshape(-1, k)
            found[block.start] = _BlockScale(columns, position, M, factors[position])
        return tuple(found.values())

    def at(self, factors: Sequence[Floats]) -> Scaling:
        """Return T for Lambda of every block and draw.

        Parameters
        ----------
        factors : sequence of ndarray, each (draws, k, k)
            In the order of ``problem.blocks``.
        """
        found = ((block.columns, block.at(factors[block.position])) for block in self._blocks)
        return Scaling(tuple((columns, scale) for columns, scale in found if scale is not None))

    def times(self, natural: Mapping[str, Any], x: Floats) -> Floats:
        """Return T x, shape (draws, size).

        Parameters
        ----------
        natural : mapping
            Of hyperparameters on their natural scales, each of shape (draws, ...).
        x : ndarray, shape (draws, size)
        """
        if not self._blocks:
            return x
        step, out = max(1, _TOGETHER // max(block.M.size for block in self._blocks)), np.empty_like(x)
        for start in range(0, len(x), step):
            own = slice(start, start + step)
            drawn = {name: values[own] for name, values in natural.items()}
            out[own] = self.at(self.structure.view.factor_draws(drawn, len(x[own]))).times(x[own])
        return out

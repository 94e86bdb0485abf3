"""The model at a support point and near it, with what is known of the levels given what all rows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.level_sums import level_nodes
from bayesglmm.engines.kernels.nested import Support
from bayesglmm.engines.kernels.rescaling import Rescaling, Scaling
from bayesglmm.engines.kernels.structure import LatentPrior, Structure
from bayesglmm.linalg import ArrowBlocks, ArrowFactor, Factor, Rows

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.objective import MarginalObjective


@dataclass(frozen=True, eq=False)
class Density:
    """The normal density from which x comes, up to its centre and 2 pi.

    Attributes
    ----------
    logdet : float
        Of the precision.
    half_logdet : ndarray, shape (levels,)
        Half of that of each level given the shared coefficients.
    variances : ndarray, shape (size,)
        Of the levels' coefficients given the shared ones; empty where means over levels are taken over draws alone.
    """

    logdet: float
    half_logdet: Floats
    variances: Floats


@dataclass(frozen=True, eq=False)
class LevelRows:
    """The model at one theta, with nodes for the predictors of each row given the shared coefficients.

    Attributes
    ----------
    natural : mapping
        Hyperparameters on their natural scales.
    conditional : ArrowBlocks or None
        Inverse of H at the support point over the levels alone, which `nodes` are made of.
    scaling : Scaling or None
        What deviations at the support point are multiplied by.
    """

    rows: Rows
    offset: Floats
    phi: Mapping[str, Any]
    nodes: tuple[list[Floats], Floats] | None
    prior: LatentPrior
    density: Density
    natural: Mapping[str, Any]
    conditional: ArrowBlocks | None = None
    scaling: Scaling | None = None

    def scaled(self, deviation: Floats) -> Floats:
        """Return deviations at this theta for those at the support point, shape (size, m)."""
        return deviation if self.scaling is None else self.scaling.times(deviation.T).T


@dataclass(frozen=True, eq=False)
class Cell:
    """A support point: the factor of its H, and what is known of the levels given the shared coefficients."""

    here: Support
    model: LevelRows
    factor: Factor
    conditional: ArrowBlocks | None  # inverse of H over the levels alone
    rescaling: Rescaling


class LevelModels:
    """Makes cells and models.

    Parameters
    ----------
    structure : Structure
        With every grouping factor that can be eliminated eliminated.
    objective : MarginalObjective
    owner : ndarray of int, shape (size,)
        Level of each coefficient, -1 for shared ones.
    levels : int
    known : bool
        Whether means over levels need variances.
    """

    def __init__(
        self, structure: Structure, objective: MarginalObjective, owner: Ints, levels: int, known: bool
    ) -> None:
        self.structure, self.objective, self.view = structure, objective, structure.view
        self.owner, self.levels, self.known = owner, levels, known

    def cell(self, here: Support) -> Cell:
        """Return a support point's cell."""
        work, pattern, same = here.mode.work, self.structure.pattern, self.structure is self.objective.structure
        natural = self.view.natural(here.mode.theta)
        prior = work.prior if same else self.structure.prior(natural, work.whitening)
        rows = work.rows if same else self.structure.rows(self.view.factors(natural), work.whitening)
        factor = here.mode.factor if same else rows.factor(-work.d2, prior.Q)
        rescaling = self.objective.rescaling(here.mode)
        density = Density(factor.logdet(), np.zeros(self.levels), np.zeros(pattern.size))
        offset = work.etas - work.rows.eta(work.inner)
        model = LevelRows(rows, offset, work.phi, None, prior, density, natural)
        if not self.levels:
            return Cell(here, model, factor, None, rescaling)
        assert isinstance(factor, ArrowFactor)
        for corner, inverse_L in zip(pattern.corners, factor.inverse_L, strict=True):
            logs = -np.log(np.einsum("lkk->lk", inverse_L)).sum(axis=1)
            density.half_logdet[:] += np.bincount(self.owner[corner.columns[:, 0]], logs, self.levels)
        if not self.known:
            return Cell(here, model, factor, None, rescaling)
        conditional = factor.inverse_given_border()
        for corner, block in zip(pattern.corners, conditional.corner, strict=True):
            density.variances[corner.columns] = np.einsum("lkk->lk", block)
        nodes = level_nodes(rows, conditional)
        model = replace(model, nodes=nodes, conditional=conditional)
        return Cell(here, model, factor, conditional, rescaling)

    def model(self, theta: Floats, cell: Cell) -> LevelRows:
        """Return the model at a theta for which x starts from a cell."""
        if np.array_equal(theta, cell.here.psi):
            return cell.model
        natural = self.view.natural(theta)
        factors, whitening, nodes = self.view.factors(natural), self.view.whitening(natural), None
        rows = self.structure.rows(factors, whitening)
        scaling = cell.rescaling.at([each[None] for each in factors])
        if cell.conditional is not None:
            scaled = scaling.rows(self.structure, rows)
            nodes = level_nodes(scaled, cell.conditional)
        return LevelRows(
            rows,
            self.structure.offset(natural, np.zeros(0), whitening),
            self.view.dispersions(natural),
            nodes,
            self.structure.prior(natural, whitening),
            self._density(cell, scaling),
            natural,
            cell.conditional,
            scaling,
        )

    def _density(self, cell: Cell, scaling: Scaling) -> Density:
        """Return the density of what is drawn, scaled."""
        before = cell.model.density
        logdet, half_logdet, variances = before.logdet, before.half_logdet.copy(), before.variances.copy()
        for first, (log_det,) in scaling.log_dets():
            logdet -= 2.0 * float(log_det.sum())
            inside = self.owner[first] >= 0
            half_logdet -= np.bincount(self.owner[first][inside], log_det[inside], self.levels)
        if cell.conditional is not None:
            for corner, block in zip(self.structure.pattern.corners, cell.conditional.corner, strict=True):
                T = _corner(corner.columns, scaling)
                variances[corner.columns] = ((T @ block) * T).sum(axis=2)
        return Density(logdet, half_logdet, variances)


def _corner(columns: Ints, scaling: Scaling) -> Floats:
    """Return T of the levels of a corner, shape (levels, k, k), from that of one draw; columns: (levels, k)."""
    T = np.tile(np.eye(columns.shape[1]), (len(columns), 1, 1))
    for start, own in scaling.matrices().items():
        if len(at := np.flatnonzero(columns[0] == start)):
            inside = slice(int(at[0]), int(at[0]) + own.shape[-1])
            T[:, inside, inside] = own
    return T

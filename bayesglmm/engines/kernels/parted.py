"""Laplace's approximation where the rows come in parts: the driver holds x and the factor of H, the parts the rows.

For given hyperparameters each part eliminates its own levels from its share of H = sum_p A_p' W_p A_p + Q, which
leaves the Schur complement of the common coefficients,

    S = Q_common + sum_p (B_p - C_p' D_p^-1 C_p),

summed in the order of the parts and factorised once. What was eliminated, (D_p, C_p) as Cholesky factors, is as long
as there are levels and goes to the driver, who then has the whole factor: solutions, draws and the entries of H^-1
need no rows. Sums over rows (the likelihood, A' l', what gradients are made of) are asked of the parts, which get
their piece of x and of H^-1 for it. The same blocks at once are MixedModels.jl's elimination (Bates et al.) spread
over workers, as in the consensus of additive Schur complements (Smith, Bjorstad and Gropp 1996).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels import part_work
from bayesglmm.engines.kernels.adjoint import Expansion, NaturalJacobian, Pull
from bayesglmm.engines.kernels.correction import Mean, solved_mean
from bayesglmm.engines.kernels.newton import ConditionalMode, NewtonSearch, Work, find_mode
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.part_structure import PartedStructure
from bayesglmm.engines.kernels.part_work import Climbed, Operation, PartInverse
from bayesglmm.engines.kernels.rescaling import Rescaling
from bayesglmm.engines.kernels.row_means import Averages
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.engines.kernels.unbounded import Silence, little, lost_coefficients
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.graph.parted import PartedView
from bayesglmm.linalg import ArrowBlocks, ArrowFactor, Factor, NotPositiveDefiniteError

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.levels import LevelRows


@dataclass(frozen=True, eq=False)
class PartedWork(Work):
    """The quantities of one theta; `rows`, `etas` and `d2` have no rows.

    Attributes
    ----------
    natural : mapping
    coefficients : ndarray
        Population coefficients that are not integrated out.
    convex : bool
        Whether the log-likelihood of some row curves upwards.
    """

    natural: Mapping[str, Any] | Any = None
    coefficients: Floats | Any = None
    convex: bool = False


@dataclass(frozen=True, eq=False)
class _Parted(RowDerivatives):
    """What the parts found at one x: `value` has their log-likelihoods."""

    x: Floats | Any = None
    pieces: Sequence[Climbed] = ()


class PartedSearch(NewtonSearch):
    """Newton's method where every evaluation, with the factorisation there, is one pass over the parts."""

    def __init__(
        self,
        structure: PartedStructure,
        factors: tuple[Floats, ...],
        coefficients: Floats,
        natural: Mapping[str, Any],
    ) -> None:
        super().__init__(structure, factors, coefficients, natural)
        self.whole, self.natural, self.coefficients = structure, natural, coefficients
        self.keeps = False  # a factor comes with every evaluation
        self._made: tuple[_Parted, ArrowFactor] | None = None

    def _climbed(self, x: Floats, modulus: bool) -> list[Climbed]:
        points = self.whole.points(self.natural, self.coefficients, x)
        return self.whole.each(part_work.climb, [(point, modulus) for point in points])

    def evaluate(self, x: Floats) -> tuple[float, RowDerivatives]:
        """Return the objective and what the parts found."""
        pieces = self._climbed(x, False)
        found = _Parted(np.array([piece.value for piece in pieces]), x=x, pieces=pieces)
        return self.value(x, found), found

    def slope(self, derivatives: RowDerivatives) -> Floats:
        """Return A' l', shape (size,)."""
        assert isinstance(derivatives, _Parted)
        return self.whole.summed([piece.slope for piece in derivatives.pieces])

    def precision(self, derivatives: RowDerivatives) -> Factor:
        """Return the factor of the precision with the observed curvature."""
        assert isinstance(derivatives, _Parted)
        if self._made is None or self._made[0] is not derivatives:
            pieces = [piece.eliminated for piece in derivatives.pieces]
            self._made = derivatives, self.whole.factor(pieces, self.prior.Q)
        return self._made[1]

    def direction(self, derivatives: RowDerivatives, gradient: Floats) -> Floats:
        """Return Newton's direction, with the moduli of the curvature where it is not positive definite."""
        assert isinstance(derivatives, _Parted)
        try:
            return self.precision(derivatives).solve(gradient)
        except NotPositiveDefiniteError:
            pieces = [piece.eliminated for piece in self._climbed(derivatives.x, True)]
            return self.whole.factor(pieces, self.prior.Q).solve(gradient)

    def quadratic(self, before: RowDerivatives, after: RowDerivatives) -> bool:
        """Curvature by rows stays with the parts."""
        return False

    def work(self, x: Floats, derivatives: RowDerivatives) -> Work:
        """Return what derivatives at x start from."""
        assert isinstance(derivatives, _Parted)
        none = np.zeros((self.whole.predictors, self.whole.predictors, 0))
        given = self.natural, self.coefficients, any(piece.convex for piece in derivatives.pieces)
        return PartedWork(x, self.rows, none[0], self.phi, none, self.prior, self.factors, None, *given)


class PartedObjective(LaplaceObjective):
    """L by parts of the rows; see `MarginalObjective`."""

    view: PartedView
    structure: PartedStructure

    def _structure(self) -> PartedStructure:
        key = ("parts", self.kind)
        if key not in self.view.kept:
            self.view.kept[key] = PartedStructure(self.view, self.kind == "ml", self.kind != "posterior")
        found: PartedStructure = self.view.kept[key]
        return found

    def mode(
        self,
        psi: Floats,
        start: ConditionalMode | Floats | None = None,
        log_prior: float | None = None,
        predicted: bool = False,
    ) -> ConditionalMode:
        """Return the conditional mode; arguments as in `MarginalObjective.mode`."""
        theta, coefficients, log_prior = self._read(psi, log_prior)

        def search(structure: Structure, *given: Any) -> NewtonSearch:
            return PartedSearch(self.structure, *given)

        return find_mode(self.structure, theta, coefficients, start, log_prior, predicted, search)

    def expansion(self, mode: ConditionalMode) -> Expansion:
        """Refuse: derivatives by rows stay with the parts."""
        raise TypeError("Parts of rows return sums over rows only.")

    def asked(self, operation: Operation, mode: ConditionalMode, *pieces: Sequence[Any]) -> list[Any]:
        """Return what an operation finds in every part at a mode.

        Parameters
        ----------
        operation : callable
        mode : ConditionalMode
        *pieces : sequence
            Further arguments, by part.
        """
        work = mode.work
        assert isinstance(work, PartedWork)
        points = self.structure.points(work.natural, work.coefficients, work.inner)
        return self.structure.each(operation, list(zip(points, *pieces, strict=True)))

    def inverses(self, mode: ConditionalMode) -> list[PartInverse]:
        """Return the entries of H^-1 that each part needs."""
        found = mode.factor.inverse()
        assert isinstance(found, ArrowBlocks)
        return self.structure.inverses(found)

    def split_up(self, x: Floats) -> list[Floats]:
        """Return each part's piece of what is as long as x."""
        return [x[own] for own in self.structure.places]

    def _pull(self, mode: ConditionalMode) -> tuple[Pull, list[Floats]]:
        inverses = self.inverses(mode)
        slope = self.structure.summed(self.asked(part_work.third, mode, inverses))
        v = mode.factor.solve(slope)
        found: list[Pull] = self.asked(part_work.pull, mode, inverses, self.split_up(v))
        sums = [
            [sum(values[1:], values[0]) for values in zip(*pieces, strict=True)]
            for pieces in ([own.factors for own in found], [own.beta for own in found])
        ]
        flat_phi = [own.flat_phi for own in found]
        return Pull(sums[0], sum(flat_phi[1:], flat_phi[0]), sums[1]), []

    def _right_sides(self, mode: ConditionalMode, natural: NaturalJacobian) -> Floats:
        count = len(self.structure.places)
        return self.structure.summed(self.asked(part_work.sides, mode, [natural] * count))

    def centre(self, mode: ConditionalMode, guess: Floats | None = None) -> Floats:
        """Return the mode, corrected for skewness."""
        return solved_mean(self, _PartedMean(mode, self), guess)

    def rescaling(self, mode: ConditionalMode) -> Rescaling:
        """Return what deviations at the mode are scaled by."""
        return _PartedRescaling(self, mode)

    # what is asked about a fit --------------------------------------------------------------------------------------

    def convex(self, mode: ConditionalMode) -> bool:
        """Return whether the log-likelihood of some row curves upwards at a mode."""
        assert isinstance(mode.work, PartedWork)
        return mode.work.convex

    def third_cumulants(self, mode: ConditionalMode, along: Floats | None) -> Floats:
        """Return the third cumulants of the coefficients; see `row_cumulants`."""
        columns = [None] * len(self.structure.places) if along is None else self.split_up(along)
        return self.structure.summed(self.asked(part_work.cumulants, mode, self.inverses(mode), columns))

    def averages(self, mode: ConditionalMode, centre: Floats) -> Averages:
        """Return means of the log-likelihood over N(centre, H^-1); see `row_averages`."""
        found: list[Averages] = self.asked(part_work.averages, mode, self.inverses(mode), self.split_up(centre))
        slope = self.structure.summed([own.slope for own in found])
        return Averages(sum(own.value for own in found), slope, sum(own.trace for own in found))

    def antithetic(self, mode: ConditionalMode, centre: Floats, e: Floats) -> Floats:
        """Return the log-likelihoods at centre + e and centre - e, shape (2, m), for e of shape (size, m)."""
        found = self.asked(part_work.antithetic, mode, self.split_up(centre), self.split_up(e))
        return np.asarray(sum(found[1:], found[0]))

    def level_sums(self, model: LevelRows, index: Ints, levels: int, x: Floats, first: int, averaged: bool) -> Floats:
        """Return log-likelihoods by level; see `sums_by_level`."""
        whole = self.structure
        covariances: list[PartInverse | None] = [None] * len(whole.places)
        matrices: dict[int, Floats] = {}
        if averaged:
            assert model.conditional is not None
            covariances = list(whole.inverses(model.conditional))
            matrices = {} if model.scaling is None else model.scaling.matrices()
        given = [
            (model.natural, own, first, covariance, whole.own_levels(matrices, p))
            for p, (own, covariance) in enumerate(zip(self.split_up(x), covariances, strict=True))
        ]
        out = np.empty((x.shape[1], x.shape[2] - first, levels))
        for own, found in zip(whole.levels, whole.each(part_work.level_sums, given), strict=True):
            out[:, :, own[-1]] = found
        return out

    def silence(self, mode: ConditionalMode) -> list[Silence]:
        """Return for every predictor what its rows say at a mode."""
        ranges = self.asked(part_work.weight_range, mode)
        out = []
        for p in range(self.structure.predictors):
            least, largest = min(own[p][0] for own in ranges), max(own[p][1] for own in ranges)
            top = np.max([own[p][2] for own in ranges], axis=0)
            lost = np.zeros(len(top), dtype=bool)
            if len(top) and little(least):
                top, count = np.maximum(top, 1e-300), len(self.structure.places)
                grams = self.asked(part_work.column_gram, mode, [p] * count, [top] * count)
                values, vectors = np.linalg.eigh(sum(grams[1:], grams[0]))
                moved = self.structure.each(part_work.most_moved, [(p, top, vectors)] * count)
                lost = lost_coefficients(values, vectors, np.max(moved, axis=0))
            out.append(Silence(lost, largest))
        return out


@dataclass(frozen=True, eq=False)
class _PartedMean(Mean):
    objective: PartedObjective

    def gradient(self, m: Floats) -> Floats:
        own = self.objective
        slope = own.structure.summed(own.asked(part_work.mean_slope, self.mode, self._inverses, own.split_up(m)))
        return np.asarray(slope - self.mode.work.prior.times(m))

    def factor(self, m: Floats) -> Factor:
        own = self.objective
        pieces = own.asked(part_work.mean_curvature, self.mode, self._inverses, own.split_up(m))
        return own.structure.factor(pieces, self.mode.work.prior.Q)

    @cached_property
    def _inverses(self) -> list[PartInverse]:
        return self.objective.inverses(self.mode)


class _PartedRescaling(Rescaling):
    def __init__(self, objective: PartedObjective, mode: ConditionalMode) -> None:
        super().__init__(objective.structure, mode)
        self._objective = objective

    def information(self) -> list[Floats]:
        found: list[list[Floats]] = self._objective.asked(part_work.information, self.mode)
        whole = self._objective.structure
        return [whole.together(b, [own[b] for own in found]) for b in range(len(whole.blocks))]

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
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels import part_work
from bayesglmm.engines.kernels.adjoint import Expansion, NaturalJacobian, Pull
from bayesglmm.engines.kernels.correction import Mean, solved_mean
from bayesglmm.engines.kernels.newton import ConditionalMode, NewtonSearch, Work, find_mode
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.part_work import Climbed, Operation, PartInverse, PartWork, Point
from bayesglmm.engines.kernels.rescaling import Rescaling
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.graph.parted import PartedView
from bayesglmm.linalg import ArrowBlocks, ArrowFactor, Factor, NotPositiveDefiniteError, PriorPrecision
from bayesglmm.linalg.arrow import Eliminated
from bayesglmm.linalg.rows import border_prior
from bayesglmm.parallel import Shipped, parallel_map


class PartedStructure(Structure):
    """The structure of x and H over all parts, without rows; and who asks the parts.

    Parameters
    ----------
    view : PartedView
    outer, flat : bool
        As for `Structure`.

    Attributes
    ----------
    n : int
        Rows of all parts; those of the pattern are none.
    places : tuple of ndarray of int
        For each part: where its x lies in that of all.
    """

    def __init__(self, view: PartedView, outer: bool = False, flat: bool = False) -> None:
        super().__init__(view, outer, flat, chain=view.row_parts.factors)
        self.parts, self.n = view.row_parts, view.row_parts.rows
        self._work = Shipped(PartWork(view.problem, view.row_parts, outer, flat), threadsafe=True)
        count = len(self.parts.parts)
        self.places = tuple(self._places(p) for p in range(count))
        # By part and corner: which levels are the part's, a slice where they follow each other.
        self.levels = tuple(
            tuple(_selection(self.parts.parts[p].levels[members[0]]) for members in self.parts.factors)
            for p in range(count)
        )
        if len(self.pattern.corners) > 1:
            self.pattern.parents = self._parents()

    def _places(self, p: int) -> Ints:
        levels, blocks = self.parts.parts[p].levels, {block.dense for block in self.blocks}
        pieces = [
            (part.start, np.arange(part.start, part.start + part.width))
            for d, part in enumerate(self.pattern.dense)
            if d not in blocks
        ]
        for own, block in zip(levels, self.blocks, strict=True):
            count, k = block.latent.shape
            inside = np.arange(count) if own is None else np.asarray(own, dtype=np.intp)
            pieces.append((block.start, (block.start + inside[:, None] * k + np.arange(k)).ravel()))
        pieces.sort(key=lambda piece: piece[0])
        return np.concatenate([np.zeros(0, dtype=np.intp), *(piece for _, piece in pieces)])

    def _parents(self) -> dict[tuple[int, int], Ints]:
        corners = self.pattern.corners
        out = {(c, d): np.zeros(corners[c].levels, dtype=np.intp) for c, d in self.pattern.parents}
        for levels, found in zip(self.levels, self.each(part_work.nesting), strict=True):
            for (c, d), parent in found.items():
                out[c, d][levels[c]] = np.arange(corners[d].levels)[levels[d]][parent]
        return out

    def each(self, operation: Operation, arguments: Sequence[tuple[Any, ...]] | None = None) -> list[Any]:
        """Return what an operation finds in every part, in their order; each with arguments of its own."""
        given = [()] * len(self.places) if arguments is None else arguments
        return list(parallel_map(self._work, [(operation, p, own) for p, own in enumerate(given)]))

    def points(self, work: PartedWork) -> list[Point]:
        """Return where each part is evaluated."""
        return [Point(work.natural, work.coefficients, work.inner[own]) for own in self.places]

    def summed(self, pieces: Sequence[Floats]) -> Floats:
        """Return sums of vectors in the layouts of the parts in the layout of all, in the order of the parts."""
        out = np.zeros((self.pattern.size, *pieces[0].shape[1:]))
        for own, piece in zip(self.places, pieces, strict=True):
            out[own] += piece
        return out

    def factor(self, pieces: Sequence[Eliminated | None], Q: PriorPrecision) -> ArrowFactor:
        """Return the factor of H.

        Raises
        ------
        NotPositiveDefiniteError
        """
        found = [piece for piece in pieces if piece is not None]
        if len(found) < len(pieces):
            raise NotPositiveDefiniteError("The precision of a part's levels is not positive definite.")
        pattern, border = self.pattern, border_prior(self.pattern, Q)
        m, corners = len(pattern.border), pattern.corners
        inverse_L = [np.empty((own.levels, own.width, own.width)) for own in corners]
        rim = [np.empty((own.levels, own.width, m)) for own in corners]
        link = {(c, d): np.empty((corners[c].levels, corners[c].width, corners[d].width)) for c, d in pattern.parents}
        logdet = 0.0
        for levels, piece in zip(self.levels, found, strict=True):
            for c, own in enumerate(levels):
                inverse_L[c][own], rim[c][own] = piece.inverse_L[c], piece.rim[c]
            for (c, d), between in piece.link.items():
                link[c, d][levels[c]] = between
            border += piece.border
            logdet += piece.logdet
        return ArrowFactor(pattern, Eliminated(inverse_L, link, rim, border, logdet))

    def inverses(self, factor: Factor) -> list[PartInverse]:
        """Return the entries of H^-1 that each part needs."""
        found = factor.inverse()
        assert isinstance(found, ArrowBlocks)
        return [
            PartInverse(
                [block[own] for block, own in zip(found.corner, levels, strict=True)],
                {(c, d): block[levels[c]] for (c, d), block in found.link.items()},
                [block[own] for block, own in zip(found.rim, levels, strict=True)],
                found.border,
            )
            for levels in self.levels
        ]


def _selection(levels: Sequence[int] | None) -> Any:
    """Return levels as an index: a slice where they follow each other."""
    found = np.asarray(levels, dtype=np.intp)
    if len(found) and found[-1] - found[0] == len(found) - 1:
        return slice(int(found[0]), int(found[-1]) + 1)
    return found


@dataclass(frozen=True, eq=False)
class PartedWork(Work):
    """The quantities of one theta; `rows`, `etas` and `d2` have no rows.

    Attributes
    ----------
    natural : mapping
    coefficients : ndarray
        Population coefficients that are not integrated out.
    """

    natural: Mapping[str, Any] | Any = None
    coefficients: Floats | Any = None


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
        points = [Point(self.natural, self.coefficients, x[own]) for own in self.whole.places]
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

    def work(self, x: Floats, derivatives: RowDerivatives) -> Work:
        """Return what derivatives at x start from."""
        none = np.zeros((self.whole.predictors, self.whole.predictors, 0))
        given = self.natural, self.coefficients
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
        assert isinstance(mode.work, PartedWork)
        return self.structure.each(operation, list(zip(self.structure.points(mode.work), *pieces, strict=True)))

    def split_up(self, x: Floats) -> list[Floats]:
        """Return each part's piece of what is as long as x."""
        return [x[own] for own in self.structure.places]

    def _pull(self, mode: ConditionalMode) -> tuple[Pull, list[Floats]]:
        inverses = self.structure.inverses(mode.factor)
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
        return self.objective.structure.inverses(self.mode.factor)


class _PartedRescaling(Rescaling):
    def __init__(self, objective: PartedObjective, mode: ConditionalMode) -> None:
        super().__init__(objective.structure, mode)
        self._objective = objective

    def information(self) -> list[Floats]:
        whole = self._objective.structure
        found: list[list[Floats]] = self._objective.asked(part_work.information, self.mode)
        out = []
        for b, block in enumerate(whole.blocks):
            corner = next((c for c, members in enumerate(whole.parts.factors) if b in members), None)
            pieces = [own[b] for own in found]
            if corner is None:
                out.append(sum(pieces[1:], pieces[0]))
                continue
            M = np.empty((block.latent.shape[0], *pieces[0].shape[1:]))
            for levels, piece in zip(whole.levels, pieces, strict=True):
                M[levels[corner]] = piece
            out.append(M)
        return out

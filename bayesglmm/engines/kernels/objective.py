"""Laplace's approximation as a function of the hyperparameters, with its exact gradient.

With x-hat(psi) the conditional mode and H = A' W A + Q the precision there,

    L(psi) = log p(y | x-hat) + log N(x-hat; m, Q^-1) + d/2 log 2 pi - 1/2 log |H| + log p(theta).

The first two terms are stationary in x, so x-hat enters the gradient only through W. With h_pq = a_p' H^-1 a_q by
rows, s_r = 1/2 sum_pq l'''_pqr h_pq and w = A H^-1 A' s, a change of eta at fixed x has the derivative
t = l' + s + l'' w, and one more solve serves every hyperparameter (the adjoint of the implicit function theorem;
Skaug and Fournier 2006, Kristensen et al. 2016).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.kernels.adjoint import (
    DIFFERENCE,
    Ends,
    Expansion,
    NaturalJacobian,
    Pull,
    curvature_slope,
    pulled,
    right_sides,
    third_order,
)
from bayesglmm.engines.kernels.correction import conditional_mean
from bayesglmm.engines.kernels.level_sums import sums_by_level
from bayesglmm.engines.kernels.newton import ConditionalMode, curves_upwards, find_mode, structure_of
from bayesglmm.engines.kernels.rescaling import Rescaling
from bayesglmm.engines.kernels.row_means import Averages, row_antithetic, row_averages
from bayesglmm.engines.kernels.skewness import row_cumulants
from bayesglmm.engines.kernels.structure import Block, Structure
from bayesglmm.engines.kernels.unbounded import Silence, row_silence
from bayesglmm.engines.kernels.whitened import unwhitened, whitening_slope
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import SelectedInverse

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.levels import LevelRows

type Objective = Literal["posterior", "ml", "reml"]


class MarginalObjective(ABC):
    """log p(y, psi) with x integrated out by a normal approximation, its gradient, and how its centre moves.

    psi is theta, and for maximum likelihood the population coefficients after it.

    Parameters
    ----------
    view : LatentView
    kind : {"posterior", "ml", "reml"}
        ``"posterior"``: coefficients and group effects integrated out, priors included, theta on the unconstrained
        scale with its Jacobian; ``"ml"``: no priors, group effects integrated out; ``"reml"``: no priors,
        coefficients integrated out as well.

    Attributes
    ----------
    size : int
        Length of psi.
    name : str
        Of the approximation, within a sentence.
    engine : str
        Name of the engine that uses it.
    centred_at : str
        What stands in its middle, in words.
    level_nodes : mapping of int to int
        Gauss-Hermite nodes per coefficient of a level, by their number, that integrate the ratio of the exact density
        and the approximation.
    single : bool
        Whether it describes one mode of x where there are several.
    """

    name: ClassVar[str]
    engine: ClassVar[str]
    centred_at: ClassVar[str]
    level_nodes: ClassVar[Mapping[int, int]] = {1: 9, 2: 5}
    single: ClassVar[bool]

    def __init__(self, view: LatentView, kind: Objective = "posterior") -> None:
        self.view, self.kind = view, kind
        self.structure = self._structure()
        self.theta_size = view.theta_size
        self.size = view.theta_size + len(self.structure.coefficients)

    def _structure(self) -> Structure:
        return structure_of(self.view, outer=self.kind == "ml", flat=self.kind != "posterior")

    def rescaling(self, mode: ConditionalMode) -> Rescaling:
        """Return what deviations at a mode are scaled by at other hyperparameters."""
        return Rescaling(self.structure, mode)

    def level_sums(self, model: LevelRows, index: Ints, levels: int, x: Floats, first: int, averaged: bool) -> Floats:
        """Return log-likelihoods by level; see `sums_by_level`. Averaged over the nodes of the model, if so asked."""
        nodes = model.nodes if averaged else None
        return sums_by_level(self.view, model.rows, model.offset, model.phi, index, levels, x, first, nodes)

    def silence(self, mode: ConditionalMode) -> list[Silence]:
        """Return for every predictor what its rows say at a mode."""
        parts = enumerate(self.view.problem.predictors)
        return [row_silence(self.view.free_columns(part), np.abs(mode.work.d2[p, p])) for p, part in parts]

    def convex(self, mode: ConditionalMode) -> bool:
        """Return whether the log-likelihood of some row curves upwards at a mode."""
        return curves_upwards(mode.work.d2)

    def third_cumulants(self, mode: ConditionalMode, along: Floats | None) -> Floats:
        """Return the third cumulants of the coefficients; see `row_cumulants`."""
        third = third_order(self.view.elementwise(list(mode.work.etas), mode.work.phi, 2)).d3
        return row_cumulants(self.structure, mode.work, third, mode.factor.inverse(), along)

    def averages(self, mode: ConditionalMode, centre: Floats) -> Averages:
        """Return means of the log-likelihood over N(centre, H^-1); see `row_averages`."""
        return row_averages(self.view, mode.work, mode.factor.inverse(), centre)

    def antithetic(self, mode: ConditionalMode, centre: Floats, e: Floats) -> Floats:
        """Return the log-likelihoods at centre + e and centre - e, shape (2, m), for e of shape (size, m)."""
        return row_antithetic(self.view, mode.work, centre, e)

    def split(self, psi: Floats) -> tuple[Floats, Floats]:
        """Return theta and the population coefficients that are not integrated out."""
        return psi[: self.theta_size], psi[self.theta_size :]

    @abstractmethod
    def mode(
        self,
        psi: Floats,
        start: ConditionalMode | Floats | None = None,
        log_prior: float | None = None,
        predicted: bool = False,
    ) -> ConditionalMode:
        """Return the normal approximation at psi.

        Parameters
        ----------
        psi : ndarray, shape (size,)
        start : ConditionalMode or ndarray, optional
            A mode nearby, or a guess of what is integrated out.
        log_prior : float, optional
            That of theta, where known.
        predicted : bool
            Take `start` for the mode, without a step towards it.

        Raises
        ------
        NotPositiveDefiniteError
            If there is none.
        """

    @abstractmethod
    def expansion(self, mode: ConditionalMode) -> Expansion:
        """Return the derivatives of the likelihood that `gradient` and `jacobian` are made of."""

    @abstractmethod
    def centre(self, mode: ConditionalMode, guess: Floats | None = None) -> Floats:
        """Return the mean of p(x | y, psi), in the layout of the view's x.

        Parameters
        ----------
        mode : ConditionalMode
        guess : ndarray, shape (view.size,), optional
            That mean less the mode, at other hyperparameters.
        """

    @abstractmethod
    def moved(self, mode: ConditionalMode, step: Floats) -> ConditionalMode | Floats:
        """Return where to start nearby: a mode, moved by a step in the layout of the view's x."""

    def _read(self, psi: Floats, log_prior: float | None) -> tuple[Floats, Floats, float]:
        """Return theta, the coefficients that are not integrated out, and the log prior density of theta."""
        theta, coefficients = self.split(np.asarray(psi, dtype=float))
        if log_prior is None:
            log_prior = self.view.log_prior(theta) if self.kind == "posterior" else 0.0
        return theta, coefficients, log_prior

    def gradient(self, mode: ConditionalMode) -> Floats:
        """Return the gradient of L in psi at a conditional mode, shape (size,)."""
        pull, precisions = self._pull(mode)
        view = self.view
        phi: dict[str, Any] = {}
        beta: dict[str, Floats] = {}
        at = 0
        for name, size in view.elementwise.sizes.items():
            shape = np.shape(mode.work.phi[name])
            phi[name] = pull.flat_phi[at : at + size].reshape(shape)
            at += size
        outer = np.zeros(view.size)
        fixed = {part.predictor: part for part in view.parts if part.role == "fixed"}
        for p, predictor in enumerate(view.problem.predictors):
            if predictor.beta is None:
                continue
            if view.problem.roles.get(predictor.names.beta) == "theta":
                beta[predictor.names.beta] = pull.beta[p]
            elif p in fixed:
                outer[fixed[p].slice] = pull.beta[p]
        gradient = view.pullback(mode.theta, pull.factors, phi, beta, precisions, pull.whitening)
        if self.kind == "posterior":
            gradient = gradient + view.log_prior_gradient(mode.theta)[1]
        return np.concatenate([gradient, outer[self.structure.coefficients]])

    def _pull(self, mode: ConditionalMode) -> tuple[Pull, list[Floats]]:
        """Return the derivatives of L in the natural quantities, and in the entries of precisions."""
        found, inverse = self.expansion(mode), mode.factor.inverse()
        leverage, s = curvature_slope(mode.work, found, inverse)
        v = mode.factor.solve(mode.work.rows.transpose(s))
        pull = pulled(self.structure, mode.work, found, leverage, s, v, unwhitened(self.structure, mode))
        return pull, [self._precision_pull(block, inverse, mode.work.inner, v) for block in self.structure.coupled]

    def _precision_pull(self, block: Block, inverse: SelectedInverse, x: Floats, v: Floats) -> Floats:
        """Return the derivatives of L - log |Q| / 2 in the entries of the precision of a block.

        Of -x' Q x / 2 and -log |H| / 2 at fixed x, and of log |H| through dx = -H^-1 dQ x; v = H^-1 A' s.
        """
        assert block.group is not None
        rows, columns = self.structure.pattern.couplings[block.group]
        own = slice(block.start, block.start + int(np.prod(block.latent.shape)))
        x, v = x[own], v[own]
        half = -0.25 * (x[rows] * x[columns] + inverse.coupled(block.group)) - 0.5 * v[rows] * x[columns]
        other = -0.25 * (x[rows] * x[columns] + inverse.coupled(block.group)) - 0.5 * v[columns] * x[rows]
        # An entry off the diagonal stands for two.
        return np.asarray(np.where(rows == columns, 1.0, 2.0) * (half + other))

    def jacobian(self, mode: ConditionalMode, natural: NaturalJacobian | None = None) -> Floats:
        """Return d x-hat / d psi in the layout of the view's x, shape (view.size, size).

        x-hat solves A' l'(A x) = Q (x - m), so H dx = dA' l' + A' (l'' deta + d l'/d phi dphi), where deta is the
        change of eta at fixed x. `natural` is what `natural_jacobians` yields for psi, where that is known.
        """
        structure = self.structure
        natural = next(self.natural_jacobians(mode.theta[None])) if natural is None else natural
        right = self._right_sides(mode, natural)
        for j in range(self.size):
            for block, Q in zip(structure.coupled, natural.precisions[j], strict=True):
                matrix = structure.coupled_matrix(block, Q)
                own = slice(block.start, block.start + matrix.shape[0])
                right[own, j] -= matrix @ mode.work.inner[own]
        out = np.zeros((self.view.size, self.size))
        out[structure.inner] = mode.factor.solve(right)
        out[structure.coefficients, self.theta_size + np.arange(len(structure.coefficients))] = 1.0
        return out

    def _right_sides(self, mode: ConditionalMode, natural: NaturalJacobian) -> Floats:
        """Return H dx-hat / d psi without what the entries of precisions add, shape (inner, size)."""
        raw = unwhitened(self.structure, mode)
        return right_sides(self.structure, mode.work, self.expansion(mode), natural, raw)

    def natural_jacobians(self, theta: Floats) -> Iterator[NaturalJacobian]:
        """Yield the derivatives of Lambda, phi and the directly moved part of eta in psi, for every row of theta.

        Central differences: these maps are smooth and cheap, and 1e-9 is all that a starting point needs.
        """
        view, count, t = self.view, len(theta), self.theta_size
        moves = DIFFERENCE * np.concatenate([np.zeros((1, t)), np.eye(t), -np.eye(t)])
        many, rows = view.natural_draws((theta[:, None] + moves).reshape(-1, t)) if t else {}, count * len(moves)
        factors = [self._slopes(M, count) for M in view.factor_draws(many, rows)]
        phi = self._slopes(self._flat(view.dispersions(many), many.keys(), rows), count)
        for i in range(count):
            near = range(i * len(moves), (i + 1) * len(moves))
            natural = [{name: value[j] for name, value in many.items()} for j in near]
            yield self._natural_jacobian(natural, [own[i] for own in factors], phi[i])

    def _slopes(self, values: Floats, count: int) -> Floats:
        """Return derivatives in psi, shape (count, size, ...), from values at every theta and on both sides of it."""
        t, shape = self.theta_size, values.shape[1:]
        near = values.reshape(count, 1 + 2 * t, *shape)
        out = np.zeros((count, self.size, *shape))
        out[:, :t] = (near[:, 1 : 1 + t] - near[:, 1 + t :]) / (2 * DIFFERENCE)
        return out

    def _natural_jacobian(self, near: list[dict[str, Floats]], factors: list[Floats], phi: Floats) -> NaturalJacobian:
        """Return the derivatives at the first of 1 + 2 t natural values, from those on both sides of it."""
        view, t, natural = self.view, self.theta_size, near[0]
        coupled, (_, coefficients) = self.structure.coupled, self.split(np.zeros(self.size))
        precisions, whitening = [], []
        ends: list[Ends | None] = []
        for j in range(self.size):
            up, down = (near[1 + j], near[1 + t + j]) if j < t else (natural, natural)
            beta = np.zeros(len(coefficients))
            if j >= t:
                beta[j - t] = DIFFERENCE
            pairs = [(view.block_precision(c.part, up)[0], view.block_precision(c.part, down)[0]) for c in coupled]
            precisions.append([(high - low) / (2 * DIFFERENCE) for high, low in pairs])
            whitening.append(whitening_slope(view, up, down, 2 * DIFFERENCE))
            ends.append((up, beta, down, -beta) if j >= t or self.structure.moved_offset else None)
        return NaturalJacobian(factors, phi, ends, precisions, whitening)

    @staticmethod
    def _flat(phi: Mapping[str, Any], free: Container[str], rows: int) -> Floats:
        """Return dispersions one after the other, shape (rows, F); those that are held are the same in all rows."""
        parts = [np.zeros((rows, 0))]
        for name, value in phi.items():
            own = np.asarray(value, dtype=float)
            parts.append(own.reshape(rows, -1) if name in free else np.broadcast_to(own.ravel(), (rows, own.size)))
        return np.concatenate(parts, axis=1)


class LaplaceObjective(MarginalObjective):
    """L: the approximation at the conditional mode, with the curvature there; see `MarginalObjective`."""

    name = "Laplace's approximation"
    engine = "laplace"
    centred_at = "conditional mode"
    single = True

    def mode(
        self,
        psi: Floats,
        start: ConditionalMode | Floats | None = None,
        log_prior: float | None = None,
        predicted: bool = False,
    ) -> ConditionalMode:
        """Return the conditional mode; arguments as in `MarginalObjective.mode`."""
        theta, coefficients, log_prior = self._read(psi, log_prior)
        return find_mode(self.structure, theta, coefficients, start, log_prior, predicted)

    def expansion(self, mode: ConditionalMode) -> Expansion:
        """Return the derivatives at the mode."""
        return third_order(self.view.elementwise(list(mode.work.etas), mode.work.phi, 2))

    def centre(self, mode: ConditionalMode, guess: Floats | None = None) -> Floats:
        """Return the mode, corrected for skewness."""
        return conditional_mean(self, mode, guess)

    def moved(self, mode: ConditionalMode, step: Floats) -> Floats:
        """Return what is integrated out, moved."""
        return np.asarray(mode.work.inner + step[self.structure.inner])

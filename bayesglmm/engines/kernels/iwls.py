"""Metropolis-Hastings by weighted least squares in blocks, for (beta, u), and a random walk for theta.

Given everything else, a block of coefficients is proposed from N(x + H^-1 g, H^-1), with g the gradient and H the
curvature of its conditional density at the current value: one step of iterated weighted least squares, the proposal
of Gamerman (1997). The way back is computed at the proposed value, so the posterior is exact. Levels of a grouping
factor are independent given the rest; each is accepted or not by itself, all of them in one sweep over the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.adaptation import Walk, first_walk
from bayesglmm.engines.kernels.block import probability
from bayesglmm.engines.kernels.centre import Centre
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.engines.kernels.target import Conditional, conditional
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.linalg import NotPositiveDefiniteError
from bayesglmm.linalg.dense import DenseFactor


@dataclass(frozen=True, eq=False)
class State:
    """Where a chain is.

    Attributes
    ----------
    conditional : Conditional
    x : ndarray, shape (size,)
    etas : ndarray, shape (P, n)
    log_density : float
        log p(y, x, theta).
    """

    conditional: Conditional
    x: Floats
    etas: Floats
    log_density: float

    @property
    def theta(self) -> Floats:
        """Hyperparameters, unconstrained."""
        return self.conditional.theta


def state_at(found: Conditional, x: Floats) -> State:
    """Return the state with coefficients x."""
    etas = found.search.etas(x)
    return State(found, x, etas, found.log_density(x, etas))


def walk_theta(
    rng: np.random.Generator, state: State, structure: Structure, step: Floats, log_ratio: float = 0.0
) -> tuple[State, float, State | None]:
    """Move theta by a given step with x kept; return the state, the acceptance and the proposal.

    `log_ratio` is the logarithm of the density of the way back over that of the way there: zero for symmetric steps.
    """
    uniform = rng.random()
    found = conditional(structure, state.theta + step)
    if found is None:
        return state, 0.0, None
    there = state_at(found, state.x)
    acceptance = probability(there.log_density - state.log_density + log_ratio)
    return (there if uniform < acceptance else state), acceptance, there


class Part(Protocol):
    """A block of coefficients that is updated at once."""

    @property
    def name(self) -> str:
        """Short, for statistics."""

    def move(self, rng: np.random.Generator, state: State) -> tuple[State, float]:
        """Return the state after a move of the block, and the probability of acceptance (mean over levels)."""


def _derivatives(state: State, etas: Floats) -> RowDerivatives:
    search = state.conditional.search
    with np.errstate(all="ignore"):
        return search.structure.view.elementwise(list(etas), search.phi, 1)


def _slope_and_weight(found: RowDerivatives, predictor: int) -> tuple[Floats, Floats]:
    """Return the first derivative, and minus the second where that is positive, in one predictor.

    Both row by row: what one level proposes may not depend on what the others do.
    """
    assert found.d1 is not None
    assert found.d2 is not None
    slope = np.nan_to_num(found.d1[predictor], nan=0.0, posinf=0.0, neginf=0.0)
    weight = np.nan_to_num(-found.d2[predictor, predictor], nan=0.0, posinf=0.0, neginf=0.0)
    return slope, np.maximum(weight, 1e-12)


@dataclass(frozen=True)
class Whole:
    """Coefficients that are proposed together: population coefficients and smooths, or levels that meet each other.

    The latter are those of a block with a sparse prior, or of one whose rows belong to several levels.

    Attributes
    ----------
    name : str
    at : ndarray of int, shape (m,)
        Positions in x.
    predictor : int
    span : slice or None
        Among the dense columns of the border; None for a block of a grouping factor.
    groups : tuple of int
        Among the pattern's groups, where `span` is None: one for each membership.
    """

    name: str
    at: Any
    predictor: int
    span: slice | None
    groups: tuple[int, ...] = ()

    def _columns(self, state: State) -> Any:
        search = state.conditional.search
        rows = search.rows
        if self.span is not None:
            return rows.dense[self.predictor]
        n, k = rows.pattern.n, rows.pattern.groups[self.groups[0]].width
        pointer, shape = np.arange(0, n * k + 1, k), (n, len(self.at))
        parts = []
        for g in self.groups:
            # Columns in the order of x: that of `at`.
            columns = rows.pattern.groups[g].index[:, None] * k + np.arange(k)
            parts.append(sparse.csr_array((rows.groups[g].T.ravel(), columns.ravel(), pointer), shape=shape))
        return sum(parts[1:], parts[0])

    def _precision(self, state: State) -> Floats:
        prior = state.conditional.search.prior
        if self.span is not None:
            return np.asarray(prior.Q.dense[self.span, self.span])
        found: Any = next((Q for start, Q in prior.coupled if start == self.at[0]), None)
        return np.eye(len(self.at)) if found is None else np.asarray(found.toarray())

    def move(self, rng: np.random.Generator, state: State) -> tuple[State, float]:
        """Return the state after a move, and the probability of acceptance."""
        A, Q = self._columns(state), self._precision(state)
        e, uniform = rng.standard_normal(len(self.at)), rng.random()
        try:
            mean, factor = self._proposal(state, state.x, state.etas, A, Q)
            x = state.x.copy()
            x[self.at] = mean + factor.half_solve(e)
            etas = state.etas.copy()
            etas[self.predictor] += A @ (x[self.at] - state.x[self.at])
            there = State(state.conditional, x, etas, state.conditional.log_density(x, etas))
            if not np.isfinite(there.log_density):
                return state, 0.0
            back, other = self._proposal(state, x, etas, A, Q)
        except NotPositiveDefiniteError:
            return state, 0.0
        forth = 0.5 * factor.logdet() - 0.5 * float(e @ e)
        # |L'd|^2 = d' H d.
        deviation = state.x[self.at] - back
        return_density = 0.5 * other.logdet() - 0.5 * float(deviation @ self._times(other, deviation))
        acceptance = probability(there.log_density - state.log_density + return_density - forth)
        return (there if uniform < acceptance else state), acceptance

    @staticmethod
    def _times(factor: DenseFactor, deviation: Floats) -> Floats:
        scaled = deviation / factor.scale
        return np.asarray((factor.L @ (factor.L.T @ scaled)) / factor.scale)

    def _proposal(self, state: State, x: Floats, etas: Floats, A: Any, Q: Floats) -> tuple[Floats, DenseFactor]:
        slope, weight = _slope_and_weight(_derivatives(state, etas), self.predictor)
        prior = state.conditional.search.prior
        weighted = A * weight[:, None] if self.span is not None else A.multiply(weight[:, None]).tocsr()
        H: Any = A.T @ weighted
        factor = DenseFactor(np.asarray(H if self.span is not None else H.toarray()) + Q)
        gradient = A.T @ slope - Q @ (x - prior.mean)[self.at]
        return x[self.at] + factor.solve(gradient), factor


@dataclass(frozen=True)
class Levels:
    """A spherical block of a grouping factor: every level by itself.

    Attributes
    ----------
    name : str
    group : int
        Among the pattern's groups.
    """

    name: str
    group: int

    def move(self, rng: np.random.Generator, state: State) -> tuple[State, float]:
        """Return the state after moves of all levels, and the mean probability of acceptance."""
        rows = state.conditional.search.rows
        group, values = rows.pattern.groups[self.group], rows.groups[self.group]
        here = state.x[group.columns]
        before = _derivatives(state, state.etas)
        mean, root, logdet = self._proposal(before, here, values, group)
        e = rng.standard_normal(here.shape)
        uniform = rng.random(group.levels)
        # root is lower triangular with H = root root'; the draw has covariance H^-1.
        there = mean + np.linalg.solve(np.swapaxes(root, 1, 2), e[:, :, None])[:, :, 0]
        etas = state.etas.copy()
        etas[group.predictor] += np.einsum("kn,nk->n", values, (there - here)[group.index])
        after = _derivatives(state, etas)
        back, other, logdet_back = self._proposal(after, there, values, group)
        returned = np.einsum("lji,lj->li", other, here - back)
        log_ratio = (
            np.bincount(group.index, after.value - before.value, group.levels)
            - 0.5 * (there**2 - here**2).sum(axis=1)
            + (logdet_back - 0.5 * (returned**2).sum(axis=1))
            - (logdet - 0.5 * (e**2).sum(axis=1))
        )
        acceptance = np.exp(np.minimum(np.nan_to_num(log_ratio, nan=-np.inf), 0.0))
        chosen = uniform < acceptance
        x = state.x.copy()
        x[group.columns] = np.where(chosen[:, None], there, here)
        etas = state.etas.copy()
        etas[group.predictor] += np.einsum("kn,nk->n", values, (x[group.columns] - here)[group.index])
        return State(state.conditional, x, etas, state.conditional.log_density(x, etas)), float(acceptance.mean())

    def _proposal(
        self, found: RowDerivatives, here: Floats, values: Floats, group: Any
    ) -> tuple[Floats, Floats, Any]:
        """Return mean, root of the precision and half its log determinant, by level."""
        slope, weight = _slope_and_weight(found, group.predictor)
        k, levels, index = group.width, group.levels, group.index
        H = np.empty((levels, k, k))
        gradient = np.empty((levels, k))
        for a in range(k):
            gradient[:, a] = np.bincount(index, values[a] * slope, levels)
            for b in range(a + 1):
                H[:, a, b] = H[:, b, a] = np.bincount(index, values[a] * values[b] * weight, levels)
        H += np.eye(k)
        root = np.linalg.cholesky(H)
        step = np.linalg.solve(H, (gradient - here)[:, :, None])[:, :, 0]
        return here + step, root, np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)


def parts_of(structure: Structure) -> list[Part]:
    """Return the blocks of a model: dense columns by predictor, then every group."""
    found: list[Part] = []
    pattern, parameters = structure.pattern, [p.names.parameter for p in structure.view.problem.predictors]
    for p, span in enumerate(pattern.dense_span):
        if span.stop > span.start:
            name = "coefficients" if p == 0 else f"coefficients_{parameters[p]}"
            found.append(Whole(name, pattern.border[span], p, span))
    for block in structure.blocks:
        if block.group is None or pattern.owners[block.group] != block.group:
            continue
        groups = tuple(g for g, own in enumerate(pattern.owners) if own == block.group)
        if block.latent.role == "precision" or len(groups) > 1:
            at = pattern.groups[block.group].columns.ravel()
            found.append(Whole(block.part.names.b, at, block.latent.predictor, None, groups))
        else:
            found.append(Levels(block.part.names.b, block.group))
    return found


@dataclass(frozen=True, eq=False)
class IwlsTuning:
    """What is adapted, and then frozen."""

    walk: Walk
    root: Floats


class IwlsKernel:
    """A transition: every block of coefficients in turn, then theta.

    Parameters
    ----------
    structure : Structure
    centre : Centre
    """

    def __init__(self, structure: Structure, centre: Centre) -> None:
        self.structure, self.centre, self.parts = structure, centre, parts_of(structure)
        names = [f"acceptance_{part.name}" for part in self.parts]
        names += ["acceptance_theta", "step_size_theta"] if len(centre.theta) else []
        self.stats: Mapping[str, tuple[int, ...]] = dict.fromkeys(names, ())

    def tuning(self) -> IwlsTuning:
        """Return what tuning begins with."""
        walk = first_walk(self.centre.theta, self.centre.covariance)
        return IwlsTuning(walk, walk.root)

    def start(self, rng: np.random.Generator) -> State:
        """Draw a start around the mode."""
        return first_state(rng, self.structure, self.centre)

    def step(self, rng: np.random.Generator, state: State, tuning: IwlsTuning) -> tuple[State, dict[str, Any]]:
        """Return the next state and what happened."""
        info: dict[str, Any] = {}
        for part in self.parts:
            state, info[f"acceptance_{part.name}"] = part.move(rng, state)
        # Sums of increments drift by rounding: anew once per draw.
        state = replace(state, etas=state.conditional.search.etas(state.x))
        if len(state.theta):
            step = tuning.root @ rng.standard_normal(len(state.theta))
            state, info["acceptance_theta"], _ = walk_theta(rng, state, self.structure, step)
            info["step_size_theta"] = float(tuning.walk.scale.value)
        return state, info

    def adapted(self, tuning: IwlsTuning, state: State, info: Mapping[str, Any]) -> IwlsTuning:
        """Return the tuning after a step."""
        if "acceptance_theta" not in info:
            return tuning
        walk = tuning.walk.adapted(info["acceptance_theta"], state.theta)
        return IwlsTuning(walk, walk.root)


def first_state(rng: np.random.Generator, structure: Structure, centre: Centre) -> State:
    """Draw a start: theta around the centre, x where the conditional mode is expected.

    Raises
    ------
    NotPositiveDefiniteError
        If the density is zero at all candidates.
    """
    for theta in centre.starts(rng):
        found = conditional(structure, theta)
        for x in (centre.x + centre.jacobian @ (theta - centre.theta), centre.x, structure.start):
            if found is not None and np.isfinite((state := state_at(found, x)).log_density):
                return state
    raise NotPositiveDefiniteError("No start with a positive density was found.")

"""The textbook's Metropolis sampler: one coordinate at a time, a normal step, accepted or not.

Coordinates are the population coefficients, the standardised group effects u (b = Lambda u), and the hyperparameters
on the unconstrained scale. Coefficients whose prior has bounds move on their own scale like the others, and what is
proposed beyond a bound is rejected. Levels of a grouping factor are independent given everything else, so a sweep
over them, each with its own step and its own decision, is done in one pass over the rows; it is the same chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.adaptation import Scale
from bayesglmm.engines.kernels.centre import Centre
from bayesglmm.engines.kernels.coordinates import Coordinate, coordinates_of
from bayesglmm.engines.kernels.iwls import State, first_state, walk_theta
from bayesglmm.engines.kernels.structure import Structure

DEFAULT_SCALE = 0.5
_ACCEPTANCE = 0.44  # the best for one coordinate (Gelman, Roberts and Gilks 1996)


@dataclass(frozen=True, eq=False)
class Site:
    """Coordinates of x that are moved in one pass: one, or one per level.

    Attributes
    ----------
    at : ndarray of int, shape (m,)
        Positions in x.
    predictor : int
    groups : tuple of int
        Among the pattern's groups, one for each membership; empty for a column of the border.
    column : int
        Within the group, or among the dense columns of the predictor.
    level : int or None
        The only level that moves; all if None.
    """

    at: Any
    predictor: int
    groups: tuple[int, ...]
    column: int
    level: int | None = None

    def effect(self, rows: Any, step: Floats) -> Floats:
        """Return what a step of shape (m,) adds to the predictor, shape (n,)."""
        if not self.groups:
            return np.asarray(rows.dense[self.predictor][:, self.column] * step[0])
        total = np.zeros(rows.pattern.n)
        for g in self.groups:
            values, index = rows.groups[g][self.column], rows.pattern.groups[g].index
            total += values * (step[index] if self.level is None else np.where(index == self.level, step[0], 0.0))
        return total

    def collect(self, rows: Any, values: Floats) -> Floats:
        """Return sums over the rows that each coordinate reaches, shape (m,)."""
        if not self.groups or self.level is not None:
            return np.array([values.sum()])
        group = rows.pattern.groups[self.groups[0]]
        return np.bincount(group.index, values, group.levels)


def sites_of(structure: Structure) -> list[Site]:
    """Return the passes of one sweep over x."""
    pattern, found = structure.pattern, []
    for p, span in enumerate(pattern.dense_span):
        found += [Site(pattern.border[span][j : j + 1], p, (), j) for j in range(span.stop - span.start)]
    for block in structure.blocks:
        if block.group is None or pattern.owners[block.group] != block.group:
            continue
        group, p = pattern.groups[block.group], block.latent.predictor
        groups = tuple(g for g, own in enumerate(pattern.owners) if own == block.group)
        for a in range(group.width):
            if block.latent.role == "precision" or len(groups) > 1:  # levels depend on each other
                found += [Site(group.columns[j : j + 1, a], p, groups, a, j) for j in range(group.levels)]
            else:
                found.append(Site(group.columns[:, a], p, groups, a))
    return found


def prior_diagonal(state: State) -> Floats:
    """Return the diagonal of Q, shape (size,)."""
    prior = state.conditional.search.prior
    out = np.ones(len(state.x))
    out[prior.at] = np.diag(prior.Q.dense)
    for start, Q in prior.coupled:
        out[start : start + Q.shape[0]] = Q.diagonal()
    return out


def move_site(
    rng: np.random.Generator, state: State, site: Site, scale: Floats, Q: Floats
) -> tuple[State, Floats, Floats, Any]:
    """Move the coordinates of one site.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : State
    site : Site
    scale : ndarray, shape (size,)
        Standard deviations of the steps.
    Q : ndarray, shape (size,)
        `prior_diagonal`.

    Returns
    -------
    state : State
    acceptance, proposal : ndarray, shape (m,)
    accepted : ndarray of bool, shape (m,)
    """
    found, at = state.conditional, site.at
    rows, prior = found.search.rows, found.search.prior
    step = scale[at] * rng.standard_normal(len(at))
    uniform = rng.random(len(at))
    etas = state.etas.copy()
    etas[site.predictor] += site.effect(rows, step)
    before, after = found.rows(state.etas), found.rows(etas)
    with np.errstate(all="ignore"):
        log_ratio = site.collect(rows, after - before) - step * prior.times(state.x)[at] - 0.5 * step**2 * Q[at]
        acceptance = np.exp(np.minimum(np.where(np.isnan(log_ratio), -np.inf, log_ratio), 0.0))
    accepted = uniform < acceptance
    proposal = state.x[at] + step
    x = state.x.copy()
    x[at] = np.where(accepted, proposal, state.x[at])
    if not accepted.all():
        etas = state.etas.copy()
        etas[site.predictor] += site.effect(rows, np.where(accepted, step, 0.0))
    return State(found, x, etas, np.nan), acceptance, proposal, accepted


@dataclass(frozen=True, eq=False)
class WalkTuning:
    """What is adapted, and then frozen: the scale of every coordinate, x first."""

    scale: Scale


class RandomWalkKernel:
    """A transition: every coordinate once.

    Parameters
    ----------
    structure : Structure
    centre : Centre
    scales : ndarray, shape (size + t,)
        Standard deviations of the steps, x first.
    adapt : bool
        Whether they change while the chain is tuned.
    keep_proposals : bool
        Hand out what was proposed.
    """

    def __init__(
        self, structure: Structure, centre: Centre, scales: Floats, adapt: bool = True, keep_proposals: bool = False
    ) -> None:
        self.structure, self.centre, self.sites = structure, centre, sites_of(structure)
        self.scales, self.adapt, self.keep = np.asarray(scales, dtype=float), adapt, keep_proposals
        d = len(self.scales)
        self.coordinates = coordinates_of(structure.view)
        self.bounds = structure.view.bounds
        self.variables: dict[str, list[int]] = {}
        for j, coordinate in enumerate(self.coordinates):
            self.variables.setdefault(coordinate.variable, []).append(j)
        names = [f"{what}_{name}" for name in self.variables for what in ("acceptance", "step_size")]
        self.stats: Mapping[str, tuple[int, ...]] = dict.fromkeys(names, ()) | {"accepted": (d,)}
        self.stats |= {"proposal": (d,)} if keep_proposals else {}

    def tuning(self) -> WalkTuning:
        """Return what tuning begins with."""
        return WalkTuning(Scale(np.log(self.scales), _ACCEPTANCE))

    def start(self, rng: np.random.Generator) -> State:
        """Draw a start around the mode."""
        return first_state(rng, self.structure, self.centre)

    def step(self, rng: np.random.Generator, state: State, tuning: WalkTuning) -> tuple[State, dict[str, Any]]:
        """Return the next state and what happened."""
        scale = np.atleast_1d(tuning.scale.value)
        size, d = len(state.x), len(self.scales)
        acceptance, proposal, accepted = np.zeros(d), np.empty(d), np.zeros(d)
        Q = prior_diagonal(state)
        for site in self.sites:
            state, acceptance[site.at], proposal[site.at], accepted[site.at] = move_site(rng, state, site, scale, Q)
        state = State(state.conditional, state.x, etas := state.conditional.search.etas(state.x), np.nan)
        state = State(state.conditional, state.x, etas, state.conditional.log_density(state.x, etas))
        for j in range(d - size):
            state, acceptance[size + j], proposal[size + j], accepted[size + j] = self._hyperparameter(
                rng, state, self.coordinates[size + j], scale[size + j]
            )
        info: dict[str, Any] = {"accepted": accepted, "probability": acceptance}
        info |= {"proposal": proposal} if self.keep else {}
        for name, own in self.variables.items():
            info |= {f"acceptance_{name}": acceptance[own].mean(), f"step_size_{name}": scale[own].mean()}
        return state, info

    def _hyperparameter(
        self, rng: np.random.Generator, state: State, coordinate: Coordinate, scale: float
    ) -> tuple[State, float, float, bool]:
        """Move one hyperparameter; return the state, the acceptance, what was proposed, and whether it was taken."""
        j, step, log_ratio = coordinate.position, np.zeros(len(state.theta)), 0.0
        step[j] = scale * rng.standard_normal()
        transform = self.bounds.get(coordinate.variable)
        proposed = np.nan
        if transform is not None:
            own = slice(j - coordinate.component, j - coordinate.component + len(transform.lower))
            value = np.array(self.structure.view.natural(state.theta)[coordinate.variable], dtype=float)
            value[coordinate.component] += step[j]
            proposed, there = float(value[coordinate.component]), transform.to_line(value)
            if not np.all(np.isfinite(there)):
                return state, 0.0, proposed, False
            slopes = transform.log_slopes(state.theta[own]) - transform.log_slopes(there)
            log_ratio, step[own] = float(slopes.sum()), there - state.theta[own]
        after, acceptance, found = walk_theta(rng, state, self.structure, step, log_ratio)
        if self.keep and transform is None and found is not None:
            proposed = self._natural(found, coordinate)
        return after, acceptance, proposed, after is not state

    def _natural(self, state: State, coordinate: Coordinate) -> float:
        """Return one hyperparameter as users read it, where it is one number of them; else the coordinate itself."""
        if not coordinate.natural:
            return float(state.theta[coordinate.position])
        return float(np.ravel(self.structure.view.natural(state.theta)[coordinate.variable])[coordinate.component])

    def adapted(self, tuning: WalkTuning, state: State, info: Mapping[str, Any]) -> WalkTuning:
        """Return the tuning after a sweep."""
        return WalkTuning(tuning.scale.adapted(info["probability"])) if self.adapt else tuning

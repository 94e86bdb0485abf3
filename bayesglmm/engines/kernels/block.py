"""One-block Metropolis in whitened coordinates: the hyperparameters move, and the coefficients move along.

With c(theta) near the conditional mode and H(theta) = L L' the precision there, x = c(theta) + L(theta)^-T z, and the
density of (theta, z) is p(y, x, theta) |L(theta)|^-1. Two moves alternate:

- theta is moved *while z is kept*. Keeping z instead of drawing x anew (Knorr-Held and Rue 2002) leaves the noise of
  a high-dimensional proposal out of the acceptance ratio. And since z and theta are nearly independent, theta may go
  far: proposals from what the chain has learned of its distribution (Tierney 1994) take turns with a random walk.
- z is moved at fixed theta by something that keeps N(0, I), so that only the non-normality decides: guided by the
  gradient of what is not normal, a Hamiltonian path whose normal part is solved exactly (Shahbaba et al. 2014, Beskos
  et al. 2011); or blindly, z* = rho z + sqrt(1 - rho^2) e (preconditioned Crank-Nicolson; Neal 1998, Cotter, Roberts,
  Stuart and White 2013).

Both leave the exact posterior as it is for *any* c and L that are functions of theta alone. Hence c is computed from
a start that depends on theta only, never from the state of the chain; how near it comes to the mode matters for the
acceptance, not for correctness.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.adaptation import Scale, Share, Walk, first_walk
from bayesglmm.engines.kernels.centre import Centre
from bayesglmm.engines.kernels.newton import NewtonSearch, positive_part
from bayesglmm.engines.kernels.proposals import Independent, Proposal, RandomStep
from bayesglmm.engines.kernels.structure import Structure
from bayesglmm.engines.kernels.target import Conditional, conditional
from bayesglmm.linalg import Factor, NotPositiveDefiniteError

_GAINS = (0.05, 1.0)  # a step that gains less is the last, from the second on also one below 1: seldom a third
_NOWHERE = 1e-6  # the same where the curvature had to be replaced: a search may begin far out, where gains are small
_STEPS = 30
_FAR = 4.0  # standard deviations of theta beyond which the mode is not extrapolated
_ACCEPTANCE = {"guided": 0.8, "autoregressive": 0.3}  # aimed at by moves of z


@dataclass(frozen=True, eq=False)
class Place:
    """The map from z to x at one theta.

    Attributes
    ----------
    conditional : Conditional
    centre : ndarray, shape (size,)
    factor : Factor
        Of H.
    half_logdet : float
        log |L|.
    factorisations : int
        How many it took.
    """

    conditional: Conditional
    centre: Floats
    factor: Factor
    half_logdet: float
    factorisations: int

    def x(self, z: Floats) -> Floats:
        """Return c + L^-T z."""
        return self.centre + self.factor.half_solve(z)


@dataclass(frozen=True, eq=False)
class BlockState:
    """Where a chain is.

    Attributes
    ----------
    place : Place
    z : ndarray, shape (size,)
    x : ndarray, shape (size,)
    log_density : float
        log p(y, x, theta).
    excess : ndarray, shape (size,), or None
        Gradient in z of what is not normal, where a move has computed it.
    """

    place: Place
    z: Floats
    x: Floats
    log_density: float
    excess: Floats | None = None

    @property
    def theta(self) -> Floats:
        """Hyperparameters, unconstrained."""
        return self.place.conditional.theta


class Whitening:
    """c and L as functions of theta.

    Parameters
    ----------
    structure : Structure
    centre : Centre
        The mode at one theta and its derivative, from which the search starts at every other.
    """

    def __init__(self, structure: Structure, centre: Centre) -> None:
        self.structure, self.centre = structure, centre
        self._reach = _FAR * np.sqrt(np.maximum(np.diag(centre.covariance), 1e-12))

    def at(self, theta: Floats, known: tuple[Mapping[str, Any], float] | None = None) -> Place | None:
        """Return the map at theta; None where there is none in double precision. `known` as of `conditional`."""
        found = conditional(self.structure, theta, known)
        if found is None:
            return None
        move = np.clip(theta - self.centre.theta, -self._reach, self._reach)
        with np.errstate(all="ignore"):
            try:
                x, factor, count = _near_mode(found.search, self.centre.x + self.centre.jacobian @ move)
            except (NotPositiveDefiniteError, np.linalg.LinAlgError):
                return None
            half_logdet = 0.5 * factor.logdet()
        return Place(found, x, factor, half_logdet, count) if np.isfinite(half_logdet + x.sum()) else None

    def state(self, theta: Floats, z: Floats) -> BlockState | None:
        """Return the state with these coordinates; None where it has no density."""
        place = self.at(theta)
        return None if place is None else state_at(place, z)

    def state_of(self, theta: Floats, x: Floats) -> BlockState:
        """Return the state with these natural coordinates: z = L' (x - c).

        Raises
        ------
        NotPositiveDefiniteError
            If there is no map at theta.
        """
        place = self.at(theta)
        if place is None:
            raise NotPositiveDefiniteError("The coefficients have no conditional precision at this point.")
        z = place.factor.half_product(x - place.centre)
        return BlockState(place, z, x, place.conditional.log_density(x))


def _near_mode(search: NewtonSearch, x: Floats) -> tuple[Floats, Factor, int]:
    """Return a point near the mode, the factor of a precision near it, and how many factorisations that took."""
    value, derivatives = search.evaluate(x)
    if not np.isfinite(value):
        x = search.structure.start.copy()
        value, derivatives = search.evaluate(x)
    for count in range(1, _STEPS + 1):
        factor, curved = _factor(search, -search.observed(derivatives))
        gradient = search.rows.transpose(search.first(derivatives)) - search.prior.times(x)
        direction = factor.solve(gradient)
        gain = 0.5 * float(gradient @ direction)
        # What a step gains says how near the mode is only where the density curves downwards, as it does there.
        enough = _GAINS[min(count, 2) - 1] if curved else _NOWHERE
        if gain < min(_GAINS[0], enough):  # so short a step need not be checked: an evaluation of rows for nothing
            return x + direction, factor, count
        found = search.halve(x, direction, value, gain) if np.isfinite(gain) else None
        if found is None:
            return x, factor, count
        x, value, derivatives = found
        if gain < enough:
            return x, factor, count
    return x, factor, _STEPS


def _factor(search: NewtonSearch, W: Floats) -> tuple[Factor, bool]:
    """Return a factor, and whether it is that of the precision itself."""
    try:
        return search.factor(W), True
    except NotPositiveDefiniteError:
        return search.factor(positive_part(W)), False


def state_at(place: Place, z: Floats) -> BlockState:
    """Return the state at a place."""
    x = place.x(z)
    return BlockState(place, z, x, place.conditional.log_density(x))


def hyperparameter_move(
    rng: np.random.Generator, state: BlockState, whitening: Whitening, proposal: Proposal, refresh: bool = False
) -> tuple[BlockState, float, int]:
    """Move theta with z kept.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : BlockState
    whitening : Whitening
    proposal : Proposal
        Of theta.
    refresh : bool
        Draw z anew, too: the one-block move of Knorr-Held and Rue (2002).

    Returns
    -------
    state : BlockState
    acceptance : float
        Its probability.
    factorisations : int
    """
    theta, log_ratio = proposal.propose(rng, state.theta)
    z = rng.standard_normal(len(state.z)) if refresh else state.z
    uniform = rng.random()
    place = whitening.at(theta)
    if place is None:
        return state, 0.0, 0
    there = state_at(place, z)
    log_ratio += (there.log_density - place.half_logdet) - (state.log_density - state.place.half_logdet)
    if refresh:
        log_ratio += 0.5 * float(z @ z - state.z @ state.z)
    acceptance = probability(log_ratio)
    return (there if uniform < acceptance else state), acceptance, place.factorisations


def latent_move(rng: np.random.Generator, state: BlockState, size: float) -> tuple[BlockState, float]:
    """Move z at fixed theta, autoregressively.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : BlockState
    size : float
        sqrt(1 - rho^2), in (0, 1]; one draws z anew.

    Returns
    -------
    state : BlockState
    acceptance : float
    """
    z = np.sqrt(max(1.0 - size**2, 0.0)) * state.z + size * rng.standard_normal(len(state.z))
    uniform = rng.random()
    there = state_at(state.place, z)
    log_ratio = there.log_density + 0.5 * float(z @ z) - state.log_density - 0.5 * float(state.z @ state.z)
    acceptance = probability(log_ratio)
    return (there if uniform < acceptance else state), acceptance


def guided_move(rng: np.random.Generator, state: BlockState, angle: float, steps: int) -> tuple[BlockState, float]:
    """Move z at fixed theta along a Hamiltonian path, the normal part of which is a rotation.

    Parameters
    ----------
    rng : numpy.random.Generator
    state : BlockState
    angle : float
        Of one step; where the posterior is normal given theta, a quarter turn in all makes z anew.
    steps : int

    Returns
    -------
    state : BlockState
    acceptance : float
    """
    velocity, uniform = rng.standard_normal(len(state.z)), rng.random()
    z, w = state.z, velocity
    cosine, sine = np.cos(angle), np.sin(angle)
    kick = _excess(state.place, z, state.x)[0] if state.excess is None else state.excess
    start, log_density = replace(state, excess=kick), -np.inf
    for _ in range(steps):
        w = w + 0.5 * angle * kick
        z, w = cosine * z + sine * w, cosine * w - sine * z
        x = state.place.x(z)
        kick, log_density = _excess(state.place, z, x)
        if not np.isfinite(kick).all():
            return start, 0.0
        w = w + 0.5 * angle * kick
    there = BlockState(state.place, z, x, log_density, kick)
    log_ratio = there.log_density - 0.5 * float(w @ w) - state.log_density + 0.5 * float(velocity @ velocity)
    acceptance = probability(log_ratio)
    return (there if uniform < acceptance else start), acceptance


def _excess(place: Place, z: Floats, x: Floats) -> tuple[Floats, float]:
    """Return the gradient in z of log p(y, x, theta) + z'z / 2, zero if x given theta is N(c, H^-1), and log p."""
    found, search = place.conditional, place.conditional.search
    with np.errstate(all="ignore"):
        value, derivatives = search.evaluate(x)
        gradient = search.rows.transpose(search.first(derivatives)) - search.prior.times(x)
        excess = z + place.factor.half_product(place.factor.solve(gradient))
        log_density = value + search.prior.constant + found.log_prior
    return excess, log_density if np.isfinite(log_density) else -np.inf


def probability(log_ratio: float) -> float:
    """Return min(1, exp(log_ratio)); zero where it is not a number."""
    return 0.0 if np.isnan(log_ratio) else float(np.exp(min(log_ratio, 0.0)))


@dataclass(frozen=True, eq=False)
class BlockTuning:
    """What is adapted, and then frozen."""

    walk: Walk
    steps: RandomStep
    places: Independent
    share: Share  # of `places`
    latent: Scale


class BlockKernel:
    """A transition: one move of theta, then some of z.

    Parameters
    ----------
    structure : Structure
    centre : Centre
    moves : int
        Steps of a guided path, or autoregressive moves, per draw.
    refresh : bool
        See `hyperparameter_move`.
    latent : {"guided", "autoregressive"}
        How z moves.
    """

    def __init__(
        self,
        structure: Structure,
        centre: Centre,
        moves: int = 2,
        refresh: bool = False,
        latent: Literal["guided", "autoregressive"] = "guided",
    ) -> None:
        self.structure, self.centre, self.moves, self.refresh, self.latent = structure, centre, moves, refresh, latent
        self.whitening = Whitening(structure, centre)
        self.stats: Mapping[str, tuple[int, ...]] = dict.fromkeys(
            [
                *(["acceptance_theta", "step_size_theta", "independence_theta"] if len(centre.theta) else []),
                *(["acceptance_z", "step_size_z"] if len(centre.x) else []),
                "n_factorisations",
            ],
            (),
        )

    def tuning(self) -> BlockTuning:
        """Return what tuning begins with."""
        walk = first_walk(self.centre.theta, self.centre.covariance)
        largest = float(np.log(0.5 * np.pi / self.moves)) if self.latent == "guided" else 0.0
        latent = Scale(np.array(largest - 0.5), _ACCEPTANCE[self.latent], largest)
        share = Share(0.0 if self.refresh else 0.5)
        return BlockTuning(walk, RandomStep(walk.root), walk.independent, share, latent)

    def start(self, rng: np.random.Generator) -> BlockState:
        """Draw a start: normal around the mode, spread wider than the posterior."""
        z = rng.standard_normal(len(self.centre.x))
        for theta in self.centre.starts(rng):
            state = self.whitening.state(theta, z)
            if state is not None and np.isfinite(state.log_density):
                return state
        raise NotPositiveDefiniteError("No start with a positive density was found.")

    def step(
        self, rng: np.random.Generator, state: BlockState, tuning: BlockTuning
    ) -> tuple[BlockState, dict[str, Any]]:
        """Return the next state and what happened."""
        info: dict[str, Any] = {"n_factorisations": 0}
        if len(state.theta):
            far = rng.random() < tuning.share.value
            proposal = tuning.places if far else tuning.steps
            state, acceptance, count = hyperparameter_move(rng, state, self.whitening, proposal, self.refresh)
            info |= {"acceptance_theta": acceptance, "step_size_theta": float(tuning.walk.scale.value)}
            info |= {"independence_theta": tuning.share.value, "independent": far, "n_factorisations": count}
        if len(state.z):
            size, accepted = float(tuning.latent.value), []
            for _ in range(self.moves if self.latent == "autoregressive" else 0):
                state, acceptance = latent_move(rng, state, size)
                accepted.append(acceptance)
            if self.latent == "guided":
                state, acceptance = guided_move(rng, state, size, self.moves)
                accepted.append(acceptance)
            info |= {"acceptance_z": float(np.mean(accepted)), "step_size_z": size}
        return state, info

    def adapted(self, tuning: BlockTuning, state: BlockState, info: Mapping[str, Any]) -> BlockTuning:
        """Return the tuning after a step."""
        walk, share, latent = tuning.walk, tuning.share, tuning.latent
        if "acceptance_theta" in info:
            acceptance, far = info["acceptance_theta"], info["independent"]
            walk = walk.learned(state.theta) if far else walk.adapted(acceptance, state.theta)
            share = share.adapted(acceptance) if far else share
        if "acceptance_z" in info:
            latent = latent.adapted(info["acceptance_z"])
        return BlockTuning(walk, RandomStep(walk.root), walk.independent, share, latent)

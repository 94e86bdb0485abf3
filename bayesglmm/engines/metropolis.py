"""Metropolis-Hastings: exact draws without gradients of the posterior, and every move open to view."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.base import ENGINES, Engine, Run, Settings, require_independent_rows, require_integer
from bayesglmm.engines.chains import ChainProgress, Kernel, Plan, run_chains
from bayesglmm.engines.kernels.block import BlockKernel
from bayesglmm.engines.kernels.centre import centre_of
from bayesglmm.engines.kernels.coordinates import coordinates_of
from bayesglmm.engines.kernels.iwls import IwlsKernel
from bayesglmm.engines.kernels.nested import Draws
from bayesglmm.engines.kernels.newton import structure_of
from bayesglmm.engines.kernels.random_walk import DEFAULT_SCALE, RandomWalkKernel
from bayesglmm.engines.modes import latent_view
from bayesglmm.engines.nested import natural_draws
from bayesglmm.errors import (
    InterruptedBeforeFirstDrawError,
    NoDerivativeError,
    SettingsError,
    UnknownNameError,
    did_you_mean,
)
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.problem import Problem
from bayesglmm.parallel import distributed, workers

_PROPOSALS = ("block", "iwls", "random-walk")
_WORTH_WORKERS = 1.5e8  # rows times steps; below, starting processes takes longer than it saves
_FEWEST_ROWS = 3000  # what a step costs however few rows there are
_PRINTED = 30  # parameters whose acceptance is listed


@dataclass(frozen=True)
class MetropolisSettings(Settings):
    """Settings of the Metropolis engine.

    Attributes
    ----------
    proposal : {"block", "iwls", "random-walk"}
        ``"block"``: hyperparameters and coefficients in whitened coordinates, whole blocks at a time; ``"iwls"``:
        blocks of coefficients by weighted least squares (Gamerman 1997), a random walk for the hyperparameters;
        ``"random-walk"``: one coordinate at a time.
    draws, tune, chains : int
        Draws per chain after tuning, tuning draws, independent chains. Tuning adapts; then everything is frozen.
    cores : int or None
        Chains that run at once; if None, what ``joblib.parallel_config`` says, and where that says nothing as many
        as suit the size of the work. The draws do not depend on it.
    moves : int
        For ``"block"``: steps of the path, or moves, of the coefficients per draw.
    latent : {"guided", "autoregressive"}
        For ``"block"``: coefficients follow a path that the gradient of the likelihood guides, or take blind
        autoregressive steps.
    refresh : bool
        For ``"block"``: draw the coefficients anew with every move of the hyperparameters (Knorr-Held and Rue 2002)
        instead of keeping their whitened values.
    scale : float, mapping of str to float, or None
        For ``"random-walk"``: standard deviation of the steps, for all coordinates or by free variable of the graph
        or label of `Fit.summary`. Standard deviations and dispersions move on the log scale, coefficients on their
        own, also where their prior has bounds: what is proposed beyond them is rejected. Given, the scale is not
        adapted; if None, every coordinate starts at 0.5 and is adapted in tuning.
    keep_proposals : bool
        For ``"random-walk"``: keep what was proposed, accepted or not, for `plots.metropolis_path`.
    progressbar : bool
        Show in a terminal or notebook how far a run of more than two seconds is.
    """

    proposal: Literal["block", "iwls", "random-walk"] = "block"
    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    moves: int = 2
    latent: Literal["guided", "autoregressive"] = "guided"
    refresh: bool = False
    scale: float | Mapping[str, float] | None = None
    keep_proposals: bool = False
    progressbar: bool = True

    def check(self) -> None:
        """Raise `SettingsError` on a value out of range, or that the proposal does not use."""
        if self.proposal not in _PROPOSALS:
            nearest = did_you_mean(str(self.proposal), _PROPOSALS)
            raise SettingsError(f"proposal={self.proposal!r} is not known. {nearest}")
        for name, minimum in (("draws", 1), ("tune", 0), ("chains", 1), ("moves", 1)):
            require_integer(name, getattr(self, name), minimum)
        if self.cores is not None:
            require_integer("cores", self.cores, 1)
        if self.latent not in ("guided", "autoregressive"):
            raise SettingsError(f'latent must be "guided" or "autoregressive", not {self.latent!r}.')
        for name, idle, proposal in (
            ("scale", None, "random-walk"),
            ("keep_proposals", False, "random-walk"),
            ("refresh", False, "block"),
            ("latent", "guided", "block"),
        ):
            if getattr(self, name) != idle and self.proposal != proposal:
                raise SettingsError(f'{name} is a setting of proposal="{proposal}", not of "{self.proposal}".')
        given = self.scale.values() if isinstance(self.scale, Mapping) else [] if self.scale is None else [self.scale]
        for value in given:
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < math.inf:
                raise SettingsError(f"scale must be positive numbers, not {value!r}.")


class Metropolis(Engine):
    """Metropolis-Hastings sampling of the exact posterior."""

    name = "metropolis"
    aliases = ("mh",)
    settings = MetropolisSettings

    def run(self, problem: Problem, settings: MetropolisSettings, seed: int) -> Run:
        """Sample; Ctrl-C returns the draws that every chain has.

        Raises
        ------
        InterruptedBeforeFirstDrawError
            When interrupted while some chain had no draw yet.
        SettingsError
            If the model has no free parameter, or `scale` names an unknown one.
        NotPositiveDefiniteError
            If no start with a positive density was found.
        """
        if not problem.roles:
            raise SettingsError("There is nothing to sample: every parameter of the model is held.")
        require_independent_rows(problem, "The Metropolis engine")
        view = latent_view(problem)
        start = time.perf_counter()
        progress = ChainProgress("Metropolis", settings.progressbar)
        with progress.running():
            progress.now("searching the mode")
            kernel = kernel_for(view, settings)
            middle = time.perf_counter()
            progress.now(f"{settings.chains} chains")
            plan = Plan(settings.tune, settings.draws, settings.chains, view.theta_size, view.size, kernel.stats)
            found, length, interrupted = run_chains(kernel, plan, seed, _workers(view, settings), progress)
        if length == 0:
            raise InterruptedBeforeFirstDrawError(
                "Interrupted before every chain had its first draw after tuning: there is nothing to keep."
            )
        chains = len(found["lp"])
        theta, x = (found.pop(name).reshape(chains * length, -1) for name in ("theta", "x"))
        draws = natural_draws(view, Draws(theta, x), chains)
        notes = [_acceptance_note(view, found)] if "accepted" in found else []
        if interrupted:
            fewer = f" of {chains} of {settings.chains} chains" if chains < settings.chains else " per chain"
            notes.append(f"Interrupted: {length} of {settings.draws} draws{fewer} were kept.")
        seconds = {"prepare": middle - start, "sample": time.perf_counter() - middle}
        return Run(draws, _stats(found), seconds, tuple(notes))


def kernel_for(view: LatentView, settings: MetropolisSettings) -> Kernel:
    """Return the transition that the settings ask for."""
    structure, centre = structure_of(view), centre_of(view)
    if settings.proposal == "block":
        _need_derivatives(view, settings.proposal)
        return BlockKernel(structure, centre, settings.moves, settings.refresh, settings.latent)
    if settings.proposal == "iwls":
        _need_derivatives(view, settings.proposal)
        return IwlsKernel(structure, centre)
    scales = _scales(view, settings.scale)
    return RandomWalkKernel(structure, centre, scales, settings.scale is None, settings.keep_proposals)


def _need_derivatives(view: LatentView, proposal: str) -> None:
    """Refuse a family whose likelihood cannot be differentiated."""
    natural = view.natural(view.initial_theta)
    etas = [np.zeros(part.predictor.n) for part in view.problem.predictors]
    try:
        with np.errstate(all="ignore"):
            view.elementwise(etas, view.dispersions(natural), 1)
    except NoDerivativeError as error:
        raise SettingsError(
            f'proposal="{proposal}" needs derivatives of the likelihood: {error} Use proposal="random-walk".'
        ) from None


def _scales(view: LatentView, given: float | Mapping[str, float] | None) -> Floats:
    """Return the scale of every coordinate."""
    coordinates = coordinates_of(view)
    if not isinstance(given, Mapping):
        return np.full(len(coordinates), DEFAULT_SCALE if given is None else float(given))
    known = {c.label for c in coordinates} | {c.variable for c in coordinates}
    for name in given:
        if name not in known:
            raise UnknownNameError(f"scale={dict(given)!r}: no coordinate {name!r}. {did_you_mean(name, known)}")
    return np.array([float(given.get(c.label, given.get(c.variable, DEFAULT_SCALE))) for c in coordinates])


def _workers(view: LatentView, settings: MetropolisSettings) -> int | None:
    """Return how many chains run at once; by the size of the work, not by the clock, so that a run can be repeated.

    None leaves it to ``joblib.parallel_config``, where the user says something there.
    """
    most = min(settings.chains, settings.cores or os.cpu_count() or 1)
    if settings.cores is not None:
        return most
    if distributed() or workers() > 1:
        return None
    n, steps = view.problem.predictors[0].predictor.n, (settings.tune + settings.draws) * settings.chains
    passes = {"block": 3 + settings.moves, "iwls": 10}.get(settings.proposal, view.size + 3 * view.theta_size)
    return most if max(n, _FEWEST_ROWS) * steps * passes > _WORTH_WORKERS else 1


def _stats(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the statistics under ArviZ's names."""
    rates = [values for name, values in found.items() if name.startswith("acceptance_")]
    return {"acceptance_rate": np.mean(rates, axis=0), **found} if rates else dict(found)


def _acceptance_note(view: LatentView, found: Mapping[str, Any]) -> str:
    """Return the share of accepted moves of every coordinate; of group effects, which may be many, the range."""
    shares, coordinates = found["accepted"].mean(axis=(0, 1)), coordinates_of(view)
    blocks = {block.names.u: block.block for block in view.problem.blocks}
    listed, ranges = [], []
    for coordinate, share in zip(coordinates, shares, strict=True):
        if coordinate.variable not in blocks:
            listed.append(f"{coordinate.label} {share:.2f}")
    for name, block in blocks.items():
        own = [share for c, share in zip(coordinates, shares, strict=True) if c.variable == name]
        ranges.append(f"u[{block.group}] {min(own):.2f} to {max(own):.2f} ({len(own)} coordinates)")
    more = [f"and {len(listed) - _PRINTED} more"] if len(listed) > _PRINTED else []
    return f"Accepted: {', '.join([*listed[:_PRINTED], *more, *ranges])}."


ENGINES.register(Metropolis())

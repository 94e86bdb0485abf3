"""The nested posterior, whichever normal approximation integrates the coefficients out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.base import Run
from bayesglmm.engines.kernels.likelihood import Likelihood
from bayesglmm.engines.kernels.nested import MANY, Draws, Exploration
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import MarginalObjective
from bayesglmm.engines.kernels.optimum import Make, maximise
from bayesglmm.engines.kernels.quadrature import factorises
from bayesglmm.engines.kernels.resample import Resampled, resample
from bayesglmm.engines.kernels.verdict import Quality, after_resampling, assess
from bayesglmm.engines.progress import Progress
from bayesglmm.graph.latent import LatentView

_NOT_RESAMPLED = (
    "The draws were not resampled, though resample=True asked for it: the importance weights of the candidates are "
    "too uneven to be trusted (Pareto k of 0.7 or more, or fewer than one effective candidate in seven)."
)
_SMALL, _CANDIDATES = 600, 1000  # rows up to which draws are resampled unasked, and from how many candidates


class NestedSettings(Protocol):
    """What the nested posterior is told."""

    @property
    def draws(self) -> int:
        """Draws per chain."""

    @property
    def chains(self) -> int:
        """Into how many the draws are laid out."""

    @property
    def points(self) -> int | None:
        """Support points of the hyperparameters."""

    @property
    def resample(self) -> bool | Literal["auto"]:
        """Whether draws are resampled by importance weights."""


@dataclass(frozen=True, eq=False)
class ApproximateRun(Run):
    """A run with what only engines that approximate know.

    Attributes
    ----------
    numbers : mapping of str to float
        ``log_evidence`` and ``khat``, or ``loglik``, ``aic`` and ``bic``.
    likelihood : Likelihood or None
        Estimates and standard errors, for ``"ml"`` and ``"reml"``.
    quality : Quality or None
        The verdict, for ``"posterior"``.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    likelihood: Likelihood | None = None
    quality: Quality | None = None


def nested_posterior(
    view: LatentView, settings: NestedSettings, seed: int, progress: Progress, make: Make, nodes: int = 1
) -> tuple[ApproximateRun, ConditionalMode]:
    """Search the mode of the hyperparameters, explore them around it, draw, and judge what was drawn.

    Parameters
    ----------
    view : LatentView
    settings : NestedSettings
    seed : int
    progress : Progress
    make : callable
        Returns the objective of a view and a kind.
    nodes : int
        Of quadrature, per group effect; 1 for the objective itself.

    Returns
    -------
    run : ApproximateRun
    mode : ConditionalMode
        At the mode of the hyperparameters.
    """
    start = time.perf_counter()
    progress.now("searching the mode of the hyperparameters")
    optimum = maximise(view, report=progress.report, make=make)
    middle = time.perf_counter()
    objective = make(view, "posterior")
    progress.now("exploring the hyperparameters around their mode")
    exploration = Exploration(objective, optimum, _points(objective, settings), seed, nodes if nodes > 1 else None)
    progress.now("drawing")
    drawn = exploration.draw(settings.chains * settings.draws)
    progress.now("checking the approximation")
    quality = assess(exploration)
    candidates, mended = _candidates(exploration, quality, settings), None
    if candidates:
        mended = resample(exploration, len(drawn.psi), candidates)
        drawn, quality = (
            drawn if mended is None else mended.draws,
            after_resampling(quality, mended),
        )
    quality = _with_choices(quality, view, settings, nodes, mended, refused=bool(candidates) and mended is None)
    proper = not any(slot.prior.distribution == "Flat" for slot in view.problem.priors)
    numbers = {"khat": quality.khat} | ({"log_evidence": exploration.log_evidence} if proper else {})
    seconds = {"optimise": middle - start, "sample": time.perf_counter() - middle}
    notes = () if optimum.converged else ("The search for the mode of the hyperparameters did not converge.",)
    if settings.resample is True and mended is None:
        notes = (*notes, _NOT_RESAMPLED)
    run = ApproximateRun(
        draws=natural_draws(view, drawn, settings.chains),
        stats={},
        seconds=seconds,
        notes=(*notes, *quality.sentences),
        numbers=numbers,
        quality=quality,
    )
    return run, exploration.optimum.mode


def _with_choices(
    quality: Quality, view: LatentView, settings: NestedSettings, nodes: int, mended: Resampled | None, refused: bool
) -> Quality:
    """Add what was asked for and what else could be, which the words of the verdict depend on."""
    choices = {
        "nodes": nodes,
        "factorises": quality.verdict != "good" and factorises(view),
        "asked": settings.resample,
        "refused": refused,
        "weights_khat": None if mended is None else mended.khat,
    }
    return replace(quality, details={**quality.details, **choices})


def _candidates(exploration: Exploration, quality: Quality, settings: NestedSettings) -> int:
    """Return from how many candidates draws are resampled; zero where they are left as they are."""
    if settings.resample == "auto":
        small = exploration.objective.structure.n <= _SMALL
        return _CANDIDATES if small and quality.details["by_shift"] == "check" else 0
    return settings.chains * settings.draws if settings.resample else 0


def _points(objective: MarginalObjective, settings: NestedSettings) -> int:
    """Return how many support points: enough for the dimension, no more than 2 GB of factors."""
    if settings.points is not None:
        return settings.points
    wanted = {0: 1, 1: 32, 2: 64, 3: 128, 4: 256}.get(objective.size, 512 if objective.size <= MANY else 128)
    fitting = int(2.0 / max(objective.structure.pattern.gigabytes, 1e-9))
    return max(8, min(wanted, fitting))


def natural_draws(view: LatentView, drawn: Draws, chains: int) -> dict[str, Any]:
    """Return draws of the graph's free variables, each of shape (chains, draws, ...)."""
    found: dict[str, Floats] = dict(view.natural_draws(drawn.psi[:, : view.theta_size]))
    for part in view.parts:
        values = drawn.x[:, part.slice]
        # What results keep as it is must not keep the draws of everything else with it.
        values = values.copy() if part.role == "fixed" else values
        found[part.name] = values.reshape(-1, *part.shape)
    return {name: np.asarray(values).reshape(chains, -1, *values.shape[1:]) for name, values in found.items()}

"""Laplace: nested approximation of the posterior, or maximum likelihood, at the price of some mode searches."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.base import ENGINES, Engine, Run, Settings, require_integer
from bayesglmm.engines.kernels.likelihood import Likelihood, likelihood_draws, maximum_likelihood
from bayesglmm.engines.kernels.nested import MANY, Draws, Exploration
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.engines.kernels.quadrature import Quadrature, factorises
from bayesglmm.engines.kernels.resample import Resampled, resample
from bayesglmm.engines.kernels.verdict import Quality, after_resampling, assess
from bayesglmm.engines.modes import keep_mode, latent_view
from bayesglmm.engines.on_request import OnRequest
from bayesglmm.engines.progress import Progress
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.problem import Problem

_NOT_RESAMPLED = (
    "The draws were not resampled, though resample=True asked for it: the importance weights of the candidates are "
    "too uneven to be trusted (Pareto k of 0.7 or more, or fewer than one effective candidate in seven)."
)
_SMALL, _CANDIDATES = 600, 1000  # rows up to which draws are resampled unasked, and from how many candidates


@dataclass(frozen=True)
class LaplaceSettings(Settings):
    """Settings of the Laplace engine.

    Attributes
    ----------
    objective : {"posterior", "ml", "reml"}
        ``"posterior"``: the nested approximation of the posterior; ``"ml"`` and ``"reml"``: (restricted) maximum
        likelihood without priors; draws are then from the asymptotic normal distribution of the estimates, and made
        when something first reads them.
    quadrature : int
        Nodes of adaptive Gauss-Hermite quadrature per group coefficient; 1 is Laplace's approximation. Needs one
        grouping factor with at most three effects per level.
    draws, chains : int
        Independent draws, laid out as chains so that every table reads them as it reads those of other engines.
    points : int or None
        Hyperparameter points where the conditional approximation is made anew; chosen by dimension if None.
    resample : bool or "auto"
        Whether draws are reweighted to the exact posterior and resampled where Pareto k says that weights can be
        trusted. ``"auto"``: where the verdict would be "check" and the data are small; ``True``: always, with as
        many candidates as draws. For the posterior only.
    progressbar : bool
        Show in a terminal or notebook what a fit of more than two seconds is doing.
    """

    objective: Literal["posterior", "ml", "reml"] = "posterior"
    quadrature: int = 1
    draws: int = 1000
    chains: int = 4
    points: int | None = None
    resample: bool | Literal["auto"] = "auto"
    progressbar: bool = True

    @property
    def uses_priors(self) -> bool:
        """Maximum likelihood does not."""
        return self.objective == "posterior"

    def check(self) -> None:
        """Raise `SettingsError` on a value out of range."""
        if self.objective not in ("posterior", "ml", "reml"):
            raise SettingsError(f'objective must be "posterior", "ml" or "reml", not {self.objective!r}.')
        for name in ("quadrature", "draws", "chains"):
            require_integer(name, getattr(self, name), 1)
        if self.points is not None:
            require_integer("points", self.points, 8)
        if not isinstance(self.resample, bool) and self.resample != "auto":
            raise SettingsError(f'resample must be True, False or "auto", not {self.resample!r}.')
        if self.quadrature > 1 and self.objective == "reml":
            raise SettingsError('quadrature above 1 needs objective "ml" or "posterior".')


@dataclass(frozen=True, eq=False)
class LaplaceRun(Run):
    """A run with what only this engine knows.

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


class Laplace(Engine):
    """Group effects integrated out by Laplace's approximation, hyperparameters explored around their mode."""

    name = "laplace"
    settings = LaplaceSettings

    def run(self, problem: Problem, settings: LaplaceSettings, seed: int) -> LaplaceRun:
        """Approximate the posterior, or maximise the likelihood.

        Raises
        ------
        SettingsError
            If maximum likelihood is asked for and the user gave priors, or quadrature where it cannot be done.
        NotPositiveDefiniteError
            If the conditional density of the coefficients has no maximum near the start values.
        InterruptedFitError
            On Ctrl-C: a search that has not ended leaves nothing to keep.
        """
        view = latent_view(problem)
        if settings.quadrature > 1:
            Quadrature(view, settings.quadrature)  # refuses before anything is searched
        run = _posterior if settings.objective == "posterior" else _likelihood
        with Progress("Laplace", settings.progressbar).running() as progress:
            return run(view, settings, seed, progress)


def _posterior(view: LatentView, settings: LaplaceSettings, seed: int, progress: Progress) -> LaplaceRun:
    start = time.perf_counter()
    progress.now("searching the mode of the hyperparameters")
    optimum = maximise(view, report=progress.report)
    middle = time.perf_counter()
    objective = LaplaceObjective(view)
    nodes = settings.quadrature if settings.quadrature > 1 else None
    progress.now("exploring the hyperparameters around their mode")
    exploration = Exploration(objective, optimum, _points(objective, settings), seed, nodes)
    progress.now("drawing")
    drawn = exploration.draw(settings.chains * settings.draws)
    progress.now("checking the approximation")
    quality = assess(exploration)
    keep_mode(view.problem, "posterior", 1, exploration.optimum.mode)
    candidates, mended = _candidates(exploration, quality, settings), None
    if candidates:
        mended = resample(exploration, len(drawn.psi), candidates)
        drawn, quality = drawn if mended is None else mended.draws, after_resampling(quality, mended)
    quality = _with_choices(quality, view, settings, mended, refused=bool(candidates) and mended is None)
    proper = not any(slot.prior.distribution == "Flat" for slot in view.problem.priors)
    numbers = {"khat": quality.khat} | ({"log_evidence": exploration.log_evidence} if proper else {})
    seconds = {"optimise": middle - start, "sample": time.perf_counter() - middle}
    notes = () if optimum.converged else ("The search for the mode of the hyperparameters did not converge.",)
    if settings.resample is True and mended is None:
        notes = (*notes, _NOT_RESAMPLED)
    return LaplaceRun(
        draws=natural_draws(view, drawn, settings.chains),
        stats={},
        seconds=seconds,
        notes=(*notes, *quality.sentences),
        numbers=numbers,
        quality=quality,
    )


def _with_choices(
    quality: Quality, view: LatentView, settings: LaplaceSettings, mended: Resampled | None, refused: bool
) -> Quality:
    """Add what was asked for and what else could be, which the words of the verdict depend on."""
    choices = {
        "nodes": settings.quadrature,
        "factorises": quality.verdict != "good" and factorises(view),
        "asked": settings.resample,
        "refused": refused,
        "weights_khat": None if mended is None else mended.khat,
    }
    return replace(quality, details={**quality.details, **choices})


def _candidates(exploration: Exploration, quality: Quality, settings: LaplaceSettings) -> int:
    """Return from how many candidates draws are resampled; zero where they are left as they are."""
    if settings.resample == "auto":
        small = exploration.objective.structure.n <= _SMALL
        return _CANDIDATES if small and quality.details["by_shift"] == "check" else 0
    return settings.chains * settings.draws if settings.resample else 0


def _points(objective: LaplaceObjective, settings: LaplaceSettings) -> int:
    """Return how many support points: enough for the dimension, no more than 2 GB of factors."""
    if settings.points is not None:
        return settings.points
    wanted = {0: 1, 1: 32, 2: 64, 3: 128, 4: 256}.get(objective.size, 512 if objective.size <= MANY else 128)
    fitting = int(2.0 / max(objective.structure.pattern.gigabytes, 1e-9))
    return max(8, min(wanted, fitting))


def _likelihood(view: LatentView, settings: LaplaceSettings, seed: int, progress: Progress) -> LaplaceRun:
    # A parameter may be held, and a flat prior is no prior.
    harmless = ("Fixed", "Flat")
    given = [slot for slot in view.problem.priors if slot.source not in ("default", "flat")]
    free = sorted({slot.source for slot in given if slot.prior.distribution not in harmless})
    if free:
        raise SettingsError(
            f'objective="{settings.objective}" uses no priors, but there are some for {", ".join(free)}: leave them '
            'out, or use objective="posterior".'
        )
    start = time.perf_counter()
    progress.now("maximising the likelihood")
    found = maximum_likelihood(view, settings.objective, settings.quadrature, progress.report)
    seconds = {"optimise": time.perf_counter() - start}
    keep_mode(view.problem, settings.objective, settings.quadrature, found.mode)

    def draws() -> dict[str, Any]:
        drawn = likelihood_draws(view, found, settings.chains * settings.draws, seed)
        return natural_draws(view, drawn, settings.chains)

    return LaplaceRun(
        draws=OnRequest(draws),
        stats={},
        seconds=seconds,
        notes=("Default priors are not used.", *found.sentences),
        numbers={"loglik": found.loglik, "aic": found.aic, "bic": found.bic},
        likelihood=found,
    )


def natural_draws(view: LatentView, drawn: Draws, chains: int) -> dict[str, Any]:
    """Return draws of the graph's free variables, each of shape (chains, draws, ...)."""
    found: dict[str, Floats] = dict(view.natural_draws(drawn.psi[:, : view.theta_size]))
    for part in view.parts:
        found[part.name] = drawn.x[:, part.slice].reshape(-1, *part.shape)
    return {name: np.asarray(values).reshape(chains, -1, *values.shape[1:]) for name, values in found.items()}


ENGINES.register(Laplace())

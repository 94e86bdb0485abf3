"""Laplace: nested approximation of the posterior, or maximum likelihood, at the price of some mode searches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from bayesglmm.engines.base import ENGINES, Engine, Settings, require_integer
from bayesglmm.engines.kernels.likelihood import Estimation
from bayesglmm.engines.kernels.quadrature import Quadrature
from bayesglmm.engines.kernels.spectral import normal_objective
from bayesglmm.engines.maximum import likelihood_run
from bayesglmm.engines.modes import in_parts, keep_mode, latent_view, parts_notes
from bayesglmm.engines.nested import ApproximateRun, nested_posterior
from bayesglmm.engines.progress import Progress
from bayesglmm.errors import SettingsError
from bayesglmm.graph.problem import Problem


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
    parts : int or None
        Split the rows by the levels of the largest grouping factor into so many parts, which are computed wherever
        ``joblib.parallel_config`` says. Answers do not depend on where. If None, 200,000 rows and more are split, one
        part per 125,000, where that costs nothing.
    progressbar : bool
        Show in a terminal or notebook what a fit of more than two seconds is doing.
    """

    objective: Literal["posterior", "ml", "reml"] = "posterior"
    quadrature: int = 1
    draws: int = 1000
    chains: int = 4
    points: int | None = None
    resample: bool | Literal["auto"] = "auto"
    parts: int | None = None
    progressbar: bool = True

    @property
    def uses_priors(self) -> bool:
        """Maximum likelihood does not."""
        return self.objective == "posterior"

    @property
    def estimation(self) -> Estimation | None:
        """How the likelihood is maximised, for ``"ml"`` and ``"reml"``."""
        return None if self.objective == "posterior" else Estimation(self.objective, self.quadrature)

    def check(self) -> None:
        """Raise `SettingsError` on a value out of range."""
        if self.objective not in ("posterior", "ml", "reml"):
            raise SettingsError(f'objective must be "posterior", "ml" or "reml", not {self.objective!r}.')
        for name in ("quadrature", "draws", "chains"):
            require_integer(name, getattr(self, name), 1)
        if self.points is not None:
            require_integer("points", self.points, 8)
        if self.parts is not None:
            require_integer("parts", self.parts, 1)
        if not isinstance(self.resample, bool) and self.resample != "auto":
            raise SettingsError(f'resample must be True, False or "auto", not {self.resample!r}.')
        if self.quadrature > 1 and self.objective == "reml":
            raise SettingsError('quadrature above 1 needs objective "ml" or "posterior".')


class Laplace(Engine):
    """Group effects integrated out by Laplace's approximation, hyperparameters explored around their mode."""

    name = "laplace"
    settings = LaplaceSettings
    parted: ClassVar[bool] = True

    def run(self, problem: Problem, settings: LaplaceSettings, seed: int) -> ApproximateRun:
        """Approximate the posterior, or maximise the likelihood.

        Raises
        ------
        SettingsError
            If maximum likelihood is asked for and the user gave priors, or quadrature or parts where they cannot be
            done.
        NotPositiveDefiniteError
            If the conditional density of the coefficients has no maximum near the start values.
        InterruptedFitError
            On Ctrl-C: a search that has not ended leaves nothing to keep.
        """
        parted = in_parts(problem, settings.parts, automatic=settings.quadrature == 1)
        view = latent_view(parted, settings.objective)
        if settings.quadrature > 1:
            Quadrature(view, settings.quadrature)  # refuses before anything is searched
        with Progress("Laplace", settings.progressbar).running() as progress:
            if settings.estimation is not None:
                run = likelihood_run(view, settings.estimation, settings, seed, progress)
                assert run.likelihood is not None
                keep_mode(problem, settings.objective, settings.quadrature, run.likelihood.mode)
                return replace(run, notes=(*run.notes, *parts_notes(parted)))
            run, mode = nested_posterior(view, settings, seed, progress, normal_objective, settings.quadrature)
            keep_mode(problem, "posterior", 1, mode)
            return replace(run, notes=(*run.notes, *parts_notes(parted)))


ENGINES.register(Laplace())

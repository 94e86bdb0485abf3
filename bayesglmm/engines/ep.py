"""Expectation propagation: as Laplace's engine, with normal approximations that match moments instead of modes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from bayesglmm.engines.base import ENGINES, Engine, Settings, require_independent_rows, require_integer
from bayesglmm.engines.kernels.ep import EPObjective
from bayesglmm.engines.kernels.ep_sites import Schedule
from bayesglmm.engines.kernels.likelihood import Estimation
from bayesglmm.engines.kernels.optimum import Make
from bayesglmm.engines.maximum import likelihood_run
from bayesglmm.engines.modes import latent_view
from bayesglmm.engines.nested import ApproximateRun, nested_posterior
from bayesglmm.engines.progress import Progress
from bayesglmm.errors import SettingsError
from bayesglmm.graph.problem import Problem

_ONE_BY_ONE = 5e8  # rows times squared coefficients, up to which sites are updated one after the other


@dataclass(frozen=True)
class EPSettings(Settings):
    """Settings of expectation propagation.

    Attributes
    ----------
    objective : {"posterior", "ml"}
        ``"posterior"``: the nested approximation of the posterior; ``"ml"``: the evidence given hyperparameters and
        population coefficients is maximised over both, without priors, as glimix-core does. Estimates and answers are
        those of maximum likelihood by Laplace's engine, with another approximation of the likelihood.
    schedule : {"parallel", "sequential"}
        Whether all sites are updated at once, or one after the other (Minka 2001). Both have the same fixed points;
        parallel updates are much faster.
    damping : float
        Share of every update that is taken, in (0, 1]: less than 1 slows the search down and steadies it. It is
        lowered automatically where updates do not shrink.
    sweeps : int
        Updates of all sites, at most, at each value of the hyperparameters.
    tolerance : float
        Largest difference between a marginal and its tilted distribution that counts as none: of their means in
        standard deviations, of their variances relative to each other.
    draws, chains : int
        Independent draws, laid out as chains so that every table reads them as it reads those of other engines.
    points : int or None
        Hyperparameter points where the approximation is made anew; chosen by dimension if None.
    resample : bool or "auto"
        Whether draws are reweighted to the exact posterior and resampled where Pareto k says that weights can be
        trusted. ``"auto"``: where the verdict would be "check" and the data are small; ``True``: always, with as
        many candidates as draws.
    progressbar : bool
        Show in a terminal or notebook what a fit of more than two seconds is doing.
    """

    objective: Literal["posterior", "ml"] = "posterior"
    schedule: Literal["parallel", "sequential"] = "parallel"
    damping: float = 1.0
    sweeps: int = 200
    tolerance: float = 1e-6
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
        if str(self.objective) == "reml":
            raise SettingsError(
                'objective="reml" integrates coefficients without priors, under which a predictor may have no '
                'distribution without its own row: expectation propagation knows "posterior" and "ml".'
            )
        if self.objective not in ("posterior", "ml"):
            raise SettingsError(f'objective must be "posterior" or "ml", not {self.objective!r}.')
        if self.schedule not in ("parallel", "sequential"):
            raise SettingsError(f'schedule must be "parallel" or "sequential", not {self.schedule!r}.')
        for name, most in (("damping", 1.0), ("tolerance", 1e-3)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= most:
                raise SettingsError(f"{name} must be a number above 0 and at most {most:g}, not {value!r}.")
        for name in ("sweeps", "draws", "chains"):
            require_integer(name, getattr(self, name), 1)
        if self.points is not None:
            require_integer("points", self.points, 8)
        if not isinstance(self.resample, bool) and self.resample != "auto":
            raise SettingsError(f'resample must be True, False or "auto", not {self.resample!r}.')

    @property
    def search(self) -> Schedule:
        """How fixed points are searched."""
        return Schedule(self.schedule, float(self.damping), self.sweeps, float(self.tolerance))

    @property
    def make(self) -> Make:
        """What returns the objective of a view and a kind."""
        return partial(EPObjective, schedule=self.search)

    @property
    def estimation(self) -> Estimation | None:
        """How the likelihood is maximised, for ``"ml"``."""
        return (
            None
            if self.objective == "posterior"
            else Estimation(self.objective, make=self.make, name=EPObjective.name)
        )


class EP(Engine):
    """Coefficients and group effects integrated out by expectation propagation, hyperparameters explored.

    Minka (2001) introduced it; Rasmussen and Williams (2006, chapter 3) derive it for latent normal models. It needs
    one linear predictor. What differs from Laplace's engine is the normal approximation of the coefficients given the
    hyperparameters, and with it their marginal density; everything after that is the same.
    """

    name = "ep"
    aliases = ("expectation_propagation",)
    settings = EPSettings

    def run(self, problem: Problem, settings: EPSettings, seed: int) -> ApproximateRun:
        """Approximate the posterior, or maximise the likelihood.

        Raises
        ------
        SettingsError
            If the model has several linear predictors, is too large for sequential updates, has flat priors on
            coefficients (for the posterior) or priors that the user gave (for maximum likelihood).
        NotPositiveDefiniteError
            If there is no fixed point near the start values.
        InterruptedFitError
            On Ctrl-C: a search that has not ended leaves nothing to keep.
        """
        require_independent_rows(problem, "Expectation propagation")
        _require_one_predictor(problem)
        if settings.uses_priors:
            _require_proper_priors(problem)
        view = latent_view(problem)
        rows = len(problem.response.y)
        if settings.schedule == "sequential" and rows * view.size**2 > _ONE_BY_ONE:
            raise SettingsError(
                f'schedule="sequential" updates the covariance of {view.size} coefficients for each of {rows} rows, '
                'which would take too long: use schedule="parallel", which finds the same fixed point.'
            )
        with Progress("Expectation propagation", settings.progressbar).running() as progress:
            if settings.estimation is not None:
                return likelihood_run(view, settings.estimation, settings, seed, progress)
            return nested_posterior(view, settings, seed, progress, settings.make)[0]


def _require_one_predictor(problem: Problem) -> None:
    names = [part.names.parameter for part in problem.predictors]
    if len(names) > 1:
        raise SettingsError(
            "Expectation propagation matches the moments of one linear predictor per row, and this model has "
            f'{len(names)}: {", ".join(names)}. Use model.fit("laplace") or model.fit("nuts"), or give only '
            f"{names[0]} a formula."
        )


def _require_proper_priors(problem: Problem) -> None:
    flat = sorted(
        {
            slot.label
            for part in problem.predictors
            for slot in problem.priors.coefficients[part.names.parameter]
            if slot.prior.distribution == "Flat"
        }
    )
    if flat:
        raise SettingsError(
            f"Expectation propagation needs proper priors on coefficients, and that on {', '.join(flat)} is flat: "
            "without its own row a predictor may then have no distribution. Use the default priors, a wide Normal, "
            'or model.fit("laplace").'
        )


ENGINES.register(EP())

"""Maximum likelihood as a run: what engines that approximate the likelihood share."""

from __future__ import annotations

import time
from typing import Any, Protocol

from bayesglmm.engines.kernels.likelihood import Estimation, likelihood_draws
from bayesglmm.engines.nested import ApproximateRun, natural_draws
from bayesglmm.engines.on_request import OnRequest
from bayesglmm.engines.progress import Progress
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView


class DrawSettings(Protocol):
    """How many draws are made around the estimates."""

    @property
    def draws(self) -> int:
        """Draws per chain."""

    @property
    def chains(self) -> int:
        """Into how many the draws are laid out."""


def likelihood_run(
    view: LatentView, estimation: Estimation, settings: DrawSettings, seed: int, progress: Progress
) -> ApproximateRun:
    """Maximise the likelihood; draws around the estimates are made when something first reads them.

    Raises
    ------
    SettingsError
        If the user gave priors.
    NotPositiveDefiniteError
        If the likelihood cannot be evaluated near the start.
    """
    # A parameter may be held, and a flat prior is no prior.
    harmless = ("Fixed", "Flat")
    given = [slot for slot in view.problem.priors if slot.source not in ("default", "flat")]
    free = sorted({slot.source for slot in given if slot.prior.distribution not in harmless})
    if free:
        raise SettingsError(
            f'objective="{estimation.kind}" uses no priors, but there are some for {", ".join(free)}: leave them '
            'out, or use objective="posterior".'
        )
    start = time.perf_counter()
    progress.now("maximising the likelihood")
    found = estimation(view, progress.report)
    seconds = {"optimise": time.perf_counter() - start}

    def draws() -> dict[str, Any]:
        drawn = likelihood_draws(view, found, settings.chains * settings.draws, seed)
        return natural_draws(view, drawn, settings.chains)

    return ApproximateRun(
        draws=OnRequest(draws),
        stats={},
        seconds=seconds,
        notes=("Default priors are not used.", *found.sentences),
        numbers={"loglik": found.loglik, "aic": found.aic, "bic": found.bic},
        likelihood=found,
    )

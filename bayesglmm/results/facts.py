"""What only some engines know: how good an approximation is, or where a likelihood has its maximum.

It travels in the attributes of the result, as numbers and JSON, so that a stored fit keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesglmm.results.convergence import of_independent, of_points, statistics
from bayesglmm.results.protocols import EngineRun, Quality

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.engines.kernels.likelihood import Likelihood


LEFT = "settings_left"
"""Attribute with the names of settings that were left to the engine, as JSON; ``settings`` has what it used."""


def quality_of(run: EngineRun) -> Quality | None:
    """Return how good the approximation of a run is, None for engines that do not approximate."""
    found: Quality | None = getattr(run, "quality", None)
    return found


def likelihood_of(run: EngineRun) -> Likelihood | None:
    """Return the maximum likelihood estimates of a run, None for engines that have none."""
    found: Likelihood | None = getattr(run, "likelihood", None)
    return found


def chosen_of(run: EngineRun) -> Mapping[str, Any]:
    """Return what the engine used for settings that were left to it."""
    found: Mapping[str, Any] = getattr(run, "chosen", {})
    return found


def settings_given(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the settings of a fit as they were given: None for those left to the engine, to fit again with.

    Parameters
    ----------
    attrs : mapping
        Of the result; its ``settings`` hold what was used.
    """
    settings = dict(json.loads(attrs["settings"]))
    return settings | dict.fromkeys(json.loads(attrs.get(LEFT, "[]")))


def attributes(run: EngineRun) -> dict[str, str | float | int]:
    """Return the attributes in which these facts are kept.

    Returns
    -------
    dict
        The engine's numbers (``log_evidence``, ``khat``, ``loglik``, ``aic``, ``bic``); ``quality`` and
        ``convergence`` as JSON; ``parameters``, the degrees of freedom of a maximum likelihood fit.
    """
    found: dict[str, str | float | int] = {
        name: float(value) for name, value in getattr(run, "numbers", {}).items() if value is not None
    }
    quality, likelihood = quality_of(run), likelihood_of(run)
    if quality is not None:
        found["quality"] = json.dumps(
            {
                "verdict": quality.verdict,
                "khat": float(quality.khat),
                "shifts": {name: float(shift) for name, shift in quality.shifts.items()},
                "errors": {name: float(error) for name, error in quality.errors.items()},
                "noise": float(quality.noise),
                "method": quality.method,
                "sentences": list(quality.sentences),
                "advice": quality.advice,
                "details": dict(quality.details),
            }
        )
    if likelihood is not None:
        found["parameters"] = int(likelihood.parameters)
        found["convergence"] = json.dumps(
            {
                "converged": bool(likelihood.converged),
                "boundary": list(likelihood.boundary),
                "unbounded": list(likelihood.unbounded),
                "sentences": list(likelihood.sentences),
            }
        )
    return found


def own_sentences(run: EngineRun) -> tuple[str, ...]:
    """Return the sentences that the verdict says, so that the notes need not repeat them."""
    quality = quality_of(run)
    return () if quality is None else tuple(quality.sentences)


def effective_draws(attrs: Mapping[Any, Any]) -> float | None:
    """Return what resampled draws are worth; None where draws are independent, or no approximation was made."""
    found = (read(attrs, "quality") or {}).get("details", {}).get("effective")
    return None if found is None else float(found)


def theta_points(attrs: Mapping[Any, Any]) -> float | None:
    """Return how many values of the hyperparameters the draws are worth; None where each draw has its own."""
    found = (read(attrs, "quality") or {}).get("details", {}).get("points")
    return None if found is None else float(found)


def statistics_of(attrs: Mapping[Any, Any]) -> Callable[[pd.Index, Sequence[Any]], pd.DataFrame]:
    """Return what computes effective sample sizes: as of chains, of independent draws, or of few hyperparameters."""
    if "quality" not in attrs or effective_draws(attrs) is not None:
        return statistics
    return of_independent if theta_points(attrs) is None else of_points


def read(attrs: Mapping[Any, Any], name: str) -> dict[str, Any] | None:
    """Return ``quality`` or ``convergence`` from the attributes of a result, None where there is none."""
    return dict(json.loads(attrs[name])) if name in attrs else None

"""Intervals of all population parameters in one tidy table, whatever the fit."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.results.draws import interval, summarise
from bayesglmm.results.schema import ESTIMATES
from bayesglmm.results.tables import Parameter

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

OF_DRAWS = ("quantile", "hdi")
OF_LIKELIHOOD = ("wald", "profile", "boot")
_SAYS = {
    "quantile": "{share} of the posterior, equal tails; estimate: posterior mean.",
    "hdi": "The shortest interval with {share} of the posterior; estimate: posterior mean.",
    "wald": "Wald intervals: symmetric for coefficients, on the log scale for sds, on Fisher's z for correlations.",
    "profile": "Profile likelihood intervals: what a likelihood ratio test at level {share} does not reject.",
    "boot": "Percentile intervals of the parametric bootstrap.",
}


def confint(
    fit: Fit, prob: float, method: str | None, parameters: str | Sequence[str] | None, **settings: Any
) -> pd.DataFrame:
    """Return the table of intervals; see `Fit.confint`.

    Parameters
    ----------
    fit : Fit
    prob : float
    method : str or None
        The first of its kind if absent.
    parameters : str or sequence of str, optional
    **settings
        Of the bootstrap: n, workers, seed.
    """
    interval(prob)
    of_likelihood = ESTIMATES in fit.data.children
    allowed, others = (OF_LIKELIHOOD, OF_DRAWS) if of_likelihood else (OF_DRAWS, OF_LIKELIHOOD)
    method = allowed[0] if method is None else str(method).lower()
    if method in others:
        raise SettingsError(
            f"method={method!r} is for {'posteriors' if of_likelihood else 'maximum likelihood fits'}, and this is "
            f"{fit.kind}. Choose one of {', '.join(map(repr, allowed))}."
        )
    if method not in allowed:
        raise SettingsError(f"method={method!r} is not known. Choose one of {', '.join(map(repr, allowed))}.")
    if settings and method != "boot":
        raise SettingsError(f'{next(iter(settings))}= is for method="boot" alone.')
    chosen = _chosen(fit.parameters, parameters)
    labels = [parameter.label for parameter in chosen]
    numbers = _numbers(fit, method, prob, chosen, parameters, settings).reindex(labels)
    kinds = {parameter.label: parameter.kind for parameter in chosen}
    table = numbers.assign(kind=[kinds[label] for label in labels])[["kind", "estimate", "lower", "upper"]]
    table.index.name = "parameter"
    note = _SAYS[method].format(share=f"{100 * prob:g}%")
    lacking = [label for label in labels if np.isnan(table.loc[label, ["lower", "upper"]].astype(float)).all()]
    if lacking:
        note += f" Without an interval: {', '.join(lacking)}."
    table.attrs["note"] = note
    return table


def _chosen(known: Sequence[Parameter], wanted: str | Sequence[str] | None) -> list[Parameter]:
    if wanted is None:
        return list(known)
    by_label = {parameter.label: parameter for parameter in known}
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in by_label:
            raise UnknownNameError(f"No parameter is called {name!r}. {did_you_mean(name, by_label)}")
    return [by_label[name] for name in names]


def _numbers(
    fit: Any,
    method: str,
    prob: float,
    chosen: Sequence[Parameter],
    parameters: str | Sequence[str] | None,
    settings: dict[str, Any],
) -> pd.DataFrame:
    """Return estimate, lower and upper by label."""
    if method == "profile":
        profiled: pd.DataFrame = fit.profile(parameters, reach=max(prob, 0.99)).intervals(prob)
        estimates = fit.summary()["estimate"]
        # What has no profile still has its estimate.
        return profiled.reindex(estimates.index).assign(estimate=estimates)
    if method in ("boot", "wald"):
        found: pd.DataFrame = fit.bootstrap(**settings).summary(prob) if method == "boot" else fit.summary(prob)
        return found[["estimate", "lower", "upper"]]
    index = pd.Index([parameter.label for parameter in chosen])
    values = np.stack([np.ravel(parameter.values) for parameter in chosen], axis=-1)
    if method == "hdi":
        ends = np.array([shortest(column, prob) for column in values.T])
        return pd.DataFrame({"estimate": values.mean(axis=0), "lower": ends[:, 0], "upper": ends[:, 1]}, index=index)
    of_draws = summarise(values, prob)
    columns = {"estimate": of_draws["mean"], "lower": of_draws["lower"], "upper": of_draws["upper"]}
    return pd.DataFrame(columns, index=index)


def shortest(draws: Any, prob: float) -> tuple[float, float]:
    """Return the ends of the shortest interval that holds a share of the draws, by ArviZ."""
    hdi = import_module("arviz_stats").hdi
    lower, upper = np.asarray(hdi(np.asarray(draws, dtype=float), prob=prob))
    return float(lower), float(upper)

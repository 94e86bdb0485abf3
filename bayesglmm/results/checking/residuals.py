"""Residuals of every row: randomised quantiles, normal scores, response and Pearson residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import special

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.checking.replicates import expected_codes, ranked
from bayesglmm.results.draws import check_choice, pieces, require_count, seeded, spaced, stacked, take
from bayesglmm.results.schema import row_labels

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator

KINDS = ("quantile", "normal", "response", "pearson")
_AVERAGED = 400  # draws behind fitted values: their mean moves by a twentieth of its posterior sd
_VARIED = 2000  # simulated responses per row behind a variance: 3 percent
_NOTES = {
    "quantile": "Randomised-quantile residuals: uniform between 0 and 1 where the model is right. They and "
    "the fitted values are those of one posterior draw.",
    "normal": "Randomised-quantile residuals as normal scores: standard normal where the model is right. They "
    "and the fitted values are those of one posterior draw.",
    "response": "Response residuals: observed minus expected response.",
    "pearson": "Pearson residuals: observed minus expected response, over the standard deviation of the response.",
}


def residuals(
    evaluator: Evaluator, posterior: xr.Dataset, kind: str, seed: int | None, simulations: int
) -> pd.DataFrame:
    """Return residuals; see `Fit.residuals`."""
    check_choice("kind", kind, KINDS)
    require_count("simulations", simulations)
    problem, rng = evaluator.problem, seeded(seed)
    observed, note = observed_values(evaluator), _NOTES[kind]
    if kind in ("quantile", "normal"):
        one = next(ranked(evaluator, chosen_draws(posterior, 1, rng), simulations, rng))
        found, fitted = one.u if kind == "quantile" else special.ndtri(one.u), one.fitted
        if problem.family.response == "nominal":
            note += f" Categories count in the order {', '.join(problem.response.categories)}."
    else:
        _require_numbers(evaluator, kind)
        fitted = expected(evaluator, posterior)
        found = observed - fitted
        if kind == "pearson":
            found = found / np.sqrt(_variance(evaluator, posterior, rng))
    frame = pd.DataFrame(
        {"observed": observed, "fitted": fitted, "residual": np.where(np.isfinite(observed), found, np.nan)},
        index=pd.Index(row_labels(problem)),
    )
    frame.attrs["note"] = note
    return frame


def chosen_draws(posterior: xr.Dataset, count: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Return some posterior draws, chosen at random without repetition, each of shape (count, ...)."""
    draws = stacked(posterior)
    total = len(next(iter(draws.values())))
    at = rng.choice(total, size=min(count, total), replace=False)
    return {name: values[at] for name, values in draws.items()}


def observed_values(evaluator: Evaluator) -> Floats:
    """Return the responses as numbers: proportions where there are trials, codes of categories."""
    response = evaluator.problem.response
    y = np.asarray(response.y, dtype=float)
    return y if response.trials is None else y / np.maximum(response.trials, 1.0)


def expected(evaluator: Evaluator, posterior: xr.Dataset) -> Floats:
    """Return the posterior mean of the expected response, shape (n,); of categories that of their codes."""
    problem = evaluator.problem
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    draws = stacked(posterior, min(total, _AVERAGED))
    size = len(next(iter(draws.values())))
    arrays, found = evaluator.arrays(), np.zeros(len(problem.response.y))
    for part in pieces(size, len(found) * max(1, len(problem.response.categories))):
        own = take(draws, part)
        found += expected_codes(evaluator.mean(own, evaluator.predictors(own, arrays))).sum(axis=0)
    return found / size


def _variance(evaluator: Evaluator, posterior: xr.Dataset, rng: np.random.Generator) -> Floats:
    """Return the variance of every response given the parameters, by simulation, shape (n,)."""
    draws = stacked(posterior)
    total = len(next(iter(draws.values())))
    at = spaced(total, total) if total >= _VARIED else np.resize(np.arange(total), _VARIED)
    draws = {name: values[at[:: max(1, len(at) // _VARIED)]] for name, values in draws.items()}
    size = len(next(iter(draws.values())))
    response = evaluator.problem.response
    trials = 1.0 if response.trials is None else np.maximum(response.trials, 1.0)
    arrays, found = evaluator.arrays(), np.zeros(len(response.y))
    for part in pieces(size, len(found)):
        own = take(draws, part)
        etas = evaluator.predictors(own, arrays)
        simulated = np.asarray(evaluator.simulate(own, etas, rng), dtype=float) / trials
        found += np.square(simulated - expected_codes(evaluator.mean(own, etas))).sum(axis=0)
    return found / size


def _require_numbers(evaluator: Evaluator, kind: str) -> None:
    """Raise where an observed minus an expected value says nothing."""
    problem = evaluator.problem
    response = problem.response
    why = ""
    if problem.family.response in ("ordinal", "nominal"):
        why = "categories have no differences"
    elif response.censoring is not None:
        why = "censored responses are not known as numbers"
    elif response.lower is not None or response.upper is not None:
        why = "the expected value of a truncated response is not that of its family"
    if why:
        raise BayesglmmError(
            f'There are no residuals of kind "{kind}" here: {why}. kind="quantile" suits every model.'
        )

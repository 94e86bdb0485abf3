"""R-squared: what predictors and groups explain, on the scale of the linear predictor and of the response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.checking.replicates import expected_codes
from bayesglmm.results.draws import pieces, seeded, spaced, stacked, summarise, take
from bayesglmm.results.levels import TYPICAL, choices, place
from bayesglmm.results.variance import group_variances, require_linear, residual_variance

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator

_FEW = 1000
_SIMULATED = 1000  # responses per draw behind a residual variance: 4 percent, and less over draws


def r_squared(evaluator: Evaluator, posterior: xr.Dataset, prob: float) -> pd.DataFrame:
    """Return R-squared; see `Fit.r2`.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset
    prob : float
    """
    problem, draws = evaluator.problem, stacked(posterior)
    main = problem.family.main_predictors(problem.response)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    try:
        require_linear(problem)
        fixed = _population_variances(evaluator, draws, main)
        for at, name in enumerate(main):
            groups = sum(group_variances(evaluator, draws, at).values())
            residual, note = residual_variance(evaluator, draws, groups)
            total = fixed[at] + groups + residual
            shares = {"marginal": fixed[at] / total, "conditional": (fixed[at] + groups) / total}
            rows += [{"kind": kind, "predictor": name} | _summary(own, prob) for kind, own in shares.items()]
        notes.append(note)
    except BayesglmmError as error:
        notes.append(f"No marginal and conditional R-squared: {error}")
    if problem.family.response == "nominal":
        notes.append("No Bayesian R-squared: unordered categories have no variance.")
    else:
        rows.append({"kind": "bayesian", "predictor": ""} | _summary(_of_response(evaluator, _few(draws)), prob))
        notes.append("Bayesian: of the response, given the groups; its residual variance is that of the model.")
    if not rows:
        raise BayesglmmError(" ".join(notes))
    frame = pd.DataFrame(rows) if len(main) > 1 else pd.DataFrame(rows).drop(columns="predictor")
    frame.attrs["note"] = " ".join(notes)
    return frame


def _few(draws: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return a thousand of the draws, evenly spaced: responses are simulated from each."""
    total = len(next(iter(draws.values())))
    at = spaced(total, min(total, _FEW))
    return {name: values[at] for name, values in draws.items()}


def _summary(values: Any, prob: float) -> dict[str, float]:
    return {name: float(found) for name, found in summarise(np.asarray(values), prob).items()}


def _population_variances(evaluator: Evaluator, draws: Mapping[str, Floats], main: tuple[str, ...]) -> list[Floats]:
    """Return the variance over rows of population effects and smooths, offsets left out, shape (S,) each."""
    problem = evaluator.problem
    predictors = {part.names.parameter: part.predictor for part in problem.predictors}
    effects = place(problem, draws, predictors, choices(problem, TYPICAL), seeded(0))
    arrays = evaluator.arrays(effects.predictors)
    size, n = len(next(iter(draws.values()))), len(problem.response.y)
    found = [np.empty(size) for _ in main]
    for part in pieces(size, n):
        etas = evaluator.predictors(take(effects.draws, part), arrays)
        for own, name in zip(found, main, strict=True):
            offset = predictors[name].offset
            own[part] = np.var(etas[name] - (0.0 if offset is None else offset), axis=1, ddof=1)
    return found


def _of_response(evaluator: Evaluator, draws: Mapping[str, Floats]) -> Floats:
    """Return the Bayesian R-squared of Gelman, Goodrich, Gabry and Vehtari (2019) of every draw, shape (S,).

    The variance of expected responses over that and the mean variance of a response given its expectation. The
    latter is that of responses simulated from the draw, so that every family has it; a fixed seed makes the same
    fit give the same table.
    """
    problem, rng = evaluator.problem, seeded(0)
    response = problem.response
    trials = 1.0 if response.trials is None else np.maximum(response.trials, 1.0)
    size, n = len(next(iter(draws.values()))), len(response.y)
    replicates = max(1, -(-_SIMULATED // n))
    arrays, found = evaluator.arrays(), np.empty(size)
    for part in pieces(size, n * max(1, len(response.categories))):
        own = take(draws, part)
        etas = evaluator.predictors(own, arrays)
        mean = expected_codes(evaluator.mean(own, etas))
        residual = np.zeros(len(mean))
        for _ in range(replicates):
            simulated = np.asarray(evaluator.simulate(own, etas, rng), dtype=float) / trials
            residual += np.square(simulated - mean).mean(axis=1) / replicates
        explained = mean.var(axis=1, ddof=1)
        found[part] = explained / (explained + residual)
    return found

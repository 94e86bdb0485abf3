"""Responses simulated many times from single posterior draws: what residuals and their tests are made of.

A response and its replicates under one draw of the posterior are exchangeable where the model and its priors are
right (Johnson 2007; Yuan and Johnson 2012). Ranks among the replicates are then exactly uniform and independent over
rows, group effects and all. Replicates from many draws at once (the posterior predictive distribution) lack that:
each row has pulled its own effects towards itself, and residuals are too small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Response
from bayesglmm.results.draws import PIECE
from bayesglmm.results.prediction_values import rows_of

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator

_ARRAYS = ("y", "trials", "weights", "likelihood_weights", "censoring", "y_upper", "lower", "upper", "rows")


@dataclass(frozen=True, eq=False)
class Ranked:
    """What the replicates of one posterior draw say of the observed responses.

    Attributes
    ----------
    u : ndarray, shape (n,)
        Randomised-quantile residuals: the rank among the replicates as a number in (0, 1), ties broken at random.
    fitted : ndarray, shape (n,)
        Expected response at the draw. The posterior mean would not do: it has been pulled towards the responses, so
        that residuals of a right model rise with it.
    discrepancy : ndarray, shape (m + 1,)
        Squared distances from each row's mean in units of its variance, averaged over rows, where mean and variance
        are those of observed and simulated responses together; the first is that of the observed ones.
    zeros : ndarray, shape (m + 1,)
        How many responses are zero.
    """

    u: Floats
    fitted: Floats
    discrepancy: Floats
    zeros: Floats


def ranked(
    evaluator: Evaluator, draws: Mapping[str, Floats], simulations: int, rng: np.random.Generator
) -> Iterator[Ranked]:
    """Simulate from each of some posterior draws and rank the observed responses among the simulated ones.

    Parameters
    ----------
    evaluator : Evaluator
    draws : mapping of str to ndarray, shape (K, ...)
        The posterior draws.
    simulations : int
        Replicates of the data per draw.
    rng : numpy.random.Generator

    Yields
    ------
    Ranked
        One per draw.
    """
    for k in range(len(next(iter(draws.values())))):
        yield _of_one({name: values[k : k + 1] for name, values in draws.items()}, evaluator, simulations, rng)


def _of_one(draw: Mapping[str, Floats], evaluator: Evaluator, simulations: int, rng: np.random.Generator) -> Ranked:
    problem = evaluator.problem
    n = len(problem.response.y)
    u, fitted = np.empty(n), np.empty(n)
    squares, used = np.zeros(simulations + 1), 0
    zeros = np.zeros(simulations + 1)
    step = max(1, PIECE // (simulations + 1))
    given = evaluator.given_earlier(draw, evaluator.predictors(draw, evaluator.arrays()))
    repeated = {name: np.repeat(draw[name], simulations, axis=0) for name in problem.dispersions}
    given = None
    if problem.residual is not None:  # each row given the earlier ones of its group: independent, as u should be
        given = evaluator.given_earlier(draw, evaluator.predictors(draw, evaluator.arrays()))
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        response = rows_of_response(problem.response, part)
        predictors = {p.names.parameter: rows_of(p.predictor, part) for p in problem.predictors}
        etas = evaluator.predictors(draw, evaluator.arrays(predictors))
        if given is None:
            many = {name: np.broadcast_to(eta, (simulations, eta.shape[1])) for name, eta in etas.items()}
            simulated = np.asarray(evaluator.simulate(repeated, many, rng, response), dtype=float)
        else:
            mean, sd = (values[0, part] for values in given)
            simulated = mean + sd * rng.standard_normal((simulations, len(mean)))
        if given is not None:  # a row's rank is among what could have followed the earlier rows of its group
            simulated = given[0][:, part] + given[1][:, part] * rng.standard_normal(simulated.shape)
        u[part] = _ranks(response, simulated, rng)
        pool = np.concatenate([np.asarray(response.y, dtype=float)[None], simulated])
        fitted[part] = expected_codes(evaluator.mean(draw, etas, response))[0]
        variance = pool.var(axis=0)
        varies = variance > 0.0
        pool_varying = pool[:, varies]
        squares += (np.square(pool_varying - pool_varying.mean(axis=0)) / variance[varies]).sum(axis=1)
        used += int(varies.sum())
        zeros += (pool == 0.0).sum(axis=1)
    return Ranked(u, fitted, squares / max(used, 1), zeros)


def _ranks(response: Response, simulated: Floats, rng: np.random.Generator) -> Any:
    """Return ranks in (0, 1); of a censored response anywhere among the values that it may stand for."""
    low = np.asarray(response.y, dtype=float)
    high = low
    if response.censoring is not None:
        upper = low if response.y_upper is None else response.y_upper
        high = np.select([response.censoring == 1, response.censoring == 2], [np.inf, upper], low)
        low = np.where(response.censoring == -1, -np.inf, low)
    first = (simulated < low).sum(axis=0)
    last = (simulated <= high).sum(axis=0) + 1
    return (first + rng.random(len(low)) * (last - first)) / (len(simulated) + 1)


def expected_codes(mean: Any) -> Floats:
    """Return expected responses, shape (S, n), from means or from probabilities of categories (S, n, K)."""
    mean = np.asarray(mean, dtype=float)
    return mean if mean.ndim == 2 else np.asarray(mean @ np.arange(mean.shape[2], dtype=float))


def rows_of_response(response: Response, part: slice) -> Response:
    """Return a slice of the rows of a response with all that belongs to them: weights, censoring, bounds."""
    found = {name: getattr(response, name) for name in _ARRAYS}
    cut: dict[str, Any] = {name: None if values is None else values[part] for name, values in found.items()}
    covariates = {name: values[part] for name, values in response.covariates.items()}
    return replace(response, covariates=covariates, **cut)

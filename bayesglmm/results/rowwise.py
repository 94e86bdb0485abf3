"""Quantities that have a value for every draw and row: computed on demand, in pieces, never stored by an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.results.draws import pieces, require_memory, seeded, stacked, take
from bayesglmm.results.schema import OBSERVED, ROWS, row_labels, sampled

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator


def log_likelihood(evaluator: Evaluator, posterior: xr.Dataset) -> xr.Dataset:
    """Return the log-likelihood of every row under every draw.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset

    Returns
    -------
    xarray.Dataset
        Variable ``y`` with dims (chain, draw, obs); censoring, truncation and likelihood weights are in it.
    """
    chains = posterior.sizes["chain"]
    return _by_draw(evaluator, stacked(posterior), chains, "The log-likelihood", evaluator.log_likelihood)


def posterior_predictive(
    evaluator: Evaluator, posterior: xr.Dataset, seed: int | None, draws: int | None
) -> xr.Dataset:
    """Return one simulated response per draw and row of the data.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset
    seed : int or None
    draws : int or None
        Use this many draws, evenly spaced over all chains, in one chain; all, chain by chain, if None.

    Returns
    -------
    xarray.Dataset
        Variable ``y`` with dims (chain, draw, obs): counts of successes for binomial families, codes for categories.
    """
    chains = posterior.sizes["chain"] if draws is None else 1
    return simulate_rows(evaluator, stacked(posterior, draws), chains, seeded(seed))


def simulate_rows(
    evaluator: Evaluator, draws: dict[str, Floats], chains: int, rng: np.random.Generator
) -> xr.Dataset:
    """Return one simulated response per draw and row, in so many chains; see `posterior_predictive`."""

    def simulate(part: dict[str, Floats], etas: dict[str, Floats]) -> Any:
        return evaluator.simulate(part, etas, rng)

    return _by_draw(evaluator, draws, chains, "Simulated responses", simulate)


def _by_draw(
    evaluator: Evaluator, draws: dict[str, Floats], chains: int, what: str, compute: Callable[..., Any]
) -> xr.Dataset:
    problem = evaluator.problem
    total, n = len(next(iter(draws.values()))), len(problem.response.y)
    require_memory((total, n), what)
    arrays = evaluator.arrays()
    found: Any = None
    for part in pieces(total, n):
        own = take(draws, part)
        values = compute(own, evaluator.predictors(own, arrays))
        if found is None:
            found = np.empty((total, n), values.dtype)
        found[part] = values
    labels = row_labels(problem)
    return sampled(OBSERVED, found.reshape(chains, total // chains, n), (ROWS,), {ROWS: labels})

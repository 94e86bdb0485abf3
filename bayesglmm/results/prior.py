"""What the priors claim before any data: parameters drawn from them, and responses from these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import PriorError
from bayesglmm.results.draws import require_count, seeded, stacked
from bayesglmm.results.rowwise import simulate_rows
from bayesglmm.results.schema import constant, observed, variables

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem


def prior_predictive(problem: Problem, draws: int, seed: int) -> xr.DataTree:
    """Draw from the prior.

    Parameters
    ----------
    problem : Problem
    draws : int
        At least 1.
    seed : int

    Returns
    -------
    xarray.DataTree
        Groups ``prior`` (the variables of ``posterior``), ``prior_predictive`` (``y`` with dims chain, draw, obs),
        ``observed_data`` and ``constant_data`` (trials, weights, predictors).

    Raises
    ------
    PriorError
        If a prior is flat: it is not a distribution.
    """
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator

    require_count("draws", draws)
    flat = [slot.label for slot in problem.priors if slot.prior.distribution == "Flat"]
    if flat:
        raise PriorError(
            f"A flat prior is not a distribution and cannot be drawn from: {', '.join(flat[:5])}"
            f"{', ...' if len(flat) > 5 else ''}. Give a proper prior, such as bg.Prior('Normal', 0, 2.5)."
        )
    parameters = variables(problem, _free_draws(problem, draws, seed))
    try:
        simulated = simulate_rows(Evaluator(problem), stacked(parameters), 1, seeded(seed))
    except ValueError as error:  # numpy's, of a mean that no count can have
        raise PriorError(
            f"The priors allow responses that cannot be simulated ({error}): they are far too wide for the scale of "
            "the link. Give narrower ones."
        ) from None
    groups = {
        "prior": parameters,
        "prior_predictive": simulated,
        "observed_data": observed(problem),
        "constant_data": constant(problem),
    }
    return xr.DataTree.from_dict(groups, name="bayesglmm")


def _free_draws(problem: Problem, draws: int, seed: int) -> dict[str, Any]:
    """Return draws of every free variable, shape (1, draws, ...)."""
    import pymc as pm

    from bayesglmm.graph.compiler import INTERPRETED, without_c

    free = problem.model.free_RVs
    with without_c():
        values = pm.draw(free, draws=draws, random_seed=seed, mode=INTERPRETED)
    found = {}
    for variable, own in zip(free, values, strict=True):
        drawn = np.asarray(own, dtype=float).reshape(1, draws, *np.shape(own)[1 if draws > 1 else 0 :])
        found[variable.name] = drawn
    for parameter in problem.family.parameters:
        if parameter.ordered:  # independent draws, sorted, are draws from their prior given that they increase
            found[parameter.name] = np.sort(found[parameter.name], axis=-1)
    return found

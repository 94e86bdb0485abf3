"""Is an approximation good enough for maximum likelihood? What quadrature would change, in standard errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayesglmm.results.checks import Check, Word

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.likelihood import Estimation
    from bayesglmm.graph.problem import Problem

_GOOD, _CHECK = 0.1, 0.3  # standard errors: the limits of the verdict on the posterior
_MOST = 3e7  # rows times nodes times evaluations: some seconds


def likelihood_check(problem: Problem, estimation: Estimation) -> Check | None:
    """Judge the approximation at the estimates.

    Parameters
    ----------
    problem : Problem
    estimation : Estimation
        Of the fit.

    Returns
    -------
    Check or None
        None where nothing is approximated: gaussian responses, models without group effects, and fits by quadrature.
    """
    if estimation.nodes > 1 or is_exact(problem):
        return None
    from bayesglmm.engines.kernels.likelihood_error import likelihood_error
    from bayesglmm.engines.kernels.quadrature import factorises
    from bayesglmm.engines.modes import latent_view
    from bayesglmm.engines.threads import suitable_threads

    name = estimation.name
    if problem.parts is not None:
        return _unjudged(name, "The rows are read piece by piece: comparing it with quadrature needs them in memory.")
    view = latent_view(problem)
    if estimation.kind != "ml" or not factorises(view):
        return _unjudged(name, "It can be where there is one grouping factor and no smooth, by maximum likelihood.")
    parameters = view.theta_size + sum(len(part.predictor.columns) for part in problem.predictors)
    if 15.0 * len(problem.response.y) * 2.0 * parameters > _MOST:
        return _unjudged(
            name, "The data have many rows: comparing it with quadrature would take longer than the fit."
        )
    with suitable_threads(problem):
        found = likelihood_error(view, estimation)
    moved, worst = max(found.shifts.items(), key=lambda item: _size(item[1]), default=("", 0.0))
    word: Word = "good" if _size(worst) < _GOOD else "check" if _size(worst) < _CHECK else "bad"
    return Check(
        "approximation",
        abs(worst),
        f"< {_GOOD}",
        word,
        f"Quadrature in the place of {name} would move {moved or 'no estimate'} by {abs(worst):.2f} "
        f"standard errors, and the log-likelihood by {found.loglik:.2f}.",
        {"good": "", "check": "The approximation is rough here.", "bad": "The approximation is poor here."}[word],
        "" if word == "good" else 'Use model.fit("laplace", objective="ml", quadrature=15).',
    )


def is_exact(problem: Problem) -> bool:
    """Return whether integrals are exact: no group effects, or only those of the mean of normal responses."""
    first, *others = problem.predictors
    curved = problem.likelihood.expression is not None and problem.blocks
    if curved or any(part.blocks for part in others):
        return False
    link = problem.links[first.names.parameter].name
    return not first.blocks or (problem.family.normal_residual and link == "identity" and _uncensored(problem))


def _uncensored(problem: Problem) -> bool:
    response = problem.response
    return response.censoring is None and response.lower is None and response.upper is None


def _size(shift: float) -> float:
    return math.inf if math.isnan(shift) else abs(shift)


def _unjudged(name: str, why: str) -> Check:
    return Check(
        "approximation",
        math.nan,
        "reported only",
        "good",
        f"How good {name} is was not judged.",
        why,
        "The verdict on the posterior of the same engine, without objective=, judges it.",
    )


def good_words(check: Check | None, name: str) -> str:
    """Return what a good verdict says."""
    found = "the search ended at a maximum of the likelihood"
    if check is None:
        return f"{found}."
    if math.isnan(check.value):
        return f"{found}; how good {name} is was not judged (fit.diagnose() says how)."
    return f"{found}, and {name} is good there."

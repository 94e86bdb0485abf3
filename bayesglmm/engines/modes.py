"""The structured view of a problem and the modes found in it: made once, kept with the problem."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.likelihood import maximum_likelihood
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.objective import Objective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView, restricted
from bayesglmm.graph.parted import PartedView, require_parts_possible, split
from bayesglmm.graph.problem import Problem

_MANY_ROWS, _TOGETHER = 200_000, 125_000  # rows from which on they are split, and rows of a part
_COMMON = 500  # coefficients of the border, which every part has
_VIEW, _MODES = "laplace", "modes"  # in the problem's workspace


class Mode(NamedTuple):
    """Where an objective is highest.

    Attributes
    ----------
    theta : ndarray, shape (t,)
        Unconstrained hyperparameters.
    x : ndarray, shape (size,)
        Coefficients, as the view lays them out.
    """

    theta: Floats
    x: Floats


def latent_view(problem: Problem, objective: Objective = "posterior") -> LatentView:
    """Return the structured view of a problem, the same one whoever asks; that of ``"reml"`` may be another one."""
    seen = restricted(problem) if objective == "reml" else problem
    key = _VIEW if seen is problem else f"{_VIEW}, restricted"
    if key not in problem.workspace:
        problem.workspace[key] = LatentView(seen) if seen.parts is None else PartedView(seen)
    view: LatentView = problem.workspace[key]
    return view


def keep_mode(problem: Problem, objective: Objective, nodes: int, found: ConditionalMode) -> None:
    """Keep what a search found, for `mode_of`.

    Parameters
    ----------
    problem : Problem
    objective : {"posterior", "ml", "reml"}
    nodes : int
        Of quadrature, per group effect; see `mode_of`.
    found : ConditionalMode
    """
    problem.workspace.setdefault(_MODES, {})[objective, nodes] = Mode(found.theta, found.x)


def mode_of(problem: Problem, objective: Objective = "posterior", nodes: int = 1) -> Mode:
    """Return the mode that a fit found, or search it if nobody has yet.

    Parameters
    ----------
    problem : Problem
    objective : {"posterior", "ml", "reml"}
        Laplace's approximation of the posterior of the hyperparameters, or the (restricted) likelihood.
    nodes : int
        Quadrature nodes per group effect of a likelihood fit; of the posterior the mode is Laplace's.
    """
    nodes = 1 if objective == "posterior" else nodes
    known: dict[tuple[str, int], Mode] = problem.workspace.setdefault(_MODES, {})
    if (objective, nodes) not in known:
        view = latent_view(problem, objective)
        found = maximise(view).mode if objective == "posterior" else maximum_likelihood(view, objective, nodes).mode
        keep_mode(problem, objective, nodes, found)
    return known[objective, nodes]


def in_parts(problem: Problem, count: int | None, automatic: bool = True) -> Problem:
    """Return the problem with its rows split into parts.

    Parameters
    ----------
    problem : Problem
    count : int or None
        How many; None leaves it as it is unless that is `automatic`.
    automatic : bool
        Whether many rows are split though nobody asked: by their number, never by that of workers.

    Raises
    ------
    SettingsError
        If the model cannot be computed by parts, or its rows come in parts already.
    """
    if count is None:
        count = _automatic(problem) if automatic and problem.parts is None else 0
        return replace(problem, parts=split(problem, count), workspace={}) if count else problem
    if problem.parts is not None:
        raise SettingsError(
            f"The rows come in {len(problem.parts.parts)} parts as they are: leave parts={count} out."
        )
    return replace(problem, parts=split(problem, count), workspace={})


def _automatic(problem: Problem) -> int:
    """Return how many parts cost nothing; zero for few rows, and where much would be common to all parts."""
    rows = len(problem.response.y)
    if rows < _MANY_ROWS:
        return 0
    try:
        require_parts_possible(problem)
    except SettingsError:
        return 0
    sizes: dict[str, int] = {}
    for part in problem.blocks:
        one = "" if len(part.block.levels) == 1 else part.block.group
        sizes[one] = sizes.get(one, 0) + len(part.block.levels) * len(part.block.terms)
    largest = max((size for group, size in sizes.items() if group), default=0)
    common = sum(sizes.values()) - largest + sum(len(part.predictor.columns) for part in problem.predictors)
    return -(-rows // _TOGETHER) if largest and common <= _COMMON else 0


def parts_notes(problem: Problem) -> tuple[str, ...]:
    """Return a sentence on the parts of a problem; none where it has none."""
    if problem.parts is None:
        return ()
    parts, first = problem.parts.parts, problem.parts.factors[-1][0]
    factor, largest = problem.blocks[first].block.group, max(part.rows for part in parts)
    return (
        f"Computed in {len(parts)} part{'s' if len(parts) > 1 else ''} of the rows, split by {factor}, of up to "
        f"{largest:,} rows.",
    )

"""Which model NUTS really moves in: the graph itself, or its density in conditioned coordinates. Made once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.newton import ConditionalMode
from bayesglmm.engines.kernels.optimum import laplace_mode
from bayesglmm.errors import NoDerivativeError, SettingsError
from bayesglmm.graph.conditioned import ConditionedModel, coupled_parts, crossed_part, level_blocks, main_part
from bayesglmm.graph.crossed import axes_at_mode
from bayesglmm.graph.hyper_coordinates import hyper_coordinates
from bayesglmm.graph.latent import LatentPart, LatentView
from bayesglmm.graph.observation import OBSERVED_DATA, observed_values, response_extras
from bayesglmm.graph.problem import Problem
from bayesglmm.graph.related import related_blocks
from bayesglmm.linalg import NotPositiveDefiniteError

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model to sample and the way back to the graph's variables.

    Attributes
    ----------
    problem : Problem
    conditioned : ConditionedModel or None
        None where the graph itself is sampled.
    note : str
        Why the graph itself is sampled, where that is worth knowing.
    ahead : bool
        Whether the density is that of `engines.precompiled`, for which nothing is compiled.
    """

    problem: Problem
    conditioned: ConditionedModel | None
    note: str = ""
    ahead: bool = False

    @property
    def path(self) -> str:
        """What is sampled: "ahead", "compiled" or "graph", see `bayesglmm.engines.nuts.NutsSettings`."""
        return "graph" if self.conditioned is None else "ahead" if self.ahead else "compiled"

    @property
    def model(self) -> pm.Model:
        """What is sampled."""
        return self.problem.model if self.conditioned is None else self.conditioned.model

    @property
    def names(self) -> tuple[str, ...]:
        """Variables of `model` whose draws `back` needs."""
        if self.ahead:
            return tuple(self.compiled.variables)
        return tuple(variable.name for variable in self.model.free_RVs)

    def back(self, draws: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return draws of the graph's free variables from draws of `model`'s."""
        return draws if self.conditioned is None else self.conditioned.draws(draws)

    @cached_property
    def compiled(self) -> Any:
        """The model compiled by nutpie, with the numbers of this response."""
        if self.ahead:
            from bayesglmm.engines.precompiled import packed_model

            assert self.conditioned is not None
            return packed_model(self.conditioned)
        from bayesglmm.engines.nutpie_alone import nutpie

        shared, key = self.problem.shared, f"nutpie, conditioned={self.conditioned is not None}"
        if key not in shared:
            with warnings.catch_warnings():
                # Numba warns about its own object-mode fall-backs; they concern speed, not results.
                warnings.simplefilter("ignore")
                shared[key] = nutpie.compile_pymc_model(self.model)
        response, family = self.problem.response, self.problem.family
        data = {OBSERVED_DATA: observed_values(response, family), **response_extras(response, family)}
        if self.conditioned is not None:
            data |= self.conditioned.data
        known = {variable.name for variable in shared[key].shared_var_keys}
        return shared[key].with_data(**{name: values for name, values in data.items() if name in known})


def prepare(problem: Problem, path: str = "auto") -> Prepared:
    """Return the model to sample for a problem; the same object at every call.

    Parameters
    ----------
    problem : Problem
    path : {"auto", "ahead", "compiled", "graph"}
        What is sampled, see `bayesglmm.engines.nuts.NutsSettings`.

    Returns
    -------
    Prepared
        Compiling takes longer than sampling for small models, so a second fit of a model reuses the first's work.

    Raises
    ------
    SettingsError
        With ``path="ahead"``, for a model that the code compiled ahead does not know.
    """
    key = f"nuts, path={path}"
    if key not in problem.workspace:
        problem.workspace[key] = Prepared(problem, None) if path == "graph" else _chosen(problem, path)
    made: Prepared = problem.workspace[key]
    return made


def _chosen(problem: Problem, path: str) -> Prepared:
    if "nuts, conditioned" not in problem.workspace:
        problem.workspace["nuts, conditioned"] = _prepare(problem)
    prepared: Prepared = problem.workspace["nuts, conditioned"]
    if path == "compiled":
        return prepared
    if prepared.conditioned is None:
        reason = "it has no group effects to condition on"
    else:
        from bayesglmm.engines.precompiled import uncovered

        reason = uncovered(problem, prepared.conditioned)
    if not reason:
        return replace(prepared, ahead=True)
    if path == "ahead":
        raise SettingsError(f'path="ahead" is not possible for this model: {reason}. Leave path out.')
    return prepared


def _prepare(problem: Problem) -> Prepared:
    view = LatentView(problem)
    if not level_blocks(view) and not related_blocks(view) and not coupled_parts(view):
        return Prepared(problem, None)
    try:
        mode, spread = laplace_mode(view, view.initial_theta)
    except (
        NotPositiveDefiniteError,
        NoDerivativeError,
        SettingsError,
    ):  # the last: correlations that it does not take
        return Prepared(problem, None, "No mode of the group effects was found: sampled without conditioning on it.")
    theta = mode.theta
    etas = [offset + A @ mode.x for offset, A in view.design(theta)]
    rows = view.elementwise(etas, view.dispersions(view.natural(theta)), 1)
    slope, curvature = np.asarray(rows.d1)[0], -np.asarray(rows.d2)[0, 0]
    # A floor keeps rows whose likelihood is flat or convex at the mode from having a wild working response.
    weights = np.maximum(curvature, 1e-3 * np.mean(np.abs(curvature)) + 1e-10)
    response, whitening = etas[0] + slope / weights, view.whitening(view.natural(theta))
    if whitening is not None:  # what correlated rows weigh together, a share for each
        shared = whitening.matrix.T @ (weights * whitening.matrix.sum(axis=1))
        weights = np.maximum(shared, 0.05 * weights)
    main = main_part(view)
    covariance = _covariance(mode, view.size, [*coupled_parts(view), *filter(None, [main])])
    hyper = hyper_coordinates(view, theta, spread)
    axes, crossed = None, crossed_part(view)
    if crossed is not None:
        own = next(part for part in problem.predictors[0].blocks if part.names.u == crossed.name)
        sd = own.covariance.factor(own.values(view.natural(theta)), 1, NUMPY)[..., 0, 0]
        around = _covariance(mode, view.size, [crossed, *filter(None, [main])])
        axes = axes_at_mode(around, mode.x[crossed.slice], float(sd))
    return Prepared(problem, ConditionedModel(view, response, weights, hyper, mode.x, covariance, axes))


def _covariance(mode: ConditionalMode, size: int, parts: Sequence[LatentPart]) -> Floats:
    """Return the covariance of some stretches of x at a mode."""
    at = np.concatenate(
        [np.zeros(0, dtype=np.intp), *(np.arange(part.slice.start, part.slice.stop) for part in parts)]
    )
    unit = np.zeros((size, len(at)))
    unit[at, np.arange(len(at))] = 1.0
    found: Floats = mode.factor.solve(unit)[at] if len(at) else np.zeros((0, 0))
    return found

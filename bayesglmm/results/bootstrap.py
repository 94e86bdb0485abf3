"""Parametric bootstrap: simulate responses from the estimates, with new group effects, and fit each of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.engines.kernels.likelihood import Estimation
from bayesglmm.errors import BayesglmmError
from bayesglmm.graph.evaluate import Evaluator
from bayesglmm.graph.latent import LatentView, restricted
from bayesglmm.graph.observation import observed_values
from bayesglmm.linalg import NotPositiveDefiniteError
from bayesglmm.parallel import alone, parallel_map
from bayesglmm.results.draws import interval, require_count, stacked
from bayesglmm.results.estimates import estimates
from bayesglmm.results.levels import simulated_effects
from bayesglmm.results.tables import parameters
from bayesglmm.results.wald import Wald

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Estimates from simulated responses.

    Attributes
    ----------
    table : DataFrame
        One row per replicate; columns: every population parameter and ``loglik``. Replicates whose search failed
        have nan.
    estimates : Series
        Of the fit that was simulated from.
    failed : int
        Replicates without an estimate.
    """

    table: pd.DataFrame
    estimates: pd.Series
    failed: int

    def summary(self, prob: float = 0.95) -> pd.DataFrame:
        """Return estimate, bias, se and the percentile interval of every parameter.

        Parameters
        ----------
        prob : float
            Share of the replicates between `lower` and `upper`.
        """
        own = self.table[self.estimates.index]
        ends = own.quantile(list(interval(prob)))
        return pd.DataFrame(
            {
                "estimate": self.estimates,
                "bias": own.mean() - self.estimates,
                "se": own.std(),
                "lower": ends.iloc[0],
                "upper": ends.iloc[1],
            }
        ).rename_axis("parameter")

    def __repr__(self) -> str:
        failed = f", {self.failed} of them without an estimate" if self.failed else ""
        return f"Parametric bootstrap, {len(self.table)} replicates{failed}\n{self.summary()}"


def bootstrap(
    evaluator: Evaluator,
    estimated: xr.Dataset,
    n: int,
    workers: int | None,
    seed: int | None,
    estimation: Estimation,
) -> Bootstrap:
    """Simulate and fit; see `LikelihoodFit.bootstrap`.

    Parameters
    ----------
    evaluator : Evaluator
    estimated : xarray.Dataset
        The estimates as the only draw.
    n : int
    workers : int or None
    seed : int or None
        Every replicate has a stream of its own: workers and their number change nothing.
    estimation : Estimation
        How each is fitted.
    """
    require_count("n", n)
    if workers is not None:
        require_count("workers", workers)
    problem, response = evaluator.problem, evaluator.problem.response
    if any(getattr(response, name) is not None for name in ("censoring", "y_upper", "lower", "upper")):
        raise BayesglmmError(
            "A censored or truncated response cannot be simulated as it was observed, so there is no bootstrap of it."
        )
    lean = replace(problem, workspace={}, shared={})  # what engines compiled stays in this process
    replicate = _Replicate(lean, stacked(estimated), estimation)
    rows = list(parallel_map(replicate, np.random.SeedSequence(seed).spawn(n), n_jobs=workers))
    original = {parameter.label: float(parameter.values[0, 0]) for parameter in parameters(problem, estimated)}
    labels = [*original, "loglik"]
    table = pd.DataFrame([row or [np.nan] * len(labels) for row in rows], columns=labels).rename_axis("replicate")
    return Bootstrap(table, pd.Series(original), sum(not row for row in rows))


@dataclass(eq=False)
class _Replicate:
    """Simulates a response from a seed and fits it.

    Attributes
    ----------
    problem : Problem
    draws : mapping of str to ndarray, shape (1, ...)
        What is simulated from.
    estimation : Estimation
    """

    problem: Problem
    draws: Mapping[str, Any]
    estimation: Estimation

    def __call__(self, seed: np.random.SeedSequence) -> list[float]:
        """Return population parameters and log-likelihood; nothing if the search failed."""
        y = self._simulated(np.random.default_rng(seed))
        try:
            found = self.estimation(with_response(self._view, y))
        except NotPositiveDefiniteError:
            return []
        if not found.converged:
            return []
        own = replace(self.problem, response=replace(self.problem.response, y=y), workspace={})
        wald = Wald(self.problem, estimates(own, found))
        return [*(float(parameter.values[0, 0]) for parameter in wald.parameters), found.loglik]

    @cached_property
    def _view(self) -> LatentView:
        view = LatentView(restricted(self.problem) if self.estimation.kind == "reml" else self.problem)
        # The original again: whatever compiles does so here, and the copies of the view share it.
        with alone(), warnings.catch_warnings():
            # A graph that was sent to another process has lost where its search would start, which is not used.
            warnings.filterwarnings("ignore", "Support point not defined")
            estimates(self.problem, self.estimation(view))
        return view

    @cached_property
    def _source(self) -> tuple[Evaluator, Any]:
        evaluator = Evaluator(self.problem)
        return evaluator, evaluator.arrays()

    def _simulated(self, rng: np.random.Generator) -> Any:
        """Return a response of the rows used, with new group effects."""
        evaluator, arrays = self._source
        groups = [part for part in self.problem.blocks if part.block.kind == "group"]
        own = {**self.draws} | {part.names.b: simulated_effects(part, self.draws, rng) for part in groups}
        with alone():  # compiles at the first call
            y = evaluator.simulate(own, evaluator.predictors(own, arrays), rng)[0]
        return y.astype(np.asarray(self.problem.response.y).dtype)


def with_response(view: LatentView, y: Any) -> LatentView:
    """Return the view of another response to the same design; what was compiled is shared."""
    problem = replace(view.problem, response=replace(view.problem.response, y=y), workspace={})
    other, rows = copy.copy(view), copy.copy(view.elementwise)
    other.problem, other.elementwise, other.kept = problem, rows, {}
    rows.problem, rows.y = problem, observed_values(problem.response, problem.family)
    return other

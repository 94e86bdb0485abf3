"""Parametric bootstrap: simulate responses from the estimates, with new group effects, and fit each of them."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.engines.kernels.likelihood import Estimation
from bayesglmm.errors import BayesglmmError
from bayesglmm.graph.evaluate import Evaluator
from bayesglmm.graph.latent import LatentView, restricted
from bayesglmm.graph.observation import observed_values
from bayesglmm.linalg import NotPositiveDefiniteError
from bayesglmm.results.draws import interval, require_count, stacked
from bayesglmm.results.estimates import estimates
from bayesglmm.results.levels import simulated_effects
from bayesglmm.results.tables import parameters
from bayesglmm.results.wald import Wald

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem

_TASKS = 4  # per worker, so that none waits long for the last


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
    workers: int,
    seed: int | None,
    estimation: Estimation,
) -> Bootstrap:
    """Simulate and fit; see `LikelihoodFit.bootstrap`.

    Parameters
    ----------
    evaluator : Evaluator
    estimated : xarray.Dataset
        The estimates as the only draw.
    n, workers : int
    seed : int or None
    estimation : Estimation
        How each is fitted.
    """
    import cloudpickle
    from joblib import Parallel, delayed

    require_count("n", n)
    require_count("workers", workers)
    problem, response = evaluator.problem, evaluator.problem.response
    if any(getattr(response, name) is not None for name in ("censoring", "y_upper", "lower", "upper")):
        raise BayesglmmError(
            "A censored or truncated response cannot be simulated as it was observed, so there is no bootstrap of it."
        )
    size = -(-n // (_TASKS * workers)) if workers > 1 else n
    lean: Any = replace(problem, workspace={}, shared={})  # what engines compiled stays in this process
    if workers > 1:
        # joblib's own way of pickling methods fails on some that PyTensor's random variables hold.
        lean = cloudpickle.dumps(lean)
    responses = _pieces(_simulated(evaluator, estimated, n, seed), size)
    parts = Parallel(n_jobs=workers)(delayed(_fit_all)(lean, part, estimation) for part in responses)
    original = {parameter.label: float(parameter.values[0, 0]) for parameter in parameters(problem, estimated)}
    labels = [*original, "loglik"]
    rows = [row or [np.nan] * len(labels) for part in parts for row in part]
    table = pd.DataFrame(rows, columns=labels).rename_axis("replicate")
    return Bootstrap(table, pd.Series(original), sum(not row for part in parts for row in part))


def _simulated(evaluator: Evaluator, estimated: xr.Dataset, n: int, seed: int | None) -> Iterator[Any]:
    """Yield responses of the rows used, each from its own stream: workers and their number change nothing."""
    problem, draws, arrays = evaluator.problem, stacked(estimated), evaluator.arrays()
    groups = [part for part in problem.blocks if part.block.kind == "group"]
    dtype = np.asarray(problem.response.y).dtype
    for child in np.random.SeedSequence(seed).spawn(n):
        rng = np.random.default_rng(child)
        fresh = {part.names.b: simulated_effects(part, draws, rng) for part in groups}
        own = draws | fresh
        yield evaluator.simulate(own, evaluator.predictors(own, arrays), rng)[0].astype(dtype)


def _pieces(responses: Iterator[Any], size: int) -> Iterator[list[Any]]:
    part: list[Any] = []
    for y in responses:
        part.append(y)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _fit_all(sent: Problem | bytes, responses: Sequence[Any], estimation: Estimation) -> list[list[float]]:
    """Return population parameters and log-likelihood for every response; nothing where the search failed."""
    problem = pickle.loads(sent) if isinstance(sent, bytes) else sent
    view = LatentView(restricted(problem) if estimation.kind == "reml" else problem)
    # The original again: whatever compiles does so here, and the copies of the view share it.
    with warnings.catch_warnings():
        # A graph that was sent to another process has lost where its search would start, which is not used.
        warnings.filterwarnings("ignore", "Support point not defined")
        estimates(problem, estimation(view))
    rows: list[list[float]] = []
    for y in responses:
        try:
            found = estimation(with_response(view, y))
        except NotPositiveDefiniteError:
            rows.append([])
            continue
        if not found.converged:
            rows.append([])
            continue
        own_problem = replace(problem, response=replace(problem.response, y=y), workspace={})
        dataset = estimates(own_problem, found)
        own = [float(parameter.values[0, 0]) for parameter in Wald(problem, dataset).parameters]
        rows.append([*own, found.loglik])
    return rows


def with_response(view: LatentView, y: Any) -> LatentView:
    """Return the view of another response to the same design; what was compiled is shared."""
    problem = replace(view.problem, response=replace(view.problem.response, y=y), workspace={})
    other, rows = copy.copy(view), copy.copy(view.elementwise)
    other.problem, other.elementwise, other.kept = problem, rows, {}
    rows.problem, rows.y = problem, observed_values(problem.response, problem.family)
    return other

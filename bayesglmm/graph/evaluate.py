"""Functions of (draws, predictor arrays): the linear predictor, the mean, simulated responses, log-likelihoods.

They serve fitted values, predictions and pointwise log-likelihoods alike, vectorised over draws. The linear predictor
and the mean run in numpy through the very functions that built the graph. Simulated responses and log-likelihoods
come from the family's PyMC distribution, compiled once per model without a C compiler or numba: one cheap compile,
and elementwise work that numpy does well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats, Predictor, Response
from bayesglmm.errors import BayesglmmError
from bayesglmm.families.base import ResponseData
from bayesglmm.graph.compiler import interpreted
from bayesglmm.graph.observation import extended_logp, observed_values, response_extras
from bayesglmm.graph.predictor import PredictorArrays, linear_predictor, predictor_arrays
from bayesglmm.graph.problem import Problem, ResidualParts
from bayesglmm.graph.residual import correlate, row_sds, whitened
from bayesglmm.links import LINKS, Linked


class Evaluator:
    """What can be computed from posterior draws and rows of data.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def arrays(self, predictors: Mapping[str, Predictor] | None = None) -> dict[str, PredictorArrays]:
        """Return the numpy arrays of every predictor: of the rows used, or of new rows."""
        own = {part.names.parameter: part.predictor for part in self.problem.predictors}
        return {name: predictor_arrays((predictors or own)[name]) for name in own}

    def predictors(self, draws: Mapping[str, Floats], arrays: Mapping[str, PredictorArrays]) -> dict[str, Floats]:
        """Return eta of every predictor.

        Parameters
        ----------
        draws : mapping of str to ndarray, shape (S, ...)
            Posterior variables (``beta``, ``b_<k>``, ...) with draws stacked; a ``b_<k>`` may hold more levels than
            the model was fitted with.
        arrays : mapping of str to PredictorArrays

        Returns
        -------
        dict of str to ndarray, shape (S, n)
        """
        size = len(next(iter(draws.values())))
        etas = {}
        for part in self.problem.predictors:
            names = part.names
            effects = [draws[block.names.b] for block in part.blocks]
            eta = linear_predictor(arrays[names.parameter], draws.get(names.beta), effects)
            etas[names.parameter] = np.broadcast_to(eta, (size, arrays[names.parameter].n))
        return etas

    def link_scale(self, etas: Mapping[str, Floats], response: Response | None = None) -> dict[str, Floats]:
        """Return the predictor of every family parameter: the main one after composition, where it is nonlinear.

        Parameters
        ----------
        etas : mapping of str to ndarray, shape (S, n)
            From `predictors`.
        response : Response, optional
            With the covariates of these rows; that of the model if absent.
        """
        likelihood, covariates = self.problem.likelihood, (response or self.problem.response).covariates
        with np.errstate(all="ignore"):
            return likelihood.combined(etas, [covariates[name] for name in likelihood.columns], NUMPY)

    def values(
        self, draws: Mapping[str, Floats], etas: Mapping[str, Floats], response: Response | None = None
    ) -> dict[str, Linked]:
        """Return every family parameter; dispersions get a trailing axis so that they broadcast against rows."""
        identity = LINKS.get("identity")
        combined = self.link_scale(etas, response)
        linked = {name: Linked(eta, self.problem.links[name], NUMPY) for name, eta in combined.items()}
        for name in self.problem.dispersions:
            linked[name] = Linked(np.asarray(draws[name])[:, None], identity, NUMPY)
        return linked

    def mean(self, draws: Mapping[str, Floats], etas: Mapping[str, Floats], response: Response | None = None) -> Any:
        """Return E(y), shape (S, n), or (S, n, K) for ordinal and nominal families."""
        data = self._data(response)
        return self.problem.family.mean(self.values(draws, etas, response), data, NUMPY)

    def simulate(
        self,
        draws: Mapping[str, Floats],
        etas: Mapping[str, Floats],
        rng: np.random.Generator,
        response: Response | None = None,
    ) -> Any:
        """Return one simulated response per draw and row, shape (S, n), within the bounds of truncated rows.

        Residuals of the model's own rows are correlated as in the model. Where a response is given, every row stands
        for itself: its distribution is the same whatever its correlation with others.
        """
        if response is None and self.problem.residual is not None:
            return self._correlated(self.problem.residual, draws, etas, rng)
        inputs = self._inputs(draws, etas, response)
        function, generators = self._simulator
        for generator in generators:
            generator.set_value(np.random.default_rng(rng.integers(2**63)))
        drawn = np.asarray(function(*inputs))
        bounds = response_extras(response or self.problem.response, self.problem.family)
        lower, upper = bounds.get("lower", np.array([-np.inf])), bounds.get("upper", np.array([np.inf]))
        return self._redrawn(drawn, inputs, lower, upper)

    def _redrawn(self, drawn: Any, inputs: Sequence[Any], lower: Floats, upper: Floats) -> Any:
        """Draw again what lies outside of its bounds; after a thousand draws the nearest bound stands for it."""
        function, _ = self._simulator
        predictors = len(self.problem.predictors)
        likelihood = self.problem.likelihood
        start = len(inputs) - len(likelihood.data_names) - len(likelihood.columns)
        for _ in range(1000):
            outside = (drawn < lower) | (drawn > upper)
            rows = np.flatnonzero(outside.any(axis=0))
            if not rows.size:
                return drawn
            etas, data = ([values[..., rows] for values in part] for part in (inputs[:predictors], inputs[start:]))
            again = function(*etas, *inputs[predictors:start], *data)
            drawn[:, rows] = np.where(outside[:, rows], again, drawn[:, rows])
        return np.clip(drawn, lower, upper).astype(drawn.dtype)

    def log_likelihood(self, draws: Mapping[str, Floats], etas: Mapping[str, Floats], rows: Any = None) -> Floats:
        """Return the log-likelihood of the observed rows, shape (S, n), with censoring, truncation and weights.

        Where residuals are correlated it is that of each row given the earlier ones of its group, so that their sum
        is the joint one; then there are no single `rows`.

        Parameters
        ----------
        draws, etas : mapping of str to ndarray
            As of `predictors`.
        rows : ndarray of int, shape (m,), optional
            Which rows `etas` belong to; all if absent.
        """
        response, family, part = self.problem.response, self.problem.family, self.problem.residual
        volume: Any = 0.0
        if part is not None:
            if rows is not None:
                raise BayesglmmError(f"The residuals {part.block.label} are correlated: no row stands for itself.")
            main, y = self.problem.predictors[0].names.parameter, observed_values(response, family)
            sds = self._row_sds(part, draws, etas)
            white, volume = whitened(part, part.of_posterior(draws), sds, y - etas[main])
            etas = {**etas, main: y - white}
        inputs, extras = self._inputs(draws, etas, response), response_extras(response, family)
        parameters = len(self.problem.predictors) + len(self.problem.dispersions)
        by_row = [observed_values(response, family), *inputs[parameters:], *extras.values()]
        if rows is not None:
            by_row = [np.asarray(values)[rows] for values in by_row]
        y, *others = by_row
        return np.asarray(volume + self._logp(y, *inputs[:parameters], *others))

    def _correlated(
        self, part: ResidualParts, draws: Mapping[str, Floats], etas: Mapping[str, Floats], rng: np.random.Generator
    ) -> Floats:
        """Return the mean plus correlated residuals."""
        sds, sd = self._row_sds(part, draws, etas), self.values(draws, etas)[part.sd].value
        weights = self.problem.response.weights
        sd = sd if weights is None else sd / np.sqrt(weights)
        mean = np.asarray(self.mean(draws, etas))
        # T~ is relative to the standard deviations of the rows, so that they multiply independent numbers.
        return mean + correlate(part, part.of_posterior(draws), sds, sd * rng.standard_normal(mean.shape))

    def given_earlier(self, draws: Mapping[str, Floats], etas: Mapping[str, Floats]) -> tuple[Floats, Floats] | None:
        """Return mean and standard deviation of each row given the earlier ones of its group, each (S, n).

        None where rows are independent.
        """
        part, response = self.problem.residual, self.problem.response
        if part is None:
            return None
        y, sds = observed_values(response, self.problem.family), self._row_sds(part, draws, etas)
        mean, sd = np.asarray(self.mean(draws, etas)), self.values(draws, etas)[part.sd].value
        white, volume = whitened(part, part.of_posterior(draws), sds, y - mean)
        sd = sd if response.weights is None else sd / np.sqrt(response.weights)
        # y - white has the mean; the residual that is left has the standard deviation s_i / T_ii.
        scale = np.exp(-volume)
        return y - white * scale, sd * scale

    def _row_sds(self, part: ResidualParts, draws: Mapping[str, Floats], etas: Mapping[str, Floats]) -> Any:
        sd = self.values(draws, etas)[part.sd].value if part.sd in etas else None
        return row_sds(sd, self.problem.response.weights, NUMPY)

    def _data(self, response: Response | None) -> ResponseData:
        chosen = response or self.problem.response
        return ResponseData(trials=chosen.trials, weights=chosen.weights)

    def _inputs(
        self, draws: Mapping[str, Floats], etas: Mapping[str, Floats], response: Response | None
    ) -> list[Any]:
        data = self._data(response)
        dispersions = [np.asarray(draws[name])[:, None] for name in self.problem.dispersions]
        likelihood, covariates = self.problem.likelihood, (response or self.problem.response).covariates
        rows = [getattr(data, name) for name in likelihood.data_names]
        rows += [covariates[name] for name in likelihood.columns]
        return [*(etas[part.names.parameter] for part in self.problem.predictors), *dispersions, *rows]

    def _symbols(self) -> list[Any]:
        """Return placeholders: predictors (S, n), dispersions (S, 1) or (S, 1, m), rows (n,)."""
        likelihood = self.problem.likelihood
        ordered = {parameter.name for parameter in self.problem.family.parameters if parameter.ordered}
        shapes: list[Sequence[int | None]] = [(None, None) for _ in self.problem.predictors]
        shapes += [(None, 1, None) if name in ordered else (None, 1) for name in self.problem.dispersions]
        shapes += [(None,) for _ in (*likelihood.data_names, *likelihood.columns)]
        return [pt.TensorType("float64", shape)() for shape in shapes]

    @cached_property
    def _simulator(self) -> tuple[Any, list[Any]]:
        symbols = self._symbols()
        variable = self.problem.likelihood.dist(symbols)
        function = interpreted(symbols, variable)
        generators = [
            shared for shared in function.get_shared() if isinstance(shared.get_value(), np.random.Generator)
        ]
        return function, generators

    @cached_property
    def _logp(self) -> Any:
        symbols = self._symbols()
        extras = response_extras(self.problem.response, self.problem.family)
        rows = [pt.TensorType("float64", (None,))() for _ in extras]
        value = pt.TensorType("int64" if self.problem.family.discrete else "float64", (None,))()
        logp = extended_logp(self.problem.likelihood, tuple(extras), value, [*symbols, *rows])
        return interpreted([value, *symbols, *rows], logp)

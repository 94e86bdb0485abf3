"""How much the priors decide: power scaling of prior and likelihood (Kallioinen et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError
from bayesglmm.families.base import ResponseData
from bayesglmm.results.draws import pieces, stacked, take
from bayesglmm.results.tables import Parameter

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.declare import Declared
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.names import BlockNames
    from bayesglmm.graph.problem import Problem

THRESHOLD = 0.05  # of the paper: that of a mean shifted by about a third of a standard deviation per doubling
_ALPHAS = (0.99, 1.01)
CONFLICT = "prior and data disagree"
STRONG = "strong prior or weak data"


def prior_sensitivity(evaluator: Evaluator, posterior: xr.Dataset, parameters: Sequence[Parameter]) -> pd.DataFrame:
    """Return power-scaling sensitivities of population-level parameters; see `Fit.prior_sensitivity`.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset
    parameters : sequence of Parameter
    """
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    draws = stacked(posterior)
    parts = {"prior": log_prior(evaluator.problem, draws), "likelihood": _log_likelihood(evaluator, draws)}
    found = {name: _sensitivities(values.reshape(shape), parameters) for name, values in parts.items()}
    frame = pd.DataFrame(found, index=pd.Index([p.label for p in parameters], name="parameter"))
    frame["diagnosis"] = [_word(*pair) for pair in zip(found["prior"], found["likelihood"], strict=True)]
    return frame


def _word(prior: float, likelihood: float) -> str:
    if not prior >= THRESHOLD:
        return ""
    return CONFLICT if likelihood >= THRESHOLD else STRONG


def _sensitivities(logs: Floats, parameters: Sequence[Parameter]) -> list[float]:
    """Return of every parameter how far scaling moves its posterior, per doubling of the power."""
    arrays = import_module("arviz_stats.base").array_stats
    if np.ptp(logs) <= 1e-10 * max(1.0, float(np.abs(logs).max())):
        return [0.0] * len(parameters)  # nothing to scale: flat priors
    weights = []
    for alpha in _ALPHAS:
        raw = np.exp(arrays.power_scale_lw(logs, alpha=alpha, axis=[-2, -1]))
        weights.append(raw / raw.sum())
    return [
        float(arrays.power_scale_sense(np.asarray(p.values, dtype=float), *weights, *_ALPHAS))
        if np.ptp(p.values) > 0.0
        else np.nan
        for p in parameters
    ]


def _log_likelihood(evaluator: Evaluator, draws: Mapping[str, Floats]) -> Floats:
    """Return the log-likelihood of all rows together, shape (S,); rows are never stored."""
    size, arrays = len(next(iter(draws.values()))), evaluator.arrays()
    found = np.empty(size)
    for part in pieces(size, len(evaluator.problem.response.y)):
        own = take(draws, part)
        etas = evaluator.predictors(own, arrays)
        plain = _plain(evaluator.problem, own, etas)
        found[part] = evaluator.log_likelihood(own, etas).sum(axis=1) if plain is None else plain
    return found


def _plain(problem: Problem, draws: Mapping[str, Floats], etas: Mapping[str, Floats]) -> Floats | None:
    """Return the same by the family's own numpy, which is many times as fast; None where it does not say all."""
    response, family, name = problem.response, problem.family, problem.predictors[0].names.parameter
    special = (response.censoring, response.lower, response.upper, problem.residual, problem.likelihood.expression)
    if len(problem.predictors) > 1 or any(each is not None for each in special):
        return None
    y, data = np.asarray(response.y, dtype=float), ResponseData(trials=response.trials, weights=response.weights)
    shares = 1.0 if response.likelihood_weights is None else response.likelihood_weights
    found = np.empty(len(etas[name]))
    for s, eta in enumerate(etas[name]):
        phi = {dispersion: draws[dispersion][s] for dispersion in problem.dispersions}
        own = family.derivatives(y, eta, phi, data, problem.links[name], 0)
        if own is None or own.value is None:
            return None
        found[s] = float(np.sum(own.value * shares))
    return found


def log_prior(problem: Problem, draws: Mapping[str, Floats]) -> Floats:
    """Return the log density of the priors that a user can set, on the users' scales, shape (S,).

    Those of population coefficients, standard deviations, correlations, structures and dispersions, from the graph.
    The distribution of group effects is part of the model: it is scaled neither as prior nor as likelihood.

    Parameters
    ----------
    problem : Problem
    draws : mapping of str to ndarray, shape (S, ...)
    """
    import pytensor.tensor as pt
    from pymc.logprob.basic import conditional_logp
    from pytensor.graph.replace import vectorize_graph

    from bayesglmm.graph.compiler import SMALL, interpreted

    values = dict(_free_values(problem, draws))
    total = np.zeros(len(next(iter(draws.values()))))
    for name, (matrices, eta) in _correlations(problem, draws).items():
        total += (eta - 1.0) * np.linalg.slogdet(matrices)[1]  # LKJ on the correlations themselves
        values.pop(name, None)
    missing = [v.name for v in problem.model.free_RVs if problem.roles[v.name] in ("fixed", "theta")]
    missing = [name for name in missing if name not in values and name not in _correlations(problem, draws)]
    if missing:
        raise BayesglmmError(f"The priors of {', '.join(missing)} cannot be scaled: there are no draws of them.")
    if not values:
        return total
    model = problem.model
    symbols = {name: model[name].type() for name in values}
    logps = conditional_logp({model[name]: symbol for name, symbol in symbols.items()}).values()
    ones = [pt.sum(each) for each in logps]
    batch = {symbol: pt.TensorType(symbol.dtype, (None, *symbol.type.shape))() for symbol in symbols.values()}
    function = interpreted(list(batch.values()), vectorize_graph(ones, batch), SMALL)
    for value in function(*(np.asarray(values[name], dtype=float) for name in symbols)):
        total += np.asarray(value)
    return total


def _free_values(problem: Problem, draws: Mapping[str, Floats]) -> Iterator[tuple[str, Floats]]:
    """Yield the free variables of the graph on their natural scales, from draws as users read them."""
    for part in problem.predictors:
        if part.beta is not None and part.beta.is_free:
            yield part.names.beta, draws[part.names.beta][:, part.beta.free]
    for names, parameters in _structures(problem):
        for what, declared in parameters.items():
            if declared.kind != "correlation" and declared.is_free:
                yield declared.name, draws[names.variable(what)][:, declared.free]
    for name, declared in problem.dispersions.items():
        if declared.is_free:
            yield name, _dispersion(problem, name, draws)
    for hyper in problem.hyperpriors:
        if hyper.name in draws:
            yield hyper.name, draws[hyper.name]


def _structures(problem: Problem) -> Iterator[tuple[BlockNames, Mapping[str, Declared]]]:
    for part in problem.blocks:
        yield part.names, part.parameters
    if problem.residual is not None:
        yield problem.residual.names, problem.residual.parameters


def _dispersion(problem: Problem, name: str, draws: Mapping[str, Floats]) -> Floats:
    """Return a dispersion as the graph has it: cutpoints for centred columns."""
    values, main = draws[name], problem.predictors[0]
    if values.ndim == 1 or problem.cutpoint_shift is None or main.beta is None:
        return values
    return np.asarray(values - (draws[main.names.beta] @ problem.cutpoint_shift)[:, None])


def _correlations(problem: Problem, draws: Mapping[str, Floats]) -> dict[str, tuple[Floats, float]]:
    """Return draws of correlation matrices and the parameter of their prior, by the name of the graph's variable."""
    found = {}
    slots: list[Mapping[str, Any]] = [
        classes for part in problem.predictors for classes in problem.priors.blocks[part.names.parameter]
    ]
    if problem.residual is not None:
        slots.append(problem.priors.residual)
    for (names, parameters), classes in zip(_structures(problem), slots, strict=True):
        for what, declared in parameters.items():
            if declared.kind == "correlation":
                eta = float(classes[what][0].prior.parameters["eta"])
                found[declared.name] = draws[names.variable(what)], eta
    return found

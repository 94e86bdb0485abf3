"""Shares of variance on the scale of the linear predictor (Nakagawa, Johnson and Schielzeth 2017)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats, Response
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.draws import seeded, stacked, summarise
from bayesglmm.results.levels import TYPICAL, choices, level_factor, level_values, place

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import BlockParts, Problem

# Variance of the latent variable that a probability link stands for.
LATENT = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0, "loglog": np.pi**2 / 6.0}
RESIDUAL = "Residual"
_REPLICATES = 1000


def shares(evaluator: Evaluator, posterior: xr.Dataset, prob: float) -> pd.DataFrame:
    """Return which share of the variance around the population effects each grouping factor has.

    Parameters
    ----------
    evaluator : Evaluator
    posterior : xarray.Dataset
    prob : float

    Returns
    -------
    DataFrame
        Columns: group, variance (posterior mean), then mean, sd, lower, upper of the share; see `Fit.icc`. Draws
        whose residual variance is infinite (student_t with nu <= 2) have the limit as shares: all is residual.

    Raises
    ------
    BayesglmmError
        Where there is no such scale: expressions of parameters.
    """
    problem = evaluator.problem
    require_linear(problem)
    main = problem.family.main_predictors(problem.response)
    draws = stacked(posterior)
    frames = [_shares_of(evaluator, draws, prob, at) for at in range(len(main))]
    if len(main) == 1:
        return frames[0]
    for name, own in zip(main, frames, strict=True):
        own.insert(0, "predictor", name)
    frame = pd.concat(frames, ignore_index=True)
    frame.attrs["note"] = frames[0].attrs["note"]
    return frame


def require_linear(problem: Problem) -> None:
    """Raise where group effects do not add a variance to one linear predictor of the response."""
    if problem.likelihood.expression is not None:
        raise BayesglmmError(
            "Shares of variance need a linear predictor, to which every grouping factor adds a variance of its own; "
            "here it is an expression of parameters. fit.varcorr() has the standard deviations of each parameter."
        )


def _shares_of(evaluator: Evaluator, draws: Mapping[str, Floats], prob: float, at: int) -> pd.DataFrame:
    """Return the shares on the scale of one of the main predictors."""
    variances = group_variances(evaluator, draws, at)
    residual, note = residual_variance(evaluator, draws, sum(variances.values()))
    variances[RESIDUAL] = np.broadcast_to(residual, (len(next(iter(draws.values()))),))
    values = np.stack(list(variances.values()), axis=-1)
    frame = pd.DataFrame({"group": list(variances), "variance": values.mean(axis=0)})
    endless = np.isinf(values[:, -1])
    if endless.any():
        values[endless] = np.eye(values.shape[1])[-1]
        note += f" It is infinite in {endless.mean():.2g} of the draws; there the residual is all of the variance."
    frame = frame.join(pd.DataFrame(summarise(values / values.sum(axis=-1, keepdims=True), prob)))
    frame.attrs["note"] = note
    return frame


def inherited_shares(evaluator: Evaluator, posterior: xr.Dataset, prob: float) -> pd.DataFrame:
    """Return the rows of `shares` for terms whose levels are related as a matrix says; see `Fit.heritability`.

    Raises
    ------
    BayesglmmError
        If there are none.
    """
    blocks = evaluator.problem.predictors[0].blocks
    names = {_name(part, blocks) for part in blocks if part.covariance.inherited}
    if not names:
        raise BayesglmmError(
            "Heritability needs a term with a known covariance between levels, (1 | gr(id, cov=K)); fit.icc() has "
            "the shares of the variance of other grouping factors."
        )
    frame = shares(evaluator, posterior, prob)
    found = frame[frame["group"].isin(names)].reset_index(drop=True)
    found.attrs = dict(frame.attrs)
    return found


def _name(part: BlockParts, blocks: Sequence[BlockParts]) -> str:
    """Return the name of a block's row: its factor, or its label where another block shares the factor alone."""
    own = part.block
    plain = any(each.block.group == own.group and not each.covariance.inherited for each in blocks)
    return own.label if part.covariance.inherited and plain else own.group


def group_variances(evaluator: Evaluator, draws: Mapping[str, Floats], at: int = 0) -> dict[str, Any]:
    """Return per grouping factor the variance that it adds to a main predictor, averaged over the rows, shape (S,).

    The mean over rows of z' Sigma z is the sum of Sigma * (Z'Z / n), so random slopes need no loop over rows.
    """
    found: dict[str, Any] = {}
    blocks = evaluator.problem.predictors[at].blocks
    for part in blocks:
        block = part.block
        if block.kind == "group":
            name = _name(part, blocks)
            found[name] = found.get(name, 0.0) + _added(part, draws)
    return found


def _added(part: BlockParts, draws: Mapping[str, Floats]) -> Any:
    block, k = part.block, len(part.block.terms)
    if block.column is not None and block.shares is None:  # each row has one of many coefficients
        share = np.bincount(block.column, minlength=k) / len(block.X)
        return part.covariance.variances(level_values(part, draws), k) @ share
    factor = level_factor(part, draws)
    return np.einsum("sir,sjr,ij->s", factor, factor, block.moment)


def residual_variance(evaluator: Evaluator, draws: Mapping[str, Floats], group_variance: Any) -> tuple[Any, str]:
    """Return the variance within groups on the scale of the linear predictor, and a sentence about it."""
    problem = evaluator.problem
    family, link = problem.family, problem.links[problem.predictors[0].names.parameter]
    ordered = {parameter.name for parameter in family.parameters if parameter.ordered}
    if family.response == "nominal":
        # Two Gumbel variables, the utilities of a category and of the reference, differ by a logistic one.
        latent = LATENT["logit"]
        return latent, f"Residual: the latent variance of a category against the reference, {latent:.4g}."
    if family.response in ("binary", "binomial", "ordinal") and set(problem.dispersions) <= ordered:
        if link.name in LATENT:
            latent = LATENT[link.name]
            return latent, f"Residual: the latent variance of the {link.name} link, {latent:.4g}."
        if family.response == "ordinal":
            raise BayesglmmError(
                f"The {link.name} link has no latent variance, so ordered categories have no shares of it. Links "
                f"that have one: {', '.join(LATENT)}."
            )
    found = family.residual_variance(_natural(evaluator, draws)) if link.name == "identity" else None
    if found is not None:
        weights = problem.response.weights
        inflation = 1.0 if weights is None else float(np.mean(1.0 / weights))
        return np.mean(found[0], axis=1) * inflation, f"Residual: {found[1]}."
    return _simulated(evaluator, draws, group_variance), (
        "Residual: the variance of the response at its mean, brought to the scale of the linear predictor by "
        + ("log(1 + variance / mean^2)." if link.name == "log" else "the slope of the link there.")
    )


def _natural(evaluator: Evaluator, draws: Mapping[str, Floats]) -> dict[str, Any]:
    """Return every parameter beside the main one on its natural scale, shape (S, 1), or (S, n) with a formula."""
    problem = evaluator.problem
    found = {name: np.asarray(draws[name])[:, None] for name in problem.dispersions}
    if len(problem.predictors) > 1:
        etas = evaluator.predictors(draws, evaluator.arrays())
        names = [part.names.parameter for part in problem.predictors[1:]]
        found |= {name: problem.links[name].inverse(etas[name], NUMPY) for name in names}
    return found


def _simulated(evaluator: Evaluator, draws: Mapping[str, Floats], group_variance: Any) -> Any:
    """Return the observation-level variance at the mean of the response, shape (S,).

    The variance function of the family is not asked for: responses are simulated at one predictor value per draw,
    so it holds for every family, users' own included. Its Monte Carlo error of 4 percent per draw is far below the
    posterior spread of the shares. The seed is fixed: the same fit gives the same table.
    """
    problem = evaluator.problem
    predictors = {part.names.parameter: part.predictor for part in problem.predictors}
    rng = seeded(0)
    effects = place(problem, draws, predictors, choices(problem, TYPICAL), rng)
    etas = evaluator.predictors(effects.draws, evaluator.arrays(effects.predictors))
    main = problem.predictors[0].names.parameter
    link = problem.links[main]
    centres = {name: eta.mean(axis=1) for name, eta in etas.items()}
    if link.name == "log":
        centres[main] = np.log(np.mean(np.exp(etas[main]), axis=1)) + 0.5 * group_variance
    n = len(problem.response.y)
    response = _rows(problem.response, (np.arange(_REPLICATES) * n) // _REPLICATES)
    if response.trials is not None and not problem.dispersions and len(problem.predictors) == 1:
        response = replace(response, trials=np.ones(_REPLICATES))  # independent trials, each with a variance
    flat = {name: np.broadcast_to(eta[:, None], (len(eta), _REPLICATES)) for name, eta in centres.items()}
    y = evaluator.simulate(draws, flat, rng, response).astype(float)
    y = y if response.trials is None else y / np.maximum(response.trials, 1.0)
    mean = np.asarray(evaluator.mean(draws, flat, response)).mean(axis=1)
    variance = np.mean(np.square(y - mean[:, None]), axis=1)
    if link.name == "log":
        return np.log1p(variance / np.square(mean))
    eta, step = centres[main], 1e-4
    slope = (link.inverse(eta + step, NUMPY) - link.inverse(eta - step, NUMPY)) / (2.0 * step)
    return variance / np.square(slope)


def _rows(response: Response, at: Any) -> Response:
    def pick(values: Any) -> Any:
        return None if values is None else values[at]

    return Response(response.name, response.y[at], pick(response.trials), response.categories, pick(response.weights))

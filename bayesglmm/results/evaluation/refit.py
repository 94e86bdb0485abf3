"""Fitting again without some rows, and the predictive density of these: what cross-validation is made of.

A row is left out by a likelihood weight of zero. All else stays as it was: levels, contrasts, bases, default priors
and where they are centred, so that models with and without a row differ in that row alone; and nothing is compiled
again from one fold to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special
from scipy.stats import qmc

from bayesglmm.blocks import Floats, Ints
from bayesglmm.parallel import alone, parallel_map
from bayesglmm.results.evaluation.redrawn import sample
from bayesglmm.results.evaluation.rows import block_at, log_mean_exp, rows_at
from bayesglmm.results.levels import level_factor
from bayesglmm.results.schema import Meta, assemble

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import BlockParts, Problem

_SHARPENED = 1000  # draws of an approximation
_POINTS = 16  # of a new level per draw: a power of two, for the balance of Sobol's points


@dataclass(frozen=True, eq=False)
class Recipe:
    """What is fitted again, and how.

    Attributes
    ----------
    parts : tuple
        The arguments of `bayesglmm.graph.build.build`.
    engine : str
    settings : mapping
        Of the engine.
    formulas : tuple of str
    """

    parts: tuple[Any, ...]
    engine: str
    settings: Mapping[str, Any]
    formulas: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictive densities of rows that a fit has not seen.

    Attributes
    ----------
    rows : ndarray of int, shape (m,)
    elpd : ndarray, shape (m,)
        Log predictive density.
    mcse : ndarray, shape (m,)
        Its Monte Carlo error, as if draws were independent.
    verdict : str
        Of the fit.
    """

    rows: Ints
    elpd: Floats
    mcse: Floats
    verdict: str


def recipe(problem: Problem, formulas: Sequence[str], engine: str, settings: Mapping[str, Any]) -> Recipe:
    """Return what is needed to fit a problem again without some of its rows."""
    from bayesglmm.graph.build import ingredients

    return Recipe(ingredients(problem), engine, dict(settings), tuple(formulas))


def refit(how: Recipe, folds: Sequence[Ints], seed: int, workers: int | None) -> list[HeldOut]:
    """Fit without each fold and return the predictive densities of its rows.

    Parameters
    ----------
    how : Recipe
    folds : sequence of ndarray of int
        Positions of the rows that are left out together.
    seed : int
        Every fold has its own stream: the number of workers changes no number.
    workers : int or None
        Fits at once; None for what ``joblib.parallel_config`` says, one by default.
    """
    seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(len(folds))]
    return list(parallel_map(_Refit(how), list(zip(folds, seeds, strict=True)), n_jobs=workers))


@dataclass(eq=False)
class _Refit:
    """Fits without some rows; what was compiled for one fold serves the next."""

    how: Recipe
    shared: dict[str, Any] = field(default_factory=dict)

    def __call__(self, fold: tuple[Ints, int]) -> HeldOut:
        # Every fold builds and compiles, so threads of one process take turns.
        with alone():
            return _refit(self.how, *fold, self.shared)


def _refit(how: Recipe, rows: Ints, seed: int, shared: dict[str, Any]) -> HeldOut:
    from bayesglmm.engines import ENGINES
    from bayesglmm.engines.threads import suitable_threads
    from bayesglmm.graph.build import build
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.results.fit import Fit

    family, links, response, *others = how.parts
    given = response.likelihood_weights
    whole = replace(response, likelihood_weights=np.ones(len(response.y)) if given is None else given)
    weights = np.array(whole.likelihood_weights, dtype=float)
    weights[rows] = 0.0
    problem = replace(build(family, links, replace(whole, likelihood_weights=weights), *others), shared=shared)
    engine = ENGINES.get(how.engine)
    settings = engine.configure(**how.settings)
    with suitable_threads(problem):
        run = engine.run(problem, settings, seed)
    meta = Meta(how.formulas, engine.name, settings.as_dict(), seed)
    fit = Fit.from_tree(assemble(problem, run, meta), problem)
    drawn = sample(problem, fit.draws, fit.data.attrs, _SHARPENED, seed)
    evaluator = Evaluator(replace(problem, response=whole, workspace={}, shared={}))
    densities = held_out_densities(evaluator, drawn.draws, rows, np.flatnonzero(weights > 0.0), seed)
    elpd = log_mean_exp(densities)
    ratios = np.exp(densities - elpd)
    return HeldOut(rows, elpd, ratios.std(axis=0, ddof=1) / np.sqrt(len(ratios)), fit.verdict.word)


def held_out_densities(
    evaluator: Evaluator, draws: Mapping[str, Floats], rows: Ints, kept: Ints, seed: int
) -> Floats:
    """Return log p(y_i | draw s) of rows that were held out, shape (S, m), with levels not seen integrated out.

    A level without a row among `kept` is a new one: its effects come from their distribution given the draw. They are
    integrated by Sobol points, shifted by a random number per draw, which keeps the mean over draws unbiased however
    narrow the likelihood is (a plain draw per draw wastes most of them). Levels that depend on others (areal effects,
    kinship) keep the draws that the fit has of them, which are conditional on their neighbours.

    Parameters
    ----------
    evaluator : Evaluator
    draws : mapping of str to ndarray, shape (S, ...)
    rows, kept : ndarray of int
        Positions of the rows held out, and of those that the fit has seen.
    seed : int
    """
    problem, predictors, variances = evaluator.problem, {}, dict[str, Any]()
    for part in problem.predictors:
        name = part.names.parameter
        predictors[name] = rows_at(part.predictor, rows)
        for position, own in enumerate(part.blocks):
            fresh = _fresh(own, rows, kept)
            if not fresh.any():
                continue
            block = predictors[name].random[position]
            X = np.where(fresh[:, None], block.X, 0.0)
            variance = np.square(np.einsum("mi,sij->smj", X, level_factor(own, draws))).sum(axis=-1)
            variances[name] = variances.get(name, 0.0) + variance
            emptied = replace(block, X=np.where(fresh[:, None], 0.0, block.X), column=None)
            random = list(predictors[name].random)
            random[position] = emptied
            predictors[name] = replace(predictors[name], random=tuple(random))
    etas = evaluator.predictors(draws, evaluator.arrays(predictors))
    if not variances:
        return evaluator.log_likelihood(draws, etas, rows)
    return _integrated(evaluator, draws, etas, rows, variances, seed)


def _integrated(
    evaluator: Evaluator,
    draws: Mapping[str, Floats],
    etas: Mapping[str, Floats],
    rows: Ints,
    variances: Mapping[str, Floats],
    seed: int,
) -> Floats:
    size, d = len(next(iter(draws.values()))), len(variances)
    spreads = {name: np.sqrt(variance) for name, variance in variances.items()}
    shifts = np.random.default_rng(seed).random((size, d))
    total = np.full((size, len(rows)), -np.inf)
    for point in qmc.Sobol(d, scramble=False).random(_POINTS):
        places = (point + shifts) % 1.0
        z = special.ndtri(np.clip(places, 1e-12, 1.0 - 1e-12))
        moved = dict(etas)
        for j, (name, spread) in enumerate(spreads.items()):
            moved[name] = etas[name] + spread * z[:, [j]]
        total = np.logaddexp(total, evaluator.log_likelihood(draws, moved, rows))
    return np.asarray(total - np.log(_POINTS))


def _fresh(part: BlockParts, rows: Ints, kept: Ints) -> Any:
    """Return which of the rows have a level of this block that no row kept has, shape (m,)."""
    block = part.block
    alone = block.kind == "group" and block.index.ndim == 1 and not part.covariance.new_levels
    if not alone:
        return np.zeros(len(rows), dtype=bool)
    return ~np.isin(block_at(block, rows).index, block.index[kept])

"""Coefficients of one group and of the population: conditional odds ratios with the marginal ones beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError, SettingsError
from bayesglmm.results.draws import interval, pieces, summarise
from bayesglmm.results.levels import AVERAGE
from bayesglmm.results.predict import Question, prepare
from bayesglmm.results.prediction_values import integration, rows_of
from bayesglmm.results.printed import AnswerTable
from bayesglmm.results.scales import scale_words
from bayesglmm.results.schema import ESTIMATES
from bayesglmm.results.tables import prefix_of

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import PredictorParts
    from bayesglmm.results.fit import Fit

_PARTS = ("", "lower", "upper")


def odds_ratios(fit: Fit, prob: float, exponentiate: bool, draws: int | None) -> AnswerTable:
    """Return conditional and marginal coefficients; see `Fit.odds_ratios`."""
    interval(prob)
    part = _main(fit)
    words = scale_words(fit.problem, part.names.parameter)
    if exponentiate and words.ratio is None:
        raise SettingsError(
            f"exp of a coefficient is no ratio of anything here: the linear predictor is {words.plain}. "
            "odds_ratios(exponentiate=False) gives the coefficients."
        )
    own = _own_columns(part)
    conditional, marginal = (values[:, own] for values in coefficients(fit, part, fit.draws, draws))
    estimated = ESTIMATES in fit.data.children
    point = [values[:, own] for values in coefficients(fit, part, fit.point, None)] if estimated else None
    columns: dict[str, Any] = {}
    for j, (kind, values) in enumerate((("conditional", conditional), ("marginal", marginal))):
        table = summarise(np.exp(values) if exponentiate else values, prob)
        # The median of a ratio is the ratio of the median: what one calls "the" odds ratio.
        centre = np.median(values, axis=0) if point is None else point[j][0]
        shown = {"": np.exp(centre) if exponentiate else centre} | {end: table[end] for end in _PARTS[1:]}
        columns |= {f"{kind}_{end}".rstrip("_"): shown[end] for end in _PARTS}
    names = np.array(part.predictor.columns, dtype=object)[own]
    frame = AnswerTable(columns, index=pd.Index(names, name="column", dtype=object))
    what = words.ratio if exponentiate else f"coefficient ({words.plain})"
    frame.attrs |= {
        "note": f"{str(what).capitalize()}, {'estimates' if estimated else 'posterior medians'} with "
        f"{100 * prob:g}% intervals. {_explained(fit, part)}",
        "question": "odds ratios",
        "values": list(columns),
        "ratio": words.ratio,
        "prob": prob,
        "draws": len(conditional),
    }
    return frame


def _own_columns(part: PredictorParts) -> list[int]:
    """Return which columns have a coefficient that means something alone: one of a smooth is part of a curve."""
    own = [j for j, name in enumerate(part.predictor.columns) if name not in part.predictor.smooth_columns]
    if not own:
        raise BayesglmmError(
            "All population coefficients are parts of smooths, which have no odds ratio of their own. "
            'fit.comparisons("x", kind="odds ratio") compares values of a covariate.'
        )
    return own


def _explained(fit: Fit, part: PredictorParts) -> str:
    """Say what the two kinds of columns are, and what is left out."""
    if any(block.block.kind == "group" for block in fit.problem.blocks):
        said = (
            "Conditional: within one group, its effects held. Marginal: for the population, averaged over the "
            "distribution of groups (population-averaged)."
        )
    else:
        said = (
            "The model has no groups: conditional and marginal are the same. Averages over covariates are in "
            "fit.comparisons()."
        )
    smooths = dict.fromkeys(part.predictor.smooth_columns.values())
    left_out = f" Without {', '.join(smooths)}: a curve has no single ratio." if smooths else ""
    zeros = [own.name for own in fit.problem.family.parameters if own.name in ("zi", "hu")]
    apart = f" Of {part.names.parameter} alone, apart from {zeros[0]}: fit.comparisons() has both." if zeros else ""
    return said + left_out + apart


def _main(fit: Fit) -> PredictorParts:
    problem = fit.problem
    main = problem.family.main_predictors(problem.response)
    nonlinear = problem.likelihood.expression is not None
    if len(main) > 1 or nonlinear or problem.family.response == "ordinal":
        raise BayesglmmError(
            "odds_ratios needs one linear predictor whose inverse link is a mean. For categories and nonlinear "
            'predictors use fit.comparisons(variable, kind="odds ratio", groups="average").'
        )
    part = next(part for part in problem.predictors if part.names.parameter == main[0])
    if part.beta is None:
        raise BayesglmmError("The model has no population coefficients.")
    assert not prefix_of(problem, part)
    return part


def coefficients(fit: Fit, part: PredictorParts, posterior: xr.Dataset, draws: int | None) -> tuple[Floats, Floats]:
    """Return conditional and marginal coefficients, each of shape (S, p).

    Within each draw the main parameter is integrated over the distribution of groups at every row of the data, taken
    back to the link scale, and regressed on the columns of the model: least squares that the marginal model solves
    (Hedeker, du Toit, Demirtas and Gibbons 2018). Each smooth has a column of its own there, its curve.

    Parameters
    ----------
    fit : Fit
    part : PredictorParts
        The main predictor.
    posterior : xarray.Dataset
    draws : int or None
    """
    question = Question(AVERAGE, "response", seed=0, draws=draws)
    prepared = prepare(fit._evaluator, posterior, fit.design, None, question)
    name, link = part.names.parameter, fit.problem.links[part.names.parameter]
    beta = prepared.effects.draws[part.names.beta]
    X, n = part.predictor.X, part.predictor.n
    offset = 0.0 if part.predictor.offset is None else part.predictor.offset
    eta, marginal = np.empty((len(beta), n)), np.empty((len(beta), n))
    for rows in pieces(n, prepared.cost):
        own = {key: rows_of(predictor, rows) for key, predictor in prepared.effects.predictors.items()}
        etas = fit._evaluator.predictors(prepared.effects.draws, fit._evaluator.arrays(own))
        mean: Any = 0.0
        for shifted, weight in integration(prepared.effects, etas, rows):
            mean = mean + weight * np.asarray(link.inverse(shifted[name], NUMPY))
        eta[:, rows], marginal[:, rows] = etas[name], np.asarray(link.link(mean, NUMPY))
    target, rest = marginal - offset, eta - offset - beta @ X.T  # what of eta is neither columns nor offset: smooths
    if np.allclose(rest, 0.0, atol=1e-9):
        return beta, np.asarray(target @ np.linalg.pinv(X).T)
    found = np.empty_like(beta)
    for s in range(len(beta)):
        found[s] = np.linalg.lstsq(np.column_stack([X, rest[s]]), target[s], rcond=None)[0][: X.shape[1]]
    return beta, found

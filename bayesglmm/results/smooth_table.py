"""The table of smooths: how large, how flexible, and in words whether a curve is flat, straight or bent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse.linalg import splu

from bayesglmm.blocks import Floats, Ints, RandomBlock
from bayesglmm.graph.predictor import level_columns
from bayesglmm.results.draws import interval, stacked
from bayesglmm.results.levels import level_factor
from bayesglmm.results.smooths import FittedSmooth, contribution, fitted_smooths
from bayesglmm.results.tables import prefix_of

if TYPE_CHECKING:
    from bayesglmm.graph.problem import PredictorParts
    from bayesglmm.results.fit import Fit

_POINTS = 200  # rows at which curves are looked at for their reading in words
_DRAWS = 1000


def smooth_table(fit: Fit, prob: float) -> pd.DataFrame:
    """Return one row per standard deviation of every smooth; see `Fit.smooths`.

    Parameters
    ----------
    fit : Fit
    prob : float
        Of intervals, and of the simultaneous bands behind the reading.
    """
    interval(prob)
    found = fitted_smooths(fit)
    described = fit.summary(prob)
    described = described[described.columns[:4]]
    columns = ["smooth", "part", "edf", "columns", *described.columns, "unit", "reading"]
    if not found:
        return pd.DataFrame(columns=columns)
    free = effective_degrees(fit)
    rows = []
    for smooth in found:
        edf, size = free[smooth.label]
        reading = _reading(fit, smooth, prob)
        for part, label, unit in _deviations(fit, smooth):
            values = described.loc[label] if label in described.index else [np.nan] * 4
            rows.append([smooth.label, part, edf, size, *values, unit, reading])
    return pd.DataFrame(rows, columns=columns)


def _deviations(fit: Fit, found: FittedSmooth) -> list[tuple[str, str, float]]:
    """Return part, label of the summary and unit of each standard deviation; one empty part if unpenalised."""
    part = _predictor(fit, found)
    prefix = prefix_of(fit.problem, part)
    for block in part.blocks:
        if block.block.label != found.smooth.label:
            continue
        (declared,) = (p for p in block.covariance.parameters(block.block) if p.name == "sd")
        if declared.components == (found.smooth.label,):
            return [("", f"{prefix}sd[{block.block.group}]", float(found.smooth.units[0]))]
        units = dict(enumerate(found.smooth.units.tolist()))
        return [
            (name, f"{prefix}sd[{block.block.group}, {name}]", units.get(j, np.nan))
            for j, name in enumerate(declared.components)
        ]
    return [("", "", np.nan)]


def _predictor(fit: Fit, found: FittedSmooth) -> PredictorParts:
    return next(part for part in fit.problem.predictors if part.names.parameter == found.parameter)


# effective degrees of freedom ------------------------------------------------------------------------------------


def effective_degrees(fit: Fit) -> dict[str, tuple[float, int]]:
    """Return effective degrees of freedom and number of columns of every smooth.

    They are the trace of (A'WA + Q)^-1 A'WA over the columns of the smooth, as in Wood (2017, section 6.1.2), with
    the prior precision Q at the posterior means of the standard deviations (or the estimates) and the weights
    W, minus the second derivative of the log-likelihood, at the posterior mean of the linear predictor.

    Parameters
    ----------
    fit : Fit
    """
    point = stacked(fit.point)
    columns, precision, places = _system(fit, point)
    W = _weights(fit, point)
    size = len(precision)
    H: Any = sparse.csc_array((size, size))
    for p, left in enumerate(columns):
        for q, right in enumerate(columns):
            if np.any(W[p, q]):
                H = H + _product(left, W[p, q], right)
    H = sparse.csc_array(H + sparse.diags_array(precision))
    wanted = np.concatenate([np.zeros(0, dtype=np.intp), *places.values()])
    kept = _inverse_diagonal(H, wanted) * precision[wanted]
    shares, start = {}, 0
    for label, positions in places.items():
        shares[label] = float(len(positions) - kept[start : start + len(positions)].sum()), len(positions)
        start += len(positions)
    return shares


def _product(left: Any, weights: Floats, right: Any) -> Any:
    """Return left' diag(weights) right, sparse; densely computed where there are few zeros."""
    if min(left.nnz / np.prod(left.shape), right.nnz / np.prod(right.shape)) > 0.1:
        return sparse.csc_array((left.toarray() * weights[:, None]).T @ right.toarray())
    return left.T @ sparse.diags_array(weights) @ right


def _system(fit: Fit, point: Mapping[str, Floats]) -> tuple[list[Any], Floats, dict[str, Ints]]:
    """Return A of every predictor (sparse), the diagonal of Q, and where the columns of each smooth are."""
    blocks: list[list[Any]] = []
    precision: list[Floats] = []
    places: dict[str, list[Ints]] = {found.label: [] for found in fitted_smooths(fit)}
    start = 0
    for part in fit.problem.predictors:
        prefix, own = prefix_of(fit.problem, part), []
        smooth_of = {column: block.label for block in part.predictor.fixed for column in block.columns}
        free = [] if part.beta is None else [int(j) for j in part.beta.free]
        own.append(sparse.csc_array(part.predictor.X[:, free]))
        slots = fit.problem.priors.coefficients[part.names.parameter]
        precision.append(np.array([0.0 if fit.flat else _precision(slots[j].prior.parameters) for j in free]))
        for position, j in enumerate(free):
            label = f"{prefix}{smooth_of[part.predictor.columns[j]]}"
            if label in places:
                places[label].append(np.array([start + position]))
        start += len(free)
        for block in part.blocks:
            own.append(sparse.csc_array(level_columns(block.block, level_factor(block, point)[0])))
            width = own[-1].shape[1]
            precision.append(np.ones(width))
            label = f"{prefix}{block.block.label}"
            if label in places:
                places[label].append(np.arange(start, start + width))
            start += width
        blocks.append(own)
    total, A, offset = start, [], 0
    for own in blocks:
        width = sum(each.shape[1] for each in own)
        n = own[0].shape[0]
        pads = [sparse.csc_array((n, offset)), *own, sparse.csc_array((n, total - offset - width))]
        A.append(sparse.hstack(pads, format="csc"))
        offset += width
    return A, np.concatenate(precision), {k: np.concatenate([np.zeros(0, int), *v]) for k, v in places.items()}


def _precision(parameters: Mapping[str, float]) -> float:
    return float(parameters["sigma"]) ** -2.0 if "sigma" in parameters else 0.0


def _weights(fit: Fit, point: Mapping[str, Floats]) -> Floats:
    """Return W, shape (P, P, n): minus the second derivatives in the predictors; negative ones of one count as 0."""
    from bayesglmm.graph.elementwise import Elementwise
    from bayesglmm.graph.evaluate import Evaluator

    evaluator = Evaluator(fit.problem)
    etas = evaluator.predictors(point, evaluator.arrays())
    dispersions = {name: point[name][0] for name in fit.problem.dispersions}
    d2 = Elementwise(fit.problem)([np.asarray(eta[0]) for eta in etas.values()], dispersions, 1).d2
    W = -np.asarray(d2)
    return np.maximum(W, 0.0) if len(W) == 1 else W


def _inverse_diagonal(H: Any, wanted: Ints) -> Floats:
    """Return the chosen entries of the diagonal of H^-1."""
    size = H.shape[0]
    if H.nnz > 0.05 * size * size or size < 500:
        dense = H.toarray()
        scale = 1.0 / np.sqrt(np.maximum(np.diag(dense), 1e-300))
        inverse = np.linalg.inv(dense * scale * scale[:, None])
        return np.asarray(np.diag(inverse)[wanted] * scale[wanted] ** 2)
    factor, found = splu(H), np.empty(len(wanted))
    for first in range(0, len(wanted), 200):
        chosen = wanted[first : first + 200]
        units = np.zeros((size, len(chosen)))
        units[chosen, np.arange(len(chosen))] = 1.0
        found[first : first + 200] = factor.solve(units)[chosen, np.arange(len(chosen))]
    return found


# in words --------------------------------------------------------------------------------------------------------


def _reading(fit: Fit, found: FittedSmooth, prob: float) -> str:
    """Say whether nothing, or a straight line, lies within the simultaneous band of the curve."""
    part = _predictor(fit, found)
    if found.smooth.factor is not None:
        return f"one curve for each {found.smooth.factor}" if found.smooth.covariates else "random effects"
    size = fit.draws.sizes["chain"] * fit.draws.sizes["draw"]
    rows = _rows(part.predictor.n)
    draws = min(size, _DRAWS)
    label = found.smooth.label
    random = [_some(block, rows) for block in part.predictor.random if block.label == label]
    fixed = [_some(block, rows) for block in part.predictor.fixed if block.label == label]
    if not fixed and not random:
        return "all of it is in other terms"
    bend = contribution(part, fit.draws, random, draws) if random else None
    trend = contribution(part, fit.draws, fixed, draws) if fixed and random else None
    whole = contribution(part, fit.draws, [*fixed, *random], draws)
    if _compatible_with_zero(whole, prob):
        return "flat: no effect lies within the uncertainty"
    if bend is None or trend is None:
        return "varies"
    if _compatible_with_zero(bend, prob):
        straight = {1: "a straight line", 2: "a plane"}.get(len(found.smooth.covariates), "a linear function")
        return f"linear: {straight} lies within the uncertainty"
    return "curved"


def _rows(n: int) -> Ints:
    """Return rows of the model, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, _POINTS)).astype(np.intp))


def _some(block: Any, rows: Ints) -> Any:
    if isinstance(block, RandomBlock):
        return block.rows(rows)
    return replace(block, X=block.X[rows])


def _compatible_with_zero(values: Floats, prob: float) -> bool:
    """Return whether zero lies in the simultaneous band of curves (draws, points) everywhere.

    The band is mean +- c sd with c the quantile of the largest standardised deviation of a draw (Ruppert, Wand and
    Carroll 2003, section 6.5).
    """
    mean, sd = values.mean(axis=0), values.std(axis=0)
    seen = sd > 1e-12 * max(float(np.max(np.abs(values), initial=0.0)), 1e-300)
    if not seen.any():
        return not np.any(np.abs(mean) > 0.0)
    deviation = np.abs(values[:, seen] - mean[seen]) / sd[seen]
    reach = np.quantile(deviation.max(axis=1), prob)
    return bool(np.all(np.abs(mean[seen]) <= reach * sd[seen]))

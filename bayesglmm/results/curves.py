"""Curves draw by draw: one smooth alone, whole predictions along a covariate, and bands around either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import FixedBlock, Floats, RandomBlock
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.graph.evaluate import Evaluator
from bayesglmm.results.covariates import members, typical_row, used_rows
from bayesglmm.results.draws import interval, stacked
from bayesglmm.results.predict import predicted_draws
from bayesglmm.results.smooths import FittedSmooth, contribution, fitted_smooths

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

STEP = 1e-4  # of the predictor, for the derivative of the mean


@dataclass(frozen=True, eq=False)
class Band:
    """A curve with its intervals; arrays of shape (m,).

    Attributes
    ----------
    mean : ndarray
        Posterior mean.
    lower, upper : ndarray
        Pointwise equal-tailed interval.
    low, high : ndarray
        Simultaneous band: it holds the whole curve with the same probability.
    """

    mean: Floats
    lower: Floats
    upper: Floats
    low: Floats
    high: Floats


def band(
    draws: Floats, prob: float, shown: Floats | None = None, to_shown: Callable[[Floats], Floats] | None = None
) -> Band:
    """Return a curve with pointwise intervals and a simultaneous band.

    The band is ``mean ± c sd``, with c the `prob` quantile over draws of the largest standardised deviation along the
    curve (Ruppert, Wand and Carroll 2003, Semiparametric Regression, section 6.5).

    Parameters
    ----------
    draws : ndarray, shape (S, m)
        On a scale on which they are about normal.
    prob : float
    shown : ndarray, shape (S, m), optional
        The draws on the scale of the figure, if that is another.
    to_shown : callable, optional
        Increasing or decreasing map from the first scale to that of the figure.
    """
    mean, sd = draws.mean(axis=0), draws.std(axis=0, ddof=1)
    moving = sd > 1e-12 * max(1.0, float(np.abs(mean).max()))
    reach = np.abs(draws[:, moving] - mean[moving]) / sd[moving]
    critical = float(np.quantile(reach.max(axis=1), prob)) if moving.any() else 0.0
    ends = np.stack([mean - critical * sd, mean + critical * sd])
    if to_shown is not None:
        ends = np.sort(to_shown(ends), axis=0)
    values = draws if shown is None else shown
    lower, upper = np.quantile(values, interval(prob), axis=0)
    return Band(values.mean(axis=0), lower, upper, ends[0], ends[1])


def grid_of(values: Any, points: int) -> Floats:
    """Return evenly spaced values from the smallest to the largest."""
    numbers = np.asarray(values, dtype=float)
    return np.linspace(numbers.min(), numbers.max(), points)


def along(fit: Fit, x: str, grid: Floats, fixed: Mapping[str, Any]) -> pd.DataFrame:
    """Return rows that differ in one covariate only, with the column types of the data."""
    data = used_rows(fit)
    rows: dict[str, Any] = {}
    for name in map(str, data):
        if name == x:
            rows[name] = grid
        elif isinstance(data[name].dtype, pd.CategoricalDtype):
            rows[name] = pd.Series([fixed[name]] * len(grid), dtype=data[name].dtype)
        else:
            rows[name] = [fixed[name]] * len(grid)
    return pd.DataFrame(rows)


def held_fixed(fit: Fit, x: str, at: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the value of every other column: what the user gives, else the median or the most frequent level.

    Raises
    ------
    UnknownNameError
        If `at` names a column that the model does not have.
    """
    data = used_rows(fit)
    given = dict(at or {})
    for name in given:
        if name not in data:
            raise UnknownNameError(f"at: the model has no column {name!r}. {did_you_mean(str(name), map(str, data))}")
        if name == x:
            raise SettingsError(f"at: {name!r} is the covariate that varies; it cannot be held fixed.")
    assert fit.design is not None  # used_rows has seen to that
    return typical_row(data, {x}, fit.design.roles.factors) | given


def predicted(fit: Fit, rows: Sequence[pd.DataFrame], scale: str) -> list[Floats]:
    """Return the predictions of a typical group for several sets of rows, each of shape (S, m).

    Raises
    ------
    SettingsError
        For responses with categories, whose predictions are several curves each.
    """
    evaluator = Evaluator(fit.problem)
    found = predicted_draws(evaluator, fit.draws, fit.design, pd.concat(rows, ignore_index=True), scale)
    if found.ndim != 2:
        raise SettingsError(
            "A response with several categories has a curve for each: draw the smooths on the scale of the linear "
            'predictor (scale="link", without by= and difference=), and use fit.predict() for probabilities.'
        )
    ends = np.cumsum([len(part) for part in rows])[:-1]
    return np.split(found, ends, axis=1)


def shown_as(fit: Fit, etas: Floats, means: Floats) -> Callable[[Floats], Floats] | None:
    """Return the inverse link if it alone takes the predictor to the expected response, else None."""
    main = fit.problem.family.main_predictors(fit.problem.response)
    link = fit.problem.links[main[0]]

    def inverse(eta: Floats) -> Floats:
        return np.asarray(link.inverse(eta, NUMPY), dtype=float)

    return inverse if np.allclose(inverse(etas), means, rtol=1e-6, atol=1e-12) else None


def beyond_level(fit: Fit, x: str, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return where a curve that belongs to one level of a factor is asked for beyond the data of that level.

    Parameters
    ----------
    fit : Fit
    x : str
        The covariate.
    rows : DataFrame
        As `along` makes them: they differ in `x` only.
    """
    data, values = used_rows(fit), np.asarray(rows[x], dtype=float)
    out = np.zeros(len(rows), dtype=bool)
    for found in fitted_smooths(fit):
        smooth = found.smooth
        if smooth.names != (x,) or not smooth.selectors:
            continue
        same = np.all([np.asarray(data[name] == rows[name].iloc[0]) for name in smooth.selectors], axis=0)
        if smooth.level is not None:
            if not np.any(same & members(fit, found)):
                continue  # the curve of another level
            same = members(fit, found)
        own = np.asarray(data[x], dtype=float)[same]
        out |= (values < own.min(initial=np.inf)) | (values > own.max(initial=-np.inf))
    return out


def level_curves(fit: Fit, found: FittedSmooth, grid: Floats) -> Floats:
    """Return the posterior mean of every level's curve of a smooth of one covariate and a factor, shape (m, J).

    The basis is the same for all levels, and a mean curve is that of the mean coefficients: both are computed once.

    Parameters
    ----------
    fit : Fit
    found : FittedSmooth
        With a `factor`: ``s(x, f, bs="fs")``.
    grid : ndarray, shape (m,)
        Values of the covariate.
    """
    assert fit.design is not None  # fitted_smooths has seen to that
    rows = used_rows(fit).iloc[np.zeros(len(grid), dtype=np.intp)].assign(**{found.smooth.names[0]: grid})
    (block,) = fit.design.curve(found.parameter, found.smooth.label, rows)
    assert isinstance(block, RandomBlock)  # all of its coefficients are random
    part = next(part for part in fit.problem.predictors if part.names.parameter == found.parameter)
    own = next(each for each in part.blocks if each.block.label == block.label)
    means: Floats = np.asarray(fit.point[own.names.b].values[0, 0], dtype=float)
    return np.asarray(block.X @ means.T)


def partial_residuals(fit: Fit, found: FittedSmooth) -> tuple[Floats, Floats]:
    """Return covariate values and partial residuals of the rows of a curve, on the scale of the linear predictor.

    ``f(x_i) + (y_i - mu_i) / (d mu_i / d eta_i)``: the curve plus the working residual, at the posterior mean of the
    parameters. Of a curve that a number z multiplies the residual is divided by z_i, so that it is one of the curve
    per unit of z, and rows with z_i = 0, which say nothing about it, are left out.

    Raises
    ------
    SettingsError
        For a smooth of another parameter than the mean, and for responses with categories.
    """
    problem, smooth = fit.problem, found.smooth
    main = problem.family.main_predictors(problem.response)
    if main != (found.parameter,) or problem.family.response in ("ordinal", "nominal"):
        raise SettingsError(f"{found.label} has no partial residuals: they need one expected value per row.")
    evaluator, point = Evaluator(problem), fit.point
    centre = stacked(point)
    etas = evaluator.predictors(centre, evaluator.arrays())
    name = found.parameter
    mean, above, below = (evaluator.mean(centre, etas | {name: etas[name] + step})[0] for step in (0.0, STEP, -STEP))
    y = np.asarray(problem.response.y, dtype=float)
    if problem.response.trials is not None:
        y = y / np.asarray(problem.response.trials, dtype=float)
    working = (y - mean) / ((above - below) / (2 * STEP))
    part = next(part for part in problem.predictors if part.names.parameter == name)
    every: tuple[FixedBlock | RandomBlock, ...] = (*part.predictor.fixed, *part.predictor.random)
    mine = [block for block in every if block.label == smooth.label]
    added = contribution(part, point, mine)[0] + working
    own = members(fit, found)
    if smooth.multiplier is not None:
        own = own & (smooth.multiplier != 0.0)
        added = np.divide(added, smooth.multiplier, where=own, out=np.zeros_like(added))
    return np.asarray(used_rows(fit)[smooth.names[0]], dtype=float)[own], added[own]

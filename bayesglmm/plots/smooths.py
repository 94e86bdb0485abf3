"""Smooth curves: one term alone, or the expected response along it, with pointwise and simultaneous intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.plots._numerics import check_prob
from bayesglmm.plots._parameters import posterior_of
from bayesglmm.plots._smooth_panels import Curve, Panel, draw
from bayesglmm.results.covariates import label_with_unit, members, used_rows
from bayesglmm.results.curves import along, band, beyond_level, grid_of, held_fixed, level_curves, predicted, shown_as
from bayesglmm.results.curves import partial_residuals as residuals_of
from bayesglmm.results.draws import check_choice
from bayesglmm.results.scales import scale_words
from bayesglmm.results.smooths import FittedSmooth, find_smooths, fitted_smooths, smooth_values

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

SCALES = ("link", "response")
MOST_FIXED = 6  # columns whose fixed values are listed in a caption


def smooth(
    fit: Fit,
    term: str | Sequence[str] | None = None,
    *,
    scale: str = "link",
    by: str | None = None,
    difference: bool = False,
    partial_residuals: bool = False,
    prob: float = 0.95,
    simultaneous: bool | None = None,
    at: Mapping[str, Any] | None = None,
    points: int = 200,
    rug: bool = True,
    columns: int | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw smooth curves of one covariate.

    By default each curve is the term alone, on the scale of the linear predictor: nothing else matters for it. With
    ``scale="response"``, `by` or `difference` it is the prediction along the covariate for a typical group (group
    effects zero), everything else held fixed at values that the caption names. The dark band holds each point of
    the curve with probability `prob`, the light one the whole curve: its width is the posterior standard deviation
    times the quantile of the largest standardised deviation (Ruppert, Wand and Carroll 2003, section 6.5).

    Parameters
    ----------
    fit : Fit
    term : str or sequence of str, optional
        Smooths as in the formula, white space is free, or their covariates: ``"s(age)"``, ``"age"``,
        ``"s(age):sex[male]"``. All smooths of one covariate by default.
    scale : {"link", "response"}
    by : str, optional
        A factor of the model: one curve for each of its levels, in one panel.
    difference : bool
        The level's curves minus that of the first level, main effects included; needs `by`, or a smooth with ``by=``.
    partial_residuals : bool
        Adds the curve plus the working residual of each row; for a term alone on the scale of the linear predictor.
    prob : float
        Posterior probability of the intervals.
    simultaneous : bool, optional
        Whether to draw the band of the whole curve; by default yes, unless more than two curves share a panel.
    at : mapping, optional
        Values of other columns to hold fixed, instead of the median or the most frequent level.
    points : int
        At which a curve is computed.
    rug : bool
        Whether to mark the values of the data.
    columns : int, optional
        Panels side by side.
    ax : Axes, optional
        Where to draw, if there is one panel.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownNameError
        For a term or column that the model does not have, with the nearest name.
    SettingsError
        For a smooth of several covariates (`surface` draws those), and combinations that mean nothing.
    """
    check_prob(prob)
    check_choice("scale", scale, SCALES)
    posterior_of(fit)
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 2:
        raise SettingsError(f"points must be a whole number of at least 2, not {points!r}.")
    chosen = [found for group in _chosen(fit, term) for found in group]
    alone = scale == "link" and by is None and not difference
    if partial_residuals and not alone:
        raise SettingsError('partial_residuals=True is for a term alone: scale="link", without by= and difference=.')
    if alone:
        if at is not None:
            raise SettingsError(
                'at= matters for predictions: a term alone does not depend on it. Give scale="response".'
            )
        panels = [_alone(fit, found, prob, points, partial_residuals) for found in chosen]
        caption = _caption_alone(chosen)
    else:
        x, levels = _varied(fit, chosen), _levels(fit, chosen, by, difference)
        if levels.column and levels.column in (at or {}):
            raise SettingsError(f"at: {levels.column!r} tells the curves apart; it cannot be held fixed.")
        fixed = held_fixed(fit, x, at)
        panels = _predicted(fit, x, levels, fixed, scale, difference, prob, points)
        caption = _caption_predicted(fit, x, levels, fixed)
    return draw(panels, caption, prob, simultaneous, rug, columns, ax, figsize)


def _chosen(fit: Fit, term: str | Sequence[str] | None) -> list[tuple[FittedSmooth, ...]]:
    """Return the curves of each term that a user asks for."""
    if term is None:
        every: list[tuple[FittedSmooth, ...]]
        every = [(found,) for found in fitted_smooths(fit) if len(found.smooth.names) == 1]
        if not every:
            raise SettingsError("The model has no smooth of one covariate: its formula has no term such as s(x).")
        return every
    wanted = [term] if isinstance(term, str) else list(term)
    groups = [find_smooths(fit, label) for label in wanted]
    for group in groups:
        if len(group[0].smooth.names) != 1:
            raise SettingsError(
                f"{group[0].label} is a function of {' and '.join(group[0].smooth.names)}: plots.surface draws those."
            )
    return groups


def _alone(fit: Fit, found: FittedSmooth, prob: float, points: int, dots: bool) -> Panel:
    """Return the panel of one term on the scale of the linear predictor."""
    name = found.smooth.names[0]
    values = np.asarray(used_rows(fit)[members(fit, found)][name], dtype=float)
    grid = grid_of(values, points)
    if found.smooth.factor is None:
        own = band(smooth_values(fit, found, {name: grid}), prob)
        curve = Curve("", grid, own, own.mean)
    else:
        curve = Curve("", grid, None, level_curves(fit, found, grid))
    words = scale_words(fit.problem, found.parameter).plain
    if found.smooth.multipliers:
        words += f" per unit of {found.smooth.by}"
    residuals = residuals_of(fit, found) if dots else None
    return Panel(found.label, label_with_unit(fit, name), words, (curve,), values, residuals, 0.0)


def _varied(fit: Fit, chosen: Sequence[FittedSmooth]) -> str:
    """Return the one covariate along which predictions are drawn."""
    names = {found.smooth.names[0] for found in chosen}
    if len(names) > 1:
        raise SettingsError(f"Predictions are drawn along one covariate; name one of {', '.join(sorted(names))}.")
    return names.pop()


@dataclass(frozen=True)
class Levels:
    """A factor and its levels, one curve each.

    Attributes
    ----------
    label : str
        As in the formula; empty, without levels, for a single curve.
    column : str
        The column of the data that it is computed from.
    values : mapping of str to object
        By level, a value of that column.
    """

    label: str = ""
    column: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def _levels(fit: Fit, chosen: Sequence[FittedSmooth], by: str | None, difference: bool) -> Levels:
    """Return the factor that a user names, else the one that tells the curves apart, if there is one."""
    data, first = used_rows(fit), chosen[0]
    if first.smooth.level is not None and by in (None, first.smooth.by):
        return _levels_of_curves(fit, first)
    if by is None:
        if difference:
            raise SettingsError("difference=True compares the levels of a factor: name it with by=.")
        return Levels()
    if by not in data:
        raise UnknownNameError(f"by: the model has no column {by!r}. {did_you_mean(by, map(str, data))}")
    values = data[by]
    if hasattr(values, "cat"):
        return Levels(by, by, {str(level): level for level in values.cat.categories if (values == level).any()})
    levels = sorted(values.unique().tolist())
    if len(levels) > 12:
        raise SettingsError(f"by={by!r} has {len(levels)} different values; give a factor of at most 12 levels.")
    return Levels(by, by, {str(level): level for level in levels})


def _levels_of_curves(fit: Fit, found: FittedSmooth) -> Levels:
    """Return the factor whose levels have a curve each, with a value of a row of each level."""
    smooth, data = found.smooth, used_rows(fit)
    by = str(smooth.by)
    if len(smooth.selectors) != 1:
        raise SettingsError(
            f"by={by} is made of {', '.join(smooth.selectors)}: predictions need it as one column of the data."
        )
    (column,) = smooth.selectors
    curves = [each for each in fitted_smooths(fit) if _siblings(each, found)]
    places = {str(each.smooth.level): int(each.smooth.rows[0]) for each in curves if each.smooth.rows is not None}
    rest = np.flatnonzero(~np.any([members(fit, each) for each in curves], axis=0))
    if rest.size:  # of an ordered factor the first level has no curve of its own
        places = {str(data[column].iloc[rest[0]]): int(rest[0])} | places
    return Levels(by, column, {level: data[column].iloc[place] for level, place in places.items()})


def _siblings(one: FittedSmooth, other: FittedSmooth) -> bool:
    """Return whether two curves are of one term, for levels of one factor."""
    own, its = one.smooth, other.smooth
    return (one.parameter, own.term, own.by) == (other.parameter, its.term, its.by)


def _predicted(
    fit: Fit,
    x: str,
    levels: Levels,
    fixed: dict[str, Any],
    scale: str,
    difference: bool,
    prob: float,
    points: int,
) -> list[Panel]:
    """Return a panel of predictions along a covariate by level, or a panel for each difference of levels."""
    by, names = levels.label, tuple(levels.values)
    if difference and len(names) < 2:
        raise SettingsError(f"difference=True needs two levels of {by!r}; the data have {len(names)}.")
    data = used_rows(fit)
    grid = grid_of(data[x], points)
    chosen = [{levels.column: value} for value in levels.values.values()] if by else [{}]
    rows = [along(fit, x, grid, fixed | own) for own in chosen]
    etas, means = predicted(fit, rows, "link"), predicted(fit, rows, "response")
    beyond = [beyond_level(fit, x, own) for own in rows]
    labels = [f"{by} = {name}" for name in names] if by else [""]
    response, main = fit.problem.response, fit.problem.family.main_predictors(fit.problem.response)
    plain = scale_words(fit.problem, main[0]).plain
    if difference:
        draws = etas if scale == "link" else means
        bands = [band(own - draws[0], prob) for own in draws[1:]]
        labels = [f"{name} − {names[0]}" for name in names[1:]]
        beyond = [own | beyond[0] for own in beyond[1:]]
        ylabel = f"difference ({plain if scale == 'link' else f'expected {response.name}'})"
    elif scale == "link":
        bands, ylabel = [band(eta, prob) for eta in etas], plain
    else:
        inverse = shown_as(fit, np.hstack(etas), np.hstack(means))
        pairs = zip(etas, means, strict=True)
        bands = [band(eta, prob, mean, inverse) if inverse else band(mean, prob) for eta, mean in pairs]
        ylabel = f"expected {response.name}"
        if fit.problem.family.main.domain == "unit":
            ylabel = f"probability of {response.name}"
    curves = tuple(
        Curve(label, grid, own, own.mean, outside) for label, own, outside in zip(labels, bands, beyond, strict=True)
    )
    look: dict[str, Any] = {
        "xlabel": label_with_unit(fit, x),
        "ylabel": ylabel,
        "rug": np.asarray(data[x], dtype=float),
    }
    if difference:
        return [Panel(f"{by}: {own.label}", curves=(replace(own, label=""),), null=0.0, **look) for own in curves]
    return [Panel(f"{by} along {x}" if by else f"Along {x}", curves=curves, **look)]


def _caption_alone(chosen: Sequence[FittedSmooth]) -> str:
    text = "Smooth terms alone, on the scale of the linear predictor"
    return (
        f"{text}."
        if any(found.smooth.multipliers for found in chosen)
        else f"{text}; zero is the average over the data."
    )


def _caption_predicted(fit: Fit, x: str, levels: Levels, fixed: Mapping[str, Any]) -> str:
    assert fit.design is not None  # used_rows has seen to that
    roles = fit.design.roles
    silent = {x, levels.column} | roles.groups | roles.response
    held = {name: value for name, value in fixed.items() if name not in silent}
    said = [f"{name} = {v:.4g}" if isinstance(v, float) else f"{name} = {v}" for name, v in held.items()]
    if len(said) > MOST_FIXED:
        said = [*said[:MOST_FIXED], f"{len(said) - MOST_FIXED} more at their median or most frequent level"]
    text = f"Held fixed: {', '.join(said)}." if said else ""
    return f"{text} Typical group: group effects zero.".strip() if roles.groups else text

"""The forest plot: intervals of population-level parameters, those on one scale together, of one or several fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots._axes import interval_rows, legend, ratio_axis, reference_line, row_labels, titles
from bayesglmm.plots._numerics import Interval, check_prob
from bayesglmm.plots._parameters import Entry, Fitted, chosen, is_estimated
from bayesglmm.plots._style import INK, MUTED, SMALL, clean, colour, new_figure, number, percent
from bayesglmm.results.scales import scale_words

if TYPE_CHECKING:
    from bayesglmm.graph.problem import Problem

INTERCEPT = "Intercept"


@dataclass(frozen=True)
class Panel:
    """Rows that share an axis.

    Attributes
    ----------
    place : int
        From top to bottom.
    title, xlabel : str
    exp : bool
        Whether the axis shows exp of the draws, logarithmically.
    null : float or None
        Where no effect is.
    limits : tuple of float
        Beyond which the axis never goes.
    """

    place: int
    title: str
    xlabel: str
    exp: bool = False
    null: float | None = None
    limits: tuple[float, float] = (-np.inf, np.inf)


def forest(
    fits: Fitted | Mapping[str, Fitted],
    parameters: str | Sequence[str] | None = None,
    prob: float = 0.95,
    inner: float = 0.5,
    transform: Literal["exp"] | None = None,
    *,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw posterior means and intervals of population-level parameters.

    Coefficients, standard deviations, correlations and dispersions have different scales and get panels of their
    own, and so does an intercept that lies far from the other coefficients. Of maximum likelihood fits it draws
    estimates and Wald intervals, as `fit.summary()` has them; a standard deviation of zero has none.

    Parameters
    ----------
    fits : Fit or mapping of str to Fit
        Several fits are drawn side by side, row by row: engines, or models, compared.
    parameters : str or sequence of str, optional
        Names as in `fit.summary()`, or ``fixed``, ``sd``, ``cor``, ``dispersion``; all by default, but without the
        intercept and the linear parts of smooths where `transform` is given: exp of them is no ratio.
    prob, inner : float
        Probabilities of the thin and the thick interval.
    transform : {None, "exp"}
        ``"exp"`` shows coefficients as odds ratios, rate ratios, ... on a logarithmic axis: the same figure with
        other numbers below, the points at exp of the posterior mean. Standard deviations stay as they are.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure
        One axes per panel.

    Raises
    ------
    UnknownNameError
        For a parameter that no fit has.
    SettingsError
        If exp of the coefficients has no meaning under the link.
    """
    check_prob(prob)
    check_prob(inner, "inner")
    if transform not in (None, "exp"):
        raise SettingsError(f"transform={transform!r} is not known; use 'exp' or None.")
    named = dict(fits) if isinstance(fits, Mapping) else {"": fits}
    if not named:
        raise SettingsError("There is no fit to draw: the mapping is empty.")
    found = _entries(named, parameters, ratios=transform == "exp" and parameters is None)
    panels = _panels(named, found, transform == "exp")
    figure, axes = _layout(panels, len(named), figsize)
    for ax, (panel, labels) in zip(axes, panels.items(), strict=True):
        _draw(ax, panel, labels, found, prob, inner)
    shown = f"{percent(prob)} intervals (thick: {percent(inner)})"
    kinds = {is_estimated(fit) for fit in named.values()}
    points = "Posterior means" if kinds == {False} else "Estimates" if kinds == {True} else "Means or estimates"
    figure.suptitle(f"{points} and {shown}", fontsize=SMALL + 1, color=MUTED, x=0.01, ha="left")
    if len(named) > 1:
        keys = [Line2D([], [], color=colour(k), marker="o", markersize=5, label=name) for k, name in enumerate(named)]
        legend(figure, handles=keys, loc="outside right upper")
    return figure


def _entries(
    fits: Mapping[str, Fitted], names: str | Sequence[str] | None, ratios: bool
) -> dict[str, dict[str, Entry]]:
    """Return the parameters of every fit by label; of several fits each may lack some that others have."""
    found: dict[str, dict[str, Entry]] = {name: {} for name in fits}
    for wanted in [None] if names is None else [names] if isinstance(names, str) else names:
        errors = []
        for name, fit in fits.items():
            try:
                found[name] |= {entry.label: entry for entry in chosen(fit, wanted, estimates=True)}
            except UnknownNameError as error:
                errors.append(error)
        if len(errors) == len(fits):
            raise errors[0]
    if ratios:
        found = {name: {k: e for k, e in own.items() if _may_be_ratio(fits[name], e)} for name, own in found.items()}
    if not any(found.values()):
        raise SettingsError("There is nothing to draw: no parameter is left.")
    return found


def _may_be_ratio(fit: Fitted, entry: Entry) -> bool:
    """Whether exp of a coefficient means something alone: not of an intercept, nor of one of a smooth."""
    smooths = {column for part in fit.problem.predictors for column in part.predictor.smooth_columns}
    return not (_is_intercept(entry) or (entry.kind == "fixed" and entry.term in smooths))


def _is_intercept(entry: Entry) -> bool:
    return entry.kind == "fixed" and entry.term == INTERCEPT


def _panels(
    fits: Mapping[str, Fitted], found: Mapping[str, Mapping[str, Entry]], exp: bool
) -> dict[Panel, list[str]]:
    """Sort all labels into panels; a label that several fits have goes where the first of them puts it."""
    panels: dict[Panel, list[str]] = {}
    seen: set[str] = set()
    for name, entries in found.items():
        apart = exp or _far_intercept(list(entries.values()))
        for label, entry in entries.items():
            if label not in seen:
                panel = _panel(fits[name].problem, entry, exp, apart)
                panels.setdefault(panel, []).append(label)
                seen.add(label)
    if exp and not any(panel.exp for panel in panels):
        link = next(iter(fits.values())).problem
        words = scale_words(link, link.family.main_predictors(link.response)[0]).plain
        raise SettingsError(
            f"transform='exp' needs coefficients whose exp is a ratio; these are on the scale: {words}."
        )
    return dict(sorted(panels.items(), key=lambda item: item[0].place))


def _far_intercept(entries: Sequence[Entry]) -> bool:
    """Whether the intercept would squeeze the other coefficients of its predictor into a third of the axis."""
    for own in (e for e in entries if _is_intercept(e)):
        others = [e for e in entries if e.kind == "fixed" and e.predictor == own.predictor and e is not own]
        if others:
            ends = np.array([e.interval(0.95) for e in others])
            low, high = min(0.0, np.nanmin(ends)), max(0.0, np.nanmax(ends))
            centre = float(np.mean(own.draws))
            if max(high, centre) - min(low, centre) > 3 * (high - low):
                return True
    return False


def _panel(problem: Problem, entry: Entry, exp: bool, apart: bool) -> Panel:
    if entry.kind == "cor":
        return Panel(6, "Correlations", "correlation", null=0.0, limits=(-1.0, 1.0))
    if entry.kind == "structure":
        word = entry.label.partition("[")[0]
        return Panel(7, f"Covariance structure: {word}", word, limits=entry.bounds)
    if entry.kind == "dispersion":
        return _dispersion_panel(problem, entry)
    words = scale_words(problem, entry.predictor)
    of = "" if entry.predictor in problem.family.main_predictors(problem.response) else f" of {entry.predictor}"
    if entry.kind == "sd":
        return Panel(4 if not of else 5, f"Standard deviations{of}", words.plain, limits=(0.0, np.inf))
    ratio = words.ratio if exp else None
    xlabel, null = (words.plain, 0.0) if ratio is None else (ratio, 1.0)
    if entry.kind == "effect":
        return Panel(3, f"Group effects{of}", xlabel, ratio is not None, null)
    if apart and _is_intercept(entry):
        xlabel = xlabel if ratio is None else xlabel.replace(" ratio", "")
        return Panel(0 if not of else 2, f"Intercept{of}", xlabel, ratio is not None)
    return Panel(1 if not of else 2, f"Coefficients{of}", xlabel, ratio is not None, null)


def _dispersion_panel(problem: Problem, entry: Entry) -> Panel:
    main = problem.family.main_predictors(problem.response)[0]
    scaled = {own.name for own in problem.family.parameters if own.scaled}
    if entry.label in scaled and problem.links[main].name == "identity":
        # The residual standard deviation is in the units of those of the groups, and is read against them.
        return Panel(4, "Standard deviations", scale_words(problem, main).plain, limits=(0.0, np.inf))
    if entry.label in {own.name for own in problem.family.parameters}:
        return Panel(8, f"Parameter {entry.label}", "", limits=entry.bounds)
    return Panel(7, "Cutpoints", scale_words(problem, main).plain)


def _layout(
    panels: Mapping[Panel, Sequence[str]], fits: int, figsize: tuple[float, float] | None
) -> tuple[Figure, list[Axes]]:
    step = max(0.3, 0.16 * fits)
    heights = [0.75 + step * len(labels) for labels in panels.values()]
    figure = new_figure(figsize or (7.5, sum(heights) + 0.35))
    grid = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    return figure, list(grid[:, 0])


def _draw(
    ax: Axes,
    panel: Panel,
    labels: Sequence[str],
    found: Mapping[str, Mapping[str, Entry]],
    prob: float,
    inner: float,
) -> None:
    # Fits of one parameter stand closer together than the rows of two parameters do.
    width = min(0.28, 0.11 * (len(found) - 1))
    offsets = np.linspace(-width, width, len(found)) if len(found) > 1 else np.zeros(1)
    for k, (own, offset) in enumerate(zip(found.values(), offsets, strict=True)):
        rows = [place for place, label in enumerate(labels) if label in own]
        if not rows:
            continue
        outer, thick = (
            _shown(Interval(*np.transpose([own[labels[place]].interval(p) for place in rows])), panel.exp)
            for p in (prob, inner)
        )
        interval_rows(ax, np.array(rows) + offset, outer, thick, colour(k))
        if len(found) == 1:
            _numbers(ax, rows, outer)
    row_labels(ax, np.arange(len(labels), dtype=float), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    clean(ax)
    titles(ax, panel.title, panel.xlabel)
    if panel.null is not None:
        ax.update_datalim([(panel.null, 0.0)], updatey=False)
        reference_line(ax, panel.null)
        ax.autoscale_view(scaley=False)
    if panel.exp:
        ratio_axis(ax)
    else:
        low, high = ax.get_xlim()
        # Standard deviations are read by their distance from nothing.
        ax.set_xlim(0.0 if panel.limits[0] == 0.0 else max(low, panel.limits[0]), min(high, panel.limits[1]))


def _shown(values: Interval, exp: bool) -> Interval:
    return Interval(*(np.exp(part) for part in values)) if exp else values


def _numbers(ax: Axes, rows: Sequence[int], outer: Interval) -> None:
    """Write mean and interval to the right of each row."""
    for row, mean, lower, upper in zip(rows, outer.mean, outer.lower, outer.upper, strict=True):
        width = float(upper - lower)
        text = f"{number(mean, width)}  ({number(lower, width)} to {number(upper, width)})"
        if not np.isfinite(width):  # at an edge of what it can be: no standard error
            text = f"{mean:.3g}"
        ax.annotate(
            text,
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=SMALL + 0.5,
            color=INK,
            annotation_clip=False,
        )

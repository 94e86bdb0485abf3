"""The caterpillar plot: group effects in order, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.plots._axes import interval_rows, reference_line, row_labels, titles
from bayesglmm.plots._numerics import Interval, check_prob
from bayesglmm.plots._parameters import Fitted, is_estimated, posterior_of
from bayesglmm.plots._style import MAIN, MUTED, NORMAL, SMALL, clean, figure_of, new_figure, percent
from bayesglmm.results.draws import summarise
from bayesglmm.results.estimates import ERROR
from bayesglmm.results.scales import scale_words
from bayesglmm.results.schema import ESTIMATES
from bayesglmm.results.tables import prefix_of
from bayesglmm.results.wald import normal_quantile

if TYPE_CHECKING:
    from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem

LABELLED = 60
ACROSS = 3
UNCLEAR, POINT = "#BDBDBD", "#5A5A5A"


@dataclass(frozen=True, eq=False)
class Facet:
    """One varying term of one block.

    Attributes
    ----------
    part : PredictorParts
    block : BlockParts
    term : str
        As in `fit.ranef()`.
    column : int
        Of the block.
    """

    part: PredictorParts
    block: BlockParts
    term: str
    column: int

    @property
    def group(self) -> str:
        """The grouping factor."""
        return self.block.block.group

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels."""
        return self.block.block.levels


def facets(problem: Problem, group: str | None, term: str | None) -> list[Facet]:
    """Return the varying terms that a user asks for, smooths left out.

    Raises
    ------
    UnknownNameError
        For a group or a term that the model does not have, with the nearest name.
    SettingsError
        If no coefficient varies by group.
    """
    found = [
        Facet(part, block, f"{prefix_of(problem, part)}{own}", j)
        for part in problem.predictors
        for block in part.blocks
        if block.block.kind == "group"
        for j, own in enumerate(block.block.terms)
    ]
    if not found:
        raise SettingsError("The model has no group effects: its formula has no term such as (1 | g).")
    if group is not None:
        known = {facet.group for facet in found}
        if group not in known:
            raise UnknownNameError(f"No grouping factor is called {group!r}. {did_you_mean(group, known)}")
        found = [facet for facet in found if facet.group == group]
    if term is not None:
        terms = {facet.term for facet in found}
        if term not in terms:
            where = "the model" if group is None else group
            raise UnknownNameError(f"No term {term!r} varies by {where}. {did_you_mean(term, terms)}")
        found = [facet for facet in found if facet.term == term]
    return found


def caterpillar(
    fit: Fitted,
    group: str | None = None,
    term: str | None = None,
    prob: float = 0.95,
    *,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw the effects of all levels of a grouping factor in order, with intervals.

    Levels whose interval excludes zero are coloured. Up to 60 levels are named; of more one sees the shape. Of
    maximum likelihood fits it draws conditional modes with intervals given the estimates, as `fit.ranef()` has them.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        Grouping factor; all of them if absent.
    term : str, optional
        Varying term, as in `fit.ranef()`; all of them if absent.
    prob : float
        Probability of the intervals.
    ax : Axes, optional
        Where to draw, if `group` and `term` leave one panel.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure
        One axes per grouping factor and term; the smallest effect is lowest.

    Raises
    ------
    UnknownNameError
        For a group or a term that the model does not have.
    """
    check_prob(prob)
    estimated = is_estimated(fit)
    values = fit.data[ESTIMATES].to_dataset() if estimated else posterior_of(fit)
    found = facets(fit.problem, group, term)
    if ax is not None:
        if len(found) > 1:
            raise SettingsError(f"ax= holds one panel, and there are {len(found)}: give group= and term=.")
        _facet(ax, fit.problem, found[0], values, prob)
        return figure_of(ax)
    columns = min(ACROSS, len(found))
    rows = [found[i : i + columns] for i in range(0, len(found), columns)]
    heights = [max(_height(len(facet.levels)) for facet in row) for row in rows]
    figure = new_figure(figsize or (max(5.5, 4.2 * columns), sum(heights) + 0.35))
    axes = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for place, own in enumerate(axes.ravel()):
        if place < len(found):
            _facet(own, fit.problem, found[place], values, prob)
        else:
            own.remove()
    points = "Conditional modes" if estimated else "Posterior means"
    caption = f"{points} and {percent(prob)} intervals; blue where the interval excludes 0"
    figure.suptitle(caption, fontsize=NORMAL, color=MUTED, x=0.01, ha="left")
    return figure


def _height(levels: int) -> float:
    return max(2.2, 0.9 + 0.18 * levels) if levels <= LABELLED else 6.0


def _intervals(facet: Facet, values: Any, prob: float) -> Interval:
    """Return what the draws say about each level, or the estimates with their standard errors."""
    name = facet.block.names.b
    own = values[name].values[..., facet.column]
    if name + ERROR in values:
        half = normal_quantile(prob) * values[name + ERROR].values[..., facet.column]
        return Interval(own, own - half, own + half)
    table = summarise(own.reshape(-1, own.shape[-1]), prob)
    return Interval(*(np.asarray(table[part]) for part in ("mean", "lower", "upper")))


def _facet(ax: Axes, problem: Problem, facet: Facet, values: Any, prob: float) -> None:
    found = _intervals(facet, values, prob)
    order = np.argsort(found.mean, kind="stable")
    mean, lower, upper = (part[order] for part in found)
    clear = (lower > 0) | (upper < 0)
    lines, points = np.where(clear, MAIN, UNCLEAR).tolist(), np.where(clear, MAIN, POINT).tolist()
    positions: Floats = np.arange(len(order), dtype=float)
    many = len(order) > LABELLED
    # Thousands of lines would otherwise melt into one block.
    width = float(np.clip(200.0 / len(order), 0.15, 1.4))
    size = float(np.clip(300.0 / len(order), 1.3, 5.0))
    interval_rows(ax, positions, Interval(mean, lower, upper), None, lines, width=width, size=size, points=points)
    reference_line(ax, 0.0)
    clean(ax)
    predictor = facet.part.names.parameter
    ylabel = f"{len(order):,} levels of {facet.group}, in order" if many else ""
    titles(ax, f"{facet.group}: {facet.term}", f"deviation ({scale_words(problem, predictor).plain})", ylabel)
    if many:
        ax.set_yticks([])
        ax.margins(y=0.01)
    else:
        row_labels(ax, positions, [facet.levels[i] for i in order], width=24)
        ax.tick_params(axis="y", labelsize=NORMAL if len(order) <= 30 else SMALL)
        ax.set_ylim(-0.7, len(order) - 0.3)

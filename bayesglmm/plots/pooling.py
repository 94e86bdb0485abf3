"""The shrinkage plot: what each group says alone, and what the model makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import legend, reference_line, row_labels, titles
from bayesglmm.plots._no_pooling import no_pooling
from bayesglmm.plots._parameters import Fitted, point_of
from bayesglmm.plots._style import ACCENT, MAIN, MUTED, NORMAL, SMALL, clean, figure_of, new_figure
from bayesglmm.plots.effects import Facet, facets
from bayesglmm.results.scales import scale_words

LABELLED = 40
LINE = "#BDBDBD"


@dataclass(frozen=True, eq=False)
class Pooling:
    """Both estimates of every group, on the scale of the linear predictor.

    Attributes
    ----------
    alone, together : ndarray, shape (J,)
        No pooling (nan where the group's rows say nothing), partial pooling.
    overall : float
        Population coefficient, zero if there is none.
    corrected : ndarray of bool, shape (J,)
    size : ndarray, shape (J,)
    levels : ndarray of str, shape (J,)
    """

    alone: Floats
    together: Floats
    overall: float
    corrected: Any
    size: Floats
    levels: Any

    def ordered(self, by: Literal["size", "estimate"]) -> Pooling:
        """Return the groups from small to large, or from low to high."""
        low = np.where(np.isnan(self.alone), self.together, self.alone)
        order = np.lexsort((low, self.size)) if by == "size" else np.argsort(low, kind="stable")
        rows = [values[order] for values in (self.alone, self.together, self.corrected, self.size, self.levels)]
        return Pooling(rows[0], rows[1], self.overall, rows[2], rows[3], rows[4])


def shrinkage(
    fit: Fitted,
    group: str | None = None,
    term: str = "Intercept",
    *,
    order: Literal["size", "estimate"] = "size",
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw no pooling against partial pooling.

    Partial pooling is the posterior mean of the group's coefficient, population coefficient plus deviation; of a
    maximum likelihood fit the estimate plus the conditional mode. No pooling is what the group's own rows say about
    that one coefficient: a one-parameter maximum likelihood estimate per group by Newton's method under the same
    family and link, where everything else in the model (the other population coefficients, other varying terms,
    dispersions) stays at its posterior mean (estimate) and enters as an offset. For a model with an intercept alone
    it is g(mean of the group). Where all counts of a group are zero or its proportion is 0 or 1 that estimate is
    infinite; then a corrected one is shown as a square, with half a success and half a failure added at the
    population coefficient (a log-F(1, 1) penalty): nearly the continuity correction y + 1/2 of the textbooks.
    Groups whose rows say nothing about the term have no such point.

    Small groups move most: areas are proportional to the number of rows, or of trials.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        Grouping factor; needed if there are several.
    term : str
        Varying term, as in `fit.ranef()`.
    order : {"size", "estimate"}
        Largest groups on top, or largest no-pooling estimates. More than 40 groups are drawn as a scatter plot of
        one estimate against the other instead.
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownNameError
        For a group or a term that the model does not have.
    SettingsError
        If several grouping factors have the term and `group` names none.
    """
    if order not in ("size", "estimate"):
        raise SettingsError(f"order={order!r} is not known; use 'size' or 'estimate'.")
    found = facets(fit.problem, group, term)
    if any(facet.block.block.shares is not None for facet in found):
        raise SettingsError(f"Rows belong to several levels of {found[0].group}: no level has rows of its own.")
    if len(found) > 1:
        known = ", ".join(repr(facet.group) for facet in found)
        raise SettingsError(f"Several grouping factors have the term {term!r}: name one, group={known}.")
    facet = found[0]
    values = pooling(fit, facet)
    many = len(values.levels) > LABELLED
    own_figure = ax is None
    if ax is None:
        height = 6.0 if many else max(2.8, 1.7 + 0.2 * len(values.levels))
        ax = new_figure(figsize or (6.5, height)).subplots()
    words = scale_words(fit.problem, facet.part.names.parameter).plain
    if many:
        _scatter(ax, values, facet, words)
    else:
        _rows(ax, values.ordered(order), facet, words)
        keys = _keys(values)
        if own_figure:
            legend(figure_of(ax), keys, loc="outside lower center", ncols=2)
        else:
            legend(ax, keys, loc="best")
    return figure_of(ax)


def pooling(fit: Fitted, facet: Facet) -> Pooling:
    """Return both estimates for every group."""
    means = point_of(fit)
    own = facet.block.block
    columns, name = facet.part.predictor.columns, own.columns[facet.column]
    overall = float(means[facet.part.names.beta][columns.index(name)]) if name in columns else 0.0
    alone = no_pooling(fit.problem, means, facet.block, facet.column)
    together = overall + means[facet.block.names.b][:, facet.column]
    levels = np.array(own.levels, dtype=object)
    return Pooling(overall + alone.deviation, together, overall, alone.corrected, alone.size, levels)


def _areas(values: Pooling, largest: float) -> Floats:
    areas: Floats = 10.0 + largest * values.size / max(float(values.size.max()), 1.0)
    return areas


def _rows(ax: Axes, values: Pooling, facet: Facet, words: str) -> None:
    heights = np.arange(len(values.levels), dtype=float)
    areas = _areas(values, 70.0)
    reference_line(ax, values.overall)
    ax.hlines(heights, values.alone, values.together, colors=LINE, linewidth=1.6, zorder=2)
    for marker, chosen in (("o", ~values.corrected), ("s", values.corrected)):
        ax.scatter(
            values.alone[chosen],
            heights[chosen],
            s=areas[chosen],
            marker=marker,
            facecolors="white",
            edgecolors=ACCENT,
            linewidths=1.3,
            zorder=3,
        )
    ax.scatter(values.together, heights, s=areas, color=MAIN, linewidths=0, zorder=4)
    clean(ax)
    unit = "" if np.ptp(values.size) == 0 else "  (n={:g})"
    row_labels(ax, heights, [f"{level}{unit.format(n)}" for level, n in zip(values.levels, values.size, strict=True)])
    ax.tick_params(axis="y", labelsize=NORMAL if len(heights) <= 30 else SMALL)
    ax.set_ylim(-0.8, len(heights) - 0.2)
    titles(ax, _title(facet), words)


def _scatter(ax: Axes, values: Pooling, facet: Facet, words: str) -> None:
    shown = ~np.isnan(values.alone)
    known = values.alone[shown] if shown.any() else values.together
    ends = np.array([known.min(), known.max()])
    ax.plot(ends, ends, color=MUTED, linewidth=0.9, zorder=1)
    ax.axhline(values.overall, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    alpha = float(np.clip(80.0 / len(values.levels), 0.15, 0.7))
    areas = _areas(values, 90.0)
    for marker, chosen in (("o", ~values.corrected & shown), ("s", values.corrected & shown)):
        hollow = marker == "s"
        ax.scatter(
            values.alone[chosen],
            values.together[chosen],
            s=areas[chosen],
            marker=marker,
            facecolors="none" if hollow else MAIN,
            edgecolors=ACCENT if hollow else "none",
            alpha=min(1.0, 2 * alpha) if hollow else alpha,
            zorder=2,
        )
    ax.annotate("no shrinkage", (ends[1], ends[1]), (-4, -2), textcoords="offset points", ha="right", va="bottom",
                fontsize=SMALL, color=MUTED)  # fmt: skip
    ax.annotate("overall mean", (1.0, values.overall), (-2, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", fontsize=SMALL, color=MUTED)  # fmt: skip
    clean(ax, keep=("left", "bottom"))
    titles(ax, _title(facet), f"no pooling ({words})", f"partial pooling ({words})")
    if values.corrected.any():
        legend(ax, [_keys(values)[1]], loc="lower right")


def _title(facet: Facet) -> str:
    return f"Shrinkage of {facet.term} by {facet.group}"


def _keys(values: Pooling) -> list[Artist]:
    """Return the entries of the legend."""
    hollow: dict[str, Any] = {"linestyle": "", "markerfacecolor": "white", "color": ACCENT, "markersize": 7}
    keys: list[Artist] = [
        Line2D([], [], marker="o", label="no pooling: the group alone", **hollow),
        Line2D(
            [], [], linestyle="", marker="o", color=MAIN, markersize=7, label="partial pooling: all groups together"
        ),
        Line2D([], [], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="overall mean"),
    ]
    if values.corrected.any():
        keys.insert(1, Line2D([], [], marker="s", label="infinite alone: corrected", **hollow))
    return keys

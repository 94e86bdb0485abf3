"""Smooths of two covariates: the posterior mean as a surface seen from above, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import titles
from bayesglmm.plots._numerics import check_prob
from bayesglmm.plots._parameters import posterior_of
from bayesglmm.plots._raster import clip, labelled, padded, spread
from bayesglmm.plots._style import INK, MUTED, NORMAL, SMALL, figure_of, new_figure, percent, wrapped
from bayesglmm.results.covariates import label_with_unit, members, used_rows
from bayesglmm.results.draws import check_choice, pieces, summarise
from bayesglmm.results.region import Polygon, region
from bayesglmm.results.scales import scale_words
from bayesglmm.results.smooths import FittedSmooth, find_smooths, smooth_values

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

WHAT = ("mean", "sd", "lower", "upper")
# A diverging map for values around zero, another one, from pale to dark, for how uncertain they are.
VALUES, SPREAD = "RdBu_r", "Purples"

type Table = tuple[Floats, Floats, dict[str, Floats], tuple[Polygon, ...]]


def surface(
    fit: Fit,
    term: str,
    what: str | Sequence[str] = ("mean", "sd"),
    *,
    prob: float = 0.95,
    grid: int = 80,
    mask: Any = "hull",
    points: bool = True,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw a smooth of two covariates: filled contours of the term alone, on the scale of the linear predictor.

    Nothing outside the mask is drawn: there the surface is extrapolated. Of a smooth with ``by=`` of a factor every
    level has its row of panels, all with the same colours.

    Parameters
    ----------
    fit : Fit
    term : str
        As in the formula, white space is free, or its covariates: ``"te(x, z)"``, ``"x, z"``.
    what : {"mean", "sd", "lower", "upper"} or sequence of them
        Posterior mean, standard deviation, ends of the pointwise interval; a panel each.
    prob : float
        Posterior probability of the interval.
    grid : int
        Points along each axis.
    mask : "hull", float, GeoJSON or None
        As of `bayesglmm.odds_ratio_map`, with distances in units of the covariates.
    points : bool
        Whether to show where the data are.
    ax : Axes, optional
        Where to draw, if there is one panel.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UnknownNameError
        If the model has no such smooth.
    SettingsError
        If it has not two numeric covariates.
    """
    check_prob(prob)
    posterior_of(fit)
    wanted = (what,) if isinstance(what, str) else tuple(what)
    for word in wanted:
        check_choice("what", word, WHAT)
    if isinstance(grid, bool) or not isinstance(grid, int | np.integer) or grid < 2:
        raise SettingsError(f"grid must be a whole number of at least 2, not {grid!r}.")
    found = find_smooths(fit, term)
    _check(found[0])
    if ax is not None and len(found) * len(wanted) > 1:
        raise SettingsError(
            f'ax= holds one panel, and there are {len(found) * len(wanted)}: name one curve, and what="mean".'
        )
    tables = [_table(fit, each, prob, grid, mask) for each in found]
    levels = {word: _levels([table[2][word] for table in tables], word) for word in wanted}
    if ax is not None:
        _panel(ax, fit, found[0], tables[0], wanted[0], levels[wanted[0]], prob, points)
        return figure_of(ax)
    figure = new_figure(figsize or (4.6 * len(wanted), 3.7 * len(found) + 0.4))
    axes = figure.subplots(len(found), len(wanted), squeeze=False)
    for row, each, table in zip(axes, found, tables, strict=True):
        for own, word in zip(row, wanted, strict=True):
            _panel(own, fit, each, table, word, levels[word], prob, points)
    text = "Smooth term alone, on the scale of the linear predictor; zero is the average over the data."
    text = wrapped(text, int(15 * figure.get_size_inches()[0]))
    figure.suptitle(text, fontsize=SMALL + 0.5, color=MUTED, x=0.01, ha="left")
    return figure


def _check(found: FittedSmooth) -> None:
    smooth = found.smooth
    if len(smooth.covariates) != 2 or len(smooth.names) != 2 or smooth.factor is not None:
        many = f"a function of {', '.join(smooth.covariates)}"
        raise SettingsError(f"{found.label} is {many}: surfaces need two numeric covariates, plots.smooth draws one.")


def _table(fit: Fit, found: FittedSmooth, prob: float, grid: int, mask: Any) -> Table:
    """Return the axes (grid,), the numbers (grid, grid), NaN outside the mask, and the outline."""
    rows = used_rows(fit)[members(fit, found)]
    first, second = found.smooth.names
    x, y = (np.asarray(rows[name], dtype=float) for name in (first, second))
    gx, gy = np.linspace(x.min(), x.max(), grid), np.linspace(y.min(), y.max(), grid)
    area = region(mask, x, y)
    inside = area.contains(*np.meshgrid(gx, gy))
    i, j = np.nonzero(inside)
    if not len(i):
        raise SettingsError(f"grid={grid} is too coarse: no point of it lies in the mask.")
    numbers = {word: np.full(inside.shape, np.nan) for word in WHAT}
    draws = int(np.prod([fit.draws.sizes[name] for name in ("chain", "draw")]))
    for part in pieces(len(i), 2 * draws):
        values = smooth_values(fit, found, {first: gx[j[part]], second: gy[i[part]]})
        for word, column in summarise(values, prob).items():
            numbers[word][i[part], j[part]] = column
    return gx, gy, numbers, area.polygons


def _levels(tables: Sequence[Floats], what: str) -> Floats:
    """Return the bounds of the bands of colour, the same for all panels of one kind."""
    low, high = min(np.nanmin(t) for t in tables), max(np.nanmax(t) for t in tables)
    if what == "sd":
        return np.asarray(MaxNLocator(8).tick_values(0.9 * low, high))
    reach = max(abs(low), abs(high)) or 1.0
    return np.asarray(MaxNLocator(12, symmetric=True).tick_values(-reach, reach))


def _panel(
    ax: Axes,
    fit: Fit,
    found: FittedSmooth,
    table: Table,
    what: str,
    levels: Floats,
    prob: float,
    points: bool,
) -> None:
    x, y, numbers, outline = table
    first, second = found.smooth.names
    words = scale_words(fit.problem, found.parameter).plain
    values, wide = spread(numbers[what]), (padded(x), padded(y))
    patch = clip(ax, outline)
    filled = ax.contourf(*wide, values, levels=levels, cmap=SPREAD if what == "sd" else VALUES)
    lines = ax.contour(*wide, values, levels=levels, colors=INK, linewidths=0.35, alpha=0.6)
    filled.set_clip_path(patch)
    lines.set_clip_path(patch)
    shown = levels[(levels > np.nanmin(numbers[what])) & (levels < np.nanmax(numbers[what]))]
    labelled(ax, lines, patch, shown[::2], lambda value, _=None: f"{value:g}".replace("-", "−"))
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    if points:
        rows = used_rows(fit)[members(fit, found)]
        size = float(np.clip(3000.0 / len(rows), 0.6, 8.0))
        ax.scatter(rows[first], rows[second], s=size, color=INK, alpha=0.3, linewidths=0, zorder=3, rasterized=True)
    said = {"mean": "posterior mean", "sd": "posterior sd", "lower": f"{percent(prob)} interval, lower end"}
    title = said.get(what, f"{percent(prob)} interval, upper end")
    titles(ax, f"{found.label}: {title}", label_with_unit(fit, first), label_with_unit(fit, second))
    ax.title.set_fontsize(NORMAL)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK, length=3)
    for spine in ax.spines.values():
        spine.set_color(MUTED)
        spine.set_linewidth(0.6)
    bar = figure_of(ax).colorbar(filled, ax=ax, aspect=26, pad=0.02)
    bar.set_label(words, fontsize=SMALL, color=INK)
    bar.ax.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK, length=2)

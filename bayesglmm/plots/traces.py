"""The teaching panel of a Markov chain summary: a row per parameter, from the chain to the sentence about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayesglmm.blocks import Floats
from bayesglmm.plots._numerics import autocorrelation, check_prob, density, interval, is_constant
from bayesglmm.plots._parameters import Entry, Fitted, chosen
from bayesglmm.plots._style import (
    ACCENT,
    INK,
    LARGE,
    MAIN,
    MUTED,
    NORMAL,
    SMALL,
    clean,
    colour,
    new_figure,
    number,
    percent,
    wrapped,
)
from bayesglmm.results.convergence import statistics as convergence

TITLES = ("parameter", "trace", "lag 1", "autocorrelation", "density", "summary")
WIDTHS = (1.5, 2.9, 1.05, 1.5, 1.9, 1.95)
ROWS = 20
LAGS = 30
POINTS = 2000


def trace_panel(
    fit: Fitted,
    parameters: str | Sequence[str] | None = None,
    prob: float = 0.95,
    *,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw the classical one-page summary of a Markov chain.

    One row per parameter, and in it: its name; the trace, one colour per chain; every draw against the one before
    (a round cloud is what one hopes for); the autocorrelation, averaged over chains, with the bounds within which
    independent draws would stay; the posterior density with the credible interval shaded; and the answer in words.

    Parameters
    ----------
    fit : Fit
    parameters : str or sequence of str, optional
        Names as in `fit.summary()`, group effects as ``b[herd, 3, Intercept]``, or ``fixed``, ``sd``, ``cor``,
        ``dispersion``. By default all that the summary shows, at most the first 20 of them.
    prob : float
        Posterior probability of the interval.
    figsize : tuple of float, optional
        Width and height in inches; by default the height follows the number of rows.

    Returns
    -------
    matplotlib.figure.Figure
        Six axes per parameter, row by row.

    Raises
    ------
    UnknownNameError
        For a parameter that the fit does not have.
    """
    check_prob(prob)
    entries = chosen(fit, parameters)
    shown = entries[:ROWS] if parameters is None else entries
    rows = len(shown)
    row_height = 1.3 if rows <= 6 else 1.05
    top, bottom = 0.5, 0.62 if len(shown) < len(entries) else 0.5
    width, height = figsize or (12.0, rows * row_height + top + bottom)
    figure = new_figure((width, height), constrained=False)
    grid = figure.add_gridspec(
        rows,
        6,
        width_ratios=WIDTHS,
        left=0.012,
        right=0.99,
        top=1 - top / height,
        bottom=bottom / height,
        wspace=0.24,
        hspace=0.42,
    )
    statistics = convergence(pd.RangeIndex(rows), [entry.chains for entry in shown])
    for i, entry in enumerate(shown):
        axes = [figure.add_subplot(grid[i, j]) for j in range(6)]
        _row(axes, entry, prob, statistics.iloc[i], last=i == rows - 1)
        if i == 0:
            for ax, title in zip(axes, TITLES, strict=True):
                ax.set_title(title, fontsize=LARGE, color=INK, pad=10)
    if len(shown) < len(entries):
        note = f"The first {rows} of {len(entries)} parameters; parameters= shows others."
        figure.text(0.99, 0.08 / height, note, ha="right", fontsize=NORMAL, color=MUTED)
    return figure


def _row(axes: Sequence[Axes], entry: Entry, prob: float, statistics: pd.Series, last: bool) -> None:
    held = is_constant(entry.draws)
    for ax in (axes[0], axes[5]):
        ax.set_axis_off()
    axes[0].text(
        0.5,
        0.5,
        wrapped(entry.label, 18),
        ha="center",
        va="center",
        fontsize=LARGE,
        color=INK,
        parse_math=False,
        transform=axes[0].transAxes,
    )
    _trace(axes[1], entry.chains, last)
    for ax in axes[2:5]:
        clean(ax)
    if held:
        value = float(entry.draws[0])
        for ax in axes[2:5]:
            ax.set_axis_off()
        _words(axes[5], [(f"held at {value:g}", NORMAL, INK)])
        return
    _lag(axes[2], entry.chains)
    _autocorrelation(axes[3], entry.chains, last)
    _density(axes[4], entry, prob)
    _words(axes[5], _sentences(entry, prob, statistics))


def _trace(ax: Axes, chains: Floats, last: bool) -> None:
    clean(ax, keep=("left", "bottom"))
    steps = np.arange(1, chains.shape[1] + 1)
    marker = "." if chains.shape[1] == 1 else None
    for position, chain in enumerate(chains):
        ax.plot(steps, chain, color=colour(position), linewidth=0.5, alpha=0.8, marker=marker, rasterized=True)
    ax.margins(x=0)
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    ax.tick_params(labelbottom=last)
    if last:
        ax.set_xlabel("draw", fontsize=SMALL, color=INK)


def _lag(ax: Axes, chains: Floats) -> None:
    """Draw x[t + 1] against x[t]; evenly thinned, since thousands of points say no more than some."""
    every = max(1, -(-chains.size // POINTS))
    for position, chain in enumerate(chains):
        before, after = chain[:-1][::every], chain[1:][::every]
        ax.plot(before, after, ".", markersize=3, color=colour(position), alpha=0.45, markeredgewidth=0)
    clean(ax, keep=("left", "bottom"))
    ax.set_xticks([])
    ax.set_yticks([])


def _autocorrelation(ax: Axes, chains: Floats, last: bool) -> None:
    lags = min(LAGS, chains.shape[1] - 1)
    values = autocorrelation(chains, lags)
    bound = 1.96 / np.sqrt(chains.size)
    ax.axhspan(-bound, bound, color=MUTED, alpha=0.25, linewidth=0)
    ax.axhline(0.0, color=MUTED, linewidth=0.6)
    ax.bar(np.arange(lags + 1), values, width=0.6, color=MAIN)
    ax.set_ylim(min(-0.2, float(values.min()) - 0.05), 1.05)
    clean(ax, keep=("left", "bottom"))
    ax.set_yticks([0.0, 1.0])
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.tick_params(labelbottom=last)
    if last:
        ax.set_xlabel("lag", fontsize=SMALL, color=INK)


def _density(ax: Axes, entry: Entry, prob: float) -> None:
    mean, lower, upper = interval(entry.draws, prob)
    grid, height = density(entry.draws, entry.bounds)
    inside = (grid >= lower) & (grid <= upper)
    ax.fill_between(grid, height, where=inside.tolist(), color=MAIN, alpha=0.25, linewidth=0)
    ax.plot(grid, height, color=MAIN, linewidth=1.2)
    ax.vlines(float(mean), 0.0, float(np.interp(mean, grid, height)), color=ACCENT, linewidth=1.2)
    # The far tails hold one draw in a thousand; they would squeeze everything else.
    low, high = np.quantile(entry.draws, [0.001, 0.999])
    ax.set_xlim(max(low - 0.1 * (high - low), grid[0]), min(high + 0.1 * (high - low), grid[-1]))
    ax.set_ylim(0.0, 1.08 * float(height.max()))
    clean(ax)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(3))


def _sentences(entry: Entry, prob: float, statistics: pd.Series) -> list[tuple[str, float, str]]:
    """Return the lines of the last column: text, font size, colour."""
    mean, lower, upper = (float(value) for value in interval(entry.draws, prob))
    width = upper - lower
    lines = [
        ("posterior mean", SMALL, MUTED),
        (number(mean, width), NORMAL, INK),
        (f"{percent(prob)} credible interval", SMALL, MUTED),
        (f"{number(lower, width)} to {number(upper, width)}", NORMAL, INK),
    ]
    if np.isfinite(statistics["r_hat"]):
        # the smaller of both, as in the tables of the printed fit
        ess, r_hat = np.fmin(statistics["ess_bulk"], statistics["ess_tail"]), statistics["r_hat"]
        lines.append((f"effective draws {ess:,.0f}, R-hat {r_hat:.2f}", SMALL - 0.5, MUTED))
    return lines


def _words(ax: Axes, lines: list[tuple[str, float, str]]) -> None:
    """Write lines one below the other, centred in the cell."""
    height = 1.35 * sum(size for _, size, _ in lines)
    offset = height / 2
    for text, size, shade in lines:
        offset -= 1.35 * size / 2
        ax.annotate(
            text,
            (0.5, 0.5),
            (0.0, offset),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            color=shade,
            parse_math=False,
        )
        offset -= 1.35 * size / 2

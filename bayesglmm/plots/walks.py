"""Figures of Metropolis chains: moves accepted and rejected, running means, acceptance by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.coordinates import coordinates_of
from bayesglmm.engines.kernels.newton import structure_of
from bayesglmm.engines.kernels.random_walk import sites_of
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.graph.latent import LatentView
from bayesglmm.plots._axes import legend, row_labels, titles
from bayesglmm.plots._parameters import Fitted, chosen
from bayesglmm.plots._style import ACCENT, INK, MAIN, MUTED, NORMAL, PALE, SMALL, clean, colour, new_figure, wrapped
from bayesglmm.results.convergence import statistics

_LEVELS = (0.95, 0.8, 0.5)  # posterior mass within the contours
_GRID = 80
_KERNEL_DRAWS = 2000
_ROWS = 12
_PREFIX = "acceptance_"


def metropolis_path(
    fit: Fitted,
    parameters: Sequence[str],
    *,
    draws: int = 100,
    first: int = 0,
    chain: int = 0,
    figsize: tuple[float, float] = (7.0, 6.0),
) -> Figure:
    """Draw the moves of a random walk in two parameters over the contours of their posterior.

    The textbook's sampler moves one coordinate at a time, so the path is made of horizontal and vertical stretches.
    Proposals that were rejected are crosses at the end of a dotted line: the chain stayed where the line begins.

    Parameters
    ----------
    fit : Fit
        From ``model.fit("metropolis", proposal="random-walk", keep_proposals=True)``.
    parameters : two str
        As in `fit.summary()`: population coefficients, standard deviations, dispersions.
    draws : int
        How many draws to follow.
    first : int
        The draw to begin with.
    chain : int
        Which chain.
    figsize : tuple of float
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingsError
        If the fit has no proposals, or no such chain or draws.
    UnknownNameError
        For a parameter that is not a coordinate of the walk.
    """
    proposals, accepted, places = _moves(fit, parameters)
    count, length = proposals.shape[:2]
    if not 0 <= chain < count:
        raise SettingsError(f"chain must be one of 0 to {count - 1}, not {chain!r}.")
    if draws < 1 or first < 0 or first + draws >= length:
        raise SettingsError(f"first={first!r} and draws={draws!r} must lie within the {length} draws of a chain.")
    entries = chosen(fit, list(parameters))
    figure = new_figure(figsize)
    ax = figure.add_subplot()
    _contours(ax, entries[0].draws, entries[1].draws)
    values = np.column_stack([entry.chains[chain, first : first + draws + 1] for entry in entries])
    inside = slice(first + 1, first + draws + 1)
    _path(ax, values, proposals[chain, inside], accepted[chain, inside], places[0] > places[1])
    # Proposals go far out now and then; the posterior should not become a dot for them.
    spans = []
    for entry, now in zip(entries, (ax.get_xlim(), ax.get_ylim()), strict=True):
        low, high = np.quantile(entry.draws, [0.001, 0.999])
        spans.append((max(now[0], low - 0.7 * (high - low)), min(now[1], high + 0.7 * (high - low))))
    ax.set_xlim(*spans[0])
    ax.set_ylim(*spans[1])
    shares = accepted[chain, inside].mean(axis=0)
    said = [f"{name}: {share:.0%} accepted" for name, share in zip(parameters, shares, strict=True)]
    titles(ax, f"{draws} draws of one chain\n{wrapped(', '.join(said), int(11 * figsize[0]))}", *parameters)
    clean(ax, keep=("bottom", "left"))
    handles = [
        Line2D([], [], color=MAIN, marker="o", markersize=4, label="accepted moves"),
        Line2D([], [], color=ACCENT, marker="x", linestyle=":", markersize=5, label="rejected proposals"),
        Line2D(
            [], [], color=MUTED, label=f"{', '.join(f'{level:.0%}' for level in sorted(_LEVELS))} of the posterior"
        ),
    ]
    legend(ax, handles, loc="best")
    return figure


def _moves(fit: Fitted, parameters: Sequence[str]) -> tuple[Floats, Floats, tuple[int, int]]:
    """Return proposals and decisions in two coordinates, (chains, draws, 2), and their places in a sweep."""
    sampled: Any = fit.data["sample_stats"] if "sample_stats" in fit.data.children else {}
    if "proposal" not in sampled:
        raise SettingsError(
            "This fit has no proposals to draw. Make one with "
            'model.fit("metropolis", proposal="random-walk", keep_proposals=True).'
        )
    if isinstance(parameters, str) or len(parameters) != 2:
        raise SettingsError(f"parameters= must name two parameters, not {parameters!r}.")
    view = LatentView(fit.problem)
    coordinates = coordinates_of(view)
    index = {c.label: j for j, c in enumerate(coordinates) if c.natural and not c.label.startswith("u[")}
    for name in parameters:
        if name not in index:
            raise UnknownNameError(f"{name!r} is no coordinate of the walk. {did_you_mean(name, index)}")
    order = [int(j) for site in sites_of(structure_of(view)) for j in site.at]
    order += range(view.size, len(coordinates))
    chosen_ones = [index[name] for name in parameters]
    proposals = np.asarray(sampled["proposal"].values)[..., chosen_ones]
    accepted = np.asarray(sampled["accepted"].values, dtype=bool)[..., chosen_ones]
    return proposals, accepted, (order.index(chosen_ones[0]), order.index(chosen_ones[1]))


def _contours(ax: Axes, x: Floats, y: Floats) -> None:
    """Draw contours that enclose given shares of the draws."""
    kept = np.linspace(0, len(x) - 1, min(len(x), _KERNEL_DRAWS)).astype(int)
    both = np.vstack([x, y])[:, kept]
    if np.linalg.matrix_rank(np.cov(both)) < 2:
        return
    kernel = stats.gaussian_kde(both)
    margin = 0.15 * np.ptp(both, axis=1)
    axes = [
        np.linspace(low - m, high + m, _GRID) for low, high, m in zip(both.min(1), both.max(1), margin, strict=True)
    ]
    height = kernel(np.vstack([part.ravel() for part in np.meshgrid(*axes)])).reshape(_GRID, _GRID)
    levels = np.quantile(kernel(both), [1.0 - level for level in _LEVELS])
    if np.all(np.diff(levels) > 0):
        ax.contour(*axes, height, levels=levels, colors=MUTED, linewidths=0.9, zorder=1)


def _path(ax: Axes, values: Floats, proposals: Floats, accepted: Floats, swapped: bool) -> None:
    """Draw the moves; `values` has the draw before the first move, too."""
    corners, rejected = [values[0]], []
    order = (1, 0) if swapped else (0, 1)
    here = values[0].copy()
    for after, proposal, taken in zip(values[1:], proposals, accepted, strict=True):
        for j in order:
            there = here.copy()
            there[j] = proposal[j]
            if taken[j]:
                here = there
                corners.append(here)
            elif np.isfinite(there).all():
                rejected.append((here, there))
        here = after.copy()
    for start, end in rejected:
        ax.plot(*zip(start, end, strict=True), color=ACCENT, linewidth=0.6, linestyle=":", zorder=2)
    if rejected:
        ends = np.array([end for _, end in rejected])
        ax.scatter(ends[:, 0], ends[:, 1], marker="x", s=16, linewidths=0.8, color=ACCENT, zorder=2)
    line = np.array(corners)
    ax.plot(line[:, 0], line[:, 1], color=MAIN, linewidth=1.0, zorder=3)
    ax.scatter(values[:, 0], values[:, 1], s=12, color=MAIN, zorder=4)
    ax.scatter(values[:1, 0], values[:1, 1], s=60, facecolors="white", edgecolors=MAIN, linewidths=1.5, zorder=5)


def running_mean(
    fit: Fitted,
    parameters: str | Sequence[str] | None = None,
    *,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw the mean of the first n draws of every chain against n.

    The band is the mean of all draws with two Monte Carlo standard errors either side: where chains have converged
    their lines run into it.

    Parameters
    ----------
    fit : Fit
    parameters : str or sequence of str, optional
        As for `trace_panel`; the first twelve that the summary shows if absent.
    figsize : tuple of float, optional
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure
        One axes per parameter.
    """
    entries = chosen(fit, parameters)
    shown = entries[:_ROWS] if parameters is None else entries
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(figsize or (3.6 * columns, 2.3 * rows + 0.3))
    found = statistics(pd.RangeIndex(len(shown)), [entry.chains for entry in shown])
    for i, entry in enumerate(shown):
        ax = figure.add_subplot(rows, columns, i + 1)
        length = entry.chains.shape[1]
        error, mean = found["mcse_mean"].iloc[i], float(entry.draws.mean())
        if np.isfinite(error):
            ax.axhspan(mean - 2 * error, mean + 2 * error, color=PALE, zorder=1)
        for c, values in enumerate(entry.chains):
            ax.plot(
                np.arange(1, length + 1), np.cumsum(values) / np.arange(1, length + 1), color=colour(c), linewidth=1
            )
        centre, spread = np.median(entry.draws), float(entry.draws.std()) or 1.0
        ax.set_ylim(centre - 1.2 * spread, centre + 1.2 * spread)
        titles(ax, entry.label, "draws" if i >= len(shown) - columns else "")
        clean(ax, keep=("bottom", "left"))
    text = "Means of the first n draws, a line per chain. Band: mean of all draws, two Monte Carlo errors either side"
    figure.suptitle(
        wrapped(text, int(14 * figure.get_figwidth())), fontsize=SMALL + 1, color=MUTED, x=0.01, ha="left"
    )
    return figure


def acceptance(fit: Fitted, *, figsize: tuple[float, float] | None = None) -> Figure:
    """Draw the share of moves accepted, by block of the sampler or by coordinate of a random walk.

    A dot per chain. For ``proposal="random-walk"`` a band from 0.2 to 0.5 shows where random walks mix best: 0.44 for
    one coordinate, 0.234 for many at once. Moves that follow the shape of the posterior (``block``, ``iwls``) may
    well be accepted more often.

    Parameters
    ----------
    fit : Fit
        From the Metropolis engine.
    figsize : tuple of float, optional
        Width and height in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingsError
        If the fit is not from the Metropolis engine.
    """
    labels, rates = _rates(fit)
    count = len(labels)
    figure = new_figure(figsize or (6.5, 0.28 * count + 1.2))
    ax = figure.add_subplot()
    positions = np.arange(count)[::-1].astype(float)
    if "accepted" in fit.data["sample_stats"]:
        ax.axvspan(0.2, 0.5, color=PALE, alpha=0.5, linewidth=0, zorder=0)
    ax.hlines(positions, 0, rates.mean(axis=0), color=MUTED, linewidth=0.8, zorder=1)
    for c, own in enumerate(rates):
        ax.scatter(own, positions, s=18, color=colour(c), zorder=3)
    for position, rate in zip(positions, rates.mean(axis=0), strict=True):
        ax.annotate(f"{rate:.2f}", (1.02, position), fontsize=SMALL, color=INK, va="center", annotation_clip=False)
    row_labels(ax, positions, labels)
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.7, count - 0.3)
    walks = "accepted" in fit.data["sample_stats"]
    titles(ax, "Share of moves accepted, by chain", "acceptance" + walks * " (band: good for random walks)")
    clean(ax)
    ax.tick_params(axis="y", labelsize=NORMAL)
    return figure


def _rates(fit: Fitted) -> tuple[list[str], Floats]:
    """Return labels and acceptance, shape (chains, labels)."""
    sampled: Any = fit.data["sample_stats"].to_dataset() if "sample_stats" in fit.data.children else {}
    if "accepted" in sampled:
        shares = np.asarray(sampled["accepted"].values, dtype=float).mean(axis=1)
        if shares.shape[1] <= 60:
            return [c.label for c in coordinates_of(LatentView(fit.problem))], shares
    names = [str(n) for n in sampled if str(n).startswith(_PREFIX) and n != "acceptance_rate"]
    if not names:
        raise SettingsError('Only fits of model.fit("metropolis") tell what was accepted.')
    return [n.removeprefix(_PREFIX) for n in names], np.column_stack([sampled[n].values.mean(axis=1) for n in names])

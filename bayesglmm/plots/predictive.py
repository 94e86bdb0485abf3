"""Simulated responses against the observed ones, under the prior or the posterior."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.plots._axes import legend, titles
from bayesglmm.plots._numerics import check_prob, density, is_constant
from bayesglmm.plots._parameters import Fitted
from bayesglmm.plots._style import INK, MAIN, clean, counted_percent, figure_of, new_figure, percent, shortened

if TYPE_CHECKING:
    import xarray as xr

type Kind = Literal["continuous", "counts", "proportions", "categories"]
KINDS = ("continuous", "counts", "proportions", "categories")
OBSERVED = "y"
CURVES = 60
BARS = 31
FEW = 13  # distinct proportions that get a bar each
OBSERVED_BAR = "#DADADA"


class Simulating(Fitted, Protocol):
    """A fit that can simulate its responses."""

    def posterior_predictive(self, seed: int | None = None, draws: int | None = None) -> xr.DataTree:
        """Return simulated responses, variable ``y``."""


@dataclass(frozen=True, eq=False)
class Responses:
    """What is compared.

    Attributes
    ----------
    simulated : ndarray, shape (S, n)
    observed : ndarray, shape (n,)
    trials : ndarray of shape (n,) or None
    categories : tuple of str
        Names of the codes 0, 1, ..., where the response is a category.
    name : str
        Formula text of the response.
    source : {"prior", "posterior"}
    """

    simulated: Floats
    observed: Floats
    trials: Floats | None
    categories: tuple[str, ...]
    name: str
    source: str

    @property
    def kind(self) -> Kind:
        """How the response is best shown, from what it is made of."""
        if self.categories:
            return "categories"
        if self.trials is not None and self.trials.max() > 1:
            return "proportions"
        everything = np.concatenate([self.observed, self.simulated[np.isfinite(self.simulated)]])
        if everything.min() < 0 or (everything != np.round(everything)).any():
            return "continuous"
        return "categories" if everything.max() <= 1 else "counts"


def prior_predictive(
    draws: xr.DataTree,
    *,
    kind: Kind | None = None,
    prob: float = 0.9,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw what the priors claim about the response, with the observed responses for scale.

    Good priors allow the observed responses and much besides, but nothing absurd: look at the axis. Continuous
    responses are shown as one density per draw (exact zeros apart, as a number), counts as the share of rows with
    each count, proportions as their distribution over the rows, binary and ordinal responses as the share of rows in
    each category; bars and intervals are over draws.

    Parameters
    ----------
    draws : xarray.DataTree
        As `model.prior_predictive()` makes it: groups ``prior_predictive`` and ``observed_data`` with the variable
        ``y``; ``constant_data`` with ``trials`` where there are trials.
    kind : {"continuous", "counts", "proportions", "categories"}, optional
        Chosen from the response by default.
    prob : float
        Probability of the intervals over draws.
    ax : Axes, optional
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _figure(responses_of(draws, "prior"), kind, prob, ax, figsize)


def posterior_predictive(
    fit: Simulating,
    *,
    kind: Kind | None = None,
    prob: float = 0.9,
    draws: int = 200,
    seed: int = 0,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw responses that the fitted model simulates against the observed ones: does the model fit?

    Parameters
    ----------
    fit : Fit
        Simulated responses that ``fit.data`` already holds are used as they are.
    kind, prob, ax, figsize
        As of `prior_predictive`.
    draws : int
        How many data sets to simulate, at most.
    seed : int
        For the simulation.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if "posterior_predictive" not in fit.data.children:
        posterior = fit.data["posterior"]
        fit.posterior_predictive(seed=seed, draws=min(draws, posterior.sizes["chain"] * posterior.sizes["draw"]))
    return _figure(responses_of(fit.data, "posterior"), kind, prob, ax, figsize)


def responses_of(tree: xr.DataTree, source: str) -> Responses:
    for group in (f"{source}_predictive", "observed_data"):
        if group not in tree.children or OBSERVED not in tree[group].data_vars:
            raise SettingsError(f"There is no group {group!r} with the variable {OBSERVED!r} in these draws.")
    observed = tree["observed_data"][OBSERVED]
    simulated = np.asarray(tree[f"{source}_predictive"][OBSERVED].values, dtype=float)
    constant: Any = tree["constant_data"] if "constant_data" in tree.children else {}
    trials = np.asarray(constant["trials"].values, dtype=float) if "trials" in constant else None
    categories = tuple(json.loads(observed.attrs.get("categories", "[]")))
    values = np.asarray(observed.values, dtype=float)
    return Responses(
        simulated.reshape(-1, values.size), values, trials, categories, observed.attrs.get("response", "y"), source
    )


def _figure(
    data: Responses, kind: Kind | None, prob: float, ax: Axes | None, figsize: tuple[float, float] | None
) -> Figure:
    check_prob(prob)
    if kind is not None and kind not in KINDS:
        raise SettingsError(f"kind={kind!r} is not known; choose one of {', '.join(KINDS)}.")
    chosen = kind or data.kind
    own_figure = ax is None
    if ax is None:
        ax = new_figure(figsize or (7.0, 4.2)).subplots()
    drawing = {
        "continuous": densities,
        "counts": _counts,
        "proportions": proportion_bars,
        "categories": category_bars,
    }
    keys = drawing[chosen](ax, data, prob)
    ax.set_title(f"{data.source.capitalize()} predictive", fontsize=11, color=INK, loc="left")
    if own_figure:
        legend(figure_of(ax), keys, loc="outside lower center", ncols=len(keys))
    else:
        legend(ax, keys, loc="best")
    return figure_of(ax)


def _zeros(data: Responses, prob: float) -> str:
    """Say how many rows are exactly zero where others are positive, as a hurdle makes them; else say nothing."""
    finite = data.simulated[np.isfinite(data.simulated)]
    if finite.min() < 0 or data.observed.min() < 0 or not (data.observed > 0).any():
        return ""
    if not ((finite == 0).any() or (data.observed == 0).any()):
        return ""
    low, high = np.quantile((data.simulated == 0).mean(axis=1), [(1 - prob) / 2, (1 + prob) / 2])
    observed = counted_percent(float(np.mean(data.observed == 0)))
    shares = f"{observed} observed, {counted_percent(low)} to {counted_percent(high)} simulated"
    return f" above 0\nzeros: {shares} ({percent(prob)} interval)"


def densities(ax: Axes, data: Responses, prob: float) -> list[Artist]:
    """Draw a density per simulated data set; on a logarithmic axis where they span powers of ten."""
    draws = list(data.simulated[:: -(-len(data.simulated) // CURVES)])
    seen, zeros = data.observed, _zeros(data, prob)
    if zeros:  # a spike has no density and would flatten that of the others
        draws, seen = [own[own != 0] for own in draws], seen[seen != 0]
    everything = np.concatenate([*draws, seen])
    positive = bool((everything > 0).all())
    everything = everything[np.isfinite(everything)]
    low, high = np.quantile(everything, [0.005, 0.995])
    log = bool(positive and high > 1000 * low)
    change = np.log10 if log else np.asarray
    # Heavy tails of a few draws must not hide where the observed values are.
    low, high = (float(change(end)) for end in (min(low, seen.min()), max(high, seen.max())))
    bounds = (0.0, np.inf) if positive and not log else (-np.inf, np.inf)
    peaks: list[float] = []
    for own in draws:
        values = change(own[np.isfinite(own)])
        values = values[(values >= low) & (values <= high)]
        if values.size > 1 and not is_constant(values):
            grid, height = density(values, bounds)
            peaks.append(float(height.max()))
            ax.plot(grid, height, color=MAIN, alpha=0.22, linewidth=0.8)
    # One nearly constant draw has a density as tall as it likes.
    tallest = 1.5 * float(np.quantile(peaks, 0.9)) if peaks else 1.0
    tallest = min(tallest, max(peaks, default=1.0))
    observed = change(seen)
    if not is_constant(observed):
        grid, height = density(observed, bounds)
        ax.plot(grid, height, color=INK, linewidth=2.0)
        tallest = max(tallest, float(height.max()))
    edge = 0.0 if high > low else 0.5 * abs(low) or 1.0  # a response that is one value everywhere
    ax.set_xlim(low - edge, high + edge)
    ax.set_ylim(0.0, 1.05 * tallest)
    if log:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10.0**value:.6g}"))
    clean(ax)
    ax.set_yticks([])
    titles(ax, "", data.name + (" (logarithmic axis)" if log else "") + zeros, "density")
    return [Line2D([], [], color=MAIN, alpha=0.6, label="simulated data sets"), _observed_line()]


def _counts(ax: Axes, data: Responses, prob: float) -> list[Artist]:
    """Draw the share of rows with each count on a square-root axis, as a rootogram; large counts in bins."""
    highest = int(max(np.quantile(data.simulated, 0.99), data.observed.max()))
    starts = np.arange(highest + 1) if highest < BARS else count_bins(highest)
    edges = np.append(starts, highest + 1).astype(float)
    labels = [range_text(int(a), int(b) - 1) for a, b in pairwise(edges)]
    edges = np.append(edges, np.inf)  # what lies beyond counts as well
    if (data.simulated > highest).any():
        labels.append(f">{short_count(highest)}")
    else:
        edges = edges[:-1]
    simulated, observed = bin_shares(data.simulated, edges), bin_shares(data.observed[None], edges)[0]
    keys = bars(ax, simulated, observed, labels, prob)
    # On the square-root scale intervals of rare and frequent counts are equally wide.
    ax.set_yscale("function", functions=(_signed_root, _signed_square))
    ax.set_ylim(0.0, None)
    titles(ax, "", data.name, "share of rows (square-root axis)")
    return keys


def _signed_root(values: Any) -> Any:
    return np.sign(values) * np.sqrt(np.abs(values))


def _signed_square(values: Any) -> Any:
    return np.sign(values) * np.square(values)


def count_bins(highest: int) -> Any:
    """Return the first counts of bins that grow with the count: 0 and 1 stay alone, they are what models miss."""
    return np.unique(np.concatenate([[0], np.geomspace(1, highest + 1, 18)[:-1].astype(int)]))


def short_count(count: int) -> str:
    return f"{count}" if count < 10000 else f"{count:.1e}".replace("e+0", "e").replace("e+", "e")


def range_text(first: int, last: int) -> str:
    return short_count(first) if first == last else f"{short_count(first)}–{short_count(last)}"


def bin_shares(values: Floats, edges: Floats) -> Floats:
    """Return the share of each row's values in each bin [edge, next edge), shape (S, bins)."""
    bins = np.searchsorted(edges, values, side="right") - 1
    inside = (bins >= 0) & (bins < len(edges) - 1)
    flat = (np.arange(len(values))[:, None] * (len(edges) - 1) + bins)[inside]
    counts = np.bincount(flat, minlength=len(values) * (len(edges) - 1)).reshape(len(values), -1)
    return np.asarray(counts / values.shape[1])


def proportion_bars(ax: Axes, data: Responses, prob: float) -> list[Artist]:
    """Draw the share of rows with each proportion, or in each tenth (its lower end included) where they are many."""
    trials = np.ones_like(data.observed) if data.trials is None else np.maximum(data.trials, 1.0)
    drawn, seen = data.simulated / trials, data.observed / trials
    # Rounded, so that 3/5 and 6/10 are one value and rounding errors move none of them to another bar.
    drawn, seen = np.round(drawn, 9), np.round(seen, 9)
    values = np.unique(np.concatenate([drawn[np.isfinite(drawn)], seen]))
    if len(values) <= FEW:
        edges = np.append(values, 2.0) - 1e-9
        labels = [f"{value:.3g}" for value in values]
    else:
        edges = np.round(np.linspace(0.0, 1.0, 11), 9)
        labels = [f"{a:.1f}–{b:.1f}" for a, b in pairwise(edges)]
        edges[-1] = 1.0 + 1e-9
    simulated, observed = bin_shares(drawn, edges), bin_shares(seen[None], edges)[0]
    keys = bars(ax, simulated, observed, labels, prob)
    titles(ax, "", f"proportion: {data.name}", "share of rows")
    return keys


def category_bars(ax: Axes, data: Responses, prob: float) -> list[Artist]:
    last = int(max(data.observed.max(), data.simulated.max(), len(data.categories) - 1, 1))
    edges = np.linspace(-0.5, last + 0.5, last + 2)
    labels = list(data.categories) or [f"{code}" for code in range(last + 1)]
    keys = bars(ax, bin_shares(data.simulated, edges), bin_shares(data.observed[None], edges)[0], labels, prob)
    titles(ax, "", data.name, "share of rows")
    return keys


def bars(ax: Axes, simulated: Floats, observed: Floats, labels: Sequence[str], prob: float) -> list[Artist]:
    """Draw observed shares as bars, and means and intervals of simulated shares as points with lines."""
    places = np.arange(len(labels))
    lower, upper = np.quantile(simulated, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    ax.bar(places, observed, width=0.8, color=OBSERVED_BAR, linewidth=0, zorder=1)
    ax.vlines(places, lower, upper, color=MAIN, linewidth=2.2, zorder=2)
    ax.scatter(places, simulated.mean(axis=0), s=22, color=MAIN, zorder=3)
    shown = [shortened(label, 16) for label in labels]
    crowded = sum(len(label) + 1 for label in shown) > 75
    every = max(1, len(labels) // 16) if all(label.isdigit() for label in shown) else 1
    ax.set_xticks(
        places[::every],
        shown[::every],
        parse_math=False,
        rotation=45 if crowded and every == 1 else 0,
        ha="right" if crowded and every == 1 else "center",
    )
    ax.set_xlim(min(-0.6, (len(labels) - 6) / 2), max(len(labels) - 0.4, len(labels) / 2 + 2))
    ax.set_ylim(0.0, None)
    clean(ax, keep=("left", "bottom"))
    ax.tick_params(axis="x", length=0)
    line = Line2D([], [], color=MAIN, linewidth=2.2, marker="o", markersize=5)
    line.set_label(f"simulated: mean and {percent(prob)} interval")
    return [Patch(color=OBSERVED_BAR, label="observed"), line]


def _observed_line() -> Line2D:
    return Line2D([], [], color=INK, linewidth=2.0, label="observed")

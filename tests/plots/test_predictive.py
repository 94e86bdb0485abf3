"""Predictive figures: the right kind for the response, and shares, intervals and densities of the draws."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from bayesglmm.errors import SettingsError
from bayesglmm.plots import posterior_predictive, prior_predictive
from bayesglmm.plots._numerics import density


def tree(
    simulated: Any, observed: Any, trials: Any = None, categories: tuple[str, ...] = (), source: str = "prior"
) -> Any:
    attrs = {"response": "left side"} | ({"categories": json.dumps(categories)} if categories else {})
    groups = {
        f"{source}_predictive": xr.Dataset({"y": (("chain", "draw", "obs"), np.asarray(simulated)[None])}),
        "observed_data": xr.Dataset({"y": (("obs",), np.asarray(observed), attrs)}),
    }
    if trials is not None:
        groups["constant_data"] = xr.Dataset({"trials": (("obs",), np.asarray(trials, dtype=float))})
    return xr.DataTree.from_dict(groups)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def heights(ax: Any) -> list[float]:
    return [bar.get_height() for bar in ax.patches]


def ticks(ax: Any) -> list[str]:
    return [tick.get_text() for tick in ax.get_xticklabels()]


def test_counts_are_shares_with_intervals_on_a_root_axis(rng: np.random.Generator, drawn: Any) -> None:
    simulated, observed = rng.poisson(2.0, (300, 40)), rng.poisson(2.0, 40)
    ax = drawn(prior_predictive(tree(simulated, observed), prob=0.8)).axes[0]
    top = int(max(np.quantile(simulated, 0.99), observed.max()))
    shares = np.array([(simulated == k).mean(axis=1) for k in range(top + 1)])
    assert heights(ax)[: top + 1] == pytest.approx([(observed == k).mean() for k in range(top + 1)])
    segments = np.array([s[:, 1] for s in ax.collections[0].get_segments()])[: top + 1]
    assert segments == pytest.approx(np.quantile(shares, [0.1, 0.9], axis=1).T)
    assert np.asarray(ax.collections[1].get_offsets())[: top + 1, 1] == pytest.approx(shares.mean(axis=1))
    assert ax.get_yscale() == "function"
    assert ax.get_xlabel() == "left side"
    assert ticks(ax)[-1] == f">{top}"


def test_large_counts_share_bins_and_none_is_lost(rng: np.random.Generator, drawn: Any) -> None:
    simulated = rng.poisson(np.exp(rng.normal(2, 3, (200, 1))), (200, 30))
    observed = rng.poisson(5.0, 30)
    ax = drawn(prior_predictive(tree(simulated, observed))).axes[0]
    assert ticks(ax)[:2] == ["0", "1"]
    assert sum(heights(ax)) == pytest.approx(1.0)
    assert ax.collections[1].get_offsets()[:, 1].sum() == pytest.approx(1.0)


def test_proportions_of_trials(rng: np.random.Generator, drawn: Any) -> None:
    trials = rng.integers(2, 9, 50)
    observed, simulated = rng.binomial(trials, 0.3), rng.binomial(trials, 0.5, (100, 50))
    observed[0] = trials[0]
    ax = drawn(prior_predictive(tree(simulated, observed, trials))).axes[0]
    expected = np.histogram(np.minimum(observed / trials + 1e-9, 1.0), np.linspace(0, 1, 11))[0] / 50
    assert heights(ax) == pytest.approx(expected.tolist())
    assert ax.get_xlabel() == "proportion: left side"


@pytest.mark.parametrize("categories", [(), ("no", "yes"), ("poor", "fair", "good")])
def test_binary_and_ordinal_responses_are_shares_of_categories(
    rng: np.random.Generator, drawn: Any, categories: tuple[str, ...]
) -> None:
    k = len(categories) or 2
    observed, simulated = rng.integers(0, k, 40), rng.integers(0, k, (50, 40))
    ax = drawn(prior_predictive(tree(simulated, observed, categories=categories))).axes[0]
    assert ticks(ax) == list(categories or ("0", "1"))
    assert heights(ax) == pytest.approx([(observed == j).mean() for j in range(k)])


def test_continuous_responses_are_densities(rng: np.random.Generator, drawn: Any) -> None:
    simulated, observed = rng.normal(0, 2, (300, 40)), rng.normal(0, 1, 40)
    ax = drawn(prior_predictive(tree(simulated, observed))).axes[0]
    assert len(ax.lines) == 61
    grid, height = density(observed)
    assert np.array_equal(ax.lines[-1].get_xdata(), grid)
    assert np.array_equal(ax.lines[-1].get_ydata(), height)
    low, high = ax.get_xlim()
    assert low <= observed.min()
    assert high >= observed.max()


def test_wild_positive_responses_get_a_logarithmic_axis(rng: np.random.Generator, drawn: Any) -> None:
    simulated = np.exp(rng.normal(0, 6, (100, 1)) + rng.normal(size=(100, 30)))
    ax = drawn(prior_predictive(tree(simulated, np.exp(rng.normal(size=30))))).axes[0]
    assert ax.get_xlabel() == "left side (logarithmic axis)"


def test_degenerate_responses(rng: np.random.Generator, drawn: Any) -> None:
    drawn(prior_predictive(tree(np.full((5, 4), 2.5), np.full(4, 2.5))))
    drawn(prior_predictive(tree(rng.normal(size=(1, 4)), rng.normal(size=4))))
    wild = rng.normal(size=(5, 4))
    wild[0] = np.nan
    wild[1, 0] = np.inf
    drawn(prior_predictive(tree(wild, rng.normal(size=4))))


def test_the_posterior_is_simulated_when_asked_for(fitted: Any, drawn: Any) -> None:
    fit = fitted("yes ~ x + (1 | g)", "bernoulli", draws=40)
    figure = drawn(posterior_predictive(fit, draws=30, seed=4))
    assert fit.data["posterior_predictive"]["y"].values.size == 30 * 60
    assert figure.axes[0].get_title(loc="left") == "Posterior predictive"
    again = drawn(posterior_predictive(fit, draws=10))
    assert fit.data["posterior_predictive"]["y"].values.size == 30 * 60
    assert heights(again.axes[0]) == heights(figure.axes[0])


def test_a_given_axes_and_a_given_kind(rng: np.random.Generator, drawn: Any) -> None:
    ax = Figure().subplots()
    data = tree(rng.poisson(2.0, (50, 40)), rng.poisson(2.0, 40))
    assert drawn(prior_predictive(data, kind="categories", ax=ax)) is ax.figure
    assert ax.get_yscale() == "linear"
    assert ax.get_legend() is not None


def test_refusals(rng: np.random.Generator) -> None:
    data = tree(rng.normal(size=(3, 4)), rng.normal(size=4))
    unknown: Any = "histogram"
    with pytest.raises(SettingsError, match="kind='histogram'"):
        prior_predictive(data, kind=unknown)
    del data["prior_predictive"]
    with pytest.raises(SettingsError, match="no group 'prior_predictive'"):
        prior_predictive(data)


def test_few_distinct_proportions_have_a_bar_each(rng: np.random.Generator, drawn: Any) -> None:
    trials = np.full(40, 5)
    observed, simulated = np.tile([0, 1, 3, 3, 5], 8), rng.binomial(5, 0.5, (100, 40))
    ax = drawn(prior_predictive(tree(simulated, observed, trials))).axes[0]
    assert ticks(ax) == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert heights(ax) == pytest.approx([0.2, 0.2, 0.0, 0.4, 0.0, 0.2])


def test_many_proportions_fall_in_the_tenth_that_begins_with_them(rng: np.random.Generator, drawn: Any) -> None:
    trials = np.arange(10, 50)
    simulated = rng.binomial(trials, 0.5, (100, 40))
    observed = np.where(np.arange(40) % 10 == 0, 3 * trials // 5, 0)  # 0.6 of 10, 20, 30 and 40
    ax = drawn(prior_predictive(tree(simulated, observed, trials))).axes[0]
    assert ticks(ax)[6].startswith("0.6")
    assert heights(ax)[6] == pytest.approx(0.1)
    assert heights(ax)[5] == 0.0


def test_zeros_of_a_hurdle_are_told_apart_from_the_density(rng: np.random.Generator, drawn: Any) -> None:
    simulated = rng.gamma(3.0, size=(100, 40)) * (rng.random((100, 40)) > 0.5)
    observed = rng.gamma(3.0, size=40)
    observed[:7] = 0.0
    ax = drawn(prior_predictive(tree(simulated, observed))).axes[0]
    assert re.search(r"zeros: 17\.5% observed, \d\d(\.\d)?% to \d\d(\.\d)?% simulated", ax.get_xlabel())
    assert np.array_equal(ax.lines[-1].get_ydata(), density(observed[7:], (0.0, np.inf))[1])

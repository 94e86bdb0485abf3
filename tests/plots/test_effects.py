"""The caterpillar plot: ordered, complete, readable with few and with many levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

import bayesglmm as bg
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import caterpillar
from bayesglmm.plots._style import MAIN


def test_one_panel_per_group_and_term(slopes: Any, drawn: Any) -> None:
    titles = [ax.get_title(loc="left") for ax in drawn(caterpillar(slopes)).axes]
    assert titles == ["g: Intercept", "g: x", "h: Intercept"]
    assert [ax.get_title(loc="left") for ax in drawn(caterpillar(slopes, "g")).axes] == titles[:2]
    assert [ax.get_title(loc="left") for ax in drawn(caterpillar(slopes, term="x")).axes] == ["g: x"]


def test_levels_are_in_order_with_the_intervals_of_ranef(slopes: Any, drawn: Any) -> None:
    ax = drawn(caterpillar(slopes, "g", "x", prob=0.8)).axes[0]
    table = slopes.ranef(prob=0.8)
    table = table[(table["group"] == "g") & (table["term"] == "x")].sort_values("mean")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == table["level"].tolist()
    lines, points = ax.collections
    assert np.array([s[:, 0] for s in lines.get_segments()]) == pytest.approx(table[["lower", "upper"]].to_numpy())
    assert np.asarray(points.get_offsets())[:, 0] == pytest.approx(table["mean"].to_numpy())
    assert ax.get_xlabel() == "deviation (units of y)"


def test_intervals_that_exclude_zero_are_coloured(fitted: Any, drawn: Any) -> None:
    fit = fitted("yes ~ x + (1 | g)", "bernoulli", seed=12)
    values = fit.data["posterior"]["b_g"].values
    values[:, :, 2] += 50.0
    ax = drawn(caterpillar(fit)).axes[0]
    coloured = [same_color(colour, MAIN) for colour in ax.collections[0].get_colors()]
    assert coloured == [False] * 5 + [True]
    assert ax.get_yticklabels()[-1].get_text() == "g2"
    assert ax.get_xlabel() == "deviation (log odds)"


def test_thousands_of_levels_lose_their_names(fitted: Any, drawn: Any) -> None:
    fit = fitted("y ~ 1 + (1 | g)", rows=2500, levels=2000, draws=20)
    figure = drawn(caterpillar(fit))
    ax = figure.axes[0]
    assert len(ax.get_yticks()) == 0
    assert ax.get_ylabel() == "2,000 levels of g, in order"
    assert len(ax.collections[0].get_segments()) == 2000
    assert figure.get_size_inches()[1] < 8


def test_the_fewest_levels_and_a_given_axes(fitted: Any, drawn: Any) -> None:
    fit = fitted("y ~ x + (1 | g)", levels=2)
    figure = Figure()
    ax = figure.subplots()
    assert drawn(caterpillar(fit, ax=ax)) is figure
    assert sorted(tick.get_text() for tick in ax.get_yticklabels()) == ["g0", "g1"]


def test_refusals(slopes: Any, fitted: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"No grouping factor is called 'k'.*Known: g, h"):
        caterpillar(slopes, "k")
    with pytest.raises(UnknownNameError, match=r"No term 'Intercep' varies by h. Did you mean 'Intercept'"):
        caterpillar(slopes, "h", "Intercep")
    with pytest.raises(SettingsError, match="no group effects"):
        caterpillar(fitted("y ~ x"))
    with pytest.raises(SettingsError, match="ax= holds one panel, and there are 3"):
        caterpillar(slopes, ax=Figure().subplots())


def test_conditional_modes_are_drawn_as_ranef_has_them(drawn: Any) -> None:
    model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", bg.load_dataset("cbpp"), family="binomial")
    fit = model.fit("laplace", objective="ml")
    figure = drawn(caterpillar(fit, prob=0.8))
    assert figure.get_suptitle().startswith("Conditional modes and 80%")
    table = fit.ranef(prob=0.8).sort_values("estimate")
    ax = figure.axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == table["level"].tolist()
    lines, points = ax.collections
    assert np.array([s[:, 0] for s in lines.get_segments()]) == pytest.approx(table[["lower", "upper"]].to_numpy())
    assert np.asarray(points.get_offsets())[:, 0] == pytest.approx(table["estimate"].to_numpy())

"""Figures of Metropolis chains: what is in them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.errors import SettingsError, UnknownNameError

PAIR = ["Intercept", "sd[herd, Intercept]"]


@pytest.fixture(scope="module")
def model() -> bg.Model:
    return bg.Model("incidence | trials(size) ~ period + (1 | herd)", bg.load_dataset("cbpp"), family="binomial")


@pytest.fixture(scope="module")
def walk(model: bg.Model) -> Any:
    return model.fit(
        "metropolis",
        seed=1,
        proposal="random-walk",
        scale=0.5,
        keep_proposals=True,
        draws=120,
        tune=50,
        chains=2,
        progressbar=False,
    )


@pytest.mark.parametrize("pair", [PAIR, PAIR[::-1]])
def test_path_goes_through_the_draws_along_the_axes(walk: Any, pair: list[str]) -> None:
    figure = bg.plots.metropolis_path(walk, pair, draws=50, first=10, chain=1)
    figure.canvas.draw()
    ax = figure.axes[0]
    line = max((own for own in ax.lines if own.get_linestyle() == "-"), key=lambda own: len(own.get_xdata()))
    path = np.column_stack([line.get_xdata(), line.get_ydata()])
    steps = np.diff(path, axis=0)
    assert np.all((steps != 0).sum(axis=1) == 1)  # horizontal or vertical
    posterior = walk.data["posterior"]
    ends = {
        "Intercept": posterior["beta"].values[1, :, 0],
        "sd[herd, Intercept]": posterior["sd_herd"].values[1, :, 0],
    }
    draws = np.column_stack([ends[name][10:61] for name in pair])
    np.testing.assert_allclose(path[0], draws[0])
    np.testing.assert_allclose(path[-1], draws[-1])
    corners = {tuple(np.round(corner, 9)) for corner in path}
    assert all(tuple(np.round(draw, 9)) in corners for draw in draws)


def test_running_mean_ends_at_the_mean(walk: Any) -> None:
    figure = bg.plots.running_mean(walk, ["Intercept", "period[2]"])
    figure.canvas.draw()
    assert len(figure.axes) == 2
    ends = [line.get_ydata()[-1] for line in figure.axes[0].lines]
    np.testing.assert_allclose(ends, walk.data["posterior"]["beta"].values[..., 0].mean(axis=1))


def test_acceptance_by_coordinate_and_by_block(model: bg.Model, walk: Any) -> None:
    figure = bg.plots.acceptance(walk)
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "Intercept"
    assert labels[-1] == "sd[herd, Intercept]"
    shown = figure.axes[0].texts[0].get_text()
    assert shown == f"{walk.data['sample_stats']['accepted'].values[..., 0].mean():.2f}"
    block = model.fit("metropolis", seed=1, draws=30, tune=20, chains=2, progressbar=False)
    other = bg.plots.acceptance(block).axes[0]
    assert [label.get_text() for label in other.get_yticklabels()] == ["theta", "z"]
    assert len(figure.axes[0].patches) == 1  # where random walks mix best
    assert not other.patches


def test_what_cannot_be_drawn_is_said(model: bg.Model, walk: Any) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'Intercept'"):
        bg.plots.metropolis_path(walk, ["Intercep", "period[2]"])
    with pytest.raises(SettingsError, match="two parameters"):
        bg.plots.metropolis_path(walk, "Intercept")
    with pytest.raises(SettingsError, match="chain must be"):
        bg.plots.metropolis_path(walk, PAIR, chain=7)
    with pytest.raises(SettingsError, match="120 draws"):
        bg.plots.metropolis_path(walk, PAIR, draws=500)
    laplace = model.fit("laplace", draws=50, seed=1)
    with pytest.raises(SettingsError, match="keep_proposals=True"):
        bg.plots.metropolis_path(laplace, PAIR)
    with pytest.raises(SettingsError, match="metropolis"):
        bg.plots.acceptance(laplace)

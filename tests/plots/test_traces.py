"""The trace panel: six cells per parameter, and in them the numbers of the draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import trace_panel
from bayesglmm.plots._numerics import autocorrelation, density
from bayesglmm.priors import Prior


def rows_of(figure: Any) -> list[list[Any]]:
    axes = figure.axes
    return [axes[i : i + 6] for i in range(0, len(axes), 6)]


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def plain(ax: Any) -> str:
    return " ".join(texts(ax)[0].split())


def test_every_parameter_of_the_summary_has_a_row_under_its_label(slopes: Any, drawn: Any) -> None:
    figure = drawn(trace_panel(slopes))
    rows = rows_of(figure)
    assert [plain(row[0]) for row in rows] == slopes.summary().index.tolist()
    assert [ax.get_title() for ax in rows[0]] == [
        "parameter", "trace", "lag 1", "autocorrelation", "density", "summary",
    ]  # fmt: skip


def test_the_cells_show_the_draws(slopes: Any, drawn: Any) -> None:
    _, trace, lag, acf, shape, words = rows_of(drawn(trace_panel(slopes, "x", prob=0.8)))[0]
    chains = slopes.data["posterior"]["beta"].values[:, :, 1]
    assert np.array_equal([line.get_ydata() for line in trace.lines], chains)
    assert len({line.get_color() for line in trace.lines}) == len(chains)
    assert np.array_equal(lag.lines[0].get_xdata(), chains[0, :-1])
    assert np.array_equal(lag.lines[0].get_ydata(), chains[0, 1:])
    assert [bar.get_height() for bar in acf.patches[-31:]] == pytest.approx(autocorrelation(chains, 30).tolist())
    row = slopes.summary(prob=0.8).loc["x"]
    band = shape.collections[0].get_paths()[0].vertices[:, 0]
    step = np.diff(shape.lines[0].get_xdata())[0]
    assert band.min() == pytest.approx(row["lower"], abs=step)
    assert band.max() == pytest.approx(row["upper"], abs=step)
    assert shape.collections[1].get_segments()[0][0, 0] == pytest.approx(row["mean"])
    sentence = " ".join(texts(words)).replace("−", "-")
    assert "posterior mean" in sentence
    assert "80% credible interval" in sentence
    shown = sentence.split("interval ")[1].split(" effective")[0].split(" to ")
    assert [float(number) for number in shown] == pytest.approx([row["lower"], row["upper"]], abs=0.006)


def test_group_effects_and_kinds_can_be_asked_for(slopes: Any, drawn: Any) -> None:
    figure = drawn(trace_panel(slopes, ["sd", "b[g, g3, x]", "sigma", "sd[h, Intercept]"]))
    labels = [plain(row[0]) for row in rows_of(figure)]
    assert labels == ["sd[g, Intercept]", "sd[g, x]", "sd[h, Intercept]", "b[g, g3, x]", "sigma"]
    effect = rows_of(figure)[3][1].lines[0].get_ydata()
    assert np.array_equal(effect, slopes.data["posterior"]["b_g"].values[0, :, 3, 1])


@pytest.mark.parametrize(("chains", "draws"), [(1, 50), (3, 8), (1, 2), (2, 1)])
def test_few_chains_and_few_draws(fitted: Any, drawn: Any, chains: int, draws: int) -> None:
    figure = drawn(trace_panel(fitted("y ~ x", chains=chains, draws=draws)))
    assert len(rows_of(figure)) == 3
    assert len(rows_of(figure)[0][1].lines) == chains


def test_a_parameter_that_is_held_says_so(fitted: Any, drawn: Any) -> None:
    fit = fitted("y ~ x", priors={"sigma": Prior("Fixed", value=2.5)})
    row = rows_of(drawn(trace_panel(fit, "sigma")))[0]
    assert texts(row[5]) == ["held at 2.5"]
    assert not row[4].lines


def test_at_most_twenty_rows_unless_named(fitted: Any, drawn: Any) -> None:
    fit = fitted("y ~ poly(x, 10) + poly(n, 5) + poly(count, 4)", draws=20, chains=1)
    count = len(fit.summary())
    assert count > 20
    figure = drawn(trace_panel(fit))
    assert len(rows_of(figure)) == 20
    assert f"The first 20 of {count} parameters" in figure.texts[0].get_text()
    assert len(rows_of(trace_panel(fit, "fixed"))) == count - 1


def test_unknown_names_are_answered_with_the_nearest(slopes: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"no parameter 'Intercpt'. Did you mean 'Intercept'"):
        trace_panel(slopes, "Intercpt")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'b\[g, g3, x\]'"):
        trace_panel(slopes, "b[g, g33, x]")
    with pytest.raises(SettingsError, match="empty"):
        trace_panel(slopes, [])
    with pytest.raises(SettingsError, match="between 0 and 1"):
        trace_panel(slopes, prob=95)


def test_the_density_integrates_to_one_and_stays_inside_its_bounds() -> None:
    draws = np.abs(np.random.default_rng(1).normal(size=20_000))
    grid, height = density(draws, (0.0, np.inf))
    assert grid[0] > 0
    assert np.sum(height) * (grid[1] - grid[0]) == pytest.approx(1.0)
    # Without reflection the estimate at the bound would be half of the truth, 0.798.
    assert height[0] == pytest.approx(0.798, abs=0.04)


def test_the_autocorrelation_of_an_autoregression() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(4, 20_000))
    chains = np.zeros_like(noise)
    for t in range(1, noise.shape[1]):
        chains[:, t] = 0.7 * chains[:, t - 1] + noise[:, t]
    assert autocorrelation(chains, 5) == pytest.approx(0.7 ** np.arange(6), abs=0.02)
    assert autocorrelation(np.ones((1, 10)), 3).tolist() == [1.0] * 4

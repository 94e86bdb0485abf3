"""Posterior predictive checks and figures of residuals: what they draw, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import ppc, residuals
from bayesglmm.plots._style import ACCENT
from bayesglmm.plots.residual_figures import running_quantiles
from bayesglmm.results.checking.residual_tests import levels_in_order


@pytest.fixture(scope="module")
def counts(fitted: Any) -> Any:
    return fitted("count ~ x + (1 | g)", "poisson")


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_rootogram_hangs_from_the_expected(counts: Any, drawn: Any) -> None:
    figure = drawn(ppc(counts, draws=100, seed=1))
    ax = figure.axes[0]
    y = counts.problem.response.y
    simulated = counts.data["posterior_predictive"]["y"].values.reshape(-1, y.size)
    expected = ax.lines[0].get_ydata()
    assert expected[:4] == pytest.approx(np.sqrt([(simulated == k).sum(axis=1).mean() for k in range(4)]))
    ends = np.array([segment[0, 1] for segment in ax.collections[0].get_segments()])
    assert expected[:4] - ends[:4] == pytest.approx(np.sqrt([(y == k).sum() for k in range(4)]))
    assert ax.get_ylabel() == "square root of frequency"
    band = [patch for patch in ax.patches if patch.get_alpha() is not None]
    inside = [b.get_y() - 1e-9 <= end <= b.get_y() + b.get_height() + 1e-9 for b, end in zip(band, ends, strict=True)]
    outside = [np.allclose(c, to_rgba(ACCENT)) for c in ax.collections[0].get_colors()]
    assert outside == [not own for own in inside]


@pytest.mark.parametrize(
    ("formula", "family", "label"),
    [
        ("y ~ x", "gaussian", "density"),
        ("yes ~ x", "bernoulli", "share of rows"),
        ("grade ~ x", "cumulative", "share of rows"),
        ("cbind(s, n - s) ~ x", "binomial", "share of rows"),
    ],
)
def test_every_response_has_its_kind(fitted: Any, drawn: Any, formula: str, family: str, label: str) -> None:
    assert drawn(ppc(fitted(formula, family), draws=30)).axes[0].get_ylabel() == label


def test_panels_and_groups(counts: Any, drawn: Any) -> None:
    h = np.array(["u", "v10", "v9"])[np.arange(60) % 3]
    figure = drawn(ppc(counts, by=h, draws=50))
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [f"the values given = {level} (20 rows)" for level in ("u", "v9", "v10")]
    quarters = drawn(ppc(counts, by=np.arange(60.0), kind="stat", stat="max", draws=50))
    assert len([ax for ax in quarters.axes if ax.get_title(loc="left")]) == 4
    figure = drawn(ppc(counts, kind="grouped", by=h, stat="zeros", draws=50))
    ax = figure.axes[0]
    y = np.asarray(counts.problem.response.y)
    shares = [float((y[h == level] == 0).mean()) for level in ("u", "v9", "v10")]
    assert np.asarray(ax.collections[2].get_offsets())[:, 0].tolist() == pytest.approx(shares)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["u", "v9", "v10"]
    assert "of 3 outside" in ax.get_title(loc="left")


def test_a_statistic_among_those_of_simulated_data(counts: Any, drawn: Any) -> None:
    figure = drawn(ppc(counts, kind="stat", stat=np.ptp, draws=40))
    assert figure.axes[0].lines[-1].get_xdata()[0] == np.ptp(counts.problem.response.y)
    assert "of simulated data sets reach the observed" in figure.axes[0].get_xlabel()
    assert texts(figure) == ["simulated data sets", "90% interval", "observed"]


def test_residuals_in_two_panels(counts: Any, drawn: Any) -> None:
    figure = drawn(residuals(counts, seed=2))
    left, right = figure.axes
    u = np.sort(counts.residuals(seed=2)["residual"])
    assert left.lines[1].get_ydata() == pytest.approx(u)
    assert left.lines[1].get_xdata() == pytest.approx(np.arange(1, 61) / 61)
    said = [text.get_text() for text in left.texts]
    checks = counts.check_residuals(seed=2)
    assert len(said) == len(checks)
    bad = checks["verdict"].ne("good").tolist()[::-1]
    assert [text.get_color() == ACCENT for text in left.texts] == bad
    assert len(right.lines) == 6  # three quartiles, and where they should be
    assert texts(figure) == ["rows", "quartiles of the residuals", "quartiles of a right model"]


def test_residuals_against_columns(counts: Any, drawn: Any) -> None:
    h = np.array(["u", "v", "w"])[np.arange(60) % 3]
    figure = drawn(residuals(counts, against=[np.linspace(0, 1, 60), h]))
    assert [ax.get_xlabel() for ax in figure.axes] == ["the values given (by rank)", "the values given"]
    assert len(figure.axes[1].patches) == 3
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["u", "v", "w"]


def test_running_quartiles_of_known_residuals() -> None:
    x = np.linspace(0, 1, 4001)
    u = np.tile((np.arange(40) + 0.5) / 40, 101)[:4001]
    found = running_quantiles(x, u, np.array([0.3, 0.5, 0.7]))
    assert found == pytest.approx(np.tile([0.25, 0.5, 0.75], (3, 1)), abs=0.02)


def test_levels_with_numbers_are_in_their_order() -> None:
    levels, codes = levels_in_order(["g10", "g2", "g10", "a"])
    assert levels == ["a", "g2", "g10"]
    assert codes.tolist() == [2, 1, 2, 0]


def test_refusals(counts: Any) -> None:
    with pytest.raises(SettingsError, match="kind='violin' is not known"):
        ppc(counts, kind="violin")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="needs by="):
        ppc(counts, kind="grouped")
    with pytest.raises(SettingsError, match="stat='mode' is not known"):
        ppc(counts, kind="stat", stat="mode")
    with pytest.raises(SettingsError, match="has 60 levels, and a figure has at most 12 panels"):
        ppc(counts, by=[f"r{i}" for i in range(60)])
    with pytest.raises(UnknownNameError, match="uses no column 'w'"):
        residuals(counts, against="w")
    with pytest.raises(SettingsError, match="against= is empty"):
        residuals(counts, against=[])

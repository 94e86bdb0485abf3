"""Figures of effects: the numbers drawn are those of the table, and the axes say what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import SettingsError
from bayesglmm.plots import comparisons, predictions, slopes


@pytest.fixture(scope="module")
def fit() -> Any:
    rng = np.random.default_rng(5)
    n = 60
    data = pd.DataFrame({"y": rng.poisson(3, n), "x": rng.normal(size=n), "f": rng.choice(list("abc"), n)})
    data["sex"], data["g"] = rng.choice(["f", "m"], n), rng.choice(["g1", "g2", "g3", "g4"], n)
    return bg.Model("y ~ x * f + sex + (1 | g)", data, family="poisson").fit("laplace", seed=1, draws=100)


def words(figure: Any) -> str:
    figure.canvas.draw()
    return " ".join(figure.get_supxlabel().split())


def test_lines_along_numbers_with_colours_and_panels(fit: Any) -> None:
    table = fit.predictions(at={"x": "range", "f": "levels", "sex": "levels"})
    figure = predictions(table)
    assert len(figure.axes) == 2
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["sex: f", "sex: m"]
    assert figure.axes[0].get_ylabel() == "expected y"
    lines = figure.axes[1].lines
    assert len(lines) == 3
    drawn = table.query("sex == 'm' and f == 'b'")
    assert np.allclose(lines[1].get_ydata(), drawn["mean"])
    assert np.allclose(lines[1].get_xdata(), drawn["x"])
    assert "95% intervals. Expected response for a typical group" in words(figure)


def test_points_over_levels(fit: Any) -> None:
    table = fit.emmeans("f", by="sex")
    figure = predictions(table, x="f")
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b", "c"]
    heights = np.concatenate([points.get_offsets()[:, 1] for points in ax.collections[1::2]])
    assert np.allclose(heights, table["mean"])
    assert ax.get_ylabel() == "log rate"


def test_rows_of_comparisons_and_their_null(fit: Any) -> None:
    table = fit.comparisons(kind="ratio", groups="average")
    figure = comparisons(table)
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    assert ax.lines[0].get_xdata()[0] == 1.0
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["x, +1", "f, b / a", "f, c / a", "sex, m / f"]
    points = ax.collections[-1].get_offsets()
    assert np.allclose(points[:, 0], table["mean"])
    assert ax.get_xlabel() == "ratio: expected y"
    assert "Averaged first, then compared." in words(figure)


def test_slopes_along_a_number(fit: Any) -> None:
    table = fit.slopes("x", at={"x": "range", "f": "levels"}, scale="link")
    figure = slopes(table)
    ax = figure.axes[0]
    assert ax.get_ylabel() == "change in log rate per unit of x"
    assert len(ax.lines) == 4  # a curve for each level, and the line at zero
    assert np.allclose(ax.lines[2].get_ydata(), table.query("f == 'c'")["mean"])
    plain = slopes(fit.slopes())
    assert plain.axes[0].get_xlabel() == "change in expected y per unit of x"


def test_maximum_likelihood_and_one_number(fit: Any) -> None:
    herds = bg.load_dataset("cbpp")
    model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", herds, family="binomial")
    found = model.fit("laplace", seed=1, objective="ml")
    figure = predictions(found.predictions())
    assert figure.axes[0].get_ylabel().startswith("probability of")
    table = found.comparisons("period", "pairwise", kind="odds ratio")
    points = comparisons(table).axes[0].collections[-1].get_offsets()
    assert np.allclose(points[:, 0], table["estimate"])


def test_what_is_no_answer_is_refused(fit: Any) -> None:
    with pytest.raises(SettingsError, match=r"a table of fit.comparisons\(\)"):
        comparisons(fit.predictions())
    with pytest.raises(SettingsError, match=r"a table of fit.slopes\(\), not of Fit"):
        slopes(fit)
    with pytest.raises(SettingsError, match="x='age': the table has the columns f"):
        predictions(fit.emmeans("f"), x="age")
    table = fit.predictions(at={"x": [0.0, 1.0], "f": "levels", "sex": "levels", "g": "levels"})
    with pytest.raises(SettingsError, match=r"panels are too many|ax= holds one panel"):
        predictions(table, ax=predictions(fit.emmeans("f")).axes[0])

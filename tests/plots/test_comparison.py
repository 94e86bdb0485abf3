"""Engines side by side: what is drawn is what the comparison says, within twenty panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import compare_engines
from bayesglmm.plots._style import colour


@pytest.fixture(scope="module")
def fits(fitted: Callable[..., Any]) -> dict[str, Any]:
    formula = "y ~ x + (1 + x | g) + (1 | h)"
    return {name: fitted(formula, seed=seed) for seed, name in enumerate(("nuts", "laplace", "metropolis"))}


def panels(figure: Any) -> dict[str, tuple[Any, Any]]:
    """Return the densities' and the intervals' axes of each parameter."""
    upper, lower = figure.axes[::2], figure.axes[1::2]
    return {ax.get_title(loc="left"): (ax, below) for ax, below in zip(upper, lower, strict=True)}


def test_every_parameter_has_its_densities_and_intervals(fits: Any, drawn: Any) -> None:
    comparison = bg.compare_engines(fits, prob=0.8)
    found = panels(drawn(compare_engines(comparison)))
    assert list(found) == list(fits["nuts"].summary().index)
    for label, (upper, lower) in found.items():
        assert [line.get_color() for line in upper.lines] == [colour(k) for k in range(3)]
        own = comparison.table[comparison.table["parameter"] == label]
        ends = np.array([segment[:, 0] for segment in lower.collections[0].get_segments()])
        assert ends == pytest.approx(own[["lower", "upper"]].to_numpy())
        assert lower.get_xlim() == upper.get_xlim()
        apart = np.nanmax(own["shift"].abs())
        assert [text.get_text() for text in upper.texts] == [f"at most {apart:.2f} sd apart"]
        for line in upper.lines:
            assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1.0, abs=0.01)
    assert found["sigma"][0].get_xlim()[0] >= 0.0
    assert found["cor[g, Intercept, x]"][0].get_xlim()[1] <= 1.0


def test_a_mapping_will_do_and_the_legend_names_the_engines(fits: Any, drawn: Any) -> None:
    two = {name: fits[name] for name in ("nuts", "laplace")}
    figure = drawn(compare_engines(two, ["x", "b[g, g1, x]"], prob=0.5))
    assert list(panels(figure)) == ["x", "b[g, g1, x]"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["nuts", "laplace"]
    header = figure.get_suptitle().replace("\n", " ")
    assert "50% intervals" in header
    assert "from nuts" in header


def test_kinds_and_single_names(fits: Any, drawn: Any) -> None:
    assert list(panels(drawn(compare_engines(fits, "sd")))) == [
        "sd[g, Intercept]",
        "sd[g, x]",
        "sd[h, Intercept]",
    ]
    assert list(panels(drawn(compare_engines(fits, "x")))) == ["x"]


def test_of_many_parameters_those_that_differ_most(fitted: Callable[..., Any], drawn: Any) -> None:
    formula = "y ~ poly(x, 12) + n*count*yes*s"
    two = {"a": fitted(formula, seed=1), "b": fitted(formula, seed=2)}
    comparison = bg.compare_engines(two)
    figure = drawn(compare_engines(comparison))
    labels = list(two["a"].summary().index)
    assert len(labels) > 20
    shown = list(panels(figure))
    assert len(shown) == 20
    assert shown == [label for label in labels if label in shown]
    farthest = comparison.table.dropna().set_index("parameter")["wasserstein"]
    assert farthest[shown].min() >= farthest.drop(index=shown).max()
    assert f"The 20 of {len(labels)} parameters that differ most" in figure.get_suptitle().replace("\n", " ")
    with pytest.raises(SettingsError, match="at most 20 parameters"):
        compare_engines(comparison, "fixed")


def test_parameters_that_are_held(fitted: Callable[..., Any], drawn: Any) -> None:
    priors = {"sigma": bg.Prior("Fixed", 2.0)}
    two = {name: fitted("y ~ x", priors=priors, seed=k) for k, name in enumerate("ab")}
    upper, lower = panels(drawn(compare_engines(two)))["sigma"]
    assert [line.get_xdata()[0] for line in upper.lines] == [2.0, 2.0]
    assert upper.texts[0].get_text() == ""
    assert np.asarray(lower.collections[-1].get_offsets())[:, 0].tolist() == [2.0, 2.0]


def test_errors(fits: Any) -> None:
    with pytest.raises(UnknownNameError, match="no parameter 'z'"):
        compare_engines(fits, ["x", "z"])
    with pytest.raises(SettingsError, match="between 0 and 1"):
        compare_engines(bg.compare_engines(fits), prob=1.5)
    with pytest.raises(SettingsError, match="at least two fits"):
        compare_engines({"nuts": fits["nuts"]})

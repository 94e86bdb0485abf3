"""The quality of Laplace's approximation by level: panels, their order, and what is said when not all are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.engines import modes
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import laplace_quality


@pytest.fixture(scope="module")
def cbpp() -> Any:
    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    model = bg.Model(formula, bg.load_dataset("cbpp"), family="binomial")
    return {kind: model.fit("laplace", objective=kind, draws=20, seed=1) for kind in ("ml", "posterior")}


def panels(figure: Any) -> dict[str, tuple[Any, Any]]:
    """Return both axes of each level."""
    return {
        ax.get_title(loc="left"): (ax, below) for ax, below in zip(figure.axes[::2], figure.axes[1::2], strict=True)
    }


@pytest.mark.parametrize("objective", ["ml", "posterior"])
def test_every_level_has_its_integrand_and_ratio(objective: str, cbpp: Any, drawn: Any) -> None:
    figure = drawn(laplace_quality(cbpp[objective]))
    found = panels(figure)
    assert list(found) == [str(k) for k in range(1, 16)]
    for upper, lower in found.values():
        (curve, normal), ratio = upper.lines, lower.lines[0]
        z = curve.get_xdata()
        assert normal.get_ydata() == pytest.approx(np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
        assert ratio.get_ydata() == pytest.approx(curve.get_ydata() / normal.get_ydata())
        assert ratio.get_ydata()[len(z) // 2] == pytest.approx(1.0)
        assert lower.get_ylim() == found["1"][1].get_ylim()
        assert float(upper.get_title(loc="right")) > 0.0
    assert "leaves out of the log-likelihood" in figure.get_suptitle().replace("\n", " ")


def test_the_worst_levels_when_there_are_many(cbpp: Any, drawn: Any) -> None:
    everything = panels(drawn(laplace_quality(cbpp["ml"])))
    figure = drawn(laplace_quality(cbpp["ml"], most=4))
    assert "The 4 of 15 levels where the approximation is furthest off" in figure.get_suptitle().replace("\n", " ")

    def printed(name: str) -> float:
        return abs(float(everything[name][0].get_title(loc="right").replace("−", "-")))

    shown = list(panels(figure))
    assert min(map(printed, shown)) >= max(printed(name) for name in everything if name not in shown)
    assert shown == sorted(shown, key=int)
    assert list(panels(drawn(laplace_quality(cbpp["ml"], levels=["7", "2"])))) == ["7", "2"]


def test_several_factors_and_effects_are_told_apart(fitted: Any, drawn: Any) -> None:
    crossed = fitted("count ~ x + (1 + x | g) + (1 | h)", "poisson")
    figure = drawn(laplace_quality(crossed, most=40))
    assert list(panels(figure)) == [*(f"g g{k}" for k in range(6)), "h u", "h v", "h w"]
    caption = figure.get_suptitle().replace("\n", " ")
    assert "all other effects held at their modes" in caption
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "integrand, widest axis",
        "integrand, second axis",
        "normal approximation",
    ]
    assert len(panels(figure)["g g0"][0].lines) == 3
    assert list(panels(drawn(laplace_quality(crossed, "h")))) == ["u", "v", "w"]


@pytest.mark.slow
def test_blocks_of_one_factor_are_told_apart(fitted: Any, drawn: Any) -> None:
    two = fitted(("count ~ x + (1 | g)", "zi ~ 1 + (1 | g)"), "zero_inflated_poisson")
    assert {"Intercept: g0", "zi.Intercept: g0"} <= set(panels(drawn(laplace_quality(two))))


def test_a_gaussian_model_is_exact(slopes: Any, drawn: Any) -> None:
    for _, lower in panels(drawn(laplace_quality(slopes))).values():
        for line in lower.lines[:-1]:
            assert line.get_ydata() == pytest.approx(1.0)


def test_errors(cbpp: Any, fitted: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"No grouping factor is called 'heard'. Did you mean 'herd'"):
        laplace_quality(cbpp["ml"], "heard")
    with pytest.raises(UnknownNameError, match="herd has no level '99'"):
        laplace_quality(cbpp["ml"], levels=["99"])
    with pytest.raises(SettingsError, match="most must be between 1 and 40"):
        laplace_quality(cbpp["ml"], most=0)
    with pytest.raises(SettingsError, match="no group effects"):
        laplace_quality(fitted("y ~ x"))
    with pytest.raises(SettingsError, match="levels= needs group="):
        laplace_quality(fitted("y ~ x + (1 + x | g) + (1 | h)"), levels=["u"])
    for none in ([], "7"):
        with pytest.raises(SettingsError, match="name at least one in a list"):
            laplace_quality(cbpp["ml"], levels=none)


@pytest.mark.parametrize("objective", ["ml", "posterior"])
def test_a_figure_of_a_laplace_fit_searches_no_mode(objective: str, cbpp: Any, monkeypatch: Any) -> None:
    def search(*_: Any, **__: Any) -> None:
        raise AssertionError("the fit has found the mode")

    for name in ("maximise", "maximum_likelihood"):
        monkeypatch.setattr(modes, name, search)
    assert len(laplace_quality(cbpp[objective]).axes) == 30


def test_a_mode_searched_later_is_that_of_the_fit(cbpp: Any) -> None:
    problem = cbpp["ml"].problem
    for objective, nodes in (("ml", 1), ("posterior", 1)):
        found = modes.mode_of(problem, objective, nodes)
        again = modes.mode_of(replace(problem, workspace={}), objective, nodes)
        assert again.theta == pytest.approx(found.theta, abs=1e-5)
        assert again.x == pytest.approx(found.x, abs=1e-5)

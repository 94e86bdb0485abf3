"""Smooth curves and surfaces: the numbers drawn are those of the draws, and captions say what is held fixed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bayesglmm as bg
from bayesglmm.engines.base import Run
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import smooth, surface
from bayesglmm.results import Fit
from bayesglmm.results.curves import band
from bayesglmm.results.curves import partial_residuals as residuals_of
from bayesglmm.results.schema import Meta, assemble
from bayesglmm.results.smooths import fitted_smooths, smooth_values

FRAME = pd.DataFrame(
    {
        "x": np.linspace(0, 1, 60) ** 2,
        "z": np.random.default_rng(1).uniform(0, 5, 60),
        "w": np.random.default_rng(2).normal(3.0, 1.0, 60),
        "f": pd.Categorical(np.array(["a", "b", "c"])[np.arange(60) % 3]),
        "g": pd.Categorical(np.array(["u", "v"])[np.arange(60) // 30]),
        "y": np.random.default_rng(3).normal(size=60),
        "yes": np.random.default_rng(4).integers(0, 2, 60),
    }
)


def made(formula: str, family: str = "gaussian", frame: pd.DataFrame = FRAME) -> Fit:
    """Return a fit with draws from a random number generator."""
    return _made(formula, family) if frame is FRAME else _drawn(formula, family, frame)


@cache
def _made(formula: str, family: str) -> Fit:
    return _drawn(formula, family, FRAME)


def _drawn(formula: str, family: str, frame: pd.DataFrame) -> Fit:
    model = bg.Model(formula, frame, family=family)
    problem, rng = model.problem, np.random.default_rng(7)
    draws = {}
    for variable in problem.model.free_RVs:
        z = rng.normal(size=(2, 100, *(int(n) for n in variable.shape.eval(mode="FAST_COMPILE"))))
        draws[variable.name] = 0.4 * z if problem.roles[variable.name] in ("fixed", "spherical") else np.exp(0.1 * z)
    return Fit(assemble(problem, Run(draws, {}, {"sample": 1.0}), Meta((formula,), "nuts")), problem, model.design)


def curves(ax: Axes, points: int) -> list[Any]:
    """Return the heights of each curve: its solid part, and where it is extrapolated the dashed one."""
    found: list[Any] = []
    for line in ax.lines:
        y = np.asarray(line.get_ydata(), dtype=float)
        if len(y) != points:
            continue
        if line.get_linestyle() == "-":
            found.append(y)
        else:
            found[-1] = np.where(np.isnan(found[-1]), y, found[-1])
    return found


CURVE, GROUPS = "y ~ w + s(x, k=5) + (1 | g)", "yes ~ w + f + s(x, by=f, k=5) + (1 | g)"


def test_the_band_of_the_whole_curve_holds_so_many_curves() -> None:
    """By construction: the share of draws that lie in the band everywhere is the probability asked for."""
    rng = np.random.default_rng(5)
    curves = rng.normal(size=(4000, 8)) @ rng.normal(size=(8, 50))
    found = band(curves, 0.9)
    inside = ((curves >= found.low) & (curves <= found.high)).all(axis=1).mean()
    assert inside == pytest.approx(0.9, abs=1e-3)
    assert (found.low < found.lower).all()
    assert (found.high > found.upper).all()
    pointwise = ((curves >= found.lower) & (curves <= found.upper)).mean(axis=0)
    assert pointwise == pytest.approx(np.full(50, 0.9), abs=1e-3)


def test_a_curve_that_does_not_vary_has_an_empty_band() -> None:
    found = band(np.zeros((50, 4)), 0.95)
    assert (found.low == 0).all()
    assert (found.high == 0).all()


@pytest.mark.parametrize("term", ["s(x)", " s( x )", "x"])
def test_a_term_alone(term: str, drawn: Any) -> None:
    fit = made(CURVE)
    figure = drawn(smooth(fit, term, points=20))
    (ax,) = figure.axes
    grid = np.linspace(FRAME["x"].min(), FRAME["x"].max(), 20)
    line = next(line for line in ax.lines if len(line.get_xdata()) == 20)
    assert line.get_ydata() == pytest.approx(smooth_values(fit, "s(x)", {"x": grid}).mean(axis=0))
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == ("s(x)", "x", "units of y")
    assert "zero is the average over the data" in " ".join(figure.get_suptitle().split())


@pytest.mark.filterwarnings("ignore:.*outside of the data of:bayesglmm.errors.ModelWarning")  # of a level
def test_the_response_is_the_prediction_for_a_typical_group(drawn: Any) -> None:
    fit = made(GROUPS, "bernoulli")
    figure = drawn(smooth(fit, "x", scale="response", points=9))
    (ax,) = figure.axes
    grid = np.linspace(FRAME["x"].min(), FRAME["x"].max(), 9)
    w = FRAME["w"].median()
    for level, own in zip("abc", curves(ax, 9), strict=True):
        rows = pd.DataFrame({"x": grid, "w": w, "f": level, "g": "u"})
        assert own == pytest.approx(fit.predict(rows, groups="typical")["mean"].to_numpy())
    assert ax.get_ylabel() == "probability of yes"
    assert f"Held fixed: w = {w:.4g}. Typical group" in " ".join(figure.get_suptitle().split())
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["f = a", "f = b", "f = c"]


def test_the_band_on_the_response_scale_stays_within_its_bounds(drawn: Any) -> None:
    fit = made("yes ~ s(x, k=5)", "bernoulli")
    (ax,) = drawn(smooth(fit, "x", scale="response")).axes
    heights = np.concatenate([path.vertices[:, 1] for c in ax.collections for path in c.get_paths()])
    assert heights.min() >= 0
    assert heights.max() <= 1


@pytest.mark.filterwarnings("ignore:.*outside of the data of:bayesglmm.errors.ModelWarning")  # of a level
def test_differences_of_levels(drawn: Any) -> None:
    fit = made(GROUPS, "bernoulli")
    figure = drawn(smooth(fit, "s(x)", difference=True, points=5))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["f: b − a", "f: c − a"]
    grid = np.linspace(FRAME["x"].min(), FRAME["x"].max(), 5)
    rows = [pd.DataFrame({"x": grid, "w": FRAME["w"].median(), "f": level, "g": "u"}) for level in "ab"]
    etas = [fit.predict(own, groups="typical", scale="link")["mean"].to_numpy() for own in rows]
    assert curves(figure.axes[0], 5)[0] == pytest.approx(etas[1] - etas[0])


def test_partial_residuals_of_a_gaussian_model_are_curve_plus_residual(drawn: Any) -> None:
    fit = made(CURVE)
    (ax,) = drawn(smooth(fit, "x", partial_residuals=True)).axes
    shown = np.concatenate([np.asarray(own.get_offsets()) for own in ax.collections if len(own.get_offsets()) > 3])
    curve = smooth_values(fit, "x", FRAME[["x"]]).mean(axis=0)
    expected = curve + FRAME["y"] - fit.predict()["mean"].to_numpy()
    inside = {(round(a, 6), round(b, 6)) for a, b in zip(FRAME["x"], expected, strict=True)}
    assert {(round(a, 6), round(b, 6)) for a, b in shown.tolist()} <= inside
    assert len(shown) >= 55


def test_every_term_has_a_panel(drawn: Any) -> None:
    figure = drawn(smooth(made("y ~ s(x, k=4) + s(z, k=4) + s(w, k=4)")))
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["s(x)", "s(z)", "s(w)"]


def test_a_surface_is_masked_by_the_hull(drawn: Any) -> None:
    fit = made("y ~ s(x, z, k=8)")
    figure = drawn(surface(fit, "x,z", grid=15))
    titles = [ax.get_title(loc="left") for ax in figure.axes[:2]]
    assert titles == ["s(x, z): posterior mean", "s(x, z): posterior sd"]
    (only,) = [ax for ax in drawn(surface(fit, "s(x,z)", "lower", grid=15)).axes if ax.get_title(loc="left")]
    assert only.get_title(loc="left") == "s(x, z): 95% interval, lower end"


def test_refusals(fitted: Any) -> None:
    fit = made(CURVE)
    with pytest.raises(UnknownNameError, match=r"no smooth 's\(xx\)'.*Did you mean 's\(x\)'"):
        smooth(fit, "s(xx)")
    with pytest.raises(SettingsError, match="name it with by="):
        smooth(fit, "x", difference=True)
    with pytest.raises(UnknownNameError, match="by: the model has no column 'ff'"):
        smooth(fit, "x", by="ff")
    with pytest.raises(UnknownNameError, match="at: the model has no column 'v'"):
        smooth(fit, "x", scale="response", at={"v": 1})
    with pytest.raises(SettingsError, match="cannot be held fixed"):
        smooth(fit, "x", scale="response", at={"x": 1})
    with pytest.raises(SettingsError, match="for a term alone"):
        smooth(fit, "x", scale="response", partial_residuals=True)
    with pytest.raises(SettingsError, match="60 different values"):
        smooth(fit, "x", by="w")
    with pytest.raises(SettingsError, match=r"plots\.surface"):
        smooth(made("y ~ s(x, z, k=8)"), "s(x, z)")
    with pytest.raises(SettingsError, match=r"plots\.smooth draws one"):
        surface(fit, "x")
    with pytest.raises(SettingsError, match="ax= holds one panel"):
        surface(made("y ~ s(x, z, k=8)"), "x, z", ax=Figure().subplots())


CODED = pd.DataFrame(
    {
        "x": np.concatenate([np.linspace(0, 1, 20), np.linspace(2, 3, 25), np.linspace(4, 5, 15)]),
        "code": np.repeat([1, 2, 7], [20, 25, 15]),
        "year": np.tile([1, 2, 4, 7], 15),
        "y": np.random.default_rng(5).normal(size=60),
    }
)


@pytest.mark.filterwarnings("ignore:.*outside of the data of:bayesglmm.errors.ModelWarning")  # of a level
@pytest.mark.parametrize("word", ["C", "factor"])
def test_curves_by_a_coded_column_know_their_own_rows(word: str, drawn: Any) -> None:
    """A level's curve, dots and predictions belong to its rows though no column is called C(code)."""
    fit = made(f"y ~ C(code) + s(x, by={word}(code), k=4)", frame=CODED)
    figure = drawn(smooth(fit, "x", partial_residuals=True, points=5))
    for ax, level in zip(figure.axes, [1, 2, 7], strict=True):
        own = CODED.loc[CODED["code"] == level, "x"]
        line = next(line for line in ax.lines if len(line.get_xdata()) == 5)
        assert (line.get_xdata()[0], line.get_xdata()[-1]) == (own.min(), own.max())
        dots = np.concatenate([np.asarray(c.get_offsets())[:, 0] for c in ax.collections if len(c.get_offsets()) > 3])
        assert set(dots.round(6)) <= set(own.round(6))
    figure = drawn(smooth(fit, "x", scale="response", points=5))
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert texts == [f"{word}(code) = {level}" for level in (1, 2, 7)]
    grid = np.linspace(CODED["x"].min(), CODED["x"].max(), 5)
    expected = fit.predict(pd.DataFrame({"x": grid, "code": 7}))["mean"].to_numpy()
    assert curves(figure.axes[0], 5)[-1] == pytest.approx(expected)
    titles = [ax.get_title(loc="left") for ax in drawn(smooth(fit, "x", difference=True, points=5)).axes]
    assert titles == [f"{word}(code): 2 − 1", f"{word}(code): 7 − 1"]


def test_of_an_ordered_factor_the_reference_has_predictions_too(drawn: Any) -> None:
    ordered = FRAME.assign(f=pd.Categorical(FRAME["f"], ordered=True))
    fit = made("y ~ f + s(x, k=4) + s(x, by=f, k=4)", frame=ordered)
    figure = drawn(smooth(fit, "s(x):f[b]", scale="response", points=5))
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["f = a", "f = b", "f = c"]


def test_numbers_that_are_coded_as_levels_are_held_at_a_level(drawn: Any) -> None:
    """The median of 1, 2, 4, 7 is no level: the most frequent one stands in."""
    fit = made("y ~ C(year) + s(x, k=4)", frame=CODED)
    figure = drawn(smooth(fit, "x", scale="response", points=5))
    assert "Held fixed: year = 1" in " ".join(figure.get_suptitle().split())


def test_the_factor_that_tells_curves_apart_cannot_be_held_fixed() -> None:
    with pytest.raises(SettingsError, match="'f' tells the curves apart"):
        smooth(made(GROUPS, "bernoulli"), "x", scale="response", at={"f": "zz"})


def test_captions_leave_out_response_and_groups_whatever_they_are_called(drawn: Any) -> None:
    """Columns come from the formula: `log` is a function in one place and a column in the other."""
    frame = FRAME.rename(columns={"w": "log", "g": "farm:house"})
    fit = made("log(y + 9) ~ log + s(x, k=4) + (1 | `farm:house`)", frame=frame)
    text = " ".join(drawn(smooth(fit, "x", scale="response", points=5)).get_suptitle().split())
    assert "Held fixed: log = " in text
    assert "farm" not in text


@pytest.mark.parametrize("factor", ["f", "C(code)"])
def test_partial_residuals_of_the_curves_of_levels(factor: str, drawn: Any) -> None:
    """The dots are what each row's own curve is, plus its residual."""
    frame = FRAME.assign(code=np.arange(60) % 3)
    fit = made(f"y ~ w + s(x, {factor}, bs='fs', k=4)", frame=frame)
    (found,) = fitted_smooths(fit)
    x, dots = residuals_of(fit, found)
    assert x.tolist() == frame["x"].tolist()
    others = frame["y"] - fit.predict()["mean"].to_numpy()
    beta = fit.fixed()["mean"]
    own = fit.predict(scale="link")["mean"].to_numpy() - beta["Intercept"] - beta["w"] * frame["w"]
    assert dots == pytest.approx((own + others).to_numpy())
    drawn(smooth(fit, found.label, partial_residuals=True, points=5))


@pytest.mark.filterwarnings("ignore:.*outside of the data of:bayesglmm.errors.ModelWarning")
@pytest.mark.parametrize("formula", ["y ~ f + s(x, by=f, k=4)", "y ~ s(x, f, bs='fs', k=4)", "y ~ f + s(x, k=4)"])
def test_curves_beyond_the_data_of_their_level_are_dashed(formula: str, drawn: Any) -> None:
    """Level c stops at 0.5. Without curves of its own nothing is extrapolated: the curve is that of all levels."""
    frame = FRAME[(FRAME["f"] != "c") | (FRAME["x"] < 0.5)]
    figure = drawn(smooth(made(formula, frame=frame), "x", by="f", scale="response", points=21))
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() not in ("-", "None")]
    if "s(x, k=4)" in formula:
        assert not dashed
        return
    own = frame.loc[frame["f"] == "c", "x"].max()
    solid, further = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 21][-2:]
    grid, seen = np.asarray(solid.get_xdata()), ~np.isnan(np.asarray(solid.get_ydata(), dtype=float))
    first = frame.loc[frame["f"] == "c", "x"].min()
    assert seen.tolist() == ((grid >= first) & (grid <= own)).tolist()
    assert further in dashed
    assert (~np.isnan(np.asarray(further.get_ydata(), dtype=float)) >= ~seen).all()
    assert "Dashed: beyond the data of the level" in " ".join(figure.get_suptitle().split())


def test_a_curve_of_which_nothing_is_left_is_zero(drawn: Any) -> None:
    """Of unpenalised curves by level beside a common one the first level's columns are all in that one."""
    fit = made("y ~ f + s(x, k=4, fx=TRUE) + s(x, by=f, k=4, fx=TRUE)")
    values = smooth_values(fit, "s(x):f[a]", {"x": [0.1, 0.2, 0.9]})
    assert values.shape == (200, 3)
    assert not values.any()
    assert fit.smooths().set_index("smooth").loc["s(x):f[a]", "reading"] == "all of it is in other terms"
    drawn(smooth(fit, "s(x):f[a]", partial_residuals=True, points=5))


def test_a_curve_times_its_own_covariate_is_drawn_per_unit_of_it() -> None:
    """y = x f(x): what is shown is f, and the prediction multiplies it."""
    fit = made("y ~ s(x, by=x, k=4)")
    new = pd.DataFrame({"x": [0.1, 0.4, 0.8]})
    curve = smooth_values(fit, "s(x):x", new).mean(axis=0)
    intercept = fit.fixed()["mean"]["Intercept"]
    assert fit.predict(new)["mean"].to_numpy() == pytest.approx(intercept + new["x"].to_numpy() * curve)

"""The forest plot: what is drawn equals the tables, scales are kept apart, ratios are exp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import SettingsError, UnknownNameError
from bayesglmm.plots import forest, trace_panel


def panels(figure: Any) -> dict[str, Any]:
    return {ax.get_title(loc="left"): ax for ax in figure.axes}


def labels(ax: Any) -> list[str]:
    return [tick.get_text() for tick in ax.get_yticklabels()]


def intervals(ax: Any, which: int = 0) -> np.ndarray[Any, Any]:
    """Return (lower, upper) of the rows of a panel; collections are outer, inner, points, fit by fit."""
    return np.array([segment[:, 0] for segment in ax.collections[which].get_segments()])


def points(ax: Any, which: int = 2) -> Any:
    return np.asarray(ax.collections[which].get_offsets())


def test_scales_are_kept_apart_and_every_parameter_is_there(slopes: Any, drawn: Any) -> None:
    found = panels(drawn(forest(slopes)))
    assert list(found) == ["Coefficients", "Standard deviations", "Correlations"]
    shown = [label for ax in found.values() for label in labels(ax)]
    assert sorted(shown) == sorted(slopes.summary().index)
    # The residual sd has the units of the others under the identity link.
    assert labels(found["Standard deviations"])[-1] == "sigma"
    assert found["Standard deviations"].get_xlim()[0] == 0.0
    assert found["Coefficients"].get_xlabel() == "units of y"


def test_what_is_drawn_is_the_summary(slopes: Any, drawn: Any) -> None:
    ax = panels(drawn(forest(slopes, prob=0.8, inner=0.4)))["Coefficients"]
    outer, inner = slopes.summary(prob=0.8), slopes.summary(prob=0.4)
    rows = labels(ax)
    assert intervals(ax, 0) == pytest.approx(outer.loc[rows, ["lower", "upper"]].to_numpy())
    assert intervals(ax, 1) == pytest.approx(inner.loc[rows, ["lower", "upper"]].to_numpy())
    assert points(ax)[:, 0] == pytest.approx(outer.loc[rows, "mean"].to_numpy())
    assert points(ax)[:, 1].tolist() == [0.0, 1.0]
    assert ax.yaxis_inverted()


def test_ratios_are_exp_on_a_logarithmic_axis_without_the_intercept(logistic: Any, drawn: Any) -> None:
    found = panels(drawn(forest(logistic, transform="exp")))
    ax = found["Coefficients"]
    assert labels(ax) == ["x"]
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "odds ratio"
    row = logistic.summary().loc["x"]
    assert intervals(ax)[0] == pytest.approx(np.exp([row["lower"], row["upper"]]))
    assert points(ax)[0, 0] == pytest.approx(np.exp(row["mean"]))
    assert found["Standard deviations"].get_xscale() == "linear"
    low, high = ax.get_xlim()
    assert low < 1 < high


def test_a_part_of_a_smooth_is_no_ratio(fitted: Any, drawn: Any) -> None:
    fit = fitted("count ~ h + s(x, k=4) + (1 | g)", "poisson")
    found = panels(drawn(forest(fit, transform="exp")))
    assert labels(found["Coefficients"]) == ["h[v]", "h[w]"]
    assert "s(x).x" in labels(panels(drawn(forest(fit)))["Coefficients"])


def test_an_intercept_that_is_named_is_odds(logistic: Any, drawn: Any) -> None:
    found = panels(drawn(forest(logistic, ["Intercept", "x"], transform="exp")))
    assert found["Intercept"].get_xlabel() == "odds"
    assert labels(found["Coefficients"]) == ["x"]


def test_a_far_intercept_gets_its_own_panel(fitted: Any, drawn: Any) -> None:
    fit = fitted("y ~ x")
    beta = fit.data["posterior"]["beta"].values
    beta[:, :, 0] += 250.0
    try:
        found = panels(drawn(forest(fit)))
    finally:
        beta[:, :, 0] -= 250.0
    assert list(found)[:2] == ["Intercept", "Coefficients"]
    assert labels(found["Coefficients"]) == ["x"]


def test_several_fits_share_rows(fitted: Any, drawn: Any) -> None:
    one, two = fitted("y ~ x + (1 | g)"), fitted("y ~ x + (1 | g) + (1 | h)", seed=9)
    figure = drawn(forest({"small": one, "large": two}))
    ax = panels(figure)["Standard deviations"]
    assert labels(ax) == ["sd[g, Intercept]", "sigma", "sd[h, Intercept]"]
    assert points(ax, 2)[:, 1] == pytest.approx(np.array([0, 1]) - 0.11)
    assert points(ax, 5)[:, 1] == pytest.approx(np.array([0, 2, 1]) + 0.11, abs=2)
    assert sorted(points(ax, 5)[:, 1]) == pytest.approx([0.11, 1.11, 2.11])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["small", "large"]
    only = panels(drawn(forest({"small": one, "large": two}, ["sd[h, Intercept]"])))
    assert labels(only["Standard deviations"]) == ["sd[h, Intercept]"]


def test_other_predictors_and_dispersions_have_panels(fitted: Any, drawn: Any) -> None:
    two = fitted(("y ~ x + (1 | g)", "sigma ~ x"))
    found = panels(drawn(forest(two)))
    assert labels(found["Coefficients of sigma"]) == ["sigma.Intercept", "sigma.x"]
    assert found["Coefficients of sigma"].get_xlabel() == "log sigma"
    shape = fitted("count ~ x + (1 | g)", "negative_binomial")
    found = panels(drawn(forest(shape, transform="exp")))
    assert found["Coefficients"].get_xlabel() == "rate ratio"
    assert any(title.startswith("Parameter ") for title in found)


def test_nominal_responses_have_odds_against_the_first_category(fitted: Any, drawn: Any) -> None:
    fit = fitted("h ~ x + (1 | g)", "categorical")
    found = panels(drawn(forest(fit)))
    assert list(found) == ["Coefficients", "Standard deviations"]
    assert found["Coefficients"].get_xlabel() == "log odds against u"
    assert panels(drawn(forest(fit, transform="exp")))["Coefficients"].get_xlabel() == "odds ratio"


def test_cutpoints_have_a_panel(fitted: Any, drawn: Any) -> None:
    fit = fitted("grade ~ x + (1 | g)", "cumulative")
    found = panels(drawn(forest(fit)))
    assert labels(found["Cutpoints"]) == [label for label in fit.summary().index if label.startswith("cutpoints")]
    assert found["Cutpoints"].get_xlabel() == "log odds"


def test_group_effects_can_be_drawn(slopes: Any, drawn: Any) -> None:
    found = panels(drawn(forest(slopes, ["b[g, g1, x]", "b[g, g2, x]"])))
    assert labels(found["Group effects"]) == ["b[g, g1, x]", "b[g, g2, x]"]


def test_refusals(slopes: Any, fitted: Any) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sigma'"):
        forest(slopes, "sigm")
    with pytest.raises(UnknownNameError, match="no parameter 'z'"):
        forest({"a": slopes, "b": slopes}, ["x", "z"])
    with pytest.raises(SettingsError, match=r"exp is a ratio.*units of y"):
        forest(slopes, transform="exp")
    unknown: Any = "log"
    with pytest.raises(SettingsError, match="transform='log'"):
        forest(slopes, transform=unknown)
    with pytest.raises(SettingsError, match="empty"):
        forest({})
    with pytest.raises(SettingsError, match="inner is the probability"):
        forest(slopes, inner=50)
    with pytest.raises(SettingsError, match="nothing to draw"):
        forest(fitted("yes ~ 1", "bernoulli"), transform="exp")


# maximum likelihood ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def estimated() -> Any:
    model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", bg.load_dataset("cbpp"), family="binomial")
    return model.fit("laplace", objective="ml")


def test_estimates_are_drawn_with_their_wald_intervals(estimated: Any, drawn: Any) -> None:
    figure = drawn(forest(estimated, prob=0.8, inner=0.4))
    assert figure.get_suptitle().startswith("Estimates and 80%")
    found, outer, inner = panels(figure), estimated.summary(prob=0.8), estimated.summary(prob=0.4)
    assert sorted(label for ax in found.values() for label in labels(ax)) == sorted(outer.index)
    for ax in found.values():
        rows = labels(ax)
        assert intervals(ax, 0) == pytest.approx(outer.loc[rows, ["lower", "upper"]].to_numpy())
        assert intervals(ax, 1) == pytest.approx(inner.loc[rows, ["lower", "upper"]].to_numpy())
        assert points(ax)[:, 0] == pytest.approx(outer.loc[rows, "estimate"].to_numpy())
    one = drawn(forest(estimated, ["b[herd, 3, Intercept]"])).axes[0]
    modes = estimated.ranef()
    row = modes[modes["level"] == "3"].iloc[0]
    assert intervals(one)[0] == pytest.approx([row["lower"], row["upper"]])
    assert points(one)[0, 0] == pytest.approx(row["estimate"])


def test_traces_of_estimates_are_refused(estimated: Any) -> None:
    with pytest.raises(SettingsError, match="has estimates only"):
        trace_panel(estimated)


def test_a_standard_deviation_of_zero_has_a_point_and_no_interval(drawn: Any) -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(
        {"y": np.tile([-1.0, 1.0], 12) + 0.01 * rng.normal(size=24), "g": np.repeat(list("abcdef"), 4)}
    )
    fit = bg.Model("y ~ 1 + (1 | g)", data).fit("laplace", objective="ml")
    assert fit.summary().loc["sd[g, Intercept]", "estimate"] == 0.0
    ax = panels(drawn(forest(fit)))["Standard deviations"]
    texts = [text.get_text() for text in ax.texts]
    assert texts[labels(ax).index("sd[g, Intercept]")] == "0"

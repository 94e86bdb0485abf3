"""Checks of maximum likelihood: separated responses have no maximum, and one effect per row beside a residual."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines.kernels.unbounded import silent
from bayesglmm.errors import ModelWarning


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """Responses of every kind to x and a factor in twelve groups, some of them separated."""
    rng, n = np.random.default_rng(3), 120
    g, x, z = np.arange(n) % 12, rng.normal(size=n), rng.normal(size=n)
    f = np.array(list("abc"))[rng.integers(0, 3, n)]
    eta = 0.5 * x + rng.normal(0, 0.7, 12)[g]
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    found = pd.DataFrame({"x": x, "z": z, "f": f, "g": g.astype(str), "y": y, "n": 3})
    found["level"] = np.where(f == "c", 1, y)
    found["jointly"] = (x + z > 0.05).astype(int)
    found["counts"] = rng.poisson(np.exp(eta))
    found["no_counts"] = np.where(f == "c", 0, found["counts"])
    found["graded"] = pd.Categorical(np.digitize(x + z, [-0.5, 0.5]).astype(str), ordered=True)
    return found


def fitted(formula: str, data: pd.DataFrame, family: str, **settings: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        return bg.Model(formula, data, family=family).fit("laplace", **{"objective": "ml", "seed": 1} | settings)


@pytest.mark.parametrize(
    ("formula", "family", "named", "others"),
    [
        ("level ~ x + f + (1 | g)", "bernoulli", ["f[c]"], ["x", "f[b]"]),
        # No column and no level separates alone, so that only the fit can tell.
        ("jointly ~ x + z + (1 | g)", "bernoulli", ["x", "z"], []),
        ("jointly ~ x + z", "bernoulli", ["x", "z"], []),
        ("no_counts ~ x + f + (1 | g)", "poisson", ["f[c]"], ["x", "f[b]", "Intercept"]),
        ("no_counts ~ x + f + (1 | g)", "negative_binomial", ["f[c]"], ["x", "f[b]"]),
        ("graded ~ x + z + (1 | g)", "cumulative", ["x", "z"], []),
    ],
)
def test_separated_responses_have_no_maximum(
    data: pd.DataFrame, formula: str, family: str, named: list[str], others: list[str]
) -> None:
    fit = fitted(formula, data, family)
    assert fit.verdict == "bad"
    (reason,) = fit.verdict.reasons
    assert reason.startswith("The likelihood has no maximum")
    table = fit.diagnose().set_index("check")
    assert table.loc["maximum", "verdict"] == "bad"
    assert "approximation" not in table.index
    rising = reason[: reason.index("grow")]
    assert all(name in rising for name in named)
    assert not any(f"{name} " in rising or f"{name}," in rising for name in others)
    assert 'model.fit("laplace")' in fit.verdict.advice[0]


def test_restricted_likelihood_and_quadrature_see_it_too(data: pd.DataFrame) -> None:
    for settings in ({"objective": "reml"}, {"quadrature": 5}):
        fit = fitted("level ~ x + f + (1 | g)", data, "bernoulli", **settings)
        assert "no maximum: it rises for ever as f[c] grows" in str(fit.verdict)


def test_a_period_without_any_incidence() -> None:
    frame = bg.load_dataset("cbpp")
    frame.loc[frame["period"].astype(str) == "4", "incidence"] = 0
    fit = fitted("incidence | trials(size) ~ period + (1 | herd)", frame, "binomial")
    assert "no maximum: it rises for ever as period[4] grows in size" in str(fit.verdict)
    assert set(fit.diagnose().query("check == 'maximum'")["verdict"]) == {"bad"}


def test_groups_that_are_all_alike_inside() -> None:
    """The likelihood rises with the standard deviation; Laplace's approximation of it has a maximum, and is poor."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(30), 4)
    frame = pd.DataFrame({"y": (rng.random(30) < 0.5).astype(int)[g], "x": rng.normal(size=120), "g": g.astype(str)})
    assert "quadrature=15" in str(fitted("y ~ x + (1 | g)", frame, "bernoulli").verdict)
    assert "rises for ever as sd[g, Intercept] grows" in str(
        fitted("y ~ x + (1 | g)", frame, "bernoulli", quadrature=15).verdict
    )


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + f + (1 | g)", "bernoulli"),
        ("counts ~ x + f + (1 | g)", "poisson"),
        ("x ~ z + f + (1 | g)", "gaussian"),
        ("far ~ x", "bernoulli"),
        ("rare ~ x", "bernoulli"),
        ("huge ~ z + (1 | g)", "gaussian"),
    ],
)
def test_what_has_a_maximum_is_left_alone(data: pd.DataFrame, formula: str, family: str) -> None:
    """Also where most rows are as good as certain, one event is all there is, or the response has a large unit."""
    rng = np.random.default_rng(5)
    far = (rng.random(120) < 1 / (1 + np.exp(-12 * data["x"]))).astype(int)
    assert data["x"][far == 1].min() < data["x"][far == 0].max()
    more = data.assign(far=far, rare=(np.arange(120) == 7).astype(int), huge=1e9 * data["x"])
    table = fitted(formula, more, family).diagnose().set_index("check")
    assert table.loc["maximum", "verdict"] == "good"


def test_units_and_dependent_columns_do_not_matter() -> None:
    """Years and their squares leave each other little of their own, whatever the unit."""
    years = np.linspace(1990.0, 2020.0, 200)
    X = np.column_stack([np.ones(200), years, years**2 * 1e6])
    assert not silent(X, np.full(200, 0.2)).any()
    known = np.where(years < 2000.0, 1e-9, 0.2)
    assert not silent(X, known).any()
    later = np.column_stack([np.ones(200), years < 2000.0, 1e-6 * (years < 1995.0)]).astype(float)
    assert silent(later, known).tolist() == [False, True, True]


def test_the_warning_speaks_of_both_kinds_of_fit(data: pd.DataFrame) -> None:
    words = "Complete separation.*Maximum likelihood has no finite estimate.*in a posterior.*prior"
    with pytest.warns(ModelWarning, match=words):
        bg.Model("level ~ f + (1 | g)", data, family="bernoulli")


@pytest.mark.parametrize(
    ("formula", "family", "settings", "confounded"),
    [
        ("x ~ 1 + (1 | id)", "gaussian", {}, True),
        ("p ~ 1 + (1 | id)", "lognormal", {}, True),
        ("x ~ 1 + (0 + z | id)", "gaussian", {}, False),
        (["x ~ 1 + (1 | id)", "sigma ~ z"], "gaussian", {}, False),
        ("x ~ 1 + (1 | id)", "gaussian", {"weights": "w"}, False),
        ("p ~ 1 + (1 | id)", "gamma", {}, False),
        ("x ~ 1 + (1 | id)", "student_t", {}, False),
        ("counts ~ 1 + (1 | id)", "negative_binomial", {}, False),
    ],
)
def test_one_effect_per_row_beside_a_residual(
    data: pd.DataFrame, formula: Any, family: str, settings: dict[str, Any], confounded: bool
) -> None:
    """Only a normal residual of one size adds what such an effect adds."""
    from bayesglmm.results.optimum import beside_residual

    more = data.assign(id=np.arange(120).astype(str), p=np.exp(data["x"]), w=np.tile([1.0, 4.0], 60))
    model = bg.Model(formula, more, family=family, **settings)
    assert beside_residual(model.problem) == (["id"] if confounded else [])


def test_a_confounded_effect_is_said(data: pd.DataFrame) -> None:
    fit = fitted("x ~ 1 + (1 | id)", data.assign(id=np.arange(120).astype(str)), "gaussian")
    assert fit.verdict == "check"
    assert "id has one row per level" in str(fit.verdict)
    assert "cannot be told apart" in str(fit.verdict)


def test_a_standard_deviation_that_is_nearly_zero_is_remarked_on() -> None:
    """Its Wald interval spans powers of ten; the note says where a better one is."""
    rng = np.random.default_rng(11)
    g, y, sd = np.arange(200) % 20, rng.normal(size=200), 0.05
    means = pd.Series(y).groupby(g).transform("mean").to_numpy()
    within, between = y - means, means - y.mean()
    # Groups of 10: the estimate is sd where the mean square of group means is that within groups / 10 + sd^2.
    wanted = np.sum(within**2) / (200 - 20) / 10 + sd**2
    frame = pd.DataFrame({"y": within + between * np.sqrt(wanted / np.mean(between**2)), "g": g.astype(str)})
    found = fitted("y ~ 1 + (1 | g)", frame, "gaussian")
    estimate, error = found.varcorr().iloc[0][["estimate", "se"]]
    assert estimate == pytest.approx(sd, abs=1e-4)
    assert estimate < error
    row = found.diagnose().set_index("check").loc["nearly zero"]
    assert row["verdict"] == "good"
    assert 'fit.profile("sd[g, Intercept]")' in row["meaning"]
    assert "nearly zero, with a standard error of" in " ".join(str(found).split())
    assert found.verdict == "good"
    assert found.profile("sd[g, Intercept]").intervals(0.95)["lower"].iloc[0] < 0.05


def test_a_singular_correlation_matrix_is_named() -> None:
    """Three effects of period for each of 15 herds of cbpp: glmer calls the fit singular, too."""
    fit = fitted("incidence | trials(size) ~ 1 + (1 + period | herd)", bg.load_dataset("cbpp"), "binomial")
    found = fit.diagnose().set_index("check").loc["boundary"]
    assert found["verdict"] == "check"
    assert "the correlations of herd (rank 2 of 4)" in found["meaning"]
    assert "||" in found["advice"]

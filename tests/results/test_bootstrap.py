"""The parametric bootstrap: reproducible, the same with any number of workers, and right about spread and bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, SettingsError


@pytest.fixture(scope="module")
def fit() -> Any:
    model = bg.Model("Reaction ~ Days + (Days | Subject)", bg.load_dataset("sleepstudy"))
    return model.fit("laplace", seed=1, objective="ml", draws=5)


def test_standard_errors_are_those_of_the_curvature(fit: Any) -> None:
    found = fit.bootstrap(40, seed=1)
    table = found.summary(prob=0.9)
    assert table.columns.tolist() == ["estimate", "bias", "se", "lower", "upper"]
    assert table.index.tolist() == fit.summary().index.tolist()
    assert table["estimate"].to_numpy() == pytest.approx(fit.summary()["estimate"].to_numpy())
    for name in ("Intercept", "Days", "sigma"):  # 40 replicates know a standard error to 11 percent
        assert table.loc[name, "se"] == pytest.approx(fit.summary().loc[name, "se"], rel=0.35)
    # Maximum likelihood divides by n, not n - p: with 18 subjects that shows in the standard deviations.
    assert table.loc["sd[Subject, Intercept]", "bias"] < 0
    assert abs(table.loc["Days", "bias"]) < 4 * table.loc["Days", "se"] / np.sqrt(40)
    assert found.failed == 0
    assert "40 replicates\n" in repr(found)


def test_workers_do_not_change_the_numbers(fit: Any) -> None:
    one, two = fit.bootstrap(6, seed=2), fit.bootstrap(6, workers=2, seed=2)
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    assert not one.table.equals(fit.bootstrap(6, seed=3).table)


def test_counts_and_quadrature() -> None:
    model = bg.Model(
        "cbind(incidence, size - incidence) ~ period + (1 | herd)", bg.load_dataset("cbpp"), family="binomial"
    )
    found = model.fit("laplace", seed=1, objective="ml", quadrature=5, draws=5).bootstrap(3, seed=1)
    assert found.table.notna().all().all()
    assert found.table["Intercept"].std() > 0


def test_a_correlation_that_is_undefined_beside_a_zero_is_not_simulated_from() -> None:
    """A standard deviation of zero leaves its correlations undefined; what is simulated does not depend on them."""
    rng = np.random.default_rng(4)
    x, g = np.tile(np.linspace(-2.5, 2.5, 6), 20), np.repeat(np.arange(20), 6)
    e = rng.normal(size=120)
    for level in range(20):  # residuals without any slope of their own in any group: less varies than by chance
        own = g == level
        e[own] -= np.polyval(np.polyfit(x[own], e[own], 1), x[own])
    data = pd.DataFrame({"y": 1.0 + 0.5 * x + rng.normal(size=20)[g] + e, "x": x, "g": g})
    fit = bg.Model("y ~ x + (x | g)", data).fit("laplace", seed=1, objective="ml", draws=5)
    assert fit.summary().loc["sd[g, x]", "estimate"] == 0.0
    assert np.isnan(fit.summary().loc["cor[g, Intercept, x]", "estimate"])
    found = fit.bootstrap(20, seed=1)
    assert found.failed == 0
    table = found.summary().drop(index="cor[g, Intercept, x]")
    assert table.notna().all().all()
    assert abs(table.loc["sd[g, Intercept]", "bias"]) < 4 * table.loc["sd[g, Intercept]", "se"] / np.sqrt(20)
    # The average over new groups is from the same distribution; with an identity link it is that of a typical group.
    new = data.head(3).assign(g=99)
    average, typical = (fit.predict(new, groups=word)["estimate"] for word in ("average", "typical"))
    assert average.to_numpy() == pytest.approx(typical.to_numpy(), abs=1e-10)


def test_what_cannot_be_simulated_is_refused(fit: Any) -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=40), "c": np.arange(40) % 2, "g": np.arange(40) % 8})
    censored = bg.Model("y | cens(c) ~ 1 + (1 | g)", data).fit("laplace", seed=1, objective="ml", draws=5)
    with pytest.raises(BayesglmmError, match="censored or truncated"):
        censored.bootstrap(2)
    with pytest.raises(SettingsError, match="n must be a whole number"):
        fit.bootstrap(0)

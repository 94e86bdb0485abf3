"""Missing responses, `y | mi()`: the fit of the other rows, and predictions of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError

N = 90
LOST = [4, 17, 60, 89]


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x, g = rng.normal(size=N), rng.integers(8, size=N)
    eta = 0.3 + 0.5 * x + 0.6 * rng.normal(size=8)[g]
    n = rng.integers(3, 9, size=N).astype(float)
    p = 1.0 / (1.0 + np.exp(-eta))
    data = pd.DataFrame({"x": x, "g": [f"g{i}" for i in g], "n": n, "y": eta + rng.normal(size=N)})
    data["count"] = rng.poisson(np.exp(eta)).astype(float)
    data["s"] = rng.binomial(n.astype(int), p).astype(float)
    data["grade"] = pd.Categorical(np.array(["low", "mid", "high"])[np.digitize(data["y"], [0.0, 1.0])])
    data["grade"] = data["grade"].cat.set_categories(["low", "mid", "high"], ordered=True)
    data.index = [f"row{i}" for i in range(N)]
    return data


FAMILIES = {
    "gaussian": ("y", "y | mi()"),
    "poisson": ("count", "count | mi()"),
    "binomial": ("s", "s | trials(n) + mi()"),
    "cumulative": ("grade", "grade | mi()"),
    "categorical": ("grade", "grade | mi()"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fit_is_that_of_the_other_rows(family: str) -> None:
    """To the last digit: the row is not in the likelihood. And its prediction is that of a new row."""
    column, left = FAMILIES[family]
    data = frame()
    data.loc[data.index[LOST], column] = np.nan
    kept = bg.Model(f"{left} ~ x + (1 | g)", data, family=family).fit("laplace", seed=1)
    alone = bg.Model(f"{left.replace(' + mi()', '').replace(' | mi()', '')} ~ x + (1 | g)", data, family=family)
    dropped = alone.fit("laplace", seed=1)
    pd.testing.assert_frame_equal(kept.summary(), dropped.summary())
    assert len(kept.design.rows.positions) == N - len(LOST)
    new = frame().drop(columns=column).iloc[LOST]
    for scale in ("outcome", "response"):
        expected = dropped.predict(new, scale=scale, seed=3)
        pd.testing.assert_frame_equal(kept.missing(scale=scale, seed=3), expected, check_names=False)
    assert list(kept.missing(seed=3).index.unique()) == [f"row{i}" for i in LOST]


@pytest.fixture(scope="module")
def fitted() -> bg.Fit:
    data = frame()
    data.loc[data.index[LOST], "y"] = np.nan
    data.loc["row60", "g"] = "unseen"
    data.loc["row30", "x"] = np.nan
    return bg.Model("y | mi() ~ x + (1 | g)", data).fit("laplace", seed=1)


def test_the_posterior_predictive_distribution_by_hand(fitted: bg.Fit) -> None:
    """Mean and variance of beta'x + b + noise over the draws: means within 4, variances within 10 % or so."""
    draws = fitted.data.posterior
    beta, b = draws["beta"].values.reshape(-1, 2), draws["b_g"].values.reshape(-1, 8)
    sd, sigma = draws["sd_g"].values.reshape(-1), draws["sigma"].values.reshape(-1)
    levels = list(draws["level_g"].values)
    found, own = fitted.missing(seed=2), fitted.design.unobserved
    for label, row in own.iterrows():
        known = row["g"] in levels
        eta = beta @ [1.0, row["x"]] + (b[:, levels.index(row["g"])] if known else 0.0)
        sd_of = np.sqrt(eta.var() + (sigma**2).mean() + (0.0 if known else (sd**2).mean()))
        assert abs(found.loc[label, "mean"] - eta.mean()) < 4.0 * sd_of / np.sqrt(len(eta))
        assert found.loc[label, "sd"] == pytest.approx(sd_of, rel=0.1)
    assert "row60" in found.index


def test_draws_are_multiple_imputations(fitted: bg.Fit) -> None:
    draws = fitted.missing_draws(seed=2)
    assert draws.dims == ("chain", "draw", "row")
    np.testing.assert_allclose(draws.mean(("chain", "draw")), fitted.missing(seed=2)["mean"], rtol=1e-12)


def test_what_is_said(fitted: bg.Fit) -> None:
    rows = fitted.design.rows
    assert (rows.given, rows.used, rows.dropped, len(rows.unobserved)) == (N, N - 5, 1, 4)
    assert any("4 rows have no response" in note for note in fitted.design.notes)


def test_a_saved_fit_predicts_the_same(fitted: bg.Fit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "mi.nc")
    pd.testing.assert_frame_equal(bg.load(tmp_path / "mi.nc").missing(seed=2), fitted.missing(seed=2))


def test_a_level_that_occurs_in_such_rows_alone_is_refused() -> None:
    data = frame().assign(f="a")
    data.loc[data.index[1::2], "f"] = "b"
    data.loc["row4", ["y", "f"]] = [np.nan, "c"]
    with pytest.raises(DataError, match=r"rows without a response.*level 'c'"):
        bg.Model("y | mi() ~ f", data)


def test_without_missing_responses_there_is_nothing_to_predict() -> None:
    with pytest.raises(BayesglmmError, match="no missing responses"):
        bg.Model("y | mi() ~ x", frame()).fit("laplace").missing()


@pytest.mark.parametrize(
    ("formula", "settings", "error", "message"),
    [
        ("y | mi(n) ~ x", {}, FormulaError, "takes no argument"),
        ("y | mi() + trunc(lb=-9) ~ x", {}, FormulaError, "cannot be combined"),
        ("cbind(s, n - s) | mi() ~ x", {"family": "binomial"}, FormulaError, "so are its trials"),
        ("y | mi() ~ x", {"residual": "ar1(n | g)"}, FormulaError, "cannot be combined"),
        ("y ~ mi(x)", {}, UnknownNameError, "imputed covariate"),
    ],
)
def test_what_is_refused(formula: str, settings: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as found:
        bg.Model(formula, frame(), **settings)
    assert "^" in str(found.value)

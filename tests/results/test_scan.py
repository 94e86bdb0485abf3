"""Scans of candidates: against fits of the model with each, dense algebra and scores by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, DataError, SettingsError

FORMULA = "y ~ x + (1 | gr(id, cov=K))"


@pytest.fixture(scope="module")
def individuals() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return data of 100 individuals, their kinship, and candidates of which c0 has an effect."""
    rng = np.random.default_rng(1)
    n, ids = 100, [f"i{j}" for j in range(100)]
    G = rng.binomial(2, 0.3, (n, 300)).astype(float)
    G = (G - G.mean(axis=0)) / G.std(axis=0) / np.sqrt(300)
    C = rng.normal(size=(n, 5))
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + 0.4 * C[:, 0] + G @ rng.normal(size=300) + 0.7 * rng.normal(size=n)
    data = pd.DataFrame({"y": y, "x": x, "id": ids, "case": (rng.uniform(size=n) < 1 / (1 + np.exp(-y))).astype(int)})
    K = pd.DataFrame(G @ G.T + 0.05 * np.eye(n), index=ids, columns=ids)
    return data, K, pd.DataFrame(C, columns=[f"c{j}" for j in range(5)])


def test_refitted_scans_are_fits_with_each_candidate(individuals: Any) -> None:
    data, K, candidates = individuals
    found = bg.scan(bg.Model(FORMULA, data, cov={"K": K}), candidates, refit=True).set_index("candidate")
    null = bg.Model(FORMULA, data, cov={"K": K}).fit("laplace", objective="ml")
    assert found.attrs["loglik"] == pytest.approx(null.loglik, abs=1e-6)
    for name in ("c0", "c1", "c4"):
        model = bg.Model(f"{FORMULA} + {name}", data.assign(**{name: candidates[name]}), cov={"K": K})
        fit = model.fit("laplace", objective="ml")
        assert found.loc[name, "loglik"] == pytest.approx(fit.loglik, abs=1e-5)
        assert found.loc[name, "effect"] == pytest.approx(fit.summary().loc[name, "estimate"], abs=1e-4)
        # The Hessian's standard errors also hold that variances are estimated: a little larger.
        assert found.loc[name, "se"] == pytest.approx(fit.summary().loc[name, "se"], rel=0.03)


def test_scans_at_the_ratio_of_the_null_model_are_generalised_least_squares(individuals: Any) -> None:
    """As glimix-core's fast scan: the ratio of the variances is held, their scale is not."""
    data, K, candidates = individuals
    model = bg.Model(FORMULA, data, cov={"K": K})
    null = model.fit("laplace", objective="ml")
    sd, sigma = null.varcorr()["estimate"]
    V, y, n = sd**2 * K.to_numpy() + sigma**2 * np.eye(len(data)), data["y"].to_numpy(), len(data)
    found = bg.scan(model, candidates)
    for j, row in found.iterrows():
        X = np.column_stack([np.ones(n), data["x"], candidates.iloc[:, j]])
        information = X.T @ np.linalg.solve(V, X)
        beta = np.linalg.solve(information, X.T @ np.linalg.solve(V, y))
        residual = y - X @ beta
        scale = residual @ np.linalg.solve(V, residual) / n
        se = np.sqrt(scale * np.linalg.inv(information)[2, 2])
        loglik = stats.multivariate_normal(X @ beta, scale * V).logpdf(y)
        np.testing.assert_allclose([row.effect, row.se], [beta[2], se], rtol=1e-6)
        assert row.loglik == pytest.approx(loglik, abs=1e-5)
        assert row.statistic == pytest.approx(2 * (loglik - null.loglik), abs=1e-5)
        assert row.p == pytest.approx(stats.chi2.sf(row.statistic, 1))
    assert found["candidate"][found["p"].argmin()] == "c0"


def test_bayes_factors_are_ratios_of_evidences(individuals: Any) -> None:
    """At variances that are held (sigma by its prior, the scale then too) the evidence is a normal density."""
    data, _, candidates = individuals
    model = bg.Model("y ~ x", data, priors={"sigma": bg.Prior("Fixed", 1.2)})
    found = bg.scan(model, candidates, effect_sd=0.3)
    # Flat priors of the others: their columns are projected out of both models.
    basis = np.linalg.svd(np.column_stack([np.ones(len(data)), data["x"]]))[0][:, 2:]
    y = basis.T @ data["y"].to_numpy()
    for j in range(5):
        c = basis.T @ candidates.iloc[:, j].to_numpy()
        zero = np.zeros(len(y))
        with_it = stats.multivariate_normal(zero, 1.44 * np.eye(len(y)) + 0.09 * np.outer(c, c)).logpdf(y)
        without = stats.multivariate_normal(zero, 1.44 * np.eye(len(y))).logpdf(y)
        assert found["log_bayes_factor"][j] == pytest.approx(with_it - without, abs=1e-7)
    assert "All variances" in found.attrs["note"]


def test_score_tests_of_binary_responses(individuals: Any) -> None:
    """Without a group term the score statistic is that of logistic regression, by its textbook formula."""
    data, K, candidates = individuals
    model = bg.Model("case ~ x", data, "bernoulli")
    found = bg.scan(model, candidates)
    p = 1.0 / (1.0 + np.exp(-np.column_stack([np.ones(100), data["x"]]) @ coefficients(model)))
    X, w = np.column_stack([np.ones(100), data["x"]]), p * (1 - p)
    for j in range(5):
        c = candidates.iloc[:, j].to_numpy()
        score = c @ (data["case"] - p)
        variance = c @ (w * c) - c @ (w[:, None] * X) @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * c))
        assert found["statistic"][j] == pytest.approx(score**2 / variance, rel=1e-4)
        assert found["effect"][j] == pytest.approx(score / variance, rel=1e-3)
    related = bg.scan(bg.Model("case ~ x + (1 | gr(id, cov=K))", data, "bernoulli", cov={"K": K}), candidates)
    assert (related["se"] >= found["se"] * 0.999).all()
    assert "score test" in related.attrs["note"]


def coefficients(model: bg.Model) -> Any:
    return model.fit("laplace", objective="ml").summary()["estimate"].to_numpy()


def test_score_statistics_are_near_likelihood_ratios_where_effects_are_small(individuals: Any) -> None:
    data, K, candidates = individuals
    formula = "case ~ x + (1 | gr(id, cov=K))"
    model = bg.Model(formula, data, "bernoulli", cov={"K": K})
    found = bg.scan(model, candidates)
    null = model.fit("laplace", objective="ml").loglik
    for name in ("c1", "c2"):
        wide = data.assign(**{name: candidates[name]})
        fit = bg.Model(f"{formula} + {name}", wide, "bernoulli", cov={"K": K}).fit("laplace", objective="ml")
        ratio = 2 * (fit.loglik - null)
        assert found.set_index("candidate").loc[name, "statistic"] == pytest.approx(ratio, rel=0.25, abs=0.05)


def test_what_may_be_passed(individuals: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays, sparse matrices, rows with missing values in the model, blocks of candidates: the same numbers."""
    data, K, candidates = individuals
    model = bg.Model(FORMULA, data, cov={"K": K})
    whole = bg.scan(model, candidates)
    monkeypatch.setattr("bayesglmm.results.scan_candidates._HELD", 250)  # two candidates at a time
    other = bg.scan(model, sparse.csr_array(candidates.to_numpy()), names=list(candidates.columns))
    pd.testing.assert_frame_equal(whole, other)
    twice = bg.scan(model, np.column_stack([candidates["c0"], data["x"], np.ones(100)]))
    assert twice["candidate"].tolist() == ["c0", "c1", "c2"]
    assert twice["effect"].isna().tolist() == [False, True, True]
    assert "2 candidates are combinations" in twice.attrs["note"]
    gaps = data.assign(x=data["x"].where(data.index != 7))
    holes = candidates.assign(c1=candidates["c1"].where(candidates.index != 7))  # not a row of the model
    kept = bg.scan(bg.Model(FORMULA, gaps, cov={"K": K}), holes)
    short = data.drop(index=7)
    expected = bg.scan(bg.Model(FORMULA, short, cov={"K": K}), candidates.drop(index=7))
    np.testing.assert_allclose(kept["effect"], expected["effect"], rtol=1e-6)


def test_what_cannot_be_scanned_is_said(individuals: Any) -> None:
    data, K, candidates = individuals
    model = bg.Model(FORMULA, data, cov={"K": K})
    with pytest.raises(DataError, match="another index"):
        bg.scan(model, candidates.iloc[::-1])
    with pytest.raises(DataError, match="100 rows of data"):
        bg.scan(model, candidates.to_numpy()[:50])
    with pytest.raises(DataError, match="'c2'"):
        bg.scan(model, candidates.assign(c2=np.nan))
    with pytest.raises(DataError, match="must be numbers"):
        bg.scan(model, candidates.assign(c2="a"))
    with pytest.raises(DataError, match="5 candidates and 2 names"):
        bg.scan(model, candidates.to_numpy(), names=["a", "b"])
    with pytest.raises(SettingsError, match="effect_sd"):
        bg.scan(model, candidates, effect_sd=0.0)
    with pytest.raises(SettingsError, match="refit=True needs a gaussian model"):
        bg.scan(bg.Model("case ~ x + (1 | gr(id, cov=K))", data, "bernoulli", cov={"K": K}), candidates, refit=True)
    with pytest.raises(BayesglmmError, match="ordinal"):
        bg.scan(bg.Model("case ~ x", data.assign(case=data.index % 3), "cumulative"), candidates)

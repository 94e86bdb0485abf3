"""Known covariances of low rank, K = G G' with few columns in G: the answers of the whole K at a lower cost.

The reference is the same model with `FEW` at zero, which takes K itself: its eigenvalues have a floor of 1e-6 of the
mean diagonal, so log-likelihoods agree to 1e-4 and effects to 1e-4 of their size, not to machine precision. Closed
forms, which have no floor, agree to 1e-7.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.arraymath import NUMPY
from bayesglmm.errors import DataError
from bayesglmm.graph.latent import LatentView
from bayesglmm.results.evaluation.positions import positions

TERM = "(1 | gr(id, cov=K))"
LEVELS, SEEN, MARKERS = 60, 50, 8


def related(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two rows of each of 50 individuals, and the standardised genotypes of these and ten more."""
    rng = np.random.default_rng(seed)
    G = rng.binomial(2, 0.4, (LEVELS, MARKERS)).astype(float)
    G = (G - G.mean(axis=0)) / G.std(axis=0) / np.sqrt(MARKERS)
    names = [f"i{j:02d}" for j in range(LEVELS)]
    own = np.repeat(rng.permutation(LEVELS)[:SEEN], 2)
    x = rng.normal(size=len(own))
    y = 1.0 + 0.5 * x + (G @ rng.normal(size=MARKERS))[own] + 0.4 * rng.normal(size=len(own))
    data = pd.DataFrame({"y": y, "x": x, "id": [names[j] for j in own], "k": (y > 1.0).astype(int)})
    return data, pd.DataFrame(G, index=names)


def pair(monkeypatch: pytest.MonkeyPatch, formula: str, family: str = "gaussian") -> list[bg.Model]:
    """Return a model by the columns of G and the same by K."""
    data, G = related()
    models = []
    for few in (0.5, 0.0):
        monkeypatch.setattr("bayesglmm.covariances.known.FEW", few)
        model = bg.Model(formula, data, family, cov={"K": bg.known_factor(G)})
        assert (model.problem.latent is model.problem) == (few == 0.0)
        models.append(model)
    return models


def log_density(values: Any, X: Any, V: Any) -> float:
    """Return the log-likelihood of a normal response, maximised over the coefficients."""
    beta = np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, values))
    return float(stats.multivariate_normal(X @ beta, V).logpdf(values))


def test_the_likelihood_is_that_of_the_closed_form() -> None:
    """K is singular here and has no floor: log N(y; X beta, sd^2 Z G G' Z' + sigma^2 I), to rounding."""
    data, G = related()
    fit = bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(G)}).fit("laplace", objective="ml")
    sd, sigma = fit.varcorr()["estimate"]
    rows = G.loc[data["id"]].to_numpy()
    V = sd**2 * rows @ rows.T + sigma**2 * np.eye(len(data))
    X = np.column_stack([np.ones(len(data)), data["x"]])
    assert fit.loglik == pytest.approx(log_density(data["y"].to_numpy(), X, V), abs=1e-7)
    # Effects of all levels, with and without rows: sd^2 G G' Z' V^-1 (y - X beta).
    residual = data["y"].to_numpy() - X @ fit.summary()["estimate"].iloc[:2].to_numpy()
    expected = sd**2 * G.to_numpy() @ (rows.T @ np.linalg.solve(V, residual))
    found = fit.ranef().set_index("level")["estimate"]
    np.testing.assert_allclose(found.loc[G.index], expected, atol=1e-6)
    # Their conditional standard deviations: sd^2 K - sd^4 K Z' V^-1 Z K.
    cross = sd**2 * G.to_numpy() @ rows.T
    spread = np.sqrt(np.diag(sd**2 * (G @ G.T).to_numpy() - cross @ np.linalg.solve(V, cross.T)))
    np.testing.assert_allclose(fit.ranef().set_index("level")["se"].loc[G.index], spread, rtol=1e-5)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        (f"y ~ x + {TERM}", "gaussian"),
        (f"k ~ x + {TERM}", "bernoulli"),
        ("y ~ x + (1 + x || gr(id, cov=K)) + (1 | id)", "gaussian"),
    ],
)
def test_columns_are_the_whole_matrix(monkeypatch: pytest.MonkeyPatch, formula: str, family: str) -> None:
    one, two = (model.fit("laplace", objective="ml") for model in pair(monkeypatch, formula, family))
    assert one.loglik == pytest.approx(two.loglik, abs=1e-4)
    assert list(one.summary().index) == list(two.summary().index)
    np.testing.assert_allclose(one.summary()["estimate"], two.summary()["estimate"], rtol=1e-3, atol=1e-3)
    effects = one.ranef(), two.ranef()
    pd.testing.assert_frame_equal(*(each[["group", "level", "term"]] for each in effects))
    np.testing.assert_allclose(effects[0]["estimate"], effects[1]["estimate"], atol=1e-3)
    np.testing.assert_allclose(one.varcorr()["estimate"], two.varcorr()["estimate"], atol=1e-3)


@pytest.fixture(scope="module")
def posteriors() -> list[bg.Fit]:
    with pytest.MonkeyPatch.context() as patch:
        return [model.fit("laplace", seed=1) for model in pair(patch, f"y ~ x + {TERM}")]


def test_posterior_answers_are_those_of_the_whole_matrix(posteriors: list[bg.Fit]) -> None:
    """To Monte Carlo error of 4,000 draws, a few percent of a standard deviation."""
    one, two = posteriors
    spread = two.summary()["sd"]
    np.testing.assert_array_less(np.abs(one.summary()["mean"] - two.summary()["mean"]), 0.08 * spread)
    np.testing.assert_allclose(one.heritability()["mean"], two.heritability()["mean"], atol=0.01)
    effects = [fit.ranef().set_index("level") for fit in (one, two)]
    assert len(effects[0]) == LEVELS
    apart = np.abs(effects[0]["mean"] - effects[1]["mean"])
    np.testing.assert_array_less(apart, 0.1 * effects[1]["sd"])
    assert one.log_evidence == pytest.approx(two.log_evidence, abs=1e-3)


def test_levels_without_rows_are_predicted(posteriors: list[bg.Fit]) -> None:
    data, G = related()
    without = [name for name in G.index if name not in set(data["id"])]
    new = pd.DataFrame({"x": np.zeros(len(without)), "id": without})
    one, two = (fit.predict(new) for fit in posteriors)
    np.testing.assert_allclose(one["mean"], two["mean"], atol=0.02)
    np.testing.assert_allclose(one["sd"], two["sd"], atol=0.02)
    with pytest.raises(DataError, match="has not seen"):
        posteriors[0].predict(new.assign(id="nobody"))


def test_files_hold_the_factor(posteriors: list[bg.Fit], tmp_path: Path) -> None:
    data, _ = related()
    posteriors[0].save(tmp_path / "fit.nc")
    loaded = bg.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(loaded.predict(data), posteriors[0].predict(data))
    assert loaded.model.problem.latent is not loaded.model.problem


def test_effects_go_back_to_the_coordinates_of_the_density(posteriors: list[bg.Fit]) -> None:
    """b = sd G v: the v found from b makes the same predictor, and the density of the graph is finite there."""
    fit = posteriors[0]
    view = LatentView(fit.problem)
    draws = {name: values.values.reshape(-1, *values.shape[2:])[:5] for name, values in fit.data["posterior"].items()}
    x, theta = positions(view, draws)
    for s in range(5):
        (offset, A), *_ = view.design(theta[s])
        block = fit.problem.blocks[0].block
        expected = draws["beta"][s] @ fit.problem.predictors[0].predictor.X.T + draws["b_id"][s][block.index, 0]
        np.testing.assert_allclose(offset + A @ x[s], expected, atol=1e-8)
        assert np.isfinite(view.log_joint(x[s], theta[s]))


def test_engines_see_a_block_with_the_covariance_of_the_levels() -> None:
    """`knowncolumns`: Z Lambda Lambda' Z' is K (x) Sigma between rows, and Lambda repeats that of one level."""
    data, G = related()
    model = bg.Model("y ~ x + (1 + x | gr(id, cov=K))", data, cov={"K": bg.known_factor(G)})
    part, whole = model.problem.latent.blocks[0], model.problem.blocks[0]
    assert (part.block.covariance, whole.block.covariance) == ("knowncolumns", "known")
    assert (len(whole.block.levels), whole.block.terms) == (LEVELS, ("Intercept", "x"))
    root = np.array([[1.0, 0.0], [0.6, 0.8]])
    values = {"sd": np.array([1.5, 0.4]), "cor": root, **part.block.constants}
    Lambda = part.covariance.factor(values, 2 * MARKERS, NUMPY)
    one = np.diag([1.5, 0.4]) @ root
    np.testing.assert_allclose(Lambda, np.kron(np.eye(MARKERS), one), atol=1e-12)
    np.testing.assert_allclose(part.covariance.core(values, 2 * MARKERS, NUMPY), one)
    rows, columns = G.loc[data["id"]].to_numpy(), whole.block.X
    Z = part.block.X @ Lambda
    np.testing.assert_allclose(Z @ Z.T, (rows @ rows.T) * (columns @ one @ one.T @ columns.T), atol=1e-10)


def test_columns_that_repeat_each_other_are_one() -> None:
    data, G = related()
    twice = pd.concat([G, G], axis=1) / np.sqrt(2.0)
    once, again = (bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(each)}) for each in (G, twice))
    assert again.problem.latent.blocks[0].block.X.shape == (len(data), MARKERS)
    fits = [model.fit("laplace", objective="ml") for model in (once, again)]
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-8)
    with pytest.raises(DataError, match="not positive"):
        bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(G.mul(G.index != "i00", axis=0))})


def test_replicates_come_from_the_covariance() -> None:
    """The parametric bootstrap draws effects of all levels; their covariance is sd^2 K."""
    from bayesglmm.results.levels import simulated_effects

    data, G = related()
    model = bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(G)})
    part = model.problem.blocks[0]
    size = 20_000
    draws = {part.names.b: np.zeros((size, LEVELS, 1)), part.names.variable("sd"): np.full((size, 1), 1.5)}
    found = simulated_effects(part, draws, np.random.default_rng(0))[:, :, 0]
    order = list(part.block.levels)
    K = (G @ G.T).loc[order, order].to_numpy()
    np.testing.assert_allclose(np.cov(found.T), 2.25 * K, atol=5 * 2.25 * K.diagonal().max() * np.sqrt(2 / size))
    table = model.fit("laplace", objective="ml").bootstrap(4, seed=1).table
    assert np.isfinite(table.to_numpy()).all()


@pytest.mark.slow
def test_engines_agree(posteriors: list[bg.Fit]) -> None:
    """NUTS moves along the columns: a dozen steps per draw, and the posterior of Laplace's engine, exact here."""
    data, G = related()
    model = bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(G)})
    nuts = model.fit("nuts", draws=500, tune=500, chains=2, seed=1)
    reference = posteriors[0].summary()
    found = nuts.summary()
    assert (found["r_hat"] < 1.03).all()
    np.testing.assert_array_less(
        np.abs(found["mean"] - reference["mean"]), 5 * found["mcse_mean"] + 0.03 * reference["sd"]
    )


@pytest.mark.slow
def test_correlated_slopes_have_the_likelihood_of_the_closed_form() -> None:
    """V = Z (K (x) Sigma) Z' + sigma^2 I with a correlation between intercepts and slopes."""
    data, G = related(3)
    rng = np.random.default_rng(5)
    effects = G.to_numpy() @ rng.normal(size=(MARKERS, 2)) @ np.array([[1.0, 0.5], [0.0, 0.6]])
    own = G.index.get_indexer(data["id"])
    data["y"] = 1.0 + effects[own, 0] + data["x"] * (0.5 + effects[own, 1]) + 0.4 * rng.normal(size=len(data))
    fit = bg.Model("y ~ x + (1 + x | gr(id, cov=K))", data, cov={"K": bg.known_factor(G)}).fit(
        "laplace", objective="ml"
    )
    sds, cor = fit.varcorr().query("kind == 'sd'")["estimate"], fit.varcorr().query("kind == 'cor'")["estimate"]
    one, two, sigma = sds
    Sigma = np.array([[one**2, one * two * cor.iloc[0]], [one * two * cor.iloc[0], two**2]])
    Z = np.column_stack([np.ones(len(data)), data["x"]])
    rows = G.to_numpy()[own]
    V = (rows @ rows.T) * (Z @ Sigma @ Z.T) + sigma**2 * np.eye(len(data))
    assert fit.loglik == pytest.approx(log_density(data["y"].to_numpy(), Z, V), abs=1e-6)

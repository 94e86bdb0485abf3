"""Known covariances between levels: densities, names, relatives without data, heritability."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, sparse, stats

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError
from bayesglmm.graph.compiler import UNREWRITTEN
from bayesglmm.graph.latent import LatentView

TERM = "(1 | gr(id, cov=K))"


def relatives(n: int = 40, markers: int = 25, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    """Return data and standardised genotypes; with fewer markers than individuals K is semi-definite."""
    rng = np.random.default_rng(seed)
    G = rng.binomial(2, 0.4, (n, markers)).astype(float)
    G = (G - G.mean(axis=0)) / G.std(axis=0) / np.sqrt(markers)
    ids = [f"i{j:02d}" for j in range(n)]
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + G @ rng.normal(size=markers) + 0.7 * rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "id": ids, "k": rng.poisson(np.exp(0.3 * y))}), pd.DataFrame(G, index=ids)


def positive(G: Any, ridge: float = 0.1) -> pd.DataFrame:
    return G @ G.T + ridge * np.eye(len(G))


def dense_loglik(y: Any, X: Any, V: Any) -> float:
    """Return the log-likelihood of a normal response maximised over the coefficients."""
    beta = np.linalg.lstsq(np.linalg.solve(L := np.linalg.cholesky(V), X), np.linalg.solve(L, y), rcond=None)[0]
    return float(stats.multivariate_normal(X @ beta, V, allow_singular=True).logpdf(y))


def block_covariance(model: bg.Model, sds: list[float]) -> Any:
    """Return the covariance that a model's first block stands for, and its log |Q|."""
    view = LatentView(model.problem)
    part = view.problem.blocks[0]
    natural = {part.parameters["sd"].name: np.array(sds)}
    rows, columns = part.covariance.couplings(part.block)
    entries, log_det = view.block_precision(part, natural)
    Q = np.zeros((len(part.block.levels) * len(part.block.terms),) * 2)
    Q[rows, columns] = Q[columns, rows] = entries
    return np.linalg.inv(Q), log_det


# what it means ------------------------------------------------------------------------------------------------------


def test_the_precision_is_the_inverse_of_the_covariance() -> None:
    data, G = relatives(12)
    K = positive(G)
    shuffled = K.sample(frac=1.0, random_state=1)
    inverse = pd.DataFrame(np.linalg.inv(K.to_numpy()), index=K.index, columns=K.index)
    for given in (
        K,
        shuffled,  # index and columns in another order
        bg.known_precision(inverse),
        bg.known_precision(sparse.csc_array(inverse.to_numpy()), list(K.index)),
        bg.known_factor(np.linalg.cholesky(K.to_numpy()), list(K.index)),
    ):
        model = bg.Model(f"y ~ x + {TERM}", data, cov={"K": given})
        covariance, log_det = block_covariance(model, [1.3])
        order = list(model.problem.blocks[0].block.levels)
        np.testing.assert_allclose(covariance, 1.3**2 * K.loc[order, order], atol=1e-8)
        assert log_det == pytest.approx(-np.linalg.slogdet(1.3**2 * K.to_numpy())[1], rel=1e-8)


def test_independent_columns_have_a_standard_deviation_each() -> None:
    """`diagknown`: coefficient j of level l is number 2 l + j, and only equal columns are related."""
    data, G = relatives(8)
    model = bg.Model("y ~ x + (1 + x || gr(id, cov=K))", data, cov={"K": positive(G)})
    assert model.problem.blocks[0].block.covariance == "diagknown"
    covariance, _ = block_covariance(model, [1.5, 0.4])
    expected = np.kron(positive(G).to_numpy(), np.diag([1.5**2, 0.4**2]))
    np.testing.assert_allclose(covariance, expected, atol=1e-8)
    assert {"sd[id, K Intercept]", "sd[id, K x]"} <= {slot.label for slot in model.priors}


def growing(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Return eight rows of each of 25 relatives with correlated slopes, K, and the columns by effect."""
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(25, 40)) / 6
    K, Sigma = G @ G.T + 0.1 * np.eye(25), np.array([[1.0, 0.5], [0.5, 0.8]])
    b = np.linalg.cholesky(K) @ rng.normal(size=(25, 2)) @ np.linalg.cholesky(Sigma).T
    index, x = np.repeat(np.arange(25), 8), rng.normal(size=200)
    y = 1 + 0.5 * x + b[index, 0] + b[index, 1] * x + 0.5 * rng.normal(size=200)
    Z = np.zeros((200, 50))
    Z[np.arange(200), 2 * index], Z[np.arange(200), 2 * index + 1] = 1.0, x
    names = [f"i{j:02d}" for j in range(25)]
    data = pd.DataFrame({"y": y, "x": x, "id": [names[j] for j in index]})
    return data, pd.DataFrame(K, index=names, columns=names), Z


def test_correlated_slopes_have_the_kronecker_product_for_their_covariance() -> None:
    data, K, _ = growing()
    model = bg.Model("y ~ x + (1 + x | gr(id, cov=K))", data, cov={"K": K})
    view = LatentView(model.problem)
    part = view.problem.blocks[0]
    R = np.array([[1.0, 0.0], [0.6, 0.8]])
    natural = {part.parameters["sd"].name: np.array([1.5, 0.4]), part.parameters["cor"].name: R}
    entries, log_det = view.block_precision(part, natural)
    rows, columns = part.covariance.couplings(part.block)
    assert np.all(rows >= columns)
    assert len(set(zip(rows, columns, strict=True))) == len(rows) == 50 * 51 // 2
    Q = np.zeros((50, 50))
    Q[rows, columns] = Q[columns, rows] = entries
    Sigma = np.diag([1.5, 0.4]) @ R @ R.T @ np.diag([1.5, 0.4])
    np.testing.assert_allclose(np.linalg.inv(Q), np.kron(K, Sigma), atol=1e-8)
    assert log_det == pytest.approx(np.linalg.slogdet(Q)[1], rel=1e-9)


def test_correlated_slopes_are_fitted_as_by_a_dense_likelihood() -> None:
    """Standard deviations, correlation and log-likelihood of maximum likelihood, by scipy on the dense covariance."""
    data, K, Z = growing()
    fit = bg.Model("y ~ x + (1 + x | gr(id, cov=K))", data, cov={"K": K}).fit("laplace", objective="ml")

    def minus(p: Any) -> float:
        L = np.array([[np.exp(p[2]), 0.0], [p[3], np.exp(p[4])]])
        V = Z @ np.kron(K, L @ L.T) @ Z.T + np.exp(2 * p[5]) * np.eye(200)
        return -float(stats.multivariate_normal(p[0] + p[1] * data["x"], V).logpdf(data["y"]))

    best = optimize.minimize(minus, [1.0, 0.5, 0.0, 0.5, 0.0, -0.7], method="BFGS")
    one, two, three = np.exp(best.x[2]), best.x[3], np.exp(best.x[4])
    sd = np.hypot(two, three)
    assert fit.loglik == pytest.approx(-best.fun, abs=1e-5)
    found = fit.varcorr()
    np.testing.assert_allclose(found["estimate"], [one, sd, two / sd, np.exp(best.x[5])], rtol=1e-3)
    assert found["kind"].tolist() == ["sd", "sd", "cor", "sd"]
    assert found["term"].tolist()[:3] == ["K Intercept", "K x", "K Intercept"]


@pytest.mark.slow
def test_correlated_slopes_by_nuts() -> None:
    """Its coordinates have no axes here; the posterior is that of the exact conditional normal."""
    data, K, _ = growing()
    model = bg.Model("y ~ x + (1 + x | gr(id, cov=K))", data, cov={"K": K})
    nuts, laplace = model.fit("nuts", draws=400, tune=400, chains=2, seed=1).summary(), model.fit("laplace", seed=1)
    apart = np.abs(nuts["mean"] - laplace.summary()["mean"])
    np.testing.assert_array_less(apart, 5 * nuts["mcse_mean"] + 0.05 * nuts["sd"])


def test_semidefinite_matrices_have_a_floor_that_data_do_not_see() -> None:
    data, G = relatives(40, markers=10)
    model = bg.Model(f"y ~ x + {TERM}", data, cov={"K": G @ G.T})
    fit = model.fit("laplace", objective="ml")
    sd, sigma = fit.varcorr()["estimate"]
    V = sd**2 * (G @ G.T).to_numpy() + sigma**2 * np.eye(40)
    X = np.column_stack([np.ones(40), data["x"]])
    assert fit.loglik == pytest.approx(dense_loglik(data["y"], X, V), abs=1e-4)
    covariance, _ = block_covariance(model, [1.0])
    np.testing.assert_allclose(covariance, G @ G.T, atol=2e-6)


def test_families_that_are_not_related_stay_apart() -> None:
    """A block diagonal K has an inverse with as many entries, not n^2 of them."""
    ids = [f"i{j}" for j in range(60)]
    K = pd.DataFrame(np.kron(np.eye(20), np.full((3, 3), 0.5) + 0.5 * np.eye(3)), index=ids, columns=ids)
    data = pd.DataFrame({"y": np.random.default_rng(0).normal(size=60), "id": ids})
    block = bg.Model(f"y ~ {TERM}", data, cov={"K": K}).problem.blocks[0].block
    assert len(block.options["entries"]) == 20 * 6


def test_relatives_without_data_are_predicted_from_those_with() -> None:
    """Against the best linear unbiased predictor of Henderson (1975), at the estimates."""
    data, G = relatives(30)
    K, seen = positive(G), slice(0, 24)
    model = bg.Model(f"y ~ x + {TERM}", data.iloc[seen], cov={"K": K})
    fit = model.fit("laplace", objective="ml")
    assert len(model.problem.blocks[0].block.levels) == 30
    sd, sigma = fit.varcorr()["estimate"]
    beta = fit.summary()["estimate"].loc[["Intercept", "x"]].to_numpy()
    values = K.to_numpy()
    residual = data["y"][seen] - beta[0] - beta[1] * data["x"][seen]
    V = sd**2 * values[seen, seen] + sigma**2 * np.eye(24)
    blup = sd**2 * values[:, seen] @ np.linalg.solve(V, residual)
    found = fit.ranef().set_index("level")["estimate"].loc[list(K.index)]
    np.testing.assert_allclose(found, blup, atol=1e-6)
    new = data.iloc[24:]
    predicted = fit.predict(new)["estimate"]
    np.testing.assert_allclose(predicted, beta[0] + beta[1] * new["x"] + blup[24:], atol=1e-6)
    with pytest.raises(DataError, match="its relation to the others"):
        fit.predict(new, groups="new")


# what users write ---------------------------------------------------------------------------------------------------


def test_the_spelling_of_brms_and_our_word_are_one() -> None:
    data, G = relatives(12)
    models = [bg.Model(f"y ~ {term}", data, cov={"K": positive(G)}) for term in (TERM, "known(1 | id, cov=K)")]
    (one,), (two,) = (model.design.predictors["mu"].random for model in models)
    assert one.label == TERM
    assert one.covariance == two.covariance == "known"
    np.testing.assert_array_equal(one.options["entries"], two.options["entries"])
    plain = bg.Model("y ~ (1 | gr(x))", data.assign(x=np.tile(["a", "b"], 6)))
    assert (plain.design.predictors["mu"].random[0].group, plain.problem.blocks[0].block.covariance) == ("x", "diag")


def test_two_relations_of_one_factor_beside_an_unrelated_effect() -> None:
    """Additive effects, dominance and environment: each has a name and a row of its own."""
    data, G = relatives(12)
    twice = pd.concat([data, data])
    formula = "y ~ (1 | gr(id, cov=A)) + (1 | gr(id, cov=D)) + (1 | id)"
    model = bg.Model(formula, twice, cov={"A": positive(G), "D": np.eye(12) + 0.1})
    labels = [slot.label for slot in model.priors]
    assert labels[1:4] == ["sd[id, A]", "sd[id, D]", "sd[id, Intercept]"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda K: K.drop(index="i03", columns="i03"), "no row for the level 'i03' of `id`"),
        (lambda K: K.to_numpy()[:5, :5], "name its rows"),
        (lambda K: K.assign(i00=K["i00"] + 1.0), "not symmetric"),
        (lambda K: K - 3.0 * np.eye(len(K)), "diagonal entry that is not positive"),
        (lambda K: K * 0.0 + 1.0 - 2.0 * (np.indices(K.shape).sum(axis=0) == 1), "is no covariance"),
        (lambda K: K.where(K < 1.0), "missing or infinite"),
        (lambda K: bg.known_precision(-K), "must be positive definite"),
        (lambda K: bg.known_precision(K * 0.0 + 1.0), "must be positive definite"),
        (lambda K: K.iloc[:, :5], "same names"),
    ],
)
def test_matrices_that_are_no_covariance_are_refused(change: Callable[[Any], Any], words: str) -> None:
    data, G = relatives(12)
    with pytest.raises(DataError, match=words):
        bg.Model(f"y ~ {TERM}", data, cov={"K": change(positive(G))})


def test_wrong_terms_and_names_are_refused() -> None:
    data, G = relatives(12)
    K = positive(G)
    with pytest.raises(FormulaError, match="needs the covariance of the levels"):
        bg.Model("y ~ known(1 | id)", data)
    with pytest.raises(UnknownNameError, match="no matrix `K`"):
        bg.Model(f"y ~ {TERM}", data)
    with pytest.raises(DataError, match="'A', which no term names"):
        bg.Model(f"y ~ {TERM}", data, cov={"A": K})
    with pytest.raises(DataError, match="as many distinct names"):
        bg.known_precision(K.to_numpy(), ["a", "b"])
    with pytest.raises(DataError, match="finite matrix with a row per level"):
        bg.known_factor(np.ones(3))


def test_dense_matrices_end_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesglmm.covariances.known.MOST_RELATED", 10)
    data, G = relatives(12)
    with pytest.raises(DataError, match="known_precision"):
        bg.Model(f"y ~ {TERM}", data, cov={"K": positive(G)})


# engines ------------------------------------------------------------------------------------------------------------


def test_meta_analysis_is_the_closed_form() -> None:
    """Studies with known standard errors: y_i ~ N(mu, se_i^2 + tau^2), maximised by scipy."""
    rng = np.random.default_rng(3)
    se = rng.uniform(0.1, 0.6, 20)
    y = 0.3 + 0.4 * rng.normal(size=20) + se * rng.normal(size=20)
    data = pd.DataFrame({"y": y, "study": np.arange(20).astype(str), "precision": se**-2})
    fixed = {"sigma": bg.Prior("Fixed", 1.0)}
    fit = bg.Model("y ~ 1 + (1 | study)", data, weights="precision", priors=fixed).fit("laplace", objective="ml")
    found = optimize.minimize(
        lambda p: -stats.norm(p[0], np.sqrt(se**2 + np.exp(2 * p[1]))).logpdf(y).sum(), [0.0, -1.0], tol=1e-12
    )
    assert fit.loglik == pytest.approx(-found.fun, abs=1e-6)
    assert fit.summary()["estimate"].iloc[0] == pytest.approx(found.x[0], abs=1e-4)
    assert fit.varcorr()["estimate"].iloc[0] == pytest.approx(np.exp(found.x[1]), rel=1e-3)


@pytest.mark.slow
def test_draws_of_nuts_follow_the_related_axes() -> None:
    """In coordinates along the eigenvectors of K chains agree quickly; b itself is moved a thousand steps a draw."""
    data, G = relatives(30, markers=20)
    model = bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(G)})
    nuts = model.fit("nuts", draws=500, tune=500, chains=2, seed=1)
    laplace = model.fit("laplace", seed=1)
    steps = float(nuts.data["sample_stats"]["n_steps"].mean())
    assert steps < 40
    one, two = (fit.summary().loc[["Intercept", "x", "sd[id, K]", "sigma"]] for fit in (nuts, laplace))
    assert (one["r_hat"] < 1.06).all()
    np.testing.assert_array_less(np.abs(one["mean"] - two["mean"]), 5 * one["mcse_mean"] + 0.02 * two["sd"])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["laplace", "ep", "metropolis"])
def test_engines_agree_on_counts(engine: str) -> None:
    data, G = relatives(40, seed=4)
    model = bg.Model(f"k ~ x + {TERM}", data, "poisson", cov={"K": positive(G)})
    reference = model.fit("nuts", draws=1500, chains=2, seed=2).summary()
    found = model.fit(engine, seed=2).summary()
    apart = np.abs(found["mean"] - reference["mean"]) / reference["sd"]
    assert (apart < 0.25).all(), apart


@pytest.mark.slow
def test_two_thousand_individuals() -> None:
    data, G = relatives(2000, markers=2500, seed=5)
    fit = bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_factor(G)}).fit("laplace", objective="ml")
    sd, sigma = fit.varcorr()["estimate"]
    assert abs(sd - 1.0) < 0.2
    assert abs(sigma - 0.7) < 0.2


def test_meta_analysis_is_that_of_metafor() -> None:
    """`rma(..., measure="RR", data=dat.bcg)` and the same with `mods = ~ ablat`, as its documentation prints them."""
    sick = np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27])
    well = np.array([119, 300, 228, 13536, 5036, 1361, 2537, 87886, 7470, 1699, 50448, 2493, 16886])
    sick0 = np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29])
    well0 = np.array([128, 274, 209, 12619, 5761, 1079, 619, 87892, 7232, 1600, 27197, 2338, 17825])
    data = pd.DataFrame({
        "effect": np.log(sick / (sick + well)) - np.log(sick0 / (sick0 + well0)),
        "precision": 1 / (1 / sick - 1 / (sick + well) + 1 / sick0 - 1 / (sick0 + well0)),
        "latitude": [44, 55, 42, 52, 13, 44, 19, 13, 27, 42, 18, 33, 33],
        "trial": [f"t{k}" for k in range(13)],
    })  # fmt: skip
    held = {"sigma": bg.Prior("Fixed", 1.0)}
    for right, beta, se, tau2 in (
        ("1", [-0.7145], [0.1798], 0.3132),
        ("latitude", [0.2515, -0.0291], [0.2491, 0.0072], 0.0764),
    ):
        model = bg.Model(f"effect ~ {right} + (1 | trial)", data, weights="precision", priors=held)
        fit = model.fit("laplace", objective="reml")
        np.testing.assert_allclose(fit.fixed()["estimate"], beta, atol=6e-5)
        np.testing.assert_allclose(fit.fixed()["se"], se, atol=6e-5)
        assert fit.varcorr()["estimate"].iloc[0] ** 2 == pytest.approx(tau2, abs=1e-4)


# heritability -------------------------------------------------------------------------------------------------------


def test_heritability_is_the_share_of_the_variance() -> None:
    data, G = relatives(60, markers=40, seed=2)
    K = 2.0 * positive(G)
    model = bg.Model(f"y ~ x + {TERM}", data, cov={"K": K})
    fit = model.fit("laplace", seed=1)
    found = fit.heritability().iloc[0]
    draws = fit.data["posterior"]
    genetic = draws["sd_id"].to_numpy().ravel() ** 2 * np.diag(K).mean()
    share = genetic / (genetic + draws["sigma"].to_numpy().ravel() ** 2)
    assert found["group"] == "id"
    assert found["mean"] == pytest.approx(share.mean(), rel=1e-6)
    assert found["variance"] == pytest.approx(genetic.mean(), rel=1e-6)
    assert 0.0 < found["lower"] < found["mean"] < found["upper"] < 1.0
    # The scale of K means nothing: the share of likelihood fits is the same.
    shares = [
        bg.Model(f"y ~ x + {TERM}", data, cov={"K": c * K})
        .fit("laplace", objective="ml", seed=1)
        .varcorr()["estimate"]
        for c in (1.0, 10.0)
    ]
    assert shares[0][0] == pytest.approx(shares[1][0] * np.sqrt(10.0), rel=1e-4)
    sparse_one = bg.Model(f"y ~ x + {TERM}", data, cov={"K": bg.known_precision(np.linalg.inv(K), list(K.index))})
    assert sparse_one.problem.blocks[0].block.options["typical"] == pytest.approx(
        np.sqrt(np.diag(K).mean()), rel=1e-6
    )


def test_heritability_on_the_latent_scale_beside_other_effects() -> None:
    data, G = relatives(40, seed=6)
    twice = pd.concat([data, data]).assign(z=lambda d: (d["y"] > 1).astype(int))
    model = bg.Model(f"z ~ {TERM} + (1 | id)", twice, "bernoulli", link="probit", cov={"K": positive(G)})
    fit = model.fit("laplace", seed=1)
    assert fit.icc()["group"].tolist() == [TERM, "id", "Residual"]
    assert fit.heritability()["group"].tolist() == [TERM]
    assert "probit" in fit.heritability().attrs["note"]
    with pytest.raises(BayesglmmError, match="known covariance"):
        bg.Model("z ~ (1 | id)", twice, "bernoulli").fit("laplace", seed=1).heritability()


@pytest.mark.parametrize(
    "engine",
    [
        "laplace",
        "ep",
        pytest.param("nuts", marks=pytest.mark.slow),
        pytest.param("metropolis", marks=pytest.mark.slow),
    ],
)
def test_heritability_of_yes_or_no_by_every_engine(engine: str) -> None:
    """Of the liability, whose residual has variance one with a probit link (Dempster and Lerner 1950)."""
    data, G = relatives(60, markers=40, seed=3)
    data["z"] = (data["y"] > 1.0).astype(int)
    K = positive(G)
    model = bg.Model(f"z ~ x + {TERM}", data, "bernoulli", link="probit", cov={"K": K})
    fit = model.fit(engine, seed=1)
    found = fit.heritability().iloc[0]
    genetic = fit.draws["sd_id"].to_numpy().ravel() ** 2 * np.diag(K).mean()
    share = genetic / (genetic + 1.0)
    assert found["mean"] == pytest.approx(share.mean(), rel=1e-6)
    np.testing.assert_allclose(found[["lower", "upper"]].astype(float), np.quantile(share, [0.025, 0.975]), rtol=1e-6)
    assert 0.0 < found["lower"] < found["mean"] < found["upper"] < 1.0


@pytest.mark.parametrize("engine", ["laplace", "ep"])
def test_heritability_at_the_estimates(engine: str) -> None:
    data, G = relatives(60, markers=40, seed=2)
    K = positive(G)
    fit = bg.Model(f"y ~ x + {TERM}", data, cov={"K": K}).fit(engine, objective="ml", seed=1)
    sd, sigma = fit.varcorr()["estimate"]
    found, variance = fit.heritability(), sd**2 * np.diag(K).mean()
    assert found["variance"].iloc[0] == pytest.approx(variance, rel=1e-6)
    assert found["estimate"].iloc[0] == pytest.approx(variance / (variance + sigma**2), rel=1e-6)
    assert found["lower"].iloc[0] < found["estimate"].iloc[0] < found["upper"].iloc[0]
    assert "se" in found


def test_saved_and_loaded(tmp_path: Path) -> None:
    data, G = relatives(12)
    inverse = bg.known_precision(np.linalg.inv(positive(G)), list(G.index))
    fit = bg.Model(f"y ~ x + {TERM}", data, cov={"K": inverse}).fit("laplace", seed=1)
    fit.save(tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    np.testing.assert_allclose(again.predict(data)["mean"], fit.predict(data)["mean"])


@pytest.mark.parametrize(
    ("family", "term"),
    [
        ("gaussian", TERM),
        ("poisson", "(1 + x || gr(id, cov=K))"),
        ("poisson", f"{TERM} + (1 | id)"),
        ("poisson", "(1 + x | gr(id, cov=K))"),
        ("gaussian", "(1 + x + k | gr(id, cov=K))"),
    ],
)
def test_view_and_graph_agree(family: str, term: str) -> None:
    data, G = relatives(12)
    response = "y" if family == "gaussian" else "k"
    model = bg.Model(f"{response} ~ x + {term}", data, family, cov={"K": positive(G)})
    view, rng = LatentView(model.problem), np.random.default_rng(0)
    x, theta = rng.normal(size=view.size), 0.3 * rng.normal(size=view.theta_size)
    graph = float(model.graph.compile_logp(mode=UNREWRITTEN)(view.point(x, theta)))
    for name in model.problem.names("fixed"):  # the constant Jacobian of the whitening of the fixed part
        graph -= model.graph.rvs_to_transforms[model.graph[name]].log_det
    assert view.log_joint(x, theta) == pytest.approx(graph, rel=1e-9, abs=1e-7)

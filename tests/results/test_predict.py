"""Predictions against a slow dense computation, closed forms, and each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.arraymath import semidefinite_factor
from bayesglmm.blocks import FixedBlock, Predictor, Response
from bayesglmm.errors import BayesglmmError, DataError, SettingsError, UnknownNameError
from bayesglmm.results import draws as draw_tools

STATS = ["mean", "sd", "lower", "upper"]


def dense_eta(case: Any, fit: Any) -> Any:
    """Return eta (S, n) by loops over draws with an indicator matrix per random block."""
    posterior = {name: v.values.reshape(-1, *v.shape[2:]) for name, v in fit.data["posterior"].data_vars.items()}
    part = case.problem.predictors[0]
    n = part.predictor.n
    rows = []
    for s in range(len(posterior["beta"])):
        eta = part.predictor.X @ posterior["beta"][s]
        for block in part.blocks:
            own, (J, k) = block.block, posterior[block.names.b][s].shape
            Z = np.zeros((n, J * k))
            for i in range(n):
                Z[i, own.index[i] * k : (own.index[i] + 1) * k] = own.X[i]
            eta = eta + Z @ posterior[block.names.b][s].reshape(-1)
        rows.append(eta)
    return np.array(rows)


def table_of(values: Any, prob: float = 0.95) -> Any:
    low, high = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2], axis=0)
    return np.column_stack([values.mean(axis=0), values.std(axis=0, ddof=1), low, high])


@pytest.fixture(scope="module")
def fit(binomial: Any) -> Any:
    return binomial.fit()


@pytest.fixture(scope="module")
def herds(from_formula: Any) -> Any:
    """A fit whose design codes new data: counts with an exposure, an interaction of factor and number, two groups."""
    rng = np.random.default_rng(5)
    n = 60
    data = pd.DataFrame(
        {
            "y": rng.poisson(3, n),
            "x": rng.normal(size=n),
            "kind": rng.choice(["a", "b"], n),
            "t": rng.uniform(1, 3, n),
            "herd": rng.choice(["h1", "h2", "h3"], n),
            "farm": rng.choice(["f1", "f2"], n),
        },
        index=np.arange(100, 100 + n),
    )
    formula = "y ~ x * kind + offset(log(t)) + (1 + x | herd) + (1 | farm)"
    case, design = from_formula(formula, data, "poisson")
    return case.fit(design=design), data


def test_the_rows_used_against_indicator_matrices(binomial: Any, fit: Any) -> None:
    eta = dense_eta(binomial, fit)
    link = fit.predict(scale="link", prob=0.9)
    assert np.allclose(link[STATS].to_numpy(), table_of(eta, 0.9))
    assert np.allclose(fit.predict()[STATS].to_numpy(), table_of(special.expit(eta)))
    assert link.index[0] == "row0"
    pd.testing.assert_frame_equal(fit.fitted(), fit.predict())


def test_a_typical_group_has_no_effects(binomial: Any, fit: Any) -> None:
    beta = fit.data["posterior"]["beta"].values.reshape(-1, 2)
    eta = beta @ binomial.problem.predictors[0].predictor.X.T
    assert np.allclose(fit.predict(groups="typical")[STATS].to_numpy(), table_of(special.expit(eta)))


def test_groups_can_be_chosen_one_by_one(binomial: Any, fit: Any) -> None:
    part = binomial.problem.predictors[0]
    eta = dense_eta(binomial, fit)
    h = part.blocks[1].block
    own = fit.data["posterior"]["b_h"].values.reshape(-1, 3)[:, h.index]
    mixed = fit.predict(groups={"h": "typical"}, scale="link")
    assert np.allclose(mixed[STATS].to_numpy(), table_of(eta - own))
    assert mixed.attrs["note"] == (
        "Linear predictor with the effects of each row's own g and the effects of h set to zero."
    )


def group_variance(fit: Any, case: Any) -> Any:
    """Return the variance (S, n) that all blocks together add to eta for a new level, by loops."""
    posterior = {name: v.values.reshape(-1, *v.shape[2:]) for name, v in fit.data["posterior"].data_vars.items()}
    n, S = case.problem.predictors[0].predictor.n, len(posterior["beta"])
    found = np.zeros((S, n))
    for block in case.problem.predictors[0].blocks:
        k = len(block.block.terms)
        sd = posterior[block.names.variable("sd")]
        cor = posterior.get(block.names.variable("cor"), np.broadcast_to(np.eye(k), (S, k, k)))
        for s in range(S):
            Sigma = np.diag(sd[s]) @ cor[s] @ np.diag(sd[s])
            found[s] += np.array([z @ Sigma @ z for z in block.block.X])
    return found


def test_average_of_a_probit_model_in_closed_form(bernoulli: Any) -> None:
    fit = bernoulli.fit()
    beta = fit.data["posterior"]["beta"].values.reshape(-1, 2)
    eta = beta @ bernoulli.problem.predictors[0].predictor.X.T
    exact = stats.norm.cdf(eta / np.sqrt(1.0 + group_variance(fit, bernoulli)))
    average = fit.predict(groups="average")
    assert np.allclose(average[STATS].to_numpy(), table_of(exact), atol=1e-6)


def test_average_of_a_log_link_in_closed_form(herds: Any) -> None:
    fit, data = herds
    part = fit.problem.predictors[0].predictor
    beta = fit.data["posterior"]["beta"].values.reshape(-1, part.X.shape[1])
    eta = beta @ part.X.T + np.log(data["t"].to_numpy())
    case = type("Case", (), {"problem": fit.problem})
    exact = np.exp(eta + group_variance(fit, case) / 2)
    assert np.allclose(fit.predict(groups="average")["mean"].to_numpy(), exact.mean(axis=0), rtol=1e-6)


def test_average_over_logit_groups_against_brute_force(fit: Any, binomial: Any) -> None:
    beta = fit.data["posterior"]["beta"].values.reshape(-1, 2)
    eta = beta @ binomial.problem.predictors[0].predictor.X.T
    z = np.random.default_rng(0).normal(size=2000)
    spread = np.sqrt(group_variance(fit, binomial))[:, :3]
    brute = special.expit(eta[:, :3, None] + spread[..., None] * z).mean(axis=(0, 2))
    assert np.allclose(fit.predict(groups="average")["mean"].to_numpy()[:3], brute, atol=0.01)


def test_averaging_over_two_predictors(two_predictors: Any) -> None:
    fit = two_predictors.fit()
    link = fit.predict(groups="average")
    typical = fit.predict(groups="typical")
    # The mean of a gaussian does not depend on sigma, and an identity link averages to the typical group.
    assert np.allclose(link[STATS].to_numpy(), typical[STATS].to_numpy())


def test_a_new_group_has_the_variance_of_groups(fit: Any, binomial: Any) -> None:
    beta = fit.data["posterior"]["beta"].values.reshape(-1, 2)
    eta = beta @ binomial.problem.predictors[0].predictor.X.T
    expected = eta.var(axis=0) + group_variance(fit, binomial).mean(axis=0)
    new = fit.predict(groups="new", scale="link", seed=3)
    assert np.allclose(new["sd"].to_numpy() ** 2, expected, rtol=0.25)
    assert np.allclose(new["mean"].to_numpy(), eta.mean(axis=0), atol=0.15)


def test_an_average_outcome_is_one_of_a_new_group(fit: Any) -> None:
    average = fit.predict(groups="average", scale="outcome", seed=4)
    new = fit.predict(groups="new", scale="outcome", seed=4)
    assert np.array_equal(average[STATS].to_numpy(), new[STATS].to_numpy())


def test_outcomes_are_counts_of_the_trials(fit: Any, binomial: Any) -> None:
    outcome = fit.predict(scale="outcome", seed=5, prob=0.5)
    trials = binomial.problem.response.trials
    expected = fit.predict()["mean"].to_numpy() * trials
    assert np.all(np.abs(outcome["mean"].to_numpy() - expected) < 5 * outcome["sd"].to_numpy() / np.sqrt(1000))
    assert outcome["upper"].max() > 1


def test_seeds_reproduce_and_differ(fit: Any) -> None:
    first, again, other = (fit.predict(groups="new", scale="outcome", seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.array_equal(first["mean"], other["mean"])
    one, two, three = (fit.posterior_predictive(seed=s)["y"].values.copy() for s in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_pieces_do_not_change_predictions(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = [("these", "response"), ("average", "response"), ("new", "link")]
    whole = [fit.predict(groups=g, scale=s, seed=1) for g, s in choices]
    likelihood = fit.log_likelihood()["y"].values
    monkeypatch.setattr(draw_tools, "PIECE", 7000)
    for (g, s), before in zip(choices, whole, strict=True):
        pd.testing.assert_frame_equal(fit.predict(groups=g, scale=s, seed=1), before)
    again = type(fit)(fit.data.copy(), fit.problem)
    del again.data["log_likelihood"]
    assert np.allclose(again.log_likelihood()["y"].values, likelihood, rtol=1e-12)


def test_log_likelihood_is_scipys(fit: Any, binomial: Any) -> None:
    values = fit.log_likelihood()["y"].values.reshape(-1, 40)
    response = binomial.problem.response
    expected = stats.binom.logpmf(response.y, response.trials, special.expit(dense_eta(binomial, fit)))
    assert np.allclose(values, expected)


def test_draws_thins_evenly(fit: Any, binomial: Any) -> None:
    eta = dense_eta(binomial, fit)[::10]
    assert np.allclose(fit.predict(scale="link", draws=100)[STATS].to_numpy(), table_of(eta))
    simulated = fit.posterior_predictive(seed=1, draws=100)
    assert dict(simulated["y"].sizes) == {"chain": 1, "draw": 100, "obs": 40}
    with pytest.raises(SettingsError, match="draws must be a whole number from 1 to 1000"):
        fit.predict(draws=1001)


def test_new_rows_with_known_levels_are_the_rows_used(herds: Any) -> None:
    fit, data = herds
    some = data.iloc[[5, 3, 40]].drop(columns="y")
    again = fit.predict(some)
    assert again.index.tolist() == [105, 103, 140]
    pd.testing.assert_frame_equal(again, fit.predict().loc[[105, 103, 140]], check_index_type=False)


def test_unknown_levels_are_named_with_a_way_on(herds: Any) -> None:
    fit, data = herds
    some = data.iloc[:3].assign(herd=["h1", "h9", "h8"])
    with pytest.raises(DataError, match=r"(?s)2 levels of 'herd' .*'h8'.*groups='new'"):
        fit.predict(some)
    either = fit.predict(some, groups="these or new", scale="link", seed=1)
    own = fit.predict(data.iloc[:1].assign(herd="h1"), scale="link")
    assert either.iloc[0].tolist() == pytest.approx(own.iloc[0].tolist())
    assert either["sd"].iloc[1] > own["sd"].iloc[0]


@pytest.mark.parametrize("groups", ["typical", "new", "average"])
def test_groups_that_do_not_matter_need_no_columns(herds: Any, groups: str) -> None:
    fit, data = herds
    full = fit.predict(data.head(4).assign(herd="h1", farm="f1"), groups=groups, seed=1)
    without = fit.predict(data.head(4).drop(columns=["herd", "farm", "y"]), groups=groups, seed=1)
    pd.testing.assert_frame_equal(full, without)


def test_offsets_are_computed_from_new_rows(herds: Any) -> None:
    fit, data = herds
    one = fit.predict(data.head(3), scale="link")["mean"]
    two = fit.predict(data.head(3).assign(t=lambda d: d["t"] * 10.0), scale="link")["mean"]
    assert np.allclose(two - one, np.log(10.0))


def test_new_binomial_rows_without_trials_are_single_trials(from_formula: Any) -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"s": rng.binomial(9, 0.3, 30), "n": 9, "x": rng.normal(size=30), "g": list("abc") * 10})
    case, design = from_formula("s | trials(n) ~ x + (1 | g)", data, "binomial")
    fit = case.fit(design=design)
    new = data[["x", "g"]].head(2)
    single = fit.predict(new, scale="outcome", seed=1)
    assert single["upper"].max() == 1.0
    assert "one trial each" in single.attrs["note"]
    assert fit.predict(new.assign(n=50), scale="outcome", seed=1)["upper"].max() > 1
    assert np.allclose(fit.predict(new)["mean"], fit.predict()["mean"].head(2))


def test_ordinal_responses_have_a_row_per_category(problem: Any) -> None:
    rng = np.random.default_rng(0)
    response = Response("y", rng.integers(0, 3, 20), categories=("low", "mid", "high"))
    predictor = Predictor("mu", 20, (FixedBlock("fixed", ("x",), ("x",), rng.normal(size=(20, 1))),))
    fit = problem("cumulative", "logit", response, {"mu": predictor}).fit()
    table = fit.predict()
    assert table["category"].tolist() == ["low", "mid", "high"] * 20
    assert np.allclose(table.groupby(level=0)["mean"].sum(), 1.0)
    assert len(fit.predict(scale="link")) == 20
    shares = fit.predict(scale="outcome", seed=1)
    assert np.allclose(shares.groupby(level=0)["mean"].sum(), 1.0)
    assert np.allclose(shares["mean"], table["mean"], atol=0.08)


def test_nominal_responses_have_a_predictor_per_category(problem: Any) -> None:
    rng = np.random.default_rng(0)
    response = Response("y", rng.integers(0, 3, 20), categories=("bus", "car", "walk"))
    fixed = FixedBlock("fixed", ("Intercept",), ("Intercept",), np.ones((20, 1)), 0)
    predictors = {name: Predictor(name, 20, (fixed,)) for name in ("mu_car", "mu_walk")}
    fit = problem("categorical", "identity", response, predictors).fit()
    assert fit.predict(scale="link")["predictor"].tolist() == ["mu_car", "mu_walk"] * 20
    assert np.allclose(fit.predict().groupby(level=0)["mean"].sum(), 1.0)


def test_wrong_words_are_refused(fit: Any) -> None:
    with pytest.raises(SettingsError, match="groups='mean' is not known"):
        fit.predict(groups="mean")
    with pytest.raises(SettingsError, match="scale='mu' is not known"):
        fit.predict(scale="mu")
    with pytest.raises(UnknownNameError, match=r"(?s)no grouping factor is called 'G'.*Known: g, h"):
        fit.predict(groups={"G": "new"})
    with pytest.raises(DataError, match="does not hold the design"):
        fit.predict({"x": [1.0]})


def test_too_much_memory_is_refused_before_it_is_taken(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw_tools.os, "sysconf", lambda name: 500)
    with pytest.raises(BayesglmmError, match=r"(?s)GiB.*fewer draws: draws="):
        fit.posterior_predictive(seed=1)


def test_singular_correlations_have_a_factor() -> None:
    rho = np.array([[[1.0, 1.0], [1.0, 1.0]], [[1.0, -0.3], [-0.3, 1.0]], [[1.0, 0.0], [0.0, 1.0]]])
    L = semidefinite_factor(rho)
    assert np.allclose(L @ np.swapaxes(L, -1, -2), rho)
    A = np.random.default_rng(0).normal(size=(5, 4, 4))
    assert np.allclose(
        semidefinite_factor(A @ np.swapaxes(A, -1, -2)), np.linalg.cholesky(A @ np.swapaxes(A, -1, -2))
    )


def test_a_new_level_implies_new_levels_of_its_interactions(from_formula: Any) -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"y": rng.normal(size=60), "g": rng.choice(list("abc"), 60), "s": rng.choice(list("uv"), 60)})
    case, design = from_formula("y ~ 1 + (1 | g) + (1 | s) + (1 | g:s)", data, "gaussian")
    fit = case.fit(design=design)
    new = pd.DataFrame({"g": ["z"], "s": ["u"]})
    for word in ("new", "average", "these or new"):
        implied = fit.predict(new, groups={"g": word}, seed=1, scale="link")
        pd.testing.assert_frame_equal(
            implied, fit.predict(new, groups={"g": word, "g:s": word}, seed=1, scale="link")
        )
    with pytest.raises(DataError, match="a level of 'g:s' that the model has not seen"):
        fit.predict(new, groups={"g": "new", "g:s": "these"})


@pytest.mark.parametrize("seed", [-1, "a", 2**32, 1.5])
def test_seeds_are_refused_in_the_words_of_the_model(fit: Any, seed: Any) -> None:
    with pytest.raises(SettingsError, match="seed must be an integer between 0"):
        fit.predict(seed=seed)


def test_outcomes_of_new_rows_have_their_precision_weights() -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"y": rng.normal(size=60), "x": rng.normal(size=60), "w": rng.uniform(1, 2, 60)})
    fit = bg.Model("y ~ x", data, weights="w").fit("laplace", seed=1)
    new = pd.DataFrame({"x": [0.0, 0.0], "w": [1.0, 1e4]}, index=["r1", "r2"])
    sd = fit.predict(new, scale="outcome", seed=1)["sd"]
    assert sd["r1"] > 4 * sd["r2"]
    without = fit.predict(new[["x"]], scale="outcome", seed=1)
    assert "do not have the precision weights: outcomes are of weight 1 each" in without.attrs["note"]
    assert fit.predict({"x": 0.0, "w": 0.0}).shape == (1, 4)
    with pytest.raises(DataError, match="row r2 has nan"):
        fit.predict(new.assign(w=[1.0, np.nan]), scale="outcome")


def test_known_groups_of_likelihood_fits_are_predicted_at_the_estimates() -> None:
    """Beside unknown groups, too: only these are drawn."""
    data = bg.load_dataset("cbpp")
    model = bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")
    fit = model.fit("laplace", seed=1, objective="ml", draws=50)
    new = data.head(3).astype({"herd": str})
    new.loc[new.index[2], "herd"] = "unknown"
    known = fit.predict(new.head(2), groups="these")
    one, two = (fit.predict(new, groups="these or new", seed=seed) for seed in (1, 2))
    pd.testing.assert_frame_equal(one.head(2), known, check_exact=False, rtol=1e-12)
    pd.testing.assert_frame_equal(two.head(2), known, check_exact=False, rtol=1e-12)
    assert one["estimate"].iloc[2] != two["estimate"].iloc[2]
    linear = fit.predict(new, groups="these or new", scale="link", seed=1)
    assert linear["estimate"].iloc[:2].to_numpy() == pytest.approx(
        np.log(known["estimate"] / (1 - known["estimate"]))
    )

"""Models with correlated residuals: engines, predictions, files, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import bayesglmm as bg
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, PriorError, SettingsError, UnknownNameError
from bayesglmm.graph.latent import LatentView
from bayesglmm.reporting.source import program
from bayesglmm.reporting.wording import in_words
from bayesglmm.results.draws import stacked


def simulated(groups: int = 30, times: int = 8, rho: float = 0.6, seed: int = 3) -> pd.DataFrame:
    """Return rows in random order, a fifth of them missing: intercepts of groups and first-order residuals."""
    random = np.random.default_rng(seed)
    t = np.arange(times)
    L = np.linalg.cholesky(rho ** np.abs(np.subtract.outer(t, t)))
    frame = pd.DataFrame({"g": np.repeat([f"g{j:02d}" for j in range(groups)], times), "t": np.tile(t, groups)})
    frame["x"] = random.normal(size=len(frame))
    e = (L @ random.normal(size=(times, groups))).T.ravel()
    frame["y"] = 1.0 + 0.5 * frame["x"] + np.repeat(random.normal(0, 0.7, groups), times) + 1.5 * e
    frame["half"] = np.where(frame["t"] < times / 2, "early", "late")
    return frame.sample(frac=0.8, random_state=seed).reset_index(drop=True)


FRAME = simulated()
SMALL = FRAME[FRAME["g"] < "g08"].reset_index(drop=True)
MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ar1": ("y ~ x + (1 | g)", {"residual": "ar1(t | g)"}),
    "ou, sd by covariates": (["y ~ x + (1 + x | g)", "sigma ~ half"], {"residual": "ou(t | g)"}),
    "cs": ("y ~ x", {"residual": "cs(1 | g)"}),
    "us with weights": ("y ~ x + offset(x)", {"residual": "us(t | g)", "weights": np.arange(1.0, len(SMALL) + 1.0)}),
    "smooth": ("y ~ s(x, k = 5)", {"residual": "ar1(t | g)"}),
}


@pytest.fixture(scope="module")
def laplace() -> Any:
    model = bg.Model("y ~ x + (1 | g)", FRAME, residual="ar1(t | g)")
    return model.fit("laplace", seed=1, chains=2, draws=300)


@pytest.fixture(scope="module")
def likelihood() -> Any:
    model = bg.Model("y ~ x + (1 | g)", FRAME, residual="ar1(t | g)")
    return model.fit("laplace", objective="ml")


def covariance(frame: pd.DataFrame, rho: float, sd: Any) -> Any:
    """Return the covariance of the rows' residuals."""
    same = frame["g"].to_numpy()[:, None] == frame["g"].to_numpy()
    sd = np.broadcast_to(sd, len(frame))
    return np.where(
        same, rho ** np.abs(np.subtract.outer(frame["t"].to_numpy(), frame["t"].to_numpy())), 0
    ) * np.outer(sd, sd)


@pytest.mark.parametrize(
    "key", [key if key.startswith("ou") else pytest.param(key, marks=pytest.mark.slow) for key in MODELS]
)
def test_view_graph_and_gradient_agree(key: str) -> None:
    formula, given = MODELS[key]
    view = LatentView(bg.Model(formula, SMALL, **given).problem)
    random = np.random.default_rng(5)
    theta = view.initial_theta + 0.2 * random.normal(size=view.theta_size)
    compiled = view.problem.model.compile_logp()
    differences = []
    for _ in range(2):
        x = view.mean + 0.3 * random.normal(size=view.size)
        differences.append(float(compiled(view.point(x, theta))) - view.log_joint(x, theta))
    # The view leaves out the constant Jacobian of the sampler's coordinates of the coefficients.
    assert differences[0] == pytest.approx(differences[1], abs=1e-7)
    for kind in ("posterior", "ml", "reml"):
        objective = LaplaceObjective(view, kind)  # type: ignore[arg-type]
        psi = np.concatenate([theta, view.mean[objective.structure.coefficients]])
        mode = objective.mode(psi)
        steps = 1e-5 * np.eye(len(psi))
        near = [(objective.mode(psi + step), objective.mode(psi - step)) for step in steps]
        slope = np.array([one.log_marginal - two.log_marginal for one, two in near]) / 2e-5
        np.testing.assert_allclose(objective.gradient(mode), slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())
        moved = np.array([one.x - two.x for one, two in near]).T / 2e-5
        np.testing.assert_allclose(objective.jacobian(mode), moved, atol=1e-5 * max(1.0, np.abs(moved).max()))


def test_maximum_likelihood_is_that_of_the_dense_normal(likelihood: Any) -> None:
    table, beta = likelihood.varcorr().set_index(["group", "kind"])["estimate"], likelihood.fixed()["estimate"]
    rho = table["Residual", "cor"]
    V = covariance(FRAME, rho, table["Residual", "sd"])
    same = FRAME["g"].to_numpy()[:, None] == FRAME["g"].to_numpy()
    V = V + table["g", "sd"] ** 2 * same
    mean = beta["Intercept"] + beta["x"] * FRAME["x"]
    assert likelihood.loglik == pytest.approx(multivariate_normal(mean, V).logpdf(FRAME["y"]), abs=1e-6)


@pytest.mark.slow
def test_simulated_parameters_are_found_on_average() -> None:
    """Over ten data sets: means of the estimates within four of their standard errors, and 0.05 for their bias."""
    truth = {"Intercept": 1.0, "x": 0.5, "sd[g, Intercept]": 0.7, "cor[Residual, ar1]": 0.6, "sigma": 1.5}
    fits = [
        bg.Model("y ~ x + (1 | g)", simulated(seed=seed), residual="ar1(t | g)").fit("laplace", objective="ml")
        for seed in range(10, 20)
    ]
    found = pd.DataFrame([fit.summary()["estimate"] for fit in fits])
    for label, value in truth.items():
        assert abs(found[label].mean() - value) < 4 * found[label].std() / np.sqrt(10) + 0.05, label


ROOT = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.3, 0.5, np.sqrt(1 - 0.34)]])
RECOVERED: dict[str, tuple[Any, list[float]]] = {
    "ou": (lambda t: np.exp(-np.abs(np.subtract.outer(t, t)) / 1.5), [1.5]),
    "us": (lambda t: (ROOT @ ROOT.T)[np.ix_(t.astype(int), t.astype(int))], [0.6, -0.3, 0.22]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(RECOVERED))
def test_simulated_structures_are_found_on_average(name: str) -> None:
    """Six data sets of 60 groups; means of the estimates within four of their standard errors, and 5 percent."""
    correlation, truth = RECOVERED[name]
    found = []
    for seed in range(6):
        random = np.random.default_rng([7, seed])
        times = [np.sort(random.choice(3, random.integers(2, 4), replace=False) + 0.0) for _ in range(60)]
        if name == "ou":
            times = [np.sort(random.uniform(0, 6, 5)) for _ in range(60)]
        e = [2.0 * np.linalg.cholesky(correlation(t)) @ random.normal(size=len(t)) for t in times]
        index = np.repeat(np.arange(60), [len(t) for t in times]).astype(str)
        frame = pd.DataFrame({"g": index, "t": np.concatenate(times), "y": 3.0 + np.concatenate(e)})
        fit = bg.Model("y ~ 1", frame, residual=f"{name}(t | g)").fit("laplace", objective="ml")
        found.append(fit.varcorr()["estimate"])
    means, errors = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(6)
    np.testing.assert_array_less(np.abs(means - [*truth, 2.0]), 4 * errors + 0.05 * np.abs([*truth, 2.0]))


def test_posterior_and_likelihood_tell_the_same(laplace: Any, likelihood: Any) -> None:
    found, estimates = laplace.summary(), likelihood.summary()["estimate"]
    for label in ("x", "cor[Residual, ar1]", "sigma"):
        assert abs(found.loc[label, "mean"] - estimates[label]) < found.loc[label, "sd"], label
    assert laplace.verdict.word == "good"
    assert "ar1(t | g)" in str(laplace)
    assert "ar1(t | g): 30 groups" in str(laplace.model)


def test_log_likelihood_of_the_rows_sums_to_the_joint_one(laplace: Any) -> None:
    by_row = laplace.log_likelihood()["y"].values
    draws = stacked(laplace.draws)
    evaluator = laplace._evaluator
    eta = evaluator.predictors(draws, evaluator.arrays())["mu"]
    for s in (0, 123):
        V = covariance(FRAME, draws["cor_Residual"][s, 0], draws["sigma"][s])
        assert by_row.reshape(-1, len(FRAME))[s].sum() == pytest.approx(
            multivariate_normal(eta[s], V).logpdf(FRAME["y"]), rel=1e-9
        )


@pytest.mark.parametrize(
    "key", ["ar1", "us with weights", pytest.param("ou, sd by covariates", marks=pytest.mark.slow)]
)
def test_simulated_residuals_have_the_covariance_of_the_model(key: str) -> None:
    """20,000 simulations at one value of the parameters: correlations within 4.5 standard errors of 0.007."""
    formula, given = MODELS[key]
    small = SMALL[SMALL["g"] < "g03"].reset_index(drop=True)
    given = {**given, **({"weights": np.arange(1.0, len(small) + 1.0)} if "weights" in given else {})}
    fit = bg.Model(formula, small, **given).fit("laplace", objective="ml")
    evaluator = fit._evaluator
    draws = {name: np.repeat(values[:1], 20_000, axis=0) for name, values in stacked(fit.point).items()}
    eta = evaluator.predictors(draws, evaluator.arrays())
    y = evaluator.simulate(draws, eta, np.random.default_rng(4)) - eta["mu"]
    part = fit.problem.residual
    found = np.corrcoef(y.T)
    times = small["t"].to_numpy(dtype=float)
    apart = np.abs(np.subtract.outer(times, times))
    if key == "us with weights":
        place = np.unique(times, return_inverse=True)[1]
        R = draws["cor_Residual"][0][np.ix_(place, place)]
        sd = draws["sigma"][0] / np.sqrt(given["weights"])
    else:
        R = part.structure.correlation(part.of_posterior(draws), part.block, apart.ravel())[0].reshape(apart.shape)
        sd = draws["sigma"][0] if "sigma" in draws else np.exp(eta["sigma"][0])
    R = np.where(small["g"].to_numpy()[:, None] == small["g"].to_numpy(), R, 0.0)
    np.testing.assert_allclose(found, R, atol=4.5 / np.sqrt(20_000))
    np.testing.assert_allclose(y.std(axis=0), np.broadcast_to(sd, len(small)), rtol=0.03)


def test_predictive_draws_of_a_fit_are_correlated(laplace: Any) -> None:
    y = laplace.posterior_predictive(seed=2)["y"].values.reshape(-1, len(FRAME))
    own = FRAME.reset_index().sort_values(["g", "t"])
    near = own[own.groupby("g")["t"].diff() == 1]["index"].to_numpy()
    before = own["index"].shift()[own.groupby("g")["t"].diff() == 1].to_numpy(dtype=int)
    evaluator, draws = laplace._evaluator, stacked(laplace.draws)
    e = y - evaluator.predictors(draws, evaluator.arrays())["mu"]
    cor = np.mean(e[:, near] * e[:, before]) / np.mean(e**2)
    assert cor == pytest.approx(float(draws["cor_Residual"].mean()), abs=0.02)
    assert laplace.predict(scale="outcome", seed=1)["sd"].mean() == pytest.approx(y.std(axis=0).mean(), rel=0.05)


def test_residuals_given_the_earlier_rows_are_independent(laplace: Any) -> None:
    """Quantile residuals are of each row given the earlier ones; plain ones are correlated as the model says."""
    own = FRAME.reset_index().sort_values(["g", "t"])
    near = own[own.groupby("g")["t"].diff() == 1]["index"].to_numpy()
    before = own["index"].shift()[own.groupby("g")["t"].diff() == 1].to_numpy(dtype=int)
    scores = laplace.residuals(kind="normal", seed=1)["residual"].to_numpy()
    plain = laplace.residuals(kind="response", seed=1)["residual"].to_numpy()
    assert abs(np.corrcoef(scores[near], scores[before])[0, 1]) < 3.5 / np.sqrt(len(near))
    assert np.corrcoef(plain[near], plain[before])[0, 1] > 0.35
    assert scores.mean() == pytest.approx(0.0, abs=3.5 / np.sqrt(len(scores)))
    assert scores.std() == pytest.approx(1.0, abs=3.5 / np.sqrt(2 * len(scores)))


def test_evidence_by_bridge_sampling_is_that_of_laplace(laplace: Any) -> None:
    """Laplace's evidence is exact but for the hyperparameters; that of 600 draws is good to some hundredths."""
    assert laplace.bridge(draws=600, seed=1).log_evidence == pytest.approx(laplace.log_evidence, abs=0.1)


def test_files_keep_the_correlation(laplace: Any, tmp_path: Path) -> None:
    path = tmp_path / "fit.nc"
    laplace.save(path)
    again = bg.load(path)
    pd.testing.assert_frame_equal(again.summary(), laplace.summary())
    assert again.model.given["residual"] == "ar1(t | g)"
    assert again.problem.residual.block.label == "ar1(t | g)"
    np.testing.assert_array_equal(
        again.posterior_predictive(seed=2, draws=5)["y"], laplace.posterior_predictive(seed=2, draws=5)["y"]
    )


def test_other_models_keep_the_correlation(laplace: Any) -> None:
    model = laplace.model
    assert model.without("x").design.residual.label == "ar1(t | g)"
    other = model.with_response(FRAME.assign(y=FRAME["y"] + FRAME["x"]))
    found = other.fit("laplace", objective="ml").fixed()["estimate"]
    same = bg.Model("y ~ x + (1 | g)", FRAME.assign(y=FRAME["y"] + FRAME["x"]), residual="ar1(t | g)")
    np.testing.assert_allclose(found, same.fit("laplace", objective="ml").fixed()["estimate"], rtol=1e-5)
    with pytest.raises(DataError, match=r"`ar1\(t \| g\)` differs too"):
        model.with_response(FRAME.assign(t=FRAME["t"] + (FRAME["t"] > 3)))


def test_bootstrap_simulates_and_fits_the_correlation(likelihood: Any) -> None:
    found = likelihood.bootstrap(6, seed=1)
    assert found.failed == 0
    assert found.table["cor[Residual, ar1]"].between(0.2, 0.9).all()
    assert found.table["cor[Residual, ar1]"].std() > 0.01


def test_negative_compound_symmetry() -> None:
    random = np.random.default_rng(8)
    L = np.linalg.cholesky(1.25 * np.eye(4) - 0.25)
    y = (L @ random.normal(size=(4, 150))).T.ravel()
    frame = pd.DataFrame({"g": np.repeat(np.arange(150), 4).astype(str), "y": y})
    fit = bg.Model("y ~ 1", frame, residual="cs(1 | g)").fit("laplace", objective="ml")
    row = fit.varcorr().iloc[0]
    assert row["kind"] == "cor"
    assert row["estimate"] == pytest.approx(-0.25, abs=4 * row["se"])
    assert row["lower"] > -1 / 3


def test_rows_without_a_time_are_left_out() -> None:
    some = FRAME.assign(t=FRAME["t"].where(FRAME.index > 2))
    model = bg.Model("y ~ x", some, residual="ar1(t | g)")
    assert model.design.n == len(FRAME) - 3
    assert model.design.rows.missing == {"t": 3}


def test_report_says_how_to_make_the_model_again(laplace: Any) -> None:
    assert "residual='ar1(t | g)'" in program(laplace)
    assert "ar1(t | g)" in in_words(laplace)[0]


def test_priors_of_the_correlation() -> None:
    held = bg.Model("y ~ x", FRAME, residual="ar1(t | g)", priors={"cor[Residual]": bg.Prior("Fixed", 0.5)})
    assert held.fit("laplace", objective="ml").varcorr()["estimate"].iloc[0] == 0.5
    flat = bg.Model("y ~ x", FRAME, residual="ar1(t | g)", priors="flat")
    assert "Uniform(lower=-1, upper=1)" in str(flat)
    simulated_y = bg.Model("y ~ x", SMALL, residual="ar1(t | g)").prior_predictive(20, seed=1)
    assert np.isfinite(simulated_y["prior_predictive"]["y"].values).all()
    with pytest.raises(PriorError, match=r"cor\[Residual, ar1\]"):
        bg.Model("y ~ x", FRAME, residual="ar1(t | g)", priors={"cor[Residual, ar]": bg.Prior("Uniform", 0, 1)})


@pytest.mark.parametrize(
    ("residual", "error", "words"),
    [
        ("ar2(t | g)", UnknownNameError, "no residual structure `ar2`.*ar1"),
        ("ar1(tt | g)", UnknownNameError, "tt"),
        ("ar1(t | gg)", UnknownNameError, "gg"),
        ("ar1(t)", FormulaError, "which rows belong together"),
        ("t | g", FormulaError, "one word"),
        (3, FormulaError, "is a text"),
        ("ar1(t | half)", DataError, "have the same t"),
        ("ar1(x | g)", DataError, r"whole numbers.*ou\(x \| g\)"),
        ("us(x | g)", DataError, "at most 30 times"),
        ("ar1(t | g:t)", DataError, "one row only"),
        ("ar1(as_text | g)", DataError, "that of text"),
    ],
)
def test_what_is_refused(residual: Any, error: type[Exception], words: str) -> None:
    text = FRAME.assign(as_text=[str(t + 3) for t in FRAME["t"]])
    with pytest.raises(error, match=words):
        bg.Model("y ~ x + (1 | g)", text, residual=residual)


def test_models_without_normal_errors_are_refused() -> None:
    counts = FRAME.assign(n=np.round(np.exp(FRAME["x"])).astype(int), p=np.exp(FRAME["y"]))
    with pytest.raises(DataError, match=r"family 'poisson' has none.*ar1\(0 \+ t \| g\) in the formula"):
        bg.Model("n ~ x", counts, "poisson", residual="ar1(t | g)")
    with pytest.raises(DataError, match="identity link"):
        bg.Model("p ~ x", counts, link="log", residual="ar1(t | g)")
    with pytest.raises(DataError, match="likelihood weights"):
        bg.Model("y ~ x", FRAME, residual="ar1(t | g)", likelihood_weights=np.ones(len(FRAME)))


def test_too_many_rows_of_a_group() -> None:
    long = pd.DataFrame({"y": np.arange(2000.0), "g": "a", "t": np.arange(2000)})
    with pytest.raises(DataError, match=r"1,999,000 pairs.*`ar1` and `ou`"):
        bg.Model("y ~ 1", long, residual="cs(1 | g)")
    assert bg.Model("y ~ 1", long, residual="ar1(t | g)").design.n == 2000


def test_engines_and_questions_that_need_independent_rows(laplace: Any) -> None:
    for engine in ("metropolis", "ep"):
        with pytest.raises(SettingsError, match=r"correlated residuals, ar1\(t \| g\)"):
            laplace.model.fit(engine)
    for question in (laplace.loo, laplace.kfold):
        with pytest.raises(BayesglmmError, match="residuals are correlated"):
            question()
    crossed = bg.Model("y ~ x + (1 | half)", FRAME, residual="ar1(t | g)")
    with pytest.raises(SettingsError, match=r"different effects of `\(1 \| half\)`"):
        crossed.fit("laplace")
    process = bg.Model("y ~ x + ou(0 + t | g)", FRAME, residual="ar1(t | g)")
    with pytest.raises(SettingsError, match="it has another one at every time"):
        process.fit("laplace")
    noisy = bg.Model(["y ~ x", "sigma ~ (1 | g)"], FRAME, residual="ar1(t | g)")
    with pytest.raises(SettingsError, match="cannot integrate out"):
        noisy.fit("laplace")


@pytest.mark.slow
def test_nuts_and_laplace_tell_the_same(laplace: Any) -> None:
    """1,000 draws each: means within 0.2 posterior sds, sds within a fifth."""
    nuts = laplace.model.fit("nuts", seed=1, draws=500, chains=2, progressbar=False)
    one, two = laplace.summary(), nuts.summary()
    assert (np.abs(one["mean"] - two["mean"]) < 0.2 * two["sd"]).all()
    np.testing.assert_allclose(one["sd"], two["sd"], rtol=0.2)


@pytest.mark.slow
def test_nuts_samples_groups_that_the_residuals_cross() -> None:
    crossed = bg.Model(["y ~ x + (1 | half)", "sigma ~ (1 | g)"], SMALL, residual="ar1(t | g)")
    fit = crossed.fit("nuts", seed=1, draws=300, tune=300, chains=2, progressbar=False)
    assert fit.summary().loc["cor[Residual, ar1]", "r_hat"] < 1.05

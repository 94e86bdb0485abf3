"""Multi-membership terms through the whole package, against dense computations of the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

import bayesglmm as bg
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.errors import DataError, FormulaError, SettingsError, UnknownNameError
from bayesglmm.graph.latent import LatentView

N, J = 240, 16
WEIGHTED = "y ~ x + (1 + x | mm(g1, g2, weights = cbind(w1, w2)))"


def schools() -> pd.DataFrame:
    """Rows of two schools with unequal weights; now and then the same school twice."""
    rng = np.random.default_rng(20)
    codes, w, x = rng.integers(J, size=(N, 2)), rng.uniform(0.1, 1.0, size=(N, 2)), rng.normal(size=N)
    names = np.array([f"s{i:02d}" for i in range(J)])
    b = rng.normal(size=(J, 2)) @ np.array([[0.9, 0.0], [0.3, 0.5]]).T
    shares = w / w.sum(axis=1, keepdims=True)
    effect = sum(shares[:, m] * (b[codes[:, m], 0] + b[codes[:, m], 1] * x) for m in range(2))
    y = 1.0 + 0.5 * x + effect + rng.normal(scale=0.5, size=N)
    columns = {"y": y, "x": x, "g1": names[codes[:, 0]], "g2": names[codes[:, 1]], "w1": w[:, 0], "w2": w[:, 1]}
    return pd.DataFrame(columns | {"z1": rng.normal(size=N), "z2": rng.normal(size=N), "k": (y > 1.0).astype(int)})


DATA = schools()


def dense(shares: Any, codes: Any) -> Any:
    """Return Z, shape (N, J, k), from columns by membership, shape (N, k, 2)."""
    Z = np.zeros((N, J, shares.shape[1]))
    for m in range(2):
        np.add.at(Z, (np.arange(N), codes[:, m]), shares[:, :, m])
    return Z


CODES = np.stack([pd.Categorical(DATA[g], [f"s{i:02d}" for i in range(J)]).codes for g in ("g1", "g2")], axis=1)
SCALED = DATA[["w1", "w2"]].to_numpy() / DATA[["w1", "w2"]].sum(axis=1).to_numpy()[:, None]
COLUMNS = np.stack([np.ones(N), DATA.x], axis=1)


@pytest.fixture(scope="module")
def fitted() -> bg.Fit:
    return bg.Model(WEIGHTED, DATA).fit("laplace", seed=1)


@pytest.mark.parametrize(
    ("formula", "shares"),
    [
        (WEIGHTED, COLUMNS[:, :, None] * SCALED[:, None, :]),
        ("y ~ x + (1 + x | mm(g1, g2))", COLUMNS[:, :, None] * np.full((1, 1, 2), 0.5)),
        ("y ~ x + (1 + x | mm(g1, g2, scale = FALSE))", COLUMNS[:, :, None] * np.ones((1, 1, 2))),
        (
            "y ~ x + (1 + mmc(z1, z2) | mm(g1, g2, weights = cbind(w1, w2)))",
            np.stack([np.ones((N, 2)), DATA[["z1", "z2"]].to_numpy()], axis=1) * SCALED[:, None, :],
        ),
    ],
    ids=["weights", "equal", "not scaled", "columns by membership"],
)
def test_the_likelihood_is_that_of_a_normal_distribution(formula: str, shares: Any) -> None:
    """At the estimate the normal distribution of y, written densely; to rounding. And no neighbour is likelier."""
    found = bg.Model(formula, DATA).fit("laplace", objective="ml")
    table = found.varcorr()
    s0, s1, r = (*table.loc[table.kind == "sd", "estimate"][:2], table.loc[table.kind == "cor", "estimate"].iloc[0])
    S, sigma = np.array([[s0**2, r * s0 * s1], [r * s0 * s1, s1**2]]), table["estimate"].iloc[-1]
    Z, beta = dense(shares, CODES), found.fixed()["estimate"].to_numpy()

    def loglik(S: Any, sigma: float) -> float:
        V = np.einsum("ija,ab,ljb->il", Z, S, Z) + sigma**2 * np.eye(N)
        return float(multivariate_normal(COLUMNS @ beta, V).logpdf(DATA.y))

    best = loglik(S, sigma)
    assert found.loglik == pytest.approx(best, abs=1e-7)
    step = np.array([[0.02, 0.0], [0.0, 0.0]])
    for other in (loglik(S + step, sigma), loglik(S - step, sigma), loglik(S, 1.02 * sigma)):
        assert other < best + 1e-6


def test_one_school_twice_is_that_school() -> None:
    """Both memberships of one school are an ordinary grouping factor."""
    data = DATA.assign(g2=DATA["g1"])
    one = bg.Model("k ~ x + (1 | g1)", data, family="bernoulli").fit("laplace", objective="ml")
    two = bg.Model("k ~ x + (1 | mm(g1, g2))", data, family="bernoulli").fit("laplace", objective="ml")
    assert two.loglik == pytest.approx(one.loglik, abs=1e-6)
    np.testing.assert_allclose(two.fixed()["estimate"], one.fixed()["estimate"], atol=1e-4)


def test_the_gradient_of_the_marginal_likelihood() -> None:
    """Against central differences, whose error is about 1e-6 here."""
    view = LatentView(bg.Model(WEIGHTED.replace("y ~", "k ~"), DATA, family="bernoulli").problem)
    objective, psi = LaplaceObjective(view), 0.2 * np.arange(view.theta_size)
    steps = 1e-4 * np.eye(len(psi))
    numbers = [(objective.mode(psi + s).log_marginal - objective.mode(psi - s).log_marginal) / 2e-4 for s in steps]
    np.testing.assert_allclose(objective.gradient(objective.mode(psi)), numbers, rtol=1e-4, atol=1e-4)


def test_the_approximation_is_exact_for_normal_responses(fitted: bg.Fit) -> None:
    assert fitted.verdict == "good"


def test_predictions_by_hand(fitted: bg.Fit) -> None:
    effects = fitted.data.posterior["b_mm_g1_g2"].values.reshape(-1, J, 2)
    beta = fitted.data.posterior["beta"].values.reshape(-1, 2)
    own = fitted.predict(DATA.iloc[:5])
    for i in range(5):
        eta = beta @ COLUMNS[i] + sum(SCALED[i, m] * effects[:, CODES[i, m]] @ COLUMNS[i] for m in range(2))
        assert own["mean"].iloc[i] == pytest.approx(eta.mean(), rel=1e-9)
    np.testing.assert_allclose(fitted.predict()["mean"].iloc[:5], own["mean"], rtol=1e-12)


def test_levels_that_are_new(fitted: bg.Fit) -> None:
    """A row of two new schools has the variance of a mean of two; of one new school twice, that of one."""
    new = pd.DataFrame({"x": 0.0, "g1": ["aa", "bb", "cc"], "g2": ["ab", "bb", "s03"], "w1": 1.0, "w2": 1.0})
    with pytest.raises(DataError, match=r"'aa', 'bb'|'aa', 'ab'"):
        fitted.predict(new)
    found = fitted.predict(new, groups="these or new", seed=1, scale="link")["sd"].to_numpy() ** 2
    level = fitted.predict(new, groups="typical", scale="link")["sd"].iloc[0] ** 2
    variance = float((fitted.data.posterior["sd_mm_g1_g2"].values[..., 0] ** 2).mean())
    # The variance of variances over some 1,000 draws is 2 / 1000: 5 % of each is one and a half standard errors.
    np.testing.assert_allclose(found[:2] - level, [variance / 2, variance], rtol=0.15)
    assert found[2] < level + variance / 2
    whole = fitted.predict(new[["x"]], groups="new", seed=1, scale="link")["sd"].iloc[0] ** 2
    assert whole - level == pytest.approx(variance, rel=0.15)


def test_figures_of_single_levels_are_refused(fitted: bg.Fit) -> None:
    """No school has rows of its own."""
    for figure in (bg.plots.shrinkage, bg.plots.laplace_quality):
        with pytest.raises(SettingsError, match=r"several levels|rows of their own"):
            figure(fitted)


def test_a_saved_fit_predicts_the_same(fitted: bg.Fit, tmp_path: Path) -> None:
    fitted.save(tmp_path / "mm.nc")
    again = bg.load(tmp_path / "mm.nc")
    pd.testing.assert_frame_equal(again.predict(DATA.head(4)), fitted.predict(DATA.head(4)))
    assert list(fitted.ranef()["level"].unique()) == [f"s{i:02d}" for i in range(J)]


def test_the_share_of_the_variance(fitted: bg.Fit) -> None:
    """Averaged over the rows, z' Sigma z with z the columns of each school that a row belongs to."""
    Z = dense(COLUMNS[:, :, None] * SCALED[:, None, :], CODES)
    sd = fitted.data.posterior["sd_mm_g1_g2"].values.reshape(-1, 2)
    cor = fitted.data.posterior["cor_mm_g1_g2"].values.reshape(-1, 2, 2)
    expected = np.einsum("ija,sab,ijb->s", Z, sd[:, :, None] * cor * sd[:, None, :], Z).mean() / N
    found = fitted.icc().set_index("group")["variance"]
    assert found["mm(g1, g2)"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "settings"),
    [("nuts", {}), ("metropolis", {"proposal": "block"}), ("metropolis", {"proposal": "random-walk"})],
)
def test_engines_agree(fitted: bg.Fit, engine: str, settings: dict[str, Any]) -> None:
    """Means within 4 Monte Carlo standard errors of the fit and those of the exact approximation."""
    draws = 4000 if settings.get("proposal") == "random-walk" else 1000
    found = bg.Model(WEIGHTED, DATA).fit(engine, seed=2, chains=2, draws=draws, tune=1000, **settings).summary()
    own = fitted.summary()
    error = np.hypot(found["sd"] / np.sqrt(np.maximum(found["ess_bulk"], 10)), own["sd"] / np.sqrt(400))
    assert np.all(np.abs(found["mean"] - own["mean"]) < 4.0 * error)


@pytest.mark.parametrize(
    ("term", "error", "message"),
    [
        ("(1 | mm(g1))", FormulaError, "two grouping factors or more"),
        ("(1 | mm(g1, g2, weights = w1))", FormulaError, "one column per membership"),
        ("(1 | mm(g1, g2, weights = cbind(w1)))", FormulaError, "one column per membership"),
        ("(1 | mm(g1, g2, weight = cbind(w1, w2)))", FormulaError, "no option `weight`"),
        ("(1 | mm(g1, g2, weights = cbind(w1, z1)))", DataError, "row .* must be at least 0"),
        ("(1 | mm(g1, g2):x)", FormulaError, "stands alone"),
        ("ar1(0 + x | mm(g1, g2))", FormulaError, "cannot be combined"),
        ("(1 + mmc(z1) | mm(g1, g2))", FormulaError, "one column per membership"),
        ("(1 + mmc(g1, g2) | mm(g1, g2))", FormulaError, "numeric columns"),
        ("(1 | mm(g1, g2)) + (1 + x || mm(g1, g2))", FormulaError, "varies by `mm"),
    ],
)
def test_terms_that_mean_nothing(term: str, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as found:
        bg.Model(f"y ~ x + {term}", DATA)
    assert "^" in str(found.value)


def test_as_a_fixed_term_it_is_explained() -> None:
    with pytest.raises(UnknownNameError, match=r"write \(1 \| mm"):
        bg.Model("y ~ mm(g1, g2)", DATA)

"""The tables of a fit against numpy and arviz-stats, label by label."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesglmm.blocks import FixedBlock, Predictor, RandomBlock, Response
from bayesglmm.errors import BayesglmmError, SettingsError, UnknownNameError
from bayesglmm.priors import Prior
from bayesglmm.results import draws as draw_tools
from bayesglmm.results.convergence import worst_r_hat

STATS = ["mean", "sd", "lower", "upper"]


def reference(values: Any, prob: float) -> list[float]:
    flat = np.asarray(values).ravel()
    tails = [(1 - prob) / 2, (1 + prob) / 2]
    return [flat.mean(), flat.std(ddof=1), *np.quantile(flat, tails)]


@pytest.fixture(scope="module")
def fit(binomial: Any) -> Any:
    return binomial.fit()


def test_fixed_is_numpys_moments_and_quantiles(fit: Any) -> None:
    table = fit.fixed(prob=0.8)
    assert table.index.tolist() == ["Intercept", "x"]
    assert table.columns.tolist() == STATS
    beta = fit.data["posterior"]["beta"].values
    for j, row in enumerate(table.to_numpy()):
        assert row == pytest.approx(reference(beta[:, :, j], 0.8))


def test_summary_lists_every_population_parameter_once(fit: Any) -> None:
    table = fit.summary()
    labels = ["Intercept", "x", "sd[g, Intercept]", "sd[g, x]", "cor[g, Intercept, x]", "sd[h, Intercept]"]
    assert table.index.tolist() == labels
    assert table.columns.tolist() == [*STATS, "ess_bulk", "ess_tail", "r_hat", "mcse_mean"]
    values = fit.data["posterior"]["cor_g"].values[:, :, 1, 0]
    assert table.loc["cor[g, Intercept, x]", STATS].tolist() == pytest.approx(reference(values, 0.95))


def test_summary_has_arvizs_convergence_statistics(fit: Any) -> None:
    array_stats: Any = import_module("arviz_stats.base").array_stats
    values = fit.data["posterior"]["sd_g"].values[:, :, 1]
    row = fit.summary().loc["sd[g, x]"]
    assert row["ess_bulk"] == pytest.approx(array_stats.ess(values, method="bulk"))
    assert row["ess_tail"] == pytest.approx(array_stats.ess(values, method="tail", prob=(0.05, 0.95)))
    assert row["r_hat"] == pytest.approx(array_stats.rhat(values))
    assert row["mcse_mean"] == pytest.approx(array_stats.mcse(values))


def test_varcorr_has_the_lower_triangle_once(fit: Any) -> None:
    table = fit.varcorr()
    assert table.columns.tolist() == ["group", "term", "term2", "kind", *STATS]
    assert table[["group", "term", "term2", "kind"]].to_numpy().tolist() == [
        ["g", "Intercept", "", "sd"],
        ["g", "x", "", "sd"],
        ["g", "Intercept", "x", "cor"],
        ["h", "Intercept", "", "sd"],
    ]


def test_the_residual_is_the_last_group(gaussian: Any) -> None:
    fit = gaussian.fit()
    last = fit.varcorr().iloc[-1]
    assert (last["group"], last["kind"]) == ("Residual", "sd")
    assert last[STATS].tolist() == pytest.approx(reference(fit.data["posterior"]["sigma"].values, 0.95))
    assert fit.summary().index[-1] == "sigma"


def test_ranef_is_every_coefficient_of_every_level(fit: Any) -> None:
    table = fit.ranef(prob=0.9)
    assert table.columns.tolist() == ["group", "level", "term", *STATS]
    assert len(table) == 5 * 2 + 3
    b = fit.data["posterior"]["b_g"]
    for level in "abcde":
        for term in ("Intercept", "x"):
            row = table.query("group == 'g' and level == @level and term == @term")[STATS].to_numpy()[0]
            assert row == pytest.approx(reference(b.sel(level_g=level, term_g=term).values, 0.9))


def test_ranef_of_one_group(fit: Any) -> None:
    assert set(fit.ranef(group="h")["group"]) == {"h"}
    with pytest.raises(UnknownNameError, match="No grouping factor is called 'herd'"):
        fit.ranef(group="herd")


def test_coef_adds_population_and_group(fit: Any) -> None:
    posterior = fit.data["posterior"]
    row = fit.coef(group="g").query("level == 'b' and term == 'x'")[STATS].to_numpy()[0]
    total = posterior["beta"].sel(column="x").values + posterior["b_g"].sel(level_g="b", term_g="x").values
    assert row == pytest.approx(reference(total, 0.95))


def test_coef_of_a_term_without_a_population_coefficient(problem: Any) -> None:
    n = 12
    x = np.linspace(-1, 1, n)[:, None]
    block = RandomBlock("(0 + x | g)", "g", ("x",), ("a", "b"), np.arange(n) % 2, x, "diag")
    predictor = Predictor(
        "mu", n, (FixedBlock("fixed", ("Intercept",), ("Intercept",), np.ones((n, 1)), 0),), (block,)
    )
    case = problem("gaussian", "identity", Response("y", x[:, 0]), {"mu": predictor})
    fit = case.fit()
    pd.testing.assert_frame_equal(fit.coef(), fit.ranef())


def test_predictors_of_other_parameters_are_prefixed(two_predictors: Any) -> None:
    fit = two_predictors.fit()
    assert fit.fixed().index.tolist() == ["Intercept", "x", "sigma.Intercept", "sigma.x"]
    assert "sigma.sd[g, x]" in fit.summary().index
    assert "Residual" not in fit.varcorr()["group"].tolist()
    assert {"x", "sigma.x"} <= set(fit.varcorr()["term"])
    assert {"x", "sigma.x"} <= set(fit.ranef()["term"])


def test_held_parameters_have_no_convergence_statistics(problem: Any) -> None:
    y = np.random.default_rng(0).normal(size=40)
    priors = {"x": Prior("Fixed", 0.5), "sigma": Prior("Fixed", 2.0)}
    fit = problem("gaussian", "identity", Response("y", y), priors=priors).fit()
    table = fit.summary()
    assert table.loc["x", STATS].tolist() == [0.5, 0.0, 0.5, 0.5]
    assert table.loc[["x", "sigma"], ["ess_bulk", "ess_tail", "r_hat", "mcse_mean"]].isna().all(axis=None)
    assert fit.verdict == "good"
    assert "held" in str(fit)


def test_ordinal_fits_list_their_cutpoints(problem: Any) -> None:
    rng = np.random.default_rng(0)
    response = Response("y", rng.integers(0, 3, 40), categories=("low", "mid", "high"))
    x = rng.normal(size=(40, 1))
    predictor = Predictor("mu", 40, (FixedBlock("fixed", ("x",), ("x",), x),))
    fit = problem("cumulative", "logit", response, {"mu": predictor}).fit()
    assert fit.summary().index.tolist() == ["x", "cutpoints[low|mid]", "cutpoints[mid|high]"]
    assert fit.ranef().columns.tolist() == ["group", "level", "term", *STATS]
    assert len(fit.ranef()) == 0
    assert len(fit.varcorr()) == 0


def test_summaries_leave_the_draws_as_they_are(fit: Any) -> None:
    before = {name: v.values.copy() for name, v in fit.data["posterior"].data_vars.items()}
    fit.summary(), fit.fixed(), fit.ranef(), fit.coef(), fit.predict()
    assert all(np.array_equal(before[name], v.values) for name, v in fit.data["posterior"].data_vars.items())


def test_pieces_do_not_change_a_summary(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit.ranef()
    monkeypatch.setattr(draw_tools, "PIECE", 1500)
    pd.testing.assert_frame_equal(fit.ranef(), whole)


@pytest.mark.parametrize("prob", [0, 1, 95, -0.5, True, "0.9", None])
def test_an_impossible_prob_is_refused(fit: Any, prob: Any) -> None:
    with pytest.raises(SettingsError, match="prob must be a number between 0 and 1"):
        fit.fixed(prob=prob)


def test_the_worst_r_hat_among_many_is_found() -> None:
    values = np.random.default_rng(0).normal(size=(4, 100, 500))
    values[2, :, 333] += 1.5
    value, at = worst_r_hat(values)
    array_stats: Any = import_module("arviz_stats.base").array_stats
    assert at == 333
    assert value == pytest.approx(array_stats.rhat(values[:, :, 333]))


def test_a_chain_with_another_spread_is_found_among_many() -> None:
    values = np.random.default_rng(0).normal(size=(4, 200, 500))
    values[2, :, 77] *= 4.0
    assert worst_r_hat(values)[1] == 77


@pytest.mark.parametrize("name", ["loglik", "aic", "bic", "log_evidence", "khat"])
def test_numbers_that_a_fit_has_not_are_refused_by_name(fit: Any, name: str) -> None:
    words = f'has no {name}, for it is a posterior by the engine "nuts".*model.fit\\("laplace"'
    with pytest.raises(BayesglmmError, match=words):
        getattr(fit, name)


@pytest.mark.parametrize("name", ["profile", "drop_terms", "bootstrap"])
def test_questions_to_likelihoods_are_refused_by_posteriors(fit: Any, name: str) -> None:
    words = f'{name} needs a maximum likelihood fit, and this one is a posterior by the engine "nuts".*objective="ml"'
    with pytest.raises(BayesglmmError, match=words):
        getattr(fit, name)()

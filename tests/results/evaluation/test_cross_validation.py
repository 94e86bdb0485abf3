"""Leave-one-out and K-fold: against closed forms, against loo in R (by brms), and their books."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError, SettingsError, UnknownNameError
from bayesglmm.results.evaluation.folds import group_folds, row_folds, stratified_folds
from bayesglmm.results.evaluation.loo import good_k
from bayesglmm.results.evaluation.refit import held_out_densities


def others(n: int, without: Any) -> Any:
    return np.setdiff1d(np.arange(n), without)


def test_loo_is_the_closed_form(conjugate: Any) -> None:
    """Two thousand draws: rows with k below 0.5 have Monte Carlo errors of 0.005 to 0.02."""
    found = conjugate.fit.loo()
    assert found.elpd == conjugate.fit.loo().elpd  # the seed is that of the fit
    exact = np.array([conjugate.density(i, others(40, i)) for i in range(40)])
    good = found.pareto_k.to_numpy() < 0.5
    assert good.sum() > 30
    error = (found.pointwise["elpd"].to_numpy() - exact)[good]
    assert np.abs(error).max() < 0.06
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert found.elpd == pytest.approx(exact.sum(), abs=0.3)
    assert list(found.pointwise["g"][:2]) == ["g0", "g0"]


def test_new_groups_are_integrated(conjugate: Any) -> None:
    """Rows of a level that was not seen have a closed form: its effect is part of their variance."""
    found = conjugate.fit.kfold(4, groups="g", seed=2)
    fold = found.pointwise["fold"].to_numpy()
    exact = np.array([conjugate.density(i, np.flatnonzero(fold != fold[i])) for i in range(40)])
    error = np.abs(found.pointwise["elpd"].to_numpy() - exact)
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert np.all(error < 5.0 * found.pointwise["mcse"] + 1e-3)
    assert found.pointwise["mcse"].max() < 0.05
    assert found.pointwise.groupby("g")["fold"].nunique().eq(1).all()
    assert found.method == "4-fold cross-validation by g"
    assert found.by_group["elpd"].sum() == pytest.approx(found.elpd)
    assert found.se == pytest.approx(np.sqrt(8) * found.by_group["elpd"].std(ddof=1))


@pytest.mark.slow
def test_rows_are_predicted_from_their_own_group(conjugate: Any) -> None:
    found = conjugate.fit.kfold(4, seed=3)
    fold = found.pointwise["fold"].to_numpy()
    exact = np.array([conjugate.density(i, np.flatnonzero(fold != fold[i])) for i in range(40)])
    assert np.abs(found.pointwise["elpd"].to_numpy() - exact).max() < 0.05
    assert found.p > 0.0
    assert sorted(found.folds["rows"]) == [10, 10, 10, 10]


def test_refits_are_exact(conjugate: Any) -> None:
    """A refit without a row gives what importance sampling only approximates."""
    from dataclasses import replace

    from bayesglmm.results.evaluation import loo as module

    found = conjugate.fit.loo()
    strict = replace(found, threshold=float(found.pareto_k.nlargest(3).min()) - 1e-9)
    rows = module.bad_rows(strict)
    assert len(rows) == 3
    from bayesglmm.results.evaluation.refit import refit

    held = refit(conjugate.fit._recipe(), [rows[[j]] for j in range(3)], 1, 1)
    mended = module.mended(strict, held)
    exact = np.array([conjugate.density(int(i), others(40, i)) for i in rows])
    errors = np.array([own.mcse[0] for own in held])
    assert np.all(np.abs(mended.pointwise["elpd"].to_numpy()[rows] - exact) < 4.0 * errors)
    assert errors.max() < 0.05
    assert not len(mended.bad)
    assert "3 rows mended by an exact refit." in repr(mended)
    # p keeps its meaning: log density given all rows, less elpd.
    before, after = found.pointwise.iloc[rows], mended.pointwise.iloc[rows]
    assert np.allclose((before["elpd"] + before["p"]), (after["elpd"] + after["p"]))


def test_moment_matching_is_the_closed_form(conjugate: Any) -> None:
    """Two rows far out: importance sampling is off by 0.4 and says so; matched draws are off by 0.02 to 0.08."""
    from dataclasses import replace

    data = conjugate.data.copy()
    data.loc[[3, 21], "y"] += [4.5, -4.5]
    far = replace(conjugate, data=data)
    fit = conjugate.model.changed(None, data).fit("laplace", seed=1)
    before, found = fit.loo(), fit.loo(moment_match=True)
    assert list(before.bad.index.sort_values()) == [3, 21]
    assert not len(found.bad)
    exact = np.array([far.density(i, others(40, i)) for i in (3, 21)])
    assert np.abs(before.pointwise["elpd"].to_numpy()[[3, 21]] - exact).max() > 0.3
    assert np.abs(found.pointwise["elpd"].to_numpy()[[3, 21]] - exact).max() < 0.15
    assert "2 rows mended by moment matching." in repr(found)
    assert np.array_equal(found.pareto_k, before.pareto_k)  # what it was before
    rest = np.delete(np.arange(40), [3, 21])
    pd.testing.assert_frame_equal(found.pointwise.iloc[rest], before.pointwise.iloc[rest])
    assert fit.loo(moment_match=True).elpd == found.elpd


@pytest.mark.slow
def test_moment_matching_is_what_refits_find(cbpp: Any, cbpp_loo: Any) -> None:
    """With hyperparameters and a family that is not gaussian. Refits have Monte Carlo errors of 0.03."""
    matched, refitted = cbpp.loo(moment_match=True), cbpp.loo(reloo=True)
    assert len(cbpp_loo.bad) >= 2
    assert len(matched.bad) == 0
    rows = cbpp_loo.bad.index
    errors = [(own.pointwise["elpd"] - refitted.pointwise["elpd"])[rows].abs() for own in (cbpp_loo, matched)]
    assert errors[1].max() < 0.12
    assert errors[1].sum() < 0.5 * errors[0].sum()


@pytest.mark.slow
def test_workers_change_no_number(conjugate: Any) -> None:
    alone, together = (conjugate.fit.kfold(3, workers=workers, seed=7, draws=100) for workers in (1, 2))
    pd.testing.assert_frame_equal(alone.pointwise, together.pointwise, check_exact=True)
    pd.testing.assert_frame_equal(alone.folds, together.folds, check_exact=True)


def test_cbpp_agrees_with_loo_of_brms(cbpp_loo: Any, expected: Callable) -> None:
    _agrees(cbpp_loo, expected("bayes_cbpp")["loo"])


@pytest.mark.slow
def test_sleepstudy_agrees_with_loo_of_brms(sleep: Any, expected: Callable) -> None:
    _agrees(sleep.loo(), expected("bayes_sleepstudy")["loo"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cbpp", "sleepstudy"])
def test_nuts_agrees_with_loo_of_brms(
    name: str, dataset: Callable, expected: Callable, reference_model: Callable
) -> None:
    fit = reference_model(name, dataset(name)).fit("nuts", seed=1, progressbar=False)
    _agrees(fit.loo(), expected(f"bayes_{name}")["loo"])


def _agrees(found: Any, theirs: Any) -> None:
    """Rows with k below 0.5 are precise on both sides; the few others decide the Monte Carlo error of the sum.

    Between seeds of one engine the sums differ by 0.5 (standard deviation of six runs), hence 1.8.
    """
    difference = found.pointwise["elpd"].to_numpy() - np.array(theirs["pointwise_elpd"])
    good = found.pareto_k.to_numpy() < 0.5
    assert good.mean() > 0.65
    assert np.abs(difference[good]).max() < 0.25
    assert np.sqrt(np.mean(difference[good] ** 2)) < 0.05
    assert abs(found.elpd - theirs["elpd_loo"]) < 1.8
    assert abs(found.p - theirs["p_loo"]) < 1.8
    assert found.se == pytest.approx(theirs["se"], rel=0.05)


def test_pareto_k_names_the_rows(cbpp_loo: Any) -> None:
    found = cbpp_loo
    text = repr(found)
    assert found.counts.sum() == 56
    assert len(found.bad) == found.counts["bad"] + found.counts["very bad"] > 0
    worst = found.bad.iloc[0]
    assert f"{worst['pareto_k']:.2f}" in text
    assert "fit.loo(reloo=True)" in text
    assert "herd" in text
    assert found.warnings == (f"{len(found.bad)} rows with Pareto k > 0.7",)
    assert found.to_arviz().elpd == pytest.approx(found.elpd)


def test_log_likelihoods_are_kept_only_if_asked(conjugate: Any) -> None:
    fit = conjugate.model.fit("laplace", seed=4, draws=50)
    fit.loo()
    assert "log_likelihood" not in fit.data.children
    fit.loo(keep=True)
    assert fit.data["log_likelihood"]["y"].sizes["obs"] == 40


def test_blocks_of_rows_give_what_all_rows_give(conjugate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesglmm.results import draws as module

    whole = conjugate.fit.loo()
    monkeypatch.setattr(module, "PIECE", 7 * 2000)
    pd.testing.assert_frame_equal(whole.pointwise, conjugate.fit.loo().pointwise, rtol=1e-12)


def test_new_levels_with_a_narrow_likelihood(conjugate: Any) -> None:
    """The mean over draws stays unbiased where the likelihood is a tenth as wide as the distribution of levels."""
    from bayesglmm.graph.evaluate import Evaluator

    data = conjugate.data.head(10)
    priors = {"Intercept": bg.Prior("Fixed", 0.0), "sd": bg.Prior("Fixed", 3.0), "sigma": bg.Prior("Fixed", 0.3)}
    problem = bg.Model("y ~ 1 + (1 | g)", data, priors=priors).problem
    draws = {"beta": np.zeros((2000, 1)), "sd_g": np.full((2000, 1), 3.0), "b_g": np.zeros((2000, 2, 1))}
    draws["sigma"] = np.full(2000, 0.3)
    rows = np.arange(5)
    found = held_out_densities(Evaluator(problem), draws, rows, np.arange(5, 10), 1)
    from scipy import special, stats

    elpd = special.logsumexp(found, axis=0) - np.log(2000)
    exact = stats.norm.logpdf(data["y"].to_numpy()[:5], 0.0, np.hypot(3.0, 0.3))
    # 32,000 points in all, of which a tenth lies where the likelihood is.
    assert np.abs(elpd - exact).max() < 0.05


def test_folds_are_partitions() -> None:
    rng = np.random.default_rng(1)
    groups = np.array(list("aabbbccddddeeff"))
    for folds in (row_folds(15, 4, rng), stratified_folds(groups, 3, rng), group_folds(groups, 3, rng)):
        assert np.array_equal(np.sort(np.concatenate(folds)), np.arange(15))
    held = group_folds(groups, 3, rng)
    assert all(not set(groups[own]) & set(np.delete(groups, own)) for own in held)
    assert len(group_folds(groups, 10, rng)) == 6
    strata = np.repeat(["rare", "common"], [6, 24])
    assert all(np.sum(strata[own] == "rare") == 2 for own in stratified_folds(strata, 3, rng))
    assert len(row_folds(5, "each", rng)) == 5


@pytest.mark.parametrize("k", [1, 41, 2.5, True, "all"])
def test_impossible_numbers_of_folds(conjugate: Any, k: Any) -> None:
    with pytest.raises(SettingsError, match='k must be "each" or a whole number from 2 to 40'):
        conjugate.fit.kfold(k)


def test_unknown_groups_and_both_arguments(conjugate: Any) -> None:
    with pytest.raises(UnknownNameError, match="groups='G' is neither a grouping factor nor a column"):
        conjugate.fit.kfold(3, groups="G")
    with pytest.raises(SettingsError, match="not both"):
        conjugate.fit.kfold(3, groups="g", stratify="g")
    with pytest.raises(SettingsError, match="has no setting 'drows'"):
        conjugate.fit.kfold(3, drows=10)


def test_maximum_likelihood_fits_say_what_to_do(conjugate: Any) -> None:
    fit = bg.Model("y ~ x + (1 | g)", conjugate.data).fit("laplace", objective="ml", seed=1)
    for ask in (fit.loo, fit.kfold, fit.bridge, fit.evidence):
        with pytest.raises(
            BayesglmmError, match=r"needs posterior draws, and this is a maximum likelihood fit.*fit\.aic"
        ):
            ask()


def test_threshold_follows_the_number_of_draws() -> None:
    """Vehtari et al. (2024): min(1 - 1 / log10(S), 0.7)."""
    assert good_k(100) == pytest.approx(0.5)
    assert good_k(4000) == 0.7

"""Bridge sampling against closed form, quadrature and exact reference; Bayes factors; comparisons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.errors import BayesglmmError, PriorError, SettingsError
from bayesglmm.graph.latent import LatentView
from bayesglmm.results.draws import stacked
from bayesglmm.results.evaluation.comparison import stacking
from bayesglmm.results.evaluation.positions import positions


def test_evidence_is_the_closed_form(conjugate: Any) -> None:
    """Given the standard deviations everything is normal, so the bridge has no error at all."""
    found = conjugate.fit.bridge()
    assert found.log_evidence == pytest.approx(conjugate.evidence, abs=1e-8)
    assert found.se < 1e-8
    assert conjugate.fit.evidence().log_evidence == pytest.approx(conjugate.evidence, abs=1e-8)


@pytest.mark.slow
def test_bridge_is_quadrature_over_the_standard_deviations(conjugate: Any) -> None:
    """Two free hyperparameters: the closed form on a grid of 60 x 60, integrated by the trapezoidal rule."""
    prior = bg.Prior
    priors = {
        "Intercept": prior("Normal", mu=0.5, sigma=2.0),
        "fixed": prior("Normal", mu=0.0, sigma=1.0),
        "sd": prior("Exponential", lam=1.0),
        "sigma": prior("HalfNormal", sigma=1.5),
    }
    data = conjugate.data
    fit = bg.Model("y ~ x + (1 | g)", data, priors=priors).fit("laplace", seed=2)
    X = np.column_stack([np.ones(40), data["x"]])
    Z = (data["g"].to_numpy()[:, None] == np.unique(data["g"])).astype(float)
    fixed, groups = X @ np.diag([4.0, 1.0]) @ X.T, Z @ Z.T
    logs, sigmas = np.linspace(np.log(0.05), np.log(8.0), 60), np.linspace(np.log(0.35), np.log(1.6), 60)
    values = np.array(
        [
            stats.multivariate_normal.logpdf(
                data["y"], conjugate.mean, fixed + np.exp(2 * a) * groups + np.exp(2 * b) * np.eye(40)
            )
            + (stats.expon.logpdf(np.exp(a)) + a)
            + (stats.halfnorm.logpdf(np.exp(b), scale=1.5) + b)
            for a in logs
            for b in sigmas
        ]
    ).reshape(60, 60)
    top = values.max()
    exact = top + np.log(np.trapezoid(np.trapezoid(np.exp(values - top), sigmas, axis=1), logs))
    found = fit.bridge(seed=3)
    assert abs(found.log_evidence - exact) < 4.0 * found.se + 1e-3
    assert found.se < 0.02


@pytest.mark.slow
def test_bridge_of_metropolis_draws_is_the_exact_evidence(
    dataset: Callable, expected: Callable, reference_model: Callable
) -> None:
    """cbpp: by importance sampling on a likelihood of 61 nodes, to 0.003."""
    exact = expected("exact_cbpp")
    fit = reference_model("cbpp", dataset("cbpp")).fit("metropolis", seed=1, draws=500, progressbar=False)
    found = fit.bridge(seed=2)
    assert abs(found.log_evidence - exact["mlik_exact"]) < 4.0 * np.hypot(found.se, exact["mlik_se"])
    assert 0.0 < found.se < 0.05
    assert "bridge sampling" in repr(found)


@pytest.mark.slow
def test_standard_errors_are_those_of_repetitions(cbpp: Any) -> None:
    """Other proposals and other halves of the draws scatter as the error says, within a factor of two and a half."""
    found = [cbpp.bridge(draws=400 + 4 * k, seed=k) for k in range(12)]
    scatter = np.std([own.log_evidence for own in found], ddof=1)
    said = np.mean([own.se for own in found])
    assert scatter < 2.5 * said
    assert said < 0.1


def test_positions_invert_what_engines_hand_back(sleep: Any) -> None:
    engine, problem = ENGINES.get("laplace"), sleep.problem
    run = engine.run(problem, engine.configure(draws=20), 1)
    from bayesglmm.results.schema import variables

    view = LatentView(problem)
    x, theta = positions(view, stacked(variables(problem, run.draws)))
    for name, values in view.natural_draws(theta).items():
        assert np.allclose(values, np.asarray(run.draws[name]).reshape(values.shape), rtol=1e-10)
    for part in view.parts:
        assert np.allclose(
            x[:, part.slice], np.asarray(run.draws[part.name]).reshape(len(x), -1), rtol=1e-9, atol=1e-9
        )


@pytest.mark.slow
def test_ordered_cutpoints_have_positions() -> None:
    rng = np.random.default_rng(2)
    import pandas as pd

    data = pd.DataFrame({"x": rng.normal(size=60) + 3.0, "g": np.repeat(list("abcdef"), 10)})
    data["y"] = np.digitize(0.8 * (data["x"] - 3.0) + rng.logistic(size=60), [-1.0, 1.0])
    fit = bg.Model("y ~ x + (1 | g)", data, family="cumulative").fit("laplace", seed=1, draws=250)
    view = LatentView(fit.problem)
    _, theta = positions(view, stacked(fit.draws))
    values = view.natural_draws(theta)["cutpoints"]
    shift = stacked(fit.draws)["beta"] @ fit.problem.cutpoint_shift
    assert np.allclose(values + shift[:, None], stacked(fit.draws)["cutpoints"])
    assert abs(fit.bridge().log_evidence - fit.log_evidence) < 0.1


def test_bayes_factor_of_closed_forms(conjugate: Any) -> None:
    smaller = bg.Model(
        "y ~ 1 + (1 | g)",
        conjugate.data,
        priors={name: prior for name, prior in conjugate.model.given["priors"].items() if name != "fixed"},
    ).fit("laplace", seed=1)
    x = conjugate.data["x"].to_numpy()
    without = conjugate.covariance - np.outer(x, x)
    exact = conjugate.evidence - stats.multivariate_normal.logpdf(conjugate.data["y"], conjugate.mean, without)
    found = bg.bayes_factor(conjugate.fit, smaller)
    assert found.log_factor == pytest.approx(exact, abs=1e-7)
    assert float(found) == pytest.approx(np.exp(exact))
    assert "depends on the priors" in repr(found)
    assert bg.bayes_factor(smaller, conjugate.fit).log_factor == pytest.approx(-exact, abs=1e-7)
    table = bg.compare_models({"x": conjugate.fit, "1": smaller}, method="evidence").table
    assert table.loc["x", "probability"] == pytest.approx(1.0 / (1.0 + np.exp(-exact)))


def test_default_priors_are_named(conjugate: Any) -> None:
    default = bg.Model("y ~ x + (1 | g)", conjugate.data).fit("laplace", seed=1, draws=100)
    assert "Default priors, which were not chosen for this, are in b (Intercept, x," in repr(
        bg.bayes_factor(conjugate.fit, default)
    )


def test_flat_priors_have_no_evidence(conjugate: Any) -> None:
    flat = bg.Model("y ~ x + (1 | g)", conjugate.data, priors={"fixed": bg.Prior("Flat")}).fit("laplace", seed=1)
    for ask in (flat.bridge, flat.evidence, lambda: bg.bayes_factor(flat, conjugate.fit)):
        with pytest.raises(PriorError, match=r"proper priors, and those of x are flat.*any number"):
            ask()


def test_reduced_rank_is_refused_in_words() -> None:
    data = bg.load_dataset("sleepstudy")
    fit = bg.Model("Reaction ~ Days + rr(1 + Days | Subject, d=1)", data).fit("laplace", seed=1, draws=50)
    with pytest.raises(BayesglmmError, match=r"has no inverse in some draws.*log_evidence\.$"):
        fit.bridge()


@pytest.mark.parametrize("first", [0.0, 0.3, 0.5, 1.0])
def test_stacking_finds_the_mixture(first: float) -> None:
    """Data from a mixture of two known densities: its share, within three standard errors; a corner is a corner."""
    rng = np.random.default_rng(4)
    y = np.where(rng.random(4000) < first, rng.normal(-1.5, 1.0, 4000), rng.normal(1.5, 1.0, 4000))
    elpd = np.column_stack([stats.norm.logpdf(y, m) for m in (-1.5, 1.5)])
    weights = stacking(elpd - 800.0)  # far below what exp can hold
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] == pytest.approx(first, abs=0.03)


def test_comparison_by_loo(cbpp: Any, cbpp_loo: Any) -> None:
    without = cbpp.update(
        ". ~ . - period", priors={k: v for k, v in cbpp.model.given["priors"].items() if k != "fixed"}
    )
    a, b = cbpp_loo, without.loo()
    found = bg.compare_models({"none": b, "period": a})
    table = found.table
    assert list(table.index) == ["period", "none"]
    assert list(table.columns) == ["elpd", "se", "elpd_diff", "se_diff", "p_eff", "weight", "warnings"]
    difference = b.pointwise["elpd"] - a.pointwise["elpd"]
    assert table.loc["none", "elpd_diff"] == pytest.approx(difference.sum())
    assert table.loc["none", "se_diff"] == pytest.approx(np.sqrt(56) * difference.std(ddof=1))
    assert table.loc["period", ["elpd_diff", "se_diff"]].tolist() == [0.0, 0.0]
    assert table["weight"].sum() == pytest.approx(1.0)
    assert "Pareto k > 0.7" in table.loc["period", "warnings"]
    assert "56 units" in table.loc["none", "warnings"]
    assert "period may predict better than none" in repr(found)
    from arviz_stats import compare

    theirs = compare({"none": b.to_arviz(), "period": a.to_arviz()}, round_to="none")
    assert np.allclose(theirs.loc[table.index, "weight"], table["weight"], atol=1e-3)
    assert theirs.loc["none", "elpd_diff"] == pytest.approx(table.loc["none", "elpd_diff"])
    # ArviZ divides by n, R's loo, as here, by n - 1.
    assert theirs.loc["none", "dse"] * np.sqrt(56 / 55) == pytest.approx(table.loc["none", "se_diff"])


def test_what_cannot_be_compared(conjugate: Any, cbpp: Any) -> None:
    data, priors = conjugate.data, conjugate.model.given["priors"]
    a = conjugate.fit
    shifted = data.assign(y=data["y"] + 1.0, z=data["y"] + 10.0)

    def refused(other: Any, words: str) -> None:
        with pytest.raises(SettingsError, match=words):
            bg.compare_models({"a": a, "b": other})

    refused(cbpp, r"'a' \(gaussian\) gives densities.*'b' \(binomial\) probabilities")
    refused(a.update(data=shifted, draws=20), "'a' and 'b' have different responses")
    refused(a.update(data=data.iloc[3:], draws=20), "different rows .40 and 37.: only 'a' has row 0, 1, 2")
    refused(a.update("log(z) ~ .", data=shifted, draws=20), r"response of 'a' is `y`, that of 'b' `log\(z\)`")
    with pytest.raises(SettingsError, match="mapping of at least two fits"):
        bg.compare_models({"a": a})
    with pytest.raises(SettingsError, match="method='waic' is not known"):
        bg.compare_models({"a": a, "b": a}, method="waic")
    assert priors  # the fixture is left as it was


def test_engines_without_evidence_name_the_bridge(conjugate: Any) -> None:
    fit = conjugate.model.fit("metropolis", seed=1, draws=20, tune=20, chains=1)
    with pytest.raises(BayesglmmError, match=r"fit\.bridge\(\)"):
        _ = fit.log_evidence

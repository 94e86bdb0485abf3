"""Fits of the Laplace engine: tables, verdicts and what is kept of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines import maximum
from bayesglmm.engines.kernels.likelihood import likelihood_draws
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.fit import Fit
from bayesglmm.results.likelihood import LikelihoodFit
from bayesglmm.results.wald import bounds

SLEEP = "Reaction ~ Days + (Days | Subject)"
ESTIMATES = ["estimate", "se", "lower", "upper"]


@pytest.fixture(scope="module")
def sleepstudy() -> Any:
    return bg.Model(SLEEP, bg.load_dataset("sleepstudy"))


@pytest.fixture(scope="module")
def posterior(sleepstudy: Any) -> Any:
    return sleepstudy.fit("laplace", seed=1)


@pytest.fixture(scope="module")
def ml(sleepstudy: Any) -> Any:
    return sleepstudy.fit("laplace", seed=1, objective="ml")


@pytest.fixture(scope="module")
def flat_groups() -> Any:
    """Responses that vary less between groups than chance would have it."""
    rng = np.random.default_rng(5)
    y = rng.normal(size=(6, 5))
    y = y - y.mean(axis=1, keepdims=True)
    data = pd.DataFrame({"y": y.ravel(), "g": np.repeat(list("abcdef"), 5)})
    return bg.Model("y ~ 1 + (1 | g)", data).fit("laplace", seed=1, objective="ml", draws=50)


def test_a_laplace_fit_has_the_groups_of_every_posterior(posterior: Any) -> None:
    assert set(posterior.data.children) == {"posterior", "sample_stats", "observed_data", "constant_data"}
    assert posterior.draws.sizes["chain"] * posterior.draws.sizes["draw"] == 4000
    table = posterior.summary()
    assert (table["ess_bulk"] == 4000).all()
    assert table["r_hat"].isna().all()
    assert table["mcse_mean"].to_numpy() == pytest.approx(table["sd"].to_numpy() / np.sqrt(4000))


def test_its_verdict_is_the_engines(posterior: Any) -> None:
    kept = json.loads(posterior.data.attrs["quality"])
    assert posterior.verdict == kept["verdict"] == "good"
    assert str(posterior.verdict) == "good: Laplace's approximation is good here."
    reported = ["shift under correction", "Pareto k", "hardest level", "skewness"]
    assert posterior.diagnose()["check"].tolist() == ["finite draws", "draws", *reported]
    assert posterior.khat == kept["khat"]
    assert np.isfinite(posterior.log_evidence)
    assert not set(kept["sentences"]) & set(posterior.notes)


def test_a_stored_verdict_can_be_bad(posterior: Any) -> None:
    kept = json.loads(posterior.data.attrs["quality"])
    kept |= {
        "verdict": "bad",
        "shifts": {"x": -0.9},
        "errors": {"x": 0.1},
        "khat": 1.2,
        "advice": "",
        "details": {},
    }
    data = posterior.data.copy()
    data.attrs = {**posterior.data.attrs, "quality": json.dumps(kept)}
    fit = bg.results.Fit.from_tree(data, posterior.problem)
    assert fit.verdict == "bad"
    assert fit.verdict.reasons == (
        "Correcting Laplace's approximation would move x by 0.90 posterior standard deviations (the largest shift; "
        "Monte Carlo error 0.10). Laplace's approximation is poor here.",
    )
    assert fit.verdict.advice == ('Use model.fit("nuts").',)
    table = fit.diagnose().set_index("check")
    assert table.loc["shift under correction", "value"] == 0.9
    assert table.loc["Pareto k", "verdict"] == "good"
    assert "could not be trusted" in table.loc["Pareto k", "meaning"]


def test_print_of_independent_draws_has_no_convergence(posterior: Any) -> None:
    text = repr(posterior)
    assert "Engine:  laplace, 4,000 independent draws, seed 1\n" in text
    assert "R-hat" not in text
    assert "ESS" not in text


def test_draws_around_estimates_are_made_when_they_are_read(sleepstudy: Any, monkeypatch: Any) -> None:
    fit, again = (sleepstudy.fit("laplace", seed=7, objective="ml", draws=20) for _ in range(2))
    made: list[int] = []
    monkeypatch.setattr(maximum, "likelihood_draws", lambda *args: made.append(1) or likelihood_draws(*args))
    assert "maximum likelihood" in repr(fit)
    fit.summary(), fit.ranef(), fit.verdict, fit.loglik, fit.drop_terms()
    assert not made
    assert set(fit.data.children) == {"estimates", "observed_data", "constant_data"}
    prediction = fit.predict()
    assert len(made) == 1
    assert set(fit.data.children) == {"estimates", "asymptotic", "observed_data", "constant_data"}
    assert fit.draws.identical(fit.data["asymptotic"].to_dataset())
    assert fit.draws.sizes["chain"] * fit.draws.sizes["draw"] == 80
    assert fit.draws.attrs["inference_library"] == "bayesglmm"
    # What happened in between does not matter, only the seed.
    assert again.draws.drop_attrs().identical(fit.draws.drop_attrs())
    assert again.predict().equals(prediction)
    assert len(made) == 2


def test_a_stored_tree_has_draws_if_they_were_read(sleepstudy: Any) -> None:
    fit = sleepstudy.fit("laplace", seed=7, objective="ml", draws=20)
    stored = Fit.from_tree(fit.data.copy(), sleepstudy.problem, sleepstudy.design)
    assert stored.summary().equals(fit.summary())
    with pytest.raises(BayesglmmError, match=r"has no draws around its estimates.*read fit.draws before storing"):
        stored.predict()
    expected = fit.predict()
    stored = Fit.from_tree(fit.data.copy(), sleepstudy.problem, sleepstudy.design)
    assert stored.predict().equals(expected)


def test_ml_has_estimates(ml: Any) -> None:
    assert isinstance(ml, LikelihoodFit)
    estimates = ml.data["estimates"]
    assert estimates["beta"].dims == ("column",)
    assert estimates["b_Subject"].dims == estimates["b_Subject_se"].dims == ("level_Subject", "term_Subject")
    assert all(isinstance(value, str | float | int) for value in ml.data.attrs.values())
    assert ml.data.attrs["parameters"] == 6
    assert ml.aic == pytest.approx(12 - 2 * ml.loglik)
    assert ml.bic == pytest.approx(6 * np.log(180) - 2 * ml.loglik)
    with pytest.raises(BayesglmmError, match=r"has no log_evidence, for it is a maximum likelihood fit.*fit\.loglik"):
        _ = ml.log_evidence
    with pytest.raises(BayesglmmError, match=r"has no khat, for it is a maximum likelihood fit.*fit\.verdict"):
        _ = ml.khat


def test_tables_of_ml_have_wald_intervals(ml: Any) -> None:
    fixed, table = ml.fixed(prob=0.9), ml.varcorr(prob=0.9)
    z = stats.norm.ppf(0.95)
    assert fixed.columns.tolist() == ESTIMATES
    assert table.columns.tolist() == ["group", "term", "term2", "kind", *ESTIMATES]
    assert fixed["upper"].to_numpy() == pytest.approx((fixed["estimate"] + z * fixed["se"]).to_numpy())
    sd, cor = table.iloc[0], table[table["kind"] == "cor"].iloc[0]
    assert sd["upper"] / sd["estimate"] == pytest.approx(sd["estimate"] / sd["lower"])
    centre = np.arctanh([cor["lower"], cor["estimate"], cor["upper"]])
    assert centre[1] == pytest.approx((centre[0] + centre[2]) / 2)
    assert table.iloc[-1]["group"] == "Residual"
    assert ml.summary().columns.tolist() == ESTIMATES
    assert ml.summary().index.tolist() == [parameter.label for parameter in ml.parameters]


def test_standard_errors_agree_with_the_asymptotic_draws(ml: Any) -> None:
    spread = ml.draws.std(["chain", "draw"])
    assert ml.fixed()["se"].to_numpy() == pytest.approx(spread["beta"].values, rel=0.05)
    logs = np.log(ml.draws["sigma"]).std().item() * ml.summary().loc["sigma", "estimate"]
    assert ml.summary().loc["sigma", "se"] == pytest.approx(logs, rel=0.05)


def test_ranef_and_coef_of_ml(ml: Any) -> None:
    modes, coef = ml.ranef(), ml.coef()
    assert modes.columns.tolist() == coef.columns.tolist() == ["group", "level", "term", *ESTIMATES]
    days = modes["term"] == "Days"
    total = ml.fixed().loc["Days", "estimate"] + modes.loc[days, "estimate"]
    assert coef.loc[days, "estimate"].to_numpy() == pytest.approx(total.to_numpy())


def test_predictions_of_ml_are_those_at_the_estimates(ml: Any) -> None:
    held, one = ml.data["constant_data"], ml.data["estimates"]
    effects = one["b_Subject"].values[held["index_Subject"].values]
    eta = held["X"].values @ one["beta"].values + (held["Z_Subject"].values * effects).sum(axis=1)
    table = ml.predict()
    assert table.columns.tolist() == ESTIMATES
    assert table["estimate"].to_numpy() == pytest.approx(eta)
    assert (table["lower"] < table["estimate"]).all()
    typical = ml.predict({"Days": [0.0, 1.0]}, groups="typical")["estimate"]
    assert typical.diff().iloc[1] == pytest.approx(ml.fixed().loc["Days", "estimate"])
    outcome = ml.predict({"Days": [0.0]}, groups="new", scale="outcome", seed=1)
    assert outcome["se"].iloc[0] > 30


def test_print_of_ml_speaks_of_estimates(ml: Any) -> None:
    text = repr(ml)
    assert "Engine:  laplace, maximum likelihood\n" in text
    assert "Fit:     log-likelihood -875.9697, AIC 1763.94, BIC 1783.10, 6 parameters\n" in text
    assert "estimate" in text
    assert "R-hat" not in text
    assert "Default priors are not used" in text
    assert text.endswith("Verdict: good: the search ended at a maximum of the likelihood.")
    assert "<table>" in ml._repr_html_()


def test_reml_says_so(sleepstudy: Any) -> None:
    fit = sleepstudy.fit("laplace", seed=1, objective="reml", draws=20)
    assert "laplace, restricted maximum likelihood" in repr(fit)


def test_a_boundary_estimate_is_zero_and_has_no_error(flat_groups: Any) -> None:
    row = flat_groups.varcorr().iloc[0]
    assert row["estimate"] == 0.0
    assert np.isnan(row[["se", "lower", "upper"]].to_numpy(dtype=float)).all()
    assert (flat_groups.ranef()["estimate"] == 0.0).all()
    assert flat_groups.verdict == "good"
    table = flat_groups.diagnose().set_index("check")
    assert table.loc["boundary", "value"] == 1.0
    assert "nan" not in repr(flat_groups)


def test_a_search_that_did_not_converge_is_bad(ml: Any) -> None:
    data = ml.data.copy()
    kept = {"converged": False, "boundary": [], "sentences": []}
    data.attrs = {**ml.data.attrs, "convergence": json.dumps(kept)}
    fit = LikelihoodFit(data, ml.problem)
    assert fit.verdict == "bad"
    assert "did not converge" in str(fit.verdict)


@pytest.mark.parametrize(
    ("scale", "value"), [("real", -1.0), ("positive", 0.3), ("unit", 0.97), ("correlation", -0.9)]
)
def test_wald_bounds_stay_where_the_parameter_lives(scale: str, value: float) -> None:
    lower, upper = bounds(value, 0.2, 1.96, scale)
    least, most = {"real": (-9, 9), "positive": (0, 9), "unit": (0, 1), "correlation": (-1, 1)}[scale]
    assert least < lower < value < upper < most
    assert bounds(value, 0.0, 1.96, scale) == pytest.approx((value, value))


def test_a_fit_without_its_model_says_so(ml: Any) -> None:
    with pytest.raises(BayesglmmError, match="does not hold its model"):
        LikelihoodFit(ml.data, ml.problem).drop_terms()

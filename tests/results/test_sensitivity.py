"""Power-scaling sensitivity: log priors by hand, sensitivities as ArviZ computes them, and what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesglmm as bg
from bayesglmm.errors import BayesglmmError
from bayesglmm.results.checking.sensitivity import CONFLICT, STRONG, log_prior
from bayesglmm.results.draws import stacked


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = 3.0 + rng.normal(size=100)
    y = 1.0 + x + rng.normal(0, 0.5, 10)[np.arange(100) % 10] + rng.normal(size=100)
    return pd.DataFrame({"x": x, "y": y, "g": (np.arange(100) % 10).astype(str)})


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> Any:
    priors = {
        "x": bg.Prior("StudentT", 4, 0, 1),
        "sd[g, Intercept]": bg.Prior("HalfNormal", 2),
        "sd[g, x]": bg.Prior("Exponential", 3),
        "cor": bg.Prior("LKJ", 3),
        "sigma": bg.Prior("Gamma", 2, 1),
    }
    return bg.Model("y ~ x + (1 + x | g)", data, priors=priors).fit("laplace", seed=1, draws=250)


def test_the_log_prior_is_the_sum_of_the_densities(fit: Any) -> None:
    draws, slots = stacked(fit.draws), {slot.label: slot.prior for slot in fit.problem.priors}
    beta, sd, cor = draws["beta"], draws["sd_g"], draws["cor_g"][:, 0, 1]
    at_mean = beta[:, 0] + beta[:, 1] * fit.problem.predictors[0].predictor.X[:, 1].mean()
    own = slots["Intercept"].parameters  # the default prior sits at the mean of the predictors
    expected = (
        stats.norm.logpdf(at_mean, own["mu"], own["sigma"])
        + stats.t.logpdf(beta[:, 1], 4)
        + stats.halfnorm.logpdf(sd[:, 0], scale=2)
        + stats.expon.logpdf(sd[:, 1], scale=1 / 3)
        + stats.gamma.logpdf(draws["sigma"], 2)
        + 2.0 * np.log(1 - cor**2)
    )
    difference = log_prior(fit.problem, draws) - expected
    assert np.ptp(difference) < 1e-9  # the constant of LKJ does not matter to weights


def test_sensitivities_as_arviz_computes_them(fit: Any) -> None:
    from arviz_stats import psense

    shape = fit.draws.sizes["chain"], fit.draws.sizes["draw"]
    tree = xr.DataTree.from_dict(
        {
            "posterior": fit.draws[["beta", "sd_g", "sigma"]],
            "log_prior": xr.Dataset(
                {"p": (("chain", "draw"), log_prior(fit.problem, stacked(fit.draws)).reshape(shape))},
                {"chain": fit.draws["chain"], "draw": fit.draws["draw"]},
            ),
            "log_likelihood": fit.log_likelihood().to_dataset(),
        }
    )
    table = fit.prior_sensitivity()
    for name, group in (("prior", "prior"), ("likelihood", "likelihood")):
        found = psense(tree, group=group)
        expected = [*found["beta"].values, *found["sd_g"].values, float(found["sigma"])]
        labels = ["Intercept", "x", "sd[g, Intercept]", "sd[g, x]", "sigma"]
        assert table.loc[labels, name].tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_summary_has_it_on_request(fit: Any) -> None:
    table = fit.summary(sensitivity=True)
    assert table.columns.tolist()[-3:] == ["prior", "likelihood", "diagnosis"]
    assert "diagnosis" not in fit.summary().columns
    assert table.loc["x", "diagnosis"] == ""


def test_priors_that_disagree_and_priors_that_decide(data: pd.DataFrame) -> None:
    against = bg.Model("y ~ x", data, priors={"x": bg.Prior("Normal", -1, 0.2)}).fit("laplace", seed=1)
    assert against.prior_sensitivity().loc["x", "diagnosis"] == CONFLICT
    few = pd.DataFrame({"x": np.arange(8.0) / 4, "y": [0, 1] * 4})
    alone = bg.Model("y ~ x", few, family="bernoulli", priors={"x": bg.Prior("Normal", 0, 0.05)})
    assert alone.fit("laplace", seed=1).prior_sensitivity().loc["x", "diagnosis"] == STRONG


def test_every_kind_of_parameter_has_a_prior(data: pd.DataFrame) -> None:
    graded = data.assign(y=pd.Categorical(np.digitize(data["y"], [3, 4.5]).astype(str), ordered=True))
    fit = bg.Model("y ~ x + (1 | g)", graded, family="cumulative").fit("laplace", seed=1, draws=100)
    draws, slots = stacked(fit.draws), {slot.label: slot.prior for slot in fit.problem.priors}
    cut, own = draws["cutpoints"], slots["cutpoints"]
    centred = cut - draws["beta"] * data["x"].mean()
    place = getattr(stats, {"Normal": "norm", "StudentT": "t"}[own.distribution])
    shape = [own.parameters["nu"]] if "nu" in own.parameters else []
    parts = place.logpdf(centred, *shape, own.parameters["mu"], own.parameters["sigma"]).sum(axis=1)
    parts += stats.norm.logpdf(draws["beta"][:, 0], 0, slots["x"].parameters["sigma"])
    parts += stats.expon.logpdf(draws["sd_g"][:, 0], scale=1 / slots["sd[g, Intercept]"].parameters["lam"])
    assert np.ptp(log_prior(fit.problem, draws) - parts) < 1e-9


def test_estimates_have_no_priors(data: pd.DataFrame) -> None:
    fit = bg.Model("y ~ x", data).fit("laplace", objective="ml", seed=1)
    with pytest.raises(BayesglmmError, match="no priors to be sensitive to"):
        fit.summary(sensitivity=True)


@pytest.mark.parametrize(
    ("formula", "family"),
    [("n ~ x + (1 | g)", "negative_binomial"), ("n ~ x", "poisson"), ("o ~ x + (1 | g)", "cumulative")],
)
def test_the_fast_log_likelihood_is_the_log_likelihood(data: pd.DataFrame, formula: str, family: str) -> None:
    from bayesglmm.results.checking.sensitivity import _log_likelihood, _plain

    rng = np.random.default_rng(1)
    frame = data.assign(n=rng.poisson(3.0, 100), o=pd.Categorical(rng.integers(0, 3, 100).astype(str), ordered=True))
    fit = bg.Model(formula, frame, family=family).fit("laplace", seed=1, draws=10)
    draws, evaluator = stacked(fit.draws), fit._evaluator
    etas = evaluator.predictors(draws, evaluator.arrays())
    assert _plain(fit.problem, draws, etas) is not None
    difference = _log_likelihood(evaluator, draws) - fit.log_likelihood()["y"].values.sum(axis=-1).ravel()
    assert np.ptp(difference) < 1e-7  # a constant does not matter

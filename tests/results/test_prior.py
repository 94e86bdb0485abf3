"""Draws from the prior against the priors themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bayesglmm.blocks import FixedBlock, Predictor, Response
from bayesglmm.errors import PriorError, SettingsError
from bayesglmm.priors import Prior
from bayesglmm.results.prior import prior_predictive


def test_parameters_have_their_priors_moments(problem: Any) -> None:
    y = np.random.default_rng(0).normal(size=40)
    priors = {
        "Intercept": Prior("Normal", 3.0, 0.5),
        "x": Prior("Normal", -1.0, 2.0),
        "sd": Prior("Exponential", 4.0),
        "sigma": Prior("Fixed", 0.1),
    }
    case = problem("gaussian", "identity", Response("y", y), priors=priors)
    tree = prior_predictive(case.problem, 1000, 3)
    prior = tree["prior"]
    assert set(prior.data_vars) == {"beta", "sd_g", "cor_g", "b_g", "sigma"}
    assert prior["beta"].mean(("chain", "draw")).values == pytest.approx([3.0, -1.0], abs=0.25)
    assert prior["beta"].std(("chain", "draw")).values == pytest.approx([0.5, 2.0], rel=0.1)
    assert prior["sd_g"].mean() == pytest.approx(0.25, rel=0.1)
    # LKJ(2) of a 2 x 2 matrix: a correlation with variance 1 / 5
    assert prior["cor_g"].values[..., 1, 0].std() == pytest.approx(np.sqrt(0.2), rel=0.1)
    y_drawn = tree["prior_predictive"]["y"]
    assert dict(y_drawn.sizes) == {"chain": 1, "draw": 1000, "obs": 40}
    X = case.problem.predictors[0].predictor.X
    assert np.allclose(y_drawn.mean(("chain", "draw")), X @ [3.0, -1.0], atol=0.5)
    assert np.array_equal(tree["observed_data"]["y"], y)


def test_seeds_reproduce(binomial: Any) -> None:
    one, two, three = (prior_predictive(binomial.problem, 20, seed) for seed in (1, 1, 2))
    assert np.array_equal(one["prior_predictive"]["y"], two["prior_predictive"]["y"])
    assert not np.array_equal(one["prior_predictive"]["y"], three["prior_predictive"]["y"])
    assert dict(prior_predictive(binomial.problem, 1, 1)["prior"]["b_g"].sizes)["draw"] == 1


def test_cutpoints_increase(problem: Any) -> None:
    rng = np.random.default_rng(0)
    response = Response("y", rng.integers(0, 4, 20), categories=("a", "b", "c", "d"))
    predictor = Predictor("mu", 20, (FixedBlock("fixed", ("x",), ("x",), rng.normal(size=(20, 1))),))
    case = problem("cumulative", "logit", response, {"mu": predictor})
    tree = prior_predictive(case.problem, 50, 1)
    assert np.all(np.diff(tree["prior"]["cutpoints"].values, axis=-1) > 0)
    assert set(np.unique(tree["prior_predictive"]["y"])) <= {0, 1, 2, 3}


def test_flat_priors_are_refused_by_name(problem: Any) -> None:
    case = problem("gaussian", "identity", Response("y", np.arange(40.0)), priors="flat")
    with pytest.raises(PriorError, match=r"(?s)flat prior.*Intercept, x"):
        prior_predictive(case.problem, 10, 1)


@pytest.mark.parametrize("draws", [0, -1, 2.5, True])
def test_a_number_of_draws_is_needed(gaussian: Any, draws: Any) -> None:
    with pytest.raises(SettingsError, match="draws must be a whole number of at least 1"):
        prior_predictive(gaussian.problem, draws, 1)

"""Maps of theta by hand against those of the graph: values, densities, gradients and starts.

Both are double precision, but PyTensor takes the 2 in log(2) of half distributions for a single: 2e-9 per density.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.graph.hyperparameters import Hyperparameters
from bayesglmm.graph.latent import LatentView

POSITIVE = {
    "Exponential": (0.7,),
    "HalfNormal": (1.4,),
    "HalfStudentT": (3.0, 2.5),
    "HalfCauchy": (0.6,),
    "Gamma": (2.0, 1.3),
    "InverseGamma": (2.5, 1.2),
    "LogNormal": (0.3, 0.8),
    "Weibull": (1.7, 0.9),
}


def _priors(*keys: str, skip: int = 0) -> dict[str, bg.Prior]:
    chosen = list(POSITIVE.items())[skip : skip + len(keys)]
    return {key: bg.Prior(name, *values) for key, (name, values) in zip(keys, chosen, strict=True)}


MODELS: dict[str, tuple[Any, ...]] = {
    "intercepts": ("x + (1 | g) + (1 | h)", "poisson"),
    "four effects": ("1 + (1 + x + z + t | g)", "poisson"),
    "diagonal and common": ("x + diag(1 + x | g) + homdiag(1 + z | h)", "negative_binomial"),
    "smooth": ("s(x, k=5) + (1 | g)", "bernoulli"),
    "cutpoints": ("x + (1 | g)", "cumulative"),
    "flat cutpoints": ("x + (1 | g)", "cumulative", {"cutpoints": bg.Prior("Flat")}),
    "normal cutpoints": ("x + (1 | g)", "cumulative", {"cutpoints": bg.Prior("Normal", 0.5, 2)}),
    "share of zeros": ("x + (1 | g)", "zero_inflated_negative_binomial"),
    "flat": ("x + (1 + x | g)", "zero_inflated_poisson", "flat"),
    "held": ("x + (1 + x | g)", "student_t", {"sd[g, x]": bg.Prior("Fixed", 0.4), "nu": bg.Prior("Fixed", 4)}),
    "mixed": ("x + (1 + x | g)", "gaussian", {"sd[g, x]": bg.Prior("Gamma", 2, 1), "cor": bg.Prior("LKJ", 3.5)}),
    "two predictors": (["x + (x | g)", "sigma ~ z + (1 | h)"],),
    "priors": ("x + (1 | g) + (1 | h) + (1 | f)", "gaussian", _priors("sd[g]", "sd[h]", "sd[f]", "sigma")),
    "more priors": (
        "x + (1 | g) + (1 | h) + (1 | f)",
        "gaussian",
        _priors("sigma", "sd[f]", "sd[h]", "sd[g]", skip=4),
    ),
}


SLOW = ("flat cutpoints", "normal cutpoints", "flat", "diagonal and common", "held")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in MODELS])
def test_explicit_maps_are_those_of_the_graph(name: str, make: Any) -> None:
    terms, family, priors = (*MODELS[name], *("gaussian", None)[len(MODELS[name]) - 1 :])[:3]
    problem = make(terms, family, priors=priors).problem
    ours, graph = LatentView(problem), LatentView(problem, handwritten=False)
    assert ours.explicit is not None
    assert ours.theta_shapes == graph.theta_shapes
    np.testing.assert_allclose(ours.initial_theta, graph.initial_theta, rtol=1e-14, atol=1e-14)
    rng = np.random.default_rng(1)
    theta = ours.initial_theta + rng.normal(size=(4, ours.theta_size))
    draws, theirs = ours.natural_draws(theta), graph.natural_draws(theta)
    assert list(draws) == list(theirs)
    for key, values in draws.items():
        np.testing.assert_allclose(values, theirs[key], rtol=1e-13, atol=1e-14, err_msg=key)
    np.testing.assert_allclose(ours.log_prior_draws(theta), graph.log_prior_draws(theta), rtol=1e-12, atol=5e-9)
    one = theta[0]
    for key, values in graph.natural(one).items():
        assert np.shape(ours.natural(one)[key]) == np.shape(values)
        np.testing.assert_allclose(ours.natural(one)[key], values, rtol=1e-13, atol=1e-14, err_msg=key)
    for jacobian in (True, False):
        assert ours.log_prior(one, jacobian) == pytest.approx(graph.log_prior(one, jacobian), rel=1e-12, abs=5e-9)
    np.testing.assert_allclose(
        ours.log_prior_gradient(one)[1], graph.log_prior_gradient(one)[1], rtol=1e-11, atol=1e-11
    )
    factors = [rng.normal(size=M.shape) for M in ours.factors(ours.natural(one))]
    phi = {key: rng.normal(size=np.shape(value)) for key, value in ours.dispersions(ours.natural(one)).items()}
    np.testing.assert_allclose(
        ours.pullback(one, factors, phi, {}), graph.pullback(one, factors, phi, {}), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("terms", "priors"),
    [
        ("x + (1 | g)", {"sd": bg.Prior("Uniform", 0, 5)}),
        ("x + ar1(0 + f | g)", None),
        ("x + (1 | g)", {"x": bg.Prior("Cauchy", 0, 1)}),
        ("x + (1 | g) + (1 | h)", {"sd": bg.Prior("HalfNormal", sigma=bg.Prior("Exponential", 1))}),
    ],
)
def test_other_hyperparameters_keep_the_graph(terms: str, priors: Any, make: Any) -> None:
    assert LatentView(make(terms, "poisson", priors=priors).problem).explicit is None


@pytest.mark.parametrize("settings", [{"objective": "ml"}, {"draws": 20, "seed": 1}])
def test_laplace_compiles_nothing(settings: dict[str, Any], make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a graph was compiled")

    for name in ("_compile", "_compile_batch"):
        monkeypatch.setattr(Hyperparameters, name, refuse)
    fit = make("x + (1 | g)", "poisson").fit("laplace", **settings)
    assert np.isfinite(fit.summary().iloc[:, 0]).all()

"""Facts of the graph: names, roles, data, held parameters, coordinates of the sampler."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pymc as pm
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.graph.build import check_reach
from bayesglmm.graph.compiler import INTERPRETED, UNREWRITTEN
from bayesglmm.graph.derive import posterior_variables
from bayesglmm.graph.evaluate import Evaluator
from bayesglmm.graph.predictor import linear_predictor, predictor_arrays

HELD = {
    "Intercept": bg.Prior("Fixed", 0.5),
    "x": bg.Prior("Fixed", -0.25),
    "sd[g, x]": bg.Prior("Fixed", 0.75),
    "sigma": bg.Prior("Fixed", 1.5),
}


FREE = {"fixed": bg.Prior("Normal", 0, 2), "Intercept": bg.Prior("Normal", 0, 3)}


@pytest.fixture(scope="module")
def whole(make: Any) -> Any:
    return make("x + (x | g)", priors=FREE)


@pytest.fixture(scope="module")
def large(make: Any) -> Any:
    return make(["x + f + offset(z) + (1 + x | g) + (1 | h)", "sigma ~ z + (1 | g)"]).problem


def test_everything_has_a_name(large: Any) -> None:
    model = large.model
    assert set(model.coords) >= {"obs", "column", "level_g", "term_g", "term2_g", "level_h", "sigma_column"}
    assert model.coords["column"] == ("Intercept", "x", "f[q]", "f[r]")
    for variable in (*model.free_RVs, *model.data_vars, model["y"]):
        dims = model.named_vars_to_dims.get(variable.name, ())
        assert len(dims) == variable.ndim, variable.name
        assert all(dim in model.coords for dim in dims)


def test_numbers_are_data(large: Any) -> None:
    names = {variable.name for variable in large.model.data_vars}
    assert names >= {"y_observed", "X", "offset", "index_g", "Z_g", "index_h", "sigma_X", "sigma_index_g"}
    assert "Z_h" not in names, "an intercept alone needs no columns"


def test_every_free_variable_has_a_role(large: Any) -> None:
    assert set(large.roles) == {variable.name for variable in large.model.free_RVs}
    assert large.names("fixed") == ("beta", "sigma_beta")
    assert large.names("spherical") == ("u_g", "u_h", "sigma_u_g")
    assert set(large.names("theta")) == {"sd_g", "cholesky_g", "sd_h", "sigma_sd_g"}


def test_a_variable_that_reaches_nothing_is_reported(make: Any) -> None:
    problem = make("x").problem
    with problem.model:
        pm.Normal("idle")
    with pytest.raises(RuntimeError, match=r"do not reach the likelihood: \['idle'\]; without a role: \['idle'\]"):
        check_reach(problem.model, problem.roles)


def test_the_graph_prints(large: Any) -> None:
    text = large.model.str_repr()
    for name in ("beta", "sd_g", "cholesky_g", "u_h", "sigma_beta", "y"):
        assert name in text


def test_rows_of_unknown_levels_get_no_group_effect(make: Any, frame: Any) -> None:
    model = make("x + (1 + x | g)")
    new = frame(seed=3).assign(g=["g0", "new"] * 12)
    predictor = model.design.rebind(new).predictors["mu"]
    assert (predictor.random[0].index[1::2] == -1).all()
    rng = np.random.default_rng(0)
    beta, b = rng.normal(size=(7, 2)), rng.normal(size=(7, 5, 2))
    eta = linear_predictor(predictor_arrays(predictor), beta, [b])
    alone = beta @ predictor.X.T
    np.testing.assert_allclose(eta[:, 1::2], alone[:, 1::2])
    level = list(model.design.predictors["mu"].random[0].levels).index("g0")
    np.testing.assert_allclose(eta[:, ::2], alone[:, ::2] + b[:, level] @ predictor.X[::2].T)


@pytest.mark.parametrize("key", ["x", "Intercept", "sd", "sd[g, x]", "sigma", "all"])
def test_held_parameters(key: str, make: Any, whole: Any) -> None:
    """The density is the free one at the held values, without the prior of what is held."""
    priors = dict(HELD) if key == "all" else {key: HELD.get(key, bg.Prior("Fixed", 0.75))}
    held = make("x + (x | g)", priors=FREE | priors)
    rng = np.random.default_rng(1)
    draws = {
        variable.name: np.abs(rng.normal(size=(1, 2, *variable.shape.eval(mode=INTERPRETED))))
        for variable in held.graph.free_RVs
    }
    draws["cholesky_g"] = np.broadcast_to([[1.0, 0.0], [0.6, 0.8]], (1, 2, 2, 2))
    found = posterior_variables(held.problem, draws)
    assert found["beta"].values.shape == (1, 2, 2)
    assert found["sd_g"].values.shape == (1, 2, 2)
    position = {"Intercept": ("beta", 0), "x": ("beta", 1), "sd[g, x]": ("sd_g", 1)}
    for name, prior in priors.items():
        if name in position:
            variable, j = position[name]
            assert (found[variable].values[..., j] == prior.parameters["value"]).all()
    assert "sigma" not in priors or (found["sigma"].values == 1.5).all()
    for draw in range(2):
        values = {name: variable.values[0, draw] for name, variable in found.items()}
        common = {"u_g": draws["u_g"][0, draw], "cholesky_g": draws["cholesky_g"][0, draw]}
        at_held = natural_logp(held.problem, {n: d[0, draw] for n, d in draws.items()})
        at_whole = natural_logp(whole.problem, common | {name: values[name] for name in ("beta", "sd_g", "sigma")})
        prior = sum(log_prior(whole, name, values) for name in free_components(priors))
        assert at_held == pytest.approx(at_whole - prior, rel=1e-9)


def free_components(priors: Any) -> list[str]:
    return [each for key in priors for each in (("sd[g, Intercept]", "sd[g, x]") if key == "sd" else (key,))]


def log_prior(model: Any, name: str, values: Any) -> float:
    slot = next(slot for slot in model.priors if slot.label == name)
    value = {
        "Intercept": values["beta"][0],
        "x": values["beta"][1],
        "sd[g, Intercept]": values["sd_g"][0],
        "sd[g, x]": values["sd_g"][1],
        "sigma": values["sigma"],
    }[name]
    p = slot.prior.parameters
    law = stats.norm(p["mu"], p["sigma"]) if "mu" in p else stats.expon(scale=1 / p["lam"])
    return float(law.logpdf(value))


def natural_logp(problem: Any, values: Any) -> float:
    """Return the log density of natural values, without Jacobians."""
    model = problem.model
    point = {}
    for variable in model.free_RVs:
        transform, value = model.rvs_to_transforms[variable], np.asarray(values[variable.name], dtype=float)
        if transform is not None:
            value = transform.forward(pm.math.constant(value), *variable.owner.inputs).eval(mode=INTERPRETED)
        point[model.rvs_to_values[variable].name] = value
    return float(density(problem)(point))


@cache
def density(problem: Any) -> Any:
    """Return the compiled log density without Jacobians."""
    return problem.model.compile_logp(jacobian=False, mode=UNREWRITTEN)


def test_coordinates_leave_the_density_alone(make: Any, frame: Any) -> None:
    """The default intercept prior is on the mean of the predictors; the sampler's coordinates change nothing."""
    data, beta, sigma = frame(), np.array([0.7, -0.3, 0.9]), 1.2
    model = make("x + z")
    X, y = model.design.predictors["mu"].X, data["y"].to_numpy()
    slots = model.priors.coefficients["mu"]
    centred = np.array([X.mean(axis=0) @ beta, *beta[1:]])
    expected = stats.norm(X @ beta, sigma).logpdf(y).sum()
    for slot, value in zip(slots, centred, strict=True):
        expected += stats.norm(slot.prior.parameters["mu"], slot.prior.parameters["sigma"]).logpdf(value)
    expected += stats.expon(scale=1 / model.priors.dispersions["sigma"].prior.parameters["lam"]).logpdf(sigma)
    assert natural_logp(model.problem, {"beta": beta, "sigma": sigma}) == pytest.approx(expected, rel=1e-12)


def test_an_explicit_intercept_prior_is_on_the_users_intercept(make: Any) -> None:
    beta, sigma = np.array([0.7, -0.3]), 1.2
    priors = {
        "Intercept": bg.Prior("Normal", 1, 2),
        "x": bg.Prior("Normal", 0, 1),
        "sigma": bg.Prior("HalfNormal", 2),
    }
    one, two = make("x", priors=priors), make("0 + Intercept + x", priors=priors)
    values = [natural_logp(model.problem, {"beta": beta, "sigma": sigma}) for model in (one, two)]
    X, y = one.design.predictors["mu"].X, one.design.response.y
    expected = stats.norm(X @ beta, sigma).logpdf(y).sum() + stats.halfnorm(scale=2).logpdf(sigma)
    expected += stats.norm(1, 2).logpdf(0.7) + stats.norm(0, 1).logpdf(-0.3)
    assert values == pytest.approx([expected, expected], rel=1e-12)


def test_sampler_coordinates_are_conditioned(make: Any, frame: Any) -> None:
    """A raw polynomial of years: columns that differ by factors of a million and nearly depend on each other."""
    data = frame().assign(year=np.linspace(1990, 2020, 24))
    problem = make("y ~ year + I(year^2)", data=data).problem
    T = problem.model.rvs_to_transforms[problem.model["beta"]].T
    X = problem.predictors[0].predictor.X
    assert np.linalg.cond(X) > 1e9
    assert np.linalg.cond(X @ T) < 1e4


def test_simulated_and_expected_ordinal_responses(make: Any) -> None:
    model = make("x", "cumulative")
    evaluator, size = Evaluator(model.problem), 20_000
    draws = {"beta": np.full((size, 1), 0.4), "cutpoints": np.tile([0.5, 1.5], (size, 1))}
    draws["cutpoints"][size // 2 :] += 1.0  # the second half has other cutpoints
    etas = evaluator.predictors(draws, evaluator.arrays())
    mean = evaluator.mean(draws, etas)
    assert mean.shape == (size, 24, 3)
    np.testing.assert_allclose(mean.sum(axis=-1), 1.0, rtol=1e-12)
    drawn = evaluator.simulate(draws, etas, np.random.default_rng(1))
    assert drawn.shape == (size, 24)
    for half in (slice(0, size // 2), slice(size // 2, size)):
        frequency = np.stack([(drawn[half] == k).mean(axis=0) for k in range(3)], axis=-1)
        np.testing.assert_allclose(frequency, mean[half][0], atol=5 * np.sqrt(0.25 / (size / 2)))
    small = {name: values[::5000] for name, values in draws.items()}
    found = evaluator.log_likelihood(small, {name: eta[::5000] for name, eta in etas.items()})
    y = model.design.response.y.astype(int)
    np.testing.assert_allclose(found, np.log(mean[::5000][:, np.arange(24), y]), rtol=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
def test_simulated_responses_respect_their_bounds(family: str, make: Any, bounded: Any) -> None:
    model = make("y | trunc(lb = lb, ub = ub) ~ x", family, bounded(family))
    evaluator = Evaluator(model.problem)
    draws = {"beta": np.tile([0.5, 0.0], (50, 1)), "sigma": np.full(50, 1.0)}
    drawn = evaluator.simulate(draws, evaluator.predictors(draws, evaluator.arrays()), np.random.default_rng(1))
    response = model.design.response
    assert drawn.shape == (50, 24)
    assert (drawn >= response.lower).all()
    assert (drawn <= response.upper).all()
    assert drawn.std(axis=0).max() > 0


@pytest.mark.slow
def test_a_fit_neither_silences_nor_needs_the_search_for_a_blas() -> None:
    """PyTensor's setting is still unread after a fit, so that whoever compiles C code is warned as ever."""
    code = """
import warnings
import pandas as pd
import bayesglmm as bg
data = pd.DataFrame({"y": [0, 1, 3, 2, 5, 1], "x": [1, 2, 3, 4, 5, 6.5], "g": list("aabbcc")})
fit = bg.Model("y ~ x + (1 | g)", data, family="poisson").fit("laplace", draws=10, seed=1)
fit.posterior_predictive(seed=1), fit.log_likelihood()
text = "PyTensor could not link to a BLAS"
print(sum(own[1] is not None and bool(own[1].match(text)) for own in warnings.filters))
from pytensor.configdefaults import config
print(hasattr(config._config_var_dict["blas__ldflags"], "val"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]

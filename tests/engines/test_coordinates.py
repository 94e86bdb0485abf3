"""The sampler's coordinates: their density is the graph's times the Jacobian; the way back is the same map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.arraymath import NUMPY
from bayesglmm.engines.prepared import prepare
from bayesglmm.graph.compiler import UNREWRITTEN

CASES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "one intercept": ("y ~ x + (1 | a)", "gaussian", {}),
    "slopes": ("y ~ x + (1 + x | a)", "gaussian", {}),
    "three columns": ("y ~ x + (1 + x + z | a)", "gaussian", {}),
    "independent slopes": ("y ~ x + (1 + x || a)", "gaussian", {}),
    "nested": ("y ~ x + (1 | a/b)", "gaussian", {}),
    "crossed": ("n ~ x + (1 | a) + (1 | c)", "poisson", {}),
    "crossed slopes": ("n ~ x + (0 + z | c) + (1 + x | a) + (1 | row)", "poisson", {}),
    "row effects": ("n ~ x + offset(z) + (1 | a) + (1 | row)", "poisson", {}),
    "two predictors": (["y ~ x + (1 | a)", "sigma ~ z + (1 | c)"], "gaussian", {}),
    "held sd": ("y ~ x + (1 | a)", "gaussian", {"priors": {"sd": bg.Prior("Fixed", 0.7)}}),
    "student priors": ("y ~ x + (1 | a)", "gaussian", {"priors": {"fixed": bg.Prior("StudentT", 4, 0, 2)}}),
    "no columns": ("y ~ 0 + (1 | a)", "gaussian", {}),
    "ordinal": ("o ~ x + (1 | a)", "cumulative", {}),
    "autoregression": ("y ~ x + ar1(0 + c | a)", "gaussian", {}),
    "autoregression beside groups": ("n ~ x + ar1(0 + c | b) + (1 | a)", "poisson", {}),
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 36
    a = rng.integers(0, 5, n)
    x = rng.normal(5.0, 2.0, n)
    eta = 0.3 * x + np.array([0.5, -1.0, 0.3, 0.9, -0.6])[a]
    return pd.DataFrame(
        {
            "x": x,
            "z": rng.normal(size=n),
            "a": a,
            "b": rng.integers(0, 2, n),
            "c": rng.integers(0, 4, n),
            "row": np.arange(n),
            "y": eta + rng.normal(0, 0.7, n),
            "n": rng.poisson(np.exp(0.3 * eta)),
            "o": pd.Categorical(
                np.array(["lo", "mid", "hi"])[np.digitize(eta + rng.normal(size=n), [1, 2.5])],
                categories=["lo", "mid", "hi"],
                ordered=True,
            ),
        }
    )


@pytest.mark.parametrize("case", CASES)
def test_density_is_that_of_the_graph_times_the_jacobian(case: str, data: pd.DataFrame) -> None:
    formula, family, options = CASES[case]
    problem = bg.Model(formula, data, family=family, **options).problem
    prepared = prepare(problem)
    conditioned = prepared.conditioned
    assert conditioned is not None
    own = conditioned.model.compile_logp(mode=UNREWRITTEN)
    graph = problem.model.compile_logp(mode=UNREWRITTEN)
    rng = np.random.default_rng(2)
    start = conditioned.model.initial_point()
    differences = []
    for _ in range(3):
        point = {name: np.asarray(value) + 0.4 * rng.normal(size=np.shape(value)) for name, value in start.items()}
        x, theta = _natural(conditioned, point)
        jacobian = _log_jacobian(conditioned, point)
        differences.append(float(own(point)) - float(graph(conditioned.view.point(x, theta))) - jacobian)
    # Central differences of a smooth map with step 1e-5: about nine digits of each entry.
    np.testing.assert_allclose(differences, differences[0], atol=2e-6)


def _natural(conditioned: Any, point: dict[str, Any]) -> tuple[Any, Any]:
    view = conditioned.view
    draws = conditioned.draws({name: np.asarray(value)[None, None] for name, value in point.items()})
    x = np.concatenate([draws[part.name][0, 0].ravel() for part in view.parts])
    z = [np.ravel(point[f"t_{j}"]) for j in range(len(conditioned.start))]
    return x, conditioned.hyper.theta(np.concatenate([np.zeros(0), *z]), NUMPY)[0]


def _log_jacobian(conditioned: Any, point: dict[str, Any]) -> float:
    """log |d (x, theta) / d (z, t)| by central differences; value variables of x are a constant map away from it."""
    names = list(point)
    sizes = [np.size(point[name]) for name in names]
    base = np.concatenate([np.ravel(point[name]) for name in names])

    def moved(z: Any) -> Any:
        pieces = np.split(z, np.cumsum(sizes)[:-1])
        shaped = {name: piece.reshape(np.shape(point[name])) for name, piece in zip(names, pieces, strict=True)}
        return np.concatenate(_natural(conditioned, point | shaped))

    step = 1e-5
    columns = [(moved(base + step * unit) - moved(base - step * unit)) / (2 * step) for unit in np.eye(len(base))]
    return float(np.linalg.slogdet(np.stack(columns, axis=1))[1])


def test_a_model_without_groups_is_sampled_as_it_is(data: pd.DataFrame) -> None:
    assert prepare(bg.Model("y ~ x", data).problem).conditioned is None


def test_gaussian_nested_coordinates_are_standard_normal_given_theta(data: pd.DataFrame) -> None:
    """For a gaussian response the working response is the response, so z given theta is exactly N(0, I)."""
    priors = {"sd": bg.Prior("Fixed", 0.8), "sigma": bg.Prior("Fixed", 0.7), "fixed": bg.Prior("Fixed", 0.3)}
    priors["Intercept"] = bg.Prior("Fixed", 0.1)
    problem = bg.Model("y ~ x + (1 | a/b)", data, priors=priors).problem
    conditioned = prepare(problem).conditioned
    logp = conditioned.model.compile_logp(mode=UNREWRITTEN)
    rng = np.random.default_rng(3)
    start = conditioned.model.initial_point()
    points = [{name: rng.normal(size=np.shape(value)) for name, value in start.items()} for _ in range(4)]
    remainders = [float(logp(p)) + 0.5 * sum(float(np.sum(np.square(v))) for v in p.values()) for p in points]
    np.testing.assert_allclose(remainders, remainders[0], atol=1e-8)


@pytest.mark.parametrize("case", ["slopes", "crossed", "ordinal", "no columns", "autoregression"])
def test_another_response_changes_only_data_of_the_model(case: str, data: pd.DataFrame) -> None:
    """The density for a response is that of the model of another response with its data put in."""
    formula, family, options = CASES[case]
    model = bg.Model(formula, data, family=family, **options)
    name = model.design.response.name
    # Every category stays in use, as it must for the same number of cutpoints.
    turned = data.assign(**{name: np.roll(data[name], 7) if name != "o" else data[name].iloc[::-1].to_numpy()})
    if name == "o":
        turned[name] = pd.Categorical(turned[name], categories=["lo", "mid", "hi"], ordered=True)
    first, second = (prepare(each.problem).conditioned for each in (model, model.with_response(turned)))
    assert first is not None
    assert second is not None
    point = {key: np.asarray(value) + 0.2 for key, value in second.model.initial_point().items()}
    expected = float(second.model.compile_logp(mode=UNREWRITTEN)(point))
    for key, values in second.data.items():
        first.model[key].set_value(values)
    observed = first.problem.model["y_observed"]
    observed.set_value(np.asarray(second.problem.response.y, dtype=observed.get_value().dtype))
    assert float(first.model.compile_logp(mode=UNREWRITTEN)(point)) == pytest.approx(expected, rel=1e-10)

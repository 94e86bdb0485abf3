"""Deviations of draws scaled to the drawn hyperparameters: against dense conditional distributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines.kernels.blockwise import BlockRatio
from bayesglmm.engines.kernels.nested import Exploration, latent_draws
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.engines.kernels.pareto import smoothed
from bayesglmm.engines.kernels.rescaling import Rescaling
from bayesglmm.graph.latent import LatentView


def explored(model: bg.Model, points: int = 16) -> Exploration:
    view = LatentView(model.problem)
    return Exploration(LaplaceObjective(view), maximise(view), points, seed=1)


def data(binary: bool = True, n: int = 48, seed: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({name: random.standard_normal(n) for name in ("x", "w")})
    frame["g"] = pd.Categorical(random.permutation(np.arange(n) % 8).astype(str))
    frame["h"] = frame["g"].astype(str) + "/" + pd.Series(random.integers(0, 2, n)).astype(str)
    frame["k"] = pd.Categorical(random.integers(0, 5, n).astype(str))
    eta = 0.5 * frame["x"] + random.normal(0, 1.0, 8)[frame["g"].cat.codes] + np.sin(2 * frame["w"])
    frame["y"] = random.binomial(1, 1 / (1 + np.exp(-eta))) if binary else eta + random.normal(0, 0.5, n)
    return frame


MODELS: dict[str, tuple[str, str]] = {
    "one factor": ("y ~ x + (1 | g)", "bernoulli"),
    "slopes": ("y ~ x + (1 + x + w | g)", "bernoulli"),
    "nested": ("y ~ x + (1 | g/h)", "bernoulli"),
    "crossed": ("y ~ x + (1 + x | g) + (1 | k)", "bernoulli"),
    "smooth": ("y ~ s(w, k=6) + (1 | g)", "bernoulli"),
    "members": ("y ~ x + (1 | mm(g, k2))", "bernoulli"),
    "gaussian": ("y ~ x + (1 + x | g)", "gaussian"),
}


def model_of(name: str) -> bg.Model:
    formula, family = MODELS[name]
    frame = data(family == "bernoulli")
    frame["k2"] = pd.Categorical(np.roll(frame["g"].astype(str), 1))
    return bg.Model(formula, frame, family=family)


@cache
def explored_as(name: str) -> Exploration:
    return explored(model_of(name))


def apart(found: Exploration) -> tuple[Any, Any]:
    """Return hyperparameters between the support points, well off the nearest of them, and which these are."""
    cells = np.array([1, 2, 3])
    random = np.random.default_rng(2)
    moves = 0.4 * random.choice([-1.0, 1.0], (3, found.objective.size))
    return found.points[cells] + moves, cells


def linear_map(found: Exploration, psi: Any, k: int) -> Any:
    """Return the matrix that takes z to x less its centre, from draws at unit vectors."""
    inner = found.objective.view.size
    z = np.vstack([np.zeros(inner), np.eye(inner)])
    x = latent_draws(found.objective, found.support, np.tile(psi, (inner + 1, 1)), np.full(inner + 1, k), z)
    return (x[1:] - x[0]).T


FAST = ("slopes", "crossed", "smooth")
NAMES = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in MODELS]


@pytest.mark.parametrize("name", NAMES)
def test_density_of_draws_between_support_points_is_known(name: str) -> None:
    """The ratio against scipy's density of a linear map of normals that is read off the draws one by one."""
    found = explored_as(name)
    psi, cells = apart(found)
    drawn, ratios = BlockRatio(found).draw(psi, np.zeros(3), cells, np.random.default_rng(4))
    for i, (own, x) in enumerate(zip(drawn.psi, drawn.x, strict=True)):
        here, root = found.support[cells[i // 2]], linear_map(found, own, cells[i // 2])
        centre = here.centre + here.jacobian @ (own - here.psi)
        log_q = stats.multivariate_normal(centre, root @ root.T).logpdf(x)
        assert ratios.joint[i] == pytest.approx(found.objective.view.log_joint(x, own) - log_q, abs=1e-6)


@pytest.mark.parametrize("name", ["slopes", "smooth"])
def test_levels_have_the_covariance_of_the_drawn_hyperparameters(name: str) -> None:
    """T (I + Lambda_k' M Lambda_k)^-1 T' = (I + Lambda' M Lambda)^-1 with M = Z' W Z from the design, by level."""
    found = explored_as(name)
    psi, cells = apart(found)
    view, structure = found.objective.view, found.objective.structure
    order = [part.names.u for part in view.problem.blocks]
    for own, k in zip(psi, cells, strict=True):
        mode = found.support[k].mode
        T = Rescaling(structure, mode).times(_one(view, own), np.eye(view.size)).T
        before, after = (view.factors(view.natural(theta)) for theta in (mode.theta, own))
        for part in (p for p in view.parts if p.role == "spherical"):
            b = order.index(part.name)
            block = view.problem.blocks[b].block
            for level in range(part.shape[0]):
                rows, at = block.index == level, part.slice.start + level * part.shape[1] + np.arange(part.shape[1])
                X = block.X[rows]
                M = X.T @ (-mode.work.d2[0, 0][rows][:, None] * X)
                one, two = (np.linalg.inv(np.eye(len(M)) + L[b].T @ M @ L[b]) for L in (before, after))
                np.testing.assert_allclose(T[np.ix_(at, at)] @ one @ T[np.ix_(at, at)].T, two, atol=1e-9)


def _one(view: LatentView, theta: Any) -> Mapping[str, Any]:
    """Return natural values for as many draws as there are unit vectors."""
    return view.natural_draws(np.tile(theta, (view.size, 1)))


def test_much_data_hold_the_effects_and_few_hold_their_coordinates() -> None:
    """T -> Lambda^-1 Lambda_k, so that b's deviation stays, and T -> I, so that u's does; slopes correlated."""
    found = explored_as("slopes")
    view, here, theta = found.objective.view, found.support[1], found.points[2]
    before, after = (view.factors(view.natural(psi))[0] for psi in (here.psi, theta))
    for weight, wanted in ((1e10, np.linalg.solve(after, before)), (1e-10, np.eye(len(after)))):
        scale = Rescaling(found.objective.structure, here.mode)
        for block in scale._blocks:
            block.M *= weight
        T = scale.times(_one(view, theta), np.eye(view.size)).T
        (part,) = (p for p in view.parts if p.role == "spherical")
        own = part.slice.start + np.arange(part.shape[1])
        np.testing.assert_allclose(T[np.ix_(own, own)], wanted, atol=1e-6)


@pytest.mark.parametrize(
    "formula", ["y ~ x + (1 | g)", pytest.param("y ~ s(w, k=6) + (1 + x | g)", marks=pytest.mark.slow)]
)
def test_predictors_scatter_as_exact_conditionals_do(formula: str) -> None:
    """A gaussian model at 2,000 drawn theta: variances of eta and b by dense conditionals, E Var + Var E.

    Means are the exact ones, so that only deviations count. Sample variances err by 3.2 percent each. With u's
    covariance as it is at the support points those of eta are up to twice as large.
    """
    frame = data(binary=False, n=40, seed=5)
    frame["y"] = frame["y"] + 3.0 * frame["g"].cat.codes
    found = explored(bg.Model(formula, frame), 32)
    view, random = found.objective.view, np.random.default_rng(8)
    psi = found.hyperparameters(2000, random)[0]
    cell, z = found.nearest(psi), random.standard_normal((2000, view.size))
    x = latent_draws(found.objective, found.support, psi, cell, z)
    drawn, means, variances = [], [], []
    for theta, own, k in zip(psi, x, cell, strict=True):
        offset, A = view.design(theta)[0]
        B = np.vstack([A.toarray(), _effects(view, theta)])
        weight = 1.0 / view.natural(theta)["sigma"] ** 2
        Q = view.precision(theta).toarray()
        S = np.linalg.inv(Q + weight * A.T @ A)
        mean = S @ (Q @ view.mean + weight * A.T @ (frame["y"].to_numpy() - offset))
        here = found.support[k]
        centre = here.centre + here.jacobian @ (theta - here.psi)
        drawn.append(B @ (mean + own - centre))
        means.append(B @ mean)
        variances.append(np.einsum("ij,jk,ik->i", B, S, B))
    wanted = np.mean(variances, axis=0) + np.var(means, axis=0)
    ratio = np.var(drawn, axis=0) / wanted
    assert abs(ratio[:40].mean() - 1) < 0.05
    assert np.all(np.abs(ratio - 1) < 0.2)


def _effects(view: LatentView, theta: Any) -> Any:
    """Return the matrix that takes x to b of every spherical block."""
    order, rows = [part.names.u for part in view.problem.blocks], []
    for part in (p for p in view.parts if p.role == "spherical"):
        Lambda = view.factors(view.natural(theta))[order.index(part.name)]
        own = np.zeros((int(np.prod(part.shape)), view.size))
        own[:, part.slice] = np.kron(np.eye(part.shape[0]), Lambda)
        rows.append(own)
    return np.vstack(rows)


def test_no_row_is_far_off_where_a_factor_has_an_intercept_beside_it(dataset: Callable) -> None:
    """The population's intercept and that of each period are known together only: their sum is what data tell.

    Draws whose effects scatter with the drawn standard deviation have a predictive density of -150 to -420.
    """
    frame = dataset("cbpp")
    frame["period"] = frame["period"].astype(str)
    model = bg.Model("incidence | trials(size) ~ period + (1 | period)", frame, family="binomial")
    fit = model.fit("laplace", progressbar=False, seed=2)
    values = fit.log_likelihood().to_dataset()
    (name,) = values.data_vars
    rows = np.asarray(values[name]).reshape(-1, len(frame))
    found = 0.0
    for own in rows.T:
        weights, khat = smoothed(-own)
        assert khat < 0.8
        found += np.log(weights @ np.exp(own))
    assert found == pytest.approx(-105.5, abs=1.0)

"""Metropolis kernels without PyMC's samplers: each leaves its target as it is, and a wrong one is caught.

Three kinds of evidence. Stationarity: from exact draws of a posterior that is known in closed form, one step gives
exact draws again. Geweke (2004): parameters drawn from the prior, or by alternating a step of the kernel with new
data, have the same distribution. And a kernel without its Jacobian fails the first test, so that the test can fail.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines.kernels.adaptation import Scale, Share, Walk, first_walk
from bayesglmm.engines.kernels.block import BlockKernel, Whitening
from bayesglmm.engines.kernels.centre import Centre, centre_of
from bayesglmm.engines.kernels.iwls import IwlsKernel, state_at
from bayesglmm.engines.kernels.newton import structure_of
from bayesglmm.engines.kernels.proposals import Independent
from bayesglmm.engines.kernels.random_walk import RandomWalkKernel
from bayesglmm.engines.kernels.target import conditional
from bayesglmm.graph.latent import LatentView

GROUPS, EACH = 4, 3
NOISE = 0.8
LEVEL = 1e-3  # p-values below say that the kernel is wrong; smallest of a few tests, hence not 0.05


def make_kernel(name: str, structure: Any, centre: Centre) -> Any:
    if name == "block":
        return BlockKernel(structure, centre, moves=1)
    if name == "autoregressive":
        return BlockKernel(structure, centre, moves=1, latent="autoregressive")
    if name == "refresh":
        return BlockKernel(structure, centre, moves=1, refresh=True)
    if name == "iwls":
        return IwlsKernel(structure, centre)
    return RandomWalkKernel(structure, centre, np.full(len(centre.x) + len(centre.theta), 0.5))


KERNELS = ("block", "autoregressive", "refresh", "iwls", "random-walk")


@pytest.fixture(scope="module")
def gaussian() -> LatentView:
    """A gaussian random-intercept model with known residual sd: the posterior of log sd is one integral away."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(GROUPS), EACH)
    y = 0.5 + rng.normal(0, 1, GROUPS)[g] + NOISE * rng.standard_normal(len(g))
    priors = {
        "Intercept": bg.Prior("Normal", mu=0, sigma=1),
        "sd": bg.Prior("HalfNormal", sigma=1),
        "sigma": bg.Prior("Fixed", NOISE),
    }
    model = bg.Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g.astype(str)}), priors=priors)
    return LatentView(model.problem)


def exact_draws(view: LatentView, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw from the posterior: log sd by inversion of its density on a fine grid, then x, which is normal.

    Dense linear algebra that shares nothing with the package: columns are the constant and indicators of the groups.
    """
    y, Z = np.asarray(view.elementwise.y), np.kron(np.eye(GROUPS), np.ones((EACH, 1)))
    one, n = np.ones((len(y), 1)), len(y)
    grid = np.linspace(-9.0, 2.5, 1200)
    log_p = np.empty(len(grid))
    for i, t in enumerate(grid):
        V = one @ one.T + np.exp(2 * t) * (Z @ Z.T) + NOISE**2 * np.eye(n)
        log_p[i] = -0.5 * (np.linalg.slogdet(V)[1] + y @ np.linalg.solve(V, y)) - 0.5 * np.exp(2 * t) + t
    weight = np.exp(log_p - log_p.max())
    steps = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]))])
    theta = np.interp(rng.random(size) * steps[-1], steps, grid)
    x = np.empty((size, GROUPS + 1))
    for i, t in enumerate(theta):
        A = np.hstack([one, np.exp(t) * Z])
        H = A.T @ A / NOISE**2 + np.eye(GROUPS + 1)
        x[i] = np.linalg.solve(H, A.T @ y) / NOISE**2
        x[i] += np.linalg.solve(np.linalg.cholesky(H).T, rng.standard_normal(GROUPS + 1))
    return theta, x


def start_at(kernel: Any, theta: np.ndarray, x: np.ndarray) -> Any:
    if isinstance(kernel, BlockKernel):
        return kernel.whitening.state_of(theta, x)
    found = conditional(kernel.structure, theta)
    assert found is not None
    return state_at(found, x)


def smallest_p(kernel: Any, view: LatentView, size: int, steps: int = 3) -> float:
    """Return the smallest p of Kolmogorov-Smirnov tests after some steps, times their number (Bonferroni)."""
    rng = np.random.default_rng(7)
    theta, x = exact_draws(view, 2 * size, rng)
    after = []
    tuning = kernel.tuning()
    for t, own in zip(theta[:size], x[:size], strict=True):
        state = start_at(kernel, np.array([t]), own)
        for _ in range(steps):
            state, _ = kernel.step(rng, state, tuning)
        after.append([state.theta[0], *state.x, state.log_density])
    moved = np.array(after)
    density = [view.log_joint(own, np.array([t])) for t, own in zip(theta[size:], x[size:], strict=True)]
    fresh = np.column_stack([theta[size:], x[size:], density])
    p = [stats.ks_2samp(moved[:, j], fresh[:, j]).pvalue for j in range(fresh.shape[1])]
    return float(min(p)) * len(p)


@pytest.mark.parametrize("name", KERNELS)
def test_exact_draws_stay_exact(name: str, gaussian: LatentView) -> None:
    """Two-sample tests of log sd, every coefficient and the log density; 300 chains of three steps."""
    kernel = make_kernel(name, structure_of(gaussian), centre_of(gaussian))
    assert smallest_p(kernel, gaussian, 300) > LEVEL


class WithoutJacobian(Whitening):
    """Leaves |L(theta)| out."""

    def at(self, theta: np.ndarray) -> Any:
        place = super().at(theta)
        return None if place is None else replace(place, half_logdet=0.0)


def test_a_kernel_without_its_jacobian_is_caught(gaussian: LatentView) -> None:
    kernel = make_kernel("block", structure_of(gaussian), centre_of(gaussian))
    kernel.whitening = WithoutJacobian(kernel.structure, kernel.centre)
    assert smallest_p(kernel, gaussian, 300, steps=10) < LEVEL


class OneWay(Independent):
    """Leaves the density of its own proposals out."""

    def propose(self, rng: np.random.Generator, here: np.ndarray) -> tuple[np.ndarray, float]:
        return super().propose(rng, here)[0], 0.0


@pytest.mark.parametrize("wrong", [False, True])
def test_independent_proposals_need_their_density(gaussian: LatentView, wrong: bool) -> None:
    """All moves of theta independent, from a distribution that is much too narrow: stationary, but not without q."""
    kernel = make_kernel("block", structure_of(gaussian), centre_of(gaussian))
    tuning = kernel.tuning()
    narrow = (OneWay if wrong else Independent)(tuning.places.mean, 0.3 * tuning.places.root)
    kernel.tuning = lambda: replace(tuning, places=narrow, share=Share(1.0))
    p = smallest_p(kernel, gaussian, 300, steps=4)
    assert (p < LEVEL) == wrong, p


def test_the_density_of_independent_proposals_is_that_of_scipy() -> None:
    rng, root = np.random.default_rng(1), np.array([[0.5, 0.0], [-0.3, 1.2]])
    mean, here = np.array([1.0, -2.0]), np.array([3.0, 0.5])
    t = stats.multivariate_t(mean, root @ root.T, df=5)
    draws = np.array([Independent(mean, root).propose(rng, here)[0] for _ in range(4000)])
    there, log_ratio = Independent(mean, root).propose(rng, here)
    np.testing.assert_allclose(log_ratio, t.logpdf(here) - t.logpdf(there))
    for j in range(2):  # what is drawn has that density
        p = stats.kstest((draws[:, j] - mean[j]) / np.linalg.norm(root[j]), stats.t(5).cdf).pvalue
        assert p > LEVEL


# Geweke's joint distribution test ---------------------------------------------------------------------------------

TINY = pd.DataFrame({"y": [0, 1, 2, 0, 1, 3], "x": [-1.0, 0, 1, -1, 0, 1], "g": list("aabbcc")})
TINY_PRIORS = {"fixed": bg.Prior("Normal", mu=0, sigma=0.7), "sd": bg.Prior("HalfNormal", sigma=0.7)}


def poisson_view() -> LatentView:
    return LatentView(bg.Model("y ~ x + (1 | g)", TINY, family="poisson", priors=TINY_PRIORS).problem)


def statistics_of(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[float]:
    return [float(np.exp(theta[0])), *x, float(theta[0]), float(np.exp(theta[0]) * x[-1]), float(np.log1p(y.sum()))]


def geweke(kernel: Any, view: LatentView, cycles: int) -> np.ndarray:
    """Return z-scores of the difference of means; the successive simulator's errors by batch means."""
    rng = np.random.default_rng(11)

    def prior() -> tuple[np.ndarray, np.ndarray]:
        return np.log(np.abs(0.7 * rng.standard_normal(1))), np.r_[
            0.7 * rng.standard_normal(2), rng.standard_normal(3)
        ]

    def data(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        offset, A = view.design(theta)[0]
        return rng.poisson(np.exp(np.clip(offset + A @ x, -20, 8))).astype(float)

    original = view.elementwise.y
    marginal = []
    for _ in range(cycles):
        theta, x = prior()
        marginal.append(statistics_of(theta, x, data(theta, x)))
    theta, x = prior()
    tuning, successive = kernel.tuning(), []
    try:
        for _ in range(cycles):
            view.elementwise.y = data(theta, x)
            state, _ = kernel.step(rng, start_at(kernel, theta, x), tuning)
            theta, x = state.theta, state.x
            successive.append(statistics_of(theta, x, view.elementwise.y))
    finally:
        view.elementwise.y = original
    a, b = np.array(marginal), np.array(successive)
    batches = b[: 30 * (len(b) // 30)].reshape(30, -1, b.shape[1]).mean(axis=1)
    error = np.sqrt(a.var(axis=0) / len(a) + batches.var(axis=0, ddof=1) / 30)
    return (b.mean(axis=0) - a.mean(axis=0)) / error


@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        *((name, 600) for name in ("block", "iwls", "random-walk")),
        *(pytest.param(name, 6000, marks=pytest.mark.slow) for name in KERNELS),
    ],
)
def test_geweke(name: str, cycles: int) -> None:
    """The prior comes back: two-sided p of the largest of nine z-scores (29 degrees of freedom) above 0.001."""
    view = poisson_view()
    centre = Centre(np.array([-0.5]), np.zeros(5), np.array([[0.5]]), np.zeros((5, 1)))
    z = geweke(make_kernel(name, structure_of(view), centre), view, cycles)
    assert float(2 * stats.t.sf(np.abs(z).max(), 29)) * len(z) > LEVEL, z.round(1)


# adaptation ---------------------------------------------------------------------------------------------------------


def test_scales_find_the_acceptance_they_aim_at() -> None:
    """A random walk on N(0, 3^2) with a tenth of the right step, then one ten times too large."""
    rng = np.random.default_rng(0)
    for first in (0.3, 60.0):
        x, scale = 0.0, Scale(np.log(first), 0.44)
        accepted = []
        for k in range(6000):
            there = x + float(scale.value) * rng.standard_normal()
            acceptance = float(np.exp(min(0.0, (x**2 - there**2) / 18)))
            x = there if rng.random() < acceptance else x
            scale = scale.adapted(acceptance)
            accepted.append(acceptance if k > 3000 else np.nan)
        assert abs(np.nanmean(accepted) - 0.44) < 0.03


def test_a_proposal_is_tried_as_often_as_it_is_accepted() -> None:
    """Acceptance 0.7 to within 0.05; neither kind is given up."""
    rng, share = np.random.default_rng(0), Share(0.5)
    for _ in range(2000):
        share = share.adapted(float(rng.uniform(0.4, 1.0)))
    assert abs(share.value - 0.7) < 0.05
    for acceptance, end in ((0.0, 0.1), (1.0, 0.9)):
        for _ in range(2000):
            share = share.adapted(acceptance)
        assert share.value == pytest.approx(end)


def test_walk_learns_a_covariance() -> None:
    """From the identity to a correlation of 0.95 with sds 1 and 10, to a fifth: 4,000 draws of a chain."""
    rng = np.random.default_rng(0)
    wanted = np.array([[1.0, 9.5], [9.5, 100.0]])
    inverse, here = np.linalg.inv(wanted), np.zeros(2)
    walk: Walk = first_walk(here, np.eye(2))
    for _ in range(8000):
        there = here + walk.root @ rng.standard_normal(2)
        acceptance = float(np.exp(min(0.0, 0.5 * (here @ inverse @ here - there @ inverse @ there))))
        here = there if rng.random() < acceptance else here
        walk = walk.adapted(acceptance, here)
    np.testing.assert_allclose(walk.covariance, wanted, rtol=0.3)


def test_one_draw_takes_at_most_two_factorisations(cbpp_model: bg.Model) -> None:
    """On average, with hardly ever a third."""
    view = LatentView(cbpp_model.problem)
    kernel = make_kernel("block", structure_of(view), centre_of(view))
    rng = np.random.default_rng(2)
    state, tuning, counts = kernel.start(rng), kernel.tuning(), []
    for _ in range(400):
        state, info = kernel.step(rng, state, tuning)
        counts.append(info["n_factorisations"])
    assert np.mean(counts) < 2.0
    assert np.mean(np.array(counts) > 2) < 0.02


# all kinds of models: the log density that a chain reports is that of the graph ------------------------------------

type Case = tuple[str | list[str], str, dict[str, Any]]
CASES: dict[str, Case] = {
    "slopes": ("y ~ x + (x | g)", "gaussian", {}),
    "smooth": ("y ~ s(x, k=6) + (1 | g)", "gaussian", {}),
    "two predictors": (["y ~ x + (1 | g)", "sigma ~ x + (1 | g)"], "gaussian", {}),
    "priors that are not normal": (
        "y ~ x + (1 | g)",
        "gaussian",
        {"priors": {"fixed": bg.Prior("StudentT", nu=4, mu=0, sigma=2)}},
    ),
    "no coefficients to integrate": ("y ~ x", "gaussian", {"priors": {"fixed": bg.Prior("Laplace", mu=0, b=1)}}),
    "no hyperparameters": ("count ~ x", "poisson", {}),
    "counts": ("count ~ x + (1 | g) + offset(z)", "negative_binomial", {}),
    "not log-concave": ("y ~ x + (1 | g)", "student_t", {}),
    "categories": ("kind ~ x + (1 | g)", "categorical", {}),
    "ordered": ("kind ~ x + (1 | g)", "cumulative", {}),
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(8), 6)
    x, z = rng.normal(size=48), 0.1 * rng.normal(size=48)
    y = x + rng.normal(size=8)[g] + rng.normal(size=48)
    kind = pd.Categorical.from_codes(np.digitize(y, [-0.7, 0.7]), ["a", "b", "c"], ordered=True)
    return pd.DataFrame(
        {"y": y, "x": x, "z": z, "g": g.astype(str), "count": rng.poisson(np.exp(0.3 * y)), "kind": kind}
    )


@pytest.mark.parametrize("case", CASES)
def test_every_kernel_runs_on_every_kind_of_model(case: str, data: pd.DataFrame) -> None:
    formula, family, more = CASES[case]
    view = LatentView(bg.Model(formula, data, family=family, **more).problem)
    structure, centre = structure_of(view), centre_of(view)
    for name in KERNELS:
        kernel, rng = make_kernel(name, structure, centre), np.random.default_rng(1)
        state, tuning = kernel.start(rng), kernel.tuning()
        first = np.concatenate([state.theta, state.x])
        for _ in range(40):
            state, info = kernel.step(rng, state, tuning)
            tuning = kernel.adapted(tuning, state, info)
        assert kernel.stats.keys() <= info.keys()
        np.testing.assert_allclose(state.log_density, view.log_joint(state.x, state.theta), rtol=1e-8, atol=1e-8)
        moved = np.mean(np.concatenate([state.theta, state.x]) != first)
        assert moved > (0.5 if name != "refresh" else -1.0)


def test_states_from_natural_coordinates(cbpp_model: bg.Model) -> None:
    view = LatentView(cbpp_model.problem)
    kernel = make_kernel("block", structure_of(view), centre_of(view))
    state = kernel.start(np.random.default_rng(0))
    again = kernel.whitening.state_of(state.theta, state.x)
    np.testing.assert_allclose(again.z, state.z, atol=1e-9)


def test_the_centre_is_near_the_mode_also_where_its_search_begins_far_out() -> None:
    """Where the density curves upwards a step gains little: taken for arrival, that left a tail without draws."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=100)
    rng.random(100)
    y = rng.binomial(1, 1.0 / (1.0 + np.exp(2.0 * (-1.0 - x) ** 2)))
    formula = bg.nonlinear("y ~ -a * (b - x)^2", a="~ 1", b="~ 1")
    priors = {"a": bg.Prior("TruncatedNormal", mu=0, sigma=10, lower=0), "b": bg.Prior("Normal", mu=0, sigma=10)}
    model = bg.Model(formula, pd.DataFrame({"y": y, "x": x}), family="bernoulli", priors=priors)
    view = LatentView(model.problem)
    whitening = Whitening(structure_of(view), centre_of(view))
    grid = np.linspace(-9.0, 0.0, 4001)
    for a in (2.0, 0.5, 0.15, 0.12, 0.1, 0.05):
        eta = -a * (grid[:, None] - x) ** 2
        density = (y * eta - np.logaddexp(0.0, eta)).sum(axis=1) - 0.5 * (grid / 10.0) ** 2
        weight = np.exp(density - density.max())
        sd = np.sqrt(np.average((grid - np.average(grid, weights=weight)) ** 2, weights=weight))
        place = whitening.at(np.log([a]))
        assert place is not None
        assert abs(place.centre[0] - grid[np.argmax(density)]) < 0.5 * sd, a

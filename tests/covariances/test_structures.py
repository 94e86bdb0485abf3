"""Every structure against its definition, written out here as a dense covariance matrix."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import linalg, sparse, stats
from scipy.spatial.distance import cdist

from bayesglmm.arraymath import NUMPY
from bayesglmm.covariances import COVARIANCES
from bayesglmm.covariances.areal import scaled_structure
from bayesglmm.covariances.toeplitz import autocorrelations
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.graph.latent import LatentView, symmetric

TIMES = np.array([0.0, 0.5, 2.0, 2.5, 6.0])
POINTS = np.array([[0.05, 0.7], [0.1, 0.3], [0.2, 0.9], [0.35, 0.45], [0.4, 0.8], [0.7, 0.5], [0.8, 0.6], [0.9, 0.1]])
LAG = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))


def scaled(C: Any, sd: Any) -> Any:
    """Return the covariance of a correlation matrix."""
    sd = sd * np.ones(len(C))
    return C * np.outer(sd, sd)


def compound(v: Any, k: int) -> Any:
    return scaled(np.where(np.eye(k) > 0, 1.0, v["cor"][0]), v["sd"])


def apart(points: Any, v: Any) -> Any:
    return cdist(points, points) / v["range"][0]


def toeplitz(v: Any) -> Any:
    """By the best linear predictions themselves: the partial autocorrelation is that of what they leave over."""
    rho = [1.0, v["pacf"][0]]
    for m in range(2, 5):
        R, r = linalg.toeplitz(rho[:m]), np.array(rho[1:m])
        inside = R[: m - 1, : m - 1]
        left = 1.0 - r @ np.linalg.solve(inside, r)
        rho.append(float(r[::-1] @ np.linalg.solve(inside, r) + v["pacf"][m - 1] * left))
    return scaled(linalg.toeplitz(rho), v["sd"])


def low_rank(v: Any) -> Any:
    L, at = np.zeros((5, 2)), iter(v["loading"])
    for j in range(2):
        for i in range(j, 5):
            L[i, j] = next(at)
    return L @ L.T


def laplacian(W: Any) -> Any:
    return np.diag(W.sum(axis=1)) - W


def conditional(v: Any, W: Any) -> Any:
    D = np.diag(np.maximum(W.sum(axis=1), 1.0))
    return v["sd"][0] ** 2 * np.linalg.inv(D - v["rho"][0] * W)


def intrinsic(W: Any) -> Any:
    """The generalised inverse with a geometric mean variance of one in each connected part; the island has one."""
    K = np.zeros_like(W)
    for part in ([0, 1, 2, 3], [4, 5]):
        own = np.ix_(part, part)
        inverse = np.linalg.pinv(laplacian(W[own]), rcond=1e-10, hermitian=True)
        K[own] = inverse / stats.gmean(np.diag(inverse))
    K[6, 6] = 1.0
    return K


def summed_to_zero(v: Any, W: Any) -> Any:
    """Each part's mean has a variance of 1e-6, which stands for zero."""
    K = intrinsic(W)
    for part in ([0, 1, 2, 3], [4, 5]):
        K[np.ix_(part, part)] += 1e-6 / len(part)
    return v["sd"][0] ** 2 * K


def convolution(v: Any, W: Any) -> Any:
    return v["rho"][0] * summed_to_zero(v, W) + (1 - v["rho"][0]) * v["sd"][0] ** 2 * np.eye(7)


# term -> covariance of one level's coefficients, from values of the parameters
LEVELS: dict[str, Callable[[Any], Any]] = {
    "homdiag(1 + x | g)": lambda v: v["sd"][0] ** 2 * np.eye(2),
    "cs(1 + x | g)": lambda v: compound(v, 2),
    "cs(0 + factor(time) | g)": lambda v: compound(v, 5),
    "homcs(0 + factor(time) | g)": lambda v: compound(v, 5),
    "ar1(0 + time | g)": lambda v: scaled(v["cor"][0] ** LAG, v["sd"]),
    "hetar1(0 + time | g)": lambda v: scaled(v["cor"][0] ** LAG, v["sd"]),
    "ou(0 + time | g)": lambda v: scaled(np.exp(-apart(TIMES[:, None], v)), v["sd"]),
    "toep(0 + time | g)": toeplitz,
    "homtoep(0 + time | g)": toeplitz,
    "exp(0 + numFactor(lon, lat) | map)": lambda v: scaled(np.exp(-apart(POINTS, v)), v["sd"]),
    "gau(0 + numFactor(lon, lat) | map)": lambda v: scaled(np.exp(-(apart(POINTS, v) ** 2)), v["sd"]),
    "mat(0 + pos(lon, lat) | map)": lambda v: scaled((1 + apart(POINTS, v)) * np.exp(-apart(POINTS, v)), v["sd"]),
    "mat(0 + numFactor(lon, lat) | map, nu=2.5)": lambda v: scaled(
        (1 + apart(POINTS, v) + apart(POINTS, v) ** 2 / 3) * np.exp(-apart(POINTS, v)), v["sd"]
    ),
    "rr(0 + factor(time) | g, d=2)": low_rank,
}
# term -> covariance of all regions
MAPS: dict[str, Callable[[Any, Any], Any]] = {
    "car(1 | region, adjacency=W)": conditional,
    "icar(1 | region, adjacency=W)": summed_to_zero,
    "bym2(1 | region, adjacency=W)": convolution,
}
TERMS = [*LEVELS, *MAPS]
VARIANTS = {  # of others here, whose maps they share
    "homdiag(1 + x | g)",
    "cs(1 + x | g)",
    "homcs(0 + factor(time) | g)",
    "hetar1(0 + time | g)",
    "homtoep(0 + time | g)",
    "gau(0 + numFactor(lon, lat) | map)",
    "mat(0 + pos(lon, lat) | map)",
    "icar(1 | region, adjacency=W)",
}


class Point:
    """The last random block of a model at a random point of theta."""

    def __init__(self, model: Any, seed: int = 1) -> None:
        self.model, self.view = model, LatentView(model.problem)
        rng = np.random.default_rng(seed)
        self.theta = self.view.initial_theta + 0.4 * rng.normal(size=self.view.theta_size)
        self.x = 0.4 * rng.normal(size=self.view.size)
        self.part = model.problem.blocks[-1]
        self.natural = self.view.natural(self.theta)
        self.values = {name: np.asarray(value) for name, value in self.part.values(self.natural).items()}
        self.stretch = next(part.slice for part in self.view.parts if part.name == self.part.names.u)

    def covariance(self) -> Any:
        """Return what engines see: Lambda Lambda' of every level, or the inverse of the precision."""
        block = self.part.block
        if block.latent == "spherical":
            Lambda = self.part.covariance.factor(self.values, len(block.terms), NUMPY)
            return np.kron(np.eye(len(block.levels)), Lambda @ Lambda.T)
        return np.linalg.inv(self.precision())

    def precision(self) -> Any:
        block = self.part.block
        entries, _ = self.view.block_precision(self.part, self.natural)
        rows, columns = self.part.covariance.couplings(block)
        assert np.all(rows >= columns)
        assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == len(rows)
        return symmetric(entries, rows, columns, len(block.levels) * len(block.terms)).toarray()


def expected(term: str, point: Point, neighbours: Any) -> Any:
    if term in MAPS:
        return MAPS[term](point.values, neighbours.to_numpy())
    return np.kron(np.eye(len(point.part.block.levels)), LEVELS[term](point.values))


def test_every_structure_of_formulas_is_here() -> None:
    words = {term.partition("(")[0] for term in TERMS}
    plain = {"us", "diag", "iid", "known", "diagknown"}  # tests/graph, tests/conformance and test_known.py
    others = {"propto"}  # test_proportional.py
    assert {own.name for own in COVARIANCES if own.in_formulas} == words | plain | others


@pytest.mark.parametrize("term", TERMS)
def test_covariance_is_that_of_the_definition(term: str, model: Any, neighbours: Any) -> None:
    point = Point(model(term))
    dense = expected(term, point, neighbours)
    np.testing.assert_allclose(point.covariance(), dense, rtol=1e-6, atol=1e-8 * dense.max())


@pytest.mark.parametrize("term", [pytest.param(t, marks=pytest.mark.slow) if t in VARIANTS else t for t in TERMS])
def test_density_is_that_of_a_dense_normal_distribution(term: str, model: Any, neighbours: Any) -> None:
    """Of the graph, at random coefficients: the density of u, or of b, and the Jacobian of what lies between."""
    point = Point(model(term))
    name, block = point.part.names.u, point.part.block
    graph = point.model.graph
    logp = graph.compile_logp(vars=[graph[name]], jacobian=False, mode=INTERPRETED)
    found = float(logp(point.view.point(point.x, point.theta)))
    dense = expected(term, point, neighbours)
    u = point.x[point.stretch].reshape(len(block.levels), len(block.terms))
    b = point.part.covariance.apply(u, point.values, block, NUMPY).ravel()
    if term.startswith("rr"):  # singular: b lies in a plane, and the density is that of u
        assert found == pytest.approx(stats.norm.logpdf(u).sum(), rel=1e-10)
        np.testing.assert_allclose(
            b.reshape(u.shape), u @ np.linalg.cholesky(dense[:5, :5] + 1e-12 * np.eye(5)).T, atol=1e-4
        )
        return
    jacobian = 0.0
    if block.latent == "spherical":
        Lambda = point.part.covariance.factor(point.values, len(block.terms), NUMPY)
        jacobian = len(block.levels) * np.log(np.abs(np.linalg.det(Lambda)))
    exact = stats.multivariate_normal(np.zeros(len(b)), dense, allow_singular=True).logpdf(b) + jacobian
    # The dense density of a precision of 1e6 beside 1 is itself exact to 1e-6 at best.
    assert found == pytest.approx(exact, rel=2e-6 if term.startswith(("icar", "gau", "mat")) else 1e-8)


@pytest.mark.parametrize("family", ["gaussian", pytest.param("poisson", marks=pytest.mark.slow)])
@pytest.mark.parametrize("term", [pytest.param(t, marks=pytest.mark.slow) if t in VARIANTS else t for t in TERMS])
def test_view_and_graph_agree(term: str, family: str, model: Any) -> None:
    point = Point(model(term, family), seed=3)
    graph = float(point.model.graph.compile_logp(mode=INTERPRETED)(point.view.point(point.x, point.theta)))
    for name in point.model.problem.names("fixed"):  # the constant Jacobian of the whitening of the fixed part
        graph -= point.model.graph.rvs_to_transforms[point.model.graph[name]].log_det
    assert point.view.log_joint(point.x, point.theta) == pytest.approx(graph, rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("term", [term for term in TERMS if not term.startswith(("rr", "homdiag"))])
def test_closed_forms_of_the_factor_are_cholesky_factors(term: str, model: Any, neighbours: Any) -> None:
    """Also with leading axes of draws, as after sampling."""
    point = Point(model(term))
    k = len(point.part.block.terms)
    many = {
        name: value[None, None] * np.ones((2, 3, 1)) if name in point.part.parameters else value
        for name, value in point.values.items()
    }
    found = point.part.covariance.factor(many, k, NUMPY)
    assert found.shape == (2, 3, k, k)
    if term in LEVELS:
        np.testing.assert_allclose(found[1, 2], np.linalg.cholesky(LEVELS[term](point.values)), atol=1e-7)


def test_partial_autocorrelations_of_a_first_order_process() -> None:
    """All but the first vanish, and what follows are its powers."""
    partial = np.array([[0.6, 0.0, 0.0], [-0.9, 0.0, 0.0]])
    np.testing.assert_allclose(autocorrelations(partial, 4, NUMPY), [[1, 0.6, 0.36, 0.216], [1, -0.9, 0.81, -0.729]])


def test_compound_symmetry_at_a_correlation_of_one_has_a_factor() -> None:
    values = {"sd": np.array([1.0, 2.0, 3.0]), "cor": np.array([1.0])}
    found = COVARIANCES.get("cs").factor(values, 3, NUMPY)
    np.testing.assert_allclose(found, [[1, 0, 0], [2, 0, 0], [3, 0, 0]])


def test_hom_chooses_the_variant(model: Any) -> None:
    """lme4's spelling."""
    for term, name in (
        ("cs(1 + x | g, hom=TRUE)", "homcs"),
        ("ar1(0 + time | g, hom=FALSE)", "hetar1"),
        ("diag(1 + x | g, hom=TRUE)", "homdiag"),
        ("toep(0 + time | g, hom=TRUE)", "homtoep"),
    ):
        assert model(term).problem.blocks[-1].block.covariance == name


def test_a_typical_region_has_the_mean_variance(model: Any, neighbours: Any) -> None:
    """What shares of variance count for a map."""
    point = Point(model("car(1 | region, adjacency=W)"))
    factor = point.part.covariance.factor(point.values, 1, NUMPY)
    variances = np.diag(conditional(point.values, neighbours.to_numpy()))
    assert factor[0, 0] ** 2 == pytest.approx(variances.mean())


@pytest.mark.parametrize("rho", [1e-9, 0.3, 0.9, 0.999, 1 - 1e-9])
def test_log_determinant_of_a_proper_map_needs_no_eigenvalues(rho: float) -> None:
    """A polynomial in -log(1 - rho) against eigenvalues, for two parts of a map and an island, also close to one."""
    rng = np.random.default_rng(0)
    places = rng.uniform(size=(120, 2))
    W = (cdist(places, places) < 0.13) & ~np.eye(120, dtype=bool)
    W[:60, 60:] = W[60:, :60] = False
    W[119], W[:, 119] = False, False
    car, floats = COVARIANCES.get("car"), W.astype(float)
    found = car.learn(sparse.csr_array(floats))
    D = np.maximum(floats.sum(axis=1), 1.0)
    eigenvalues = np.linalg.eigvalsh(floats / np.sqrt(np.outer(D, D)))
    exact = np.sum(np.log1p(-rho * np.clip(eigenvalues, -1.0, 1.0))) + np.log(D).sum()
    values = found | {"sd": np.ones(1), "rho": np.array([rho])}
    block = SimpleNamespace(levels=range(120))
    # Eigenvalues of one are known to 1e-15, which log(1 - rho) makes 1e-6 at a distance of 1e-9.
    tolerance = 1e-5 if rho > 0.9999 else 1e-8
    assert car.precision(values, block, NUMPY)[1] == pytest.approx(exact, abs=tolerance)
    spread = np.mean(np.diag(np.linalg.inv(np.diag(D) - rho * floats)))
    assert car.factor(values, 1, NUMPY)[0, 0] ** 2 == pytest.approx(spread, rel=1e-4 if rho > 0.9999 else 1e-8)


def test_scaling_of_intrinsic_effects_is_that_of_inla() -> None:
    """Geometric mean of the diagonal of the generalised inverse is one (Sorbye and Rue 2014), in each part.

    The generalised inverse is computed another way, as INLA does: by conditioning the inverse of a matrix with a
    small number on its diagonal on the sum of the effects being zero.
    """
    side = 6
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    W = (cdist(at, at) == 1.0).astype(float)
    vectors, variances = scaled_structure(sparse.csr_array(W))
    inverse = np.linalg.inv(laplacian(W) + 1e-8 * np.eye(len(W)))
    total = inverse.sum(axis=1)
    conditional_on_zero = inverse - np.outer(total, total) / total.sum()
    own = (vectors * variances) @ vectors.T
    np.testing.assert_allclose(own, conditional_on_zero / stats.gmean(np.diag(conditional_on_zero)), atol=1e-6)
    assert stats.gmean(np.diag(own)) == pytest.approx(1.0)

"""Nearest neighbours in the place of a dense covariance: exact on a line, close in the plane, for many points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from scipy.spatial.distance import cdist

import bayesglmm as bg
from bayesglmm import plots
from bayesglmm.arraymath import NUMPY
from bayesglmm.covariances.neighbours import neighbourhoods, order_of, precision_entries, weights
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.graph.latent import LatentView

FADING = {
    "exp": lambda r: np.exp(-r),
    "mat, nu=1.5": lambda r: (1 + r) * np.exp(-r),
    "mat, nu=2.5": lambda r: (1 + r + r * r / 3) * np.exp(-r),
}
NUGGET = 1e-9


def precision(points: Any, m: int, kind: str, reach: float) -> tuple[Any, float]:
    """Return the dense precision by neighbours, and its log determinant."""
    own = neighbourhoods(points, m)
    w = weights(FADING[kind](own.near / reach), own.there, NUGGET, NUMPY)
    entries = precision_entries(w, own.there.shape[1], own.place, len(own.row), NUMPY)
    Q = sparse.csr_array((entries, (own.row, own.column)), shape=(len(points),) * 2)
    return (Q + sparse.tril(Q, -1).T).toarray(), 2 * np.log(w[:, -1]).sum()


def dense(points: Any, kind: str, reach: float) -> Any:
    return FADING[kind](cdist(points, points) / reach)


def test_a_line_with_an_exponential_covariance_is_exact() -> None:
    """It is a Markov process; so is its precision, with two entries per row below the diagonal at most."""
    points = np.random.default_rng(0).uniform(0, 10, (60, 1))
    C = dense(points, "exp", 2.0)
    Q, log_det = precision(points, 3, "exp", 2.0)
    np.testing.assert_allclose(np.linalg.inv(Q), C, atol=1e-6)
    assert log_det == pytest.approx(-np.linalg.slogdet(C)[1], abs=1e-5)


@pytest.mark.parametrize("kind", list(FADING))
def test_all_points_as_neighbours_are_exact(kind: str) -> None:
    points = np.random.default_rng(1).uniform(size=(12, 2))
    Q, log_det = precision(points, 50, kind, 0.4)
    C = dense(points, kind, 0.4)
    np.testing.assert_allclose(np.linalg.inv(Q), C, atol=1e-6)
    assert log_det == pytest.approx(-np.linalg.slogdet(C)[1], abs=1e-3)


def test_neighbours_are_the_nearest_before() -> None:
    points = np.random.default_rng(2).uniform(size=(150, 2))
    order, own = order_of(points), neighbourhoods(points, 7)
    assert sorted(order) == list(range(150))
    distance = cdist(points, points)
    for i in (1, 5, 40, 149):
        before = order[:i]
        nearest = np.sort(distance[order[i], before])[:7]
        found = own.near[i, -1, :-1][own.there[i, :-1] > 0]
        np.testing.assert_allclose(np.sort(found), nearest)
    # Each point of the order is as far as can be from those before it.
    apart = [distance[order[i], order[:i]].min() for i in range(1, 150)]
    assert np.all(np.diff(apart) <= 1e-12)


# Largest error of the log density of 800 noisy rows that was seen is 0.4, 1.2 and 0.6; see the module.
@pytest.mark.parametrize(
    ("kind", "most"),
    [("exp", 0.8), pytest.param("mat, nu=1.5", 2.5, marks=pytest.mark.slow), ("mat, nu=2.5", 2.5)],
)
def test_density_of_noisy_rows_against_the_dense_one(kind: str, most: float) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(size=(800, 2))
    C = dense(points, kind, 0.2) + NUGGET * np.eye(800)
    y = np.linalg.cholesky(C + 0.25 * np.eye(800)) @ rng.normal(size=800)
    Q, _ = precision(points, 20, kind, 0.2)
    exact = stats.multivariate_normal(np.zeros(800), C + 0.25 * np.eye(800)).logpdf(y)
    found = stats.multivariate_normal(np.zeros(800), np.linalg.inv(Q) + 0.25 * np.eye(800)).logpdf(y)
    assert found == pytest.approx(exact, abs=most)


def field(k: int, seed: int = 0, maps: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    points = rng.uniform(size=(k, 2)).round(6)
    root = np.linalg.cholesky(dense(points, "exp", 0.2) + 1e-9 * np.eye(k))
    frames = []
    for one in range(maps):
        b, x = root @ rng.normal(size=k), rng.normal(size=k)
        y = 1.0 + 0.5 * x + b + 0.5 * rng.normal(size=k)
        frames.append(pd.DataFrame({"y": y, "x": x, "lon": points[:, 0], "lat": points[:, 1], "map": f"m{one}"}))
    return pd.concat(frames, ignore_index=True)


TERM = "exp(0 + numFactor(lon, lat) | map, neighbours=20)"


@pytest.mark.parametrize("maps", [1, 2])
def test_view_and_graph_agree(maps: int) -> None:
    model = bg.Model(f"y ~ x + {TERM.replace('20', '4')}", field(30, maps=maps))
    view, rng = LatentView(model.problem), np.random.default_rng(3)
    x, theta = 0.4 * rng.normal(size=view.size), view.initial_theta + 0.2 * rng.normal(size=view.theta_size)
    graph = float(model.graph.compile_logp(mode=INTERPRETED)(view.point(x, theta)))
    graph -= model.graph.rvs_to_transforms[model.graph["beta"]].log_det
    assert view.log_joint(x, theta) == pytest.approx(graph, rel=1e-9)
    assert model.problem.blocks[0].block.latent == "precision"


def test_fits_are_those_of_the_dense_covariance(tmp_path: Path) -> None:
    """300 points: estimates within 3 percent of their standard errors' size, the likelihood within 0.2."""
    data = field(300)
    one = bg.Model("y ~ x + exp(0 + numFactor(lon, lat) | map)", data).fit("laplace", objective="ml", seed=1)
    two = bg.Model(f"y ~ x + {TERM}", data).fit("laplace", objective="ml", seed=1)
    assert two.loglik == pytest.approx(one.loglik, abs=0.2)
    gap = (two.summary()["estimate"] - one.summary()["estimate"]) / one.summary()["se"]
    assert gap.abs().max() < 0.1
    modes = one.ranef()["estimate"].to_numpy(), two.ranef()["estimate"].to_numpy()
    assert np.max(np.abs(modes[0] - modes[1])) < 0.03
    two.save(tmp_path / "fit.nc")
    again = bg.load(tmp_path / "fit.nc")
    pd.testing.assert_frame_equal(again.predict(data.head()), two.predict(data.head()))
    ax = plots.correlation(two).axes[0]
    assert "distance" in ax.get_xlabel()
    shares = two.icc()
    expected = two.varcorr().iloc[0]["estimate"] ** 2
    assert shares.loc[0, "variance"] == pytest.approx(expected, rel=0.35)  # mean over draws around the estimate


def test_many_points_are_sparse_unless_the_user_says_otherwise() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=1001), "lon": rng.uniform(size=1001), "lat": rng.uniform(size=1001)})
    data["map"] = "one"
    sparse_one = bg.Model("y ~ 1 + mat(0 + numFactor(lon, lat) | map)", data).problem.blocks[0].block
    assert (sparse_one.latent, sparse_one.options["there"].shape) == ("precision", (1001, 21))
    dense_one = bg.Model("y ~ 1 + mat(0 + numFactor(lon, lat) | map, neighbours=0)", data).problem.blocks[0].block
    assert dense_one.latent == "spherical"


def test_what_is_refused() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=3001), "u": rng.uniform(size=3001), "map": "one"})
    with pytest.raises(DataError, match=r"3,001 points; a dense .* refused above 3,000. Leave out `neighbours=0`"):
        bg.Model("y ~ 1 + exp(0 + numFactor(u) | map, neighbours=0)", data)
    with pytest.raises(DataError, match=r"`mat` with nu=2.5 is nearly as smooth.*s\(x, y, bs=.gp., k=100\)"):
        bg.Model("y ~ 1 + gau(0 + numFactor(u) | map)", data)
    with pytest.raises(FormulaError, match="a number of neighbours, or 0 for a dense covariance, not -2"):
        bg.Model("y ~ 1 + exp(0 + numFactor(u) | map, neighbours=-2)", data.head(20))
    with pytest.raises(FormulaError, match="`gau` has no option `neighbours`"):
        bg.Model("y ~ 1 + gau(0 + numFactor(u) | map, neighbours=5)", data.head(20))


@pytest.mark.slow
def test_large_map_and_counts() -> None:
    """1,500 points: the simulated parameters within 3.5 errors, by Laplace; counts have no closed form."""
    data = field(1500)
    fit = bg.Model("y ~ x + exp(0 + numFactor(lon, lat) | map)", data).fit("laplace", objective="ml", seed=1)
    table = fit.summary()
    for label, value in {"sd[map, exp]": 1.0, "range[map, exp]": 0.2, "sigma": 0.5, "x": 0.5}.items():
        assert abs(table.loc[label, "estimate"] - value) < 3.5 * table.loc[label, "se"], label


@pytest.mark.slow
def test_nuts_agrees_with_laplace() -> None:
    """Gaussian rows: Laplace is exact but for theta; means within 5 Monte Carlo errors and 0.1 posterior sds."""
    model = bg.Model(f"y ~ x + {TERM.replace('20', '8')}", field(80))
    one = model.fit("laplace", seed=1, draws=2000).summary()
    two = model.fit("nuts", seed=1, draws=300, tune=300, chains=2).summary()
    for label in one.index:
        error = two.loc[label, "sd"] / np.sqrt(two.loc[label, "ess_bulk"])
        assert abs(one.loc[label, "mean"] - two.loc[label, "mean"]) < 5 * error + 0.1 * two.loc[label, "sd"], label

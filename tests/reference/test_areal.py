"""Areal structures against mgcv's Markov random field, and against Stan's densities as brms writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.graph.latent import LatentView


@pytest.fixture(scope="module")
def columbus() -> pd.DataFrame:
    data = bg.load_dataset("columbus")
    return data.assign(count=np.round(data["crime"]))


def neighbours(data: pd.DataFrame) -> dict[str, list[str]]:
    return {str(d): str(n).split() for d, n in zip(data["district"], data["neighbours"], strict=True)}


def laplacian(data: pd.DataFrame) -> Any:
    W = np.zeros((49, 49))
    for i, others in neighbours(data).items():
        W[int(i), [int(j) for j in others]] = 1.0
    return np.diag(W.sum(axis=1)) - W


def test_neighbours_are_those_of_the_outlines(columbus: pd.DataFrame, expected: Callable[[str], Any]) -> None:
    assert neighbours(columbus) == expected("areal")["neighbours"]


@pytest.mark.parametrize("response", ["crime", "home.value", "count"])
def test_intrinsic_effects_are_mgcvs_markov_random_field(
    response: str, columbus: pd.DataFrame, expected: Callable[[str], Any]
) -> None:
    """REML of the same model: mgcv's sd is that of differences of neighbours, ours that of a typical region.

    mgcv's covariance of the predictor is Bayesian, given its estimates, as ours with theta at its mode.
    """
    block = expected("areal")[response]
    column = response.replace(".", "_")
    family = "poisson" if response == "count" else "gaussian"
    model = bg.Model(f"{column} ~ icar(1 | district, adjacency=W)", columbus, family, cov={"W": neighbours(columbus)})
    fit = model.fit("laplace", objective="reml", seed=1)
    typical = np.sqrt(stats.gmean(np.diag(np.linalg.pinv(laplacian(columbus), hermitian=True))))
    table = fit.varcorr().set_index("group")["estimate"]
    assert table["district"] == pytest.approx(block["sd"] * typical, rel=2e-3)
    if family == "gaussian":
        assert table["Residual"] == pytest.approx(block["sigma"], rel=2e-3)
    predictor = fit.predict(columbus, scale="link")["estimate"]
    np.testing.assert_allclose(predictor, block["predictor"], atol=2e-3 * np.std(block["predictor"]))


def prior_of_effects(term: str, columbus: pd.DataFrame, b: Any) -> tuple[float, dict[str, Any]]:
    """Return log p(b) of the model's graph at the start of its parameters, and these."""
    model = bg.Model(f"crime ~ {term}", columbus, cov={"W": neighbours(columbus)})
    view = LatentView(model.problem)
    theta = view.initial_theta + 0.3
    part = model.problem.blocks[0]
    natural = view.natural(theta)
    entries, log_det = view.block_precision(part, natural)
    rows, columns = part.covariance.couplings(part.block)
    square = np.sum(entries * np.where(rows == columns, 1.0, 2.0) * b[rows] * b[columns])
    return 0.5 * (log_det - square - len(b) * np.log(2 * np.pi)), part.values(natural)


def test_car_has_the_density_of_brms(columbus: pd.DataFrame) -> None:
    """``sparse_car_lpdf`` of brms for car(W, type = "escar"): tau, alpha and the eigenvalues of D^-1/2 W D^-1/2."""
    b = np.random.default_rng(0).normal(size=49)
    b -= b.mean()
    found, values = prior_of_effects("car(1 | district, adjacency=W)", columbus, b)
    L = laplacian(columbus)
    D = np.diag(L).copy()
    W = np.diag(D) - L
    eigenvalues = np.linalg.eigvalsh(W / np.sqrt(np.outer(D, D)))
    tau, alpha = values["sd"][0] ** -2, values["rho"][0]
    stan = 0.5 * (49 * np.log(tau) + np.sum(np.log1p(-alpha * eigenvalues)) - tau * (b @ (D * b) - alpha * b @ W @ b))
    # brms leaves out the constants log |D| / 2 and -J log(2 pi) / 2.
    constants = 0.5 * np.sum(np.log(D)) - 0.5 * 49 * np.log(2 * np.pi)
    assert found == pytest.approx(stan + constants, rel=1e-8)


def test_icar_has_the_density_of_brms(columbus: pd.DataFrame) -> None:
    """brms's esicar: -1/2 sum of squared differences of neighbours, divided by sdcar; here sd is that of a region.

    brms holds the sum at zero up to a sd of 0.001 J; the densities of effects that sum to zero differ by constants.
    """
    rng = np.random.default_rng(1)
    L = laplacian(columbus)
    edges = np.argwhere(np.triu(-L, 1) > 0)
    scale = stats.gmean(np.diag(np.linalg.pinv(L, hermitian=True)))
    gaps = []
    for _ in range(3):
        b = rng.normal(size=49)
        b -= b.mean()
        found, values = prior_of_effects("icar(1 | district, adjacency=W)", columbus, b)
        stan = -0.5 * np.sum((b[edges[:, 0]] - b[edges[:, 1]]) ** 2) * scale / values["sd"][0] ** 2
        gaps.append(found - stan)
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-8)


def test_bym2_is_the_sum_that_brms_makes(columbus: pd.DataFrame) -> None:
    """brms: sdcar (sqrt(1 - rho) nszcar + sqrt(rho / scale) zcar), with scale the geometric mean variance of zcar."""
    b = np.random.default_rng(2).normal(size=49)
    found, values = prior_of_effects("bym2(1 | district, adjacency=W)", columbus, b)
    K = np.linalg.pinv(laplacian(columbus), hermitian=True)
    rho = values["rho"][0]
    K = K + 1e-6 * stats.gmean(np.diag(K)) / 49  # the sum of the intrinsic effects, zero up to this
    covariance = values["sd"][0] ** 2 * ((1 - rho) * np.eye(49) + rho / stats.gmean(np.diag(K)) * K)
    assert found == pytest.approx(stats.multivariate_normal(np.zeros(49), covariance).logpdf(b), rel=1e-8)

"""Residual structures: their density is that of a dense multivariate normal, whatever the order of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.stats import multivariate_normal

from bayesglmm.arraymath import NUMPY, pytensor_math
from bayesglmm.blocks import ResidualBlock
from bayesglmm.graph.compiler import INTERPRETED
from bayesglmm.residuals import RESIDUALS

INDEX = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4])
TIME = np.array([3, 1, 2, 1, 2, 4, 4, 3, 2, 1, 1, 3, 2], dtype=float)  # gaps, and a group of one row
ROOT = np.linalg.cholesky(
    np.array([[1, 0.5, -0.2, 0.1], [0.5, 1, 0.3, 0.2], [-0.2, 0.3, 1, 0.6], [0.1, 0.2, 0.6, 1]])
)
VALUES: dict[str, dict[str, Any]] = {
    "ar1": {"cor": np.array([-0.4])},
    "ou": {"range": np.array([1.3])},
    "cs": {"cor": np.array([-0.2])},
    "us": {"cor": ROOT},
}


def block(name: str) -> ResidualBlock:
    order = np.random.default_rng(1).permutation(len(INDEX))
    levels, times = ("a", "b", "c", "d", "e"), ("1", "2", "3", "4")
    return ResidualBlock(f"{name}(t | g)", name, "g", levels, INDEX[order], TIME[order], "t", times)


def dense(name: str, own: ResidualBlock) -> Any:
    """Return the correlation matrix of all rows, by its definition."""
    apart = np.abs(np.subtract.outer(own.time, own.time))
    place = own.time.astype(int) - 1
    R = {
        "ar1": (-0.4) ** apart,
        "ou": np.exp(-apart / 1.3),
        "cs": np.where(np.eye(len(place)) > 0, 1.0, -0.2),
        "us": (ROOT @ ROOT.T)[np.ix_(place, place)],
    }[name]
    return np.where(own.index[:, None] == own.index, R, 0.0)


def test_every_structure_has_an_example() -> None:
    assert {structure.name for structure in RESIDUALS} == set(VALUES)


@pytest.mark.parametrize("name", list(VALUES))
def test_density_is_that_of_a_multivariate_normal(name: str) -> None:
    own, structure = block(name), RESIDUALS.get(name)
    diagonal, below = structure.entries(VALUES[name], own, NUMPY)
    T = np.diag(diagonal)
    T[structure.links(own)] = below
    R = dense(name, own)
    np.testing.assert_allclose(T @ R @ T.T, np.eye(len(R)), atol=1e-12)
    e = np.random.default_rng(2).normal(size=len(R))
    white = T @ e
    density = -0.5 * white @ white - 0.5 * len(e) * np.log(2 * np.pi) + np.log(diagonal).sum()
    assert density == pytest.approx(multivariate_normal(np.zeros(len(e)), R).logpdf(e), rel=1e-12)


@pytest.mark.parametrize("name", list(VALUES))
def test_tensors_and_draws_give_the_same_entries(name: str) -> None:
    own, structure = block(name), RESIDUALS.get(name)
    diagonal, below = structure.entries(VALUES[name], own, NUMPY)
    many = {key: np.stack([value, value]) for key, value in VALUES[name].items()}
    for found, one in zip(structure.entries(many, own, NUMPY), (diagonal, below), strict=True):
        np.testing.assert_allclose(found, np.stack([one, one]), rtol=1e-12, atol=1e-14)
    tensors = {key: pt.constant(value) for key, value in VALUES[name].items()}
    for symbol, one in zip(structure.entries(tensors, own, pytensor_math()), (diagonal, below), strict=True):
        np.testing.assert_allclose(symbol.eval(mode=INTERPRETED), one, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["ar1", "ou", "cs"])
def test_correlation_by_distance(name: str) -> None:
    own = block(name)
    values = {key: value[None] for key, value in VALUES[name].items()}
    found = RESIDUALS.get(name).correlation(values, own, np.array([0.0, 1.0, 2.0]))
    assert found is not None
    expected = {"ar1": [1, -0.4, 0.16], "ou": np.exp(-np.arange(3) / 1.3), "cs": [1, -0.2, -0.2]}[name]
    np.testing.assert_allclose(found[0], expected)
    assert RESIDUALS.get("us").correlation({}, own, np.zeros(1)) is None

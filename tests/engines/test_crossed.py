"""Two crossed factors by every factorisation: the same objective, gradient and fit; what is too large is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import CrossedFactor, pattern


def data(rows: int, levels: int, home: float, slope: float = 0.0) -> pd.DataFrame:
    """Pupils and teachers: a share `home` of a pupil's rows is with one teacher."""
    rng = np.random.default_rng(1)
    a, x = rng.integers(0, levels, rows), rng.normal(size=rows)
    b = np.where(rng.random(rows) < home, rng.integers(0, levels, levels)[a], rng.integers(0, levels, rows))
    eta = 0.3 + 0.5 * x + rng.normal(0, 0.8, levels)[a] + rng.normal(0, 0.5, levels)[b] * (1.0 + slope * x)
    frame = pd.DataFrame({"x": x, "v": eta + rng.normal(size=rows), "y": rng.random(rows) < 1 / (1 + np.exp(-eta))})
    return frame.assign(a=pd.Categorical(a), b=pd.Categorical(b))


@pytest.mark.parametrize(("response", "family"), [("v", "gaussian"), ("y", "bernoulli")])
@pytest.mark.parametrize("home", [0.0, 0.9], ids=["at random", "mostly nested"])
def test_sparse_and_dense_factors_give_the_same(
    response: str, family: str, home: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value and gradient to 1e-8 of each other, at a point and at the maximum."""
    frame = data(1_200, 90, home, slope=0.5)
    problem = bg.Model(f"{response} ~ x + (1 | a) + (1 + x | b)", frame, family).problem
    dense = LaplaceObjective(LatentView(problem), "reml")
    assert dense.structure.pattern.layout is None
    # As if every second counted: the analysis is made, and sparse columns cost nothing.
    monkeypatch.setattr(pattern, "QUICK", 0.0)
    monkeypatch.setattr("bayesglmm.linalg.sparse.RATES", (1e12, 1e6))
    crossed = LaplaceObjective(LatentView(problem), "reml")
    assert crossed.structure.pattern.layout is not None
    psi = dense.view.initial_theta - 0.3
    one, two = dense.mode(psi), crossed.mode(psi)
    assert isinstance(two.factor, CrossedFactor)
    assert two.log_marginal == pytest.approx(one.log_marginal, rel=1e-11)
    np.testing.assert_allclose(two.x, one.x, atol=1e-8)
    np.testing.assert_allclose(crossed.gradient(two), dense.gradient(one), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(crossed.jacobian(two), dense.jacobian(one), rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(two.factor.inverse_diagonal(), one.factor.inverse_diagonal(), rtol=1e-8)


def fitted(view: LatentView) -> Any:
    found = maximise(view, "ml")
    assert found.converged
    return found, view.natural(found.psi[: view.theta_size])


@pytest.mark.parametrize(("response", "family"), [("v", "gaussian"), ("y", "bernoulli")])
def test_many_mostly_nested_levels_are_fitted_in_little_memory(response: str, family: str) -> None:
    """10,000 and some 7,700 levels: a dense border would take 5 GB; the sds come back within four standard errors."""
    frame = data(60_000, 10_000, 0.97)
    view = LatentView(bg.Model(f"{response} ~ x + (1 | a) + (1 | b)", frame, family).problem)
    found, natural = fitted(view)
    structure = LaplaceObjective(view, "ml").structure
    assert "sparse Cholesky: a (" in structure.pattern.reason
    assert structure.pattern.gigabytes < 0.1
    sds = np.concatenate([natural["sd_a"], natural["sd_b"]])
    names = view.problem.names("theta")
    at = [names.index("sd_a"), names.index("sd_b")]
    error = np.sqrt(np.diag(np.linalg.inv(found.curvature)))[at]
    # Laplace's approximation alone lowers the sd of a binary response with six rows per level.
    bias = 0.1 if family == "bernoulli" else 0.0
    assert np.all(np.abs(np.log(sds) - np.log([0.8, 0.5])) < 4 * error + bias)


def test_what_does_not_fit_is_refused_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pattern, "available", lambda: 0.3)
    frame = data(60_000, 6_000, 0.0)
    view = LatentView(bg.Model("v ~ x + (1 | a) + (1 | b)", frame).problem)
    with pytest.raises(
        MemoryError, match=r"12,00\d coefficients needs about [\d.]+ GB; 0.3 GB are free .*a \(6000 x 1\)"
    ):
        maximise(view, "ml")


def test_a_posterior_where_one_factor_cannot_be_eliminated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the border of an arrow would not fit, the verdict takes all coefficients together: for gaussian exact."""
    monkeypatch.setattr(pattern, "QUICK", 0.0)
    monkeypatch.setattr("bayesglmm.engines.kernels.blockwise._LARGEST", 0.0)
    model = bg.Model("v ~ x + (1 | a) + (1 | b)", data(3_000, 300, 0.9))
    fit = model.fit("laplace", seed=1, draws=250)
    assert fit.verdict == "good"
    with monkeypatch.context() as patch:
        patch.setattr(pattern, "QUICK", 1e9)
        usual = bg.Model("v ~ x + (1 | a) + (1 | b)", data(3_000, 300, 0.9)).fit("laplace", seed=1, draws=250)
    ours, theirs = fit.varcorr(), usual.varcorr()
    # 1,000 draws leave 0.03 posterior sds of each mean; other random numbers move the draws.
    np.testing.assert_array_less(np.abs(ours["mean"] - theirs["mean"]) / theirs["sd"], 0.2)

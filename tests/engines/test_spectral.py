"""Normal models of related levels along their axes: the same numbers as by Cholesky factors of everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.spectral import SpectralObjective, normal_objective, rotation_of
from bayesglmm.graph.latent import LatentView

LEVELS = 30
NAMES = [f"i{j:02d}" for j in range(LEVELS)]


def kinship(markers: int = 50, seed: int = 0) -> pd.DataFrame:
    G = np.random.default_rng(seed).normal(size=(LEVELS, markers)) / np.sqrt(markers)
    return pd.DataFrame(G @ G.T, index=NAMES, columns=NAMES)


def related(case: str, K: pd.DataFrame | None = None, family: str = "gaussian") -> bg.Model:
    """Return a model of one of the designs that the spectrum has to cope with."""
    rng = np.random.default_rng(1)
    rows = {"repeated": np.concatenate([np.arange(LEVELS), rng.integers(0, LEVELS, 50)]), "unseen": np.arange(22)}
    ids = rows.get(case, np.arange(LEVELS))
    n = len(ids)
    columns = {"x": rng.normal(size=n), "z": rng.normal(size=n), "w": rng.uniform(0.5, 3.0, n)}
    y = 3.0 + rng.normal(size=n) + rng.normal(size=LEVELS)[ids]
    data = pd.DataFrame({"y": np.exp(y) if family == "lognormal" else y, "id": [NAMES[j] for j in ids], **columns})
    term = "(0 + z | gr(id, cov=K))" if case == "slope" else "(1 | gr(id, cov=K))"
    given: dict[str, Any] = {"weights": "w"} if case in ("weights", "held") else {}
    given |= {"priors": {"sigma": bg.Prior("Fixed", 1.0)}} if case == "held" else {}
    return bg.Model(f"y ~ x + {term}", data, family, cov={"K": kinship() if K is None else K}, **given)


@pytest.mark.parametrize("kind", ["posterior", "reml", "ml"])
@pytest.mark.parametrize("case", ["plain", "weights", "repeated", "unseen", "slope", "held", "semidefinite"])
def test_values_gradients_and_factors_are_those_of_cholesky(case: str, kind: Any) -> None:
    """Values to rounding; gradients of the scales are by differences of natural parameters, good to 1e-8."""
    view = LatentView(related(case, kinship(12) if case == "semidefinite" else None).problem)
    plain, own = LaplaceObjective(view, kind), SpectralObjective(view, kind)
    rng = np.random.default_rng(2)
    psi = 0.5 * rng.normal(size=plain.size)
    one, two = plain.mode(psi), own.mode(psi)
    loose = 1e-5 if case == "semidefinite" else 1e-8  # Cholesky's own rounding, with eigenvalues 1e6 apart
    assert two.log_marginal == pytest.approx(one.log_marginal, abs=loose)
    np.testing.assert_allclose(two.x, one.x, atol=loose)
    np.testing.assert_allclose(own.gradient(two), plain.gradient(one), atol=10 * loose)
    np.testing.assert_allclose(own.jacobian(two), plain.jacobian(one), atol=10 * loose)
    np.testing.assert_allclose(own.centre(two), plain.centre(one), atol=loose)
    z = rng.normal(size=(len(own.structure.inner), 3))
    np.testing.assert_allclose(two.factor.solve(z), one.factor.solve(z), atol=loose)
    np.testing.assert_allclose(two.factor.solve(z[:, 0]), one.factor.solve(z[:, 0]), atol=loose)
    assert two.factor.logdet() == pytest.approx(one.factor.logdet(), abs=loose)
    np.testing.assert_allclose(two.factor.half_product(two.factor.half_solve(z)), z, atol=loose)
    root = two.factor.half_solve(np.eye(len(z)))
    np.testing.assert_allclose(root @ root.T, one.factor.solve(np.eye(len(z))), atol=loose)
    np.testing.assert_allclose(two.factor.inverse_diagonal(), one.factor.inverse_diagonal(), atol=loose)
    left, right = one.factor.inverse(), two.factor.inverse()
    pairs = [(left.dense, right.dense), (left.beside(0, 0), right.beside(0, 0)), (left.levels(0), right.levels(0))]
    pairs += [(left.coupled(0), right.coupled(0)), (left.entries(0, 0, 0, 0), right.entries(0, 0, 0, 0))]
    for here, there in pairs:
        np.testing.assert_allclose(there, here, atol=loose)
    np.testing.assert_allclose(
        two.work.prior.times(two.work.inner), one.work.prior.times(one.work.inner), atol=loose * 100, rtol=1e-6
    )


@pytest.mark.parametrize("settings", [{"objective": "ml"}, {"objective": "reml"}, {"resample": False}])
def test_fits_are_those_of_cholesky(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fit = related("repeated").fit("laplace", seed=1, **settings)
    monkeypatch.setattr("bayesglmm.engines.kernels.spectral.rotation_of", lambda view: None)
    other = related("repeated").fit("laplace", seed=1, **settings)
    if "objective" in settings:
        assert fit.loglik == pytest.approx(other.loglik, abs=1e-7)
        np.testing.assert_allclose(fit.summary(), other.summary(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fit.ranef()[["estimate", "se"]], other.ranef()[["estimate", "se"]], atol=1e-5)
        return
    assert fit.log_evidence == pytest.approx(other.log_evidence, abs=0.02)
    assert fit.verdict.word == other.verdict.word == "good"
    apart = (fit.summary()["mean"] - other.summary()["mean"]) / other.summary()["sd"]
    assert apart.abs().max() < 0.05


def test_lognormal_responses_have_axes_and_others_have_not() -> None:
    assert isinstance(normal_objective(LatentView(related("plain", family="lognormal").problem)), SpectralObjective)
    model = related("repeated")
    data = model.design.data.assign(k=np.arange(80) % 3, g=np.tile(["a", "b"], 40))
    K = {"K": kinship()}
    term = "(1 | gr(id, cov=K))"
    inverse = np.linalg.inv(np.kron(np.eye(10), np.full((3, 3), 0.2) + np.eye(3)))
    others = [
        bg.Model(f"k ~ x + {term}", data, "poisson", cov=K),
        bg.Model(f"y ~ x + {term} + (1 | g)", data, cov=K),
        bg.Model([f"y ~ x + {term}", "sigma ~ x"], data, cov=K),
        bg.Model("y ~ x + (1 + x || gr(id, cov=K))", data, cov=K),
        bg.Model(f"y ~ x + {term}", data, "student_t", cov=K),
        bg.Model(f"y ~ x + {term}", data, cov={"K": bg.known_precision(np.round(inverse, 14), NAMES)}),  # sparse
    ]
    for other in others:
        assert rotation_of(LatentView(other.problem)) is None
        assert type(normal_objective(LatentView(other.problem))) is LaplaceObjective


def test_the_eigenvectors_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the inverse of K was made of serve for the fit."""
    model = related("plain")
    monkeypatch.setattr("scipy.linalg.eigh", lambda *args, **kwargs: pytest.fail("once more"))
    assert rotation_of(LatentView(model.problem)) is not None

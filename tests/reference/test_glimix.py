"""glimix-core's documented use: every block of its reference numbers, and probit regression, in our own words.

Its model is z = X beta + G u + eps with K = G G'. Cov(G u) = v0 K is ``(1 | gr(id, cov=K))``, whose standard
deviation is the root of v0; Cov(eps) = v1 I is ``(1 | id)`` where the response is not normal (sigma where it is),
with the root of v1. Its `scale` is v0 + v1 and its `delta` v1 / (v0 + v1), one minus the heritability.

Log evidence at the same parameters agrees within 1e-4 (another quadrature), estimates within 2 percent. Not compared:
`posteriori_mean` and `posteriori_covariance_diag`, which are no moments of z (they differ by orders of magnitude from
what importance sampling gives in the same file); ours are held against importance sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines.kernels.ep import EPObjective
from bayesglmm.engines.kernels.ep_sites import Approximation
from bayesglmm.graph.latent import LatentView

TERM = "(1 | gr(id, cov=K))"

PROBIT = {  # GLMMExpFam(y, (likelihood,), X, economic_qs(K)) of glimix-core 3.1.14, data as in `few_relatives`
    "probit": {
        "points": [  # beta, scale, delta, lml
            ((0.0, 0.0), 1.0, 0.5, -41.223617404003924),
            ((-0.3, 0.8), 1.7, 0.2, -36.1599315266256),
            ((0.2, 0.4), 4.0, 0.9, -38.94773261503323),
            ((0.5, -1.0), 0.3, 0.05, -84.30332981256228),
        ],
        "fit": {
            "lml": -35.82360978095482,
            "beta": [-0.0686831949, 0.6556275915],
            "v0": 0.3967886072,
        },
    },
    "logit": {
        "points": [
            ((0.0, 0.0), 1.0, 0.5, -41.33165474425648),
            ((-0.3, 0.8), 1.7, 0.2, -36.36237165950644),
            ((0.2, 0.4), 4.0, 0.9, -39.271745361887945),
            ((0.5, -1.0), 0.3, 0.05, -63.3761772385225),
        ],
        "fit": {
            "lml": -35.81992046371097,
            "beta": [-0.1270896818, 1.1155032980],
            "v0": 1.2076808251,
        },
    },
}


def test_every_block_is_checked_here(expected: Callable) -> None:
    of_example = {"before", "after", "pointwise", "same_X_K_poisson", "same_X_K_bernoulli"}
    assert set(expected("glimix_doc")) == of_example | {"note"}
    kinds = {f"{kind}_{what}" for kind in ("lowrank", "fullrank") for what in ("LMM_ML", "LMM_REML", "GLMMNormal")}
    assert set(expected("glimix_lmm")) == kinds | {"note"}


# the documented example ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example(reference: Path) -> Callable[..., bg.Model]:
    """Return a model of the documented example: its X and K, with the responses given."""
    data, K = (pd.read_csv(reference / "data" / f"{name}.csv") for name in ("glimix_doc", "glimix_doc_K"))
    data["id"] = range(len(K))

    def model(family: str, y: Any = None) -> bg.Model:
        response = "successes | trials(ntrials)" if y is None else "y"
        own = data if y is None else data.assign(y=np.array(y, dtype=int))
        return bg.Model(f"{response} ~ 0 + x0 + x1 + {TERM} + (1 | id)", own, family, cov={"K": K.to_numpy()})

    return model


def at(model: bg.Model, v0: float, v1: float, beta: Any) -> Approximation:
    """Return the fixed point of expectation propagation at given parameters."""
    psi = np.array([0.5 * np.log(v0), 0.5 * np.log(v1), *beta])
    return EPObjective(LatentView(model.problem), "ml").mode(psi)


def test_log_evidence_of_the_example(example: Callable[..., bg.Model], expected: Callable) -> None:
    """Before fitting -16.40, after it -13.43, and on a grid of nine."""
    numbers, model = expected("glimix_doc"), example("binomial")
    points = [numbers["before"], numbers["after"], *numbers["pointwise"]]
    assert len(points) == 11
    for point in points:
        found = at(model, point["v0"], point["v1"], point["beta"])
        assert abs(found.log_marginal - point.get("lml_ep", point.get("lml"))) < 1e-4
        if "scale" in point:
            assert point["v0"] + point["v1"] == pytest.approx(point["scale"])
            assert point["v1"] / (point["v0"] + point["v1"]) == pytest.approx(point["delta"])


def test_moments_of_the_latent_variable(example: Callable[..., bg.Model], expected: Callable) -> None:
    """z given y, against importance sampling, to 0.01 of a standard deviation and 2 percent of a variance."""
    numbers, model = expected("glimix_doc"), example("binomial")
    points = [numbers["after"], *numbers["pointwise"]]
    for point in points:
        found = at(model, point["v0"], point["v1"], point["beta"])
        mean = found.work.etas[0]
        variance = found.work.rows.covariances(found.factor.inverse())[0, 0]
        exact = np.array(point["posterior_var_diag_exact"])
        assert np.abs((mean - point["posterior_mean_exact"]) / np.sqrt(exact)).max() < 0.012
        np.testing.assert_allclose(variance, exact, rtol=0.025)


def test_the_example_fitted(example: Callable[..., bg.Model], expected: Callable) -> None:
    """`model.fit("ep", objective="ml")` ends where glimix-core does; v1 is next to nothing at both."""
    theirs = expected("glimix_doc")["after"]
    fit = example("binomial").fit("ep", objective="ml", seed=1)
    assert fit.loglik == pytest.approx(theirs["lml"], abs=1e-3)
    related, alone = fit.varcorr()["estimate"] ** 2
    assert related == pytest.approx(theirs["v0"], rel=0.02)
    assert alone < 0.1 * related
    np.testing.assert_allclose(fit.fixed()["estimate"], theirs["beta"], rtol=0.02)
    assert "expectation propagation" in str(fit.verdict)


def test_the_example_with_counts(example: Callable[..., bg.Model], expected: Callable) -> None:
    numbers = expected("glimix_doc")["same_X_K_poisson"]
    model = example("poisson", numbers["y"])
    assert at(model, 0.5, 0.5, [0.0, 0.0]).log_marginal == pytest.approx(numbers["lml_before"], abs=1e-4)
    assert at(model, numbers["v0"], numbers["v1"], numbers["beta"]).log_marginal == pytest.approx(
        numbers["lml"], abs=1e-4
    )
    fit = model.fit("ep", objective="ml", seed=1)
    assert fit.loglik == pytest.approx(numbers["lml"], abs=1e-4)
    related, alone = fit.varcorr()["estimate"] ** 2
    assert related == pytest.approx(numbers["v0"], rel=0.02)
    assert alone < 1e-5
    np.testing.assert_allclose(fit.fixed()["estimate"], numbers["beta"], rtol=0.02)


@pytest.mark.slow
def test_the_example_with_yes_and_no(example: Callable[..., bg.Model], expected: Callable) -> None:
    """Ten separable rows have no maximum: the evidence rises for ever, slowly.

    glimix-core stops at v0 = 199, where it is 2e-5 below its limit. Ours goes on, and says so.
    """
    numbers = expected("glimix_doc")["same_X_K_bernoulli"]
    model = example("bernoulli", numbers["y"])
    assert at(model, 0.5, 0.5, [0.0, 0.0]).log_marginal == pytest.approx(numbers["lml_before"], abs=1e-4)
    there = at(model, numbers["v0"], max(numbers["v1"], 1e-12), numbers["beta"]).log_marginal
    assert there == pytest.approx(numbers["lml"], abs=1e-4)
    fit = model.fit("ep", objective="ml", seed=1)
    assert numbers["lml"] - 1e-4 < fit.loglik < numbers["lml"] + 1e-3
    assert fit.verdict.word != "good"


def few_relatives() -> tuple[pd.DataFrame, Any]:
    """Return sixty yes-or-no responses and a kinship of full rank, the same numbers everywhere."""
    random = np.random.RandomState(2)
    G = random.randn(60, 80) / np.sqrt(80)
    x = random.randn(60)
    z = -0.3 + 0.8 * x + 1.2 * (G @ random.randn(80)) + 0.5 * random.randn(60)
    y = (z + random.randn(60) > 0).astype(int)
    return pd.DataFrame({"y": y, "x": x, "id": np.arange(60)}), G @ G.T


@pytest.mark.parametrize("link", ["probit", "logit"])
def test_probit_and_logit_of_relatives(link: str) -> None:
    """v1, at zero, cannot be told from the scale of everything else with one probit row each: fitted without it."""
    data, K = few_relatives()
    assert data["y"].sum() == 27
    model = bg.Model(f"y ~ x + {TERM} + (1 | id)", data, "bernoulli", link=link, cov={"K": K})
    numbers: Any = PROBIT[link]
    for beta, scale, delta, lml in numbers["points"]:
        assert at(model, scale * (1 - delta), scale * delta, beta).log_marginal == pytest.approx(lml, abs=1e-4)
    model = bg.Model(f"y ~ x + {TERM}", data, "bernoulli", link=link, cov={"K": K})
    fit, theirs = model.fit("ep", objective="ml", seed=1), numbers["fit"]
    assert fit.loglik == pytest.approx(theirs["lml"], abs=1e-4)
    np.testing.assert_allclose(fit.fixed()["estimate"], theirs["beta"], rtol=0.02)
    assert fit.varcorr()["estimate"].iloc[0] ** 2 == pytest.approx(theirs["v0"], rel=0.02)


# normal responses ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["lowrank", "fullrank"])
def kind(request: pytest.FixtureRequest) -> str:
    """Whether K has rank 66 of 120, where the floor moves the log-likelihood by 2e-6, or full rank."""
    return str(request.param)


def read(reference: Path, name: str, kind: str) -> tuple[pd.DataFrame, Any]:
    data = pd.read_csv(reference / "data" / f"glimix_{name}_{kind}.csv")
    K = pd.read_csv(reference / "data" / f"glimix_lmm_{kind}_K.csv").to_numpy()
    return data.assign(id=range(len(data))), K


@pytest.mark.parametrize("objective", ["ml", "reml"])
def test_likelihood_of_normal_responses(kind: str, objective: str, reference: Path, expected: Callable) -> None:
    """Reference for REML is the dense computation beside glimix-core's, which leaves out a constant."""
    data, K = read(reference, "lmm", kind)
    fit = bg.Model(f"y ~ 0 + x0 + x1 + {TERM}", data, cov={"K": K}).fit("laplace", objective=objective)
    numbers = expected("glimix_lmm")[f"{kind}_LMM_{objective.upper()}"]
    dense = numbers["direct_dense"]
    assert fit.loglik == pytest.approx(dense["lml"], abs=1e-5)
    np.testing.assert_allclose(fit.varcorr()["estimate"] ** 2, [dense["v0"], dense["v1"]], rtol=1e-4)
    np.testing.assert_allclose(fit.summary()["estimate"].iloc[:2], numbers["beta"], atol=1e-6)
    # Theirs is given the variances; by maximum likelihood ours counts that these are estimates, too.
    close = 1e-4 if objective == "reml" else 0.02
    np.testing.assert_allclose(fit.summary()["se"].iloc[:2] ** 2, np.diag(numbers["beta_covariance"]), rtol=close)


def test_known_variances_by_row_beside_a_known_covariance(kind: str, reference: Path, expected: Callable) -> None:
    """The heterogeneous normal: y ~ N(X beta, v0 K + v1 I + diag(obs_var))."""
    data, K = read(reference, "hetnormal", kind)
    data["weight"] = 1.0 / data["obs_var"]
    formula, fixed = f"y ~ 0 + x0 + x1 + {TERM} + (1 | id)", {"sigma": bg.Prior("Fixed", 1.0)}
    fit = bg.Model(formula, data, weights="weight", priors=fixed, cov={"K": K}).fit("laplace", objective="ml")
    numbers = expected("glimix_lmm")[f"{kind}_GLMMNormal"]
    assert fit.loglik == pytest.approx(numbers["lml"], abs=1e-5)
    np.testing.assert_allclose(fit.varcorr()["estimate"][:2] ** 2, [numbers["v0"], numbers["v1"]], rtol=1e-4)
    np.testing.assert_allclose(fit.summary()["estimate"].iloc[:2], numbers["beta"], atol=1e-5)


def test_the_factor_of_a_matrix_of_low_rank(
    reference: Path, expected: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K = G G' with 80 columns for 120 individuals, taken by the columns: singular without a floor, so to 1e-7."""
    monkeypatch.setattr("bayesglmm.covariances.known.FEW", 1.0)
    data, K = read(reference, "lmm", "lowrank")
    values, vectors = np.linalg.eigh(K)
    G = bg.known_factor((vectors * np.sqrt(np.maximum(values, 0.0)))[:, values > 1e-10 * values[-1]])
    model = bg.Model(f"y ~ 0 + x0 + x1 + {TERM}", data, cov={"K": G})
    assert model.problem.latent is not model.problem
    for objective in ("ml", "reml"):
        dense = expected("glimix_lmm")[f"lowrank_LMM_{objective.upper()}"]["direct_dense"]
        fit = model.fit("laplace", objective=objective)
        assert fit.loglik == pytest.approx(dense["lml"], abs=1e-7)
        np.testing.assert_allclose(fit.varcorr()["estimate"] ** 2, [dense["v0"], dense["v1"]], rtol=1e-4)
    data, _ = read(reference, "hetnormal", "lowrank")
    data["weight"] = 1.0 / data["obs_var"]
    formula, fixed = f"y ~ 0 + x0 + x1 + {TERM} + (1 | id)", {"sigma": bg.Prior("Fixed", 1.0)}
    fit = bg.Model(formula, data, weights="weight", priors=fixed, cov={"K": G}).fit("laplace", objective="ml")
    numbers = expected("glimix_lmm")["lowrank_GLMMNormal"]
    assert fit.loglik == pytest.approx(numbers["lml"], abs=1e-5)
    np.testing.assert_allclose(fit.varcorr()["estimate"][:2] ** 2, [numbers["v0"], numbers["v1"]], rtol=1e-4)


def test_the_heterogeneous_normal_before_fitting(kind: str, reference: Path, expected: Callable) -> None:
    """Its start is v0 = v1 = 1/2 and the coefficients that are best there, by the exact likelihood."""
    from bayesglmm.engines.kernels.objective import LaplaceObjective

    data, K = read(reference, "hetnormal", kind)
    data["weight"] = 1.0 / data["obs_var"]
    formula, fixed = f"y ~ 0 + x0 + x1 + {TERM} + (1 | id)", {"sigma": bg.Prior("Fixed", 1.0)}
    model = bg.Model(formula, data, weights="weight", priors=fixed, cov={"K": K})
    objective = LaplaceObjective(LatentView(model.problem), "ml")
    psi = np.array([0.5 * np.log(0.5), 0.5 * np.log(0.5), 0.0, 0.0])
    found = objective.mode(psi).log_marginal
    assert found == pytest.approx(expected("glimix_lmm")[f"{kind}_GLMMNormal"]["lml_before"], abs=1e-4)

"""Expectation propagation: against numerical integration, glimix-core's numbers, and Laplace where that is exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.engines.kernels.ep import EPObjective
from bayesglmm.engines.kernels.ep_cells import Cells, cells_of
from bayesglmm.engines.kernels.ep_sites import Schedule
from bayesglmm.engines.kernels.ep_tilted import Cavity, tilted_moments
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import Search
from bayesglmm.errors import InterruptedFitError, SettingsError
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import pattern

CBPP = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
PRIORS = {
    "Intercept": bg.Prior("Normal", mu=0, sigma=2.5),
    "fixed": bg.Prior("Normal", mu=0, sigma=2.5),
    "sd": bg.Prior("HalfNormal", sigma=1),
}
TIGHT = Schedule(tolerance=1e-9)


def one_group(family: str = "bernoulli", rows: int = 4, seed: int = 0, **options: Any) -> bg.Model:
    """Two groups; rows differ in x, so that every row is a cell."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=2 * rows)
    draw = {
        "bernoulli": lambda: (rng.uniform(size=2 * rows) < 0.7).astype(int),
        "poisson": lambda: rng.poisson(2.0, 2 * rows),
        "student_t": lambda: rng.standard_t(3, 2 * rows),
        "gaussian": lambda: rng.normal(size=2 * rows),
        "negative_binomial": lambda: rng.poisson(rng.gamma(2.0, 1.5, 2 * rows)),
        "cumulative": lambda: np.tile([1, 2, 3], rows)[: 2 * rows],
    }
    data = pd.DataFrame({"y": draw[family](), "x": x, "g": np.repeat(["a", "b"], rows)})
    return bg.Model("y ~ x + (1 | g)", data, family=family, **options)


def binary(groups: int, rows: int, sd: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, treated = np.repeat(np.arange(groups), rows), np.repeat(rng.permutation(groups) % 2, rows)
    eta = -0.5 + treated + rng.normal(0, sd, groups)[g]
    y = (rng.uniform(size=len(g)) < special.expit(eta)).astype(int)
    return pd.DataFrame({"g": [f"g{i}" for i in g], "treated": treated, "y": y})


# one dimension ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "link"),
    [
        ("bernoulli", "probit"),
        ("bernoulli", "logit"),
        ("poisson", "log"),
        ("student_t", "identity"),
        ("gaussian", "identity"),
    ],
)
def test_tilted_moments_are_those_of_a_fine_grid(family: str, link: str) -> None:
    """Cavity variances from 0.05 to 1,000, ranges that are far too wide at first."""
    view = LatentView(one_group(family, rows=6, link=link).problem)
    phi = view.dispersions(view.natural(view.initial_theta))
    rng, n = np.random.default_rng(3), len(view.elementwise.y)
    mean, variance = rng.normal(0, 2, n), np.exp(rng.uniform(-3, 7, n))
    # Twice the same rows: cells of two have no closed form.
    for cells in (Cells(view.elementwise, np.arange(n)), Cells(view.elementwise, np.arange(n) // 2)):
        c = cells.count
        found = tilted_moments(cells, phi, Cavity(mean[:c], variance[:c], mean[:c], np.sqrt(variance[:c])))
        for i in range(c):
            sd = np.sqrt(variance[i])
            grid = np.linspace(mean[i] - 12 * sd, mean[i] + 12 * sd, 100_001)
            rows = np.flatnonzero(cells.index == i)
            value = sum(view.elementwise.rows([row]).many(grid[None, :, None], phi).value[:, 0] for row in rows)
            log_density = value + stats.norm.logpdf(grid, mean[i], sd)
            weight = np.exp(log_density - log_density.max())
            total = weight.sum()
            centre = weight @ grid / total
            spread = weight @ (grid - centre) ** 2 / total
            exact = log_density.max() + np.log(total * (grid[1] - grid[0]))
            assert abs(found.log_normaliser[i] - exact) < 1e-6
            assert abs(found.mean[i] - centre) < 1e-6 * np.sqrt(spread)
            assert abs(found.variance[i] / spread - 1) < 1e-5


def scalar_ep(offsets: Any, y: Any, sd: float) -> float:
    """Textbook EP for one normal effect and bernoulli rows, one site after the other, on a grid: log Z."""
    grid = np.linspace(-60, 60, 20_001)
    step, k = grid[1] - grid[0], len(y)
    tau, nu = np.zeros(k), np.zeros(k)

    def tilted(i: int) -> tuple[float, float, float, float, float]:
        precision, shift = 1 / sd**2 + tau.sum() - tau[i], nu.sum() - nu[i]
        likelihood = -np.logaddexp(0, -(2 * y[i] - 1) * (offsets[i] + grid))
        weight = np.exp(likelihood + stats.norm.logpdf(grid, shift / precision, precision**-0.5))
        total = weight.sum() * step
        mean = (weight @ grid) * step / total
        return precision, shift, total, mean, (weight @ (grid - mean) ** 2) * step / total

    for _ in range(60):
        for i in range(k):
            precision, shift, _, mean, variance = tilted(i)
            tau[i], nu[i] = 1 / variance - precision, mean / variance - shift
    P, N = 1 / sd**2 + tau.sum(), nu.sum()
    log_z = -0.5 * np.log(sd**2 * P) + 0.5 * N**2 / P
    for i in range(k):
        precision, shift, total, _, _ = tilted(i)
        log_z += np.log(total) + 0.5 * (np.log(P / precision) + shift**2 / precision - N**2 / P)
    return float(log_z)


def exact_evidence(offsets: Any, y: Any, sd: float) -> float:
    grid = np.linspace(-10 * sd, 10 * sd, 20_001)
    value = sum(-np.logaddexp(0, -(2 * own - 1) * (offset + grid)) for offset, own in zip(offsets, y, strict=True))
    return float(np.log(np.exp(value + stats.norm.logpdf(grid, 0, sd)).sum() * (grid[1] - grid[0])))


@pytest.mark.parametrize("sd", [0.5, 2.0, 5.0])
def test_log_z_is_that_of_the_textbook_algorithm(sd: float) -> None:
    model = one_group(rows=4, seed=4)
    objective = EPObjective(LatentView(model.problem), "ml", TIGHT)
    beta = np.array([0.3, -0.8])
    found = objective.mode(np.array([np.log(sd), *beta]))
    data = model.design.data
    by_hand, exact = 0.0, 0.0
    for _, rows in data.groupby("g"):
        offsets, y = (beta[0] + beta[1] * rows["x"]).to_numpy(), rows["y"].to_numpy()
        by_hand += scalar_ep(offsets, y, sd)
        exact += exact_evidence(offsets, y, sd)
    assert abs(found.log_marginal - by_hand) < 1e-6
    laplace = LaplaceObjective(objective.view, "ml").mode(np.array([np.log(sd), *beta])).log_marginal
    assert abs(found.log_marginal - exact) < 0.25 * abs(laplace - exact)


def test_rows_with_one_predictor_share_a_site_which_makes_them_exact() -> None:
    """Nothing but the group moves the predictor: one site a group, and EP's log Z is the evidence."""
    data = binary(20, 4, 3.0, seed=4)
    model = bg.Model("y ~ treated + (1 | g)", data, family="bernoulli")
    objective = EPObjective(LatentView(model.problem), "ml")
    assert cells_of(objective.structure).count == 20
    psi = np.array([np.log(3.0), -0.4, 0.9])
    exact = sum(
        exact_evidence((-0.4 + 0.9 * own["treated"]).to_numpy(), own["y"].to_numpy(), 3.0)
        for _, own in data.groupby("g")
    )
    assert abs(objective.mode(psi).log_marginal - exact) < 1e-6
    assert abs(LaplaceObjective(objective.view, "ml").mode(psi).log_marginal - exact) > 0.5


# the fixed point ----------------------------------------------------------------------------------------------------


def test_gaussian_models_are_exact(dataset: Callable) -> None:
    view = LatentView(bg.Model("Reaction ~ Days + (1 | Subject)", dataset("sleepstudy")).problem)
    theta = view.initial_theta
    ep, laplace = EPObjective(view), LaplaceObjective(view)
    one, two = ep.mode(theta), laplace.mode(theta)
    assert one.iterations == 1
    assert abs(one.log_marginal - two.log_marginal) < 1e-8 * abs(two.log_marginal)
    np.testing.assert_allclose(one.x, two.x, atol=1e-6)
    np.testing.assert_allclose(ep.gradient(one), laplace.gradient(two), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ep.jacobian(one), laplace.jacobian(two), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["posterior", "ml"])
@pytest.mark.parametrize("family", ["bernoulli", "poisson", "student_t", "negative_binomial", "cumulative"])
def test_gradient_is_that_of_differences(family: str, kind: Any) -> None:
    """At the fixed point log Z is stationary in the sites, so that they may be held; differences are good to 1e-6."""
    objective = EPObjective(LatentView(one_group(family, rows=9, seed=1).problem), kind, TIGHT)
    psi = np.linspace(-0.3, 0.4, objective.size)
    if family == "cumulative":
        psi[: objective.theta_size] = objective.view.initial_theta + 0.1
    here = objective.mode(psi)
    gradient = objective.gradient(here)
    assert len(gradient) == objective.size
    for j in range(objective.size):
        step = np.zeros(objective.size)
        step[j] = 1e-4
        up, down = (objective.mode(psi + sign * step, here).log_marginal for sign in (1, -1))
        assert abs(gradient[j] - (up - down) / 2e-4) < 1e-5 * (1 + abs(gradient[j]))


def test_gradient_of_blocks_in_precision_form() -> None:
    """The AR(1) process has x = b and Q(theta): its gradient goes through log |Q| and the entries of H^-1."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(8), 6), rng.normal(size=48)
    y = rng.poisson(np.exp(0.3 + 0.4 * x + rng.normal(0, 0.6, 8)[g]))
    data = pd.DataFrame({"g": g.astype(str), "x": x, "time": pd.Categorical(np.tile(np.arange(6), 8)), "y": y})
    objective = EPObjective(
        LatentView(bg.Model("y ~ x + ar1(0 + time | g)", data, family="poisson").problem), schedule=TIGHT
    )
    assert [part.role for part in objective.view.parts] == ["fixed", "precision"]
    theta = objective.view.initial_theta + 0.1
    here = objective.mode(theta)
    gradient = objective.gradient(here)
    for j, step in enumerate(1e-4 * np.eye(len(theta))):
        up, down = (objective.mode(theta + sign * step, here).log_marginal for sign in (1, -1))
        assert abs(gradient[j] - (up - down) / 2e-4) < 1e-5 * (1 + abs(gradient[j]))


def test_sparse_and_dense_factors_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crossed factors, whose inverse's entries come from the recursion of Takahashi, or from LAPACK."""
    rng = np.random.default_rng(1)
    a, b, x = rng.integers(0, 60, 500), rng.integers(0, 50, 500), rng.normal(size=500)
    eta = x + rng.normal(0, 1.0, 60)[a] + rng.normal(0, 1.0, 50)[b]
    y = (rng.uniform(size=500) < special.expit(eta)).astype(int)
    data = pd.DataFrame({"y": y, "x": x, "a": a.astype(str), "b": b.astype(str)})
    problem = bg.Model("y ~ x + (1 | a) + (1 | b)", data, family="bernoulli", link="probit").problem
    arrow = EPObjective(LatentView(problem))
    assert arrow.structure.pattern.layout is None
    # As if every second counted: the analysis is made, and sparse columns cost nothing.
    monkeypatch.setattr(pattern, "QUICK", 0.0)
    monkeypatch.setattr("bayesglmm.linalg.sparse.RATES", (1e12, 1e6))
    crossed = EPObjective(LatentView(problem))
    assert crossed.structure.pattern.layout is not None
    theta = arrow.view.initial_theta
    one, two = arrow.mode(theta), crossed.mode(theta)
    assert two.log_marginal == pytest.approx(one.log_marginal, rel=1e-10)
    np.testing.assert_allclose(two.x, one.x, atol=1e-7)
    np.testing.assert_allclose(crossed.gradient(two), arrow.gradient(one), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", ["bernoulli", "poisson", "student_t"])
def test_sequential_updates_find_the_same_fixed_point(family: str) -> None:
    view = LatentView(one_group(family, rows=12, seed=5).problem)
    parallel = EPObjective(view).mode(view.initial_theta)
    sequential = EPObjective(view, schedule=Schedule("sequential")).mode(view.initial_theta)
    damped = EPObjective(view, schedule=Schedule(damping=0.5)).mode(view.initial_theta)
    for other in (sequential, damped):
        assert other.converged
        assert abs(parallel.log_marginal - other.log_marginal) < 1e-8
        np.testing.assert_allclose(parallel.x, other.x, atol=1e-5)
    # Gauss-Seidel needs fewer sweeps than Jacobi, and half steps need more.
    assert sequential.iterations <= parallel.iterations < damped.iterations


def test_likelihoods_that_are_not_log_concave_have_negative_sites() -> None:
    """An outlier far from where the others put the group: its site tells nothing of it, or less."""
    data = pd.DataFrame({"y": [0.1, -0.2, 0.0, 9.0, 1.0, 1.2, 0.9, 1.1], "g": np.repeat(["a", "b"], 4)})
    priors = {"sigma": bg.Prior("Fixed", 0.5), "nu": bg.Prior("Fixed", 3.0)}
    view = LatentView(
        bg.Model(
            "y ~ 1 + x + (1 | g)", data.assign(x=np.linspace(-1, 1, 8)), family="student_t", priors=priors
        ).problem
    )
    objective = EPObjective(view, "ml")
    psi = np.array([0.0, 0.3, 0.2])
    found = objective.mode(psi)
    assert found.converged
    assert found.sites.precision.min() < 0.0
    grid = np.linspace(-12, 12, 20_001)
    exact = 0.0
    for group in ("a", "b"):
        own = (data["g"] == group).to_numpy()
        eta = 0.3 + 0.2 * np.linspace(-1, 1, 8)[own] + grid[:, None]
        value = stats.t.logpdf((data["y"].to_numpy()[own] - eta) / 0.5, 3.0).sum(axis=1) - 4 * np.log(0.5)
        exact += np.log(np.exp(value + stats.norm.logpdf(grid)).sum() * (grid[1] - grid[0]))
    assert abs(found.log_marginal - exact) < 0.01


# against other programs ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def glimix(expected: Callable, reference: Path) -> tuple[Any, EPObjective]:
    """The documented example of glimix-core: a known covariance K as K = L L', random effects of L's columns.

    A row of weight zero gives the second level that a grouping factor must have.
    """
    data, K = (pd.read_csv(reference / "data" / f"{name}.csv") for name in ("glimix_doc", "glimix_doc_K"))
    names = [f"l{j}" for j in range(len(K))]
    data = pd.concat([data, pd.DataFrame(np.linalg.cholesky(K.to_numpy()), columns=names)], axis=1)
    data = data.assign(all="a", row=[f"r{i}" for i in range(len(K))], weight=1.0)
    none = dict.fromkeys(data.columns, 0.0) | {"ntrials": 1, "all": "b", "row": "none"}
    data = pd.concat([data, pd.DataFrame([none])], ignore_index=True)
    formula = f"successes | trials(ntrials) ~ 0 + x0 + x1 + iid(0 + {' + '.join(names)} | all) + (1 | row)"
    model = bg.Model(formula, data, family="binomial", likelihood_weights="weight")
    return expected("glimix_doc"), EPObjective(LatentView(model.problem), "ml")


def glimix_psi(numbers: Any) -> Any:
    return np.array([0.5 * np.log(numbers["v0"]), 0.5 * np.log(numbers["v1"]), *numbers["beta"]])


def test_log_evidence_is_glimix_cores(glimix: tuple[Any, EPObjective]) -> None:
    """Before fitting -16.40, after it -13.43, and on a grid; another quadrature there, so 1e-4 and not rounding."""
    numbers, objective = glimix
    points = [numbers["before"], numbers["after"], *numbers["pointwise"]]
    assert len(points) == 11
    for point in points:
        theirs = point.get("lml_ep", point.get("lml"))
        assert abs(objective.mode(glimix_psi(point)).log_marginal - theirs) < 1e-4


def test_log_evidence_is_highest_where_glimix_core_ends(glimix: tuple[Any, EPObjective]) -> None:
    """From its start values: within 2 percent of its estimates, and 1e-3 of its maximum. v1 is next to nothing."""
    numbers, objective = glimix
    search = Search(objective)
    start = search.point(glimix_psi(numbers["before"]))
    assert start is not None
    found, _, converged = search.climb(start, np.diag([0.3, 0.3, 1.0, 1.0]), 100)
    assert converged
    theirs = numbers["after"]
    assert abs(found.value - theirs["lml"]) < 1e-3
    np.testing.assert_allclose(np.exp(2 * found.psi[0]), theirs["v0"], rtol=0.02)
    np.testing.assert_allclose(found.psi[2:], theirs["beta"], rtol=0.02)


def test_evidence_of_expectation_propagation_is_the_better_one(glimix: tuple[Any, EPObjective]) -> None:
    numbers, objective = glimix
    laplace = LaplaceObjective(objective.view, "ml")
    for point in numbers["pointwise"]:
        psi, exact = glimix_psi(point), point["lml_importance"]
        noise = 3 * point["importance_se"]
        assert abs(objective.mode(psi).log_marginal - exact) < 0.01 + noise
        assert abs(laplace.mode(psi).log_marginal - exact) > 0.03 - noise


def test_pointwise_likelihood_of_cbpp(expected: Callable, dataset: Callable) -> None:
    """Against numerical integration: four rows a herd, of which each has a site, halve the error of Laplace."""
    objective = EPObjective(LatentView(bg.Model(CBPP, dataset("cbpp"), family="binomial").problem), "ml")
    points = [point for point in expected("cbpp")["laplace_pointwise"]["points"] if point["theta"] > 0.4]
    assert len(points) > 10
    for point in points:
        found = objective.mode(np.array([np.log(point["theta"]), *point["beta"]])).log_marginal
        exact, laplace = point["loglik_exact_integrate"], point["loglik_laplace"]
        assert abs(found - exact) < 0.64 * abs(laplace - exact), point["theta"]


# fits ---------------------------------------------------------------------------------------------------------------


def run(model: bg.Model, engine: str, seed: int = 1, **settings: Any) -> Any:
    chosen = ENGINES.get(engine)
    return chosen.run(model.problem, chosen.configure(**settings), seed)


def test_posterior_of_cbpp_is_closer_to_the_exact_one_than_laplaces(expected: Callable, dataset: Callable) -> None:
    """20,000 draws leave 0.5 percent of an sd and 0.007 sd of a mean; the reference, 24,000, about as much."""
    exact = expected("exact_cbpp")
    model = bg.Model(CBPP, dataset("cbpp"), family="binomial", priors=PRIORS)
    errors = {}
    for engine in ("laplace", "ep"):
        found = run(model, engine, draws=5000, resample=False)
        draws = [*found.draws["beta"].reshape(-1, 4).T, found.draws["sd_herd"].ravel()]
        theirs = [exact["posterior_exact"][name] for name in ("Intercept", "period2", "period3", "period4", "sd")]
        errors[engine] = [
            np.mean([abs(own.mean() - one["mean"]) / one["sd"] for own, one in zip(draws, theirs, strict=True)]),
            np.mean([abs(own.std() / one["sd"] - 1) for own, one in zip(draws, theirs, strict=True)]),
            abs(found.numbers["log_evidence"] - exact["mlik_exact"]),
        ]
    assert errors["ep"][0] < errors["laplace"][0]
    assert errors["ep"][1] < errors["laplace"][1]
    assert errors["ep"][2] < errors["laplace"][2]
    assert errors["ep"][0] < 0.02
    assert errors["ep"][1] < 0.02
    assert errors["ep"][2] < 0.05


def test_few_binary_rows_per_group() -> None:
    """Four rows per group and a large sd: Laplace's posterior of the sd is too low, EP's is that of quadrature."""
    model = bg.Model("y ~ treated + (1 | g)", binary(80, 4, 2.5, seed=5), family="bernoulli")
    found = {
        "laplace": run(model, "laplace", resample=False),
        "quadrature": run(model, "laplace", quadrature=25, resample=False),
        "ep": run(model, "ep", resample=False),
    }
    sd = {name: own.draws["sd_g"].ravel() for name, own in found.items()}
    apart = {name: (draws.mean() - sd["quadrature"].mean()) / sd["quadrature"].std() for name, draws in sd.items()}
    assert apart["laplace"] < -0.3
    assert abs(apart["ep"]) < 0.08
    assert abs(sd["ep"].std() / sd["quadrature"].std() - 1) < 0.06
    assert found["laplace"].quality.verdict == "bad"
    assert found["ep"].quality.verdict == "good"
    assert abs(found["ep"].numbers["log_evidence"] - found["quadrature"].numbers["log_evidence"]) < 0.1


def test_fit_looks_like_that_of_other_engines(cbpp_model: bg.Model) -> None:
    fit, other = (cbpp_model.fit(engine, seed=1, draws=200) for engine in ("ep", "laplace"))
    assert set(fit.data.children) == set(other.data.children)
    assert {name: value.dims for name, value in fit.data["posterior"].data_vars.items()} == {
        name: value.dims for name, value in other.data["posterior"].data_vars.items()
    }
    assert list(fit.summary().index) == list(other.summary().index)
    assert np.isfinite(fit.log_evidence)
    assert fit.khat < 0.7
    assert str(fit.verdict).startswith("good: Expectation propagation is good here.")
    assert "aplace" not in f"{fit.verdict} {' '.join(fit.notes)} {fit.diagnose().to_string()}"
    again = cbpp_model.fit("ep", seed=1, draws=200)
    assert fit.data["posterior"].equals(again.data["posterior"])


@pytest.mark.slow
def test_rows_with_covariates_of_their_own() -> None:
    """A site per row: half of Laplace's error is left. The verdict sees it, and resampling mends it."""
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(60), 4), rng.normal(size=240)
    y = (rng.uniform(size=240) < special.expit(x + rng.normal(0, 2.5, 60)[g])).astype(int)
    model = bg.Model("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g.astype(str)}), family="bernoulli")
    exact = model.fit("laplace", seed=1, quadrature=25, resample=False).draws["sd_g"]
    laplace = model.fit("laplace", seed=1, resample=False).draws["sd_g"]
    fit = model.fit("ep", seed=1, resample=False)
    error = {"laplace": float(laplace.mean() - exact.mean()), "ep": float(fit.draws["sd_g"].mean() - exact.mean())}
    assert error["laplace"] < -0.4 * float(exact.std())
    assert abs(error["ep"]) < 0.6 * abs(error["laplace"])
    assert fit.verdict.word == "check"
    assert "Correcting expectation propagation would move" in str(fit.verdict)
    assert 'model.fit("ep", resample=True)' in str(fit.verdict)
    mended = model.fit("ep", seed=1)  # resampled unasked, for the verdict would be "check"
    assert mended.verdict.word == "good"
    assert abs(float(mended.draws["sd_g"].mean() - exact.mean())) < 0.15 * float(exact.std())


# what is refused ----------------------------------------------------------------------------------------------------


def test_several_predictors_are_refused(dataset: Callable) -> None:
    model = bg.Model(["Reaction ~ Days + (1 | Subject)", "sigma ~ Days"], dataset("sleepstudy"))
    with pytest.raises(SettingsError, match=r'this model has 2: mu, sigma. Use model.fit\("laplace"\)'):
        model.fit("ep")


def test_flat_priors_are_refused(dataset: Callable) -> None:
    model = bg.Model(CBPP, dataset("cbpp"), family="binomial", priors="flat")
    with pytest.raises(
        SettingsError, match=r"needs proper priors on coefficients, and that on .*Intercept.* is flat"
    ):
        model.fit("ep")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "random"}, 'schedule must be "parallel" or "sequential"'),
        ({"damping": 0.0}, "damping must be a number above 0 and at most 1"),
        ({"damping": True}, "damping must be a number"),
        ({"tolerance": 0.1}, "tolerance must be a number above 0 and at most 0.001"),
        ({"sweeps": 0}, "sweeps must be an integer of at least 1"),
        ({"objective": "reml"}, 'expectation propagation knows "posterior" and "ml"'),
        ({"objective": "map"}, 'objective must be "posterior" or "ml"'),
        ({"points": 2}, "points must be an integer of at least 8"),
        ({"resample": "no"}, 'resample must be True, False or "auto"'),
        ({"damp": 0.5}, "has no setting 'damp'. Did you mean 'damping'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ENGINES.get("ep").configure(**settings)


def test_sequential_updates_of_large_models_are_refused() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.integers(0, 2, 2000), "g": np.arange(2000) // 2})
    model = bg.Model("y ~ 1 + (1 | g)", data, family="bernoulli")
    with pytest.raises(SettingsError, match=r"1001 coefficients for each of 2000 rows.*parallel"):
        model.fit("ep", schedule="sequential")


def test_a_search_without_end_says_so() -> None:
    """One sweep is not enough, and what was reached is no result."""
    with pytest.raises(ArithmeticError, match="by expectation propagation: no fixed point"):
        one_group(rows=6).fit("ep", sweeps=1)


def test_an_interrupted_fit_says_how_far_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from bayesglmm.engines import ep

    def interrupt(self: Any, evaluations: int, value: float) -> None:
        self.evaluations = evaluations
        raise KeyboardInterrupt

    monkeypatch.setattr(ep.Progress, "report", interrupt)
    with pytest.raises(InterruptedFitError, match=r"Interrupted: Expectation propagation, .*1 evaluations"):
        one_group(rows=6).fit("ep", draws=10, seed=1)

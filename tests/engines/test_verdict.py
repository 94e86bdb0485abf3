"""The verdict of the Laplace engine and importance resampling: against dense computations, quadrature and NUTS."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.engines.kernels import verdict
from bayesglmm.engines.kernels.blockwise import BlockRatio
from bayesglmm.engines.kernels.cumulants import correct
from bayesglmm.engines.kernels.grouped import GroupedRatio
from bayesglmm.engines.kernels.nested import Exploration
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.optimum import maximise
from bayesglmm.engines.kernels.skewness import conditional_skewness
from bayesglmm.engines.kernels.verdict import after_resampling, assess
from bayesglmm.errors import SettingsError
from bayesglmm.graph.latent import LatentView
from bayesglmm.linalg import NotPositiveDefiniteError

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "benchmarks"))
from verdict_cases import CASES, crossed, grouped, nested  # noqa: E402
from verdict_table import TABLE, markdown  # noqa: E402

KNOWN = pd.read_csv(TESTS / "reference" / "verdict" / "truth.csv").set_index(["case", "parameter"])


def explored(model: bg.Model, points: int = 16) -> Exploration:
    view = LatentView(model.problem)
    return Exploration(LaplaceObjective(view), maximise(view), points, seed=1)


def at_support(found: Exploration, cells: list[int]) -> tuple[Any, Any]:
    psi = found.points[cells]
    return BlockRatio(found).draw(psi, np.zeros(len(cells)), np.array(cells), np.random.default_rng(4))


MODELS = {
    "one factor": ("y ~ x + (1 | g)", grouped("binary", 8, 4, 1.5)),
    "slopes": ("y ~ x + (1 + x | g)", grouped("binary", 8, 6, 1.5)),
    "nested": ("y ~ x + (1 | g/h)", nested("binary", 5, 3, 3, (1.0, 1.0), 0.0)),
    "crossed": ("y ~ x + (1 | a) + (1 | b)", crossed("binary", 9, 5, None, (1.0, 1.0), 0.0)),
    "no groups": ("y ~ x", grouped("binary", 8, 4, 1.0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_joint_ratio_is_that_of_a_dense_normal_density(name: str) -> None:
    """log p(y, x, theta) of the structured view against scipy's N(mean, H^-1): both are closed forms."""
    formula, data = MODELS[name]
    found = explored(bg.Model(formula, data(), family="bernoulli"))
    cells = [0, 0] if name == "no groups" else [1, 1, 3]
    drawn, ratios = at_support(found, cells)
    view, size = found.objective.view, found.objective.view.size
    for i, (psi, x) in enumerate(zip(drawn.psi, drawn.x, strict=True)):
        here = found.support[cells[i // 2]]
        covariance = here.mode.factor.solve(np.eye(size))
        log_q = stats.multivariate_normal(here.centre, 0.5 * (covariance + covariance.T)).logpdf(x)
        assert ratios.joint[i] == pytest.approx(view.log_joint(x, psi) - log_q, abs=1e-7)


def test_shared_ratio_is_that_of_quadrature_at_the_modes() -> None:
    """A level's integral by nodes around its approximate mean, and by 25 nodes around its mode given beta."""
    found = explored(bg.Model("y ~ x + (1 | g)", grouped("binary", 8, 4, 1.5)(), family="bernoulli"))
    cells = [1, 2, 5]
    drawn, ratios = at_support(found, cells)
    exact, prior = GroupedRatio(found.objective, 25), found.objective.view.log_prior_draws(drawn.psi)
    for i, x in enumerate(drawn.x):
        here = found.support[cells[i // 2]]
        own = exact(exact.marginal(here.mode, here.centre), x[exact.at], float(prior[i]))
        assert ratios.shared[i] == pytest.approx(own, abs=0.01)


def test_levels_by_draws_and_by_nodes_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 400 draws per level the logarithm of the mean ratio errs by 0.01 once its first order is known."""
    found = explored(bg.Model("y ~ x + (1 | g)", grouped("binary", 8, 6, 1.0)(), family="bernoulli"))
    nodes = at_support(found, [1, 2, 5])[1].shared
    monkeypatch.setattr(LaplaceObjective, "level_nodes", {0: 0})
    monkeypatch.setattr("bayesglmm.engines.kernels.blockwise._LOCAL", 400)
    # The same random numbers for what is shared: they are drawn first, once for each pair.
    by_draws = BlockRatio(found)
    assert len(by_draws.grid) == 0
    cells = np.array([1, 2, 5])
    values = []
    for cell in cells:
        one = BlockRatio(found)
        own = np.random.default_rng(9)
        values.append(one.draw(found.points[[cell]], np.zeros(1), np.array([cell]), own)[1].shared[0])
    monkeypatch.undo()
    for cell, value in zip(cells, values, strict=True):
        own = np.random.default_rng(9)
        exact = BlockRatio(found).draw(found.points[[cell]], np.zeros(1), np.array([cell]), own)[1].shared[0]
        assert value == pytest.approx(exact, abs=0.05)
    assert np.all(np.isfinite(nodes))


@pytest.mark.parametrize("name", ["one factor", "slopes", "crossed"])
def test_skewness_is_the_sum_of_cubes_over_rows(name: str) -> None:
    """Population coefficients: all rows, exactly. Levels: their own rows, which hold nearly all of it."""
    formula, data = MODELS[name]
    found = explored(bg.Model(formula, data(), family="bernoulli"))
    mode, objective = found.optimum.mode, found.objective
    own = conditional_skewness(objective, mode)
    covariance = mode.factor.solve(np.eye(objective.view.size))
    third = objective.view.elementwise(list(mode.work.etas), mode.work.phi, 2).d3[0, 0, 0]
    A = np.array([mode.work.rows.eta(unit)[0] for unit in np.eye(objective.view.size)]).T
    dense = ((A @ covariance) ** 3 * third[:, None]).sum(axis=0) / np.diag(covariance) ** 1.5
    np.testing.assert_allclose(own[:2], dense[:2], rtol=1e-8)
    np.testing.assert_allclose(own[2:], dense[2:], atol=0.15)
    assert np.corrcoef(own[2:], dense[2:])[0, 1] > 0.9


def test_a_gaussian_model_has_neither_skewness_nor_ratios() -> None:
    found = explored(bg.Model("y ~ x + (1 | g)", grouped("gaussian", 8, 6, 1.0)()))
    quality = assess(found)
    assert quality.verdict == "good"
    assert quality.details["skewness"][1] == pytest.approx(0.0, abs=1e-12)
    assert max(map(abs, quality.shifts.values())) < 1e-6
    assert quality.advice == ""


def test_failed_searches_are_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bg.Model("y ~ x + (1 | g)", grouped("gaussian", 8, 6, 1.0)())
    view = LatentView(model.problem)
    objective, optimum, calls = LaplaceObjective(view), maximise(view), []
    search = objective.mode

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(arguments) == 3 and len(calls) % 5 == 0:
            raise NotPositiveDefiniteError("no maximum")
        return search(*arguments)

    monkeypatch.setattr(objective, "mode", failing)
    found = Exploration(objective, optimum, 32, seed=1)
    assert 0 < found.failures < 10
    quality = assess(found)
    assert quality.verdict == "check"
    assert f"No conditional mode was found at {found.failures} hyperparameter points." in quality.sentences
    assert quality.advice.startswith("Compare with")


def two_modes() -> bg.Model:
    """Half of the rows of a group at -3, half at 3, little noise, heavy tails: its effect is one or the other."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(10), 8)
    y = rng.normal(0, 1, 10)[g] + 0.3 * rng.standard_t(3, 80)
    y[:8] = np.repeat([-3.0, 3.0], 4) + 0.3 * rng.normal(size=8)
    held = {"nu": bg.Prior("Fixed", 2.0), "sigma": bg.Prior("Fixed", 0.3)}
    return bg.Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g.astype(str)}), family="student_t", priors=held)


def test_a_second_mode_is_found_and_said() -> None:
    fit = two_modes().fit("laplace", seed=1, draws=50)
    assert fit.verdict == "check"
    assert "The posterior has a second mode (another start for the coefficients found it)" in str(fit.verdict)


POOR = next(case for case in CASES if case.name == "binary, 3 rows, sd 4")


def distances(fit: Any, case: str) -> dict[str, float]:
    """Return how far each mean is from that of NUTS (8000 draws), in its posterior standard deviations."""
    return {
        p.label: float(np.mean(p.values) - KNOWN.loc[(case, p.label), "mean"]) / KNOWN.loc[(case, p.label), "sd"]
        for p in fit.parameters
        if p.kind != "cor"
    }


def test_resampling_mends_what_laplace_gets_wrong() -> None:
    """Plain Laplace is 0.65 sd off; 1000 candidates leave an error near 0.04, NUTS one of 0.02."""
    model = POOR.model()
    plain = model.fit("laplace", seed=1)
    assert plain.verdict == "bad"
    assert min(distances(plain, POOR.name).values()) < -0.5
    assert 'model.fit("laplace", resample=True)' in plain.verdict.advice[0]
    mended = model.fit("laplace", seed=1, draws=250, resample=True)
    assert max(map(abs, distances(mended, POOR.name).values())) < 0.15
    table = mended.diagnose().set_index("check")
    worth = table.loc["resampled draws", "value"]
    assert 100 < worth < 1000
    # What was drawn twice is not two draws, and the tables know it.
    assert mended.summary()["ess_bulk"].max() < 1000
    assert plain.summary()["ess_bulk"].min() == 4000
    again = model.fit("laplace", seed=1, draws=250, resample=True)
    np.testing.assert_array_equal(again.draws["beta"], mended.draws["beta"])


def test_a_rough_fit_of_few_rows_is_resampled_unasked() -> None:
    name = "binary, 5 rows, sd 1"
    model = next(case for case in CASES if case.name == name).model()
    fit = model.fit("laplace", seed=1)
    assert fit.verdict == "good"
    assert "reweighted to the exact posterior" in str(fit.verdict)
    assert max(map(abs, distances(fit, name).values())) < 0.12
    assert model.fit("laplace", seed=1, resample=False).verdict == "check"


@pytest.mark.parametrize("name", ["poisson, small counts", "binomial of 5", "gamma", "binary, crossed, sparse"])
def test_verdict_agrees_with_nuts(name: str) -> None:
    """A few rows of the whole table, see tests/benchmarks/verdict_table.py."""
    fit = next(case for case in CASES if case.name == name).model().fit("laplace", seed=1, resample=False)
    far = max(map(abs, distances(fit, name).values()))
    assert fit.verdict == ("good" if far < 0.1 else "check" if far < 0.3 else "bad")


def test_the_table_is_honest() -> None:
    """No model that is off by 0.2 sd or more is called good, and most words are those that NUTS would give."""
    table = pd.read_csv(TESTS / "reference" / "verdict" / "table.csv")
    assert len(table) >= 30
    assert not ((table["verdict"] == "good") & (table["truth"] > 0.2)).any()
    deserved = np.array(["good", "check", "bad"])[np.searchsorted([0.1, 0.3], table["truth"])]
    assert (deserved == table["verdict"]).mean() > 0.85
    assert np.corrcoef(table["truth"], table["predicted"])[0, 1] > 0.95


def test_page_shows_the_table() -> None:
    """Made by `python tests/benchmarks/verdict_table.py page`."""
    page = (TESTS.parent / "docs" / "how-to" / "laplace-quality.md").read_text(encoding="utf-8")
    assert markdown(pd.read_csv(TABLE)) in page


def test_many_hyperparameters_are_drawn_at_their_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same posterior with and without interpolation; tails of a logarithm of an sd are what 128 points miss."""
    model = bg.Model("y ~ x + (1 + x | g)", grouped("gaussian", 30, 6, 1.0, slope_sd=0.7)())
    view = LatentView(model.problem)
    objective, optimum = LaplaceObjective(view), maximise(view)
    between = Exploration(objective, optimum, 256, seed=1)
    monkeypatch.setattr("bayesglmm.engines.kernels.nested.MANY", 2)
    at_points = Exploration(objective, optimum, 128, seed=1)
    assert between.dense
    assert not at_points.dense
    assert not at_points.even
    drawn, other = at_points.draw(4000), between.draw(4000)
    assert {tuple(row) for row in drawn.psi} <= {tuple(row) for row in at_points.points}
    for one, two in ((drawn.psi, other.psi), (drawn.x, other.x)):
        spread = two.std(axis=0)
        assert np.all(np.abs(one.mean(axis=0) - two.mean(axis=0)) < 0.15 * spread)
        assert np.all(np.abs(one.std(axis=0) / spread - 1) < 0.25)
    assert assess(at_points).verdict == "good"


def test_draws_at_few_hyperparameters_count_as_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard deviation has one value per support point; a coefficient given it is drawn anew each time."""
    model = bg.Model("y ~ x + (1 + x | g)", grouped("gaussian", 30, 6, 1.0, slope_sd=0.7)())
    assert model.fit("laplace", seed=1).summary()["ess_bulk"].min() == 4000
    monkeypatch.setattr("bayesglmm.engines.kernels.nested.MANY", 2)
    fit = model.fit("laplace", seed=1)
    points = json.loads(fit.data.attrs["quality"])["details"]["points"]
    assert len(np.unique(fit.draws["sigma"])) < 300
    table = fit.summary()
    assert points < 256
    for label in ("sd[g, Intercept]", "sd[g, x]", "sigma"):
        # An estimate by autocorrelation over some hundred values, five percent of whose variance is noise.
        assert 0.4 * points < table.loc[label, "ess_bulk"] < 2.5 * points
    assert table.loc["x", "ess_bulk"] > 3 * points
    assert table["r_hat"].isna().all()
    assert f"worth {points:.0f}" in str(fit)


@pytest.mark.slow
def test_the_error_of_means_at_few_hyperparameters_is_not_below_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 20 seeds; the points are a net, which has less error than as many independent values."""
    model = bg.Model("y ~ x + (1 + x | g)", grouped("gaussian", 30, 6, 1.0, slope_sd=0.7)())
    monkeypatch.setattr("bayesglmm.engines.kernels.nested.MANY", 2)
    fits = [model.fit("laplace", seed=seed, points=64) for seed in range(20)]
    for name, label in (("sigma", "sigma"), ("beta", "x")):
        means = np.array([np.asarray(fit.draws[name]).reshape(4000, -1)[:, -1].mean() for fit in fits])
        said = np.mean([fit.summary().loc[label, "mcse_mean"] for fit in fits])
        assert means.std(ddof=1) < 1.5 * said


def test_the_noise_of_the_verdict_follows_the_seed() -> None:
    model = bg.Model("y ~ x + (1 | g)", grouped("binary", 20, 5, 1.0)(), family="bernoulli")
    one, same, other = (model.fit("laplace", seed=seed, resample=False).data.attrs["quality"] for seed in (1, 1, 2))
    assert one == same
    first, second = (json.loads(quality) for quality in (one, other))
    for name, shift in first["shifts"].items():
        assert shift != second["shifts"][name]
        # Support points differ as well, so that the errors are no bound but a scale.
        assert abs(shift - second["shifts"][name]) < 6 * np.hypot(first["errors"][name], second["errors"][name])


def test_advice_that_cannot_be_followed_is_left_out() -> None:
    found = assess(explored(POOR.model(), 64))
    assert 'model.fit("laplace", resample=True)' in found.advice
    left = after_resampling(found, None)
    assert "resample" not in left.advice
    assert 'model.fit("nuts")' in left.advice
    assert "too uneven to mend it" in left.sentences[-1]


def test_cumulants_correct_the_hyperparameters_as_quadrature_does() -> None:
    """log E exp r of every support point against 15 nodes per level, which are exact here to 1e-4."""
    model = bg.Model("y ~ x + (1 | g)", grouped("binary", 12, 12, 1.0)(), family="bernoulli")
    found = explored(model)
    ratio, random = GroupedRatio(found.objective, 15), np.random.default_rng(1)
    prior = found.objective.view.log_prior_draws(found.points)
    exact = np.array(
        [
            ratio.log_marginal(ratio.marginal(here.mode, here.centre), float(log_prior), random) - here.height
            for here, log_prior in zip(found.support, prior, strict=True)
        ]
    )
    own = correct(found, np.random.default_rng(2))
    assert np.ptp(exact) > 0.05
    # The third cumulant is left out, and 96 draws give the second with an error of a seventh.
    np.testing.assert_allclose(own.log_mean, exact[own.at], atol=0.1 * np.abs(exact).max() + 0.02)


def test_cumulants_move_coefficients_to_their_exact_means() -> None:
    """Two coefficients and no hyperparameter: the mean is a sum over a grid."""
    data = grouped("binary", 8, 4, 1.0)()
    found = explored(bg.Model("y ~ x", data, family="bernoulli"))
    here, view = found.support[0], found.objective.view
    H = np.linalg.inv(here.mode.factor.solve(np.eye(2)))
    spread = np.sqrt(np.diag(np.linalg.inv(H)))
    axes = [here.centre[j] + spread[j] * np.linspace(-7, 7, 141) for j in range(2)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    work = here.mode.work
    height = np.array(
        [
            view.elementwise(list(work.etas + work.rows.eta(x - work.inner)), work.phi, 0).value.sum()
            - 0.5 * (x - work.prior.mean) @ work.prior.times(x)
            for x in places
        ]
    )
    weight = np.exp(height - height.max())
    exact = weight @ places / weight.sum()
    moves = correct(found, np.random.default_rng(3)).moves[0]
    assert np.all(np.abs(here.mode.x - exact) > 0.001 * spread)
    assert np.all(np.abs(here.centre + moves - exact) < 0.05 * spread)


def test_uneven_ratios_are_measured_by_cumulants_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bg.Model("y ~ x + (1 | g)", grouped("binary", 40, 30, 1.0)(), family="bernoulli")
    found = explored(model, 64)
    by_weights = assess(found)
    monkeypatch.setattr(verdict, "_UNEVEN", 0.0)
    by_cumulants = assess(found)
    assert by_cumulants.method == "cumulants"
    assert by_cumulants.verdict == by_weights.verdict == "good"
    for name, shift in by_weights.shifts.items():
        assert by_cumulants.shifts[name] == pytest.approx(shift, abs=0.05)
    assert "to second order" in " ".join(by_cumulants.sentences)
    noise = np.full(len(by_weights.shifts), 0.5)
    monkeypatch.setattr(verdict, "_by_cumulants", lambda *_: (4.0 * noise, noise))
    lost = assess(found)
    assert lost.verdict == "check"
    assert lost.sentences[0] == "Laplace's approximation could not be judged here."
    assert "could not be measured" in " ".join(lost.sentences)
    assert lost.advice == 'Compare with model.fit("laplace", quadrature=15), or model.fit("nuts").'


def test_impossible_resampling_is_refused() -> None:
    with pytest.raises(SettingsError, match="resample must be"):
        ENGINES.get("laplace").configure(resample="often")

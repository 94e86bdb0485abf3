"""Rows in parts: Laplace's approximation is the same as that of all rows at once, whoever computes the parts."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines.kernels.objective import LaplaceObjective
from bayesglmm.engines.kernels.part_work import PartWork
from bayesglmm.engines.kernels.parted import PartedObjective
from bayesglmm.engines.kernels.spectral import normal_objective
from bayesglmm.engines.modes import latent_view
from bayesglmm.errors import SettingsError
from bayesglmm.graph.parted import split
from bayesglmm.linalg import NotPositiveDefiniteError

# Sums over rows in another order: rounding, and what solving with H makes of it.
ROUNDING = 1e-10
# Draws follow the mode and its derivatives, which searches end near to within their own tolerance.
SEARCHED = 1e-8


def _made(formula: str | list[str], data: str, family: str, **given: Any) -> bg.Model:
    frame = bg.load_dataset(data)
    if data == "Contraception":
        frame["band"] = np.floor(frame["age"] / 4.0).astype(int).astype(str)
    return bg.Model(formula, frame, family=family, **given)


@pytest.fixture(scope="module")
def models() -> dict[str, bg.Model]:
    return {
        "slopes, and a factor that crosses": _made(
            "use ~ age + urban + (1 + urban | district) + (1 | band)", "Contraception", "bernoulli"
        ),
        "three factors, nested": _made(
            "TICKS ~ YEAR + HEIGHT + (1 | INDEX) + (1 | BROOD) + (1 | LOCATION)", "grouseticks", "poisson"
        ),
        "a dispersion and a smooth": _made("TICKS ~ s(cHEIGHT) + (1 | BROOD)", "grouseticks", "negative_binomial"),
        "two predictors": _made(
            ["Reaction ~ Days + (1 + Days | Subject)", "sigma ~ Days + (1 | Subject)"], "sleepstudy", "gaussian"
        ),
        "likelihood by the graph": _made(
            "Reaction ~ Days + (1 | Subject)", "sleepstudy", "student_t", priors={"nu": bg.Prior("Fixed", 4.0)}
        ),
        "trials, few levels": _made("incidence | trials(size) ~ period + (1 | herd)", "cbpp", "binomial"),
    }


NAMES = (
    "slopes, and a factor that crosses",
    "three factors, nested",
    "a dispersion and a smooth",
    "two predictors",
    "likelihood by the graph",
    "trials, few levels",
)


def _objectives(model: bg.Model, kind: Any, counts: tuple[int, ...]) -> Iterator[tuple[Any, Any]]:
    problem = model.problem
    whole = normal_objective(latent_view(problem, kind), kind)
    assert type(whole) is LaplaceObjective
    for count in counts:
        parted = replace(problem, parts=split(problem, count), workspace={})
        found = normal_objective(latent_view(parted, kind), kind)
        assert isinstance(found, PartedObjective)
        assert len(found.structure.places) == count
        yield whole, found


def _close(one: Any, other: Any, tolerance: float) -> None:
    scale = float(np.abs(one).max(initial=0.0))
    np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance * scale)


def _somewhere(objective: Any) -> Any:
    """Return a place where there is a conditional mode; smaller scales are safer."""
    view, coefficients = objective.view, objective.structure.coefficients
    for shift in (0.1, -1.0, -2.0):
        psi = np.concatenate([view.initial_theta + shift, view.start[coefficients]])
        try:
            objective.mode(psi)
        except NotPositiveDefiniteError:
            continue
        return psi
    raise AssertionError("No conditional mode near the start.")


@pytest.mark.parametrize("kind", ["posterior", "ml", "reml"])
@pytest.mark.parametrize("name", NAMES)
def test_everything_that_is_a_sum_over_rows(models: dict[str, bg.Model], name: str, kind: Any) -> None:
    # Likelihoods of the graph are compiled for every part.
    counts = (3,) if models[name].problem.family.name == "student_t" or "two" in name else (1, 3, 7)
    for whole, parted in _objectives(models[name], kind, counts):
        psi = _somewhere(whole)
        one, other = whole.mode(psi), parted.mode(psi)
        assert other.converged
        _close(one.log_marginal, other.log_marginal, ROUNDING)
        _close(one.x, other.x, SEARCHED)
        # At the very same x.
        one, other = (own.mode(psi, one.work.inner, predicted=True) for own in (whole, parted))
        _close(whole.gradient(one), parted.gradient(other), ROUNDING)
        _close(whole.jacobian(one), parted.jacobian(other), ROUNDING)
        _close(whole.centre(one), parted.centre(other), ROUNDING)
        for mine, theirs in zip(whole.silence(one), parted.silence(other), strict=True):
            assert mine.coefficients.tolist() == theirs.coefficients.tolist()
            _close(mine.largest, theirs.largest, ROUNDING)
        assert whole.convex(one) == parted.convex(other)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[1]])
def test_what_verdicts_ask(models: dict[str, bg.Model], name: str) -> None:
    for whole, parted in _objectives(models[name], "posterior", (3,)):
        psi = whole.view.initial_theta
        one, other = whole.mode(psi), parted.mode(psi)
        rng = np.random.default_rng(1)
        z = rng.standard_normal((len(one.x), 4))
        for mine, theirs in zip(
            whole.rescaling(one).information(), parted.rescaling(other).information(), strict=True
        ):
            _close(mine, theirs, ROUNDING)
        _close(whole.third_cumulants(one, None), parted.third_cumulants(other, None), ROUNDING)
        along = 0.1 * z[:, : whole.structure.pattern.dense_width]
        if along.shape[1] == whole.structure.pattern.dense_width:
            _close(whole.third_cumulants(one, along), parted.third_cumulants(other, along), ROUNDING)
        _close(whole.antithetic(one, one.x, 0.1 * z), parted.antithetic(other, one.x, 0.1 * z), ROUNDING)
        mine, theirs = whole.averages(one, one.x), parted.averages(other, one.x)
        for attribute in ("value", "slope", "trace"):
            _close(getattr(mine, attribute), getattr(theirs, attribute), ROUNDING)
        # The same elimination, hence the same draws.
        _close(one.factor.half_solve(z), other.factor.half_solve(z), ROUNDING)
        _close(one.factor.inverse_diagonal(), other.factor.inverse_diagonal(), ROUNDING)


@pytest.mark.parametrize("objective", ["ml", "posterior"])
def test_fits(models: dict[str, bg.Model], objective: str) -> None:
    model = models[NAMES[0]]
    settings: dict[str, Any] = {"objective": objective, "seed": 1, "draws": 50, "points": 8}
    whole, parted = (model.fit("laplace", **settings, **given) for given in ({}, {"parts": 5}))
    np.testing.assert_allclose(parted.fixed(), whole.fixed(), rtol=SEARCHED)
    np.testing.assert_allclose(parted.varcorr().iloc[:, 4:], whole.varcorr().iloc[:, 4:], rtol=1e-7)
    np.testing.assert_allclose(parted.ranef().iloc[:, 3:], whole.ranef().iloc[:, 3:], rtol=1e-6, atol=SEARCHED)
    assert "Computed in 5 parts of the rows, split by district" in parted.notes[-1]
    if objective == "ml":
        np.testing.assert_allclose(parted.loglik, whole.loglik, rtol=1e-12)
    else:
        assert parted.verdict == whole.verdict
        np.testing.assert_allclose(parted.log_evidence, whole.log_evidence, rtol=1e-10)


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("threading", NAMES[1]),
        ("threading", "likelihood by the graph"),
        pytest.param("loky", NAMES[1], marks=pytest.mark.slow),
    ],
)
def test_answers_do_not_depend_on_who_computes_them(models: dict[str, bg.Model], backend: str, name: str) -> None:
    from joblib import parallel_config

    model = models[name]
    here = model.fit("laplace", objective="ml", parts=4)
    with parallel_config(backend, n_jobs=2):
        there = model.fit("laplace", objective="ml", parts=4)
    assert here.fixed().equals(there.fixed())
    assert here.varcorr().equals(there.varcorr())
    assert here.loglik == there.loglik


def test_parts_hold_every_row_and_level_once(models: dict[str, bg.Model]) -> None:
    problem = models[NAMES[1]].problem
    parts = split(problem, 6)
    assert parts.rows == len(problem.response.y)
    loaded = [part.load() for part in parts.parts]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([rows.response.y for rows in loaded])), np.sort(problem.response.y)
    )
    sizes = [part.rows for part in parts.parts]
    assert max(sizes) < 2 * min(sizes)
    for b, block in enumerate(problem.blocks):
        levels = np.concatenate([np.asarray(part.levels[b]) for part in parts.parts])
        assert sorted(levels) == list(range(len(block.block.levels)))
        # Levels mean the same rows.
        for part, rows in zip(parts.parts, loaded, strict=True):
            named = np.asarray(part.levels[b])[rows.random[b].index]
            assert set(named) == set(np.asarray(part.levels[b]))
    # By the outermost factor of the chain, of which every other one is a part.
    assert [problem.blocks[members[0]].block.group for members in parts.chain or ()] == [
        "INDEX",
        "BROOD",
        "LOCATION",
    ]


def test_what_workers_are_sent_is_small(models: dict[str, bg.Model]) -> None:
    _, parted = next(_objectives(models[NAMES[0]], "posterior", (2,)))
    work = parted.structure._work.function
    work.structure(0)
    again = pickle.loads(pickle.dumps(work))
    assert again.problem.graph is None
    assert not again._structures
    empty = replace(again.parts, parts=())
    again.parts = empty
    assert len(pickle.dumps(again)) < 100_000


def test_factors_with_few_levels_are_common() -> None:
    frame = bg.load_dataset("grouseticks")
    model = bg.Model("TICKS ~ 1 + (1 | YEAR) + (1 | BROOD)", frame, family="poisson")
    parts = split(model.problem, 3)
    blocks = [model.problem.blocks[b].block.group for members in parts.chain or () for b in members]
    assert blocks == ["BROOD"]


def test_what_cannot_be_computed_by_parts_is_refused() -> None:
    frame = bg.load_dataset("sleepstudy")
    with pytest.raises(SettingsError, match=r"split by a grouping factor.*without parts"):
        bg.Model("Reaction ~ Days", frame).fit("laplace", parts=2)
    with pytest.raises(SettingsError, match=r"Correlated residuals.*Fit it in memory"):
        bg.Model("Reaction ~ Days + (1 | Subject)", frame, residual="ar1(Days | Subject)").fit("laplace", parts=2)
    with pytest.raises(SettingsError, match="all rows in memory"):
        bg.Model("Reaction ~ Days + (1 | Subject)", frame).fit("laplace", objective="ml", quadrature=5, parts=2)
    with pytest.raises(SettingsError, match="parts must be an integer of at least 1"):
        bg.Model("Reaction ~ Days + (1 | Subject)", frame).fit("laplace", parts=0)


def test_too_much_that_is_common_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesglmm.linalg.pattern.available", lambda: 1e-5)
    model = _made("use ~ age + (1 | district) + (1 | band)", "Contraception", "bernoulli")
    with pytest.raises(SettingsError, match=r"that all parts of the rows share are too many.*GB"):
        model.fit("laplace", objective="ml", parts=2)


def _simulated(rows: int) -> pd.DataFrame:
    """Simulate binary responses with an intercept for each group of about ten rows."""
    rng = np.random.default_rng(1)
    g, x = rng.integers(0, rows // 10, rows), rng.normal(size=rows)
    eta = -0.5 + 0.7 * x + rng.normal(0.0, 0.8, rows // 10)[g]
    return pd.DataFrame(
        {"x": x, "g": pd.Categorical(g), "y": (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)}
    )


@pytest.mark.slow
def test_a_million_rows_are_split_unasked() -> None:
    model = bg.Model("y ~ x + (1 | g)", _simulated(1_000_000), family="bernoulli")
    fit = model.fit("laplace", objective="ml")
    assert "Computed in 8 parts of the rows, split by g" in fit.notes[-1]
    # Simulated from -0.5, 0.7 and a standard deviation of 0.8; Laplace's approximation shrinks these with few rows
    # per group (by some hundredths, as lme4 does).
    estimate, error = fit.fixed()["estimate"].to_numpy(), fit.fixed()["se"].to_numpy()
    np.testing.assert_allclose(estimate, [-0.5, 0.7], atol=0.02)
    assert np.all(error < 0.005)
    one = model.fit("laplace", objective="ml", parts=1)
    np.testing.assert_allclose(fit.loglik, one.loglik, rtol=1e-12)
    np.testing.assert_allclose(estimate, one.fixed()["estimate"], rtol=1e-9)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """A part whose rows come anew whenever they are used."""

    levels: Any
    held: Any

    @property
    def rows(self) -> int:
        return len(self.held.response.y)

    def load(self) -> Any:
        return self.held


def test_rows_that_are_loaded_go_with_their_last_use(models: dict[str, bg.Model]) -> None:
    """Otherwise those of many calls are in memory at once, until Python looks for circles."""
    problem = models["slopes, and a factor that crosses"].problem
    parts = split(problem, 3)
    view = latent_view(replace(problem, parts=parts, workspace={}))
    loaded = replace(parts, parts=tuple(_Loaded(part.levels, part.held) for part in parts.parts))
    work = PartWork(view.problem, loaded, False, False)
    gc.disable()
    try:
        structure = work.structure(0)
        factors = structure.view.factors(structure.view.natural(view.initial_theta))
        assert structure.rows(factors).pattern.n == loaded.parts[0].rows
        kept = [weakref.ref(own) for own in (structure, structure.view, structure.view.problem)]
        del structure
        assert [own() for own in kept] == [None, None, None]
    finally:
        gc.enable()

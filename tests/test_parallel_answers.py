"""Chains, bootstraps and refits give the same numbers wherever they run, also where a worker is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines import ENGINES, apart
from bayesglmm.engines import chains as chains_module
from bayesglmm.engines.apart import run_apart
from bayesglmm.errors import InterruptedBeforeFirstDrawError
from bayesglmm.results.bootstrap import bootstrap

SHORT = {"draws": 15, "tune": 10, "chains": 3, "progressbar": False}


@pytest.fixture(scope="module")
def sleep() -> Any:
    model = bg.Model("Reaction ~ Days + (1 | Subject)", bg.load_dataset("sleepstudy"))
    return model.fit("laplace", seed=1, objective="ml", draws=5)


@pytest.fixture(scope="module")
def model() -> bg.Model:
    data = bg.load_dataset("cbpp")
    return bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial")


def killing(estimation: Any, marker: Path) -> Any:
    """Return the estimation, but its third call in some process ends that, once."""

    class Killing:  # local, so that it is pickled by value
        kind, calls = estimation.kind, 0

        def __call__(self, view: Any) -> Any:
            self.calls += 1
            if self.calls == 3 and not marker.exists():
                marker.touch()
                os._exit(1)
            return estimation(view)

    return Killing()


def test_a_bootstrap_is_the_same_with_threads(sleep: Any) -> None:
    alone = sleep.bootstrap(5, workers=1, seed=2)
    with joblib.parallel_config("threading", n_jobs=2):
        pd.testing.assert_frame_equal(sleep.bootstrap(5, seed=2).table, alone.table, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_bootstrap_outlives_a_worker(
    sleep: Any, backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "dask":
        request.getfixturevalue("cluster")
    alone, marker = sleep.bootstrap(6, workers=1, seed=2), tmp_path / "killed"
    with joblib.parallel_config(backend, n_jobs=2):
        found = bootstrap(sleep._evaluator, sleep.point, 6, None, 2, killing(sleep._estimation, marker))
    assert marker.exists()
    pd.testing.assert_frame_equal(found.table, alone.table, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading", "dask"])
def test_folds_are_the_same_everywhere(model: bg.Model, backend: str, request: pytest.FixtureRequest) -> None:
    if backend == "dask":
        request.getfixturevalue("cluster")
    fit = model.fit("laplace", seed=1, draws=100)
    alone = fit.kfold(4, workers=1, seed=3, draws=50)
    with joblib.parallel_config(backend, n_jobs=2):
        found = fit.kfold(4, seed=3, draws=50)
    pd.testing.assert_frame_equal(found.pointwise, alone.pointwise, check_exact=True)


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow), "dask"])
def test_metropolis_chains_are_the_same_everywhere(
    model: bg.Model, backend: str, request: pytest.FixtureRequest
) -> None:
    if backend == "dask":
        request.getfixturevalue("cluster")
    alone = model.fit("metropolis", seed=3, cores=1, **SHORT).data
    with joblib.parallel_config(backend, n_jobs=2):
        found = model.fit("metropolis", seed=3, **SHORT).data
    for group in ("posterior", "sample_stats"):
        for name, values in alone[group].data_vars.items():
            np.testing.assert_array_equal(found[group][name].values, values.values, err_msg=str(name))


@pytest.mark.slow
def test_nuts_chains_of_a_cluster_are_chains_of_the_same_posterior(model: bg.Model, cluster: Any) -> None:
    local = model.fit("nuts", seed=3, draws=500, progressbar=False).summary()
    with joblib.parallel_config("dask"):
        fit = model.fit("nuts", seed=3, draws=500, progressbar=False)
    engine = ENGINES.get("nuts")
    again = run_apart(engine, model.problem, engine.configure(draws=500, progressbar=False), 3)
    for name, values in again.draws.items():  # here, one after the other, and there two at a time
        if name in fit.data["posterior"]:
            np.testing.assert_array_equal(fit.data["posterior"][name].values, values)
    there = fit.summary()
    error = np.hypot(local["mcse_mean"], there["mcse_mean"])
    assert (np.abs(local["mean"] - there["mean"]) < 4 * error).all()
    assert (there["r_hat"] < 1.02).all()  # chains of different streams, or they would agree too well or not at all
    chains = fit.data["posterior"]["beta"].values
    assert len(np.unique(chains[:, 0], axis=0)) == 4


def interrupted_after(count: int) -> Callable[..., Iterator[Any]]:
    def fake(function: Any, items: Any, **_: Any) -> Iterator[Any]:
        for item in items[:count]:
            yield function(item)
        raise KeyboardInterrupt

    return fake


def test_ctrl_c_keeps_the_complete_chains_of_a_cluster(model: bg.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = model.fit("metropolis", seed=3, cores=1, **SHORT).data["posterior"]["b_herd"].values
    monkeypatch.setattr("bayesglmm.engines.metropolis.distributed", lambda: True)
    monkeypatch.setattr(chains_module, "distributed", lambda: True)
    monkeypatch.setattr(chains_module, "parallel_map", interrupted_after(2))
    fit = model.fit("metropolis", seed=3, **SHORT)
    np.testing.assert_array_equal(fit.data["posterior"]["b_herd"].values, alone[:2])
    assert "Interrupted: 15 of 15 draws of 2 of 3 chains were kept." in fit.notes
    monkeypatch.setattr(chains_module, "parallel_map", interrupted_after(0))
    with pytest.raises(InterruptedBeforeFirstDrawError):
        model.fit("metropolis", seed=3, **SHORT)


def test_ctrl_c_keeps_the_complete_nuts_chains(model: bg.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ENGINES.get("nuts")
    settings = engine.configure(draws=20, tune=50, chains=2, progressbar=False)
    monkeypatch.setattr(apart, "parallel_map", interrupted_after(1))
    run = run_apart(engine, model.problem, settings, 1)
    assert {values.shape[:2] for values in run.draws.values()} == {(1, 20)}
    assert run.notes[-1] == "Interrupted: 1 of 2 chains were kept."
    monkeypatch.setattr(apart, "parallel_map", interrupted_after(0))
    with pytest.raises(InterruptedBeforeFirstDrawError, match="only complete chains"):
        run_apart(engine, model.problem, settings, 1)

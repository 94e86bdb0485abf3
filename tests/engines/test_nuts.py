"""NUTS: seeds, settings, interruption, both samplers."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.engines import ENGINES
from bayesglmm.engines.nuts import NutsSettings
from bayesglmm.engines.streaming import Trace
from bayesglmm.errors import InterruptedBeforeFirstDrawError, SettingsError
from bayesglmm.reporting.section import Subject
from bayesglmm.reporting.source import program, reproduce

QUICK = {"draws": 200, "tune": 200, "chains": 2, "progressbar": False}


@pytest.fixture(scope="module")
def fit(cbpp_model: bg.Model) -> Any:
    return cbpp_model.fit("nuts", seed=3, **QUICK)


def test_same_seed_same_draws_bit_for_bit(cbpp_model: bg.Model, fit: Any) -> None:
    again = cbpp_model.fit("nuts", seed=3, **QUICK)
    for name in fit.data["posterior"].data_vars:
        np.testing.assert_array_equal(fit.data["posterior"][name], again.data["posterior"][name])


def test_other_seed_other_draws(cbpp_model: bg.Model, fit: Any) -> None:
    other = cbpp_model.fit("nuts", seed=4, **QUICK)
    assert not np.array_equal(fit.data["posterior"]["beta"], other.data["posterior"]["beta"])


def test_settings_seed_and_versions_are_recorded(fit: Any) -> None:
    attrs = fit.data.attrs
    assert int(attrs["seed"]) == 3
    assert '"draws": 200' in attrs["settings"]
    assert "pymc" in attrs["versions"]
    assert attrs["engine"] == "nuts"


def test_settings_left_to_the_engine_are_recorded_as_used_and_left_again(cbpp_model: bg.Model) -> None:
    short = cbpp_model.fit("nuts", seed=3, draws=20, chains=1, target_accept=0.7, progressbar=False)
    settings, left = json.loads(short.data.attrs["settings"]), json.loads(short.data.attrs["settings_left"])
    assert (settings["tune"], settings["target_accept"], left) == (300, 0.7, ["tune"])
    assert "300 (left to the engine)" in str(reproduce(Subject(short, 0.95, {})).body)
    assert "tune" not in program(short)
    again = short.update(engine="nuts", path="graph", draws=10)  # for which another number of draws is right
    assert json.loads(again.data.attrs["settings"])["tune"] == 1000


def test_draws_have_the_shape_asked_for(fit: Any) -> None:
    assert dict(fit.data["posterior"].sizes) | {"chain": 2, "draw": 200} == dict(fit.data["posterior"].sizes)
    assert {"diverging", "energy", "tree_depth", "acceptance_rate"} <= set(fit.data["sample_stats"].data_vars)


def test_a_missing_seed_is_drawn_and_recorded(cbpp_model: bg.Model) -> None:
    first, second = (cbpp_model.fit(**QUICK).data.attrs["seed"] for _ in range(2))
    assert first != second


def _interrupt_after(seconds: float) -> threading.Timer:
    # A shell starts background jobs with the signal ignored, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_ctrl_c_returns_the_draws_that_every_chain_has(cbpp_model: bg.Model, fit: Any) -> None:
    timer = _interrupt_after(2.0)
    try:
        stopped = cbpp_model.fit("nuts", seed=1, **QUICK | {"draws": 3_000_000})
    finally:
        timer.cancel()
    draws = stopped.data["posterior"].sizes["draw"]
    assert 0 < draws < 3_000_000
    assert all(np.isfinite(values).all() for values in stopped.data["posterior"].data_vars.values())
    assert any("Interrupted" in note for note in stopped.notes)
    assert stopped.verdict in ("check", "bad")


def test_ctrl_c_before_the_first_draw_says_so(cbpp_model: bg.Model, fit: Any) -> None:
    timer = _interrupt_after(1.0)
    try:
        with pytest.raises(InterruptedBeforeFirstDrawError, match="first draw"):
            cbpp_model.fit("nuts", seed=1, **QUICK | {"tune": 3_000_000})
    finally:
        timer.cancel()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"draw": 100}, "Did you mean 'draws'"),
        ({"draws": 0}, "draws must be an integer of at least 1"),
        ({"draws": 10.5}, "draws must be an integer"),
        ({"tune": 3}, "tune must be an integer of at least 50"),
        ({"target_accept": 1.0}, "between 0 and 1"),
        ({"sampler": "stan"}, "nutpie"),
        ({"seed": -1}, "seed must be an integer"),
        ({"cores": 0}, "cores"),
    ],
)
def test_impossible_settings_are_refused(cbpp_model: bg.Model, setting: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        cbpp_model.fit("nuts", **setting)


def test_unknown_engine_offers_the_nearest(cbpp_model: bg.Model) -> None:
    with pytest.raises(bg.errors.UnknownNameError, match="Did you mean 'nuts'"):
        cbpp_model.fit("nutz")


def test_settings_are_frozen() -> None:
    settings = ENGINES.get("nuts").configure(draws=10)
    with pytest.raises(AttributeError):
        settings.draws = 20  # type: ignore[misc]


def test_pymc_sampler_agrees_with_nutpie(cbpp_model: bg.Model) -> None:
    """Two implementations, same posterior: means within 5 joint Monte Carlo standard errors."""
    settings = {"draws": 500, "tune": 500, "chains": 2, "progressbar": False}
    a = cbpp_model.fit("nuts", seed=5, **settings).summary()
    b = cbpp_model.fit("nuts", seed=5, sampler="pymc", cores=1, **settings).summary()
    error = np.hypot(a["mcse_mean"], b["mcse_mean"])
    assert (np.abs(a["mean"] - b["mean"]) < 5 * error).all()


def test_common_length_of_padded_chains() -> None:
    values = np.zeros((2, 5, 3))
    values[1, 3:] = np.nan
    assert Trace({"x": values}, {}).lengths(("x",)) == [5, 3]
    assert Trace({"x": values}, {}).length(("x",)) == 3
    assert Trace({"x": np.zeros((2, 0, 3))}, {}).length(("x",)) == 0
    assert Trace({}, {}).length(("x",)) == 0


@pytest.mark.slow
def test_numpyro_samples_the_same_posterior() -> None:
    pytest.importorskip("numpyro")
    model = bg.Model("incidence | trials(size) ~ period + (1 | herd)", bg.load_dataset("cbpp"), family="binomial")
    on_jax = model.fit("nuts", sampler="numpyro", seed=1, chains=2, progressbar=False)
    usual = model.fit("nuts", seed=2, chains=2, progressbar=False)
    one, two = on_jax.summary(), usual.summary()
    error = np.hypot(one["mcse_mean"], two["mcse_mean"])
    # Five parameters: five standard errors of the difference are exceeded once in a hundred thousand runs.
    assert (np.abs(one["mean"] - two["mean"]) < 5 * error).all()
    assert set(usual.data["sample_stats"].data_vars) - set(on_jax.data["sample_stats"].data_vars) <= {
        "reached_max_treedepth"
    }


def test_samplers_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bayesglmm.engines.nuts.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r'needs JAX and NumPyro: pip install "bayesglmm\[jax\]"'):
        NutsSettings(sampler="numpyro").check()
    with pytest.raises(SettingsError, match="sampler must be one of 'nutpie', 'pymc', 'numpyro', not 'stan'"):
        NutsSettings(sampler="stan").check()  # type: ignore[arg-type]

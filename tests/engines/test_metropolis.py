"""The Metropolis engine as users see it: settings, seeds, interruption, statistics, verdicts, right posteriors."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.engines import chains as chains_module
from bayesglmm.engines.chains import ChainProgress, Plan, Record
from bayesglmm.engines.kernels.block import BlockKernel
from bayesglmm.errors import InterruptedBeforeFirstDrawError, SettingsError

QUICK: dict[str, Any] = {"draws": 150, "tune": 100, "chains": 2, "progressbar": False}
PRIORS = {"fixed": bg.Prior("Normal", mu=0, sigma=2.5), "sd": bg.Prior("HalfNormal", sigma=1)}


@pytest.fixture(scope="module")
def brms_model() -> bg.Model:
    """The model of the reference posterior bayes_cbpp: its intercept is at period 1, as the user's is."""
    data = bg.load_dataset("cbpp")
    priors = PRIORS | {"Intercept": bg.Prior("Normal", mu=0, sigma=2.5)}
    return bg.Model("incidence | trials(size) ~ period + (1 | herd)", data, family="binomial", priors=priors)


@pytest.fixture(scope="module")
def fit(cbpp_model: bg.Model) -> Any:
    return cbpp_model.fit("metropolis", seed=3, **QUICK)


def test_layout_is_that_of_the_other_engines(fit: Any) -> None:
    assert {"beta", "sd_herd", "b_herd"} <= set(fit.data["posterior"].data_vars)
    assert fit.data["posterior"].sizes["draw"] == 150
    stats = fit.data["sample_stats"]
    wanted = {"acceptance_rate", "acceptance_theta", "acceptance_z", "step_size_theta", "step_size_z", "lp"}
    assert wanted <= set(stats.data_vars)
    assert stats["lp"].shape == (2, 150)
    assert fit.data.attrs["engine"] == "metropolis"


def test_steps_are_frozen_after_tuning(fit: Any) -> None:
    stats = fit.data["sample_stats"]
    for name in ("step_size_theta", "step_size_z"):
        assert np.all(stats[name].values == stats[name].values[:, :1])
    assert np.ptp(stats["step_size_theta"].values[:, 0]) > 0  # every chain has tuned its own


@pytest.mark.parametrize("proposal", ["block", "iwls", "random-walk"])
def test_same_seed_same_draws_bit_for_bit(cbpp_model: bg.Model, proposal: str) -> None:
    settings = QUICK | {"draws": 20, "tune": 10, "proposal": proposal}
    one, two, other = (cbpp_model.fit("metropolis", seed=seed, **settings) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.data["posterior"]["b_herd"], two.data["posterior"]["b_herd"])
    assert not np.array_equal(one.data["posterior"]["b_herd"], other.data["posterior"]["b_herd"])


@pytest.mark.slow
def test_draws_do_not_depend_on_the_number_of_processes(cbpp_model: bg.Model) -> None:
    settings = QUICK | {"draws": 20, "tune": 10}
    one, two = (cbpp_model.fit("metropolis", seed=3, cores=cores, **settings) for cores in (1, 2))
    np.testing.assert_array_equal(one.data["posterior"]["b_herd"], two.data["posterior"]["b_herd"])


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"proposal": "blok"}, "Did you mean 'block'"),
        ({"draws": 0}, "draws must be an integer of at least 1"),
        ({"moves": 0}, "moves must be"),
        ({"scale": 0.5}, 'scale is a setting of proposal="random-walk"'),
        ({"keep_proposals": True}, "keep_proposals is a setting"),
        ({"proposal": "iwls", "refresh": True}, 'refresh is a setting of proposal="block"'),
        ({"proposal": "random-walk", "scale": -1.0}, "positive"),
        ({"cores": 0}, "cores"),
    ],
)
def test_impossible_settings_are_refused(cbpp_model: bg.Model, setting: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        cbpp_model.fit("metropolis", **setting)


def test_a_scale_for_nothing_is_refused(cbpp_model: bg.Model) -> None:
    with pytest.raises(bg.errors.UnknownNameError, match=r"Did you mean 'period\[2\]'"):
        cbpp_model.fit("metropolis", proposal="random-walk", scale={"period[22]": 1.0})


def test_random_walk_has_the_scale_that_was_given(cbpp_model: bg.Model) -> None:
    fit = cbpp_model.fit(
        "metropolis", seed=1, proposal="random-walk", scale={"Intercept": 3.0}, keep_proposals=True, **QUICK
    )
    stats, posterior = fit.data["sample_stats"], fit.data["posterior"]
    assert np.all(stats["step_size_u_herd"].values == 0.5)
    np.testing.assert_allclose(stats["step_size_beta"].values, (3.0 + 3 * 0.5) / 4)
    shares = stats["accepted"].values.mean(axis=(0, 1))
    effects = shares[4:19]
    (note,) = fit.notes
    assert note.startswith(f"Accepted: Intercept {shares[0]:.2f}, period[2] {shares[1]:.2f}, ")
    assert f"sd[herd, Intercept] {shares[-1]:.2f}, " in note
    assert note.endswith(f"u[herd] {effects.min():.2f} to {effects.max():.2f} (15 coordinates).")
    assert note.count("u[") == 1
    # What was accepted is what is there, on the scale that users read; steps of the intercept have sd 3.
    accepted, proposal = stats["accepted"].values, stats["proposal"].values
    beta = posterior["beta"].values[..., 0]
    np.testing.assert_array_equal(proposal[..., 0][accepted[..., 0]], beta[accepted[..., 0]])
    sd = posterior["sd_herd"].values[..., 0]
    np.testing.assert_allclose(proposal[..., -1][accepted[..., -1]], sd[accepted[..., -1]])
    steps = proposal[:, 1:, 0] - beta[:, :-1]
    assert 2.5 < steps.std() < 3.5
    assert accepted[..., 0].mean() < 0.2 < accepted[..., 1].mean()


def test_ctrl_c_returns_the_draws_that_every_chain_has(cbpp_model: bg.Model) -> None:
    # A shell starts background jobs with the signal ignored, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        stopped = cbpp_model.fit("metropolis", seed=1, **QUICK | {"draws": 100_000, "tune": 10, "cores": 1})
    finally:
        timer.cancel()
    length = stopped.data["posterior"].sizes["draw"]
    assert 0 < length < 100_000
    assert np.all(stopped.data["sample_stats"]["lp"].values < 0)  # none that was not drawn
    assert any("Interrupted" in note for note in stopped.notes)


def test_ctrl_c_in_workers_keeps_what_is_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(kernel: Any, record: Record, seeds: Any, workers: int, folder: Any) -> bool:
        other = Record(record.plan, folder, create=False)  # as a process of its own opens it

        class State:
            theta, x, log_density = np.ones(1), np.full(2, 2.0), -1.0

        for chain, length in enumerate((4, 3)):
            for step in range(2 + length):
                other.note(chain, step, State(), {"acceptance_z": 0.5})
        return True

    monkeypatch.setattr(chains_module, "_run_in_workers", some)
    plan = Plan(2, 10, 2, 1, 2, {"acceptance_z": ()})
    progress = ChainProgress("Metropolis", show=False)
    found, length, interrupted = chains_module.run_chains(None, plan, 1, 2, progress)  # type: ignore[arg-type]
    assert (length, interrupted) == (3, True)
    assert found["x"].shape == (2, 3, 2)
    assert np.all(found["x"] == 2.0)


def test_ctrl_c_before_the_first_draw_says_so(cbpp_model: bg.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BlockKernel, "step", stop)
    with pytest.raises(InterruptedBeforeFirstDrawError, match="first draw"):
        cbpp_model.fit("metropolis", seed=1, **QUICK)


def test_the_line_says_how_far_it_is() -> None:
    progress = ChainProgress("Metropolis", show=False)
    progress.now("2 chains")
    progress.record = Record(Plan(10, 40, 2, 0, 0, {}))
    progress.record.steps[:] = 25
    assert "drawing: 50 of 100 steps (50%)" in progress.line()


# verdicts -----------------------------------------------------------------------------------------------------------


def test_low_acceptance_is_told_with_what_to_do(cbpp_model: bg.Model) -> None:
    fit = cbpp_model.fit("metropolis", seed=1, proposal="random-walk", scale=12.0, **QUICK)
    row = fit.diagnose().set_index("check").loc["acceptance"]
    assert row["verdict"] in ("check", "bad")
    assert "smaller scale=" in str(fit.verdict)


def test_tiny_steps_are_told(cbpp_model: bg.Model) -> None:
    fit = cbpp_model.fit("metropolis", seed=1, proposal="random-walk", scale=0.01, **QUICK)
    assert "larger scale=" in str(fit.verdict)
    assert 'proposal="block"' in str(fit.verdict)


# right posteriors --------------------------------------------------------------------------------------------------


def assert_agrees(fit: Any, expected: dict[str, Any], most: float = 4.0) -> None:
    """Means within `most` joint Monte Carlo errors, sds within a tenth (and their own error)."""
    names = {"Intercept": "b_Intercept", "sd[herd, Intercept]": "sd_herd__Intercept"}
    names |= {f"period[{k}]": f"b_period{k}" for k in (2, 3, 4)}
    summary = fit.summary()
    for own, theirs in names.items():
        row, reference = summary.loc[own], expected[theirs]
        error = np.hypot(row["mcse_mean"], reference["mcse_mean"])
        assert abs(row["mean"] - reference["mean"]) < most * error, own
        assert abs(row["sd"] / reference["sd"] - 1) < 0.1 + 2.0 / np.sqrt(row["ess_bulk"]), own


def test_block_agrees_with_brms(brms_model: bg.Model, expected: Callable[[str], Any]) -> None:
    fit = brms_model.fit("metropolis", seed=1, draws=600, tune=300, chains=2, progressbar=False)
    assert_agrees(fit, expected("bayes_cbpp")["parameters"])
    assert fit.summary()["ess_bulk"].min() > 100


@pytest.mark.slow
@pytest.mark.parametrize("proposal", ["block", "iwls", "random-walk"])
def test_every_proposal_agrees_with_brms(brms_model: bg.Model, expected: Callable[[str], Any], proposal: str) -> None:
    fit = brms_model.fit("metropolis", seed=2, proposal=proposal, draws=5000, progressbar=False)
    assert_agrees(fit, expected("bayes_cbpp")["parameters"])


NUTS_CASES = {
    "epilepsy": ("count ~ zAge + zBase * Trt + (1 | patient) + (1 | obs)", "poisson"),
    "Contraception": ("use ~ age*ch + I(age^2) + urban + (urban | district)", "bernoulli"),
    "capecod_sim": ("lung ~ smoking + s(age, k=10) + s(lon, lat, k=40)", "bernoulli"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NUTS_CASES)
def test_block_agrees_with_nuts(name: str, dataset: Callable[[str], Any]) -> None:
    """Means within 4.5 joint Monte Carlo errors, sds within a tenth."""
    formula, family = NUTS_CASES[name]
    model = bg.Model(formula, dataset(name), family=family)
    ours = model.fit("metropolis", seed=1, draws=2000, progressbar=False).summary()
    nuts = model.fit("nuts", seed=2, progressbar=False).summary()
    error = np.hypot(ours["mcse_mean"], nuts["mcse_mean"])
    assert (np.abs(ours["mean"] - nuts["mean"]) < 4.5 * error).all()
    assert (np.abs(ours["sd"] / nuts["sd"] - 1) < 0.1 + 2.0 / np.sqrt(ours["ess_bulk"])).all()

"""Runs that store their draws while they go on: killed, loaded, resumed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from storage_cases import rows, same

import bayesglmm as bg
from bayesglmm.engines import streaming
from bayesglmm.engines.base import Run
from bayesglmm.engines.nuts import Nuts
from bayesglmm.engines.streaming import Handover, Trace
from bayesglmm.errors import SettingsError, StorageError
from bayesglmm.journal import parts_of
from bayesglmm.results.store import free_shapes

SETTINGS = {"draws": 30, "tune": 50, "chains": 3}


class Killed(BaseException):
    """Ends a run as nothing else does."""


def drawn(problem: Any, chain: int, start: int, stop: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return draws of one chain, the same for the same arguments."""
    rng = np.random.default_rng([seed, chain])
    shapes = free_shapes(problem).items()
    draws = {name: np.abs(rng.normal(1.0, 0.1, (100, *shape)))[start:stop] for name, shape in shapes}
    return draws, {"diverging": np.zeros(stop - start, dtype=bool), "lp": draws["sigma"][:, None].sum(axis=1)}


class FakeNuts:
    """In the place of nutpie: chains that take turns, and are killed after some of them."""

    def __init__(self, plan: Sequence[tuple[int, int, int]], killed: bool) -> None:
        self.plan, self.killed = plan, killed
        self.resumed: dict[str, Any] = {}

    def run(self, engine: Any, problem: Any, settings: Any, seed: int, sink: Any = None) -> Run:
        self._keep(problem, seed, sink)
        whole = [drawn(problem, chain, 0, settings.draws, seed) for chain in range(settings.chains)]
        draws, stats = ({name: np.stack([own[i][name] for own in whole]) for name in whole[0][i]} for i in (0, 1))
        return Run(draws, stats, {"sample": 1.0})

    def resume(
        self, engine: Any, problem: Any, settings: Any, seed: int, sink: Any, positions: Any, draws: Any
    ) -> bool:
        self.resumed = {"seed": seed, "positions": positions, "draws": draws}
        self._keep(problem, seed, sink)
        return False

    def _keep(self, problem: Any, seed: int, sink: Any) -> None:
        for chain, start, stop in self.plan:
            draws, stats = drawn(problem, chain, start, stop, seed)
            if sink is not None:
                sink.keep(chain, draws, stats, {"z": draws["beta"][-1], "seed": np.asarray(float(seed))})
        if self.killed:
            raise Killed


@pytest.fixture
def nuts(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(*plan: tuple[int, int, int], killed: bool = False) -> FakeNuts:
        fake = FakeNuts(plan, killed)
        monkeypatch.setattr(Nuts, "run", lambda *given, **named: fake.run(*given, **named))
        monkeypatch.setattr(Nuts, "resume", lambda *given: fake.resume(*given))
        return fake

    return install


def model() -> Any:
    return bg.Model("y ~ x + (1 | g)", rows())


COMPLETE = ((0, 0, 30), (1, 0, 30), (2, 0, 30))


def test_a_complete_run_is_a_saved_fit(nuts: Any, tmp_path: Path) -> None:
    nuts(*COMPLETE)
    fit = model().fit("nuts", seed=1, store=tmp_path / "run.zarr", **SETTINGS)
    assert not (tmp_path / "run.zarr" / "parts").exists()
    loaded = bg.load(tmp_path / "run.zarr")
    assert loaded.data.identical(fit.data)
    assert [file.name for file in tmp_path.iterdir()] == ["run.zarr"]
    plain = model().fit("nuts", seed=1, **SETTINGS)
    assert same(plain.summary(), fit.summary())


def killed_run(nuts: Any, path: Path, *plan: tuple[int, int, int]) -> None:
    nuts(*plan, killed=True)
    with pytest.raises(Killed):
        model().fit("nuts", seed=1, store=path, **SETTINGS)


def test_what_a_killed_run_has_stored_can_be_loaded(nuts: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    killed_run(nuts, path, (0, 0, 12), (1, 0, 9), (0, 12, 20), (2, 0, 25))
    (path / "parts" / ".000005.zarr.abc.part").mkdir()  # what was being written
    fit = bg.load(path)
    assert dict(fit.draws.sizes) == {"chain": 3, "draw": 9, "column": 2, "term_g": 1, "level_g": 6}
    assert fit.notes[-1] == "Unfinished: 9 of 30 draws per chain were stored; bg.resume draws the others."
    for chain in range(3):
        draws, stats = drawn(fit.problem, chain, 0, 9, 1)
        np.testing.assert_array_equal(fit.draws["beta"].values[chain], draws["beta"])
        np.testing.assert_array_equal(fit.data["sample_stats"]["lp"].values[chain], stats["lp"])
    assert "run" not in fit.data["sample_stats"]
    assert len(fit.predict()) == 71


def test_chains_without_draws_are_left_out_and_named(nuts: Any, tmp_path: Path) -> None:
    killed_run(nuts, tmp_path / "run.zarr", (0, 0, 12), (2, 0, 25))
    fit = bg.load(tmp_path / "run.zarr")
    assert fit.draws.sizes["chain"] == 2
    assert fit.notes[-1] == "Unfinished: 2 of 3 chains had stored draws; bg.resume draws those of the others."


def test_a_run_goes_on_where_every_chain_was(nuts: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    killed_run(nuts, path, (0, 0, 12), (2, 0, 25), (0, 12, 20))
    problem = bg.load(path).problem
    fake = nuts((0, 0, 10), (1, 0, 30), (2, 0, 5))
    fit = bg.resume(path)
    assert fake.resumed["draws"] == [10, 30, 5]
    assert fake.resumed["positions"][1] is None
    np.testing.assert_array_equal(fake.resumed["positions"][0]["z"], drawn(problem, 0, 0, 20, 1)[0]["beta"][-1])
    np.testing.assert_array_equal(fake.resumed["positions"][2]["z"], drawn(problem, 2, 0, 25, 1)[0]["beta"][-1])
    second = fake.resumed["seed"]
    assert second != 1
    for chain, first in enumerate((20, 0, 25)):
        expected = np.concatenate(
            [drawn(problem, chain, 0, first, 1)[0]["beta"], drawn(problem, chain, 0, 30 - first, second)[0]["beta"]]
        )
        np.testing.assert_array_equal(fit.draws["beta"].values[chain], expected)
        assert fit.data["sample_stats"]["run"].values[chain].tolist() == [0] * first + [1] * (30 - first)
    assert fit.notes[-1] == (
        "Resumed: the last 10, 30, 5 draws of the chains are of run 2, which began at the last stored draws and was "
        f"tuned anew (seed {second})."
    )
    assert json.loads(fit.data.attrs["runs"]) == [{"run": 1, "seed": second}]
    assert bg.load(path).data.identical(fit.data)
    assert not (path / "parts").exists()


def test_a_resumed_run_can_be_killed_and_resumed(nuts: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    killed_run(nuts, path, (0, 0, 5), (1, 0, 5), (2, 0, 5))
    nuts((0, 0, 10), (1, 0, 10), (2, 0, 10), killed=True)
    with pytest.raises(Killed):
        bg.resume(path)
    assert bg.load(path).draws.sizes["draw"] == 15
    fake = nuts((0, 0, 15), (1, 0, 15), (2, 0, 15))
    fit = bg.resume(path, seed=99)
    assert fake.resumed["draws"] == [15, 15, 15]
    assert fake.resumed["seed"] == 99
    assert fit.data["sample_stats"]["run"].values[0].tolist() == [0] * 5 + [1] * 10 + [2] * 15
    assert len(fit.notes) == 1 + 2


def test_more_draws_for_a_complete_run(nuts: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    nuts(*COMPLETE)
    before = model().fit("nuts", seed=1, store=path, **SETTINGS)
    with pytest.raises(SettingsError, match=r"has all its 30 draws per chain\. bg\.resume\(path, draws=500\)"):
        bg.resume(path)
    fake = nuts((0, 0, 7), (1, 0, 7), (2, 0, 7), killed=True)
    with pytest.raises(Killed):
        bg.resume(path, 7)
    np.testing.assert_array_equal(fake.resumed["positions"][1]["z"], before.draws["beta"].values[1, -1])
    after = bg.load(path)
    assert after.draws.sizes["draw"] == 37
    np.testing.assert_array_equal(after.draws["b_g"].values[:, :30], before.draws["b_g"].values)
    nuts((0, 0, 3), (1, 0, 3), (2, 0, 3))
    assert bg.resume(path, 3).draws.sizes["draw"] == 40
    assert bg.load(path).draws.sizes["draw"] == 40


def test_a_run_without_draws_begins_again(nuts: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    killed_run(nuts, path)
    with pytest.raises(StorageError, match=r"run.zarr'.*stored no draws.*bg\.resume\(path\) runs it"):
        bg.load(path)
    nuts(*COMPLETE)
    fit = bg.resume(path)
    assert fit.notes == model().fit("nuts", seed=1, **SETTINGS).notes
    assert same(fit.summary(), model().fit("nuts", seed=1, **SETTINGS).summary())
    assert bg.load(path).data.identical(fit.data)


def test_what_cannot_be_stored_or_resumed(nuts: Any, tmp_path: Path) -> None:
    nuts(*COMPLETE)
    with pytest.raises(SettingsError, match=r'store= is for engines that draw for long.*"laplace"|\'laplace\''):
        model().fit("laplace", store=tmp_path / "run.zarr")
    with pytest.raises(StorageError, match=r"ends in \.zarr"):
        model().fit("nuts", store=tmp_path / "run.nc")
    (tmp_path / "there.zarr").mkdir()
    with pytest.raises(StorageError, match=r"exists already\. bg\.resume"):
        model().fit("nuts", store=tmp_path / "there.zarr")
    model().fit("nuts", seed=1, **SETTINGS).save(tmp_path / "fit.zarr")
    with pytest.raises(StorageError, match="only runs with store= can be resumed"):
        bg.resume(tmp_path / "fit.zarr", 10)
    with pytest.raises(StorageError, match="There is no file"):
        bg.resume(tmp_path / "missing.zarr")


def test_damaged_and_foreign_parts_are_refused(nuts: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.zarr"
    killed_run(nuts, path, (0, 0, 5), (1, 0, 5), (2, 0, 5))
    parts = sorted((path / "parts").iterdir())
    chunk = parts[1] / "draws" / "beta" / "c" / "0" / "0"
    raw = chunk.read_bytes()
    chunk.write_bytes(raw[:-8] + bytes(8))
    with pytest.raises(StorageError, match=r"000002\.zarr' is damaged"):
        bg.load(path)
    chunk.write_bytes(raw)
    bg.Model("y ~ x", rows()).fit("laplace", seed=1, draws=10).save(path / "parts" / "000004.zarr")
    with pytest.raises(StorageError, match="is no part of a run"):
        bg.load(path)
    shutil.rmtree(path / "parts" / "000004.zarr")
    other = tmp_path / "other.zarr"
    nuts((0, 0, 5), killed=True)
    with pytest.raises(Killed):
        bg.Model("y ~ x + z + (1 | g)", rows()).fit("nuts", seed=1, store=other, **SETTINGS)
    shutil.copytree(other / "parts" / "000001.zarr", path / "parts" / "000004.zarr")
    with pytest.raises(StorageError, match=r"not those of the parameters|do not fit together"):
        bg.load(path)


# ------------------------------------------------------------------------------------------------ the engine


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Any, Any, Any]] = []

    def keep(self, chain: int, draws: Mapping[str, Any], stats: Any, position: Any) -> None:
        self.calls.append((chain, draws["x"].tolist(), stats["n"].tolist(), position["x"].tolist()))


class Same:
    """Variables of the sampler that are those of the graph."""

    names = ("x",)

    def back(self, draws: Any) -> Any:
        return draws


def padded(*lengths: int) -> Trace:
    x = np.full((len(lengths), max(lengths)), np.nan)
    for chain, length in enumerate(lengths):
        x[chain, :length] = np.arange(length) + 10.0 * chain
    return Trace({"x": x}, {"its_n": np.where(np.isnan(x), 0, 1)})


def test_only_what_is_new_is_handed_over() -> None:
    sink = Kept()
    handover = Handover(sink, Same(), {"n": "its_n", "missing": "other"})  # type: ignore[arg-type]
    handover(Trace({}, {}))
    handover(padded(2, 0))
    handover(padded(2, 3))
    handover(padded(4, 3))
    assert sink.calls == [
        (0, [0.0, 1.0], [1, 1], 1.0),
        (1, [10.0, 11.0, 12.0], [1, 1, 1], 12.0),
        (0, [2.0, 3.0], [1, 1], 3.0),
    ]


class Sampler:
    """Takes some waiting, has one draw more at every look."""

    def __init__(self, draws: int, interrupted: bool = False) -> None:
        self.draws, self.seen, self.interrupted = draws, 0, interrupted

    def wait(self, timeout: float | None = None) -> Any:
        if self.interrupted and self.seen:
            raise KeyboardInterrupt
        if timeout is None or self.seen + 1 >= self.draws:
            return self._tree(self.draws)
        raise TimeoutError

    def inspect(self) -> Any:
        self.seen += 1
        return self._tree(self.seen)

    abort = inspect

    def _tree(self, length: int) -> Any:
        import xarray as xr

        x = np.arange(float(length))[None]
        groups = {"posterior": ("x", x), "sample_stats": ("its_n", np.ones((1, length), dtype=int))}
        return xr.DataTree.from_dict(
            {name: xr.Dataset({key: (("chain", "draw"), values)}) for name, (key, values) in groups.items()}
        )


def test_samplers_are_looked_at_while_they_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "EVERY", 0.0)
    sink = Kept()
    trace, interrupted = streaming.waited(Sampler(3), Handover(sink, Same(), {"n": "its_n"}))  # type: ignore[arg-type]
    assert (trace.length(("x",)), interrupted) == (3, False)
    assert [draws for _, draws, _, _ in sink.calls] == [[0.0], [1.0], [2.0]]
    sink = Kept()
    handover = Handover(sink, Same(), {"n": "its_n"})  # type: ignore[arg-type]
    trace, interrupted = streaming.waited(Sampler(9, interrupted=True), handover)
    assert (trace.length(("x",)), interrupted) == (2, True)
    assert [value for _, draws, _, _ in sink.calls for value in draws] == [0.0, 1.0]


def test_single_chains_run_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "EVERY", 0.0)
    sink, begun = Kept(), list[int]()

    def start(chain: int) -> Any:
        begun.append(chain)
        return Sampler(2 + chain)

    handover = Handover(sink, Same(), {"n": "its_n"})  # type: ignore[arg-type]
    assert not streaming.run_chains_alone(start, [0, 2, 3], 2, handover)
    assert begun == [0, 2, 3]
    for chain in begun:
        kept = [value for own, draws, _, _ in sink.calls if own == chain for value in draws]
        assert kept == np.arange(2.0 + chain).tolist()


PROGRAM = """
import os, sys, threading, time
import bayesglmm as bg
from bayesglmm.engines import streaming
streaming.EVERY = 0.3
path = sys.argv[1]

def kill():
    while not os.path.isdir(os.path.join(path, "parts", "000003.zarr")):
        time.sleep(0.02)
    os.kill(os.getpid(), 9)

threading.Thread(target=kill, daemon=True).start()
data = bg.load_dataset("cbpp")
model = bg.Model("incidence ~ period + (1 | herd)", data, family="poisson")
model.fit("nuts", seed=1, draws=2_000_000, tune=100, chains=2, cores=2, progressbar=False, store=path)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal 9 on Windows")
def test_a_real_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """The draws before and after are of the same posterior; nothing that was stored is lost."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "run.zarr")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    stored = parts_of(tmp_path / "run.zarr")
    assert {part.chain for part in stored} == {0, 1}
    fit = bg.resume(tmp_path / "run.zarr", 400)
    run = fit.data["sample_stats"]["run"].values
    beta = fit.draws["beta"].values
    for chain in range(2):
        first = np.concatenate([part.draws["beta"] for part in stored if part.chain == chain])
        np.testing.assert_array_equal(beta[chain][run[chain] == 0], first)
    before, after = beta[run == 0], beta[run == 1]
    assert len(after) >= 800
    # Monte Carlo error of 800 draws that are worth at least 200
    assert np.all(np.abs(before.mean(axis=0) - after.mean(axis=0)) < 5.0 * before.std(axis=0) / np.sqrt(200.0))
    assert np.all(np.abs(np.log(before.std(axis=0) / after.std(axis=0))) < 0.35)
    assert bg.load(tmp_path / "run.zarr").data.identical(fit.data)

"""Chains of a Metropolis kernel: tuned, frozen, drawn from; in this process or in several."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.progress import Progress
from bayesglmm.parallel import alone, distributed, one_thread, parallel_map


class State(Protocol):
    """Where a chain is."""

    @property
    def theta(self) -> Floats:
        """Hyperparameters, unconstrained, shape (t,)."""

    @property
    def x(self) -> Floats:
        """Coefficients, shape (size,)."""

    @property
    def log_density(self) -> float:
        """Log p(y, x, theta)."""


class Kernel(Protocol):
    """A transition that leaves the posterior as it is, given its tuning."""

    @property
    def stats(self) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of what `step` tells."""

    def tuning(self) -> Any:
        """Return what tuning begins with."""

    def start(self, rng: np.random.Generator) -> Any:
        """Draw a start."""

    def step(self, rng: np.random.Generator, state: Any, tuning: Any) -> tuple[Any, dict[str, Any]]:
        """Return the next state and what happened; a function of its arguments."""

    def adapted(self, tuning: Any, state: Any, info: Mapping[str, Any]) -> Any:
        """Return the tuning after a step."""


@dataclass(frozen=True)
class Plan:
    """How long, how many.

    Attributes
    ----------
    tune, draws, chains : int
    theta, x : int
        Lengths of the two vectors.
    stats : mapping of str to tuple of int
    """

    tune: int
    draws: int
    chains: int
    theta: int
    x: int
    stats: Mapping[str, tuple[int, ...]]


class Record:
    """What chains have drawn so far; on disk where several processes write to it.

    Parameters
    ----------
    plan : Plan
    folder : Path or None
        Where its files are; in memory if None.
    create : bool
        Make the files, or open those that are there.
    """

    def __init__(self, plan: Plan, folder: Path | None = None, create: bool = True) -> None:
        self.plan = plan
        shape = (plan.chains, plan.draws)
        shapes = {"theta": (*shape, plan.theta), "x": (*shape, plan.x), "lp": shape}
        self.stats = {name: (*shape, *own) for name, own in plan.stats.items()}
        self._folder, self._create = folder, create
        self.arrays = {name: self._array(name, own, float) for name, own in shapes.items()}
        for name, own in self.stats.items():
            self.arrays[name] = self._array(name, own, bool if name == "accepted" else float)
        self.steps = self._array("steps", (plan.chains,), np.int64)

    def _array(self, name: str, shape: tuple[int, ...], kind: Any) -> Any:
        if self._folder is None or 0 in shape:
            return np.zeros(shape, dtype=kind)
        path = self._folder / f"{name}.bin"
        return np.memmap(path, dtype=kind, mode="w+" if self._create else "r+", shape=shape)

    def note(self, chain: int, step: int, state: State, info: Mapping[str, Any]) -> None:
        """Write the outcome of a step, counted from zero with tuning first."""
        k = step - self.plan.tune
        if k >= 0:
            arrays = self.arrays
            arrays["theta"][chain, k], arrays["x"][chain, k] = state.theta, state.x
            arrays["lp"][chain, k] = state.log_density
            for name in self.stats:
                arrays[name][chain, k] = info[name]
        self.steps[chain] = step + 1

    def take(self, chain: int, arrays: Mapping[str, Any]) -> None:
        """Write a complete chain, arrays of shape (draws, ...)."""
        for name, values in arrays.items():
            self.arrays[name][chain] = values
        self.steps[chain] = self.plan.tune + self.plan.draws

    def length(self) -> int:
        """Return how many draws every chain has."""
        return max(int(self.steps.min()) - self.plan.tune, 0)

    def cut(self, length: int) -> dict[str, Any]:
        """Return the first draws of every chain, in memory."""
        return {name: np.array(values[:, :length]) for name, values in self.arrays.items()}


def advance(kernel: Kernel, record: Record, chain: int, seed: np.random.SeedSequence) -> Iterator[None]:
    """Run one chain, pausing after every step."""
    rng = np.random.default_rng(seed)
    with alone():  # what compiles does so here
        state = kernel.start(rng)
    tuning, plan = kernel.tuning(), record.plan
    for step in range(plan.tune + plan.draws):
        state, info = kernel.step(rng, state, tuning)
        if step < plan.tune:
            tuning = kernel.adapted(tuning, state, info)
        record.note(chain, step, state, info)
        yield


class ChainProgress(Progress):
    """The line of a run of chains: what share of the steps is done."""

    record: Record | None = None

    def line(self) -> str:
        """Return the line as text."""
        text = super().line()
        if self.record is None:
            return text
        plan, steps = self.record.plan, int(self.record.steps.sum())
        total = (plan.tune + plan.draws) * plan.chains
        phase = "tuning" if self.record.steps.min() < plan.tune else "drawing"
        return f"{text}, {phase}: {steps} of {total} steps ({steps / total:.0%})"


def run_chains(
    kernel: Kernel, plan: Plan, seed: int, workers: int | None, progress: ChainProgress
) -> tuple[Any, int, bool]:
    """Run all chains.

    Parameters
    ----------
    kernel : Kernel
    plan : Plan
    seed : int
        Every chain has a stream of its own, so that workers and their number change nothing.
    workers : int or None
        Chains at once, each in a worker of joblib; one runs all chains here, in turns. None for what
        ``joblib.parallel_config`` says.
    progress : ChainProgress

    Returns
    -------
    draws : dict of str to ndarray, shape (chains, length, ...)
        ``theta``, ``x``, ``lp`` and the statistics; after an interruption on a cluster of those chains alone that
        had come to their end.
    length : int
        Draws that every chain has.
    interrupted : bool
    """
    seeds = np.random.SeedSequence(seed).spawn(plan.chains)
    if workers == 1:
        record = progress.record = Record(plan)
        interrupted = _run_here(kernel, record, seeds)
        return record.cut(record.length()), record.length(), interrupted
    if distributed():
        record = progress.record = Record(plan)
        return _run_on_cluster(kernel, record, seeds)
    with tempfile.TemporaryDirectory(prefix="bayesglmm-") as name:
        record = progress.record = Record(plan, Path(name))
        interrupted = _run_in_workers(kernel, record, seeds, workers, Path(name))
        found = record.cut(record.length()), record.length(), interrupted
        progress.record = None
        del record
    return found


def _run_here(kernel: Kernel, record: Record, seeds: Any) -> bool:
    chains = [advance(kernel, record, c, seed) for c, seed in enumerate(seeds)]
    try:
        # In turns, so that an interruption leaves draws of every chain.
        with one_thread():
            for _ in range(record.plan.tune + record.plan.draws):
                for chain in chains:
                    next(chain)
    except KeyboardInterrupt:
        return True
    return False


def _run_in_workers(kernel: Kernel, record: Record, seeds: Any, workers: int | None, folder: Path) -> bool:
    chain = _ChainOnDisk(kernel, record.plan, folder)
    try:
        deque(parallel_map(chain, list(enumerate(seeds)), n_jobs=workers), maxlen=0)
    except KeyboardInterrupt:
        return True
    return False


def _run_on_cluster(kernel: Kernel, record: Record, seeds: Any) -> tuple[Any, int, bool]:
    """Run chains where no disk is shared: a chain comes back when it is complete."""
    finished, interrupted = 0, False
    try:
        for arrays in parallel_map(_ChainSentBack(kernel, record.plan), seeds):
            record.take(finished, arrays)
            finished += 1
    except KeyboardInterrupt:
        interrupted = True
    length = record.plan.draws if finished else 0
    return {name: values[:finished] for name, values in record.cut(length).items()}, length, interrupted


@dataclass(frozen=True, eq=False)
class _ChainOnDisk:
    """Runs a chain and writes it to files that are there; a chain that is run again writes the same."""

    kernel: Kernel
    plan: Plan
    folder: Path

    def __call__(self, item: tuple[int, np.random.SeedSequence]) -> None:
        record = Record(self.plan, self.folder, create=False)
        try:
            deque(advance(self.kernel, record, *item), maxlen=0)
        except KeyboardInterrupt:  # the terminal sends it to every process; the first one ends the run
            return


@dataclass(frozen=True, eq=False)
class _ChainSentBack:
    """Runs a chain and returns its arrays, shape (draws, ...)."""

    kernel: Kernel
    plan: Plan

    def __call__(self, seed: np.random.SeedSequence) -> dict[str, Any]:
        record = Record(replace(self.plan, chains=1))
        deque(advance(self.kernel, record, 0, seed), maxlen=0)
        return {name: values[0] for name, values in record.arrays.items()}

"""Chains of a sampler as tasks of their own, one by one on the workers of a cluster."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.engines.base import Engine, Run
from bayesglmm.engines.progress import Progress
from bayesglmm.errors import InterruptedBeforeFirstDrawError
from bayesglmm.graph.build import build, ingredients
from bayesglmm.graph.problem import Problem
from bayesglmm.parallel import alone, parallel_map


def run_apart(engine: Engine, problem: Problem, settings: Any, seed: int) -> Run:
    """Run every chain in a worker of joblib; Ctrl-C returns those that were complete.

    Parameters
    ----------
    engine : Engine
        Runs one chain like many.
    problem : Problem
    settings : Settings
        With `chains`, `cores` and `progressbar`.
    seed : int
        Every chain has a stream of its own: workers and their number change nothing. A sampler that runs its chains
        itself divides its stream otherwise, so its draws are others.

    Raises
    ------
    InterruptedBeforeFirstDrawError
        When interrupted before a chain was complete.
    """
    start = time.perf_counter()
    alone_settings = replace(settings, chains=1, cores=1, progressbar=False)
    chain = _Chain(engine, ingredients(problem), alone_settings)
    seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(settings.chains)]
    runs: list[Run] = []
    progress = Progress(engine.name.upper(), settings.progressbar)
    with progress.running():
        progress.now(f"chains on a cluster: 0 of {settings.chains}")
        try:
            for run in parallel_map(chain, seeds):
                runs.append(run)
                progress.now(f"chains on a cluster: {len(runs)} of {settings.chains}")
        except KeyboardInterrupt:
            if not runs:
                raise InterruptedBeforeFirstDrawError(
                    "Interrupted before a chain was complete, and a cluster sends only complete chains back: there "
                    "is nothing to keep."
                ) from None
    notes = dict.fromkeys(note for run in runs for note in run.notes)
    if len(runs) < settings.chains:
        notes[f"Interrupted: {len(runs)} of {settings.chains} chains were kept."] = None
    return Run(
        {name: np.concatenate([run.draws[name] for run in runs]) for name in runs[0].draws},
        {name: np.concatenate([run.stats[name] for run in runs]) for name in runs[0].stats},
        {"sample": time.perf_counter() - start},
        tuple(notes),
        runs[0].chosen,
    )


@dataclass(eq=False)
class _Chain:
    """Builds the model once per worker and runs chains of it.

    Attributes
    ----------
    engine : Engine
    parts : tuple
        What `build` makes the model of.
    settings : Settings
        Of one chain.
    """

    engine: Engine
    parts: tuple[Any, ...]
    settings: Any
    problem: Problem | None = None

    def __call__(self, seed: int) -> Run:
        if self.problem is None:
            with alone():
                self.problem = build(*self.parts)
        return self.engine.run(self.problem, self.settings, seed)

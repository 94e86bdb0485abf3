"""NUTS: the No-U-Turn sampler (Hoffman and Gelman 2014) of nutpie, or PyMC's own where nutpie is not wanted."""

from __future__ import annotations

import logging
import os
import time
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bayesglmm.engines.base import ENGINES, Engine, Run, Settings, require_integer
from bayesglmm.engines.prepared import Prepared, prepare
from bayesglmm.errors import InterruptedBeforeFirstDrawError, SettingsError
from bayesglmm.graph.problem import Problem

# Statistics kept with the draws: name in ArviZ's schema -> name in nutpie, name in PyMC.
_STATS = {
    "diverging": ("diverging", "diverging"),
    "energy": ("energy", "energy"),
    "step_size": ("step_size", "step_size"),
    "tree_depth": ("depth", "tree_depth"),
    "n_steps": ("n_steps", "n_steps"),
    "lp": ("logp", "model_logp"),
    "acceptance_rate": ("mean_tree_accept", "acceptance_rate"),
    "reached_max_treedepth": ("maxdepth_reached", "reached_max_treedepth"),
}


@dataclass(frozen=True)
class NutsSettings(Settings):
    """Settings of the NUTS engine.

    Attributes
    ----------
    draws : int
        Draws per chain after tuning.
    tune : int
        Tuning draws per chain; they are not kept.
    chains : int
        Independent chains.
    cores : int or None
        Chains that run at once; as many as there are processors (and chains) if None.
    target_accept : float
        Acceptance that the step size is adapted to; larger takes smaller steps and mends some divergences.
    max_treedepth : int
        At most ``2 ** max_treedepth`` gradient evaluations per draw.
    sampler : {"nutpie", "pymc"}
        Whose implementation runs.
    condition : bool
        Move in coordinates in which the group effects are nearly independent (`graph.coordinates`); False samples the
        variables of the graph as they are. The posterior is the same.
    progressbar : bool
        Show progress.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    target_accept: float = 0.9
    max_treedepth: int = 10
    sampler: Literal["nutpie", "pymc"] = "nutpie"
    condition: bool = True
    progressbar: bool = True

    def check(self) -> None:
        """Raise `SettingsError` on a value out of range."""
        for name, minimum in (("draws", 1), ("tune", 50), ("chains", 1), ("max_treedepth", 1)):
            require_integer(name, getattr(self, name), minimum)
        if self.cores is not None:
            require_integer("cores", self.cores, 1)
        if not 0 < self.target_accept < 1:
            raise SettingsError(f"target_accept must lie between 0 and 1, not {self.target_accept!r}.")
        if self.sampler not in ("nutpie", "pymc"):
            raise SettingsError(f'sampler must be "nutpie" or "pymc", not {self.sampler!r}.')

    @property
    def parallel(self) -> int:
        """Chains that run at once."""
        return min(self.chains, self.cores or os.cpu_count() or 1)


class Nuts(Engine):
    """Hamiltonian Monte Carlo with trees; exact up to Monte Carlo error once its chains have converged."""

    name = "nuts"
    settings = NutsSettings

    def run(self, problem: Problem, settings: NutsSettings, seed: int) -> Run:
        """Sample; Ctrl-C returns the draws that every chain has.

        Raises
        ------
        InterruptedBeforeFirstDrawError
            When interrupted while some chain had no draw yet.
        SettingsError
            If the model has no free parameter.
        """
        if not problem.model.free_RVs:
            raise SettingsError("There is nothing to sample: every parameter of the model is held.")
        sample = _sample_nutpie if settings.sampler == "nutpie" else _sample_pymc
        start = time.perf_counter()
        prepared = prepare(problem, settings.condition)
        preparation = time.perf_counter() - start
        tree, seconds, interrupted = sample(prepared, settings, seed)
        length = _common_length(tree, prepared)
        if length == 0:
            raise InterruptedBeforeFirstDrawError(
                "Interrupted before every chain had its first draw after tuning: there is nothing to keep."
            )
        draws = prepared.back({name: np.asarray(tree["posterior"][name])[:, :length] for name in prepared.names})
        which = 0 if settings.sampler == "nutpie" else 1
        available = tree["sample_stats"]
        stats = {
            name: np.asarray(available[names[which]])[:, :length]
            for name, names in _STATS.items()
            if names[which] in available
        }
        notes = (prepared.note,) if prepared.note else ()
        if interrupted:
            notes = (*notes, f"Interrupted: {length} of {settings.draws} draws per chain were kept.")
        return Run(draws, stats, {"prepare": preparation, **seconds}, notes)


def _common_length(tree: Any, prepared: Prepared) -> int:
    """Return how many draws every chain has: interrupted chains are padded with nan."""
    if "posterior" not in tree.children:
        return 0
    name = prepared.names[0]
    values = np.asarray(tree["posterior"][name], dtype=float)
    complete = np.isfinite(values.reshape(*values.shape[:2], int(np.prod(values.shape[2:])))).all(axis=(0, 2))
    return int(complete.argmin()) if not complete.all() else int(complete.size)


def _sample_nutpie(prepared: Prepared, settings: NutsSettings, seed: int) -> tuple[Any, dict[str, float], bool]:
    import nutpie

    start = time.perf_counter()
    compiled = prepared.compiled
    middle = time.perf_counter()
    sampler = nutpie.sample(
        compiled,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.parallel,
        seed=seed,
        save_warmup=False,
        progress_bar=settings.progressbar,
        target_accept=settings.target_accept,
        maxdepth=settings.max_treedepth,
        blocking=False,
    )
    interrupted = False
    try:
        tree = sampler.wait()
    except KeyboardInterrupt:
        interrupted = True
        with warnings.catch_warnings():
            # ArviZ wonders about more chains than draws, which is what an early interruption leaves.
            warnings.simplefilter("ignore", UserWarning)
            tree = sampler.abort()
    return tree, {"compile": middle - start, "sample": time.perf_counter() - middle}, interrupted


def _sample_pymc(prepared: Prepared, settings: NutsSettings, seed: int) -> tuple[Any, dict[str, float], bool]:
    import pymc as pm

    start = time.perf_counter()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    tree = pm.sample(
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.parallel,
        random_seed=seed,
        model=prepared.model,
        nuts_sampler="pymc",
        target_accept=settings.target_accept,
        nuts={"max_treedepth": settings.max_treedepth},
        progressbar=settings.progressbar,
        compute_convergence_checks=False,
        compile_kwargs={"mode": "NUMBA"},  # needs no C compiler on the user's machine
    )
    interrupted = tree["posterior"].sizes["draw"] < settings.draws
    return tree, {"sample": time.perf_counter() - start}, interrupted


ENGINES.register(Nuts())

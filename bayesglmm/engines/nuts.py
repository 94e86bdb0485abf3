"""NUTS: the No-U-Turn sampler (Hoffman and Gelman 2014) of nutpie, or PyMC's own where nutpie is not wanted."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from bayesglmm.engines.apart import run_apart
from bayesglmm.engines.base import ENGINES, Engine, Run, Settings, require_integer
from bayesglmm.engines.prepared import Prepared, prepare
from bayesglmm.engines.streaming import Handover, Sink, Trace, beginning_at, run_chains_alone, waited
from bayesglmm.errors import InterruptedBeforeFirstDrawError, SettingsError
from bayesglmm.graph.problem import Problem
from bayesglmm.parallel import distributed

# Statistics kept with the draws: name in ArviZ's schema -> name in nutpie, name in PyMC. NumPyro has ArviZ's names.
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


# What None stands for: draws to tune on and acceptance. In conditioned coordinates the posterior is nearly standard
# normal before anything is tuned: few draws find the rest, and the integrator is exact for that part of the density.
_TUNE = {"ahead": 300, "compiled": 1000, "graph": 1000}
_ACCEPT = {"ahead": 0.8, "compiled": 0.8, "graph": 0.9}

_SAMPLERS = ("nutpie", "pymc", "numpyro")
_PATHS = ("auto", "ahead", "compiled", "graph")


@dataclass(frozen=True)
class NutsSettings(Settings):
    """Settings of the NUTS engine.

    Attributes
    ----------
    draws : int
        Draws per chain after tuning.
    tune : int or None
        Tuning draws per chain; they are not kept. If None, 300 on the path ``"ahead"`` and 1,000 on others.
    chains : int
        Independent chains.
    cores : int or None
        Chains that run at once; as many as there are processors (and chains) if None. Chains are threads of this
        process. Where ``joblib.parallel_config`` names a cluster each is a task there, with other draws of the same
        posterior; 1 keeps them here.
    target_accept : float or None
        Acceptance that the step size is adapted to; larger takes smaller steps and mends some divergences. If None,
        0.9 for the variables of the graph and 0.8 in the other coordinates; 0.9 for other samplers than nutpie.
    max_treedepth : int
        At most ``2 ** max_treedepth`` gradient evaluations per draw.
    sampler : {"nutpie", "pymc", "numpyro"}
        Whose implementation runs; NumPyro's on JAX, which the extra ``bayesglmm[jax]`` brings.
    path : {"auto", "ahead", "compiled", "graph"}
        What is sampled; the posterior is the same. ``"ahead"``: coordinates in which the group effects are nearly
        independent, by code that was compiled before (groups with covariances ``us``, ``diag`` and ``iid``, one
        predictor, common families and priors). ``"compiled"``: the same coordinates, compiled for this model.
        ``"graph"``: the variables of the graph as they are. ``"auto"``: the first of them that is possible.
        In the first two nutpie's integrator is exact for the standard normal, which the posterior resembles there:
        longer steps, a half to a third of the gradients.
    progressbar : bool
        Show progress.
    """

    draws: int = 1000
    tune: int | None = None
    chains: int = 4
    cores: int | None = None
    target_accept: float | None = None
    max_treedepth: int = 10
    sampler: Literal["nutpie", "pymc", "numpyro"] = "nutpie"
    path: Literal["auto", "ahead", "compiled", "graph"] = "auto"
    progressbar: bool = True

    def check(self) -> None:
        """Raise `SettingsError` on a value out of range."""
        for name, minimum in (("draws", 1), ("chains", 1), ("max_treedepth", 1)):
            require_integer(name, getattr(self, name), minimum)
        for name, minimum in (("tune", 50), ("cores", 1)):
            if getattr(self, name) is not None:
                require_integer(name, getattr(self, name), minimum)
        if self.target_accept is not None and not 0 < self.target_accept < 1:
            raise SettingsError(f"target_accept must lie between 0 and 1, not {self.target_accept!r}.")
        if self.sampler not in _SAMPLERS:
            raise SettingsError(f"sampler must be one of {', '.join(map(repr, _SAMPLERS))}, not {self.sampler!r}.")
        if self.sampler == "numpyro" and (find_spec("numpyro") is None or find_spec("jax") is None):
            raise SettingsError('sampler="numpyro" needs JAX and NumPyro: pip install "bayesglmm[jax]".')
        if self.path not in _PATHS:
            raise SettingsError(f"path must be one of {', '.join(map(repr, _PATHS))}, not {self.path!r}.")
        if self.sampler != "nutpie" and self.path == "ahead":
            raise SettingsError(f'path="ahead" is for sampler="nutpie": {self.sampler} samples a graph.')

    @property
    def parallel(self) -> int:
        """Chains that run at once."""
        return min(self.chains, self.cores or os.cpu_count() or 1)

    def chosen(self, prepared: Prepared) -> tuple[int, float]:
        """Return the tuning draws and the acceptance for what is sampled."""
        path = prepared.path
        accept = _ACCEPT[path] if self.sampler == "nutpie" else _ACCEPT["graph"]
        return self.tune or _TUNE[path], self.target_accept or accept


class Nuts(Engine):
    """Hamiltonian Monte Carlo with trees; exact up to Monte Carlo error once its chains have converged."""

    name = "nuts"
    settings = NutsSettings
    streams = True

    def run(self, problem: Problem, settings: NutsSettings, seed: int, sink: Sink | None = None) -> Run:
        """Sample; Ctrl-C returns the draws that every chain has.

        Parameters
        ----------
        problem : Problem
        settings : NutsSettings
        seed : int
        sink : Sink, optional
            Receives the draws while the run goes on.

        Raises
        ------
        InterruptedBeforeFirstDrawError
            When interrupted while some chain had no draw yet.
        SettingsError
            If the model has no free parameter, or PyMC's sampler shall do what only nutpie's can.
        """
        if not problem.roles:
            raise SettingsError("There is nothing to sample: every parameter of the model is held.")
        if settings.sampler != "nutpie" and sink is not None:
            raise SettingsError('Draws are stored during a run by sampler="nutpie" alone.')
        if sink is None and distributed() and settings.cores != 1:
            return run_apart(self, problem, settings, seed)
        start = time.perf_counter()
        path = "compiled" if settings.sampler != "nutpie" and settings.path == "auto" else settings.path
        prepared = prepare(problem, path)
        preparation = time.perf_counter() - start
        which = 0 if settings.sampler == "nutpie" else 1
        kept = {name: name if settings.sampler == "numpyro" else names[which] for name, names in _STATS.items()}
        if which:
            trace, seconds, interrupted = _sample_pymc(prepared, settings, seed)
        else:
            handover = None if sink is None else Handover(sink, prepared, kept)
            trace, seconds, interrupted = _sample_nutpie(prepared, settings, seed, handover)
        length = trace.length(prepared.names)
        if length == 0:
            raise InterruptedBeforeFirstDrawError(
                "Interrupted before every chain had its first draw after tuning: there is nothing to keep."
            )
        draws = prepared.back(trace.part(prepared.names, 0, length))
        stats = {name: trace.stats[own][:, :length] for name, own in kept.items() if own in trace.stats}
        notes = (prepared.note,) if prepared.note else ()
        if interrupted:
            notes = (*notes, f"Interrupted: {length} of {settings.draws} draws per chain were kept.")
        used = dict(zip(("tune", "target_accept"), settings.chosen(prepared), strict=True))
        chosen = {name: value for name, value in used.items() if getattr(settings, name) is None}
        return Run(draws, stats, {"prepare": preparation, **seconds}, notes, chosen)

    def resume(
        self,
        problem: Problem,
        settings: NutsSettings,
        seed: int,
        sink: Sink,
        positions: Sequence[Mapping[str, Any] | None],
        draws: Sequence[int],
    ) -> bool:
        """Continue chains where they were, after tuning anew.

        Parameters
        ----------
        problem : Problem
        settings : NutsSettings
        seed : int
        sink : Sink
            Receives all draws.
        positions : sequence of mapping or None
            Where each chain begins, as a sink received it; None for chains that had no draw.
        draws : sequence of int
            How many draws each chain lacks.

        Returns
        -------
        bool
            Whether it was interrupted by Ctrl-C.

        Raises
        ------
        SettingsError
            If a position does not fit the model.
        """
        prepared = prepare(problem, settings.path)
        kept = {name: names[0] for name, names in _STATS.items()}
        seeds = np.random.SeedSequence(seed).generate_state(len(draws))
        lacking = [chain for chain, missing in enumerate(draws) if missing > 0]
        # Starts are computed here: nutpie asks for them in threads of its own.
        begun = {chain: beginning_at(prepared, positions[chain]) for chain in lacking}

        def start(chain: int) -> Any:
            own = {"draws": draws[chain], "chains": 1, "cores": 1, "progress_bar": False}
            return _started(begun[chain], prepared, settings, int(seeds[chain]), **own)

        return run_chains_alone(start, lacking, settings.parallel, Handover(sink, prepared, kept))


def _sample_nutpie(
    prepared: Prepared, settings: NutsSettings, seed: int, handover: Handover | None
) -> tuple[Trace, dict[str, float], bool]:
    start = time.perf_counter()
    compiled = prepared.compiled
    middle = time.perf_counter()
    chains, cores, shown = settings.chains, settings.parallel, settings.progressbar
    own = {"draws": settings.draws, "chains": chains, "cores": cores, "progress_bar": shown}
    sampler = _started(compiled, prepared, settings, seed, **own)
    trace, interrupted = waited(sampler, handover)
    return trace, {"compile": middle - start, "sample": time.perf_counter() - middle}, interrupted


def _started(compiled: Any, prepared: Prepared, settings: NutsSettings, seed: int, **options: Any) -> Any:
    """Return a sampler of nutpie that has begun."""
    from bayesglmm.engines.nutpie_alone import nutpie

    tune, accept = settings.chosen(prepared)
    return nutpie.sample(
        compiled,
        seed=seed,
        tune=tune,
        save_warmup=False,
        target_accept=accept,
        maxdepth=settings.max_treedepth,
        exact_normal_trajectory=prepared.path != "graph",
        blocking=False,
        **options,
    )


def _sample_pymc(prepared: Prepared, settings: NutsSettings, seed: int) -> tuple[Trace, dict[str, float], bool]:
    import pymc as pm

    start = time.perf_counter()
    tune, accept = settings.chosen(prepared)
    logging.getLogger("pymc").setLevel(logging.ERROR)
    if settings.sampler == "numpyro":
        # Chains side by side in one program, which is how a GPU earns its keep.
        own: dict[str, Any] = {
            "nuts": {"max_tree_depth": settings.max_treedepth, "chain_method": "vectorized"},
        }
    else:
        own = {
            "nuts": {"max_treedepth": settings.max_treedepth},
            "compile_kwargs": {"mode": "NUMBA"},
        }  # no C compiler
    own["nuts"]["target_accept"] = accept
    tree = pm.sample(
        draws=settings.draws,
        tune=tune,
        chains=settings.chains,
        cores=settings.parallel,
        random_seed=seed,
        model=prepared.model,
        nuts_sampler=settings.sampler,
        progressbar=settings.progressbar,
        compute_convergence_checks=False,
        **own,
    )
    interrupted = tree["posterior"].sizes["draw"] < settings.draws
    return Trace.of_tree(tree), {"sample": time.perf_counter() - start}, interrupted


ENGINES.register(Nuts())

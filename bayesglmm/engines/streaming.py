"""Runs of nutpie that hand over what they have drawn while they go on, and runs that begin at given points."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.prepared import Prepared
from bayesglmm.errors import SettingsError
from bayesglmm.graph.compiler import without_c

EVERY = 20.0
"""Seconds between two hand-overs; more where handing over takes more than a twentieth of the time."""


class Sink(Protocol):
    """Where draws go while a run goes on."""

    def keep(
        self, chain: int, draws: Mapping[str, Any], stats: Mapping[str, Any], position: Mapping[str, Any]
    ) -> None:
        """Take new draws of one chain; chains need not be equally far.

        Parameters
        ----------
        chain : int
        draws : mapping of str to ndarray, shape (new, ...)
            Of every free variable of the graph, since the last call for this chain.
        stats : mapping of str to ndarray, shape (new,)
        position : mapping of str to ndarray
            The last of them, in the variables of the sampler.
        """


@dataclass(frozen=True, eq=False)
class Trace:
    """What a sampler has drawn: arrays of shape (chains, draws, ...), padded with nan where chains are shorter.

    Attributes
    ----------
    draws : mapping of str to ndarray
        Of the variables of the sampler.
    stats : mapping of str to ndarray
        By the names of the sampler.
    """

    draws: Mapping[str, Any]
    stats: Mapping[str, Any]

    @classmethod
    def of_tree(cls, tree: Any) -> Trace:
        """Return what is in a tree of nutpie or PyMC."""
        groups = [
            {str(name): np.asarray(values) for name, values in tree[group].data_vars.items()}
            if group in tree.children
            else {}
            for group in ("posterior", "sample_stats")
        ]
        return cls(*groups)

    def lengths(self, names: Sequence[str]) -> list[int]:
        """Return how many draws each chain has: chains that are not as far as others are padded with nan."""
        if names[0] not in self.draws:
            return []
        values = np.asarray(self.draws[names[0]], dtype=float)
        complete = np.isfinite(values.reshape(*values.shape[:2], int(np.prod(values.shape[2:])))).all(axis=2)
        return [int(own.argmin()) if not own.all() else int(own.size) for own in complete]

    def length(self, names: Sequence[str]) -> int:
        """Return how many draws every chain has."""
        return min(self.lengths(names), default=0)

    def part(self, names: Sequence[str], start: int, stop: int, chains: slice = slice(None)) -> dict[str, Any]:
        """Return some draws of some variables."""
        return {name: np.asarray(self.draws[name])[chains, start:stop] for name in names}


@dataclass(eq=False)
class Handover:
    """Gives a sink what is new in a trace.

    Parameters
    ----------
    sink : Sink
    prepared : Prepared
        The way back to the variables of the graph.
    stats : mapping of str to str
        Statistics to keep: name in ArviZ's schema -> name in the sampler.
    """

    sink: Sink
    prepared: Prepared
    stats: Mapping[str, str]
    done: dict[int, int] = field(default_factory=dict, init=False)

    def __call__(self, trace: Trace, first: int = 0) -> None:
        """Hand over what was not handed over before; the trace holds the chains from number `first` on."""
        names = self.prepared.names
        for row, length in enumerate(trace.lengths(names)):
            done, chain = self.done.get(first + row, 0), slice(row, row + 1)
            if length <= done:
                continue
            new = trace.part(names, done, length, chain)
            there = {own: its for own, its in self.stats.items() if its in trace.stats}
            stats = {own: np.asarray(trace.stats[its][row, done:length]) for own, its in there.items()}
            draws = {name: np.asarray(values)[0] for name, values in self.prepared.back(new).items()}
            self.sink.keep(first + row, draws, stats, {name: values[0, -1] for name, values in new.items()})
            self.done[first + row] = length


def waited(sampler: Any, handover: Handover | None) -> tuple[Trace, bool]:
    """Wait for a sampler, handing over now and then; Ctrl-C ends it.

    Parameters
    ----------
    sampler : nutpie's
    handover : Handover or None

    Returns
    -------
    trace : Trace
    interrupted : bool
    """
    interrupted, pause = False, EVERY
    with warnings.catch_warnings():
        # ArviZ wonders about more chains than draws, which is what one sees early.
        warnings.simplefilter("ignore", UserWarning)
        try:
            while True:
                try:
                    tree = sampler.wait(timeout=None if handover is None else pause)
                    break
                except TimeoutError:
                    assert handover is not None  # without, there is no timeout
                    pause = _handed_over(handover, [(0, sampler)])
        except KeyboardInterrupt:
            interrupted = True
            tree = sampler.abort()
    trace = Trace.of_tree(tree)
    if handover is not None:
        handover(trace)
    return trace, interrupted


def _handed_over(handover: Handover, samplers: Iterable[tuple[int, Any]]) -> float:
    """Hand over what samplers have; return how long to wait until the next time."""
    start = time.perf_counter()
    for chain, sampler in samplers:
        handover(Trace.of_tree(sampler.inspect()), chain)
    return max(EVERY, 20.0 * (time.perf_counter() - start))


def run_chains_alone(start: Callable[[int], Any], chains: Sequence[int], parallel: int, handover: Handover) -> bool:
    """Run chains as samplers of their own, which begin at given points: nutpie's many chains begin where they like.

    Parameters
    ----------
    start : callable
        Starts the sampler of one chain, by its number.
    chains : sequence of int
    parallel : int
        How many run at once.
    handover : Handover
        Receives all draws.

    Returns
    -------
    bool
        Whether it was interrupted.
    """
    waiting, running = list(chains), dict[int, Any]()
    due = time.perf_counter() + EVERY
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            while waiting or running:
                while waiting and len(running) < parallel:
                    chain = waiting.pop(0)
                    running[chain] = start(chain)
                for chain in list(running):
                    try:
                        handover(Trace.of_tree(running[chain].wait(timeout=0.05)), chain)
                        del running[chain]
                    except TimeoutError:
                        continue
                if time.perf_counter() > due:
                    due = time.perf_counter() + _handed_over(handover, running.items())
        except KeyboardInterrupt:
            for chain, sampler in running.items():
                handover(Trace.of_tree(sampler.abort()), chain)
            return True
    return False


def beginning_at(prepared: Prepared, position: Mapping[str, Any] | None) -> Any:
    """Return the compiled model of a chain that begins at a point.

    Parameters
    ----------
    prepared : Prepared
    position : mapping of str to ndarray, or None
        In the variables of the sampler, as a sink received it. None: where chains begin otherwise.

    Raises
    ------
    SettingsError
        If it does not fit the variables.
    """
    if position is None:
        return prepared.compiled
    if prepared.ahead:
        pieces = []
        for name, shape in prepared.compiled.variables.items():
            piece: Any = np.asarray(position.get(name), dtype=float)
            if piece.shape != shape or not np.isfinite(piece).all():
                raise SettingsError(f"The position to begin at does not fit the variable {name!r}.")
            pieces.append(piece.ravel())
        return prepared.compiled.starting_at(np.concatenate(pieces))
    with without_c():
        point = np.concatenate(list(_flat_position(prepared, position)))
    return replace(prepared.compiled, initial_point_func=lambda seed: point)


def _flat_position(prepared: Prepared, position: Mapping[str, Any]) -> Iterator[Floats]:
    for variable in prepared.model.free_RVs:
        value: Any = np.asarray(position.get(variable.name), dtype=float)
        if value.shape != tuple(variable.shape.eval()) or not np.isfinite(value).all():
            raise SettingsError(f"The position to begin at does not fit the variable {variable.name!r}.")
        transform = prepared.model.rvs_to_transforms[variable]
        if transform is not None:
            value = np.asarray(transform.forward(value, *variable.owner.inputs).eval())
        yield value.ravel()

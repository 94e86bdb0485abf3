"""Runs on disk while they go on: a folder with the model and one part after the other of the draws.

``run.zarr`` is first a file with the model and the settings of the run; beside its arrays the folder ``parts``
collects draws, each part a complete small file. When the run is complete, a saved fit takes the place of the folder.
A fit that is resumed collects parts beside itself in the same way.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import StorageError
from bayesglmm.records import packed
from bayesglmm.records.fields import take
from bayesglmm.results.schema import POSTERIOR, SAMPLE
from bayesglmm.results.store import FACTS_OF_RUNS, record
from bayesglmm.storage import Record, Variable, kind_of, read, write

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.results import Fit

FORMAT, PART = "bayesglmm run", "bayesglmm part"
VERSION = 1
RUN = "run"
_PARTS = "parts"
_POSITION = "sampler_position"
_KEPT = (POSTERIOR, "sample_stats", "observed_data", "constant_data")
_RESUMED, _UNFINISHED = "Resumed:", "Unfinished:"


@dataclass(frozen=True, eq=False)
class Part:
    """Draws of one chain that were stored together.

    Attributes
    ----------
    chain, run : int
        Run 0 is the first one, then one more for every time that it was resumed.
    seed : int
    wanted : int
        Draws per chain that there shall be in the end, those of earlier runs included.
    seconds : float
        Since the run began.
    draws, stats, position : mapping of str to ndarray
        As a sink receives them.
    """

    chain: int
    run: int
    seed: int
    wanted: int
    seconds: float
    draws: Mapping[str, Any]
    stats: Mapping[str, Any]
    position: Mapping[str, Any]


@dataclass(eq=False)
class Journal:
    """Where a run stores its draws; a sink of `engines.streaming`.

    Parameters
    ----------
    path : Path
        The folder.
    run, seed, wanted : int
        As in `Part`.
    positions : dict of int to mapping
        Where the chains are, as far as they have draws.
    """

    path: Path
    run: int
    seed: int
    wanted: int
    positions: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter, init=False)

    def keep(
        self, chain: int, draws: Mapping[str, Any], stats: Mapping[str, Any], position: Mapping[str, Any]
    ) -> None:
        """Store a part; when this returns it is on the disk."""
        folder = self.path / _PARTS
        folder.mkdir(exist_ok=True)
        number = 1 + max((int(place.stem) for place in _stored(self.path)), default=0)
        document = {
            "format": PART,
            "format_version": VERSION,
            "chain": chain,
            "run": self.run,
            "seed": self.seed,
            "wanted": self.wanted,
            "seconds": time.perf_counter() - self.begun,
        }
        groups = {"draws": draws, "stats": stats, "position": position}
        variables = {
            f"{group}/{name}": _variable(f"{group}_{name}", values, group != "position")
            for group, held in groups.items()
            for name, values in held.items()
        }
        write(folder / f"{number:06d}.zarr", Record(document, variables))
        self.positions[chain] = position

    def finish(self, fit: Fit) -> None:
        """Put the complete fit in the place of the run, with the positions at which its chains ended."""
        saved = record(fit)
        last = {
            f"{_POSITION}/chain_{chain}/{name}": _variable(f"position_{chain}_{name}", values, False)
            for chain, position in self.positions.items()
            for name, values in position.items()
        }
        write(self.path, replace(saved, variables={**saved.variables, **last}))


def _variable(name: str, values: Any, by_draw: bool) -> Variable:
    values = np.asarray(values)
    first = ("draw",) if by_draw else ()
    return Variable((*first, *(f"{name}_{axis}" for axis in range(values.ndim - len(first)))), values)


def begin(path: str | os.PathLike[str], model: Any, engine: str, settings: Mapping[str, Any], seed: int) -> Journal:
    """Write what a run begins with, and return where its draws go.

    Parameters
    ----------
    path : path
        Ends in ``.zarr``; nothing may be there.
    model : Model
    engine : str
    settings : mapping
        Of the engine, plain values.
    seed : int

    Raises
    ------
    StorageError
        If there is something, or it cannot be written.
    """
    target = Path(path)
    if kind_of(target) != ".zarr":
        raise StorageError(f"store={str(target)!r}: draws are stored in a folder that ends in .zarr.")
    if target.exists():
        raise StorageError(
            f"store={str(target)!r} exists already. bg.resume({str(target)!r}) continues the run in it; choose "
            "another name for a new one."
        )
    made = packed(model)
    document = {
        "format": FORMAT,
        "format_version": VERSION,
        "model": made.document,
        "engine": engine,
        "settings": dict(settings),
        "seed": seed,
    }
    write(target, Record(document, made.variables, {"": {"format": FORMAT, "engine": engine}}))
    return Journal(target, 0, seed, int(settings["draws"]))


def _stored(path: Path) -> list[Path]:
    """Return the complete parts in a folder, in their order."""
    return sorted(place for place in (path / _PARTS).glob("[0-9]*.zarr") if place.stem.isdigit())


def parts_of(path: str | os.PathLike[str]) -> list[Part]:
    """Return the parts beside a run or a fit, in their order; none where there are none.

    Raises
    ------
    StorageError
        If one is damaged.
    """
    return [_part(place) for place in _stored(Path(path))]


def _part(place: Path) -> Part:
    found = read(place)
    if found.document.get("format") != PART or take(found.document, "format_version", int) > VERSION:
        raise StorageError(f"{str(place)!r} is no part of a run that this version of bayesglmm can read.")
    groups: dict[str, Any] = {"draws": {}, "stats": {}, "position": {}}
    for key, variable in found.variables.items():
        group, _, name = key.partition("/")
        if group not in groups:
            raise StorageError(f"{str(place)!r} holds {key!r}, which no part does.")
        groups[group][name] = variable.values
    whole: dict[str, Any] = {name: take(found.document, name, int) for name in ("chain", "run", "seed", "wanted")}
    return Part(**whole, seconds=take(found.document, "seconds", float), **groups)


def together(parts: Sequence[Part]) -> Part:
    """Return the parts of one chain in one run as one."""
    last = parts[-1]
    if any(set(part.draws) != set(last.draws) or set(part.stats) != set(last.stats) for part in parts):
        raise StorageError("The parts of the run do not hold the same variables.")
    try:
        draws, stats = (
            {name: np.concatenate([own[name] for own in held]) for name in held[-1]}
            for held in ([part.draws for part in parts], [part.stats for part in parts])
        )
    except ValueError as error:
        raise StorageError(f"The parts of the run do not fit together: {error}.") from None
    return replace(last, draws=draws, stats=stats)


def positions_of(found: Record) -> dict[int, dict[str, Any]]:
    """Return where the chains of a fit that was stored during its run ended; empty for other fits."""
    positions: dict[int, dict[str, Any]] = {}
    for key, own in found.variables.items():
        head, _, name = key.rpartition("/")
        group, _, chain = head.rpartition("/chain_")
        if group == _POSITION and chain.isdigit():
            positions.setdefault(int(chain), {})[name] = own.values
    return positions


@dataclass(frozen=True, eq=False)
class Piece:
    """Draws of one chain in one run, as they stand in a tree.

    Attributes
    ----------
    run, seed : int
    posterior, stats : xarray.Dataset
        Of one chain.
    """

    run: int
    seed: int
    posterior: xr.Dataset
    stats: xr.Dataset

    @property
    def length(self) -> int:
        """How many draws."""
        return int(self.posterior.sizes["draw"])


def pieces_of(tree: xr.DataTree, run: int, seed: int) -> dict[int, Piece]:
    """Return the draws of a tree by chain; those of the first run where it does not say of which they are."""
    posterior, stats = tree[POSTERIOR].to_dataset(), tree["sample_stats"].to_dataset()
    if RUN not in stats:
        stats = stats.assign({RUN: (SAMPLE, np.full(tuple(stats.sizes[dim] for dim in SAMPLE), run))})
    return {
        chain: Piece(run, seed, posterior.isel(chain=[chain]), stats.isel(chain=[chain]))
        for chain in range(posterior.sizes["chain"])
    }


def joined(tree: xr.DataTree, chains: Sequence[Sequence[Piece]], wanted: int) -> xr.DataTree:
    """Return a tree of draws from several runs: those that every chain has, at most as many as were wanted.

    Parameters
    ----------
    tree : xarray.DataTree
        Whose data and facts are kept.
    chains : sequence of sequence of Piece
        The draws of each chain, the first run first.
    wanted : int

    Returns
    -------
    xarray.DataTree
        With ``run`` in ``sample_stats`` where there are several: 0 for draws of the first run, and so on.
    """
    import xarray as xr

    length = min(wanted, *(sum(piece.length for piece in pieces) for pieces in chains))
    numbers = {"draw": np.arange(length)}
    groups = {name: child.to_dataset() for name, child in tree.children.items() if name in _KEPT}
    for name, part in ((POSTERIOR, "posterior"), ("sample_stats", "stats")):
        whole = []
        for chain, pieces in enumerate(chains):
            held = [getattr(piece, part).assign_coords(chain=[chain]) for piece in pieces]
            own = xr.concat(held, "draw", data_vars="minimal", combine_attrs="override")
            whole.append(own.isel(draw=slice(length)).assign_coords(numbers))
        groups[name] = xr.concat(whole, "chain", data_vars="minimal", join="exact", combine_attrs="override")
    if not groups["sample_stats"][RUN].values.any():
        groups["sample_stats"] = groups["sample_stats"].drop_vars(RUN)
    made = xr.DataTree.from_dict({name: groups[name] for name in tree.children if name in groups}, name=tree.name)
    made.attrs |= tree.attrs
    return made


def marked(
    tree: xr.DataTree, seeds: Mapping[int, int], seconds: Mapping[int, float], wanted: int, chains: int
) -> None:
    """Note in a tree which runs its draws are of, and whether there are as many as were wanted.

    Parameters
    ----------
    tree : xarray.DataTree
    seeds : mapping of int to int
        By run.
    seconds : mapping of int to float
        By run, of those that are not counted in the tree yet.
    wanted, chains : int
        Draws per chain, and chains, that there shall be.
    """
    attrs, sample = tree.attrs, tree["sample_stats"].to_dataset()
    drawn = int(sample.sizes["draw"])
    notes = [note for note in json.loads(attrs["notes"]) if not note.startswith((_RESUMED, _UNFINISHED))]
    counted = json.loads(attrs["seconds"])
    for key in ("sample", "total"):
        counted[key] = counted.get(key, 0.0) + sum(seconds.values())
    if RUN in sample:
        for run in sorted(set(sample[RUN].values.ravel().tolist()) - {0}):
            of_chains = ", ".join(str(int(count)) for count in (sample[RUN] == run).sum("draw").values)
            notes.append(
                f"{_RESUMED} the last {of_chains} draws of the chains are of run {run + 1}, which began at the last "
                f"stored draws and was tuned anew (seed {seeds.get(run, 'unknown')})."
            )
    if drawn < wanted:
        notes.append(f"{_UNFINISHED} {drawn} of {wanted} draws per chain were stored; bg.resume draws the others.")
    if sample.sizes["chain"] < chains:
        there = f"{sample.sizes['chain']} of {chains} chains"
        notes.append(f"{_UNFINISHED} {there} had stored draws; bg.resume draws those of the others.")
    runs = [{"run": run, "seed": seed} for run, seed in sorted(seeds.items()) if run]
    attrs |= {"notes": json.dumps(notes), "seconds": json.dumps(counted)}
    attrs |= {"settings": json.dumps(json.loads(attrs["settings"]) | {"draws": drawn})}
    attrs |= {FACTS_OF_RUNS: json.dumps(runs)} if runs else {}

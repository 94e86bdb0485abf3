"""From chunks to parts: which levels go together, and their rows in one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bayesglmm.blocks import Floats, Ints, Predictor
from bayesglmm.covariances import COVARIANCES
from bayesglmm.design.stored.chunks import Chunks, Nesting, group_blocks
from bayesglmm.design.stored.spool import ORDER, Layout, SpooledPart, read, write
from bayesglmm.parts import Parts
from bayesglmm.sources import Source

ROWS = 200_000
"""Rows of a part, unless one level has more."""


type Key = tuple[int, int]
"""Predictor and position of a random block."""


def factors_of(predictors: Sequence[Predictor]) -> dict[str, list[Key]]:
    """Return the blocks of every grouping factor whose levels are independent of each other."""
    found: dict[str, list[Key]] = {}
    for key, block in group_blocks(predictors).items():
        if not COVARIANCES.get(block.covariance).new_levels:
            found.setdefault(block.group, []).append(key)
    return found


def order_of(predictors: Sequence[Predictor]) -> Key | None:
    """Return a block of the grouping factor that has most coefficients; None without one."""

    def size(keys: Sequence[Key]) -> int:
        return sum(_levels(predictors, key) * len(predictors[key[0]].random[key[1]].terms) for key in keys)

    return max(factors_of(predictors).values(), key=size, default=[None])[0]


@dataclass(frozen=True, eq=False)
class Division:
    """Which part each level of the sorting factor goes to, and which factors lie in parts as a whole.

    Attributes
    ----------
    part : ndarray of int, shape (levels,)
        Ascending where `contiguous`.
    parts : int
    own : mapping of Key to ndarray of int
        The part of each level of a block.
    chain : tuple of tuple of Key
        These blocks by factor, the finest first, each nested in the next.
    contiguous : bool
    """

    part: Ints
    parts: int
    own: Mapping[Key, Ints]
    chain: tuple[tuple[Key, ...], ...]
    contiguous: bool


def divide(chunks: Chunks, predictors: Sequence[Predictor], order: Key, rows: int) -> Division:
    """Divide the levels of the sorting factor into parts of about `rows` rows.

    Where they are nested in a coarser factor, its levels stay together unless one of them has too many rows.
    """
    sizes, factors = chunks.sizes, factors_of(predictors)
    first = next(keys for keys in factors.values() if order in keys)
    others = sorted(
        (keys for keys in factors.values() if keys is not first), key=lambda k: -_levels(predictors, k[0])
    )
    coarser: list[tuple[list[Key], Ints]] = []  # with its level for each level of the sorting factor
    for keys in others:
        above = chunks.above[keys[0]]
        fits = above.single and np.bincount(above.above, sizes).max() <= 2 * rows
        if fits and all(_function(finer, above.above) for _, finer in coarser):
            coarser.append((keys, above.above))
    unit = coarser[-1][1] if coarser else np.arange(len(sizes))
    part = _cut(np.bincount(unit, sizes).astype(np.intp), rows)[unit]
    own = dict.fromkeys(first, part)
    chain = [first]
    for keys, up in coarser:
        lifted = np.zeros(_levels(predictors, keys[0]), dtype=np.intp)
        lifted[up] = part
        own |= dict.fromkeys(keys, lifted)
        chain.append(keys)
    finer = (keys for keys in others if keys not in chain and chunks.below[keys[0]].single)
    for keys in list(finer)[:1]:
        own |= dict.fromkeys(keys, part[chunks.below[keys[0]].above])
        chain.insert(0, keys)
    found = tuple(tuple(keys) for keys in chain)
    return Division(part, int(part.max()) + 1, own, found, bool(np.all(np.diff(part) >= 0)))


def _levels(predictors: Sequence[Predictor], key: Key) -> int:
    return len(predictors[key[0]].random[key[1]].levels)


def _function(finer: Ints, coarser: Ints) -> bool:
    return Nesting.of(int(finer.max()) + 1, finer, coarser).single


def _cut(sizes: Ints, rows: int) -> Ints:
    """Return the part of each unit: consecutive ones, as many as have no more than `rows` rows."""
    found = np.zeros(len(sizes), dtype=np.intp)
    ends, at, number = np.cumsum(sizes), 0, 0
    while at < len(sizes):
        before = ends[at - 1] if at else 0
        stop = max(at + 1, int(np.searchsorted(ends, before + rows, side="right")))
        found[at:stop] = number
        at, number = stop, number + 1
    return found


def gathered(
    source: Source, chunks: Chunks, predictors: Sequence[Predictor], layout: Layout, folder: Path, rows: int = ROWS
) -> Parts:
    """Write the rows of every part to a file of its own, and remove the chunks.

    Parameters
    ----------
    source : Source
        Whose workers do it.
    chunks : Chunks
    predictors : sequence of Predictor
        The distinct ones, of any rows.
    layout : Layout
    folder : Path
    rows : int
        Of a part.
    """
    names = tuple(name for name, _ in chunks.files)
    division = None if layout.order is None else divide(chunks, predictors, layout.order, rows)
    if division is None:
        counts = source.map(partial(_concatenate, folder), _stretches(chunks, rows))
    else:
        starts = np.arange(division.parts + 1)
        if division.contiguous:
            starts = np.searchsorted(division.part, starts)
        else:
            source.map(partial(_resort, folder, division.part), names)
            for name in names:
                (folder / name).unlink()
            names = tuple(map(_resorted, names))
        jobs = [(p, int(starts[p]), int(starts[p + 1])) for p in range(division.parts)]
        counts = source.map(partial(_gather, folder, names), jobs)
    for name in names:
        (folder / name).unlink()
    keys = [(p, b) for p in layout.which for b in range(len(layout.predictors[p].blocks))]
    own = {} if division is None else {key: _by_part(part, len(counts)) for key, part in division.own.items()}
    parts = tuple(
        SpooledPart(
            str(folder / _part_name(number)),
            count,
            tuple(own[key][number] if key in own else None for key in keys),
            layout,
        )
        for number, count in enumerate(counts)
    )
    factors = () if division is None else division.chain
    chain = tuple(tuple(at for at, key in enumerate(keys) if key in factor) for factor in factors)
    return Parts(parts, means_of(chunks, layout), chain)


def means_of(chunks: Chunks, layout: Layout) -> tuple[Floats, ...]:
    """Return the means of the population columns of every predictor of the model."""
    return tuple(chunks.moments.columns[w].mean[: layout.predictors[w].columns] for w in layout.which)


def _by_part(part: Ints, parts: int) -> list[Sequence[int]]:
    """Return the levels of every part, ascending; a range where they are consecutive."""
    order = np.argsort(part, kind="stable")
    bounds = np.searchsorted(part[order], np.arange(parts + 1))
    found: list[Sequence[int]] = []
    for p in range(parts):
        levels = order[bounds[p] : bounds[p + 1]]
        whole = len(levels) and levels[-1] - levels[0] + 1 == len(levels)
        found.append(range(int(levels[0]), int(levels[-1]) + 1) if whole else levels)  # type: ignore[arg-type]
    return found


def _part_name(number: int) -> str:
    return f"part-{number:06d}.arrow"


def _stretches(chunks: Chunks, rows: int) -> list[tuple[int, tuple[str, ...]]]:
    """Return which consecutive chunks are a part, where rows keep their order."""
    found: list[list[str]] = [[]]
    held = 0
    for name, size in chunks.files:
        if found[-1] and held + size > rows:
            found.append([])
            held = 0
        found[-1].append(name)
        held += size
    return [(number, tuple(names)) for number, names in enumerate(found)]


def _concatenate(folder: Path, job: tuple[int, tuple[str, ...]]) -> int:
    import pyarrow as pa

    number, names = job
    table = pa.concat_tables([read(folder / name) for name in names])
    write(table.drop_columns([ORDER]).combine_chunks(), folder / _part_name(number))
    return int(table.num_rows)


def _resort(folder: Path, part: Ints, name: str) -> None:
    """Write a chunk sorted by part, then by level; the chunk stays, since a task may be done again."""
    import pyarrow as pa

    table = read(folder / name)
    parts = part[table.column(ORDER).to_numpy()]
    sorted_ = table.set_column(0, ORDER, pa.array(parts)).take(np.argsort(parts, kind="stable"))
    write(sorted_, folder / _resorted(name))


def _resorted(name: str) -> str:
    return f"sorted-{name}"


def _gather(folder: Path, names: Sequence[str], job: tuple[int, int, int]) -> int:
    """Write the rows whose order lies in [start, stop), sorted by it; return how many."""
    import pyarrow as pa

    number, start, stop = job
    slices = []
    for name in names:
        table = read(folder / name)
        low, high = np.searchsorted(table.column(ORDER).to_numpy(), [start, stop])
        slices.append(table.slice(low, high - low))
    table = pa.concat_tables(slices)
    order = table.column(ORDER).to_numpy()
    table = table.drop_columns([ORDER]).take(np.argsort(order, kind="stable")).combine_chunks()
    write(table, folder / _part_name(number))
    return int(table.num_rows)

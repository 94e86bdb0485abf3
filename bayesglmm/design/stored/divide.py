"""From chunks to parts: which levels go together, and their rows in one file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bayesglmm.blocks import Ints, Predictor
from bayesglmm.covariances import COVARIANCES
from bayesglmm.design.stored.chunks import Chunks, Nesting, group_blocks
from bayesglmm.design.stored.spool import ORDER, Layout, SpooledPart, read, write
from bayesglmm.sources import Source

ROWS = 200_000
"""Rows of a part, unless one level has more."""


def order_of(predictors: Sequence[Predictor]) -> tuple[int, int] | None:
    """Return predictor and position of the block whose grouping factor has most coefficients; None without one."""
    found = {
        key: len(block.levels) * len(block.terms)
        for key, block in group_blocks(predictors).items()
        if independent(predictors, key)
    }
    return max(found, key=lambda key: found[key]) if found else None


def independent(predictors: Sequence[Predictor], key: tuple[int, int]) -> bool:
    """Return whether the effects of different levels of a block are independent of each other."""
    block = predictors[key[0]].random[key[1]]
    return not COVARIANCES.get(block.covariance).new_levels


@dataclass(frozen=True, eq=False)
class Division:
    """Which part each level of the sorting factor goes to, and which blocks lie in parts as a whole.

    Attributes
    ----------
    part : ndarray of int, shape (levels,)
        Ascending where `contiguous`.
    parts : int
    own : mapping of (int, int) to ndarray of int
        By predictor and block: the part of each of its levels.
    contiguous : bool
    """

    part: Ints
    parts: int
    own: Mapping[tuple[int, int], Ints]
    contiguous: bool


def divide(chunks: Chunks, predictors: Sequence[Predictor], order: tuple[int, int], rows: int) -> Division:
    """Divide the levels of the sorting factor into parts of about `rows` rows.

    Where they are nested in a coarser factor, its levels stay together unless one of them has too many rows.
    """
    sizes = chunks.sizes
    candidates = [key for key in chunks.above if independent(predictors, key)]
    unit = np.arange(len(sizes))
    chain: dict[tuple[int, int], Ints] = {}  # level of the coarser factor, by level of the sorting one
    for key in sorted(candidates, key=lambda key: -len(_levels(predictors, key))):
        above = chunks.above[key]
        fits = above.single and _largest(sizes, above.above) <= 2 * rows
        if fits and all(_function(own, above.above) for own in chain.values()):
            chain[key] = above.above
    if chain:
        unit = next(reversed(chain.values()))
    per_unit = np.bincount(unit, sizes).astype(np.intp)
    part = _cut(per_unit, rows)[unit]
    own = {order: part} | {key: _lifted(part, above, len(_levels(predictors, key))) for key, above in chain.items()}
    finer = [key for key in candidates if key not in own and chunks.below[key].single]
    for key in sorted(finer, key=lambda key: -len(_levels(predictors, key)))[:1]:
        own[key] = part[chunks.below[key].above]
    same = {key for key in candidates if key not in own and _equal(chunks, key, own)}
    own |= {key: _lifted(part, chunks.above[key].above, len(_levels(predictors, key))) for key in same}
    return Division(part, int(part.max()) + 1, own, bool(np.all(np.diff(part) >= 0)))


def _levels(predictors: Sequence[Predictor], key: tuple[int, int]) -> tuple[str, ...]:
    return predictors[key[0]].random[key[1]].levels


def _largest(sizes: Ints, above: Ints) -> float:
    return float(np.bincount(above, sizes).max())


def _function(finer: Ints, coarser: Ints) -> bool:
    return Nesting.of(int(finer.max()) + 1, finer, coarser).single


def _lifted(part: Ints, above: Ints, levels: int) -> Ints:
    found = np.zeros(levels, dtype=np.intp)
    found[above] = part
    return found


def _equal(chunks: Chunks, key: tuple[int, int], own: Mapping[tuple[int, int], Ints]) -> bool:
    """Return whether a factor is another spelling of one that lies in parts: as many levels, the same rows."""
    above = chunks.above[key]
    return above.single and any(
        other in chunks.above
        and len(chunks.below[key].above) == len(chunks.below[other].above)
        and _function(chunks.above[other].above, above.above)
        and _function(above.above, chunks.above[other].above)
        for other in own
    )


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
) -> tuple[SpooledPart, ...]:
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
    if layout.order is None:
        jobs, levels = _stretches(chunks, rows), []
        counts = source.map(partial(_concatenate, folder), jobs)
        own: Mapping[tuple[int, int], Ints] = {}
    else:
        division = divide(chunks, predictors, layout.order, rows)
        own = division.own
        if division.contiguous:
            starts = np.searchsorted(division.part, np.arange(division.parts + 1))
        else:
            source.map(partial(_resort, folder, division.part), names)
            starts = np.arange(division.parts + 1)
        levels = [(p, int(starts[p]), int(starts[p + 1])) for p in range(division.parts)]
        counts = source.map(partial(_gather, folder, names), levels)
    for name in names:
        (folder / name).unlink()
    in_part = {key: _by_part(part, len(counts)) for key, part in own.items()}
    keys = [(p, b) for p in layout.which for b in range(len(layout.predictors[p].blocks))]
    return tuple(
        SpooledPart(
            str(folder / _part_name(number)),
            count,
            tuple(in_part[key][number] if key in in_part else None for key in keys),
            layout,
        )
        for number, count in enumerate(counts)
    )


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
    """Sort a chunk by part, then by level."""
    import pyarrow as pa

    table = read(folder / name)
    parts = part[table.column(ORDER).to_numpy()]
    sorted_ = table.set_column(0, ORDER, pa.array(parts)).take(np.argsort(parts, kind="stable"))
    write(sorted_, folder / name)


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

"""Columns of A by grouping factor, and which factors are nested in each other: the corners of an arrow."""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesglmm.linalg.base import Ints


@dataclass(frozen=True, eq=False)
class GroupColumns:
    """`width` columns for each level of a grouping factor.

    Where rows belong to several levels there is one such object for each membership, all with the same `start`.

    Attributes
    ----------
    start : int
        Column of level l, entry j in x: ``start + l * width + j``.
    levels, width : int
    index : ndarray of int, shape (n,)
        Level of each row.
    predictor : int
        Which predictor the columns belong to.
    label : str
        For messages.
    """

    start: int
    levels: int
    width: int
    index: Ints
    predictor: int = 0
    label: str = ""

    @cached_property
    def columns(self) -> Ints:
        """Columns in x, shape (levels, width)."""
        return self.start + np.arange(self.levels * self.width).reshape(self.levels, self.width)


@dataclass(frozen=True)
class DenseColumns:
    """Columns with a value in every row.

    Attributes
    ----------
    start, width : int
        Where they lie in x.
    predictor : int
    """

    start: int
    width: int
    predictor: int = 0


@dataclass(frozen=True, eq=False)
class Corner:
    """A block-diagonal part of H: all groups that share one index.

    Attributes
    ----------
    groups : tuple of int
        Positions in the pattern's groups.
    index : ndarray of int, shape (n,)
    levels, width : int
        `width` is the total of the groups' widths.
    predictors : ndarray of int, shape (width,)
        Predictor of each entry of a level.
    columns : ndarray of int, shape (levels, width)
        Their columns in x.
    """

    groups: tuple[int, ...]
    index: Ints
    levels: int
    width: int
    predictors: Ints
    columns: Ints


def index_sets(groups: Sequence[GroupColumns]) -> tuple[int, ...]:
    """Return for each group the first one with the same index."""
    found: list[int] = []
    for group in groups:
        same = (
            h
            for h in dict.fromkeys(found)
            if groups[h].levels == group.levels and np.array_equal(groups[h].index, group.index)
        )
        found.append(next(same, len(found)))
    return tuple(found)


def nested_chain(
    groups: Sequence[GroupColumns], index_sets: Sequence[int], coupled: Container[int], smallest: int
) -> tuple[tuple[Corner, ...], dict[tuple[int, int], Ints]]:
    """Return the corners, finest first: the factor with most columns, those it is nested in, those nested in it."""
    sets = {first: [g for g, own in enumerate(index_sets) if own == first] for first in index_sets}
    sized = [
        (groups[m[0]].levels * sum(groups[g].width for g in m), m)
        for m in sets.values()
        if not any(g in coupled for g in m)
    ]
    # The largest set first, then by number of levels: a coarser factor has fewer.
    order = sorted(sized, key=lambda item: (-item[0], item[1]))
    order = order[:1] + sorted(order[1:], key=lambda item: (-groups[item[1][0]].levels, item[1]))
    corners: list[Corner] = []
    parents: dict[tuple[int, int], Ints] = {}
    for columns, members in order:
        if columns < smallest:
            continue
        chain = sorted([*corners, _corner(groups, members)], key=lambda corner: -corner.levels)
        pairs = itertools.combinations(range(len(chain)), 2)
        found = {(c, d): _parent(chain[c], chain[d]) for c, d in pairs}
        if all(parent is not None for parent in found.values()):
            corners, parents = chain, {pair: parent for pair, parent in found.items() if parent is not None}
    return tuple(corners), parents


def _corner(groups: Sequence[GroupColumns], members: Sequence[int]) -> Corner:
    own = [groups[g] for g in members]
    return Corner(
        groups=tuple(members),
        index=own[0].index,
        levels=own[0].levels,
        width=sum(group.width for group in own),
        predictors=np.repeat([group.predictor for group in own], [group.width for group in own]),
        columns=np.concatenate([group.columns for group in own], axis=1),
    )


def _parent(finer: Corner, coarser: Corner) -> Ints | None:
    """Return the coarser level of each finer one, or None where they cross."""
    if finer.levels < coarser.levels:
        return None
    parent = np.zeros(finer.levels, dtype=np.intp)
    parent[finer.index] = coarser.index
    return parent if np.array_equal(parent[finer.index], coarser.index) else None


def given_chain(
    groups: Sequence[GroupColumns], chain: Sequence[Sequence[int]]
) -> tuple[tuple[Corner, ...], dict[tuple[int, int], Ints]]:
    """Return the corners that are made of given groups, finest first.

    Raises
    ------
    ValueError
        If one is not nested in the next.
    """
    corners = tuple(_corner(groups, members) for members in chain)
    parents: dict[tuple[int, int], Ints] = {}
    for c, d in itertools.combinations(range(len(corners)), 2):
        parent = _parent(corners[c], corners[d])
        if parent is None:
            raise ValueError(f"The levels of {groups[chain[c][0]].label} are not nested in those of another factor.")
        parents[c, d] = parent
    return corners, parents

"""Inverse of a pedigree's relationship matrix, with a few entries per individual.

An individual's breeding value is the mean of its parents' plus a Mendelian sampling term, a = T a + m with
independent m, so that A^-1 = (I - T)' D^-1 (I - T) can be written down without A (Henderson 1976). The variance of m
is 1/2 - (F_sire + F_dam) / 4 with both parents known, 3/4 - F / 4 with one, and 1 with none, with F their inbreeding
coefficients, which follow from tracing ancestors (Quaas 1976; Meuwissen and Luo 1992).
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from bayesglmm.blocks import Floats, Ints
from bayesglmm.covariances.matrices import NamedMatrix, known_precision, row_name
from bayesglmm.errors import DataError, did_you_mean

_UNKNOWN = ("", "0", "NA", "nan", "None", "<NA>", ".", "*")  # how files write a parent that nobody knows


def pedigree_precision(pedigree: Any, id: str = "id", dam: str = "dam", sire: str = "sire") -> NamedMatrix:
    """Return the inverse of the additive relationship matrix: ``(1 | gr(animal, cov=A))`` with ``cov={"A": ...}``.

    Parameters
    ----------
    pedigree : DataFrame
        One row per individual, in any order. Parents that have no row of their own are founders: unrelated to each
        other and not inbred.
    id, dam, sire : str
        Columns that name the individual and its parents; a missing value, "", "0" or "NA" is an unknown parent. The
        same parent twice is a selfed individual.

    Returns
    -------
    NamedMatrix
        Sparse, with all individuals, parents before offspring. Its scale is the usual one: the variance of a founder
        is one, that of an individual with inbreeding coefficient F is 1 + F.

    Raises
    ------
    DataError
        If a column is missing, an individual occurs twice or has no name, or is its own ancestor.
    """
    names, parents = _ordered(pedigree, id, dam, sire)
    F = _inbreeding(parents)
    rows, columns, values = list[int](), list[int](), list[float]()
    for i, own in enumerate(parents):
        weight = 1.0 / _mendelian(own, F)
        terms = [(i, 1.0), *((int(p), -0.5) for p in own if p >= 0)]
        for a, left in terms:
            for b, right in terms:
                rows.append(a)
                columns.append(b)
                values.append(left * right * weight)
    size = len(names)
    return known_precision(sparse.csr_array((values, (rows, columns)), shape=(size, size)), names)


def inbreeding(pedigree: Any, id: str = "id", dam: str = "dam", sire: str = "sire") -> pd.Series:
    """Return the inbreeding coefficient of every individual: the probability that its two genes are one by descent.

    Arguments and errors are those of `pedigree_precision`.

    Returns
    -------
    Series
        Named ``F``, by individual, parents before offspring.
    """
    names, parents = _ordered(pedigree, id, dam, sire)
    return pd.Series(_inbreeding(parents), index=pd.Index(names, name=id), name="F")


def _ordered(pedigree: Any, id: str, dam: str, sire: str) -> tuple[list[str], Ints]:
    """Return the individuals, parents first, and positions of their dams and sires, shape (m, 2); -1 is unknown."""
    if not isinstance(pedigree, pd.DataFrame):
        raise DataError(f"A pedigree is a DataFrame with a row per individual, not a {type(pedigree).__name__}.")
    for column in (id, dam, sire):
        if column not in pedigree.columns:
            known = [str(each) for each in pedigree.columns]
            raise DataError(f"The pedigree has no column {column!r}. {did_you_mean(column, known)}")
    own = [_individual(value) for value in pedigree[id]]
    if None in own:
        raise DataError(f"Row {own.index(None)} of the pedigree has no {id!r}.")
    if len(set(own)) < len(own):
        twice = pd.Series(own)[pd.Series(own).duplicated()].iloc[0]
        raise DataError(f"The individual {twice!r} has more than one row in the pedigree.")
    of: dict[str, tuple[str | None, str | None]] = {
        str(name): (_individual(one), _individual(two))
        for name, one, two in zip(own, pedigree[dam], pedigree[sire], strict=True)
    }
    for pair in list(of.values()):
        for parent in pair:
            if parent is not None and parent not in of:
                of[parent] = (None, None)
    order = _parents_first(of)
    place = {name: i for i, name in enumerate(order)}
    found = [[-1 if parent is None else place[parent] for parent in of[name]] for name in order]
    return order, np.array(found, dtype=np.intp).reshape(-1, 2)


def _individual(value: Any) -> str | None:
    name = row_name(value)
    return None if name in _UNKNOWN else name


def _parents_first(of: dict[str, tuple[str | None, str | None]]) -> list[str]:
    """Return the individuals, parents first and else as given."""
    order, state = list[str](), dict[str, bool]()  # False: on the way to an ancestor; True: placed
    for name in of:
        path = [name]
        while path:
            here = path[-1]
            if state.get(here):
                path.pop()
                continue
            state[here] = False
            ahead = [parent for parent in of[here] if parent is not None and not state.get(parent)]
            if any(parent in state for parent in ahead):
                raise DataError(f"The pedigree has a circle: {here!r} is among its own ancestors.")
            if not ahead:
                state[here] = True
                order.append(path.pop())
            path += ahead[:1]
    return order


def _mendelian(parents: Ints, F: Floats) -> float:
    """Return the variance that an individual has beyond its parents' mean."""
    known = [int(parent) for parent in parents if parent >= 0]
    return 1.0 - 0.25 * sum(1.0 + float(F[parent]) for parent in known)


def _inbreeding(parents: Ints) -> Floats:
    """Return F of every individual: a_ii - 1, with a_ii the sum of squares of a row of T D^(1/2)."""
    F, variance = np.zeros(len(parents)), np.zeros(len(parents))
    for i, own in enumerate(parents):
        variance[i] = _mendelian(own, F)
        if own.min() < 0:
            continue  # an unknown parent is related to nobody
        share, waiting = {i: 1.0}, [-i]
        total = 0.0
        while waiting:
            j = -heapq.heappop(waiting)
            weight = share.pop(j)
            total += weight**2 * variance[j]
            for parent in map(int, parents[j]):
                if parent >= 0:
                    if parent not in share:
                        heapq.heappush(waiting, -parent)
                    share[parent] = share.get(parent, 0.0) + 0.5 * weight
        F[i] = total - 1.0
    return F

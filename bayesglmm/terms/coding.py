"""Which factors of which terms are coded in full and which beside a constant: the rules, by formulae.

The rules are those that formulae took over from patsy: a term gets the columns that its margins do not have already.
They depend on nothing but which factors stand together in which terms, so formulae sees positions of atoms: no text
of a user reaches it, and its cost does not depend on the data. Its `design_matrices` is not used, because it loses
columns where a term needs more than two runs (``1 + a:b:c`` without the margins). The columns themselves are made in
`linear`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from formulae.terms.terms import pick_contrasts

type Term = tuple[int, ...]
"""Positions of the atoms of one interaction."""


class CodedTerm(NamedTuple):
    """One run of columns.

    Attributes
    ----------
    source : int or None
        Position of the term of the formula that needs it; None for the constant.
    atoms : tuple of int
        Its atoms, in the order of the formula.
    full : tuple of bool
        For each atom whether all its levels get a column (factors only).
    """

    source: int | None
    atoms: Term
    full: tuple[bool, ...]


def code(terms: Sequence[Term], is_factor: Sequence[bool], intercept: bool) -> tuple[CodedTerm, ...]:
    """Return the runs of columns that a formula needs, so that they span what it means without excess.

    Parameters
    ----------
    terms : sequence of tuple of int
        The terms, by degree.
    is_factor : sequence of bool
        Kind of each atom.
    intercept : bool
        Whether there is a constant.

    Returns
    -------
    tuple of CodedTerm
        A term without its margins (``a:b`` alone) may need more than one run.
    """
    # Terms with the same numeric atoms compete for the same space; those without any share it with the constant.
    buckets: dict[frozenset[int], dict[int, list[int]]] = {}
    if intercept:
        buckets[frozenset()] = {-1: []}
    for position, term in enumerate(terms):
        numeric = frozenset(i for i in term if not is_factor[i])
        buckets.setdefault(numeric, {})[position] = [i for i in term if is_factor[i]]
    codings: dict[int, list[Mapping[int, bool]]] = {}
    for bucket in buckets.values():
        codings |= pick_contrasts(bucket)
    runs = [CodedTerm(None, (), ())] if intercept else []
    for position, term in enumerate(terms):
        for coding in codings[position]:
            atoms = tuple(i for i in term if not is_factor[i] or i in coding)
            runs.append(CodedTerm(position, atoms, tuple(coding.get(i, False) for i in atoms)))
    return tuple(runs)

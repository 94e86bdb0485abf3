"""Which factors of which terms are coded in full and which beside a constant: the rules, by formulae.

formulae sees a stand-in of the formula and of the data: aliases (``c0``, ``n1``) for the atoms, two rows, two levels
per factor. How a term must be coded depends on nothing else, no text of a user reaches formulae, and its cost does
not depend on the data. The columns themselves are made in `linear`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from formulae import design_matrices
from formulae.environment import Environment

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
    """Return the runs of columns that a formula needs, so that they span what R's formula means without excess.

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
    runs = [CodedTerm(None, (), ())] if intercept else []
    if not terms:
        return tuple(runs)
    products: dict[frozenset[int], str] = {}
    rendered = [_render(term, is_factor, products) for term in terms]
    pending: list[dict[str, bool]] = []
    position = 0
    for name, term in _formulae_terms(rendered, intercept, is_factor, products):
        pending.append(term)
        if name != rendered[position]:
            continue  # a run that formulae put before the term that needs it
        for full in pending:
            atoms = tuple(i for i in terms[position] if not is_factor[i] or f"c{i}" in full)
            runs.append(CodedTerm(position, atoms, tuple(full.get(f"c{i}", False) for i in atoms)))
        pending = []
        position += 1
    return tuple(runs)


def _render(term: Term, is_factor: Sequence[bool], products: dict[frozenset[int], str]) -> str:
    # All numeric atoms of a term act as their product: one alias per set makes x:z:f and z:x the same thing.
    numeric = frozenset(i for i in term if not is_factor[i])
    factors = [f"c{i}" for i in term if is_factor[i]]
    if numeric:
        factors.append(products.setdefault(numeric, f"n{len(products)}"))
    return ":".join(factors)


def _formulae_terms(
    rendered: Sequence[str], intercept: bool, is_factor: Sequence[bool], products: dict[frozenset[int], str]
) -> list[tuple[str, dict[str, bool]]]:
    """Return name and, by alias, full or reduced coding of each term that formulae makes."""
    two_levels = pd.Categorical(["a", "b"], categories=["a", "b"], ordered=True)
    stand_in: dict[str, object] = {f"c{i}": two_levels for i, factor in enumerate(is_factor) if factor}
    stand_in |= {alias: [0.0, 1.0] for alias in products.values()}
    formula = " + ".join(["1" if intercept else "0", *rendered])
    matrices = design_matrices(formula, pd.DataFrame(stand_in), env=Environment([{}]))
    found = []
    for name, term in matrices.common.terms.items():
        if term.kind != "intercept":
            found.append((name, {c.name: bool(c.spans_intercept) for c in term.components}))
    return found

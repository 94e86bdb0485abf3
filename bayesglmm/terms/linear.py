"""The linear part: plain columns, factors and their interactions -> one fixed block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from bayesglmm.blocks import FixedBlock, Floats
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.spec import FixedSpec
from bayesglmm.formula.syntax import Name, Node
from bayesglmm.terms.atoms import Atom, bind_atom, check_reduced
from bayesglmm.terms.base import Context
from bayesglmm.terms.coding import CodedTerm, code
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import INTERCEPT


class Column(NamedTuple):
    """One column of the design.

    Attributes
    ----------
    name : str
        As users see it: ``a[b]:x``.
    term : str
        The term that made it: ``a:x``.
    pieces : tuple of (int, bool, int)
        Its factors: atom, whether in full coding, which of the columns of that coding.
    """

    name: str
    term: str
    pieces: tuple[tuple[int, bool, int], ...]


@dataclass(frozen=True, eq=False)
class LinearPart:
    """Linear terms that have met data.

    Attributes
    ----------
    label : str
        For the block.
    atoms : tuple of Atom
        Every distinct factor of the terms.
    terms : tuple of str
        Labels of the terms.
    coded : tuple of CodedTerm
        The runs of columns.
    intercept : bool
        Whether the first column is the constant.
    plain_intercept : bool
        Whether that constant is an ordinary column to the priors (``0 + Intercept``).
    dropped : frozenset of str
        Columns of combinations that never occur; new rows must not need them.
    """

    label: str
    atoms: tuple[Atom, ...]
    terms: tuple[str, ...]
    coded: tuple[CodedTerm, ...]
    intercept: bool
    plain_intercept: bool = False
    dropped: frozenset[str] = frozenset()

    @property
    def width(self) -> int:
        """How many columns there will be; known before any is made."""
        return int(sum(width for width, _ in self.widths))

    @property
    def widths(self) -> list[tuple[float, str]]:
        """Number of columns and label of each term."""
        found: dict[str, float] = {}
        for run in self.coded:
            label = INTERCEPT if run.source is None else self.terms[run.source]
            counts = (self._count(i, full) for i, full in zip(run.atoms, run.full, strict=True))
            found[label] = found.get(label, 0.0) + float(prod(counts))
        return [(width, label) for label, width in found.items()]

    def _count(self, atom: int, full: bool) -> int:
        bound = self.atoms[atom]
        return len(bound.parts) or len(bound.levels) - (not full)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """Every column, in order; within an interaction the first factor changes fastest, as in R."""
        return tuple(column for run in self.coded for column in self._run(run))

    def _run(self, run: CodedTerm) -> Iterator[Column]:
        if run.source is None:
            yield Column(INTERCEPT, INTERCEPT, ())
            return
        names = [self._names(i, full) for i, full in zip(run.atoms, run.full, strict=True)]
        for choice in product(*(range(len(labels)) for labels in reversed(names))):
            picks = tuple(reversed(choice))
            pieces = tuple(zip(run.atoms, run.full, picks, strict=True))
            name = ":".join(labels[pick] for labels, pick in zip(names, picks, strict=True))
            yield Column(name, self.terms[run.source], pieces)

    def _names(self, atom: int, full: bool) -> list[str]:
        bound = self.atoms[atom]
        if not bound.is_factor:
            return [f"{bound.label}{part}" for part in bound.parts]
        labels = bound.levels if full else bound.contrast.columns(bound.levels)[1]
        return [f"{bound.label}[{label}]" for label in labels]

    def matrix(self, columns: Columns) -> Floats:
        """Return every column, dropped ones included, shape (n, width)."""
        codings = {(i, full): None for c in self.columns for i, full, _ in c.pieces}
        pieces = {key: self._piece(*key, columns) for key in codings}
        X = np.ones((columns.n, len(self.columns)))
        for j, column in enumerate(self.columns):
            for atom, full, pick in column.pieces:
                values, codes = pieces[atom, full]
                X[:, j] *= values[:, pick] if codes is None else values[codes, pick]
        return X

    def _piece(self, atom: int, full: bool, columns: Columns) -> tuple[Floats, np.ndarray | None]:
        bound = self.atoms[atom]
        if not bound.is_factor:
            return bound.numbers(columns), None
        count = len(bound.levels)
        coding = np.eye(count) if full else bound.contrast.columns(bound.levels)[0]
        return coding, bound.factor(columns).codes

    def block(self, columns: Columns) -> FixedBlock:
        """Return the block for these rows.

        Raises
        ------
        DataError
            If a row needs a column that was dropped because its combination of levels never occurred.
        """
        X = self.matrix(columns)
        names = tuple(column.name for column in self.columns)
        terms = tuple(column.term for column in self.columns)
        if self.dropped:
            gone = np.array([name in self.dropped for name in names])
            needed = [names[j] for j in np.flatnonzero(gone) if np.any(X[:, j])]
            if needed:
                raise DataError(
                    f"The new data hold the combination {needed[0]}, which never occurred in the data of the model: "
                    "nothing is known about it."
                )
            X = X[:, ~gone]
            names = tuple(name for name, out in zip(names, gone, strict=True) if not out)
            terms = tuple(term for term, out in zip(terms, gone, strict=True) if not out)
        first = 0 if self.intercept and not self.plain_intercept else None
        return FixedBlock(self.label, names, terms, X, first)


def bind_linear(spec: FixedSpec, context: Context, label: str, constant: bool = True) -> LinearPart:
    """Let linear terms meet the data; nothing of the size of the data is made yet.

    Parameters
    ----------
    spec : FixedSpec
        Without special terms, and with ``.`` already expanded.
    context : Context
    label : str
        For the block.
    constant : bool
        False where the family's cutpoints take the place of the constant: factors are coded as beside a constant,
        which itself is left out.

    Raises
    ------
    FormulaError
        If the constant is asked for twice, or taken out where cutpoints stand for it.
    """
    plain = tuple(term for term in spec.terms if term == (Name(INTERCEPT),))
    terms = tuple(term for term in spec.terms if term != (Name(INTERCEPT),))
    _check_constant(spec, plain, constant, context)
    nodes: dict[Node, int] = {}
    for term in terms:
        for node in term:
            nodes.setdefault(node, len(nodes))
    atoms = tuple(bind_atom(node, context.columns, context.formula, context.notes) for node in nodes)
    intercept = spec.intercept or bool(plain)
    positions = [tuple(nodes[node] for node in term) for term in terms]
    coded = code(positions, [atom.is_factor for atom in atoms], intercept)
    for run in coded:
        for i, full in zip(run.atoms, run.full, strict=True):
            if not full:
                check_reduced(atoms[i])
    labels = tuple(":".join(atoms[i].label for i in term) for term in positions)
    if not constant:
        coded, intercept = tuple(run for run in coded if run.source is not None), False
    return LinearPart(label, atoms, labels, coded, intercept, bool(plain))


def _check_constant(spec: FixedSpec, plain: tuple[tuple[Node, ...], ...], constant: bool, context: Context) -> None:
    if plain and spec.intercept:
        message = "`Intercept` is the constant, which is in already; write `0 + Intercept` to have it as a column."
        raise FormulaError(message, context.formula, plain[0][0].position)
    for term in spec.terms:
        for node in term:
            if len(term) > 1 and node == Name(INTERCEPT):
                message = "`Intercept` is reserved for the constant and takes no part in interactions."
                raise FormulaError(message, context.formula, node.position)
    if not constant and (plain or not spec.intercept):
        raise FormulaError(
            f"`{context.formula}`: the cutpoints of this family take the place of the constant; "
            "leave out `0 +`, `- 1` and `Intercept`."
        )

"""Atoms: the factors of an interaction (``x``, ``log(x)``, ``C(f, Sum)``) once they have met data.

An atom keeps what it learned, its kind and its levels, so that new rows are coded as the first ones were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, FormulaError, did_you_mean
from bayesglmm.formula.syntax import Name, Node
from bayesglmm.terms.columns import Columns, Factor, Numeric, Value, as_factor
from bayesglmm.terms.contrasts import TREATMENT, Contrast
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.names import caret


@dataclass(frozen=True, eq=False)
class Atom:
    """One factor of a term, bound to the data of the model.

    Attributes
    ----------
    node : Node
        The expression.
    formula : str
        Text of the whole formula, for carets.
    label : str
        Its name in column names.
    parts : tuple of str
        Suffixes of its numeric columns: ``("",)``, or ``("[1]", "[2]")`` for a basis. Empty for a factor.
    levels : tuple of str
        Levels of a factor; empty for numbers.
    contrast : Contrast
        How a factor is coded beside a constant.
    ordered, boolean : bool
        As in `Factor`.
    state : mapping
        What its functions learned.
    """

    node: Node
    formula: str
    label: str
    parts: tuple[str, ...]
    levels: tuple[str, ...]
    contrast: Contrast
    ordered: bool
    boolean: bool
    state: Mapping[str, Any]

    @property
    def is_factor(self) -> bool:
        """Whether it is coded by levels."""
        return not self.parts

    def numbers(self, columns: Columns) -> Floats:
        """Return the columns of a numeric atom, shape (n, m).

        Raises
        ------
        DataError
            If an expression is not finite, or now gives categories.
        """
        value = self.evaluate(columns)
        if isinstance(value, Factor):
            if not value.boolean:
                raise DataError(f"`{self.label}` was numeric when the model was made; now it holds categories.")
            value = Numeric(value.codes)
        return _finite(value, self.node, columns)

    def factor(self, columns: Columns) -> Factor:
        """Return a factor atom with codes into `levels`.

        Raises
        ------
        DataError
            For levels that the model does not know, by name.
        """
        value = as_factor(self.evaluate(columns), columns.n)
        seen, _ = value.without_unused()
        for level in seen.levels:
            if level not in self.levels:
                raise DataError(
                    f"`{self.label}` has the level {level!r}, unknown to the model. "
                    f"{did_you_mean(level, self.levels)}"
                )
        return value.recoded(self.levels)

    def evaluate(self, columns: Columns) -> Value:
        """Return the expression on other rows, with what was learned from those of the model."""
        return Evaluator(columns, self.formula, self.state).value(self.node)


def bind_atom(node: Node, columns: Columns, formula: str, notes: list[str]) -> Atom:
    """Let one factor of a term meet the data.

    Parameters
    ----------
    node : Node
    columns : Columns
    formula : str
        Text of the whole formula.
    notes : list of str
        Receives a sentence for unused levels and for ordered factors.

    Raises
    ------
    UnknownNameError, FormulaError, DataError
        As `Evaluator`, or if the result is not finite.
    """
    evaluator = Evaluator(columns, formula)
    value = evaluator.value(node)
    label = node.text if isinstance(node, Name) else str(node)
    match value:
        case Numeric():
            numbers = _finite(value, node, columns)
            parts = tuple(f"[{part}]" for part in value.parts) if numbers.shape[1] > 1 else ("",)
            return Atom(node, formula, label, parts, (), TREATMENT, False, False, evaluator.learned)
        case Factor():
            factor, unused = value.without_unused()
            if unused and not factor.boolean:
                _note(notes, f"`{label}`: level {_listed(unused)} does not occur and is left out.")
            if factor.ordered and isinstance(node, Name):
                _note(
                    notes,
                    f"`{label}` is ordered; it is coded by treatment contrasts like any factor. "
                    f"For polynomial contrasts write C({node}, Poly).",
                )
            return Atom(
                node,
                formula,
                label,
                (),
                factor.levels,
                factor.contrast,
                factor.ordered,
                factor.boolean,
                evaluator.learned,
            )


def _finite(value: Numeric, node: Node, columns: Columns) -> Floats:
    values = value.floats
    values = np.broadcast_to(values, (columns.n,)) if values.ndim == 0 else values
    matrix = values[:, None] if values.ndim == 1 else values
    good = np.isfinite(matrix).all(axis=1)
    if not good.all():
        first = int(np.argmin(good))
        shown = matrix[first][~np.isfinite(matrix[first])][0]
        raise DataError(
            f"`{node}` is not finite in {_rows(int((~good).sum()))} "
            f"(first: row {columns.rows[first]}, {shown}). Check the values that go into it."
        )
    return matrix


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count:,} rows"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f", ... ({len(names)} in all)" if len(names) > 10 else "")


def _note(notes: list[str], sentence: str) -> None:
    if sentence not in notes:
        notes.append(sentence)


def check_reduced(atom: Atom) -> None:
    """Refuse a factor that cannot be coded beside a constant: one level, or a reference that does not exist."""
    if not atom.is_factor:
        return
    try:
        atom.contrast.base(atom.levels)
    except FormulaError as error:
        raise FormulaError(error.message, atom.formula, atom.node.position) from None
    if len(atom.levels) < 2:
        message = f"The factor `{atom.label}` has one level ({', '.join(atom.levels)}): it is constant. Leave it out."
        raise DataError(caret(message, atom.formula, atom.node.position))

"""Group terms ``word(columns | factor)`` -> one random block: an index per row and a few dense columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats, Ints, LatentForm, RandomBlock
from bayesglmm.covariances import COVARIANCES
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.spec import KNOWN, FixedSpec, GroupSpec
from bayesglmm.formula.syntax import Name, Node
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.base import Context
from bayesglmm.terms.columns import Columns, Factor, as_factor
from bayesglmm.terms.evaluate import Evaluator
from bayesglmm.terms.group_by import By, parts_by
from bayesglmm.terms.linear import LinearPart, bind_linear
from bayesglmm.terms.names import caret
from bayesglmm.terms.structured import bind_index, covariance_of, index_of, settle_structure

RESIDUAL = "Residual"
"""Reserved: the row of the residual in tables of standard deviations."""


@dataclass(frozen=True, eq=False)
class NewLevels:
    """Levels of a grouping factor that only new data have.

    Attributes
    ----------
    label : str
        Label of the random block.
    group : str
        The grouping factor.
    levels : tuple of str
        Their names.
    index : ndarray of int, shape (n,) or (n, M)
        Which of them a row has; -1 for rows with a known level. Rows that share a level share its effect.
    """

    label: str
    group: str
    levels: tuple[str, ...]
    index: Ints


@dataclass(frozen=True, eq=False)
class GroupPart:
    """A group term that has met data.

    Attributes
    ----------
    label, group : str
        As in `RandomBlock`.
    left : LinearPart
        The varying columns.
    factors : tuple of Atom
        The grouping factors; several mean the combinations of their levels that occur.
    keys : ndarray of int, shape (J,), or None
        For several factors the sorted numbers of the combinations that occur.
    levels : tuple of str
        Names of the levels.
    covariance : str
        Name of the structure.
    latent : {"spherical", "precision"}
        As in `RandomBlock`.
    options : mapping
        Keyword arguments of the covariance word.
    by : By or None
        Which of the factor's levels these are, where others have a part of their own; `factors` and `keys` are those
        of all levels.
    """

    label: str
    group: str
    left: LinearPart
    factors: tuple[Atom, ...]
    keys: Ints | None
    levels: tuple[str, ...]
    covariance: str
    latent: LatentForm
    options: Mapping[str, Any]
    by: By | None = None

    def block(self, columns: Columns, known: bool = True) -> RandomBlock:
        """Return the block for these rows; levels that the model does not know have the index -1.

        Parameters
        ----------
        columns : Columns
        known : bool
            False: leave the factor aside (it need not be among the columns); every index is -1.
        """
        index = self._match(columns)[0] if known else np.full(columns.n, -1, dtype=np.intp)
        left, atom = self.left.block(columns), index_of(self.left)
        X, terms, portion = left.X, left.columns, None
        if self.by is not None:
            (index, X), atom = self.by.rows(columns, index, X), None
            terms, portion = tuple(f"{term}:{self.by.label}" for term in terms), self.by.portion(terms)
        column = None if atom is None else atom.factor(columns).codes
        return self._made(terms, index, X, column=column, portion=portion)

    def _made(self, terms: tuple[str, ...], index: Ints, X: Floats, **parts: Any) -> RandomBlock:
        """Return the block of these columns; `parts` are the attributes of a `RandomBlock` that few terms have."""
        return RandomBlock(
            self.label,
            self.group,
            terms,
            self.levels,
            index,
            X,
            self.covariance,
            self.latent,
            options=self.options,
            **parts,
        )

    @property
    def factor_key(self) -> frozenset[str]:
        """What tells its grouping factor from others."""
        return frozenset(atom.label for atom in self.factors)

    @property
    def members(self) -> int:
        """Levels that a row belongs to."""
        return 1

    @property
    def indexed(self) -> bool:
        """Whether the columns are the levels of a process, which need not all occur."""
        return COVARIANCES.get(self.covariance).indexed

    @property
    def related(self) -> bool:
        """Whether the effects of different levels depend on each other."""
        return bool(COVARIANCES.get(self.covariance).new_levels)

    def new_levels(self, columns: Columns) -> NewLevels:
        """Return the levels of these rows that the model does not know."""
        index, factors = self._match(columns)
        new = np.full(columns.n, -1, dtype=np.intp)
        rows = np.flatnonzero(index < 0 if self.by is None else (index < 0) & self.by.mine(columns, index))
        if not rows.size:
            return NewLevels(self.label, self.group, (), new)
        codes = np.stack([factor.codes[rows] for factor in factors], axis=1)
        distinct, inverse = np.unique(codes, axis=0, return_inverse=True)
        new[rows] = inverse.reshape(-1)
        names = tuple(_joined([f.levels[c] for f, c in zip(factors, row, strict=True)]) for row in distinct)
        return NewLevels(self.label, self.group, names, new)

    def _match(self, columns: Columns) -> tuple[Ints, list[Factor]]:
        factors = [as_factor(atom.evaluate(columns), columns.n) for atom in self.factors]
        codes = [f.recoded(atom.levels).codes for f, atom in zip(factors, self.factors, strict=True)]
        if self.keys is None:
            return codes[0], factors
        keys = _combine(codes, [len(atom.levels) for atom in self.factors])
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        known = (self.keys[place] == keys) & np.all([c >= 0 for c in codes], axis=0)
        return np.where(known, place, -1), factors


def bind_group(spec: GroupSpec, context: Context, label: str) -> GroupPart:
    """Let a group term meet the data.

    Parameters
    ----------
    spec : GroupSpec
    context : Context
    label : str
        Formula text for the block.

    Raises
    ------
    UnknownNameError
        For covariance words and columns that do not exist.
    DataError
        For a grouping factor with one level.
    """
    structure = covariance_of(spec, None, context)
    left = bind_index(spec, context, label) if structure.indexed else bind_linear(spec.columns, context, label)
    structure = covariance_of(spec, left.width, context)
    bound = [bind_factor(node, context) for node in spec.factor]
    factors = tuple(atom for atom, _ in bound)
    group = ":".join(atom.label for atom in factors)
    if group == RESIDUAL:
        raise DataError(f"{RESIDUAL!r} is reserved: tables show the residual under that name. Rename the column.")
    keys: Ints | None = None
    levels = factors[0].levels
    if len(factors) > 1:
        sizes = [len(atom.levels) for atom in factors]
        keys = np.unique(_combine([codes for _, codes in bound], sizes))
        levels = _combined_names(keys, [atom.levels for atom in factors])
    if len(levels) < 2 and not structure.indexed:
        message = f"The grouping factor `{group}` has one level ({', '.join(levels)}): a group with one level says "
        raise DataError(caret(message + "nothing about variation between groups.", context.formula, spec.position))
    known, options = settle_structure(structure, spec, left, group, levels, context)
    if known != levels:
        factors, keys, levels = _with_levels(factors, known, spec, context), None, known
    return GroupPart(label, group, left, factors, keys, levels, structure.name, structure.form(options), options)


def bind_groups(spec: GroupSpec, context: Context, label: str) -> tuple[GroupPart, ...]:
    """Let a group term meet the data: one part, or one for each level of its ``by=``; see `bind_group`."""
    whole = bind_group(spec, context, label)
    if spec.by is None:
        return (whole,)
    found = parts_by(whole, spec.by, context, spec.position, bind_factor)
    return tuple(replace(whole, label=f"{label}, {by.label}", levels=levels, by=by) for by, levels in found)


def _with_levels(
    factors: tuple[Atom, ...], levels: tuple[str, ...], spec: GroupSpec, context: Context
) -> tuple[Atom, ...]:
    """Return the grouping factor with the levels that its structure brings along."""
    if len(factors) > 1:
        message = f"`{spec.word}` takes one grouping factor, whose levels its matrix names, not an interaction."
        raise FormulaError(message, context.formula, spec.position)
    return (replace(factors[0], levels=levels),)


def bind_factor(node: Node, context: Context) -> tuple[Atom, Ints]:
    """Return a grouping factor with the levels that occur, and the codes of the rows."""
    evaluator = Evaluator(context.columns, context.formula)
    factor, unused = as_factor(evaluator.value(node), context.columns.n).without_unused()
    label = node.text if isinstance(node, Name) else str(node)
    if unused:
        shown = ", ".join(unused[:10]) + (f", ... ({len(unused)} in all)" if len(unused) > 10 else "")
        context.notes.append(f"Grouping factor `{label}`: level {shown} does not occur and is left out.")
    atom = Atom(
        node,
        context.formula,
        label,
        (),
        factor.levels,
        factor.contrast,
        factor.ordered,
        factor.boolean,
        evaluator.learned,
    )
    return atom, factor.codes


def _combine(codes: Sequence[Ints], sizes: Sequence[int]) -> Ints:
    """Return one number per combination of codes; meaningless where a code is -1."""
    if np.prod([float(size) for size in sizes]) > 2.0**62:
        raise DataError(f"The grouping factors have too many combinations: {' x '.join(map(str, sizes))}.")
    combined = codes[0]
    for code, size in zip(codes[1:], sizes[1:], strict=True):
        combined = combined * size + code
    return combined


def _combined_names(keys: Ints, levels: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    parts: list[list[str]] = []
    rest = keys
    for names in reversed(levels):
        rest, code = np.divmod(rest, len(names))
        parts.append([names[c] for c in code.tolist()])
    return tuple(_joined(names) for names in zip(*reversed(parts), strict=True))


def _joined(names: Sequence[str]) -> str:
    return ":".join(names)


def columns_text(spec: FixedSpec) -> str:
    """Return the left side of a group term as text: ``1 + x``."""
    terms = [":".join(str(node) for node in term) for term in spec.terms]
    return " + ".join(terms if spec.intercept and terms else ["1" if spec.intercept else "0", *terms])


def group_text(spec: GroupSpec) -> str:
    """Return a group term as text with the factor that it has after expansion: ``(1 | a:b)`` of ``(1 | a/b)``."""
    factor = ":".join(str(node) for node in spec.factor)
    if spec.by is not None:
        factor = f"gr({factor}, by={spec.by})"
    if spec.word in ("us", "diag") and spec.text.startswith("("):
        return f"({columns_text(spec.columns)} {'||' if spec.word == 'diag' else '|'} {factor})"
    options = "".join(f", {name}={value}" for name, value in spec.options)
    if spec.word in KNOWN:
        return f"({columns_text(spec.columns)} {KNOWN[spec.word]} gr({factor}{options}))"
    return f"{spec.word}({columns_text(spec.columns)} | {factor}{options})"


def refuse_shared_columns(parts: Sequence[GroupPart], specs: Sequence[GroupSpec], formula: str) -> None:
    """Refuse two plain group terms of one factor that both hold the same column: their effects add up to one.

    Terms with another covariance word are left alone: an effect with kinship beside one without is a model.

    Raises
    ------
    FormulaError
        Naming both terms and the column.
    """
    seen: dict[tuple[frozenset[str], str], str] = {}
    for part, spec in zip(parts, specs, strict=True):
        if spec.word not in ("us", "diag"):
            continue
        for column in part.left.columns:
            key = (part.factor_key, column.name)
            if key in seen:
                message = f"`{column.name}` varies by `{part.group}` twice, in `{seen[key]}` and in `{part.label}`: "
                message += "the two cannot be told apart. Take it out of one of them (`0 +` for the constant)."
                raise FormulaError(message, formula, spec.position)
            seen[key] = part.label

"""``s(x)``: smooth functions of one or more covariates, in mixed-model form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bayesglmm.bases import BasisOptions, FittedBasis, MixedForm, mixed_form
from bayesglmm.blocks import Block, FixedBlock, Floats, Ints, RandomBlock
from bayesglmm.errors import FormulaError
from bayesglmm.formula.syntax import Call, Name
from bayesglmm.terms.atoms import Atom
from bayesglmm.terms.base import TERMS, BoundTerm, Context, Smooth, Term
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import column_names
from bayesglmm.terms.smooth_by import By, Copy, bind_by
from bayesglmm.terms.smooth_call import SmoothCall, data_names, read_smooth
from bayesglmm.terms.smooth_levels import LEVEL_BASES
from bayesglmm.terms.smooth_support import (
    ALL,
    basis_called,
    beyond,
    bind_covariate,
    extrapolated,
    fit_basis,
    monomial_name,
    values,
)

_DEPENDENT = 1e-7  # a fixed column is a combination of others when less than this share of it is its own


@dataclass(frozen=True, eq=False)
class BoundSmooth(BoundTerm):
    """A smooth that has met data.

    Attributes
    ----------
    label : str
        ``s(x)``.
    title : str
        The basis, in words.
    covariates : tuple of Atom
    form : MixedForm
    by : By
    parts : tuple of str
        What to call the standard deviations where there are several.
    unpenalised : bool
        ``fx=TRUE``: every column is fixed.
    points : ndarray, shape (n, d)
        Covariate values of the model's rows.
    names : tuple of str
        Columns of the data that these come from.
    members : tuple of ndarray of int
        The rows of each curve.
    multiplier : ndarray, shape (n,), or None
        What a numeric ``by=`` multiplies the curve by in the model's rows.
    dropped : frozenset of str
        Fixed columns that others of the model stand for.
    """

    label: str
    title: str
    covariates: tuple[Atom, ...]
    form: MixedForm
    by: By
    parts: tuple[str, ...]
    unpenalised: bool
    points: Floats
    names: tuple[str, ...]
    members: tuple[Ints, ...]
    multiplier: Floats | None = None
    dropped: frozenset[str] = frozenset()

    @property
    def order(self) -> int:  # type: ignore[override]
        """Fewer covariates first, and plain smooths before those by something."""
        return 2 * len(self.covariates) + int(self.by.atom is not None)

    @property
    def width(self) -> int:  # type: ignore[override]
        """Columns of all curves."""
        return int(self.form.fixed.shape[1] + self.form.random.shape[1]) * len(self.by.copies)

    @property
    def smooths(self) -> tuple[Smooth, ...]:  # type: ignore[override]
        return tuple(
            Smooth(
                self.label + copy.suffix,
                self.label,
                self.title,
                tuple(atom.label for atom in self.covariates),
                self.names,
                self.points[rows],
                None if self.by.atom is None else self.by.atom.label,
                self.by.names,
                copy.level,
                None,
                (),
                tuple(name for name in self._fixed_names(copy) if name not in self.dropped),
                np.zeros(0) if self.unpenalised else self.form.units,
                None if copy.level is None else rows,
                self.by.selectors,
                self.multiplier,
            )
            for copy, rows in zip(self.by.copies, self.members, strict=True)
        )

    def _fixed_names(self, copy: Copy) -> tuple[str, ...]:
        head = self.label + copy.suffix
        words = [monomial_name(powers, self.covariates) for powers in self.form.monomials]
        if self.unpenalised:
            words += [f"f{j + 1}" for j in range(self.form.random.shape[1])]
        return tuple(f"{head}.{word}" for word in words)

    def blocks(self, columns: Columns) -> tuple[Block, ...]:
        fixed, random = self._columns(columns)
        made: list[Block] = []
        for copy in self.by.copies:
            made += self._copy(copy, fixed, random, self.by.multiplier(copy, columns))
        return tuple(made)

    def curve(self, label: str, columns: Columns) -> tuple[Block, ...]:
        fixed, random = self._columns(columns)
        copy = next(copy for copy in self.by.copies if self.label + copy.suffix == label)
        there = bool(self.by.names) and all(name in columns for name in self.by.names)
        return tuple(self._copy(copy, fixed, random, self.by.multiplier(copy, columns) if there else None))

    def _columns(self, columns: Columns) -> tuple[Floats, Floats]:
        fixed, random = self.form.columns(values(self.covariates, columns))
        if self.unpenalised:
            return np.hstack([fixed, random]), random[:, :0]
        return fixed, random

    def _copy(self, copy: Copy, fixed: Floats, random: Floats, multiplier: Floats | None) -> Iterator[Block]:
        names = self._fixed_names(copy)
        keep = [j for j, name in enumerate(names) if name not in self.dropped]
        label = self.label + copy.suffix
        scale = 1.0 if multiplier is None else multiplier[:, None]
        if keep:
            kept = tuple(names[j] for j in keep)
            yield FixedBlock(label, kept, (label,) * len(kept), fixed[:, keep] * scale)
        if random.shape[1]:
            terms = tuple(str(j + 1) for j in range(random.shape[1]))
            zero = np.zeros(len(random), dtype=np.intp)
            several = len(self.form.weights) > 1
            options = {"weights": self.form.weights, "parts": self.parts} if several else {}
            covariance = "penalties" if several else "iid"
            yield RandomBlock(
                label, label, terms, ALL, zero, random * scale, covariance, kind="smooth", options=options
            )

    def settled(self, others: FixedBlock, columns: Columns, notes: list[str]) -> BoundTerm:
        X, names = others.X, list(others.columns)
        gone: dict[str, list[str]] = {}
        mine = [block for block in self.blocks(columns) if isinstance(block, FixedBlock)]
        for block in reversed(mine):  # of curves by the levels of a factor the first one gives way: the reference
            for j, name in enumerate(block.columns):
                column = block.X[:, j]
                weights, rest = _explained(X, column)
                if rest <= _DEPENDENT * float(np.linalg.norm(column)):
                    gone[name] = [names[i] for i in np.flatnonzero(np.abs(weights) > 1e-6)]
                    continue
                X, names = np.column_stack([X, column]), [*names, name]
        for name, combination in gone.items():
            shown = ", ".join(f"`{other}`" for other in combination[:4]) + (", ..." if len(combination) > 4 else "")
            why = f"it is a combination of {shown}" if combination else "it is zero in every row"
            notes.append(f"The column `{name}` is left out: {why}.")
        return replace(self, dropped=self.dropped | frozenset(gone)) if gone else self

    def remarks(self, columns: Columns) -> tuple[str, ...]:
        x, labels, said = values(self.covariates, columns), tuple(atom.label for atom in self.covariates), []
        for copy, rows in zip(self.by.copies, self.members, strict=True):
            # a row multiplied by zero neither teaches anything about the curve nor depends on it
            points = self.points[rows if self.multiplier is None else np.flatnonzero(self.multiplier)]
            multiplier = self.by.multiplier(copy, columns)
            own = np.arange(len(x)) if multiplier is None else np.flatnonzero(multiplier)
            outside = beyond(x[own], points)
            if outside.any():
                said.append(extrapolated(self.label + copy.suffix, labels, outside, points))
        return tuple(said)


def _explained(X: Floats, column: Floats) -> tuple[Floats, float]:
    """Return the weights of X in a column, and the length of what they leave."""
    if not X.shape[1]:
        return np.zeros(0), float(np.linalg.norm(column))
    scale = np.linalg.norm(X, axis=0)
    scale[scale == 0.0] = 1.0
    weights = np.linalg.lstsq(X / scale, column, rcond=None)[0]
    rest = float(np.linalg.norm(column - X / scale @ weights))
    return weights / max(float(np.linalg.norm(column)), 1e-300), rest


def bind_smooth(
    read: SmoothCall,
    context: Context,
    covariates: tuple[Atom, ...],
    basis: FittedBasis,
    title: str,
    parts: tuple[str, ...] = (),
) -> BoundSmooth:
    """Return a smooth with a fitted basis: constraints, ``by=`` and the mixed-model form."""
    by = bind_by(read, context)
    x = values(covariates, context.columns)
    first = by.copies[0]
    multiplier = by.multiplier(first, context.columns) if first.level is None else None
    form = mixed_form(basis, x, context.intercept and by.constant, multiplier)
    masks = [None if copy.level is None else by.multiplier(copy, context.columns) for copy in by.copies]
    members = tuple(np.arange(len(x)) if mask is None else np.flatnonzero(mask) for mask in masks)
    names = dict.fromkeys(name.text for node in read.covariates for name in column_names(node))
    return BoundSmooth(
        read.label, title, covariates, form, by, parts or ("",), read.fx, x, tuple(names), members, multiplier
    )


class SmoothTerm(Term):
    """``s(x)``, ``s(lon, lat)``."""

    name = "s"

    def columns(self, call: Call) -> Iterator[Name]:
        return data_names(call)

    def bind(self, call: Call, context: Context) -> BoundTerm:
        read = read_smooth(call, context, ("k", "bs", "m", "by", "fx", "knots"))
        for word, given in (("bs", read.bs), ("k", read.k)):
            if len(given) > 1:
                message = f"`{word}=` has {len(given)} values, but s() has one basis; te() takes one for each margin."
                raise FormulaError(message, context.formula, read.place(word))
        if any(isinstance(value, tuple) for value in read.m):
            message = "`m=list(...)` has an element for each margin of te(); s() takes m=2 or m=c(2, 1)."
            raise FormulaError(message, context.formula, read.place("m"))
        if read.bs and read.bs[0] in LEVEL_BASES:
            return LEVEL_BASES[read.bs[0]](read, context)
        covariates = tuple(bind_covariate(node, context) for node in read.covariates)
        name = read.bs[0] if read.bs else "tp"
        basis = basis_called(name, len(covariates), read, context, tuple(LEVEL_BASES))
        options = BasisOptions(read.k[0] if read.k else None, tuple(read.m), read.knots)
        fitted = fit_basis(basis, values(covariates, context.columns), options, read, context)
        return bind_smooth(read, context, covariates, fitted, basis.title)


TERMS.register(SmoothTerm())

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
_SEEN = 1e-6  # columns with smaller weights in a combination are not named


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
        if not set(self.by.names).isdisjoint(self.names):
            there = False  # s(x, by=x): x is where the curve is asked for, which says nothing of a multiplier
        blocks = tuple(self._copy(copy, fixed, random, self.by.multiplier(copy, columns) if there else None))
        nothing = FixedBlock(label, (), (), np.zeros((columns.n, 0)))  # all columns are left out
        return blocks or (nothing,)

    def _fixed(self, copy: Copy, fixed: Floats, multiplier: Floats | None) -> FixedBlock | None:
        names = self._fixed_names(copy)
        keep = [j for j, name in enumerate(names) if name not in self.dropped]
        if not keep:
            return None
        label, kept = self.label + copy.suffix, tuple(names[j] for j in keep)
        return FixedBlock(label, kept, (label,) * len(kept), _times(fixed[:, keep], multiplier))

    def _columns(self, columns: Columns) -> tuple[Floats, Floats]:
        fixed, random = self.form.columns(values(self.covariates, columns))
        if self.unpenalised:
            return np.hstack([fixed, random]), random[:, :0]
        return fixed, random

    def _copy(self, copy: Copy, fixed: Floats, random: Floats, multiplier: Floats | None) -> Iterator[Block]:
        label = self.label + copy.suffix
        block = self._fixed(copy, fixed, multiplier)
        if block is not None:
            yield block
        if random.shape[1]:
            terms = tuple(str(j + 1) for j in range(random.shape[1]))
            zero = np.zeros(len(random), dtype=np.intp)
            several = len(self.form.weights) > 1
            options = {"weights": self.form.weights, "parts": self.parts} if several else {}
            covariance = "penalties" if several else "iid"
            yield RandomBlock(
                label, label, terms, ALL, zero, _times(random, multiplier), covariance, kind="smooth", options=options
            )

    def settled(
        self, others: FixedBlock, columns: Columns, notes: list[str]
    ) -> tuple[BoundTerm, tuple[FixedBlock, ...]]:
        fixed, _ = self._columns(columns)
        pairs = [(copy, self._fixed(copy, fixed, self.by.multiplier(copy, columns))) for copy in self.by.copies]
        mine = [block for _, block in pairs if block is not None]
        mine.reverse()  # of curves by the levels of a factor the first one gives way: the reference
        names = [*others.columns, *(name for block in mine for name in block.columns)]
        gone = combinations(np.hstack([others.X, *(block.X for block in mine)]), others.X.shape[1])
        if not gone:
            return self, tuple(reversed(mine))
        for j, weights in gone.items():
            combination = [names[i] for i, weight in weights.items() if abs(weight) > _SEEN]
            shown = ", ".join(f"`{other}`" for other in combination[:4]) + (", ..." if len(combination) > 4 else "")
            why = f"it is a combination of {shown}" if combination else "it is zero in every row"
            notes.append(f"The column `{names[j]}` is left out: {why}.")
        term = replace(self, dropped=self.dropped | {names[j] for j in gone})
        kept = (term._fixed(copy, fixed, self.by.multiplier(copy, columns)) for copy in self.by.copies)
        return term, tuple(block for block in kept if block is not None)

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


def _times(X: Floats, multiplier: Floats | None) -> Floats:
    return X if multiplier is None else X * multiplier[:, None]


def combinations(X: Floats, first: int) -> dict[int, dict[int, float]]:
    """Return the columns of X from number `first` on that are combinations of columns before them that are not.

    One QR decomposition of X: the columns of its triangle R have the lengths of those of X and the angles between
    them, so that leaving columns out takes place in R.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    first : int
        The columns before it are not looked at: they stay.

    Returns
    -------
    dict of int to dict of int to float
        For each such column the weights of the columns that stay, all of them in units of their lengths.
    """
    length = np.linalg.norm(X, axis=0)
    R = np.linalg.qr(X / np.where(length > 0.0, length, 1.0), mode="r")
    stay, gone, j = list(range(X.shape[1])), {}, first
    while j < len(stay):
        if float(np.linalg.norm(R[j:, j])) > _DEPENDENT:
            j += 1
            continue
        weights = np.linalg.lstsq(R[:j, :j], R[:j, j], rcond=None)[0]
        gone[stay.pop(j)] = dict(zip(stay[:j], weights.tolist(), strict=True))
        R = np.linalg.qr(np.delete(R, j, axis=1), mode="r")
    return gone


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

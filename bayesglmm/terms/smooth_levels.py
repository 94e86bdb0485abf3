"""Smooths of factors: ``s(x, f, bs="fs")``, a curve for each level of f, and ``s(f, bs="re")``, random effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bayesglmm.bases import BasisOptions, MixedForm, mixed_form
from bayesglmm.blocks import Block, Floats, Ints, RandomBlock
from bayesglmm.errors import DataError, FormulaError
from bayesglmm.formula.syntax import Node
from bayesglmm.terms.atoms import Atom, bind_atom
from bayesglmm.terms.base import BoundTerm, Context, Smooth
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import caret, column_names
from bayesglmm.terms.smooth_call import SmoothCall
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


@dataclass(frozen=True, eq=False)
class BoundLevels(BoundTerm):
    """Coefficients for each level of a factor, times columns that are functions of covariates.

    Attributes
    ----------
    label, title : str
    covariates : tuple of Atom
    factor : Atom or None
        Without one all rows share one level.
    form : MixedForm or None
        The curve; None for the product of the covariates.
    scales : ndarray, shape (p,)
        The unpenalised columns of the curve are divided by these, their root mean squares.
    covariance : str
    options : mapping
    points : ndarray, shape (n, d)
    index : ndarray of int, shape (n,)
        Level of each of these.
    """

    label: str
    title: str
    covariates: tuple[Atom, ...]
    factor: Atom | None
    form: MixedForm | None
    scales: Floats
    covariance: str
    options: Mapping[str, Any]
    points: Floats
    index: Ints

    @property
    def order(self) -> int:  # type: ignore[override]
        """It has no fixed columns to leave out."""
        return 100

    @property
    def width(self) -> int:  # type: ignore[override]
        """Columns for each level."""
        return 1 if self.form is None else self.form.fixed.shape[1] + self.form.random.shape[1]

    @property
    def smooths(self) -> tuple[Smooth, ...]:  # type: ignore[override]
        names = dict.fromkeys(name for atom in self.covariates for name in _columns_of(atom))
        return (
            Smooth(
                self.label,
                self.label,
                self.title,
                tuple(atom.label for atom in self.covariates),
                tuple(names),
                self.points,
                None,
                (),
                None,
                None if self.factor is None else self.factor.label,
                () if self.factor is None else self.factor.levels,
                (),
                np.ones(1) if self.form is None else self.form.units,
                selectors=() if self.factor is None else _columns_of(self.factor),
            ),
        )

    def blocks(self, columns: Columns) -> tuple[Block, ...]:
        index = _codes(self.factor, columns)
        x = values(self.covariates, columns) if self.covariates else np.zeros((columns.n, 0))
        terms: tuple[str, ...]
        if self.form is None:
            X, terms = np.prod(x, axis=1, keepdims=True), (":".join(a.label for a in self.covariates) or "Intercept",)
        else:
            fixed, random = self.form.columns(x)
            X = np.hstack([random, fixed / self.scales])
            terms = tuple(str(j + 1) for j in range(random.shape[1]))
            terms += tuple(monomial_name(powers, self.covariates) for powers in self.form.monomials)
        levels = ALL if self.factor is None else self.factor.levels
        return (
            RandomBlock(
                self.label,
                self.label,
                terms,
                levels,
                index,
                X,
                self.covariance,
                kind="smooth",
                options=self.options,
            ),
        )

    def curve(self, label: str, columns: Columns) -> tuple[Block, ...]:
        return self.blocks(columns)

    def remarks(self, columns: Columns) -> tuple[str, ...]:
        if self.form is None:
            return ()
        x, index = values(self.covariates, columns), _codes(self.factor, columns)
        seen, asked = _rows_by_level(self.index), _rows_by_level(index)
        nothing: Ints = np.zeros(0, dtype=np.intp)
        outside = np.zeros(len(x), dtype=bool)
        for level, rows in asked.items():
            outside[rows] = beyond(x[rows], self.points[seen.get(level, nothing)])
        if not outside.any():
            return ()
        if self.factor is None or beyond(x[outside], self.points).all():
            return (extrapolated(self.label, tuple(atom.label for atom in self.covariates), outside, self.points),)
        count, found = int(outside.sum()), [self.factor.levels[level] for level in np.unique(index[outside]).tolist()]
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        rows_lie = "row lies" if count == 1 else "rows lie"
        return (
            f"{count:,} {rows_lie} outside of the data of `{self.label}` for their level of {self.factor.label} "
            f"({shown}): extrapolated.",
        )


def _columns_of(atom: Atom) -> tuple[str, ...]:
    """Return the columns of the data that an atom is computed from."""
    return tuple(dict.fromkeys(name.text for name in column_names(atom.node)))


def _codes(factor: Atom | None, columns: Columns) -> Ints:
    if factor is None:
        return np.zeros(columns.n, dtype=np.intp)
    return np.asarray(factor.factor(columns).codes, dtype=np.intp)


def _rows_by_level(index: Ints) -> dict[int, Ints]:
    """Return the rows of each level that occurs; -1 stands for a level that the model has not seen."""
    order = np.argsort(index, kind="stable")
    levels, starts = np.unique(index[order], return_index=True)
    return dict(zip(levels.tolist(), np.split(order, starts[1:]), strict=True))


_RANDOM = "its coefficients are random, a set for each level"
_NO_CURVE = "it has one coefficient for each level, and no curve whose basis could be chosen"


def _sort(
    read: SmoothCall, context: Context, refused: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[Node], list[Atom]]:
    """Return the numeric covariates and the factors; refuse arguments that mean nothing, each with its reason."""
    for word, why in {"by": _RANDOM, "fx": _RANDOM, **refused}.items():
        if getattr(read, word):
            message = f"`{word}=` does not go with bs={read.bs[0]!r}: {why}."
            raise FormulaError(message, context.formula, read.place(word))
    numeric, factors = [], []
    for node in read.covariates:
        atom = bind_atom(node, context.columns, context.formula, context.notes)
        if atom.is_factor:
            factors.append(atom)
        else:
            numeric.append(node)
    if len(factors) > 1:
        message = f"`{read.call}` has {len(factors)} factors; make one of their combinations in the data."
        raise FormulaError(message, context.formula, read.call.position)
    return numeric, factors


def bind_random(read: SmoothCall, context: Context) -> BoundTerm:
    """Bind ``s(f, bs="re")``: an effect for each level, times the product of numeric covariates."""
    numeric, factors = _sort(read, context, dict.fromkeys(("k", "m", "knots"), _NO_CURVE))
    covariates = tuple(bind_covariate(node, context) for node in numeric)
    x = values(covariates, context.columns) if covariates else np.zeros((context.columns.n, 0))
    factor = factors[0] if factors else None
    index = _codes(factor, context.columns)
    return BoundLevels(read.label, "random effects", covariates, factor, None, np.ones(0), "iid", {}, x, index)


def bind_factor_smooth(read: SmoothCall, context: Context) -> BoundTerm:
    """Bind ``s(x, f, bs="fs")``: a curve for each level, all with the same standard deviations.

    Polynomials that no penalty sees are random too, each with a standard deviation of its own.
    """
    numeric, factors = _sort(read, context)
    if not factors or not numeric:
        message = f"`{read.call}`: bs='fs' takes a covariate and a factor, as in s(x, f, bs=\"fs\")."
        raise DataError(caret(message, context.formula, read.call.position))
    covariates = tuple(bind_covariate(node, context) for node in numeric)
    x = values(covariates, context.columns)
    basis = basis_called("tp", len(covariates), read, context)
    options = BasisOptions(read.k[0] if read.k else None, tuple(read.m), read.knots)
    form = mixed_form(fit_basis(basis, x, options, read, context), x, constrain=False)
    fixed, random = form.columns(x)
    scales = np.sqrt(np.mean(np.square(fixed), axis=0))
    p, q = fixed.shape[1], random.shape[1]
    weights = np.zeros((1 + p, q + p))
    weights[0, :q] = 1.0
    weights[1 + np.arange(p), q + np.arange(p)] = 1.0
    parts = ("curve", *(monomial_name(powers, covariates) for powers in form.monomials))
    options_of_block = {"weights": weights, "parts": parts}
    title = f"{basis.title} for each level"
    index = _codes(factors[0], context.columns)
    return BoundLevels(
        read.label, title, covariates, factors[0], form, scales, "penalties", options_of_block, x, index
    )


LEVEL_BASES = {"re": bind_random, "fs": bind_factor_smooth}
"""Words of ``bs=`` that are no basis of numbers: they take factors."""

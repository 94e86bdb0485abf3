"""``te(x, z)``, ``ti(x, z)``, ``t2(x, z)``: smooths of covariates in different units, as products of their bases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayesglmm.bases import BASES, BasisOptions, FittedBasis
from bayesglmm.bases.tensor import Margin, margin, separable_margin, separable_tensor, tensor
from bayesglmm.blocks import Floats
from bayesglmm.errors import FormulaError
from bayesglmm.formula.syntax import Call, Name
from bayesglmm.terms.base import TERMS, BoundTerm, Context, Term
from bayesglmm.terms.smooth import bind_smooth
from bayesglmm.terms.smooth_call import SmoothCall, data_names, read_smooth
from bayesglmm.terms.smooth_levels import LEVEL_BASES
from bayesglmm.terms.smooth_support import basis_called, bind_covariate, fit_basis, values

_ONE_DIMENSION_ONLY = ("cr", "cs", "ps")  # for margins of several covariates mgcv takes these words for "tp"


class _Piece(NamedTuple):
    """A margin before it meets data: its covariates, basis and options."""

    start: int
    stop: int
    basis: str
    options: BasisOptions


class TensorTerm(Term):
    """``te(x, z)``: a main effect of each covariate and their interaction in one smooth."""

    name = "te"
    title: ClassVar[str] = "tensor product"

    def columns(self, call: Call) -> Iterator[Name]:
        return data_names(call)

    def bind(self, call: Call, context: Context) -> BoundTerm:
        read = read_smooth(call, context, ("k", "bs", "m", "d", "by", "fx"))
        covariates = tuple(bind_covariate(node, context) for node in read.covariates)
        if len(covariates) < 2:
            message = f"`{self.name}()` is a product over several covariates; of one it is s({read.covariates[0]})."
            raise FormulaError(message, context.formula, call.position)
        x = values(covariates, context.columns)
        pieces = list(_pieces(read, context))
        margins = [self.margin(piece, x[:, piece.start : piece.stop], read, context) for piece in pieces]
        names = [", ".join(atom.label for atom in covariates[piece.start : piece.stop]) for piece in pieces]
        fitted, parts = self.product(margins, names)
        words = dict.fromkeys(BASES.get(piece.basis).title for piece in pieces)
        return bind_smooth(read, context, covariates, fitted, f"{self.title} ({', '.join(words)})", parts)

    def margin(self, piece: _Piece, x: Floats, read: SmoothCall, context: Context) -> Margin:
        """Return a margin that has met data."""
        return _plain_margin(piece, x, read, context, constrain=False)

    def product(self, margins: list[Margin], names: list[str]) -> tuple[FittedBasis, tuple[str, ...]]:
        """Return the product, and the names of its standard deviations."""
        return tensor(margins, constrained=False), tuple(names)


class InteractionTerm(TensorTerm):
    """``ti(x, z)``: what is left of `te` without the main effects, for ``s(x) + s(z) + ti(x, z)``."""

    name = "ti"
    title = "tensor product interaction"

    def margin(self, piece: _Piece, x: Floats, read: SmoothCall, context: Context) -> Margin:
        return _plain_margin(piece, x, read, context, constrain=True)

    def product(self, margins: list[Margin], names: list[str]) -> tuple[FittedBasis, tuple[str, ...]]:
        return tensor(margins, constrained=True), tuple(names)


class SeparableTerm(TensorTerm):
    """``t2(x, z)``: a tensor product whose penalties do not overlap: one sd each for x, z and both."""

    name = "t2"
    title = "tensor product with separate penalties"

    def margin(self, piece: _Piece, x: Floats, read: SmoothCall, context: Context) -> Margin:
        return separable_margin(_fitted(piece, x, read, context), x)

    def product(self, margins: list[Margin], names: list[str]) -> tuple[FittedBasis, tuple[str, ...]]:
        product, about = separable_tensor(margins)
        return product, tuple(":".join(names[j] for j in chosen) for chosen in about)


def _fitted(piece: _Piece, x: Floats, read: SmoothCall, context: Context) -> FittedBasis:
    basis = basis_called(piece.basis, x.shape[1], read, context)
    return fit_basis(basis, x, piece.options, read, context)


def _plain_margin(piece: _Piece, x: Floats, read: SmoothCall, context: Context, constrain: bool) -> Margin:
    basis = basis_called(piece.basis, x.shape[1], read, context)
    fitted = fit_basis(basis, x, piece.options, read, context)
    by_values = x.shape[1] == 1 and not basis.in_values
    return margin(fitted, np.asarray(x), by_values, constrain)


def _pieces(read: SmoothCall, context: Context) -> Iterator[_Piece]:
    """Yield the margins: one for each covariate, or as ``d=c(2, 1)`` says."""
    total = len(read.covariates)
    sizes = read.d or (1,) * total
    if sum(sizes) != total:
        message = f"`d=` adds up to {sum(sizes)}, but there are {total} covariates."
        raise FormulaError(message, context.formula, read.place("d"))
    bases = _each(read.bs or ("cr",), len(sizes), "bs", read, context)
    for name in bases:
        if name in LEVEL_BASES:
            message = f"bs={name!r} takes a factor and is no basis of a product: it goes into s()."
            raise FormulaError(message, context.formula, read.place("bs"))
    ks = _each(read.k, len(sizes), "k", read, context) if read.k else [5**size for size in sizes]
    orders = _each(read.m, len(sizes), "m", read, context) if read.m else [()] * len(sizes)
    start = 0
    for size, name, k, m in zip(sizes, bases, ks, orders, strict=True):
        own = "tp" if size > 1 and name in _ONE_DIMENSION_ONLY else name
        yield _Piece(start, start + size, own, BasisOptions(k, m if isinstance(m, tuple) else (m,)))
        start += size


def _each(given: tuple[Any, ...], count: int, word: str, read: SmoothCall, context: Context) -> list[Any]:
    if len(given) == 1:
        return list(given) * count
    if len(given) != count:
        message = f"`{word}=` has {len(given)} values for {count} margins: give one, or one for each."
        raise FormulaError(message, context.formula, read.place(word))
    return list(given)


TERMS.register(TensorTerm())
TERMS.register(InteractionTerm())
TERMS.register(SeparableTerm())

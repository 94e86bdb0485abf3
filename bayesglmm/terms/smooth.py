"""``s(x)``: smooth functions of one or more covariates, in mixed-model form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayesglmm.bases import BASES, Basis, BasisOptions, FittedBasis, MixedForm, mixed_form
from bayesglmm.bases.base import Monomial
from bayesglmm.blocks import Block, FixedBlock, Floats, Ints, RandomBlock
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError, did_you_mean
from bayesglmm.formula.syntax import Call, Node
from bayesglmm.terms.atoms import Atom, bind_atom
from bayesglmm.terms.base import TERMS, BoundTerm, Context, Smooth, Term
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import caret, column_names
from bayesglmm.terms.smooth_by import By, Copy, bind_by
from bayesglmm.terms.smooth_call import SmoothCall, read_smooth

ALL = ("all",)
"""The only level of the random columns of a smooth: they are those of every row."""
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
    dropped: frozenset[str] = frozenset()

    @property
    def order(self) -> int:  # type: ignore[override]
        """Fewer covariates first, and plain smooths before those by something."""
        return 2 * len(self.covariates) + int(self.by.atom is not None)

    @property
    def width(self) -> int:  # type: ignore[override]
        """Columns of all curves."""
        return (self.form.fixed.shape[1] + self.form.random.shape[1]) * len(self.by.copies)

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
            )
            for copy, rows in zip(self.by.copies, self.members, strict=True)
        )

    def _fixed_names(self, copy: Copy) -> tuple[str, ...]:
        head = self.label + copy.suffix
        words = [_monomial(powers, self.covariates) for powers in self.form.monomials]
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
        outside = beyond(values(self.covariates, columns), self.points)
        if not outside.any():
            return ()
        return (extrapolated(self.label, tuple(atom.label for atom in self.covariates), outside, self.points),)


def beyond(x: Floats, points: Floats) -> np.ndarray:
    """Return which rows of x (n, d) lie outside of the range of the points (m, d), or in a plane of their hull."""
    low, high = points.min(axis=0), points.max(axis=0)
    slack = 1e-9 * (high - low)
    outside: np.ndarray = ((x < low - slack) | (x > high + slack)).any(axis=1)
    if x.shape[1] == 2 and not outside.all():
        outside |= ~_in_hull(x, points)
    return outside


def _in_hull(x: Floats, points: Floats) -> np.ndarray:
    from scipy.spatial import ConvexHull, QhullError

    spread = np.where(np.ptp(points, axis=0) > 0.0, np.ptp(points, axis=0), 1.0)
    centre = points.mean(axis=0)
    try:
        faces = ConvexHull((points - centre) / spread).equations
    except QhullError:  # all on one line: the box is all that can be said
        return np.ones(len(x), dtype=bool)
    return np.asarray(((x - centre) / spread @ faces[:, :-1].T + faces[:, -1] <= 1e-9).all(axis=1))


def extrapolated(label: str, covariates: Sequence[str], outside: np.ndarray, points: Floats) -> str:
    """Return the sentence about rows where a smooth met no data."""
    count = int(outside.sum())
    rows = "row lies" if count == 1 else "rows lie"
    where = " and ".join(
        f"{name} from {low:.6g} to {high:.6g}"
        for name, low, high in zip(covariates, points.min(axis=0), points.max(axis=0), strict=True)
    )
    hull = " (or of the hull of its points)" if points.shape[1] == 2 else ""
    return f"{count:,} {rows} outside of the data of `{label}`, {where}{hull}: extrapolated."


def _explained(X: Floats, column: Floats) -> tuple[Floats, float]:
    """Return the weights of X in a column, and the length of what they leave."""
    if not X.shape[1]:
        return np.zeros(0), float(np.linalg.norm(column))
    scale = np.linalg.norm(X, axis=0)
    scale[scale == 0.0] = 1.0
    weights = np.linalg.lstsq(X / scale, column, rcond=None)[0]
    rest = float(np.linalg.norm(column - X / scale @ weights))
    return weights / max(float(np.linalg.norm(column)), 1e-300), rest


def _monomial(powers: Monomial, covariates: Sequence[Atom]) -> str:
    words = [
        atom.label if power == 1 else f"{atom.label}^{power}"
        for atom, power in zip(covariates, powers, strict=True)
        if power
    ]
    return ":".join(words) or "1"


def values(covariates: Sequence[Atom], columns: Columns) -> Floats:
    """Return covariate values, shape (n, d)."""
    return np.hstack([atom.numbers(columns) for atom in covariates])


def bind_covariate(node: Node, context: Context) -> Atom:
    """Let one covariate meet the data.

    Raises
    ------
    DataError
        For categories, with a caret.
    """
    atom = bind_atom(node, context.columns, context.formula, context.notes)
    if atom.is_factor or len(atom.parts) != 1:
        what = f"holds categories ({', '.join(atom.levels[:5])})" if atom.is_factor else "has several columns"
        message = (
            f"`{node}` {what}, but a smooth is a function of numbers. A curve for each level is s(x, by={node}) or "
            f's(x, {node}, bs="fs"); effects of levels are (1 | {node}).'
        )
        raise DataError(caret(message, context.formula, node.position))
    return atom


def basis_called(name: str, d: int, read: SmoothCall, context: Context) -> Basis:
    """Return a basis for d covariates by its name.

    Raises
    ------
    UnknownNameError
        If there is none, with the nearest name and a caret.
    FormulaError
        If it does not take so many covariates.
    """
    if name not in BASES:
        message = f"Unknown basis bs={name!r}. {did_you_mean(name, BASES.names())}"
        raise UnknownNameError(caret(message, context.formula, read.place("bs")))
    basis = BASES.get(name)
    least, most = basis.dimensions
    if not least <= d <= most:
        number = f"{least}" if least == most else f"{least} to {most}"
        message = f"bs={name!r} ({basis.title}) is for {number} covariate{'s' if most > 1 else ''}, not {d}: "
        raise FormulaError(message + "use te() or bs='tp'.", context.formula, read.place("bs"))
    return basis


def fit_basis(basis: Basis, x: Floats, options: BasisOptions, read: SmoothCall, context: Context) -> FittedBasis:
    """Let a basis meet data; its errors get the name of the smooth and a caret."""
    try:
        return basis.fit(x, options)
    except BayesglmmError as error:
        raise type(error)(caret(f"`{read.call}`: {error}", context.formula, read.call.position)) from None


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
    return BoundSmooth(read.label, title, covariates, form, by, parts or ("",), read.fx, x, tuple(names), members)


class SmoothTerm(Term):
    """``s(x)``, ``s(lon, lat)``."""

    name = "s"

    def bind(self, call: Call, context: Context) -> BoundTerm:
        read = read_smooth(call, context, ("k", "bs", "m", "by", "fx"))
        covariates = tuple(bind_covariate(node, context) for node in read.covariates)
        for word, given in (("bs", read.bs), ("k", read.k)):
            if len(given) > 1:
                message = f"`{word}=` has {len(given)} values, but s() has one basis; te() takes one for each margin."
                raise FormulaError(message, context.formula, read.place(word))
        basis = basis_called(read.bs[0] if read.bs else "tp", len(covariates), read, context)
        options = BasisOptions(read.k[0] if read.k else None, tuple(read.m))
        fitted = fit_basis(basis, values(covariates, context.columns), options, read, context)
        return bind_smooth(read, context, covariates, fitted, basis.title)


TERMS.register(SmoothTerm())

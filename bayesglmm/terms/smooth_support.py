"""What the kinds of smooths share: their covariates, their bases with carets for errors, and extrapolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bayesglmm.bases import BASES, Basis, BasisOptions, FittedBasis
from bayesglmm.bases.base import Monomial
from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError, DataError, FormulaError, UnknownNameError, did_you_mean
from bayesglmm.formula.syntax import Node
from bayesglmm.terms.atoms import Atom, bind_atom
from bayesglmm.terms.base import Context
from bayesglmm.terms.columns import Columns
from bayesglmm.terms.names import caret
from bayesglmm.terms.smooth_call import SmoothCall

ALL = ("all",)
"""The only level of the random columns of a smooth: they are those of every row."""


def beyond(x: Floats, points: Floats) -> np.ndarray:
    """Return which rows of x (n, d) lie outside of the range of the points (m, d), or in a plane of their hull."""
    if not len(points):
        return np.ones(len(x), dtype=bool)
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
    if not len(points):
        return f"{count:,} {rows} where `{label}` met no data: extrapolated."
    where = " and ".join(
        f"{name} from {low:.6g} to {high:.6g}"
        for name, low, high in zip(covariates, points.min(axis=0), points.max(axis=0), strict=True)
    )
    hull = " (or of the hull of its points)" if points.shape[1] == 2 else ""
    return f"{count:,} {rows} outside of the data of `{label}`, {where}{hull}: extrapolated."


def monomial_name(powers: Monomial, covariates: Sequence[Atom]) -> str:
    """Return a monomial as text: ``x``, ``x:z``, ``x^2``; ``1`` for the constant."""
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


def basis_called(name: str, d: int, read: SmoothCall, context: Context, others: tuple[str, ...] = ()) -> Basis:
    """Return a basis for d covariates by its name.

    Parameters
    ----------
    name : str
    d : int
    read : SmoothCall
    context : Context
        For carets.
    others : tuple of str
        Words that could be meant besides the names of bases.

    Raises
    ------
    UnknownNameError
        If there is none, with the nearest name and a caret.
    FormulaError
        If it does not take so many covariates.
    """
    if name not in BASES:
        message = f"Unknown basis bs={name!r}. {did_you_mean(name, (*BASES.names(), *others))}"
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
    if options.knots and not basis.takes_knots:
        message = f"bs={basis.name!r} takes no knots=: it places them by the data; k= says how many."
        raise FormulaError(message, context.formula, read.place("knots"))
    try:
        fitted = basis.fit(x, options)
    except BayesglmmError as error:
        raise type(error)(caret(f"`{read.call}`: {error}", context.formula, read.call.position)) from None
    if fitted.left_out:
        size = len(fitted.penalties[0])
        context.notes.append(
            f"`{read.call}` has {size} basis functions, not {size + fitted.left_out}: over this range the process "
            "varies in no more directions that numbers can tell from zero."
        )
    return fitted

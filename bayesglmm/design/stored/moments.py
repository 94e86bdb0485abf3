"""Means and second moments of columns that are never all in memory, and a few rows that have the same ones.

Default priors, the centre of the intercept, coordinates of samplers and checks for dependent columns ask for
nothing but these. So a few made-up rows with exactly these moments stand for all rows wherever numbers per column are
needed, and no code has to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import FixedBlock, Floats, OffsetBlock, Predictor, RandomBlock, Response, ResponseMoments
from bayesglmm.families.base import Family

_ROUNDING = 1e-12  # of eigenvalues of a correlation matrix that was added up


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of columns.

    Attributes
    ----------
    n : int
        Rows.
    mean : ndarray, shape (d,)
    squares : ndarray, shape (d, d)
        Sums over the rows of products of deviations from the means.
    low, high : ndarray, shape (d,)
        The smallest and the largest value.
    """

    n: int
    mean: Floats
    squares: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, columns: Floats) -> Moments:
        """Return the moments of an array, shape (n, d), of at least one row."""
        mean = columns.mean(axis=0)
        deviations = columns - mean
        return cls(len(columns), mean, deviations.T @ deviations, columns.min(axis=0), columns.max(axis=0))

    def joined(self, other: Moments) -> Moments:
        """Return the moments of these rows and of others (Chan, Golub and LeVeque 1983)."""
        n, gap = self.n + other.n, other.mean - self.mean
        between = np.outer(gap, gap) * (self.n * other.n / n)
        return Moments(
            n,
            self.mean + gap * (other.n / n),
            self.squares + other.squares + between,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )

    def rows(self, axes: int, at_least: int) -> Floats:
        """Return rows with this mean and this covariance (with n in the denominator), shape (m, d).

        They are the means plus and minus multiples of the eigenvectors of the correlation matrix, repeated until
        there are enough. Columns that are constant are constant here.

        Parameters
        ----------
        axes : int
            At least d: m is a multiple of twice as many.
        at_least : int
        """
        d = len(self.mean)
        constant = self.low == self.high
        sd = np.where(constant, 0.0, np.sqrt(np.maximum(np.diag(self.squares), 0.0) / self.n))
        scale = np.where(sd > 0.0, sd, 1.0)
        correlation = self.squares / self.n / np.outer(scale, scale)
        correlation[sd == 0.0] = correlation[:, sd == 0.0] = 0.0
        values, vectors = np.linalg.eigh(correlation) if d else (np.zeros(0), np.zeros((0, 0)))
        values = np.where(values > _ROUNDING * values.max(initial=0.0), values, 0.0)  # exact dependencies stay exact
        steps = np.zeros((max(axes, 1), d))
        steps[:d] = (vectors * np.sqrt(values * max(axes, 1))).T * sd
        centre = np.where(constant, self.low, self.mean)
        found = np.concatenate([centre + steps, centre - steps])
        return np.tile(found, (-(-at_least // len(found)), 1))


@dataclass(frozen=True, eq=False)
class RowMoments:
    """What the second reading adds up.

    Attributes
    ----------
    columns : tuple of Moments
        Of every distinct predictor: population columns, offset, varying columns, side by side.
    response : ResponseMoments
    """

    columns: tuple[Moments, ...]
    response: ResponseMoments

    @classmethod
    def of(cls, predictors: Sequence[Predictor], response: Response, family: Family) -> RowMoments:
        """Return the moments of some rows."""
        return cls(tuple(Moments.of(side_by_side(p)) for p in predictors), family.moments(response))

    def joined(self, other: RowMoments) -> RowMoments:
        """Return the moments of these rows and of others."""
        columns = tuple(one.joined(two) for one, two in zip(self.columns, other.columns, strict=True))
        return RowMoments(columns, self.response.joined(other.response))


def side_by_side(predictor: Predictor) -> Floats:
    """Return all columns of a predictor, shape (n, d)."""
    offset = [] if predictor.offset is None else [predictor.offset[:, None]]
    return np.hstack([predictor.X, *offset, *(block.X for block in predictor.random), np.zeros((predictor.n, 0))])


def digest(predictor: Predictor, moments: Moments, axes: int, at_least: int) -> Predictor:
    """Return a predictor of a few rows whose columns have the moments of all rows.

    Parameters
    ----------
    predictor : Predictor
        Of some rows: names, levels and structure.
    moments : Moments
        Of `side_by_side` over all rows.
    axes, at_least : int
        As of `Moments.rows`.
    """
    values = moments.rows(axes, at_least)
    m, at = len(values), 0

    def take(width: int) -> Floats:
        nonlocal at
        at += width
        return np.ascontiguousarray(values[:, at - width : at])

    fixed: tuple[FixedBlock, ...] = tuple(replace(own, X=take(own.X.shape[1])) for own in predictor.fixed)
    offsets: tuple[OffsetBlock, ...] = ()
    if predictor.offsets:
        label = " + ".join(own.label for own in predictor.offsets)
        offsets = (OffsetBlock(label, take(1)[:, 0]),)
    return Predictor(predictor.parameter, m, fixed, tuple(_few(own, take) for own in predictor.random), offsets)


def _few(block: RandomBlock, take: object) -> RandomBlock:
    X: Floats = take(block.X.shape[1])  # type: ignore[operator]
    m = len(X)
    column = None if block.column is None else np.arange(m) % block.X.shape[1]
    return replace(block, X=X, index=np.zeros(m, dtype=np.intp), column=column)


def few_responses(response: Response, moments: ResponseMoments, m: int) -> Response:
    """Return m of the responses, evenly spaced, that stand for all rows.

    Parameters
    ----------
    response : Response
        Of some rows.
    moments : ResponseMoments
        Of all.
    m : int
    """
    n = len(response.y)
    chosen = np.linspace(0, n - 1, m).round().astype(np.intp) if n > m else np.resize(np.arange(n), m)
    return replace(picked(response, chosen), moments=moments)


def picked(response: Response, rows: Any) -> Response:
    """Return some rows of a response, a slice or positions."""
    changes: dict[str, object] = {}
    for name in BY_ROW:
        values = getattr(response, name)
        if values is not None:
            changes[name] = values[rows]
    covariates: Mapping[str, Floats] = {name: values[rows] for name, values in response.covariates.items()}
    return replace(response, covariates=covariates, **changes)  # type: ignore[arg-type]


BY_ROW = ("y", "trials", "weights", "likelihood_weights", "censoring", "y_upper", "lower", "upper", "rows")
"""Attributes of a response that have a value per row."""

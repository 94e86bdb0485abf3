"""Blocks: the closed set of things that a linear predictor is made of, and the response beside them.

Every term of a formula, whatever its kind, becomes blocks, and blocks are all that the graph builder sees:

    eta_i = sum_o offset_o[i] + sum_j X[i, j] beta[j] + sum_b sum_j Z_b[i, j] b_b[index_b[i], j]

A row may also belong to several levels of a block, with a share of its columns in each.

Arrays are numpy; nothing here knows pandas or PyMC. A leaf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]
type Ints = NDArray[np.intp]
type LatentForm = Literal["spherical", "precision"]
FIXED = "fixed"
"""Label of the block of the linear terms."""


@dataclass(frozen=True, eq=False)
class FixedBlock:
    """Columns with a population coefficient each.

    Attributes
    ----------
    label : str
        The formula text that they came from: ``"fixed"`` for the linear part, ``"s(x)"`` for a smooth.
    columns : tuple of str
        Column names, as users see them: ``Intercept``, ``x``, ``period[2]``, ``a[b]:x``.
    terms : tuple of str
        For each column the term that made it (``period`` for ``period[2]``): a key for priors.
    X : ndarray, shape (n, p)
        The columns, on the user's scale.
    intercept : int or None
        Which column is the intercept that the default prior centres; None if there is none, or if the user
        wrote `0 + Intercept` to have it as an ordinary column.
    """

    label: str
    columns: tuple[str, ...]
    terms: tuple[str, ...]
    X: Floats
    intercept: int | None = None

    @property
    def of_smooth(self) -> bool:
        """Whether these are the unpenalised part of a smooth: one such coefficient alone says nothing."""
        return self.label != FIXED


@dataclass(frozen=True)
class Portion:
    """Which levels of a grouping factor a block is for, where different ones have different covariances.

    Attributes
    ----------
    label : str
        ``z[a]``: those with level a of the factor z.
    columns : tuple of str
        The varying columns; the block's terms say the label, too.
    spreads : tuple of float
        Their standard deviations over the rows of these levels.
    """

    label: str
    columns: tuple[str, ...]
    spreads: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class RandomBlock:
    """Coefficients with a common Gaussian distribution, looked up by level.

    Row i contributes ``sum_j X[i, j] * b[index[i], j]``, or with several memberships
    ``sum_m sum_j shares[i, j, m] * b[index[i, m], j]``. A negative index (a level not seen when the model was bound)
    contributes nothing. There is never an indicator matrix.

    Attributes
    ----------
    label : str
        The formula text: ``"(1 + x | g)"``.
    group : str
        The grouping factor: ``"g"``, ``"a:b"``; for a smooth its label.
    terms : tuple of str
        Names of the k coefficients per level: ``("Intercept", "x")``.
    levels : tuple of str
        Names of the J levels, in the order of `index`.
    index : ndarray of int, shape (n,) or (n, M)
        Level of each row, or levels. Different levels of one row that were not seen have different negative numbers.
    X : ndarray, shape (n, k)
        The varying columns, as of a row that belongs to one level.
    covariance : str
        Name in the registry of covariances.
    latent : {"spherical", "precision"}
        The form in which engines see the block: x = u with u ~ N(0, I) and b = Lambda u, or x = b with a
        sparse precision Q(theta).
    kind : {"group", "smooth"}
        Where the block comes from; decides how it is reported.
    options : mapping
        What the covariance needs besides (positions, a kinship matrix, ...).
    column : ndarray of int, shape (n,), or None
        Where X indicates one column per row (a factor in full coding): which. Whoever knows how need not multiply.
    shares : ndarray, shape (n, k, M), or None
        Where rows belong to M levels: the columns with the weights of each membership.
    portion : Portion or None
        Where other levels of the factor have a block of their own. X is zero in their rows, whose index means
        nothing.
    """

    label: str
    group: str
    terms: tuple[str, ...]
    levels: tuple[str, ...]
    index: Ints
    X: Floats
    covariance: str
    latent: LatentForm = "spherical"
    kind: Literal["group", "smooth"] = "group"
    options: Mapping[str, Any] = field(default_factory=dict)
    column: Ints | None = None
    shares: Floats | None = None
    portion: Portion | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the varying columns, whose coefficients the terms are."""
        return self.terms if self.portion is None else self.portion.columns

    @property
    def spreads(self) -> Floats:
        """Standard deviations of the columns over the rows that they are of, shape (k,); zero where constant."""
        return self.X.std(axis=0) if self.portion is None else np.array(self.portion.spreads)

    @property
    def memberships(self) -> tuple[tuple[Ints, Floats], ...]:
        """For each level that a row belongs to: which, shape (n,), and the columns there, shape (n, k)."""
        if self.shares is None:
            return ((self.index, self.X),)
        return tuple((self.index[:, m], self.shares[:, :, m]) for m in range(self.shares.shape[2]))

    @property
    def moment(self) -> Floats:
        """Mean over the rows of z z', shape (k, k), of independent levels: M in mean variance = tr(Cov(b) M)."""
        found = np.zeros((len(self.terms), len(self.terms)))
        for one, left in self.memberships:
            for two, right in self.memberships:
                found += (left * (one == two)[:, None]).T @ right
        return found / len(self.X)

    def rows(self, part: Any) -> RandomBlock:
        """Return the block for some of its rows, a slice or positions."""
        column = None if self.column is None else self.column[part]
        shares = None if self.shares is None else self.shares[part]
        return replace(self, X=self.X[part], index=self.index[part], column=column, shares=shares)

    @property
    def constants(self) -> dict[str, Any]:
        """The arrays among the options."""
        return {name: value for name, value in self.options.items() if isinstance(value, np.ndarray)}


@dataclass(frozen=True, eq=False)
class OffsetBlock:
    """A known part of the predictor.

    Attributes
    ----------
    label : str
        The formula text: ``"offset(log(t))"``.
    values : ndarray, shape (n,)
        On the scale of the linear predictor.
    """

    label: str
    values: Floats


type Block = FixedBlock | RandomBlock | OffsetBlock


def group_sizes(groups: Iterable[tuple[str, Sequence[str]]]) -> dict[str, int]:
    """Return how many levels each grouping factor has, from pairs of factor and levels: one per block."""
    found: dict[str, set[str]] = {}
    for group, levels in groups:
        found.setdefault(group, set()).update(levels)
    return {group: len(levels) for group, levels in found.items()}


@dataclass(frozen=True, eq=False)
class Predictor:
    """The blocks of one family parameter.

    Attributes
    ----------
    parameter : str
        Family parameter: ``"mu"``, ``"sigma"``, ``"zi"``.
    n : int
        Rows.
    fixed : tuple of FixedBlock
    random : tuple of RandomBlock
    offsets : tuple of OffsetBlock
    """

    parameter: str
    n: int
    fixed: tuple[FixedBlock, ...] = ()
    random: tuple[RandomBlock, ...] = ()
    offsets: tuple[OffsetBlock, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all fixed columns, in the order of `X`."""
        return tuple(c for block in self.fixed for c in block.columns)

    @property
    def column_terms(self) -> tuple[str, ...]:
        """The term of each fixed column."""
        return tuple(t for block in self.fixed for t in block.terms)

    @property
    def smooth_columns(self) -> dict[str, str]:
        """Fixed columns that are parts of smooths, with the label of the smooth."""
        return {column: block.label for block in self.fixed if block.of_smooth for column in block.columns}

    @property
    def X(self) -> Floats:
        """All fixed columns side by side, shape (n, p)."""
        if not self.fixed:
            return np.zeros((self.n, 0))
        return self.fixed[0].X if len(self.fixed) == 1 else np.hstack([block.X for block in self.fixed])

    @property
    def intercept(self) -> int | None:
        """Position of the intercept in `X`, or None."""
        start = 0
        for block in self.fixed:
            if block.intercept is not None:
                return start + block.intercept
            start += len(block.columns)
        return None

    @property
    def offset(self) -> Floats | None:
        """Sum of the offsets, shape (n,), or None if there is none."""
        return sum((block.values for block in self.offsets[1:]), self.offsets[0].values) if self.offsets else None


@dataclass(frozen=True, eq=False)
class ResidualBlock:
    """How the residuals of a normal response depend on each other within groups.

    Attributes
    ----------
    label : str
        The text: ``"ar1(time | g)"``.
    structure : str
        Name in the registry of residual structures.
    group : str
        The grouping factor; residuals of different levels are independent.
    levels : tuple of str
        Names of its levels, in the order of `index`.
    index : ndarray of int, shape (n,)
        Level of each row.
    time : ndarray, shape (n,)
        Where each row lies within its group: a time, the code of a factor's level, or the place in the data.
    unit : str
        What that is, in words: ``"time"``, ``"row"``.
    times : tuple of str
        Names of the distinct times in their order.
    """

    label: str
    structure: str
    group: str
    levels: tuple[str, ...]
    index: Ints
    time: Floats
    unit: str
    times: tuple[str, ...]


@dataclass(frozen=True)
class ResponseMoments:
    """What default priors ask of the response, on the scale that they are for; see `Family.quantity`.

    Attributes
    ----------
    n : int
        Rows.
    mean, sd : float
        The standard deviation has n - 1 in its denominator; NaN for a single row.
    whole : bool
        Whether every value of the response is a whole number.
    zero : bool
        Whether every value is zero.
    """

    n: int
    mean: float
    sd: float
    whole: bool
    zero: bool

    def joined(self, other: ResponseMoments) -> ResponseMoments:
        """Return the moments of these rows and of others (Chan, Golub and LeVeque 1983)."""
        n, gap = self.n + other.n, other.mean - self.mean
        squares = sum(own.sd**2 * (own.n - 1) for own in (self, other) if own.n > 1) + gap**2 * self.n * other.n / n
        sd = float(np.sqrt(squares / (n - 1)))
        return ResponseMoments(
            n, self.mean + gap * other.n / n, sd, self.whole and other.whole, self.zero and other.zero
        )


@dataclass(frozen=True, eq=False)
class Response:
    """What was observed, as the family sees it.

    Attributes
    ----------
    name : str
        The formula text of the left side.
    y : ndarray, shape (n,)
        Values; counts of successes for binomial families, category codes 0..K-1 for factors.
    trials : ndarray of shape (n,) or None
        Binomial trials.
    categories : tuple of str
        Levels when the response is a factor (two for bernoulli: the second is success), else empty.
    weights : ndarray of shape (n,) or None
        Precision weights: Var(y_i) is divided by them (gaussian, student_t).
    likelihood_weights : ndarray of shape (n,) or None
        Multiply each row's log density.
    censoring : ndarray of int, shape (n,), or None
        -1 left, 0 none, 1 right, 2 interval censored (between `y` and `y_upper`).
    y_upper : ndarray of shape (n,) or None
        Upper ends of interval censored rows.
    lower, upper : ndarray of shape (n,) or None
        Truncation bounds (inclusive for counts).
    rows : array, shape (n,), or None
        Labels of the rows, for messages.
    covariates : mapping of str to ndarray of shape (n,)
        What a nonlinear predictor is computed from beside its parameters, by its text; empty for linear ones.
    moments : ResponseMoments or None
        Those of all rows, where all rows are elsewhere and these stand for them.
    """

    name: str
    y: NDArray[Any]
    trials: Floats | None = None
    categories: tuple[str, ...] = ()
    weights: Floats | None = None
    likelihood_weights: Floats | None = None
    censoring: Ints | None = None
    y_upper: Floats | None = None
    lower: Floats | None = None
    upper: Floats | None = None
    rows: NDArray[Any] | None = None
    covariates: Mapping[str, Floats] = field(default_factory=dict)
    moments: ResponseMoments | None = None

    @property
    def n(self) -> int:
        """Number of rows, those included that these stand for."""
        return len(self.y) if self.moments is None else self.moments.n

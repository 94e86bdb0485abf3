"""The maps of theta by hand, for the common kinds of hyperparameters: nothing is compiled for them.

Standard deviations of unstructured, diagonal and common covariances, their correlations, dispersions and cutpoints.
The graph stays the definition: tests hold every map here against it. `ExplicitTheta.of` returns None for a model
with any other kind of hyperparameter, whose maps PyTensor evaluates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from bayesglmm.blocks import Floats
from bayesglmm.graph.prior_densities import POSITIVE, REAL, STARTS
from bayesglmm.graph.problem import BlockParts, Problem
from bayesglmm.priors import Prior

_LOG_PI = float(np.log(np.pi))


# pieces of theta ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Piece(ABC):
    """One variable of theta.

    Attributes
    ----------
    name : str
    at : slice
        Where it lies in theta.
    """

    name: str
    at: slice

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value variable."""
        return (self.at.stop - self.at.start,)

    @property
    @abstractmethod
    def start(self) -> Floats:
        """Coordinates of the graph's initial point, shape (m,)."""

    @abstractmethod
    def natural(self, t: Floats) -> Floats:
        """Return the variable on its natural scale, shape (..., *shape of it), from coordinates, shape (..., m)."""

    @abstractmethod
    def log_prior(self, t: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the log density, the log Jacobian, and the gradient of both, shapes (d,), (d,) and (d, m)."""

    @abstractmethod
    def pull(self, t: Floats, cotangent: Floats) -> Floats:
        """Return the derivative in t, shape (m,), of a function with such derivatives in the natural value."""


@dataclass(frozen=True, eq=False)
class Positive(Piece):
    """Logarithms of positive values: standard deviations, and a dispersion, which is a scalar."""

    priors: tuple[Prior, ...]
    scalar: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.scalar else super().shape

    @property
    def start(self) -> Floats:
        return np.log([STARTS[prior.distribution](**prior.parameters) for prior in self.priors])

    def natural(self, t: Floats) -> Floats:
        return np.exp(t[..., 0]) if self.scalar else np.exp(t)

    def log_prior(self, t: Floats) -> tuple[Floats, Floats, Floats]:
        value, gradient = np.zeros(len(t)), np.ones_like(t)
        for j, prior in enumerate(self.priors):
            own, slope = POSITIVE[prior.distribution](t[:, j], **prior.parameters)
            value, gradient[:, j] = value + own, 1.0 + slope
        return value, t.sum(axis=1), gradient

    def pull(self, t: Floats, cotangent: Floats) -> Floats:
        return np.asarray(np.exp(t) * np.ravel(cotangent))


@dataclass(frozen=True, eq=False)
class Share(Piece):
    """The logit of a probability; its prior is a Beta, or flat."""

    prior: Prior

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def start(self) -> Floats:
        a, b = self._shapes
        return np.log([a / b])

    @property
    def _shapes(self) -> tuple[float, float]:
        return self.prior.parameters.get("alpha", 1.0), self.prior.parameters.get("beta", 1.0)

    def natural(self, t: Floats) -> Floats:
        return np.asarray(special.expit(t[..., 0]))

    def log_prior(self, t: Floats) -> tuple[Floats, Floats, Floats]:
        a, b = self._shapes
        low, high = -np.logaddexp(0.0, -t[:, 0]), -np.logaddexp(0.0, t[:, 0])
        value = (a - 1.0) * low + (b - 1.0) * high - special.betaln(a, b)
        return value, low + high, a - (a + b) * special.expit(t)

    def pull(self, t: Floats, cotangent: Floats) -> Floats:
        p = special.expit(t)
        return np.asarray(p * (1.0 - p) * np.ravel(cotangent))


@dataclass(frozen=True, eq=False)
class Ordered(Piece):
    """Increasing cutpoints: the first, then logarithms of the distances."""

    prior: Prior

    @property
    def start(self) -> Floats:
        m = self.at.stop - self.at.start
        return np.concatenate([[-1.0 if m > 1 else 0.0], np.full(m - 1, np.log(2.0 / max(m - 1, 1)))])

    def natural(self, t: Floats) -> Floats:
        steps = np.concatenate([t[..., :1], np.exp(t[..., 1:])], axis=-1)
        return np.asarray(np.cumsum(steps, axis=-1))

    def log_prior(self, t: Floats) -> tuple[Floats, Floats, Floats]:
        value, slopes = REAL[self.prior.distribution](self.natural(t), **self.prior.parameters)
        gradient = np.array([self.pull(*both) for both in zip(t, slopes, strict=True)]).reshape(t.shape)
        gradient[:, 1:] += 1.0
        return value.sum(axis=1), t[:, 1:].sum(axis=1), gradient

    def pull(self, t: Floats, cotangent: Floats) -> Floats:
        after = np.cumsum(np.ravel(cotangent)[::-1])[::-1]
        return np.concatenate([after[:1], after[1:] * np.exp(t[1:])])


@dataclass(frozen=True, eq=False)
class Correlation(Piece):
    """Rows (y, 1) / |(y, 1)| of the Cholesky factor of a correlation matrix with an LKJ prior.

    The prior |R|^(eta - 1), the Jacobian of R -> L and that of L -> y make |(y, 1)|^-(k + 2 eta - 1) for each row but
    the first (Lewandowski, Kurowicka and Joe 2009). PyMC fills the triangle with y in a spiral.
    """

    k: int
    eta: float

    @property
    def start(self) -> Floats:
        return np.zeros(self.at.stop - self.at.start)

    def _rows(self, t: Floats) -> Floats:
        """Return the rows before they are divided by their lengths, shape (..., k, k)."""
        rows = np.zeros((*t.shape[:-1], self.k, self.k))
        below = self.k - 1
        rows[..., 1:, :below] = np.tril(t[..., _spiral(self.k)])
        rows[..., np.arange(self.k), np.arange(self.k)] = 1.0
        return rows

    def natural(self, t: Floats) -> Floats:
        rows = self._rows(t)
        return np.asarray(rows / np.sqrt((rows * rows).sum(axis=-1, keepdims=True)))

    def log_prior(self, t: Floats) -> tuple[Floats, Floats, Floats]:
        rows, place, k, eta = self._rows(t), np.arange(self.k), self.k, self.eta
        square = (rows * rows).sum(axis=-1)
        log_diagonal = -0.5 * np.log(square)
        value = _lkj_constant(eta, k) + log_diagonal @ (2.0 * eta - 3.0 + k - place)
        slopes = -(2.0 * eta + k - 1.0) * rows / square[..., None]
        return value, log_diagonal @ (2.0 + place), self._gathered(slopes, t.shape[1])

    def pull(self, t: Floats, cotangent: Floats) -> Floats:
        rows = self._rows(t)
        length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
        L = rows / length
        slopes = (cotangent - (cotangent * L).sum(axis=-1, keepdims=True) * L) / length
        return self._gathered(slopes, len(t))

    def _gathered(self, slopes: Floats, size: int) -> Floats:
        """Return the entries below the diagonal in the order of the coordinates."""
        i, j = np.tril_indices(self.k - 1)
        out = np.empty((*slopes.shape[:-2], size))
        out[..., _spiral(self.k)[i, j]] = slopes[..., i + 1, j]
        return out


def _spiral(k: int) -> Any:
    """Return which coordinate stands where below the diagonal, shape (k - 1, k - 1), as PyMC's CholeskyCorr."""
    order = np.arange(k * (k - 1) // 2)
    return np.concatenate([order[k - 1 :], order[::-1]]).reshape(k - 1, k - 1)


def _lkj_constant(eta: float, k: int) -> float:
    """Return PyMC's normalising constant of the LKJ density."""
    j = np.arange(1, k)
    terms = 0.5 * j * _LOG_PI + special.gammaln(eta + 0.5 * (k - 1 - j))
    return float((k - 1) * special.gammaln(eta + 0.5 * (k - 1)) - terms.sum())


# all of them --------------------------------------------------------------------------------------------------------


class ExplicitTheta:
    """The maps of theta of one model; arrays of theta have shape (d, t).

    Parameters
    ----------
    problem : Problem
        As engines see it.
    pieces : sequence of Piece
        In the order of theta.
    """

    def __init__(self, problem: Problem, pieces: Sequence[Piece]) -> None:
        self.problem, self.pieces = problem, tuple(pieces)
        self.shapes = tuple(piece.shape for piece in self.pieces)

    @property
    def start(self) -> dict[str, Floats]:
        """The graph's initial point by variable, flat."""
        return {piece.name: piece.start for piece in self.pieces}

    @classmethod
    def of(cls, problem: Problem) -> ExplicitTheta | None:
        """Return the maps of a problem; None where it has hyperparameters that are not known here."""
        if problem.residual is not None or problem.hyperpriors:
            return None
        if any(block.block.latent != "spherical" or not block.covariance.scaled_root for block in problem.blocks):
            return None
        found, start = list[Piece](), 0
        for name in problem.names("theta"):
            piece = _piece(problem, name, start)
            if piece is None:
                return None
            found.append(piece)
            start = piece.at.stop
        return cls(problem, found)

    def natural(self, theta: Floats) -> dict[str, Floats]:
        """Return theta's variables on their natural scales; theta may have leading axes."""
        return {piece.name: piece.natural(theta[..., piece.at]) for piece in self.pieces}

    def log_prior(self, theta: Floats, jacobian: bool = True) -> tuple[Floats, Floats]:
        """Return log p(theta), shape (d,), and its gradient, (d, t), the Jacobian always being part of the latter."""
        value, gradient = np.zeros(len(theta)), np.zeros_like(theta)
        with np.errstate(over="ignore", divide="ignore"):
            for piece in self.pieces:
                own, volume, gradient[:, piece.at] = piece.log_prior(theta[:, piece.at])
                value = value + own + volume if jacobian else value + own
        return value, gradient

    def pullback(self, theta: Floats, factors: Sequence[Floats], dispersions: Mapping[str, Any]) -> Floats:
        """Return the gradient in theta, shape (t,), from derivatives in Lambda of every block and in dispersions."""
        natural = self.natural(theta)
        cotangents: dict[str, Any] = dict(dispersions)
        for part, M in zip(self.problem.blocks, factors, strict=True):
            values = part.values(natural)
            sd, L = values["sd"], values.get("cor", np.eye(len(M)))
            by_sd = (M * L).sum(axis=1)
            declared = part.parameters["sd"]
            if declared.is_free:
                whole = by_sd if len(declared.constant) == len(by_sd) else by_sd.sum(keepdims=True)
                cotangents[declared.name] = whole[declared.free]
            if "cor" in part.parameters:
                cotangents[part.parameters["cor"].name] = np.asarray(sd)[:, None] * M
        found = [piece.pull(theta[piece.at], cotangents[piece.name]) for piece in self.pieces]
        return np.concatenate([np.zeros(0), *found])


def _piece(problem: Problem, name: str, start: int) -> Piece | None:
    """Return the piece of theta that a variable is; None where it is not known here."""
    if name in problem.dispersions:
        return _dispersion(problem, name, start)
    for predictor in problem.predictors:
        slots = problem.priors.blocks[predictor.names.parameter]
        for part, own in zip(predictor.blocks, slots, strict=True):
            for what, declared in part.parameters.items():
                if declared.name != name:
                    continue
                if declared.kind == "correlation":
                    k = _width(part)
                    size = k * (k - 1) // 2
                    return Correlation(name, slice(start, start + size), k, own[what][0].prior.parameters["eta"])
                priors = tuple(own[what][int(j)].prior for j in declared.free)
                known = declared.kind == "scale" and all(prior.distribution in POSITIVE for prior in priors)
                return Positive(name, slice(start, start + len(priors)), priors) if known else None
    return None


def _width(part: BlockParts) -> int:
    return len(part.parameters["cor"].constant)


def _dispersion(problem: Problem, name: str, start: int) -> Piece | None:
    slot, size = problem.priors.dispersions[name], len(problem.dispersions[name].constant)
    kind, one = slot.prior.distribution, slice(start, start + 1)
    if any(parameter.ordered for parameter in problem.family.parameters if parameter.name == name):
        at = slice(start, start + size)
        return Ordered(name, at, slot.prior) if kind in REAL else None
    if slot.domain == "positive":
        return Positive(name, one, (slot.prior,), scalar=True) if kind in POSITIVE else None
    if slot.domain == "unit":
        return Share(name, one, slot.prior) if kind in ("Beta", "Flat") else None
    return None

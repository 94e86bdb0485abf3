"""Any penalised basis as a mixed model: fixed columns that no penalty sees, and random columns with a diagonal prior.

The penalised likelihood with penalties sum_m lambda_m c' S_m c is that of a mixed model with a Gaussian prior on c
(Wahba 1983; Speed 1991; Wood, Scheipl and Faraway 2013). Coordinates are changed so that the prior is diagonal with
precision sum_m W_ml / sd_m^2 for column l. What no penalty sees becomes polynomials of the covariates, in their
units, centred where a constant is in the model; the random columns are orthogonal to them over the data, so the
coefficient of a polynomial is the trend that one sees, and a standard deviation the size of what is left.

The standard deviations are in units of the linear predictor: with sd = 1 the random part that a penalty shrinks has
the root mean square 1 over the data, on average over its prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.bases.base import FittedBasis, Floats, Monomial, evaluate_monomials, signed


@dataclass(frozen=True, eq=False)
class MixedForm:
    """A basis in mixed-model form; frozen, so that new rows get the same functions.

    Attributes
    ----------
    basis : FittedBasis
    fixed : ndarray, shape (k, p)
        Coordinates of the fixed columns in the basis.
    random : ndarray, shape (k, q)
        Coordinates of the random columns.
    shift : ndarray, shape (p,), and shape (q,)
        What is taken off the columns, where a constraint cannot be absorbed in coordinates.
    monomials : tuple of Monomial
        What the fixed columns are.
    weights : ndarray, shape (M, q)
        W: prior precisions are sum_m W_ml / sd_m^2.
    units : ndarray, shape (M,)
        The standard deviation here that a penalty parameter 1 stands for: sd_m = units_m / sqrt(lambda_m), with
        the prior density proportional to exp(-sum_m lambda_m c' S_m c / 2).
    points : ndarray, shape (n, d)
        The covariate values of the model.
    made : tuple of ndarray, shapes (n, p) and (n, q)
        The columns there: a basis can be dear, and a model asks for them more than once.
    """

    basis: FittedBasis
    fixed: Floats
    random: Floats
    shift: Floats
    monomials: tuple[Monomial, ...]
    weights: Floats
    units: Floats
    points: Floats
    made: tuple[Floats, Floats]

    def columns(self, x: Floats) -> tuple[Floats, Floats]:
        """Return fixed columns (n, p) and random columns (n, q) at covariate values x (n, d)."""
        if np.array_equal(x, self.points):
            return self.made
        return _columns(self.basis.columns(x), self.fixed, self.random, self.shift)


def mixed_form(basis: FittedBasis, x: Floats, constrain: bool, by: Floats | None = None) -> MixedForm:
    """Bring a basis into mixed-model form.

    Parameters
    ----------
    basis : FittedBasis
    x : ndarray, shape (n, d)
        The covariate values of the model.
    constrain : bool
        Whether the smooth has to sum to zero over the data, because a constant is in the model.
    by : ndarray, shape (n,), optional
        What the smooth is multiplied by: its size counts in the scale of the standard deviations.
    """
    B = basis.columns(x)
    # With a constant among the unpenalised functions the constraint only leaves it out. Else the coordinates are
    # restricted to those that sum to zero, or with several penalties, which have to stay diagonal, means taken off.
    constrain = constrain and basis.has_constant
    absorb = constrain and not basis.null and len(basis.penalties) == 1
    coordinates, precisions = _absorbed(basis, B) if absorb else basis.axes()
    total = precisions.sum(axis=0)
    nothing, something = coordinates[:, total == 0.0], coordinates[:, total > 0.0]
    precisions = precisions[:, total > 0.0]
    fixed, chosen = _polynomials(basis, B @ nothing, x, constrain)
    something = something - nothing @ np.linalg.lstsq(B @ nothing, B @ something, rcond=None)[0]
    random, weights, units = _scaled(B, something, precisions, by)
    shift = np.zeros(fixed.shape[1] + random.shape[1])
    if constrain and not basis.null and not absorb:
        shift[fixed.shape[1] :] = (B @ random).mean(axis=0)
    fixed = nothing @ fixed
    return MixedForm(basis, fixed, random, shift, chosen, weights, units, x, _columns(B, fixed, random, shift))


def _columns(B: Floats, fixed: Floats, random: Floats, shift: Floats) -> tuple[Floats, Floats]:
    p = fixed.shape[1]
    return B @ fixed - shift[:p], B @ random - shift[p:]


def _absorbed(basis: FittedBasis, B: Floats) -> tuple[Floats, Floats]:
    """Return `FittedBasis.axes` among the coordinates whose functions sum to zero over the data."""
    Z = np.linalg.qr(B.mean(axis=0)[:, None], mode="complete")[0][:, 1:]
    values, vectors = np.linalg.eigh(Z.T @ basis.penalties[0] @ Z)
    return Z @ signed(vectors), values[None]


def _polynomials(basis: FittedBasis, N: Floats, x: Floats, constrain: bool) -> tuple[Floats, tuple[Monomial, ...]]:
    """Return coordinates of the fixed columns among the unpenalised ones N (n, M), and what they are."""
    chosen = tuple(powers for powers in basis.null if not (constrain and not any(powers)))
    P = evaluate_monomials(x - x.mean(axis=0), chosen)
    if constrain:
        P = P - P.mean(axis=0)
    return np.linalg.lstsq(N, P, rcond=None)[0], chosen


def _scaled(B: Floats, random: Floats, precisions: Floats, by: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Return coordinates of the random columns, W and the units, in the scale that the module's text describes."""
    random = random / np.sqrt(precisions.sum(axis=0))
    weights = precisions / precisions.sum(axis=0)
    R = B @ random
    if len(weights) == 1:  # equal variances: any rotation is the same prior; take the principal axes over the data
        random = random @ np.linalg.svd(R, full_matrices=False)[2].T if len(R) >= R.shape[1] else random
        R = B @ random
    largest = R[np.argmax(np.abs(R), axis=0), np.arange(R.shape[1])]
    flip = np.where(largest < 0.0, -1.0, 1.0)
    R, random = R * flip, random * flip
    if by is not None:
        R = R * by[:, None]
    with np.errstate(divide="ignore"):
        variances = np.where(weights > 0.0, 1.0 / weights, 0.0)
    units = np.sqrt(np.mean(np.square(R), axis=0) @ variances.T)
    units = np.where(units > 0.0, units, 1.0)
    if len(weights) == 1:
        return random / units[0], weights, units
    return random, weights * np.square(units)[:, None], units

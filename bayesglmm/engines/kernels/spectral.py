"""The marginal density of normal models with one set of related levels, along the axes on which these do not relate.

Kinship, say: y ~ N(X beta + Z b, sigma^2 S^-1), b ~ N(0, sd^2 K). The likelihood is quadratic, so that Laplace's
approximation is exact, its mode one solve, and with the spectrum of `bayesglmm.linalg.spectral` every value and
gradient costs O(J d) where it costs O(J^3) else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.adjoint import NaturalJacobian
from bayesglmm.engines.kernels.newton import ConditionalMode, Work
from bayesglmm.engines.kernels.objective import LaplaceObjective, MarginalObjective, Objective
from bayesglmm.engines.kernels.parted import PartedObjective
from bayesglmm.engines.kernels.structure import LatentPrior
from bayesglmm.graph.elementwise import RowDerivatives
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.parted import PartedView
from bayesglmm.graph.problem import BlockParts
from bayesglmm.linalg.spectral import AlongAxes, SpectralFactor, Spectrum

_LOG_2PI = float(np.log(2.0 * np.pi))
_DENSE = 0.1  # share of the entries of a precision that makes it a dense one: else its sparse factor is quicker
_DIFFERENCE = 1e-5
_SAME = 1e-9  # relative difference of ratios that counts as none


def normal_objective(view: LatentView, kind: Objective = "posterior") -> MarginalObjective:
    """Return the objective of Laplace's engine: by parts of the rows, or along axes, where there are any."""
    if isinstance(view, PartedView):
        return PartedObjective(view, kind)
    rotated = view.problem.residual is None and rotation_of(view) is not None
    return SpectralObjective(view, kind) if rotated else LaplaceObjective(view, kind)


class SpectralObjective(LaplaceObjective):
    """L along the axes of the related levels; see `MarginalObjective`."""

    def __init__(self, view: LatentView, kind: Objective = "posterior") -> None:
        super().__init__(view, kind)
        found = rotation_of(view)
        assert found is not None
        self.rotated = found
        self.columns = np.arange(self.structure.pattern.dense_width, dtype=np.intp)

    # the approximation, which is exact ------------------------------------------------------------------------------

    def mode(
        self,
        psi: Floats,
        start: ConditionalMode | Floats | None = None,
        log_prior: float | None = None,
        predicted: bool = False,
    ) -> ConditionalMode:
        """Return the conditional normal distribution; there is nothing to search."""
        theta, coefficients, log_prior = self._read(psi, log_prior)
        view, structure, rotated = self.view, self.structure, self.rotated
        natural = view.natural(theta)
        phi, w, m = view.dispersions(natural), *self._scales(natural)
        prior = self._prior(m)
        factor = SpectralFactor(rotated.spectrum, structure.pattern, w, m, prior.Q.dense, self.columns)
        factors = view.factors(natural)
        rows = structure.rows(factors)
        offset = structure.offset(natural, coefficients)
        base = offset + rows.eta(prior.mean)
        at_base = view.elementwise(list(base), phi, 1)
        dense, axes = self._slope(at_base)
        top, along = factor.along(dense, axes)
        inner = prior.mean + factor.whole(top, rotated.spectrum.V @ along)
        gain = 0.5 * float(dense @ top + axes @ along)
        log_marginal = (
            float(at_base.value.sum())
            + gain
            + prior.constant
            + 0.5 * structure.pattern.size * _LOG_2PI
            - 0.5 * factor.logdet()
            + log_prior
        )
        assert at_base.d2 is not None
        work = Work(inner, rows, offset + rows.eta(inner), phi, at_base.d2, prior, factors)
        full = structure.full(inner, coefficients)
        return ConditionalMode(theta, full, factor, log_marginal, 1, True, work)

    def _prior(self, m: float) -> LatentPrior:
        """Return the prior of x, whose precision is never made."""
        still, spectrum = self.structure.still, self.rotated.spectrum
        constant = still.constant + 0.5 * (spectrum.logdet + len(spectrum.mu) * float(np.log(m)))
        coupled = ((self.structure.blocks[0].start, AlongAxes(spectrum, m)),)
        return LatentPrior(still.Q, constant, still.mean, still.at, coupled)

    def _slope(self, rows: RowDerivatives) -> tuple[Floats, Floats]:
        """Return A' l' with the levels' part along the axes, shapes (d,) and (J,)."""
        slope, rotated = np.asarray(rows.d1)[0], self.rotated
        dense = rotated.X.T @ slope if len(self.columns) else np.zeros(0)
        return dense, rotated.spectrum.V.T @ rotated.by_level(slope)

    def _scales(self, natural: Mapping[str, Any]) -> tuple[float, float]:
        """Return w and m: the weight of the rows and the precision of the levels, relative to the spectrum's."""
        return self.rotated.weight(natural), self.rotated.precision(natural)

    # derivatives ----------------------------------------------------------------------------------------------------

    def gradient(self, mode: ConditionalMode) -> Floats:
        """Return the gradient of L in psi at a conditional mode, shape (size,)."""
        assert isinstance(mode.factor, SpectralFactor)
        view, work, factor = self.view, mode.work, mode.factor
        found = view.elementwise(list(work.etas), work.phi, 2)
        of_rows, of_levels = factor.traces()
        levels = work.inner[factor.pattern.border[factor.d :]]
        quadratic = float(np.sum((self.rotated.spectrum.back @ levels) ** 2))
        by_m = 0.5 * (len(levels) / factor.m - quadratic - of_levels)
        by_w, gradient = -0.5 * of_rows, np.zeros(self.size)
        t = self.theta_size
        for j, (dw, dm, dphi) in enumerate(self._changes(mode.theta)):
            gradient[j] = by_w * dw + by_m * dm + float(np.asarray(found.dphi).sum(axis=1) @ dphi)
        if self.kind == "posterior":
            gradient[:t] += view.log_prior_gradient(mode.theta)[1]
        if self.size > t:
            gradient[t:] = self.rotated.X.T @ np.asarray(found.d1)[0]
        return gradient

    def _changes(self, theta: Floats) -> list[tuple[float, float, Floats]]:
        """Return the derivatives of w, m and the flat dispersions in every hyperparameter."""
        t, view = self.theta_size, self.view
        moves = _DIFFERENCE * np.concatenate([np.eye(t), -np.eye(t)])
        many = view.natural_draws(theta + moves) if t else {}
        near = [{name: value[j] for name, value in many.items()} for j in range(2 * t)]
        values = [(*self._scales(natural), self._flat(view.dispersions(natural), (), 1)[0]) for natural in near]
        found = []
        for (w, m, phi), (w_low, m_low, phi_low) in zip(values[:t], values[t:], strict=True):
            step = 2.0 * _DIFFERENCE
            found.append(((w - w_low) / step, (m - m_low) / step, (phi - phi_low) / step))
        return found

    def natural_jacobians(self, theta: Floats) -> Iterator[Any]:
        """Yield None for every row of theta: `jacobian` needs but two numbers per hyperparameter, which it has."""
        return (None for _ in theta)

    def jacobian(self, mode: ConditionalMode, natural: NaturalJacobian | None = None) -> Floats:
        """Return d x-hat / d psi in the layout of the view's x, shape (view.size, size)."""
        assert isinstance(mode.factor, SpectralFactor)
        work, factor, rotated = mode.work, mode.factor, self.rotated
        # l' is w S (y - eta): a change of w scales it.
        dense, axes = self._slope(self.view.elementwise(list(work.etas), work.phi, 1))
        levels = rotated.spectrum.back @ work.inner[factor.pattern.border[factor.d :]]
        out = np.zeros((self.view.size, self.size))
        for j, (dw, dm, _) in enumerate(self._changes(mode.theta)):
            share = dw / factor.w
            top, along = factor.along(share * dense, share * axes - dm * levels)
            out[self.structure.inner, j] = factor.whole(top, rotated.spectrum.V @ along)
        t = self.theta_size
        if self.size > t:
            link = factor.w * rotated.spectrum.link
            out[self.structure.inner, t:] = -rotated.spectrum.V @ (factor.s[:, None] * link)
            out[self.structure.coefficients, t + np.arange(self.size - t)] = 1.0
        return out

    def centre(self, mode: ConditionalMode, guess: Floats | None = None) -> Floats:
        """Return the mode, which is the mean."""
        return mode.x


class Rotation:
    """The spectrum of a model, and its two scales as functions of the hyperparameters.

    Parameters
    ----------
    view : LatentView
        For which `rotation_of` has found nothing against it.
    natural : mapping
        Hyperparameters at which w = m = 1.

    Attributes
    ----------
    spectrum : Spectrum
    X : ndarray, shape (n, p)
        The population columns.
    """

    def __init__(self, view: LatentView, natural: Mapping[str, Any]) -> None:
        self.view, self.levels = view, len(view.problem.blocks[0].block.levels)
        (self.part,) = view.problem.blocks
        block = self.part.block
        known = block.index >= 0
        self.index, self.Z = np.where(known, block.index, 0), np.where(known, block.X[:, 0], 0.0)
        self.X = view.free_columns(view.problem.predictors[0])
        self._sds, weights = effect_sds(self.part, natural), information(view, natural)
        self._first = float(weights[0])
        axes = self.part.covariance.axes(block)
        assert axes is not None
        sums = [self.by_level(weights * column) for column in self.X.T]
        self.spectrum = Spectrum.of(
            axes,
            self._sds,
            self.by_level(weights * self.Z),
            np.stack(sums, axis=-1) if sums else np.zeros((self.levels, 0)),
            self.X.T @ (weights[:, None] * self.X),
        )

    def by_level(self, rows: Floats) -> Floats:
        """Return Z' rows, shape (J,)."""
        return np.bincount(self.index, self.Z * rows, self.levels)

    def precision(self, natural: Mapping[str, Any]) -> float:
        """Return m."""
        return float((self._sds[0] / effect_sds(self.part, natural)[0]) ** 2)

    def weight(self, natural: Mapping[str, Any]) -> float:
        """Return w."""
        return float(information(self.view, natural)[0]) / self._first


def effect_sds(part: BlockParts, natural: Mapping[str, Any]) -> Floats:
    """Return the standard deviations of a block's effects along its axes, shape (J,)."""
    values = {name: np.asarray(value) for name, value in part.values(natural).items()}
    return np.asarray(part.covariance.axes_sds(values, part.block, NUMPY), dtype=float)[:, 0]


def information(view: LatentView, natural: Mapping[str, Any]) -> Floats:
    """Return minus the second derivatives of the rows' log-likelihoods where the predictor is zero, shape (n,)."""
    zero = np.zeros(view.problem.predictors[0].predictor.n)
    return np.asarray(-np.asarray(view.elementwise([zero], view.dispersions(natural), 1).d2)[0, 0])


def rotation_of(view: LatentView) -> Rotation | None:
    """Return the rotation of a model, made once; None where it is no normal one with one set of related levels."""
    if "rotation" not in view.kept:
        view.kept["rotation"] = _rotation(view)
    found: Rotation | None = view.kept["rotation"]
    return found


def _rotation(view: LatentView) -> Rotation | None:
    problem = view.problem
    if len(problem.blocks) != 1 or len(problem.predictors) != 1 or problem.likelihood.expression is not None:
        return None
    (part,), (main,) = problem.blocks, problem.predictors
    block, response = part.block, problem.response
    plain = block.latent == "precision" and len(block.terms) == 1 and np.ndim(block.index) == 1
    normal = problem.family.normal_residual and problem.links[main.names.parameter].name == "identity"
    extra = [getattr(response, name) for name in ("censoring", "lower", "upper")]
    coefficients = problem.roles.get(main.names.beta) == "theta"
    if not plain or not normal or coefficients or any(each is not None for each in extra):
        return None
    if getattr(problem, "residual", None) is not None:
        return None
    if len(part.covariance.couplings(block)[0]) < _DENSE * len(block.levels) ** 2:
        return None
    one, two = (view.natural(view.initial_theta + shift) for shift in (0.0, 0.5))
    if part.covariance.axes(block) is None or not _proportional(*(effect_sds(part, own) for own in (one, two))):
        return None
    weights = [information(view, own) for own in (one, two)]
    if not np.all(weights[0] > 0.0) or not _proportional(*weights):
        return None
    return Rotation(view, one)


def _proportional(one: Floats, two: Floats) -> bool:
    ratio = two / one
    return bool(np.ptp(ratio) <= _SAME * np.abs(ratio).max())

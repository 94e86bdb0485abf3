"""The structured view of the graph, for engines that integrate out or propose the Gaussian part.

    log p(y, x, theta) = sum_i l(eta_i; phi) + log N(x; m, Q^-1) + log p(theta),    eta = offset + A(theta) x

with x the population coefficients and the latent coefficients of every random block, theta the standard deviations,
correlations and dispersions on PyMC's unconstrained scale. Nothing here is a second model: l is the expression of
the observed variable, the prior of theta is PyMC's, and A comes from the blocks that built the graph. Where residuals
are correlated, `whitening` gives another offset and A with which the rows are independent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt
from scipy import sparse

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats
from bayesglmm.graph.build import centring
from bayesglmm.graph.compiler import interpreted
from bayesglmm.graph.elementwise import Elementwise
from bayesglmm.graph.hyperparameters import Hyperparameters
from bayesglmm.graph.predictor import level_columns, predictor_arrays
from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem, Role
from bayesglmm.linalg import symmetric

_OTHER_STARTS = 100


@dataclass(frozen=True)
class LatentPart:
    """A stretch of x.

    Attributes
    ----------
    name : str
        Free variable of the graph.
    role : {"fixed", "spherical", "precision"}
    slice : slice
        Where it lies in x.
    predictor : int
        Which predictor it belongs to.
    shape : tuple of int
        Shape of the free variable.
    """

    name: str
    role: str
    slice: slice
    predictor: int
    shape: tuple[int, ...]


class LatentView(Hyperparameters):
    """The model as a latent Gaussian model.

    Parameters
    ----------
    problem : Problem
    handwritten : bool
        Whether a family's own derivatives and maps of theta by hand may be used; see `Elementwise`.

    Attributes
    ----------
    parts : tuple of LatentPart
        The layout of x.
    size : int
        Length of x.
    elementwise : Elementwise
        The log-likelihood by rows.
    kept : dict
        What engines computed once for this view: index patterns and the like.
    """

    def __init__(self, problem: Problem, handwritten: bool = True) -> None:
        super().__init__(problem, handwritten)
        self.elementwise = Elementwise(problem, handwritten)
        parts, start = [], 0
        for p, predictor in enumerate(self.problem.predictors):
            for name, role, shape in _latent_variables(predictor, problem):
                stop = start + int(np.prod(shape))
                parts.append(LatentPart(name, role, slice(start, stop), p, shape))
                start = stop
        self.parts = tuple(parts)
        self.size = start
        self.kept: dict[Any, Any] = {}

    # x -------------------------------------------------------------------------------------------------------------

    @cached_property
    def mean(self) -> Floats:
        """Prior mean m of x, shape (size,)."""
        m = np.zeros(self.size)
        for part, prior in self._fixed_priors():
            m[part.slice] = prior[0]
        return m

    @cached_property
    def start(self) -> Floats:
        """Where searches for x start, shape (size,): the prior mean, or what parameters of an expression say."""
        x = self.mean.copy()
        for part in self.parts:
            if part.role == "fixed":
                predictor = self.problem.predictors[part.predictor]
                slots = self.problem.priors.coefficients[self._parameter(part)]
                own = [slots[int(j)].start for j in (() if predictor.beta is None else predictor.beta.free)]
                x[part.slice] = [m if s is None else s for m, s in zip(x[part.slice], own, strict=True)]
        return x

    def other_starts(self) -> Iterator[Floats]:
        """Yield other starts for x where the predictor is nonlinear: parameters a tenth and ten times as large."""
        expression = self.problem.likelihood.expression
        names = () if expression is None else expression.parameters
        fixed = [part for part in self.parts if part.role == "fixed" and self.start[part.slice].any()]
        parts = [part for part in fixed if self._parameter(part) in names]
        factors = itertools.product((1.0, 0.1, 10.0), repeat=len(parts))
        for chosen in itertools.islice(factors, 1, _OTHER_STARTS):
            x = self.start.copy()
            for part, factor in zip(parts, chosen, strict=True):
                x[part.slice] *= factor
            yield x

    def _parameter(self, part: LatentPart) -> str:
        return self.problem.predictors[part.predictor].names.parameter

    def precision(self, theta: Floats) -> Any:
        """Return Q(theta), sparse, shape (size, size): the identity for spherical blocks."""
        if not self._coupled:
            return self.still_precision
        natural, out = self.natural(theta), self.still_precision
        for part, block in self._coupled_parts():
            rows, columns = block.covariance.couplings(block.block)
            entries, _ = self.block_precision(block, natural)
            out = out + symmetric(entries, rows + part.slice.start, columns + part.slice.start, self.size)
        return sparse.csr_array(out)

    @cached_property
    def still_precision(self) -> Any:
        """Q without the blocks in precision form: what does not depend on theta."""
        pieces: list[Any] = []
        fixed = {part.name: prior for part, prior in self._fixed_priors()}
        for part in self.parts:
            length = part.slice.stop - part.slice.start
            if part.role == "fixed":
                pieces.append(sparse.csr_array(fixed[part.name][1]))
            else:
                pieces.append(
                    sparse.eye_array(length) if part.role == "spherical" else sparse.csr_array((length, length))
                )
        return sparse.csr_array(sparse.block_diag(pieces, format="csr")) if pieces else sparse.csr_array((0, 0))

    def _coupled_parts(self) -> list[tuple[LatentPart, BlockParts]]:
        own = {block.names.u: block for block in self._coupled}
        return [(part, own[part.name]) for part in self.parts if part.role == "precision"]

    def _fixed_priors(self) -> list[tuple[LatentPart, tuple[Floats, Floats]]]:
        """Return prior mean and precision of the population coefficients of each predictor."""
        found = []
        for part in self.parts:
            if part.role == "fixed":
                found.append((part, self.gaussian_prior(self.problem.predictors[part.predictor])))
        return found

    def gaussian_prior(self, predictor: PredictorParts) -> tuple[Floats, Floats]:
        """Return prior mean and precision of the free population coefficients, shapes (q,) and (q, q)."""
        free = [] if predictor.beta is None else [int(j) for j in predictor.beta.free]
        slots = [self.problem.priors.coefficients[predictor.names.parameter][j] for j in free]
        C = centring(self.column_means(predictor)[free], slots)
        centre = np.array([slot.prior.parameters.get("mu", 0.0) for slot in slots])
        weight = np.array([slot.prior.parameters.get("sigma", np.inf) for slot in slots]) ** -2.0
        return np.linalg.solve(C, centre), C.T @ (weight[:, None] * C)

    def column_means(self, predictor: PredictorParts) -> Floats:
        """Return the means of the fixed columns over all rows, shape (p,)."""
        return np.asarray(predictor.predictor.X.mean(axis=0))

    def design(self, theta: Floats) -> list[tuple[Floats, Any]]:
        """Return offset and sparse A(theta) of every predictor, shapes (n,) and (n, size)."""
        natural = self.natural(theta)
        found = []
        for p, predictor in enumerate(self.problem.predictors):
            offset, columns = np.zeros(predictor.predictor.n), []
            arrays = predictor_arrays(predictor.predictor)
            if arrays.offset is not None:
                offset = offset + arrays.offset
            X = self.columns(predictor)
            if predictor.beta is not None:
                offset = offset + X @ predictor.beta.constant
                if self.problem.roles.get(predictor.names.beta) == "theta":
                    offset = offset + X[:, predictor.beta.free] @ natural[predictor.names.beta]
            own = {block.names.u: block for block in predictor.blocks}
            for part in self.parts:
                if part.predictor != p:
                    size = part.slice.stop - part.slice.start
                    columns.append(sparse.csr_array((predictor.predictor.n, size)))
                elif part.role == "fixed":
                    columns.append(sparse.csr_array(self.free_columns(predictor)))
                else:
                    columns.append(_block_columns(own[part.name], natural))
            A = sparse.hstack(columns, format="csr") if columns else sparse.csr_array((len(offset), 0))
            found.append((offset, A))
        return found

    def columns(self, predictor: PredictorParts) -> Floats:
        """Return the fixed columns as the graph has them, shape (n, p): centred where cutpoints are."""
        shift = self.problem.cutpoint_shift
        X = predictor.predictor.X
        return X if shift is None or predictor is not self.problem.predictors[0] else X - shift

    def free_columns(self, predictor: PredictorParts) -> Floats:
        """Return the columns of a predictor whose coefficients are not held, shape (n, q)."""
        free = np.zeros(0, dtype=np.intp) if predictor.beta is None else np.asarray(predictor.beta.free)
        columns = self.columns(predictor)
        return columns if len(free) == columns.shape[1] else columns[:, free]

    # the whole -----------------------------------------------------------------------------------------------------

    def dispersions(self, natural: Mapping[str, Any]) -> dict[str, Any]:
        """Return every dispersion on its natural scale, free or held."""
        return {
            name: natural[name] if declared.is_free else declared.constant[0]
            for name, declared in self.problem.dispersions.items()
        }

    def log_joint(self, x: Floats, theta: Floats, jacobian: bool = True) -> float:
        """Return log p(y, x, theta); flat priors of coefficients contribute nothing."""
        etas, natural = [offset + A @ x for offset, A in self.design(theta)], self.natural(theta)
        whitening, volume = self.whitening(natural), 0.0
        if whitening is not None:
            etas[0], volume = whitening.predictor(etas[0]), whitening.log_det
        rows = self.elementwise(etas, self.dispersions(natural))
        return float(rows.value.sum()) + volume + self.log_prior_x(x, theta) + self.log_prior(theta, jacobian)

    def log_prior_x(self, x: Floats, theta: Floats) -> float:
        """Return log N(x; m, Q^-1), over the directions in which Q is not zero."""
        deviation = x - self.mean
        total = self.fixed_constant - 0.5 * float(deviation @ (self.precision(theta) @ deviation))
        for part in self.parts:
            if part.role != "fixed":
                total -= 0.5 * (part.slice.stop - part.slice.start) * np.log(2 * np.pi)
        if self._coupled:
            natural = self.natural(theta)
            total += 0.5 * sum(self.block_precision(block, natural)[1] for block in self._coupled)
        return float(total)

    @cached_property
    def fixed_constant(self) -> float:
        """Log prior density of the population coefficients at its maximum, flat ones left out."""
        total = 0.0
        for part in self.parts:
            if part.role == "fixed":
                slots = self.problem.priors.coefficients[self.problem.predictors[part.predictor].names.parameter]
                sds = [slot.prior.parameters["sigma"] for slot in slots if slot.prior.distribution == "Normal"]
                total -= float(np.sum(np.log(sds))) + 0.5 * len(sds) * np.log(2 * np.pi)
        return total

    def point(self, x: Floats, theta: Floats) -> dict[str, Floats]:
        """Return the point of the graph's value variables that (x, theta) stands for."""
        model = self.problem.model
        point = {value.name: piece for value, piece in zip(self.theta_values, self.split(theta), strict=True)}
        for part in self.parts:
            variable = model[part.name]
            transform = model.rvs_to_transforms[variable]
            natural = x[part.slice].reshape(part.shape)
            value = natural
            if transform is not None:
                value = interpreted([], transform.forward(pt.as_tensor(natural)))()
            point[model.rvs_to_values[variable].name] = value
        return point


def restricted(problem: Problem) -> Problem:
    """Return the problem as its restricted likelihood sees it.

    That integrates the coefficients of the mean (Patterson and Thompson 1971), not those of standard deviations and
    the like, which belong to the hyperparameters; nlme and glmmTMB do the same.
    """
    mean = problem.family.main_predictors(problem.response)
    inner = () if problem.likelihood.expression is None else problem.likelihood.expression.parameters
    beside = {p.names.beta for p in problem.predictors if p.names.parameter not in (*mean, *inner)}
    roles: dict[str, Role] = {
        name: "theta" if name in beside and role == "fixed" else role for name, role in problem.roles.items()
    }
    if roles == problem.roles:
        return problem
    # Other hyperparameters: functions of them are compiled for themselves.
    return replace(problem, roles=roles, shared=problem.shared.setdefault("restricted", {}))


def _latent_variables(predictor: PredictorParts, problem: Problem) -> list[tuple[str, str, tuple[int, ...]]]:
    found: list[tuple[str, str, tuple[int, ...]]] = []
    if predictor.beta is not None and predictor.beta.is_free and problem.roles[predictor.names.beta] == "fixed":
        found.append((predictor.names.beta, "fixed", (len(predictor.beta.free),)))
    for block in predictor.blocks:
        found.append((block.names.u, problem.roles[block.names.u], (len(block.block.levels), len(block.block.terms))))
    return found


def _block_columns(part: BlockParts, natural: Mapping[str, Floats]) -> Any:
    """Return Z Lambda of a spherical block, sparse with k entries per row."""
    values = {name: np.asarray(value) for name, value in part.values(natural).items()}
    return level_columns(part.block, part.covariance.mixing(values, part.block, NUMPY))

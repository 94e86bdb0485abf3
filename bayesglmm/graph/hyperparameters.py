"""The hyperparameters of a graph: its standard deviations, correlations and dispersions, and what they make.

They live on PyMC's unconstrained scale as one flat vector theta. The common kinds have maps by hand,
`graph.explicit`; those of others are graphs of a few numbers, evaluated by PyTensor's interpreter, which compiles
them in a second or so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.replace import vectorize_graph

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats
from bayesglmm.graph.bounds import BoundedTransform
from bayesglmm.graph.compiler import SMALL, compiled_once, interpreted, without_c
from bayesglmm.graph.declare import bounded, vector_start
from bayesglmm.graph.explicit import ExplicitTheta
from bayesglmm.graph.observation import observed_values
from bayesglmm.graph.problem import BlockParts, Problem
from bayesglmm.graph.residual import Whitening, entries, row_sds
from bayesglmm.links import Linked

# Compiling the prior of many hyperparameters once more, for arrays, takes seconds; a few hundred points do not.
_COSTLY = 16
_FEW_ROWS = 256


class Hyperparameters:
    """theta and its maps to natural quantities, with derivatives.

    Parameters
    ----------
    problem : Problem
        Kept as engines see it, `Problem.latent`.
    handwritten : bool
        Whether maps by hand may be used.
    """

    def __init__(self, problem: Problem, handwritten: bool = True) -> None:
        self.problem = problem.latent
        self.explicit = ExplicitTheta.of(self.problem) if handwritten else None
        self._last_natural: tuple[bytes | None, dict[str, Floats]] = (None, {})

    @cached_property
    def theta_values(self) -> tuple[Any, ...]:
        """Value variables of theta, in the order of the flat vector."""
        model = self.problem.model
        return tuple(model.rvs_to_values[model[name]] for name in self.problem.names("theta"))

    @cached_property
    def theta_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of theta's value variables: static where PyTensor knows them, else from the declarations."""
        if self.explicit is not None:
            return self.explicit.shapes
        vectors = [part for block in self.problem.structured for part in block.parameters.values()]
        declared: dict[str, Any] = {part.name: part for part in vectors}
        declared |= {part.names.beta: part.beta for part in self.problem.predictors if part.beta is not None}
        declared |= dict(self.problem.dispersions)
        shapes = []
        for name, value in zip(self.problem.names("theta"), self.theta_values, strict=True):
            known = value.type.shape
            shapes.append((len(declared[name].free),) if None in known else tuple(known))
        return tuple(shapes)

    @cached_property
    def theta_size(self) -> int:
        """Length of the flat vector theta."""
        return sum(int(np.prod(shape)) for shape in self.theta_shapes)

    def split(self, theta: Floats) -> list[Floats]:
        """Return theta's value variables from the flat unconstrained vector."""
        theta = np.asarray(theta, dtype=float)
        return [theta[own].reshape(shape) for own, shape in self._pieces]

    @cached_property
    def _pieces(self) -> list[tuple[slice, tuple[int, ...]]]:
        """Where the value variables lie in theta, and their shapes."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self.theta_shapes])
        return [
            (slice(end - int(np.prod(shape)), end), shape) for end, shape in zip(ends, self.theta_shapes, strict=True)
        ]

    @cached_property
    def _natural_graphs(self) -> list[Any]:
        model = self.problem.model
        return list(model.replace_rvs_by_values([model[name] for name in self.problem.names("theta")]))

    @compiled_once
    def _natural(self) -> Any:
        return self._compile([], self._natural_graphs)

    def natural(self, theta: Floats) -> dict[str, Floats]:
        """Return theta's variables on their natural scales: standard deviations, Cholesky factors, dispersions."""
        if not self.theta_size:
            return {}
        key = np.asarray(theta, dtype=float).tobytes()
        if self._last_natural[0] != key:
            self._last_natural = key, self._natural_values(np.asarray(theta, dtype=float))
        return dict(self._last_natural[1])

    def _natural_values(self, theta: Floats) -> dict[str, Floats]:
        if self.explicit is not None:
            return self.explicit.natural(theta)
        return dict(zip(self.problem.names("theta"), self._natural(*self.split(theta)), strict=True))

    def natural_draws(self, theta: Floats) -> dict[str, Floats]:
        """Return theta's variables on their natural scales for many theta at once, each of shape (draws, ...).

        Parameters
        ----------
        theta : ndarray, shape (draws, t)
        """
        if not self.theta_size:
            return {}
        if self.explicit is not None:
            return self.explicit.natural(np.asarray(theta, dtype=float))
        return dict(zip(self.problem.names("theta"), self._natural_batch(*self._stack(theta)), strict=True))

    def _stack(self, theta: Floats) -> list[Floats]:
        pieces = np.split(theta, np.cumsum([int(np.prod(shape)) for shape in self.theta_shapes])[:-1], axis=1)
        return [piece.reshape(-1, *shape) for piece, shape in zip(pieces, self.theta_shapes, strict=True)]

    @compiled_once
    def _natural_batch(self) -> Any:
        return self._compile_batch(self._natural_graphs)

    def _compile_batch(self, graphs: Sequence[Any]) -> Any:
        batch = [pt.TensorType("float64", (None, *value.type.shape))() for value in self.theta_values]
        outputs = vectorize_graph(list(graphs), dict(zip(self.theta_values, batch, strict=True)))
        return interpreted(batch, outputs, SMALL)

    def factors(self, natural: Mapping[str, Any]) -> tuple[Floats, ...]:
        """Return Lambda of every random block, each (k, k), in the order of ``problem.blocks``.

        The identity for those in precision form.
        """
        found = []
        for part in self.problem.blocks:
            values = {name: np.asarray(value) for name, value in part.values(natural).items()}
            found.append(np.asarray(part.covariance.mixing(values, part.block, NUMPY), dtype=float))
        return tuple(found)

    def factor_draws(self, natural: Mapping[str, Any], draws: int) -> tuple[Floats, ...]:
        """Return Lambda of every random block, each (draws, k, k), of what `natural_draws` returns; see `factors`."""
        found = []
        for part in self.problem.blocks:
            values = {name: np.asarray(value) for name, value in part.values(natural).items()}
            own = np.asarray(part.covariance.mixing(values, part.block, NUMPY), dtype=float)
            found.append(np.broadcast_to(own, (draws, *own.shape[-2:])))
        return tuple(found)

    @compiled_once
    def _pullback(self) -> Any:
        """Derivatives of <Lambda, M> + <phi, f> + <beta, g> in theta, with M, f and g as further inputs."""
        natural = dict(zip(self.problem.names("theta"), self._natural_graphs, strict=True))
        xp, inputs, total = pytensor_math(), [], pt.constant(0.0)
        for part in self.problem.blocks:
            M = pt.dmatrix()
            inputs.append(M)
            if part.block.latent == "spherical":
                values = part.tensors(natural)
                total = total + pt.sum(part.covariance.factor(values, len(part.block.terms), xp) * M)
        for part in self._coupled:
            cotangent = pt.dvector()
            inputs.append(cotangent)
            values = part.tensors(natural)
            entries, log_det = part.covariance.precision(values, part.block, xp)
            total = total + pt.sum(entries * cotangent) + 0.5 * log_det
        if self.problem.residual is not None:
            diagonal, below = self._whitening_entries(natural, xp)
            cotangents = [pt.dvector(), pt.dvector()]
            inputs += cotangents
            total = total + pt.sum(diagonal * cotangents[0]) + pt.sum(below * cotangents[1])
            total = total + pt.sum(pt.log(diagonal))
        others = [name for name, declared in self.problem.dispersions.items() if declared.is_free]
        for name in [*others, *self._theta_coefficients]:
            cotangent = natural[name].type()
            inputs.append(cotangent)
            total = total + pt.sum(natural[name] * cotangent)
        gradient = pt.grad(total, list(self.theta_values), disconnected_inputs="ignore", return_disconnected="zero")
        return self._compile(inputs, gradient)

    def _whitening_entries(self, natural: Mapping[str, Any], xp: ArrayMath) -> tuple[Any, Any]:
        """Return the entries of T~ from the natural values of theta, numbers or tensors; see `graph.residual`."""
        part = self.problem.residual
        assert part is not None
        sd = None
        for p in self.problem.predictors:
            if p.names.parameter == part.sd and p.beta is not None:
                eta = p.predictor.X @ p.beta.complete(natural.get(p.beta.name))
                eta = eta if p.predictor.offset is None else eta + p.predictor.offset
                sd = Linked(eta, self.problem.links[part.sd], xp).value
        values = part.values(natural)
        return entries(part, values, row_sds(sd, self.problem.response.weights, xp), xp)

    def whitening(self, natural: Mapping[str, Any]) -> Whitening | None:
        """Return what makes the rows independent for theta's natural values; None where they are.

        Parameters
        ----------
        natural : mapping
            From `natural`.
        """
        part = self.problem.residual
        if part is None:
            return None
        return Whitening.of(part, *self._whitening_entries(natural, NUMPY), self.observed)

    @property
    def observed(self) -> Floats:
        """The response, shape (n,)."""
        return np.asarray(observed_values(self.problem.response, self.problem.family))

    @cached_property
    def bounds(self) -> dict[str, BoundedTransform]:
        """The transforms of population coefficients whose priors have bounds, by variable."""
        model = self.problem.model
        found = {name: model.rvs_to_transforms[model[name]] for name in self._theta_coefficients}
        return {name: own for name, own in found.items() if isinstance(own, BoundedTransform)}

    @property
    def _theta_coefficients(self) -> list[str]:
        """Population coefficients whose prior is not Gaussian: they are part of theta."""
        names = [part.names.beta for part in self.problem.predictors]
        return [name for name in names if self.problem.roles.get(name) == "theta"]

    @property
    def _coupled(self) -> list[BlockParts]:
        """Blocks in precision form."""
        return [part for part in self.problem.blocks if part.block.latent == "precision"]

    def block_precision(self, part: BlockParts, natural: Mapping[str, Any]) -> tuple[Floats, float]:
        """Return the entries of the precision of a block in precision form, and its log determinant."""
        values = {name: np.asarray(value) for name, value in part.values(natural).items()}
        entries, log_det = part.covariance.precision(values, part.block, NUMPY)
        return np.asarray(entries, dtype=float), float(log_det)

    def pullback(
        self,
        theta: Floats,
        factors: Sequence[Floats],
        dispersions: Mapping[str, Any],
        beta: Mapping[str, Floats],
        precisions: Sequence[Floats] = (),
        whitening: Sequence[Floats] = (),
    ) -> Floats:
        """Return the gradient in theta of a function whose derivatives in the natural quantities are given.

        Parameters
        ----------
        theta : ndarray, shape (t,)
        factors : sequence of ndarray, each (k, k)
            Derivative in Lambda of every block.
        dispersions : mapping of str to float or ndarray
            Derivative in every dispersion on its natural scale; held ones are ignored.
        beta : mapping of str to ndarray
            Derivative in those population coefficients that are part of theta.
        precisions : sequence of ndarray
            Derivative in the entries of Q of every block in precision form, besides that of log |Q| / 2.
        whitening : sequence of ndarray
            Where residuals are correlated: derivatives in the entries of T~, besides that of log |T|.

        Returns
        -------
        ndarray, shape (t,)
        """
        if not self.theta_size:
            return np.zeros(0)
        if self.explicit is not None:
            return self.explicit.pullback(theta, factors, dispersions)
        inputs: list[Any] = [np.asarray(M, dtype=float) for M in factors]
        inputs += [np.asarray(given, dtype=float) for given in (*precisions, *whitening)]
        for name, declared in self.problem.dispersions.items():
            if declared.is_free:
                inputs.append(np.asarray(dispersions[name], dtype=float))
        inputs += [np.asarray(beta[name], dtype=float) for name in self._theta_coefficients]
        return np.concatenate([np.ravel(g) for g in self._pullback(*self.split(theta), *inputs)])

    def _theta_terms(self, jacobian: bool) -> Any:
        model = self.problem.model
        variables = [model[name] for name in self.problem.names("theta")]
        terms = model.logp(vars=variables, sum=False, jacobian=jacobian)
        if not terms:
            return pt.constant(0.0)
        # A product with ones: a sum of more than 32 scalars would become one operation of as many operands, which
        # interpreted mode refuses.
        return pt.dot(pt.stack([pt.sum(term) for term in terms]), np.ones(len(terms)))

    @compiled_once
    def _log_prior(self) -> Any:
        total = self._theta_terms(jacobian=True)
        gradient = pt.grad(total, list(self.theta_values), disconnected_inputs="ignore", return_disconnected="zero")
        return self._compile([], [total, *gradient])

    @compiled_once
    def _log_prior_plain(self) -> Any:
        return self._compile([], [self._theta_terms(jacobian=False)])

    def _compile(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        return interpreted([*self.theta_values, *inputs], list(outputs), SMALL)

    def log_prior(self, theta: Floats, jacobian: bool = True) -> float:
        """Return log p(theta) on the unconstrained scale, with or without the Jacobian of the transforms."""
        if not self.theta_size:
            return 0.0
        if self.explicit is not None:
            return float(self.explicit.log_prior(np.asarray(theta, dtype=float)[None], jacobian)[0][0])
        compiled = self._log_prior if jacobian else self._log_prior_plain
        return float(compiled(*self.split(theta))[0])

    @compiled_once
    def _log_prior_batch(self) -> Any:
        return self._compile_batch([self._theta_terms(jacobian=True)])

    def log_prior_draws(self, theta: Floats) -> Floats:
        """Return log p(theta), Jacobian included, for many theta at once: shape (draws,) from (draws, t)."""
        if not self.theta_size:
            return np.zeros(len(theta))
        if self.explicit is not None:
            return self.explicit.log_prior(np.asarray(theta, dtype=float))[0]
        if theta.shape[1] > _COSTLY:
            rows, back = np.unique(theta, axis=0, return_inverse=True)
            if len(rows) <= _FEW_ROWS:
                return np.array([self.log_prior(row) for row in rows])[np.ravel(back)]
        return np.asarray(self._log_prior_batch(*self._stack(theta))[0], dtype=float)

    def log_prior_gradient(self, theta: Floats) -> tuple[float, Floats]:
        """Return log p(theta), Jacobian included, and its gradient, shape (t,)."""
        if not self.theta_size:
            return 0.0, np.zeros(0)
        if self.explicit is not None:
            own, slopes = self.explicit.log_prior(np.asarray(theta, dtype=float)[None])
            return float(own[0]), slopes[0]
        value, *gradient = self._log_prior(*self.split(theta))
        return float(value), np.concatenate([np.ravel(g) for g in gradient])

    @cached_property
    def initial_theta(self) -> Floats:
        """Where searches start: scales at the spread of the response, structures' parameters at starts of their own.

        The rest is at the graph's initial point.
        """
        shared: dict[str, Any] = {own.name: np.array([own.start]) for own in self.problem.hyperpriors}
        starts = shared | ({} if self.explicit is None else self.explicit.start) | self._block_starts()
        names = self.problem.names("theta")
        known = all(name in starts for name in names)
        with without_c():
            start = {} if known else self.problem.model.initial_point(random_seed=0)
        found = [np.zeros(0)]
        for j, (name, shape) in enumerate(zip(names, self.theta_shapes, strict=True)):
            own = starts[name] if name in starts else np.ravel(start[self.theta_values[j].name])
            found.append(np.zeros(shape).ravel() if own is None else own)
        return np.concatenate(found)

    def _block_starts(self) -> dict[str, Floats | None]:
        """Return unconstrained starts of the parameters of all blocks; None stands for zeros."""
        spread, found = self.problem.priors.spread, self._residual_starts()
        for predictor in self.problem.predictors:
            default = spread if predictor is self.problem.predictors[0] else 1.0
            size = self.problem.priors.spreads.get(predictor.names.parameter, default)
            slots = self.problem.priors.blocks[predictor.names.parameter]
            for block, classes in zip(predictor.blocks, slots, strict=True):
                columns = block.block.spreads
                for parameter in block.covariance.parameters(block.block):
                    declared = block.parameters[parameter.name]
                    if declared.kind == "correlation":
                        found[declared.name] = None
                        continue
                    units = [1.0 if j is None else columns[j] or 1.0 for j in parameter.columns or (None,)]
                    typical = size / np.resize(units, len(parameter.components))
                    own = classes[parameter.name]
                    if declared.kind == "scale":
                        found[declared.name] = np.log(typical)[declared.free]
                    elif declared.is_free:
                        natural = vector_start(parameter, own, typical)[declared.free]
                        found[declared.name] = bounded([own[j] for j in declared.free]).to_line(natural)
        return found

    def _residual_starts(self) -> dict[str, Floats | None]:
        """Return unconstrained starts of the correlation of residuals."""
        part, found = self.problem.residual, dict[str, Floats | None]()
        for parameter in () if part is None else part.structure.parameters(part.block):
            assert part is not None
            declared, own = part.parameters[parameter.name], self.problem.priors.residual[parameter.name]
            if declared.kind == "correlation":
                found[declared.name] = None
            elif declared.is_free:
                natural = vector_start(parameter, own)[declared.free]
                found[declared.name] = bounded([own[j] for j in declared.free]).to_line(natural)
        return found

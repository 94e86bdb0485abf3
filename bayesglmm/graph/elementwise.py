"""The log-likelihood row by row, and its derivatives in the predictors and the dispersions.

A family may bring hand-written derivatives; otherwise PyTensor differentiates the very expression that the graph
uses. That is compiled without C or numba: the expressions are elementwise, so numpy evaluates them at full speed,
and compiling takes a fraction of a second instead of many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.utils import MethodNotDefined

from bayesglmm.blocks import Floats
from bayesglmm.errors import NoDerivativeError
from bayesglmm.expressions import Taylor
from bayesglmm.families.base import Derivatives, JointDerivatives, ResponseData, TiltedMoments
from bayesglmm.graph.compiler import UNREWRITTEN, compiled_once, interpreted
from bayesglmm.graph.composition import composed
from bayesglmm.graph.observation import extended_logp, observed_values, response_extras
from bayesglmm.graph.problem import Problem


@dataclass(frozen=True)
class RowDerivatives:
    """Derivatives of the rows' log-likelihoods. P predictors, n rows; dispersions are flattened to F numbers.

    Attributes
    ----------
    value : ndarray, shape (n,)
    d1 : ndarray, shape (P, n)
    d2 : ndarray, shape (P, P, n)
    d3 : ndarray, shape (P, P, P, n), or None below order 2
    dphi : ndarray, shape (F, n), or None below order 2
    d1phi : ndarray, shape (F, P, n), or None below order 2
    d2phi : ndarray, shape (F, P, P, n), or None below order 2
    """

    value: Floats
    d1: Floats | None = None
    d2: Floats | None = None
    d3: Floats | None = None
    dphi: Floats | None = None
    d1phi: Floats | None = None
    d2phi: Floats | None = None


TOGETHER = 2**17  # rows of one evaluation: what a processor's cache holds of some arrays
_REPEATS = 16  # numbers of repetitions whose rows are kept


class Elementwise:
    """log p(y_i | eta_i, phi) and its derivatives.

    Parameters
    ----------
    problem : Problem
    handwritten : bool
        Whether the family's own derivatives may be used; tests switch them off.
    """

    def __init__(self, problem: Problem, handwritten: bool = True) -> None:
        self.problem = problem
        self.handwritten = handwritten
        self.y = observed_values(problem.response, problem.family)
        self.extras = response_extras(problem.response, problem.family)
        self.data = ResponseData(trials=problem.response.trials, weights=problem.response.weights)
        self.columns = [problem.response.covariates[name] for name in problem.likelihood.columns]
        self._repeated: dict[int, Elementwise] = {}
        self.sizes = {name: len(declared.constant) for name, declared in problem.dispersions.items()}

    def __call__(self, etas: Sequence[Floats], phi: Mapping[str, Any], order: int = 0) -> RowDerivatives:
        """Evaluate.

        Parameters
        ----------
        etas : sequence of ndarray, each (n,)
            In the order of the problem's predictors.
        phi : mapping of str to float or ndarray
            Dispersions on their natural scale.
        order : {0, 1, 2}
            0: the value; 1: also `d1` and `d2`; 2: everything.
        """
        own = self._from_family(etas, phi, order)
        return own if own is not None else self._from_graph(etas, phi, order)

    @property
    def together(self) -> int:
        """How many values of the predictors `many` should be given at once."""
        return max(1, TOGETHER // max(len(self.y), 1))

    def many(self, etas: Floats, phi: Mapping[str, Any], order: int = 0) -> RowDerivatives:
        """Evaluate at several values of the predictors in one go.

        Parameters
        ----------
        etas : ndarray, shape (P, m, n)
            m of at most `together`, else memory suffers.
        phi, order
            As in a call.

        Returns
        -------
        RowDerivatives
            With m, n where a call has n.
        """
        P, m, n = etas.shape
        found = self._rows(m)(list(etas.reshape(P, m * n)), phi, order)
        parts = (getattr(found, part.name) for part in fields(found))
        return RowDerivatives(*(None if part is None else part.reshape(*part.shape[:-1], m, n) for part in parts))  # type: ignore[arg-type]

    def rows(self, at: Any) -> Elementwise:
        """Return the likelihood of some of the rows, given by their positions."""
        return self._taken(lambda values: values[at])

    def tilted(self, mean: Floats, variance: Floats, phi: Mapping[str, Any]) -> TiltedMoments | None:
        """Return the moments of N(eta; mean, variance) times the likelihood by rows, where the family knows them."""
        family, parts = self.problem.family, self.problem.predictors
        if not self.handwritten or self.extras or len(parts) != 1 or self.problem.likelihood.expression is not None:
            return None
        link = self.problem.links[parts[0].names.parameter]
        return family.tilted(self.y, mean, variance, phi, self.data, link)

    def _rows(self, m: int) -> Elementwise:
        """Return the likelihood of the rows m times over; some are kept, as parts of the longest."""
        if m == 1:
            return self
        if m not in self._repeated:
            longest = max(self._repeated, default=0)
            if longest < m or len(self._repeated) >= _REPEATS:
                self._repeated.clear()
                longest = m
                self._repeated[m] = self._taken(lambda values: np.tile(values, m))
            if m < longest:
                rows = m * len(self.y)
                self._repeated[m] = self._repeated[longest]._taken(lambda values: values[:rows])
        return self._repeated[m]

    def _taken(self, take: Callable[[Any], Any]) -> Elementwise:
        """Return a copy of which everything that has a value per row is taken anew."""
        found = copy(self)
        found.y, found._repeated = take(self.y), {}
        found.data = ResponseData(*(None if values is None else take(np.asarray(values)) for values in self.data))
        found.columns = [take(values) for values in self.columns]
        found.extras = {name: take(values) for name, values in self.extras.items()}
        return found

    def _inner(self, etas: Sequence[Floats], order: int) -> Taylor | None:
        """Return the main predictor as a function of the parameters of its expression; None where it is linear."""
        expression = self.problem.likelihood.expression
        if expression is None:
            return None
        return expression.derivatives(np.asarray(etas[: len(expression.parameters)]), self.columns, order > 1)

    def _from_family(self, etas: Sequence[Floats], phi: Mapping[str, Any], order: int) -> RowDerivatives | None:
        problem = self.problem
        if not self.handwritten or self.extras.keys() - {"likelihood_weights"}:
            return None
        family, data = problem.family, self.data
        links = [problem.links[part.names.parameter] for part in problem.predictors]
        inner = self._inner(etas, order)
        if inner is not None:
            etas = [inner.value, *etas[len(inner.d1) :]]
            links = [problem.links[family.main.name], *links[len(inner.d1) :]]
        if len(etas) == 1:
            found = _joint(family.derivatives(self.y, etas[0], phi, data, links[0], order))
        else:
            found = family.joint_derivatives(self.y, np.asarray(etas), phi, data, links, order)
        if found is None:
            return None
        parts: list[Any] = [found.value]
        if order > 0 and found.d1 is not None and found.d2 is not None:
            parts += [found.d1, found.d2]
            if order > 1 and found.d3 is not None:
                by_phi = ((found.dphi, found.value), (found.d1phi, found.d1), (found.d2phi, found.d2))
                parts += [found.d3, *(self._flat(part, d.shape) for part, d in by_phi)]
        weights = self.extras.get("likelihood_weights")
        rows = RowDerivatives(*(parts if weights is None else [part * weights for part in parts]))
        return rows if inner is None else composed(rows, inner)

    def _flat(self, parts: Mapping[str, Floats], shape: tuple[int, ...]) -> Floats:
        """Return derivatives that involve a dispersion, each of `shape`, one after the other."""
        found = [np.asarray(parts[name]).reshape(size, *shape) for name, size in self.sizes.items()]
        return np.concatenate([np.zeros((0, *shape)), *found])

    def _from_graph(self, etas: Sequence[Floats], phi: Mapping[str, Any], order: int) -> RowDerivatives:
        n, P = len(self.y), len(etas)
        numbers = [np.atleast_1d(np.asarray(phi[name], dtype=float)) for name in self.sizes]
        flat = np.concatenate(numbers) if numbers else np.zeros(0)
        rows = [getattr(self.data, name) for name in self.problem.likelihood.data_names]
        inputs = [self.y, *etas, *(np.full(n, value) for value in flat), *rows, *self.columns, *self.extras.values()]
        function = self._value if order == 0 else self._first if order == 1 else self._second
        out = [np.broadcast_to(part, (n,)) for part in function(*inputs)]
        F, squared = len(flat), P * P
        value, rest = out[0], np.array(out[1:])
        if order == 0:
            return RowDerivatives(value)
        d1, d2 = rest[:P], rest[P : P + squared].reshape(P, P, n)
        if order == 1:
            return RowDerivatives(value, d1, d2)
        rest = rest[P + squared :]
        d3, rest = rest[: P * squared].reshape(P, P, P, n), rest[P * squared :]
        dphi, rest = rest[:F], rest[F:]
        d1phi, d2phi = rest[: F * P].reshape(F, P, n), rest[F * P :].reshape(F, P, P, n)
        return RowDerivatives(value, d1, d2, d3, dphi.reshape(F, n), d1phi, d2phi)

    @cached_property
    def _symbols(self) -> tuple[list[Any], list[Any], list[Any], Any]:
        """Return all inputs, the predictors, the flat dispersions and the elementwise log-likelihood.

        Dispersions are vectors over rows here, so that a gradient of the sum is a derivative per row.
        """
        likelihood = self.problem.likelihood
        y = pt.TensorType(str(self.y.dtype), (None,))("y")
        etas = [pt.vector(part.names.eta, dtype="float64") for part in self.problem.predictors]
        ordered = {parameter.name for parameter in self.problem.family.parameters if parameter.ordered}
        flat, phi = [], []
        for name, size in self.sizes.items():
            parts = [pt.vector(f"{name}_{j}", dtype="float64") for j in range(size)]
            flat += parts
            phi.append(pt.stack(parts, axis=-1) if name in ordered else parts[0])
        names = (*likelihood.data_names, *likelihood.columns, *self.extras)
        rows = [pt.vector(name, dtype="float64") for name in names]
        logp = extended_logp(likelihood, tuple(self.extras), y, [*etas, *phi, *rows])
        return [y, *etas, *flat, *rows], etas, flat, logp

    @compiled_once
    def _value(self) -> Any:
        inputs, _, _, logp = self._symbols
        return self._compile(inputs, [logp])

    @compiled_once
    def _first(self) -> Any:
        inputs, etas, _, logp = self._symbols
        return self._compile(inputs, [logp, *self._gradients(logp, etas)])

    @compiled_once
    def _second(self) -> Any:
        inputs, etas, flat, logp = self._symbols
        first_two = self._gradients(logp, etas)
        P = len(etas)
        third = [g for second in first_two[P:] for g in _gradient(second, etas)]
        dphi = _gradient(logp, flat)
        # In the predictors first: distribution functions have derivatives in their shape, but none of those.
        by_phi = [_gradient(one, flat) for one in first_two]
        d1phi = [parts[j] for j in range(len(flat)) for parts in by_phi[:P]]
        d2phi = [parts[j] for j in range(len(flat)) for parts in by_phi[P:]]
        return self._compile(inputs, [logp, *first_two, *third, *dphi, *d1phi, *d2phi])

    @staticmethod
    def _gradients(logp: Any, etas: Sequence[Any]) -> list[Any]:
        """Return first and second derivatives in the predictors, flat."""
        first = _gradient(logp, etas)
        return [*first, *(g for one in first for g in _gradient(one, etas))]

    @staticmethod
    def _compile(inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        return interpreted(inputs, list(outputs), UNREWRITTEN)


def _joint(found: Derivatives | None) -> JointDerivatives | None:
    """Return the derivatives of a likelihood with one predictor as those of one with several."""
    if found is None or found.value is None:
        return None
    d1, d2, d3 = (None if d is None else np.asarray(d) for d in (found.d1, found.d2, found.d3))
    return JointDerivatives(
        found.value,
        None if d1 is None else d1[None],
        None if d2 is None else d2[None, None],
        None if d3 is None else np.broadcast_to(d3, found.value.shape)[None, None, None],
        found.dphi,
        found.d1phi,
        found.d2phi,
    )


def _gradient(rows: Any, variables: Sequence[Any]) -> list[Any]:
    """Return the row-wise derivatives of row-wise values: row i depends on row i of the variables alone."""
    if not variables:
        return []
    try:
        return list(pt.grad(pt.sum(rows), list(variables), disconnected_inputs="ignore", return_disconnected="zero"))
    except MethodNotDefined:
        raise NoDerivativeError(
            "This likelihood has no second derivatives in PyTensor (usually for the distribution function of a "
            'censored or truncated family): use the engine "nuts".'
        ) from None

"""The observed variable: a family's distribution, plain, or with truncation, censoring and likelihood weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from bayesglmm.arraymath import ArrayMath, pytensor_math
from bayesglmm.blocks import Response
from bayesglmm.errors import DataError
from bayesglmm.expressions import Expression
from bayesglmm.families import Family
from bayesglmm.families.base import ResponseData
from bayesglmm.links import LINKS, Link, Linked

OBSERVED = "y"
OBSERVED_DATA = "y_observed"
ROWS = "obs"


@dataclass(frozen=True)
class Likelihood:
    """How eta and the dispersions become a distribution, whatever stands for them (tensors of any shape).

    Attributes
    ----------
    family : Family
    links : mapping of str to Link
        Of the predictors; parameters that are absent are plain values.
    names : tuple of str
        Order of the inputs: predictors, then dispersions.
    data_names : tuple of str
        Which fields of `ResponseData` follow after them.
    expression : Expression or None
        How the first predictors, which are its parameters, make the main one; then its columns are the last inputs.
    """

    family: Family
    links: Mapping[str, Link]
    names: tuple[str, ...]
    data_names: tuple[str, ...]
    expression: Expression | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """What the expression is computed from beside its parameters; empty where predictors are linear."""
        return () if self.expression is None else self.expression.columns

    def combined(self, values: Mapping[str, Any], columns: Sequence[Any], xp: ArrayMath) -> dict[str, Any]:
        """Return the predictors with those that an expression takes replaced by the main one that it makes.

        Parameters
        ----------
        values : mapping of str to array, each (..., n)
            Predictors; others pass through.
        columns : sequence of array, each (n,)
        xp : ArrayMath
        """
        if self.expression is None:
            return dict(values)
        own = [values[name] for name in self.expression.parameters]
        rest = {name: value for name, value in values.items() if name not in self.expression.parameters}
        return {self.family.main.name: self.expression(own, columns, xp), **rest}

    def linked(self, inputs: Sequence[Any]) -> dict[str, Linked]:
        """Return the family parameters for the given inputs."""
        xp, identity = pytensor_math(), LINKS.get("identity")
        start = len(self.names) + len(self.data_names)
        values = dict(zip(self.names, inputs, strict=False))
        combined = self.combined(values, inputs[start : start + len(self.columns)], xp)
        return {name: Linked(value, self.links.get(name, identity), xp) for name, value in combined.items()}

    def data(self, inputs: Sequence[Any]) -> ResponseData:
        """Return trials and weights from the inputs that follow the parameters."""
        start = len(self.names)
        return ResponseData(**dict(zip(self.data_names, inputs[start:], strict=False)))

    def dist(self, inputs: Sequence[Any]) -> Any:
        """Return the family's unnamed random variable."""
        return self.family.dist(self.linked(inputs), self.data(inputs))


def observe(
    likelihood: Likelihood, response: Response, inputs: Sequence[Any], data: Callable[..., Any], observed: Any
) -> Any:
    """Register the observed variable ``y`` with the open model.

    Parameters
    ----------
    likelihood : Likelihood
    response : Response
    inputs : sequence of TensorVariable
        Predictors, dispersions, then trials and weights.
    data : callable
        ``data(name, values)`` puts row-wise numbers into the model and returns their tensor.
    observed : TensorVariable
        `observed_values` of the response, in the model.

    Returns
    -------
    TensorVariable
    """
    extras = {name: data(name, values) for name, values in response_extras(response, likelihood.family).items()}
    if not extras:
        variable = likelihood.dist(inputs)
    else:
        modified = _Modified(likelihood, tuple(extras), len(inputs))
        everything = [*inputs, *extras.values()]
        variable = pm.CustomDist.dist(
            *everything,
            dist=modified.dist,
            logp=modified.logp,
            signature=",".join("()" for _ in everything) + "->()",
            class_name=f"Modified{type(likelihood.family).__name__}",
        )
    return pm.modelcontext(None).register_rv(variable, OBSERVED, observed=observed, dims=(ROWS,))


def observed_values(response: Response, family: Family) -> Any:
    """Return y as the distribution wants it: integers for counts and categories, else floats."""
    return np.asarray(response.y).astype(np.int64 if family.discrete else np.float64)


def response_extras(response: Response, family: Family) -> dict[str, Any]:
    """Return what modifies the likelihood row by row: bounds, censoring, likelihood weights, as float arrays.

    Raises
    ------
    DataError
        If the family has no log distribution function that censoring or truncation need, or a response lies
        outside its bounds.
    """
    lowest: Any
    highest: Any
    lowest, highest = (0.0, np.inf) if family.discrete else family.support
    if family.discrete and response.trials is not None:
        highest = response.trials
    found = {
        "lower": _bound(response.lower, -1, lowest, response.y),
        "upper": _bound(response.upper, 1, highest, response.y),
        "censoring": response.censoring,
        "y_upper": response.y_upper,
        "likelihood_weights": response.likelihood_weights,
    }
    extras = {name: np.asarray(values, dtype=float) for name, values in found.items() if values is not None}
    if not family.censorable and extras.keys() & {"lower", "upper", "censoring"}:
        what = "cens()" if "censoring" in extras else "trunc()"
        raise DataError(f"{what} needs a log distribution function, which the family {family.name!r} does not have.")
    return extras


def extended_logp(likelihood: Likelihood, extras: tuple[str, ...], value: Any, inputs: Sequence[Any]) -> Any:
    """Return the elementwise log-likelihood graph; `inputs` are those of the likelihood, then the extras."""
    return _Modified(likelihood, extras, len(inputs) - len(extras)).logp(value, *inputs)


def _bound(values: Any, side: int, end: Any, y: Any) -> Any:
    """Return bounds below (side -1) or above (side 1), infinite where they are missing or beyond the support.

    None if there is no bound in any row.
    """
    if values is None:
        return None
    values = np.where(np.isnan(values), side * np.inf, np.asarray(values, dtype=float))
    outside = side * y > side * values
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        which = "below its lower" if side < 0 else "above its upper"
        raise DataError(f"Truncated response: row {row} has {y[row]:g}, {which} bound {values[row]:g}.")
    values = np.where(side * values >= side * end, side * np.inf, values)
    return None if np.isinf(values).all() else values


@dataclass(frozen=True)
class _Modified:
    """A likelihood with truncation, censoring or weights.

    A censored row contributes log P(y <= c), log P(y > c) or log P(c < y <= d); truncation divides by the
    probability of the bounds; the weight multiplies whatever the row contributes.
    """

    likelihood: Likelihood
    extras: tuple[str, ...]
    inputs: int

    def _split(self, inputs: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        rv = self.likelihood.dist(inputs[: self.inputs])
        return rv, dict(zip(self.extras, inputs[self.inputs : self.inputs + len(self.extras)], strict=True))

    def dist(self, *inputs: Any) -> Any:
        """Draws are not censored: they are what would have been seen without it."""
        rv, extras = self._split(inputs[:-1])
        if "lower" in extras or "upper" in extras:
            return pm.Truncated.dist(rv, lower=extras.get("lower"), upper=extras.get("upper"))
        return rv

    def logp(self, value: Any, *inputs: Any) -> Any:
        rv, extras = self._split(inputs)
        result = _censored(rv, value, extras, self._middle(inputs)) if "censoring" in extras else pm.logp(rv, value)
        if "lower" in extras or "upper" in extras:
            result = result - self._log_mass(rv, extras, self._middle(inputs))
        return result * extras["likelihood_weights"] if "likelihood_weights" in extras else result

    def _middle(self, inputs: Sequence[Any]) -> Any:
        """Return a point in the middle of each row's distribution, without a gradient.

        Rows to which a branch does not apply are evaluated there: at infinite bounds or far out in a tail the
        branch would have infinite derivatives, which spoil even what is not selected.
        """
        family = self.likelihood.family
        data = self.likelihood.data(inputs)
        mean = family.mean(self.likelihood.linked(inputs), data, pytensor_math())
        if data.trials is not None:
            mean = mean * data.trials
        return disconnected_grad(pt.floor(mean) if family.discrete else mean)

    def _log_mass(self, rv: Any, extras: Mapping[str, Any], middle: Any) -> Any:
        """Return log P(lower <= y <= upper); for counts both bounds are inside."""
        lower, upper = extras.get("lower"), extras.get("upper")
        if lower is not None and self.likelihood.family.discrete:
            lower = pt.ceil(lower) - 1.0
        return _log_probability(rv, lower, upper, middle)


def _censored(rv: Any, value: Any, extras: Mapping[str, Any], middle: Any) -> Any:
    code = extras["censoring"]
    exact, left, right, interval = (pt.eq(code, kind) for kind in (0, -1, 1, 2))
    lower = pt.switch(pt.or_(right, interval), value, -np.inf)
    upper = pt.switch(left, value, pt.switch(interval, extras["y_upper"], np.inf) if "y_upper" in extras else np.inf)
    density = pm.logp(rv, pt.switch(exact, value, pt.cast(middle, value.dtype)))
    return pt.switch(exact, density, _log_probability(rv, lower, upper, middle, "y_upper" in extras))


def _log_probability(rv: Any, lower: Any, upper: Any, middle: Any, intervals: bool = True) -> Any:
    """Return log P(lower < y <= upper) from the tail that it lies in.

    Parameters
    ----------
    rv : random variable
    lower, upper : tensor or None
        Infinite (or None, in all rows) where there is no end.
    middle : tensor
        A point in the middle of each row's distribution.
    intervals : bool
        Whether any row has two ends.
    """
    no = pt.zeros_like(middle, dtype="bool")
    has_lower = no if lower is None else pt.invert(pt.isinf(lower))
    has_upper = no if upper is None else pt.invert(pt.isinf(upper))
    intervals = intervals and lower is not None and upper is not None

    def tail(log_tail: Any, near: Any, far: Any, here: Any) -> Any:
        larger = log_tail(rv, pt.switch(here, near, middle))
        if not intervals:
            return larger
        inner = pt.and_(here, pt.and_(has_lower, has_upper))
        smaller = log_tail(rv, pt.switch(inner, far, middle))
        ratio = pt.switch(inner, pt.minimum(smaller - larger, -1e-300), -1.0)
        return larger + pt.switch(inner, pytensor_math().log1mexp(ratio), 0.0)

    result = pt.zeros_like(middle)
    on_left = has_upper
    if lower is not None:
        on_left = pt.and_(has_upper, pt.or_(pt.invert(has_lower), lower < middle))
        on_right = pt.and_(has_lower, pt.invert(on_left))
        result = pt.switch(on_right, tail(pm.logccdf, lower, upper, on_right), result)
    if upper is not None:
        result = pt.switch(on_left, tail(pm.logcdf, upper, lower, on_left), result)
    return result

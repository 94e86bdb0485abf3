"""The observed variable: a family's distribution, plain, or with truncation, censoring and likelihood weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad

from bayesglmm.arraymath import pytensor_math
from bayesglmm.blocks import Response
from bayesglmm.errors import DataError
from bayesglmm.families import Family
from bayesglmm.families.base import ResponseData
from bayesglmm.links import LINKS, Link, Linked

OBSERVED = "y"
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
    """

    family: Family
    links: Mapping[str, Link]
    names: tuple[str, ...]
    data_names: tuple[str, ...]

    def linked(self, inputs: Sequence[Any]) -> dict[str, Linked]:
        """Return the family parameters for the given inputs."""
        xp, identity = pytensor_math(), LINKS.get("identity")
        return {
            name: Linked(value, self.links.get(name, identity), xp)
            for name, value in zip(self.names, inputs, strict=False)
        }

    def data(self, inputs: Sequence[Any]) -> ResponseData:
        """Return trials and weights from the inputs that follow the parameters."""
        start = len(self.names)
        return ResponseData(**dict(zip(self.data_names, inputs[start:], strict=False)))

    def dist(self, inputs: Sequence[Any]) -> Any:
        """Return the family's unnamed random variable."""
        return self.family.dist(self.linked(inputs), self.data(inputs))


def observe(likelihood: Likelihood, response: Response, inputs: Sequence[Any], data: Callable[..., Any]) -> Any:
    """Register the observed variable ``y`` with the open model.

    Parameters
    ----------
    likelihood : Likelihood
    response : Response
    inputs : sequence of TensorVariable
        Predictors, dispersions, then trials and weights.
    data : callable
        ``data(name, values)`` puts row-wise numbers into the model and returns their tensor.

    Returns
    -------
    TensorVariable
    """
    observed = data("y_observed", observed_values(response, likelihood.family))
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
    """Return bounds below (side -1) or above (side 1), infinite where they are missing or beyond the support."""
    if values is None:
        return None
    values = np.where(np.isnan(values), side * np.inf, np.asarray(values, dtype=float))
    outside = side * y > side * values
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        which = "below its lower" if side < 0 else "above its upper"
        raise DataError(f"Truncated response: row {row} has {y[row]:g}, {which} bound {values[row]:g}.")
    return np.where(side * values >= side * end, side * np.inf, values)


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
        step = 1.0 if self.likelihood.family.discrete else 0.0
        lower, upper = extras.get("lower"), extras.get("upper")
        no = pt.zeros_like(middle, dtype="bool")
        has_lower = no if lower is None else pt.invert(pt.isinf(lower))
        has_upper = no if upper is None else pt.invert(pt.isinf(upper))
        result = pt.zeros_like(middle)
        if upper is not None:
            only = pt.and_(has_upper, pt.invert(has_lower))
            result = pt.switch(only, pm.logcdf(rv, pt.switch(only, upper, middle)), result)
        if lower is not None:
            only = pt.and_(has_lower, pt.invert(has_upper))
            result = pt.switch(only, pm.logccdf(rv, pt.switch(only, lower - step, middle)), result)
        if lower is None or upper is None:
            return result
        both = pt.and_(has_lower, has_upper)
        return pt.switch(both, _log_between(rv, lower - step, upper, both, middle), result)


def _censored(rv: Any, value: Any, extras: Mapping[str, Any], middle: Any) -> Any:
    code = extras["censoring"]
    exact, left, right, interval = (pt.eq(code, kind) for kind in (0, -1, 1, 2))
    seen = pt.switch(exact, value, pt.cast(middle, value.dtype))
    result = pt.switch(left, pm.logcdf(rv, pt.switch(left, value, middle)), pm.logp(rv, seen))
    result = pt.switch(right, pm.logccdf(rv, pt.switch(right, value, middle)), result)
    if "y_upper" in extras:
        between = _log_between(rv, value, extras["y_upper"], interval, middle)
        result = pt.switch(interval, between, result)
    return result


def _log_between(rv: Any, lower: Any, upper: Any, where: Any, middle: Any) -> Any:
    """Return log P(lower < y <= upper) in the rows `where`: from the left tail if `lower` is left of the middle."""
    on_left = pt.and_(where, lower < middle)
    on_right = pt.and_(where, lower >= middle)

    def difference(log_tail: Any, near: Any, far: Any, here: Any) -> Any:
        larger = log_tail(rv, pt.switch(here, near, middle))
        smaller = log_tail(rv, pt.switch(here, far, middle))
        ratio = pt.switch(here, pt.minimum(smaller - larger, -1e-300), -1.0)
        return larger + pytensor_math().log1mexp(ratio)

    left = difference(pm.logcdf, upper, lower, on_left)
    right = difference(pm.logccdf, lower, upper, on_right)
    return pt.switch(on_left, left, right)

"""The observed variable: a family's distribution, plain, or with truncation, censoring and likelihood weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

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
    found = {
        "lower": _bound(response.lower, -np.inf, response.y, family),
        "upper": _bound(response.upper, np.inf, response.y, family),
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


def _bound(values: Any, missing: float, y: Any, family: Family) -> Any:
    if values is None:
        return None
    values = np.where(np.isnan(values), missing, np.asarray(values, dtype=float))
    outside = y < values if missing < 0 else y > values
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        side = "below its lower" if missing < 0 else "above its upper"
        raise DataError(f"Truncated response: row {row} has {y[row]:g}, {side} bound {values[row]:g}.")
    return values


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
        result = pm.logp(rv, value)
        if "censoring" in extras:
            result = _censored(rv, value, extras, result)
        if "lower" in extras or "upper" in extras:
            result = result - self._log_mass(rv, extras)
        return result * extras["likelihood_weights"] if "likelihood_weights" in extras else result

    def _log_mass(self, rv: Any, extras: Mapping[str, Any]) -> Any:
        """Return log P(lower <= y <= upper); for counts both bounds are inside."""
        step = 1.0 if self.likelihood.family.discrete else 0.0
        lower, upper = extras.get("lower"), extras.get("upper")
        if lower is None:
            return pm.logcdf(rv, upper)
        above = pm.logccdf(rv, lower - step)
        if upper is None:
            return above
        bounded = _log_difference(rv, lower - step, upper)
        return pt.switch(pt.isinf(lower), pm.logcdf(rv, upper), pt.switch(pt.isinf(upper), above, bounded))


def _censored(rv: Any, value: Any, extras: Mapping[str, Any], exact: Any) -> Any:
    code = extras["censoring"]
    result = pt.switch(pt.eq(code, -1), pm.logcdf(rv, value), exact)
    result = pt.switch(pt.eq(code, 1), pm.logccdf(rv, value), result)
    if "y_upper" in extras:
        # Rows without an interval get an upper end above the value, so that no branch yields nan gradients.
        upper = pt.switch(pt.eq(code, 2), extras["y_upper"], value + 1)
        result = pt.switch(pt.eq(code, 2), _log_difference(rv, value, upper), result)
    return result


def _log_difference(rv: Any, lower: Any, upper: Any) -> Any:
    high, low = pm.logcdf(rv, upper), pm.logcdf(rv, lower)
    return high + pt.log1mexp(pt.minimum(low - high, -1e-300))

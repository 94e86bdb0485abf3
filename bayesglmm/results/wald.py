"""Tables of maximum likelihood estimates: estimate, standard error and Wald interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special

from bayesglmm.blocks import Floats
from bayesglmm.results.draws import interval
from bayesglmm.results.estimates import ERROR
from bayesglmm.results.tables import Parameter, effects_table, parameters

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import BlockParts, Problem

COLUMNS = ("estimate", "se", "lower", "upper")


class Wald:
    """Estimates, their standard errors and the intervals that follow.

    Intervals are symmetric on the scale where normality is least wrong: as they are for coefficients, logarithms for
    standard deviations and other positive parameters, Fisher's z for correlations, logits for probabilities.

    Parameters
    ----------
    problem : Problem
    estimates : xarray.Dataset
        As `bayesglmm.results.estimates.estimates` makes it.

    Attributes
    ----------
    parameters : list of Parameter
        With the estimate as the only draw.
    """

    def __init__(self, problem: Problem, estimates: xr.Dataset) -> None:
        self.problem, self.dataset = problem, estimates
        names = [str(name) for name in estimates.data_vars if not str(name).endswith(ERROR)]
        values = estimates[names].expand_dims(chain=1, draw=1)
        errors = estimates[[f"{name}{ERROR}" for name in names]].rename({f"{name}{ERROR}": name for name in names})
        self.parameters = parameters(problem, values)
        found = parameters(problem, errors.expand_dims(chain=1, draw=1))
        self._errors = {parameter.label: float(parameter.values[0, 0]) for parameter in found}
        self._domains = {parameter.name: parameter.domain for parameter in problem.family.parameters}

    def describe(self, found: Sequence[Parameter], prob: float) -> pd.DataFrame:
        """Return estimate, se, lower and upper, one row per parameter."""
        z = normal_quantile(prob)
        rows = []
        for parameter in found:
            value, error = float(parameter.values[0, 0]), self._errors[parameter.label]
            rows.append((value, error, *bounds(value, error, z, self._scale(parameter))))
        return pd.DataFrame(rows, columns=list(COLUMNS), dtype=float)

    def _scale(self, parameter: Parameter) -> str | tuple[float, float]:
        if parameter.within is not None:
            return parameter.within
        kinds = {"fixed": "real", "sd": "positive", "cor": "correlation"}
        domain: str = self._domains.get(parameter.label, "real")
        return kinds.get(parameter.kind, domain)

    def ranef(self, prob: float, group: str | None = None) -> pd.DataFrame:
        """Return the table of conditional modes of the group effects with their conditional standard deviations."""
        z = normal_quantile(prob)

        def describe(block: BlockParts) -> dict[str, Floats]:
            value, error = (self.dataset[f"{block.names.b}{end}"].values for end in ("", ERROR))
            return dict(zip(COLUMNS, (value, error, value - z * error, value + z * error), strict=True))

        return effects_table(self.problem, describe, COLUMNS, group)


def normal_quantile(prob: float) -> float:
    """Return how many standard errors to each side hold `prob` of a normal distribution."""
    return float(special.ndtri(interval(prob)[1]))


def bounds(value: float, error: float, z: float, scale: str | tuple[float, float]) -> tuple[float, float]:
    """Return a Wald interval.

    Parameters
    ----------
    value, error : float
    z : float
        Standard errors to each side.
    scale : {"real", "positive", "unit", "correlation"} or tuple of (float, float)
        Where the value lives, in a word or by its ends, and so on which scale the interval is symmetric.
    """
    transform, back, slope = _SCALES[scale] if isinstance(scale, str) else _between(*scale)
    with np.errstate(all="ignore"):
        centre, half = transform(value), z * error * slope(value)
        found = float(back(centre - half)), float(back(centre + half))
    return found if np.all(np.isfinite(found)) else (np.nan, np.nan)


def _same(value: Any) -> Any:
    return value


# Transform, inverse, derivative of the transform.
_SCALES: dict[str, tuple[Any, Any, Any]] = {
    "real": (_same, _same, lambda value: 1.0),
    "positive": (np.log, np.exp, lambda value: 1.0 / np.float64(value)),
    "unit": (special.logit, special.expit, lambda value: 1.0 / (value * (1.0 - np.float64(value)))),
    "correlation": (np.arctanh, np.tanh, lambda value: 1.0 / (1.0 - np.float64(value) ** 2)),
}


def _between(low: float, high: float) -> tuple[Any, Any, Any]:
    """Return the scale of what lies between two ends: Fisher's z of its place, stretched to (-1, 1)."""
    if not np.isfinite(high):
        return _SCALES["positive" if np.isfinite(low) else "real"]
    stretch = 2.0 / (high - low)

    def place(value: Any) -> Any:
        return (value - low) * stretch - 1.0

    return (
        lambda value: np.arctanh(place(value)),
        lambda z: (np.tanh(z) + 1.0) / stretch + low,
        lambda value: stretch / (1.0 - np.float64(place(value)) ** 2),
    )

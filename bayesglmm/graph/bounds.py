"""The transform of population coefficients whose priors have bounds: each to the whole line by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats


class BoundedTransform(Transform):  # type: ignore[misc]
    """Coordinates of a vector: log(v - lower), log(upper - v), logit((v - lower) / (upper - lower)), or v itself.

    Parameters
    ----------
    lower, upper : ndarray, shape (q,)
        Infinite where there is no bound.
    """

    name = "bounded"
    ndim_supp = 1

    def __init__(self, lower: Floats, upper: Floats) -> None:
        self.lower, self.upper = np.asarray(lower, dtype=float), np.asarray(upper, dtype=float)
        below, above = np.isfinite(self.lower), np.isfinite(self.upper)
        self._one, self._two = below ^ above, below & above
        self._sign = np.where(above & ~below, -1.0, 1.0)
        self._end = np.where(below, self.lower, np.where(above, self.upper, 0.0))
        self._width = np.where(
            self._two, np.where(self._two, self.upper, 1.0) - np.where(below, self.lower, 0.0), 1.0
        )

    @property
    def bounded(self) -> Any:
        """Which components have a bound, shape (q,)."""
        return self._one | self._two

    def forward(self, value: Any, *inputs: Any) -> Any:
        """Return coordinates for values."""
        return self._forward(value, pytensor_math())

    def to_line(self, value: Floats) -> Floats:
        """Return coordinates for values, in numpy; nan outside of the bounds."""
        with np.errstate(all="ignore"):
            return np.asarray(self._forward(np.asarray(value, dtype=float), NUMPY))

    def _forward(self, value: Any, xp: ArrayMath) -> Any:
        distance = self._sign * (value - self._end)
        share = xp.where(self._two, distance / self._width, 0.5)
        one = xp.log(xp.where(self._one, distance, 1.0))
        return xp.where(self._one, one, xp.where(self._two, xp.log(share) - xp.log1p(-share), value))

    def backward(self, value: Any, *inputs: Any) -> Any:
        """Return values for coordinates."""
        xp = pytensor_math()
        one = self._sign * xp.exp(xp.where(self._one, value, 0.0))
        two = self._width * xp.expit(value)
        return xp.where(self.bounded, self._end, 0.0) + xp.where(self._one, one, xp.where(self._two, two, value))

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        """Return the sum of the logarithms of the derivatives, over the last axis."""
        return pt.sum(self._log_slopes(value, pytensor_math()), axis=-1)

    def log_slopes(self, coordinates: Floats) -> Floats:
        """Return the logarithm of the derivative of every value in its coordinate, in numpy."""
        return np.asarray(self._log_slopes(np.asarray(coordinates, dtype=float), NUMPY))

    def _log_slopes(self, value: Any, xp: ArrayMath) -> Any:
        two = np.log(self._width) - xp.softplus(value) - xp.softplus(-value)
        return xp.where(self._one, value, xp.where(self._two, two, 0.0 * value))

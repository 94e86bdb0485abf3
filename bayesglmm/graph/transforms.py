"""Transforms of the free variables to the unconstrained coordinates in which engines move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from bayesglmm.blocks import Floats


class LinearTransform(Transform):  # type: ignore[misc]
    """value = T z: the sampler moves in coordinates z, the prior stays that of the value.

    Parameters
    ----------
    T : ndarray, shape (p, p)
        Invertible.
    """

    name = "linear"
    ndim_supp = 1

    def __init__(self, T: Floats) -> None:
        self.T = T
        self.T_inverse = np.linalg.inv(T)
        self.log_det = float(np.linalg.slogdet(T)[1])

    def forward(self, value: Any, *inputs: Any) -> Any:
        """Return z for a value."""
        return pt.dot(self.T_inverse, value)

    def backward(self, value: Any, *inputs: Any) -> Any:
        """Return the value for z."""
        return pt.dot(self.T, value)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        """Return log |T|, as the sum over the vector that PyMC expects."""
        return pt.constant(self.log_det)


class LogTransform(Transform):  # type: ignore[misc]
    """log of a vector whose density is not a product of equal distributions, which PyMC's own refuses."""

    name = "log"
    ndim_supp = 1

    def forward(self, value: Any, *inputs: Any) -> Any:
        """Return log value."""
        return pt.log(value)

    def backward(self, value: Any, *inputs: Any) -> Any:
        """Return the value."""
        return pt.exp(value)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        """Return the sum of the logarithms."""
        return pt.sum(value, axis=-1)


class BoundedTransform(Transform):  # type: ignore[misc]
    """Components with bounds of their own: logarithms above a lower bound, logits between two, else the value itself.

    Parameters
    ----------
    lower, upper : ndarray, shape (q,)
        Infinite where there is no bound; an upper bound alone is not possible.
    """

    name = "bounded"
    ndim_supp = 1

    def __init__(self, lower: Floats, upper: Floats) -> None:
        self.inside = np.isfinite(lower) & np.isfinite(upper)
        self.above = np.isfinite(lower) & ~self.inside
        self.lower = np.where(np.isfinite(lower), lower, 0.0)
        self.width = np.where(self.inside, upper - self.lower, 1.0)

    def start(self, value: Floats) -> Floats:
        """Return unconstrained coordinates of a value, in numpy."""
        with np.errstate(all="ignore"):
            apart = value - self.lower
            logit = np.log(apart) - np.log(self.width - apart)
            return np.where(self.inside, logit, np.where(self.above, np.log(apart), value))

    def forward(self, value: Any, *inputs: Any) -> Any:
        """Return the unconstrained coordinates."""
        # Logarithms see only what they can handle: else their gradients would be nan where they are not used.
        apart = value - self.lower
        rest = pt.switch(self.inside, self.width - apart, 1.0)
        logs = pt.log(pt.switch(self.inside | self.above, apart, 1.0)) - pt.log(rest)
        return pt.switch(self.inside | self.above, logs, value)

    def backward(self, value: Any, *inputs: Any) -> Any:
        """Return the value."""
        positive = pt.exp(pt.switch(self.above, value, 0.0))
        inside = self.width * pt.sigmoid(value)
        return self.lower + pt.switch(self.inside, inside, pt.switch(self.above, positive, value))

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:
        """Return the sum of the logarithms of the derivatives."""
        inside = np.log(self.width) - pt.softplus(value) - pt.softplus(-value)
        return pt.sum(pt.switch(self.inside, inside, pt.switch(self.above, value, 0.0)), axis=-1)

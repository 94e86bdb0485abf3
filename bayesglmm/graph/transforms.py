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

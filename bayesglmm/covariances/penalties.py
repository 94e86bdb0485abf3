"""Coefficients under several penalties at once: tensor products and factor smooths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import RandomBlock
from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter
from bayesglmm.errors import BayesglmmError

_TINY = 1e-75  # a standard deviation of zero is a precision without bound; this one stays a number


class Penalties(Covariance):
    """Lambda = diag(s_l) with 1 / s_l^2 = sum_m W_ml / sd_m^2: each penalty adds its precision.

    The block's options hold ``weights``, W of shape (M, k), and ``parts``, the names of the M standard deviations.
    Smooths make such blocks; in a formula there is nowhere to write the weights.
    """

    name = "penalties"
    in_formulas = False

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        for option in ("weights", "parts"):
            if option not in block.options:
                raise BayesglmmError(f"{block.label}: the covariance structure {self.name!r} needs `{option}`.")
        return (CovarianceParameter("sd", "scale", tuple(block.options["parts"])),)

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        return self._scales(values)[..., :, None] * np.eye(k)

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        return u * self._scales(values)[..., None, :]

    def _scales(self, values: Mapping[str, Any]) -> Any:
        return ((values["sd"] + _TINY) ** -2.0 @ values["weights"]) ** -0.5


COVARIANCES.register(Penalties())

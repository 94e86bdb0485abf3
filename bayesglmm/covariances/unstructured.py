"""Correlated coefficients with an LKJ prior on their correlations: the default for ``(1 + x | g)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import RandomBlock
from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter


class Unstructured(Covariance):
    """Lambda = diag(sd) L with L the Cholesky factor of the correlation matrix.

    Separate standard deviations and correlations keep the priors of both in the user's hands (Barnard, McCulloch
    and Meng 2000); the LKJ prior is that of Lewandowski, Kurowicka and Joe (2009).
    """

    name = "us"
    scaled_root = True

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (
            CovarianceParameter("sd", "scale", block.terms, tuple(range(len(block.terms)))),
            CovarianceParameter("cor", "correlation", block.terms),
        )

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        return values["sd"][..., :, None] * values["cor"]

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        # (L u')' scaled by columns: swapping the last two axes is all that numpy and PyTensor spell differently,
        # so the product is written as a sum over the columns of L.
        cholesky, sd = values["cor"], values["sd"]
        return (u[..., :, None, :] * cholesky[..., None, :, :]).sum(axis=-1) * sd[..., None, :]


COVARIANCES.register(Unstructured())

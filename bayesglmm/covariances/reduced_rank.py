"""Reduced rank: many coefficients per level moved by a few latent variables, a factor model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Ints, RandomBlock
from bayesglmm.covariances.base import (
    CORRELATION,
    COVARIANCES,
    POSITIVE,
    REAL,
    Covariance,
    CovarianceParameter,
    Setting,
)


class ReducedRank(Covariance):
    """b = Lambda u with d latent variables for k > d coefficients (``d=``, 2 if absent).

    Lambda has zeros above its diagonal and positive entries on it, which leaves neither rotations nor signs open
    (Geweke and Zhou 1996). The order of the coefficients decides which of them carry the zeros; the covariance
    that the fit implies hardly depends on it.
    """

    name = "rr"
    keywords = ("d",)

    def options(self, setting: Setting) -> dict[str, Any]:
        k, d = len(setting.terms), setting.given.get("d", 2)
        if not isinstance(d, int | float) or d != int(d) or not 1 <= d < k:
            setting.fail(f"`{self.name}` has d latent variables for {k} coefficients: 1 <= d < {k}, not {d}.")
        row, column = _places(k, int(d))
        return super().options(setting) | {"d": int(d), "row": row, "column": column}

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        rows, columns = block.options["row"], block.options["column"]
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        names = tuple(f"{block.terms[i]}, {j + 1}" for i, j in pairs)
        bounds = tuple(POSITIVE if i == j else REAL for i, j in zip(rows, columns, strict=True))
        start = tuple(0.5 if i == j else 0.1 for i, j in zip(rows, columns, strict=True))
        what = "loading on a latent variable"
        own = tuple(int(i) for i in rows)
        return (CovarianceParameter("loading", "vector", names, own, bounds, None, start, what),)

    def derived(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (
            CovarianceParameter("sd", "vector", block.terms, bounds=(POSITIVE,), title="standard deviation"),
            CovarianceParameter("cor", "correlation", block.terms, bounds=(CORRELATION,), title="correlation"),
        )

    def derive(self, values: Mapping[str, Any], block: RandomBlock) -> dict[str, Any]:
        k = len(block.terms)
        Lambda = np.zeros((*np.shape(values["loading"])[:-1], k, k))
        Lambda[..., values["row"], values["column"]] = values["loading"]
        covariance = Lambda @ np.swapaxes(Lambda, -1, -2)
        sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
        with np.errstate(invalid="ignore"):
            return {"sd": sd, "cor": covariance / sd[..., :, None] / sd[..., None, :]}

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        loading = values["loading"]
        m = len(values["row"])
        where = np.full((k, k), m)  # behind the loadings stands a zero
        where[values["row"], values["column"]] = np.arange(m)
        return xp.concatenate([loading, xp.zeros_like(loading[..., :1])], axis=-1)[..., where]


def _places(k: int, d: int) -> tuple[Ints, Ints]:
    """Return rows and columns of the free loadings, column by column."""
    pairs = [(i, j) for j in range(d) for i in range(j, k)]
    return np.array([i for i, _ in pairs]), np.array([j for _, j in pairs])


COVARIANCES.register(ReducedRank())

"""A known covariance of a level's coefficients, up to its scale: glmmTMB's ``propto``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import RandomBlock
from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import common_sd, single
from bayesglmm.covariances.matrices import NamedMatrix, named_matrix
from bayesglmm.errors import DataError, did_you_mean


class Proportional(Covariance):
    """Cov(b) = sd^2 K over the levels of one factor, within each level of another: ``propto(0 + id | g, cov=K)``.

    With one level of g these are the effects of ``(1 | gr(id, cov=K))``; with several each has a draw of its own, as
    species have in several sites.
    """

    name = "propto"
    indexed = True
    keywords = ("cov",)
    matrices = ("cov",)

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (common_sd(self.name),)

    def options(self, setting: Setting) -> dict[str, Any]:
        if "cov" not in setting.given:
            setting.fail(
                f"`{self.name}` needs a matrix: write {self.name}(0 + id | g, cov=K), bg.Model(..., cov=...)."
            )
        label = f"The covariance `{setting.names['cov']}` of `{setting.text}`"
        matrix = named_matrix(label, setting.given["cov"]).whole()
        K = _of_levels(matrix, label, setting.index or ())
        if not np.allclose(K, K.T, rtol=1e-8, atol=1e-10 * np.abs(K).max()):
            raise DataError(f"{label} is not symmetric.")
        try:
            return {"matrix": setting.names["cov"], "root": np.linalg.cholesky(K)}
        except np.linalg.LinAlgError:
            raise DataError(
                f"{label} is not positive definite over the levels that occur. (1 | gr(id, cov=K)) takes matrices "
                "that are semi-definite."
            ) from None

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        return single(values, "sd")[..., None] * values["root"]


def _of_levels(matrix: NamedMatrix, label: str, levels: tuple[str, ...]) -> Any:
    """Return the matrix of the levels that occur, in their order, dense."""
    values: Any = matrix.values
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    if matrix.inverse:
        values = np.linalg.inv(values)
    if matrix.names is None:
        if len(values) != len(levels):
            raise DataError(f"{label} has no names and {len(values):,} rows, but there are {len(levels):,} levels.")
        return values
    place = {name: at for at, name in enumerate(matrix.names)}
    for level in levels:
        if level not in place:
            raise DataError(f"{label} has no row for the level {level!r}. {did_you_mean(level, matrix.names)}")
    at = [place[level] for level in levels]
    return values[np.ix_(at, at)]


COVARIANCES.register(Proportional())

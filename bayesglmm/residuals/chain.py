"""Residuals whose past counts through the last one alone: first-order autoregressions, in steps or continuous.

Between neighbours a time d apart the correlation is rho^d (``ar1``; nlme's corAR1, which glmmTMB's ``ar1`` is too) or
exp(-d / range) (``ou``; nlme's corCAR1 with Phi = exp(-1 / range)).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Ints, ResidualBlock
from bayesglmm.covariances import CovarianceParameter
from bayesglmm.covariances.base import CORRELATION
from bayesglmm.covariances.correlated import CORRELATION_PRIOR
from bayesglmm.covariances.spans import range_parameter
from bayesglmm.errors import DataError
from bayesglmm.residuals.base import RESIDUALS, Residual, predecessors


class Chain(Residual):
    """A Markov process along the time of each group."""

    @abstractmethod
    def step(self, values: Mapping[str, Any], gaps: Floats, xp: ArrayMath) -> tuple[Any, Any]:
        """Return the correlation rho over gaps of time, and 1 - rho^2, each of shape (..., d) for gaps of (d,)."""

    def links(self, block: ResidualBlock) -> tuple[Ints, Ints]:
        before = predecessors(block)
        rows = np.flatnonzero(before >= 0)
        return rows, before[rows]

    def entries(self, values: Mapping[str, Any], block: ResidualBlock, xp: ArrayMath) -> tuple[Any, Any]:
        rows, earlier = self.links(block)
        linked = np.zeros(len(block.index))
        linked[rows] = 1.0
        gaps = np.ones(len(block.index))  # of a first row anything: its step does not count
        gaps[rows] = block.time[rows] - block.time[earlier]
        rho, left = self.step(values, gaps, xp)
        # 1 for the first rows, without a branch that a gradient would have to pass.
        diagonal = 1.0 / xp.sqrt(linked * left + (1.0 - linked))
        return diagonal, -(rho * diagonal)[..., rows]

    def correlation(self, values: Mapping[str, Any], block: ResidualBlock, apart: Floats) -> Floats | None:
        away = np.where(apart > 0, apart, 1.0)  # no power of zero: it would be one of any number
        return np.where(apart > 0, self.step(values, away, NUMPY)[0], 1.0)


class FirstOrder(Chain):
    """Cor(e_s, e_t) = rho^|s - t| at whole-numbered times; a time without a row is a gap, not left out."""

    name = "ar1"

    def check(self, block: ResidualBlock) -> None:
        odd = block.time != np.round(block.time)
        if odd.any():
            raise DataError(
                f"`{block.label}`: the times of ar1 are whole numbers (or the levels of a factor, taken in their "
                f"order), and `{block.unit}` has {block.time[int(np.argmax(odd))]:g}. For times between them write "
                f"ou({block.unit} | {block.group}); for the order of the rows ar1(1 | {block.group})."
            )

    def parameters(self, block: ResidualBlock) -> tuple[CovarianceParameter, ...]:
        title = f"correlation of residuals one {block.unit} apart" if block.unit == "row" else "lag-one correlation"
        return (
            CovarianceParameter(
                "cor", "vector", (self.name,), None, (CORRELATION,), CORRELATION_PRIOR, start=(0.3,), title=title
            ),
        )

    def step(self, values: Mapping[str, Any], gaps: Floats, xp: ArrayMath) -> tuple[Any, Any]:
        rho = values["cor"][..., 0][..., None]
        power = (rho * np.ones(len(gaps))) ** gaps
        return power, 1.0 - power * power


class OrnsteinUhlenbeck(Chain):
    """Cor(e_s, e_t) = exp(-|s - t| / range), at any times."""

    name = "ou"
    aliases = ("car1",)

    def parameters(self, block: ResidualBlock) -> tuple[CovarianceParameter, ...]:
        return (range_parameter(self.name, np.unique(block.time)[:, None], block.unit),)

    def step(self, values: Mapping[str, Any], gaps: Floats, xp: ArrayMath) -> tuple[Any, Any]:
        reach = gaps / values["range"][..., 0][..., None]
        return xp.exp(-reach), -xp.expm1(-2.0 * reach)


RESIDUALS.register(FirstOrder())
RESIDUALS.register(OrnsteinUhlenbeck())

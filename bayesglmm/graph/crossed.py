"""The coarsest of several crossed factors: coordinates along the axes on which its effects are independent.

The effects of items that the same persons answer depend on each other through the persons: what shifts all items is
known far less than what tells them apart. So no coordinates level by level make them independent. At the mode of the
hyperparameters, with all finer effects integrated out, let S be the information of the rows about the effects b of
this factor given the population coefficients. Along the eigenvectors V of S, with eigenvalues D, the precision of b
is D + 1 / sd^2 whatever sd is, and with y = V'm the pull of the rows

    u = b / sd = V c,   c = (1 + sd^2 D)^-1 sd y + (1 + sd^2 D)^(-1/2) z,   y = y-hat - R (beta - beta-hat).

V, D, y-hat and R are constants of the model: other hyperparameters than the mode's cost speed, never correctness. The
idea is that of a known covariance of levels (`graph.related`), where the axes are those of the prior.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats

if TYPE_CHECKING:
    from bayesglmm.graph.coordinates import LevelBlock

_LEVELS = 1500  # the axes are a dense matrix
_PER_ROW = 20  # and their product should cost little beside the rows


@dataclass(frozen=True, eq=False)
class Axes:
    """Coordinates of one block of J levels with one column.

    Attributes
    ----------
    V : array, shape (J, J)
    D : array, shape (J,)
        Information along the axes.
    pull : array, shape (J,)
        y-hat.
    lean : array, shape (J, p)
        R.
    """

    V: Any
    D: Any
    pull: Any
    lean: Any

    def effects(self, z: Any, deviation: Any, sd: Any, xp: ArrayMath) -> tuple[Any, Any]:
        """Return u, shape (..., J), and the log Jacobian, shape (...).

        Parameters
        ----------
        z : array, shape (..., J)
        deviation : array, shape (..., p)
            beta - beta-hat.
        sd : array, shape (..., 1)
        xp : ArrayMath
        """
        precision = 1.0 + sd**2 * self.D
        pull = self.pull - deviation @ self.lean.T
        along = sd * pull / precision + z * precision**-0.5
        return along @ self.V.T, -0.5 * xp.sum(xp.log(precision), axis=-1)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of the arrays."""
        return tuple(field.name for field in fields(cls))


def coarsest_crossed(blocks: tuple[LevelBlock, ...]) -> LevelBlock | None:
    """Return the coarsest block if it has one column and crosses a finer one, and is not too large; else None.

    Parameters
    ----------
    blocks : tuple of LevelBlock
        Coarse before fine.
    """
    if len(blocks) < 2:
        return None
    first, rows = blocks[0], len(blocks[0].index)
    if first.k > 1 or first.levels > _LEVELS or first.levels**2 > _PER_ROW * rows + 10_000:
        return None
    crossed = any(_crosses(first, finer) for finer in blocks[1:])
    return first if crossed else None


def _crosses(coarse: LevelBlock, fine: LevelBlock) -> bool:
    """Return whether some level of `fine` has rows in several levels of `coarse`."""
    pairs = np.unique(fine.index.astype(np.int64) * coarse.levels + coarse.index)
    return len(pairs) > len(np.unique(fine.index))


def axes_at_mode(covariance: Floats, u: Floats, sd: float) -> Axes:
    """Return the axes.

    Parameters
    ----------
    covariance : ndarray, shape (J + p, J + p)
        Of (u, beta) at the mode, all other coefficients integrated out.
    u : ndarray, shape (J,)
        The mode.
    sd : float
        Standard deviation of the effects there.
    """
    J = len(u)
    precision = np.linalg.inv(covariance)
    precision = 0.5 * (precision + precision.T)
    values, V = np.linalg.eigh(precision[:J, :J] - np.eye(J))
    values = np.maximum(values, 0.0)
    pull = (1.0 + values) * (V.T @ u) / sd
    return Axes(V, values / sd**2, pull, V.T @ precision[:J, J:] / sd)

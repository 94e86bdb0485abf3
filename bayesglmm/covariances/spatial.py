"""Processes over points of a line, a plane or a space: the correlation falls with the distance.

With the parameters of glmmTMB: distances are divided by ``range``, whatever the smoothness.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.covariances.base import COVARIANCES, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import Correlated
from bayesglmm.covariances.positions import positions
from bayesglmm.covariances.spans import range_parameter
from bayesglmm.errors import DataError

MOST_POINTS = 3000
_NUGGET = 1e-9  # added to the diagonal: a smooth process over close points is singular in double precision


class Spatial(Correlated):
    """Cor(b_s, b_t) = c(|s - t| / range), the points being the levels of a factor: ``0 + numFactor(x, y)``."""

    indexed = True

    @abstractmethod
    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        """Return the correlation at distances in units of the range."""

    def options(self, setting: Setting) -> dict[str, Any]:
        points = positions(setting, self.name)
        if len(points) > MOST_POINTS:
            raise DataError(
                f"`{setting.text}` has {len(points):,} points; a dense covariance is refused above {MOST_POINTS:,}. "
                'A smooth has a process of low rank over as many as there are: s(x, y, bs="gp", k=100).'
            )
        return super().options(setting) | {"points": points, "distance": cdist(points, points)}

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return self.sds(block), range_parameter(self.name, block.options["points"], "coordinates")

    def distances(self, block: RandomBlock) -> tuple[Floats, str]:
        return block.options["distance"], "distance"

    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        reach = values["distance"] / values["range"][..., 0][..., None, None]
        return self.fading(reach, values, xp) * (1.0 - _NUGGET) + _NUGGET * np.eye(k)


class Exponential(Spatial):
    """c(r) = exp(-r): continuous, but nowhere smooth."""

    name = "exp"

    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        return xp.exp(-reach)


class Gaussian(Spatial):
    """c(r) = exp(-r^2): smooth without limit."""

    name = "gau"

    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        return xp.exp(-reach * reach)


class Matern(Spatial):
    """Matern's correlation with smoothness nu = 1/2, 3/2 or 5/2 (``nu=``, 3/2 if absent).

    c(r) = exp(-r), (1 + r) exp(-r) and (1 + r + r^2 / 3) exp(-r). The smoothness is chosen, not estimated: data
    at distances of the size of the range say next to nothing of it (Zhang 2004).
    """

    name = "mat"
    keywords = ("nu",)

    def options(self, setting: Setting) -> dict[str, Any]:
        nu = setting.given.get("nu", 1.5)
        if nu not in (0.5, 1.5, 2.5):
            setting.fail(f"`{self.name}` has the smoothness nu = 0.5, 1.5 or 2.5, not {nu}; `gau` is the limit.")
        return super().options(setting) | {"nu": np.array(float(nu))}

    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        nu = float(values["nu"])
        bend = {0.5: 1.0, 1.5: 1.0 + reach, 2.5: 1.0 + reach + reach * reach / 3.0}[nu]
        return bend * xp.exp(-reach)


COVARIANCES.register(Exponential())
COVARIANCES.register(Gaussian())
COVARIANCES.register(Matern())

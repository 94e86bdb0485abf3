"""Processes over points of a line, a plane or a space: the correlation falls with the distance.

With the parameters of glmmTMB: distances are divided by ``range``, whatever the smoothness.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import cdist

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Ints, LatentForm, RandomBlock
from bayesglmm.covariances.base import COVARIANCES, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import Correlated
from bayesglmm.covariances.neighbours import neighbourhoods, precision_entries, weights
from bayesglmm.covariances.positions import positions
from bayesglmm.covariances.spans import extent, fading_doubts, range_parameter
from bayesglmm.errors import DataError

MOST_POINTS = 3000
DENSE = 1000
"""Points up to which a process is dense unless the user says otherwise."""
NEIGHBOURS = 20
_SHOWN = 400  # points whose distances figures show
_NUGGET = 1e-9  # added to the diagonal: a smooth process over close points is singular in double precision


class Spatial(Correlated):
    """Cor(b_s, b_t) = c(|s - t| / range), the points being the levels of a factor: ``0 + numFactor(x, y)``.

    Up to 1,000 points the covariance is dense. Beyond, each point depends on the 20 nearest of those before it in an
    order of the points, and the precision is sparse; see `bayesglmm.covariances.neighbours`. ``neighbours=`` sets
    their number, and 0 asks for the dense covariance.
    """

    indexed = True
    keywords: ClassVar[tuple[str, ...]] = ("neighbours",)
    most: ClassVar[int] = NEIGHBOURS
    sparse: ClassVar[str] = (
        f"Leave out `neighbours=0`: each point then depends on its {NEIGHBOURS} nearest neighbours. "
    )

    @abstractmethod
    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        """Return the correlation at distances in units of the range."""

    def options(self, setting: Setting) -> dict[str, Any]:
        points = positions(setting, self.name)
        m = setting.given.get("neighbours", 0 if len(points) <= DENSE else self.most)
        if not isinstance(m, int | float) or m != int(m) or m < 0:
            setting.fail(f"`{self.name}` has a number of neighbours, or 0 for a dense covariance, not {m}.")
        found = super().options(setting) | {"points": points}
        if m:
            return found | vars(neighbourhoods(points, int(m)))
        if len(points) > MOST_POINTS:
            raise DataError(
                f"`{setting.text}` has {len(points):,} points; a dense covariance is refused above {MOST_POINTS:,}. "
                f"{self.sparse}A smooth has a process of low rank over as many as there are: "
                's(x, y, bs="gp", k=100).'
            )
        return found | {"distance": cdist(points, points)}

    def form(self, options: Mapping[str, Any]) -> LatentForm:
        return "precision" if "near" in options else "spherical"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return self.sds(block), range_parameter(self.name, block.options["points"], "coordinates")

    def distances(self, block: RandomBlock) -> tuple[Floats, str]:
        points = block.options["points"]
        some = points[:: max(1, len(points) // _SHOWN)]
        return cdist(some, some), "distance"

    def at_distance(self, values: Mapping[str, Any], distance: Floats) -> Any:
        return self.fading(distance / values["range"], values, NUMPY)

    def doubts(self, values: Mapping[str, Any], block: RandomBlock) -> str:
        points = block.options["points"]
        near, far = self.at_distance(values, np.array(extent(points)))
        return fading_doubts(float(near), float(far), points, "the coordinates")

    def correlation(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        distance = values.get("distance")
        if distance is None:
            distance = cdist(values["points"], values["points"])
        reach = distance / values["range"][..., 0][..., None, None]
        return self.fading(reach, values, xp) * (1.0 - _NUGGET) + _NUGGET * np.eye(k)

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        first = len(block.terms) * np.arange(len(block.levels))[:, None]
        return (first + block.options["row"]).ravel(), (first + block.options["column"]).ravel()

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        there, place, nnz, J = values["there"], values["place"], len(values["row"]), len(block.levels)
        w = weights(self.fading(values["near"] / values["range"][0], values, xp), there, _NUGGET, xp)
        inverse = 1.0 / values["sd"][0]
        entries = precision_entries(w, there.shape[1], place, nnz, xp) * inverse * inverse
        log_det = J * (2.0 * xp.sum(xp.log(w[:, -1])) + 2.0 * len(there) * xp.log(inverse))
        return (entries if J == 1 else entries[np.tile(np.arange(nnz), J)]), log_det


class Exponential(Spatial):
    """c(r) = exp(-r): continuous, but nowhere smooth."""

    name = "exp"

    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        return xp.exp(-reach)


class Gaussian(Spatial):
    """c(r) = exp(-r^2): smooth without limit.

    Always dense: what is so smooth depends on points far beyond its neighbours. With 20 of them the log density of
    800 points was wrong by up to 20.
    """

    name = "gau"
    keywords = ()
    most = 0
    sparse = "`mat` with nu=2.5 is nearly as smooth, and sparse over as many points as there are. "

    def fading(self, reach: Any, values: Mapping[str, Any], xp: ArrayMath) -> Any:
        return xp.exp(-reach * reach)


class Matern(Spatial):
    """Matern's correlation with smoothness nu = 1/2, 3/2 or 5/2 (``nu=``, 3/2 if absent).

    c(r) = exp(-r), (1 + r) exp(-r) and (1 + r + r^2 / 3) exp(-r). The smoothness is chosen, not estimated: data
    at distances of the size of the range say next to nothing of it (Zhang 2004).
    """

    name = "mat"
    keywords = ("nu", "neighbours")

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

"""Ranges: over which distance a correlation fades, and what is believed of it before the data are seen."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from bayesglmm.blocks import Floats
from bayesglmm.covariances.base import POSITIVE, CovarianceParameter
from bayesglmm.priors import Prior

_REACH = 2.326  # normal quantile of 0.99
_WIDEST = 2000  # points of which all distances are computed


def range_parameter(word: str, points: Floats, unit: str) -> CovarianceParameter:
    """Return the parameter ``range`` of a process over points.

    Its default prior is lognormal with 98 percent between the typical distance of nearest neighbours and the largest
    distance: outside of these the data cannot say anything of it (Fuglstad et al. 2019; Betancourt 2020), and the
    likelihood is flat.

    Parameters
    ----------
    word : str
    points : ndarray, shape (k, d)
        Distinct.
    unit : str
        What distances are in, for the title.
    """
    low, high = extent(points)
    middle, spread = 0.5 * np.log(low * high), max(0.5 * np.log(high / low) / _REACH, 0.5)
    return CovarianceParameter(
        "range",
        "vector",
        (word,),
        bounds=(POSITIVE,),
        prior=Prior("LogNormal", mu=float(middle), sigma=float(spread)),
        start=(float(np.exp(middle)),),
        title=f"range of the correlation, in units of the {unit}",
    )


def extent(points: Floats) -> tuple[float, float]:
    """Return the median distance of nearest neighbours and the largest distance (of a subset of many points)."""
    nearest = cKDTree(points).query(points, k=2)[0][:, 1]
    return float(np.median(nearest)), float(pdist(points[:: max(1, len(points) // _WIDEST)]).max())


_ALONE, _ALIKE = 0.05, 0.95


def fading_doubts(near: float, far: float, points: Floats, unit: str) -> str:
    """Return whether a process over points is as good as independent effects, or as one effect for all of them.

    Parameters
    ----------
    near, far : float
        Its correlation at the typical distance of nearest neighbours, and at the largest distance.
    points : ndarray, shape (k, d)
    unit : str
        What distances are in.
    """
    low, high = extent(points)
    if near < _ALONE:
        return (
            f"the correlation of nearest neighbours ({low:.3g} apart in {unit}) is {near:.2g}: independent effects, "
            "`homdiag`, describe these data as well"
        )
    if far > _ALIKE:
        return (
            f"the correlation over the largest distance ({high:.3g} in {unit}) is {far:.2g}: one effect per level, "
            "`(1 | ...)`, describes these data as well"
        )
    return ""

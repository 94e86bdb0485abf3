"""Lengths on a map: what a degree of longitude and of latitude is worth."""

from __future__ import annotations

import numpy as np

from bayesglmm.blocks import Floats

KM_PER_DEGREE = 111.2  # of latitude, and of longitude at the equator
DEGREES = "degrees"  # as unit of coordinates


def middle(y: Floats) -> float:
    """Return the latitude whose lengths a whole map is drawn with: halfway between its ends.

    One rule for all that is said of a map; a mean over rows would depend on where most of them are.
    """
    return float(np.min(y) + np.max(y)) / 2.0


def stretch(units: str, latitude: float) -> tuple[float, float]:
    """Return what a unit of x and of y is worth in the unit of distances: km for degrees.

    Parameters
    ----------
    units : str
        Of the coordinates; anything but ``"degrees"`` is a length.
    latitude : float
        See `middle`.
    """
    if units != DEGREES:
        return 1.0, 1.0
    return KM_PER_DEGREE * float(np.cos(np.deg2rad(latitude))), KM_PER_DEGREE


def aspect(units: str, latitude: float) -> float:
    """Return how long a unit upwards is, in units to the right."""
    across, up = stretch(units, latitude)
    return up / across

"""`EffectMap`: the Dataset that `odds_ratio_map` returns, with its ways out: figure, GeoJSON, GeoDataFrame, HTML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class EffectMap(xr.Dataset):  # type: ignore[no-untyped-call]
    """A posterior surface on a grid.

    An ordinary `xarray.Dataset`; of one that was stored as a file, ``EffectMap(xarray.open_dataset("map.nc"))`` makes
    a map again.

    Attributes
    ----------
    mean, lower, upper : DataArray
        Posterior mean and equal-tailed interval of the ratio (of the difference for links without one), NaN outside
        the mask. Pointwise: each holds at its place, not for all places at once.
    log_mean, log_sd : DataArray
        Mean and standard deviation on the scale of the linear predictor.
    probability : DataArray
        P(ratio > 1), or P(difference > 0).
    exceedance : DataArray
        P(ratio > `threshold`), if one was given.
    mask : DataArray of bool
        Whether the centre of the cell lies inside.
    attrs : dict
        ``effect`` (``"odds ratio"``), ``null`` (1 or 0), ``prob``, ``term``, ``response``, ``reference`` and
        ``region`` in words, ``outline`` (GeoJSON text), ``units`` of the coordinates, ``threshold``, ``formula``,
        ``engine``, ``verdict``, ``note``.
    """

    __slots__ = ()

    def __init__(self, data_vars: Any = None, coords: Any = None, attrs: Any = None) -> None:
        if isinstance(data_vars, xr.Dataset):
            data_vars, coords, attrs = data_vars.data_vars, data_vars.coords, data_vars.attrs
        super().__init__(data_vars, coords, attrs)

    def plot(  # type: ignore[override]
        self,
        which: str = "mean",
        *,
        points: Any = None,
        cases: str | None = None,
        limit: float | None = None,
        title: str | None = None,
        ax: Axes | None = None,
        figsize: tuple[float, float] | None = None,
    ) -> Figure:
        """Draw the map; see `bayesglmm.plots.effect_map`.

        Parameters
        ----------
        which : {"mean", "lower", "upper", "probability", "exceedance"}
        points : DataFrame, optional
            Places to show, with the two coordinates of the map as columns. None by default: a residence is personal.
        cases : str, optional
            Column of `points` with 0 and 1: cases are drawn apart from the others.
        limit : float, optional
            The colours end at this ratio and its inverse; by default at the largest one drawn.
        title : str, optional
        ax : Axes, optional
        figsize : tuple of float, optional

        Returns
        -------
        matplotlib.figure.Figure
        """
        from bayesglmm.plots.maps import effect_map

        return effect_map(self, which, points=points, cases=cases, limit=limit, title=title, ax=ax, figsize=figsize)

    def to_geojson(
        self, path: str | os.PathLike[str] | None = None, kind: str = "cells", crs: str | None = None
    ) -> dict[str, Any]:
        """Return the map as a GeoJSON FeatureCollection, and write it if a path is given.

        Parameters
        ----------
        path : path, optional
        kind : {"cells", "contours"}
            ``"cells"``: one polygon per cell inside the mask with all its numbers; ``"contours"``: bands between
            round values of the mean, and the areas where the interval excludes no effect.
        crs : str, optional
            Name of the coordinate system, such as ``"EPSG:27700"``. GeoJSON (RFC 7946) knows longitude and latitude
            only; other coordinates are written as they are, with this name in the member ``crs`` that many programs
            still read.

        Returns
        -------
        dict
        """
        from bayesglmm.maps.export import geojson

        return geojson(self, path, kind, crs)

    def to_geodataframe(self, kind: str = "cells", crs: str | None = None) -> Any:
        """Return the map as a `geopandas.GeoDataFrame`; needs ``pip install "bayesglmm[maps]"``.

        Parameters
        ----------
        kind : {"cells", "contours"}
            As of `to_geojson`.
        crs : str, optional
            Coordinate system; ``"EPSG:4326"`` for degrees by default.

        Raises
        ------
        BayesglmmError
            If geopandas is not installed.
        """
        from bayesglmm.maps.export import geodataframe

        return geodataframe(self, kind, crs)

    def to_html(self, path: str | os.PathLike[str] | None = None, offline: bool = True) -> str:
        """Return the map as a web page that one can zoom and point at; needs ``pip install "bayesglmm[maps]"``.

        Parameters
        ----------
        path : path, optional
            Where to write the page.
        offline : bool
            Whether the page holds all it needs (about 5 MB) and asks no server for anything. With False,
            coordinates in degrees are drawn over a street map, and script and tiles come from the internet.

        Raises
        ------
        BayesglmmError
            If plotly is not installed.
        """
        from bayesglmm.maps.interactive import page

        return page(self, path, offline)

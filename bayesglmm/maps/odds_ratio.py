"""`odds_ratio_map`: a two-dimensional smooth as ratios against a reference, on a grid over the places of the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, SettingsError
from bayesglmm.results.covariates import members, row_weights, used_rows
from bayesglmm.results.draws import interval, pieces, summarise
from bayesglmm.results.geography import middle, stretch
from bayesglmm.results.region import Bools, Region, hull, region, to_geometry
from bayesglmm.results.scales import scale_words
from bayesglmm.results.smooths import find_smooth, smooth_values

if TYPE_CHECKING:
    from bayesglmm.maps.effect_map import EffectMap
    from bayesglmm.results.fit import Fit

GEOMETRIC = "geometric mean"
MOST_CELLS = 4_000_000

type Evaluate = Callable[[Floats, Floats], Floats]
"""(x, y), arrays of shape (m,), to the smooth on the scale of the linear predictor, shape (S, m)."""


def odds_ratio_map(
    fit: Fit,
    term: str,
    grid: int | tuple[int, int] = 100,
    reference: str | Mapping[str, float] | Sequence[float] = GEOMETRIC,
    mask: Any = "hull",
    prob: float = 0.95,
    *,
    threshold: float | None = None,
    units: str | None = None,
) -> EffectMap:
    """Map what a two-dimensional smooth says about places: odds ratios against a reference.

    Per posterior draw the map is ``exp(f(place) - f(reference))``, with f the smooth on the scale of the linear
    predictor; everything else in the model is held fixed and cancels. The effect is called what the link makes it:
    odds ratio (logit), rate ratio (log, counts), hazard ratio (cloglog); links whose differences are no ratios of
    anything, identity and probit among them, give the difference itself.

    Parameters
    ----------
    fit : Fit
    term : str
        A smooth of two numeric covariates, as in the formula: ``"s(lon, lat)"``, ``"te(x, y)"``; white space is
        free, and options may be left out.
    grid : int or (int, int)
        Cells along each axis: x, y.
    reference : str, mapping or pair
        ``"geometric mean"``: the mean of f over the rows of the data, so that the ratios are against the geometric
        mean of the odds at the places of the rows (binomial rows count once per trial). Or a place,
        ``{"lon": -70.5, "lat": 41.6}`` or ``(-70.5, 41.6)``: there the ratio is 1.
    mask : "hull", float, GeoJSON or None
        Where the map is shown: in the convex hull of the data; within a distance of a row of the data (kilometres
        if the coordinates are degrees, else in their own unit); in a polygon: a GeoJSON mapping, text or path, or
        an object of shapely or geopandas; None for the whole rectangle.
    prob : float
        Posterior probability of the interval at each place.
    threshold : float, optional
        Adds `exceedance`, the posterior probability that the ratio (the difference) is larger than this.
    units : str, optional
        Unit of the coordinates: ``"degrees"``, or a length such as ``"km"`` for the scale bar. By default read from
        the names: lon and lat (longitude, latitude) are degrees, ``x_km`` is in km.

    Returns
    -------
    EffectMap
        An `xarray.Dataset` with the coordinates of the term as dimensions; see there. ``.plot()``,
        ``.to_geojson(path)``, ``.to_geodataframe()``, ``.to_html(path)``.

    Raises
    ------
    UnknownNameError
        If the model has no such smooth.
    SettingsError
        If the smooth has not two numeric covariates, or an argument means nothing.
    DataError
        If the places have no hull, or none lies in the polygon.

    References
    ----------
    Kelsall, J. E. and Diggle, P. J. (1998). Spatial variation in risk of disease: a nonparametric binary regression
    approach. Applied Statistics 47, 559-573.

    Vieira, V., Webster, T., Weinberg, J. and Aschengrau, A. (2005). Spatial-temporal analysis of breast cancer in
    upper Cape Cod, Massachusetts, using generalized additive models. Environmental Health 4, 11.

    Examples
    --------
    >>> chart = bg.odds_ratio_map(fit, "s(lon, lat)", mask=1.0, threshold=1.5)  # doctest: +SKIP
    >>> chart.plot().savefig("map.png")  # doctest: +SKIP
    """
    from bayesglmm.maps.effect_map import EffectMap

    interval(prob)
    columns, rows = _shape(grid)
    places = _places(fit, term)
    units = _units(places.names) if units is None else str(units)
    area = region(mask, places.x, places.y, stretch(units, middle(places.y)))
    x, y = _axes(area, columns, rows)
    inside = area.contains(*np.meshgrid(x, y))
    if not inside.any():
        raise SettingsError(f"grid={grid!r} is too coarse: the centre of no cell lies in {area.label}.")
    centre, said = _reference(places, reference, area)
    null = 1.0 if places.ratio else 0.0
    at = _threshold(threshold, null)
    found = _statistics(places, x, y, inside, centre, prob, at)
    variables = {name: ((places.names[1], places.names[0]), values) for name, values in found.items()}
    variables["mask"] = ((places.names[1], places.names[0]), inside)
    about = _about(fit, places, area, prob, said) | {"null": null, "units": units}
    about["note"] += _beyond(places, x, y, inside)
    if threshold is not None:
        about["threshold"] = float(threshold)
    return EffectMap(variables, {places.names[1]: y, places.names[0]: x}, about)


@dataclass(frozen=True, eq=False)
class Places:
    """The smooth of a map and the places of the data.

    Attributes
    ----------
    label : str
        Of the smooth.
    names : tuple of two str
        The covariates: horizontal, vertical.
    x, y : ndarray, shape (n,)
        Places of the rows used.
    weights : ndarray, shape (n,)
        How often each row counts.
    evaluate : callable
        See `Evaluate`.
    effect : str
        ``"odds ratio"``; ``"difference (units of y)"``.
    ratio : bool
        Whether exp of a difference is what is mapped.
    """

    label: str
    names: tuple[str, str]
    x: Floats
    y: Floats
    weights: Floats
    evaluate: Evaluate
    effect: str
    ratio: bool


def _places(fit: Fit, term: str) -> Places:
    found = find_smooth(fit, term)
    names, smooth = found.smooth.names, found.smooth
    if len(smooth.covariates) != 2 or len(names) != 2 or smooth.factor is not None:
        raise SettingsError(
            f"A map needs a smooth of two numeric covariates; {found.label} is one of {', '.join(smooth.covariates)}."
        )
    own = members(fit, found)
    rows, weights = used_rows(fit)[own], row_weights(fit)[own]
    x, y = (np.asarray(rows[name], dtype=float) for name in names)
    words = scale_words(fit.problem, found.parameter)

    def evaluate(a: Floats, b: Floats) -> Floats:
        return smooth_values(fit, found, {names[0]: a, names[1]: b})

    effect = words.ratio or f"difference ({words.plain})"
    return Places(found.label, (names[0], names[1]), x, y, weights, evaluate, effect, words.ratio is not None)


def _shape(grid: Any) -> tuple[int, int]:
    pair = tuple(grid) if isinstance(grid, tuple | list) else (grid, grid)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 2 for n in pair)
    if len(pair) != 2 or not whole or pair[0] * pair[1] > MOST_CELLS:
        raise SettingsError(
            f"grid={grid!r}: give the number of cells along each axis, one whole number or two, at least 2 and "
            f"together at most {MOST_CELLS:,} cells."
        )
    return int(pair[0]), int(pair[1])


def _units(names: tuple[str, str]) -> str:
    """Return the unit that the names of the coordinates tell, or nothing."""
    folded = [name.casefold() for name in names]
    if folded[0].startswith(("lon", "lng")) and folded[1].startswith("lat"):
        return "degrees"
    endings = {name.rpartition("_")[2] for name in folded if "_" in name}
    return endings.pop() if len(endings) == 1 and endings <= {"km", "m", "ft", "miles"} else ""


def _axes(area: Region, columns: int, rows: int) -> tuple[Floats, Floats]:
    """Return the centres of cells over the box around the region."""
    found = []
    for k, cells in enumerate((columns, rows)):
        low = min(polygon[0][:, k].min() for polygon in area.polygons)
        high = max(polygon[0][:, k].max() for polygon in area.polygons)
        half = (high - low) / (2 * cells)
        found.append(np.linspace(low + half, high - half, cells))
    return found[0], found[1]


def _reference(places: Places, reference: Any, area: Region) -> tuple[Floats, str]:
    """Return f at the reference for every draw, shape (S,), and its name."""
    if isinstance(reference, str):
        if reference != GEOMETRIC:
            raise SettingsError(
                f'reference={reference!r} is not known. It is "{GEOMETRIC}" or a place, such as '
                f"{{{places.names[0]!r}: {places.x[0]:g}, {places.names[1]!r}: {places.y[0]:g}}}."
            )
        mean = "geometric mean" if places.ratio else "mean"
        return _mean(places), f"the {mean} over the {len(places.x):,} rows of the data"
    names = places.names
    if isinstance(reference, Mapping):
        if set(reference) != set(names):
            raise SettingsError(f"reference={dict(reference)!r} must give {names[0]!r} and {names[1]!r} only.")
        reference = [reference[name] for name in names]
    try:
        x, y = (float(value) for value in reference)
    except (TypeError, ValueError) as error:
        raise SettingsError(
            f"reference={reference!r} is no place: give two numbers, ({', '.join(names)})."
        ) from error
    if not np.isfinite([x, y]).all():
        raise SettingsError(f"reference={reference!r} is no place: both numbers must be finite.")
    said = f"the place {names[0]} = {x:g}, {names[1]} = {y:g}"
    if not area.contains(x, y):
        said += f" (outside {area.label}: extrapolated)"
    return places.evaluate(np.array([x]), np.array([y]))[:, 0], said


def _mean(places: Places) -> Floats:
    """Return the weighted mean of f over the rows for every draw; equal places are evaluated once."""
    where, inverse = np.unique(np.column_stack([places.x, places.y]), axis=0, return_inverse=True)
    weights = np.bincount(inverse.ravel(), weights=places.weights)
    total: Any = 0.0
    for part in pieces(len(where), _draws(places)):
        total = total + places.evaluate(*where[part].T) @ weights[part]
    return np.asarray(total / weights.sum(), dtype=float)


def _draws(places: Places) -> int:
    return len(places.evaluate(places.x[:1], places.y[:1]))


def _threshold(threshold: float | None, null: float) -> float | None:
    """Return the threshold on the scale of the linear predictor."""
    if threshold is None:
        return None
    number = isinstance(threshold, int | float | np.number) and not isinstance(threshold, bool)
    value = float(threshold) if number else np.nan
    if not np.isfinite(value) or (null == 1.0 and value <= 0):
        raise SettingsError(f"threshold={threshold!r} must be {'a positive' if null == 1.0 else 'a finite'} number.")
    return float(np.log(value)) if null == 1.0 else value


def _statistics(
    places: Places, x: Floats, y: Floats, inside: Bools, centre: Floats, prob: float, threshold: float | None
) -> dict[str, Any]:
    """Return the numbers of every cell, NaN outside; shape (len(y), len(x))."""
    rows, columns = np.nonzero(inside)
    names = ["mean", "lower", "upper", "log_mean", "log_sd", "probability"] + ["exceedance"] * (threshold is not None)
    found = {name: np.full(inside.shape, np.nan) for name in names}
    for part in pieces(len(rows), 3 * len(centre)):
        at = (rows[part], columns[part])
        values = places.evaluate(x[at[1]], y[at[0]]) - centre[:, None]
        own = summarise(values, prob)
        to_effect: Any = np.exp if places.ratio else np.asarray
        found["mean"][at] = to_effect(values).mean(axis=0)
        found["lower"][at], found["upper"][at] = to_effect(own["lower"]), to_effect(own["upper"])
        found["log_mean"][at], found["log_sd"][at] = own["mean"], own["sd"]
        found["probability"][at] = (values > 0).mean(axis=0)
        if threshold is not None:
            found["exceedance"][at] = (values > threshold).mean(axis=0)
    return found


def _about(fit: Fit, places: Places, area: Region, prob: float, said: str) -> dict[str, Any]:
    formula = fit.data.attrs.get("formula", "")
    note = (
        f"{places.effect.capitalize()} of each place against {said}, from {places.label}; everything else in the "
        f"model is held fixed. Intervals of {100 * prob:g}% are pointwise. Shown in {area.label}."
    )
    return {
        "effect": places.effect,
        "term": places.label,
        "response": fit.problem.response.name,
        "prob": float(prob),
        "reference": said,
        "region": area.label,
        "outline": json.dumps(to_geometry(area.polygons)),
        "formula": formula if isinstance(formula, str) else json.dumps(formula),
        "engine": str(fit.data.attrs.get("engine", "")),
        "verdict": fit.verdict.word,
        "note": note,
    }


def _beyond(places: Places, x: Floats, y: Floats, inside: Bools) -> str:
    """Say how much of the map lies where there are no data at all."""
    try:
        known = hull(places.x, places.y).contains(*np.meshgrid(x, y))
    except DataError:  # places on one line
        return ""
    share = float(np.mean(~known[inside]))
    return (
        f" {100 * share:.0f}% of it lies outside the convex hull of the data: extrapolated." if share >= 0.01 else ""
    )

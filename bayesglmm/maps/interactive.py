"""A web page of a map that one can zoom and point at, by plotly."""

from __future__ import annotations

import os
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import xarray as xr

from bayesglmm.maps.export import axes_of, geojson, missing, outline_of
from bayesglmm.results.geography import aspect, middle

COLOURS = "RdBu_r"
BASE = "carto-positron"


def page(chart: xr.Dataset, path: str | os.PathLike[str] | None, offline: bool) -> str:
    """Return the page as text; see `EffectMap.to_html`."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise missing("plotly") from error
    streets = not offline and chart.attrs["units"] == "degrees"
    figure = go.Figure(_over_streets(go, chart) if streets else _plain(go, chart))
    effect = str(chart.attrs["effect"])
    figure.update_layout(
        title={
            "text": f"{effect.capitalize()} of {chart.attrs['response']}: {chart.attrs['term']}",
            "subtitle": {"text": "<br>".join(wrap(str(chart.attrs["note"]), 110)), "font": {"size": 12}},
            "yref": "container",
            "y": 0.98,
            "yanchor": "top",
        },
        margin={"l": 20, "r": 20, "t": 120, "b": 20},
        template="simple_white",
        # below, since beside the bar it would cover its title
        legend={"orientation": "h", "x": 0.0, "y": -0.12, "yanchor": "top"},
    )
    horizontal, vertical = axes_of(chart)
    if streets:
        x, y = chart[horizontal].values, chart[vertical].values
        zoom = float(np.log2(360.0 / max(np.ptp(x), np.ptp(y))) + 0.5)
        centre = {"lon": float(np.mean(x)), "lat": float(np.mean(y))}
        figure.update_layout(map={"style": BASE, "center": centre, "zoom": zoom})
    else:
        ratio = aspect(chart.attrs["units"], middle(chart[vertical].values))
        figure.update_xaxes(title=horizontal)
        figure.update_yaxes(title=vertical, scaleanchor="x", scaleratio=ratio)
    text: str = figure.to_html(include_plotlyjs=True if offline else "cdn", full_html=True)
    if path is not None:
        Path(path).write_text(text, encoding="utf-8")
    return text


def _scale(chart: xr.Dataset) -> tuple[Any, dict[str, Any]]:
    """Return what is coloured, and the bar: logarithms of ratios, labelled with the ratios."""
    effect, mean = str(chart.attrs["effect"]), chart["mean"].values
    if chart.attrs["null"] != 1.0:
        return mean, {"title": {"text": effect}}
    ticks = [0.1, 0.2, 0.5, 0.75, 1, 1.33, 2, 5, 10]
    labels = {"tickvals": np.log(ticks).tolist(), "ticktext": [f"{tick:g}" for tick in ticks]}
    return np.log(mean), {"title": {"text": effect}} | labels


def _words(chart: xr.Dataset) -> Any:
    """Return what is shown for each cell under the pointer."""
    sure, null = f"{100 * chart.attrs['prob']:g}%", f"{chart.attrs['null']:g}"
    columns = (chart[name].values for name in ("mean", "lower", "upper", "probability"))
    said = [
        f"{mean:.3g} ({sure} {low:.3g} to {high:.3g})<br>P(above {null}) = {chance:.2f}" if np.isfinite(mean) else ""
        for mean, low, high, chance in zip(*(column.ravel() for column in columns), strict=True)
    ]
    return np.array(said, dtype=object).reshape(chart["mean"].shape)


def _plain(go: Any, chart: xr.Dataset) -> list[Any]:
    horizontal, vertical = axes_of(chart)
    values, bar = _scale(chart)
    reach = float(np.nanmax(np.abs(values))) or 1.0
    x, y = chart[horizontal].values, chart[vertical].values
    options = {"zmin": -reach, "zmax": reach, "colorscale": COLOURS, "colorbar": bar}
    words = f"{horizontal} %{{x:.4g}}, {vertical} %{{y:.4g}}<br>%{{text}}<extra></extra>"
    traces = [go.Heatmap(x=x, y=y, z=values, text=_words(chart), hovertemplate=words, hoverongaps=False, **options)]
    for polygon in outline_of(chart):
        for ring in polygon:
            quiet = {"line": {"color": "#555555", "width": 1}, "hoverinfo": "skip", "showlegend": False}
            traces.append(go.Scatter(x=ring[:, 0], y=ring[:, 1], mode="lines", **quiet))
    null = float(chart.attrs["null"])
    for name, dash, word in (("lower", "solid", "above"), ("upper", "dash", "below")):
        field = chart[name].values
        if np.nanmin(field) < null < np.nanmax(field):
            level = {"start": null, "end": null, "size": 1, "coloring": "none"}
            look = {"line": {"color": "black", "width": 2, "dash": dash}, "showscale": False, "hoverinfo": "skip"}
            label = f"{100 * chart.attrs['prob']:g}% interval {word} {null:g}"
            traces.append(go.Contour(x=x, y=y, z=field, contours=level, name=label, showlegend=True, **look))
    return traces


def _over_streets(go: Any, chart: xr.Dataset) -> list[Any]:
    cells = geojson(chart, None, "cells", None)["features"]
    for number, cell in enumerate(cells):
        cell["id"] = number
    values, bar = _scale(chart)
    inside = chart["mask"].values
    reach = float(np.nanmax(np.abs(values))) or 1.0
    return [
        go.Choroplethmap(
            geojson={"type": "FeatureCollection", "features": cells},
            locations=list(range(len(cells))),
            z=values[inside],
            zmin=-reach,
            zmax=reach,
            colorscale=COLOURS,
            colorbar=bar,
            marker={"opacity": 0.6, "line": {"width": 0}},
            text=_words(chart)[inside],
            hovertemplate="%{text}<extra></extra>",
        )
    ]

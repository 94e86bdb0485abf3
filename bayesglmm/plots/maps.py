"""The figure of a map: ratios in colours around 1, the outline, and where the interval excludes no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import blended_transform_factory

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, SettingsError
from bayesglmm.plots._axes import legend, ratio_ticks
from bayesglmm.plots._raster import clip, labelled, padded, spread
from bayesglmm.plots._style import INK, LARGE, MUTED, NORMAL, SMALL, figure_of, new_figure, percent, wrapped
from bayesglmm.results.draws import check_choice
from bayesglmm.results.geography import aspect, middle, stretch
from bayesglmm.results.region import polygons_of

if TYPE_CHECKING:
    import xarray as xr

WHICH = ("mean", "lower", "upper", "probability", "exceedance")
# Without its darkest ends, so that lines and points stay visible on it.
DIVERGING = LinearSegmentedColormap.from_list("ratios", colormaps["RdBu_r"](np.linspace(0.08, 0.92, 256)))
# No map is so flat that a ratio of 1.1 should look like a hot spot.
LEAST = 1.25
EXCLUSIONS: tuple[tuple[str, Literal["-", "--"], str], ...] = (("lower", "-", "above"), ("upper", "--", "below"))
LONGEST = 5.0  # inches, of the longer side of a map
LEFT = 0.75


def effect_map(
    chart: xr.Dataset,
    which: str = "mean",
    *,
    points: Any = None,
    cases: str | None = None,
    limit: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw a map that `bayesglmm.odds_ratio_map` made.

    Colours are logarithmic and centred at 1, so that a half and a double are equally strong; thin lines stand at
    the ticks of the colour bar, which keeps the map readable in grey. Heavy lines enclose the places whose interval
    excludes 1: solid above it, dashed below.

    Parameters
    ----------
    chart : xarray.Dataset
        As from `bayesglmm.odds_ratio_map`, or read back from a file.
    which : {"mean", "lower", "upper", "probability", "exceedance"}
        What is coloured.
    points : DataFrame, optional
        Places to show; its columns have the names of the map's coordinates.
    cases : str, optional
        Column of `points` with 0 and 1: cases are drawn apart from the others.
    limit : float, optional
        Colours end at this ratio and its inverse (at this difference and its negative).
    title : str, optional
    ax : Axes, optional
        Where to draw.
    figsize : tuple of float, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingsError
        For an unknown `which`, or ``"exceedance"`` without a threshold.
    DataError
        If `points` lacks a column.
    """
    check_choice("which", which, WHICH)
    if which not in chart:
        raise SettingsError("This map has no exceedance: give odds_ratio_map a threshold=, such as threshold=1.5.")
    vertical, horizontal = (str(name) for name in chart["mean"].dims)
    x, y = padded(chart[horizontal].values), padded(chart[vertical].values)
    place, bar_place, lines = ax, None, []
    if place is None:
        lines = wrapped(str(chart.attrs["note"]), 88).split("\n")
        place, bar_place = _canvas(chart, x, y, figsize, len(lines))
    norm, ticks = _colours(chart, which, limit)
    values = chart[which].values
    outline = polygons_of(chart.attrs["outline"])
    patch = clip(place, outline)
    drawn = place.pcolormesh(
        x, y, spread(values), norm=norm, cmap=DIVERGING, shading="gouraud", rasterized=True, zorder=1
    )
    drawn.set_clip_path(patch)
    _isolines(place, x, y, values, ticks, patch)
    handles = _excluded(place, x, y, chart, patch) if which in ("mean", "lower", "upper") else []
    handles += _points(place, points, cases, horizontal, vertical)
    _frame(place, chart, horizontal, vertical)
    _bar(place, bar_place, drawn, ticks, _called(chart, which))
    place.set_title(
        _title(chart) if title is None else title, fontsize=LARGE, color=INK, loc="left", parse_math=False
    )
    if handles:
        foot = _fraction(place, 0.42 if chart.attrs["units"] == "degrees" else 0.58)
        legend(place, handles, loc="upper left", bbox_to_anchor=(0.0, -foot), ncols=2, borderaxespad=0, borderpad=0)
    for number, line in enumerate(reversed(lines)):
        place.annotate(
            line,
            (LEFT * 72, (0.1 + 0.155 * number) * 72),
            xycoords="figure points",
            fontsize=SMALL,
            color=MUTED,
            parse_math=False,
        )
    return figure_of(place)


def _canvas(
    chart: xr.Dataset, x: Floats, y: Floats, figsize: tuple[float, float] | None, lines: int
) -> tuple[Axes, Axes]:
    """Return the axes of the map and of its colour bar, in a figure that has the proportions of the map.

    Margins are in inches, whatever the size: a free layout does not see what stands below axes of fixed proportions.
    """
    across, up = np.ptp(x), np.ptp(y) * aspect(chart.attrs["units"], middle(y))
    below, right, above = 0.85 + 0.155 * lines, 1.35, 0.45
    if figsize is None:
        scale = min(LONGEST / across, LONGEST / up)
        width, height = max(scale * across, 3.6), max(scale * up, 2.2)
    else:
        scale = min((figsize[0] - LEFT - right) / across, (figsize[1] - above - below) / up)
        if scale <= 0:
            raise SettingsError(f"figsize={figsize!r} leaves no room for a map; give at least 4 by 4 inches.")
        width, height = figsize[0] - LEFT - right, figsize[1] - above - below
    total = (width + LEFT + right, height + above + below)
    figure = new_figure(total, constrained=False)
    box = (LEFT / total[0], below / total[1], width / total[0], height / total[1])
    # The map fills its box in one direction only: the bar stands beside what it really fills.
    start = LEFT + width / 2 + min(scale * across, width) / 2 + 0.2
    bar = (start / total[0], (below + 0.1 * height) / total[1], 0.16 / total[0], 0.8 * height / total[1])
    return figure.add_axes(box), figure.add_axes(bar)


def _fraction(ax: Axes, inches: float) -> float:
    """Return a length as a share of the height of the axes."""
    height = ax.get_position().height * float(figure_of(ax).get_size_inches()[1])
    return inches / height


def _colours(chart: xr.Dataset, which: str, limit: float | None) -> tuple[Normalize, Floats]:
    """Return the map from values to colours, and the ticks of its bar."""
    values = chart[which].values
    finite = values[np.isfinite(values)]
    if limit is not None and not (np.isfinite(limit) and limit > float(chart.attrs["null"])):
        raise SettingsError(
            f"limit={limit!r} must be greater than {chart.attrs['null']:g}, which stands for no effect."
        )
    if which in ("probability", "exceedance"):
        return Normalize(0.0, 1.0), np.array([0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975])
    if chart.attrs["null"] == 1.0:
        reach = limit or max(float(np.exp(np.abs(np.log(finite)).max())), LEAST)
        return LogNorm(1.0 / reach, reach), symmetric_ticks(reach)
    reach = limit or float(np.abs(finite).max()) or 1.0
    even = np.asarray(MaxNLocator(6, symmetric=True).tick_values(-reach, reach))
    return Normalize(-reach, reach), even[np.abs(even) <= reach]


def symmetric_ticks(reach: float) -> Floats:
    """Return round ratios between 1 / reach and reach, each with its inverse, and 1.

    Examples
    --------
    >>> symmetric_ticks(2.2).tolist()
    [0.5, 0.6666666666666666, 1.0, 1.5, 2.0]
    """
    for steps in ((1.1, 1.2), (1.25,), (1.25, 1.5), (1.5, 2.0), (1.5, 2.0, 3.0), (2.0, 4.0), (2.0, 5.0, 10.0)):
        if reach <= steps[-1] * 1.45:
            above = [step for step in steps if step <= reach * (1 + 1e-9)]
            return np.array([*(1 / step for step in reversed(above)), 1.0, *above])
    return ratio_ticks(1.0 / reach, reach)


def _isolines(ax: Axes, x: Floats, y: Floats, values: Floats, ticks: Floats, patch: PathPatch) -> None:
    inner = [tick for tick in ticks if np.nanmin(values) < tick < np.nanmax(values)]
    if not inner:
        return
    lines = ax.contour(x, y, spread(values), levels=inner, colors=INK, linewidths=0.4, alpha=0.55, zorder=2)
    lines.set_clip_path(patch)
    labelled(ax, lines, patch, inner, _short)


def _short(value: float, _: Any = None) -> str:
    text = f"{value:g}" if f"{value:g}" == f"{value:.3g}" else f"{value:.2g}"
    return text.replace("-", "−")


def _excluded(ax: Axes, x: Floats, y: Floats, chart: xr.Dataset, patch: PathPatch) -> list[Any]:
    """Draw where the interval excludes no effect; return what the legend says of it."""
    null, sure = float(chart.attrs["null"]), percent(float(chart.attrs["prob"]))
    handles = []
    for name, style, word in EXCLUSIONS:
        field = chart[name].values
        beyond = np.nanmax(field) > null if name == "lower" else np.nanmin(field) < null
        if beyond:
            lines = ax.contour(
                x, y, spread(field), levels=[null], colors="black", linewidths=1.6, linestyles=style, zorder=3
            )
            lines.set_clip_path(patch)
            label = f"{sure} interval {word} {null:g}"
            handles.append(Line2D([], [], color="black", linewidth=1.6, linestyle=style, label=label))
    return handles


def _points(ax: Axes, points: Any, cases: str | None, horizontal: str, vertical: str) -> list[Any]:
    if points is None:
        if cases is not None:
            raise SettingsError("cases= names a column of points=, which is missing.")
        return []
    absent = [name for name in (horizontal, vertical, cases) if name is not None and name not in points]
    if absent:
        raise DataError(f"points: no column {absent[0]!r}; it has {', '.join(map(repr, points))}.")
    x, y = (np.asarray(points[name], dtype=float) for name in (horizontal, vertical))
    size = float(np.clip(4000.0 / max(len(x), 1), 1.0, 12.0))
    if cases is None:
        return [_dots(ax, x, y, size, INK, "none", 0.5, f"{len(x):,} places")]
    case = np.asarray(points[cases], dtype=float) > 0
    return [
        _dots(ax, x[~case], y[~case], size, "none", INK, 0.35, f"{cases} = 0 ({np.count_nonzero(~case):,})"),
        _dots(ax, x[case], y[case], 1.3 * size, INK, "none", 0.8, f"{cases} = 1 ({np.count_nonzero(case):,})"),
    ]


def _dots(ax: Axes, x: Floats, y: Floats, size: float, face: str, edge: str, alpha: float, label: str) -> Any:
    ax.scatter(
        x,
        y,
        s=size,
        facecolors=face,
        edgecolors=edge,
        linewidths=0.35,
        alpha=alpha,
        zorder=5,
        rasterized=len(x) > 2000,
    )
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=4, color=face, markeredgecolor=edge, alpha=alpha, label=label
    )


def _frame(ax: Axes, chart: xr.Dataset, horizontal: str, vertical: str) -> None:
    """Set proportions, limits, axes and the scale bar."""
    units = str(chart.attrs["units"])
    x, y = chart[horizontal].values, chart[vertical].values
    polygons = polygons_of(chart.attrs["outline"])
    for set_limits, k, own in ((ax.set_xlim, 0, x), (ax.set_ylim, 1, y)):
        low = min(own.min(), *(polygon[0][:, k].min() for polygon in polygons))
        high = max(own.max(), *(polygon[0][:, k].max() for polygon in polygons))
        set_limits(low - 0.03 * (high - low), high + 0.03 * (high - low))
    ax.set_aspect(aspect(units, middle(y)))
    for spine in ax.spines.values():
        spine.set_color(MUTED)
        spine.set_linewidth(0.6)
    ax.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK, length=3)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    if units == "degrees":
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees(v, "EW")))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: _degrees(v, "NS")))
        _scale_bar(ax, stretch(units, middle(y))[0], "km")
    else:
        for set_label, name in ((ax.set_xlabel, horizontal), (ax.set_ylabel, vertical)):
            set_label(name, fontsize=NORMAL, color=INK, parse_math=False)
        if units:
            _scale_bar(ax, 1.0, units)


def _degrees(value: float, words: str) -> str:
    text = f"{abs(value):.4f}".rstrip("0").rstrip(".")
    return f"{text}°{words[0] if value > 0 else words[1] if value < 0 else ''}"


def _scale_bar(ax: Axes, per_unit: float, units: str) -> None:
    """Draw a bar of a round length, about a fifth of the width, below the lower right corner."""
    left, right = ax.get_xlim()
    wanted = 0.22 * (right - left) * per_unit
    power = 10.0 ** np.floor(np.log10(wanted))
    length = power * max(step for step in (1, 2, 5) if step * power <= wanted)
    foot, thick = -_fraction(ax, 0.5), _fraction(ax, 0.05)
    half = length / per_unit / 2
    options: dict[str, Any] = {
        "transform": blended_transform_factory(ax.transData, ax.transAxes),
        "edgecolor": INK,
        "linewidth": 0.6,
        "clip_on": False,
    }
    for k, face in ((2, INK), (1, "white")):
        ax.add_patch(Rectangle((right - k * half, foot), half, thick, facecolor=face, **options))
    where = (right - 2 * half - 0.012 * (right - left), foot + thick / 2)
    words = {"ha": "right", "va": "center", "fontsize": SMALL, "color": INK}
    ax.text(*where, f"{length:g} {units}", transform=options["transform"], **words)  # type: ignore[arg-type]


def _bar(ax: Axes, place: Axes | None, drawn: Any, ticks: Floats, label: str) -> None:
    room: dict[str, Any] = {"ax": ax, "shrink": 0.85, "aspect": 26, "pad": 0.02} if place is None else {"cax": place}
    bar = figure_of(ax).colorbar(drawn, **room)
    bar.ax.yaxis.set_major_locator(FixedLocator(list(ticks)))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(_short))
    bar.ax.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK, length=3)
    height = place.get_position().height * figure_of(ax).get_size_inches()[1] if place is not None else 4.0
    bar.set_label(wrapped(label, max(int(11 * height), 16)), fontsize=NORMAL, color=INK)
    for spine in bar.ax.spines.values():
        spine.set_linewidth(0.5)
        spine.set_color(MUTED)


def _called(chart: xr.Dataset, which: str) -> str:
    effect, null, sure = str(chart.attrs["effect"]), float(chart.attrs["null"]), percent(float(chart.attrs["prob"]))
    words = {
        "mean": f"{effect}, posterior mean",
        "lower": f"{effect}, lower end of the {sure} interval",
        "upper": f"{effect}, upper end of the {sure} interval",
        "probability": f"P({effect} > {null:g})",
        "exceedance": f"P({effect} > {chart.attrs.get('threshold', null):g})",
    }
    return words[which]


def _title(chart: xr.Dataset) -> str:
    return f"{str(chart.attrs['effect']).partition(' (')[0].capitalize()} of {chart.attrs['response']}"

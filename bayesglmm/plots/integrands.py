"""How good Laplace's approximation is, level by level: each integrand against the normal density in its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.integrand import Integrands, integrands
from bayesglmm.engines.modes import latent_view, mode_of
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.plots._axes import legend
from bayesglmm.plots._parameters import Fitted
from bayesglmm.plots._style import INK, MUTED, NORMAL, SMALL, clean, colour, new_figure, shortened, wrapped
from bayesglmm.results.tables import prefix_of

MOST = 40  # panels that can be read
_REACH = 3.5  # of the curves, in standard deviations
_HIGHEST = 3.0  # ratio beyond which curves are cut off
_COLUMNS = 5


@dataclass(frozen=True, eq=False)
class _Panel:
    """One level of one block.

    Attributes
    ----------
    name : str
    curves : Integrands
    level : int
    """

    name: str
    curves: Integrands
    level: int

    @property
    def departure(self) -> float:
        """Size of what the approximation leaves out of the log-likelihood, on the axis where that is most."""
        return float(np.abs(self.curves.log_error[self.level]).max())


def laplace_quality(
    fit: Fitted,
    group: str | None = None,
    levels: Sequence[str] | None = None,
    most: int = 15,
    *,
    figsize: tuple[float, float] | None = None,
) -> Figure:
    """Draw what Laplace's approximation replaces by a normal density, level by level.

    Two panels for each level of a grouping factor. Above: the integrand p(y | u) N(u; 0, I) of the level's effects,
    with everything else at its mode, against its normal approximation, both as functions of z, the distance from
    the mode in standard deviations of the approximation. Below: their ratio t(z), which is 1 where the
    approximation is exact, as it is for a gaussian response with identity link. These are the figures in which Bates
    et al. judge Laplace's approximation. Several effects per level give one curve for each principal axis of the
    approximation.

    The hyperparameters are at their estimates, or at their posterior mode, as the Laplace engine found them; for a
    fit by another engine, or one read from a file, the mode is searched once. Where one grouping factor is all there
    is, the likelihood is the product of the integrals of these curves, and the number beside a level's name is what
    the approximation leaves out of the log-likelihood there; with several factors the other effects are held, and
    the figure shows conditional densities.

    Parameters
    ----------
    fit : Fit
        Of any engine, for a model with group effects.
    group : str, optional
        Grouping factor; all of them if absent.
    levels : sequence of str, optional
        Which levels; needs `group` where there are several.
    most : int
        How many levels are shown at most: of more, those where the approximation leaves the most out of the
        log-likelihood.
    figsize : tuple of float, optional
        Width and height in inches; by default the height follows the number of levels.

    Returns
    -------
    matplotlib.figure.Figure
        Two axes per level: integrand, ratio.

    Raises
    ------
    UnknownNameError
        For a grouping factor or a level that the model does not have.
    SettingsError
        If the model has no group effects, `levels` names none, or `most` is out of range.
    """
    if not 1 <= most <= MOST:
        raise SettingsError(f"most must be between 1 and {MOST}, not {most!r}.")
    if levels is not None and (isinstance(levels, str) or not len(levels)):
        raise SettingsError(f"levels={levels!r}: name at least one in a list, or leave it out for all.")
    found = _chosen(_curves(fit), group)
    panels = _of_levels(fit, found, levels)
    shown = panels
    if len(panels) > most:
        worst = sorted(range(len(panels)), key=lambda k: -panels[k].departure)[:most]
        shown = [panels[k] for k in sorted(worst)]
    rows = -(-len(shown) // _COLUMNS)
    columns = -(-len(shown) // rows)
    width, height = figsize or (max(1.9 * columns, 5.5), 2.25 * rows + 1.15)
    figure = new_figure((width, height), constrained=False)
    alone = len(fit.problem.blocks) == 1
    lines = _frame(figure, found, alone, len(shown), len(panels))
    top, bottom = 0.2 + 0.17 * lines, 0.85
    edges = {
        "left": 0.5 / width,
        "right": 1 - 0.15 / width,
        "top": 1 - (top + 0.3) / height,
        "bottom": bottom / height,
    }
    grid = figure.add_gridspec(rows, columns, **edges, wspace=0.12, hspace=0.32)
    highest = _limits(shown)
    for place, panel in enumerate(shown):
        row, column = divmod(place, columns)
        parts = grid[row, column].subgridspec(2, 1, height_ratios=(1.2, 1.0), hspace=0.08)
        upper, lower = figure.add_subplot(parts[0]), figure.add_subplot(parts[1])
        _draw(upper, lower, panel, highest, alone)
        lower.tick_params(labelleft=column == 0, labelbottom=place + columns >= len(shown))
        if column == 0:
            lower.set_ylabel("t(z)", fontsize=SMALL, color=MUTED)
    figure.supxlabel("z: standard deviations from the mode", fontsize=SMALL + 1, color=INK, y=0.42 / height)
    return figure


def _curves(fit: Fitted) -> list[Integrands]:
    """Return the integrands at the fit's estimates, or at the posterior mode of the hyperparameters."""
    problem = fit.problem
    if not any(block.block.kind == "group" and block.block.shares is None for block in problem.blocks):
        raise SettingsError("The model has no group effects with rows of their own: no term such as (1 | g).")
    if problem.residual is not None:
        raise SettingsError("With correlated residuals the integrand of a level is no product over its rows.")
    settings: dict[str, Any] = json.loads(fit.data.attrs.get("settings") or "{}")
    objective: Literal["posterior", "ml", "reml"] = settings.get("objective", "posterior")
    mode = mode_of(problem, objective, settings.get("quadrature", 1))
    return integrands(latent_view(problem, objective), mode.theta, mode.x)


def _chosen(found: list[Integrands], group: str | None) -> list[Integrands]:
    known = {curves.block.block.group for curves in found}
    if group is not None and group not in known:
        raise UnknownNameError(f"No grouping factor is called {group!r}. {did_you_mean(group, known)}")
    return [curves for curves in found if group in (None, curves.block.block.group)]


def _of_levels(fit: Fitted, found: list[Integrands], levels: Sequence[str] | None) -> list[_Panel]:
    """Return a panel for every level, named by what tells it from the others."""
    owner = {id(block): part for part in fit.problem.predictors for block in part.blocks}
    groups = {curves.block.block.group for curves in found}
    if levels is not None and len(groups) > 1:
        raise SettingsError(f"levels= needs group=, one of {', '.join(sorted(map(repr, groups)))}.")
    panels = []
    for curves in found:
        block = curves.block.block
        # What tells blocks apart: the factor, and where it has several blocks the parameter and the terms.
        twins = [other for other in found if other.block.block.group == block.group]
        name = "" if len(groups) == 1 else f"{block.group} "
        if len(twins) > 1:
            name += f"{prefix_of(fit.problem, owner[id(curves.block)])}{', '.join(block.terms)}: "
        known = [str(level) for level in block.levels]
        for level in levels or ():
            if str(level) not in known:
                raise UnknownNameError(f"{block.group} has no level {level!r}. {did_you_mean(str(level), known)}")
        wanted = range(len(known)) if levels is None else [known.index(str(level)) for level in levels]
        panels += [_Panel(f"{name}{known[j]}", curves, j) for j in wanted]
    return panels


def _limits(panels: Sequence[_Panel]) -> float:
    """Return where the axis of the ratios ends: the same for all panels."""
    inside = np.abs(panels[0].curves.z) <= _REACH
    top = max(float(panel.curves.t[panel.level][:, inside].max()) for panel in panels)
    return float(np.clip(1.05 * top, 1.3, _HIGHEST))


def _frame(figure: Figure, found: list[Integrands], alone: bool, shown: int, total: int) -> int:
    """Add what belongs to all panels; return the number of lines of the caption."""
    width, height = figure.get_size_inches()
    groups = list(dict.fromkeys(curves.block.block.group for curves in found))
    text = f"Laplace's approximation for {' and '.join(groups)}: "
    text += "each level's integrand above, t(z) = integrand / normal below"
    text += "; beside the name what it leaves out of the log-likelihood" if alone and _scalar(found) else ""
    text += "" if alone else "; all other effects held at their modes"
    if shown < total:
        text += f". The {shown} of {total:,} levels where the approximation is furthest off"
    lines = wrapped(text, int(14.5 * width))
    place: dict[str, Any] = {"x": 0.15 / width, "y": 1 - 0.08 / height, "ha": "left", "va": "top"}
    figure.suptitle(lines, fontsize=SMALL + 1, color=MUTED, parse_math=False, **place)
    axes = max(curves.log_t.shape[1] for curves in found)
    names = ["integrand"] if axes == 1 else [f"integrand, {_ordinal(a)} axis" for a in range(axes)]
    handles = [Line2D([], [], color=colour(a), linewidth=1.6, label=name) for a, name in enumerate(names)]
    handles.append(Line2D([], [], color=MUTED, linewidth=1.2, linestyle="--", label="normal approximation"))
    legend(figure, handles=handles, loc="lower left", ncols=4, handlelength=2.2)
    return lines.count("\n") + 1


def _scalar(found: list[Integrands]) -> bool:
    return all(curves.log_t.shape[1] == 1 for curves in found)


def _ordinal(a: int) -> str:
    return ("widest", "second", "third")[a] if a < 3 else f"{a + 1}th"


def _draw(upper: Axes, lower: Axes, panel: _Panel, highest: float, alone: bool) -> None:
    curves = panel.curves
    inside = np.abs(curves.z) <= _REACH
    z: Floats = curves.z[inside]
    for a in range(curves.log_t.shape[1]):
        upper.plot(z, curves.density[panel.level, a][inside], color=colour(a), linewidth=1.6, zorder=3)
        lower.plot(z, curves.t[panel.level, a][inside], color=colour(a), linewidth=1.6, zorder=3)
    upper.plot(z, curves.normal[inside], color=MUTED, linewidth=1.2, linestyle="--", zorder=4)
    lower.axhline(1.0, color=MUTED, linewidth=1.2, linestyle="--", zorder=2)
    for ax in (upper, lower):
        ax.set_xlim(-_REACH, _REACH)
        ax.set_xticks([-3, 0, 3])
    clean(upper, keep=[])
    upper.set_yticks([])
    upper.tick_params(labelbottom=False, length=0)
    upper.set_ylim(0.0, 1.15 * float(curves.normal.max()))
    clean(lower, keep=("left", "bottom"))
    lower.yaxis.set_major_locator(MaxNLocator(3))
    lower.set_ylim(0.0, highest)
    name = shortened(panel.name, 24)
    upper.set_title(name, fontsize=NORMAL, color=INK, loc="left", pad=2, parse_math=False)
    if alone and curves.log_t.shape[1] == 1:
        error = round(float(curves.log_error[panel.level, 0]), 3)
        text = f"{error:+.3f}".replace("-", "−") if error else "0.000"
        upper.set_title(text, fontsize=SMALL, color=MUTED, loc="right", pad=2)

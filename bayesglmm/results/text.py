"""A fit in words and numbers: the text that ``print(fit)`` shows, and the same as HTML for notebooks."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import group_sizes
from bayesglmm.results import tables
from bayesglmm.results.facts import effective_draws, theta_points
from bayesglmm.results.optimum import NEARLY_ZERO
from bayesglmm.results.schema import family_text

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results.fit import Fit

_SHOWN = 40  # population effects; more would bury the rest
_WIDTH = 110  # of notes: what a sampler says of every coordinate can be long


@dataclass(frozen=True)
class Section:
    """A titled table of text.

    Attributes
    ----------
    title : str
    header : sequence of str
    rows : sequence of sequence of str
    text_columns : int
        How many columns from the left are text; the others are numbers, aligned at the decimal point.
    note : str
        A line below.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int
    note: str = ""


def decimals(spread: float, value: float) -> int:
    """Return how many decimals show two significant digits of the spread, or four of a value without spread."""
    size, digits = (spread, 2) if np.isfinite(spread) and spread > 0.0 else (abs(value), 4)
    if not np.isfinite(size) or size == 0.0:
        return 2
    return int(np.clip(digits - 1 - np.floor(np.log10(size)), 0, 10))


def numbers(row: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Return numbers of one row as text: the first a value, the second its spread, which asks for the decimals."""
    places = decimals(float(row[names[1]]), float(row[names[0]]))
    return [fixed_point(float(row[name]), places) if np.isfinite(row[name]) else "" for name in names]


def fixed_point(value: float, places: int) -> str:
    """Return a number with so many decimals, and no minus before a zero."""
    text = f"{value:.{places}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def facts(fit: Fit) -> list[tuple[str, str]]:
    """Return what the fit is of: (heading, text) pairs."""
    data, problem = fit.data, fit.problem
    attrs = data.attrs
    seconds = fit.seconds
    total = seconds.get("total", 0.0)
    stages = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "total")
    found = [("Formula", text) for text in json.loads(attrs["formulas"])]
    found.append(("Family", family_text(problem)))
    found.append(("Engine", f"{attrs['engine']}, {_work(fit)}"))
    found.append(("Seconds", f"{total:.1f} ({stages})" if stages else f"{total:.1f}"))
    found.append(("Rows", str(problem.response.n)))
    groups = group_sizes((p.block.group, p.block.levels) for p in problem.blocks if p.block.kind == "group")
    if problem.residual is not None:
        found.append(("Residual", problem.residual.block.label))
    if "loglik" in attrs:
        criteria = f"AIC {fit.aic:.2f}, BIC {fit.bic:.2f}, {attrs['parameters']} parameters"
        found.append(("Fit", f"log-likelihood {fit.loglik:.4f}, {criteria}"))
    if groups:
        found.append(("Groups", ", ".join(f"{name} ({size})" for name, size in groups.items())))
    found += [("Note", note) for note in fit.notes]
    found += [("Note", f"{c.finding} {c.meaning}") for c in fit.checks if c.name == NEARLY_ZERO]
    return found


def _work(fit: Fit) -> str:
    """Return what the engine did, in a few words."""
    attrs = fit.data.attrs
    if "convergence" in attrs:
        settings = json.loads(attrs["settings"])
        nodes = settings.get("quadrature", 1)
        how = f", adaptive quadrature with {nodes} nodes" if nodes > 1 else ""
        return f"{'restricted ' if settings.get('objective') == 'reml' else ''}maximum likelihood{how}"
    sizes, seed = fit.draws.sizes, f", seed {attrs['seed']}" if "seed" in attrs else ""
    if "quality" in attrs:
        worth, points, total = effective_draws(attrs), theta_points(attrs), f"{sizes['chain'] * sizes['draw']:,}"
        if worth is None and points is not None:
            return f"{total} draws at weighted values of the hyperparameters, worth {points:.0f}{seed}"
        return f"{total} {'independent' if worth is None else 'resampled'} draws{seed}"
    return f"{sizes['chain']} chains of {sizes['draw']} draws{seed}"


def sections(fit: Fit, prob: float = 0.95) -> list[Section]:
    """Return the tables of a fit: population effects, group effects, everything else."""
    summary, parameters = fit.summary(prob), fit.parameters
    kinds = {parameter.label: parameter for parameter in parameters}
    header = _header(summary, prob)
    found: list[Section] = []
    for title, kind in (("Population effects", "fixed"), ("", "groups"), ("Other parameters", "dispersion")):
        if kind == "groups":
            of_groups = [p for p in parameters if p.kind in tables.KINDS_OF_GROUPS and not p.smooth]
            found += _group_section(summary, of_groups, header)
            found += _smooth_section(summary, [p for p in parameters if p.smooth], header)
            continue
        chosen = summary.loc[[label for label, parameter in kinds.items() if parameter.kind == kind]]
        if len(chosen):
            rows = [[str(label), *_row(row)[: len(header) - 1]] for label, row in chosen.iloc[:_SHOWN].iterrows()]
            hidden = len(chosen) - len(rows)
            note = f"... and {hidden} more: fit.fixed()" if hidden else ""
            found.append(Section(title, header, rows, 1, note))
    return found


def _header(summary: pd.DataFrame, prob: float) -> list[str]:
    value, spread = summary.columns[:2]
    share = f"{100 * prob:g}%"
    found = ["", value, spread, f"lower {share}", f"upper {share}"]
    return [*found, "ESS", "R-hat"] if _of_chains(summary) else found


def _of_chains(summary: pd.DataFrame) -> bool:
    """Return whether there are convergence statistics; estimates and independent draws have none."""
    return "r_hat" in summary and bool(summary["r_hat"].notna().any())


def _group_section(summary: pd.DataFrame, found: Sequence[tables.Parameter], header: Sequence[str]) -> list[Section]:
    if not found:
        return []
    rows, last = [], None
    for parameter in found:
        row = summary.loc[parameter.label]
        group = parameter.group if parameter.group != last else ""
        last = parameter.group
        term = f"{parameter.term}, {parameter.term2}" if parameter.term2 else parameter.term
        rows.append([group, parameter.what, term, *_row(row)[: len(header) - 1]])
    title = "standard deviations and correlations"
    if any(parameter.kind == "structure" for parameter in found):
        title = "standard deviations, correlations, structure"
    return [Section(f"Group effects: {title}", ["group", "", "term", *header[1:]], rows, 3)]


def _smooth_section(summary: pd.DataFrame, found: Sequence[tables.Parameter], header: Sequence[str]) -> list[Section]:
    sections = []
    for title, derived in (
        ("Smooths: standard deviations, the typical size of the curve", False),
        ("Monotonic effects: shares of the steps", True),
    ):
        own = [p for p in found if p.derived == derived]
        rows = [[p.label, *_row(summary.loc[p.label])[: len(header) - 1]] for p in own]
        sections += [Section(title, ["", *header[1:]], rows, 1)] if rows else []
    return sections


def _row(row: Any) -> list[str]:
    found = numbers(row, row.index[:4])
    if "r_hat" not in row:
        return found
    ess = np.fmin(row["ess_bulk"], row["ess_tail"])
    if not np.isfinite(row["r_hat"]):
        return [*found, "", "held" if row["sd"] == 0.0 else ""]
    return [*found, f"{ess:.0f}", f"{row['r_hat']:.3f}"]


def fit_text(fit: Fit) -> str:
    """Return what ``print(fit)`` shows."""
    heading = facts(fit)
    width = max(len(name) for name, _ in heading) + 2
    shown = [heading[0], *((name if name != before else "", text) for (before, _), (name, text) in pairwise(heading))]
    lines = []
    for (name, text), (kind, _) in zip(shown, heading, strict=True):
        parts = textwrap.wrap(text, _WIDTH - width, break_on_hyphens=False) if kind == "Note" else [text]
        lines += [
            f"{head:<{width}}{part}" for head, part in zip_longest([f"{name}:" if name else ""], parts, fillvalue="")
        ]
    for section in sections(fit):
        lines += ["", section.title, *_aligned(section)]
        if section.note:
            lines.append(section.note)
    return "\n".join([*lines, "", f"Verdict: {fit.verdict!s}"])


def _aligned(section: Section) -> list[str]:
    columns = list(zip(*section.rows, strict=True))
    cells = [_column(values, j < section.text_columns) for j, values in enumerate(columns)]
    widths = [max(len(title), *map(len, values)) for title, values in zip(section.header, cells, strict=True)]
    table = [section.header, *zip(*cells, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if j < section.text_columns else f"{cell:>{width}}"
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _column(values: Sequence[str], is_text: bool) -> list[str]:
    """Return the cells of a column; numbers are padded on the right so that decimal points stand below each other."""
    if is_text:
        return list(values)
    after = [len(value.partition(".")[2]) + ("." in value) if _is_number(value) else 0 for value in values]
    most = max(after)
    return [
        value + " " * (most - own) if _is_number(value) else value for value, own in zip(values, after, strict=True)
    ]


def _is_number(value: str) -> bool:
    return value[-1:].isdigit()


def fit_html(fit: Fit) -> str:
    """Return the view of a notebook."""
    left = "style='text-align:left;vertical-align:top'"
    head = "".join(
        f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(text)}</td></tr>" for name, text in facts(fit)
    )
    parts = [f"<table>{head}</table>"]
    for section in sections(fit):
        titles = "".join(f"<th>{escape(title)}</th>" for title in section.header)
        body = "".join(
            "<tr>"
            + "".join(
                f"<td style='text-align:{'left' if j < section.text_columns else 'right'}'>{escape(cell)}</td>"
                for j, cell in enumerate(row)
            )
            + "</tr>"
            for row in section.rows
        )
        parts.append(
            f"<p><b>{escape(section.title)}</b></p><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
            + (f"<p>{escape(section.note)}</p>" if section.note else "")
        )
    verdict = "<br>".join(escape(line.strip()) for line in str(fit.verdict).split("\n"))
    return f"<div>{''.join(parts)}<p><b>Verdict:</b> {verdict}</p></div>"

"""A model in words: formula, family, rows, groups, coding and priors, as text and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from bayesglmm.blocks import FixedBlock, Predictor, RandomBlock, ResidualBlock
from bayesglmm.design import Design, FactorCoding
from bayesglmm.families import Family
from bayesglmm.graph.slots import PriorTable, Slot
from bayesglmm.links import Link
from bayesglmm.terms import Smooth

type Facts = Sequence[tuple[str, Sequence[str]]]

_SHOWN = 40  # priors; a model with hundreds of columns would bury the rest


def formula_lines(formula: str | Sequence[str]) -> list[str]:
    """Return the formulas one per line, as the user wrote them but on one line each."""
    given = [formula] if isinstance(formula, str) else list(formula)
    return [" ".join(text.split()) for text in given]


def model_facts(
    formula: str | Sequence[str], family: Family, links: Mapping[str, Link], design: Design, priors: PriorTable
) -> list[tuple[str, list[str]]]:
    """Return headings and lines: what `print(model)` and the HTML view both show."""
    rows = design.rows
    used = f"{rows.used} used" if not rows.dropped else f"{rows.used} used, {rows.dropped} dropped of {rows.given}"
    used += f", {len(rows.unobserved)} without a response" if len(rows.unobserved) else ""
    inner = () if design.nonlinear is None else design.nonlinear.expression.parameters
    linked = ", ".join(f"{link.name} link for {name}" for name, link in links.items() if name not in inner)
    facts = [
        ("Formula", formula_lines(formula)),
        ("Family", [f"{family.name}, {linked}"]),
        ("Rows", [used]),
    ]
    if design.groups:
        facts.append(("Groups", [", ".join(f"{name} ({size} levels)" for name, size in design.groups.items())]))
    if design.residual is not None:
        facts.append(("Residual", [residual_line(design.residual)]))
    if design.coding:
        facts.append(("Coding", [_coding_line(coding) for coding in design.coding]))
    smooths = [
        _smooth_line(smooth, design.predictors[name]) for name, found in design.smooths.items() for smooth in found
    ]
    if smooths:
        facts.append(("Smooths", list(dict.fromkeys(smooths))))
    facts.append(("Priors", _prior_lines(list(priors))))
    if design.notes:
        facts.append(("Notes", list(design.notes)))
    return facts


def _smooth_line(smooth: Smooth, predictor: Predictor) -> str:
    blocks: list[FixedBlock | RandomBlock] = [*predictor.fixed, *predictor.random]
    columns = sum(block.X.shape[1] for block in blocks if block.label == smooth.label)
    return f"{smooth.label}: {smooth.title}, {columns} column{'' if columns == 1 else 's'}"


def residual_line(block: ResidualBlock) -> str:
    """Return how residuals are correlated, in words."""
    sizes = [len(part) for part in np.split(np.sort(block.index), np.flatnonzero(np.diff(np.sort(block.index))) + 1)]
    rows = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else str(sizes[0])
    return f"{block.label}: {len(sizes)} groups of {rows} rows, correlated along {block.unit}"


def _coding_line(coding: FactorCoding) -> str:
    levels = list(coding.levels)
    shown = levels if len(levels) <= 12 else [*levels[:10], "...", levels[-1]]
    reference = f", reference {coding.reference}" if coding.reference is not None else ""
    return f"{coding.factor}: {', '.join(shown)} ({coding.contrast}{reference})"


def _prior_lines(slots: Sequence[Slot]) -> list[str]:
    width = max((len(slot.label) for slot in slots[:_SHOWN]), default=0)
    lines = []
    for slot in slots[:_SHOWN]:
        where = "  at the mean of the predictors" if slot.centred else ""
        given = "" if slot.source == "default" else f"  given as {slot.source!r}"
        if slot.source == "flat":
            given = ""
        if slot.source == "missing":
            lines.append(f"{slot.label:<{width}}  none: give one, or fit by maximum likelihood")
            continue
        lines.append(f"{slot.label:<{width}}  {slot.prior}{where}{given}")
    if len(slots) > _SHOWN:
        lines.append(f"... and {len(slots) - _SHOWN} more: list(model.priors)")
    return lines


def facts_text(facts: Facts) -> str:
    """Return what `print(model)` shows."""
    lines = []
    for heading, content in facts:
        lines += [f"{heading + ':' if j == 0 else '':<9} {line}" for j, line in enumerate(content)]
    return "\n".join(lines)


def facts_html(facts: Facts) -> str:
    """Return the view of a notebook."""
    rows = "".join(
        f"<tr><th style='text-align:left;vertical-align:top'>{escape(heading)}</th>"
        f"<td style='text-align:left'><pre style='margin:0'>{escape(chr(10).join(content))}</pre></td></tr>"
        for heading, content in facts
    )
    return f"<table>{rows}</table>"

"""Sections on what was asked: question, model, priors, data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from bayesglmm.describe import formula_lines
from bayesglmm.design.frame import convert
from bayesglmm.records.frame import frame_hash
from bayesglmm.reporting.markup import Content, Html, code, html, listed, paragraphs, table, tag
from bayesglmm.reporting.mathematics import equations
from bayesglmm.reporting.section import Section, Subject, heading, number
from bayesglmm.reporting.wording import in_words
from bayesglmm.results.text import decimals
from bayesglmm.results.text import facts as fit_facts
from bayesglmm.terms.columns import Factor

_LEVELS = 12
_GROUPS = 200


def asked(subject: Subject) -> Section:
    """What was asked, of what and how."""
    facts = [(name, text) for name, text in fit_facts(subject.fit) if name not in ("Formula", "Note", "Seconds")]
    formulas = code("\n".join(formula_lines(_model(subject).formula)), "Formula")
    pairs: list[Content] = []
    for name, text in [*facts, ("Fitted", subject.made)]:
        pairs += [tag("dt", name), tag("dd", text)]
    notes = [text for name, text in fit_facts(subject.fit) if name == "Note"]
    body = [formulas, tag("dl", pairs)]
    if notes:
        body += [heading("Notes of the fit"), listed(notes)]
    return Section("asked", "What was asked", html(body))


def _model(subject: Subject) -> Any:
    return subject.fit.model


def model(subject: Subject) -> Section:
    """The model in words and in mathematics."""
    fit = subject.fit
    inner = fit.problem.likelihood.expression is not None
    expression = formula_lines(_model(subject).formula)[0].partition("~")[2].strip() if inner else ""
    key = (
        "i counts the rows. β are population coefficients, b effects of the levels of a grouping factor, which are "
        "deviations from these; a name with an index i is the value of that column in row i. A column such as "
        "period[2] is coded from the levels of a factor: see the coding below. How standard deviations and "
        "correlations are called is in the table of estimates."
    )
    coding = [
        (one.factor, one.contrast, one.reference or "none", ", ".join(one.levels[:_LEVELS]))
        for one in fit_coding(fit)
    ]
    body = [
        heading("In words"),
        paragraphs(in_words(fit)),
        heading("In mathematics"),
        equations(fit.problem, expression),
        tag("p", key, class_="note"),
    ]
    if coding:
        body.append(table("Coding of factors", ["factor", "contrast", "reference", "levels"], coding, 4))
    return Section("model", "The model", html(body))


def fit_coding(fit: Any) -> tuple[Any, ...]:
    """Return how the factors of the population effects are coded."""
    return tuple(fit.design.coding)


def priors(subject: Subject) -> Section:
    """The prior of every parameter."""
    slots = list(subject.fit.problem.priors)
    sources = {"default": "default", "flat": "flat", "missing": "none was given"}
    rows = [
        (
            slot.label,
            str(slot.prior) if slot.source != "missing" else "none",
            sources.get(slot.source, f"given as {slot.source}")
            + (", at the mean of the predictors" if slot.centred else ""),
        )
        for slot in slots
    ]
    body: list[Content] = []
    if not subject.is_posterior:
        body.append(tag("p", "This is a maximum likelihood fit: the priors were left aside."))
    body.append(
        tag(
            "p",
            "Distributions are parametrised as in PyMC. A default is scaled by the spread of the response and of the "
            "column; it is weak, but it is part of the answer.",
        )
    )
    body.append(table("Priors", ["parameter", "prior", "where it comes from"], rows, 3))
    return Section("priors", "Priors", html(body))


def data(subject: Subject) -> Section:
    """Rows, columns and groups."""
    design: Any = subject.fit.design
    rows = design.rows
    said = f"The data have {rows.given:,} rows; {rows.used:,} of them are used"
    missing = "; ".join(f"{name} ({count:,})" for name, count in rows.missing.items())
    said += f" and {rows.dropped:,} are left out because of missing values in {missing}." if rows.dropped else "."
    body: list[Content] = [tag("p", said), _columns(design), _groups(subject)]
    body.append(
        tag(
            "p",
            "Fingerprint of these columns (SHA-256 of the values, in the order of the rows): ",
            tag("code", frame_hash(design.data)),
        )
    )
    return Section("data", "Data", html(body))


def _columns(design: Any) -> Html:
    roles = design.roles
    found = []
    for name in map(str, design.data.columns):
        value, missing = convert(name, design.data[name])
        role = [
            word for word, own in (("response", roles.response), ("grouping factor", roles.groups)) if name in own
        ]
        about = _levels(value) if isinstance(value, Factor) else _numbers(value.floats)
        found.append((name, " and ".join(role) or "predictor", about, f"{int(missing.sum()):,}"))
    return table(
        "Columns that the model uses, over all rows given", ["column", "role", "values", "missing"], found, 3
    )


def _numbers(values: Any) -> str:
    kept = values[np.isfinite(values)]
    if not kept.size:
        return "no value"
    spread = float(kept.std(ddof=1)) if kept.size > 1 else 0.0
    places = decimals(spread, float(kept.mean()))
    mean, sd = number(kept.mean(), places), number(spread, places)
    return f"mean {mean}, sd {sd}, from {_short(kept.min())} to {_short(kept.max())}"


def _short(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def _levels(value: Factor) -> str:
    counts = np.bincount(value.codes[value.codes >= 0], minlength=len(value.levels))
    shown = [f"{level} ({count:,})" for level, count in zip(value.levels[:_LEVELS], counts, strict=False)]
    more = f", ... and {len(value.levels) - _LEVELS:,} more" if len(value.levels) > _LEVELS else ""
    return f"{len(value.levels):,} levels: {', '.join(shown)}{more}"


def _groups(subject: Subject) -> Html | None:
    """Return how many rows the levels of every grouping factor have."""
    rows = []
    seen = set()
    for part in subject.fit.problem.blocks:
        block = part.block
        if block.kind != "group" or block.group in seen:
            continue
        seen.add(block.group)
        index = np.asarray(block.index).ravel()
        counts = np.bincount(index[index >= 0], minlength=len(block.levels))
        middle = f"{np.median(counts):g}"
        rows.append((block.group, f"{len(block.levels):,}", f"{counts.min():,}", middle, f"{counts.max():,}"))
    if not rows:
        return None
    return table(
        "Grouping factors", ["factor", "levels", "fewest rows", "median", "most rows"], rows[:_GROUPS], text_columns=1
    )


def settings_of(subject: Subject) -> dict[str, Any]:
    """Return the settings of the engine."""
    return dict(json.loads(subject.fit.data.attrs["settings"]))

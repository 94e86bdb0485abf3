"""Sections on the answer: trust, estimates, group effects, smooths, predictive checks, engines compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bayesglmm import plots
from bayesglmm.maps import odds_ratio_map
from bayesglmm.reporting.figures import picture
from bayesglmm.reporting.markup import Content, Html, html, listed, table, tag
from bayesglmm.reporting.section import Section, Subject, attempt, figures_of, heading, minus
from bayesglmm.results.compare import EngineComparison, compare_engines
from bayesglmm.results.scales import scale_words
from bayesglmm.results.smooths import fitted_smooths
from bayesglmm.results.text import sections

_TRACED = 4
_LISTED = 40  # levels of a grouping factor, or as many as are named of more: the ends
_ENDS = 10
_SURFACES = 6
_GRID = 60

SAID = {
    "good": ("Good", "The numbers below can be used."),
    "check": ("Check", "The numbers below are probably close; read this before you rely on them."),
    "bad": ("Bad", "Do not use the numbers below yet."),
}


def verdict_box(subject: Subject) -> Html:
    """Return the verdict in words."""
    verdict = subject.fit.verdict
    name, meaning = SAID[verdict.word]
    said = f" {verdict.good[0].upper()}{verdict.good[1:]}" if verdict.word == "good" else f" {meaning}"
    lines = [tag("p", tag("strong", f"Verdict: {name}."), said)]
    if verdict.reasons:
        lines.append(listed(verdict.reasons))
    if verdict.advice:
        lines += [tag("p", tag("strong", "What to do:")), listed(verdict.advice)]
    return tag("div", lines, class_=f"verdict {verdict.word}")


def trust(subject: Subject) -> Section:
    """Whether the computation worked: checks, chains."""
    checks = subject.fit.diagnose()
    rows: list[list[str]] = []
    for row in checks.to_dict("records"):
        value = f"{row['value']:.4g}" if np.isfinite(row["value"]) else ""
        said = row["meaning"] if row["verdict"] == "good" else f"{row['meaning']} {row['advice']}"
        rows.append([row["check"], *minus([value]), row["threshold"], row["verdict"], said])
    header = ["check", "value", "threshold", "verdict", "meaning"]
    body: list[Content] = [verdict_box(subject), table("Checks that were made", header, rows, len(header))]
    if _of_chains(subject):
        body.append(attempt(lambda: _traces(subject)))
    return Section("trust", "Can these numbers be trusted?", html(body))


def _of_chains(subject: Subject) -> bool:
    """Whether draws come from Markov chains."""
    return subject.is_posterior and "quality" not in subject.fit.data.attrs


def _traces(subject: Subject) -> Html:
    summary = subject.fit.summary(subject.prob)
    worst = summary[["ess_bulk", "ess_tail"]].min(axis=1).dropna().nsmallest(_TRACED).index.tolist()
    figure = plots.trace_panel(subject.fit, worst, subject.prob)
    alt = f"Traces, autocorrelations and densities of {', '.join(worst)}. " + "; ".join(
        f"{name}: R-hat {summary.loc[name, 'r_hat']:.3f}, effective sample size {summary.loc[name, 'ess_bulk']:.0f}"
        for name in worst
    )
    caption = f"The {len(worst)} parameters with the fewest effective draws. Chains that agree look alike."
    return picture(figure, alt, caption, "chains")


# ----------------------------------------------------------------------------------------------------- estimates


def estimates(subject: Subject) -> Section:
    """Population parameters: figure, tables, ratios."""
    fit, prob = subject.fit, subject.prob
    body: list[Content] = [attempt(lambda: _forest(subject))]
    for one in sections(fit, prob):
        rows: list[list[Content]] = []
        for row in one.rows:  # printed tables leave a name out where it is that of the row above
            name = row[0] or rows[-1][0]
            rows.append([name, *row[1 : one.text_columns], *minus(row[one.text_columns :])])
        body.append(table(one.title, one.header, rows, one.text_columns, one.note))
    body += [attempt(lambda: _ratios(subject)), attempt(lambda: _explained(subject))]
    return Section("estimates", "Estimates", html(body))


def _forest(subject: Subject) -> Html:
    table_of = subject.fit.summary(subject.prob)
    value, spread = table_of.columns[:2]
    told = []
    for label, row in list(table_of.iterrows())[:8]:
        mean, lower, upper = figures_of(row, [value, "lower", "upper"], spread)
        told.append(f"{label} {mean} ({lower} to {upper})" if lower else f"{label} {mean}")
    more = f"; {len(table_of) - len(told)} more in the tables below" if len(table_of) > len(told) else ""
    alt = f"Points and {subject.share} intervals of the parameters: {'; '.join(told)}{more}."
    caption = f"Estimates with {subject.share} intervals (thick: 50%), on the scale of the linear predictor."
    return picture(plots.forest(subject.fit, prob=subject.prob), alt, caption, "estimates")


def _ratios(subject: Subject) -> Html | None:
    """Return coefficients as ratios, where exp of them is one."""
    problem, fixed = subject.fit.problem, subject.fit.fixed(subject.prob)
    main = problem.family.main_predictors(problem.response)[0]
    if main not in problem.links:
        return None
    word = scale_words(problem, main).ratio
    predictor = problem.predictors[0].predictor
    own = set(predictor.columns) - set(predictor.smooth_columns)  # a part of a curve is no ratio
    rows = []
    for label, row in fixed.iterrows():
        column = str(label).removeprefix(f"{main}.")
        if word is None or column == "Intercept" or column not in own or problem.likelihood.expression is not None:
            continue
        ratios = np.exp([row.iloc[0], row["lower"], row["upper"]])
        rows.append([str(label), *(f"{ratio:.3g}" for ratio in ratios)])
    if not rows:
        return None
    within = " and within the same group" if any(part.block.kind == "group" for part in problem.blocks) else ""
    note = f"exp of the coefficients: the {word} per unit of the column, all else equal{within}."
    header = ["", word or "", f"lower {subject.share}", f"upper {subject.share}"]
    return table(f"Population effects as {_plural(word or '')}", header, rows, 1, note)


def _explained(subject: Subject) -> Html | None:
    """Return R-squared."""
    found = subject.fit.r2(subject.prob)
    if not len(found):
        return None
    value, spread = _value_columns(found)
    columns = [value, spread, "lower", "upper"]
    names = [name for name in ("predictor", "kind") if name in found]
    rows = [
        [*(str(row[name]) for name in names), *figures_of(row, columns, spread)] for row in found.to_dict("records")
    ]
    note = (
        "Shares of the variance: marginal by population effects and smooths, conditional by these and the groups, on "
        f"the scale of the linear predictor. {found.attrs.get('note', '')}"
    )
    header = [*names, value, spread, f"lower {subject.share}", f"upper {subject.share}"]
    return table("R-squared", header, rows, len(names), note)


def _plural(word: str) -> str:
    head, _, rest = word.partition(" of ")
    return f"{head}s of {rest}" if rest else f"{word}s"


# ------------------------------------------------------------------------------------------------------- groups


def groups(subject: Subject) -> Section | None:
    """The effects of the levels of grouping factors."""
    blocks = [own.block for own in subject.fit.problem.blocks if own.block.kind == "group"]
    if not blocks:
        return None
    said = (
        "How far each level lies from the population, on the scale of the linear predictor. Levels with few rows are "
        "drawn towards zero, as the standard deviations above say."
    )
    body: list[Content] = [tag("p", said)]
    for name in dict.fromkeys(block.group for block in blocks):
        body += [heading(f"By {name}"), attempt(lambda name=name: _group(subject, name))]  # type: ignore[misc]
    return Section("groups", "Group effects", html(body))


def _group(subject: Subject, name: str) -> Html:
    effects = subject.fit.ranef(subject.prob, group=name)
    value, spread = _value_columns(effects)
    ordered = effects.sort_values(value)
    lowest, highest = ordered.iloc[0], ordered.iloc[-1]
    levels = effects["level"].nunique()
    alt = (
        f"Effects of the {levels:,} levels of {name} in order, with {subject.share} intervals. Lowest: "
        f"{lowest['level']} ({lowest['term']}), {figures_of(lowest, [value], spread)[0]}; highest: "
        f"{highest['level']} ({highest['term']}), {figures_of(highest, [value], spread)[0]}."
    )
    figure = plots.caterpillar(subject.fit, name, prob=subject.prob)
    drawn = picture(figure, alt, f"Effects of the levels of {name}.", f"effects of {name}")
    return html(
        [drawn, [_level_table(subject, part, value, spread) for _, part in effects.groupby("term", sort=False)]]
    )


def _value_columns(effects: pd.DataFrame) -> tuple[str, str]:
    value = next(name for name in ("mean", "estimate") if name in effects)
    return value, "sd" if "sd" in effects else "se"


def _level_table(subject: Subject, effects: pd.DataFrame, value: str, spread: str) -> Html:
    ordered = effects.sort_values(value, ascending=False)
    shown = ordered if len(ordered) <= _LISTED else pd.concat([ordered.head(_ENDS), ordered.tail(_ENDS)])
    columns = [value, spread, "lower", "upper"]
    rows = [[str(row["level"]), *figures_of(row, columns, spread)] for _, row in shown.iterrows()]
    group, term = effects["group"].iloc[0], effects["term"].iloc[0]
    note = "" if len(shown) == len(ordered) else f"The {_ENDS} highest and lowest of {len(ordered):,}: fit.ranef()."
    header = ["level", value, spread, f"lower {subject.share}", f"upper {subject.share}"]
    return table(f"{group}: {term}", header, rows, 1, note)


# ------------------------------------------------------------------------------------------------------- smooths


def smooths(subject: Subject) -> Section | None:
    """Smooth functions: table, curves, surfaces or maps."""
    found = fitted_smooths(subject.fit)
    if not found:
        return None
    body: list[Content] = [attempt(lambda: _smooth_table(subject))]
    if any(len(own.smooth.covariates) == 1 for own in found):
        body.append(attempt(lambda: _curves(subject, [o.label for o in found if len(o.smooth.covariates) == 1])))
    plane = [own for own in found if len(own.smooth.covariates) == 2 and own.smooth.factor is None]
    for own in plane[:_SURFACES]:
        body += [heading(own.label), attempt(lambda own=own: _plane(subject, own.label))]  # type: ignore[misc]
    return Section("smooths", "Smooth functions", html(body))


def _smooth_table(subject: Subject) -> Html:
    frame = pd.DataFrame(subject.fit.smooths(subject.prob))
    texts = [name for name in ("smooth", "part", "reading") if name in frame and (frame[name] != "").any()]
    numbers = [name for name in frame if name not in (*texts, "part")]
    rows = [
        [*(str(row[name]) for name in texts), *minus(_short(row[name]) for name in numbers)]
        for row in frame.to_dict("records")
    ]
    note = "edf: effective degrees of freedom, of at most as many as there are columns."
    return table("Smooths", [*texts, *map(str, numbers)], rows, len(texts), note)


def _short(value: Any) -> str:
    if not isinstance(value, float | np.floating):
        return str(value)
    return f"{value:.3g}" if np.isfinite(value) else ""


def _curves(subject: Subject, labels: list[str]) -> Html:
    figure = plots.smooth(subject.fit, prob=subject.prob)
    alt = f"Curves of {', '.join(labels)}, each with its pointwise and simultaneous {subject.share} interval."
    caption = "Each term alone, on the scale of the linear predictor; the ticks below are the data."
    return picture(figure, alt, caption, "smooth curves")


def _plane(subject: Subject, label: str) -> Html:
    """Return a map where the covariates are coordinates of places, else a surface."""
    chart = odds_ratio_map(subject.fit, label, grid=_GRID, prob=subject.prob)
    if not chart.attrs["units"]:
        alt = f"Filled contours of {label}: posterior mean and standard deviation over its two covariates."
        caption = "The term alone, on the scale of the linear predictor, where there are data."
        return picture(plots.surface(subject.fit, label, prob=subject.prob), alt, caption, label)
    low, high = (float(side) for side in (np.nanmin(chart["mean"]), np.nanmax(chart["mean"])))
    alt = f"Map of {label}. {chart.attrs['note']} Values from {low:.3g} to {high:.3g}."
    return picture(plots.effect_map(chart), alt, f"Map of {label}.", f"map of {label}")


# -------------------------------------------------------------------------------------------------- comparison


def comparison(subject: Subject) -> Section | None:
    """The same model by several engines."""
    if not subject.others:
        return None
    return Section("engines", "Engines compared", attempt(lambda: _compared(subject)))


def _compared(subject: Subject) -> Html:
    name = str(subject.fit.data.attrs["engine"])
    while name in subject.others:
        name = f"{name} (this fit)"
    found = compare_engines({name: subject.fit, **subject.others}, subject.prob)
    alt = f"Posterior densities by {', '.join(found.fits)} over each other. {' '.join(found.sentences)}"
    caption = "Where curves lie on each other the engines agree."
    drawn = picture(plots.compare_engines(found), alt, caption, "engines compared")
    return html([listed([*found.sentences, *found.notes]), drawn, _differences(found, subject.share), _costs(found)])


def _differences(found: EngineComparison, share: str) -> Html:
    rows = []
    for row in found.table.to_dict("records"):
        numbers = figures_of(row, ["mean", "sd", "lower", "upper"], "sd")
        shift = minus([f"{row['shift']:.2f}" if np.isfinite(row["shift"]) else ""])[0]
        ratio = f"{row['sd_ratio']:.2f}" if np.isfinite(row["sd_ratio"]) else ""
        rows.append([row["parameter"], row["engine"], *numbers, shift + ("*" if row["beyond_noise"] else ""), ratio])
    header = ["parameter", "by", "mean", "sd", f"lower {share}", f"upper {share}", "shift", "sd ratio"]
    note = (
        f"shift: difference of means in posterior sds of {found.reference}, * beyond Monte Carlo error; sd ratio: sd "
        f"divided by that of {found.reference}."
    )
    return table("Parameters by engine", header, rows, 2, note)


def _costs(found: EngineComparison) -> Html:
    rows = [
        [
            str(name),
            row["engine"],
            row["verdict"],
            f"{row['draws']:,}",
            f"{row['total']:.1f}",
            f"{row['ess_min']:,.0f}",
        ]
        for name, row in zip(found.engines.index, found.engines.to_dict("records"), strict=True)
    ]
    return table("Costs", ["fit", "engine", "verdict", "draws", "seconds", "fewest effective draws"], rows, 3)

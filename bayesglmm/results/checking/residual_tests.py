"""Tests of randomised-quantile residuals, each a number with a probability and a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import special, stats

from bayesglmm.blocks import Floats
from bayesglmm.errors import DataError, UnknownNameError, did_you_mean
from bayesglmm.results.checking.replicates import Ranked, ranked
from bayesglmm.results.checking.residuals import chosen_draws
from bayesglmm.results.draws import require_count, seeded

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.checks import Word
    from bayesglmm.results.protocols import Rebindable

COLUMNS = ("check", "value", "expected", "p", "verdict", "meaning", "advice")
CHECK, BAD = 0.01, 0.001  # probabilities below which a departure is reported; the checks are several
_DRAWS = 8


@dataclass(frozen=True)
class Outcome:
    """One test at one posterior draw.

    Attributes
    ----------
    value, expected : float
        The statistic, and what a right model gives.
    p : float
        Probability of a statistic as far from it, under a right model.
    """

    value: float
    expected: float
    p: float


def check_residuals(
    evaluator: Evaluator,
    posterior: xr.Dataset,
    design: Rebindable | None,
    by: Any,
    seed: int | None,
    simulations: int,
) -> pd.DataFrame:
    """Return the table of tests; see `Fit.check_residuals`."""
    require_count("simulations", simulations)
    rng = seeded(seed)
    name, values = ("", None) if by is None else column_of(evaluator.problem, design, by)
    found: dict[str, list[Outcome]] = {}
    for one in ranked(evaluator, chosen_draws(posterior, _DRAWS, rng), simulations, rng):
        for check, outcome in _tests(evaluator, one, name, values, simulations):
            found.setdefault(check, []).append(outcome)
    rows = [_row(check, outcomes) for check, outcomes in found.items()]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame.attrs["note"] = (
        f"Each p combines {_DRAWS} posterior draws; below {CHECK:g} a check is marked, below {BAD:g} it is bad. With "
        "thousands of rows small departures are found, too: the values say how large they are."
    )
    return frame


def column_of(problem: Problem, design: Rebindable | None, by: Any) -> tuple[str, Any]:
    """Return name and values, one per row used, of a column of the data or of values that the user gives.

    Parameters
    ----------
    problem : Problem
    design : Rebindable or None
        With the data and the rows used.
    by : str, Series or array
    """
    n, positions = len(problem.response.y), getattr(getattr(design, "rows", None), "positions", None)
    if isinstance(by, str):
        data = None if design is None else design.data
        if data is None or by not in data:
            known = [] if data is None else list(data.columns)
            raise UnknownNameError(
                f"The formula uses no column {by!r}. {did_you_mean(by, known)} Values of other columns can be given "
                "themselves: by=data[...]."
            )
        values = data[by].to_numpy(dtype=object) if data[by].dtype.kind not in "iufb" else data[by].to_numpy()
        name = by
    else:
        name, values = str(getattr(by, "name", None) or "the values given"), np.asarray(by)
    if positions is not None and len(values) > n and len(values) > positions.max(initial=-1):
        values = values[positions]
    if np.shape(values) != (n,):
        raise DataError(f"by= has the shape {np.shape(values)}, but {n:,} rows were used: give one value per row.")
    return name, values


def levels_in_order(values: Any) -> tuple[list[str], Any]:
    """Return the levels of a column as text, with numbers in them in order (g2 before g10), and the codes of rows."""
    found, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
    keys = [[(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", level) if p] for level in found]
    order = sorted(range(len(found)), key=lambda j: keys[j])
    return [str(found[j]) for j in order], np.argsort(order)[codes]


def _tests(
    evaluator: Evaluator, one: Ranked, name: str, values: Any, simulations: int
) -> Iterator[tuple[str, Outcome]]:
    problem = evaluator.problem
    seen = np.isfinite(np.asarray(problem.response.y, dtype=float))
    u, scores = one.u[seen], special.ndtri(one.u[seen])
    distance = stats.kstest(u, "uniform")
    yield "uniformity", Outcome(float(distance.statistic), 0.0, float(distance.pvalue))
    trials = problem.response.trials
    several = problem.family.response == "numeric" or (trials is not None and bool(trials.max() > 1))
    if several and problem.response.censoring is None and seen.all():
        yield "dispersion", _against(one.discrepancy)
        if problem.family.response == "numeric" and one.zeros[0] + one.zeros[1:].max() > 0:
            yield "zeros", _against(one.zeros)
    share = 2.0 / (simulations + 1)
    outside = int(((u < share / 2) | (u > 1 - share / 2)).sum())
    p = float(stats.binomtest(outside, len(u), share, alternative="greater").pvalue)
    yield "outliers", Outcome(outside / len(u), share, p)
    yield from _against_column("predictions", scores, one.fitted[seen])
    if values is not None:
        yield from _against_column(name, scores, values[seen])


def _against(statistics: Floats) -> Outcome:
    """Compare the first of exchangeable statistics with the others, as a ratio, from both sides."""
    observed, others = float(statistics[0]), statistics[1:]
    below, above = int((others <= observed).sum()) + 1, int((others >= observed).sum()) + 1
    p = min(1.0, 2.0 * min(below, above) / (len(others) + 1))
    mean, spread = float(others.mean()), float(others.std(ddof=1))
    if min(below, above) == 1 and spread > 0.0:  # beyond all of them: ranks cannot say how far
        p = min(p, 2.0 * float(stats.t.sf(abs(observed - mean) / spread, len(others) - 1)))
    return Outcome(observed / mean if mean > 0.0 else np.inf, 1.0, p)


def _against_column(name: str, scores: Floats, values: Any) -> Iterator[tuple[str, Outcome]]:
    """Test level and spread of the residuals along a column: a curve over its ranks, or a mean per level."""
    columns = predictors_of(values)
    if columns is None or len(scores) <= columns.shape[1] + 2:
        return
    yield f"trend over {name}", _explained(columns, scores)
    # The logarithm of a squared normal variable has a known, finite variance whatever its scale.
    yield f"spread over {name}", _explained(columns, np.log(np.square(scores) + 1e-12))


def predictors_of(values: Any) -> Floats | None:
    """Return what residuals are regressed on: a quadratic in ranks, or indicators; None where nothing varies."""
    values = np.asarray(values)
    if values.dtype.kind in "iuf":
        if not np.isfinite(values.astype(float)).all() or np.ptp(values) <= 1e-9 * np.abs(values).max():
            return None
        ranks = stats.rankdata(values) / len(values) - 0.5
        return np.column_stack([ranks, np.square(ranks)]) if len(np.unique(values)) > 2 else ranks[:, None]
    levels, codes = np.unique(values.astype(str), return_inverse=True)
    if len(levels) < 2:
        return None
    return np.asarray((codes[:, None] == np.arange(1, len(levels))).astype(float))


def _explained(columns: Floats, values: Floats) -> Outcome:
    """Return the share of variation that columns explain and the probability of as much by chance (an F test)."""
    centred, y = columns - columns.mean(axis=0), values - values.mean()
    fitted = centred @ np.linalg.lstsq(centred, y, rcond=None)[0]
    total, explained = float(y @ y), float(fitted @ fitted)
    k, rest = int(np.linalg.matrix_rank(centred)), len(y) - int(np.linalg.matrix_rank(centred)) - 1
    if total <= 0.0 or rest < 1 or total <= explained:
        return Outcome(np.nan, np.nan, 1.0)
    p = float(stats.f.sf(explained / k / ((total - explained) / rest), k, rest))
    return Outcome(explained / total, k / (k + rest), p)


def combined(ps: Sequence[float]) -> float:
    """Return one probability from dependent ones by the Cauchy combination (Liu and Xie 2020).

    It is exact for equal and for independent ones. One near 1 would outweigh small ones, so none counts as more
    than 0.99.
    """
    clipped = np.clip(ps, 1e-15, 0.99)
    return float(stats.cauchy.sf(np.mean(np.tan((0.5 - clipped) * np.pi))))


def _row(check: str, outcomes: Sequence[Outcome]) -> tuple[Any, ...]:
    value = float(np.median([outcome.value for outcome in outcomes]))
    usual = float(np.median([outcome.expected for outcome in outcomes]))
    p = combined([outcome.p for outcome in outcomes])
    word: Word = "bad" if p < BAD else "check" if p < CHECK else "good"
    meaning, advice = _words(check, value, usual)
    meaning = meaning if word != "good" else _GOOD.get(check.split(" over ")[0], "").format(check=check)
    return check, value, usual, p, word, meaning, advice if word != "good" else ""


_GOOD: Mapping[str, str] = {
    "uniformity": "The residuals are spread evenly, as they should be.",
    "dispersion": "The responses vary about as much as the model says.",
    "zeros": "There are about as many zeros as the model expects.",
    "outliers": "No more rows are out of reach than chance leaves.",
    "trend": "The residuals show no {check}.",
    "spread": "The residuals are as wide everywhere: no change of {check}.",
}


def _words(check: str, value: float, usual: float) -> tuple[str, str]:
    """Return what a marked check means, and what to do."""
    if check == "uniformity":
        return (
            f"The distribution of the residuals departs from uniform by up to {value:.3f}: the family does not "
            "have the shape of the responses.",
            "Look at bg.plots.residuals(fit) for where; the other checks say in which way.",
        )
    if check == "dispersion" and value > 1.0:
        return (
            f"The responses vary {value:.2f} times as much as the model says (overdispersion): intervals are too "
            "narrow.",
            "Use a family with a dispersion parameter (negative_binomial for counts, beta_binomial for counts out of "
            "trials), or an effect per row; missing predictors do this, too.",
        )
    if check == "dispersion":
        return (
            f"The responses vary only {value:.2f} times as much as the model says (underdispersion): intervals are "
            "too wide.",
            "Look for too many effects, or for responses that are bounded or rounded.",
        )
    if check == "zeros":
        more = value > 1.0
        return (
            f"There are {value:.2f} times as many zeros as the model expects.",
            "Use a zero-inflated or hurdle family." if more else "Use a hurdle family, or another distribution.",
        )
    if check == "outliers":
        return (
            f"{value:.2%} of the rows lie beyond everything that the model simulates; chance leaves {usual:.2%}.",
            "Look at these rows (residuals near 0 or 1), and for a family with heavier tails.",
        )
    what, where = check.split(" over ", 1)
    if what == "trend":
        return (
            f"The residuals rise or fall with {where}: it explains {value:.1%} of their variation.",
            "Let the effect bend, s(x), or add what is missing: an interaction, another predictor."
            if where != "predictions"
            else "Look at bg.plots.residuals(fit, against=...) for single predictors; try another link.",
        )
    return (
        f"The residuals are wider for some values of {where} than for others ({value:.1%} of the variation of their "
        "size).",
        f'Model the spread with a formula of its own, ["...", "sigma ~ {where if where != "predictions" else "x"}"], '
        "or use another family.",
    )

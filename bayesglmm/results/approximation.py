"""Checks of engines that do not sample: is the approximation close, did the search for the maximum end at one?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bayesglmm.results.checks import Check

_WEIGHTS = 0.7  # Pareto k up to which importance weights can be trusted (Vehtari et al. 2024)
_VISIBLE = 0.3  # standard deviation of a level's log ratio below which its effect is as good as normal
SEPARATED = "Complete separation"  # how the design's note begins
RESIDUAL = "from the residual"  # what its note on one row per level says where there is a residual
_SKEW = 0.5  # skewness that one sees in a figure


def approximation_checks(quality: Mapping[str, Any]) -> list[Check]:
    """Return the checks of an approximated posterior.

    The shift of what one reads decides. Pareto k and skewness are reported, but do not count: k grows with the number
    of effects, although every effect and standard deviation that one reads may be fine.

    Parameters
    ----------
    quality : mapping
        As `bayesglmm.results.facts` keeps it.
    """
    worded, rest = quality["sentences"][0], quality["sentences"][1:]
    shifts = {name: abs(shift) for name, shift in quality["shifts"].items()}
    worst = max(shifts.values(), key=lambda shift: np.inf if np.isnan(shift) else shift, default=np.nan)
    raised = quality["verdict"] != "good"
    advice = quality.get("advice", "") or ('Compare with model.fit("nuts").' if raised else "")
    details = quality.get("details", {})
    shift = Check(
        "shift under correction",
        float(worst),
        "< 0.1",
        quality["verdict"],
        " ".join(rest) or worded,
        worded if rest else "",
        advice,
    )
    return [shift, _pareto(quality, details), *_levels(details), *_skewness(details), *_resampled(details)]


def _pareto(quality: Mapping[str, Any], details: Mapping[str, Any]) -> Check:
    khat, shared = float(quality["khat"]), details.get("shared_khat")
    finding = f"The Pareto k of the importance ratios of all parameters at once is {khat:.2f}"
    finding += "." if shared is None else f", with the group effects integrated out {float(shared):.2f}."
    trusted = (khat if shared is None else float(shared)) < _WEIGHTS
    meaning = (
        "Importance weights can be trusted."
        if trusted
        else "Importance weights could not be trusted; this grows with the number of effects and says little about "
        "single ones."
    )
    return Check("Pareto k", khat, "reported only", "good", finding, meaning)


def _levels(details: Mapping[str, Any]) -> Iterator[Check]:
    if not details.get("levels"):
        return
    name, spread, khat = details["levels"][0]
    if spread < _VISIBLE:
        finding = f"{name} is the hardest, and even there the exact and the approximate posterior are close."
        meaning = ""
    else:
        others = [other for other, wide, _ in details["levels"][1:] if wide >= _VISIBLE]
        finding = f"{name} is the hardest: its effect given everything else is far from normal (Pareto k {khat:.2f})."
        meaning = f"Next are {', '.join(others)}." if others else ""
    yield Check("hardest level", float(spread), "reported only", "good", finding, meaning)


def _skewness(details: Mapping[str, Any]) -> Iterator[Check]:
    if not details.get("skewness"):
        return
    name, value = details["skewness"]
    side = "right" if value > 0 else "left"
    yield Check(
        "skewness",
        float(value),
        "reported only",
        "good",
        f"The most skew conditional distribution is that of {name}: skewness {value:.2f}, 0 for a normal one.",
        f"Its long tail is on the {side}; the normal approximation has none." if abs(value) > _SKEW else "",
    )


def _resampled(details: Mapping[str, Any]) -> Iterator[Check]:
    effective = details.get("effective")
    if effective is not None:
        yield Check(
            "resampled draws",
            float(effective),
            "reported only",
            "good",
            f"The draws were reweighted to the exact posterior and resampled: they are worth {effective:.0f} "
            "independent ones.",
            "Their means and intervals are those of the exact posterior, up to this noise.",
        )


def optimum_checks(convergence: Mapping[str, Any], notes: Sequence[str] = ()) -> list[Check]:
    """Return the checks of maximum likelihood estimates.

    Parameters
    ----------
    convergence : mapping
        As `bayesglmm.results.facts` keeps it.
    notes : sequence of str
        Those of the design, which know what no likelihood can estimate.
    """
    found, boundary = bool(convergence["converged"]), convergence["boundary"]
    return [
        Check(
            "maximum",
            float(found),
            "found",
            "good" if found else "bad",
            "The search ended at a maximum." if found else "The search for the maximum did not converge.",
            "" if found else "Estimates and standard errors are those of wherever it stopped.",
            ""
            if found
            else "Scale large predictors, drop the group terms that the data cannot tell apart, or use "
            'model.fit("laplace"): priors make the answer well defined.',
        ),
        Check(
            "boundary",
            float(len(boundary)),
            "reported only",
            "good",
            f"Estimated as zero: {', '.join(boundary)}." if boundary else "No standard deviation is zero.",
            "That is a proper maximum; it says that the data show no such variation, not that there is none."
            if boundary
            else "",
        ),
        *_without_estimate(notes),
    ]


def _without_estimate(notes: Sequence[str]) -> Iterator[Check]:
    if any(note.startswith(SEPARATED) for note in notes):
        yield Check(
            "separation",
            1.0,
            "none",
            "bad",
            "Predictors separate the responses completely, so the likelihood has no maximum.",
            "The estimates are those of wherever the search stopped, and there is no prior that would hold them.",
            'Use model.fit("laplace"), whose priors keep them finite, or drop the predictor.',
        )
    if any(RESIDUAL in note for note in notes):
        yield Check(
            "identified",
            0.0,
            "all",
            "check",
            "A grouping factor has one row per level: its sd and the residual's cannot be told apart.",
            "With independent intercepts only the sum of their variances is estimated.",
            "Drop that group term.",
        )

"""Checks of approximated posteriors: how far would correcting the approximation move what one reads?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bayesglmm.results.checks import Check

_WEIGHTS = 0.7  # Pareto k up to which importance weights can be trusted (Vehtari et al. 2024)
_VISIBLE = 0.3  # standard deviation of a level's log ratio below which its effect is as good as normal
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

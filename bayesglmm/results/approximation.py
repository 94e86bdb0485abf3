"""Checks of engines that do not sample: is the approximation close, did the search for the maximum end at one?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesglmm.results.checks import Check

_WEIGHTS = 0.7  # Pareto k up to which importance weights can be trusted (Vehtari et al. 2024)


def approximation_checks(quality: Mapping[str, Any]) -> list[Check]:
    """Return the checks of an approximated posterior.

    Pareto k is reported, but does not count: it grows with the number of effects, although every effect and
    standard deviation that one reads may be fine.

    Parameters
    ----------
    quality : mapping
        As `bayesglmm.results.facts` keeps it.
    """
    worded, rest = quality["sentences"][0], quality["sentences"][1:]
    shifts = {name: abs(shift) for name, shift in quality["shifts"].items()}
    worst = max(shifts.values(), key=lambda shift: np.inf if np.isnan(shift) else shift, default=np.nan)
    raised = quality["verdict"] != "good"
    khat = float(quality["khat"])
    return [
        Check(
            "shift under correction",
            float(worst),
            "< 0.1",
            quality["verdict"],
            " ".join(rest) or worded,
            worded if rest else "",
            'Compare with model.fit("nuts").' if raised else "",
        ),
        Check(
            "Pareto k",
            khat,
            "reported only",
            "good",
            f"The Pareto k of the joint importance ratios is {khat:.2f}.",
            "Importance weights over all parameters at once could be trusted."
            if khat < _WEIGHTS
            else "Importance weights over all parameters at once could not be trusted; this grows with the number of "
            "effects and says little about single ones.",
        ),
    ]


def optimum_checks(convergence: Mapping[str, Any]) -> list[Check]:
    """Return the checks of maximum likelihood estimates.

    Parameters
    ----------
    convergence : mapping
        As `bayesglmm.results.facts` keeps it.
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
    ]

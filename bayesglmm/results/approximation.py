"""Checks of approximated posteriors: how far would correcting the approximation move what one reads?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.results.checks import Check

_WEIGHTS = 0.7  # Pareto k up to which importance weights can be trusted (Vehtari et al. 2024)
_VISIBLE = 0.3  # standard deviation of a level's log ratio below which its effect is as good as normal
_SKEW = 0.5  # skewness that one sees in a figure
_ENOUGH = 400.0  # effective draws after resampling, as of chains
_UNCERTAIN = 0.2  # Monte Carlo error of a shift that is no measurement


def approximation_checks(quality: Mapping[str, Any], worth: pd.Series | None = None) -> list[Check]:
    """Return the checks of an approximated posterior.

    The shift of what one reads decides. Pareto k and skewness are reported, but do not count: k grows with the number
    of effects, although every effect and standard deviation that one reads may be fine. Where draws were resampled,
    the shift has been corrected, and what they are worth decides.

    Parameters
    ----------
    quality : mapping
        As `bayesglmm.results.facts` keeps it.
    worth : Series, optional
        Effective sample size of every parameter, the smaller of that for means and that for interval ends; for
        resampled draws.
    """
    details = quality.get("details", {})
    first = [_shift(quality)] if worth is None else [_corrected(quality), _resampled(quality, worth)]
    return [*first, *_others(quality), _pareto(quality, details), *_levels(details), *_skewness(details)]


def good_words(quality: Mapping[str, Any], worth: pd.Series | None = None) -> str:
    """Return what a good verdict says.

    Parameters
    ----------
    quality : mapping
    worth : Series, optional
        See `approximation_checks`.
    """
    if worth is None:
        return f"{_method(quality)} is good here."
    khat = quality["details"].get("weights_khat")
    how = "" if khat is None else f" (Pareto k {khat:.2f})"
    return (
        f"the draws were reweighted to the exact posterior{how}; they are worth at least {worth.min():.0f} "
        "independent ones."
    )


def _method(quality: Mapping[str, Any]) -> str:
    details = quality.get("details", {})
    nodes, name = details.get("nodes", 1), str(details.get("approximation", "Laplace's approximation"))
    return name[0].upper() + name[1:] if nodes == 1 else f"Quadrature with {nodes} nodes per group effect"


def _shift(quality: Mapping[str, Any]) -> Check:
    details, word = quality.get("details", {}), quality["verdict"]
    word = details.get("by_shift", word)
    name, size, error = _worst(quality, word)
    what = _method(quality)
    meaning = {
        "good": f"{what} is good here.",
        "check": f"{what} is rough here: do not rely on the last digit.",
        "bad": f"{what} is poor here.",
    }[word]
    if not np.isfinite(size) and quality["shifts"]:
        finding = "The exact posterior could not be compared with the approximation: some ratios are infinite."
    elif quality["method"] == "cumulants" and error > _UNCERTAIN:
        finding = (
            f"How far correcting {_lower(what)} would move the results could not be measured: the ratios of exact "
            "and approximate density vary too much over so many coefficients."
        )
        meaning = f"How good {_lower(what)} is here is not known."
    elif not name:
        finding = "There is no parameter that a correction could move."
    else:
        finding = (
            f"Correcting {_lower(what)} would move {name} by {size:.2f} posterior standard deviations (the largest "
            f"shift; Monte Carlo error {error:.2f})."
        )
        if quality["method"] == "cumulants":
            finding += " It was computed to second order, since importance weights would be too uneven."
        if word == "check" and error > _UNCERTAIN:
            meaning = "That error is too large to call the approximation good."
    if word != "good" and details.get("refused"):
        meaning += " Importance weights would be too uneven to mend it."
    return Check("shift under correction", size, "< 0.1", word, finding, meaning, _advice(quality, word))


def _lower(what: str) -> str:
    return what if what.startswith("Laplace") else what[0].lower() + what[1:]


def _worst(quality: Mapping[str, Any], word: str) -> tuple[str, float, float]:
    """Return name, size and Monte Carlo error of the shift that decided: of those beyond their error the largest."""
    shifts = {name: abs(shift) for name, shift in quality["shifts"].items()}
    if not shifts:
        return "", float("nan"), 0.0
    errors = quality.get("errors") or dict.fromkeys(shifts, quality.get("noise", 0.0))
    beyond = {name: size - (0.0 if word == "good" else errors[name]) for name, size in shifts.items()}
    name = max(beyond, key=lambda key: np.inf if np.isnan(beyond[key]) else beyond[key])
    return name, float(shifts[name]), float(errors[name])


def _advice(quality: Mapping[str, Any], word: str) -> str:
    """Return how else to fit, the quickest way first."""
    if word == "good":
        return ""
    details = quality.get("details", {})
    ways = ['model.fit("nuts")']
    shared = details.get("shared_khat")
    weights = shared is not None and float(shared) < _WEIGHTS and quality["method"] != "cumulants"
    if weights and not details.get("refused"):
        ways.insert(0, f'model.fit("{details.get("engine", "laplace")}", resample=True)')
    if details.get("factorises") and details.get("nodes", 1) == 1:
        ways.insert(0, 'model.fit("laplace", quadrature=15)')
    return f"{'Use' if word == 'bad' else 'Compare with'} {', or '.join(ways)}."


def _others(quality: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what else is in doubt: searches that failed, second modes."""
    found = quality.get("details", {}).get("others", ())
    if found:
        yield Check(
            "exploration", float(len(found)), "0", "check", " ".join(found), "", 'Compare with model.fit("nuts").'
        )


def _corrected(quality: Mapping[str, Any]) -> Check:
    name, size, _ = _worst(quality, "good")
    return Check(
        "shift corrected",
        size,
        "reported only",
        "good",
        f"Resampling corrects {_lower(_method(quality))}; without it {name} would be off by {size:.2f} posterior "
        "standard deviations, the most of all.",
        "",
    )


def _resampled(quality: Mapping[str, Any], worth: pd.Series) -> Check:
    where, least = str(worth.idxmin()), float(worth.min())
    enough = least >= _ENOUGH
    few = quality["details"].get("asked") == "auto"
    engine = quality["details"].get("engine", "laplace")
    more = f', or model.fit("{engine}", resample=True), which weighs more draws' if few else ""
    return Check(
        "resampled draws",
        least,
        f">= {_ENOUGH:.0f}",
        "good" if enough else "check",
        "The draws were reweighted to the exact posterior and resampled; those of "
        f"{where} are worth {least:.0f} independent ones, the fewest of all.",
        "Means and intervals are those of the exact posterior, up to this noise."
        if enough
        else f"That is fewer than {_ENOUGH:.0f}: another seed would move the numbers visibly.",
        "" if enough else f'Compare with model.fit("nuts"){more}.',
    )


def _pareto(quality: Mapping[str, Any], details: Mapping[str, Any]) -> Check:
    khat, shared = float(quality["khat"]), details.get("shared_khat")
    finding = f"The Pareto k of the importance ratios of all parameters at once is {khat:.2f}"
    finding += "." if shared is None else f", with the group effects integrated out {float(shared):.2f}."
    trusted = (khat if shared is None else float(shared)) < _WEIGHTS
    meaning = (
        "Draws were not resampled all the same: candidates showed weights too uneven for that."
        if trusted and details.get("refused")
        else "Importance weights can be trusted."
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

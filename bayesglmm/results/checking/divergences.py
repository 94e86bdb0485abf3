"""Divergent draws, and the parameter whose values they share: a narrow corner has a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesglmm.results.checks import Check, Word
from bayesglmm.results.tables import Parameter

_FEWEST = 5  # divergent draws that can have anything in common
_APART = 0.7  # probability that orders a divergent draw and another one by the parameter
_SURE = 0.001


@dataclass(frozen=True)
class Corner:
    """Where divergent draws are.

    Attributes
    ----------
    parameter : Parameter
    low : bool
        Whether its values are small there.
    inside, outside : float
        Medians at divergent draws and at the others.
    ordered : float
        Probability that a divergent draw lies further in that direction than another draw.
    """

    parameter: Parameter
    low: bool
    inside: float
    outside: float
    ordered: float

    @property
    def sentence(self) -> str:
        """Where they are, in words and numbers."""
        return (
            f"They lie where {self.parameter.label} is {'small' if self.low else 'large'}: its median is "
            f"{self.inside:.3g} there and {self.outside:.3g} elsewhere."
        )


def corner(found: Sequence[Parameter], diverging: Any) -> Corner | None:
    """Return the parameter that tells divergent draws from others best, by the Mann-Whitney statistic.

    Standard deviations and other parameters of group terms come first: divergences of hierarchical models are in the
    neck of their funnels (Betancourt and Girolami 2015). None where nothing tells them apart.

    Parameters
    ----------
    found : sequence of Parameter
    diverging : ndarray of bool, shape (chains, draws)
    """
    from scipy import stats  # takes a fifth of the time of `import bayesglmm`

    inside = np.ravel(diverging).astype(bool)
    if not _FEWEST <= inside.sum() <= 0.5 * inside.size:
        return None
    best: Corner | None = None
    for parameter in found:
        values = np.ravel(np.asarray(parameter.values, dtype=float))
        if values.size != inside.size or not np.isfinite(values).all() or np.ptp(values) == 0.0:
            continue
        own, others = values[inside], values[~inside]
        test = stats.mannwhitneyu(own, others)
        share = float(test.statistic) / (own.size * others.size)  # how often a divergent draw is the larger
        ordered = max(share, 1.0 - share)
        preferred = best is not None and best.parameter.kind == "sd" and parameter.kind != "sd"
        if ordered < _APART or test.pvalue > _SURE or (best and ordered <= best.ordered + 0.1 * preferred):
            continue
        best = Corner(parameter, share < 0.5, float(np.median(own)), float(np.median(others)), ordered)
    return best


def divergences(diverging: Any, settings: Mapping[str, Any], found: Sequence[Parameter]) -> Check:
    """Return the check of divergent draws.

    Parameters
    ----------
    diverging : ndarray of bool, shape (chains, draws)
    settings : mapping
        Of the engine.
    found : sequence of Parameter
    """
    count, total = int(diverging.sum()), diverging.size
    if not count:
        return Check("divergences", 0.0, "0", "good", "No divergent draws.", "")
    grade: Word = "check" if count <= 0.01 * total else "bad"
    target = settings.get("target_accept")
    now = f" (now {target:g})" if isinstance(target, float) else ""
    higher = 0.99 if isinstance(target, float) and target >= 0.95 else 0.95
    where = corner(found, diverging)
    finding = f"{count} of {total} draws {'is' if count == 1 else 'are'} divergent."
    meaning = (
        "The sampler could not follow the posterior into a narrow corner, so part of it may be missing, most often "
        "where a group standard deviation is near zero."
    )
    prior = "give a tighter prior to the group standard deviations or simplify the group terms"
    if where is not None:
        finding += f" {where.sentence}"
        meaning = "The sampler could not follow the posterior into that corner, so part of it may be missing."
        if where.parameter.kind == "sd":
            what = where.parameter.label.split(",")[0].rstrip("]") + "]"
            prior = f'give it a prior of its own, priors={{"{what}": ...}}, or simplify that term'
    advice = f"Use model.fit(target_accept={higher:g}){now}; if divergences stay, {prior}."
    named = () if where is None else (where.parameter.label,)
    return Check("divergences", float(count), "0", grade, finding, meaning, advice, parameters=named)

"""What the scale of a linear predictor is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesglmm.graph.problem import Problem


@dataclass(frozen=True)
class ScaleWords:
    """How a scale is called.

    Attributes
    ----------
    plain : str
        The linear predictor: ``log odds``.
    ratio : str or None
        What exp of a difference on it is: ``odds ratio``; None where it is nothing.
    """

    plain: str
    ratio: str | None


def scale_words(problem: Problem, predictor: str) -> ScaleWords:
    """Return the words for the scale of a linear predictor."""
    link, main = problem.links[predictor].name, problem.family.main_predictors(problem.response)
    if len(main) > 1 and predictor in main:  # one predictor per category but the first, for a multinomial logit
        reference = problem.response.categories[0] if problem.response.categories else "the first category"
        return ScaleWords(f"log odds against {reference}", "odds ratio")
    if predictor not in main:
        words = {
            "log": ScaleWords(f"log {predictor}", f"ratio of {predictor}"),
            "logit": ScaleWords(f"log odds of {predictor}", f"odds ratio of {predictor}"),
            "identity": ScaleWords(predictor, None),
        }
        return words.get(link, ScaleWords(f"{link} of {predictor}", None))
    if link == "log":
        if problem.family.main.domain == "unit":
            return ScaleWords("log probability", "risk ratio")
        return (
            ScaleWords("log rate", "rate ratio") if problem.family.discrete else ScaleWords("log mean", "mean ratio")
        )
    words = {
        "identity": ScaleWords(f"units of {problem.response.name}", None),
        "logit": ScaleWords("log odds", "odds ratio"),
        "cloglog": ScaleWords("log hazard", "hazard ratio"),
        "sqrt": ScaleWords("square root of the mean", None),
        "inverse": ScaleWords("1 / mean", None),
    }
    return words.get(link, ScaleWords(f"{link} scale", None))

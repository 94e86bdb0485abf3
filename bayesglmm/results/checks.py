"""A check of a fit, and the verdict over all of them: one word that knows why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

type Word = Literal["good", "check", "bad"]
_ORDER: tuple[Word, ...] = ("good", "check", "bad")

COLUMNS = ("check", "value", "threshold", "verdict", "meaning", "advice", "about")
CHAINS_AGREE = "the chains agree and hold enough independent draws; the numbers can be used."


@dataclass(frozen=True)
class Check:
    """One check of a fit.

    Attributes
    ----------
    name : str
    value : float
    threshold : str
        What counts as good.
    verdict : {"good", "check", "bad"}
    finding : str
        The value in a sentence, with the parameter concerned.
    meaning : str
        What it says about the numbers, in plain words.
    advice : str
        What to do; empty where all is well.
    about : {"computation", "model"}
        Whether it speaks of the numbers, as the verdict of a fit does, or of what model and data are to each other.
    parameters : tuple of str
        Labels of the parameters, columns or terms concerned.
    """

    name: str
    value: float
    threshold: str
    verdict: Word
    finding: str
    meaning: str
    advice: str = ""
    about: Literal["computation", "model"] = "computation"
    parameters: tuple[str, ...] = ()


class Verdict(str):
    """``"good"``, ``"check"`` or ``"bad"``: a string that also knows why.

    Parameters
    ----------
    word : str
    checks : sequence of Check
        Those that were made.
    good : str
        What to say when all is well.

    Attributes
    ----------
    reasons : tuple of str
        What was found, one sentence each; empty when all is well.
    advice : tuple of str
        What to do, in the order of the reasons.
    """

    __slots__ = ("advice", "good", "reasons")

    reasons: tuple[str, ...]
    advice: tuple[str, ...]
    good: str

    def __new__(cls, word: Word, checks: Sequence[Check] = (), good: str = CHAINS_AGREE) -> Verdict:
        self = super().__new__(cls, word)
        self.good = good
        raised = sorted((c for c in checks if c.verdict != "good"), key=lambda c: -_ORDER.index(c.verdict))
        self.reasons = tuple(f"{check.finding} {check.meaning}".strip() for check in raised)
        self.advice = tuple(dict.fromkeys(check.advice for check in raised if check.advice))
        return self

    @property
    def word(self) -> str:
        """The bare word."""
        return str.__str__(self)

    def __getnewargs__(self) -> tuple[str]:
        return (self.word,)

    def __str__(self) -> str:
        lines = [f"good: {self.good}" if self.word == "good" else _SUMMARY[self.word]]
        lines += [f"  - {reason}" for reason in self.reasons]
        lines += [f"  > {advice}" for advice in self.advice]
        return "\n".join(lines)


_SUMMARY = {
    "check": "check: the numbers are probably close, but look at this before you rely on them.",
    "bad": "bad: do not use these numbers yet.",
}


def verdict_of(checks: Sequence[Check], good: str = CHAINS_AGREE) -> Verdict:
    """Return the worst verdict of the checks."""
    word: Word = max((check.verdict for check in checks), key=_ORDER.index, default="good")
    return Verdict(word, checks, good)


def table(checks: Sequence[Check]) -> pd.DataFrame:
    """Return the checks as a table, one row each, the worst first."""
    rows = [
        (c.name, c.value, c.threshold, c.verdict, f"{c.finding} {c.meaning}".strip(), c.advice, c.about)
        for c in sorted(checks, key=severity)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def severity(check: Check) -> tuple[int, bool]:
    """Return what sorts checks: bad before check before good, and the numbers before the model."""
    return -_ORDER.index(check.verdict), check.about == "model"

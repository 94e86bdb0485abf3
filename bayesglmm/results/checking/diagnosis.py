"""The table of `Fit.diagnose`: checks of the computation, findings about the model, remedies that were tried."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesglmm.results.checking.of_fit import model_findings
from bayesglmm.results.checking.remedies import try_remedies
from bayesglmm.results.checks import Check, severity, table

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

_WIDTH = 110
_TRIED = ("tried", "before", "after", "worked")


class Diagnosis(pd.DataFrame):
    """A table of checks that prints as a list: what was found, what it means, what to do.

    All else is as of any DataFrame; ``to_string()`` prints the table.
    """

    @property
    def _constructor(self) -> Any:
        return pd.DataFrame

    def __repr__(self) -> str:
        return diagnosis_text(self)

    def _repr_html_(self) -> str:
        return str(self.to_html(index=False))


def diagnosis(fit: Fit, tried: bool, seed: int | None) -> Diagnosis:
    """Return the table; see `Fit.diagnose`."""
    checks = list(fit.checks)
    finite = next((check for check in checks if check.name == "finite draws"), None)
    if finite is None or finite.verdict == "good":
        point = fit.point.isel(chain=0, draw=0)
        checks += model_findings(fit.problem, point, fit.parameters, [check.name for check in checks])
    checks.sort(key=severity)
    frame = table(checks)
    if tried:
        trials = try_remedies(fit, checks, seed)
        for name in _TRIED:
            empty = None if name == "worked" else ""
            frame[name] = [empty if trial is None else getattr(trial, name) for trial in trials]
    return Diagnosis(frame)


def findings_table(checks: list[Check]) -> Diagnosis:
    """Return findings about a model that has not been fitted."""
    return Diagnosis(table(checks))


def diagnosis_text(frame: pd.DataFrame) -> str:
    """Return the list that ``print(fit.diagnose())`` shows: findings in full, what is good in one line."""
    lines: list[str] = []
    raised = frame[frame["verdict"] != "good"]
    for number, row in enumerate(raised.itertuples(index=False), start=1):
        lines.append(f"{number}. {row.check} ({row.verdict}): {row.value:.4g}, good is {row.threshold}")
        lines += _wrapped(str(row.meaning), "   ")
        if row.advice:
            lines += _wrapped(str(row.advice), "   > ")
        if getattr(row, "tried", ""):
            word = "worked" if row.worked else "did not help"
            before, after = str(row.before), str(row.after)
            both = f"{before} before, {after} after; it {word}." if before else after
            lines += _wrapped(f"tried {row.tried}: {both}", "   = ")
    good = frame[frame["verdict"] == "good"]["check"].tolist()
    if not len(frame):
        return "Nothing was found."
    if good:
        lines += _wrapped(f"{'Good' if not lines else 'All else is good'}: {', '.join(good)}.", "")
    return "\n".join(lines)


def _wrapped(text: str, lead: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead), break_on_hyphens=False)

"""What bayesglmm is held to, computed from the rows: met or missed, with the number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Mapping[str, Mapping[str, Any]]

SAMPLED = ("cbpp", "sleepstudy", "Contraception", "epilepsy", "grouseticks", "VerbAgg")
CROSSED = ("grouseticks", "VerbAgg")


@dataclass(frozen=True)
class Bar:
    """A demand on one problem: ``found`` times as good as the other, at least ``demanded``."""

    problem: str
    what: str
    found: float
    demanded: float
    bound: bool = False
    """Whether `found` is a lower bound: the other did not converge, or was stopped."""
    words: str = ""
    """What is printed in the place of the ratio."""

    @property
    def verdict(self) -> str:
        """met or MISSED."""
        return "met" if self.found >= self.demanded else "MISSED"

    def cells(self) -> list[str]:
        """Return the cells of its line."""
        least = "at least " if self.bound else ""
        number = f"{self.found:.0f}" if self.found >= 100 else f"{self.found:.2g}"
        found, demanded = f"{least}{number}x", f"{self.demanded:g}x"
        return [self.problem, self.what, self.words or found, "" if self.words else demanded, self.verdict]


def bars_of(problem: str, rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Return the demands on a problem for which there are numbers."""
    by_name = {str(row["entry"]): row for row in rows}
    found = [*_laplace(problem, by_name)]
    if problem in SAMPLED:
        found = [*_cold(problem, by_name), *_rates(problem, by_name), *found]
    return found


def _cold(problem: str, rows: Rows) -> Iterator[Bar]:
    ours = rows.get("bayesglmm nuts", {})
    if ours.get("status") != "ok":
        return
    quality = ours["quality"]
    words = f"ESS {quality['ess']:.0f}, R-hat {quality['rhat']:.3f}"
    yield Bar(problem, "NUTS converged by default, in every run", float(ours["converged"]), 1.0, words=words)
    imports = rows.get("imports import", {})
    for peer, demanded in (("bambi nuts", 2.0), ("brms nuts", 5.0)):
        theirs = rows.get(peer, {})
        for when, words in (("first", "empty caches"), ("again", "second run")):
            seconds = theirs.get(when) or (theirs.get("wall") if theirs.get("status") == "stopped" else None)
            if seconds is None or not ours.get(when):
                continue
            bound = not theirs.get("converged", False)
            yield Bar(problem, f"cold, {words}: {peer}", seconds / ours[when], demanded, bound)
            base = imports.get(when)
            if peer == "bambi nuts" and base is not None:
                what = f"cold, {words}, less imports: {peer}"
                if ours[when] > base:
                    yield Bar(problem, what, (seconds - base) / (ours[when] - base), 3.0, bound)
                else:
                    yield Bar(problem, what, float("inf"), 3.0, words="all of it in less than the imports")


def _rates(problem: str, rows: Rows) -> Iterator[Bar]:
    ours = rows.get("bayesglmm nuts", {}).get("ess_per_second")
    rates = {name: rows.get(name, {}).get("ess_per_second") for name in ("bambi nuts", "brms nuts")}
    known = {name: rate for name, rate in rates.items() if rate}
    if ours and known:
        best = max(known, key=lambda name: known[name])
        demanded = 5.0 if problem in CROSSED else 2.0
        yield Bar(problem, f"ESS per second of sampling: {best}", ours / known[best], demanded)


def _laplace(problem: str, rows: Rows) -> Iterator[Bar]:
    ml, posterior = (rows.get(f"bayesglmm {mode}", {}).get("warm") for mode in ("ml", "laplace"))
    for peer, demanded in (("glmmTMB ml", 5.0), ("lme4 ml", 10.0)):
        theirs = rows.get(peer, {})
        stopped = theirs.get("status") == "stopped"
        seconds = theirs.get("wall") if stopped else theirs.get("warm")
        if seconds and ml:
            yield Bar(problem, f"maximum likelihood fit: {peer}", seconds / ml, demanded, stopped)
        if seconds and posterior and peer == "glmmTMB ml":
            yield Bar(problem, "Laplace posterior against the ML fit of glmmTMB", seconds / posterior, 1.0, stopped)

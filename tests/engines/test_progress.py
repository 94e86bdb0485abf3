"""The line of progress: only for long fits, only where it can move; Ctrl-C ends with a sentence."""

from __future__ import annotations

import io
import time
from typing import Any

import pandas as pd
import pytest

import bayesglmm as bg
from bayesglmm.engines import laplace
from bayesglmm.engines.progress import Progress
from bayesglmm.errors import InterruptedFitError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(text: str) -> str:
    """Return what a terminal shows after this text."""
    shown = ""
    for piece in text.split("\r"):
        shown = piece + shown[len(piece) :]
    return shown


def run(stream: io.StringIO, seconds: float, show: bool = True) -> str:
    with Progress("Laplace", show, stream, quiet=0.05).running() as progress:
        progress.now("maximising")
        progress.report(12, -75.251)
        progress.report(13, float("nan"))
        time.sleep(seconds)
        during = screen(stream.getvalue())
    assert screen(stream.getvalue()).strip() == ""
    return during


def test_a_long_task_is_described_and_the_line_wiped_in_the_end() -> None:
    assert run(Terminal(), 0.4).startswith("Laplace, maximising, 13 evaluations, log density -75.25, 0 s")


def test_nothing_is_drawn_for_quick_tasks_or_in_pipes() -> None:
    assert run(Terminal(), 0.0) == ""
    assert run(io.StringIO(), 0.2) == ""
    assert run(Terminal(), 0.2, show=False) == ""


def small() -> bg.Model:
    data = pd.DataFrame({"y": [0.1, 1.2, 0.4, 2.2, 1.4, 0.2, 0.9, 1.8], "g": list("aabbccdd")})
    return bg.Model("y ~ 1 + (1 | g)", data)


@pytest.mark.parametrize("objective", ["ml", "posterior"])
def test_a_fit_reports_its_search(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(Progress, "report", lambda self, evaluations, value: seen.append(evaluations))
    small().fit("laplace", objective=objective, draws=10, seed=1)
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 4


@pytest.mark.parametrize("objective", ["ml", "posterior"])
def test_an_interrupted_fit_says_how_far_it_was(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Any, evaluations: int, value: float) -> None:
        self.evaluations = evaluations
        raise KeyboardInterrupt

    monkeypatch.setattr(laplace.Progress, "report", interrupt)
    with pytest.raises(
        InterruptedFitError, match=r"Interrupted: Laplace, .*1 evaluations.*no partial result to keep"
    ):
        small().fit("laplace", objective=objective, draws=10, seed=1)

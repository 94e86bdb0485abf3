"""lme4: lmer and glmer."""

from __future__ import annotations

from typing import ClassVar

from suite.contestants import RContestant
from suite.problems import Problem


class Lme4(RContestant):
    """Maximum likelihood, defaults."""

    name: ClassVar[str] = "lme4"
    modes: ClassVar[tuple[str, ...]] = ("ml",)
    debian: ClassVar[tuple[str, ...]] = ("r-base-core", "r-cran-lme4", "r-cran-jsonlite")

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return "has no such term" if problem.smooths or problem.kinship else ""

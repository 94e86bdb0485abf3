"""glmmTMB: maximum likelihood by Laplace's approximation and automatic differentiation."""

from __future__ import annotations

from typing import ClassVar

from suite.contestants import RContestant
from suite.problems import Problem


class GlmmTMB(RContestant):
    """Maximum likelihood, defaults."""

    name: ClassVar[str] = "glmmTMB"
    modes: ClassVar[tuple[str, ...]] = ("ml",)
    debian: ClassVar[tuple[str, ...]] = ("r-base-core", "r-cran-glmmtmb", "r-cran-jsonlite")

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return "has no such term" if problem.smooths or problem.kinship else ""

"""mgcv: smooths by restricted likelihood (gam with method REML)."""

from __future__ import annotations

from typing import ClassVar

from suite.contestants import RContestant
from suite.problems import Problem


class Mgcv(RContestant):
    """Restricted likelihood; bases as bayesglmm's, which are mgcv's. Its criterion has other constants."""

    name: ClassVar[str] = "mgcv"
    modes: ClassVar[tuple[str, ...]] = ("ml",)
    debian: ClassVar[tuple[str, ...]] = ("r-base-core", "r-cran-mgcv", "r-cran-jsonlite")

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return "" if problem.smooths else "problems with smooths only"

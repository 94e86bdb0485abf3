"""brms with rstan: Stan's program is written, compiled and sampled in every session."""

from __future__ import annotations

from typing import ClassVar

from suite.contestants import RContestant
from suite.problems import Problem


class Brms(RContestant):
    """brms's defaults: 4 chains of 1,000 draws after 1,000 of warm-up."""

    name: ClassVar[str] = "brms"
    modes: ClassVar[tuple[str, ...]] = ("nuts",)
    debian: ClassVar[tuple[str, ...]] = ("r-base-dev", "r-cran-brms", "r-cran-jsonlite", "libboost-dev")

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return "" if problem.sampled else "not sampled"

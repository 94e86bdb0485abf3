"""What a question about effects is asked of: rows, how they are put together, whose effects, on which scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayesglmm.results.draws import interval
from bayesglmm.results.effects.averages import Cells, asked_rows, cells, default_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bayesglmm.results.fit import Fit
    from bayesglmm.results.predict import Question


@dataclass(frozen=True, eq=False)
class Asked:
    """What predictions, comparisons and slopes have in common.

    Attributes
    ----------
    new : DataFrame, mapping or None
        Rows, as they were given.
    at : str, mapping or None
        Or a grid in short.
    by : str, sequence of str or None
        Columns within whose values rows are averaged.
    average : bool or None
        Whether rows are averaged; None: as suits them.
    groups : str, mapping or None
        Whose group effects; None: as suits the rows.
    prob : float
        Posterior probability of the intervals.
    question : Question
        With scale, seed, draws and offset; its groups are settled once the rows are known.
    """

    new: Any
    at: Any
    by: str | Sequence[str] | None
    average: bool | None
    groups: Any
    prob: float
    question: Question

    def __post_init__(self) -> None:
        interval(self.prob)

    @property
    def scale(self) -> str:
        """Of the question."""
        return self.question.scale

    def settled(self, fit: Fit) -> tuple[pd.DataFrame, Question]:
        """Return the rows, and the question with the groups that suit them."""
        rows = asked_rows(fit, self.new, self.at)
        return rows, replace(self.question, groups=default_groups(fit, rows, self.groups))

    def cells(self, fit: Fit, rows: pd.DataFrame) -> Cells:
        """Return rows with the cells that they belong to."""
        return cells(fit, rows, self.by, self.average)

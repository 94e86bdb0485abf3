"""Questions that need a value for every row, where the rows of a model were read piece by piece: refused in words."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bayesglmm.errors import DataError

if TYPE_CHECKING:
    from bayesglmm.graph.problem import Problem

NEEDS_ROWS: Mapping[str, str | None] = {
    **dict.fromkeys(
        (
            "log_likelihood",
            "posterior_predictive",
            "fitted",
            "loo",
            "kfold",
            "bridge",
            "residuals",
            "check_residuals",
            "r2",
            "prior_sensitivity",
            "missing",
            "missing_draws",
            "bootstrap",
            "drop_terms",
            "profile",
            "heritability",
            "icc",
            "smooths",
            "report",
        )
    ),
    **dict.fromkeys(
        ("predict", "predicted_draws", "predictions", "comparisons", "slopes", "emmeans", "odds_ratios"), "new"
    ),
}
"""Methods of a fit that look at every row, and the argument that lets them do without."""


def refuse_without_rows(problem: Problem, what: str, instead: str = "") -> None:
    """Refuse a question about rows that are not in memory.

    Parameters
    ----------
    problem : Problem
    what : str
        Who asks, at the beginning of a sentence.
    instead : str
        What else can be done, a sentence.

    Raises
    ------
    DataError
    """
    if problem.parts is not None:
        raise DataError(
            f"{what} looks at every row, and the rows of this model were read piece by piece. {instead}"
            "Fit the table in memory, or a sample of its groups: bg.Model(formula, pandas.read_parquet(...), ...)."
        )


def refuses_rows_elsewhere[Kind: type](kind: Kind) -> Kind:
    """Let the methods of `NEEDS_ROWS` of a class refuse where the rows are elsewhere (a class decorator)."""
    for name, argument in NEEDS_ROWS.items():
        if hasattr(kind, name):
            setattr(kind, name, _guarded(name, getattr(kind, name), argument))
    return kind


def _guarded(name: str, method: Callable[..., Any], argument: str | None) -> Callable[..., Any]:
    takes = argument if argument in inspect.signature(method).parameters else None

    @functools.wraps(method)
    def ask(self: Any, *given: Any, **named: Any) -> Any:
        if self.problem.parts is not None:
            bound = inspect.signature(method).bind_partial(self, *given, **named).arguments
            if takes is None or bound.get(takes) is None:
                instead = "" if takes is None else f"Give rows: fit.{name}({takes}=...). "
                refuse_without_rows(self.problem, f"fit.{name}()", instead)
        return method(self, *given, **named)

    return ask

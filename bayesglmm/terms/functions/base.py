"""What a function of formulas is; `FUNCTIONS` is the allow-list.

To add one, write or extend a file in this folder: ``FUNCTIONS.register(Function("name", ...))``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesglmm.formula.syntax import Call
from bayesglmm.registry import Registry
from bayesglmm.terms.columns import Value

if TYPE_CHECKING:
    from bayesglmm.terms.evaluate import Evaluator


@dataclass(frozen=True)
class Function:
    """One function that formulas may call.

    Attributes
    ----------
    name : str
        As R spells it.
    run : callable
        ``run(evaluator, call) -> Value``; it evaluates its own arguments, so that it may read words and strings.
    aliases : tuple of str
        Other spellings.
    data_arguments : int or None
        How many leading arguments hold data, where the others are words, numbers or strings; None: all of them.
    """

    name: str
    run: Callable[[Evaluator, Call], Value]
    aliases: tuple[str, ...] = ()
    data_arguments: int | None = None


FUNCTIONS: Registry[Function] = Registry("function", "bayesglmm.terms.functions")

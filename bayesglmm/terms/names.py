"""Which names of a formula are columns, and what is said where one is unknown or forbidden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bayesglmm.errors import DataError, FormulaError, UnknownNameError, did_you_mean
from bayesglmm.formula.syntax import Call, Name, Node, children
from bayesglmm.terms.base import TERMS
from bayesglmm.terms.functions.base import FUNCTIONS

CONSTANTS = frozenset({"TRUE", "FALSE", "T", "F", "True", "False", "NULL", "None", "pi", "Inf"})
"""Names that mean something without a column; a column of that name in the data comes first."""

INTERCEPT = "Intercept"
"""Reserved: the constant. ``0 + Intercept + x`` is brms' spelling for a constant that is an ordinary column."""


def column_names(node: Node) -> Iterator[Name]:
    """Yield the names in `node` that stand for columns, in the order of the text.

    The words of a call that are no data (``Sum`` in ``C(x, Sum)``, the levels of a factor) are left out.
    """
    match node:
        case Name(text):
            if text != INTERCEPT:
                yield node
        case Call(function, args, kwargs):
            if function in TERMS:
                yield from TERMS.get(function).columns(node)
            elif function in FUNCTIONS and (spec := FUNCTIONS.get(function)).data_arguments is not None:
                named = dict(kwargs)
                for child in args[: spec.data_arguments] or tuple(n for k, n in named.items() if k == "x"):
                    yield from column_names(child)
            else:
                for child in children(node):
                    yield from column_names(child)
        case _:
            for child in children(node):
                yield from column_names(child)


def caret(message: str, formula: str, position: int) -> str:
    """Return `message` with the formula and a caret below it."""
    return str(FormulaError(message, formula, position))


def unknown_column(name: Name, known: Iterable[str], formula: str) -> UnknownNameError:
    """Return the error for a column that is not in the data."""
    message = f"There is no column {name.text!r} in the data. {did_you_mean(name.text, known)}"
    return UnknownNameError(caret(message, formula, name.position))


# What users of mgcv and brms type and is neither a function nor a term here; a registered term takes precedence.
_ABSENT = "which this version does not have"
_ELSEWHERE = {
    "gp": 'a Gaussian process, which is written s(x, bs="gp") here',
    **dict.fromkeys(("bs", "ns", "cr", "cc"), "a spline basis; a smooth is written s(x), here as in mgcv"),
    "me": f"a term with measurement error, {_ABSENT}",
    "mi": "an imputed covariate, which needs a model of its own; only the response can be missing here, y | mi()",
    "mm": "a grouping factor for rows that belong to several of its levels: write (1 | mm(g1, g2))",
}


def unknown_function(call: Call, formula: str) -> UnknownNameError:
    """Return the error for a call that is neither a function nor a term."""
    known = {name for function in FUNCTIONS for name in (function.name, *function.aliases)}
    known |= {name for term in TERMS for name in (term.name, *term.aliases)}
    if call.function in _ELSEWHERE:
        message = f"`{call.function}(...)` is {_ELSEWHERE[call.function]}."
        return UnknownNameError(caret(message, formula, call.position))
    message = f"Unknown function `{call.function}`. {did_you_mean(call.function, known)} "
    message += "Functions of your own are not called in formulas: add a column to the data instead."
    return UnknownNameError(caret(message, formula, call.position))


def reserved_column(name: str) -> DataError:
    """Return the error for a column whose name means something else here."""
    return DataError(
        f"The data have a column called {name!r}, which is reserved: {name} is the name of the constant term. "
        "Rename the column."
    )

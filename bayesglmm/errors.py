"""The exceptions and warnings that users meet. A leaf: it imports nothing of the package."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BayesglmmError(ValueError):
    """Base class of every error that the package raises on purpose."""


class FormulaError(BayesglmmError):
    """A formula that cannot be read or has no meaning here.

    Parameters
    ----------
    message : str
        What was found and what is allowed.
    formula : str, optional
        The formula text; with `position` it is shown with a caret below the culprit.
    position : int, optional
        Offset into `formula` (0-based, in characters).
    """

    def __init__(self, message: str, formula: str | None = None, position: int | None = None) -> None:
        self.message, self.formula, self.position = message, formula, position
        if formula is not None and position is not None:
            flat = formula.replace("\n", " ").replace("\t", " ")
            start, end = max(0, position - 60), position + 60  # a window: formulas can be pages long
            before, after = "..." if start else "", "..." if end < len(flat) else ""
            message = (
                f"{message}\n    {before}{flat[start:end]}{after}\n    {' ' * (len(before) + position - start)}^"
            )
        super().__init__(message)


class DataError(BayesglmmError):
    """Data that do not fit the formula or the family; names the column, level or row."""


class PriorError(BayesglmmError):
    """A prior that matches nothing, or that does not suit its parameter."""


class SettingsError(BayesglmmError):
    """An engine setting that is unknown or out of range."""


class UnknownNameError(BayesglmmError):
    """A name that is in no registry, table or data frame."""


class StorageError(BayesglmmError):
    """A file that cannot be written, or that does not hold an intact saved fit."""


class NoDerivativeError(BayesglmmError):
    """A log-likelihood without the derivatives that an engine needs; NUTS needs only the first."""


class InterruptedFitError(RuntimeError):
    """A fit was interrupted before it had anything to keep."""


class InterruptedBeforeFirstDrawError(InterruptedFitError):
    """Sampling was interrupted before any chain had delivered a draw after tuning."""


class WorkerLostError(RuntimeError):
    """Processes or machines of a parallel run were lost again and again, mostly for want of memory."""


class ModelWarning(UserWarning):
    """Something that does not stop the fit but that its reader should know."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the nearest known name, or lists what is known.

    Parameters
    ----------
    name : str
        What the user wrote.
    known : iterable of str
        What would have been accepted.

    Returns
    -------
    str
        ``"Did you mean 'x'? Known: ..."``, cut to a readable length.
    """
    names = sorted({str(k) for k in known})
    near = get_close_matches(str(name), names, n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"{hint}Known: {shown or 'nothing'}."

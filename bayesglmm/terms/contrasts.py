"""Contrasts: how a factor with J levels becomes J - 1 columns. Numbers and labels are those of R's ``contr.*``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import FormulaError, did_you_mean


@dataclass(frozen=True)
class Contrast:
    """One way to code a factor beside a constant.

    Attributes
    ----------
    kind : {"treatment", "sum", "helmert", "poly", "SAS"}
        As R's ``contr.<kind>``.
    reference : str or int or None
        For treatment coding the reference level, by name or by 0-based position; None is the first.
    """

    kind: str = "treatment"
    reference: str | int | None = None

    def base(self, levels: tuple[str, ...]) -> int | None:
        """Return the position of the reference level, None where the coding has none.

        Raises
        ------
        FormulaError
            If the level does not exist.
        """
        if self.kind == "SAS":
            return len(levels) - 1
        if self.kind != "treatment":
            return None
        if self.reference is None:
            return 0
        if isinstance(self.reference, str):
            if self.reference not in levels:
                hint = did_you_mean(self.reference, levels)
                raise FormulaError(f"There is no level {self.reference!r} to serve as reference. {hint}")
            return levels.index(self.reference)
        if not 0 <= self.reference < len(levels):
            message = f"base = {self.reference + 1} is no position among the {len(levels)} levels"
            raise FormulaError(f"{message} {', '.join(levels[:20])}.")
        return self.reference

    def columns(self, levels: tuple[str, ...]) -> tuple[Floats, tuple[str, ...]]:
        """Return the coding matrix and the labels of its columns.

        Parameters
        ----------
        levels : tuple of str, length J

        Returns
        -------
        matrix : ndarray, shape (J, J - 1)
            Row j codes level j.
        labels : tuple of str, length J - 1
            Level names for treatment coding; ``1``, ``2``, ... for sum and Helmert; ``.L``, ``.Q``, ``.C``, ``^4``,
            ... for polynomials.
        """
        base = self.base(levels)
        if base is None:
            return _CODINGS[self.kind](len(levels))
        keep = [j for j in range(len(levels)) if j != base]
        return np.eye(len(levels))[:, keep], tuple(levels[j] for j in keep)


TREATMENT = Contrast()

KINDS = {
    **dict.fromkeys(("Treatment", "treatment", "contr.treatment"), "treatment"),
    **dict.fromkeys(("SAS", "contr.SAS"), "SAS"),
    **dict.fromkeys(("Sum", "sum", "Deviation", "contr.sum"), "sum"),
    **dict.fromkeys(("Helmert", "helmert", "contr.helmert"), "helmert"),
    **dict.fromkeys(("Poly", "poly", "Polynomial", "contr.poly"), "poly"),
}
"""Spellings of R, patsy and Bambi."""


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(str(j + 1) for j in range(count))


def _sum(count: int) -> tuple[Floats, tuple[str, ...]]:
    return np.vstack([np.eye(count - 1), -np.ones((1, count - 1))]), _numbered(count - 1)


def _helmert(count: int) -> tuple[Floats, tuple[str, ...]]:
    matrix = np.where(np.arange(count)[:, None] <= np.arange(count - 1)[None, :], -1.0, 0.0)
    matrix[np.arange(1, count), np.arange(count - 1)] = np.arange(1, count)
    return matrix, _numbered(count - 1)


def _poly(count: int) -> tuple[Floats, tuple[str, ...]]:
    scores = np.arange(count) - (count - 1) / 2
    q, r = np.linalg.qr(np.vander(scores, count, increasing=True))
    names = (".L", ".Q", ".C", *(f"^{degree}" for degree in range(4, count)))
    return (q * np.sign(np.diag(r)))[:, 1:], names[: count - 1]


_CODINGS: dict[str, Callable[[int], tuple[Floats, tuple[str, ...]]]] = {
    "sum": _sum,
    "helmert": _helmert,
    "poly": _poly,
}

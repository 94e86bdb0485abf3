"""The result of this room: a model's formula and data as numbers, and the way to code new data alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayesglmm.blocks import Block, Floats, Ints, Predictor, ResidualBlock, Response
from bayesglmm.design.curves import curve, smooths
from bayesglmm.design.nonlinear import NonlinearPart
from bayesglmm.design.predictors import PredictorPart
from bayesglmm.design.rebind import Rebound, rebind
from bayesglmm.design.response import ResponseCoder
from bayesglmm.design.roles import ColumnRoles, roles
from bayesglmm.formula import FormulaSpec
from bayesglmm.terms import Smooth

if TYPE_CHECKING:
    from bayesglmm.design.stored import StoredRows


@dataclass(frozen=True, eq=False)
class Rows:
    """Which rows of the data are used.

    Attributes
    ----------
    given, used : int
        Rows in the data, and rows in the model.
    missing : mapping of str to int
        Columns with missing values and how many they have.
    positions : ndarray of int, shape (used,)
        Positions of the rows used, from 0.
    labels : ndarray, shape (used,)
        Their labels in the index of the data frame.
    unobserved : ndarray of int
        Positions of the rows that lack their response alone, where ``mi()`` keeps them aside to be predicted.
    """

    given: int
    used: int
    missing: Mapping[str, int]
    positions: Ints
    labels: NDArray[Any]
    unobserved: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.intp))

    @property
    def dropped(self) -> int:
        """Rows left out because a value is missing."""
        return self.given - self.used - len(self.unobserved)


class FactorCoding(NamedTuple):
    """How a factor of the fixed effects is coded.

    Attributes
    ----------
    factor : str
        Its label: ``period``, ``C(period, Sum)``.
    levels : tuple of str
    contrast : str
        ``treatment``, ``sum``, ``helmert``, ``poly``, ``SAS``, or ``levels`` where every level has a column.
    reference : str or None
        Reference level of treatment contrasts.
    """

    factor: str
    levels: tuple[str, ...]
    contrast: str
    reference: str | None


@dataclass(frozen=True, eq=False)
class Design:
    """Everything numeric that a model needs, and how it came about.

    Attributes
    ----------
    spec : FormulaSpec
        With ``.`` expanded.
    response : Response
    predictors : mapping of str to Predictor
        By family parameter. For nominal responses several parameters share the blocks of the main formula.
    n : int
        Rows used.
    rows : Rows
        Rows given, used and dropped.
    coding : tuple of FactorCoding
        Factors among the fixed effects.
    groups : mapping of str to int
        Grouping factors and how many levels they have.
    notes : tuple of str
        What the reader of the model should know, in plain sentences.
    parts : mapping of str to PredictorPart
        By family parameter, what the terms learned from the data.
    coder : ResponseCoder
        How the left side is coded.
    data : DataFrame
        The columns that the formula mentions, all rows given: with the formula enough to make the design again.
    weights, likelihood_weights : ndarray, shape (rows given,), or None
        As given by the user, when they were not columns of the data.
    nonlinear : NonlinearPart or None
        The expression of a nonlinear predictor; its parameters have the first predictors.
    residual : ResidualBlock or None
        How the residuals depend on each other within groups.
    stored : StoredRows or None
        Where the rows are if they are not here. Then `n` and the counts of `rows` are those of all; blocks and
        response have a few rows with the moments of all, and `data` those from which the terms were learned.
    """

    spec: FormulaSpec
    response: Response
    predictors: Mapping[str, Predictor]
    n: int
    rows: Rows
    coding: tuple[FactorCoding, ...]
    groups: Mapping[str, int]
    notes: tuple[str, ...]
    data: pd.DataFrame
    parts: Mapping[str, PredictorPart]
    coder: ResponseCoder
    weights: Floats | str | None = None
    likelihood_weights: Floats | str | None = None
    nonlinear: NonlinearPart | None = None
    residual: ResidualBlock | None = None
    stored: StoredRows | None = None

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}: {len(p.columns)} columns" for name, p in self.predictors.items())
        groups = "".join(f", {name}: {size:,} levels" for name, size in self.groups.items())
        return f"<Design {self.spec.text!r}: {self.n:,} rows, {columns}{groups}>"

    def rebind(self, data: Any, groups: bool = True, response: bool = False) -> Rebound:
        """Code new data as those of the model were coded: same levels, contrasts and learned statistics.

        Parameters
        ----------
        data : DataFrame or mapping
            New rows. Offsets are computed from them, and trials if their columns are there.
        groups : bool
            False: grouping factors need not be among the columns, and every row belongs to a level not seen.
        response : bool
            Code the left side too.

        Returns
        -------
        Rebound

        Raises
        ------
        DataError
            For columns that lack, missing values, and levels of fixed factors that the model does not know.
        """
        return rebind(self.spec, self.parts, self.coder, data, groups, response, self.weights, self.nonlinear)

    @property
    def unobserved(self) -> pd.DataFrame:
        """The rows of the data without a response, which ``mi()`` keeps aside to be predicted."""
        return self.data.iloc[self.rows.unobserved]

    @property
    def smooths(self) -> dict[str, tuple[Smooth, ...]]:
        """The smooths of every predictor, by family parameter, in the order of the formula."""
        return smooths(self.parts)

    @property
    def roles(self) -> ColumnRoles:
        """What each column of the data is in the model: response, grouping factor, factor."""
        return roles(self.spec, self.parts)

    def curve(self, parameter: str, label: str, data: Any) -> tuple[Block, ...]:
        """Return the columns of one smooth alone at new covariate values.

        Parameters
        ----------
        parameter : str
            The predictor that it is part of.
        label : str
            As in `smooths`.
        data : DataFrame or mapping
            The covariates of the smooth. A numeric `by` that is not among the columns counts as 1.

        Raises
        ------
        DataError
            For covariates that lack or are missing.
        """
        return curve(self.parts, parameter, label, data)

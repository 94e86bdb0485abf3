"""The start of searches in a nonlinear model, checked while nothing has been compiled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Predictor, Response
from bayesglmm.errors import DataError
from bayesglmm.expressions import Expression
from bayesglmm.graph.slot import PriorTable


def check_start(
    expression: Expression, response: Response, predictors: Mapping[str, Predictor], priors: PriorTable
) -> None:
    """Refuse start values at which the predictor is not a finite number in every row.

    Parameters
    ----------
    expression : Expression
    response : Response
    predictors : mapping of str to Predictor
    priors : PriorTable
        With the starts.

    Raises
    ------
    DataError
        With the first such row, and the values in it.
    """
    values = []
    for name in expression.parameters:
        predictor = predictors[name]
        beta = np.array([slot.start for slot in priors.coefficients[name]], dtype=float)
        values.append(predictor.X @ beta + (0.0 if predictor.offset is None else predictor.offset))
    columns = [response.covariates[text] for text in expression.columns]
    with np.errstate(all="ignore"):
        eta = np.broadcast_to(expression(values, columns, NUMPY), (len(response.y),))
    bad = ~np.isfinite(eta)
    if not bad.any():
        return
    i = int(np.argmax(bad))
    row = i if response.rows is None else response.rows[i]
    own = [f"{name} = {value[i]:.4g}" for name, value in zip(expression.parameters, values, strict=True)]
    data = [f"{text} = {value[i]:.4g}" for text, value in zip(expression.columns, columns, strict=True)]
    raise DataError(
        f"`{expression.text}` is {eta[i]} in {int(bad.sum()):,} of {len(eta):,} rows at the start values (first: row "
        f"{row}, where {', '.join([*own, *data])}). Give others, bg.nonlinear(..., start={{...}}), or priors whose "
        "centres are possible values."
    )

"""One small vocabulary of elementwise mathematics, spoken by numpy/scipy and by PyTensor alike.

Links, family means and linear predictors are written once against `ArrayMath`; the graph calls them with
`pytensor_math()`, predictions with `NUMPY`. So no formula of the model exists twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy import special


@dataclass(frozen=True)
class ArrayMath:
    """Elementwise functions and the few array operations that the model needs.

    Attributes
    ----------
    name : str
        ``"numpy"`` or ``"pytensor"``.
    where : callable
        ``where(condition, a, b)``.
    concatenate, stack : callable
        As numpy's, with `axis`.
    cholesky : callable
        Lower factor of the last two axes; nan where a matrix is not positive definite.
    segment_sum : callable
        ``segment_sum(values, place, size)``: sums of values, shape (m,), by where they belong, integers below `size`.
    tril_inverse : callable
        Inverse of lower triangular matrices in the last two axes.
    log_ndtr : callable
        Logarithm of the standard normal distribution function, accurate in both tails.
    log1mexp : callable
        log(1 - exp(x)) for x < 0, accurate at both ends (Maechler 2012).
    softplus : callable
        log(1 + exp(x)).
    """

    name: str
    exp: Callable[..., Any]
    expm1: Callable[..., Any]
    log: Callable[..., Any]
    log1p: Callable[..., Any]
    sqrt: Callable[..., Any]
    abs: Callable[..., Any]
    sign: Callable[..., Any]
    maximum: Callable[..., Any]
    minimum: Callable[..., Any]
    where: Callable[..., Any]
    expit: Callable[..., Any]
    gammaln: Callable[..., Any]
    digamma: Callable[..., Any]
    erf: Callable[..., Any]
    erfinv: Callable[..., Any]
    log_ndtr: Callable[..., Any]
    sin: Callable[..., Any]
    cos: Callable[..., Any]
    tan: Callable[..., Any]
    arctan: Callable[..., Any]
    arctan2: Callable[..., Any]
    softplus: Callable[..., Any]
    log1mexp: Callable[..., Any]
    sum: Callable[..., Any]
    cumsum: Callable[..., Any]
    concatenate: Callable[..., Any]
    stack: Callable[..., Any]
    zeros_like: Callable[..., Any]
    ones_like: Callable[..., Any]
    cholesky: Callable[..., Any]
    segment_sum: Callable[..., Any]
    tril_inverse: Callable[..., Any]


def _numpy_cholesky(x: Any) -> Any:
    x = np.asarray(x, dtype=float)
    try:
        return np.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        if x.ndim == 2:
            return np.full_like(x, np.nan)
        flat = x.reshape(-1, *x.shape[-2:])
        return np.stack([_numpy_cholesky(each) for each in flat]).reshape(x.shape)


def _numpy_log1mexp(x: Any) -> Any:
    x = np.asarray(x, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x > -np.log(2.0), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


NUMPY = ArrayMath(
    name="numpy",
    exp=np.exp,
    expm1=np.expm1,
    log=np.log,
    log1p=np.log1p,
    sqrt=np.sqrt,
    abs=np.abs,
    sign=np.sign,
    maximum=np.maximum,
    minimum=np.minimum,
    where=np.where,
    expit=special.expit,
    gammaln=special.gammaln,
    digamma=special.digamma,
    erf=special.erf,
    erfinv=special.erfinv,
    log_ndtr=special.log_ndtr,
    sin=np.sin,
    cos=np.cos,
    tan=np.tan,
    arctan=np.arctan,
    arctan2=np.arctan2,
    softplus=lambda x: np.logaddexp(0.0, x),
    log1mexp=_numpy_log1mexp,
    sum=np.sum,
    cumsum=np.cumsum,
    concatenate=np.concatenate,
    stack=np.stack,
    zeros_like=np.zeros_like,
    ones_like=np.ones_like,
    cholesky=_numpy_cholesky,
    segment_sum=lambda values, place, size: np.bincount(place, values, size),
    tril_inverse=lambda x: np.tril(np.linalg.inv(x)),
)


def semidefinite_factor(matrix: Any) -> Any:
    """Return lower triangular L with L L' = matrix, shape (..., k, k), for singular matrices too.

    A correlation near one makes LAPACK's Cholesky fail by rounding alone; here such pivots count as zero.
    """
    matrix = np.asarray(matrix, dtype=float)
    factor = np.zeros_like(matrix)
    for j in range(matrix.shape[-1]):
        column = matrix[..., j:, j] - np.einsum("...ir,...r->...i", factor[..., j:, :j], factor[..., j, :j])
        pivot = np.sqrt(np.maximum(column[..., :1], 0.0))
        factor[..., j:, j] = np.divide(column, pivot, out=np.zeros_like(column), where=pivot > 1e-10)
    return factor


def _cholesky_at_ends(x: Any) -> Any:
    factor = _numpy_cholesky(x)
    lost = ~np.isfinite(factor).all(axis=(-2, -1))
    if lost.any():
        factor = np.array(factor)
        factor[lost] = semidefinite_factor(np.asarray(x)[lost])
    return factor


SEMIDEFINITE = replace(NUMPY, cholesky=_cholesky_at_ends)
"""For draws: a correlation of one but for rounding has a factor, where a search wants to hear that it has none."""


@cache
def pytensor_math() -> ArrayMath:
    """Return the PyTensor vocabulary; imports PyTensor when first called."""
    import pytensor.scalar as ps
    import pytensor.tensor as pt
    from pytensor.tensor.elemwise import Elemwise

    # PyTensor knows no function of numpy for its softplus and would call Python for every number.
    softplus = Elemwise(ps.softplus, nfunc_spec=("scipy.special.softplus", 1, 1))
    return ArrayMath(
        name="pytensor",
        exp=pt.exp,
        expm1=pt.expm1,
        log=pt.log,
        log1p=pt.log1p,
        sqrt=pt.sqrt,
        abs=pt.abs,
        sign=pt.sign,
        maximum=pt.maximum,
        minimum=pt.minimum,
        where=pt.switch,
        expit=pt.sigmoid,
        gammaln=pt.gammaln,
        digamma=pt.digamma,
        erf=pt.erf,
        erfinv=pt.erfinv,
        log_ndtr=_pytensor_log_ndtr,
        sin=pt.sin,
        cos=pt.cos,
        tan=pt.tan,
        arctan=pt.arctan,
        arctan2=pt.arctan2,
        softplus=softplus,
        log1mexp=_pytensor_log1mexp,
        sum=pt.sum,
        cumsum=pt.cumsum,
        concatenate=pt.concatenate,
        stack=pt.stack,
        zeros_like=pt.zeros_like,
        ones_like=pt.ones_like,
        cholesky=pt.linalg.cholesky,
        segment_sum=lambda values, place, size: pt.zeros(size)[place].inc(values),
        tril_inverse=lambda x: pt.linalg.solve_triangular(x, pt.eye(x.shape[-1]), lower=True),
    )


def _pytensor_log_ndtr(x: Any) -> Any:
    """Log of the normal distribution function: erfcx keeps value and derivatives finite far out on the left.

    Each branch of the switch sees only arguments that it can handle, else its gradient would be nan.
    """
    import pytensor.tensor as pt

    left = pt.minimum(x, 0.0)
    right = pt.maximum(x, 0.0)
    low = (
        pt.log(pt.erfcx(-left / np.sqrt(2.0)) / 2.0) - left * left / 2.0
    )  # third derivative of left**2: 0 * inf at 0
    high = pt.log1p(-pt.erfc(right / np.sqrt(2.0)) / 2.0)
    return pt.switch(pt.lt(x, 0.0), low, high)


def _pytensor_log1mexp(x: Any) -> Any:
    """log(1 - exp(x)) for x < 0; PyTensor's own has nan as second derivative once exp(-x) overflows."""
    import pytensor.tensor as pt

    cut = -np.log(2.0)
    far = pt.log1p(-pt.exp(pt.minimum(x, cut)))
    near = pt.log(-pt.expm1(pt.maximum(x, cut)))
    return pt.switch(pt.gt(x, cut), near, far)

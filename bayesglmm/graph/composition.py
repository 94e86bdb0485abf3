"""The chain rule of a nonlinear predictor: from derivatives in eta to those in the parameters of its expression."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.expressions import Taylor

if TYPE_CHECKING:
    from bayesglmm.graph.elementwise import RowDerivatives


def composed(outer: RowDerivatives, inner: Taylor) -> RowDerivatives:
    """Return the derivatives of l(f(theta), others).

    Parameters
    ----------
    outer : RowDerivatives
        Of the log-likelihood in K predictors, the main one first.
    inner : Taylor
        The main predictor as a function f of p parameters; of third order where the outer derivatives are.

    Returns
    -------
    RowDerivatives
        In the p parameters and the K - 1 other predictors. Whoever multiplies rows by weights may do so before or
        after.
    """
    if outer.d1 is None or outer.d2 is None:
        return outer
    p, n = inner.d1.shape
    J = np.zeros((len(outer.d1), p + len(outer.d1) - 1, n))
    J[0, :p] = inner.d1
    for k in range(1, len(J)):
        J[k, p + k - 1] = 1.0
    d1 = np.einsum("kn,kan->an", outer.d1, J)
    half = np.einsum("kln,lbn->kbn", outer.d2, J)  # d2 J: what the gradient in eta changes by
    d2 = _added(np.einsum("kan,kbn->abn", J, half), outer.d1[0] * inner.d2)
    if outer.d3 is None or outer.dphi is None or outer.d1phi is None or outer.d2phi is None:
        return replace(outer, d1=d1, d2=d2)
    assert inner.d3 is not None
    d3 = np.einsum("klmn,kan,lbn,mcn->abcn", outer.d3, J, J, J)
    bent = np.zeros((len(d1),) * 3 + (n,))
    bent[:p, :p] = inner.d2[:, :, None] * half[0]
    d3 += bent + bent.swapaxes(1, 2) + bent.swapaxes(0, 2)
    d3[:p, :p, :p] += outer.d1[0] * inner.d3
    d1phi = np.einsum("fkn,kan->fan", outer.d1phi, J)
    d2phi = np.einsum("fkln,kan,lbn->fabn", outer.d2phi, J, J)
    d2phi[:, :p, :p] += outer.d1phi[:, 0, None, None] * inner.d2
    return replace(outer, d1=d1, d2=d2, d3=d3, d1phi=d1phi, d2phi=d2phi)


def _added(whole: Floats, corner: Floats) -> Floats:
    p = len(corner)
    whole[:p, :p] += corner
    return whole

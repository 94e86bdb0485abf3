"""Areal models: regions are alike where they are neighbours. All regions of the adjacency have an effect, also those
without data.

``car`` has a sparse precision. Its log determinant as a function of rho is learned once, at Chebyshev points of
-log(1 - rho) by sparse factorisations: no eigenvalues of a dense matrix. ``icar`` and ``bym2`` are about zero in each
connected part of the map, which couples all its regions: their precision is dense, so that thousands of regions are
slow.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import splu

from bayesglmm.arraymath import NUMPY, ArrayMath
from bayesglmm.blocks import Floats, Ints, RandomBlock
from bayesglmm.covariances.base import COVARIANCES, UNIT, Covariance, CovarianceParameter, Setting
from bayesglmm.covariances.correlated import common_sd
from bayesglmm.covariances.matrices import NamedMatrix, components, level_names, lower_triangle, named_matrix
from bayesglmm.errors import DataError
from bayesglmm.priors import Prior

MOST_REGIONS = 3000
_NODES = 80
_ENDS = (-0.3, 18.0)  # of t = -log(1 - rho) where it is learned: rho from -0.35 to 1 - 1.5e-8
_TINY = 1e-30  # an imaginary part, whose product with a derivative has no rounding error
_STILL = 1e-6  # variance of the mean over a connected part, relative to a region's: zero as far as data can tell


class Areal(Covariance):
    """One effect per region; the adjacency is that of ``adjacency=W``, with W in ``bg.Model(..., cov={"W": W})``."""

    latent = "precision"
    dense: ClassVar[bool] = True
    keywords = ("adjacency",)
    matrices = ("adjacency",)

    @property
    def new_levels(self) -> str:
        return "where a region lies among the others decides what is known of it, and a new one lies nowhere"

    def levels(self, setting: Setting) -> tuple[str, ...]:
        return level_names(_adjacency(setting), _label(setting), setting)

    def options(self, setting: Setting) -> dict[str, Any]:
        if setting.terms != ("Intercept",):
            setting.fail(f"`{self.name}` has one effect per region: write {self.name}(1 | {setting.group}, ...).")
        W = _adjacency(setting).values
        if self.dense and W.shape[0] > MOST_REGIONS:
            raise DataError(
                f"{_label(setting)} has {W.shape[0]:,} regions; `{self.name}` couples all of them and is possible up "
                f"to {MOST_REGIONS:,}. `car` is sparse, and has no such limit."
            )
        return self.learn(W)

    @abstractmethod
    def learn(self, W: Any) -> dict[str, Any]:
        """Return the arrays that a sparse adjacency, symmetric without diagonal, gives rise to."""

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        # The standard deviation of a typical region; no engine asks for it.
        return (values["sd"] * self.typical(values))[..., None] * np.eye(1)

    def typical(self, values: Mapping[str, Any]) -> Any:
        """Return the standard deviation of a typical region in units of ``sd``, shape (..., 1)."""
        return np.ones(1)


class ConditionalAutoregression(Areal):
    """Q = (D - rho W) / sd^2 with D the numbers of neighbours (Besag 1974).

    Given its neighbours a region is normal around rho times their mean, with standard deviation sd / sqrt(number of
    neighbours). rho lies in (0, 1), and must be close to 1 before regions look alike. A region without neighbours
    has standard deviation sd.
    """

    name = "car"
    dense = False

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        prior, what = Prior("Uniform", lower=0.0, upper=1.0), "dependence on the neighbours' mean"
        return common_sd(self.name), CovarianceParameter(
            "rho", "vector", (self.name,), bounds=(UNIT,), prior=prior, start=(0.8,), title=what
        )

    def learn(self, W: Any) -> dict[str, Any]:
        degree = np.maximum(W.sum(axis=1), 0.0)
        degree[degree == 0.0] = 1.0
        rows, columns = lower_triangle(W)
        weight = np.asarray(W[rows, columns]).ravel()
        log_det, trace = np.array([_at(W, degree, rho) for rho in -np.expm1(-_nodes())]).T
        count = sum(len(part) > 1 for part in components(W))  # log |D - rho W| falls by this per unit of t in the end
        found = {"degree": degree, "log_det": _series(log_det), "log_mean": _series(np.log(trace / len(degree)))}
        return found | {"parts": np.array(float(count)), "row": rows, "column": columns, "weight": weight}

    def typical(self, values: Mapping[str, Any]) -> Any:
        # The mean variance of the regions: the trace of (D - rho W)^-1 over their number.
        return np.exp(0.5 * _evaluated(values["log_mean"], -np.sign(values["parts"]), values["rho"], NUMPY))

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        every = np.arange(len(block.levels))
        own = block.options
        return np.concatenate([every, own["row"]]), np.concatenate([every, own["column"]])

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        rho, inverse = values["rho"][0], values["sd"][0] ** -2.0
        entries = xp.concatenate([values["degree"] * inverse, -rho * inverse * values["weight"]])
        log_det = _evaluated(values["log_det"], values["parts"], values["rho"], xp)[0]
        return entries, log_det + len(block.levels) * xp.log(inverse)


def _at(W: Any, degree: Floats, rho: float) -> tuple[float, float]:
    """Return log |D - rho W| and the trace of its inverse, the derivative in a number added to the diagonal."""
    matrix = sparse.csc_array(sparse.diags_array(degree + 1j * _TINY) - rho * W)
    lu = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    pivots = np.log(lu.U.diagonal())
    return float(pivots.real.sum()), float(pivots.imag.sum() / _TINY)


def _nodes() -> Floats:
    """Return where functions of t are computed, shape (80,)."""
    x = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
    return np.asarray(_ENDS[0] + 0.5 * (_ENDS[1] - _ENDS[0]) * (x + 1.0))


def _series(values: Floats) -> Floats:
    """Return Chebyshev coefficients of the polynomial through values at `_nodes`.

    log(1 - rho lambda) is analytic in t within pi of the real line for eigenvalues lambda in (0, 1], and to the right
    of -log 2 for those in [-1, 0): the error of 80 terms was 1e-10 for grids.
    """
    angle = np.pi * (np.arange(_NODES) + 0.5) / _NODES
    found = 2.0 / _NODES * np.cos(np.outer(np.arange(_NODES), angle)) @ values
    found[0] *= 0.5
    return np.asarray(found)


def _evaluated(series: Floats, slope: Any, rho: Any, xp: ArrayMath) -> Any:
    """Return a function at rho, shape (..., 1); beyond the last node it goes on with a slope of -`slope` in t."""
    t = -xp.log1p(-rho)
    inside = xp.minimum(t, _ENDS[1] - 0.05)
    x = 2.0 * (inside - _ENDS[0]) / (_ENDS[1] - _ENDS[0]) - 1.0
    angle = xp.arctan2(xp.sqrt(1.0 - x * x), x)
    terms = xp.cos(np.arange(_NODES) * angle) * series
    return xp.sum(terms, axis=-1)[..., None] - slope * (t - inside)


class Intrinsic(Areal):
    """Differences of neighbours are normal; effects sum to zero in each connected part (Besag, York and Mollie 1991).

    Scaled so that sd is the geometric mean of the regions' standard deviations (Sorbye and Rue 2014), in each
    connected part by itself; a region without neighbours has sd (Freni-Sterrantino, Ventrucci and Rue 2018).
    """

    name = "icar"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        return (common_sd(self.name),)

    def learn(self, W: Any) -> dict[str, Any]:
        vectors, variances = scaled_structure(W)
        variances = np.maximum(variances, _STILL)
        whole = (vectors / variances) @ vectors.T
        return {"entries": whole[np.tril_indices(len(whole))], "log_det": np.array(-np.log(variances).sum())}

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        return np.tril_indices(len(block.levels))

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        inverse = values["sd"][0] ** -2.0
        return values["entries"] * inverse, values["log_det"] + len(block.levels) * xp.log(inverse)


class BesagYorkMollie(Areal):
    """b = sd (sqrt(rho) s + sqrt(1 - rho) e), s the scaled intrinsic effects, e independent (Riebler et al. 2016).

    sd is then the size of the effects whatever rho, and rho the share of their variance that neighbours have in
    common.
    """

    name = "bym2"

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        prior, what = Prior("Uniform", lower=0.0, upper=1.0), "share of the variance that neighbours share"
        return common_sd(self.name), CovarianceParameter(
            "rho", "vector", (self.name,), bounds=(UNIT,), prior=prior, start=(0.5,), title=what
        )

    def learn(self, W: Any) -> dict[str, Any]:
        vectors, variances = scaled_structure(W)
        return {"vectors": vectors, "variances": np.maximum(variances, _STILL)}  # rho = 1 is `icar`

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        return np.tril_indices(len(block.levels))

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        rho, vectors = values["rho"][0], values["vectors"]
        variances = (rho * values["variances"] + (1.0 - rho)) * values["sd"][0] ** 2.0
        whole = (vectors / variances) @ vectors.T
        return whole[np.tril_indices(len(block.levels))], -xp.sum(xp.log(variances))


def scaled_structure(W: Any) -> tuple[Floats, Floats]:
    """Return eigenvectors and eigenvalues of the scaled covariance of intrinsic effects, a generalised inverse.

    Parameters
    ----------
    W : sparse array, shape (J, J)

    Returns
    -------
    vectors : ndarray, shape (J, J)
    variances : ndarray, shape (J,)
        Zero for the constant vector of each connected part.
    """
    J = W.shape[0]
    vectors, variances = np.zeros((J, J)), np.ones(J)
    for part in components(W):
        if len(part) == 1:
            vectors[part, part] = 1.0
            continue
        own = W[part][:, part].toarray()
        values, local = linalg.eigh(np.diag(own.sum(axis=1)) - own)
        local[:, 0] = 1.0 / np.sqrt(len(part))
        found = np.concatenate([[0.0], 1.0 / values[1:]])
        spread = np.einsum("ij,j,ij->i", local, found, local)
        vectors[np.ix_(part, part)] = local
        variances[part] = found / np.exp(np.mean(np.log(spread)))
    return vectors, variances


def _label(setting: Setting) -> str:
    return f"adjacency of `{setting.text}`"


def _adjacency(setting: Setting) -> NamedMatrix:
    """Return the adjacency that was passed: symmetric, not negative, its diagonal left out."""
    if "adjacency" not in setting.given:
        setting.fail(
            f"`{setting.text}` needs the neighbours of the regions: "
            f'write {setting.text[:-1]}, adjacency=W) and bg.Model(..., cov={{"W": W}}).'
        )
    found, label = named_matrix(_label(setting), setting.given["adjacency"]).whole(), _label(setting)
    W = sparse.csr_array(found.values - sparse.diags_array(found.values.diagonal()))
    W.eliminate_zeros()
    if abs(W - W.T).max() > 1e-10 * max(abs(W).max(), 1.0):
        raise DataError(f"{label} is not symmetric: a region is the neighbour of its neighbours.")
    if W.nnz and W.data.min() < 0.0:
        raise DataError(f"{label} has negative entries; neighbours have 1, others 0.")
    if not W.nnz:
        raise DataError(f"{label} has no entries: no region has a neighbour.")
    return NamedMatrix(found.names, W)


COVARIANCES.register(ConditionalAutoregression())
COVARIANCES.register(Intrinsic())
COVARIANCES.register(BesagYorkMollie())

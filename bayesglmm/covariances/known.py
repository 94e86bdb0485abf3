"""Known covariance between levels: kinship, pedigree, phylogeny. All levels of the matrix have an effect, also those
without data.

The effects are in precision form, b ~ N(0, sd^2 K): as with regions, x = b and Q = K^-1 / sd^2. So a sparse inverse,
as pedigrees and phylogenies have it (Henderson 1976; Hadfield and Nakagawa 2010), stays sparse, families that are
not related stay apart, and levels are levels for whoever reads or predicts. The price is that a semi-definite K gets
a floor below its eigenvalues. K = G G' with few columns in G is another matter: see `covariances.columns`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import splu

from bayesglmm.arraymath import ArrayMath
from bayesglmm.blocks import Floats, Ints, LatentForm, RandomBlock
from bayesglmm.covariances.base import COVARIANCES, Covariance, CovarianceParameter, Setting
from bayesglmm.covariances.columns import in_columns, independent_columns, of_levels
from bayesglmm.covariances.matrices import NamedMatrix, components, level_names, lower_triangle, named_matrix
from bayesglmm.errors import DataError
from bayesglmm.linalg import symmetric

MOST_RELATED = 3000
"""Levels that a dense matrix may relate to each other, directly or through others."""
FLOOR = 1e-6
"""Smallest eigenvalue of K that counts, relative to its mean diagonal: no variance as far as data can tell."""
FEW = 0.5
"""Columns of a factor of K, as a share of its levels, below which it is used as it is."""
_ASYMMETRY = 1e-8
_TOGETHER = 200  # columns of an inverse that are computed at once

type Spectrum = tuple[Floats, Floats]


class Known(Covariance):
    """Cov(b_l, b_m) = K[l, m] Sigma, with Sigma the unstructured covariance of a level's coefficients.

    ``(1 | gr(id, cov=K))`` has one standard deviation, ``(1 + x | gr(id, cov=K))`` two and their correlation. Of all
    coefficients, level by level, the precision is the Kronecker product of K^-1 and Sigma^-1.
    """

    name = "known"
    latent = "precision"
    keywords = ("cov",)
    matrices = ("cov",)
    inherited = True
    correlated: ClassVar[bool] = True  # whether the coefficients of a level are

    @property
    def new_levels(self) -> str:
        return (
            "its relation to the others decides what is known of it. Give a matrix with a row for it: levels of the "
            "matrix need no data"
        )

    def parameters(self, block: RandomBlock) -> tuple[CovarianceParameter, ...]:
        # Named after the matrix: a factor may have several, as of additive effects and of dominance.
        name, terms = block.options["matrix"], block.terms
        names = (name,) if terms == ("Intercept",) else tuple(f"{name} {term}" for term in terms)
        scales = CovarianceParameter("sd", "scale", names, tuple(range(len(terms))))
        free = self.correlated and len(terms) > 1
        return (scales, CovarianceParameter("cor", "correlation", names)) if free else (scales,)

    def levels(self, setting: Setting) -> tuple[str, ...]:
        return level_names(_given(setting), _label(setting), setting)

    def options(self, setting: Setting) -> dict[str, Any]:
        given, label = _given(setting), _label(setting)
        if given.factor and given.values.shape[1] < FEW * given.values.shape[0]:
            return self._of_factor(given, label, setting)
        given = given.whole()
        values = _symmetric(given.values, label)
        if given.inverse:
            Q, log_det, spectrum = values, _log_det(values, label), None
        else:
            Q, log_det, spectrum = inverse_of(values, label)
        occurring = _occurring(given, label, setting)
        variances = _variances(Q, occurring) if given.inverse else values.diagonal()[occurring]
        rows, columns = lower_triangle(Q)
        every = np.arange(Q.shape[0])
        entries = np.concatenate([Q.diagonal(), np.asarray(Q[rows, columns]).ravel()])
        if spectrum is not None:
            _SPECTRA.keep(entries, spectrum)
        return {
            "matrix": setting.names["cov"],
            "row": np.concatenate([every, rows]),
            "column": np.concatenate([every, columns]),
            "entries": entries,
            "log_det": np.array(log_det),
            "typical": np.array(np.sqrt(variances.mean())),
        }

    def _of_factor(self, given: NamedMatrix, label: str, setting: Setting) -> dict[str, Any]:
        """Return the options of K = G G' with few columns in G."""
        variances = np.square(given.values).sum(axis=1)
        _require_positive(variances, label)
        return {
            "matrix": setting.names["cov"],
            "factor": independent_columns(given.values),
            "typical": np.array(np.sqrt(variances[_occurring(given, label, setting)].mean())),
        }

    def form(self, options: Mapping[str, Any]) -> LatentForm:
        return "spherical" if "factor" in options else self.latent

    def columns(self, block: RandomBlock) -> RandomBlock:
        return in_columns(block) if block.latent == "spherical" else block

    def apply(self, u: Any, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        # Of a factor in numpy only, after sampling: graphs have `columns`.
        if block.latent == "precision":
            return u
        L = values["sd"][..., :, None] * values.get("cor", np.eye(len(block.terms)))
        return of_levels(u, L, block.options["factor"])

    def factor(self, values: Mapping[str, Any], k: int, xp: ArrayMath) -> Any:
        # The standard deviation of a typical level; no engine asks for it.
        return (values["sd"] * values["typical"])[..., :, None] * values.get("cor", np.eye(k))

    def axes(self, block: RandomBlock) -> Floats | None:
        alone = len(block.terms) == 1 or not self.correlated
        return _spectrum(block)[1] if alone and len(block.levels) <= MOST_RELATED else None

    def axes_sds(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> Any:
        return _spectrum(block)[0][:, None] ** -0.5 * values["sd"][..., None, :]

    def couplings(self, block: RandomBlock) -> tuple[Ints, Ints]:
        k, row, column = len(block.terms), block.options["row"], block.options["column"]
        pairs = [(i, j, self._places(block, i, j)) for i, j in self._pairs(k)]
        rows = [row[at] * k + i for i, _, at in pairs]
        return np.concatenate(rows), np.concatenate([column[at] * k + j for _, j, at in pairs])

    def precision(self, values: Mapping[str, Any], block: RandomBlock, xp: ArrayMath) -> tuple[Any, Any]:
        k, sd, levels = len(block.terms), values["sd"], len(block.levels)
        white = _inverse_factor(values["cor"] if "cor" in values else np.eye(k), k)
        entries = []
        for i, j in self._pairs(k):
            own = sum(white[m, i] * white[m, j] for m in range(max(i, j), k)) / (sd[i] * sd[j])
            entries.append(values["entries"][self._places(block, i, j)] * own)
        log_det = k * values["log_det"]
        for j in range(k):
            log_det = log_det + 2.0 * levels * xp.log(white[j, j] / sd[j])
        return xp.concatenate(entries), log_det

    def _pairs(self, k: int) -> list[tuple[int, int]]:
        """Return which coefficients of two levels have an entry."""
        return [(i, j) for i in range(k) for j in range(k) if i == j or self.correlated]

    def _places(self, block: RandomBlock, i: int, j: int) -> slice:
        """Return between which levels: a level's own upper triangle is left out. The diagonal comes first."""
        return slice(len(block.levels) if i < j else 0, None)


class DiagonalKnown(Known):
    """Several coefficients per level that are independent of each other: ``(1 + x || gr(id, cov=K))``."""

    name = "diagknown"
    correlated = False


def _inverse_factor(L: Any, k: int) -> dict[tuple[int, int], Any]:
    """Return the entries of the inverse of a small lower triangular matrix, of numbers or of tensors."""
    found: dict[tuple[int, int], Any] = {}
    for i in range(k):
        found[i, i] = 1.0 / L[i, i]
        for j in range(i):
            found[i, j] = -found[i, i] * sum(L[i, m] * found[m, j] for m in range(j, i))
    return found


class _Spectra:
    """Eigenvalues and eigenvectors by the array of entries that they are of, kept as long as that is."""

    def __init__(self) -> None:
        self._known: dict[int, Spectrum] = {}

    def keep(self, entries: Floats, spectrum: Spectrum) -> None:
        """Keep a spectrum."""
        self._known[id(entries)] = spectrum
        weakref.finalize(entries, self._known.pop, id(entries), None)

    def of(self, entries: Floats) -> Spectrum | None:
        """Return the spectrum that is known, if any."""
        return self._known.get(id(entries))


_SPECTRA = _Spectra()


def _spectrum(block: RandomBlock) -> Spectrum:
    """Return eigenvalues and eigenvectors of K^-1."""
    own = block.options
    found = _SPECTRA.of(own["entries"])
    if found is None:
        Q = symmetric(own["entries"], own["row"], own["column"], len(block.levels)).toarray()
        found = linalg.eigh(Q)
        _SPECTRA.keep(own["entries"], found)
    return found


def inverse_of(K: Any, label: str) -> tuple[Any, float, Spectrum | None]:
    """Return the inverse of a covariance, sparse where levels are not related at all, and what was met on the way.

    Parameters
    ----------
    K : sparse array, shape (J, J)
        Symmetric; eigenvalues below `FLOOR` times the mean of its diagonal count as that much, so that it may be
        semi-definite.
    label : str
        What it is called, for messages.

    Returns
    -------
    Q : sparse array, shape (J, J)
    log_det : float
        log |Q|.
    spectrum : tuple of ndarray, or None
        Eigenvalues and eigenvectors of Q, where all levels are related to each other.

    Raises
    ------
    DataError
        If it is no covariance, or relates too many levels.
    """
    diagonal = K.diagonal()
    _require_positive(diagonal, label)
    floor = FLOOR * float(diagonal.mean())
    rows, columns, entries, log_det = list[Ints](), list[Ints](), list[Floats](), 0.0
    for part in components(K):
        if len(part) > MOST_RELATED:
            raise DataError(
                f"{label} relates {len(part):,} levels to each other; dense matrices are possible up to "
                f"{MOST_RELATED:,}. Where the inverse is sparse, as of a pedigree or phylogeny, pass that: "
                "bg.known_precision(Q, names)."
            )
        values, vectors = linalg.eigh(K[part][:, part].toarray())
        if values[0] < -FLOOR * max(values[-1], 0.0):
            raise DataError(
                f"{label} is no covariance: its smallest eigenvalue is {values[0]:.4g}, its largest {values[-1]:.4g}."
            )
        values = np.maximum(values, floor)
        inverse = (vectors / values) @ vectors.T
        rows.append(np.repeat(part, len(part)))
        columns.append(np.tile(part, len(part)))
        entries.append(0.5 * (inverse + inverse.T).ravel())
        log_det -= float(np.log(values).sum())
    places = np.concatenate(rows), np.concatenate(columns)
    spectrum = (1.0 / values, vectors) if len(rows) == 1 else None
    return sparse.csr_array((np.concatenate(entries), places), shape=K.shape), log_det, spectrum


def _log_det(Q: Any, label: str) -> float:
    """Return log |Q| of a sparse precision, which must be positive definite."""
    message = f"{label} was given as an inverse covariance, which must be positive definite, and is not"
    if not np.all(Q.diagonal() > 0.0):
        raise DataError(f"{message}: the smallest entry of its diagonal is {Q.diagonal().min():.4g}.")
    try:
        found = splu(
            sparse.csc_array(Q),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError:  # a pivot of exactly zero
        raise DataError(f"{message}: it is singular.") from None
    pivots = found.U.diagonal()
    if not np.array_equal(found.perm_r, found.perm_c) or pivots.min() <= 1e-12 * pivots.max():
        raise DataError(f"{message}: a pivot of its factor is {pivots.min():.4g}.")
    return float(np.log(pivots).sum())


def _variances(Q: Any, at: Ints) -> Floats:
    """Return entries of the diagonal of Q^-1."""
    solve, found = splu(sparse.csc_array(Q)).solve, np.empty(len(at))
    for start in range(0, len(at), _TOGETHER):
        own = at[start : start + _TOGETHER]
        unit = np.zeros((Q.shape[0], len(own)))
        unit[own, np.arange(len(own))] = 1.0
        found[start : start + len(own)] = solve(unit)[own, np.arange(len(own))]
    return found


def _require_positive(variances: Floats, label: str) -> None:
    if not np.all(variances > 0.0):
        raise DataError(f"{label} has a diagonal entry that is not positive: {variances.min():.4g}.")


def _occurring(given: NamedMatrix, label: str, setting: Setting) -> Ints:
    """Return the rows of the levels that occur."""
    place = {name: j for j, name in enumerate(level_names(given, label, setting))}
    return np.array([place[level] for level in setting.levels])


def _label(setting: Setting) -> str:
    return f"The covariance of `{setting.text}`"


def _given(setting: Setting) -> NamedMatrix:
    if "cov" not in setting.given:
        setting.fail(
            f"`{setting.text}` needs the covariance of the levels: "
            f'write (1 | gr({setting.group}, cov=K)) and bg.Model(..., cov={{"K": K}}).'
        )
    return named_matrix(_label(setting), setting.given["cov"])


def _symmetric(values: Any, label: str) -> Any:
    """Return the matrix with rounding errors of its symmetry removed."""
    gap = abs(values - values.T)
    if gap.nnz and gap.max() > _ASYMMETRY * abs(values).max():
        raise DataError(f"{label} is not symmetric: entries differ from their mirror image by up to {gap.max():.3g}.")
    found = sparse.csr_array(0.5 * (values + values.T))
    found.eliminate_zeros()
    return found


COVARIANCES.register(Known())
COVARIANCES.register(DiagonalKnown())

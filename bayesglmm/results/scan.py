"""Scan: what each of many candidate covariates would add to a model, without fitting each.

The model without candidates is fitted once by maximum likelihood. At its hyperparameters the response (the working
response of the approximation, where it is not normal) has the covariance V = W^-1 + A Q^-1 A'; whitened by the
Cholesky factor of V, a candidate's effect is a regression on one column. This is the scan of EMMAX (Kang et al. 2010)
and of glimix-core; for other families it is the score test of GMMAT (Chen et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from scipy import linalg, sparse, special
from scipy.sparse.linalg import splu

from bayesglmm.blocks import Floats
from bayesglmm.errors import BayesglmmError, SettingsError
from bayesglmm.results.scan_candidates import Candidates, ScannedDesign

if TYPE_CHECKING:
    from bayesglmm.engines.kernels.likelihood import Likelihood
    from bayesglmm.graph.latent import LatentView
    from bayesglmm.graph.problem import Problem

_COLLINEAR = 1e-10  # share of a candidate's sum of squares that the model's columns must leave
_ROWS = 10_000
_FULL = 0.1  # share of the entries of a precision that makes it a dense one
_GRID, _STEPS = np.linspace(-4.0, 4.0, 13), 24  # of log ratios of variances, around that of the null model
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


class Scannable(Protocol):
    """A model that has not been fitted."""

    @property
    def problem(self) -> Problem:
        """The graph with the role of every variable."""

    @property
    def design(self) -> ScannedDesign:
        """Formula and data as numbers."""


def scan(
    model: Scannable,
    candidates: Any,
    *,
    names: Sequence[str] | None = None,
    refit: bool = False,
    effect_sd: float | None = None,
) -> pd.DataFrame:
    """Return what each of many candidate covariates would add to a model.

    Every candidate is added alone, as one more population coefficient of the main predictor. The model is fitted
    once, without candidates; after one factorisation of an n x n matrix a candidate costs its rotation, O(n^2), and
    O(n p) for p columns of the model.

    Parameters
    ----------
    model : Model
        With one linear predictor; priors are left aside, as in maximum likelihood. Known covariances, several
        grouping factors and smooths are all part of V.
    candidates : DataFrame, ndarray or sparse matrix, shape (rows of the data, m)
        Genotypes, for example. A DataFrame has the index of the data.
    names : sequence of str, length m, optional
        Names of the columns; those of a DataFrame, else ``c0``, ``c1``, ...
    refit : bool
        Estimate the ratio of the variances anew with every candidate, as FaST-LMM and GEMMA do, by one
        eigendecomposition and then O(n p) per step of a search. For gaussian models whose only hyperparameters are
        sigma and the standard deviation of one group term. Without it all variances keep the ratios of the model
        without candidates and only their common scale is estimated, where that is possible.
    effect_sd : float, optional
        Standard deviation of the normal prior of an effect for `log_bayes_factor`; by default that of the model's
        default priors, 2.5 times the spread of the response over the candidate's standard deviation.

    Returns
    -------
    DataFrame
        One row per candidate. Columns: candidate; effect and se on the scale of the linear predictor; z; statistic,
        twice the log-likelihood ratio against the model without it (for other families than gaussian the score
        statistic, which is z^2), with p from chi-squared with one degree of freedom; loglik, the log marginal
        likelihood with the candidate; log_bayes_factor of a model with the candidate, its effect normal a priori,
        against the one without (Wakefield 2009). A candidate that is a combination of the model's columns has nan.
        ``attrs["loglik"]`` is that of the model without candidates, ``attrs["note"]`` says what was done.

    Raises
    ------
    DataError
        If candidates are not numbers, are missing, or have other rows than the data.
    BayesglmmError
        For models without one linear predictor, or more than 10,000 rows.
    SettingsError
        For ``refit=True`` where the model has other hyperparameters.

    Notes
    -----
    Off the null model effects are one step of Newton's method for families other than gaussian: large ones are too
    small in size, and the statistic is a score test. Fit the few that matter.
    """
    from bayesglmm.engines.kernels.likelihood import maximum_likelihood
    from bayesglmm.graph.latent import LatentView

    problem = model.problem
    _check(problem)
    if effect_sd is not None and not (np.isfinite(effect_sd) and effect_sd > 0.0):
        raise SettingsError(f"effect_sd={effect_sd!r}: a standard deviation is positive.")
    given = Candidates(candidates, names, model.design)
    view = LatentView(problem)
    found = maximum_likelihood(view, "ml")
    null = _null(view, found)
    regressions = _refitted(null, problem, found) if refit else _Held(null)
    pieces = [regressions.scan(block) for block in given.blocks()]
    effect, se, statistic = np.concatenate(pieces, axis=1) if pieces else np.zeros((3, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        sds = np.full(len(effect), effect_sd) if effect_sd else 2.5 * problem.priors.spread / given.sds()
        z = effect / se
        share = sds**2 / (sds**2 + se**2)
        log_bayes_factor = 0.5 * (np.log1p(-share) + share * z**2)
    frame = pd.DataFrame(
        {
            "candidate": given.names,
            "effect": effect,
            "se": se,
            "z": z,
            "statistic": statistic,
            "p": special.chdtrc(1, statistic),
            "loglik": found.loglik + 0.5 * statistic,
            "log_bayes_factor": log_bayes_factor,
        }
    )
    frame.attrs = {"loglik": found.loglik, "note": _note(null, refit, int(np.isnan(effect).sum()))}
    return frame


@dataclass(frozen=True, eq=False)
class _Null:
    """The model without candidates at its estimates.

    Attributes
    ----------
    y : ndarray, shape (n,)
        (Working) response without the offset.
    X : ndarray, shape (n, p)
    noise : ndarray, shape (n,)
        Diagonal of W^-1.
    spread : ndarray, shape (n, n)
        A Q^-1 A'.
    scaled : bool
        Whether the common scale of all variances is estimated with each candidate.
    normal : bool
        Whether the response is normal: the likelihood is exact.
    """

    y: Floats
    X: Floats
    noise: Floats
    spread: Floats
    scaled: bool
    normal: bool


def _null(view: LatentView, found: Likelihood) -> _Null:
    """Return working response and covariance at the estimates."""
    problem, theta = view.problem, found.psi[: view.theta_size]
    designs, x = view.design(theta), found.mode.x
    etas = [offset + A @ x for offset, A in designs]
    rows = view.elementwise(etas, view.dispersions(view.natural(theta)), 1)
    weight, slope = -np.asarray(rows.d2)[0, 0], np.asarray(rows.d1)[0]
    if not np.all(weight > 0.0):
        raise BayesglmmError(
            f"At the estimates {int(np.sum(weight <= 0.0))} rows of family {problem.family.name!r} tell nothing of "
            "their predictor, or less (outliers): a scan has no weights for them."
        )
    offset, A = designs[0]
    Q, spread = view.precision(theta), np.zeros((len(weight), len(weight)))
    for part in view.parts:
        if part.predictor != 0 or part.role == "fixed":
            continue
        own = sparse.csc_array(A[:, part.slice])
        if part.role == "spherical":
            spread += (own @ own.T).toarray()
        else:
            spread += _related(own, Q[part.slice, part.slice])
    normal = (
        problem.family.normal_residual and problem.links[problem.predictors[0].names.parameter].name == "identity"
    )
    free = all(declared.is_free for declared in problem.dispersions.values())
    free &= all(len(d.free) == len(d.constant) for part in problem.blocks for d in part.of_kind("scale").values())
    return _Null(
        y=etas[0] + slope / weight - offset,
        X=view.free_columns(problem.predictors[0]),
        noise=1.0 / weight,
        spread=0.5 * (spread + spread.T),
        scaled=bool(normal and free and problem.dispersions and len(problem.predictors) == 1),
        normal=bool(normal),
    )


def _related(own: Any, Q: Any) -> Floats:
    """Return A Q^-1 A' for sparse A and Q; of a Q that is hardly sparse by LAPACK."""
    if Q.nnz < _FULL * Q.shape[0] ** 2:
        return np.asarray(own @ splu(sparse.csc_array(Q)).solve(own.T.toarray()))
    root = linalg.solve_triangular(linalg.cholesky(Q.toarray(), lower=True), own.T.toarray(), lower=True)
    return np.asarray(root.T @ root)


class _Held:
    """Regressions at the variances of the model without candidates, up to their common scale."""

    def __init__(self, null: _Null) -> None:
        self.null = null
        self.L = linalg.cholesky(null.spread + np.diag(null.noise), lower=True)
        self.basis = np.linalg.qr(self._whitened(null.X))[0]
        y = self._whitened(null.y)
        self.y = y - self.basis @ (self.basis.T @ y)

    def _whitened(self, values: Floats) -> Floats:
        found: Floats = linalg.solve_triangular(self.L, values, lower=True, check_finite=False)
        return found

    def scan(self, candidates: Floats) -> Floats:
        """Return effects, standard errors and statistics, shape (3, m), of columns of shape (n, m)."""
        M = self._whitened(candidates)
        before = np.einsum("ij,ij->j", M, M)
        M -= self.basis @ (self.basis.T @ M)
        square = np.einsum("ij,ij->j", M, M)
        n = len(self.y) if self.null.scaled else None
        return _regressed(np.where(square > _COLLINEAR * before, square, np.nan), M.T @ self.y, self.y @ self.y, n)


class _Refitted:
    """Regressions with the ratio of two variances estimated anew; both are diagonal after one rotation."""

    def __init__(self, null: _Null, sigma: float, sd: float) -> None:
        noise = null.noise / sigma**2
        self.root = 1.0 / np.sqrt(noise)
        values, self.vectors = linalg.eigh(null.spread * self.root[:, None] * self.root / sd**2)
        self.values = np.maximum(values, 0.0)
        known = self._rotated(np.column_stack([null.X, null.y]))
        self.p = null.X.shape[1]
        self.known, upper = known, np.triu_indices(self.p + 1)
        self.upper, self.products = upper, known[:, upper[0]] * known[:, upper[1]]
        self.centre = 2.0 * float(np.log(sd / sigma))
        at = _lowest(lambda t: self._criterion(t, None)[0], self.centre, 1)
        self.lowest = float(self._criterion(at, None)[0][0])

    def _rotated(self, values: Floats) -> Floats:
        return np.asarray(self.vectors.T @ (self.root[:, None] * values))

    def scan(self, candidates: Floats) -> Floats:
        """Return effects, standard errors and statistics, shape (3, m), of columns of shape (n, m)."""
        M = np.ascontiguousarray(self._rotated(candidates).T)
        at = _lowest(lambda t: self._criterion(t, M)[0], self.centre, len(M))
        lowest, square, cross, rss = self._criterion(at, M)
        effect, se, _ = _regressed(square, cross, rss, len(self.root))
        return np.stack([effect, se, np.where(np.isnan(effect), np.nan, self.lowest - lowest)])

    def _criterion(self, t: Floats, M: Floats | None) -> tuple[Floats, Floats, Floats, Floats]:
        """Return -2 log-likelihood up to a constant at log ratios t, shape (m,), with candidates M, shape (m, n).

        And of the regression on the candidate: its sum of squares and its product with the response after the model's
        columns were taken out, and the residual sum of squares without it.
        """
        v = np.exp(t)[:, None] * self.values + 1.0
        weight, p = 1.0 / v, self.p
        gram = np.empty((len(t), p + 1, p + 1))
        gram[:, self.upper[0], self.upper[1]] = gram[:, self.upper[1], self.upper[0]] = weight @ self.products
        rss = gram[:, p, p] - _through(gram[:, :p, :p], gram[:, :p, p], gram[:, :p, p])
        if M is None:
            return len(self.root) * np.log(rss) + np.log(v).sum(axis=1), rss, rss, rss
        weighted = weight * M
        before, cross = np.einsum("ij,ij->i", weighted, M), weighted @ self.known
        square = before - _through(gram[:, :p, :p], cross[:, :p], cross[:, :p])
        square = np.where(square > _COLLINEAR * before, square, np.nan)
        cross_y = cross[:, p] - _through(gram[:, :p, :p], cross[:, :p], gram[:, :p, p])
        left = np.where(np.isnan(square), rss, rss - cross_y**2 / square)
        return len(self.root) * np.log(left) + np.log(v).sum(axis=1), square, cross_y, rss


def _regressed(square: Floats, cross: Floats, rss: Any, n: int | None) -> Floats:
    """Return effect, standard error and statistic of one column beside others that were taken out of everything.

    With `n` the scale of the variance is estimated from so many rows, else it is one.
    """
    effect = cross / square
    gain = effect * cross
    if n is None:
        return np.stack([effect, 1.0 / np.sqrt(square), gain])
    return np.stack([effect, np.sqrt((rss - gain) / n / square), n * (np.log(rss) - np.log(rss - gain))])


def _through(gram: Floats, left: Floats, right: Floats) -> Floats:
    """Return left' gram^-1 right for many small systems, shape (m,)."""
    if not gram.shape[-1]:
        return np.zeros(len(gram))
    return np.asarray(np.einsum("mi,mi->m", left, np.linalg.solve(gram, right[..., None])[..., 0]))


def _lowest(criterion: Callable[[Floats], Floats], centre: float, m: int) -> Floats:
    """Return the local minimum nearest to a centre, shape (m,): downhill on a grid, then golden sections.

    Not the lowest of all: with a semi-definite K whose null space the model's columns hold, the likelihood rises
    without bound as sigma goes to zero.
    """
    grid = centre + _GRID
    values = np.stack([criterion(np.full(m, t)) for t in grid])
    beside = np.pad(values, ((1, 1), (0, 0)), constant_values=np.inf)
    valley = (values <= beside[:-2]) & (values <= beside[2:])
    away = np.where(valley, np.abs(_GRID)[:, None], np.inf)
    best, step = grid[np.argmin(away, axis=0)], _GRID[1] - _GRID[0]
    low, high = best - step, best + step
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = criterion(a), criterion(b)
    for _ in range(_STEPS):
        left = at_a < at_b
        low, high = np.where(left, low, a), np.where(left, b, high)
        inner = np.where(left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        at_inner = criterion(inner)
        a, b = np.where(left, inner, b), np.where(left, a, inner)
        at_a, at_b = np.where(left, at_inner, at_b), np.where(left, at_a, at_inner)
    return np.asarray(0.5 * (low + high))


def _check(problem: Problem) -> None:
    main = problem.family.main_predictors(problem.response)
    if len(main) > 1 or problem.likelihood.expression is not None:
        raise BayesglmmError(
            "A scan needs one linear predictor to which candidates are added; this model has others."
        )
    if problem.residual is not None:
        raise BayesglmmError(f"A scan takes the rows for independent; this model has {problem.residual.block.label}.")
    if any(parameter.ordered for parameter in problem.family.parameters):
        raise BayesglmmError("A scan takes no ordinal families: cutpoints are estimated together with every effect.")
    n = problem.predictors[0].predictor.n
    if n > _ROWS:
        raise BayesglmmError(f"A scan factorises a matrix of the rows: up to {_ROWS:,} are possible, not {n:,}.")


def _refitted(null: _Null, problem: Problem, found: Likelihood) -> _Refitted:
    """Return the search with both variances free."""
    blocks = problem.blocks
    scales = [d for part in blocks for d in part.parameters.values()]
    single = len(blocks) == 1 and len(scales) == 1 and scales[0].kind == "scale" and len(scales[0].free) == 1
    if not (null.scaled and single and set(problem.dispersions) == {"sigma"}):
        raise SettingsError(
            "refit=True needs a gaussian model with identity link, sigma without a formula, and one group term with "
            "one standard deviation. Others are scanned with refit=False."
        )
    sd = float(found.natural[scales[0].name][0])
    if sd < 1e-8 * problem.priors.spread:
        raise SettingsError(
            f"refit=True: the standard deviation of `{blocks[0].block.label}` is estimated as zero, so that V is "
            "diagonal; scan with refit=False."
        )
    return _Refitted(null, float(np.asarray(found.natural["sigma"]).ravel()[0]), sd)


def _note(null: _Null, refit: bool, lost: int) -> str:
    if refit:
        note = "Variances were estimated anew with every candidate."
    elif null.scaled:
        note = "The ratios of the variances are those of the model without candidates; their scale is estimated."
    elif null.normal:
        note = "All variances are those of the model without candidates."
    else:
        note = "A score test: effects are one step from zero, and too small where they are large."
    return note + (f" {lost:,} candidates are combinations of the model's columns." if lost else "")

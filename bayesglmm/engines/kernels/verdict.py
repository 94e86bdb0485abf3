"""How good is a nested Laplace fit? How far what users read would move if the approximation were corrected.

Draws are made at the support points, where nothing but Laplace's approximation of x given theta stands between them
and the posterior. Where the posterior factorises by group, the correction is computed: group effects are integrated
out by quadrature, which gives importance ratios of (theta, beta) in a few dimensions. Else the joint log ratio r of
exact and approximate density is taken; reweighting by exp(r) moves the mean of a parameter p by its cumulants
Cov(p, r) + k(p, r, r) / 2 + ..., which are stable however many effects there are, unlike weights. Draws come in
antithetic pairs, mean + d and mean - d, so that terms of r that are even in d do not disturb the shifts of effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.grouped import GroupedRatio
from bayesglmm.engines.kernels.nested import Draws, Exploration, latent_draws
from bayesglmm.engines.kernels.pareto import smoothed
from bayesglmm.engines.kernels.quadrature import factorises

GOOD, CHECK = 0.1, 0.3  # shifts, in posterior standard deviations
_FEW = 400  # draws at which the exact density is evaluated at least
_ROWS = 2e6  # rows of the data times draws, at most, beyond these
_PRECISE = 0.05  # Monte Carlo error of a shift that is small enough


@dataclass(frozen=True, eq=False)
class Quality:
    """The verdict and what it rests on.

    Attributes
    ----------
    verdict : {"good", "check", "bad"}
    khat : float
        Pareto k of the joint importance ratios.
    shifts : mapping of str to float
        For every fixed effect, standard deviation and dispersion: how far its mean moves under the correction, in
        posterior standard deviations.
    noise : float
        Monte Carlo error of a shift.
    method : {"quadrature", "cumulants"}
    sentences : tuple of str
        For the user.
    """

    verdict: str
    khat: float
    shifts: dict[str, float]
    noise: float
    method: str
    sentences: tuple[str, ...]


def assess(exploration: Exploration) -> Quality:
    """Judge a fit.

    Parameters
    ----------
    exploration : Exploration
    """
    objective = exploration.objective
    view, rows = objective.view, objective.structure.n
    random = np.random.default_rng(len(exploration.support))
    pairs = _antithetic(exploration, _FEW // 2, random)
    ratio = _joint_ratios(exploration, pairs)
    labels, values = read_parameters(exploration, pairs)
    if factorises(view) and len(view.theta_values):
        # These ratios are of few dimensions: half of the draws are enough.
        half = Draws(*(part[: len(values) // 4 * 2] for part in vars(pairs).values()))
        method, (shifts, noise) = "quadrature", _by_quadrature(exploration, half, values[: len(half.psi)])
    else:
        method, (shifts, noise) = "cumulants", _by_cumulants(values, ratio)
        # The noise falls with the root of the number of draws: take as many as it needs, if they are cheap.
        wanted = len(ratio) * min((noise / _PRECISE) ** 2, 20.0) if np.isfinite(noise) else 0.0
        more = int(min(wanted, _ROWS / rows) - len(ratio)) // 2
        if more > 0:
            extra = _antithetic(exploration, more, random)
            ratio = np.concatenate([ratio, _joint_ratios(exploration, extra)])
            values = np.concatenate([values, read_parameters(exploration, extra)[1]])
            shifts, noise = _by_cumulants(values, ratio)
    named = dict(zip(labels, shifts.tolist(), strict=True))
    return _conclude(named, noise, smoothed(ratio)[1], method, exploration)


def _conclude(shifts: dict[str, float], noise: float, khat: float, method: str, exploration: Exploration) -> Quality:
    finite = {name: shift for name, shift in shifts.items() if np.isfinite(shift)}
    sentences = []
    if not shifts:
        verdict = "good" if khat < 0.5 else "check" if khat < 0.7 else "bad"
    elif len(finite) < len(shifts):
        verdict = "bad"
        sentences.append(
            "The exact posterior could not be compared with the approximation: some ratios are infinite."
        )
    else:
        name, worst = max(finite.items(), key=lambda item: abs(item[1]))
        # A shift that is within its Monte Carlo error does not count against the fit.
        certain = max(0.0, abs(worst) - 2.0 * noise)
        verdict = "good" if certain < GOOD else "check" if certain < CHECK else "bad"
        sentences.append(
            f"Correcting Laplace's approximation would move {name} by {abs(worst):.2f} posterior standard deviations "
            f"(the largest shift; Monte Carlo error {noise:.2f})."
        )
        if noise > 2 * GOOD and verdict == "good":
            verdict = "check"
            sentences.append("That error is too large to call the approximation good.")
    if exploration.failures and verdict == "good":
        verdict = "check"
        sentences.append(f"No conditional mode was found at {exploration.failures} hyperparameter points.")
    if not exploration.optimum.converged and verdict == "good":
        verdict = "check"
    what = {
        "good": "Laplace's approximation is good here.",
        "check": "Laplace's approximation is rough here: compare with NUTS before you rely on the last digit.",
        "bad": 'Laplace\'s approximation is poor here: use model.fit("nuts").',
    }
    if verdict != "good" and method == "quadrature" and exploration.quadrature is None:
        # What the correction needs is known to work for this model.
        what = {name: text.removesuffix(".") + ", or quadrature=9." for name, text in what.items()}
    return Quality(verdict, khat, shifts, noise, method, (what[verdict], *sentences))


def _antithetic(exploration: Exploration, count: int, random: np.random.Generator) -> Draws:
    """Return pairs of draws, mean + d and mean - d at the same support point, one after the other.

    Support points are taken in proportion to the approximate posterior there, so every draw counts alike;
    `log_theta` is its log density up to a constant.
    """
    objective = exploration.objective
    weight = np.exp(exploration.log_ratio - exploration.log_ratio.max())
    if len(weight) > 1:
        weight[0] = 0.0  # the mode is no member of the net
    position = (np.arange(count) + random.random()) / count * weight.sum()
    cell = random.permutation(np.minimum(np.searchsorted(np.cumsum(weight), position), len(weight) - 1))
    psi = exploration.points[cell]
    z = random.standard_normal((count, len(objective.structure.inner)))
    both = [latent_draws(objective, exploration.support, psi, cell, sign * z) for sign in (1.0, -1.0)]
    x = np.stack([both[0][0], both[1][0]], axis=1).reshape(2 * count, -1)
    height = np.array([exploration.support[k].height for k in cell])
    log_theta = np.repeat(height - exploration.optimum.value, 2)
    return Draws(np.repeat(psi, 2, axis=0), x, log_theta + np.repeat(both[0][1], 2), log_theta, np.repeat(cell, 2))


def _joint_ratios(exploration: Exploration, drawn: Draws) -> Floats:
    """Return log p(y, x, theta) minus the log density of the draws."""
    objective = exploration.objective
    view, structure = objective.view, objective.structure
    out, rows, phi = np.empty(len(drawn.psi)), None, None
    prior = view.log_prior_draws(drawn.psi)
    for i, (psi, x) in enumerate(zip(drawn.psi, drawn.x, strict=True)):
        if i % 2 == 0:
            natural = view.natural(psi)
            rows, phi = structure.rows(view.factors(natural)), view.dispersions(natural)
            offset = structure.offset(natural, np.zeros(0))
        assert rows is not None
        assert phi is not None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            value = view.elementwise(list(offset + rows.eta(x)), phi, 0).value.sum()
        deviation = x - structure.mean
        out[i] = value + structure.constant - 0.5 * deviation @ structure.times_precision(x) + prior[i]
    return out - drawn.log_density


def read_parameters(exploration: Exploration, drawn: Draws) -> tuple[list[str], Floats]:
    """Return labels and values, shape (draws, q), of fixed effects, standard deviations and dispersions."""
    view = exploration.objective.view
    known, labels = view.problem.labels(), list[str]()
    values = [np.zeros((len(drawn.psi), 0))]
    for part in view.parts:
        if part.role == "fixed":
            labels += known[part.name]
            values.append(drawn.x[:, part.slice])
    correlations = {block.cholesky for block in view.problem.blocks}
    for name, draws in view.natural_draws(drawn.psi).items():
        if name not in correlations:
            flat = np.asarray(draws).reshape(len(drawn.psi), -1)
            labels += known[name]
            values.append(flat)
    return labels, np.concatenate(values, axis=1)


def _by_cumulants(values: Floats, ratio: Floats) -> tuple[Floats, float]:
    """Return shifts in standard deviations to second order in the log ratio, and their Monte Carlo error."""
    if not np.all(np.isfinite(ratio)):
        return np.full(values.shape[1], np.nan), np.inf
    r = ratio - ratio.mean()
    tilt = r + 0.5 * (r * r - np.mean(r * r))
    centred = values - values.mean(axis=0)
    product = (centred * tilt[:, None]).reshape(-1, 2, values.shape[1]).mean(axis=1)
    spread = np.maximum(values.std(axis=0), 1e-300)
    errors = product.std(axis=0) / np.sqrt(len(product)) / spread
    return product.mean(axis=0) / spread, float(np.median(errors)) if len(errors) else 0.0


def _by_quadrature(exploration: Exploration, pairs: Draws, values: Floats) -> tuple[Floats, float]:
    """Return shifts under importance weights of (theta, beta), group effects integrated out by quadrature."""
    ratio_of = GroupedRatio(exploration.objective, exploration.quadrature)
    support = exploration.support
    marginals = {int(k): ratio_of.marginal(support[k].mode, support[k].centre) for k in np.unique(pairs.cell)}
    prior = exploration.objective.view.log_prior_draws(pairs.psi)
    ratio = np.array(
        [
            ratio_of(marginals[int(k)], x[ratio_of.at], log_prior, x[ratio_of.inner])
            for k, x, log_prior in zip(pairs.cell, pairs.x, prior, strict=True)
        ]
    )
    ratio = ratio - pairs.log_theta
    if not np.all(np.isfinite(ratio)):
        return np.full(values.shape[1], np.nan), np.inf
    weights = smoothed(ratio)[0]
    spread = np.maximum(values.std(axis=0), 1e-300)
    centred = (values - values.mean(axis=0)) / spread
    shifts = weights @ centred
    # Error of a difference of weighted and plain mean: only what the weights change is noisy.
    change = (weights * len(weights) - 1.0)[:, None] * (centred - shifts)
    errors = change.std(axis=0) / np.sqrt(len(weights))
    return shifts, float(np.median(errors)) if len(errors) else 0.0

"""How good is a nested Laplace fit? How far what users read would move if the approximation were corrected.

Two errors are measured. At the support points nothing but the normal approximation of x given theta stands between
draws and posterior: there importance ratios of theta and the shared coefficients, the levels integrated out
(`BlockRatio`), say how far each mean would move; where these are too uneven for weights, their cumulants say it to
second order (`cumulants`). And at fresh values of theta the approximation is made anew, which
shows what the interpolation between the support points costs. Pareto k, the skewness of conditional distributions,
failed searches and other modes are reported beside the shifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.blockwise import BlockRatio, Ratios
from bayesglmm.engines.kernels.cumulants import correct
from bayesglmm.engines.kernels.nested import Draws, Exploration
from bayesglmm.engines.kernels.pareto import TRUSTED, smoothed
from bayesglmm.engines.kernels.resample import Resampled
from bayesglmm.engines.kernels.skewness import conditional_skewness
from bayesglmm.engines.kernels.starts import OtherMode, other_modes
from bayesglmm.linalg import NotPositiveDefiniteError

GOOD, CHECK = 0.1, 0.3  # shifts, in posterior standard deviations
_PAIRS = 100  # of draws
_MORE = 400  # where the verdict is a close one
_FEWEST = 24
_WORK = 2e7  # rows of the data times evaluations of the likelihood, at most, beyond the fewest
_FRESH = 24  # values of theta at which the interpolation is tested
_LEVELS = 5  # that are named
_UNEVEN = 1.5  # standard deviation of log ratios: with one draw in ten effective, weights measure nothing
_ENOUGH = 400.0  # effective draws after resampling
_WORDS = ("good", "check", "bad")
_STREAM = 1  # of random numbers, beside that of the draws


@dataclass(frozen=True, eq=False)
class Quality:
    """The verdict and what it rests on.

    Attributes
    ----------
    verdict : {"good", "check", "bad"}
    khat : float
        Pareto k of the importance ratios of everything at once.
    shifts : mapping of str to float
        For every fixed effect, standard deviation and dispersion: how far its mean moves under the correction, in
        posterior standard deviations.
    errors : mapping of str to float
        Monte Carlo errors of the shifts.
    method : {"quadrature", "draws", "cumulants"}
        How the levels' coefficients were integrated out; ``"cumulants"`` where importance ratios were too uneven.
    sentences : tuple of str
        For the user.
    advice : str
        What to do; empty where all is well.
    details : mapping
        What is reported beside the shifts: ``shared_khat`` (of the ratios with the levels integrated out), ``levels``
        (name, standard deviation of the log ratio and Pareto k, worst first), ``skewness`` (name and value of the
        most skew coefficient), ``failures``, ``other_modes``, ``points`` (effective values of theta where these are
        weighted points, None where theta is drawn between them), ``effective`` (draws after resampling, None
        without), ``ways`` (what to fit instead, by kind).
    """

    verdict: str
    khat: float
    shifts: dict[str, float]
    errors: dict[str, float]
    method: str
    sentences: tuple[str, ...]
    advice: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def noise(self) -> float:
        """Monte Carlo error of the largest shift."""
        worst = max(self.shifts, key=lambda name: abs(self.shifts[name]), default=None)
        return 0.0 if worst is None else self.errors[worst]


def assess(exploration: Exploration) -> Quality:
    """Judge a fit.

    Parameters
    ----------
    exploration : Exploration
    """
    # A stream of its own: the verdict does not depend on how many draws were taken before it.
    random = np.random.default_rng([exploration.seed, _STREAM])
    ratio = BlockRatio(exploration, exploration.quadrature)
    rows = exploration.objective.structure.n
    most = max(_FEWEST, int(_WORK / (2.0 * rows * ratio.evaluations)))
    drawn, ratios = _at_support(exploration, ratio, min(_PAIRS, most), random)
    labels, values = read_parameters(exploration, drawn)
    between = _between(exploration, values.std(axis=0), random)
    shifts, errors = _moved(values, ratios.shared, between)
    uneven = bool(np.all(np.isfinite(ratios.shared))) and float(ratios.shared.std()) > _UNEVEN
    method = "cumulants" if uneven else "quadrature" if len(ratio.grid) else "draws"
    if uneven:
        shifts, errors = _by_cumulants(exploration, values.std(axis=0), random)
    elif _close(shifts, errors) and most > _PAIRS:
        extra, more = _at_support(exploration, ratio, min(_MORE, most) - _PAIRS, random)
        values = np.concatenate([values, read_parameters(exploration, extra)[1]])
        pieces = zip(vars(ratios).values(), vars(more).values(), strict=True)
        ratios = Ratios(*(np.concatenate(both) for both in pieces))
        shifts, errors = _moved(values, ratios.shared, between)
    details = {
        "shared_khat": smoothed(ratios.shared)[1],
        "levels": _hardest(exploration, ratio, ratios.local),
        "skewness": _most_skew(exploration),
        "failures": exploration.failures,
        "other_modes": [vars(mode) for mode in other_modes(exploration, random)],
        "points": None if exploration.dense else float(1.0 / np.sum(exploration.weights**2)),
        "effective": None,
    }
    found = Quality(
        "good",
        smoothed(ratios.joint)[1],
        dict(zip(labels, shifts.tolist(), strict=True)),
        dict(zip(labels, errors.tolist(), strict=True)),
        method,
        (),
        details=details,
    )
    return _concluded(found, exploration, bool(len(ratio.grid)) and not len(ratio.structure.pattern.crossed))


# shifts -------------------------------------------------------------------------------------------------------------


def _at_support(
    exploration: Exploration, ratio: BlockRatio, pairs: int, random: np.random.Generator
) -> tuple[Draws, Ratios]:
    """Draw pairs at support points, taken in proportion to the approximate posterior there."""
    cell, log_theta = exploration.at_points(pairs, random)
    return ratio.draw(exploration.points[cell], log_theta, cell, random)


def _moved(values: Floats, log_ratio: Floats, between: Floats) -> tuple[Floats, Floats]:
    """Return shifts of means under the weights, and their Monte Carlo errors, in posterior standard deviations."""
    if not np.all(np.isfinite(log_ratio)):
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.inf)
    weights = smoothed(log_ratio)[0]
    centred = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-300)
    shifts = weights @ centred
    # Of the difference of weighted and plain mean only what the weights change is noisy.
    change = (weights * len(weights) - 1.0)[:, None] * (centred - shifts)
    by_pair = change.reshape(-1, 2, values.shape[1]).mean(axis=1)
    errors = by_pair.std(axis=0) / np.sqrt(len(by_pair))
    return shifts + between, errors


def _by_cumulants(exploration: Exploration, spread: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Return shifts of means to second order in the log ratio, and their Monte Carlo errors."""
    found = correct(exploration, random)
    psi, centre = exploration.points[found.at], np.array([exploration.support[k].centre for k in found.at])
    values = _parameters(exploration, psi, centre)
    moves = _parameters(exploration, psi, centre + found.moves) - values
    shifts, errors = found.shifts(values, moves)
    scale = np.maximum(spread, 1e-300)
    return shifts / scale, errors / scale


def _between(exploration: Exploration, spread: Floats, random: np.random.Generator) -> Floats:
    """Return the shifts that the interpolation between support points causes, as far as they are certain."""
    none = np.zeros(len(spread))
    if not exploration.objective.size or not exploration.dense or exploration.quadrature is not None:
        return none
    psi, log_theta = exploration.hyperparameters(min(_FRESH, max(8, len(exploration.support) // 4)), random)
    moved, fresh, error, kept = [], [], [], []
    prior = exploration.objective.view.log_prior_draws(psi)
    for i, k in enumerate(exploration.nearest(psi)):
        here = exploration.support[k]
        move = here.jacobian @ (psi[i] - here.psi)
        try:
            mode = exploration.objective.mode(psi[i], exploration.objective.moved(here.mode, move), float(prior[i]))
        except NotPositiveDefiniteError:
            continue
        moved.append(here.centre + move)
        fresh.append(exploration.objective.centre(mode))
        error.append(mode.log_marginal - log_theta[i])
        kept.append(i)
    if len(kept) < 8 or not np.all(np.isfinite(error)):
        return none
    weight = np.exp(np.array(error) - max(error))
    weight = weight / weight.sum()
    own = np.array([_parameters(exploration, psi[kept], np.array(x)) for x in (moved, fresh)])
    scale = np.maximum(spread, 1e-300)
    shifts = weight @ (own[1] - own[0].mean(axis=0)) / scale
    change = (weight * len(weight))[:, None] * (own[1] - own[0].mean(axis=0) - shifts * scale) - own[0]
    errors = (change + own[0].mean(axis=0)).std(axis=0) / scale / np.sqrt(len(weight))
    # What could be chance is left out: interpolation is as often too high as too low.
    return np.asarray(np.sign(shifts) * np.maximum(np.abs(shifts) - 2.0 * errors, 0.0))


def _close(shifts: Floats, errors: Floats) -> bool:
    """Return whether more draws could change the verdict."""
    low, high = np.abs(shifts) - 2.0 * errors, np.abs(shifts) + 2.0 * errors
    return any(bool(np.any((low < limit) & (limit < high))) for limit in (GOOD, CHECK))


def read_parameters(exploration: Exploration, drawn: Draws) -> tuple[list[str], Floats]:
    """Return labels and values, shape (draws, q), of fixed effects, standard deviations and dispersions."""
    view = exploration.objective.view
    known, labels = view.problem.labels(), list[str]()
    for part in view.parts:
        if part.role == "fixed":
            labels += known[part.name]
    correlations = {own.name for block in view.problem.structured for own in block.of_kind("correlation").values()}
    labels += [
        label for name in view.natural_draws(drawn.psi[:1]) if name not in correlations for label in known[name]
    ]
    return labels, _parameters(exploration, drawn.psi, drawn.x)


def _parameters(exploration: Exploration, psi: Floats, x: Floats) -> Floats:
    view = exploration.objective.view
    values = [np.zeros((len(psi), 0)), *(x[:, part.slice] for part in view.parts if part.role == "fixed")]
    correlations = {own.name for block in view.problem.structured for own in block.of_kind("correlation").values()}
    for name, draws in view.natural_draws(psi).items():
        if name not in correlations:
            values.append(np.asarray(draws).reshape(len(psi), -1))
    return np.concatenate(values, axis=1)


# what is reported beside them ---------------------------------------------------------------------------------------


def _hardest(exploration: Exploration, ratio: BlockRatio, local: Floats) -> list[tuple[str, float, float]]:
    """Return the levels with the most variable log ratios of their own: name, standard deviation, Pareto k."""
    if not ratio.levels or not np.all(np.isfinite(local)):
        return []
    spread = local.std(axis=0)
    corner = ratio.structure.pattern.corners[-1]
    block = next(block for block in ratio.structure.blocks if block.group == corner.groups[0]).part.block
    return [
        (f"{block.group} {block.levels[level]}", float(spread[level]), smoothed(local[:, level])[1])
        for level in np.argsort(-spread, kind="stable")[:_LEVELS]
    ]


def _most_skew(exploration: Exploration) -> tuple[str, float] | None:
    """Return the coefficient whose conditional distribution is the most skew at the mode, and its skewness."""
    values = conditional_skewness(exploration.objective, exploration.optimum.mode)
    if not len(values) or not np.any(np.isfinite(values)):
        return None
    worst = int(np.nanargmax(np.abs(values)))
    return _name(exploration, worst), float(values[worst])


def _name(exploration: Exploration, position: int) -> str:
    """Return what users call the coefficient at a position of x."""
    view = exploration.objective.view
    own = {block.names.u: block.block for block in view.problem.blocks}
    part = next(part for part in view.parts if part.slice.start <= position < part.slice.stop)
    at = position - part.slice.start
    if part.role == "fixed":
        return str(view.problem.labels()[part.name][at])
    block = own[part.name]
    level, term = divmod(at, len(block.terms))
    return f"{block.terms[term]} of {block.group} {block.levels[level]}"


# words --------------------------------------------------------------------------------------------------------------

_UNKNOWN = "unknown"  # shifts could not be measured
_WHAT = {
    "good": "is good here.",
    "check": "is rough here: do not rely on the last digit.",
    "bad": "is poor here.",
}


def _concluded(quality: Quality, exploration: Exploration, factorises: bool) -> Quality:
    """Return a quality with its verdict, sentences and advice."""
    objective = exploration.objective
    word, sentence = _by_shift(quality, objective.name)
    what = dict(_WHAT) if word != _UNKNOWN else dict.fromkeys(_WORDS, "could not be judged here.")
    word = "check" if word == _UNKNOWN else word
    others = list(_by_rest(quality, exploration))
    verdict = max([word, *("check" for _ in others)], key=_WORDS.index)
    subject = objective.name[0].upper() + objective.name[1:]
    sentences = [f"{subject} {what[verdict]}", *([sentence] if sentence else []), *others]
    ways = {}
    if factorises and exploration.quadrature is None:
        ways["quadrature"] = 'model.fit("laplace", quadrature=15)'
    if quality.shifts and quality.method != "cumulants" and float(quality.details["shared_khat"]) < TRUSTED:
        ways["resample"] = _resampling(objective.engine)
    ways["nuts"] = 'model.fit("nuts")'
    advice = _advice(verdict, ways)
    details = {**quality.details, "by_shift": word, "others": others, "ways": ways}
    details |= {"approximation": objective.name, "engine": objective.engine}
    return replace(quality, verdict=verdict, sentences=tuple(sentences), advice=advice, details=details)


def _resampling(engine: str) -> str:
    return f'model.fit("{engine}", resample=True)'


def _by_shift(quality: Quality, approximation: str) -> tuple[str, str]:
    """Return the verdict by shifts of means, or that it is unknown, and a sentence."""
    shifts = quality.shifts
    if not shifts:
        return ("good" if quality.khat < 0.5 else "check" if quality.khat < TRUSTED else "bad"), ""
    if not all(np.isfinite(shift) for shift in shifts.values()):
        return "bad", "The exact posterior could not be compared with the approximation: some ratios are infinite."
    # A shift within its Monte Carlo error does not count against the fit.
    certain = {name: abs(shift) - quality.errors[name] for name, shift in shifts.items()}
    name = max(certain, key=lambda key: certain[key])
    word = "good" if certain[name] < GOOD else "check" if certain[name] < CHECK else "bad"
    if word == "good":
        name = max(shifts, key=lambda key: abs(shifts[key]))
    if quality.method == "cumulants" and quality.errors[name] > 2 * GOOD:
        return _UNKNOWN, (
            f"How far correcting {approximation} would move the results could not be measured: the ratios of "
            "exact and approximate density vary too much over so many coefficients."
        )
    sentence = (
        f"Correcting {approximation} would move {name} by {abs(shifts[name]):.2f} posterior standard "
        f"deviations (the largest shift; Monte Carlo error {quality.errors[name]:.2f})."
    )
    if quality.method == "cumulants":
        sentence += " It was computed to second order, since importance weights would be too uneven."
    if word == "good" and quality.errors[name] > 2 * GOOD:
        return "check", f"{sentence} That error is too large to call the approximation good."
    return word, sentence


def _by_rest(quality: Quality, exploration: Exploration) -> list[str]:
    """Return sentences, each of which lets a verdict be "check" at best."""
    found = []
    failures = quality.details["failures"]
    if failures:
        where = f"{failures} hyperparameter point{'s' if failures > 1 else ''}"
        found.append(f"No {exploration.objective.centred_at} was found at {where}.")
    if not exploration.optimum.converged:
        found.append("The search for the best hyperparameters did not converge.")
    if exploration.even:
        found.append(
            f"With {exploration.objective.size} hyperparameters their density is known only roughly: it was taken as "
            "a skewed normal around the mode."
        )
    modes = [OtherMode(**mode) for mode in quality.details["other_modes"]]
    if modes:
        best = max(modes, key=lambda mode: mode.height)
        share = 1.0 / (1.0 + np.exp(-best.height))
        found.append(
            f"The posterior has a second mode (another start for the {best.where} found it), with about "
            f"{100.0 * share:.0f} percent of the mass of both; one normal approximation describes one of them only."
        )
    return found


def _advice(verdict: str, ways: Mapping[str, str]) -> str:
    if verdict == "good":
        return ""
    return f"{'Use' if verdict == 'bad' else 'Compare with'} {', or '.join(ways.values())}."


def after_resampling(quality: Quality, mended: Resampled | None) -> Quality:
    """Return the quality of resampled draws, or of draws that were left as they are since weights cannot work."""
    if mended is None:
        failed = "Importance weights would be too uneven to mend it." if quality.verdict != "good" else ""
        ways = {kind: way for kind, way in quality.details["ways"].items() if kind != "resample"}
        return replace(
            quality,
            sentences=tuple(filter(None, (*quality.sentences, failed))),
            advice=_advice(quality.verdict, ways),
            details={**quality.details, "ways": ways},
        )
    word = "good" if mended.effective >= _ENOUGH else "check"
    others = list(quality.details["others"])
    verdict = max([word, *("check" for _ in others)], key=_WORDS.index)
    sentences = [
        f"The draws were reweighted to the exact posterior (Pareto k {mended.khat:.2f}); they are worth "
        f"{mended.effective:.0f} independent ones.",
        *quality.sentences[1:],
        *others,
    ]
    if word == "check":
        sentences.insert(1, f"That is fewer than {_ENOUGH:.0f}: another seed would move the numbers visibly.")
    ways = {"nuts": quality.details["ways"]["nuts"]}
    details = {**quality.details, "effective": mended.effective, "ways": ways}
    return replace(
        quality,
        verdict=verdict,
        sentences=tuple(dict.fromkeys(sentences)),
        advice=_advice(verdict, ways),
        details=details,
    )

"""Remedies that are tried: the model is fitted again as the advice says, and what became of the finding is told."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import BayesglmmError, ModelWarning
from bayesglmm.priors import Prior
from bayesglmm.results.checking.of_fit import labels_by_block
from bayesglmm.results.checks import Check
from bayesglmm.results.facts import settings_given

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit
    from bayesglmm.results.protocols import FittedModel

_MOST_DRAWS = 4000  # per chain, of a run that is made longer
_ENOUGH = 400  # effective draws
_NARROWER = 0.5  # of a tighter prior, in scales of the one before
_SHORT = {"draws": 300, "tune": 300, "chains": 2, "progressbar": False}


@dataclass(frozen=True)
class Trial:
    """What became of one remedy.

    Attributes
    ----------
    tried : str
        What was done, as one would type it.
    before, after : str
        What the finding was measured by, in words and numbers.
    worked : bool
    """

    tried: str
    before: str
    after: str
    worked: bool


@dataclass(frozen=True)
class Remedy:
    """Something to do about a finding.

    Attributes
    ----------
    text : str
        What is done, as one would type it.
    run : callable
        Fits; returns before, after, and whether it worked.
    """

    text: str
    run: Callable[[], tuple[str, str, bool]] = field(repr=False)


def try_remedies(fit: Fit, checks: Sequence[Check], seed: int | None) -> list[Trial | None]:
    """Try the remedies of every finding, one after the other until one works.

    Parameters
    ----------
    fit : Fit
    checks : sequence of Check
    seed : int or None

    Returns
    -------
    list of Trial or None
        One per check: the remedy that worked, else the last one; None where nothing is wrong or nothing can be tried.
    """
    if fit.model is None:
        raise BayesglmmError("This fit does not hold its model, so no remedy can be tried.")
    remember: dict[str, Any] = {}
    return [_tried(fit, check, seed, remember) if check.verdict != "good" else None for check in checks]


def _tried(fit: Fit, check: Check, seed: int | None, remember: dict[str, Any]) -> Trial | None:
    last = None
    for remedy in remedies(fit, check, seed, remember):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ModelWarning)
                before, after, worked = remedy.run()
        except BayesglmmError as error:
            before, after, worked = "", f"not possible: {error}", False
        last = Trial(remedy.text, before, after, worked)
        if worked:
            return last
    return last


def remedies(fit: Fit, check: Check, seed: int | None, remember: dict[str, Any] | None = None) -> Iterator[Remedy]:
    """Yield what can be tried against a finding, the cheapest first.

    Parameters
    ----------
    fit : Fit
    check : Check
    seed : int or None
        Of the new fits.
    remember : dict, optional
        Fits that several findings ask for.
    """
    doctor = _Doctor(fit, seed, {} if remember is None else remember)
    yield from _FOR.get(check.name, _nothing)(doctor, check)


class _Doctor:
    """Fits the model of a fit again, with changes."""

    def __init__(self, fit: Fit, seed: int | None, remember: dict[str, Any]) -> None:
        if fit.model is None:
            raise BayesglmmError("This fit does not hold its model, so no remedy can be tried.")
        self.fit, self.seed, self._remember = fit, seed, remember
        self.model: FittedModel = fit.model
        self.engine: str = fit.data.attrs["engine"]
        self.settings: dict[str, Any] = json.loads(fit.data.attrs["settings"])

    def again(self, engine: str | None = None, model: Any = None, key: str = "", **changes: Any) -> Fit:
        """Fit with the settings of the first fit, changed; with an engine of their own settings alone."""
        name = repr((engine, key, sorted(changes.items())))
        if name not in self._remember:
            settings = changes if engine is not None else settings_given(self.fit.data.attrs) | changes
            chosen = self.engine if engine is None else engine
            self._remember[name] = (model or self.model).fit(chosen, seed=self.seed, **settings)
        found: Fit = self._remember[name]
        return found

    def same_check(self, check: Check, new: Fit) -> tuple[str, str, bool]:
        """Compare a check before and after."""
        own = next((each for each in new.checks if each.name == check.name), None)
        if own is None:
            return f"{check.value:.4g}", f"verdict {new.verdict.word}", new.verdict == "good"
        return f"{check.value:.4g}", f"{own.value:.4g}", own.verdict == "good"


def _nothing(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    return iter(())


def _longer(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Run longer, as much as the effective draws ask for; then other proposals, or a tighter prior."""
    settings = doctor.settings
    draws, tune = int(settings.get("draws") or 1000), int(settings.get("tune") or 1000)
    apart = settings.get("proposal") in ("random-walk", "iwls")
    proposal: dict[str, Any] = {"proposal": "block"} if apart else {}
    if apart:
        yield _other_settings(doctor, check, **proposal)
    factor = float(np.clip(1.5 * _ENOUGH / max(check.value, 1.0), 2.0, 10.0)) if "ESS" in check.name else 2.0
    longer: dict[str, Any] = {"draws": min(int(factor * draws), max(_MOST_DRAWS, draws))}
    if "tune" in settings:
        longer["tune"] = min(int(factor * tune), max(_MOST_DRAWS, tune))
    yield _other_settings(doctor, check, **proposal, **longer)
    yield from _tighter(doctor, check)


def _other_settings(doctor: _Doctor, check: Check, **changes: Any) -> Remedy:
    shown = ", ".join(f"{name}={value!r}" for name, value in changes.items())
    return Remedy(f"model.fit({doctor.engine!r}, {shown})", lambda: doctor.same_check(check, doctor.again(**changes)))


def _chains(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    yield _other_settings(doctor, check, chains=4)


def _draws(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    yield _other_settings(doctor, check, draws=1000)


def _careful(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against divergent draws: smaller steps, then a tighter prior of the standard deviation where they are."""
    for target in (0.95, 0.99):
        if target > float(doctor.settings.get("target_accept") or 0.0):
            yield _other_settings(doctor, check, target_accept=target)
    yield from _tighter(doctor, check)


def _deeper(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    yield _other_settings(doctor, check, max_treedepth=int(doctor.settings.get("max_treedepth") or 10) + 2)


def _proposals(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against Metropolis chains that stand still: moves of everything together, then another sampler."""
    if doctor.settings.get("proposal") != "block":
        yield Remedy(
            f'model.fit({doctor.engine!r}, proposal="block")',
            lambda: _by_verdict(check, doctor.again(proposal="block", scale=None)),
        )
    yield _engine(doctor, check, "nuts", _SHORT)


def _tighter(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Halve the scale of the prior of the standard deviation concerned."""
    slots = {slot.label: slot for slot in doctor.fit.problem.priors}
    for label in check.parameters:
        slot = slots.get(label)
        if slot is None or slot.kind != "scale" or slot.prior.distribution in ("Flat", "Fixed"):
            continue
        size = _NARROWER * float(np.median(slot.prior.draw(np.random.default_rng(0), 1000)))
        key, prior = slot.keys[min(1, len(slot.keys) - 1)], Prior("HalfNormal", float(f"{size:.2g}"))
        yield Remedy(
            f"priors={{{key!r}: bg.{prior!r}}}",
            lambda key=key, prior=prior: doctor.same_check(check, _with_prior(doctor, {key: prior})),  # type: ignore[misc]
        )


def _with_prior(doctor: _Doctor, priors: dict[str, Prior]) -> Fit:
    given = doctor.model.given.get("priors")
    kept = dict(given) if isinstance(given, dict) else {}
    return doctor.again(model=doctor.model.changed(priors=kept | priors), key=repr(priors))


def _engine(doctor: _Doctor, check: Check, engine: str, settings: dict[str, Any]) -> Remedy:
    shown = ", ".join(f"{name}={value!r}" for name, value in settings.items() if name != "progressbar")
    text = f"model.fit({engine!r}{', ' if shown else ''}{shown})"
    return Remedy(text, lambda: _by_verdict(check, doctor.again(engine, **settings)))


def _by_verdict(check: Check, new: Fit) -> tuple[str, str, bool]:
    worst = next((each for each in new.checks if each.verdict != "good"), None)
    after = f"verdict {new.verdict.word}"
    return f"{check.value:.3g}", after if worst is None else f"{after}: {worst.finding}", new.verdict == "good"


def _exact(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against approximations: weights, quadrature, another engine."""
    if doctor.settings.get("resample") is not True and "resample" in doctor.settings:
        yield _verdict_of(doctor, check, resample=True)
    if doctor.settings.get("quadrature") == 1:
        yield _verdict_of(doctor, check, quadrature=15)
    yield _engine(doctor, check, "nuts", _SHORT | {"draws": 500})


def _verdict_of(doctor: _Doctor, check: Check, **changes: Any) -> Remedy:
    shown = ", ".join(f"{name}={value!r}" for name, value in changes.items())
    return Remedy(f"model.fit({doctor.engine!r}, {shown})", lambda: _by_verdict(check, doctor.again(**changes)))


def _quadrature(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against a rough approximation of the likelihood: nodes."""
    objective = doctor.settings.get("objective")

    def run() -> tuple[str, str, bool]:
        new = doctor.again(quadrature=15)
        moved = abs(new.loglik - doctor.fit.loglik)
        after = f"log-likelihood moved by {moved:.2g}; verdict {new.verdict.word}"
        return f"{check.value:.3g}", after, new.verdict == "good"

    yield Remedy(f"model.fit({doctor.engine!r}, objective={objective!r}, quadrature=15)", run)


def _finite(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against likelihoods without a maximum: the posterior, whose priors keep estimates finite."""

    def run() -> tuple[str, str, bool]:
        new = doctor.again("laplace")
        widest = new.fixed()["sd"].max()
        return "no maximum", f"largest posterior sd {widest:.3g}; verdict {new.verdict.word}", new.verdict != "bad"

    yield Remedy('model.fit("laplace")', run)


def _held(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against separated coefficients: a prior of one unit of the link per standard deviation of the column."""
    fixed = doctor.fit.fixed()
    named = [label for label in check.parameters if label in fixed.index]
    if doctor.fit.flat:
        yield from _finite(doctor, check)
        return
    predictor = doctor.fit.problem.predictors[0].predictor
    spread = dict(zip(predictor.columns, predictor.X.std(axis=0), strict=True))
    priors = {label: Prior("Normal", 0.0, float(f"{1.0 / (spread[label] or 1.0):.3g}")) for label in named}
    if not priors:
        return

    def run() -> tuple[str, str, bool]:
        new = _with_prior(doctor, priors).fixed()
        label = str(fixed.loc[named, "sd"].idxmax())
        before, after = fixed.loc[label], new.loc[label]
        text = "{}: {:.3g}, sd {:.3g}"
        return (
            text.format(label, before["mean"], before["sd"]),
            text.format(label, after["mean"], after["sd"]),
            bool(after["sd"] < 0.8 * before["sd"]),
        )

    shown = ", ".join(f"{label!r}: bg.{prior!r}" for label, prior in priors.items())
    yield Remedy(f"priors={{{shown}}}", run)


def _without(doctor: _Doctor, check: Check) -> Iterator[Remedy]:
    """Against what the data cannot tell: the model without it, judged by the criterion of maximum likelihood."""
    for label in check.parameters[-1:]:
        change = _simpler(doctor, label)
        if change:
            yield Remedy(f'fit.update(formula="{change}")', lambda change=change: _by_aic(doctor, change))  # type: ignore[misc]


def _simpler(doctor: _Doctor, label: str) -> str:
    """Return the change of the formula that leaves out what a finding names; empty where there is none."""
    terms = labels_by_block(doctor.fit.problem)
    block = next((b.block for b in doctor.fit.problem.blocks if b.block.label in (label, terms.get(label))), None)
    if block is None:
        return f". ~ . - {label}" if label in doctor.model.droppable else ""
    if block.kind == "smooth" or len(block.terms) == 1 or label == block.label:
        return f". ~ . - {block.label}"
    slope = next((term for term in block.terms if term != "Intercept"), "")
    if label.endswith(", Intercept]"):  # slopes alone can be written where there is one, of a column
        return f". ~ . - {block.label} + (0 + {slope} | {block.group})" if len(block.terms) == 2 else ""
    return f". ~ . - {block.label} + (1 | {block.group})"


def _by_aic(doctor: _Doctor, change: str) -> tuple[str, str, bool]:
    likelihood: dict[str, Any] = {"objective": "ml", "draws": 1, "chains": 1}
    whole, simpler = doctor.model.changed(priors=None), doctor.model.changed(formula=change, priors=None)
    full = doctor.again("laplace", model=whole, key="likelihood", **likelihood)
    less = doctor.again("laplace", model=simpler, key=change, **likelihood)
    return f"AIC {full.aic:.1f}", f"AIC {less.aic:.1f}", bool(less.aic <= full.aic + 2.0)


type _Maker = Callable[[_Doctor, Check], Iterator[Remedy]]
_FOR: dict[str, _Maker] = {
    "R-hat": _longer,
    "R-hat of group effects": _longer,
    "bulk ESS": _longer,
    "tail ESS": _longer,
    "E-BFMI": _longer,
    "complete": _longer,
    "chains": _chains,
    "draws": _draws,
    "divergences": _careful,
    "longest trees": _deeper,
    "acceptance": _proposals,
    "acceptance, too high": _proposals,
    "mixing of standard deviations": _proposals,
    "shift under correction": _exact,
    "resampled draws": _exact,
    "exploration": _exact,
    "approximation": _quadrature,
    "maximum": _finite,
    "separation": _held,
    "identified": _without,
    "boundary": _without,
    "one-row groups": _without,
    "aliasing": _without,
    "concurvity": _without,
}

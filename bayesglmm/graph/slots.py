"""Prior slots: which parameters a model has, what their default priors are, and what the user put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayesglmm.arraymath import NUMPY
from bayesglmm.blocks import Floats, Predictor, RandomBlock, ResidualBlock
from bayesglmm.covariances import COVARIANCES, CovarianceParameter
from bayesglmm.errors import DataError, PriorError, did_you_mean
from bayesglmm.families import Family, FamilyParameter
from bayesglmm.families.base import ResponseScale
from bayesglmm.graph.parameter_slots import parameter_slots
from bayesglmm.graph.residual_slots import residual_slots
from bayesglmm.graph.slot import PriorTable, Slot, covariance_slots
from bayesglmm.links import LINKS, Link
from bayesglmm.priors import Prior

__all__ = ["PriorTable", "Slot", "prior_table"]

# Which priors suit which kind of parameter; a dispersion's support is that of its domain.
_SUPPORTS: Mapping[str, tuple[str, ...]] = {
    "coefficient": ("real", "bounded", "positive", "unit", "any"),
    "scale": ("positive", "bounded", "any"),
    "normal": ("real",),
    "correlation": ("correlation",),
    "real": ("real", "bounded", "any"),
    "positive": ("positive", "bounded", "any"),
    "unit": ("unit", "bounded", "any"),
    "interval": ("unit", "bounded", "any"),
}


def prior_table(
    family: Family,
    predictors: Mapping[str, Predictor],
    scale: ResponseScale,
    priors: Mapping[str, Prior] | str | None = None,
    main: Sequence[str] = ("mu",),
    residual: float = 1.0,
    links: Mapping[str, Link] | None = None,
    nonlinear: Mapping[str, float | None] | None = None,
    correlated: ResidualBlock | None = None,
) -> PriorTable:
    """Give every parameter of the model its prior.

    Parameters
    ----------
    family : Family
    predictors : mapping of str to Predictor
    scale : ResponseScale
        Centre and spread of the response on the link scale.
    priors : mapping of str to Prior, "flat" or None
        What the user wants; see the design page for the keys.
    main : sequence of str
        Names of the main predictors; their keys carry no prefix.
    residual : float
        Standard deviation of the response on the scale of a residual standard deviation.
    links : mapping of str to Link, optional
        Of the predictors; the family's own where absent.
    nonlinear : mapping of str to float or None, optional
        The predictors that are parameters of an expression, with their start values. They have no default priors.
    correlated : ResidualBlock, optional
        How the residuals depend on each other.

    Raises
    ------
    PriorError
        If a key matches no parameter, or a prior does not suit its parameter.
    """
    chooser = _Chooser(priors)
    parameters = {parameter.name: parameter for parameter in family.parameters}
    coefficients: dict[str, tuple[Slot, ...]] = {}
    blocks: dict[str, tuple[Mapping[str, tuple[Slot, ...]], ...]] = {}
    spreads: dict[str, float] = {}
    for name, predictor in predictors.items():
        own = name in main
        prefix = "" if own else f"{name}."
        also = f"{name}." if own and len(main) > 1 else ""
        if nonlinear is not None and name in nonlinear:
            coefficients[name], here = parameter_slots(name, predictor, chooser.fill, nonlinear[name])
            spreads[name] = here.spread
        else:
            here = scale if own else _side_scale(parameters[name], residual, (links or {}).get(name))
            filled = [chooser.fill(slot, also) for slot in _coefficient_slots(predictor, here, prefix)]
            coefficients[name] = _around_held(filled, predictor.X)
        blocks[name] = tuple(
            {
                parameter.name: tuple(
                    chooser.fill(slot, also) for slot in _block_slots(block, parameter, here, prefix)
                )
                for parameter in COVARIANCES.get(block.covariance).parameters(block)
            }
            for block in predictor.random
        )
    dispersions = {
        parameter.name: chooser.fill(_dispersion_slot(parameter, residual), "")
        for parameter in family.parameters[1:]
        if parameter.name not in predictors
    }
    for parameter in family.parameters[1:]:
        slot = dispersions.get(parameter.name)
        if slot is not None and slot.prior.distribution == "Fixed" and parameter.ordered:
            raise PriorError(f"{parameter.name} is a vector and cannot be held at one value; give it another prior.")
    correlations = residual_slots(correlated, chooser.fill)
    chooser.finish(frozenset(predictors) - set(main) - set(nonlinear or ()))
    table = PriorTable(coefficients, blocks, dispersions, scale.spread, spreads, correlations)
    _check_labels(table)
    return table


def _side_scale(parameter: FamilyParameter, residual: float, link: Link | None) -> ResponseScale:
    """Scale of a predictor beside the main one: around a typical value, one unit of a log or logit wide."""
    own = LINKS.get(parameter.link) if link is None else link
    typical = 0.5 if parameter.domain == "unit" else residual if parameter.scaled else 1.0
    centre = float(own.link(typical, NUMPY))
    if own.domain == "unit" or own.name == "log":
        return ResponseScale(centre, 1.0)
    step = 1e-5 * typical
    slope = float(own.link(typical + step, NUMPY) - own.link(typical - step, NUMPY)) / (2.0 * step)
    return ResponseScale(centre, abs(slope) * typical)


def _around_held(slots: Sequence[Slot], X: Floats) -> tuple[Slot, ...]:
    """Move a centred intercept prior by what held coefficients add at the mean of their columns: an offset."""
    means = X.mean(axis=0)
    held = sum(
        float(slot.prior.parameters["value"] * means[j])
        for j, slot in enumerate(slots)
        if slot.prior.distribution == "Fixed" and not slot.centred
    )
    if not held:
        return tuple(slots)

    def moved(slot: Slot) -> Slot:
        parameters = dict(slot.prior.parameters)
        parameters["mu"] -= held
        return replace(slot, prior=Prior(slot.prior.distribution, **parameters))

    return tuple(moved(slot) if slot.centred else slot for slot in slots)


def _check_labels(table: PriorTable) -> None:
    """Refuse two parameters under one name: tables and prior keys could not tell them apart."""
    seen: set[str] = set()
    for slot in table:
        if slot.label in seen:
            raise DataError(
                f"Two parameters would be called {slot.label!r}: a column has the name of a parameter of "
                "the family. Rename the column."
            )
        seen.add(slot.label)


def _sd(column: Floats) -> float:
    spread = float(np.std(column))
    return spread if spread > 1e-12 * max(1.0, float(np.max(np.abs(column), initial=0.0))) else 1.0


def _coefficient_slots(predictor: Predictor, scale: ResponseScale, prefix: str) -> list[Slot]:
    slots = []
    shift = 0.0 if predictor.offset is None else float(np.mean(predictor.offset))
    X, intercept = predictor.X, predictor.intercept
    for j, (column, term) in enumerate(zip(predictor.columns, predictor.column_terms, strict=True)):
        if column == "Intercept":
            prior = Prior("Normal", mu=scale.centre - shift, sigma=2.5 * scale.spread)
            slots.append(Slot((f"{prefix}Intercept",), "coefficient", prior, centred=j == intercept))
        else:
            prior = Prior("Normal", mu=0.0, sigma=2.5 * scale.spread / _sd(X[:, j]))
            keys = dict.fromkeys((f"{prefix}{column}", f"{prefix}{term}", f"{prefix}fixed"))
            slots.append(Slot(tuple(keys), "coefficient", prior))
    return slots


def _block_slots(block: RandomBlock, parameter: CovarianceParameter, scale: ResponseScale, prefix: str) -> list[Slot]:
    head = f"{prefix}{parameter.name}"
    some = () if block.portion is None else (f"{head}[{block.group}, {block.portion.label}]",)
    if parameter.coefficient:
        spread = 2.5 * scale.spread / _sd(block.X.mean(axis=1))
        keys = (f"{prefix}{block.label}", f"{prefix}fixed")
        return [Slot(keys, "normal", Prior("Normal", mu=0.0, sigma=spread))]

    def prior(position: int) -> Prior:
        own = parameter.priors[position] if parameter.priors else parameter.prior
        j = parameter.columns[position] if parameter.columns else None
        spread = scale.spread / (1.0 if j is None else _unit(block, j))
        return own or _scaled_prior(parameter, parameter.bounds_of(position), spread)

    return covariance_slots(parameter, head, block.group, prior, some)


def _unit(block: RandomBlock, j: int) -> float:
    return _sd(block.X[:, j]) if block.portion is None else block.portion.spreads[j] or 1.0


def _scaled_prior(parameter: CovarianceParameter, bounds: tuple[float, float], spread: float) -> Prior:
    """Return the default prior of what is in units of the response per unit of a column."""
    if parameter.kind == "scale":
        return Prior("Exponential", lam=1.0 / spread)
    return Prior("HalfNormal", sigma=spread) if bounds[0] == 0.0 else Prior("Normal", mu=0.0, sigma=spread)


def _dispersion_slot(parameter: FamilyParameter, residual: float) -> Slot:
    prior = Prior("Exponential", lam=1.0 / residual) if parameter.scaled else parameter.prior
    if prior is None:
        raise PriorError(f"{parameter.name} has no default prior: give it a formula or a prior.")
    # Default cutpoints are centred as an intercept would be.
    return Slot((parameter.name,), "dispersion", prior, domain=parameter.domain, centred=parameter.ordered)


class _Chooser:
    """Puts the user's priors into slots and remembers which of them were used."""

    def __init__(self, priors: Mapping[str, Prior] | str | None) -> None:
        self.flat = isinstance(priors, str)
        if isinstance(priors, str) and priors != "flat":
            raise PriorError(f'priors={priors!r}: the only word is "flat"; else give a dict of bg.Prior.')
        if not (priors is None or isinstance(priors, str | Mapping)):
            raise PriorError(f'priors must be a dict of bg.Prior or "flat", not a {type(priors).__name__}.')
        self.given: dict[str, Prior] = {} if priors is None or isinstance(priors, str) else dict(priors)
        for key, prior in self.given.items():
            if not isinstance(key, str):
                raise PriorError(f"Keys of priors are names of parameters, not {key!r}.")
            if not isinstance(prior, Prior):
                raise PriorError(f"priors[{key!r}] must be a bg.Prior, not {type(prior).__name__} ({prior!r}).")
        self.reached: dict[str, bool] = {}
        self.numbers: dict[str, str] = {}  # keys of priors for matrices, and what single number they would reach

    def fill(self, slot: Slot, also: str) -> Slot:
        """Return the slot with the user's prior in it, if there is one; `also` is a further accepted prefix."""
        keys = tuple(f"{also}{key}" for key in slot.keys) + slot.keys if also else slot.keys
        keys = tuple(_normal(key) for key in keys)
        if self.flat and slot.kind == "normal":
            raise PriorError(f'{slot.label} needs a prior: priors="flat" leaves a simplex without any.')
        if self.flat:
            prior = Prior("LKJ", eta=1.0) if slot.kind == "correlation" else Prior("Flat")
            if slot.kind == "vector" and np.all(np.isfinite(slot.bounds)):
                prior = Prior("Uniform", lower=slot.bounds[0], upper=slot.bounds[1])
            return replace(slot, keys=keys, prior=prior, source="flat", centred=False)
        given = {_normal(key): (key, prior) for key, prior in self.given.items()}
        for key in keys:
            self.reached.setdefault(key, False)
        for key in keys:
            if key in given:
                written, prior = given[key]
                if slot.kind == "vector" and prior.distribution == "LKJ" and key != keys[0]:
                    self.numbers.setdefault(key, slot.label)
                    continue  # "cor" is meant for the correlation matrices
                _check(written, prior, slot)
                for every in keys:
                    self.reached[every] = self.reached[every] or every in given
                if slot.kind == "vector" and prior.distribution == "Flat" and np.all(np.isfinite(slot.bounds)):
                    prior = Prior("Uniform", lower=slot.bounds[0], upper=slot.bounds[1])
                return replace(slot, keys=keys, prior=prior, source=written, centred=False)
        return replace(slot, keys=keys)

    def finish(self, modelled: frozenset[str] = frozenset()) -> None:
        """Raise if a key of the user reached no slot; `modelled` are dispersions that have a formula."""
        for key in self.given:
            if key in modelled:
                raise PriorError(
                    f"{key} has a formula here, so {key!r} is no single parameter: give priors for "
                    f"'{key}.Intercept', '{key}.fixed' or '{key}.sd'."
                )
            if not self.reached.get(_normal(key), False) and _normal(key) in self.numbers:
                raise PriorError(
                    f"The prior for {key!r} is LKJ, one of correlation matrices, and {self.numbers[_normal(key)]} "
                    'is a single number: bg.Prior("Beta", 2, 2) is stretched over where it may lie.'
                )
            if not self.reached.get(_normal(key), False):
                raise PriorError(f"The prior for {key!r} matches nothing. {did_you_mean(_normal(key), self.reached)}")


def _normal(key: str) -> str:
    """Return a key without blanks after commas, so that ``sd[g,x]`` equals ``sd[g, x]``."""
    return ", ".join(part.strip() for part in key.split(","))


def _check(key: str, prior: Prior, slot: Slot) -> None:
    allowed = _SUPPORTS[_domain(slot)]
    if slot.kind == "dispersion" and slot.domain == "real":
        allowed = (*allowed, "positive")
    if prior.support not in allowed:
        raise PriorError(
            f"The prior {prior} for {key!r} does not suit {slot.label} (a {_WORDS.get(slot.kind, slot.kind)}): its "
            f"support is {prior.support}, allowed: {', '.join(allowed)}."
        )
    if slot.kind == "normal" and (prior.distribution != "Normal" or prior.parameters["mu"] != 0.0):
        raise PriorError(f"The prior {prior} for {key!r} does not suit {slot.label}: it is Normal around 0.")
    if prior.nested and slot.kind != "scale":
        raise PriorError(
            f"The prior {prior} for {key!r} has a prior inside, which is for standard deviations of group effects "
            f"and smooths only, not for {slot.label}."
        )
    lowest, highest = slot.range
    for value in _ends(prior):
        if not lowest <= value <= highest:
            where = f"between {lowest:.3g} and {highest:.3g}" if np.isfinite(highest) else f"{lowest:g} or more"
            raise PriorError(f"The prior {prior} for {key!r} does not suit {slot.label}, which must be {where}.")
    if prior.distribution != "Fixed" or slot.kind not in ("dispersion", "vector"):
        return
    value = prior.parameters["value"]
    if (slot.kind == "vector" or slot.domain == "unit") and value == highest:
        raise PriorError(
            f"The prior {prior} for {key!r} does not suit {slot.label}, which must be below {highest:.3g}."
        )
    if (slot.kind == "vector" or slot.domain == "positive") and value == lowest:
        where = "positive" if lowest == 0.0 else f"above {lowest:.3g}"
        raise PriorError(f"The prior {prior} for {key!r} does not suit {slot.label}, which must be {where}.")


_WORDS = {"vector": "parameter of a covariance structure"}


def _domain(slot: Slot) -> str:
    """Return which priors suit a parameter."""
    if slot.kind == "dispersion":
        return slot.domain
    if slot.kind != "vector":
        return slot.kind
    lower, upper = slot.bounds
    return "interval" if np.isfinite(upper) else "positive" if np.isfinite(lower) else "coefficient"


def _ends(prior: Prior) -> tuple[float, ...]:
    """Return the values between which a bounded or fixed prior lies."""
    return tuple(prior.parameters[name] for name in ("value", "lower", "upper") if name in prior.parameters)

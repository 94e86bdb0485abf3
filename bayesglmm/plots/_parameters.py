"""Which parameters a figure shows, under their names in `fit.summary()`, and what their scale is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.plots._numerics import Interval, interval
from bayesglmm.results.estimates import ERROR
from bayesglmm.results.schema import ESTIMATES
from bayesglmm.results.tables import Parameter, labelled, parameters, prefix_of
from bayesglmm.results.wald import Wald, normal_quantile

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import BlockParts, Problem

KINDS = ("fixed", "sd", "cor", "structure", "dispersion")
_ANYWHERE = (-np.inf, np.inf)
_DOMAINS = {"positive": (0.0, np.inf), "unit": (0.0, 1.0)}


class Fitted(Protocol):
    """What figures read of a fit."""

    @property
    def data(self) -> xr.DataTree:
        """The result, with group ``posterior``."""

    @property
    def problem(self) -> Problem:
        """What was fitted."""


@dataclass(frozen=True, eq=False)
class Entry:
    """One scalar parameter as figures need it.

    Attributes
    ----------
    label : str
        As in `fit.summary()`.
    kind : {"fixed", "sd", "cor", "structure", "dispersion", "effect"}
    chains : ndarray, shape (chains, draws)
        Of a maximum likelihood fit the estimate alone.
    predictor : str
        Whose linear predictor it belongs to; for a dispersion its own name.
    term : str
        Column or varying term, without a predictor's prefix.
    bounds : tuple of float
        Where it can lie.
    ends : callable, optional
        Of a maximum likelihood fit: the confidence interval that has a given probability.
    """

    label: str
    kind: str
    chains: Floats
    predictor: str
    term: str
    bounds: tuple[float, float]
    ends: Callable[[float], Floats] | None = None

    @property
    def draws(self) -> Floats:
        """All draws, shape (S,)."""
        return self.chains.ravel()

    def interval(self, prob: float) -> Interval:
        """Return the mean and the equal-tailed interval; of a maximum likelihood fit estimate and Wald interval."""
        return interval(self.draws, prob) if self.ends is None else Interval(self.draws[0], *self.ends(prob))


def posterior_of(fit: Fitted) -> xr.Dataset:
    """Return the posterior draws.

    Raises
    ------
    SettingsError
        If the fit has none, as maximum likelihood has not.
    """
    if "posterior" not in fit.data.children:
        raise SettingsError(
            "This figure draws a posterior, and this fit has estimates only. Fit without objective=, such as "
            'model.fit("laplace"), and draw that fit.'
        )
    return fit.data["posterior"].to_dataset()


def point_of(fit: Fitted) -> dict[str, Floats]:
    """Return every variable's posterior mean; of a maximum likelihood fit its estimate."""
    if is_estimated(fit):
        return {str(name): np.asarray(v.values) for name, v in fit.data[ESTIMATES].data_vars.items()}
    return {
        str(name): np.asarray(v.mean(("chain", "draw")).values) for name, v in posterior_of(fit).data_vars.items()
    }


def is_estimated(fit: Fitted) -> bool:
    """Whether this is a maximum likelihood fit."""
    return ESTIMATES in fit.data.children


def population(fit: Fitted, estimates: bool = False) -> list[Entry]:
    """Return all population-level parameters in the order of `fit.summary()`; of estimates only where these serve."""
    if not (estimates and is_estimated(fit)):
        return _population(fit.problem, posterior_of(fit))
    dataset = fit.data[ESTIMATES].to_dataset()
    wald = Wald(fit.problem, dataset)
    table = cache(lambda prob: labelled(wald.parameters, prob, wald.describe))

    def ends(label: str) -> Callable[[float], Floats]:
        return lambda prob: table(prob).loc[label, ["lower", "upper"]].to_numpy(dtype=float)

    found = _population(fit.problem, dataset.expand_dims({"chain": 1, "draw": 1}))
    return [replace(entry, ends=ends(entry.label)) for entry in found]


def _population(problem: Problem, posterior: xr.Dataset) -> list[Entry]:
    found: list[Entry] = []
    for part in problem.predictors:
        alone = replace(problem, predictors=(part,), dispersions={})
        name, cut = part.names.parameter, len(prefix_of(problem, part))
        for own in parameters(alone, posterior):
            found.append(_entry(own, name, own.term if own.kind == "fixed" else own.term[cut:]))
    domains = {own.name: own.domain for own in problem.family.parameters}
    for own in parameters(replace(problem, predictors=()), posterior):
        # Cutpoints have labels of their own, and no bounds.
        bounds = _DOMAINS.get(domains.get(own.label, "real"), _ANYWHERE)
        found.append(replace(_entry(own, own.label, ""), bounds=bounds))
    order = {own.label: place for place, own in enumerate(parameters(problem, posterior))}
    return sorted(found, key=lambda entry: order[entry.label])


def _entry(parameter: Parameter, predictor: str, term: str) -> Entry:
    values = np.asarray(parameter.values, dtype=float)
    return Entry(parameter.label, parameter.kind, values, predictor, term, parameter.bounds)


def effects(fit: Fitted) -> Iterator[tuple[str, BlockParts, str, int, int]]:
    """Yield (label, block, predictor, level, term) of every group effect: ``b[herd, 3, Intercept]``."""
    problem = fit.problem
    for part in problem.predictors:
        prefix = prefix_of(problem, part)
        for block in part.blocks:
            for i, level in enumerate(block.block.levels):
                for j, term in enumerate(block.block.terms):
                    label = f"{prefix}b[{block.block.group}, {level}, {term}]"
                    yield label, block, part.names.parameter, i, j


def chosen(fit: Fitted, names: str | Sequence[str] | None, estimates: bool = False) -> list[Entry]:
    """Return the parameters that a user asks for.

    Parameters
    ----------
    fit : Fit
    names : str, sequence of str or None
        Labels of `fit.summary()`, group effects as ``b[herd, 3, Intercept]``, or the words ``fixed``, ``sd``,
        ``cor`` and ``dispersion`` for all of a kind; None for all that `fit.summary()` shows.
    estimates : bool
        Whether estimates with standard errors serve where there are no draws.

    Raises
    ------
    UnknownNameError
        With the nearest known name.
    """
    entries = population(fit, estimates)
    if names is None:
        return entries
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise SettingsError("parameters= is empty: name at least one, or leave it out for all.")
    known = {entry.label: entry for entry in entries}
    more: dict[str, Entry] = {}
    if any(name not in known and name not in KINDS for name in wanted):
        more = _effect_entries(fit, set(wanted))
    found: list[Entry] = []
    for name in wanted:
        if name in known or name in more:
            found.append(known[name] if name in known else more[name])
        elif name in KINDS:
            found += [entry for entry in entries if entry.kind == name]
        else:
            raise UnknownNameError(
                f"The fit has no parameter {name!r}. {did_you_mean(name, _offers(fit, known, name))}"
            )
    return list({entry.label: entry for entry in found}.values())


def _effect_entries(fit: Fitted, wanted: set[str]) -> dict[str, Entry]:
    estimated = is_estimated(fit)
    dataset = fit.data[ESTIMATES].to_dataset() if estimated else posterior_of(fit)
    found = {}
    for label, block, predictor, i, j in effects(fit):
        if label in wanted:
            values = np.asarray(dataset[block.names.b].values[..., i, j], dtype=float)
            entry = Entry(label, "effect", np.atleast_2d(values), predictor, block.block.terms[j], _ANYWHERE)
            if estimated:
                entry = replace(entry, ends=_wald(float(values), float(dataset[block.names.b + ERROR].values[i, j])))
            found[label] = entry
    return found


def _wald(value: float, error: float) -> Callable[[float], Floats]:
    return lambda prob: value + np.array([-1.0, 1.0]) * normal_quantile(prob) * error


def _offers(fit: Fitted, known: dict[str, Entry], name: str) -> list[str]:
    """Return what may have been meant; group effects only for a name that looks like one: they are many."""
    return [label for label, *_ in effects(fit)] if "b[" in name else [*known, *KINDS]

"""The tables of a fit: summary, population effects, standard deviations and correlations, group effects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayesglmm.errors import UnknownNameError, did_you_mean
from bayesglmm.results.convergence import statistics
from bayesglmm.results.draws import STATISTICS, pieces, stacked, summarise

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.covariances import CovarianceParameter
    from bayesglmm.graph.problem import BlockParts, PredictorParts, Problem, ResidualParts

type Kind = Literal["fixed", "sd", "cor", "structure", "dispersion"]
KINDS_OF_GROUPS: tuple[Kind, ...] = ("sd", "cor", "structure")
RESIDUAL = "Residual"
_BOUNDS = {"sd": (0.0, np.inf), "cor": (-1.0, 1.0)}
type Describe = Callable[[Sequence[Parameter], float], pd.DataFrame]


@dataclass(frozen=True, eq=False)
class Parameter:
    """One scalar parameter of the population.

    Attributes
    ----------
    label : str
        As users see it, and as the keys of ``priors=`` are written: ``x``, ``sd[herd, Intercept]``,
        ``cor[herd, Intercept, x]``, ``sigma``, ``sigma.x``.
    kind : {"fixed", "sd", "cor", "structure", "dispersion"}
        ``structure``: a parameter of a covariance structure that is neither.
    values : ndarray, shape (chains, draws)
    group, term, term2 : str
        Where it belongs, for standard deviations and correlations.
    smooth : bool
        Whether it belongs to a smooth and not to a grouping factor.
    what : str
        What tables call it: ``sd``, ``cor``, ``range``.
    within : tuple of (float, float) or None
        Where it can lie, if that is not what its kind says.
    derived : bool
        Whether it is a function of other parameters.
    """

    label: str
    kind: Kind
    values: Any
    group: str = ""
    term: str = ""
    term2: str = ""
    smooth: bool = False
    what: str = ""
    within: tuple[float, float] | None = None
    derived: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Where it can lie; dispersions and coefficients do not say."""
        return self.within or _BOUNDS.get(self.kind, (-np.inf, np.inf))


def prefix_of(problem: Problem, part: PredictorParts) -> str:
    """Return what comes before the names of a predictor: nothing for the main one, else ``sigma.``."""
    main = problem.family.main_predictors(problem.response)
    return "" if main == (part.names.parameter,) else f"{part.names.parameter}."


def parameters(problem: Problem, posterior: xr.Dataset) -> list[Parameter]:
    """Return all population-level parameters: fixed effects, sds, correlations, then dispersions."""
    found: list[Parameter] = []
    for part in problem.predictors:
        if part.beta is not None:
            prefix, values = prefix_of(problem, part), posterior[part.names.beta].values
            found += [
                Parameter(f"{prefix}{column}", "fixed", values[:, :, j], term=column)
                for j, column in enumerate(part.predictor.columns)
            ]
        found += _single_coefficients(part, prefix_of(problem, part), posterior)
    for part in problem.predictors:
        for block in part.blocks:
            found += _block_parameters(block, prefix_of(problem, part), posterior)
    found += _residual_parameters(problem.residual, posterior)
    found += [Parameter(own.label, "dispersion", posterior[own.name].values) for own in problem.hyperpriors]
    for name in problem.dispersions:
        variable = posterior[name]
        if variable.ndim == 2:
            found.append(Parameter(name, "dispersion", variable.values))
        else:
            labels = variable.coords[variable.dims[-1]].values
            found += [
                Parameter(f"{name}[{label}]", "dispersion", variable.values[:, :, j])
                for j, label in enumerate(labels)
            ]
    return found


def _single_coefficients(part: PredictorParts, prefix: str, posterior: xr.Dataset) -> Iterator[Parameter]:
    """Yield the population coefficients that blocks stand for."""
    for block in part.blocks:
        values = block.covariance.coefficient(posterior[block.names.b].values)
        if values is not None:
            label = block.block.label
            yield Parameter(f"{prefix}{label}", "fixed", values[:, :, 0], term=label)


def _block_parameters(block: BlockParts, prefix: str, posterior: xr.Dataset) -> Iterator[Parameter]:
    own, derived = block.covariance.parameters(block.block), block.covariance.derived(block.block)
    for declared in (*own, *derived):
        if declared.hidden:
            continue
        about = {"smooth": block.block.kind == "smooth", "derived": declared in derived}
        values = posterior[block.names.variable(declared.name)].values
        yield from _named(declared, values, block.block.group, block.block.label, prefix, about)


def _residual_parameters(residual: ResidualParts | None, posterior: xr.Dataset) -> Iterator[Parameter]:
    for declared in () if residual is None else residual.structure.parameters(residual.block):
        assert residual is not None
        values = posterior[residual.names.variable(declared.name)].values
        yield from _named(declared, values, RESIDUAL, "", "", {})


def _named(
    declared: CovarianceParameter, values: Any, group: str, block: str, prefix: str, given: Mapping[str, Any]
) -> Iterator[Parameter]:
    """Yield the entries of one parameter of a covariance; `block` is the label of its block."""
    names, head = declared.components, f"{prefix}{declared.name}[{group}"
    kind: Kind = "sd" if declared.name == "sd" else "cor" if declared.name == "cor" else "structure"
    about: dict[str, Any] = {"what": declared.name, **given}
    if declared.kind != "correlation":
        for j, term in enumerate(names):
            whole = names == (block,)  # one standard deviation for all columns of the block
            label = f"{head}]" if whole else f"{head}, {term}]"
            within = declared.bounds_of(j) if declared.kind == "vector" else None
            yield Parameter(label, kind, values[:, :, j], group, f"{prefix}{term}", within=within, **about)
    else:
        for i, later in enumerate(names):
            for j, term in enumerate(names[:i]):
                pair = (f"{prefix}{term}", f"{prefix}{later}")
                label = f"{head}, {term}, {later}]"
                yield Parameter(label, kind, values[:, :, i, j], group, *pair, **about)


def moments(found: Sequence[Parameter], prob: float) -> pd.DataFrame:
    """Return mean, sd and equal-tailed interval of the draws, one row per parameter."""
    values = np.stack([_merged(p.values) for p in found], axis=-1) if found else np.zeros((1, 0))
    return pd.DataFrame(summarise(values, prob), columns=list(STATISTICS))


def labelled(found: Sequence[Parameter], prob: float, describe: Describe = moments) -> pd.DataFrame:
    """Return the table of all population-level parameters; its index is their labels."""
    frame = describe(found, prob)
    frame.index = pd.Index([parameter.label for parameter in found], name="parameter")
    return frame


def summary(
    found: Sequence[Parameter], prob: float, compute: Callable[[pd.Index, Sequence[Any]], pd.DataFrame] = statistics
) -> pd.DataFrame:
    """Return the table of all population-level parameters with convergence statistics.

    Parameters
    ----------
    found : sequence of Parameter
    prob : float
    compute : callable
        Returns the statistics; see `bayesglmm.results.convergence`.
    """
    frame = labelled(found, prob)
    return frame.join(compute(frame.index, [parameter.values for parameter in found]))


def fixed(found: Sequence[Parameter], prob: float, describe: Describe = moments) -> pd.DataFrame:
    """Return the table of population coefficients; its index is the column names."""
    chosen = [parameter for parameter in found if parameter.kind == "fixed"]
    frame = describe(chosen, prob)
    frame.index = pd.Index([parameter.label for parameter in chosen], name="column", dtype=object)
    return frame


def varcorr(problem: Problem, found: Sequence[Parameter], prob: float, describe: Describe = moments) -> pd.DataFrame:
    """Return the table of standard deviations, correlations and further parameters of group effects.

    The residual comes last.
    """
    chosen = [p for p in found if p.kind in KINDS_OF_GROUPS and not p.smooth]
    scales = {parameter.name for parameter in problem.family.parameters if parameter.scaled}
    residual = [p for p in found if p.kind == "dispersion" and p.label in scales]
    chosen += [Parameter(p.label, "sd", p.values, RESIDUAL) for p in residual]
    columns = {name: [getattr(p, name) for p in chosen] for name in ("group", "term", "term2")}
    labels = pd.DataFrame(columns | {"kind": [p.what or p.kind for p in chosen]}, dtype=object)
    return labels.join(describe(chosen, prob))


def ranef(problem: Problem, posterior: xr.Dataset, prob: float, group: str | None = None) -> pd.DataFrame:
    """Return the table of group effects: one row per block, level and term, levels in the order of the fit."""

    def describe(block: BlockParts) -> dict[str, Any]:
        return summarise(_merged(posterior[block.names.b].values), prob)

    return effects_table(problem, describe, STATISTICS, group)


def effects_table(
    problem: Problem,
    describe: Callable[[BlockParts], Mapping[str, Any]],
    columns: Sequence[str],
    group: str | None = None,
) -> pd.DataFrame:
    """Return the table of group effects from their statistics.

    Parameters
    ----------
    problem : Problem
    describe : callable
        Block -> statistics by name, each of shape (levels, terms).
    columns : sequence of str
        Names of the statistics.
    group : str, optional
        One grouping factor; all if absent.
    """
    require_group(problem, group)
    frames = []
    for part in problem.predictors:
        prefix = prefix_of(problem, part)
        for block in part.blocks:
            own = block.block
            if own.kind == "group" and group in (None, own.group):
                terms = [f"{prefix}{term}" for term in own.terms]
                frames.append(_effects(own.group, own.levels, terms, describe(block)))
    empty = pd.DataFrame(columns=["group", "level", "term", *columns])
    return pd.concat(frames, ignore_index=True) if frames else empty


def require_group(problem: Problem, group: str | None) -> None:
    """Raise unless `group` is a grouping factor of the model, or None."""
    known = [block.block.group for block in problem.blocks if block.block.kind == "group"]
    if group is not None and group not in known:
        raise UnknownNameError(f"No grouping factor is called {group!r}. {did_you_mean(group, known)}")


def coef(problem: Problem, posterior: xr.Dataset, prob: float, group: str | None = None) -> pd.DataFrame:
    """Return population coefficient plus group effect per level, for the terms that have both.

    A term that varies by group without a population coefficient counts as having one of zero.
    """
    require_group(problem, group)
    frames, flat = [], stacked(posterior)
    for part in problem.predictors:
        prefix, columns = prefix_of(problem, part), part.predictor.columns
        # By group, and by term what is added up: draws of shape (S, 1) or (S, levels).
        totals: dict[tuple[str, tuple[str, ...]], dict[str, list[Any]]] = {}
        for block in part.blocks:
            own = block.block
            if own.kind != "group" or group not in (None, own.group):
                continue
            terms = totals.setdefault((own.group, own.levels), {})
            for j, term in enumerate(own.columns):
                fixed = [flat[part.names.beta][:, [columns.index(term)]]] if term in columns else []
                terms.setdefault(term, fixed).append(flat[block.names.b][:, :, j])
        for (name, levels), terms in totals.items():
            found = _summarised_sums(list(terms.values()), len(levels), prob)
            frames.append(_effects(name, levels, [f"{prefix}{term}" for term in terms], found))
    return (
        pd.concat(frames, ignore_index=True)
        if frames
        else pd.DataFrame(columns=["group", "level", "term", *STATISTICS])
    )


def _summarised_sums(terms: Sequence[Sequence[Any]], levels: int, prob: float) -> dict[str, Any]:
    """Return statistics of sums of draws, each (levels, terms); of some levels at once, since draws may be many."""
    found = {name: np.empty((levels, len(terms))) for name in STATISTICS}
    for part in pieces(levels, 4 * len(terms) * len(terms[0][-1])):  # there are some arrays of that size at once
        sums = []
        for first, *others in terms:
            total = first[:, part] if first.shape[1] == levels else first
            for other in others:
                total = total + other[:, part]
            sums.append(total)
        for name, values in summarise(np.stack(sums, axis=-1), prob).items():
            found[name][part] = values
    return found


def _effects(group: str, levels: tuple[str, ...], terms: list[str], found: Mapping[str, Any]) -> pd.DataFrame:
    """Return the table of statistics of shape (J, k), levels outermost."""
    size = len(levels) * len(terms)
    labels = {
        "group": np.full(size, group, dtype=object),
        "level": np.repeat(np.array(levels, dtype=object), len(terms)),
        "term": np.tile(np.array(terms, dtype=object), len(levels)),
    }
    return pd.DataFrame(labels | {name: np.ravel(array) for name, array in found.items()})


def _merged(values: Any) -> Any:
    return values.reshape(-1, *values.shape[2:])

"""The layout of every result: one `xarray.DataTree` in ArviZ 1.x form, the same groups from every engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.results import facts
from bayesglmm.results.protocols import EngineRun
from bayesglmm.version import __version__

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import PredictorParts, Problem

OBSERVED = "y"
ROWS = "obs"
SAMPLE = ("chain", "draw")
POSTERIOR, ESTIMATES, ASYMPTOTIC = "posterior", "estimates", "asymptotic"
_PACKAGES = ("pymc", "pytensor", "arviz", "nutpie", "numpy")


@dataclass(frozen=True)
class Meta:
    """What a result records beside its numbers.

    Attributes
    ----------
    formulas : tuple of str
        As the user wrote them, the main one first.
    engine : str
        Registered name.
    settings : mapping
        Of the engine, plain values.
    seed : int or None
    seconds : mapping of str to float
        Wall-clock time of the stages before the engine: build.
    notes : tuple of str
        Sentences for the user, before those of the engine.
    """

    formulas: tuple[str, ...]
    engine: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def now() -> str:
    """Return the time as trees note it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def assemble(problem: Problem, run: EngineRun, meta: Meta, created: str | None = None) -> xr.DataTree:
    """Put draws, statistics, data and provenance into one tree.

    Parameters
    ----------
    problem : Problem
    run : EngineRun
    meta : Meta
    created : str, optional
        When the fit was made; now if absent.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data``; for maximum likelihood
        ``estimates`` instead of the first two (the draws around them are `asymptotic`, on request). Rows that are
        read in parts are not in it. The provenance is in its attrs, as strings and numbers only, so that netCDF takes
        them.
    """
    import xarray as xr

    created = now() if created is None else created
    groups = _inferred(problem, run)
    if problem.parts is None:
        groups |= {"observed_data": observed(problem), "constant_data": constant(problem)}
    for dataset in groups.values():
        dataset.attrs |= _origin(created)
    tree = xr.DataTree.from_dict(groups, name="bayesglmm")
    tree.attrs |= _attrs(problem, run, meta) | {"created_at": created}
    return tree


def _inferred(problem: Problem, run: EngineRun) -> dict[str, xr.Dataset]:
    likelihood = facts.likelihood_of(run)
    if likelihood is None:
        return {POSTERIOR: variables(problem, run.draws), "sample_stats": _sample_stats(run)}
    from bayesglmm.results.estimates import estimates

    return {ESTIMATES: estimates(problem, likelihood)}


def asymptotic(problem: Problem, draws: Mapping[str, Any]) -> xr.Dataset:
    """Return the group ``asymptotic`` of a maximum likelihood fit.

    Parameters
    ----------
    problem : Problem
    draws : mapping of str to ndarray, shape (chains, draws, ...)
        Of the free variables, around the estimates.
    """
    dataset = variables(problem, draws)
    dataset.attrs |= _origin(now())
    return dataset


def _origin(created: str) -> dict[str, str]:
    return {
        "created_at": created,
        "inference_library": "bayesglmm",
        "inference_library_version": __version__,
    }


def sampled(
    name: str, values: Any, dims: tuple[str, ...] = (), coords: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Return a data set of one variable with the dims chain and draw in front.

    Parameters
    ----------
    name : str
    values : ndarray, shape (chains, draws, ...)
    dims : tuple of str
        Of the axes after chain and draw.
    coords : mapping, optional
        Labels of these dims.
    """
    import xarray as xr

    own = {"chain": np.arange(values.shape[0]), "draw": np.arange(values.shape[1]), **(coords or {})}
    return xr.Dataset({name: ((*SAMPLE, *dims), values)}, coords=own)


def row_labels(problem: Problem) -> Any:
    """Return the labels of the rows used, shape (n,): numbers, or text where they are anything else."""
    labels = np.asarray(problem.row_labels)
    return labels if labels.dtype.kind in "iuf" else np.array([str(label) for label in labels], dtype=object)


def family_text(problem: Problem) -> str:
    """Return family and links as one reads them aloud: ``gaussian(identity), sigma: log``."""
    main = problem.family.main_predictors(problem.response)
    text = f"{problem.family.name}({problem.links[main[0]].name})"
    others = [part.names.parameter for part in problem.linear_predictors if part.names.parameter not in main]
    return text + "".join(f", {name}: {problem.links[name].name}" for name in others)


def variables(problem: Problem, draws: Mapping[str, Any]) -> xr.Dataset:
    """Return the variables that users read, from draws of the free ones, each of shape (chains, draws, ...)."""
    import xarray as xr

    from bayesglmm.graph.derive import posterior_variables

    found: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, variable in posterior_variables(problem, draws).items():
        found[name] = ((*SAMPLE, *variable.dims), variable.values, dict(variable.attrs))
        coords |= {dim: np.array(labels, dtype=object) for dim, labels in variable.coords.items()}
    return xr.Dataset(found, _sample_coords(draws) | coords)


def _sample_coords(draws: Mapping[str, Any]) -> dict[str, Any]:
    chains, length = next(iter(draws.values())).shape[:2]
    return {"chain": np.arange(chains), "draw": np.arange(length)}


def _sample_stats(run: EngineRun) -> xr.Dataset:
    import xarray as xr

    found = {
        name: ((*SAMPLE, *(f"{name}_dim_{i}" for i in range(np.ndim(values) - 2))), np.asarray(values))
        for name, values in run.stats.items()
    }
    return xr.Dataset(found, _sample_coords(run.draws))


def observed(problem: Problem) -> xr.Dataset:
    """Return the response: ``y`` by rows; counts of successes, or codes with the categories in its attrs."""
    import xarray as xr

    response = problem.response
    attrs = {"response": response.name}
    if response.categories:
        attrs["categories"] = json.dumps(list(response.categories))
    return xr.Dataset({OBSERVED: ((ROWS,), np.asarray(response.y), attrs)}, {ROWS: row_labels(problem)})


def constant(problem: Problem) -> xr.Dataset:
    """Return what stays as it is: trials, weights, bounds and the arrays of every predictor, by rows."""
    import xarray as xr

    response = problem.response
    found: dict[str, Any] = {}
    coords: dict[str, Any] = {ROWS: row_labels(problem)}
    modifiers = ("trials", "weights", "likelihood_weights", "censoring", "y_upper", "lower", "upper")
    for name in modifiers:
        if (values := getattr(response, name)) is not None:
            found[name] = ((ROWS,), np.asarray(values))
    for j, (text, column) in enumerate(response.covariates.items()):
        found[f"covariate_{j + 1}"] = ((ROWS,), column, {"text": text})
    for part in problem.predictors:
        for name, dims, values, labels in _predictor_data(part):
            found[name] = ((ROWS, *dims), values)
            coords |= labels
    return xr.Dataset(found, coords)


def _predictor_data(part: PredictorParts) -> Iterator[tuple[str, tuple[str, ...], Any, dict[str, Any]]]:
    """Yield (name, dims after the rows, values, coords) of everything that one predictor is computed from."""
    predictor, names = part.predictor, part.names
    if predictor.columns:
        labels = np.array(predictor.columns, dtype=object)
        yield f"{names.prefix}X", (names.column_dim,), predictor.X, {names.column_dim: labels}
    if predictor.offset is not None:
        yield f"{names.prefix}offset", (), predictor.offset, {}
    for block in part.blocks:
        own = block.names
        labels = np.array(block.block.terms, dtype=object)
        if block.block.shares is not None:
            members = {own.member_dim: np.arange(1, block.block.shares.shape[2] + 1)}
            yield own.variable("index"), (own.member_dim,), block.block.index, members
            dims = (own.term_dim, own.member_dim)
            yield own.variable("Z"), dims, block.block.shares, {own.term_dim: labels} | members
            continue
        yield own.variable("index"), (), block.block.index, {}
        if block.block.column is None:
            yield own.variable("Z"), (own.term_dim,), block.block.X, {own.term_dim: labels}
        else:
            yield own.variable("column"), (), block.block.column, {}


def _attrs(problem: Problem, run: EngineRun, meta: Meta) -> dict[str, str | float | int]:
    seconds = {name: float(value) for name, value in {**meta.seconds, **run.seconds}.items()}
    seconds.setdefault("total", sum(seconds.values()))
    priors = {slot.label: f"{slot.prior} [{slot.source}]" for slot in problem.priors}
    said, chosen = facts.own_sentences(run), facts.chosen_of(run)
    attrs: dict[str, str | float | int] = {
        "formula": "; ".join(meta.formulas),
        "formulas": json.dumps(list(meta.formulas)),
        "family": problem.family.name,
        "links": json.dumps({name: link.name for name, link in problem.links.items()}),
        "engine": meta.engine,
        "settings": json.dumps({**meta.settings, **chosen}, default=str),
        "seconds": json.dumps(seconds),
        "notes": json.dumps([*meta.notes, *(note for note in run.notes if note not in said)]),
        "priors": json.dumps(priors),
        "versions": json.dumps(_versions()),
    }
    if chosen:
        attrs[facts.LEFT] = json.dumps(list(chosen))
    if meta.seed is not None:
        attrs["seed"] = str(meta.seed)  # text: netCDF has no integer wide enough for every seed
    return attrs | facts.attributes(run)


def _versions() -> dict[str, str]:
    """Return the versions of this package, which may run from its sources, and of those that it computes with."""
    return {"bayesglmm": __version__} | {package: _installed(package) for package in _PACKAGES}


@cache
def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

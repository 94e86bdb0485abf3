"""A fit as data: the tree, what was found out about the run, and the model; and the tree of such data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bayesglmm.errors import BayesglmmError, StorageError
from bayesglmm.records import packed
from bayesglmm.records.fields import take, texts
from bayesglmm.results.checks import Check, verdict_of
from bayesglmm.results.facts import LEFT
from bayesglmm.results.schema import ESTIMATES, POSTERIOR, ROWS, variables
from bayesglmm.storage import Record, Variable, kind_of, write

if TYPE_CHECKING:
    import xarray as xr

    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.fit import Fit

FORMAT = "bayesglmm fit"
VERSION = 1
"""Of what is in a file; see ``docs/developer/file-format.md``. A change that older versions cannot read adds one."""
FACTS_OF_RUNS = "runs"
"""Attribute of a fit with the runs that were appended to its first one, as JSON."""
_WORDS = ("good", "check", "bad")
# What the attributes of a fit hold as JSON.
_FACTS: Mapping[str, type] = {
    "formulas": list,
    "links": dict,
    "settings": dict,
    "seconds": dict,
    "notes": list,
    "priors": dict,
    "versions": dict,
    "quality": dict,
    "convergence": dict,
    FACTS_OF_RUNS: list,
    LEFT: list,
}
_OPTIONAL = ("quality", "convergence", FACTS_OF_RUNS, LEFT)


def save(fit: Fit, path: str | os.PathLike[str], data: bool = True) -> None:
    """Write a fit; see `Fit.save`."""
    kind_of(Path(path))
    if fit.model is None:
        raise BayesglmmError("This fit does not hold its model, so that it could not be loaded: it cannot be saved.")
    write(path, record(fit, data))


def record(fit: Fit, data: bool = True) -> Record:
    """Return a fit as a document and arrays.

    Parameters
    ----------
    fit : Fit
    data : bool
        Keep what has a value per row of the data.
    """
    model = packed(cast(Any, fit.model), data)
    if ESTIMATES in fit.data.children:
        _ = fit.draws  # those of a likelihood are made when first read; predictions after loading need the same
    groups, arrays = _pack_tree(fit.data, data)
    verdict = fit.verdict
    document = {
        "format": FORMAT,
        "format_version": VERSION,
        "model": model.document,
        "groups": groups,
        "attrs": _plain(fit.data.attrs),
        "checks": [_pack_check(check) for check in fit._checks],
        "verdict": {"word": verdict.word, "good": verdict.good, "reasons": list(verdict.reasons)},
    }
    shown = {"": {"format": FORMAT, "format_version": VERSION, "verdict": verdict.word, **_plain(fit.data.attrs)}}
    shown |= {name: group["attrs"] for name, group in groups.items()}
    return Record(document, {**arrays, **model.variables}, shown)


def _pack_tree(tree: xr.DataTree, data: bool) -> tuple[dict[str, Any], dict[str, Variable]]:
    groups: dict[str, Any] = {}
    arrays: dict[str, Variable] = {}
    for name, child in tree.children.items():
        dataset = child.to_dataset()
        if not data and ROWS in dataset.dims:
            continue
        described = {}
        for key, variable in dataset.variables.items():
            attrs = _plain(variable.attrs)
            described[str(key)] = {"coordinate": key in dataset.coords, "attrs": attrs}
            arrays[f"{name}/{key}"] = Variable(tuple(map(str, variable.dims)), variable.values, attrs)
        groups[str(name)] = {"attrs": _plain(dataset.attrs), "variables": described}
    return groups, arrays


def _plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as text, numbers and lists of these."""
    return {str(name): _plain_value(value) for name, value in attrs.items()}


def _plain_value(value: Any) -> Any:
    match value:
        case np.generic():
            return _plain_value(value.item())
        case float() if not np.isfinite(value):
            return {"number": str(value)}
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple() | np.ndarray():
            return [_plain_value(own) for own in value]
    return str(value)


def _restored_value(value: Any) -> Any:
    if isinstance(value, dict) and value.get("number") in ("inf", "-inf", "nan"):
        return float(value["number"])
    return value


def _pack_check(check: Check) -> dict[str, Any]:
    return asdict(check) | {"value": _plain_value(float(check.value))}


# ------------------------------------------------------------------------------------------------- and back


def check_format(document: Mapping[str, Any]) -> None:
    """Refuse a document that is no fit, or of a format that is not known yet.

    Raises
    ------
    StorageError
    """
    if document.get("format") != FORMAT:
        raise StorageError("This file does not hold a fit of bayesglmm.")
    version = take(document, "format_version", int)
    if version > VERSION:
        versions = document.get("attrs", {})
        made = versions.get("versions", "") if isinstance(versions, dict) else ""
        raise StorageError(
            f"The file has the format {version}, written by a newer version of bayesglmm ({made}); this one reads up "
            f"to {VERSION}. Upgrade bayesglmm to read it."
        )


def tree_of(document: Mapping[str, Any], arrays: Mapping[str, Variable]) -> xr.DataTree:
    """Return the tree of a fit.

    Parameters
    ----------
    document : mapping
    arrays : mapping of str to Variable

    Raises
    ------
    StorageError
        If document and arrays do not make one.
    """
    import xarray as xr

    groups = {}
    for name, group in take(document, "groups", dict).items():
        found: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        for key, entry in take(group, "variables", dict).items():
            path = f"{name}/{key}"
            if path not in arrays:
                raise StorageError(f"The file lacks the array {path!r}.")
            attrs = {own: _restored_value(value) for own, value in take(entry, "attrs", dict).items()}
            held = (arrays[path].dims, arrays[path].values, attrs)
            (coords if take(entry, "coordinate", bool) else found)[key] = held
        try:
            groups[name] = xr.Dataset(found, coords)
        except (ValueError, TypeError) as error:
            raise StorageError(f"The arrays of {name!r} do not fit together: {error}.") from None
        groups[name].attrs |= {own: _restored_value(value) for own, value in take(group, "attrs", dict).items()}
    tree = xr.DataTree.from_dict(groups, name="bayesglmm")
    tree.attrs |= {own: _restored_value(value) for own, value in take(document, "attrs", dict).items()}
    _check_facts(tree.attrs)
    return tree


def _check_facts(attrs: Mapping[Any, Any]) -> None:
    """Refuse attributes in which the facts about a run (`schema.assemble`, `facts`) are not what they have to be."""
    for name in ("formula", "family", "engine", "created_at"):
        take(attrs, name, str)
    for name, kind in _FACTS.items():
        if name in attrs or name not in _OPTIONAL:
            try:
                take({name: json.loads(take(attrs, name, str))}, name, kind)
            except (ValueError, RecursionError):
                raise StorageError(f"The document lacks {name!r}, or it is no JSON.") from None


def check_draws(problem: Problem, tree: xr.DataTree) -> None:
    """Refuse draws that are not of the parameters of a model: other names, levels or shapes.

    Raises
    ------
    StorageError
    """
    groups = [name for name in (POSTERIOR, ESTIMATES, "asymptotic") if name in tree.children]
    if not {POSTERIOR, ESTIMATES} & set(groups):
        raise StorageError("The file holds neither draws nor estimates.")
    expected = variables(
        problem, {name: np.full((1, 1, *shape), 0.5) for name, shape in free_shapes(problem).items()}
    )
    for group in groups:
        held = tree[group].to_dataset()
        sample = () if group == ESTIMATES else ("chain", "draw")
        for name, own in expected.data_vars.items():
            dims = tuple(dim for dim in own.dims if dim not in ("chain", "draw"))
            there = name in held.data_vars and held[name].dims == (*sample, *dims)
            if not there or any(_labels(own, dim) != _labels(held, dim) for dim in dims):
                raise StorageError(
                    f"{name!r} in {group!r} is not what the model has: this version of bayesglmm makes another model "
                    "of the formula, or the file was changed."
                )


def _labels(dataset: Any, dim: Any) -> list[Any]:
    return list(map(str, dataset[dim].values.tolist())) if dim in dataset.coords else [dataset.sizes[dim]]


def free_shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Return the shape of every free variable."""
    shapes = {variable.name: variable.type.shape for variable in problem.model.free_RVs}
    if any(None in shape for shape in shapes.values()):
        shapes = problem.model.eval_rv_shapes()
    return {name: tuple(map(int, shapes[name])) for name in (variable.name for variable in problem.model.free_RVs)}


def restore(fit: Fit, document: Mapping[str, Any]) -> None:
    """Give a fit the checks that were made before it was saved, so that they need not be made again."""
    checks = [_unpack_check(entry) for entry in take(document, "checks", list)]
    good = take(take(document, "verdict", dict), "good", str)
    fit.__dict__["_checks"] = checks
    fit.__dict__["verdict"] = verdict_of(checks, good)


def _unpack_check(entry: Any) -> Check:
    if not isinstance(entry, dict) or entry.get("verdict") not in _WORDS:
        raise StorageError("The document holds a check that makes no sense.")
    words = {name: take(entry, name, str) for name in ("name", "threshold", "finding", "meaning", "advice")}
    value = _restored_value(entry.get("value"))
    if not isinstance(value, int | float):
        raise StorageError("The document holds a check without its value.")
    texts({"words": list(words.values())}, "words")
    if entry.get("about") not in ("computation", "model"):
        raise StorageError("The document holds a check that makes no sense.")
    return Check(
        words["name"],
        float(value),
        words["threshold"],
        entry["verdict"],
        words["finding"],
        words["meaning"],
        words["advice"],
        entry["about"],
        tuple(texts(entry, "parameters")),
    )

"""A model as data, and back: the arguments of `Model`, and what is put into the model that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from bayesglmm.arraymath import NUMPY
from bayesglmm.design import Design, LearnedRows
from bayesglmm.design.frame import as_frame
from bayesglmm.design.nonlinear import NonlinearPart
from bayesglmm.errors import StorageError, UnknownNameError
from bayesglmm.families import FAMILIES, Family
from bayesglmm.formula import nonlinear
from bayesglmm.formula.nonlinear import Nonlinear
from bayesglmm.graph.slots import PriorTable
from bayesglmm.links import LINKS, Link
from bayesglmm.records.fields import array, take, texts
from bayesglmm.records.frame import frame_hash, listed_columns, pack_frame, same_data, unpack_frame
from bayesglmm.records.learned import check_summary, learned, summary, with_learned
from bayesglmm.records.matrices import pack_matrices, unpack_matrices
from bayesglmm.records.priors import pack_given, pack_table, restore_table, unpack_given
from bayesglmm.records.tables import pack_table_facts, unpack_table_facts
from bayesglmm.storage import Variable

DATA, STATE = "model_data", "model_state"
"""Groups of the arrays: the data frame; what the terms learned."""
_PROBE = np.array([-2.0, -0.5, 0.25, 1.0, 3.0])  # a link of the user's own is known by what it does here


class Recorded(Protocol):
    """What is kept of a model."""

    formula: Any
    family: Family
    links: Mapping[str, Link]
    design: Design
    priors: PriorTable

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments ``link`` and ``priors``, as the user gave them."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A model as plain values and arrays."""

    document: Mapping[str, Any]
    variables: Mapping[str, Variable]


@dataclass(frozen=True, eq=False)
class Arguments:
    """What `Model` is called with to make a model again."""

    formula: Any
    data: pd.DataFrame | LearnedRows
    family: Family
    keywords: Mapping[str, Any]


def packed(model: Recorded, data: bool = True) -> Packed:
    """Return a model as data.

    Parameters
    ----------
    model : Model
    data : bool
        Keep the data frame, and the numbers that terms learned from it.

    Raises
    ------
    StorageError
        Without data, if weights were given as an array: they could not be had again.
    """
    design = model.design
    frame, variables = pack_frame(design.data, DATA)
    numbers = learned((dict(design.parts), design.nonlinear))
    weights: dict[str, Any] = {}
    for name in ("weights", "likelihood_weights"):
        value = getattr(design, name)
        weights[name] = value if value is None or isinstance(value, str) else {"array": f"{DATA}/{name}"}
        if isinstance(weights[name], dict):
            variables[f"{DATA}/{name}"] = Variable(("row",), np.asarray(value, dtype=float))
    if data:
        variables |= {f"{STATE}/{i}": _state_variable(i, own) for i, own in enumerate(numbers)}
    elif any(isinstance(value, dict) for value in weights.values()):
        raise StorageError(
            "data=False leaves the weights out, and as an array they could not be given again: make them a column "
            "of the data and name it."
        )
    if not data and design.stored is not None:
        raise StorageError(
            "The rows were read piece by piece, and data=False would leave out the few from which levels and columns "
            "were learned: the model could not be made again. Save with data=True; other rows are not in the file."
        )
    matrices, entries = pack_matrices(model.given.get("cov"))
    variables |= entries
    document = {
        "formula": _pack_formula(model.formula),
        "family": model.family.name,
        "links": {name: _pack_link(link) for name, link in model.links.items()},
        "link_given": _pack_link_argument(model.given["link"]),
        "priors_given": pack_given(model.given["priors"]),
        "priors": pack_table(model.priors),
        "cov": matrices,
        "residual": model.given.get("residual"),
        **weights,
        "data": {**frame, "sha256": frame_hash(design.data), "included": data, "table": pack_table_facts(design)},
        "learned": summary(numbers),
    }
    return Packed(document, variables if data else entries)


def _state_variable(i: int, values: Any) -> Variable:
    return Variable(tuple(f"state_{i}_{axis}" for axis in range(values.ndim)), values)


def _pack_formula(formula: Any) -> Any:
    if isinstance(formula, str):
        return formula
    if not isinstance(formula, Nonlinear):
        return list(formula)
    return {
        "main": formula.main,
        "parameters": dict(formula.parameters),
        "others": list(formula.others),
        "start": dict(formula.start),
    }


def _unpack_formula(document: Any) -> Any:
    match document:
        case str():
            return document
        case list():
            return texts({"formula": document}, "formula")
        case dict():
            parameters, start = take(document, "parameters", dict), take(document, "start", dict)
            return nonlinear(
                take(document, "main", str), *texts(document, "others"), start=start or None, **parameters
            )
    raise StorageError("The document holds no formula.")


def _pack_link(link: Link) -> dict[str, Any]:
    with np.errstate(all="ignore"):
        values = np.asarray(link.inverse(_PROBE, NUMPY), dtype=float)
    return {"name": link.name, "values": [float(value) if np.isfinite(value) else None for value in values]}


def _pack_link_argument(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {name: _pack_link_argument(link) for name, link in given.items()}
    return given if given is None or isinstance(given, str) else given.name


def arguments(
    document: Mapping[str, Any],
    variables: Mapping[str, Variable],
    data: pd.DataFrame | None = None,
    family: str | Family | None = None,
    link: str | Link | Mapping[str, str | Link] | None = None,
) -> Arguments:
    """Return what `Model` is called with to make the model of a file again.

    Parameters
    ----------
    document, variables : mapping
        As `packed` made them.
    data : DataFrame, optional
        The data of the fit, for a file without them; compared with its fingerprint.
    family, link : optional
        Those of the fit where the user made them and they are not registered.

    Raises
    ------
    StorageError
        If the file lacks something, or the data.
    DataError
        If the data are others.
    UnknownNameError
        For a family or a link that is not registered here.
    """
    name = take(document, "family", str)
    chosen = _known(FAMILIES, name if family is None else family, "family", "FAMILIES")
    if chosen.name != name:
        raise StorageError(f"The fit has the family {name!r}, not {chosen.name!r}.")
    described = take(document, "data", dict)
    columns, sha256 = listed_columns(described), take(described, "sha256", str)
    if data is not None:
        frame = same_data(as_frame(data), columns, sha256)
    elif take(described, "included", bool):
        frame = unpack_frame(described, variables, DATA)
        if frame_hash(frame) != sha256:
            raise StorageError("The data in the file are not those that their fingerprint was made of.")
    else:
        raise StorageError(
            "The fit was saved without its data: bg.load(path, data=...) needs the data frame it was made from, with "
            f"the columns {', '.join(map(repr, columns))}."
        )
    keywords = {
        "link": document.get("link_given") if link is None else link,
        "priors": unpack_given(document.get("priors_given")),
        "cov": unpack_matrices(document.get("cov"), variables),
        "residual": _unpack_residual(document.get("residual")),
        **{key: _unpack_weights(document.get(key), variables) for key in ("weights", "likelihood_weights")},
    }
    _check_link_names(keywords["link"])
    table = unpack_table_facts(described.get("table"), frame)
    return Arguments(_unpack_formula(document.get("formula")), frame if table is None else table, chosen, keywords)


def _unpack_residual(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise StorageError("The document holds a residual structure that makes no sense.")


def _known(registry: Any, name: Any, what: str, shown: str) -> Any:
    try:
        return registry.get(name)
    except UnknownNameError:
        raise UnknownNameError(
            f"The fit has the {what} {name!r}, which is not known here. If it is your own, define it and give it: "
            f"bg.load(path, {what}=...), or bg.{shown}.register(...) before. A file holds no code."
        ) from None


def _check_link_names(given: Any) -> None:
    for link in given.values() if isinstance(given, Mapping) else [given]:
        if link is not None:
            _known(LINKS, link, "link", "LINKS")


def _unpack_weights(value: Any, variables: Mapping[str, Variable]) -> Any:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise StorageError("The document holds weights that make no sense.")
    return array(variables, take(value, "array", str), "f")


def restored(
    design: Design, links: Mapping[str, Link], priors: PriorTable, document: Mapping[str, Any], variables: Any
) -> tuple[Design, PriorTable]:
    """Return design and priors of a model that was made again, with the numbers of the fit in them.

    Parameters
    ----------
    design : Design
    links : mapping of str to Link
    priors : PriorTable
        Of the model that `arguments` made.
    document, variables : mapping
        As `packed` made them.

    Raises
    ------
    StorageError
        If the model is another one.
    """
    _check_links(links, take(document, "links", dict))
    root = (dict(design.parts), design.nonlinear)
    described = take(document, "learned", dict)
    if not take(take(document, "data", dict), "included", bool):
        check_summary(learned(root), described)
    else:
        count = len(take(described, "shapes", list))
        parts, part = with_learned(root, [array(variables, f"{STATE}/{i}", "f") for i in range(count)])
        if any(parts[name] is not own for name, own in design.parts.items()) or part is not design.nonlinear:
            design = _with_parts(design, parts, part)
    return design, restore_table(priors, take(document, "priors", dict))


def _with_parts(design: Design, parts: Mapping[str, Any], part: NonlinearPart | None) -> Design:
    """Return the design with other numbers in its terms, and the blocks that they make."""
    made = replace(design, parts=parts, nonlinear=part)
    rows = made.rebind(design.data.iloc[design.rows.positions])
    return replace(made, predictors=rows.predictors, response=replace(design.response, covariates=rows.covariates))


def _check_links(links: Mapping[str, Link], stored: Mapping[str, Any]) -> None:
    if list(links) != list(stored):
        raise StorageError("The predictors of the model are not those of the fit.")
    for name, link in links.items():
        own, kept = _pack_link(link), take(stored, name, dict)
        if kept.get("name") != own["name"] or not _same(own["values"], kept.get("values")):
            raise StorageError(
                f"The link of {name!r} is not that of the fit: another function, or other settings of your own link."
            )


def _same(values: Sequence[float | None], stored: Any) -> bool:
    if not isinstance(stored, list) or len(stored) != len(values):
        return False
    return all(
        a == b or (isinstance(a, float) and isinstance(b, float | int) and abs(a - b) <= 1e-9 * max(1.0, abs(a)))
        for a, b in zip(values, stored, strict=True)
    )

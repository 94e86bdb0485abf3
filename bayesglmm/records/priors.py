"""Priors as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from bayesglmm.errors import StorageError
from bayesglmm.graph.slots import PriorTable, Slot
from bayesglmm.priors import Prior
from bayesglmm.records.fields import number, take, written


def pack_prior(prior: Prior) -> dict[str, Any]:
    """Return a prior as plain values."""
    return {
        "distribution": prior.distribution,
        "parameters": {
            name: pack_prior(value) if isinstance(value, Prior) else written(value)
            for name, value in prior.parameters.items()
        },
    }


def unpack_prior(document: Any) -> Prior:
    """Return the prior of `pack_prior`.

    Raises
    ------
    StorageError, PriorError
    """
    if not isinstance(document, dict):
        raise StorageError("The document holds a prior that makes no sense.")
    parameters = {
        name: unpack_prior(value) if isinstance(value, dict) else number(value)
        for name, value in take(document, "parameters", dict).items()
    }
    return Prior(take(document, "distribution", str), **parameters)


def pack_given(priors: Any) -> Any:
    """Return the argument ``priors=`` of a model as plain values."""
    return {key: pack_prior(prior) for key, prior in priors.items()} if isinstance(priors, Mapping) else priors


def unpack_given(document: Any) -> dict[str, Prior] | str | None:
    """Return the argument ``priors=`` of `pack_given`."""
    if document is None or isinstance(document, str):
        return document
    if not isinstance(document, dict):
        raise StorageError("The document holds priors that make no sense.")
    return {key: unpack_prior(prior) for key, prior in document.items()}


def pack_table(table: PriorTable) -> dict[str, Any]:
    """Return the prior of every parameter as plain values, with the scales that the defaults were made with."""
    return {"slots": [_pack_slot(slot) for slot in table], "scales": _scales(table)}


def _pack_slot(slot: Slot) -> dict[str, Any]:
    return {"label": slot.label, "source": slot.source, "centred": slot.centred, **pack_prior(slot.prior)}


def _scales(table: PriorTable) -> dict[str, Any]:
    """Return the numbers of a table beside its slots: ``spread``, and others by name."""
    kept = {field.name: getattr(table, field.name) for field in fields(table)}
    return {
        name: dict(value) if isinstance(value, Mapping) else value
        for name, value in kept.items()
        if isinstance(value, float) or (isinstance(value, Mapping) and _of_floats(value))
    }


def _of_floats(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(own, float) for own in value.values())


def restore_table(table: PriorTable, document: Mapping[str, Any]) -> PriorTable:
    """Return a table with the priors and scales of the file in the place of its own.

    Default priors depend on means and standard deviations of the data; those of the fit are kept to the last digit.

    Raises
    ------
    StorageError
        If the parameters are not those of the table.
    """
    stored = iter(take(document, "slots", list))

    def filled(slot: Slot) -> Slot:
        entry = next(stored, None)
        if not isinstance(entry, dict) or entry.get("label") != slot.label:
            raise StorageError(f"The file holds no prior for {slot.label!r}: its model is another one.")
        source, centred = take(entry, "source", str), take(entry, "centred", bool)
        return replace(slot, prior=unpack_prior(entry), source=source, centred=centred)

    coefficients = {name: tuple(map(filled, slots)) for name, slots in table.coefficients.items()}
    blocks = {
        name: tuple({what: tuple(map(filled, slots)) for what, slots in block.items()} for block in own)
        for name, own in table.blocks.items()
    }
    residual = {what: tuple(map(filled, slots)) for what, slots in table.residual.items()}
    dispersions = {name: filled(slot) for name, slot in table.dispersions.items()}
    if next(stored, None) is not None:
        raise StorageError("The file holds priors for parameters that its model has not.")
    scales = take(document, "scales", dict)
    own: dict[str, Any] = {
        name: {key: number(value) for key, value in scales[name].items()}
        if isinstance(scales[name], dict)
        else number(scales[name])
        for name in _scales(table)
        if name in scales
    }
    own |= {"coefficients": coefficients, "blocks": blocks, "residual": residual, "dispersions": dispersions}
    return replace(table, **own)

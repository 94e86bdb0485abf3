"""`load`: a saved fit, with its model, as it was when it was saved. `resume`: a stored run goes on."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.errors import (
    BayesglmmError,
    DataError,
    InterruptedBeforeFirstDrawError,
    ModelWarning,
    SettingsError,
    StorageError,
    UnknownNameError,
)
from bayesglmm.families import Family
from bayesglmm.journal import FORMAT as RUN_FORMAT
from bayesglmm.journal import VERSION as RUN_VERSION
from bayesglmm.journal import Journal, Part, Piece, joined, marked, parts_of, pieces_of, positions_of, together
from bayesglmm.links import Link
from bayesglmm.model import Model
from bayesglmm.records import arguments, restored
from bayesglmm.records.fields import take
from bayesglmm.results import Fit
from bayesglmm.results.facts import settings_given
from bayesglmm.results.schema import POSTERIOR
from bayesglmm.results.store import FACTS_OF_RUNS, check_draws, check_format, free_shapes, restore, tree_of
from bayesglmm.seeds import checked_seed
from bayesglmm.storage import Record, read

if TYPE_CHECKING:
    import pandas as pd


def load(
    path: str | os.PathLike[str],
    data: pd.DataFrame | None = None,
    *,
    family: str | Family | None = None,
    link: str | Link | Mapping[str, str | Link] | None = None,
) -> Fit:
    """Read a saved fit, or what there is of a run with ``store=``; nothing is fitted.

    Every answer of a saved fit is the one that it gave before.

    The model is made again from formula and data by the code of this package; what its terms learned from the data,
    its priors and the draws come from the file. Nothing in a file is executed: it holds numbers and text, checked
    against the checksums in it, and formulas, which are parsed and not evaluated.

    Parameters
    ----------
    path : path
        A netCDF file or a zarr folder.
    data : DataFrame, optional
        The data of the fit, for a file that was saved with ``data=False``; compared with the fingerprint in it.
    family : str or Family, optional
        The family of the fit, if it is one of your own and not registered.
    link : str, Link or mapping, optional
        The link, or links by parameter, if they are your own and not registered.

    Returns
    -------
    Fit

    Raises
    ------
    StorageError
        If there is no such file, it was not made by `Fit.save`, it is damaged, or it was made by a newer version.
    DataError
        If `data` are not those of the fit.
    UnknownNameError
        If the family or a link is not known here.

    Examples
    --------
    >>> import bayesglmm as bg
    >>> fit = bg.load("cbpp.nc")  # doctest: +SKIP
    """
    with _explained(path):
        found = read(path)
        model = _model_of(found, data, family, link)
        stored = _stored(path, found, model)
        if stored.fit is None:
            raise StorageError(
                "It holds a run that had stored no draws when it ended: it was compiling or tuning. bg.resume(path) "
                "runs it."
            )
        return stored.fit


def resume(
    path: str | os.PathLike[str],
    draws: int | None = None,
    *,
    seed: int | None = None,
    family: str | Family | None = None,
    link: str | Link | Mapping[str, str | Link] | None = None,
) -> Fit:
    """Continue a run that was fitted with ``store=``, after it was killed or interrupted, or to have more draws.

    Every chain begins at its last stored draw, is tuned anew (what tuning had found is not stored), and its draws are
    appended to the stored ones: `sample_stats` of the fit then has ``run``, 0 for draws of the first run, and the
    notes say so. A run that had stored nothing begins again with its own seed. Draws are stored as before, so that
    this can be killed and resumed, too; in the end the folder is a saved fit.

    Parameters
    ----------
    path : path
        The folder of ``model.fit("nuts", store=path)``.
    draws : int, optional
        How many draws to add to the longest chain; the others follow. Those that the run lacks if absent.
    seed : int, optional
        Of the appended run; derived from that of the first one if absent.
    family, link : optional
        As for `load`.

    Returns
    -------
    Fit
        With all draws.

    Raises
    ------
    StorageError
        If there is no stored run, it is damaged, or it was not fitted with ``store=``.
    SettingsError
        If the run is complete and `draws` is not given.
    """
    from bayesglmm.engines.base import ENGINES, require_integer
    from bayesglmm.engines.threads import suitable_threads

    with _explained(path):
        found = read(path)
        model = _model_of(found, None, family, link)
        stored = _stored(path, found, model)
        if stored.lengths and not stored.positions:
            raise StorageError("It does not say where its chains ended: only runs with store= can be resumed.")
        engine: Any = ENGINES.get(stored.engine)
        if not engine.streams:
            raise StorageError(f"Its engine is {stored.engine!r}, which cannot be resumed.")
        settings = engine.configure(**stored.settings)
    if draws is not None:
        require_integer("draws", draws, 1)
    have = [stored.lengths.get(chain, 0) for chain in range(stored.chains)]
    wanted = stored.wanted if draws is None else max(have) + draws
    if wanted <= min(have):
        raise SettingsError(f"The run has all its {wanted} draws per chain. bg.resume(path, draws=500) adds more.")
    derived = int(np.random.SeedSequence([stored.seed, stored.runs]).generate_state(1)[0])
    chosen = (derived if stored.lengths else stored.seed) if seed is None else checked_seed(seed)
    journal = Journal(Path(path), stored.runs, chosen, wanted, dict(stored.positions))
    with suitable_threads(model.problem):
        if not stored.lengths:
            engine.run(model.problem, settings, chosen, journal)
        else:
            positions = [stored.positions.get(chain) for chain in range(stored.chains)]
            lacking = [wanted - own for own in have]
            engine.resume(model.problem, settings, chosen, journal, positions, lacking)
    with _explained(path):
        stored = _stored(path, found, model)
        if stored.fit is None:
            raise InterruptedBeforeFirstDrawError("Interrupted before every chain had its first draw.")
        if len(stored.lengths) == stored.chains and stored.fit.draws.sizes["draw"] >= wanted:
            journal.finish(stored.fit)
        return stored.fit


# What contents that nobody checked can lead to, in the code that makes a model and a tree of them.
_BROKEN = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class _Stored:
    """What is on the disk of a fit or of a run.

    Attributes
    ----------
    fit : Fit or None
        Of the draws that every chain has that has some.
    engine : str
    settings : mapping
    seed : int
        Of the first run.
    chains : int
    runs : int
        How many runs have stored draws.
    wanted : int
        Draws per chain that there shall be.
    lengths : mapping of int to int
        How many draws the chains have that have some.
    positions : mapping of int to mapping
        Where they are.
    """

    fit: Fit | None
    engine: str
    settings: Mapping[str, Any]
    seed: int
    chains: int
    runs: int
    wanted: int
    lengths: Mapping[int, int]
    positions: Mapping[int, Mapping[str, Any]]


def _stored(path: str | os.PathLike[str], found: Record, model: Model) -> _Stored:
    """Return what is in a file, and in the parts beside it."""
    pieces: dict[int, list[Piece]] = {}
    base: Fit | None = None
    positions: dict[int, Any] = {}
    settings: dict[str, Any]
    if found.document.get("format") == RUN_FORMAT:
        settings, seed = take(found.document, "settings", dict), take(found.document, "seed", int)
        engine, chains, wanted = take(found.document, "engine", str), take(settings, "chains", int), 0
        seeds = {0: seed}
    else:
        base, positions = fit_of(found, model), positions_of(found)
        attrs = base.data.attrs
        settings, engine, seed = settings_given(attrs), attrs["engine"], int(attrs.get("seed", 0))
        seeds = {0: seed} | {own["run"]: own["seed"] for own in json.loads(attrs.get(FACTS_OF_RUNS, "[]"))}
        chains, wanted = settings.get("chains", 1), settings.get("draws", 0)
    parts = parts_of(path)
    if base is not None and POSTERIOR in base.data.children and parts:
        pieces = {chain: [piece] for chain, piece in pieces_of(base.data, 0, seed).items()}
    seconds: dict[int, float] = {}
    for (chain, run), group in itertools.groupby(sorted(parts, key=_order), key=_order):
        part = together(list(group))
        if chain not in range(chains) or run not in range(len(seeds) + 1):
            raise StorageError("The stored draws are of a chain or a run that there is not.")
        more = _fit_of_part(model, part, engine, settings, seed)
        pieces.setdefault(chain, []).append(pieces_of(more.data, run, part.seed)[0])
        positions[chain], seeds[run] = part.position, part.seed
        seconds[run] = max(part.seconds, seconds.get(run, 0.0))
        base = more if base is None else base
    lengths = {chain: sum(piece.length for piece in own) for chain, own in pieces.items()}
    wanted = parts[-1].wanted if parts else wanted or take(settings, "draws", int)
    fit: Fit | None = base
    if base is not None and parts:
        tree = joined(base.data, [pieces[chain] for chain in sorted(pieces)], wanted)
        marked(tree, seeds, seconds, wanted, chains)
        fit = _fit_of_tree(model, tree)
    elif base is not None and POSTERIOR in base.data.children:
        lengths = dict.fromkeys(range(chains), base.draws.sizes["draw"])
    return _Stored(fit, engine, settings, seed, chains, len(seeds) if lengths else 0, wanted, lengths, positions)


def _order(part: Part) -> tuple[int, int]:
    return part.chain, part.run


def _fit_of_part(model: Model, part: Part, engine: str, settings: Mapping[str, Any], seed: int) -> Fit:
    """Return the draws of one chain as a fit."""
    from bayesglmm.engines.base import Run

    shapes = {name: values.shape[1:] for name, values in part.draws.items()}
    if shapes != free_shapes(model.problem):
        raise StorageError("The stored draws are not those of the parameters of the model.")
    draws = {name: values[None] for name, values in part.draws.items()}
    run = Run(draws, {name: values[None] for name, values in part.stats.items()}, {"sample": 0.0})
    return Fit.from_run(model, run, engine=engine, settings=settings, seed=seed, notes=model.design.notes)


def _fit_of_tree(model: Model, tree: Any) -> Fit:
    fit = Fit.from_tree(tree, model.problem, model.design)
    fit.model = model
    return fit


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let errors say which file they are about; whatever else its contents lead to is an error of the file."""
    name = os.fspath(path)
    try:
        yield
    except StorageError as error:
        raise StorageError(
            str(error) if repr(name) in str(error) else f"{name!r} cannot be loaded. {error}"
        ) from error
    except _BROKEN as error:
        if isinstance(error, BayesglmmError):
            raise
        raise StorageError(
            f"{name!r} cannot be loaded: what is in it does not make a fit ({type(error).__name__}: {error})."
        ) from error


def _model_of(found: Record, data: Any, family: Any, link: Any) -> Model:
    """Return the model of a record, with the numbers of the file in the places of its own."""
    if found.document.get("format") == RUN_FORMAT:
        if take(found.document, "format_version", int) > RUN_VERSION:
            raise StorageError("It holds a run in a format of a newer version of bayesglmm: upgrade to read it.")
    else:
        check_format(found.document)
    described = take(found.document, "model", dict)
    try:
        given = arguments(described, found.variables, data, family, link)
    except (DataError, StorageError, UnknownNameError):
        raise
    except BayesglmmError as error:
        raise StorageError(f"Its model cannot be made again: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ModelWarning)  # said when the model was made, and kept in its notes
            model = Model(given.formula, given.data, given.family, **given.keywords)
        model.design, model.priors = restored(model.design, model.links, model.priors, described, found.variables)
        _ = model.problem
    except StorageError:
        raise
    except BayesglmmError as error:
        raise StorageError(f"Its model cannot be made again: {error}") from error
    return model


def fit_of(found: Record, model: Model) -> Fit:
    """Return the fit of a record.

    Parameters
    ----------
    found : Record
        Of a fit.
    model : Model
        That of the record.
    """
    tree = tree_of(found.document, found.variables)
    check_draws(model.problem, tree)
    fit = _fit_of_tree(model, tree)
    restore(fit, found.document)
    return fit

"""`load`: a saved fit, with its model, as it was when it was saved."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesglmm.errors import BayesglmmError, DataError, ModelWarning, StorageError, UnknownNameError
from bayesglmm.families import Family
from bayesglmm.links import Link
from bayesglmm.model import Model
from bayesglmm.records import arguments, restored
from bayesglmm.records.fields import take
from bayesglmm.storage import Record, read

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results import Fit


def load(
    path: str | os.PathLike[str],
    data: pd.DataFrame | None = None,
    *,
    family: str | Family | None = None,
    link: str | Link | Mapping[str, str | Link] | None = None,
) -> Fit:
    """Read a fit that `Fit.save` wrote; nothing is fitted, and every answer is the one that it gave before.

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
    found, name = read(path), os.fspath(path)
    try:
        return fit_of(found, data, family, link)
    except StorageError as error:
        raise StorageError(f"{name!r} cannot be loaded. {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        if isinstance(error, BayesglmmError):
            raise
        raise StorageError(
            f"{name!r} cannot be loaded: what is in it does not make a fit ({type(error).__name__}: {error})."
        ) from error


def fit_of(found: Record, data: Any, family: Any, link: Any) -> Fit:
    """Return the fit of a record that has been read; see `load`."""
    from bayesglmm.results import Fit
    from bayesglmm.results.store import check_draws, check_format, restore, tree_of

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
        problem = model.problem
    except StorageError:
        raise
    except BayesglmmError as error:
        raise StorageError(f"Its model cannot be made again: {error}") from error
    tree = tree_of(found.document, found.variables)
    check_draws(problem, tree)
    fit = Fit.from_tree(tree, problem, model.design)
    fit.model = model
    restore(fit, found.document)
    return fit

"""K-fold cross-validation: over rows, over strata, over groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Ints
from bayesglmm.errors import SettingsError, UnknownNameError, did_you_mean
from bayesglmm.results.evaluation.elpd import ELPD, Elpd
from bayesglmm.results.evaluation.folds import EACH, group_folds, row_folds, stratified_folds
from bayesglmm.results.evaluation.refit import HeldOut, Recipe, refit
from bayesglmm.results.evaluation.rows import in_blocks, log_mean_exp, observed, row_table

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.results.evaluation.redrawn import Sample

_NOISY = 0.1  # Monte Carlo error of a row's elpd that is worth a warning


@dataclass(frozen=True, eq=False, repr=False)
class KFold(Elpd):
    """K-fold cross-validation.

    Attributes
    ----------
    pointwise : DataFrame
        As of `Elpd`, with fold (from 1) and mcse, the Monte Carlo error of a row's elpd.
    folds : DataFrame
        One row per fold: rows, elpd, verdict of its fit, and groups (their names) where groups were held out.
    groups : str
        What was held out as a whole; empty for rows.
    """

    folds: pd.DataFrame = None  # type: ignore[assignment]
    groups: str = ""

    @property
    def by_group(self) -> pd.DataFrame:
        """Sums over each group that was held out: elpd and rows."""
        if not self.groups:
            raise SettingsError("Rows were held out, not groups: kfold(groups=...) holds out groups.")
        own = self.pointwise.groupby("group", sort=False)[ELPD]
        return pd.DataFrame({ELPD: own.sum(), "rows": own.size()})

    @property
    def units(self) -> pd.Series:
        return self.by_group[ELPD] if self.groups else self.pointwise[ELPD]

    @property
    def warnings(self) -> tuple[str, ...]:
        doubtful = int((self.folds["verdict"] != "good").sum())
        found = [f'{doubtful} of {len(self.folds)} refits not "good"'] if doubtful else []
        noisy = int((self.pointwise["mcse"] > _NOISY).sum())
        if noisy:
            rows = "1 row" if noisy == 1 else f"{noisy:,} rows"
            found.append(f"Monte Carlo error above {_NOISY:g} in {rows}: more draws")
        return tuple(found)

    def _head(self) -> str:
        units = f", {len(self.units):,} independent units ({self.groups})" if self.groups else ""
        return f"{self.method}: {self.n:,} rows{units}"

    def _body(self) -> Sequence[str]:
        return [f"{word[0].upper()}{word[1:]}." for word in self.warnings]


def kfold(
    evaluator: Evaluator,
    drawn: Sample,
    how: Recipe,
    folds: Sequence[Ints],
    method: str,
    seed: int,
    workers: int | None,
    groups: tuple[str, Any] = ("", None),
) -> KFold:
    """Fit without each fold and predict it.

    Parameters
    ----------
    evaluator : Evaluator
    drawn : Sample
        Of the fit to all rows, for `p`.
    how : Recipe
    folds : sequence of ndarray of int
    method : str
        In words.
    seed : int
    workers : int or None
    groups : tuple of (str, sequence)
        What is held out as a whole, and its name in every row; an empty name for rows.
    """
    held = refit(how, folds, seed, workers)
    n = len(evaluator.problem.response.y)
    elpd, mcse, fold = np.empty(n), np.empty(n), np.empty(n, dtype=int)
    for number, own in enumerate(held, start=1):
        elpd[own.rows], mcse[own.rows], fold[own.rows] = own.elpd, own.mcse, number
    seen = np.concatenate([log_mean_exp(values) for _, values in in_blocks(evaluator, drawn.draws)])
    table = row_table(evaluator.problem).assign(elpd=elpd, p=seen - elpd, mcse=mcse, fold=fold)
    name, levels = groups
    if name:
        table["group"] = np.asarray(levels, dtype=object)
    return KFold(method, table, observed(evaluator.problem), (), _by_fold(held, name, levels), name)


def _by_fold(held: Sequence[HeldOut], name: str, levels: Any) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "rows": [len(own.rows) for own in held],
            "elpd": [float(own.elpd.sum()) for own in held],
            "verdict": [own.verdict for own in held],
        },
        index=pd.RangeIndex(1, len(held) + 1, name="fold"),
    )
    if name:
        names = np.asarray(levels, dtype=object)
        table["groups"] = [", ".join(map(str, dict.fromkeys(names[own.rows]))) for own in held]
    return table


def divided(
    evaluator: Evaluator, columns: Any, k: Any, groups: str | None, stratify: str | None, seed: int
) -> tuple[list[Ints], str, tuple[str, Any]]:
    """Return the folds, the method in words, and what is held out as a whole.

    Parameters
    ----------
    evaluator : Evaluator
    columns : DataFrame or None
        The data of the rows used.
    k : int or "each"
    groups, stratify : str or None
        A grouping factor of the model or a column of the data.
    seed : int

    Raises
    ------
    SettingsError, UnknownNameError
        For a number of folds that cannot be, names that are not there, or both arguments.
    """
    rng = np.random.default_rng(seed)
    if groups is not None and stratify is not None:
        raise SettingsError(
            "Give groups= (whole groups are held out) or stratify= (each fold has its share), not both."
        )
    if groups is not None:
        levels = _column(evaluator, columns, "groups", groups)
        folds = group_folds(levels, k, rng)
        single = len(folds) == len(pd.unique(pd.Series(levels)))
        text = f"Leave-one-{groups}-out" if single else f"{len(folds)}-fold cross-validation by {groups}"
        return folds, text, (groups, levels)
    if stratify is not None:
        strata = _column(evaluator, columns, "stratify", stratify)
        folds = stratified_folds(strata, k, rng)
        return folds, f"{len(folds)}-fold cross-validation, stratified by {stratify}", ("", None)
    folds = row_folds(len(evaluator.problem.response.y), k, rng)
    text = "Leave-one-out by refits" if k == EACH else f"{len(folds)}-fold cross-validation"
    return folds, text, ("", None)


def _column(evaluator: Evaluator, columns: Any, argument: str, name: str) -> Any:
    """Return a grouping factor of the model or a column of the data, by rows."""
    known = row_table(evaluator.problem)
    if name in known.columns:
        return known[name].to_numpy()
    if columns is not None and name in columns:
        return np.asarray(columns[name])
    names = [*known.columns, *([] if columns is None else map(str, columns.columns))]
    raise UnknownNameError(
        f"{argument}={name!r} is neither a grouping factor nor a column of the model. {did_you_mean(name, names)}"
    )

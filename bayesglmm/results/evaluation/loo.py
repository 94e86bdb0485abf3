"""Leave-one-out cross-validation by Pareto-smoothed importance sampling (Vehtari, Gelman and Gabry 2017).

The smoothing is ArviZ's. Log densities are computed for a block of rows at a time and forgotten.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats, Ints
from bayesglmm.results.evaluation.elpd import ELPD, HOW, MCSE, Elpd, P, shown
from bayesglmm.results.evaluation.rows import in_blocks, log_densities, log_mean_exp, observed, row_table

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.results.evaluation.redrawn import Sample
    from bayesglmm.results.evaluation.refit import HeldOut

K = "pareto_k"
IMPORTANCE, MATCHED, REFITTED = "importance sampling", "moment matching", "refit"
_ROWS = 64  # whose effective sample size stands for that of all


@dataclass(frozen=True, eq=False, repr=False)
class Loo(Elpd):
    """Leave-one-out cross-validation.

    Attributes
    ----------
    pointwise : DataFrame
        As of `Elpd`, with pareto_k (how heavy the tail of the row's importance weights is; of rows that were mended,
        before that) and how: ``"importance sampling"``, ``"moment matching"`` or ``"refit"``.
    draws : int
        Posterior draws.
    threshold : float
        Pareto k above which importance sampling is not to be relied on: 0.7, less with fewer than 2,200 draws.
    efficiency : float
        How many independent draws one is worth.
    """

    draws: int = 0
    threshold: float = 0.7
    efficiency: float = 1.0
    advice: str = field(default="")

    @property
    def pareto_k(self) -> pd.Series:
        """Pareto k by row."""
        return self.pointwise[K]

    @property
    def bad(self) -> pd.DataFrame:
        """The rows whose elpd is not to be relied on, the worst first: k above the threshold, and not mended."""
        found = self.pointwise[(self.pointwise[K] > self.threshold) & (self.pointwise[HOW] == IMPORTANCE)]
        return found.sort_values(K, ascending=False)

    @property
    def counts(self) -> pd.Series:
        """How many rows have a good k (up to the threshold), a bad (up to 1) and a very bad one."""
        k = self.pareto_k.to_numpy()
        good, very = k <= self.threshold, k > 1.0
        return pd.Series({"good": int(good.sum()), "bad": int((~good & ~very).sum()), "very bad": int(very.sum())})

    @property
    def warnings(self) -> tuple[str, ...]:
        bad = len(self.bad)
        return (f"{rows_in_words(bad)} with Pareto k > {self.threshold:.2g}",) if bad else ()

    def to_arviz(self) -> Any:
        """Return the result as ArviZ's ``ELPDData``, for its own tables and figures."""
        import xarray as xr
        from arviz_stats.utils import ELPDDataLOO

        labels = {"obs": self.pointwise.index.to_numpy()}
        elpd, k = (xr.DataArray(self.pointwise[name].to_numpy(), labels, dims="obs") for name in (ELPD, K))
        return ELPDDataLOO(
            elpd=self.elpd,
            se=self.se,
            p=self.p,
            n_samples=self.draws,
            n_data_points=self.n,
            scale="log",
            warning=bool(len(self.bad)),
            good_k=self.threshold,
            elpd_i=elpd,
            pareto_k=k,
        )

    def _head(self) -> str:
        return f"{self.method}: {self.n:,} rows, {self.draws:,} draws"

    def _body(self) -> Sequence[str]:
        names = (f"good (up to {self.threshold:.2g})", f"bad ({self.threshold:.2g} to 1)", "very bad (above 1)")
        counts = self.counts.to_numpy()
        lines = ["", "Pareto k" + " " * 14 + "rows"]
        lines += [
            f"  {name:<18}{count:>6,}"
            for name, count in zip(names, counts, strict=True)
            if count or name.startswith("good")
        ]
        for how in (MATCHED, REFITTED):
            mended = int((self.pointwise[HOW] == how).sum())
            if mended:
                lines.append(f"{rows_in_words(mended)} mended by {'an exact ' if how == REFITTED else ''}{how}.")
        if len(self.bad):
            groups = [name for name in self.pointwise.columns if name not in (ELPD, P, MCSE, K, HOW)]
            lines.append("The elpd of these rows is not to be relied on:")
            lines += shown(self.bad[[*groups, ELPD, K]], {ELPD: "{:.2f}", K: "{:.2f}"})
            lines.append(self.advice)
        return lines


def rows_in_words(count: int) -> str:
    """Return ``1 row`` or ``7 rows``."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def loo(evaluator: Evaluator, drawn: Sample, notes: Sequence[str] = ()) -> Loo:
    """Return leave-one-out cross-validation of the rows used.

    Parameters
    ----------
    evaluator : Evaluator
    drawn : Sample
    notes : sequence of str
        What readers should know, beside what is to be said of the draws.
    """
    size = drawn.size
    efficiency = relative_efficiency(evaluator, drawn.draws, drawn.chains)
    frame = row_table(evaluator.problem)
    found: dict[str, list[Floats]] = {ELPD: [], P: [], K: []}
    for _, values in in_blocks(evaluator, drawn.draws):
        elpd, k = smoothed(values, efficiency)
        found[ELPD].append(elpd)
        found[P].append(log_mean_exp(values) - elpd)
        found[K].append(k)
    table = frame.assign(**{name: np.concatenate(parts) for name, parts in found.items()}, how=IMPORTANCE)
    bad = int((table[K] > good_k(size)).sum())
    advice = (
        "fit.loo(moment_match=True) moves the draws to where they would be without each of them; fit.loo(reloo=True) "
        f"fits the model again ({bad} fit{'' if bad == 1 else 's'}); where there are many, use fit.kfold()."
    )
    said = (*notes, *([drawn.note] if drawn.note else []))
    return Loo("PSIS-LOO", table, observed(evaluator.problem), said, size, good_k(size), efficiency, advice)


def good_k(draws: int) -> float:
    """Return the Pareto k up to which so many draws suffice (Vehtari et al. 2024)."""
    return float(min(1.0 - 1.0 / np.log10(max(draws, 11)), 0.7))


def smoothed(values: Floats, efficiency: float) -> tuple[Floats, Floats]:
    """Return elpd and Pareto k of rows, each (m,), from their log densities, shape (S, m)."""
    import xarray as xr

    arviz_loo = import_module("arviz_stats").loo
    array = xr.DataArray(values[None], dims=("chain", "draw", "obs"), name="y")
    tree = xr.DataTree.from_dict({"log_likelihood": xr.Dataset({"y": array})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ warns of large k, which the result reports row by row
        found = arviz_loo(tree, pointwise=True, reff=efficiency)
    return np.asarray(found.elpd_i), np.asarray(found.pareto_k)


def relative_efficiency(evaluator: Evaluator, draws: dict[str, Floats], chains: int) -> float:
    """Return how many independent draws one is worth, for the density of a row: the mean over some rows."""
    import arviz_stats  # noqa: F401  # gives arrays their accessor
    import xarray as xr

    n = len(evaluator.problem.response.y)
    rows = np.unique(np.linspace(0, n - 1, min(n, _ROWS)).astype(np.intp))
    values = np.exp(log_densities(evaluator, draws, rows))
    size = len(values)
    by_chain = xr.DataArray(values.reshape(chains, -1, len(rows)), dims=("chain", "draw", "obs"))
    ess = np.asarray(by_chain.azstats.ess(method="mean"))
    ess = ess[np.isfinite(ess)]
    return float(np.clip(ess.mean() / size, 1.0 / size, 1.0)) if len(ess) else 1.0


def mended(found: Loo, held: Sequence[HeldOut], how: str = REFITTED) -> Loo:
    """Return the result with the elpd of some rows replaced by better ones.

    Parameters
    ----------
    found : Loo
    held : sequence of HeldOut
        The predictive densities of these rows.
    how : str
        Where they come from.
    """
    table = found.pointwise.copy()
    elpd, p, words = (table[name].to_numpy().copy() for name in (ELPD, P, HOW))
    for own in held:
        p[own.rows] += elpd[own.rows] - own.elpd
        elpd[own.rows] = own.elpd
        words[own.rows] = how
    doubtful = [own.verdict for own in held if own.verdict != "good"]
    notes = found.notes
    if doubtful:
        notes = (*notes, f'{len(doubtful)} of {len(held)} refits have a verdict other than "good".')
    return replace(found, pointwise=table.assign(elpd=elpd, p=p, how=words), notes=notes)


def bad_rows(found: Loo) -> Ints:
    """Return the positions of the rows that need mending."""
    k, how = found.pointwise[K].to_numpy(), found.pointwise[HOW].to_numpy()
    return np.flatnonzero((k > found.threshold) & (how == IMPORTANCE))

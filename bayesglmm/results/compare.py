"""Several fits of one model by different engines: do they say the same, and what did each cost?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.results.draws import STATISTICS
from bayesglmm.results.tables import parameters
from bayesglmm.results.text import decimals, fixed_point

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

NEGLIGIBLE, SMALL = 0.1, 0.3  # of a posterior standard deviation; the limits of the Laplace engine's verdict too
_CERTAIN = 3.0  # Monte Carlo errors: with two, one of twenty parameters would be marked in every comparison
_GRID = 2048
_SHOWN = 20  # parameters that are printed
_NO_DIFFERENCE = {"shift": np.nan, "sd_ratio": np.nan, "overlap": np.nan, "wasserstein": np.nan}


@dataclass(frozen=True, eq=False, repr=False)
class EngineComparison:
    """What several engines say about one model.

    Attributes
    ----------
    table : DataFrame
        One row per parameter and engine. Columns: parameter (as in `fit.summary()`), engine, mean, sd, lower, upper;
        then, against the first engine (whose own rows have nan there): shift, the difference of means in posterior
        sds of the first engine; shift_error, its Monte Carlo error; sd_ratio; overlap, the area that the two
        densities share (1: the same); wasserstein, the distance of the distributions in posterior sds of the first
        engine (how far draws have to be moved on average to turn one into the other); beyond_noise, whether the
        shift is larger than three Monte Carlo errors.
    engines : DataFrame
        One row per fit. Columns: engine (registered name), draws, total, compile and sample (seconds; compile is all
        that a second fit of the same model does not repeat, sample all the rest), ess_min (the smallest bulk or tail
        effective sample size), ess_per_second (per second of sample), verdict.
    prob : float
        Of the intervals.
    fits : mapping of str to Fit
        What was compared, the reference first.
    notes : tuple of str
        Why the fits might differ for other reasons than their engines.
    """

    table: pd.DataFrame
    engines: pd.DataFrame
    prob: float
    fits: Mapping[str, Fit]
    notes: tuple[str, ...] = field(default=())

    @property
    def reference(self) -> str:
        """The engine that the others are compared with."""
        return next(iter(self.fits))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The comparison in words: for each engine but the first its largest difference from that."""
        several = len(self.fits) > 2
        return tuple(_sentence(self.table, name, self.reference, several) for name in list(self.fits)[1:])

    def __repr__(self) -> str:
        share = f"{100 * self.prob:g}%"
        shown, hidden = _shown(self.table, share)
        more = [f"... and {hidden} more parameters: comparison.table"] if hidden else []
        cost = _cost(self.engines)
        parts = ["Engines", *_lines(cost, cost.shape[1] - 6), "", "Parameters", *_lines(shown, 2), *more]
        return "\n".join([*parts, _legend(self.reference), "", *self.sentences, *self.notes])

    def _repr_html_(self) -> str:
        shown, hidden = _shown(self.table, f"{100 * self.prob:g}%")
        more = f"<p>... and {hidden} more parameters: <code>comparison.table</code></p>" if hidden else ""
        words = escape("\n".join((*self.sentences, *self.notes))).replace("\n", "<br>")
        with pd.option_context("display.max_colwidth", None):  # else long names are cut
            cost, numbers = (frame.to_html(index=False, border=0) for frame in (_cost(self.engines), shown))
        legend = escape(_legend(self.reference)).replace("\n", "<br>")
        return f"<div><p><b>{words}</b></p>{numbers}{more}<p>{legend}</p>{cost}</div>"


def compare_engines(fits: Mapping[str, Fit], prob: float = 0.95) -> EngineComparison:
    """Compare fits of one model by several engines.

    Parameters
    ----------
    fits : mapping of str to Fit
        At least two, under names of your choice; the others are compared with the first: put the one there that you
        trust most.
    prob : float
        Posterior probability of the intervals.

    Returns
    -------
    EngineComparison
        Prints as two tables and a sentence; ``.table`` and ``.engines`` are pandas frames,
        ``bg.plots.compare_engines(comparison)`` draws it.

    Raises
    ------
    SettingsError
        If the fits do not have the same parameters and the same data.

    Examples
    --------
    >>> bg.compare_engines({"nuts": model.fit(seed=1), "laplace": model.fit("laplace", seed=1)})  # doctest: +SKIP
    """
    _check_mapping(fits)
    found = {name: _parameters(name, fit) for name, fit in fits.items()}
    _check_same(fits, found)
    summaries = {name: fit.summary(prob) for name, fit in fits.items()}
    table = _table(found, summaries)
    engines = pd.DataFrame([_costs(fit, summaries[name]) for name, fit in fits.items()], index=pd.Index(fits))
    return EngineComparison(table, engines.rename_axis("fit"), prob, dict(fits), tuple(_notes(fits)))


def difference(reference: Floats, other: Floats) -> dict[str, float]:
    """Return how the draws of one engine differ from those of the reference.

    Parameters
    ----------
    reference, other : ndarray
        Draws of one parameter; chains and draws in any shape.

    Returns
    -------
    dict of str to float
        shift, sd_ratio, overlap, wasserstein. In units of the reference's standard deviation; nan if that is zero.
    """
    from scipy.stats import wasserstein_distance

    first, second = np.ravel(reference), np.ravel(other)
    if np.ptp(first) == 0.0:  # held by its prior: there is no unit to measure in
        return dict(_NO_DIFFERENCE)
    unit = float(first.std(ddof=1))
    spread = float(second.std(ddof=1)) if np.ptp(second) > 0.0 else 0.0
    return {
        "shift": float(second.mean() - first.mean()) / unit,
        "sd_ratio": spread / unit,
        "overlap": overlap(first, second) if spread > 0.0 else 0.0,
        "wasserstein": float(wasserstein_distance(first, second)) / unit,
    }


def overlap(first: Floats, second: Floats) -> float:
    """Return the area below both of two densities, from kernel estimates on a common grid.

    Parameters
    ----------
    first, second : ndarray, shape (S,)
        Draws that vary.
    """
    from scipy.ndimage import gaussian_filter1d

    widths = [_bandwidth(draws) for draws in (first, second)]
    margin = 4.0 * max(widths)
    low = min(float(first.min()), float(second.min())) - margin
    high = max(float(first.max()), float(second.max())) + margin
    # A far outlier must not make the cells wider than the narrower kernel can smooth over.
    cells = int(np.clip(4.0 * (high - low) / min(widths), _GRID, 64 * _GRID))
    edges = np.linspace(low, high, cells + 1)
    step = (high - low) / cells
    heights = [
        gaussian_filter1d(np.histogram(draws, edges)[0] / draws.size, width / step, mode="constant")
        for draws, width in zip((first, second), widths, strict=True)
    ]
    return float(min(1.0, np.minimum(*heights).sum()))


def _bandwidth(draws: Floats) -> float:
    """Return Silverman's bandwidth with the robust spread."""
    lower, upper = np.quantile(draws, [0.25, 0.75])
    spread = min(float(draws.std()), float(upper - lower) / 1.349) or float(draws.std())
    return 0.9 * spread / float(draws.size**0.2)


# --------------------------------------------------------------------------------------------------------- checks


def _check_mapping(fits: Any) -> None:
    if not isinstance(fits, Mapping) or len(fits) < 2:
        found = f"{len(fits)}" if isinstance(fits, Mapping) else f"a {type(fits).__name__}"
        raise SettingsError(
            'compare_engines needs a mapping of at least two fits, as in {"nuts": a, "laplace": b}, '
            f"and was given {found}."
        )


def _parameters(name: str, fit: Fit) -> dict[str, Floats]:
    """Return the draws of every population-level parameter by its label."""
    if "posterior" not in fit.data.children:
        raise SettingsError(
            f"The fit {name!r} has estimates and no posterior draws to compare. Fit the model without objective=."
        )
    return {own.label: own.values for own in parameters(fit.problem, fit.data["posterior"].to_dataset())}


def _check_same(fits: Mapping[str, Fit], found: Mapping[str, Mapping[str, Floats]]) -> None:
    """Raise unless all fits have the parameters and the response of the first."""
    first, *others = fits
    known = found[first]
    for name in others:
        own = found[name]
        if set(own) != set(known):
            lacking = [label for label in known if label not in own]
            extra = [label for label in own if label not in known]
            only = [f"only {who!r} has {_listed(what)}" for who, what in ((first, lacking), (name, extra)) if what]
            raise SettingsError(
                f"The fits {first!r} and {name!r} do not have the same parameters: {'; '.join(only)}. "
                "compare_engines compares engines on one model."
            )
        y, other = (np.asarray(fits[which].problem.response.y) for which in (first, name))
        if y.shape != other.shape or not np.array_equal(y, other):
            rows = "" if len(y) == len(other) else f": they use {len(y)} and {len(other)} rows"
            raise SettingsError(f"The fits {first!r} and {name!r} are not of the same data{rows}.")


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")


def _notes(fits: Mapping[str, Fit]) -> Iterator[str]:
    """Yield other reasons for a difference than the engine."""
    first, *others = fits
    known = _priors(fits[first])
    for name in others:
        own = _priors(fits[name])
        differing = [label for label in known if own.get(label) != known[label]]
        if differing:
            yield f"Note: {name} has other priors than {first}, for {_listed(differing)}."


def _priors(fit: Fit) -> dict[str, str]:
    return dict(json.loads(fit.data.attrs.get("priors", "{}")))


# --------------------------------------------------------------------------------------------------------- tables


def _table(found: Mapping[str, Mapping[str, Floats]], summaries: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    first = next(iter(found))
    statistics: dict[str, Any] = {name: summary.to_dict("index") for name, summary in summaries.items()}
    rows = []
    for label, reference in found[first].items():
        for name, own in found.items():
            row: dict[str, Any] = {"parameter": label, "engine": name}
            row |= {key: statistics[name][label][key] for key in STATISTICS}
            row |= _NO_DIFFERENCE if name == first else difference(reference, own[label])
            row["shift_error"] = np.nan
            if np.isfinite(row["shift"]):
                errors = [statistics[who][label]["mcse_mean"] for who in (first, name)]
                # A parameter that does not move has no Monte Carlo error, and none can be computed.
                row["shift_error"] = float(np.hypot(*np.nan_to_num(errors)) / statistics[first][label]["sd"])
            row["beyond_noise"] = bool(abs(row["shift"]) > _CERTAIN * row["shift_error"])
            rows.append(row)
    compared = ["shift", "shift_error", "sd_ratio", "overlap", "wasserstein", "beyond_noise"]
    return pd.DataFrame(rows, columns=["parameter", "engine", *STATISTICS, *compared])


def _costs(fit: Fit, summary: pd.DataFrame) -> dict[str, Any]:
    seconds = fit.seconds
    total = seconds.get("total", sum(seconds.values()))
    once = sum(seconds.get(stage, 0.0) for stage in ("build", "prepare", "compile"))
    rest = max(total - once, 0.0)
    least = float(summary[["ess_bulk", "ess_tail"]].min().min())
    sizes = fit.data["posterior"].sizes
    return {
        "engine": fit.data.attrs["engine"],
        "draws": sizes["chain"] * sizes["draw"],
        "total": total,
        "compile": once,
        "sample": rest,
        "ess_min": least,
        "ess_per_second": least / rest if rest > 0.0 else np.nan,
        "verdict": fit.verdict.word,
    }


# ---------------------------------------------------------------------------------------------------------- words


def _sentence(table: pd.DataFrame, name: str, reference: str, several: bool) -> str:
    """Return the largest difference of one engine in words."""
    own = table[table["engine"] == name].dropna(subset=["shift"])
    head = f"Largest difference of {name}" if several else "Largest difference"
    if own.empty:
        return f"{head}: none, for no parameter varies."
    worst = own.iloc[int(own["shift"].abs().argmax())]
    size = abs(float(worst["shift"]))
    side = "higher" if worst["shift"] > 0 else "lower"
    ratios = own["sd_ratio"]
    return (
        f"{head}: {worst['parameter']}, {size:.2f} posterior sds ({side} by {name} than by {reference}): "
        f"{_judged(size, bool(worst['beyond_noise']))}\n"
        f"Sds by {name} are {ratios.min():.2f} to {ratios.max():.2f} times those by {reference}."
    )


def _judged(size: float, beyond: bool) -> str:
    """Return whether a difference of means matters, and whether it is one."""
    word = "negligible" if size < NEGLIGIBLE else "small" if size < SMALL else "large"
    if beyond:
        return f"{word}, {'though' if word == 'negligible' else 'and'} beyond Monte Carlo error."
    return f"{word}, {'and within Monte Carlo error' if word == 'negligible' else 'but within noise: draw more'}."


def _legend(reference: str) -> str:
    return (
        f"shift: difference of means in posterior sds of {reference}, * beyond Monte Carlo error;\n"
        f"sd ratio: sd divided by that of {reference}; overlap: area that both densities share (1: the same)"
    )


def _shown(table: pd.DataFrame, share: str) -> tuple[pd.DataFrame, int]:
    """Return the table as text, and how many parameters are left out."""
    labels = list(dict.fromkeys(table["parameter"]))
    rows: list[list[str]] = []
    for label in labels[:_SHOWN]:
        own = table[table["parameter"] == label]
        places = decimals(float(own["sd"].iloc[0]), float(own["mean"].iloc[0]))
        for position, row in enumerate(own.to_dict("records")):
            numbers = [fixed_point(row[key], places) for key in STATISTICS]
            compared = [fixed_point(row["shift"], 2) + ("*" if row["beyond_noise"] else " ")]
            compared += [f"{row['sd_ratio']:.2f}", f"{row['overlap']:.2f}"]
            if not np.isfinite(row["shift"]):
                compared = [""] * 3
            rows.append([label if position == 0 else "", row["engine"], *numbers, *compared])
    titles = ["", "by", "mean", "sd", f"lower {share}", f"upper {share}", "shift", "sd ratio", "overlap"]
    return pd.DataFrame(_pointed(rows), columns=titles), len(labels) - len(labels[:_SHOWN])


def _pointed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Pad the four columns of statistics so that decimal points stand below each other."""
    after = [[len(cell.partition(".")[2]) + ("." in cell) for cell in row[2:6]] for row in rows]
    most = [max(column) for column in zip(*after, strict=True)]
    return [
        [*row[:2], *(c + " " * (m - a) for c, a, m in zip(row[2:6], own, most, strict=True)), *row[6:]]
        for row, own in zip(rows, after, strict=True)
    ]


def _cost(engines: pd.DataFrame) -> pd.DataFrame:
    """Return the costs as text."""
    rows = []
    for name, row in zip(engines.index, engines.to_dict("records"), strict=True):
        seconds = [f"{row[key]:.1f}" for key in ("total", "compile", "sample")]
        worth = [f"{row[key]:,.0f}" if np.isfinite(row[key]) else "" for key in ("ess_min", "ess_per_second")]
        engine = "" if row["engine"] == name else row["engine"]
        rows.append([str(name), engine, row["verdict"], f"{row['draws']:,}", *seconds, *worth])
    titles = ["", "engine", "verdict", "draws", "seconds", "compile", "sample", "fewest ESS", "ESS/second"]
    frame = pd.DataFrame(rows, columns=titles)
    return frame if (frame["engine"] != "").any() else frame.drop(columns="engine")


def _lines(frame: pd.DataFrame, text_columns: int) -> list[str]:
    """Return a table as lines, the first columns aligned to the left and the others to the right."""
    cells = [[str(title), *frame.iloc[:, j]] for j, title in enumerate(frame.columns)]
    widths = [max(map(len, column)) for column in cells]
    padded = [
        [f"{cell:<{width}}" if j < text_columns else f"{cell:>{width}}" for cell in column]
        for j, (column, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]

"""Models side by side: which predicts better, by how much, how sure is that, and how to weigh them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats
from bayesglmm.errors import SettingsError
from bayesglmm.results.draws import check_choice
from bayesglmm.results.evaluation.bridge import Evidence
from bayesglmm.results.evaluation.elpd import Elpd, spread_of_sum
from bayesglmm.results.evaluation.rows import Observed

if TYPE_CHECKING:
    from bayesglmm.results.fit import Fit

METHODS = ("loo", "kfold", "evidence")
_CLOSE = 4.0  # differences of elpd below this are no news (Sivula, Magnusson, Matamoros and Vehtari 2020)
_FEW = 100  # units below which the standard error of a difference is too small, often by half (the same)


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison:
    """Several models of the same data.

    Attributes
    ----------
    table : DataFrame
        One row per model, the best first. By cross-validation: elpd, se; elpd_diff and se_diff, against the first
        row; p_eff, the effective number of parameters; weight, by stacking (Yao, Vehtari, Simpson and Gelman 2018);
        warnings, in words. By evidence: log_evidence, se, difference, se_diff, probability (of models that were
        equally probable before the data), warnings.
    method : str
        In words.
    results : mapping of str to Elpd or Evidence
        What each model was judged by.
    """

    table: pd.DataFrame
    method: str
    results: Mapping[str, Elpd | Evidence]
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> str:
        """The model of the first row."""
        return str(self.table.index[0])

    @property
    def by_evidence(self) -> bool:
        """Whether models were compared by their evidence, not by predictions."""
        return "log_evidence" in self.table

    @property
    def sentences(self) -> tuple[str, ...]:
        """The comparison in words."""
        return _evidence_words(self.table) if self.by_evidence else _elpd_words(self.table)

    def __repr__(self) -> str:
        return "\n".join([self.method, *_printed(self.table), "", *self.sentences, *self.notes])

    def _repr_html_(self) -> str:
        words = escape("\n".join((*self.sentences, *self.notes))).replace("\n", "<br>")
        with pd.option_context("display.max_colwidth", None):
            return f"<div><p>{escape(self.method)}</p>{_rounded(self.table).to_html(border=0)}<p>{words}</p></div>"


def compare_models(
    fits: Mapping[str, Fit | Elpd | Evidence], method: str = "loo", seed: int | None = None, **settings: Any
) -> ModelComparison:
    """Compare models of the same data by how well they predict, or by how probable they make the data.

    Parameters
    ----------
    fits : mapping of str to Fit
        At least two, under names of your choice. What `Fit.loo`, `Fit.kfold` or `Fit.evidence` returned can stand in
        for a fit, so that nothing is computed twice.
    method : {"loo", "kfold", "evidence"}
        ``"loo"``: a row that the model has not seen, of groups that it has; ``"kfold"``: the same by refits, or with
        ``groups=`` a group that it has not seen; ``"evidence"``: the marginal likelihood, which is about the priors
        as much as about the model.
    seed : int, optional
        For folds, refits and bridge sampling; that of each fit if absent, and of the first one for folds, which all
        models share.
    **settings
        Of `Fit.loo` (``reloo=True``) or `Fit.kfold` (``k=10, groups="herd"``).

    Returns
    -------
    ModelComparison
        Prints as a table and sentences; ``.table`` is a frame, ``bg.plots.compare_models(comparison)`` draws it.

    Raises
    ------
    SettingsError
        If the models are not of the same rows, or their responses are on different scales.
    BayesglmmError
        For maximum likelihood fits.

    Examples
    --------
    >>> bg.compare_models({"days": a, "no days": b}, method="kfold", groups="Subject", seed=1)  # doctest: +SKIP
    """
    check_choice("method", method, METHODS)
    if not isinstance(fits, Mapping) or len(fits) < 2:
        found = f"{len(fits)}" if isinstance(fits, Mapping) else f"a {type(fits).__name__}"
        raise SettingsError(
            f'compare_models needs a mapping of at least two fits, as in {{"a": a, "b": b}}, and was given {found}.'
        )
    require_same({name: _observed(fit) for name, fit in fits.items()})
    if method == "kfold" and seed is None:  # all models need the same folds
        own = [fit._seeded(None) for fit in fits.values() if not isinstance(fit, Elpd | Evidence)]
        seed = own[0] if own else None
    results = {name: _judged(name, fit, method, seed, settings) for name, fit in fits.items()}
    if method == "evidence":
        return _by_evidence({name: own for name, own in results.items() if isinstance(own, Evidence)})
    return _by_elpd({name: own for name, own in results.items() if isinstance(own, Elpd)})


def _observed(fit: Any) -> Observed:
    from bayesglmm.results.evaluation.rows import observed

    own: Observed | None = fit.observed if isinstance(fit, Elpd | Evidence) else None
    return observed(fit.problem) if own is None else own


def _judged(name: str, fit: Any, method: str, seed: int | None, settings: Mapping[str, Any]) -> Elpd | Evidence:
    wanted: Any = Evidence if method == "evidence" else Elpd
    if isinstance(fit, Elpd | Evidence):
        if not isinstance(fit, wanted):
            raise SettingsError(f"method={method!r} does not go with what was given for {name!r}: {fit!r}")
        given: Elpd | Evidence = fit
        return given
    if method == "loo":
        found: Elpd | Evidence = fit.loo(**{"seed": seed, **settings})
    elif method == "kfold":
        found = fit.kfold(**{"seed": seed, **settings})
    else:
        if settings:
            raise SettingsError(f'method="evidence" has no setting {next(iter(settings))!r}.')
        found = fit.evidence(seed=seed)
    return found


# ---------------------------------------------------------------------------------------------------------- checks


def require_same(observed: Mapping[str, Observed]) -> None:
    """Raise unless all models are of the same rows and responses, on the same scale.

    Raises
    ------
    SettingsError
        It says which two differ, and in what.
    """
    (first, own), *others = observed.items()
    for name, other in others:
        _require_same_scale(first, own, name, other)
        if own.rows != other.rows:
            only = [
                f"only {who!r} has {_few(sorted(set(a) - set(b)))}" for who, a, b in _both(first, own, name, other)
            ]
            raise SettingsError(
                f"{first!r} and {name!r} are of different rows ({len(own.rows):,} and {len(other.rows):,}): "
                f"{'; '.join(only)}. Leave rows with missing values out of the data of both first."
            )
        if own.values != other.values or own.modifiers != other.modifiers:
            what = "responses" if own.values != other.values else "trials, weights, censoring or bounds"
            raise SettingsError(
                f"{first!r} and {name!r} have different {what}, so their predictions cannot be compared. Fit both to "
                "the same data."
            )


def _both(first: str, own: Observed, name: str, other: Observed) -> list[tuple[str, Sequence[str], Sequence[str]]]:
    pairs = [(first, own.rows, other.rows), (name, other.rows, own.rows)]
    return [pair for pair in pairs if set(pair[1]) - set(pair[2])]


def _few(rows: Sequence[str]) -> str:
    return "row " + ", ".join(rows[:5]) + (f" and {len(rows) - 5:,} more" if len(rows) > 5 else "")


def _require_same_scale(first: str, own: Observed, name: str, other: Observed) -> None:
    if own.discrete != other.discrete:
        kinds = {True: "probabilities of counts or categories", False: "densities of a continuous response"}
        raise SettingsError(
            f"{first!r} ({own.family}) gives {kinds[own.discrete]}, {name!r} ({other.family}) "
            f"{kinds[other.discrete]}: these are on different scales, and their logarithms cannot be compared."
        )
    if own.response != other.response and own.values != other.values:
        raise SettingsError(
            f"The response of {first!r} is `{own.response}`, that of {name!r} `{other.response}`: densities of a "
            "transformed response are on another scale. Write both models for the same response, with another family "
            'or link instead of the transformation (family="lognormal" for `log(y)`).'
        )


# ---------------------------------------------------------------------------------------------------------- tables


def _by_elpd(results: Mapping[str, Elpd]) -> ModelComparison:
    order = sorted(results, key=lambda name: -results[name].elpd)
    best = results[order[0]]
    weights = dict(zip(order, stacking(np.column_stack([_rows(results[name]) for name in order])), strict=True))
    rows = {}
    for name in order:
        own = results[name]
        difference = _units(own, best) - _units(best, own)
        error = 0.0 if own is best else spread_of_sum(difference)
        total = float(difference.sum())
        rows[name] = {
            "elpd": own.elpd,
            "se": own.se,
            "elpd_diff": total,
            "se_diff": error,
            "p_eff": own.p,
            "weight": float(weights[name]),
            "warnings": "; ".join(_warnings(own, total, len(difference), own is best)),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    methods = tuple(dict.fromkeys(own.method for own in results.values()))
    notes = (
        () if len(methods) == 1 else (f"Note: the models were judged by different methods ({'; '.join(methods)}).",)
    )
    return ModelComparison(table, f"Comparison by {methods[0]}", dict(results), notes)


def _rows(own: Elpd) -> Floats:
    return own.pointwise["elpd"].to_numpy()


def _units(own: Elpd, other: Elpd) -> Floats:
    """Return elpd by unit: groups where both have the same, else rows."""
    same = own.units.index.equals(other.units.index)
    return np.asarray(own.units.to_numpy() if same else _rows(own))


def _warnings(own: Elpd, difference: float, units: int, best: bool) -> list[str]:
    found = list(own.warnings)
    if not best and abs(difference) < _CLOSE:
        found.append(f"within {_CLOSE:g} of the best: as good as equal")
    elif not best and units < _FEW:
        found.append(f"{units} units: se_diff may be too small by half")
    return found


def stacking(elpd: Floats) -> Floats:
    """Return the weights whose mixture of predictive distributions has the highest elpd (Yao et al. 2018).

    Parameters
    ----------
    elpd : ndarray, shape (n, models)
        Log predictive densities by row and model.

    Returns
    -------
    ndarray, shape (models,)
        Not negative, with sum one.
    """
    from scipy.optimize import minimize

    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))
    count = density.shape[1]

    def descend(weights: Floats) -> tuple[float, Floats]:
        mixture = np.maximum(density @ weights, 1e-300)
        return -float(np.log(mixture).mean()), -np.asarray((density / mixture[:, None]).mean(axis=0))

    search: Any = minimize
    found = search(
        descend,
        np.full(count, 1.0 / count),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.clip(found.x, 0.0, None)
    return np.asarray(weights / weights.sum())


def _by_evidence(results: Mapping[str, Evidence]) -> ModelComparison:
    order = sorted(results, key=lambda name: -results[name].log_evidence)
    values = np.array([results[name].log_evidence for name in order])
    errors = np.array([results[name].se for name in order])
    probability = np.exp(values - values.max())
    table = pd.DataFrame(
        {
            "log_evidence": values,
            "se": errors,
            "difference": values - values[0],
            "se_diff": [0.0, *np.hypot(errors[1:], errors[0])],
            "probability": probability / probability.sum(),
            "warnings": ["; ".join(results[name].notes) for name in order],
        },
        index=pd.Index(order, name="model"),
    )
    methods = tuple(dict.fromkeys(own.method for own in results.values()))
    note = (
        "The evidence averages the likelihood over the priors: another prior, also of a parameter that the data "
        'determine well, is another evidence. Compare predictions (method="loo") where priors are defaults.'
    )
    return ModelComparison(table, f"Comparison by evidence ({'; '.join(methods)})", dict(results), (note,))


# ----------------------------------------------------------------------------------------------------------- words


def _elpd_words(table: pd.DataFrame) -> tuple[str, ...]:
    first, *others = table.index
    said = []
    for name in others:
        difference, error = -table.loc[name, "elpd_diff"], table.loc[name, "se_diff"]
        if difference < _CLOSE:
            said.append(f"{name} predicts as well as {first}: elpd lower by {difference:.1f} only.")
        elif difference < 2.0 * error:
            said.append(
                f"{first} may predict better than {name}: by {difference:.1f}, with a standard error of {error:.1f}."
            )
        else:
            said.append(
                f"{first} predicts better than {name}: by {difference:.1f}, with a standard error of {error:.1f}."
            )
    return tuple(said)


def _evidence_words(table: pd.DataFrame) -> tuple[str, ...]:
    first, *others = table.index
    return tuple(
        f"The data are {_times(-table.loc[name, 'difference'])} as probable under {first} as under {name}."
        for name in others
    )


def _times(log_factor: float) -> str:
    if log_factor < np.log(1e6):
        return f"{np.exp(log_factor):,.3g} times"
    return f"10^{log_factor / np.log(10.0):.1f} times"


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    places = {"weight": 2, "probability": 3}
    shown = table.copy()
    for name in table.columns.drop("warnings"):
        shown[name] = [
            "" if np.isnan(value) else f"{value:.{places.get(name, 1)}f}"
            for value in table[name].to_numpy(dtype=float)
        ]
    return shown if shown["warnings"].any() else shown.drop(columns="warnings")


def _printed(table: pd.DataFrame) -> list[str]:
    """Return the numbers as lines, and the warnings below them: in a column they would be cut."""
    shown = _rounded(table)
    numbers = shown.drop(columns="warnings", errors="ignore").rename_axis(None).to_string(line_width=1000)
    said = [f"{name}: {words}" for name, words in table["warnings"].items() if words]
    return [*numbers.splitlines(), *said]

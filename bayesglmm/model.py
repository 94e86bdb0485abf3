"""`Model`: the recipe. Parse the formula, bind it to data, choose priors, build the graph, run an engine, report."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesglmm.describe import facts_html, facts_text, model_facts
from bayesglmm.design import bind_anywhere
from bayesglmm.design.difference import differing_part
from bayesglmm.design.residual import refuse_link
from bayesglmm.errors import DataError, SettingsError, UnknownNameError, did_you_mean
from bayesglmm.families import FAMILIES, Family
from bayesglmm.formula import MAIN, parse
from bayesglmm.formula.update import updated
from bayesglmm.graph.linking import choose_links
from bayesglmm.graph.slots import prior_table
from bayesglmm.graph.starts import check_start
from bayesglmm.links import LINKS, Link
from bayesglmm.priors import Prior
from bayesglmm.seeds import checked_seed

if TYPE_CHECKING:
    import pandas as pd
    import pymc as pm
    from xarray import DataTree

    from bayesglmm.engines.base import Engine, Settings
    from bayesglmm.graph.problem import Problem
    from bayesglmm.journal import Journal
    from bayesglmm.results import Fit


class Model:
    """A Bayesian generalized linear mixed model.

    Parameters
    ----------
    formula : str, sequence of str or Nonlinear
        The model formula as in lme4, brms or mgcv; further formulas model further parameters of the family:
        ``["y ~ x + (1 | g)", "sigma ~ z"]``. `bayesglmm.nonlinear` makes the formulas of a nonlinear predictor.
    data : DataFrame of pandas or polars, table of pyarrow, or mapping of columns
        One row per observation. What is not pandas is read through narwhals; answers are pandas or xarray. A path of
        parquet files (``"folder/*.parquet"``) and a dask data frame are read piece by piece for engine ``"laplace"``,
        see ``docs/how-to/large-data.md``.
    family : str or Family
        Response distribution.
    link : str, Link or mapping, optional
        Link of the main parameter, or a mapping from parameter to link; the family's defaults otherwise.
    priors : mapping of str to Prior, "flat" or None
        Priors by class (``"fixed"``, ``"Intercept"``, ``"sd"``, ``"cor"``), group (``"sd[herd]"``), term
        (``"period"``), column (``"period[2]"``) or dispersion (``"sigma"``); see ``docs/how-to/priors.md``.
        ``"flat"`` gives the likelihood alone. What is not named gets the printed default.
    weights : str or array, optional
        Precision weights for gaussian and student_t, trials for proportions.
    likelihood_weights : str or array, optional
        Multiply the log density of each row.
    cov : mapping of str to matrix, optional
        Matrices that covariance structures name: ``{"W": W}`` for ``car(1 | region, adjacency=W)``.
    residual : str, optional
        How the residuals of a gaussian response are correlated within groups: ``"ar1(time | g)"``,
        ``"ou(time | g)"``, ``"cs(1 | g)"`` or ``"us(time | g)"``; ``1`` for the time takes the rows in their order.
        See ``docs/how-to/time-series.md``.
    scratch : path, optional
        A folder for the numbers of data that are read piece by piece; all workers must see it.

    Raises
    ------
    FormulaError, DataError, PriorError, UnknownNameError
        Before anything is compiled; the message says what was found, where, and what is allowed.

    Attributes
    ----------
    design : Design
        Formula and data as numbers.
    priors : PriorTable
        Every parameter with its prior.

    Examples
    --------
    >>> import bayesglmm as bg
    >>> d = bg.load_dataset("cbpp")
    >>> model = bg.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", d, family="binomial")
    >>> model.design.n
    56
    """

    def __init__(
        self,
        formula: str | Sequence[str],
        data: Any,
        family: str | Family = "gaussian",
        *,
        link: str | Link | Mapping[str, str | Link] | None = None,
        priors: Mapping[str, Prior] | str | None = None,
        weights: Any = None,
        likelihood_weights: Any = None,
        cov: Mapping[str, Any] | None = None,
        residual: str | None = None,
        scratch: str | os.PathLike[str] | None = None,
    ) -> None:
        self.formula, self._data = formula, data
        self._original: Model | None = None  # whose compiled functions serve this model too
        self._given: dict[str, Any] = {
            "link": link,
            "priors": priors,
            "cov": cov,
            "residual": residual,
            "scratch": scratch,
        }
        self.family = FAMILIES.get(family)
        self.design = bind_anywhere(
            parse(formula), data, self.family, weights, likelihood_weights, cov, residual, scratch
        )
        main = self.family.main_predictors(self.design.response)
        expression = self.design.nonlinear
        names = () if expression is None else expression.expression.parameters
        linear = [name for name in self.design.predictors if name not in names]
        self.links = choose_links(self.family, [*main, *linear] if names else linear, main, link)
        self.links |= dict.fromkeys(names, LINKS.get("identity"))
        scale = self.family.scale(self.design.response, self.links[main[0]])
        spread = self.family.residual_scale(self.design.response)
        refuse_link(self.design.residual, self.links[main[0]].name)
        starts = None if expression is None else {name: expression.start.get(name) for name in names}
        correlated, predictors = self.design.residual, self.design.predictors
        self.priors = prior_table(
            self.family, predictors, scale, priors, main, spread, self.links, starts, correlated
        )
        if expression is not None:
            check_start(expression.expression, self.design.response, self.design.predictors, self.priors)

    @property
    def given(self) -> Mapping[str, Any]:
        """The arguments ``link``, ``priors``, ``cov``, ``residual`` and ``scratch``, as the user gave them."""
        return self._given

    @cached_property
    def problem(self) -> Problem:
        """The graph with the role of every variable, as engines see it; built when first needed."""
        from bayesglmm.graph.build import build

        design = self.design
        expression = None if design.nonlinear is None else design.nonlinear.expression
        numbers = (design.response, design.predictors, self.priors, design.rows.labels)
        made = build(self.family, self.links, *numbers, expression, design.residual)
        made = made if design.stored is None else replace(made, parts=design.stored.parts)
        return made if self._original is None else replace(made, shared=self._original.problem.shared)

    @property
    def graph(self) -> pm.Model:
        """The PyMC model."""
        return self.problem.model

    def fit(
        self,
        engine: str = "nuts",
        *,
        seed: int | None = None,
        store: str | os.PathLike[str] | None = None,
        **settings: Any,
    ) -> Fit:
        """Infer the posterior.

        Parameters
        ----------
        engine : str
            ``"nuts"`` or another registered engine.
        seed : int, optional
            Makes the result reproducible bit for bit on one machine; drawn (and recorded) if absent.
        store : path, optional
            A folder ending in ``.zarr`` that does not exist yet. ``"nuts"`` stores its draws there while it runs,
            every 20 seconds; if the process is killed, `bayesglmm.load` reads what there is and `bayesglmm.resume`
            continues. In the end it is a saved fit.
        **settings
            Settings of the engine: ``draws``, ``tune``, ``chains``, ...

        Returns
        -------
        Fit

        Raises
        ------
        SettingsError
            On an unknown or impossible setting.
        StorageError
            If `store` cannot be written, or is there already.
        """
        from bayesglmm.engines import ENGINES
        from bayesglmm.engines.base import require_rows
        from bayesglmm.engines.threads import suitable_threads
        from bayesglmm.results import Fit

        chosen = ENGINES.get(engine)
        configured = chosen.configure(**settings)
        if configured.uses_priors:
            self.priors.require()
        seed = checked_seed(seed)
        start = time.perf_counter()
        problem = self.problem
        require_rows(problem, chosen)
        seconds = {"build": time.perf_counter() - start}
        journal = None if store is None else self._journal(store, chosen, configured, seed)
        with suitable_threads(problem):
            kept = {} if journal is None else {"sink": journal}
            run = chosen.run(problem, configured, seed, **kept)
        how: dict[str, Any] = {"engine": chosen.name, "settings": configured, "seed": seed, "seconds": seconds}
        fit = Fit.from_run(self, run, notes=self.design.notes, **how)
        if journal is not None and fit.draws.sizes["draw"] == configured.as_dict()["draws"]:
            journal.finish(fit)
        return fit

    def _journal(self, store: str | os.PathLike[str], engine: Engine, settings: Settings, seed: int) -> Journal:
        from bayesglmm.journal import begin

        if not engine.streams:
            raise SettingsError(
                f'store= is for engines that draw for long, "nuts"; {engine.name!r} has no draws before it ends. Use '
                f"fit.save({os.fspath(store)!r}) afterwards."
            )
        return begin(store, self, engine.name, settings.as_dict(), seed)

    @property
    def droppable(self) -> tuple[str, ...]:
        """Population terms of the main formula that no other one contains: ``a:b``, but then neither a nor b."""
        if self.design.nonlinear is not None:
            return ()
        predictor = next(iter(self.design.predictors.values()))
        columns = {term for block in predictor.fixed if block.label == "fixed" for term in block.terms}
        terms = {":".join(map(str, term)): frozenset(term) for term in self.design.spec.predictors[MAIN].fixed.terms}
        return tuple(
            label
            for label, own in terms.items()
            if label in columns and not any(own < other for other in terms.values())
        )

    def without(self, term: str) -> Model:
        """Return the model of the same rows without one population term of the main formula.

        Parameters
        ----------
        term : str
            One of `droppable`.
        """
        if term not in self.droppable:
            raise UnknownNameError(f"No term {term!r} can be dropped. {did_you_mean(term, self.droppable)}")
        self._require_rows("Dropping a term from the model")
        main, *others = (self.formula,) if isinstance(self.formula, str) else self.formula
        used = self.design.rows.positions  # a term with missing values must not bring rows back
        weights, likelihood_weights = (
            given if given is None or isinstance(given, str) else given[used]
            for given in (self.design.weights, self.design.likelihood_weights)
        )
        return Model(
            [f"{main} - {term}", *others] if others else f"{main} - {term}",
            self.design.data.iloc[used],
            self.family,
            weights=weights,
            likelihood_weights=likelihood_weights,
            **self._given,
        )

    def changed(self, formula: Any = None, data: Any = None, **given: Any) -> Model:
        """Return the model with other formulas, data or arguments; what is not named stays.

        Parameters
        ----------
        formula : str or sequence of str, optional
            ``". ~ . + x - (1 | g)"``: a dot stands for that side of the formula of this model, as in R's ``update``.
        data : DataFrame, optional
        **given
            Other arguments of `Model`: ``family``, ``link``, ``priors``, ...

        Raises
        ------
        FormulaError, DataError, PriorError, UnknownNameError
            As `Model`, and for dots that have nothing to stand for.
        SettingsError
            For other data without the weights that go with them.
        """
        own = {"weights": self.design.weights, "likelihood_weights": self.design.likelihood_weights}
        for name, values in own.items():
            if data is not None and name not in given and not (values is None or isinstance(values, str)):
                raise SettingsError(
                    f"{name}= was an array for the rows of the old data: give it for the new ones too."
                )
        wanted = self.formula if formula is None else updated(self.formula, formula)
        kept = {"family": self.family, **own, **self._given}
        return Model(wanted, self._data if data is None else data, **kept | given)

    def with_response(self, data: pd.DataFrame) -> Model:
        """Return the model of the same rows with other responses; nothing that was compiled is compiled again.

        For simulation studies: fitting many responses to one design then costs the sampling alone.

        Parameters
        ----------
        data : DataFrame
            The data of this model with other values of the response.

        Returns
        -------
        Model
            With the priors of this model, the default ones included: they do not follow the new response.

        Raises
        ------
        DataError
            If anything but the response differs: rows used, trials, predictors, groups.
        """
        self._require_rows("model.with_response()")
        weights, likelihood_weights = self.design.weights, self.design.likelihood_weights
        other = Model(
            self.formula, data, self.family, weights=weights, likelihood_weights=likelihood_weights, **self._given
        )
        where = differing_part(self.design, other.design)
        if where is not None:
            raise DataError(
                f"with_response() takes data that differ in the response alone; here `{where}` differs too."
            )
        other.priors, other._original = self.priors, self._original or self
        return other

    def report(
        self,
        fit: Fit,
        path: str | os.PathLike[str],
        *,
        others: Mapping[str, Fit] | None = None,
        title: str | None = None,
        prob: float = 0.95,
    ) -> Path:
        """Write the report of a fit of this model; see `Fit.report`."""
        from bayesglmm.reporting import write_report

        return write_report(fit, path, others=others, title=title, prob=prob)

    def check(self) -> pd.DataFrame:
        """Return what model and data cannot tell, before anything is fitted.

        Separation (by linear programming; Konis 2007), columns and factors that say the same, levels with one row,
        few levels, smooths whose curves other terms can draw: the findings of `Fit.diagnose` that need no fit.

        Returns
        -------
        DataFrame
            Columns as of `Fit.diagnose`; empty where nothing was found. Printed, it is a list in sentences.
        """
        from bayesglmm.results.checking.diagnosis import findings_table
        from bayesglmm.results.checking.findings import Structure, findings

        design = self.design
        return findings_table(findings(Structure(self.family, self.links, design.response, design.predictors)))

    def prior_predictive(self, draws: int = 500, *, seed: int | None = None) -> DataTree:
        """Draw parameters from the prior and responses from these, to see what the priors claim.

        Parameters
        ----------
        draws : int
            Number of draws.
        seed : int, optional

        Returns
        -------
        xarray.DataTree
            Groups ``prior``, ``prior_predictive`` (variable ``y``) and ``observed_data``; `plots.prior_predictive`
            draws it.

        Raises
        ------
        PriorError
            If a prior is flat: it is not a distribution.
        """
        from bayesglmm.results.prior import prior_predictive

        self._require_rows("model.prior_predictive()")
        self.priors.require()
        return prior_predictive(self.problem, draws, checked_seed(seed))

    def _require_rows(self, what: str) -> None:
        from bayesglmm.results.rows_elsewhere import refuse_without_rows

        if self.design.stored is not None:
            refuse_without_rows(self.problem, what)

    @property
    def _facts(self) -> list[tuple[str, list[str]]]:
        return model_facts(self.formula, self.family, self.links, self.design, self.priors)

    def __repr__(self) -> str:
        return facts_text(self._facts)

    def _repr_html_(self) -> str:
        return facts_html(self._facts)

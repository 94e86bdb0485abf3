"""`Fit`: a fitted model and the questions one can ask it. The answers are computed in the other files here."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from bayesglmm.results import diagnose as diagnosis
from bayesglmm.results import facts, tables
from bayesglmm.results.approximation import good_words
from bayesglmm.results.checking.answers import CheckingAnswers
from bayesglmm.results.checks import CHAINS_AGREE, Check, Verdict, verdict_of
from bayesglmm.results.effects.answers import EffectAnswers
from bayesglmm.results.evaluation.answers import EvaluationAnswers
from bayesglmm.results.likelihood_questions import LikelihoodQuestions
from bayesglmm.results.missing_answers import MissingAnswers
from bayesglmm.results.prediction_answers import PredictionAnswers
from bayesglmm.results.protocols import EngineRun, EngineSettings, FittedModel, Rebindable
from bayesglmm.results.report_answer import ReportAnswer
from bayesglmm.results.rows_elsewhere import refuses_rows_elsewhere
from bayesglmm.results.schema import ESTIMATES, POSTERIOR, Meta, assemble, now
from bayesglmm.results.smooth_answers import SmoothAnswers
from bayesglmm.results.text import fit_html, fit_text
from bayesglmm.results.variance_answers import VarianceAnswers

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem


@refuses_rows_elsewhere
class Fit(
    EvaluationAnswers,
    PredictionAnswers,
    MissingAnswers,
    EffectAnswers,
    CheckingAnswers,
    VarianceAnswers,
    SmoothAnswers,
    ReportAnswer,
    LikelihoodQuestions,
):
    """A fitted model.

    Made by ``model.fit()``; all numbers are in `data`, and every method answers one question from them.

    Parameters
    ----------
    data : xarray.DataTree
        As `bayesglmm.results.schema.assemble` makes it.
    problem : Problem
        The graph that the draws belong to.
    design : Rebindable, optional
        What codes new data; without it only the rows used can be predicted.

    Attributes
    ----------
    data : xarray.DataTree
        Groups ``posterior``, ``sample_stats``, ``observed_data``, ``constant_data`` in ArviZ's layout (for maximum
        likelihood ``estimates`` instead of the first two; `draws` adds ``asymptotic``), and what `log_likelihood`
        and `posterior_predictive` added; formula, priors, settings, seed and versions in ``attrs``.
    problem : Problem
    design : Rebindable or None
    model : FittedModel or None
        What was fitted, for questions that fit it again.
    """

    model: FittedModel | None = None

    def __init__(
        self, data: xr.DataTree | Callable[[], xr.DataTree], problem: Problem, design: Rebindable | None = None
    ) -> None:
        if callable(data):
            self._assemble = data
        else:
            self.data = data
        self.problem = problem
        self.design = design

    @cached_property
    def data(self) -> xr.DataTree:  # type: ignore[override]  # it can be set, which mypy does not know
        """Everything known, see the class; of a maximum likelihood fit made when first read."""
        return self._assemble()

    @classmethod
    def from_run(
        cls,
        model: FittedModel,
        run: EngineRun,
        *,
        engine: str,
        settings: EngineSettings | Mapping[str, Any],
        seed: int | None,
        seconds: Mapping[str, float] | None = None,
        notes: Sequence[str] = (),
    ) -> Fit:
        """Make a fit of what an engine handed back; a `LikelihoodFit` if that are maximum likelihood estimates.

        Parameters
        ----------
        model : FittedModel
            With `formula`, `problem` and `design`.
        run : EngineRun
            Draws and statistics; or estimates, and what makes draws around them.
        engine : str
            Its registered name.
        settings : Settings or mapping
        seed : int or None
        seconds : mapping of str to float, optional
            Stages before the engine: ``{"build": 0.2}``.
        notes : sequence of str
            Sentences for the user, before those of the engine.
        """
        formulas = (model.formula,) if isinstance(model.formula, str) else tuple(model.formula)
        plain = dict(settings) if isinstance(settings, Mapping) else settings.as_dict()
        meta = Meta(formulas, engine, plain, seed, dict(seconds or {}), tuple(notes))
        if facts.likelihood_of(run) is None:
            fit = cls.from_tree(assemble(model.problem, run, meta), model.problem, model.design)
        else:
            from bayesglmm.results.likelihood import LikelihoodFit

            # The tree takes as long as the search for the estimates of a small model, and refits seldom need it.
            tree = partial(assemble, model.problem, run, meta, now())
            fit = LikelihoodFit(tree, model.problem, model.design, run.draws)
        fit.model = model
        return fit

    @classmethod
    def from_tree(cls, data: xr.DataTree, problem: Problem, design: Rebindable | None = None) -> Fit:
        """Make the kind of fit that the groups of a tree call for."""
        from bayesglmm.results.likelihood import LikelihoodFit

        return (LikelihoodFit if ESTIMATES in data.children else cls)(data, problem, design)

    @property
    def draws(self) -> xr.Dataset:
        """Draws of all parameters, with dims chain and draw first."""
        return self.data[POSTERIOR].to_dataset()

    @property
    def point(self) -> xr.Dataset:
        """Posterior means as if they were the only draw; of a maximum likelihood fit the estimates."""
        return self.draws.mean(("chain", "draw")).expand_dims(chain=[0], draw=[0])

    # ------------------------------------------------------------------------------------------------- tables

    def summary(self, prob: float = 0.95, sensitivity: bool = False) -> pd.DataFrame:
        """Return all population-level parameters with convergence statistics.

        Parameters
        ----------
        prob : float
            Posterior probability of the interval between `lower` and `upper`.
        sensitivity : bool
            Whether to add what `prior_sensitivity` finds: the columns prior, likelihood, diagnosis.

        Returns
        -------
        DataFrame
            Index: labels as in the keys of ``priors=``: ``x``, ``sd[herd, Intercept]``, ``cor[herd, Intercept, x]``,
            ``sigma``. Columns: mean, sd, lower, upper (equal-tailed), ess_bulk, ess_tail, r_hat, mcse_mean. Draws
            that are independent by construction count fully and have no R-hat.
        """
        found = tables.summary(self.parameters, prob, facts.statistics_of(self.data.attrs))
        return found.join(self.prior_sensitivity()) if sensitivity else found

    def fixed(self, prob: float = 0.95) -> pd.DataFrame:
        """Return the population coefficients, on the scale of the linear predictor.

        Returns
        -------
        DataFrame
            Index: column names (``Intercept``, ``period[2]``); those of other family parameters are prefixed as in
            ``priors=``: ``sigma.Intercept``. Columns: mean, sd, lower, upper.
        """
        return tables.fixed(self.parameters, prob)

    def varcorr(self, prob: float = 0.95) -> pd.DataFrame:
        """Return standard deviations and correlations of the group effects.

        Returns
        -------
        DataFrame
            Columns: group, term, term2, kind (``"sd"`` or ``"cor"``), mean, sd, lower, upper. `term2` is empty for
            standard deviations. The residual standard deviation is the group ``Residual``; terms of other family
            parameters are prefixed: ``sigma.Intercept``.
        """
        return tables.varcorr(self.problem, self.parameters, prob)

    def ranef(self, prob: float = 0.95, group: str | None = None) -> pd.DataFrame:
        """Return the group effects: how far each level lies from the population coefficients.

        Parameters
        ----------
        prob : float
            Posterior probability of the interval.
        group : str, optional
            One grouping factor; all if absent.

        Returns
        -------
        DataFrame
            Columns: group, level, term, mean, sd, lower, upper; on the scale of the linear predictor.
        """
        return tables.ranef(self.problem, self.draws, prob, group)

    def coef(self, prob: float = 0.95, group: str | None = None) -> pd.DataFrame:
        """Return the coefficients of each level: population coefficient plus group effect.

        Parameters
        ----------
        prob : float
            Posterior probability of the interval.
        group : str, optional
            One grouping factor; all if absent.

        Returns
        -------
        DataFrame
            Columns as of `ranef`. A term without a population coefficient counts as having one of zero.
        """
        return tables.coef(self.problem, self.draws, prob, group)

    # ------------------------------------------------------------------------------------------------- rows

    def log_likelihood(self) -> xr.DataTree:
        """Return the log-likelihood of every row under every draw, and add it to `data`, where ArviZ looks for it.

        With correlated residuals it is that of a row given the earlier ones of its group: the sum is the joint one.

        Returns
        -------
        xarray.DataTree
            The group ``log_likelihood``: variable ``y`` with dims (chain, draw, obs).
        """
        from bayesglmm.results.rowwise import log_likelihood

        if "log_likelihood" not in self.data.children:
            self._add("log_likelihood", log_likelihood(self._evaluator, self.draws))
        return self.data.children["log_likelihood"]

    def posterior_predictive(self, seed: int | None = None, draws: int | None = None) -> xr.DataTree:
        """Return simulated responses of the rows used, and put them into `data`, where ArviZ looks for them.

        Parameters
        ----------
        seed : int, optional
            Same seed, same numbers.
        draws : int, optional
            Use this many draws, evenly spaced over all chains; all if absent.

        Returns
        -------
        xarray.DataTree
            The group ``posterior_predictive``: variable ``y`` with dims (chain, draw, obs), one chain if `draws` is
            given. A later call replaces it.
        """
        from bayesglmm.results.rowwise import posterior_predictive

        self._add("posterior_predictive", posterior_predictive(self._evaluator, self.draws, seed, draws))
        return self.data.children["posterior_predictive"]

    def _add(self, group: str, dataset: xr.Dataset) -> None:
        import xarray as xr

        self.data[group] = xr.DataTree(dataset)

    # ------------------------------------------------------------------------------------------------- files

    def save(self, path: str | os.PathLike[str], data: bool = True) -> None:
        """Write the fit to a file, from which `bayesglmm.load` makes it again without fitting.

        The file holds numbers and text, no code: formula, data with their fingerprint, what smooths and functions
        learned from the data, priors, settings, seed, versions, verdict, draws, and a checksum of everything. It is
        netCDF or zarr, which other programs read too. A file that was there before is replaced when the new one is
        complete, not earlier.

        Parameters
        ----------
        path : path
            Ends in ``.nc`` (one netCDF file) or ``.zarr`` (a folder).
        data : bool
            False leaves out the data and all else that has a value per row; `bayesglmm.load` then asks for the data
            and compares their fingerprint. Names of levels, and draws of the effects of each, are still there.

        Raises
        ------
        StorageError
            For another suffix, a folder that is missing, or a disk that is full.
        """
        from bayesglmm.results.store import save

        save(self, path, data)

    # ------------------------------------------------------------------------------------------------- trust

    @cached_property
    def verdict(self) -> Verdict:
        """``"good"``, ``"check"`` or ``"bad"``; ``print(fit.verdict)`` says why, and what to do."""
        quality = facts.read(self.data.attrs, "quality")
        if quality is None:
            return verdict_of(self._checks, CHAINS_AGREE)
        worth = diagnosis.resampled_worth(self.parameters, self.data.attrs)
        return verdict_of(self._checks, good_words(quality, worth))

    def __repr__(self) -> str:
        return fit_text(self)

    def _repr_html_(self) -> str:
        return fit_html(self)

    @cached_property
    def parameters(self) -> list[tables.Parameter]:
        """All population-level parameters: labels, where they belong, draws."""
        return tables.parameters(self.problem, self.draws)

    @cached_property
    def _checks(self) -> list[Check]:
        return diagnosis.run_checks(self.problem, self.data)

    @cached_property
    def _evaluator(self) -> Evaluator:
        from bayesglmm.graph.evaluate import Evaluator

        return Evaluator(self.problem)

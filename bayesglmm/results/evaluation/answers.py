"""Methods of `Fit` that judge a model by its predictions and its evidence, and that fit a changed one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from bayesglmm.errors import BayesglmmError
from bayesglmm.results import facts
from bayesglmm.results.facts import settings_given
from bayesglmm.results.schema import ESTIMATES
from bayesglmm.seeds import checked_seed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.graph.problem import Problem
    from bayesglmm.results.checks import Verdict
    from bayesglmm.results.evaluation.bridge import Evidence
    from bayesglmm.results.evaluation.kfold import KFold
    from bayesglmm.results.evaluation.loo import Loo
    from bayesglmm.results.evaluation.redrawn import Sample
    from bayesglmm.results.evaluation.refit import Recipe
    from bayesglmm.results.fit import Fit
    from bayesglmm.results.protocols import FittedModel, Rebindable

_SHARPENED = 2000  # draws of an approximation that are drawn anew for cross-validation
_OF_MODEL = ("family", "link", "priors", "weights", "likelihood_weights", "cov", "residual")


class EvaluationAnswers:
    """Cross-validation, evidence, intervals, and changed models."""

    if TYPE_CHECKING:
        data: xr.DataTree
        problem: Problem
        design: Rebindable | None
        model: FittedModel | None

        @property
        def draws(self) -> xr.Dataset: ...

        @property
        def kind(self) -> str: ...

        @property
        def verdict(self) -> Verdict: ...

        @property
        def _evaluator(self) -> Evaluator: ...

        def log_likelihood(self) -> xr.DataTree: ...

    def loo(
        self,
        reloo: bool = False,
        keep: bool = False,
        workers: int | None = None,
        seed: int | None = None,
        *,
        moment_match: bool = False,
    ) -> Loo:
        """Estimate how well the model predicts a row that it has not seen (PSIS-LOO).

        Leave-one-out cross-validation by Pareto-smoothed importance sampling (Vehtari, Gelman and Gabry 2017): the
        draws of this fit are reweighted as if a row were not there. Its group effects are those that the other rows
        of its groups tell; for new groups use ``kfold(groups=...)``.

        Parameters
        ----------
        reloo : bool
            Fit the model again without each row whose Pareto k says that the weights cannot be trusted, by the
            engine and settings of this fit; with `moment_match` only where that does not help.
        keep : bool
            Add the log-likelihoods of all draws and rows to `data`, where ArviZ looks for them; otherwise they are
            computed for some rows at a time and forgotten.
        workers : int, optional
            Refits at once; what ``joblib.parallel_config`` says if absent. Their number changes no number.
        seed : int, optional
            Of refits, and of coefficients that are drawn anew; that of the fit if absent.
        moment_match : bool
            Move the draws, for each such row, until their moments are those of the posterior without it, and weight
            them again (Paananen et al. 2021): seconds per row, and no refits.

        Returns
        -------
        Loo
            Prints elpd, its standard error, the counts of Pareto k and the rows with a bad one; ``.pointwise`` is a
            frame with a row for each row of the data.

        Raises
        ------
        BayesglmmError
            For maximum likelihood fits, which have no posterior draws; of `moment_match` where a covariance of
            effects is singular.
        """
        from bayesglmm.results.evaluation.loo import MATCHED, bad_rows, loo, mended
        from bayesglmm.results.evaluation.moment_matching import matched
        from bayesglmm.results.evaluation.refit import refit

        self._require_posterior("loo")
        self._require_independent_rows("loo")
        seed = self._seeded(seed)
        if keep:
            self.log_likelihood()
        drawn = self._sample(seed)
        found = loo(self._evaluator, drawn, self._quality_notes())
        rows = bad_rows(found)
        if moment_match and len(rows):
            found = mended(found, matched(self._evaluator, drawn, found, rows), MATCHED)
            rows = bad_rows(found)
        if not reloo or not len(rows):
            return found
        return mended(found, refit(self._recipe(), [rows[[j]] for j in range(len(rows))], seed, workers))

    def kfold(
        self,
        k: int | str = 10,
        groups: str | None = None,
        stratify: str | None = None,
        workers: int | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> KFold:
        """Estimate by refits how well the model predicts rows, or whole groups, that it has not seen.

        Each fold is left out in turn, the model is fitted to the rest, and the rows of the fold are predicted. The
        effect of a group that the rest has no row of is integrated over the distribution of groups. Levels,
        contrasts, smooth bases and default priors are those of all rows.

        Parameters
        ----------
        k : int or "each"
            Number of folds; ``"each"`` for one per row, or per group. No more than there are groups.
        groups : str, optional
            A grouping factor of the model or a column of the data that its formula mentions: rows of one group are
            held out together. ``k="each"`` leaves out one group at a time.
        stratify : str, optional
            A factor or column of which each fold gets its share: for rare categories.
        workers : int, optional
            Fits at once; what ``joblib.parallel_config`` says if absent. Their number changes no number.
        seed : int, optional
            For the division into folds and the fits; that of this fit if absent.
        **settings
            Other settings of the engine than those of this fit: ``draws=500``; ``engine="laplace"`` for another
            engine.

        Returns
        -------
        KFold
            Prints elpd and its standard error; ``.pointwise`` by rows, ``.folds`` by folds, ``.by_group`` by groups.

        Raises
        ------
        BayesglmmError
            For maximum likelihood fits, which have no posterior draws.
        SettingsError, UnknownNameError
            For folds that cannot be made.
        """
        from bayesglmm.results.evaluation.kfold import divided, kfold

        self._require_posterior("kfold")
        self._require_independent_rows("kfold")
        seed = self._seeded(seed)
        folds, method, held = divided(self._evaluator, self._columns(), k, groups, stratify, seed)
        return kfold(
            self._evaluator, self._sample(seed), self._recipe(**settings), folds, method, seed, workers, held
        )

    def bridge(self, draws: int = 2000, seed: int | None = None) -> Evidence:
        """Estimate the marginal likelihood from the draws of this fit, by bridge sampling.

        Meng and Wong's (1996) optimal bridge between the exact posterior and a normal proposal that is fitted to one
        half of the draws (Gronau et al. 2017), in coordinates in which the coefficients given the hyperparameters are
        nearly standard normal. For draws of the exact posterior: NUTS, Metropolis, or Laplace where it is exact or
        was reweighted.

        Parameters
        ----------
        draws : int
            Use at most so many posterior draws: half of them for the proposal, half for the bridge.
        seed : int, optional
            Of the draws from the proposal; that of the fit if absent.

        Returns
        -------
        Evidence
            ``.log_evidence`` with its standard error ``.se``; ``bg.bayes_factor`` compares two.

        Raises
        ------
        PriorError
            Where a prior is flat: the evidence is not defined.
        BayesglmmError
            For maximum likelihood fits, and where a covariance of effects is singular.
        """
        from dataclasses import replace

        from bayesglmm.engines.threads import suitable_threads
        from bayesglmm.results.evaluation.bridge import bridge

        self._require_posterior("bridge")
        with suitable_threads(self.problem):
            found = bridge(self.problem, self.draws, draws, self._seeded(seed))
        quality = facts.read(self.data.attrs, "quality")
        if quality is not None and facts.effective_draws(self.data.attrs) is None and quality["verdict"] != "good":
            words = "The draws are approximate, and their verdict is not good; bridge draws of NUTS instead."
            return replace(found, notes=(*found.notes, words))
        return found

    def evidence(self, seed: int | None = None) -> Evidence:
        """Return the marginal likelihood: the engine's own where it has one, else by bridge sampling.

        Parameters
        ----------
        seed : int, optional
            For bridge sampling.

        Raises
        ------
        PriorError
            Where a prior is flat.
        BayesglmmError
            For maximum likelihood fits.
        """
        from bayesglmm.results.evaluation.bridge import Evidence, require_proper
        from bayesglmm.results.evaluation.rows import observed

        self._require_posterior("evidence")
        require_proper(self.problem, "The evidence")
        if "log_evidence" not in self.data.attrs:
            return self.bridge(seed=seed)
        quality = facts.read(self.data.attrs, "quality") or {}
        details = quality.get("details", {})
        what = str(details.get("approximation", "Laplace's approximation"))
        if details.get("nodes", 1) > 1:
            what = f"quadrature with {details['nodes']} nodes per group effect"
        word = quality.get("verdict", "good")
        notes = () if word == "good" else (f"Its verdict is {word!r}: fit.bridge() of NUTS draws is exact.",)
        value = float(self.data.attrs["log_evidence"])
        return Evidence(value, float("nan"), what, 0, notes, observed(self.problem))

    def update(
        self,
        formula: Any = None,
        data: Any = None,
        engine: str | None = None,
        seed: int | None = None,
        **settings: Any,
    ) -> Fit:
        """Fit again with another formula, other data or other arguments; what is not named stays.

        Parameters
        ----------
        formula : str or sequence of str, optional
            A dot stands for that side of the old formula, as in R's ``update``: ``". ~ . + x"``, ``"~ . - (1 | g)"``,
            ``"log(.) ~ ."``. ``"sigma ~ . + x"`` changes the formula of that parameter.
        data : DataFrame, optional
        engine : str, optional
            Another engine, with its default settings.
        seed : int, optional
            That of this fit if absent.
        **settings
            Arguments of `Model` (``family``, ``link``, ``priors``, ``weights``, ...) and settings of the engine.

        Returns
        -------
        Fit
            A new one; this one stays as it is.

        Raises
        ------
        BayesglmmError
            For fits without their model, and whatever `Model` and its ``fit`` raise.

        Examples
        --------
        >>> fit.update(". ~ . + weekday", draws=2000)  # doctest: +SKIP
        """
        if self.model is None:
            raise BayesglmmError("This fit does not hold its model, so it cannot be fitted again.")
        given = {name: settings.pop(name) for name in list(settings) if name in _OF_MODEL}
        own = str(self.data.attrs["engine"])
        kept = settings_given(self.data.attrs) if engine in (None, own) else {}
        if seed is None and "seed" in self.data.attrs:
            seed = int(self.data.attrs["seed"])
        changed = self.model.changed(formula, data, **given)
        return changed.fit(own if engine is None else engine, seed=seed, **kept | settings)

    def confint(
        self,
        prob: float = 0.95,
        method: str | None = None,
        parameters: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> pd.DataFrame:
        """Return the intervals of all population parameters in one table, as R's ``confint``.

        Parameters
        ----------
        prob : float
        method : str, optional
            Of posteriors ``"quantile"`` (equal tails, the default) or ``"hdi"`` (the shortest interval); of maximum
            likelihood fits ``"wald"`` (the default), ``"profile"`` (`LikelihoodFit.profile`) or ``"boot"``
            (`LikelihoodFit.bootstrap`).
        parameters : str or sequence of str, optional
            Labels as in `summary`; all if absent.
        **settings
            Of the bootstrap: ``n=500, workers=None, seed=None``.

        Returns
        -------
        DataFrame
            Index: parameter. Columns: kind (``"fixed"``, ``"sd"``, ``"cor"``, ``"structure"``, ``"dispersion"``),
            estimate, lower, upper. ``frame.attrs["note"]`` says what the intervals are.

        Raises
        ------
        SettingsError, UnknownNameError
            For a method that this kind of fit does not have, or an unknown parameter.
        """
        from bayesglmm.results.confint import confint

        return confint(cast("Fit", self), prob, method, parameters, **settings)

    def _columns(self) -> pd.DataFrame | None:
        """Return the data of the rows used."""
        return None if self.design is None else self.design.data.iloc[self.design.rows.positions]

    def _recipe(self, engine: str | None = None, **settings: Any) -> Recipe:
        from bayesglmm.engines import ENGINES
        from bayesglmm.results.evaluation.refit import recipe

        own = self.data.attrs["engine"]
        chosen = ENGINES.get(own if engine is None else engine)
        kept = settings_given(self.data.attrs) if chosen.name == own else {}
        merged = chosen.configure(**kept | settings).as_dict()
        if "progressbar" in merged:
            merged["progressbar"] = False
        return recipe(self.problem, json.loads(self.data.attrs["formulas"]), chosen.name, merged)

    def _require_posterior(self, name: str) -> None:
        if ESTIMATES in self.data.children:
            raise BayesglmmError(
                f"{name} needs posterior draws, and this is {self.kind}: fit the model with priors, "
                'model.fit("laplace") or model.fit("nuts"). Maximum likelihood fits are compared by fit.aic or '
                "bg.likelihood_ratio."
            )

    def _require_independent_rows(self, name: str) -> None:
        residual = self.problem.residual
        if residual is not None:
            raise BayesglmmError(
                f"{name} leaves rows out and predicts them from the others by their group effects alone, but here "
                f"their residuals are correlated ({residual.block.label}) and the others say more. Compare models by "
                "fit.evidence(), or maximum likelihood fits by fit.aic or bg.likelihood_ratio."
            )

    def _seeded(self, seed: int | None) -> int:
        """Return what was asked for, else the seed of the fit: answers do not change from call to call."""
        own = self.data.attrs.get("seed")
        return checked_seed(int(own) if seed is None and own is not None else seed)

    def _sample(self, seed: int) -> Sample:
        from bayesglmm.engines.threads import suitable_threads
        from bayesglmm.results.evaluation.redrawn import sample

        with suitable_threads(self.problem):
            return sample(self.problem, self.draws, self.data.attrs, _SHARPENED, seed)

    def _quality_notes(self) -> tuple[str, ...]:
        """Return what must be said of draws that are not good."""
        word = self.verdict.word
        return () if word == "good" else (f'The verdict of the fit is "{word}": see print(fit.verdict).',)

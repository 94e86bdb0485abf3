"""What one can ask a fit about rows: a base class of `Fit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesglmm.results.draws import check_choice

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.results.protocols import Rebindable


class PredictionAnswers:
    """Predictions for the rows used and for new ones."""

    if TYPE_CHECKING:
        design: Rebindable | None

        @property
        def draws(self) -> xr.Dataset: ...

        @property
        def _evaluator(self) -> Evaluator: ...

    def predict(
        self,
        new: Any = None,
        groups: str | Mapping[str, str] = "these",
        scale: str = "response",
        prob: float = 0.95,
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
    ) -> pd.DataFrame:
        """Predict for the rows used, or for new ones.

        Parameters
        ----------
        new : DataFrame (pandas, polars) or mapping, optional
            New rows; offsets are computed from them. The rows used if absent.
        groups : {"these", "typical", "new", "average", "these or new"} or mapping
            Which group effects: ``"these"`` those of the rows' own levels, which must be known; ``"typical"`` none,
            a group in the middle; ``"new"`` those of a group not seen, drawn from the distribution of groups once
            per posterior draw and level: rows of one level share it, whatever level that is, and so do all rows
            where the grouping factor is not among the columns; ``"average"`` the expected response integrated over
            the distribution of groups (Gauss-Hermite quadrature within each posterior draw), which on the scale of
            the linear predictor is the typical group; ``"these or new"`` known levels their own, unknown ones
            drawn. A mapping chooses for each grouping factor: ``{"herd": "new"}``, the others keep their own.
            Smooths always stay.
        scale : {"response", "link", "outcome"}
            ``"response"``: the expected response (a proportion for binomial families); ``"link"``: the linear
            predictor; ``"outcome"``: a future observation (a count of successes for binomial families).
        prob : float
            Posterior probability of the interval.
        seed : int, optional
            For new groups and outcomes; same seed, same numbers.
        draws : int, optional
            Use this many posterior draws, evenly spaced; all if absent.
        offset : number, array or mapping, optional
            Instead of what the formula's ``offset(...)`` terms compute, on the scale of the linear predictor of the
            main formula: ``offset=0`` predicts per unit of the exposure t of ``offset(log(t))``, and the new data
            need not have t. A mapping is by family parameter.

        Returns
        -------
        DataFrame
            One row per row of the data, with its index: mean, sd, lower, upper. For ordinal and nominal responses
            one row per row and category, with the column `category`; outcomes are then the shares of draws in
            which the category occurs, and ``scale="link"`` has one row per linear predictor. The table prints what
            was asked below the numbers; ``frame.attrs`` has it as ``note``, ``groups``, ``scale``, ``prob``,
            ``seed`` and ``draws``. `predicted_draws` gives the draws themselves.

        Raises
        ------
        DataError
            For levels that the model has not seen, with ``groups="these"``, and for columns that lack.

        Warns
        -----
        ModelWarning
            For rows outside of the data of a smooth: the note says so too.
        """
        from bayesglmm.results.predict import Question, predict

        question = Question(groups, scale, seed, draws, offset)
        return predict(self._evaluator, self.draws, self.design, new, question, prob)

    def predicted_draws(
        self,
        new: Any = None,
        groups: str | Mapping[str, str] = "these",
        scale: str = "response",
        seed: int | None = None,
        draws: int | None = None,
        offset: Any = None,
    ) -> xr.DataArray:
        """Return predictions draw by draw: what `predict` summarises, for the same question and seed.

        Parameters
        ----------
        new, groups, scale, seed, draws, offset
            As of `predict`.

        Returns
        -------
        xarray.DataArray
            Dims chain, draw, row (one chain if `draws` is given), and category or predictor where there are
            several; what ArviZ takes: ``az.hdi(fit.predicted_draws(new))``. Outcomes of ordinal and nominal
            responses are codes; ``attrs["categories"]`` says of what. ``attrs`` says what was asked. Draws of a
            maximum likelihood fit are from the asymptotic distribution of the estimates.

        Raises
        ------
        BayesglmmError
            If they would take more than half of the memory; `draws` asks for fewer.
        """
        from bayesglmm.results.predict import Question, prediction_draws

        question = Question(groups, scale, seed, draws, offset)
        return prediction_draws(self._evaluator, self.draws, self.design, new, question)

    def fitted(self, scale: str = "response", prob: float = 0.95) -> pd.DataFrame:
        """Return the expected response, or with ``scale="link"`` the linear predictor, of the rows used.

        The same as ``predict(groups="these", scale=scale)``.
        """
        check_choice("scale", scale, ("response", "link"))
        return self.predict(scale=scale, prob=prob)

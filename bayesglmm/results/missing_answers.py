"""Predictions of missing responses, ``y | mi()``: a base class of `Fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayesglmm.errors import BayesglmmError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesglmm.results.protocols import Rebindable


class MissingAnswers:
    """What the fit says about rows that have no response."""

    if TYPE_CHECKING:
        design: Rebindable | None

        def predict(self, new: Any, groups: str, scale: str, prob: float, seed: int | None) -> pd.DataFrame: ...

        def predicted_draws(
            self, new: Any, groups: str, scale: str, seed: int | None, draws: int | None
        ) -> xr.DataArray: ...

    def missing(self, scale: str = "outcome", prob: float = 0.95, seed: int | None = None) -> pd.DataFrame:
        """Predict the missing responses of ``y | mi()``, from the covariates and groups of their rows.

        Parameters
        ----------
        scale : {"outcome", "response", "link"}
            ``"outcome"``: the missing response itself; the others as of `predict`.
        prob : float
            Posterior probability of the interval.
        seed : int, optional
            For the outcomes; same seed, same numbers.

        Returns
        -------
        DataFrame
            As of `predict`, one row per row without a response, with its label in the data. Levels of grouping
            factors that occur in such rows alone are drawn from the distribution of levels.

        Raises
        ------
        BayesglmmError
            If there are no such rows.
        """
        rows, groups = self._unobserved()
        return self.predict(rows, groups=groups, scale=scale, prob=prob, seed=seed)

    def missing_draws(
        self, scale: str = "outcome", seed: int | None = None, draws: int | None = None
    ) -> xr.DataArray:
        """Return draws of the missing responses, what `missing` summarises: multiple imputations of the response.

        Parameters
        ----------
        scale, seed
            As of `missing`.
        draws : int, optional
            Use this many posterior draws, evenly spaced; all if absent.

        Returns
        -------
        xarray.DataArray
            Dims chain, draw, row, as of `predicted_draws`; ArviZ takes it.

        Raises
        ------
        BayesglmmError
            If there are no such rows.
        """
        rows, groups = self._unobserved()
        return self.predicted_draws(rows, groups=groups, scale=scale, seed=seed, draws=draws)

    def _unobserved(self) -> tuple[pd.DataFrame, str]:
        """Return the rows without a response, and whose group effects their predictions use."""
        rows = None if self.design is None else self.design.unobserved
        if self.design is None or rows is None or not len(rows):
            raise BayesglmmError(
                "There are no missing responses to predict: with `y | mi() ~ ...` rows that lack their response, and "
                "nothing else, are kept aside. New rows are predicted by fit.predict(new)."
            )
        unknown = any(own.levels for parts in self.design.rebind(rows).new_levels.values() for own in parts)
        return rows, "these or new" if unknown else "these"

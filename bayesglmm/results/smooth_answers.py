"""What one can ask a fit about its smooths: a base class of `Fit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results.fit import Fit


class SmoothAnswers:
    """The questions about smooths.

    Attributes
    ----------
    flat : bool
        Whether the priors were left aside.
    """

    flat = False

    def smooths(self, prob: float = 0.95) -> pd.DataFrame:
        """Return how flexible, how large and of what shape each smooth is.

        Parameters
        ----------
        prob : float
            Of the intervals, and of the simultaneous bands behind the reading.

        Returns
        -------
        DataFrame
            One row per standard deviation. Columns: smooth; part, where there are several standard deviations; edf,
            the effective degrees of freedom at the posterior mean (or the estimates): the trace of the smoother, as
            in mgcv; columns, the most that edf could be; mean, sd, lower, upper of the standard deviation (of a
            likelihood fit estimate, se, lower, upper); unit, the standard deviation that a smoothing parameter of 1
            stands for; reading: ``flat``, ``linear`` or ``curved``, whichever is the simplest within a simultaneous
            band. It prints rounded; its numbers are not.
        """
        from bayesglmm.results.printed import SmoothTable
        from bayesglmm.results.smooth_table import smooth_table

        return SmoothTable(smooth_table(cast("Fit", self), prob))

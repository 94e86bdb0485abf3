"""Questions one can ask a fitted model. `Fit` is the class; what it answers lives in one file per question."""

from bayesglmm.results.fit import Fit

__all__ = ["Fit"]

"""Questions that only maximum likelihood fits can answer: what the others say when they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from bayesglmm.errors import BayesglmmError
from bayesglmm.results.run_facts import RunFacts

if TYPE_CHECKING:
    import pandas as pd

    from bayesglmm.results.bootstrap import Bootstrap
    from bayesglmm.results.profile import Profile


class LikelihoodQuestions(RunFacts):
    """Methods of `LikelihoodFit` that a posterior has no answer to; each says so, and what to do instead."""

    def drop_terms(self) -> pd.DataFrame:
        """Test every population term that can be dropped: for maximum likelihood fits, see `LikelihoodFit`.

        Raises
        ------
        BayesglmmError
            For posteriors.
        """
        self._unanswered("drop_terms", "posteriors are compared by their predictions (bg.compare_models)")

    def profile(self, parameters: str | Sequence[str] | None = None, reach: float = 0.99) -> Profile:
        """Profile the likelihood: for maximum likelihood fits, see `LikelihoodFit`.

        Raises
        ------
        BayesglmmError
            For posteriors.
        """
        self._unanswered("profile", "the intervals of a posterior are in fit.summary(prob=...)")

    def bootstrap(self, n: int = 500, workers: int | None = None, seed: int | None = None) -> Bootstrap:
        """Simulate responses from the estimates and fit each: for maximum likelihood fits, see `LikelihoodFit`.

        Raises
        ------
        BayesglmmError
            For posteriors.
        """
        self._unanswered("bootstrap", "the uncertainty of a posterior is in its draws: fit.summary()")

    def _unanswered(self, name: str, instead: str) -> NoReturn:
        raise BayesglmmError(
            f'{name} needs a maximum likelihood fit, and this one is {self.kind}: use model.fit("laplace", '
            f'objective="ml"). Here, {instead}.'
        )

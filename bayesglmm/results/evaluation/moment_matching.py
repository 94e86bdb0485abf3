"""Moment matching for leave-one-out cross-validation (Paananen, Piironen, Buerkner and Vehtari 2021).

Where the posterior without a row lies too far from the posterior for importance weights, the draws are moved by an
affine map until their mean, standard deviations and covariances are those of the weighted draws, and weighted again.
The iteration is ArviZ's. What it asks for is the joint density and that of the row, at any point of the coordinates
(x, theta) of the latent view: coefficients and unconstrained hyperparameters. Nothing is fitted again.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglmm.blocks import Floats, Ints
from bayesglmm.results.draws import stacked
from bayesglmm.results.evaluation.positions import known_hyperparameters, positions
from bayesglmm.results.evaluation.refit import HeldOut
from bayesglmm.results.evaluation.rows import log_densities
from bayesglmm.results.schema import variables

_OTHERWISE = "fit again without each such row: fit.loo(reloo=True)"

if TYPE_CHECKING:
    from bayesglmm.graph.evaluate import Evaluator
    from bayesglmm.results.evaluation.loo import Loo
    from bayesglmm.results.evaluation.redrawn import Sample


def matched(evaluator: Evaluator, drawn: Sample, found: Loo, rows: Ints) -> list[HeldOut]:
    """Return the predictive densities of those rows whose importance weights can be relied on after matching.

    Parameters
    ----------
    evaluator : Evaluator
    drawn : Sample
        The draws that `found` was computed from.
    found : Loo
    rows : ndarray of int, shape (m,)
        Positions of the rows whose Pareto k is above the threshold.

    Raises
    ------
    BayesglmmError
        Where a covariance of group effects has no inverse; see `positions`.
    """
    import xarray as xr

    arviz = import_module("arviz_stats")
    joint = _Joint(evaluator, drawn, rows)
    values = log_densities(evaluator, drawn.draws, rows)
    own = xr.DataArray(joint.by_chain(values), dims=("chain", "draw", "obs"), name="y")
    tree = xr.DataTree.from_dict({"log_likelihood": xr.Dataset({"y": own})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ warns of rows that stay bad, which the result names
        result = arviz.loo_moment_match(
            tree,
            arviz.loo(tree, pointwise=True, reff=found.efficiency),
            log_prob_upars_fn=joint.log_density,
            log_lik_i_upars_fn=joint.log_density_of_row,
            upars=joint.points,
            reff=found.efficiency,
            k_threshold=found.threshold,
            pointwise=True,
        )
    good = np.flatnonzero(np.asarray(result.pareto_k) <= found.threshold)
    elpd = np.asarray(result.elpd_i)
    return [HeldOut(rows[[j]], elpd[[j]], np.full(1, np.nan), "good") for j in good]


class _Joint:
    """The joint density, and those of some rows, as functions of points in (x, theta).

    Parameters
    ----------
    evaluator : Evaluator
    drawn : Sample
    rows : ndarray of int, shape (m,)

    Attributes
    ----------
    points : DataArray, dims (chain, draw, coordinate)
        The draws.
    """

    def __init__(self, evaluator: Evaluator, drawn: Sample, rows: Ints) -> None:
        import xarray as xr

        from bayesglmm.engines.kernels.newton import structure_of
        from bayesglmm.graph.latent import LatentView

        self.evaluator, self.rows, self.chains = evaluator, rows, drawn.chains
        self.view = LatentView(evaluator.problem)
        self.structure = structure_of(self.view)
        points = np.concatenate(positions(self.view, drawn.draws, _OTHERWISE), axis=1)
        self.points: Any = xr.DataArray(self.by_chain(points), dims=("chain", "draw", "coordinate"))

    def by_chain(self, values: Floats) -> Floats:
        """Return values of stacked draws, shape (S, ...), as (chain, draw, ...)."""
        return values.reshape(self.chains, -1, *values.shape[1:])

    def log_density(self, points: Any) -> Any:
        """Return log p(y, x, theta), dims (chain, draw)."""
        from bayesglmm.engines.kernels.target import conditional

        x, theta = self._split(points)
        found = np.full(len(x), -np.inf)
        with np.errstate(all="ignore"):
            for s, known in enumerate(known_hyperparameters(self.view, theta)):
                place = conditional(self.structure, theta[s], known)
                if place is not None:
                    found[s] = place.log_density(x[s])
        return points[..., 0].copy(data=self.by_chain(found))

    def log_density_of_row(self, points: Any, i: int) -> Any:
        """Return log p(y_i | x, theta) of the i-th of the rows, dims (chain, draw)."""
        x, theta = self._split(points)
        free = dict(self.view.natural_draws(theta))
        free |= {part.name: x[:, part.slice].reshape(-1, *part.shape) for part in self.view.parts}
        with np.errstate(all="ignore"):
            draws = stacked(
                variables(self.evaluator.problem, {name: np.asarray(values)[None] for name, values in free.items()})
            )
            found = log_densities(self.evaluator, draws, self.rows[[i]])
        return points[..., 0].copy(data=self.by_chain(found[:, 0]))

    def _split(self, points: Any) -> Sequence[Floats]:
        values = np.asarray(points).reshape(-1, points.shape[-1])
        return values[:, : self.view.size], values[:, self.view.size :]

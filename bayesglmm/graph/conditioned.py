"""The graph's density in the coordinates of `graph.coordinates`: what NUTS moves in.

Only the sampler sees these coordinates. The free variables of the graph, their priors and everything reported keep
their meaning; `ConditionedModel.draws` maps draws back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import pymc as pm
from pytensor.graph.replace import graph_replace

from bayesglmm.arraymath import NUMPY, ArrayMath, pytensor_math
from bayesglmm.blocks import Floats
from bayesglmm.graph.coordinates import (
    LevelBlock,
    Working,
    latent_from_innovations,
    numpy_segment_sum,
    pytensor_segment_sum,
)
from bayesglmm.graph.crossed import Axes, coarsest_crossed
from bayesglmm.graph.hyper_coordinates import HyperCoordinates
from bayesglmm.graph.latent import LatentPart, LatentView
from bayesglmm.graph.predictor import PredictorArrays, gather_arrays, linear_predictor
from bayesglmm.graph.problem import BlockParts
from bayesglmm.graph.related import related_blocks

_COLUMNS = 4  # beyond, the unrolled small Cholesky factors make the graph large
_CHUNK = 2**24  # numbers held at once on the way back
_CHANGING = ("response", "weights", "beta", "beta_root")  # what of `Working` depends on the response
_COUPLED = 2000  # coefficients in precision form whose posterior covariance at the mode is taken for coordinates


def level_blocks(view: LatentView) -> dict[str, tuple[LevelBlock, BlockParts]]:
    """Return the main predictor's group blocks with a few columns and several levels, by free variable."""
    found = {}
    for part in view.problem.predictors[0].blocks:
        block = part.block
        several = len(block.levels) > 1 and block.shares is None
        if len(block.terms) <= _COLUMNS and several and block.latent == "spherical":
            columns = tuple(np.ascontiguousarray(column) for column in block.X.T)
            found[part.names.u] = (LevelBlock(part.names.u, block.index, columns, len(block.levels)), part)
    return found


def coarse_before_fine(view: LatentView) -> tuple[LevelBlock, ...]:
    """Return the level blocks in the order in which coordinates are conditioned."""
    return tuple(sorted((block for block, _ in level_blocks(view).values()), key=lambda block: block.levels))


def crossed_part(view: LatentView) -> LatentPart | None:
    """Return the stretch of x with the effects that get axes of their own, see `bayesglmm.graph.crossed`."""
    block = None if coupled_parts(view) or related_blocks(view) else coarsest_crossed(coarse_before_fine(view))
    return None if block is None else next(part for part in view.parts if part.name == block.name)


def coupled_parts(view: LatentView) -> list[LatentPart]:
    """Return the stretches of x whose levels depend on each other, where a dense covariance is not too large.

    That is in precision form or by the columns of a known covariance, without axes, or of the main predictor with
    rows that belong to several levels.
    """
    related = related_blocks(view)
    several = {
        part.names.u
        for part in view.problem.predictors[0].blocks
        if part.block.shares is not None
        or (part.covariance.loadings(part.block) is not None and part.names.u not in related)
    }
    found = [
        part for part in view.parts if (part.role == "precision" and part.name not in related) or part.name in several
    ]
    return found if sum(part.slice.stop - part.slice.start for part in found) <= _COUPLED else []


@dataclass(frozen=True, eq=False)
class Coupled:
    """Fixed coordinates of the coefficients in precision form: x = centre + root z, and beta leans on x - centre.

    Root is that of their posterior covariance at the mode, so that z is roughly spherical for hyperparameters nearby.

    Attributes
    ----------
    centre : ndarray, shape (m,)
    root : ndarray, shape (m, m)
    lean : ndarray, shape (p, m)
        How far the population coefficients move with them.
    """

    centre: Any
    root: Any
    lean: Any


def main_part(view: LatentView) -> LatentPart | None:
    """Return the stretch of x with the main predictor's population coefficients, if they are latent."""
    return next((part for part in view.parts if part.predictor == 0 and part.role == "fixed"), None)


class ConditionedModel:
    """A model of flat variables with the graph's density as a potential.

    What the coordinates are conditioned on are data of the model, not constants: code that was compiled for one
    response serves another (`data`).

    Parameters
    ----------
    view : LatentView
    response, weights : ndarray, shape (n,)
        Working response of the main predictor (offset included) and its weights.
    hyper : HyperCoordinates
        Of theta.
    x : ndarray, shape (size,)
        Where the latent part starts, in the layout of the view.
    covariance : ndarray, shape (m + p, m + p)
        Rough posterior covariance of the coefficients in precision form (`coupled_parts`) and of the main predictor's
        population coefficients.
    axes : Axes, optional
        Of the block that `crossed_part` tells.

    Attributes
    ----------
    working : Working
    start : tuple of ndarray
        Values of theta at which its variables ``t_0``, ``t_1``, ... are zero.
    """

    def __init__(
        self,
        view: LatentView,
        response: Floats,
        weights: Floats,
        hyper: HyperCoordinates,
        x: Floats,
        covariance: Floats,
        axes: Axes | None = None,
    ) -> None:
        self.view = view
        self.blocks = level_blocks(view)
        self.related = related_blocks(view)
        self.main = main_part(view)
        self.parts = coupled_parts(view)
        m = sum(part.slice.stop - part.slice.start for part in self.parts)
        C, beside = covariance[:m, :m], covariance[m:, :m]
        lean = np.linalg.solve(C, beside.T).T
        centre = np.concatenate([np.zeros(0), *(x[part.slice] for part in self.parts)])
        self.coupled = Coupled(centre, _root(C), lean)
        self.working = replace(self._working(response, weights, x, covariance[m:, m:] - lean @ beside.T), axes=axes)
        self.hyper, self.start = hyper, tuple(view.split(hyper.start))
        self.problem = view.problem

    @property
    def data(self) -> dict[str, Floats]:
        """What changes with the response, by the name of the data variable."""
        working = {f"working_{name}": getattr(self.working, name) for name in _CHANGING}
        if self.parts:
            working |= {f"coupled_{field.name}": getattr(self.coupled, field.name) for field in fields(self.coupled)}
        if self.working.axes is not None:
            working |= {f"axes_{name}": getattr(self.working.axes, name) for name in Axes.names()}
        return working | {f"hyper_{name}": getattr(self.hyper, name) for name in HyperCoordinates.names()}

    @cached_property
    def model(self) -> pm.Model:
        """The model to sample."""
        view, graph = self.view, self.problem.model
        with pm.Model() as model:
            data = {name: pm.Data(name, values) for name, values in self.data.items()}
            moving = [
                pm.Flat(f"t_{j}", shape=np.shape(start), initval=np.zeros_like(start))
                for j, start in enumerate(self.start)
            ]
            hyper = HyperCoordinates(*(data[f"hyper_{name}"] for name in HyperCoordinates.names()))
            thetas, along = self._thetas(hyper, moving, (), pytensor_math())
            flat = dict(zip(view.theta_values, thetas, strict=True))
            z = {part.name: pm.Flat(f"z_{part.name}", shape=part.shape) for part in view.parts}
            names = view.problem.names("theta")
            natural = graph_replace(graph.replace_rvs_by_values([graph[name] for name in names]), flat, strict=False)
            working = replace(self.working, **{name: data[f"working_{name}"] for name in _CHANGING})
            if self.working.axes is not None:
                working = replace(working, axes=Axes(*(data[f"axes_{name}"] for name in Axes.names())))
            coupled = Coupled(*(data.get(f"coupled_{field.name}") for field in fields(Coupled)))
            latent, jacobian = self._latent(
                working, coupled, z, dict(zip(names, natural, strict=True)), pytensor_segment_sum, pytensor_math()
            )
            values = {
                **flat,
                **{graph.rvs_to_values[graph[name]]: self._value(name, latent[name]) for name in latent},
            }
            pm.Potential("density", graph_replace(graph.logp(), values, strict=False) + jacobian + along)
        return model

    def _thetas(
        self, hyper: HyperCoordinates, moving: Sequence[Any], lead: tuple[int, ...], xp: ArrayMath
    ) -> tuple[list[Any], Any]:
        """Return unconstrained theta, variable by variable, and the log Jacobian; leading axes are draws."""
        if not moving:
            return [], 0.0
        sizes = [int(np.prod(np.shape(start))) for start in self.start]
        together = xp.concatenate([z.reshape((*lead, size)) for z, size in zip(moving, sizes, strict=True)], axis=-1)
        theta, along = hyper.theta(together, xp)
        ends = np.cumsum(sizes)
        pieces = [theta[..., end - size : end] for end, size in zip(ends, sizes, strict=True)]
        return [
            piece.reshape((*lead, *np.shape(start))) for piece, start in zip(pieces, self.start, strict=True)
        ], along

    def _working(self, response: Floats, weights: Floats, x: Floats, covariance: Floats) -> Working:
        predictor = self.view.problem.predictors[0]
        if predictor.predictor.offset is not None:
            response = response - predictor.predictor.offset
        X, beta, root = np.zeros((len(response), 0)), np.zeros(0), np.zeros((0, 0))
        if predictor.beta is not None:
            response = response - self.view.columns(predictor) @ predictor.beta.constant
        if self.main is not None and predictor.beta is not None:
            columns = self.view.columns(predictor)
            X, beta, root = columns[:, predictor.beta.free], x[self.main.slice], _root(covariance)
        return Working(response, weights, X, beta, root, coarse_before_fine(self.view))

    def _latent(
        self,
        working: Working,
        coupled: Coupled,
        z: Mapping[str, Any],
        natural: Mapping[str, Any],
        segment_sum: Any,
        xp: ArrayMath,
    ) -> tuple[dict[str, Any], Any]:
        """Return the graph's latent variables from innovations, and the log Jacobian; tensors or arrays of draws."""
        if self.parts:
            flat = xp.concatenate([_flat(z[part.name], part) for part in self.parts], axis=-1)
            deviation = flat @ coupled.root.T
            working = replace(working, beta=working.beta + deviation @ coupled.lean.T)
            moved, at = coupled.centre + deviation, 0
            z = dict(z)
            for part in self.parts:
                size = part.slice.stop - part.slice.start
                z[part.name] = _shaped(moved[..., at : at + size], part)
                at += size
        others = {name: values for name, values in z.items() if name not in self.blocks and name != self._main_name}
        p = self.working.X.shape[1]
        z_beta = z[self._main_name] if self._main_name is not None else np.zeros(p)
        along: Any = 0.0
        for name, own in self.related.items():
            others[name], jacobian = own.effects(working, z[name], natural, segment_sum, xp)
            along = along + jacobian
        beta, u, jacobian = latent_from_innovations(
            working,
            z_beta,
            {name: z[name] for name in self.blocks},
            {name: _factor(part, natural, xp) for name, (_, part) in self.blocks.items()},
            self._known(others, natural, xp),
            segment_sum,
            xp,
        )
        latent = dict(others) | u
        if self._main_name is not None:
            latent[self._main_name] = beta
        return latent, jacobian + along

    @cached_property
    def _main_name(self) -> str | None:
        return None if self.main is None else self.main.name

    def _known(self, others: Mapping[str, Any], natural: Mapping[str, Any], xp: Any) -> Any:
        """Return the part of the main predictor that is not in these coordinates.

        That is blocks with several columns, and population coefficients whose priors are not normal.
        """
        predictor = self.view.problem.predictors[0]
        parts = [part for part in predictor.blocks if part.names.u in others]
        effects = [
            part.covariance.apply(others[part.names.u], part.values(natural), part.block, xp) for part in parts
        ]
        gathers = tuple(gather_arrays(part.block) for part in parts)
        X = beta = None
        if predictor.names.beta in natural and predictor.beta is not None:
            X, beta = self.view.columns(predictor)[:, predictor.beta.free], natural[predictor.names.beta]
        return linear_predictor(PredictorArrays(X, None, gathers, predictor.predictor.n), beta, effects)

    def _value(self, name: str, natural: Any) -> Any:
        graph = self.view.problem.model
        transform = graph.rvs_to_transforms[graph[name]]
        return natural if transform is None else transform.forward(natural)

    def draws(self, draws: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return draws of the graph's free variables.

        Parameters
        ----------
        draws : mapping of str to ndarray, shape (chains, draws, ...)
            Of the variables of `model`.
        """
        view = self.view
        chains, length = draws[next(iter(draws))].shape[:2]
        stacked = {name: values.reshape(chains * length, *values.shape[2:]) for name, values in draws.items()}
        natural: dict[str, Any] = {}
        if view.theta_values:
            moving = [stacked[f"t_{j}"] for j in range(len(self.start))]
            thetas, _ = self._thetas(self.hyper, moving, (chains * length,), NUMPY)
            natural = view.natural_draws(np.concatenate([t.reshape(chains * length, -1) for t in thetas], axis=1))
        pieces: dict[str, list[Any]] = {part.name: [] for part in view.parts}
        size = max(1, _CHUNK // max(1, 4 * len(self.working.response)))
        for start in range(0, chains * length, size):
            rows = slice(start, start + size)
            z = {part.name: stacked[f"z_{part.name}"][rows] for part in view.parts}
            here = {name: np.asarray(values)[rows] for name, values in natural.items()}
            latent, _ = self._latent(self.working, self.coupled, z, here, numpy_segment_sum, NUMPY)
            for name, values in latent.items():
                pieces[name].append(values)
        found = {name: np.concatenate(values) for name, values in pieces.items()} | natural
        return {
            name: np.asarray(values).reshape(chains, length, *np.shape(values)[1:]) for name, values in found.items()
        }


def _factor(part: BlockParts, natural: Mapping[str, Any], xp: Any) -> Any:
    """Return Lambda of a block, shape (..., k, k)."""
    return part.covariance.factor(part.values(natural), len(part.block.terms), xp)


def _flat(z: Any, part: LatentPart) -> Any:
    """Return the values of a latent variable with its own axes joined; leading axes are draws."""
    lead = z.shape[: z.ndim - 2] if z.ndim > 2 else ()
    return z.reshape((*lead, part.slice.stop - part.slice.start))


def _shaped(values: Any, part: LatentPart) -> Any:
    """Return them in the shape of the variable."""
    lead = values.shape[:-1] if values.ndim > 1 else ()
    return values.reshape((*lead, *part.shape))


def _root(covariance: Floats) -> Floats:
    """Return a square root of a covariance whose columns may have very different scales."""
    scale = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    values, vectors = np.linalg.eigh(covariance / scale[:, None] / scale)
    return scale[:, None] * vectors * np.sqrt(np.maximum(values, 1e-14))

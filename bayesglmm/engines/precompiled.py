"""NUTS without compiling: a model of a common kind becomes two buffers of numbers for code that was compiled before.

`uncovered` says why a model is none of them; then its graph is compiled as that of any other model.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayesglmm.blocks import Floats, Ints
from bayesglmm.engines.aggregated import Rows, density_rows
from bayesglmm.engines.kernels import callbacks, packed, positive_priors, row_densities
from bayesglmm.engines.nutpie_alone import CompiledModel, library, nutpie
from bayesglmm.graph.conditioned import ConditionedModel
from bayesglmm.graph.observation import response_extras
from bayesglmm.graph.problem import BlockParts, Problem
from bayesglmm.graph.slot import Slot

NUTPIE = ("0.16.",)
"""Versions whose inner interface this file knows: handing over finished code is not part of the public one."""

JITTER = 1.0
"""Chains begin within so many units of the mode, in the coordinates of the sampler; PyMC's start is as wide."""


def uncovered(problem: Problem, conditioned: ConditionedModel) -> str:
    """Return why the code compiled ahead does not know this model, in words; empty where it does."""
    main = problem.predictors[0]
    family = problem.family
    if not nutpie.__version__.startswith(NUTPIE):
        return f"nutpie {nutpie.__version__} is not among the versions that it was written for"
    if len(problem.predictors) > 1 or problem.likelihood.expression is not None:
        return "it has more than one linear predictor"
    if _row_code(problem) is None:
        return f"the family {family.name!r} with {problem.links[main.names.parameter].name} link"
    if response_extras(problem.response, family) or problem.residual is not None:
        return "responses are censored, truncated, weighted or correlated"
    if problem.hyperpriors:
        return "standard deviations share a prior with parameters of its own"
    if problem.cutpoint_shift is not None or problem.roles.get(main.names.beta) == "theta":
        return "population coefficients have priors that are not normal"
    if conditioned.related or conditioned.parts or not conditioned.blocks:
        return "its coefficients depend on each other across levels, or it has no groups"
    for part in main.blocks:
        level = part.names.u in conditioned.blocks
        one_level = part.block.shares is None and part.block.index.min(initial=0) >= 0
        if not one_level or not part.covariance.scaled_root or (not level and "cor" in part.parameters):
            return f"the covariance structure of {part.block.label}"
    for slot in _positive(problem).values():
        if slot.prior.distribution not in positive_priors.CODES:
            return f"the prior {slot.prior} of {slot.label}"
    return ""


def _row_code(problem: Problem) -> int | None:
    name = problem.family.row_density(problem.links[problem.predictors[0].names.parameter])
    return None if name is None else row_densities.CODES[name]


def _positive(problem: Problem) -> dict[tuple[str, int], Slot]:
    """Return the slots of all positive parameters, held ones left out, by variable and position."""
    found: dict[tuple[str, int], Slot] = {}
    main = problem.predictors[0]
    for part, classes in zip(main.blocks, problem.priors.blocks[main.names.parameter], strict=True):
        declared = part.parameters["sd"]
        found |= {(declared.name, at): classes["sd"][int(j)] for at, j in enumerate(declared.free)}
    for name, declared in problem.dispersions.items():
        if declared.is_free:
            found[name, 0] = problem.priors.dispersions[name]
    return found


@dataclass
class _Buffers:
    """The two buffers as they grow; every piece is put at the end, and its offset returned."""

    ints: list[Any] = field(default_factory=list)
    floats: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=lambda: [0, 0, 0])

    def put(self, values: Any, kind: int = 1) -> int:
        """Append floats (1) or integers (0)."""
        array = np.ascontiguousarray(values, dtype=np.float64 if kind else np.int64).ravel()
        (self.floats if kind else self.ints).append(array)
        self.sizes[kind] += array.size
        return self.sizes[kind] - array.size

    def scratch(self, size: int) -> int:
        """Reserve scratch."""
        self.sizes[2] += size
        return self.sizes[2] - size


def pack(conditioned: ConditionedModel) -> tuple[Any, Floats]:
    """Return the two buffers of a model that is covered: integers and floats, see `kernels.packed`."""
    view, working, problem = conditioned.view, conditioned.working, conditioned.problem
    main, code = problem.predictors[0], _row_code(problem)
    assert code is not None  # `uncovered` said so
    offset = view.design(view.initial_theta)[0][0]
    rows = density_rows(conditioned, offset, code)
    n, into = len(rows.first), _Buffers()
    head = np.zeros(packed.HEAD, dtype=np.int64)
    into.put(head, 0)
    theta = _theta_places(conditioned)
    z = _innovation_places(conditioned)
    order = {block.name: rank for rank, block in enumerate(working.blocks)}
    blocks = sorted(main.blocks, key=lambda part: order.get(part.names.u, len(order)))
    table = np.array([_row(into, conditioned, part, theta, z[part.names.u], rows) for part in blocks])
    sizes = {
        packed.N: n, packed.P: working.X.shape[1], packed.LEVEL_BLOCKS: len(order), packed.BLOCKS: len(blocks),
        packed.THETA: sum(np.size(start) for start in conditioned.start), packed.FAMILY: code,
        packed.DISPERSION: -1, packed.Z_BETA: z.get(main.names.beta, 0), packed.TABLE: into.put(table, 0),
    }  # fmt: skip
    held = 1.0
    for name, declared in problem.dispersions.items():
        held, sizes[packed.DISPERSION] = float(declared.constant[0]), theta.get((name, 0), -1)
    mean, precision = view.gaussian_prior(main)
    floats = {
        packed.X: working.X[rows.first].T, packed.BETA: working.beta, packed.ROOT: working.beta_root,
        packed.MEAN: mean, packed.PRECISION: precision, packed.RESPONSE: rows.response,
        packed.WEIGHTS: rows.weights, packed.OFFSET: offset[rows.first], packed.Y: rows.y,
        packed.SIZE: rows.size, packed.HELD: [held],
        packed.START: conditioned.hyper.start, packed.HYPER_ROOT: conditioned.hyper.root,
        packed.RATE: conditioned.hyper.rate, packed.DEPTH: conditioned.hyper.depth,
        packed.PRIORS: _priors(problem, theta, sizes[packed.THETA]),
    }  # fmt: skip
    for place, value in sizes.items():
        head[place] = value
    for place, values in floats.items():
        head[place] = into.put(values)
    p = working.X.shape[1]
    for place, size in zip(range(packed.COEFFICIENTS, packed.SCRATCH), (p, p, n, n, n, n), strict=True):
        head[place] = into.scratch(size)
    for place in (packed.VALUES, packed.SLOPES, packed.CURVES):
        head[place] = into.scratch(sizes[packed.THETA])
    head[packed.SCRATCH] = into.sizes[2]
    into.ints[0] = head
    return np.concatenate(into.ints), np.concatenate(into.floats)


def _theta_places(conditioned: ConditionedModel) -> dict[tuple[str, int], int]:
    """Return where every entry of theta lies in the point of the sampler, by variable and position."""
    places, at = {}, 0
    for name, start in zip(conditioned.problem.names("theta"), conditioned.start, strict=True):
        for j in range(np.size(start)):
            places[name, j] = at
            at += 1
    return places


def _innovation_places(conditioned: ConditionedModel) -> dict[str, int]:
    """Return where the innovations of every latent variable start in the point of the sampler."""
    places, at = {}, sum(np.size(start) for start in conditioned.start)
    for part in conditioned.view.parts:
        places[part.name] = at
        at += int(np.prod(part.shape))
    return places


def _priors(problem: Problem, theta: Mapping[tuple[str, int], int], size: int) -> Floats:
    """Return code and parameters of the prior of every positive entry of theta; correlations are elsewhere."""
    rows = np.full((size, 3), -1.0)
    for where, slot in _positive(problem).items():
        code, names = positive_priors.CODES[slot.prior.distribution]
        values = [slot.prior.parameters[name] for name in names]
        rows[theta[where]] = [code, *values, *[0.0] * (2 - len(values))]
    return rows


def _row(
    into: _Buffers,
    conditioned: ConditionedModel,
    part: BlockParts,
    theta: Mapping[tuple[str, int], int],
    z: int,
    rows: Rows,
) -> Any:
    """Put one block into the buffers and return its row of the table."""
    block, k, J = part.block, len(part.block.terms), len(part.block.levels)
    index, X, n = block.index[rows.first], block.X[rows.first], len(rows.first)
    level = part.names.u in conditioned.blocks
    sd = part.parameters["sd"]
    places = np.full(len(sd.constant), -1)
    for at, j in enumerate(sd.free):
        places[j] = theta[sd.name, at]
    row = np.zeros(packed.WIDTH, dtype=np.int64)
    row[packed.K], row[packed.LEVELS], row[packed.Z], row[packed.COR] = k, J, z, -1
    row[packed.INDEX] = into.put(index, 0)
    row[packed.COLUMNS] = into.put(X.T if level else X)
    row[packed.SDS] = into.put(np.resize(places, k), 0)  # one for all columns, or one for each
    row[packed.HELD_SDS] = into.put(np.resize(sd.constant, k))
    if "cor" in part.parameters:
        cor = part.parameters["cor"]
        row[packed.COR] = theta[cor.name, 0]
        row[packed.COR_PLACES] = into.put(_correlation_places(conditioned, cor.name, k), 0)
        slot = conditioned.problem.priors.blocks[conditioned.problem.predictors[0].names.parameter]
        own = next(
            s for s, other in zip(slot, conditioned.problem.predictors[0].blocks, strict=True) if other is part
        )
        row[packed.COR_PRIOR] = into.put([own["cor"][0].prior.parameters["eta"]])
    row[packed.MOMENTS], row[packed.AXES] = -1, -1
    blocks, axes = conditioned.working.blocks, conditioned.working.axes
    if level and part.names.u == blocks[-1].name:
        row[packed.MOMENTS] = into.put(_moments(index, X, rows.weights, J))
    if level and axes is not None and part.names.u == blocks[0].name:
        row[packed.AXES] = into.put(np.concatenate([np.ravel(getattr(axes, name)) for name in axes.names()]))
    squares, once = (k * k, n) if level else (0, 0)
    lengths = [k, k, *[squares] * 5, *[J * squares] * 4, *[J * k if level else 0] * 8, *[J if level else 0] * 4]
    for place, length in zip(range(packed.SD, packed.MOMENTS), [*lengths, once, once], strict=True):
        row[place] = into.scratch(length)
    return row


def _moments(index: Ints, X: Floats, weights: Floats, levels: int) -> Floats:
    """Return Z' w Z by level, shape (J, k, k)."""
    k = X.shape[1]
    pairs = [np.bincount(index, weights * X[:, i] * X[:, j], levels) for i in range(k) for j in range(k)]
    return np.stack(pairs, axis=1)


def _correlation_places(conditioned: ConditionedModel, name: str, k: int) -> Any:
    """Return which entry of the unconstrained vector fills each entry below the diagonal of the Cholesky factor."""
    view = conditioned.view
    piece = dict(zip(conditioned.problem.names("theta"), view._pieces, strict=True))[name][0]
    places = np.zeros((k, k), dtype=np.int64)
    for j in range(piece.stop - piece.start):
        theta = view.initial_theta.copy()
        theta[piece] = 0.0
        theta[piece.start + j] = 1.0
        lower = np.tril(view.natural(theta)[name], -1)
        places[np.unravel_index(np.argmax(np.abs(lower)), (k, k))] = j
    return places


@dataclass(frozen=True)
class PackedModel(CompiledModel):  # type: ignore[misc]
    """What nutpie samples: the buffers, and how a point is cut into variables.

    Attributes
    ----------
    ints : ndarray of int64
    floats : ndarray
    variables : mapping of str to tuple of int
        Shapes of the sampler's variables, in the order of the point.
    initial_point_func : callable
        A point to begin at, from a seed.
    """

    ints: Any
    floats: Floats
    variables: Mapping[str, tuple[int, ...]]
    initial_point_func: Any = None

    @property
    def n_dim(self) -> int:
        """Length of a point."""
        return sum(int(np.prod(shape)) for shape in self.variables.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by variable."""
        return dict(self.variables)

    @property
    def coords(self) -> dict[str, Any]:
        """The one that nutpie keeps for itself: entries of the point."""
        return {"unconstrained_parameter": [str(j) for j in range(self.n_dim)]}

    @cached_property
    def _where(self) -> Any:
        """Where the buffers are, as `kernels.callbacks` wants it."""
        slots, taken = self._scratch
        buffers = [buffer.ctypes.data for buffer in (self.ints, self.floats, slots)]
        return np.array([*buffers, slots.shape[1], taken.ctypes.data, len(taken)], dtype=np.int64)

    @cached_property
    def _scratch(self) -> tuple[Floats, Any]:
        """Scratch for as many evaluations at once as there may be, and which of it is taken."""
        slots = 2 * (os.cpu_count() or 1) + 2
        return np.zeros((slots, int(self.ints[packed.SCRATCH]))), np.zeros(slots, dtype=np.int64)

    def value_and_gradient(self, point: Floats) -> tuple[float, Floats]:
        """Return the log density and its gradient at a point."""
        gradient, value = np.zeros(self.n_dim), np.zeros(1)
        point = np.ascontiguousarray(point, dtype=float)
        address = callbacks.machine().addresses[0]
        evaluate = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *[ctypes.c_void_p] * 4)(address)
        evaluate(self.n_dim, *(array.ctypes.data for array in (point, gradient, value, self._where)))
        return float(value[0]), gradient

    def _make_sampler(self, settings: Any, init_mean: Any, cores: int, *others: Any) -> Any:
        return library.PySampler.from_pymc(settings, cores, self._make_model(init_mean), *others)

    def _make_model(self, init_mean: Any) -> Any:
        size, data = self.n_dim, self._where.ctypes.data
        log_density, expanded = callbacks.machine().addresses
        names, shapes = list(self.variables), [list(shape) for shape in self.variables.values()]
        coords = {name: pd.Index(values) for name, values in self.coords.items()}
        sizes = {name: len(values) for name, values in coords.items()}
        variables = library.PyVariable.new_variables(names, ["float64"] * len(names), shapes, sizes, {})
        return library.PyMcModel(
            library.LogpFunc(log_density, data, self),
            library.ExpandFunc(size, size, expanded, data, self),
            variables, size, sizes, coords, self.initial_point_func, None,
        )  # fmt: skip

    def starting_at(self, point: Floats) -> PackedModel:
        """Return the same model whose chains begin at a point."""
        return replace(self, initial_point_func=lambda seed: point)


def packed_model(conditioned: ConditionedModel) -> PackedModel:
    """Return what nutpie samples, for a model that is covered; compiles the code if it is not on disk."""
    callbacks.machine()
    shapes = {f"t_{j}": np.shape(start) for j, start in enumerate(conditioned.start)}
    shapes |= {f"z_{part.name}": tuple(part.shape) for part in conditioned.view.parts}
    size = sum(int(np.prod(shape)) for shape in shapes.values())

    def somewhere(seed: Any) -> Floats:
        return np.random.default_rng(seed).uniform(-JITTER, JITTER, size)

    return PackedModel(None, *pack(conditioned), shapes, somewhere)

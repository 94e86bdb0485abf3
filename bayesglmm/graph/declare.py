"""Prior slots -> free variables of the open PyMC model.

A vector whose components share one distribution becomes that PyMC distribution with vector parameters, so that the
model prints as a statistician would write it. Components with different distributions become one variable whose
density is their product. Components held by ``Prior("Fixed", ...)`` are constants and not part of the variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions import transforms

from bayesglmm.arraymath import pytensor_math
from bayesglmm.blocks import Floats, RandomBlock
from bayesglmm.covariances import Covariance, CovarianceParameter
from bayesglmm.graph.bounds import BoundedTransform
from bayesglmm.graph.hyperpriors import Shared
from bayesglmm.graph.slots import Slot
from bayesglmm.graph.transforms import LinearTransform, LogTransform
from bayesglmm.linalg import precision_draws, symmetric
from bayesglmm.priors import Prior

type Nested = Mapping[tuple[int, str], int]
type DeclaredKind = Literal["coefficient", "scale", "vector", "correlation", "dispersion"]


@dataclass(frozen=True)
class Declared:
    """A declared vector: the variable of its free components and how to complete it.

    Attributes
    ----------
    name : str
        Name of the variable, free or not.
    free : ndarray of int
        Positions of the free components.
    constant : ndarray
        Values of the held components, zero elsewhere.
    kind : {"coefficient", "scale", "vector", "correlation", "dispersion"}
        What it is a vector of; ``correlation`` is the one matrix, a Cholesky factor that is free as a whole.
    """

    name: str
    free: Any
    constant: Floats
    kind: DeclaredKind = "coefficient"

    @property
    def is_free(self) -> bool:
        """Whether there is a variable at all."""
        return bool(len(self.free))

    def complete(self, values: Any) -> Any:
        """Return the whole vector, shape (..., p), from the free components, shape (..., q); numpy or PyTensor."""
        if self.kind == "correlation" or len(self.free) == len(self.constant):
            return values
        if not self.is_free:
            return self.constant
        spread = np.zeros((len(self.free), len(self.constant)))
        spread[np.arange(len(self.free)), self.free] = 1.0
        return values @ spread + self.constant


def held_and_free(slots: Sequence[Slot], name: str, kind: DeclaredKind = "coefficient") -> Declared:
    """Sort the components of a vector into held and free ones."""
    held = np.array([slot.prior.distribution == "Fixed" or slot.kind == "normal" for slot in slots], dtype=bool)
    names = ["sigma" if slot.kind == "normal" else "value" for slot in slots]
    known = [slot.prior.parameters[key] if h else 0.0 for slot, h, key in zip(slots, held, names, strict=True)]
    constant = np.array(known)
    return Declared(name, np.flatnonzero(~held), constant, kind)


def declare_coefficients(name: str, dim: str, slots: Sequence[Slot], C: Floats, T: Floats) -> Any:
    """Declare free population coefficients.

    Parameters
    ----------
    name, dim : str
    slots : sequence of Slot, length q
        Of the free components.
    C : ndarray, shape (q, q)
        The priors are on C beta: the identity, or with column means in the row of a centred intercept.
    T : ndarray, shape (q, q)
        Coordinates for the sampler, beta = T z, in which the likelihood is roughly spherical.

    Returns
    -------
    TensorVariable, shape (q,)
        Where a prior has bounds, the sampler's coordinates are those of `BoundedTransform` instead.
    """
    priors = [slot.prior for slot in slots]
    low, high = np.array([prior.bounds for prior in priors]).T
    bounded = bool(np.isfinite([low, high]).any())
    transform: Any = BoundedTransform(low, high) if bounded else LinearTransform(T)
    starts = [slot.start for slot in slots]
    initial = None if None in starts else np.array(starts, dtype=float)
    if np.array_equal(C, np.eye(len(C))) and _one_distribution(priors):
        return _vector(name, dim, priors, transform, positive=False, initial=initial)
    parts = ComponentPriors(tuple(priors), C)
    return pm.CustomDist(
        name,
        pt.as_tensor(np.zeros(len(slots))),
        logp=parts.logp,
        random=parts.random,
        support_point=parts.support_point,
        signature="(p)->(p)",
        class_name="CentredCoefficients",
        dims=dim,
        default_transform=transform,
        initval=initial,
    )


def declare_scales(name: str, dim: str, slots: Sequence[Slot], shared: Shared) -> Any:
    """Declare free standard deviations, shape (q,); `shared` has parameters of their priors that are estimated."""
    priors = [slot.prior for slot in slots]
    keys = {(j, key): (slot.source, key) for j, slot in enumerate(slots) for key in slot.prior.nested}
    order = list(dict.fromkeys(keys.values()))
    nested = {place: order.index(key) for place, key in keys.items()}
    variables = [shared[key] for key in order]
    if _one_distribution(priors):
        return _vector(name, dim, priors, transforms.log, positive=True, nested=nested, variables=variables)
    parts = ComponentPriors(tuple(priors), np.eye(len(slots)), nested=nested)
    return pm.CustomDist(
        name,
        pt.as_tensor(np.zeros(len(slots))),
        *variables,
        logp=parts.logp,
        random=parts.random,
        support_point=parts.support_point,
        signature=",".join(["(p)", *["()"] * len(variables)]) + "->(p)",
        class_name="StandardDeviations",
        dims=dim,
        default_transform=LogTransform(),
    )


def declare_vector(name: str, dim: str, slots: Sequence[Slot], start: Sequence[float]) -> Any:
    """Declare the free components of a vector with bounds, shape (q,); a Beta is stretched over an interval.

    Parameters
    ----------
    name, dim : str
    slots : sequence of Slot, length q
    start : sequence of float, length q
        Inside of the bounds.
    """
    ends = np.array([slot.bounds for slot in slots], dtype=float)
    stretched = np.array([slot.prior.distribution == "Beta" for slot in slots])
    shift = np.where(stretched, ends[:, 0], 0.0)
    width = np.where(stretched, ends[:, 1] - ends[:, 0], 1.0)
    parts = ComponentPriors(tuple(slot.prior for slot in slots), np.eye(len(slots)), shift, width)
    return pm.CustomDist(
        name,
        pt.as_tensor(np.zeros(len(slots))),
        logp=parts.logp,
        random=parts.random,
        signature="(p)->(p)",
        class_name="Bounded",
        dims=dim,
        default_transform=bounded(slots),
        initval=np.asarray(start, dtype=float),
    )


def vector_start(
    parameter: CovarianceParameter, slots: Sequence[Slot], typical: Sequence[float] | Floats = ()
) -> Floats:
    """Return where the search for a vector begins, inside of what its priors allow.

    Parameters
    ----------
    parameter : CovarianceParameter
    slots : sequence of Slot, length q
    typical : sequence of float
        Sizes of what is in units of the response; one if absent.
    """
    ends = np.array([slot.reach for slot in slots], dtype=float).reshape(len(slots), 2)
    between, above = np.isfinite(ends).all(axis=1), np.isfinite(ends[:, 0])
    middle: Floats = np.where(between, np.where(np.isfinite(ends), ends, 0.0).mean(axis=1), np.where(above, 1.0, 0.0))
    wanted = np.resize(parameter.start, len(slots)) if parameter.start else middle
    if parameter.prior is None and len(typical):
        wanted = wanted * np.asarray(typical)
    inside = (wanted > ends[:, 0]) & (wanted < ends[:, 1])
    return np.asarray(np.where(inside, wanted, middle))


def bounded(slots: Sequence[Slot]) -> BoundedTransform:
    """Return the transform of the free components of a vector: its bounds, narrowed by uniform priors."""
    ends = np.array([slot.reach for slot in slots], dtype=float)
    return BoundedTransform(ends[:, 0], ends[:, 1])


def declare_latent(
    name: str, dims: tuple[str, str], covariance: Covariance, block: RandomBlock, values: Mapping[str, Any]
) -> Any:
    """Declare the latent coefficients of a random block, shape (J, k): spherical, or N(0, Q^-1)."""
    if block.latent == "spherical":
        return pm.Normal(name, 0.0, 1.0, dims=dims)
    rows, columns = covariance.couplings(block)
    shape = len(block.levels), len(block.terms)
    twice = np.where(rows == columns, 1.0, 2.0)
    left, right = pt.as_tensor(rows), pt.as_tensor(columns)  # PyTensor looks at every number of an array in an index

    def logp(value: Any, entries: Any, log_det: Any) -> Any:
        flat = pt.flatten(value)
        square = pt.sum(entries * twice * flat[left] * flat[right])
        return 0.5 * (log_det - square - shape[0] * shape[1] * np.log(2.0 * np.pi))

    def random(entries: Any, log_det: Any, *, rng: np.random.Generator, size: Any = None) -> Any:
        many = () if size is None else tuple(np.atleast_1d(size))
        Q = symmetric(entries, rows, columns, shape[0] * shape[1])
        z = rng.standard_normal((int(np.prod(many)), Q.shape[0]))
        return precision_draws(Q, z.T).T.reshape(*many, *shape)

    entries, log_det = covariance.precision(values, block, pytensor_math())
    return pm.CustomDist(
        name,
        entries,
        log_det,
        logp=logp,
        random=random,
        support_point=lambda *unused: pt.zeros(shape),
        signature=f"(e),()->({shape[0]},{shape[1]})",
        class_name="SparsePrecision",
        dims=dims,
    )


def declare_scalar(name: str, slot: Slot) -> Any:
    """Declare a dispersion parameter."""
    prior, positive = slot.prior, slot.domain == "positive"
    if prior.distribution == "Flat":
        if slot.domain == "unit":
            return pm.Uniform(name, 0.0, 1.0)
        return pm.HalfFlat(name) if positive else pm.Flat(name)
    return getattr(pm, prior.distribution)(name, **_doubles(prior))


def declare_cutpoints(name: str, dim: str, slot: Slot, m: int) -> Any:
    """Declare m increasing cutpoints; each has the prior, restricted to the increasing ones."""
    start = np.linspace(-1.0, 1.0, m) if m > 1 else np.zeros(1)
    prior = slot.prior
    cls = pm.Flat if prior.distribution == "Flat" else getattr(pm, prior.distribution)
    transform = {"default_transform": transforms.ordered} if m > 1 else {}
    return cls(name, **_doubles(prior), dims=dim, initval=start, **transform)


def _doubles(prior: Prior) -> dict[str, Any]:
    """Return the parameters in double precision: PyTensor takes a Python 2.5 for a single, and its logarithm too."""
    return {name: np.float64(value) for name, value in prior.parameters.items()}


def _one_distribution(priors: Sequence[Prior]) -> bool:
    return len({prior.distribution for prior in priors}) == 1


def _vector(
    name: str,
    dim: str,
    priors: Sequence[Prior],
    transform: Any,
    positive: bool,
    initial: Floats | None = None,
    nested: Nested = MappingProxyType({}),
    variables: Sequence[Any] = (),
) -> Any:
    kind, start = priors[0].distribution, {} if initial is None else {"initval": initial}
    if kind == "Flat":
        return (pm.HalfFlat if positive else pm.Flat)(name, dims=dim, default_transform=transform, **start)
    parameters = _parameters(priors, range(len(priors)), nested, variables)
    if priors[0].support == "bounded" and positive:  # an interval of its own for every component
        low, high = np.array([prior.bounds for prior in priors]).T
        transform = BoundedTransform(np.maximum(low, 0.0), high)
    return getattr(pm, kind)(name, **parameters, dims=dim, default_transform=transform, **start)


def _parameters(
    priors: Sequence[Prior], members: Sequence[int], nested: Nested, variables: Sequence[Any]
) -> dict[str, Any]:
    """Return the parameters of some components of one distribution, by name; tensors where some are estimated."""
    found: dict[str, Any] = {}
    for key in priors[members[0]].parameters:
        if any((j, key) in nested for j in members):
            values = [
                variables[nested[j, key]] if (j, key) in nested else np.float64(priors[j].parameters[key])
                for j in members
            ]
            found[key] = pt.stack(values)
        else:
            found[key] = np.array([priors[j].parameters[key] for j in members])
    return found


def _start(prior: Prior) -> float:
    """Return a point inside a prior's support: its location, the middle of an interval, or one."""
    if prior.support == "positive":
        return 1.0
    return prior.centre or 0.0


@dataclass(frozen=True)
class ComponentPriors:
    """The product of independent priors on the coordinates C value.

    Attributes
    ----------
    priors : tuple of Prior, length q
    C : ndarray, shape (q, q)
        Unit determinant: it only shifts the intercept by multiples of the other coefficients.
    shift, width : ndarray or float
        The priors are on (C value - shift) / width.
    nested : mapping of (int, str) to int
        Which of the further arguments is a parameter that is estimated, by component and parameter.
    """

    priors: tuple[Prior, ...]
    C: Floats
    shift: Any = 0.0
    width: Any = 1.0
    nested: Nested = field(default_factory=dict)

    def logp(self, value: Any, unused: Any, *variables: Any) -> Any:
        """Return the log density of a vector as a graph."""
        coordinates = (pt.dot(pt.as_tensor(self.C), value) - self.shift) / self.width
        total = pt.constant(-float(np.sum(np.log(self.width))))
        for distribution in dict.fromkeys(prior.distribution for prior in self.priors):
            if distribution == "Flat":
                continue
            members = [j for j, prior in enumerate(self.priors) if prior.distribution == distribution]
            dist = getattr(pm, distribution).dist(**_parameters(self.priors, members, self.nested, variables))
            total = total + pt.sum(pm.logp(dist, coordinates[np.array(members)]))
        return total

    def random(self, unused: Any, *variables: Any, rng: np.random.Generator, size: Any = None) -> Floats:
        """Draw vectors; Flat components cannot be drawn from."""
        shape = (*(() if size is None else tuple(np.atleast_1d(size))), len(self.priors))
        draws = np.empty(shape)
        for j, prior in enumerate(self.priors):
            given = {key: float(variables[self.nested[j, key]]) for key in prior.nested}
            draws[..., j] = prior.given(given).draw(rng, shape[:-1])
        found: Floats = (draws * self.width + self.shift) @ np.linalg.inv(self.C).T
        return found

    def support_point(self, *unused: Any) -> Any:
        """Return where samplers may start."""
        starts = [_start(prior) for prior in self.priors]
        return pt.as_tensor(np.linalg.solve(self.C, np.array(starts) * self.width + self.shift))

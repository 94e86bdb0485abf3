"""Names of the coordinates that samplers move in: x first, then theta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesglmm.graph.latent import LatentView


@dataclass(frozen=True)
class Coordinate:
    """One coordinate.

    Attributes
    ----------
    label : str
        As in `Fit.summary` where it is one number of that table, or moves with one; standardised group effects are
        ``u[herd, 3, Intercept]``.
    variable : str
        Free variable of the graph.
    component : int
        Within that variable, raveled.
    position : int
        Within x or theta.
    natural : bool
        Whether this coordinate is one number on the natural scale of the variable, transformed.
    """

    label: str
    variable: str
    component: int
    position: int
    natural: bool


def coordinates_of(view: LatentView) -> tuple[Coordinate, ...]:
    """Return the coordinates (x, theta) of a model, in their order."""
    problem, labels, found = view.problem, view.problem.labels(), []
    own = {block.names.u: block.block for block in problem.blocks}
    for part in view.parts:
        if part.name in own:
            block = own[part.name]
            names = [f"u[{block.group}, {level}, {term}]" for level in block.levels for term in block.terms]
        else:
            names = list(labels[part.name])
        start = part.slice.start
        found += [Coordinate(label, part.name, j, start + j, True) for j, label in enumerate(names)]
    position = 0
    natural = view.natural(view.initial_theta)
    for name, shape in zip(problem.names("theta"), view.theta_shapes, strict=True):
        size = int(np.prod(shape))
        same = np.size(natural[name]) == size and len(labels.get(name, ())) == size
        for j in range(size):
            label = labels[name][j] if same else f"{name}[{j + 1}], unconstrained"
            found.append(Coordinate(label, name, j, position, same))
            position += 1
    return tuple(found)

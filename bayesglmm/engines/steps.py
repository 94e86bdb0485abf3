"""Metropolis kernels as step methods of PyMC: the kernel does the work, this translates points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import pymc as pm
from pymc.step_methods.compound import BlockedStep, StepMethodState
from pymc.util import get_random_generator

from bayesglmm.blocks import Floats
from bayesglmm.engines.kernels.iwls import state_at
from bayesglmm.engines.kernels.newton import structure_of
from bayesglmm.engines.kernels.target import conditional
from bayesglmm.engines.metropolis import MetropolisSettings, kernel_for
from bayesglmm.errors import SettingsError
from bayesglmm.graph.compiler import interpreted
from bayesglmm.graph.latent import LatentView
from bayesglmm.graph.problem import Problem


class HasProblem(Protocol):
    """A `bayesglmm.Model`."""

    @property
    def problem(self) -> Problem:
        """The graph with the role of every variable."""


class Points:
    """Translates points of the graph's value variables to (theta, x) and back.

    Parameters
    ----------
    view : LatentView
    """

    def __init__(self, view: LatentView) -> None:
        self.view = view
        model = view.problem.model
        self.names = [model.rvs_to_values[model[part.name]].name for part in view.parts]

    @cached_property
    def _functions(self) -> tuple[Any, Any]:
        """All transforms at once: values to coefficients, and back."""
        model, values, backward, coefficients, forward = self.view.problem.model, [], [], [], []
        for part in self.view.parts:
            variable = model[part.name]
            transform = model.rvs_to_transforms[variable]
            value = model.rvs_to_values[variable].type()
            natural = variable.type()
            values.append(value)
            coefficients.append(natural)
            inputs = variable.owner.inputs
            backward.append(value if transform is None else transform.backward(value, *inputs))
            forward.append(natural if transform is None else transform.forward(natural, *inputs))
        return interpreted(values, backward), interpreted(coefficients, forward)

    def read(self, point: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Return theta and x of a point."""
        view = self.view
        theta = np.concatenate([np.zeros(0), *(np.ravel(point[value.name]) for value in view.theta_values)])
        if not self.names:
            return theta, np.zeros(0)
        natural = self._functions[0](*(np.asarray(point[name], dtype=float) for name in self.names))
        return theta, np.concatenate([np.ravel(part) for part in natural])

    def write(self, theta: Floats, x: Floats) -> dict[str, Any]:
        """Return the point with these theta and x; scalars are arrays without dimensions."""
        view = self.view
        found = {v.name: np.asarray(part) for v, part in zip(view.theta_values, view.split(theta), strict=True)}
        if self.names:
            pieces = [x[part.slice].reshape(part.shape) for part in view.parts]
            found |= dict(zip(self.names, map(np.asarray, self._functions[1](*pieces)), strict=True))
        return found


class KernelStep(BlockedStep):  # type: ignore[misc]
    """A Metropolis kernel for all variables of a model's graph.

    Parameters
    ----------
    model : Model
        Its graph must be the model of the context.
    rng : numpy.random.Generator or int, optional
    **settings
        Those of ``model.fit("metropolis", ...)`` that the proposal uses.

    Raises
    ------
    SettingsError
        Where the context is another model, or on a setting out of range.
    """

    proposal: ClassVar[str] = ""
    _state_class = StepMethodState

    def __new__(cls, model: HasProblem, **settings: Any) -> KernelStep:
        """Make the object; PyMC's own way takes the first argument for a list of variables."""
        return object.__new__(cls)

    def __init__(self, model: HasProblem, rng: Any = None, **settings: Any) -> None:
        problem = model.problem
        context = pm.modelcontext(None)
        if context is not problem.model:
            raise SettingsError(
                f"{type(self).__name__} moves the variables of its own model's graph: sample `with model.graph:`."
            )
        self._arguments = (model,), {"rng": rng, **settings}
        chosen = MetropolisSettings(proposal=self.proposal, **settings)  # type: ignore[arg-type]
        chosen.check()
        self.view = LatentView(problem)
        self.kernel: Any = kernel_for(self.view, chosen)
        self.points = Points(self.view)
        self.vars = list(problem.model.value_vars)
        self.var_names = tuple(str(value.name) for value in self.vars)
        # PyMC's traces hold scalars.
        self._told = [name for name, shape in self.kernel.stats.items() if shape == ()]
        self.stats_dtypes = [{"tune": bool, **dict.fromkeys(["lp", *self._told], np.float64)}]
        self.stats_dtypes_shapes: dict[str, Any] = {name: (kind, []) for name, kind in self.stats_dtypes[0].items()}
        self.rng = get_random_generator(rng)
        self._begin(True)

    def __getnewargs_ex__(self) -> Any:
        """Return what `__new__` needs when a copy is made in another process."""
        return self._arguments[0], {}

    def _begin(self, tune: bool) -> None:
        self.tune, self._tuning = tune, self.kernel.tuning()
        self._state: Any = None
        self._point: dict[str, Any] = {}

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Forget the chain before."""
        super().setup_chain(rng, tune, draws)
        self._begin(tune > 0)

    def step(self, point: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Move all variables once."""
        same = self._state is not None and all(np.array_equal(point[n], self._point[n]) for n in self.var_names)
        state = self._state if same else self._state_at(*self.points.read(point))
        state, info = self.kernel.step(self.rng, state, self._tuning)
        if self.tune:
            self._tuning = self.kernel.adapted(self._tuning, state, info)
        self._state = state
        self._point = {**point, **self.points.write(state.theta, state.x)}
        stats = {"tune": self.tune, "lp": state.log_density, **{name: info[name] for name in self._told}}
        return dict(self._point), [stats]

    def _state_at(self, theta: Floats, x: Floats) -> Any:
        if hasattr(self.kernel, "whitening"):
            return self.kernel.whitening.state_of(theta, x)
        found = conditional(structure_of(self.view), theta)
        if found is None:
            raise SettingsError("The start has no density in double precision: give pm.sample other initvals=.")
        return state_at(found, x)


class BlockLaplace(KernelStep):
    """Hyperparameters and coefficients in whitened coordinates: ``proposal="block"``."""

    proposal = "block"


class Iwls(KernelStep):
    """Blocks of coefficients by weighted least squares (Gamerman 1997): ``proposal="iwls"``."""

    proposal = "iwls"


class RandomWalk(KernelStep):
    """One coordinate at a time: ``proposal="random-walk"``."""

    proposal = "random-walk"

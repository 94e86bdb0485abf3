"""What an engine is: frozen settings, and one method that turns a `Problem` into draws of its free variables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from bayesglmm.errors import SettingsError, did_you_mean
from bayesglmm.graph.problem import Problem
from bayesglmm.registry import Registry


@dataclass(frozen=True)
class Settings:
    """Settings of an engine; each engine has its own subclass. Frozen, recorded with every fit."""

    def check(self) -> None:
        """Raise `SettingsError` on a value out of range."""

    @property
    def uses_priors(self) -> bool:
        """Whether the answer is a posterior; if not, a parameter needs no prior."""
        return True

    @property
    def estimation(self) -> Any:
        """How a fit with these settings finds estimates, as a function of a view; None where it is a posterior."""
        return None

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Run:
    """What an engine hands back.

    Attributes
    ----------
    draws : mapping of str to ndarray, shape (chains, draws, ...)
        Of every free variable of the model, on its natural scale.
    stats : mapping of str to ndarray, shape (chains, draws)
        Sampler statistics under ArviZ's names.
    seconds : mapping of str to float
        Wall-clock time by stage: compile, sample.
    notes : tuple of str
        Sentences for the user: "interrupted after 312 of 1000 draws".
    chosen : mapping of str to value
        What the engine used for settings that were left to it.
    """

    draws: Mapping[str, Any]
    stats: Mapping[str, Any]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = field(default=())
    chosen: Mapping[str, Any] = field(default_factory=dict)


class Engine(ABC):
    """An inference engine. A new one is a file in this folder that ends with ``ENGINES.register(...)``.

    Attributes
    ----------
    name : str
        What users write in ``model.fit(name)``.
    settings : type
        Its `Settings`.
    streams : bool
        Whether `run` takes a ``sink``, to which it hands draws while it goes on, and ``resume`` continues chains; see
        `bayesglmm.engines.streaming`.
    parted : bool
        Whether `run` takes problems whose rows are in parts.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[type[Settings]]
    streams: ClassVar[bool] = False
    parted: ClassVar[bool] = False

    def configure(self, **values: Any) -> Settings:
        """Return checked settings.

        Raises
        ------
        SettingsError
            On an unknown name or a value out of range.
        """
        known = {f.name for f in fields(self.settings)}
        for name in values:
            if name not in known:
                raise SettingsError(f"Engine {self.name!r} has no setting {name!r}. {did_you_mean(name, known)}")
        settings = self.settings(**values)
        settings.check()
        return settings

    @abstractmethod
    def run(self, problem: Problem, settings: Any, seed: int) -> Run:
        """Infer.

        Parameters
        ----------
        problem : Problem
        settings : Settings
            As `configure` made them.
        seed : int
            Same seed, same result, bit for bit, on one machine.
        """


def require_rows(problem: Problem, engine: Engine) -> None:
    """Refuse a problem whose rows are in parts, or were left where it was fitted, for engines that need them.

    Raises
    ------
    SettingsError
    """
    if problem.parts is None or (engine.parted and problem.parts.rows):
        return
    if not problem.parts.rows:
        raise SettingsError(
            "This model is that of a saved fit whose rows were read piece by piece: they are not in the file. Make "
            "the model from the table to fit it."
        )
    able = ", ".join(f'model.fit("{own.name}")' for own in ENGINES if own.parted)
    raise SettingsError(
        f"Engine {engine.name!r} needs all rows in memory, and those of this model are read piece by piece. Use "
        f"{able}, or read the table first: bg.Model(formula, pandas.read_parquet(...), ...)."
    )


def require_independent_rows(problem: Problem, what: str) -> None:
    """Refuse correlated residuals.

    Parameters
    ----------
    problem : Problem
    what : str
        Whoever cannot take them, at the beginning of a sentence.

    Raises
    ------
    SettingsError
    """
    if problem.residual is not None:
        raise SettingsError(
            f"{what} takes the rows for independent given the predictor, and this model has correlated residuals, "
            f'{problem.residual.block.label}. Use model.fit("laplace"), which is exact for normal responses, or '
            'model.fit("nuts").'
        )


def require_integer(name: str, value: Any, minimum: int) -> None:
    """Refuse a setting that is not an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise SettingsError(f"{name} must be an integer of at least {minimum}, not {value!r}.")


ENGINES: Registry[Engine] = Registry("engine", "bayesglmm.engines", Engine)

"""Registries of open sets: families, links, covariances, bases, terms, engines.

A new member is one new file in its room: a look-up imports the module of that name, and if that does not register it
every module of the room; each registers what it defines. Nothing else has to change. A leaf but for `errors`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Protocol

from bayesglmm.errors import UnknownNameError, did_you_mean


class Named(Protocol):
    """What a registry holds: a thing with a name and perhaps other spellings of it."""

    @property
    def name(self) -> str:
        """The canonical name."""

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other accepted spellings."""


class Registry[T: Named]:
    """Name -> member, filled by the modules of one room.

    Parameters
    ----------
    kind : str
        What the members are, for messages: ``"family"``.
    room : str
        The package whose modules register members (``"bayesglmm.families"``), or the one module that does.
    member : type, optional
        What users may pass instead of a name; anything else is then refused.
    """

    def __init__(self, kind: str, room: str, member: type | None = None) -> None:
        self.member = member
        self.kind = kind
        self.room = room
        self._members: dict[str, T] = {}
        self._names: list[str] = []
        self._discovered = False

    def register(self, member: T) -> T:
        """Add a member under its name and aliases; return it.

        Raises
        ------
        UnknownNameError
            If another member already has one of the names.
        """
        for name in (member.name, *member.aliases):
            if name in self._members:
                raise UnknownNameError(f"The {self.kind} name {name!r} is already taken.")
        for name in (member.name, *member.aliases):
            self._members[name] = member
        self._names.append(member.name)
        return member

    def get(self, name: str | T) -> T:
        """Return the member called `name`; a member (say, a user's own family) is returned as it is.

        Raises
        ------
        UnknownNameError
            If there is none; the message offers the nearest name.
        """
        if not isinstance(name, str):
            if self.member is not None and not isinstance(name, self.member):
                raise UnknownNameError(
                    f"A {self.kind} is given by name or as a {self.member.__name__}, not {name!r}."
                )
            return name
        if name not in self._members and not self._discovered:
            self._import(name)
        if name not in self._members:
            self._discover()
        try:
            return self._members[name]
        except KeyError:
            raise UnknownNameError(f"Unknown {self.kind} {name!r}. {did_you_mean(name, self._names)}") from None

    def names(self) -> tuple[str, ...]:
        """Return the canonical names, sorted."""
        self._discover()
        return tuple(sorted(self._names))

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._members

    def __iter__(self) -> Iterator[T]:
        self._discover()
        return iter([self._members[name] for name in sorted(self._names)])

    def _import(self, name: str) -> None:
        """Import the module of that name alone, where there is one: the others of its room may import far more."""
        package = import_module(self.room)
        if name in {module.name for module in pkgutil.iter_modules(getattr(package, "__path__", ()))}:
            import_module(f"{self.room}.{name}")

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # first, because a module may look something up while it is imported
        try:
            package = import_module(self.room)
            for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
                import_module(f"{self.room}.{module.name}")
        except BaseException:
            self._discovered = False  # else the next look-up would say "unknown" and hide the cause
            raise

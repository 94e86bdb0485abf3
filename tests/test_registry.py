"""Registries: look-up, aliases, discovery, and what is said of unknown names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bayesglmm.covariances import COVARIANCES
from bayesglmm.engines import ENGINES
from bayesglmm.errors import UnknownNameError, did_you_mean
from bayesglmm.families import FAMILIES
from bayesglmm.links import LINKS
from bayesglmm.registry import Registry


@dataclass(frozen=True)
class Member:
    name: str
    aliases: tuple[str, ...] = ()


@pytest.fixture
def registry() -> Registry[Member]:
    """A registry whose room is a module without members of its own."""
    found: Registry[Member] = Registry("thing", "bayesglmm.errors")
    found.register(Member("second", ("zweites",)))
    found.register(Member("first"))
    return found


def test_members_are_found_by_name_and_alias(registry: Registry[Member]) -> None:
    assert registry.get("second") is registry.get("zweites")
    assert registry.names() == ("first", "second")
    assert [member.name for member in registry] == ["first", "second"]
    assert "zweites" in registry
    assert "third" not in registry


def test_a_member_stands_for_itself(registry: Registry[Member]) -> None:
    own = Member("unregistered")
    assert registry.get(own) is own


def test_unknown_names_offer_the_nearest(registry: Registry[Member]) -> None:
    with pytest.raises(
        UnknownNameError, match=r"Unknown thing 'frist'. Did you mean 'first'\? Known: first, second."
    ):
        registry.get("frist")


@pytest.mark.parametrize("taken", [Member("first"), Member("other", ("zweites",))])
def test_names_are_taken_once(registry: Registry[Member], taken: Member) -> None:
    with pytest.raises(UnknownNameError, match=r"The thing name '(first|zweites)' is already taken"):
        registry.register(taken)
    assert registry.names() == ("first", "second")


@pytest.mark.parametrize(
    ("room", "names"),
    [
        (FAMILIES, {"gaussian", "binomial", "cumulative", "hurdle_gamma"}),
        (LINKS, {"identity", "log", "logit", "probit", "cloglog", "cauchit", "inverse", "sqrt"}),
        (COVARIANCES, {"diag", "us", "iid"}),
        (ENGINES, {"nuts"}),
    ],
)
def test_the_first_look_up_imports_the_room(room: Registry[Member], names: set[str]) -> None:
    assert names <= set(room.names())


def test_long_lists_of_names_are_cut() -> None:
    text = did_you_mean("x", [f"name{j:03d}" for j in range(100)])
    assert text.endswith("name029, ... (100 in all).")
    assert did_you_mean("x", []) == "Known: nothing."

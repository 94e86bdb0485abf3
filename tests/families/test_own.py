"""The page on own links and families runs as written, and what it defines is sound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytest

from bayesglmm.arraymath import NUMPY, pytensor_math
from bayesglmm.families import FAMILIES
from bayesglmm.families.base import ResponseData
from bayesglmm.links import LINKS, Linked

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "own-family-and-link.md"


@pytest.fixture(scope="module")
def page() -> Iterator[dict[str, Any]]:
    members, registered = dict(FAMILIES._members), list(FAMILIES._names)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), names)
    yield names
    FAMILIES._members, FAMILIES._names = members, registered  # other tests see the families of the package alone


def test_the_models_of_the_page_have_a_finite_log_density(page: dict[str, Any]) -> None:
    for name in ("model", "by_name", "by_object"):
        graph = page[name].graph
        assert np.isfinite(graph.compile_logp(mode="FAST_COMPILE")(graph.initial_point()))


def test_the_link_of_the_page(page: dict[str, Any]) -> None:
    link = page["ChanceLogit"](0.5)
    eta = np.array([-30.0, 0.0, 30.0])
    mu = Linked(eta, link, NUMPY)
    np.testing.assert_allclose(mu.value, [0.5, 0.75, 1.0])
    np.testing.assert_allclose(mu.log1m, [np.log(0.5), np.log(0.25), np.log(0.5) - 30.0])
    assert FAMILIES.get("bernoulli").derivatives(np.ones(3), eta, {}, ResponseData(), link, 2) is None


def test_the_family_of_the_page(page: dict[str, Any]) -> None:
    family = FAMILIES.get("median_regression")
    assert family.name == "double_exponential"
    xp, identity = pytensor_math(), LINKS.get("identity")
    rv = family.dist({"mu": Linked(0.5, identity, xp), "b": Linked(2.0, identity, xp)}, ResponseData())
    assert pm.logp(rv, 1.5).eval() == pytest.approx(-np.log(4.0) - 0.5)

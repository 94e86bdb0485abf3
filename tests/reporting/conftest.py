"""A page as its readers' programs see it: elements, headings, names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesglmm as bg

VOID = {"br", "img", "meta"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    parents: tuple[str, ...]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """All elements in order, with their text; fails on markup that is not nested."""

    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[Element] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs}, tuple(e.name for e in self.open))
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data

    def all(self, *names: str) -> list[Element]:
        return [element for element in self.elements if element.name in names]


def parse(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open
    return page


def faults_of(text: str) -> list[str]:
    """Return what is wrong with a page: what WCAG asks for and can be seen without a browser, and more."""
    page, found = parse(text), []
    if not text.startswith("<!DOCTYPE html>") or page.all("html")[0].attributes.get("lang") != "en":
        found.append("doctype or language")
    if len(page.all("title")) != 1 or not page.all("title")[0].text.strip():
        found.append("title")
    if len(page.all("main")) != 1 or len(page.all("h1")) != 1:
        found.append("one main, one h1")
    levels = [int(e.name[1]) for e in page.all("h1", "h2", "h3", "h4")]
    found += [f"heading jumps from {a} to {b}" for a, b in pairwise(levels) if b > a + 1]
    found += [f"empty <{e.name}>" for e in page.all("h1", "h2", "h3", "th", "a", "caption") if not e.text.strip()]
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    found += [f"id twice: {own}" for own in ids if ids.count(own) > 1]
    found += [f"no alt: {e}" for e in page.all("img") if len(e.attributes.get("alt", "")) < 20]
    found += [f"no scope: {e}" for e in page.all("th") if e.attributes.get("scope") not in ("row", "col")]
    tables = page.all("table")
    if len(page.all("caption")) != len(tables):
        found.append("a table without a caption")
    regions = [e.attributes.get("aria-label", "") for e in page.elements if e.attributes.get("role") == "region"]
    found += [
        f"region without a name of its own: {name!r}" for name in regions if regions.count(name) > 1 or not name
    ]
    for e in page.elements:
        if e.attributes.get("role") == "region" and e.attributes.get("tabindex") != "0":
            found.append(f"cannot be scrolled by keyboard: {e.attributes}")
        for name, value in e.attributes.items():
            if name.startswith("on") or re.match(r"\s*javascript:", value):
                found.append(f"a program: {name}")
            if name in ("src", "href", "srcset", "action", "data") and not value.startswith(("data:image/", "#")):
                found.append(f"from elsewhere: {name}={value[:60]}")
            if name == "href" and value[1:] not in ids:
                found.append(f"leads nowhere: {value}")
    found += [f"<{e.name}>" for e in page.all("script", "iframe", "object", "embed", "link", "base", "form")]
    found += ["style loads something"] * any(
        word in e.text for e in page.all("style") for word in ("url(", "@import")
    )
    found += [f"not a number: {word}" for word in ("nan", "None", "inf") if re.search(rf">−?{word}<", text)]
    return found


def toy(n: int = 60, levels: int = 6) -> pd.DataFrame:
    """Return data for every kind of response."""
    r = np.random.default_rng(11)
    x, g = r.normal(size=n), np.arange(n) % levels
    rate = np.exp(0.4 + 0.3 * x + r.normal(0, 0.4, levels)[g])
    counts = r.poisson(rate)
    return pd.DataFrame(
        {
            "x": x,
            "z": r.uniform(0, 1, n),
            "g": [f"g{k}" for k in g],
            "count": counts,
            "fail": r.poisson(3.0, n) + 1,
            "real": 0.5 * x + r.normal(size=n),
            "positive": np.exp(0.3 * x + 0.5 * r.normal(size=n)),
            "nonnegative": np.where(r.random(n) < 0.3, 0.0, np.exp(0.3 * x + 0.5 * r.normal(size=n))),
            "share": r.uniform(0.1, 0.9, n),
            "binary": (r.random(n) < 0.5).astype(int),
            "ordinal": pd.Categorical(
                np.array(["low", "mid", "high"])[np.arange(n) * 7 % 3], ["low", "mid", "high"], ordered=True
            ),
            "nominal": np.array(["red", "green", "blue"])[np.arange(n) * 5 % 3],
        }
    )


@pytest.fixture(scope="session")
def data() -> pd.DataFrame:
    return toy()


@pytest.fixture(scope="session")
def fit(data: pd.DataFrame) -> Any:
    """A Poisson fit with a smooth, and priors of all kinds of sources."""
    model = bg.Model(
        "count ~ x + s(z, k=5) + (1 | g)", data, "poisson", priors={"x": bg.Prior("Normal", mu=0.1, sigma=1 / 3)}
    )
    return model.fit("laplace", draws=150, seed=4)


@pytest.fixture(scope="session")
def faults() -> Any:
    return faults_of


@pytest.fixture(scope="session")
def parsed() -> Any:
    return parse


EVIL = "<script>alert(1)</script>"
LEVEL = "\"><img src=x onerror='alert(2)'>&amp;"


@pytest.fixture(scope="session")
def evil() -> tuple[str, str]:
    """Names of a column and of a level that try to become part of a page."""
    return EVIL, LEVEL


@pytest.fixture(scope="session")
def hostile(data: pd.DataFrame) -> Any:
    """A fit of data full of such names."""
    d = data[["count", "x", "g", "z"]].rename(columns={"x": EVIL, "z": "pay $x^ & $"})
    d["g"] = [LEVEL if g == "g0" else g for g in d["g"]]
    d["f"] = [["</style>", "${y}$"][k % 2] for k in range(len(d))]
    model = bg.Model(f"count ~ `{EVIL}` + f + s(`pay $x^ & $`, k=4) + (1 | g)", d, "poisson")
    return model.fit("laplace", draws=60, seed=1)

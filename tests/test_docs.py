"""Every Python block of README.md and docs/ runs, page by page, and prints what the page says it prints.

Sampling is replaced by draws from the prior, so nothing compiles. A block ```text after a Python block is compared
with what that block printed; after the comment `<!-- sampled -->`, which marks numbers that come from sampling, only
the slow test compares it, by its words and without its numbers. To renew what the pages show after a change:

    UPDATE_DOCS=1 python -m pytest tests/test_docs.py -k runs                  # all but sampled numbers: seconds
    UPDATE_DOCS=1 python -m pytest tests/test_docs.py -k samples --all-slow    # everything: a minute
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayesglmm.datasets import list_datasets
from bayesglmm.engines.base import Run
from bayesglmm.engines.nuts import Nuts
from bayesglmm.errors import DataError
from bayesglmm.families import FAMILIES
from bayesglmm.links import LINKS
from bayesglmm.terms.functions import FUNCTIONS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
UPDATE = bool(os.environ.get("UPDATE_DOCS"))
SAMPLED = "<!-- sampled -->"
BLOCK = re.compile(rf"(?P<mark>{SAMPLED}\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it starts in, and whether its numbers were sampled."""

    kind: str
    text: str
    line: int
    sampled: bool


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(found["kind"], found["text"], text.count("\n", 0, found.start("text")), bool(found["mark"]))
        for found in BLOCK.finditer(text)
    ]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


with_code = pytest.mark.parametrize(
    "page", [p for p in PAGES if any(b.kind == "python" for b in blocks(p))], ids=name
)


def prior_draws(engine: Nuts, problem: Any, settings: Any, seed: int, draws: int = 60) -> Run:
    """Stand in for `Nuts.run`: two chains of draws from the prior."""
    import pymc as pm

    free = problem.model.free_RVs
    values = pm.draw(free, draws=2 * draws, random_seed=seed, mode="FAST_COMPILE")
    found = {}
    for variable, drawn in zip(free, values, strict=True):
        drawn = np.asarray(drawn, dtype=float)
        drawn = np.sort(drawn, axis=-1) if variable.name == "cutpoints" else drawn
        found[variable.name] = drawn.reshape(2, draws, *drawn.shape[1:])
    return Run(found, {"diverging": np.zeros((2, draws), dtype=bool)}, {"compile": 0.0, "sample": 0.0})


@pytest.fixture
def registries() -> Iterator[None]:
    """Forget what a page registers."""
    before = []
    for registry in (FAMILIES, LINKS):
        registry.names()  # makes it complete
        before.append((registry, {key: copy.copy(value) for key, value in vars(registry).items()}))
    yield
    for registry, state in before:
        vars(registry).update(state)


def words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z~|()\[\]]+", text)


def run(page: Path) -> list[tuple[Block, str]]:
    """Run the Python blocks of a page one after the other; return the text blocks with what was printed before."""
    space: dict[str, Any] = {"__name__": "page"}
    printed, found = "", []
    for block in blocks(page):
        if block.kind == "text":
            found.append((block, printed))
        elif block.kind == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                try:
                    exec(code, space)
                except DataError as error:
                    if "is not part of bayesglmm" in str(error):
                        pytest.skip(str(error))
                    raise
            printed = "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
    return found


def update(page: Path, found: list[tuple[Block, str]], sampling: bool) -> None:
    """Write what was printed into the page; without sampling what it printed from draws stays as it is."""
    printed = iter([block.text if block.sampled and not sampling else text for block, text in found])

    def renewed(match: re.Match[str]) -> str:
        if match["kind"] != "text":
            return match[0]
        return f"{match['mark'] or ''}```text\n{next(printed)}```"

    page.write_text(BLOCK.sub(renewed, page.read_text(encoding="utf-8")), encoding="utf-8")


@with_code
@pytest.mark.usefixtures("registries")
def test_page_runs(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Nuts, "run", prior_draws)
    found = run(page)
    if UPDATE:
        return update(page, found, sampling=False)
    for block, printed in found:
        assert block.sampled or block.text.split() == printed.split(), f"{name(page)}, line {block.line}"


@pytest.mark.slow
@with_code
@pytest.mark.usefixtures("registries")
def test_page_samples(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(page)
    if UPDATE:
        return update(page, found, sampling=True)
    for block, printed in found:
        same = words(block.text) == words(printed) if block.sampled else block.text.split() == printed.split()
        assert same, f"{name(page)}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{name(page)}: {missing}"


def test_table_of_families_is_true() -> None:
    text = (ROOT / "docs/how-to/families.md").read_text(encoding="utf-8")
    rows = {}
    for line in text.splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[name.strip("`")] = cells
    for family in FAMILIES:
        links = [f"`{p.name}`" if p.ordered else f"`{p.name}` ({p.link})" for p in family.parameters]
        priors = [f"{p.name}: {'Exponential, mean s_y' if p.scaled else p.prior}" for p in family.parameters[1:]]
        _, parameters, defaults, censorable, _ = rows[family.name]
        assert parameters == ", ".join(links)
        assert defaults == "; ".join(priors)
        assert censorable == ("yes" if family.censorable else "")


def test_every_link_and_data_set_is_documented() -> None:
    links = (ROOT / "docs/how-to/families.md").read_text(encoding="utf-8")
    assert not [link.name for link in LINKS if f"`{link.name}`" not in links]
    sets = (ROOT / "docs/how-to/datasets.md").read_text(encoding="utf-8")
    assert not [name for name in list_datasets()["name"] if f"`{name}`" not in sets]


def test_every_function_of_formulas_is_documented() -> None:
    text = (ROOT / "docs/how-to/formulas.md").read_text(encoding="utf-8")
    assert not [f.name for f in FUNCTIONS if not re.search(rf"`{re.escape(f.name)}[`(]", text)]

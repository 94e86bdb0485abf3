"""Every Python block of README.md and docs/ runs, page by page, and prints what the page says it prints.

Sampling is replaced by draws from the prior, so nothing compiles. A block ```text after a Python block is compared
with what that block printed; after the comment `<!-- sampled -->`, which marks numbers that come from sampling, only the
slow test compares it, by its words and without its numbers. To renew what the pages show after a change:

    UPDATE_DOCS=1 python -m pytest tests/test_docs.py --all-slow -k samples
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

from bayesglmm.engines.base import Run
from bayesglmm.engines.nuts import Nuts
from bayesglmm.errors import DataError
from bayesglmm.families import FAMILIES
from bayesglmm.links import LINKS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
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

    from bayesglmm.graph.elementwise import INTERPRETED

    free = problem.model.free_RVs
    values = pm.draw(free, draws=2 * draws, random_seed=seed, mode=INTERPRETED)
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


def update(page: Path, found: list[tuple[Block, str]]) -> None:
    """Write what was printed into the page."""
    printed = iter([text for _, text in found])

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
    for block, printed in run(page):
        assert block.sampled or block.text.split() == printed.split(), f"{name(page)}, line {block.line}"


@pytest.mark.slow
@with_code
@pytest.mark.usefixtures("registries")
def test_page_samples(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    found = run(page)
    if os.environ.get("UPDATE_DOCS"):
        update(page, found)
        return
    for block, printed in found:
        same = words(block.text) == words(printed) if block.sampled else block.text.split() == printed.split()
        assert same, f"{name(page)}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{name(page)}: {missing}"

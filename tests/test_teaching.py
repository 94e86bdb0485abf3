"""Every teaching notebook runs from top to bottom in its quick mode; what it claims it asserts itself."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from bayesglmm.datasets import load_dataset
from bayesglmm.errors import DataError

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "teaching"
NOTEBOOKS = sorted(FOLDER.glob("*.py"))

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@each
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r'load_dataset\("(\w+)"\)', text):
        try:
            load_dataset(name)
        except DataError as error:
            pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BAYESGLMM_QUICK", "1")
    try:
        with plt.rc_context():
            runpy.run_path(str(path), run_name="__main__")
    finally:
        plt.close("all")
    drawn = {file.name for file in (tmp_path / "teaching-figures").glob("*.png")}
    named = set(re.findall(r'figures / "([\w-]+\.png)"', text))
    assert drawn == named
    assert len(drawn) >= 2


@each
def test_notebook_teaches(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert "\nassert " in text
    exercises, _, hints = text.partition("# ## Exercises\n")[2].partition("# ## Hints\n")
    asked = re.findall(r"^# (\d+)\. \*\((?:easy|medium|hard)\)\*", exercises, re.MULTILINE)
    answered = re.findall(r"^# (\d+)\. ", hints, re.MULTILINE)
    assert 4 <= len(asked) <= 6
    assert asked == answered


@each
def test_formulas_in_the_text_are_whole(path: Path) -> None:
    """A formula within a sentence that goes over the end of a line is shown as plain text by some programs."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    assert [line for line in lines if line.replace("$$", "").count("$") % 2] == []
    assert sum(line.count("$$") for line in lines) % 2 == 0


def test_notebooks_are_listed() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in NOTEBOOKS if f"]({path.name})" not in page] == []

"""Every example runs from top to bottom, with few draws; the first one in every run of the tests."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bayesglmm.datasets import load_dataset
from bayesglmm.engines.nuts import Nuts
from bayesglmm.errors import DataError

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))
ALWAYS = {"01_first_model.py"}
FOREIGN = {"02_random_slopes.py": "sleepstudy", "demo.py": "Contraception"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make fits short, unless an example says otherwise."""
    configure: Callable[..., Any] = Nuts.configure
    few = {"draws": 50, "tune": 100, "chains": 2, "progressbar": False}
    monkeypatch.setattr(Nuts, "configure", lambda self, **settings: configure(self, **(few | settings)))


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[] if path.name in ALWAYS else pytest.mark.slow) for path in EXAMPLES],
)
@pytest.mark.usefixtures("quick")
def test_example_runs(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if path.name in FOREIGN:
        try:
            load_dataset(FOREIGN[path.name])
        except DataError as error:
            pytest.skip(str(error))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    assert "Verdict:" in capsys.readouterr().out


def test_examples_name_their_idea() -> None:
    titled = [path for path in EXAMPLES if path.name != "demo.py"]
    assert all(path.read_text(encoding="utf-8").startswith("# %% [markdown]\n# # ") for path in titled)

"""The documentation site builds without a warning, and its reference names everything public."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bayesglmm as bg

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_nb")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(out / "doctrees")]
    quiet = os.environ | {"BAYESGLMM_DOCS_EXECUTE": "off"}
    done = subprocess.run(
        [*command, str(ROOT / "docs"), str(out / "html")], env=quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out / "html"


def test_site_builds_and_every_reference_is_local(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    missing = []
    for page in pages:
        for target in re.findall(r'<(?:a|img)[^>]*?(?:href|src)="([^"#?:]+)[#?"]', page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                missing.append(f"{page.relative_to(site)}: {target}")
    assert len(pages) > 60
    assert not missing, missing[:20]


def test_every_name_is_in_the_reference() -> None:
    listed = set(
        re.findall(r"^   ([\w.]+)$", (ROOT / "docs/api/index.rst").read_text(encoding="utf-8"), re.MULTILINE)
    )
    # Registries are tables of the pages on families and links; figures and steps are listed one by one.
    public = {*bg.__all__, *bg.plots.__all__, *bg.steps.__all__} - {"FAMILIES", "LINKS", "plots", "steps"}
    assert not public - listed, sorted(public - listed)


def test_every_example_is_in_the_gallery() -> None:
    shown = set(re.findall(r"^examples/(\w+)$", (ROOT / "docs/gallery.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert shown == {path.stem for path in (ROOT / "examples").glob("*.py")} - {"demo"}

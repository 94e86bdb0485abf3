"""How Sphinx builds the site. `make docs` runs it; the pages themselves are read by `tests/test_docs.py` too."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from bayesglmm import __version__  # noqa: E402

project = "bayesglmm"
author = "The bayesglmm developers"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",  # Markdown pages, and scripts in the percent format, executed
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "gallery",
    "mathml",
]
exclude_patterns = ["_build", "teaching/teaching-figures", "figures/README.md"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb", ".py": "myst-nb"}
exclude_patterns += ["conf.py", "_ext/*"]
templates_path = ["_templates"]
html_static_path = ["_static"]

# Notebooks: scripts with `# %%` cells. What they print and draw is made at build, and again only when they change.
nb_custom_formats = {".py": "percent.read"}
nb_execution_mode = os.environ.get("BAYESGLMM_DOCS_EXECUTE", "cache")
nb_execution_cache_path = str(HERE.parent / "build" / "docs-cache")
nb_execution_timeout = 1800
nb_execution_raise_on_error = True
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath", "colon_fence"]
myst_heading_anchors = 4
os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of notebooks: a page is no place for those of libraries
os.environ.setdefault("OMP_NUM_THREADS", "1")

autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = f"bayesglmm {version}"
html_show_sourcelink = False
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": "bayesglmm"},
    "show_toc_level": 2,
    "header_links_before_dropdown": 4,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "gallery": []},
}
html_css_files = ["site.css"]

# One place for examples: the folder beside docs/. The site has a copy, because Sphinx reads one folder.
shutil.rmtree(HERE / "examples", ignore_errors=True)
shutil.copytree(HERE.parent / "examples", HERE / "examples", ignore=shutil.ignore_patterns("__pycache__", "demo.py"))

OUTSIDE = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<path>(?:\.\./)+(?P<rest>(?:tests|bayesglmm|README|NOTICE)[^)]*))\)")
EXAMPLE = re.compile(r"\]\((?:\.\./)+examples/")


def inside_only(app: object, docname: str, source: list[str]) -> None:
    """Links to examples stay on the site; files that are not part of it are named by their path in the repository."""
    text = EXAMPLE.sub("](/examples/", source[0])
    source[0] = OUTSIDE.sub(lambda found: f"{found['text']} (`{found['rest']}`)", text)


def setup(app: object) -> None:
    """Register what this file adds to Sphinx."""
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    app.connect("source-read", inside_only)  # type: ignore[attr-defined]

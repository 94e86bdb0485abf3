"""The architecture as rules that are checked: who imports whom, how long things are, what is asked of open sets.

The files are parsed, not imported. `docs/developer/README.md` says why each rule is there.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bayesglmm"
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)

# A room imports only rooms of the layers above it in this list (below it in the building), and itself.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "version"),
    ("registry", "arraymath", "jets", "seeds", "parallel"),
    ("blocks", "links", "priors", "formula", "linalg", "datasets", "storage", "sources"),
    ("bases", "families", "covariances", "expressions", "parts"),
    ("terms", "residuals"),
    ("design",),
    ("graph",),
    ("engines", "records"),
    ("results",),
    ("plots", "describe"),
    ("maps", "journal"),
    ("reporting",),
    ("model", "steps"),
    ("loading", "checkup"),
    ("__init__",),
    ("cli",),
    ("__main__",),
)
LAYER_OF = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}

# Beyond the layers: an engine sees a graph and never how it was written down; a family or a covariance is
# one map and knows no formula; only terms, design and model read formulas.
FORBIDDEN_ROOMS = {
    "families": {"formula"},
    "covariances": {"formula"},
    "residuals": {"formula", "terms"},
    "bases": {"formula"},
    "expressions": {"formula"},
    "graph": {"formula"},
    "engines": {"formula", "terms", "design"},
}

LEAVES = (
    "errors",
    "version",
    "registry",
    "jets",
    "seeds",
    "parallel",
    "storage",
    "blocks",
    "parts",
    "priors",
    "formula",
    "linalg",
    "bases",
    "expressions",
)
NO_GRAPH_LIBRARY = (*LEAVES, "terms", "design", "datasets")
FORBIDDEN_PACKAGES = {room: {"pymc", "pytensor", "nutpie"} for room in NO_GRAPH_LIBRARY}
for leaf in (*LEAVES, "arraymath", "links"):
    FORBIDDEN_PACKAGES.setdefault(leaf, set()).add("pandas")

# Open sets: a new member is one new file, so nobody outside may ask which member it has.
OPEN_SETS = {
    "families": "Family",
    "terms": "Term",
    "bases": "Basis",
    "covariances": "Covariance",
    "residuals": "Residual",
}
OPEN_WORDS = {
    "families": "family",
    "terms": "term",
    "bases": "basis",
    "covariances": "covariance",
    "residuals": "residual structure",
}

HEAVY = ("pymc", "pytensor", "matplotlib", "nutpie", "arviz", "numba")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def imports(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Yield (node, dotted name) of all imports, those inside functions and for type checkers included."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "bayesglmm":
            yield from ((node, f"bayesglmm.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node, node.module


def typing_only(path: Path) -> set[ast.AST]:
    """Return the nodes below `if TYPE_CHECKING:`; they load nothing."""
    guards = [n for n in ast.walk(tree(path)) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    return {inner for guard in guards for statement in guard.body for inner in ast.walk(statement)}


def rooms_imported(path: Path) -> Iterator[tuple[ast.AST, str]]:
    for node, name in imports(path):
        parts = name.split(".")
        if parts[0] == "bayesglmm":
            known = len(parts) > 1 and ((PACKAGE / parts[1]).is_dir() or (PACKAGE / f"{parts[1]}.py").is_file())
            yield node, parts[1] if known else "__init__"


def report(violations: list[str]) -> None:
    assert not violations, "\n  " + "\n  ".join(violations)


def test_every_room_has_its_layer() -> None:
    report([f"{r}: give it a place in LAYERS" for r in sorted({room(p) for p in FILES} - set(LAYER_OF))])


def test_imports_point_one_way() -> None:
    report(
        [
            f"{place(path, node)}: {room(path)} must not import {other}"
            for path in FILES
            for node, other in rooms_imported(path)
            if other != room(path)
            and (
                LAYER_OF.get(other, 99) >= LAYER_OF.get(room(path), 99)
                or other in FORBIDDEN_ROOMS.get(room(path), ())
            )
        ]
    )


def test_rooms_below_the_graph_know_no_graph_library() -> None:
    report(
        [
            f"{place(path, node)}: {room(path)} must not import {name}"
            for path in FILES
            for node, name in imports(path)
            if name.split(".")[0] in FORBIDDEN_PACKAGES.get(room(path), ()) and node not in typing_only(path)
        ]
    )


def test_only_plots_draw() -> None:
    report(
        [
            f"{place(path, node)}: only plots may import matplotlib"
            for path in FILES
            if room(path) != "plots"
            for node, name in imports(path)
            if name.split(".")[0] == "matplotlib" and node not in typing_only(path)
        ]
    )


def test_imports_are_absolute() -> None:
    report(
        [
            f"{place(path, node)}: relative import"
            for path in FILES
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom) and node.level > 0
        ]
    )


def test_only_the_graph_room_makes_a_pymc_model() -> None:
    found = []
    for path in FILES:
        own = {
            alias.asname or alias.name
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pymc"
            for alias in node.names
            if alias.name == "Model"
        }
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and room(path) != "graph":
                called = ast.unparse(node.func)
                if called in own | {"pm.Model", "pymc.Model"}:
                    found.append(f"{place(path, node)}: {called}(...) outside graph")
    report(found)


def test_files_are_short() -> None:
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    report([f"{p.relative_to(ROOT)}: {n} lines (at most 400)" for p, n in lengths.items() if n > 400])


def test_functions_are_short() -> None:
    found = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _end(node) - node.lineno + 1
                if ast.get_docstring(node, clean=False) is not None:
                    lines -= _end(node.body[0]) - node.body[0].lineno + 1
                if lines > 60:
                    found.append(f"{place(path, node)}: {node.name} has {lines} lines (at most 60)")
    report(found)


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def members(open_room: str) -> set[str]:
    """Return the classes of a room that are members of its open set: its base class and what derives from it."""
    bases = {
        node.name: {ast.unparse(b).split("[")[0].split(".")[-1] for b in node.bases}
        for path in FILES
        if room(path) == open_room
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }
    found = {OPEN_SETS[open_room]}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def test_nobody_asks_which_member_of_an_open_set_it_has() -> None:
    classes = {open_room: members(open_room) for open_room in OPEN_SETS}
    found = []
    for path in FILES:
        others = [r for r in OPEN_SETS if r != room(path)]
        names = {name for r in others for name in classes[r]}
        # In the formula room `term` is a piece of syntax, which is a closed set.
        words = {OPEN_WORDS[r] for r in others if not (r == "terms" and room(path) == "formula")}
        for node in ast.walk(tree(path)):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "hasattr", "issubclass")):
                continue
            subject = ast.unparse(node.args[0]).split(".")[-1]
            asked = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)}
            asked |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
            # `family: str | Family` is what users pass: asking for text, or for the base class, is no branching.
            plain = asked and asked <= {"str", *OPEN_SETS.values()}
            if not plain and (asked & names or subject in words):
                found.append(f"{place(path, node)}: {ast.unparse(node)}")
    report(found)


def test_nothing_prints() -> None:
    report(
        [
            f"{place(path, node)}: print"
            for path in FILES
            if room(path) != "cli"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        ]
    )


def registered() -> list[tuple[str, Path]]:
    """Return (name, file) of what the rooms of open sets register, by reading the files."""
    found = []
    for path in FILES:
        if room(path) not in (*OPEN_SETS, "engines") or ".register(" not in path.read_text(encoding="utf-8"):
            continue
        names = [
            statement.value.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ClassDef)
            for statement in node.body
            if isinstance(statement, ast.Assign | ast.AnnAssign)
            and "name" in {ast.unparse(t) for t in _targets(statement)}
            and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str)
        ]
        found += [(name, path) for name in names]
    return found


def _targets(statement: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return statement.targets if isinstance(statement, ast.Assign) else [statement.target]


def test_every_registered_member_has_a_test() -> None:
    here = Path(__file__)
    tests = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py") if p != here)
    report(
        [
            f"{path.relative_to(ROOT)}: {name!r} is in no test"
            for name, path in registered()
            if not re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", tests)
        ]
    )


@pytest.mark.parametrize("module", ["bayesglmm", "bayesglmm.datasets", "bayesglmm.errors"])
def test_importing_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []

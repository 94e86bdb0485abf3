"""Run contestants on problems and write the tables: `make bench`, `make bench-setup`."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import platform
import sys
import time
from collections.abc import Iterable
from typing import Any

from suite.contestants import ROOT, Contestant, load
from suite.page import page
from suite.problems import PROBLEMS
from suite.runner import BUILD, Entry, entries_of, measure
from suite.table import markdown, rows_of

KEPT = ROOT / "tests" / "benchmarks" / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"


def chosen(text: str, known: Iterable[str], what: str) -> set[str]:
    """Return the names in a list with commas; all of them if it is empty."""
    names = {name.strip() for name in text.split(",") if name.strip()}
    known = list(known)
    for name in names.difference(known):
        near = difflib.get_close_matches(name, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        sys.exit(f"There is no {what} {name!r}.{hint} Known: {', '.join(known)}.")
    return names or set(known)


def setup(contestants: Iterable[Contestant]) -> None:
    """Install what the contestants need; say what could not be."""
    for one in contestants:
        try:
            reason = one.setup() or one.missing()
        except Exception as error:  # another peer may still be installed
            reason = str(error)
        print(f"{one.name:<14} {reason or 'ready'}", flush=True)


def machine() -> str:
    """Return what the times depend on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def before() -> dict[str, Any]:
    """Return the results of problems that are not run now: of this checkout's last run, else those that are kept."""
    for path in (BUILD / "results.json", KEPT):
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            return {name: tabulated(one) for name, one in found.items()}
    return {}


def save(results: dict[str, Any], write_page: bool) -> None:
    """Write JSON and Markdown to build/benchmarks; the page, and the JSON beside the benchmarks, if asked."""
    BUILD.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (BUILD / "results.json").write_text(text, encoding="utf-8")
    (BUILD / "results.md").write_text(markdown(results), encoding="utf-8")
    if write_page:
        KEPT.write_text(text, encoding="utf-8")
        PAGE.write_text(page(results), encoding="utf-8")


def tabulated(found: dict[str, Any]) -> dict[str, Any]:
    """Return the results of a problem with rows made from its runs, so that results of older layouts can be shown."""
    rows = [{key: value for key, value in row.items() if key != "estimates"} for row in rows_of(found["runs"])]
    return found | {"rows": rows}


def others(found: dict[str, Any], modes: set[str]) -> dict[str, dict[str, Any]]:
    """Return what is known of the entries in other modes: these have ratios of their own."""

    def is_other(entry: str) -> bool:
        return not any(entry.endswith(f" {mode}") for mode in modes)

    return {
        part: {entry: value for entry, value in found.get(part, {}).items() if is_other(entry)}
        for part in ("runs", "absent")
    }


def bench(only: set[str], entered: list[Contestant], modes: set[str], options: argparse.Namespace) -> dict[str, Any]:
    """Run the problems one after another; results are written after each of them."""
    results = before()
    now = {}
    for problem in PROBLEMS:
        if problem.name not in only:
            continue
        asked = entries_of(problem, entered, modes)
        entries: list[Entry] = [entry for entry, reason in asked if not reason]
        absent = {entry.name: reason for entry, reason in asked if reason}
        load_before = os.getloadavg()[0]
        if load_before > 1:
            print(f"The machine is busy (load {load_before:.1f}): ratios of this run are less certain.", flush=True)
        for name, reason in absent.items():
            print(f"{problem.name:<16} without {name}: {reason}", flush=True)
        limit = min(problem.limit, options.limit or problem.limit)
        try:
            records = measure(problem, entries, options.rounds, limit, lambda line: print(line, flush=True))
        except RuntimeError as error:
            print(f"{problem.name}: no data: {error}", flush=True)
            continue
        found = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "load": load_before}
        kept = others(results.get(problem.name, {}), {entry.mode for entry, _ in asked})
        runs, gone = kept["runs"] | records, kept["absent"] | absent
        now[problem.name] = tabulated(found | {"absent": gone, "runs": runs})
        merged = results | now
        results = {one.name: merged[one.name] for one in PROBLEMS if one.name in merged}
        save(results, options.write_page)
    return {name: results[name] for name in now}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="problems, with commas between them")
    parser.add_argument("--with", dest="entered", default="", help="contestants, with commas between them")
    parser.add_argument("--modes", default="", help="modes: nuts, 'nuts compiled', 'nuts graph', laplace, ml")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the first has empty caches (default 3)")
    parser.add_argument("--limit", type=float, default=0.0, help="stop runs after so many seconds, if not before")
    parser.add_argument("--setup", action="store_true", help="install what the peers need, and end")
    parser.add_argument("--write-page", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--page-only", action="store_true", help="write the page from the last results, and end")
    options = parser.parse_args()
    contestants = load()
    names = chosen(options.entered, contestants, "contestant")
    entered = [one for name, one in contestants.items() if name in names]
    entered.sort(key=lambda one: (one.name != "imports", one.name != "bayesglmm", one.name))
    if options.setup:
        return setup(entered)
    if options.page_only:
        return save(before(), write_page=True)
    only = chosen(options.only, [problem.name for problem in PROBLEMS], "problem")
    modes = chosen(options.modes, sorted({mode for one in entered for mode in one.modes}), "mode")
    found = bench(only, entered, modes, options)
    print("\n" + markdown(found))
    print(f"Written: {(BUILD / 'results.json').relative_to(ROOT)}, {(BUILD / 'results.md').relative_to(ROOT)}")


if __name__ == "__main__":
    main()

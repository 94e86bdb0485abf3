"""The benchmark suite's own logic: dialects, ratios, bars, tables, and a child process with its time and memory."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _path() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def suite(name: str) -> ModuleType:
    return importlib.import_module(f"suite.{name}")


def run(cold: float, **more: Any) -> dict[str, Any]:
    return {"status": "ok", "cold": cold, "wall": cold + 1, "memory_mib": 100.0, "seconds": {}, **more}


def sampled(cold: float, sample: float, ess: float, rhat: float = 1.0, mean: float = 0.0) -> dict[str, Any]:
    quality = {"ess": ess, "ess_of": "beta.0", "rhat": rhat, "rhat_of": "beta.0"}
    quality["converged"] = ess >= 400 and rhat <= 1.01
    estimates = {"x": [mean, 0.5], "only here": [1.0, 1.0]}
    record = run(cold, quality=quality, estimates=estimates, imports_pymc=True, divergences=0)
    return record | {"seconds": {"compile": 1.0, "sample": sample, "fit": sample + 1.0}}


RECORDS = {
    "imports import": [run(4.0), run(2.0)],
    "bayesglmm nuts": [sampled(20.0, 1.0, 2000), sampled(5.0, 1.0, 2000), sampled(7.0, 2.0, 3000)],
    "bambi nuts": [sampled(60.0, 10.0, 300, 1.2, mean=0.1), sampled(26.0, 10.0, 300, 1.2, mean=0.1)],
    "brms nuts": [{"status": "stopped", "reason": "stopped after 90 s", "wall": 90.0}],
    "bayesglmm ml": [run(3.0, estimates={"x": [1.0, 0.1]}, loglik=-5.0) | {"seconds": {"fit": 0.5, "warm": 0.02}}],
    "lme4 ml": [run(3.0, estimates={"x": [1.05, 0.1]}, loglik=-5.0) | {"seconds": {"fit": 0.5, "warm": 0.3}}],
}


def test_ratios_compare_the_first_run_and_the_median_of_the_others() -> None:
    rows = {row["entry"]: row for row in suite("table").rows_of(RECORDS)}
    ours, bambi = rows["bayesglmm nuts"], rows["bambi nuts"]
    assert (ours["first"], ours["again"]) == (20.0, 6.0)
    assert bambi["ratios"]["first"] == pytest.approx(3.0)
    assert bambi["ratios"]["again"] == pytest.approx(26 / 6)
    assert bambi["ratios"]["again without imports"] == pytest.approx((26 - 2) / (6 - 2))
    assert ours["ess_per_second"] == pytest.approx(2500 / 1.5)
    assert bambi["ratios"]["ess_per_second"] == pytest.approx((2500 / 1.5) / 30)
    assert bambi["agreement"] == pytest.approx(0.2)
    assert not bambi["converged"]
    assert ours["converged"]
    assert rows["lme4 ml"]["ratios"]["warm"] == pytest.approx(15.0)
    assert rows["lme4 ml"]["agreement"] == pytest.approx(0.5)
    assert rows["brms nuts"]["reason"] == "stopped after 90 s"


def test_bars_say_met_or_missed_and_where_they_are_bounds() -> None:
    bars = {bar.what: bar for bar in suite("bars").bars_of("cbpp", suite("table").rows_of(RECORDS))}
    assert bars["NUTS converged by default, in every run"].verdict == "met"
    assert bars["cold, empty caches: bambi nuts"].found == pytest.approx(3.0)
    assert bars["cold, empty caches: bambi nuts"].bound
    assert bars["cold, empty caches: brms nuts"].found == pytest.approx(4.5)
    assert bars["cold, empty caches: brms nuts"].verdict == "MISSED"
    assert bars["cold, empty caches: brms nuts"].cells()[2] == "at least 4.5x"
    assert bars["maximum likelihood fit: lme4 ml"].verdict == "met"
    less = suite("bars").bars_of("cbpp", suite("table").rows_of(RECORDS | {"imports import": [run(1e3)] * 2}))
    words = [bar.cells()[2:] for bar in less if "less imports" in bar.what]
    assert words
    assert all(cells == ["all of it in less than the imports", "", "met"] for cells in words)
    assert not suite("bars").bars_of("spam", suite("table").rows_of({"imports import": [run(4.0)]}))


def test_tables_have_a_line_for_each_entry_and_say_who_did_not_run() -> None:
    found = {"rows": suite("table").rows_of(RECORDS), "absent": {"gpboost ml": "not installed"}}
    found |= {"date": "2000-01-01", "machine": "2 cores", "load": 0.0}
    text = suite("table").markdown({"cbpp": found})
    tables = [line for line in text.splitlines() if line.startswith("| cbpp")]
    assert sum("bambi nuts **not converged**" in line for line in tables) == 1
    assert "| 60.0 s (3.0x) | 26.0 s (4.3x) | 6.0x |" in text
    assert "- gpboost ml: not installed (cbpp)" in text
    assert "- brms nuts: stopped after 90 s (cbpp)" in text
    widths = {title: {line.count("|") for line in part.splitlines() if line.startswith("|")} for title, _, part in
              (part.partition("\n") for part in text.split("## ")[1:])}  # fmt: skip
    assert all(len(counts) <= 1 for counts in widths.values()), widths
    page = suite("page").page({"cbpp": found})
    assert "Did not converge with defaults: bambi nuts on cbpp." in page
    assert "cold, empty caches: brms nuts: at least 4.5x, demanded 5x" in page


def test_every_problem_is_written_in_the_dialects_of_bayesglmm() -> None:
    """Each formula parses, and every contestant says of each problem whether it takes part."""
    from bayesglmm.formula import parse

    problems, contestants = suite("problems").PROBLEMS, suite("contestants").load()
    assert {"bayesglmm", "bambi", "brms", "lme4", "glmmTMB", "mgcv", "gpboost", "glimix-core", "statsmodels"} <= set(
        contestants
    )
    assert len({problem.name for problem in problems}) == len(problems) == 12
    formula = suite("contestants.bayesglmm")._formula
    for problem in problems:
        parse(formula(problem.plain()))
        takers = [name for name, one in contestants.items() if not one.refuses(problem, one.modes[-1])]
        assert len(takers) >= 3, (problem.name, takers)


def test_labels_of_all_dialects_are_those_of_bayesglmm(tmp_path: Path) -> None:
    given = suite("fit").Given(tmp_path)
    (tmp_path / "problem.json").write_text(json.dumps({"factors": {"ch": ["N", "Y"], "YEAR": ["95", "96"]}}))
    assert given.label("(Intercept)") == "Intercept"
    assert given.label("age:chY") == given.label("age:ch[T.Y]") == "age:ch[Y]"
    assert given.label("I(age ** 2)") == given.label("I(age^2)") == "I(age^2)"
    assert given.label("YEAR96") == "YEAR[96]"
    assert given.label("child") == "child"


def test_effective_sizes_leave_constants_out_and_name_the_worst() -> None:
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(3, 4, 500))
    draws[1] = 1.0  # the diagonal of a correlation matrix
    draws[2] += np.arange(4)[:, None]  # chains that disagree
    found = suite("assess").assess(draws, ["a", "one", "apart"])
    assert found["parameters"] == 2
    assert (found["ess_of"], found["rhat_of"]) == ("apart", "apart")
    assert not found["converged"]
    assert suite("assess").assess(draws[:2], ["a", "one"])["converged"]


def test_a_child_is_timed_weighed_and_stopped(tmp_path: Path) -> None:
    runner = suite("runner")
    eats = [sys.executable, "-c", "b = bytearray(60 * 2**20); b[::4096] = b[::4096]"]
    code, peak = runner.spawn(eats, runner.environment(tmp_path), tmp_path, 60)
    assert code == 0
    assert peak > 60 * 1024
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert runner.spawn(sleeps, runner.environment(tmp_path), tmp_path, 0.3)[0] is None
    fails = [sys.executable, "-c", "raise ValueError('no such thing')"]
    assert runner.spawn(fails, runner.environment(tmp_path), tmp_path, 60)[0] == 1
    assert "no such thing" in (tmp_path / "messages.txt").read_text()


def test_a_failed_contestant_is_a_line_and_not_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = suite("runner")

    class Broken:
        name = "broken"
        imports_pymc = False

        def command(self, folder: Path, mode: str, out: Path) -> list[str]:
            return [sys.executable, "-c", "raise SystemExit('out of luck')"]

    record = runner.run(runner.Entry(Broken(), "ml"), tmp_path, tmp_path / "caches", tmp_path / "out", 60)
    assert (record["status"], record["reason"]) == ("failed", "failed: out of luck")
    text = suite("table").markdown({"cbpp": {"rows": suite("table").rows_of({"broken ml": [record]})}})
    assert "- broken ml: failed: out of luck (cbpp)" in text


def test_unknown_names_are_refused_with_the_nearest() -> None:
    main = suite("__main__")
    assert main.chosen("cbpp, VerbAgg", ["cbpp", "VerbAgg", "spam"], "problem") == {"cbpp", "VerbAgg"}
    assert main.chosen("", ["cbpp"], "problem") == {"cbpp"}
    with pytest.raises(SystemExit, match=r"no problem 'cbp'\. Did you mean 'cbpp'"):
        main.chosen("cbp", ["cbpp"], "problem")


def test_a_run_keeps_results_of_other_modes() -> None:
    runs = {name: [run(1.0)] for name in ("bayesglmm nuts", "bayesglmm nuts compiled", "bayesglmm ml", "lme4 ml")}
    found = {"runs": runs, "absent": {"mgcv ml": "smooths only", "bambi nuts": "has no such term"}}
    kept = suite("__main__").others(found, {"ml", "nuts"})
    assert list(kept["runs"]) == ["bayesglmm nuts compiled"]
    assert kept["absent"] == {}
    kept = suite("__main__").others(found, {"nuts"})
    assert list(kept["runs"]) == ["bayesglmm nuts compiled", "bayesglmm ml", "lme4 ml"]
    assert list(kept["absent"]) == ["mgcv ml"]
    assert suite("__main__").others({}, {"nuts"}) == {"runs": {}, "absent": {}}

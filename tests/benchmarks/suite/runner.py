"""Starts contestants in turn, each in a fresh process, and notes seconds and memory.

A round goes through all entries of a problem, so that a machine that grows slower hits all of them. In the first
round every entry has a new, empty folder for everything that Python, numba and PyTensor keep; in later ones it
finds there what it left. Every other round goes backwards.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.contestants import ROOT, SUITE, Contestant, last_line
from suite.problems import Problem

BUILD = ROOT / "build" / "benchmarks"
Record = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of the table: a contestant in one of its modes."""

    contestant: Contestant
    mode: str

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.contestant.name} {self.mode}"


def entries_of(problem: Problem, contestants: Iterable[Contestant], modes: set[str]) -> list[tuple[Entry, str]]:
    """Return who could run on a problem, each with the reason why it does not; empty where it does."""
    found = []
    for contestant in contestants:
        for mode in contestant.modes:
            if modes and mode not in modes and mode != "import":
                continue
            entry = Entry(contestant, mode)
            reason = problem.left_out.get(entry.name) or problem.left_out.get(contestant.name)
            reason = reason or contestant.refuses(problem, mode) or contestant.missing()
            if mode == "import" and not problem.sampled:
                reason = "not sampled"
            found.append((entry, reason))
    return found


def environment(caches: Path) -> dict[str, str]:
    """Return the variables of a child process: all that is cached goes to the folder `caches`."""
    flags = f"base_compiledir={caches / 'pytensor'}"
    inherited = os.environ.get("PYTENSOR_FLAGS")
    found = {
        **os.environ,
        "PYTHONPATH": str(SUITE.parent),
        "PYTHONPYCACHEPREFIX": str(caches / "python"),
        "NUMBA_CACHE_DIR": str(caches / "numba"),
        "PYTENSOR_FLAGS": f"{inherited},{flags}" if inherited else flags,
        "MPLCONFIGDIR": str(caches / "matplotlib"),
        "XDG_CACHE_HOME": str(caches / "xdg"),
        "JOBLIB_TEMP_FOLDER": str(caches),
    }
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def run(entry: Entry, folder: Path, caches: Path, out: Path, limit: float) -> Record:
    """Run an entry once, and return its record: `status` ok, stopped or failed, and what was measured."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    caches.mkdir(parents=True, exist_ok=True)
    command = entry.contestant.command(folder, entry.mode, out)
    began = time.time()
    code, peak = spawn(command, environment(caches), out, limit)
    wall = time.time() - began
    record: Record = {"wall": wall, "memory_mib": peak / 1024, "imports_pymc": entry.contestant.imports_pymc}
    if code is None:
        return record | {"status": "stopped", "reason": f"stopped after {limit:.0f} s"}
    if code != 0 or not (out / "answer.json").exists():
        message = last_line((out / "messages.txt").read_text(encoding="utf-8", errors="replace"))
        return record | {"status": "failed", "reason": f"failed: {message}"}
    if (out / "draws.f64").exists():
        done = helper("assess", str(out))
        if done.returncode:
            return record | {"status": "failed", "reason": f"draws not assessed: {last_line(done.stderr)}"}
    answer = json.loads((out / "answer.json").read_text(encoding="utf-8"))
    return record | answer | {"status": "ok", "cold": answer["ready"] - began}


def spawn(command: list[str], env: dict[str, str], out: Path, limit: float) -> tuple[int | None, float]:
    """Run a command in `out`; return its exit status (None if it was stopped) and the peak of its memory in KiB."""
    with open(out / "messages.txt", "wb") as messages:
        child = subprocess.Popen(
            command, cwd=out, env=env, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
            start_new_session=True,
        )  # fmt: skip
        deadline, stopped = time.monotonic() + limit, False
        try:
            while True:
                done, status, usage = os.wait4(child.pid, os.WNOHANG)
                if done:
                    break
                if time.monotonic() > deadline and not stopped:
                    os.killpg(child.pid, signal.SIGKILL)
                    stopped = True
                time.sleep(0.02)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)  # it was reaped here, not by Popen
    scale = 1024 if sys.platform == "darwin" else 1
    return None if stopped else child.returncode, usage.ru_maxrss / scale


def helper(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the suite in a process of its own."""
    command = [sys.executable, "-m", f"suite.{module}", *arguments]
    env = os.environ | {"PYTHONPATH": str(SUITE.parent)}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env)


def prepare(problem: Problem) -> Path:
    """Write the problem's data in a process of its own; return their folder."""
    folder = BUILD / "problems" / problem.name.replace(" ", "_")
    done = helper("prepare", problem.name, str(folder))
    if done.returncode:
        raise RuntimeError(last_line(done.stderr))
    return folder


def measure(
    problem: Problem, entries: list[Entry], rounds: int, limit: float, tell: Callable[[str], None]
) -> dict[str, list[Record]]:
    """Run all entries `rounds` times; return the records of each entry, the first of them with empty caches.

    An entry that was stopped or failed is not run again.
    """
    folder = prepare(problem)
    work = BUILD / "work" / folder.name
    shutil.rmtree(work, ignore_errors=True)
    records: dict[str, list[Record]] = {entry.name: [] for entry in entries}
    for turn in range(rounds):
        for entry in entries if turn % 2 == 0 else entries[::-1]:
            before = records[entry.name]
            if before and before[-1]["status"] != "ok":
                continue
            place = work / entry.name.replace(" ", "_")
            record = run(entry, folder, place / "caches", place / "out", limit)
            before.append(record)
            tell(f"{problem.name:<16} round {turn + 1}  {entry.name:<22} {spoken(record)}")
    for entry in entries:
        shutil.rmtree(work / entry.name.replace(" ", "_") / "caches", ignore_errors=True)
    return records


def spoken(record: Record) -> str:
    """Return a record in a line."""
    if record["status"] != "ok":
        return str(record["reason"])
    parts = [f"{record['cold']:8.2f} s"]
    parts += [
        f"{phase} {record['seconds'][phase]:.2f}"
        for phase in ("compile", "sample", "fit", "warm")
        if phase in record["seconds"]
    ]
    if "quality" in record:
        parts.append(f"ESS {record['quality']['ess']:.0f}, R-hat {record['quality']['rhat']:.3f}")
    return "  ".join([*parts, f"{record['memory_mib']:.0f} MiB"])

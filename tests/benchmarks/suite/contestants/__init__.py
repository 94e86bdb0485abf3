"""Who fits. A contestant is one file here: a class that derives from `Contestant`, which registers it.

A file must import with the standard library alone; what a fit needs is imported inside of `fit`, which runs in a
process of its own, by the interpreter that `interpreter` names. Contestants that are R packages have a script
beside them instead.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from suite.problems import Problem

SUITE = Path(__file__).resolve().parents[1]
ROOT = SUITE.parents[2]
ENVIRONMENTS = ROOT / "build" / "benchmarks" / "environments"

CONTESTANTS: dict[str, Contestant] = {}


@dataclass
class Answer:
    """What a fit has to say.

    Parameters
    ----------
    seconds : dict of str to float
        By phase: import, data, compile, sample, fit (of the first fit), warm (another fit in the same process).
    estimates : dict of str to (float, float)
        Mean (or estimate) and standard deviation (or error, nan if unknown) by label, labels as bayesglmm's.
    draws : sequence of (str, array)
        Name and draws (chain, draw) of every parameter, group effects included; empty where there are no chains.
    loglik : float
        Maximised log-likelihood.
    divergences : int
    notes : list of str
        What differs from the problem as it is written.
    versions : dict of str to str
    ready : float
        When the answer was there, as `time.time` has it.
    """

    seconds: dict[str, float]
    estimates: dict[str, tuple[float, float]] = field(default_factory=dict)
    draws: Sequence[tuple[str, Any]] = ()
    loglik: float | None = None
    divergences: int | None = None
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    ready: float = field(default_factory=time.time)


class Contestant:
    """A program that fits models.

    Attributes
    ----------
    name : str
    modes : tuple of str
        What it does: ``nuts`` (and variants, as ``nuts graph``), ``laplace`` (a posterior), ``ml`` (estimates).
    environment : str
        The virtual environment with its packages, a folder of `ENVIRONMENTS`; empty for that of bayesglmm.
    packages : tuple of str
        What `make bench-setup` installs there.
    imports_pymc : bool
        Whether its processes spend the time that importing PyMC and nutpie takes.
    """

    name: ClassVar[str] = ""
    modes: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[str] = ""
    packages: ClassVar[tuple[str, ...]] = ()
    imports_pymc: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if cls.name:
            CONTESTANTS[cls.name] = cls()

    def interpreter(self) -> str:
        """Return the Python that runs `fit`."""
        return str(ENVIRONMENTS / self.environment / "bin" / "python") if self.environment else sys.executable

    def missing(self) -> str:
        """Return why it cannot run on this machine; empty where it can."""
        return "" if Path(self.interpreter()).exists() and self.installed() else "not installed (make bench-setup)"

    @cache  # noqa: B019 - one object per contestant lives as long as the process
    def installed(self) -> bool:
        """Return whether the interpreter finds the package."""
        asks = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({self.module()!r}) is None)"
        return subprocess.run([self.interpreter(), "-c", asks], check=False, capture_output=True).returncode == 0

    def module(self) -> str:
        """Return the module that shows that it is installed."""
        return self.name.replace("-", "_")

    def setup(self) -> str:
        """Install it into a virtual environment; return why that failed, or nothing."""
        if not self.packages:
            return ""
        folder = ENVIRONMENTS / self.environment
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not (folder / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
        pip = [self.interpreter(), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.packages]
        done = subprocess.run(pip, check=False, capture_output=True, text=True)
        type(self).installed.cache_clear()
        return "" if done.returncode == 0 else f"pip: {last_line(done.stderr)}"

    def refuses(self, problem: Problem, mode: str) -> str:
        """Return why it does not fit this problem; empty where it does."""
        return ""

    def command(self, folder: Path, mode: str, out: Path) -> list[str]:
        """Return the process that fits the problem in `folder` and writes to `out`."""
        return [self.interpreter(), "-m", "suite.fit", self.name, mode, str(folder), str(out)]

    def fit(self, given: Any, mode: str) -> Answer:
        """Fit (in a process of its own); `given` is a `suite.fit.Given`."""
        raise NotImplementedError


class RContestant(Contestant):
    """A package of R: its script is ``<name>.R`` beside its file.

    Attributes
    ----------
    debian : tuple of str
        Debian's packages with it.
    """

    debian: ClassVar[tuple[str, ...]] = ()

    def missing(self) -> str:
        """Return why it cannot run on this machine; empty where it can."""
        if not shutil.which("Rscript"):
            return "R is not installed (make bench-setup)"
        return "" if self.installed() else "not installed (make bench-setup)"

    @cache  # noqa: B019
    def installed(self) -> bool:
        """Return whether R finds the package, and that to write JSON."""
        finds = " && ".join(f"requireNamespace('{name}', quietly = TRUE)" for name in (self.name, "jsonlite"))
        asks = ["Rscript", "-e", f"quit(status = if ({finds}) 0 else 1)"]
        return subprocess.run(asks, check=False, capture_output=True).returncode == 0

    def setup(self) -> str:
        """Install Debian's packages; return why that failed, or nothing."""
        if shutil.which("Rscript") and self.installed():
            return ""
        if not shutil.which("apt-get"):
            return f"no apt-get here: install R and its package {self.name} by hand"
        if os.geteuid() != 0:
            return f"needs root: apt-get install {' '.join(self.debian)}"
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *self.debian]
        for command in (install, ["apt-get", "update"], install):  # lists are renewed only if they must
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=quiet)
            if done.returncode == 0 and command is install:
                type(self).installed.cache_clear()
                return ""
        return f"apt-get: {last_line(done.stderr)}"

    def command(self, folder: Path, mode: str, out: Path) -> list[str]:
        """Return the process that fits the problem in `folder` and writes to `out`."""
        scripts = SUITE / "contestants"
        script, common = scripts / f"{self.name}.R", scripts / "common.R"
        return ["Rscript", "--vanilla", str(script), str(folder), str(out), str(common)]


def last_line(text: str) -> str:
    """Return the last line with something in it, without paths of this machine."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace(str(ROOT), ".")[:200] if lines else "no message"


def load() -> dict[str, Contestant]:
    """Import every file of this folder; return the contestants by name."""
    for found in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"suite.contestants.{found.name}")
    return CONTESTANTS

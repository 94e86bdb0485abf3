"""Maps over items: the same results here, in threads, processes and on a cluster, with workers lost on the way."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from bayesglmm.errors import BayesglmmError, WorkerLostError
from bayesglmm.parallel import Shipped, distributed, parallel_map, workers

SEEDS = np.random.SeedSequence(5).spawn(7)


def sums() -> Callable[[np.random.SeedSequence], float]:
    # Local, so that it is pickled by value: the workers cannot import this file. Sums of many numbers are rounded
    # differently by a different number of threads.
    def total(seed: np.random.SeedSequence) -> float:
        a = np.random.default_rng(seed).normal(size=(120, 120))
        return float((a @ a @ a).sum())

    return total


def deadly(folder: Path, victim: int, times: int = 1) -> Callable[[int], tuple[int, int]]:
    """Return a function that ends its process the first times that it has the victim."""

    def run(item: int) -> tuple[int, int]:
        with open(folder / f"item_{item}", "a") as log:
            log.write(".")
        before = (folder / f"item_{item}").stat().st_size
        if item == victim and before <= times:
            os._exit(1)
        return item, item**2

    return run


def calls(folder: Path) -> list[int]:
    return [path.stat().st_size for path in sorted(folder.iterdir())]


def test_without_a_word_items_are_computed_here() -> None:
    assert workers() == 1
    assert workers(1) == 1
    assert not distributed()
    assert set(parallel_map(lambda _: (os.getpid(), threading.get_ident()), range(3))) == {
        (os.getpid(), threading.get_ident())
    }


def test_one_worker_means_here_whatever_joblib_is_told() -> None:
    with joblib.parallel_config("loky", n_jobs=2):
        assert workers() == 2
        assert set(parallel_map(lambda _: os.getpid(), range(3), n_jobs=1)) == {os.getpid()}
        assert os.getpid() not in set(parallel_map(lambda _: os.getpid(), range(3)))


@pytest.mark.filterwarnings("ignore:os.fork")  # jax warns at any fork once another test has imported it
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing", "sequential"])
def test_backends_and_workers_change_no_bit(backend: str) -> None:
    alone = list(parallel_map(sums(), SEEDS))
    with joblib.parallel_config(backend):
        assert list(parallel_map(sums(), SEEDS, n_jobs=2)) == alone


def test_a_cluster_changes_no_bit(cluster: Any) -> None:
    alone = list(parallel_map(sums(), SEEDS))
    with joblib.parallel_config("dask"):
        assert distributed()
        assert workers() == 2
        assert list(parallel_map(sums(), SEEDS)) == alone
        assert os.getpid() not in set(parallel_map(lambda _: os.getpid(), range(3)))


def test_results_come_one_by_one_and_in_order() -> None:
    def slow_first(item: int) -> int:
        import time

        time.sleep(0.5 if item == 0 else 0.0)
        return item

    told: list[tuple[int, int]] = []
    found = parallel_map(slow_first, range(6), n_jobs=2, progress=lambda done, count: told.append((done, count)))
    assert next(found) == 0
    assert list(found) == [1, 2, 3, 4, 5]
    assert told == [(done, 6) for done in range(1, 7)]


def test_who_stops_iterating_keeps_what_came() -> None:
    found = parallel_map(lambda item: item, range(50), n_jobs=2)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    found.close()  # warnings are errors here: joblib's about unused results does not get out


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_keeps_what_had_finished(n_jobs: int) -> None:
    def interrupted(item: int) -> int:
        import time

        if item == 3:
            time.sleep(0.5)
            raise KeyboardInterrupt
        return item

    kept, found = [], parallel_map(interrupted, range(4), n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        kept.extend(found)
    assert kept == [0, 1, 2]


def test_an_error_arrives_unchanged_and_is_not_tried_again(tmp_path: Path) -> None:
    def failing(item: int) -> int:
        with open(tmp_path / f"{item}", "a") as log:
            log.write(".")
        if item == 2:
            raise BayesglmmError("row 7 is odd")
        return item

    for n_jobs in (1, 2):
        (tmp_path / "2").unlink(missing_ok=True)
        with pytest.raises(BayesglmmError, match=r"^row 7 is odd$"):
            list(parallel_map(failing, range(4), n_jobs=n_jobs))
        assert (tmp_path / "2").stat().st_size == 1


def test_an_error_on_a_cluster_arrives_unchanged(cluster: Any) -> None:
    def failing(item: int) -> int:
        raise BayesglmmError(f"row {item} is odd")

    with joblib.parallel_config("dask"), pytest.raises(BayesglmmError, match=r"^row \d is odd$"):
        list(parallel_map(failing, range(4)))


def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    found = parallel_map(deadly(tmp_path, victim=4), range(8), n_jobs=2)
    assert list(found) == [(item, item**2) for item in range(8)]
    often = calls(tmp_path)
    assert often[4] == 2
    assert often[0] == often[1] == 1  # finished before, so not computed again


def test_a_killed_worker_of_a_cluster_is_replaced(tmp_path: Path, cluster: Any) -> None:
    with joblib.parallel_config("dask"):
        found = list(parallel_map(deadly(tmp_path, victim=4), range(8)))
    assert found == [(item, item**2) for item in range(8)]
    assert calls(tmp_path)[4] == 2


def test_who_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    found = parallel_map(deadly(tmp_path, victim=1, times=99), range(3), n_jobs=2, retries=1)
    # The first item may or may not be done when the worker beside it dies.
    with pytest.raises(WorkerLostError, match=r"lost 2 times in a row before item [12] of 3 .*n_jobs"):
        list(found)


def test_who_kills_every_worker_of_a_cluster_is_given_up(tmp_path: Path, cluster: Any) -> None:
    with joblib.parallel_config("dask"):
        found = parallel_map(deadly(tmp_path, victim=0, times=99), range(2), retries=1)
        with pytest.raises(WorkerLostError, match=r"lost 2 times in a row before item 1 of 2 .*KilledWorker"):
            list(found)


@pytest.mark.slow
def test_workers_keep_a_function_from_map_to_map() -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls = 0

        def __call__(self, item: int) -> tuple[int, int]:
            self.calls += 1
            return threading.get_ident(), self.calls

    shipped = Shipped(Counting())
    with joblib.parallel_config("loky", n_jobs=2):
        first, second = (max(n for _, n in parallel_map(shipped, range(10))) for _ in range(2))
    assert 5 <= first <= 10 < 10 + second / 2 <= 20
    assert shipped.function.calls == 0  # theirs were copies


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_large_function_travels_to_a_worker_once(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "dask":
        request.getfixturevalue("cluster")

    marker = tmp_path / "killed"

    class Heavy:
        def __init__(self) -> None:
            self.data = np.arange(50_000.0)

        def __setstate__(self, state: dict[str, Any]) -> None:
            with open(tmp_path / "loaded", "a") as log:
                log.write(".")
            self.__dict__.update(state)

        def __call__(self, item: int) -> float:
            if item < 0 and not marker.exists():
                marker.touch()
                os._exit(1)
            return float(self.data[item])

    shipped = Shipped(Heavy())
    with joblib.parallel_config(backend, n_jobs=2):
        for _ in range(3):
            assert list(parallel_map(shipped, range(8))) == list(range(8))
        assert 1 <= (tmp_path / "loaded").stat().st_size <= 2
        # A new worker asks for it.
        assert list(parallel_map(shipped, [1, 2, -1, 3])) == [1.0, 2.0, 49_999.0, 3.0]
    assert marker.exists()


def test_threads_work_on_copies_unless_told_otherwise() -> None:
    class Shared:
        def __call__(self, item: int) -> int:
            return id(self)

    function = Shared()
    with joblib.parallel_config("threading", n_jobs=2):
        assert set(parallel_map(Shipped(function, threadsafe=True), range(4))) == {id(function)}
        assert id(function) not in set(parallel_map(function, range(4)))


def test_a_map_within_a_map_stays_in_its_worker() -> None:
    def inner(item: int) -> bool:
        with_two = list(parallel_map(lambda _: os.getpid(), range(3), n_jobs=2))
        return set(with_two) == {os.getpid()}

    with joblib.parallel_config("loky", n_jobs=2):
        assert all(parallel_map(inner, range(3)))

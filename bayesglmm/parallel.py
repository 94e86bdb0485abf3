"""One function of many items, spread by joblib over processes, threads or a cluster, and brought back in order.

Whoever repeats work over a fixed list of items (chains, replicates, folds, parts of the data) goes through
`parallel_map`. The items decide the results: their number, their seeds, their order. Workers, their number, their
kind and their loss decide only how long it takes; so each item runs with one thread of linear algebra, because sums
in threads are rounded differently.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import numpy as np

from bayesglmm.errors import WorkerLostError

RETRIES = 3
_KEPT = 2  # functions that a thread of a worker keeps: one that is being used, and one for a map within a loop
_SMALL = 100_000  # bytes that are sent with every item rather than asked for
_PAUSE = 0.2  # seconds before the first retry; doubled for each further one

# How backends say that a worker is gone; by name, because some of their packages are optional.
_LOST = {
    "TerminatedWorkerError",  # loky: killed, say by the system for want of memory
    "BrokenProcessPool",
    "KilledWorker",  # dask: a task's worker died more often than the scheduler forgives
    "_NoWorkerError",
    "CommClosedError",
    "FutureCancelledError",  # dask: what a task was sent went with the worker that held it
    "FuturesCancelledError",
}


class Shipped[Item, Result]:
    """A function that is pickled once for any number of maps; workers that have it do not receive it again.

    Parameters
    ----------
    function : callable
        Of one item. It may hold data and keep what it prepares; a worker keeps it from item to item, so the result
        of an item must not depend on the items before it.
    threadsafe : bool
        Threads of one process call it as it is. Otherwise each thread works on a copy of its own.
    """

    def __init__(self, function: Callable[[Item], Result], threadsafe: bool = False) -> None:
        self.function, self.threadsafe, self.token = function, threadsafe, uuid4().hex
        self.known = False  # to some workers, by a map before
        self._sent: Any = None

    @property
    def sent(self) -> Any:
        """The pickled function as an array of bytes: backends share arrays between tasks rather than copy them."""
        if self._sent is None:
            import cloudpickle

            # joblib's own way of pickling methods fails on some that PyTensor's random variables hold.
            self._sent = np.frombuffer(cloudpickle.dumps(self.function), dtype=np.uint8)
        return self._sent


def parallel_map[Item, Result](
    function: Callable[[Item], Result] | Shipped[Item, Result],
    items: Sequence[Item],
    *,
    n_jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    retries: int = RETRIES,
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for every item, in their order, computed wherever joblib is told to.

    Parameters
    ----------
    function : callable or Shipped
        A pure function of one item. What is large and common to all items belongs into it, not into the items.
    items : sequence
        Small and picklable. Randomness comes from a seed in each item (`numpy.random.SeedSequence.spawn`).
    n_jobs : int, optional
        Workers at once; 1 computes here. If absent, what ``joblib.parallel_config`` says, one by default. A cluster
        decides itself how much runs at once.
    progress : callable, optional
        Called with the number of finished items and of all, whenever one has finished.
    retries : int
        How often in a row a worker may be lost before the first unfinished item is given up.

    Yields
    ------
    object
        As soon as it and all before it are there. Stop iterating, or press Ctrl-C, and what was yielded is yours.

    Raises
    ------
    WorkerLostError
        If workers were lost again and again. Items that had finished are not computed twice.
    Exception
        Whatever the function raises, unchanged and without a second attempt.
    """
    shipped = function if isinstance(function, Shipped) else Shipped(function)
    if len(items) < 2 or (workers(n_jobs) == 1 and not (distributed() and n_jobs != 1)):
        return _map_here(shipped.function, items, progress)
    return _map_there(shipped, items, n_jobs, progress, retries)


def workers(n_jobs: int | None = None) -> int:
    """Return how many items would run at once.

    Parameters
    ----------
    n_jobs : int, optional
        What ``joblib.parallel_config`` says if absent.
    """
    from joblib import effective_n_jobs

    return 1 if n_jobs == 1 else int(effective_n_jobs(n_jobs))


def distributed() -> bool:
    """Return whether ``joblib.parallel_config`` names workers that may be on other machines."""
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    # Backends of joblib that run on this machine live in one module, those of clusters elsewhere.
    return type(backend).__module__ != "joblib._parallel_backends"


def _map_here[Item, Result](
    function: Callable[[Item], Result], items: Sequence[Item], progress: Callable[[int, int], None] | None
) -> Generator[Result, None, None]:
    for done, item in enumerate(items, 1):
        with one_thread():
            result = function(item)
        if progress is not None:
            progress(done, len(items))
        yield result


def _map_there[Item, Result](
    shipped: Shipped[Item, Result],
    items: Sequence[Item],
    n_jobs: int | None,
    progress: Callable[[int, int], None] | None,
    retries: int,
) -> Generator[Result, None, None]:
    waiting: dict[int, Result] = {}  # finished before an earlier item
    first = losses = 0
    stuck = -1  # the first unfinished item when a worker was last lost
    # Items that the function travels with; workers that have it from a map before are spared it.
    bare = shipped.known and len(shipped.sent) > _SMALL
    laden = set[int]() if bare else set(range(len(items)))
    while first < len(items):
        todo = [(index, items[index]) for index in range(first, len(items)) if index not in waiting]
        try:
            with closing(_attempt(shipped, todo, laden, n_jobs)) as outcomes:
                for index, result in outcomes:
                    if isinstance(result, _Unknown):
                        laden.add(index)
                        continue
                    waiting[index] = result
                    if progress is not None:
                        progress(first + len(waiting), len(items))
                    while first in waiting:
                        yield waiting.pop(first)
                        first += 1
            shipped.known = True
        except BaseException as error:
            if not _is_loss(error):
                raise
            losses, stuck = (losses + 1, stuck) if first == stuck else (1, first)
            if losses > retries:
                raise WorkerLostError(_given_up(losses, first, len(items), error)) from error
            time.sleep(_PAUSE * 2 ** (losses - 1))


def _attempt[Item, Result](
    shipped: Shipped[Item, Result], todo: Sequence[tuple[int, Item]], laden: Set[int], n_jobs: int | None
) -> Generator[tuple[int, Any], None, None]:
    """Yield (index, result), or that the worker lacks the function, in the order of completion."""
    from joblib import Parallel, delayed
    from joblib.parallel import get_active_backend

    active, _ = get_active_backend()
    backend = _mended(active)
    streams = "generator_unordered" if active.supports_return_generator else "list"
    parallel = Parallel(n_jobs=n_jobs, backend=backend, return_as=streams)
    if shipped.threadsafe and getattr(active, "supports_sharedmem", False):
        tasks = (delayed(_call)(shipped.function, index, item) for index, item in todo)
    else:
        call, sent = delayed(_load_and_call), shipped.sent
        tasks = (call(sent if index in laden else None, shipped.token, index, item) for index, item in todo)
    results = parallel(tasks)
    try:
        # Not `yield from`, which would close it first, and outside of the filter below.
        for outcome in results:  # noqa: UP028
            yield outcome
    finally:
        if streams != "list":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib's, that there were results which nobody wanted
                results.close()


def _call[Item, Result](function: Callable[[Item], Result], index: int, item: Item) -> tuple[int, Result]:
    from joblib import parallel_config

    # A map within a map runs in the worker that it is in.
    with one_thread(), parallel_config("sequential", n_jobs=1):
        return index, function(item)


_OWN = threading.local()
_COMPILING = threading.RLock()


@contextmanager
def alone() -> Iterator[None]:
    """Let no other thread of this process into any such block: PyTensor's compilers are not made for threads."""
    with _COMPILING:
        yield


class _Unknown:
    """What a worker answers that lacks the function."""


def _load_and_call[Item](sent: Any, token: str, index: int, item: Item) -> tuple[int, Any]:
    """Call a function that this thread of this process may have kept from an item before."""
    kept: OrderedDict[str, Any] = _OWN.__dict__.setdefault("functions", OrderedDict())
    if token not in kept:
        if sent is None:
            return index, _Unknown()
        with alone():
            kept[token] = pickle.loads(sent)
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    kept.move_to_end(token)
    return _call(kept[token], index, item)


class _ThreadLimit:
    """One thread of linear algebra while anybody in this process wants it.

    The limit belongs to the process: restored by each of several threads for itself, it would end too early.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._modules = threading.Lock(), 0, 0
        self._controller: Any = None
        self._limit: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limit = self._libraries().limit(limits=1, user_api="blas")
            self._users += 1

    def _libraries(self) -> Any:
        """Return who sets the number of threads; looking for libraries takes a millisecond, so not for every item."""
        from threadpoolctl import ThreadpoolController

        if len(sys.modules) != self._modules:  # a module may have brought another library
            self._controller, self._modules = ThreadpoolController(), len(sys.modules)
        return self._controller

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()
                self._limit = None


_LIMIT = _ThreadLimit()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let linear algebra use one thread, as it does in every item of `parallel_map`."""
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()


class _NoWorkerError(RuntimeError):
    """A cluster has no worker left and none has come for a while."""


class _Mended:
    """What joblib's backend for dask (joblib 1.6) lacks where workers are lost."""

    def submit(self, func: Any, callback: Any = None) -> Any:
        """Tell joblib of tasks whose worker was lost: it would wait for them forever."""
        future = super().submit(func, callback)  # type: ignore[misc]

        def tell(done: Any) -> None:
            if callback is not None and done.exception() is not None:
                callback(done.exception())

        future.add_done_callback(tell)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """Raise what is no task's result."""
        if isinstance(out, BaseException):  # what tasks raise comes wrapped, so this is none of theirs
            raise out
        return super().retrieve_result_callback(out)  # type: ignore[misc]

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return at least 2: for 1, say because other workers were lost, joblib computes in this process."""
        try:
            return max(2, int(super().effective_n_jobs(n_jobs)))  # type: ignore[misc]
        except TimeoutError as error:
            raise _NoWorkerError(str(error)) from error


def _mended(backend: Any) -> Any:
    """Return the backend to run on; None for the one that joblib is told to use."""
    if type(backend).__module__ != "joblib._dask":
        return None
    kind = type("MendedDaskBackend", (_Mended, type(backend)), {})
    return kind(
        client=backend.client, wait_for_workers_timeout=backend.wait_for_workers_timeout, **backend.submit_kwargs
    )


def _is_loss(error: BaseException) -> bool:
    return any(kind.__name__ in _LOST for kind in type(error).__mro__)


def _given_up(losses: int, first: int, count: int, error: BaseException) -> str:
    told = str(error).strip().splitlines() or ["no reason given"]
    return (
        f"A worker was lost {losses} times in a row before item {first + 1} of {count} had finished, so no further "
        f"attempt is made. The last time: {type(error).__name__}: {told[0]} Most often a worker is lost because "
        "memory ran out: run fewer at once (n_jobs) or give each more."
    )

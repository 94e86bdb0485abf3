"""Translated functions do what Python does with the same text; what is not translated is refused."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bayesglmm as bg
from bayesglmm.engines.kernels import packed as places
from bayesglmm.engines.kernels.conditioned_density import density
from bayesglmm.engines.prepared import prepare
from bayesglmm.engines.translation.buffers import Floats, Ints, NotTranslatableError, exchanged, floats_at
from bayesglmm.engines.translation.functions import translated
from bayesglmm.engines.translation.library import Library

HERE = sys.modules[__name__]
HALF, STEPS = 0.5, 3


def _both(x: float, n: int) -> tuple[float, int, bool]:
    if (x > 1.5 and n > 2) or not x < 10.0:
        return x, n, True
    return -x, -n, False


def _shifted(a: Floats, at: int, by: float) -> None:
    a[at] += by


def _branches(x: float) -> float:
    if x < -1.0:
        found = 1.0
    elif x < 0.0:
        found = math.sqrt(-x)
    else:
        while x > HALF:
            x *= 0.5
        found = x
    return found


def _powers(a: Floats, at: int, k: int) -> float:
    total = 0.0
    for i in range(k):
        total = total * a[at] + i + k
    return total


def _of_numbers(a: Floats, n: int) -> float:
    return _powers(a, 0, 3) + _powers(a, n, 3) * _powers(a, 0, n) + _powers(a, n, n)


def everything(a: Floats, k: Ints, n: int, x: float) -> float:
    """Use all that is translated."""
    total, i, flag = 0.0, 7, n > 3
    for i in range(n):
        a[i] = x * (i + 1) - k[i] / 2
        for j in range(i, n):
            if flag and j == n - 1:
                a[i] -= 0.25 * j
        if i > 4:
            continued = i
            total += continued
    larger, number, truth = _both(x, n)
    if truth:
        total += number
    else:
        total -= number**2
    k[0] = int(10.0 * x) + max(n, 3) - min(k[1], 2)
    _shifted(a, 1, 2)
    total += a[k[2]] if k[2] >= 0 else math.exp(a[0] / 100.0)
    total += math.log1p(abs(x)) + math.lgamma(1.0 + x * x) + math.log(2.0 + x**2) - float(n) * larger
    total += max(x, 0.3) + min(x, 0.1) + (1 if math.isfinite(x / (x - 3.0)) else 0) + math.fabs(larger)
    return total + i + _branches(x) + STEPS + _of_numbers(a, max(n - 3, 1))


def test_a_function_does_what_python_does(tmp_path: Path) -> None:
    machine = Library((everything,), (HERE,)).load(tmp_path)
    call = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_void_p] * 2, ctypes.c_int64, ctypes.c_double)
    compiled = call(machine.addresses[0])
    for n in (1, 2, 4, 9):
        for x in (-2.5, -0.5, 0.0, 0.2, 1.6, 3.1, 12.0):
            for third in (-1, 0):
                floats, integers = np.arange(10.0), np.array([5, 1, third, *range(-3, 4)], dtype=np.int64)
                own, others = (floats.copy(), integers.copy()), (floats.copy(), integers.copy())
                expected = everything(*own, n, x)  # type: ignore[arg-type]
                found = compiled(*(each.ctypes.data for each in others), n, x)
                np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
                np.testing.assert_allclose(others[0], own[0], rtol=1e-14, atol=1e-14)
                np.testing.assert_array_equal(others[1], own[1])


def test_infinities_and_nan_keep_their_meaning(tmp_path: Path) -> None:
    machine = Library((_finite,), (HERE,)).load(tmp_path)
    compiled = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_double)(machine.addresses[0])
    assert [compiled(x) for x in (0.0, -1e308, math.inf, -math.inf, math.nan)] == [1, 1, 0, 0, 0]


def _finite(x: float) -> int:
    return 1 if math.isfinite(x - 1.0) else 0


def take_turns(taken: Ints, total: Floats, rounds: int, address: int) -> int:
    """Add to a number that others add to, too, one at a time."""
    shared, most = floats_at(address), 0
    for i in range(rounds):
        while exchanged(taken, 0, 1) != 0:
            most = i
        shared[0] += 1.0
        exchanged(taken, 0, 0)
    return most


def test_exchange_keeps_threads_apart(tmp_path: Path) -> None:
    machine = Library((take_turns,), (HERE,)).load(tmp_path)
    # A function of ctypes lets other threads run meanwhile.
    compiled = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        machine.addresses[0]
    )
    taken, total, unused = np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1)
    arguments = (taken.ctypes.data, unused.ctypes.data, 200_000, total.ctypes.data)
    threads = [threading.Thread(target=compiled, args=arguments) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total[0] == 600_000


@pytest.mark.parametrize("formula", ["y ~ x + (1 + x | a) + (1 | b)", "y ~ x + (1 + x + z | a)"])
def test_the_density_as_plain_python(formula: str) -> None:
    import pandas as pd

    rng = np.random.default_rng(4)
    a, x = np.repeat(np.arange(4), 4), rng.normal(size=16)
    data = pd.DataFrame({"a": a, "b": np.tile(np.arange(3), 6)[:16], "x": x, "y": rng.normal(size=16) + a * x})
    data["z"] = x**2
    packed = prepare(bg.Model(formula, data).problem, "ahead").compiled
    q = rng.normal(0, 0.5, packed.n_dim)
    value, gradient = packed.value_and_gradient(q)
    own, scratch = np.full(packed.n_dim, np.nan), np.full(packed.ints[places.SCRATCH], np.nan)
    expected = density(len(q), q, own, packed.ints, packed.floats, scratch)  # type: ignore[arg-type]
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, own, rtol=1e-10, atol=1e-11)


def _no_annotation(x) -> float:  # type: ignore[no-untyped-def]
    return x  # type: ignore[no-any-return]


def _other_annotation(x: str) -> float:
    return float(len(x))


def _slice(a: Floats) -> None:
    a[:] = [0.0]


def _loop_over_values(a: Floats) -> float:
    total = 0.0
    for value in a:
        total += value
    return total


def _other_type(x: float) -> int:
    n = 1
    n = x  # type: ignore[assignment]
    return n


def _power(x: float) -> float:
    return float(x**3)


def _modulo(n: int) -> int:
    return n % 3


def _unknown_call(x: float) -> float:
    return math.sin(x)


def _twice(a: Floats, b: Floats) -> None:
    a[0] = b[0]


def _overlapping(a: Floats) -> None:
    _twice(a, a)


def _counted_down(n: int) -> int:
    n -= 1
    return n


def _assigned() -> int:
    return _counted_down(3)


def _chained(x: float) -> bool:
    return 0.0 < x < 1.0


def _no_return(x: float) -> float:  # type: ignore[return]
    if x > 0:
        return x


def _unset(x: float) -> float:
    return x + y  # type: ignore[name-defined]  # noqa: F821


def _text(x: float) -> float:
    name = "x"
    return x + len(name)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_no_annotation, "annotation ''"),
        (_other_annotation, "annotation 'str'"),
        (_slice, "List"),
        (_loop_over_values, "range"),
        (_other_type, "double where i64"),
        (_power, "squares"),
        (_modulo, "Mod"),
        (_unknown_call, r"math.sin\(x\)"),
        (_overlapping, "given twice"),
        (_chained, "two numbers"),
        (_assigned, "n is assigned, but a caller gives it as a number"),
        (_no_return, "without a return"),
        (_unset, "y has no value"),
        (_text, "'x' is no number"),
    ],
)
def test_the_rest_is_refused_with_its_place(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(NotTranslatableError, match=message) as raised:
        translated([function])
    file, line, _ = str(raised.value).split(":", 2)
    assert Path(file) == Path(__file__)
    first = function.__code__.co_firstlineno
    assert first - 6 <= int(line) <= first + 5  # or in the function above, which it calls


def test_numbers_make_copies() -> None:
    text, functions = translated([_of_numbers])
    assert functions == {_of_numbers, _powers}
    symbols = {line.split('"')[1].rsplit(".", 1)[1] for line in text.splitlines() if line.startswith("define")}
    assert symbols == {"_of_numbers", "_powers", "_powers[at=0]", "_powers[at=0,k=3]", "_powers[k=3]"}


def test_code_is_kept_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library((_finite,), (HERE,))
    library.load(tmp_path)
    (file,) = tmp_path.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(Library, "compile", lambda self: pytest.fail("compiled again"))
        library.load(tmp_path)
    good = file.read_bytes()
    file.write_bytes(good[:-7])  # a disk that was full, say
    library.load(tmp_path)
    assert file.read_bytes() == good


def test_a_change_of_any_source_makes_other_code(tmp_path: Path) -> None:
    for name, number in (("first", 1), ("second", 2)):
        (tmp_path / f"{name}.py").write_text(f"X = {number}\n")
    modules = [type(sys)(name) for name in ("first", "second")]
    for module in modules:
        module.__file__ = str(tmp_path / f"{module.__name__}.py")
    keys = {Library((_finite,), tuple(modules)).key()}
    for module in modules:
        Path(str(module.__file__)).write_text("X = 3\n")
        keys.add(Library((_finite,), tuple(modules)).key())
    assert len(keys) == 3


def test_functions_of_other_files_are_refused() -> None:
    with pytest.raises(ValueError, match="test_translation"):
        Library((_finite,), (places,)).compile()


def test_without_a_place_to_write_it_works_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    machine = Library((_finite,), (HERE,)).load(tmp_path / "file" / "folder")
    assert ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_double)(machine.addresses[0])(1.0) == 1

"""Functions for numpy: no C compiler is started, and the setting of PyTensor stays what it was."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.configdefaults import config
from pytensor.link.c.basic import CLinker

from bayesglmm.graph.compiler import INTERPRETED, SMALL, UNREWRITTEN, interpreted, without_c


@pytest.mark.parametrize("mode", [INTERPRETED, SMALL, UNREWRITTEN])
def test_operations_with_an_inner_graph_are_not_linked_for_c(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLinker, "make_thunk", lambda *_, **__: pytest.fail("C code"))
    x = pt.dmatrix()
    found = interpreted([x], pt.pad(x, [(1, 0), (0, 2)]), mode)(np.ones((2, 1)))
    np.testing.assert_array_equal(found, np.pad(np.ones((2, 1)), [(1, 0), (0, 2)]))


def test_threads_leave_the_compiler_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "cxx", "c++")
    seen = []

    def work() -> None:
        for _ in range(200):
            with without_c(), without_c():
                seen.append(config.cxx)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {""}
    assert config.cxx == "c++"

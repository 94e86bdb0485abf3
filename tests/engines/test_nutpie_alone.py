"""nutpie is imported without what it does not need, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys

import numpy as np
{before}
from bayesglmm.engines.nutpie_alone import nutpie
loaded = [name for name in ("arviz_stats", "arviz_plots", "matplotlib") if name in sys.modules]
assert bool(loaded) == {whole}, loaded
used = nutpie.sample.__globals__["arviz"]
tree = used.from_dict({{"posterior": {{"x": np.array([[1.0, 2.0]])}}}})
assert float(tree["posterior"]["x"].sum()) == 3.0
assert ("arviz_plots" in sys.modules) == {whole}
import arviz
assert arviz.from_dict is used.from_dict and arviz.summary is used.summary
assert type(arviz).__name__ == "module" and sys.modules["arviz"] is arviz
"""


@pytest.mark.parametrize("before", ["", "import arviz", "import nutpie"])
def test_arviz_is_left_out_and_comes_when_asked_for(before: str) -> None:
    script = SCRIPT.format(before=before, whole=bool(before))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

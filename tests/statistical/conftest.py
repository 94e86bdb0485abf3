"""Makes the files beside the tests importable: the figure's script uses the same functions."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

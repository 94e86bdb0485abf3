"""The cases beside this file can be imported, as in the other folders."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

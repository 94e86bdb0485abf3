"""``python -m bayesglmm``: the command line."""

import sys

from bayesglmm.cli import main

if __name__ == "__main__":
    sys.exit(main())

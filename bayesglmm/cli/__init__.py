"""The command line: ``bayesglmm fit``, ``predict``, ``compare``, ``report``, ``datasets``, ``demo``, ``doctor``.

Commands are thin: they read files, call what Python users call, and show the answer. What takes time is imported
when a command runs.
"""

from bayesglmm.cli.app import main

__all__ = ["main"]

"""A line that says what a long fit is doing: in terminals and notebooks, and only once it has taken two seconds."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from bayesglmm.errors import InterruptedFitError

_QUIET = 2.0  # seconds without a line
_REFRESH = 0.25


class Progress:
    """What a fit is doing, and since when.

    Use it in a ``with`` statement: Ctrl-C inside becomes an `InterruptedFitError` that says how far the fit was.

    Parameters
    ----------
    title : str
        Who works.
    show : bool
        Draw the line; nothing is drawn where nobody would see it move (pipes, files).
    stream : text stream, optional
        Standard error if absent.
    quiet : float
        Seconds before anything is drawn.
    """

    def __init__(self, title: str, show: bool = True, stream: TextIO | None = None, quiet: float = _QUIET) -> None:
        self.title, self.quiet = title, quiet
        self.stream = sys.stderr if stream is None else stream
        self.show = show and moves(self.stream)
        self.start = time.perf_counter()
        self.task, self.evaluations, self.value = "", 0, math.nan
        self._width = 0  # of the line that is on the screen
        self._done = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Progress]:
        """Draw while the body runs.

        Raises
        ------
        InterruptedFitError
            Where the body is interrupted.
        """
        # A thread of its own: the work between two evaluations may take longer than a glance.
        thread = threading.Thread(target=self._draw_on, daemon=True) if self.show else None
        if thread is not None:
            thread.start()
        try:
            yield self
        except KeyboardInterrupt:
            raise InterruptedFitError(f"Interrupted: {self.line()}. There is no partial result to keep.") from None
        finally:
            self._done.set()
            if thread is not None:
                thread.join()
                self._write("")

    def now(self, task: str) -> None:
        """Begin a task."""
        self.task, self.evaluations, self.value = task, 0, math.nan

    def report(self, evaluations: int, value: float) -> None:
        """Note how many evaluations there were, and the last value of what is maximised."""
        self.evaluations = evaluations
        self.value = value if math.isfinite(value) else self.value

    def line(self) -> str:
        """Return the line as text."""
        parts = [f"{self.title}, {self.task}"]
        if self.evaluations:
            parts.append(f"{self.evaluations} evaluations")
        if math.isfinite(self.value):
            parts.append(f"log density {self.value:.2f}")
        return ", ".join([*parts, f"{time.perf_counter() - self.start:.0f} s"])

    def _draw_on(self) -> None:
        if self._done.wait(self.quiet):
            return
        while True:
            self._write(self.line())
            if self._done.wait(_REFRESH):
                return

    def _write(self, text: str) -> None:
        """Replace the line on the screen."""
        if text or self._width:
            blank = " " * max(self._width - len(text), 0)
            self.stream.write(f"\r{text}{blank}" + ("" if text else "\r"))
            self.stream.flush()
        self._width = len(text)


def moves(stream: TextIO | None) -> bool:
    """Return whether a line on this stream can be drawn over: a terminal, or the cell of a notebook."""
    if stream is None:  # a program without a console
        return False
    return stream.isatty() or type(stream).__module__.partition(".")[0] in ("ipykernel", "google")

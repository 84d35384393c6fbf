"""Stops a statement of a page that runs past the page's time to load, so that what follows it can run.

A student leaves a training loop at the end of a notebook: that must not cost the functions above and below it. The
grader owns the clock and asks for the interruption from outside; what is stopped is whatever statement the page is at.
Student code may ignore it or catch it, and then the grader ends the worker as it would have.
"""

import contextlib
import signal
import types
from collections.abc import Container, Iterator


class DidNotEnd(KeyboardInterrupt):
    """Raised in the student's code: the page's time to load is over."""


def ignore() -> None:
    """From now on an interruption that comes too late (the page has just ended) does nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def interruptible(files: Container[str]) -> Iterator[None]:
    """While pages are loaded, an interruption raises DidNotEnd in code that comes from one of `files`."""

    def stop(number: int, frame: types.FrameType | None) -> None:
        while frame is not None and frame.f_code.co_filename not in files:
            frame = frame.f_back
        if frame is not None:  # elsewhere it would hit the worker itself
            raise DidNotEnd

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

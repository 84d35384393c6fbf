"""Looks after a question to a worker while it runs: what it uses, and what is done when its time is over."""

import time
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

PATIENCE = 4  # how often a time limit is granted again on a machine that is too busy
_STOPS = 4  # how many statements of a page that do not end are passed over in one load


class Loading(Struct, frozen=True, kw_only=True):
    """What running a page took, measured outside, and by the worker's word what it printed and was warned of.

    `ended` is false where it did not end in time, or would not have without what was passed over.
    """

    seconds: float
    limit_s: float
    ended: bool = True
    printed_chars: int = 0
    warnings: Sequence[str] = ()


class Asking(Protocol):
    """What is watched of `client.Page`. `ends_at` is when the submission's time is over."""

    ends_at: float

    def look(self) -> None: ...

    def cpu_seconds(self) -> float: ...

    def wants_to_run(self) -> bool: ...

    def interrupt(self) -> bool: ...


class Watch:
    """Looks after one call: what it uses at every tick, and at its end whether the machine was too busy for it."""

    def __init__(self, page: Asking, seconds: float) -> None:
        self._page = page
        self._seconds = seconds
        self._patience = PATIENCE
        self._cpu_s: float | None = None

    def tick(self) -> None:
        self._page.look()
        if self._cpu_s is None:  # not before the first tick: most calls are over by then
            self._cpu_s = self._page.cpu_seconds()

    def more_s(self) -> float:
        """The limit once more for a worker that wanted to run and mostly could not: another's load is not its fault."""
        if self._cpu_s is None or self._patience == 0 or not self._page.wants_to_run():
            return 0.0
        cpu_s = self._page.cpu_seconds()
        used, self._cpu_s = cpu_s - self._cpu_s, cpu_s
        if used > self._seconds / 2:
            return 0.0
        self._patience -= 1
        self._page.ends_at += self._seconds
        return self._seconds


class LoadWatch(Watch):
    """Looks after a page while it is loaded: a statement that does not end is stopped, for what follows it to run."""

    def __init__(self, page: Asking, seconds: float) -> None:
        super().__init__(page, seconds)
        self._stops = _STOPS

    def more_s(self) -> float:
        """The limit once more for the statements that follow, out of what the submission has left."""
        more = super().more_s()
        left_s = self._page.ends_at - time.monotonic()
        if more or self._stops == 0 or left_s < self._seconds or not self._page.interrupt():
            return more
        self._stops -= 1
        return self._seconds

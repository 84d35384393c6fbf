"""What `client.Page` needs of a place that workers come from. `launch.Sandbox` is one, `portable.Children` another."""

import socket
from typing import Protocol

from autograder.policies import Limits


class SandboxError(Exception):
    """The sandbox did not start, or its forkserver stopped answering. Our fault or the machine's, never a student's."""


class Workers(Protocol):
    """One worker at a time, and what it uses. A context manager."""

    rung: str
    limits: Limits
    privileged: bool

    def __enter__(self) -> "Workers": ...

    def __exit__(self, *exc: object) -> None: ...

    def fork_worker(self, limits: Limits | None = None, shared: int | None = None) -> socket.socket:
        """End what runs, start a fresh worker, and return the grader's end of its connection."""

    def wipe(self) -> None:
        """End the worker and everything that it left behind."""

    def interrupt(self) -> bool:
        """Interrupt the statement of a page that the worker is at. False where that cannot be."""

    def left_behind(self) -> bool:
        """Whether anything runs besides the one worker."""

    def memory_bytes(self, limit_bytes: int = 0) -> int:
        """Memory of everything that runs, but what a worker takes when it has nothing to do."""

    def cpu_seconds(self) -> float:
        """Processor time that everything alive has used."""

    def wants_to_run(self) -> bool:
        """Whether anything runs or waits for a processor, rather than for something to happen."""

    def scratch_bytes(self) -> int:
        """What the worker has on disk."""

    def restart(self) -> None:
        """Kill everything, whatever state it is in, and start afresh."""

    def close(self) -> None:
        """Kill everything and remove its files."""

"""A page of our own (a solution, a misconception) behind the interface of `client.Page`, without a wall.

Never for a submission: the code runs in this process.
"""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from autograder import course
from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.callbacks import run_callback
from autograder.sandbox.client import Page, nonce
from autograder.sandbox.warm import interpret_kernels
from autograder.sandbox.worker import Session


class LocalPage(Page):
    """A page of ours (a solution, a misconception) run in this process, behind the same interface. No wall."""

    def __init__(self, name: str, sources: Sequence[wire.Source], symbols: Sequence[str], limits: Limits) -> None:
        interpret_kernels()  # as behind the wall
        super().__init__(None, name, sources, symbols, limits)  # type: ignore[arg-type]  # it never forks
        self._callbacks: list[Callable[..., Any]] = []
        self._session = Session(self._ask)

    @classmethod
    def of(cls, page: course.Page, cells: list[str], limits: Limits) -> "LocalPage":
        """A page of the course, made of these cells."""
        return cls(page.name, [wire.Source(page.name, cells)], page.asked_names, limits)

    def close(self) -> None:
        """Nothing to end."""

    def load(self) -> None:
        """Run the page once."""
        if self._generation:
            return
        self._generation = 1
        request = wire.Load(nonce(), self.name, self._sources, self._symbols)
        reply, _ = self._session.handle(request, memoryview(b""))
        assert isinstance(reply, wire.Loaded)
        self.problems, self._defined = reply.problems, set(reply.defined)

    def _exchange(
        self, request: wire.Request, chunks: list[bytes], callbacks: list[Callable[..., Any]], what: str
    ) -> tuple[wire.Reply, memoryview, list[Callable[..., Any]]]:
        self._callbacks = callbacks
        reply, answer = self._session.handle(request, memoryview(b"".join(chunks)))
        return reply, memoryview(b"".join(answer)), callbacks

    def _ask(self, ask: wire.Ask, chunks: list[bytes]) -> tuple[wire.Answer, memoryview]:
        callbacks, limit_s = self._callbacks, self.limits.call_wall_s
        answer, payload = run_callback(ask, memoryview(b"".join(chunks)), callbacks, limit_s)
        return answer, memoryview(b"".join(payload))

    def adopt(self, module: ModuleType, namespace: dict[str, Any]) -> None:
        """Use names that exist already, a notebook's for example, as the page."""
        module.__dict__.update(namespace)
        self._session.adopt(self.name, module)
        self._defined, self._generation = set(namespace), 1

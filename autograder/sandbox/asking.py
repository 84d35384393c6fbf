"""The grader's end of `turns`: asks for one turn of an announced function, within the page's limits."""

from collections.abc import Sequence
from typing import Any

from autograder.sandbox import wire
from autograder.sandbox.channel import deadline
from autograder.sandbox.client import LOOK_EVERY_S, Page, Remote, nonce
from autograder.sandbox.failures import StudentBroke, StudentError, raise_failure
from autograder.sandbox.packing import Packer
from autograder.sandbox.shared import Laid, Memory
from autograder.sandbox.turns import DONE, GO, RAISED


class Asking:
    """One function of a page, or with None nothing at all: a worker that answers at once."""

    def __init__(self, page: Page, symbol: str | None, memory: Memory, device: str = "", links: int = 1) -> None:
        self._page, self._symbol, self._memory = page, symbol, memory
        self._device, self._links = device, links
        self._worker: object = None  # the connection to the worker that knows the announcement
        page.shared = memory.descriptor

    @property
    def known(self) -> bool:
        """Whether the worker at hand knows what it will be asked."""
        return self._worker is not None and self._worker is self._page._channel

    def announce(self, positions: Sequence[int], arguments: Laid, fixed: Sequence[Any], results: Laid) -> None:
        """Start a worker and say what turns will be about. Raises StudentError."""
        page = self._page
        page.close()  # one in the middle of turns understands nothing else
        page.load()
        target = None if self._symbol is None else wire.Target(None, [self._symbol])
        if target is not None:
            page._prepare(Remote(page, target))
        request = wire.Time(
            id=nonce(),
            target=target,
            memory=self._memory.described(),
            arguments=list(arguments),
            positions=list(positions),
            fixed=Packer().pack(tuple(fixed)),  # type: ignore[arg-type]
            results=list(results),
            device=self._device,
            links=self._links,
        )
        reply, _, _ = page._exchange(request, [], [], self._name())
        if isinstance(reply, wire.Raised):
            raise_failure(reply)
        self._worker = page._channel

    def ready(self) -> None:
        """Before the clock starts: nothing was said unasked, and nothing has grown beyond its limit."""
        page = self._page
        try:
            page.look_now_and_then()
            # SECURITY: a byte that came before the question would be an answer before the work
            if page._channel is None or not page._channel.idle():
                raise StudentBroke(f"{self._name()}: the process spoke before it was asked")
        except StudentError:
            page.end()
            raise

    def turn(self) -> None:
        """One byte there, one byte back. Raises StudentError."""
        page, channel = self._page, self._page._channel
        assert channel is not None
        budget = min(page.limits.call_wall_s, page.left_s())
        wait = deadline(budget, LOOK_EVERY_S, on_tick=page.look)
        with page.ending_what_fails(self._name(), budget):
            channel.sock.send(GO)
            said = channel.read(1, wait)
            if said == RAISED:
                reply, _ = channel.receive(wire.Reply, wait)
                page.end()
                if isinstance(reply, wire.Raised):
                    raise_failure(reply)
            if said != DONE:
                raise StudentBroke(f"{self._name()}: an answer that is none")

    def _name(self) -> str:
        return self._symbol or "nothing"

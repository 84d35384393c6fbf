"""What a page makes of answers that a worker of ours would never give: the call fails, and nothing of ours does."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.channel import Channel, no_deadline
from autograder.sandbox.client import Page, Remote
from autograder.sandbox.failures import StudentBroke
from tests.frames import frame

LIMITS = Limits(call_wall_s=20.0)


class Liar:
    """Stands in for a sandbox: its worker loads the page properly and answers every call with `lie(request)`."""

    def __init__(self, lie: Callable[[Any], bytes], after_loading: bytes = b"") -> None:
        self._lie = lie
        self._after_loading = after_loading

    def fork_worker(self, limits: Limits, shared: int | None = None) -> socket.socket:
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours

    def _serve(self, sock: socket.socket) -> None:
        channel = Channel(sock)
        with sock, contextlib.suppress(EOFError, OSError):  # where the page hangs up, as it should
            load, _ = channel.receive(wire.Request, no_deadline)
            sock.sendall(sent(wire.Loaded(load.id, [], ["f"])) + self._after_loading)
            request, _ = channel.receive(wire.Request, no_deadline)
            sock.sendall(self._lie(request))

    def memory_bytes(self, limit_bytes: int = 0) -> int:
        return 0

    def wipe(self) -> None:
        """Nothing is running."""

    def scratch_bytes(self) -> int:
        return 0


def sent(reply: wire.Reply, payload: bytes = b"") -> bytes:
    return frame(msgspec.msgpack.encode(reply), payload)


def call(liar: Liar) -> Any:
    page = Page(liar, "page", [wire.Source("page", [""])], ["f"], LIMITS)  # type: ignore[arg-type]
    page.load()
    return Remote(page, wire.Target(None, ["f"]))(1)


def test_a_true_answer() -> None:
    """The stand-in is believed when it answers as a worker does."""
    assert call(Liar(lambda request: sent(wire.Done(request.id, 5)))) == 5


def test_an_answer_of_another_kind() -> None:
    """An answer to `load` is none to a call."""
    with pytest.raises(StudentBroke, match="not the kind of answer"):
        call(Liar(lambda request: sent(wire.Loaded(request.id, [], ["f"]))))


def test_an_answer_to_another_question() -> None:
    """The number of the question must be repeated: it cannot be guessed, so no answer can be prepared."""
    with pytest.raises(StudentBroke, match="an answer to another question"):
        call(Liar(lambda request: sent(wire.Done(request.id + 1, 5))))


def test_an_answer_with_bytes_left_over() -> None:
    """Bytes that belong to no array make the whole answer unreadable."""
    with pytest.raises(StudentBroke, match="bytes of payload belong to nothing"):
        call(Liar(lambda request: sent(wire.Done(request.id, 5), b"x")))


def test_an_answer_before_the_question() -> None:
    """What came before a question was asked is no answer to it, and ends the worker."""
    with pytest.raises(StudentBroke, match="spoke before it was asked"):
        call(Liar(lambda request: sent(wire.Done(request.id, 5)), after_loading=sent(wire.Done(1, 5))))

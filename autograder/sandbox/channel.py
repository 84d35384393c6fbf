"""One end of the socket between a client and its worker: how a message travels.

A frame is `<header length><payload length><header><payload>`: the header is one message, the payload its arrays. The
lengths are checked against `Caps` before anything is allocated. Shared by both sides.
"""

import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from autograder.sandbox import wire
from autograder.sandbox.wire import WireError

_FRAME = struct.Struct("<II")
_encode = msgspec.msgpack.Encoder().encode
_decoders = {kind: msgspec.msgpack.Decoder(kind) for kind in (wire.Request, wire.Reply)}


class Caps(Struct, frozen=True):
    """The largest frame that is read."""

    header_bytes: int = 4 << 20
    payload_bytes: int = 64 << 20


class Channel:
    """One end of the socket between a client and its worker: whole frames, with a deadline for every byte."""

    def __init__(self, sock: socket.socket, caps: Caps | None = None) -> None:
        self.sock = sock
        self._caps = caps or Caps()
        sock.setblocking(False)

    def send(self, message: wire.Request | wire.Reply, chunks: list[bytes], wait: Callable[[], float | None]) -> None:
        """Write one frame. `wait` gives the seconds until the next look at the clock, and raises when time is up."""
        header = _encode(message)
        size = sum(map(len, chunks))
        if len(header) > self._caps.header_bytes or size > self._caps.payload_bytes:
            raise WireError(
                f"{(len(header) + size) / 2**20:.1f} MiB do not fit through the wall (at most "
                f"{self._caps.payload_bytes / 2**20:.0f} MiB of arrays, "
                f"{self._caps.header_bytes / 2**20:.0f} MiB of everything else)"
            )
        data = memoryview(b"".join((_FRAME.pack(len(header), size), header, *chunks)))
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                select.select([], [self.sock], [], wait())

    def receive(self, kind: Any, wait: Callable[[], float | None]) -> tuple[Any, memoryview]:
        """Read one frame of the union `kind`: message and payload. Raises WireError, or EOFError when closed."""
        header_size, payload_size = _FRAME.unpack(self._read(_FRAME.size, wait))
        if header_size > self._caps.header_bytes or payload_size > self._caps.payload_bytes:
            raise WireError(f"a frame announces {(header_size + payload_size) / 2**20:.0f} MiB")
        header = self._read(header_size, wait)
        payload = self._read(payload_size, wait)
        try:
            return _decoders[kind].decode(header), payload
        except (msgspec.DecodeError, RecursionError, ValueError, OverflowError) as error:
            raise WireError(f"a message that cannot be decoded: {str(error)[:200]}") from None

    def idle(self) -> bool:
        """True when nothing waits to be read; a reply nobody asked for makes it False."""
        return not select.select([self.sock], [], [], 0)[0]

    def read(self, size: int, wait: Callable[[], float | None]) -> bytes:
        """Exactly `size` bytes outside of any frame. Raises EOFError when closed."""
        return bytes(self._read(size, wait))

    def _read(self, size: int, wait: Callable[[], float | None]) -> memoryview:
        data = memoryview(bytearray(size))
        done = 0
        while done < size:
            try:
                count = self.sock.recv_into(data[done:])
            except BlockingIOError:
                select.select([self.sock], [], [], wait())
                continue
            if count == 0:
                raise EOFError("the other end closed the connection")
            done += count
        return data


def no_deadline() -> float | None:
    """The worker waits as long as it takes; the grader owns the clock."""
    return None


def deadline(
    seconds: float,
    tick_s: float = 0.1,
    on_tick: Callable[[], None] | None = None,
    more_s: Callable[[], float] | None = None,
) -> Callable[[], float]:
    """A `wait` that raises TimeoutError after `seconds`, and calls `on_tick` (watching memory) every `tick_s`.

    At the end `more_s` may grant further seconds; 0 is the end.
    """
    end = time.monotonic() + seconds
    next_tick = time.monotonic() + tick_s

    def wait() -> float:
        nonlocal next_tick, end
        now = time.monotonic()
        if now >= end:
            end = now + (more_s() if more_s is not None else 0.0)
            if now >= end:
                raise TimeoutError
        if now >= next_tick:  # by the clock, not at every wait: a call that asks the grader a lot waits a lot
            next_tick = now + tick_s
            if on_tick is not None:
                on_tick()
        return min(end, next_tick) - now

    return wait

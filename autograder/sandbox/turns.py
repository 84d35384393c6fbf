"""Inside the wall: turns of a timed function. One byte asks, one byte answers; the arrays lie in shared memory.

The grader announces once which function is meant and where its arguments and results lie (`wire.Time`), and then asks
turn after turn. What is said here is believed by nobody: what counts is what stands in the shared results when the
grader takes its copy.
"""

import math
import mmap
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

import torch

from autograder.sandbox import wire
from autograder.sandbox.driver import Driver, tensor_at

GO, DONE, RAISED, LEAVE = b"\x01", b"\x01", b"\x02", b"\x03"
DESCRIPTOR = 4  # where the shared memory lies open in a worker


def open_memory(memory: wire.Memory) -> torch.Tensor:
    """The shared memory as bytes."""
    if memory.kind != "machine":
        torch.zeros(1, device="cuda")  # makes torch's context the current one
        by_handle = memory.kind == "handle"
        address = Driver().open(memory.handle) if by_handle else Driver().adopt(DESCRIPTOR, memory.nbytes)
        return tensor_at(address, memory.nbytes)
    try:
        mapped = mmap.mmap(DESCRIPTOR, memory.nbytes)
    finally:
        os.close(DESCRIPTOR)
    return torch.frombuffer(mapped, dtype=torch.uint8)


def view(memory: torch.Tensor, slot: wire.Slot) -> torch.Tensor:
    """The tensor that lies in a slot, without a copy."""
    dtype: torch.dtype = getattr(torch, slot.dtype)
    return memory[slot.offset : slot.offset + math.prod(slot.shape) * dtype.itemsize].view(dtype).view(slot.shape)


class Turns:
    """One announced function. The shared memory stays open from one announcement to the next."""

    def __init__(self) -> None:
        self._memory: torch.Tensor | None = None

    def announce(self, request: wire.Time, function: Callable[..., Any] | None, fixed: Sequence[Any]) -> None:
        """Make ready for turns. Without a function, a turn is answered at once (what the sandwich alone costs)."""
        if self._memory is None:
            self._memory = open_memory(request.memory)
        self._function, self._links = function, request.links
        self._device = torch.device(request.device) if request.device else self._memory.device
        if self._device.type == "cuda":
            torch.zeros(1, device=self._device)  # what a context takes is taken before any turn
        self._results = [view(self._memory, slot) for slot in request.results]
        self._arguments: list[Any] = list(fixed)
        for position, slot in zip(request.positions, request.arguments, strict=True):
            self._arguments.insert(position, view(self._memory, slot))

    def turn(self) -> None:
        """Call the function on what lies there now, and lay down what it returns."""
        if self._function is None:
            return
        arguments = [a.to(self._device) if isinstance(a, torch.Tensor) else a for a in self._arguments]
        for link in range(self._links):
            found = self._function(*arguments)
            values = list(found) if isinstance(found, list | tuple) else [found]
            if link + 1 < self._links:
                arguments[0] = next_query(arguments[0], values[0])
        if len(values) != len(self._results):
            raise ValueError(f"{len(values)} values were returned; {len(self._results)} are asked for")
        for result, value in zip(self._results, values, strict=True):
            if not isinstance(value, torch.Tensor) or value.shape != result.shape or value.dtype != result.dtype:
                what = (
                    f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
                )
                raise ValueError(f"{what} was returned; {result.dtype} {tuple(result.shape)} is asked for")
            result.copy_(value)
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def next_query(q: torch.Tensor, o: torch.Tensor) -> torch.Tensor:
    """The query of the next link of a chain: unit_rms(q + 4 o / rms(o)) in float32 or wider, in q's dtype.

    `rms(o)` is over the whole tensor and unit_rms over each row: queries stay as large as random ones, and each link
    depends on all of the one before.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    mixed = q.to(wide) + 4 * o.to(wide) / o.to(wide).square().mean().sqrt()
    return (mixed / mixed.square().mean(-1, keepdim=True).sqrt()).to(q.dtype)


def serve(sock: socket.socket, turn: Callable[[], None]) -> BaseException | None:
    """Take turns until the grader has enough (None), or until one raises (that exception, already told by a byte)."""
    while True:
        select.select([sock], [], [])
        asked = sock.recv(1)
        if asked != GO:
            return None
        try:
            turn()
        except BaseException as error:  # SystemExit of a student is an answer like any other
            sock.send(RAISED)
            return error
        sock.send(DONE)

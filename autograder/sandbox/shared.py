"""Memory that the grader shares with one worker: of the machine, or of a GPU. The outer end of `turns`."""

import fcntl
import math
import mmap
import os
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from autograder.sandbox import wire
from autograder.sandbox.driver import Driver, tensor_at
from autograder.sandbox.turns import view

_ALIGNED = 256  # bytes; what torch aligns its own tensors to on a GPU


class Memory(Protocol):
    """Shared bytes, and what a worker is told of them."""

    bytes: torch.Tensor
    descriptor: int | None

    def described(self) -> wire.Memory:
        """For the worker."""

    def sync(self) -> None:
        """Wait until what was copied here has arrived."""

    def close(self) -> None:
        """Give it back."""


class MachineMemory:
    """Anonymous memory of the machine; the worker gets its descriptor at birth."""

    def __init__(self, size: int) -> None:
        size = max(size, mmap.PAGESIZE)
        self.descriptor: int | None = os.memfd_create("turns", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.descriptor, size)
        # SECURITY: a worker that could shrink it would end the grader with a bus error at its next look
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        self._size = size
        self.bytes = torch.frombuffer(mmap.mmap(self.descriptor, size), dtype=torch.uint8)

    def described(self) -> wire.Memory:
        """For the worker."""
        return wire.Memory("machine", self._size)

    def sync(self) -> None:
        """A copy of the CPU's is done when it returns."""

    def close(self) -> None:
        """Give it back once nobody looks at it any more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class CudaMemory:
    """A block of the GPU's memory of its own, by its descriptor. Raises DriverError where that cannot be had."""

    def __init__(self, size: int, driver: Driver | None = None) -> None:
        torch.zeros(1, device="cuda")  # makes torch's context the current one
        self._driver, self._size = driver or Driver(), size
        self._address, opened = self._driver.create(size)
        self.descriptor: int | None = opened
        self.bytes = tensor_at(self._address, size)

    def described(self) -> wire.Memory:
        """For the worker."""
        return wire.Memory("card", self._size)

    def sync(self) -> None:
        """Wait for this process's own work; no other process can be waited for, and none has to be."""
        torch.cuda.synchronize()

    def close(self) -> None:
        """Give the block up."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None
            self._driver.unmap(self._address, self._size)


class CudaHandleMemory:
    """As CudaMemory, by a handle: for drivers without virtual memory management. Not between PID namespaces."""

    def __init__(self, size: int, driver: Driver | None = None) -> None:
        torch.zeros(1, device="cuda")
        self.descriptor: int | None = None
        self._driver, self._size = driver or Driver(), size
        self._address = self._driver.allocate(size)
        self._handle = self._driver.export(self._address)
        self.bytes = tensor_at(self._address, size)

    def described(self) -> wire.Memory:
        """For the worker."""
        return wire.Memory("handle", self._size, self._handle)

    def sync(self) -> None:
        """As of CudaMemory."""
        torch.cuda.synchronize()

    def close(self) -> None:
        """Free the block."""
        self._driver.free(self._address)


class Laid(list[wire.Slot]):
    """Slots one behind the other, from `start` on; `end` is the first byte behind them."""

    def __init__(self, specs: Sequence[tuple[Sequence[int], torch.dtype]], start: int = 0) -> None:
        super().__init__()
        self.end = start
        for shape, dtype in specs:
            offset = -(-self.end // _ALIGNED) * _ALIGNED
            self.append(wire.Slot(offset, list(shape), str(dtype).removeprefix("torch.")))
            self.end = offset + math.prod(shape) * dtype.itemsize

    def views(self, memory: Memory) -> list[torch.Tensor]:
        """The tensors that lie there."""
        return [view(memory.bytes, slot) for slot in self]


def spec_of(tensor: Any) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and dtype of a tensor."""
    return tuple(tensor.shape), tensor.dtype

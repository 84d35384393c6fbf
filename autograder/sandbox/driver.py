"""Memory of a GPU that two processes share: the calls of the CUDA driver that this takes, and no others.

The driver's interface is the same for every torch: `libcuda.so.1` is found by that name wherever a driver is installed.
Source: CUDA Driver API, "Memory Management" (cuMemAlloc, cuIpcGetMemHandle, cuIpcOpenMemHandle, cuIpcCloseMemHandle).

Shared by both sides. Unmeasured: no part of this has met a GPU yet; the tests put another library in its place.
"""

import ctypes
from typing import Any

HANDLE_BYTES = 64  # CU_IPC_HANDLE_SIZE
_LAZY_PEER_ACCESS = 1  # CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, the one flag that is allowed
# SECURITY: the driver exports the whole block that an allocation lies in. Blocks of this size hold nothing else.
_BLOCK = 2 << 20


class DriverError(Exception):
    """The driver refused a call; without it, or on a card that cannot share (MIG, Tegra), the chain is used instead."""


class Handle(ctypes.Structure):
    """CUipcMemHandle, which the driver takes by value."""

    _fields_ = (("reserved", ctypes.c_char * HANDLE_BYTES),)


class Driver:
    """The calls, on the context that is current in this thread (torch makes its own current: touch it before)."""

    def __init__(self, library: Any = None) -> None:
        if library is None:
            try:
                library = ctypes.CDLL("libcuda.so.1")
            except OSError as error:
                raise DriverError(f"no CUDA driver: {error}") from None
        self._library = library

    def allocate(self, size: int) -> int:
        """The address of a block of its own, at least `size` bytes."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(-(-size // _BLOCK) * _BLOCK))
        return address.value

    def free(self, address: int) -> None:
        """Give a block back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def export(self, address: int) -> bytes:
        """The handle by which another process opens the block."""
        handle = Handle()
        self._call("cuIpcGetMemHandle", ctypes.byref(handle), ctypes.c_uint64(address))
        return bytes(bytearray(handle))

    def open(self, handle: bytes) -> int:
        """The address, in this process, of a block that another process has exported."""
        address = ctypes.c_uint64()
        given = Handle.from_buffer_copy(handle)
        self._call("cuIpcOpenMemHandle_v2", ctypes.byref(address), given, ctypes.c_uint(_LAZY_PEER_ACCESS))
        return address.value

    def close(self, address: int) -> None:
        """Forget a block that was opened."""
        self._call("cuIpcCloseMemHandle", ctypes.c_uint64(address))

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            raise DriverError(f"{name} failed with CUDA error {code}")


class Block:
    """A stretch of GPU memory as torch takes it over without a copy: `torch.as_tensor(Block(...), device="cuda")`.

    Source: CUDA Array Interface, version 2 (Numba's documentation).
    """

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 2,
        }

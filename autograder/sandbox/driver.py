"""Memory of a GPU that two processes share: the calls of the CUDA driver that this takes, and no others.

There are two ways. A *descriptor* travels like any open file, also into another PID namespace, as bubblewrap makes one.
A *handle* is bytes, and only opens in the PID namespace that it was made in (openucx/ucx pull request 11514).

The driver's interface is the same for every torch: `libcuda.so.1` is found by that name wherever a driver is installed.
Sources: CUDA Driver API, "Virtual Memory Management" (cuMemCreate and what follows, since CUDA 10.2) and "Memory
Management" (cuMemAlloc, cuIpc...); the layouts are those of cuda.h, with which a test compares them.

Shared by both sides. Unmeasured: no part of this has met a GPU yet; the tests put another library in its place.
"""

import ctypes
from typing import Any

import torch

HANDLE_BYTES = 64  # CU_IPC_HANDLE_SIZE
_LAZY_PEER_ACCESS = 1  # CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, the one flag that is allowed
# SECURITY: the driver exports the whole block that an allocation lies in. Blocks of this size hold nothing else.
_BLOCK = 2 << 20
_PINNED = 1  # CU_MEM_ALLOCATION_TYPE_PINNED
_DESCRIPTOR = 1  # CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
_ON_DEVICE = 1  # CU_MEM_LOCATION_TYPE_DEVICE
_READ_WRITE = 3  # CU_MEM_ACCESS_FLAGS_PROT_READWRITE
_MINIMUM = 0  # CU_MEM_ALLOC_GRANULARITY_MINIMUM


class DriverError(Exception):
    """The driver refused a call; without it, or on a card that cannot share (Tegra), the chain is used instead."""


class Handle(ctypes.Structure):
    """CUipcMemHandle, which the driver takes by value."""

    _fields_ = (("reserved", ctypes.c_char * HANDLE_BYTES),)


class Location(ctypes.Structure):
    """CUmemLocation."""

    _fields_ = (("type", ctypes.c_int), ("id", ctypes.c_int))


class Properties(ctypes.Structure):
    """CUmemAllocationProp."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("requestedHandleTypes", ctypes.c_int),
        ("location", Location),
        ("win32HandleMetaData", ctypes.c_void_p),
        ("allocFlags", ctypes.c_ubyte * 8),
    )


class Access(ctypes.Structure):
    """CUmemAccessDesc."""

    _fields_ = (("location", Location), ("flags", ctypes.c_int))


class Driver:
    """The calls, on the context that is current in this thread (torch makes its own current: touch it before)."""

    def __init__(self, library: Any = None) -> None:
        if library is None:
            try:
                library = ctypes.CDLL("libcuda.so.1")
            except OSError as error:
                raise DriverError(f"no CUDA driver: {error}") from None
        self._library = library

    # -- by descriptor

    def create(self, size: int) -> tuple[int, int]:
        """A block of its own, at least `size` bytes: its address here, and the descriptor that another process adopts.

        The descriptor is the caller's to close.
        """
        properties = Properties(_PINNED, _DESCRIPTOR, self._here())
        handle, descriptor = ctypes.c_uint64(), ctypes.c_int(-1)
        whole = self._whole(size)
        self._call("cuMemCreate", ctypes.byref(handle), whole, ctypes.byref(properties), ctypes.c_ulonglong(0))
        try:
            self._call(
                "cuMemExportToShareableHandle", ctypes.byref(descriptor), handle, _DESCRIPTOR, ctypes.c_ulonglong(0)
            )
            return self._map(handle, whole), descriptor.value
        finally:  # what is mapped or exported stays
            self._call("cuMemRelease", handle)

    def adopt(self, descriptor: int, size: int) -> int:
        """The address, in this process, of a block whose descriptor another process has made."""
        handle = ctypes.c_uint64()
        self._call("cuMemImportFromShareableHandle", ctypes.byref(handle), ctypes.c_void_p(descriptor), _DESCRIPTOR)
        try:
            return self._map(handle, self._whole(size))
        finally:
            self._call("cuMemRelease", handle)

    def unmap(self, address: int, size: int) -> None:
        """Give up a block that was created or adopted; it is gone when nobody maps it and no descriptor is open."""
        whole = self._whole(size)
        self._call("cuMemUnmap", ctypes.c_uint64(address), whole)
        self._call("cuMemAddressFree", ctypes.c_uint64(address), whole)

    def _map(self, handle: ctypes.c_uint64, whole: ctypes.c_size_t) -> int:
        address, nothing = ctypes.c_uint64(), ctypes.c_ulonglong(0)
        self._call("cuMemAddressReserve", ctypes.byref(address), whole, ctypes.c_size_t(0), ctypes.c_uint64(0), nothing)
        self._call("cuMemMap", address, whole, ctypes.c_size_t(0), handle, nothing)
        access = Access(self._here(), _READ_WRITE)
        self._call("cuMemSetAccess", address, whole, ctypes.byref(access), ctypes.c_size_t(1))
        return address.value

    def _here(self) -> Location:
        device = ctypes.c_int()
        self._call("cuCtxGetDevice", ctypes.byref(device))
        return Location(_ON_DEVICE, device.value)

    def _whole(self, size: int) -> ctypes.c_size_t:
        """`size` in whole pages of the card."""
        page = ctypes.c_size_t()
        properties = Properties(_PINNED, _DESCRIPTOR, self._here())
        self._call("cuMemGetAllocationGranularity", ctypes.byref(page), ctypes.byref(properties), _MINIMUM)
        return ctypes.c_size_t(-(-size // page.value) * page.value)

    # -- by handle

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
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise DriverError(f"the CUDA driver has no {name}: it is older than CUDA 10.2") from None
        code = function(*arguments)
        if code != 0:
            raise DriverError(f"{name} failed with CUDA error {code}")


def tensor_at(address: int, size: int) -> torch.Tensor:
    """The bytes at an address of the current card, as a tensor without a copy.

    The card is named with its number: then torch need not ask whose memory it is.
    """
    return torch.as_tensor(_Block(address, size), device=torch.device("cuda", torch.cuda.current_device()))


class _Block:
    """A stretch of GPU memory as torch takes it over: CUDA Array Interface, version 2 (Numba's documentation)."""

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 2,
        }

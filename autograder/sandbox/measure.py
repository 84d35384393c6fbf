"""Counts what a call makes and does: memory that torch takes, and loads, stores and products of interpreted kernels.

Runs inside the worker, next to the student's code, which could switch it off: what is counted here explains a failure;
what must not be forged is tried under a memory limit as well.

Memory is counted in bytes of storages that did not exist before the call:

    largest_bytes   the largest single one
    peak_bytes      the most that was alive at once
    kept_bytes      alive when the call (without its gradients) returned: its result, and what autograd keeps

    product_flops   floating-point operations of torch's matrix products (`@`, einsum, ...); a multiply-add is two

    held_items      of a stream among the arguments: arrays that the code still held when it asked for the next one

Kernels in Triton's interpreter (`TRITON_INTERPRET=1`) add, masked lanes not counted:

    dots, dot_flops               products of tiles, and their floating-point operations
    loaded_bytes, stored_bytes    what was read and written, atomics apart
    wild_loads                    lanes that read no tensor which the kernel was given; they read 0
    shared_stores                 lanes that store where another program of the same launch has stored: on a GPU, a race
    launches, programs            kernel launches, and the largest number of programs in one
    readers                       programs of one launch that read the largest tensor among the arguments (of several
                                  equally large ones, the one with the fewest)

Whether counted or not, every access of an interpreted kernel is looked at first (`guarded`): a load beside the tensors
reads 0, and a store beside them raises `StrayStore`. Otherwise it would write into the worker's heap, and what fails
then is some later call, perhaps of another exercise.
"""

import contextlib
import ctypes
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

_M_MMAP_THRESHOLD, _SMALL_BYTES = -3, 1 << 17  # of <malloc.h>; and where it stands at first
_KERNELS = ("dots", "dot_flops", "loaded_bytes", "stored_bytes", "wild_loads", "shared_stores")


class StrayStore(BaseException):
    """A kernel stores where no tensor is. No Exception: the interpreter would wrap it, and lose the student's line."""


def leave_no_holes() -> None:
    """From now on memory of 128 KiB or more goes back to the system when it is freed.

    Otherwise glibc keeps it, and a result of some bytes that was made meanwhile keeps the next tensor of the same size
    from fitting in (2.36): going through 6000 rows in strips took as much as all of their scores. It costs time, so it
    is not done where a call may be timed.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # another libc
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _SMALL_BYTES)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """No interpreted kernel reads or writes beside its tensors meanwhile. Nothing is counted."""
    kernels = _Kernels()
    kernels.install()
    try:
        yield
    finally:
        kernels.remove()


class Meter:
    """Counts while its `with` block runs; a second block (the gradients) adds to the first."""

    def __init__(self, arguments: Any) -> None:
        self._storages = _Storages({t.untyped_storage()._cdata for t in _tensors(arguments)})
        self._kernels = _Kernels(_largest(arguments))
        self._entered = 0

    def __enter__(self) -> None:
        self._entered += 1
        self._kernels.install()
        self._storages.__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *exc: Any) -> None:
        self._storages.__exit__(*exc)  # type: ignore[no-untyped-call]
        self._kernels.remove()
        if self._entered == 1:
            self._storages.kept = self._storages.alive()

    def counts(self, **others: int) -> dict[str, int]:
        """Everything that was counted, here and by others."""
        memory = {"largest": self._storages.largest, "peak": self._storages.peak, "kept": self._storages.kept}
        seen = {f"{name}_bytes": count for name, count in memory.items()}
        return {**seen, "product_flops": self._storages.product_flops, **self._kernels.counts, **others}


_PRODUCTS: dict[
    Any, int
] = {  # the matrix products that others are made of, and at which argument their two factors stand
    torch.ops.aten.mm: 0,
    torch.ops.aten.bmm: 0,
    torch.ops.aten.mv: 0,
    torch.ops.aten.dot: 0,
    torch.ops.aten.addmm: 1,
    torch.ops.aten.baddbmm: 1,
    torch.ops.aten.addmv: 1,
}


class _Storages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the result of every operation."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = known
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.largest = self.peak = self.kept = self.product_flops = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        factors = _PRODUCTS.get(getattr(function, "overloadpacket", None))
        if factors is not None:
            self.product_flops += 2 * args[factors].numel() * _columns(args[factors + 1])
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known and storage._cdata not in self._alive:
                size = storage.nbytes()
                self._alive[storage._cdata] = StorageWeakRef(storage), size  # type: ignore[no-untyped-call]
                self.largest = max(self.largest, size)
                self.peak = max(self.peak, self.alive())
        return result

    def alive(self) -> int:
        """Bytes of the storages that are still there."""
        self._alive = {key: pair for key, pair in self._alive.items() if not pair[0].expired()}  # type: ignore[no-untyped-call]
        return sum(size for _, size in self._alive.values())


def _columns(factor: Any) -> int:
    """Of the right factor of a product; a vector is one."""
    return int(factor.shape[-1]) if factor.ndim > 1 else 1


class _Kernels:
    """Stands between kernels and the interpreter's builder, where Triton has been imported.

    Args:
        watched: where the storages begin whose readers are counted; None: nothing is counted.
    """

    def __init__(self, watched: list[int] | None = None) -> None:
        self.counts = dict.fromkeys((*_KERNELS, "launches", "programs", "readers"), 0)
        self._interpreter: Any = sys.modules.get("triton.runtime.interpreter")
        self._undo: list[Callable[[], None]] = []
        self._ranges = np.empty((0, 2), np.int64)  # [first byte, one past the last) of what the launch was given
        self._owners: dict[int, np.ndarray[Any, Any]] = {}
        self._is_counting = watched is not None
        self._readers: dict[int, set[int]] = {start: set() for start in watched or []}  # of this launch
        self._most_readers = dict.fromkeys(watched or [], 0)  # of any launch so far

    def install(self) -> None:
        if self._interpreter is None:
            return
        builder, executor = type(self._interpreter.interpreter_builder), self._interpreter.GridExecutor
        self._replace(builder, "create_masked_load", self._load)
        self._replace(builder, "create_masked_store", self._store)
        self._replace(builder, "create_atomic_rmw", self._atomic)
        self._replace(executor, "_init_args_hst", self._arguments)
        if self._is_counting:
            self._replace(builder, "create_dot", self._dot)
            self._replace(builder, "set_grid_dim", self._grid)

    def remove(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _replace(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        original = getattr(owner, name)
        setattr(owner, name, lambda *args, **kwargs: wrapper(original, *args, **kwargs))
        self._undo.append(lambda: setattr(owner, name, original))

    def _grid(self, original: Any, builder: Any, *dims: int) -> Any:
        self.counts["launches"] += 1
        self.counts["programs"] = max(self.counts["programs"], math.prod(map(int, dims)))
        return original(builder, *dims)

    def _arguments(self, original: Any, executor: Any, args: Any, kwargs: Any) -> Any:
        given = original(executor, args, kwargs)
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(given)}
        ranges = [(start, start + size) for start, size in sorted(storages.items())]
        self._ranges = np.array(ranges, np.int64).reshape(-1, 2)
        self._owners = {}
        self._readers = {start: set() for start in self._readers}
        return given

    def _dot(self, original: Any, builder: Any, a: Any, b: Any, *rest: Any) -> Any:
        self.counts["dots"] += 1
        self.counts["dot_flops"] += 2 * a.data.size * b.data.shape[-1]
        return original(builder, a, b, *rest)

    def _load(self, original: Any, builder: Any, pointers: Any, mask: Any, *rest: Any, **more: Any) -> Any:
        inside = self._inside(pointers)
        wanted = np.broadcast_to(np.asarray(mask.data, bool), inside.shape)
        if self._is_counting:
            self.counts["loaded_bytes"] += int(wanted.sum()) * _item_bytes(pointers)
            self.counts["wild_loads"] += int((wanted & ~inside).sum())
            self._note_reader(pointers.data[wanted & inside].astype(np.int64), builder)
        return original(builder, pointers, self._masked(wanted & inside), *rest, **more)

    def _store(self, original: Any, builder: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        wanted = self._kept_inside(pointers, mask)
        if self._is_counting:
            self.counts["stored_bytes"] += int(wanted.sum()) * _item_bytes(pointers)
            self._claim(pointers.data[wanted].astype(np.int64), builder)
        return original(builder, pointers, value, self._masked(wanted), *rest)

    def _atomic(
        self, original: Any, builder: Any, operation: Any, pointers: Any, value: Any, mask: Any, *rest: Any
    ) -> Any:
        self._kept_inside(pointers, mask)
        return original(builder, operation, pointers, value, mask, *rest)

    def _kept_inside(self, pointers: Any, mask: Any) -> np.ndarray[Any, Any]:
        """The lanes that a store writes. Raises StrayStore where one of them is in no tensor of the launch."""
        inside = self._inside(pointers)
        wanted: np.ndarray[Any, Any] = np.broadcast_to(np.asarray(mask.data, bool), inside.shape)
        stray = int((wanted & ~inside).sum())
        if stray:
            raise StrayStore(
                f"this store would write {stray} of its {inside.size} elements outside the tensors that the kernel was "
                "given: check the mask of the store and the offsets of its pointers"
            )
        return wanted

    def _masked(self, lanes: np.ndarray[Any, Any]) -> Any:
        return self._interpreter.TensorHandle(np.ascontiguousarray(lanes), self._interpreter.tl.int1)

    def _inside(self, pointers: Any) -> np.ndarray[Any, Any]:
        """Which lanes point into a tensor of the launch."""
        address = pointers.data.astype(np.int64)
        if not len(self._ranges):
            return np.zeros(address.shape, bool)
        if address.size and self._number(address.min()) == self._number(address.max() + _item_bytes(pointers) - 1) >= 0:
            return np.ones(address.shape, bool)  # all in one tensor, as most are: this is much quicker
        at = np.searchsorted(self._ranges[:, 0], address, side="right") - 1
        ends = self._ranges[np.maximum(at, 0), 1]
        inside: np.ndarray[Any, Any] = (at >= 0) & (address + _item_bytes(pointers) <= ends)
        return inside

    def _number(self, address: int) -> int:
        """Which of the launch's tensors has this byte; -1: none."""
        at = int(np.searchsorted(self._ranges[:, 0], address, side="right")) - 1
        return at if at >= 0 and address < self._ranges[at, 1] else -1

    def _note_reader(self, addresses: np.ndarray[Any, Any], builder: Any) -> None:
        """Note which program read of the watched tensors."""
        for start, readers in self._readers.items():
            at = np.searchsorted(self._ranges[:, 0], start)
            end = self._ranges[at, 1] if at < len(self._ranges) and self._ranges[at, 0] == start else start
            if ((addresses >= start) & (addresses < end)).any():
                readers.add(_program(builder))
                self._most_readers[start] = max(self._most_readers[start], len(readers))
        self.counts["readers"] = min(self._most_readers.values(), default=0)

    def _claim(self, addresses: np.ndarray[Any, Any], builder: Any) -> None:
        """Note which program stored where, and count what an earlier one has stored to."""
        program = 1 + _program(builder)
        at = np.searchsorted(self._ranges[:, 0], addresses, side="right") - 1
        for number in np.unique(at):
            start, end = self._ranges[number]
            owners = self._owners.setdefault(int(start), np.zeros(end - start, np.int64))
            places = addresses[at == number] - start
            self.counts["shared_stores"] += int(((owners[places] != 0) & (owners[places] != program)).sum())
            owners[places] = program


def _program(builder: Any) -> int:
    (x, y, z), (nx, ny, _) = builder.grid_idx, builder.grid_dim
    return int(x + nx * (y + ny * z))


def _largest(arguments: Any) -> list[int]:
    """Where the storages of the largest tensors among the arguments begin."""
    tensors = list(_tensors(arguments))
    most = max((t.numel() for t in tensors), default=0)
    return sorted({t.untyped_storage().data_ptr() for t in tensors if t.numel() == most})


def _item_bytes(pointers: Any) -> int:
    return max(1, int(pointers.get_element_ty().primitive_bitwidth) // 8)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif type(value).__name__ == "TensorDescriptor":  # Triton's: a tensor and how it is cut into blocks
        yield from _tensors(value.base)

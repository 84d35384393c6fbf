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
    wild_loads, wild_stores       lanes that touch no tensor which the kernel was given; they read 0 and write nothing
    shared_stores                 lanes that store where another program of the same launch has stored: on a GPU, a race
    launches, programs            kernel launches, and the largest number of programs in one
"""

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

_KERNELS = ("dots", "dot_flops", "loaded_bytes", "stored_bytes", "wild_loads", "wild_stores", "shared_stores")


class Meter:
    """Counts while its `with` block runs; a second block (the gradients) adds to the first."""

    def __init__(self, arguments: Any) -> None:
        self._storages = _Storages({t.untyped_storage()._cdata for t in _tensors(arguments)})
        self._kernels = _Kernels()
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
    """Stands between kernels and the interpreter's builder, where Triton has been imported."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((*_KERNELS, "launches", "programs"), 0)
        self._interpreter: Any = sys.modules.get("triton.runtime.interpreter")
        self._undo: list[Callable[[], None]] = []
        self._ranges = np.empty((0, 2), np.int64)  # [first byte, one past the last) of what the launch was given
        self._owners: dict[int, np.ndarray[Any, Any]] = {}

    def install(self) -> None:
        if self._interpreter is None:
            return
        builder, executor = type(self._interpreter.interpreter_builder), self._interpreter.GridExecutor
        self._replace(builder, "create_dot", self._dot)
        self._replace(builder, "create_masked_load", self._load)
        self._replace(builder, "create_masked_store", self._store)
        self._replace(builder, "set_grid_dim", self._grid)
        self._replace(executor, "_init_args_hst", self._arguments)

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
        return given

    def _dot(self, original: Any, builder: Any, a: Any, b: Any, *rest: Any) -> Any:
        self.counts["dots"] += 1
        self.counts["dot_flops"] += 2 * a.data.size * b.data.shape[-1]
        return original(builder, a, b, *rest)

    def _load(self, original: Any, builder: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        inside = self._inside(pointers)
        wanted = np.broadcast_to(mask.data.astype(bool), inside.shape)
        self.counts["loaded_bytes"] += int(wanted.sum()) * _item_bytes(pointers)
        self.counts["wild_loads"] += int((wanted & ~inside).sum())
        return original(builder, pointers, self._masked(mask, wanted & inside), *rest)

    def _store(self, original: Any, builder: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        inside = self._inside(pointers)
        wanted = np.broadcast_to(mask.data.astype(bool), inside.shape)
        self.counts["stored_bytes"] += int(wanted.sum()) * _item_bytes(pointers)
        self.counts["wild_stores"] += int((wanted & ~inside).sum())
        self._claim(pointers.data[wanted & inside].astype(np.int64), builder)
        return original(builder, pointers, value, self._masked(mask, wanted & inside), *rest)

    def _masked(self, like: Any, lanes: np.ndarray[Any, Any]) -> Any:
        return self._interpreter.TensorHandle(np.ascontiguousarray(lanes), like.dtype)

    def _inside(self, pointers: Any) -> np.ndarray[Any, Any]:
        """Which lanes point into a tensor of the launch."""
        address = pointers.data.astype(np.int64)
        if not len(self._ranges):
            return np.zeros(address.shape, bool)
        at = np.searchsorted(self._ranges[:, 0], address, side="right") - 1
        ends = self._ranges[np.maximum(at, 0), 1]
        inside: np.ndarray[Any, Any] = (at >= 0) & (address + _item_bytes(pointers) <= ends)
        return inside

    def _claim(self, addresses: np.ndarray[Any, Any], builder: Any) -> None:
        """Note which program stored where, and count what an earlier one has stored to."""
        (x, y, z), (nx, ny, _) = builder.grid_idx, builder.grid_dim
        program = 1 + x + nx * (y + ny * z)
        at = np.searchsorted(self._ranges[:, 0], addresses, side="right") - 1
        for number in np.unique(at):
            start, end = self._ranges[number]
            owners = self._owners.setdefault(int(start), np.zeros(end - start, np.int64))
            places = addresses[at == number] - start
            self.counts["shared_stores"] += int(((owners[places] != 0) & (owners[places] != program)).sum())
            owners[places] = program


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

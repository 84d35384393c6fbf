"""What a process does before its first fork, so that every fork is cheap and safe. Inside the wall, and in rooms."""

import contextlib
import ctypes
import gc
import importlib
import os
import sys
from collections.abc import Iterator

import torch

from autograder.sandbox.operators import close_side_doors, every_operator, recording_operators

_HUGE = 2 << 20  # bytes
_STEP = 16 << 20
_MADV_COLLAPSE = 25


def interpret_kernels() -> None:
    """Triton's kernels run without a GPU, in its interpreter. Before Triton is imported: its own functions are
    decorated then, and an interpreted kernel cannot call them otherwise.
    """
    os.environ.setdefault("TRITON_INTERPRET", "1")


def warm_up(for_pages: bool = False) -> None:
    """Before the first fork: one thread, or a fork can deadlock in OpenMP; and every import that torch puts off.

    `for_pages` adds those that only a student's code comes to. No gradient is taken here: once autograd's engine has
    run, a forked child may not use it. Who calls `gc.disable()` before the imports saves a fifth of their time;
    collections are on afterwards.
    """
    interpret_kernels()
    torch.set_num_threads(1)
    torch.nn.functional.softmax(torch.ones(2, 2) @ torch.ones(2, 2), -1)
    with contextlib.suppress(ImportError):  # the first torch.autograd.grad imports it: 0.3 s
        importlib.import_module("torch.fx.experimental.symbolic_shapes")
    if for_pages:
        with contextlib.suppress(ImportError):  # 0.5 s, and an address space that would count against the first page's
            importlib.import_module("triton")
        _ = torch.ones(1, device="meta") <= 1  # the first comparison on this device imports torch._dynamo: 0.4 s
        close_side_doors()
    gc.freeze()  # collections then skip torch's heap
    gc.enable()


def cheapen_forks() -> Iterator[None]:
    """Put this process's memory on huge pages, a step at a time: a fork copies the page table, which is 500 times
    smaller then.

    Measured on one machine: a fork and its exit take 3 ms instead of 11, all steps half a second. Where the kernel
    cannot (before Linux 6.1), nothing changes. First come the lists of operators that a worker which refuses torch as a
    whole, or automatic differentiation, would make anew: 20 ms each.
    """
    if sys.platform != "linux":
        return
    every_operator()
    yield
    recording_operators()
    yield
    libc = ctypes.CDLL(None)
    with open("/proc/self/maps") as maps:
        regions = [line.split() for line in maps]
    for addresses, access, _, _, _, *name in regions:
        if "w" in access and name in ([], ["[heap]"]):
            start, end = (int(address, 16) for address in addresses.split("-"))
            for begin in range(-(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE, _STEP):
                length = min(_STEP, end // _HUGE * _HUGE - begin)
                libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(length), _MADV_COLLAPSE)
                yield

"""A step of `gpu-check`: does CUDA start behind the wall? Where it does not, what of the wall keeps it from starting.

What a driver asks of the system differs from version to version and is written down nowhere. So a machine on which it
does not start says what is missing: another rung, a system call, or something else.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from autograder.commands.gpu_bench import Bench
from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox import fence, gpu, wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentError
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.rungs import RUNGS, probe
from autograder.sandbox.workers import SandboxError

START_CUDA = """
import ctypes


def start():
    library = ctypes.CDLL("libcuda.so.1")
    code = library.cuInit(0)
    return "" if code == 0 else f"cuInit ends with CUDA error {code}"
"""
_START_NOTHING = """
def start():
    return ""
"""
_GROUP = 8


class _Open(Sandbox):
    """A sandbox for GPU workers that may make these system calls besides."""

    def __init__(self, rung: str, calls: Sequence[str], with_gpu: bool) -> None:
        self._more = list(calls)
        super().__init__(rung, Limits(), with_gpu=with_gpu)

    def _calls(self) -> list[str]:
        return [*super()._calls(), *self._more]


def why_not_started(rung: str, calls: Sequence[str] = (), code: str = START_CUDA, with_gpu: bool = True) -> str:
    """What `start` of this code of ours says in a worker of that rung: empty where it works."""
    try:
        with _Open(rung, calls, with_gpu) as sandbox:
            page = Page(sandbox, "starts", [wire.Source("starts", [code])], [], sandbox.limits)
            return str(Student(page).start())
    except (StudentError, SandboxError) as error:
        return f"{type(error).__name__}: {error}"[:500]


def needed(works: Callable[[Sequence[str]], bool], calls: Sequence[str], ends_at: float) -> list[str]:
    """Which of the calls cannot be done without, given that it works with all; with more of them when time runs out."""
    kept = list(calls)
    for size in (_GROUP, 1):
        for group in [kept[i : i + size] for i in range(0, len(kept), size)]:
            rest = [call for call in kept if call not in group]
            if time.monotonic() < ends_at and works(rest):
                kept = rest
    return kept


def driver(bench: Bench) -> dict[str, Any]:
    """Whether CUDA starts behind the wall, and what is in its way."""
    code = START_CUDA if bench.is_cuda else _START_NOTHING
    return what_it_takes(bench.settings.rung, code, bench.is_cuda, time.monotonic() + bench.settings.seconds)


def what_it_takes(rung: str, code: str, with_gpu: bool, ends_at: float) -> dict[str, Any]:
    """`starts` is "works" or why not; then also what it does on other rungs, and which system calls it needs."""
    why = why_not_started(rung, (), code, with_gpu)
    found: dict[str, Any] = {"starts": why or "works"}
    if not why:
        return found
    others = [name for name in RUNGS if name not in ("auto", rung) and probe(name) is None]
    found["on_other_rungs"] = {name: why_not_started(name, (), code, with_gpu) or "works" for name in others}
    if rung == "none":
        return found
    refused = [name for name in fence.REFUSED if not with_gpu or name not in gpu.CALLS]
    with_all = why_not_started(rung, refused, code, with_gpu)
    found["with_every_call"] = with_all or "works"
    if not with_all:
        found["needs"] = needed(lambda calls: not why_not_started(rung, calls, code, with_gpu), refused, ends_at)
    return found

"""What the steps of `gpu-check` work with: the course, the device, and what is loaded for them."""

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from msgspec import Struct

from autograder.course import Course, load_course
from autograder.grading.context import Context
from autograder.grading.gpu import CARD_MEMORY, transport
from autograder.grading.solution import solution_pages
from autograder.sandbox.devices import CPU_AS_GPU, Device, cuda_device
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.shared import MachineMemory, Memory

UNIT, PAGE = "unit7_attention_core", "triton_kernels"


class Settings(Struct, frozen=True):
    """What every step is told. `pairs` are of a race's batch; `seconds` are what a repeated measurement may take."""

    root: str
    device: str
    rung: str
    pairs: int = 51
    verdicts: int = 20
    cheats: int = 1000
    seconds: float = 120.0

    @property
    def rehearsal(self) -> bool:
        """The CPU stands in for the card: everything is tiny."""
        return self.device == CPU_AS_GPU.name


class Bench:
    """The course, the device, and what is loaded for it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.course: Course = load_course(Path(settings.root))
        self.unit = self.course.unit(UNIT)
        self.is_cuda = not settings.rehearsal
        self.where = "cuda" if self.is_cuda else "cpu"
        self.dtypes = (torch.bfloat16, torch.float16) if self.is_cuda else (torch.float16,)

    def device(self) -> Device:
        """The card, or the CPU in its place."""
        if not self.is_cuda:
            return CPU_AS_GPU
        found = torch.cuda.get_device_properties(0)
        return cuda_device(found.major * 10 + found.minor, found.name)

    @contextmanager
    def context(self, device: Device) -> Iterator[Context]:
        hidden = (self.course.root,)
        with Sandbox(self.settings.rung, self.course.limits, hidden) as sandbox:
            pages = solution_pages(self.course, self.unit)
            context = Context(self.course, self.unit, pages, sandbox, b"gpu-check", None, device)
            context.pairs = self.settings.pairs
            try:
                yield context
            finally:
                context.close()

    def memory(self, context: Context) -> Callable[[int], Memory]:
        """The card's, where a worker behind the wall can share it; else the machine's."""
        return CARD_MEMORY.get(transport(context), MachineMemory) if self.is_cuda else MachineMemory

    def page(self) -> Any:
        return load_module(self.course.solutions / UNIT / f"{PAGE}.py")

    def grader(self) -> Any:
        return load_module(self.course.graders / UNIT / f"test_{PAGE}.py")

    def normal(self, *shape: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.randn(shape, device=self.where).to(dtype)

    def seconds_of(self, call: Callable[[], Any], repeats: int = 10) -> float:
        """The median, on the clock of this process: our own code only."""
        times = []
        for _ in range(repeats + 2):
            self.sync()
            started = time.perf_counter()
            call()
            self.sync()
            times.append(time.perf_counter() - started)
        return statistics.median(times[2:])

    def sync(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()


def load_module(path: Path) -> ModuleType:
    """A file of ours, run as a module of its own name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # Triton reads a kernel's source through its module
    spec.loader.exec_module(module)
    return module

"""The `gpu` fixture with the CPU in the card's place: memory by ballast, the start-up probe, what cannot be timed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autograder.course import load_course
from autograder.grading.compare import Disagreement
from autograder.grading.context import Context, Deferred, Student
from autograder.grading.gpu import LINKS, GpuRacer, ipc_works
from autograder.intake.submission import PageSource
from autograder.sandbox.devices import CPU_AS_GPU
from autograder.sandbox.driver import DriverError
from autograder.sandbox.failures import StudentOutOfMemory
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.shared import MachineMemory
from tests.test_pending import FILES, UNIT

PAGE = """
import torch


def power(x):
    table = torch.zeros({megabytes} << 20, dtype=torch.uint8)
    return x + table[0]
"""


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Callable[..., Context]]:
    """A context whose page makes a table of so many megabytes."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    course = load_course(tmp_path / "course")
    made: list[Any] = []

    def make(megabytes: int = 1) -> Context:
        sandbox = Sandbox("none", course.limits)
        page = PageSource("powers", [PAGE.format(megabytes=megabytes)])
        context = Context(course, course.unit(UNIT), [page], sandbox, b"seed", None, CPU_AS_GPU)
        made.extend([context, sandbox])
        return context

    yield make
    for one in made:
        one.close()


def racer_of(context: Context) -> tuple[GpuRacer, Any]:
    page = context.page("powers")
    return GpuRacer(context, page, context.unit.exercise("power"), CPU_AS_GPU, "test"), Student(page).power


def same(answer: Any, inputs: Any) -> None:
    if not torch.equal(answer, inputs[0]):
        raise Disagreement("not the input")


def test_what_does_with_little_memory_passes_and_a_table_does_not(context: Callable[..., Context]) -> None:
    """With 512 MiB to spare, a table of 1 MiB fits and one of 2 GiB does not; a wrong answer is wrong all the same."""
    gpu, power = racer_of(context(1))
    gpu.fits(power, lambda: [gpu.normal(16, 16)], same, 512 << 20)
    with pytest.raises(Disagreement, match="not the input"):
        gpu.fits(power, lambda: [gpu.normal(16, 16)], lambda answer, inputs: same(answer + 1, inputs), 512 << 20)
    gpu, power = racer_of(context(2048))
    with pytest.raises(StudentOutOfMemory):
        gpu.fits(power, lambda: [gpu.normal(16, 16)], same, 512 << 20)


def test_the_probe_believes_only_what_comes_back(context: Callable[..., Context]) -> None:
    """Memory that a worker writes to works; none at all, or memory that it does not really share, does not."""

    class Apart(MachineMemory):
        """The grader looks at other bytes than the worker."""

        def __init__(self, size: int) -> None:
            super().__init__(size)
            self.bytes = torch.zeros_like(self.bytes)

    def refused(size: int) -> MachineMemory:
        raise DriverError("cuIpcGetMemHandle failed with CUDA error 801")

    one = context()
    assert ipc_works(one, MachineMemory)
    assert not ipc_works(one, Apart)
    assert not ipc_works(one, refused)


def test_without_shared_memory_of_the_card() -> None:
    """What can be chained is timed in chains; the rest waits on, with the reason."""
    racer: Any = SimpleNamespace(is_cuda=True, _transport=lambda: "chain")
    assert GpuRacer._links(racer, True) == LINKS and GpuRacer._elsewhere(racer) == "cuda"
    with pytest.raises(Deferred, match="CUDA IPC does not work on this machine"):
        GpuRacer._links(racer, False)
    racer._transport = lambda: "ipc"
    assert GpuRacer._links(racer, False) == 1 and GpuRacer._elsewhere(racer) == ""


def test_random_numbers_come_from_the_secret_seed(context: Callable[..., Context]) -> None:
    """Two draws differ, and so do those of two tests; normal numbers, in half precision unless said."""
    one = context()
    page, exercise = one.page("powers"), one.unit.exercise("power")
    first, same_, other = (GpuRacer(one, page, exercise, CPU_AS_GPU, test) for test in ("a", "a", "b"))
    drawn = first.normal(1000)
    assert drawn.dtype == torch.float16 and torch.equal(drawn, same_.normal(1000))
    assert not torch.equal(drawn, first.normal(1000)) and not torch.equal(drawn, other.normal(1000))
    assert abs(drawn.float().std().item() - 1) < 0.2

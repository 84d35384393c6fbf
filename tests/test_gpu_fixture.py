"""The `gpu` fixture with the CPU in the card's place: memory by ballast, the start-up probe, what cannot be timed."""

from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autograder.course import Course, load_course
from autograder.grading.compare import Disagreement
from autograder.grading.context import Context, Deferred, Student
from autograder.grading.gpu import LINKS, GpuRacer, Work, why_not_shared
from autograder.intake.submission import PageSource
from autograder.sandbox.devices import CPU_AS_GPU, Device
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
    assert why_not_shared(one, MachineMemory) == ""
    assert why_not_shared(one, Apart) == "what came back is not what was written"
    assert why_not_shared(one, refused) == "DriverError: cuIpcGetMemHandle failed with CUDA error 801"


def test_without_shared_memory_of_the_card() -> None:
    """What can be chained is timed in chains; the rest waits on, with the reason."""
    racer: Any = SimpleNamespace(is_cuda=True, _transport=lambda: "chain")
    assert GpuRacer._links(racer, True) == LINKS and GpuRacer._elsewhere(racer) == "cuda"
    with pytest.raises(Deferred, match="memory cannot be shared here"):
        GpuRacer._links(racer, False)
    racer._transport = lambda: "handle"
    assert GpuRacer._links(racer, False) == 1 and GpuRacer._elsewhere(racer) == ""


def test_the_floor_is_half_of_what_the_card_can_do() -> None:
    """By operations or by bytes, whatever takes longer, for each link of a chain; none on a card nobody has listed."""

    def floor_s(kind: str, links: int, work: Work | None) -> float:
        racer: Any = SimpleNamespace(_device=Device("cuda", (kind, "cuda"), "a card"))
        return GpuRacer._floor_s(racer, None if work is None else lambda inputs: work, links)([])

    assert floor_s("sm_90", 1, Work(989e12, 0)) == floor_s("sm_90", 1, Work(1.0, 4.9e12)) == 0.5
    assert floor_s("sm_80", LINKS, Work(312e9, 2.039e9)) == pytest.approx(LINKS * 0.5e-3)
    assert floor_s("sm_120", 1, Work(1e15, 1e15)) == floor_s("sm_90", 1, None) == 0.0


def test_the_kernels_floors_are_below_what_was_published(course: Course) -> None:
    """Per timed exercise, on the sizes of a real card: microseconds on an H100 that nobody's kernel has come near."""
    path = course.graders / "unit7_attention_core" / "test_triton_kernels.py"
    spec = spec_from_file_location("kernels_under_test", path)
    assert spec is not None and spec.loader is not None
    graders = module_from_spec(spec)
    spec.loader.exec_module(graders)
    q = torch.empty(1, 16, 8192, 64, dtype=torch.bfloat16, device="meta")
    k = torch.empty(16, 8, 16384, 128, dtype=torch.bfloat16, device="meta")
    works = [
        graders.forward_work([q, q, q, True]),
        graders.backward_work([q, q, q, q, q, None, True]),
        graders.decode_work([q, k, k, torch.full((16,), 16384)]),
    ]
    assert [work.flops for work in works] == [2 * 16 * 8192**2 * 64, 5 * 16 * 8192**2 * 64, 0]
    assert [work.bytes for work in works] == [4 * q.nbytes, 8 * q.nbytes, 2**30]
    racer: Any = SimpleNamespace(_device=Device("cuda", ("sm_90", "cuda"), "H100"))
    floors = [1e6 * GpuRacer._floor_s(racer, lambda inputs, work=work: work, 1)([]) for work in works]
    assert floors == pytest.approx([69.5, 173.7, 109.6], abs=0.1)


def test_random_numbers_come_from_the_secret_seed(context: Callable[..., Context]) -> None:
    """Two draws differ, and so do those of two tests; normal numbers, in half precision unless said."""
    one = context()
    page, exercise = one.page("powers"), one.unit.exercise("power")
    first, same_, other = (GpuRacer(one, page, exercise, CPU_AS_GPU, test) for test in ("a", "a", "b"))
    drawn = first.normal(1000)
    assert drawn.dtype == torch.float16 and torch.equal(drawn, same_.normal(1000))
    assert not torch.equal(drawn, first.normal(1000)) and not torch.equal(drawn, other.normal(1000))
    assert abs(drawn.float().std().item() - 1) < 0.2

"""Thresholds of GPUs in course.toml, and which share of an exercise's points waits for one."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autograder.commands.pending import usable_device
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.grading.context import Deferred
from autograder.grading.marks import marks_of
from autograder.grading.racing import Racer
from autograder.grading.replay import run_locally
from autograder.grading.session import CollectedTests
from autograder.sandbox.devices import CPU_AS_GPU, cuda_device

UNIT = "unit7_attention_core"
TRITON = ["triton_flash_forward", "triton_flash_backward", "triton_decode"]


@pytest.fixture(scope="module")
def shares(course: Course) -> dict[str, dict[str, float]]:
    """By exercise: the shares of correctness, memory and speed."""
    pytest.importorskip("triton")
    found: dict[str, dict[str, float]] = {}
    for item in CollectedTests([course.graders / UNIT / "test_triton_kernels.py"]).items:
        marks = marks_of(item)
        assert marks.exercise is not None
        part = "rest" if "gpu" not in item.fixturenames else "memory" if "memory" in marks.name else "speed"  # type: ignore[attr-defined]
        of = found.setdefault(marks.exercise, dict.fromkeys(("rest", "memory", "speed"), 0.0))
        of[part] += marks.weight
    return {exercise: {k: v / sum(of.values()) for k, v in of.items()} for exercise, of in found.items()}


def test_three_fifths_need_no_gpu(shares: dict[str, dict[str, float]]) -> None:
    """60 % for what the interpreter checks, 20 % for memory and 20 % for speed, in each exercise of the page."""
    assert sorted(shares) == sorted(TRITON)
    for exercise, of in shares.items():
        assert of == pytest.approx({"rest": 0.6, "memory": 0.2, "speed": 0.2}), exercise


def test_every_timed_exercise_has_thresholds_for_any_card(course: Course) -> None:
    """A family without a threshold of its own goes by "cuda"."""
    for exercise in TRITON:
        kinds = {t.device for t in course.unit(UNIT).exercise(exercise).thresholds if t.measure == "time"}
        assert "cuda" in kinds, exercise


BLOCK = """
[[unit.exercise.threshold]]
measure = "time"
device = "{}"
pass = {}
good = 2.0
excellent = 1.0
measured = "unmeasured"
"""


@pytest.fixture
def with_thresholds(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Callable[..., Course]:
    """The tiny course with thresholds (device, pass) for its last exercise."""
    root = tiny_course(tmp_path).root

    def write(*thresholds: tuple[str, float]) -> Course:
        path = root / "course.toml"
        text = path.read_text().partition("\n[[unit.exercise.threshold]]")[0]
        path.write_text(text + "".join(BLOCK.format(*threshold) for threshold in thresholds))
        return load_course(root)

    return write


def test_the_most_specific_threshold_counts(with_thresholds: Callable[..., Course]) -> None:
    """The card's family before any card; without either, the key that is missing is named."""
    exercise = with_thresholds(("cpu", 9.0), ("cuda", 8.0), ("sm_90", 7.0)).units[0].exercises[-1]
    unused: Any = None

    def allowed(kinds: tuple[str, ...]) -> float:
        return Racer(unused, unused, exercise, kinds)._threshold("time").enough

    assert allowed(("cpu",)) == 9.0
    assert allowed(cuda_device(90, "H100").kinds) == 7.0
    assert allowed(cuda_device(89, "L4").kinds) == allowed(CPU_AS_GPU.kinds) == 8.0
    exercise = with_thresholds(("sm_90", 7.0)).units[0].exercises[-1]
    with pytest.raises(UsageError, match=r'"time" and device = "cuda"'):
        allowed(cuda_device(80, "A100").kinds)


def test_without_a_gpu_only_races_on_the_cpu_are_tried_again(with_thresholds: Callable[..., Course]) -> None:
    """Where a unit has thresholds on the CPU, `--only-pending` goes on and says so; else a GPU is asked for."""
    said: list[str] = []
    both = with_thresholds(("cpu", 9.0), ("cuda", 8.0))
    assert usable_device(both, ["unit0_tiny"], "auto", said.append) is None
    assert "no GPU" in said[0] and "raced on the CPU is tried again" in said[0]
    assert usable_device(both, ["unit0_tiny"], "cpu-as-gpu", said.append) is CPU_AS_GPU
    with pytest.raises(UsageError, match="no GPU"):
        usable_device(with_thresholds(("cuda", 8.0)), ["unit0_tiny"], "auto", said.append)


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ([("gpu", 3.0)], r"threshold\[0\].device"),
        ([("cuda", 1.5)], "pass is the largest of them"),
        ([("cuda", 3.0), ("cuda", 4.0)], r"threshold\[1\] is a second one for 'time' on 'cuda'"),
    ],
)
def test_thresholds_that_cannot_be_meant(with_thresholds: Callable[..., Course], thresholds: Any, words: str) -> None:
    """Each is refused with its place in the file."""
    with pytest.raises(UsageError, match=words):
        with_thresholds(*thresholds)


def test_a_race_is_not_replayed(course: Course) -> None:
    """Diagnosis, separation and bench run tests in one process, where nothing can be timed: it is said so, not lost."""
    pytest.importorskip("triton")
    unused: Any = SimpleNamespace()
    items = CollectedTests([course.graders / UNIT / "test_triton_kernels.py"]).items
    raced = [item for item in items if marks_of(item).name == "test_gpu_time[pass]"]
    with pytest.raises(Deferred, match="nothing is raced or compiled in this process"):
        run_locally(raced[0], unused, course, b"seed")  # type: ignore[arg-type]

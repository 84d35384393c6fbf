"""The `compiler` fixture: what a student reads of kernels that the interpreter runs and a GPU would not."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import torch

from autograder.authoring.validate import tasks_of
from autograder.course import Course, load_course
from autograder.grading.compare import Disagreement
from autograder.grading.compiling import CARDS, Compiler, blank
from autograder.grading.context import Blocked, Context, Student
from autograder.grading.solution import solution_pages
from autograder.intake.submission import PageSource, Submission
from autograder.policies import Limits
from autograder.results import feedback
from autograder.results.record import Outcome, TestResult
from autograder.results.scoring import score_exercise
from autograder.rooms.room import Room
from autograder.sandbox.compiling import indexed
from autograder.sandbox.failures import StudentBroke, StudentRaised, StudentTimedOut
from autograder.sandbox.launch import Sandbox
from tests.test_pending import FILES, UNIT

pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[1]
LIMITS = Limits(call_wall_s=60.0)
PAGE = """
import math
import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

import triton
import triton.language as tl

FACTOR = 2.0


@triton.jit
def double(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(x + at, mask=at < n, other=0.0)
    tl.store(out + at, row * 2, mask=at < n)


def power(x):
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    double[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), BLOCK=64)
    return out
"""
X = torch.arange(100.0)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    folder = tmp_path_factory.mktemp("made")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return load_course(folder / "course")


@pytest.fixture(scope="module", params=["bubblewrap", "landlock"])
def compiling(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(request.param, LIMITS, (ROOT,), compiles=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def interpreting() -> Iterator[Sandbox]:
    with Sandbox("landlock", LIMITS, (ROOT,)) as sandbox:
        yield sandbox


Made = Callable[[str], Context]


@pytest.fixture
def made(course: Course, compiling: Sandbox, interpreting: Sandbox) -> Iterator[Made]:
    """A context of a submission with this code."""
    contexts: list[Context] = []

    def make(code: str) -> Context:
        pages = [PageSource("powers", [code])]
        contexts.append(Context(course, course.unit(UNIT), pages, interpreting, b"seed", compiling=compiling))
        return contexts[-1]

    yield make
    for context in contexts:
        context.close()


def changed(*pairs: tuple[str, str]) -> str:
    code = PAGE
    for old, new in pairs:
        assert old in code
        code = code.replace(old, new)
    return code


def told(context: Context, card: str = "sm_90") -> str:
    """What a student reads of a page that compiles."""
    page = context.page("powers")
    Compiler(context, page, context.unit.exercise("power"))(Student(page).power, card, blank(100, dtype=torch.float16))
    return context.told


def test_a_kernel_that_compiles_is_described(made: Made) -> None:
    """Registers, spills, shared memory and matrix units, of every kernel that the call launches, for each card."""
    for card in CARDS:
        said = told(made(PAGE), card)
        assert said.startswith("double on an ") and "registers per thread, nothing spilled" in said, said
        assert "KiB of shared memory" in said and said.endswith("no products on the matrix units")


REFUSED = [  # a change to the page, and what the student reads of it
    (("row * 2", "row * FACTOR"), r"`.*row \* FACTOR.*`: .*global variable FACTOR.*constexpr"),
    (("    tl.store", "    while n > 0:\n        break\n    tl.store"), "`break`: unsupported AST node"),
    (
        ("    tl.store", "    total = 0\n    for _ in range(n):\n        total += tl.sum(row)\n    tl.store"),
        "Loop-carried variable total",
    ),
    (("device=x.device", 'device="cpu"'), "argument out lies in the CPU's memory: make it with device"),
    (
        ("if not torch.cuda.is_available():\n    os.environ.setdefault", "os.environ.__setitem__"),
        "switched",
    ),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_what_only_the_interpreter_runs_is_explained(made: Made, change: tuple[str, str], says: str) -> None:
    """The line and the compiler's reason, or what a GPU could not do."""
    context = made(changed(change))
    torch.testing.assert_close(Student(context.page("powers")).power(X), 2 * X)  # here it runs
    with pytest.raises(Disagreement, match=f"double will not run on an H100 .*{says}"):
        told(context)


def test_a_helper_is_blamed_by_its_own_line(made: Made) -> None:
    """A kernel that calls another: the line of the inner one."""
    helper = "@triton.jit\ndef times(x):\n    return x * FACTOR\n\n\n@triton.jit\ndef double"
    with pytest.raises(Disagreement, match=r"`return x \* FACTOR`: "):
        told(made(changed(("@triton.jit\ndef double", helper), ("row * 2", "times(row)"))))


def test_the_page_chooses_as_on_the_card(made: Made) -> None:
    """Options that depend on the card are those of the card that is pretended, and the page's own errors show."""
    asks = "    assert torch.cuda.is_available() and x.is_cuda\n    print(torch.cuda.get_device_properties(0).name)\n"
    told(made(changed(("    out = torch", f"{asks}    out = torch"))))
    branch = "    if torch.cuda.is_available():\n        BLOK = 2 * BLOCK\n"
    with pytest.raises(StudentRaised, match="BLOCK"):
        told(made(changed(("    double[", f"{branch}    double["))))


def test_a_page_that_looks_at_numbers_is_tried_with_some(made: Made) -> None:
    """`.item()` has no answer without a card; the kernels are compiled all the same."""
    assert told(made(changed(("    return out", "    assert out.sum().item() is not None\n    return out"))))


INDICES: list[object] = [1, -1, slice(1, 3), (slice(None), None), (..., 0), (0, ...), (None, 1, slice(None, None, 2))]
INDICES += [([0, 2], ...), (slice(None), torch.tensor([1, 0]), 1), (torch.tensor([[0], [1]]), torch.tensor([0, 1])), ()]


@pytest.mark.parametrize("index", INDICES)
def test_pretended_tensors_are_indexed_as_real_ones(index: object) -> None:
    """Integers, slices, None, an ellipsis, tensors and lists."""
    x = torch.arange(60).view(3, 4, 5)
    torch.testing.assert_close(indexed(x, index), x[index])  # type: ignore[index]


def test_a_page_that_indexes_and_copies_is_compiled(made: Made) -> None:
    """Rows taken out, put back, laid down anew, moved: a torch without CUDA cannot do that to what lies on a card."""
    rows = """    out[0:1] = x[None, 0]
    x = x.view(4, 25).mT.contiguous().view(100)
    out[:].copy_(x)
    moved = [torch.zeros(3).to(x.device), x.to("cuda" if x.is_cuda else "cpu"), torch.zeros(3).to(x), x.to(x.device)]
    assert all(tensor.is_cuda == x.is_cuda for tensor in moved)
    assert [tensor.dtype for tensor in moved] == [torch.float32] + [x.dtype] * 3
    double["""
    assert told(made(changed(("    double[", rows)))).startswith("double on an ")


def test_what_takes_a_real_card_is_not_held_against_anybody(made: Made) -> None:
    """The student reads that it cannot be tried here."""
    stream = "    if x.is_cuda:\n        torch.cuda.Stream()\n    return out"
    assert "cannot be tried without a GPU" in told(made(changed(("    return out", stream))))


def test_too_much_shared_memory_and_spills(made: Made) -> None:
    """What fits on one card and not on another is said with the card's own limit."""
    product = """
        import torch
        import triton
        import triton.language as tl


        @triton.jit
        def kernel(x, out, n, N: tl.constexpr):
            at = tl.arange(0, N)
            total = tl.zeros([N, N], tl.float32)
            for start in range(0, n, N):
                tile = tl.load(x + (start + at)[:, None] * N + at[None, :])
                total = tl.dot(tile, tl.trans(tile), total)
            tl.store(out + at[:, None] * N + at[None, :], total)


        def power(x):
            out = torch.empty(128, 128, device=x.device)
            kernel[(1,)](x, out, x.shape[0], N=128, num_warps=4, num_stages=7)
            return out
        """
    context = made(textwrap.dedent(product))
    page = context.page("powers")
    ask = Compiler(context, page, context.unit.exercise("power"))
    ask(Student(page).power, "sm_90", blank(4096, 128))
    assert "wgmma" in context.told
    with pytest.raises(Disagreement, match=r"not run:\n.*kernel on an A100 .*of which it has 163 \(try smaller"):
        ask(Student(page).power, "sm_80", blank(4096, 128))


def test_no_launch_is_said(made: Made) -> None:
    """A page that computes without a kernel where there is a GPU."""
    with pytest.raises(Disagreement, match="launched no kernel"):
        told(made(changed(("    double[", "    if x.is_cuda:\n        return 2 * x\n    double["))))


def test_a_worker_that_dies_or_lies_costs_nobody_anything(made: Made) -> None:
    """Its own word is text: names and numbers of any size are bounded, and control characters are gone."""
    with pytest.raises(StudentBroke, match="ended without an answer"):
        told(made(changed(("    double[", "    if x.is_cuda:\n        os._exit(3)\n    double["))))
    lie = (
        "    if x.is_cuda:\n        from autograder.sandbox import compiling, wire\n"
        '        compiling._made.append(wire.Kernel("\\x1b[31m" * 999, 2**60, -5, 2**60, "x"))\n    double['
    )
    with pytest.raises(Disagreement) as raised:
        told(made(changed(("    double[", lie))))
    assert "\x1b" not in str(raised.value) and len(str(raised.value)) < 1000


def test_nothing_runs_on_beside_the_tests_that_count(made: Made, compiling: Sandbox) -> None:
    """What a page starts while it is compiled ends with it."""
    context = made(
        changed(("    double[", "    if x.is_cuda and os.fork() == 0:\n        while True: pass\n    double["))
    )
    told(context)
    assert not compiling.left_behind()


def test_one_that_does_not_end_is_asked_once(made: Made, course: Course) -> None:
    """Compiling without end costs one time limit, not one for every card and exercise."""
    context = made(changed(("    double[", "    while x.is_cuda:\n        pass\n    double[")))
    context.limits = lambda exercise: Limits(call_wall_s=0.5)  # type: ignore[method-assign]
    with pytest.raises(StudentTimedOut):
        told(context)
    with pytest.raises(Blocked, match="did not end in time"):
        told(context, "sm_80")


def test_tuned_kernels_and_tutorials_idioms_run_in_the_interpreter(made: Made) -> None:
    """`triton.autotune` and the driver's device need no driver: the first configuration is taken, and run once."""
    tuned = "@triton.autotune([triton.Config({'BLOCK': 64}), triton.Config({'BLOCK': 128})], key=['n'])\n@triton.jit\n"
    context = made(
        changed(
            ("@triton.jit\n", f"DEVICE = triton.runtime.driver.active.get_active_torch_device()\n\n\n{tuned}"),
            (", BLOCK=64", ""),
            ("    out = torch", "    assert x.device.type == DEVICE.type\n    out = torch"),
        )
    )
    student = Student(context.page("powers"))
    seen = student.measure(student.power, X)
    torch.testing.assert_close(seen.value, 2 * X)
    assert seen.measured["launches"] == 1 and seen.measured["stored_bytes"] == X.nbytes
    assert told(context).startswith("double on an ")


def test_an_error_in_a_kernel_names_its_line(made: Made) -> None:
    """Triton's interpreter wraps it; the student reads the error itself, and where in the kernel it was."""
    context = made(changed(("tl.arange(0, BLOCK)", "tl.arange(0, BLOCK - 1)")))
    with pytest.raises(StudentRaised) as raised:
        Student(context.page("powers")).power(X)
    said = str(raised.value)
    assert said.startswith("ValueError: arange's range must be a power of 2")
    assert "in power: double[" in said and "in double: at = tl.program_id(0)" in said


def test_where_nothing_can_be_compiled_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sandbox that does not start is tried once; the tests for information say so, and the others count."""
    made = Room._sandbox_of
    tried: list[bool] = []

    def broken(self: Room, hidden: tuple[Path, ...], privileged: bool | None, compiles: bool = False) -> Sandbox:
        tried.append(compiles)
        sandbox = made(self, hidden, privileged)
        if compiles:
            sandbox._process.kill()
        return sandbox

    monkeypatch.setattr(Room, "_sandbox_of", broken)
    course = load_course(ROOT)
    unit = course.unit("unit7_attention_core")
    solved = Submission(student="s", unit=unit.id, pages=solution_pages(course, unit), problems=[], digest="")
    with Room(ROOT, [unit.id], "landlock", b"seed") as room:
        for _ in range(2):
            results = room.grade(solved, "triton_decode").results["triton_decode"]
            asked = {test.outcome for test in results if "compiles" in test.name}
            assert asked == {Outcome.BLOCKED}
            assert {test.outcome for test in results if test.weight} == {Outcome.PASSED, Outcome.DEFERRED}
    assert tried.count(True) == 1


@pytest.fixture(scope="module")
def graded() -> "dict[bool, list[TestResult]]":
    """The solution's decoding, graded with and without asking the compiler."""
    course = load_course(ROOT)
    unit = course.unit("unit7_attention_core")
    solved = Submission(student="s", unit=unit.id, pages=solution_pages(course, unit), problems=[], digest="")
    with Room(ROOT, [unit.id], "landlock", b"seed") as room:
        once = {asks: room.grade(solved, "triton_decode", compiles=asks) for asks in (True, False)}
    return {asks: graded.results["triton_decode"] for asks, graded in once.items()}


def test_it_decides_no_points(graded: "dict[bool, list[TestResult]]") -> None:
    """What the compiler says is told beside the points and changes none; who does not ask has the other tests."""
    exercise = load_course(ROOT).unit("unit7_attention_core").exercise("triton_decode")
    asked = [test for test in graded[True] if "compiles" in test.name]
    assert [test.outcome for test in asked] == [Outcome.PASSED] * 2 and all(test.informs for test in asked)
    assert [t.name for t in graded[False]] == [t.name for t in graded[True] if t not in asked]
    refused = [
        msgspec.structs.replace(test, outcome=Outcome.FAILED, message="will not run") if test in asked else test
        for test in graded[True]
    ]
    scores = [score_exercise(exercise, tests) for tests in (graded[True], graded[False], refused)]
    assert len({(score.score, score.pending, score.status) for score in scores}) == 1 and scores[0].score > 0
    said = [feedback.comment(score, "full") for score in scores]
    assert said[0].count("decode_kernel on an ") == 2 and "registers per thread" in said[0]
    assert said[1] == "" and said[2].startswith("will not run")
    wrong = [
        msgspec.structs.replace(test, outcome=Outcome.BLOCKED if test in asked else Outcome.FAILED, message="so it is")
        for test in graded[True][:2] + asked
    ]
    assert feedback.comment(score_exercise(exercise, wrong), "full") == "so it is\n\n(1 more checks did not pass)"
    assert "registers" not in feedback.comment(scores[0], "hint") and not feedback.comment(scores[0], "score")


@pytest.mark.slow
def test_every_right_answer_compiles() -> None:
    """The solution and the accepted variants, which take their rows, strides and helpers in other ways."""
    course = load_course(ROOT)
    unit = course.unit("unit7_attention_core")
    tasks = [
        t for t in tasks_of(course, unit) if t.exercise.startswith("triton_") and t.kind in ("solution", "accepted")
    ]
    refused = {}
    with Room(ROOT, [unit.id], "landlock", b"seed") as room:
        for task in tasks:
            submitted = Submission(student="s", unit=unit.id, pages=task.pages, problems=[], digest="")
            results = room.grade(submitted, task.exercise).results[task.exercise]
            asked = [test for test in results if "compiles" in test.name]
            refused.update({f"{task.name} {t.name}": t.message for t in asked if t.outcome is not Outcome.PASSED})
    assert len(tasks) == 9 and refused == {}

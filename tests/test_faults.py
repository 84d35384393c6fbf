"""Processes that are killed cost no result: the same command again finishes, and nothing is left behind."""

import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from autograder.course import Course
from autograder.policies import Limits
from autograder.results import gradebook
from autograder.results.record import UnitResult, read_result
from autograder.sandbox import launch
from autograder.sandbox.rungs import probe

UNIT = "unit0_tiny"
STUDENTS = [f"student{number:02}" for number in range(40)]
KINDS = ["room", "session", "forkserver", "worker"]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")


class Batch:
    """Submissions, and runs of `autograder grade` on them."""

    def __init__(self, course: Course, folder: Path, students: list[str]) -> None:
        self.course, self.out, self.students = course, folder / "graded", students
        self.submitted, self.jobs = folder / "submitted", "2" if len(students) > 10 else "1"
        page = (course.solutions / UNIT / "tiny_page.py").read_text()
        for number, student in enumerate(students):
            work = "    sum(range(2_000_000))\n" if number % 5 == 0 else ""  # some take a little longer
            text = page.replace("    twice_as_much = x + x\n", f"{work}    twice_as_much = x + x\n")
            (self.submitted / student / UNIT).mkdir(parents=True)
            (self.submitted / student / UNIT / "tiny_page.py").write_text(text)

    def start(self, *extra: str) -> "subprocess.Popen[str]":
        arguments = ["grade", str(self.submitted), "--out", str(self.out), "--jobs", self.jobs, "--json", *extra]
        command = [sys.executable, "-m", "autograder.cli", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.course.root,
            stdout=pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )

    def grade(self, *extra: str) -> "subprocess.CompletedProcess[str]":
        run = self.start(*extra)
        said, errors = run.communicate(timeout=300)
        return subprocess.CompletedProcess(run.args, run.returncode, said, errors)

    def written(self) -> list[Path]:
        return list(self.out.glob("students/*/*/result.json"))

    def results(self) -> dict[str, UnitResult]:
        """Every result file there is; one that does not decode fails the test."""
        found = {path.parts[-3]: read_result(path) for path in self.written()}
        assert None not in found.values(), found
        return found  # type: ignore[return-value]

    def check(self, done: "subprocess.CompletedProcess[str]") -> dict[str, UnitResult]:
        """One sound result for every student, and nothing else; gradebook and report agree with them."""
        assert done.returncode == 0, done.stderr
        results = self.results()
        assert sorted(results) == sorted(self.students)
        assert sorted(path.name for path in self.out.glob("students/*/*/*")) == ["result.json"] * len(self.students)
        assert not list(self.out.glob("*/*/.*"))
        scores = {(student, UNIT): result.score for student, result in results.items()}
        assert {(r["student"], r["unit"]): r["score"] for r in json.loads(done.stdout)["results"]} == scores
        assert gradebook.scores(self.course, self.out) == pytest.approx(scores)
        return results


MakeBatch = Callable[[list[str]], Batch]


@pytest.fixture
def make_batch(tiny_course: Callable[[Path], Course], tmp_path: Path) -> MakeBatch:
    return lambda students: Batch(tiny_course(tmp_path), tmp_path, students)


@pytest.fixture(autouse=True)
def orphans() -> Iterator[Callable[[], None]]:
    """Whatever loses its parent comes to this process; `orphans()` fails if something of ours is still alive."""
    prctl = ctypes.CDLL(None).prctl
    before = set(psutil.Process().children())
    prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def alive() -> list[str]:
        left = []
        for process in set(psutil.Process().children(recursive=True)) - before:
            with contextlib.suppress(psutil.Error):
                if process.status() != psutil.STATUS_ZOMBIE:
                    left.append(" ".join(process.cmdline()) or process.name())
        return left

    def none_left() -> None:
        poll(lambda: not alive())
        assert alive() == []

    yield none_left
    prctl(36, 0, 0, 0, 0)
    for child in set(psutil.Process().children()) - before:  # reap
        with contextlib.suppress(psutil.Error):
            child.kill()
            child.wait(10)


def poll(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until the condition holds, or for so long; what is then the case is for the caller to judge."""
    ends_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends_at:
        time.sleep(0.002)


def of_kind(main: "subprocess.Popen[str]", kind: str) -> list[psutil.Process]:
    """The processes below the grader of one kind."""
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(main.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if _kind(process, main.pid) == kind:
                    found.append(process)
    return found


def _kind(process: psutil.Process, main: int) -> str:
    own, parent = process.cmdline(), process.parent()
    above = parent.cmdline() if parent else []
    if any("spawn_main" in word for word in own):
        return "room" if parent and parent.pid == main else "session"
    if own[:1] != ["bwrap"] and any(word.endswith("forkserver.py") for word in own):
        inside = above[:1] != ["bwrap"] and any(word.endswith("forkserver.py") for word in above)
        return "worker" if inside else "forkserver"
    return "other"


# ---------------------------------------------------------------- kill -9


def kill_in_one_run(batch: Batch, kills: int, dice: random.Random, none_left: Callable[[], None]) -> None:
    """Kill a process `kills` times during one run, the grader itself last; then run the same command again."""
    run = batch.start()
    killed: list[str] = []
    for after in sorted(dice.sample(range(len(batch.students) - 8), kills)):
        poll(lambda after=after: run.poll() is not None or len(batch.written()) >= after, 240)
        kind = "grader" if len(killed) == kills - 1 else dice.choice(KINDS)
        time.sleep(dice.uniform(0, 0.05))  # not only just after a result
        while run.poll() is None:
            victims = [psutil.Process(run.pid)] if kind == "grader" else of_kind(run, kind)
            with contextlib.suppress(psutil.Error, IndexError):
                dice.choice(victims).kill()
                killed.append(f"{kind} after {after}")
                break
    _, errors = run.communicate(timeout=300)
    print("killed:", ", ".join(killed), "- exit code", run.returncode, errors)
    assert len(killed) == kills and run.returncode == -signal.SIGKILL and errors == ""
    none_left()
    kept = {s: result for s, result in batch.results().items() if not result.has_grader_error()}
    again = batch.grade()
    results = batch.check(again)
    assert {student: results[student] for student in kept} == kept
    assert json.loads(again.stdout)["fresh"] == len(results) - len(kept)
    # a worker that is killed looks like one that called os._exit, and a sandbox that is killed twice in one
    # submission like one that the submission breaks; every other death costs nobody a point
    short = [result.score for result in results.values() if result.score != 10]
    kinds = [name.split()[0] for name in killed]
    assert len(short) <= kinds.count("worker") + kinds.count("forkserver") // 2, (killed, short)
    none_left()


def kill_at_random(make_batch: MakeBatch, none_left: Callable[[], None], rounds: int, seed: int) -> None:
    batch = make_batch(STUDENTS)
    for number in range(rounds):
        print(f"round {number} of seed {seed}")
        kill_in_one_run(batch, 10, random.Random(seed + number), none_left)
        shutil.rmtree(batch.out)


def test_kill_9_ten_times(make_batch: MakeBatch, orphans: Callable[[], None]) -> None:
    """Ten kills at random points of a batch: no result is lost, doubled or half written, nothing is left behind."""
    kill_at_random(make_batch, orphans, 1, random.SystemRandom().randrange(1 << 30))


@pytest.mark.slow
def test_kill_9_a_hundred_times(make_batch: MakeBatch, orphans: Callable[[], None]) -> None:
    """The same with a hundred kills in ten batches."""
    kill_at_random(make_batch, orphans, 10, random.SystemRandom().randrange(1 << 30))


POISON = """\
    if student.double(draw.tensor(1)).shape != (1,):
        __import__("os").kill(__import__("os").getppid(), 9)
"""


def test_what_kills_its_room_costs_only_itself(make_batch: MakeBatch, orphans: Callable[[], None]) -> None:
    """A submission on which the grading process dies each time is undecided; everyone else is graded."""
    batch = make_batch(STUDENTS[:4])
    grader = batch.course.graders / UNIT / "test_tiny_page.py"
    text = grader.read_text()
    grader.write_text(text.replace('is twice as large."""\n', f'is twice as large."""\n{POISON}'))
    assert grader.read_text() != text
    page = batch.submitted / STUDENTS[0] / UNIT / "tiny_page.py"
    page.write_text(page.read_text().replace("return twice_as_much", "return twice_as_much[None]"))
    done = batch.grade()
    assert done.returncode == 3
    results = batch.results()
    assert {s for s, result in results.items() if result.has_grader_error()} == {STUDENTS[0]}
    assert [results[student].score for student in STUDENTS[1:4]] == [10] * 3
    orphans()


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize(("rung", "after"), [("bubblewrap", 0), ("bubblewrap", 5), ("landlock", 3)])
def test_ctrl_c(
    make_batch: MakeBatch,
    orphans: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rung: str,
    after: int,
) -> None:
    """It stops soon with one sentence and exit code 130, keeps what is done, and leaves no process and no file."""
    if reason := probe(rung):
        pytest.skip(reason)
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    batch = make_batch(STUDENTS)
    run = batch.start("--isolation", rung)
    poll(lambda: run.poll() is not None or (len(batch.written()) >= after and of_kind(run, "room")), 240)
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130, errors
    assert errors == "autograder: stopped; what was graded is kept, run the same command again to go on\n"
    orphans()
    assert after <= len(batch.results()) < len(STUDENTS)
    assert list(scratch.iterdir()) == []


MASK_AT_START = """\
import multiprocessing.process, signal, sys
from pathlib import Path
from autograder.rooms.pool import grade_all

start = multiprocessing.process.BaseProcess.start

def started(self):
    start(self)
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    self.kill()
    sys.exit()

multiprocessing.process.BaseProcess.start = started
if __name__ == "__main__":
    list(grade_all([None], 1, Path(), [], "rlimit", b"", [], lambda: None))
"""


def test_a_room_starts_with_ctrl_c_held_back(tmp_path: Path) -> None:
    """Also the first one of a process: multiprocessing's own helper, if it starts then, lifts the block a moment."""
    (script := tmp_path / "mask.py").write_text(MASK_AT_START)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


@pytest.mark.timeout(60)
def test_a_sandbox_that_does_not_start_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error in the end, also where a process that outlives the killed one holds its stderr open."""
    monkeypatch.setattr(launch, "_START_TIMEOUT_S", 0.5)
    monkeypatch.setattr(launch, "_COMMAND_TIMEOUT_S", 0.5)
    script = f"sleep 600 & echo $! > {tmp_path}/pid; echo first words >&2; wait"
    monkeypatch.setattr(launch.Sandbox, "_argv", lambda self, control: (["/bin/sh", "-c", script], {}))
    try:
        with pytest.raises(launch.SandboxError, match="did not start: first words"):
            launch.Sandbox("bubblewrap", Limits())
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

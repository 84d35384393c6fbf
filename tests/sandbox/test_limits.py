"""Time, memory and disk: what breaks a limit is ended from outside."""

import os
import subprocess
import sys
import time

import pytest
import torch

from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox import usage
from autograder.sandbox.failures import (
    StudentError,
    StudentOutOfMemory,
    StudentTimedOut,
)
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.processes import Process
from tests.sandbox.conftest import LIMITS, fenced, page, rungs, start


@rungs
def test_an_endless_loop_is_ended_and_a_fresh_worker_goes_on(rung: Sandbox) -> None:
    """A call that does not return is killed from outside; the next call works, the third time-out is not waited for."""
    limits = Limits(call_wall_s=0.3, memory_mb=600)
    student = Student(page(rung, "def f():\n    while True:\n        pass\ndef g():\n    return 5", limits))
    for _ in range(3):
        with pytest.raises(StudentTimedOut, match="call_wall_s"):
            student.f()
        assert student.g() == 5
    with pytest.raises(StudentTimedOut, match="not tried again"):
        student.f()


@rungs
def test_a_late_interruption_does_nothing(rung: Sandbox) -> None:
    """It is for the statement of a page that does not end; the page may have ended when it arrives."""
    student = page(rung, "held = []\n\n\ndef add(x):\n    held.append(x)\n    return len(held)\n")
    assert Student(student).add(1) == 1
    assert rung.interrupt()
    assert Student(student).add(1) == 2  # the same worker


@pytest.mark.parametrize(("processors", "ends"), [(2, True), (0.5, False)])
def test_a_crowded_machine_costs_no_submission_its_time(
    monkeypatch: pytest.MonkeyPatch, processors: float, ends: bool
) -> None:
    """Where far more wants to run than can, all the calls that the submission is asked for are still made."""
    monkeypatch.setattr(usage.os, "getloadavg", lambda: (2.0, 0.0, 0.0))
    monkeypatch.setattr(usage.os, "cpu_count", lambda: processors)
    limits = Limits(call_wall_s=10.0, submission_wall_s=10.0, memory_mb=600)
    with start("none") as sandbox:
        asked = page(sandbox, "def f():\n    return 5\n", limits)
        student = Student(asked)
        for _ in range(3):
            assert student.f() == 5
            asked.ends_at -= 10.0  # as if so much time had gone
            if ends:
                with pytest.raises(StudentTimedOut, match="submission_wall_s"):
                    student.f()
                break


@rungs
def test_a_blocked_alarm_does_not_help(rung: Sandbox) -> None:
    """Blocking every signal that can be blocked changes nothing about the limit."""
    code = (
        "import signal\ndef f():\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\n    while True: pass\n"
        "def g():\n    return 5"
    )
    student = Student(page(rung, code, Limits(call_wall_s=0.3, memory_mb=600)))
    with pytest.raises(StudentTimedOut):
        student.f()
    assert student.g() == 5


@rungs
@pytest.mark.parametrize("call", ["one_block", "bit_by_bit"])
def test_memory_is_limited(rung: Sandbox, call: str) -> None:
    """Twenty gigabytes, at once or in steps, is out of memory, and the next call works."""
    code = (
        "import torch\ndef one_block():\n    return torch.ones(20 * 2**30, dtype=torch.uint8)\n"
        "def bit_by_bit():\n    kept = []\n    while True:\n        kept.append(bytearray(50 * 2**20))\n"
        "def fine():\n    return 1"
    )
    student = Student(page(rung, code, Limits(call_wall_s=10.0, memory_mb=600)))  # not the time, on a busy machine
    with pytest.raises(StudentOutOfMemory, match="memory_mb"):
        getattr(student, call)()
    assert student.fine() == 1


@pytest.mark.parametrize("rung", ["bubblewrap"], indirect=True)
def test_a_gradient_in_strips_takes_no_more_than_its_strips(rung: Sandbox) -> None:
    """200 strips of 1.5 MB, one at a time, and a small result of each: in 128 MB, where not all of them would fit."""
    code = (
        "import torch\n"
        "def f(x):\n"
        "    sums = []\n"
        "    with torch.no_grad():\n"
        "        for _ in range(200):\n"
        "            strip = torch.softmax(x.expand(64, 6007) * 2, -1)\n"
        "            sums.append(strip @ torch.ones(6007, 3))\n"
        "    return x * len(torch.cat(sums))\n"
    )
    x = torch.ones(1)
    student = Student(page(rung, code, Limits(memory_mb=128)))
    assert student.vjp(student.f, x, cotangent=x).grads[0].tolist() == [12800.0]


def test_what_the_forkserver_does_meanwhile_is_no_workers_memory() -> None:
    """It tidies its memory while nobody asks it for anything; the next worker starts from zero all the same."""
    with start("none") as sandbox:
        steps = 0
        while not steps:  # each pause between two questions is one
            sandbox.wipe()
            with sandbox.fork_worker():
                steps = sandbox._steps
        with sandbox.fork_worker():
            assert sandbox._idle_bytes == pytest.approx(usage.memory_bytes(sandbox.pid), abs=4 << 20)
            assert sandbox.memory_bytes() < 4 << 20


def test_who_has_ended_uses_nothing() -> None:
    """A process may end between a look at its size and a closer one: its size is not held against those who live."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = os.getpid()
    assert usage._own_bytes(Process(ended.pid, here, running=False, cpu_s=0.0, resident=1 << 30)) == 0
    assert usage._own_bytes(Process(here, 1, running=True, cpu_s=0.0, resident=1 << 50)) < 1 << 40


_FAMILY = """
import os
import subprocess
import sys
import signal

def child(megabytes):
    receive, send = os.pipe()
    if os.fork() == 0:
        kept = b"x" * (megabytes << 20)
        os.write(send, b"x")
        signal.pause()
    os.read(receive, 1)

def nothing():
    pass
"""


@fenced
def test_memory_that_grows_between_quick_calls_is_seen(rung: Sandbox) -> None:
    """No call lasts long enough to be looked at; what its children hold together is above the limit all the same."""
    student = Student(page(rung, _FAMILY))
    with pytest.raises(StudentOutOfMemory, match="memory_mb"):
        for _ in range(40):
            student.child(20)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            student.nothing()
    assert rung.memory_bytes() < 100 << 20, "it is taken back at once, not with the next call"
    assert student.nothing() is None


@fenced
def test_shared_memory_counts_once(rung: Sandbox) -> None:
    """A forked child shares torch with its parent: twelve of them use next to nothing."""
    if rung.rung == "landlock" and os.geteuid() != 0:
        pytest.skip("without root the kernel shows no more than resident sizes: docs/security.md, limits")
    student = Student(page(rung, _FAMILY))
    for _ in range(12):
        student.child(1)
    student._page.look()
    assert rung.memory_bytes() < 200 << 20


@rungs
def test_the_kernel_keeps_the_limits_too(rung: Sandbox) -> None:
    """Processes, open files, file size, processor time and address space are limited where the code runs."""
    names = ["NPROC", "NOFILE", "FSIZE", "CPU", "CORE", "AS"]
    code = (
        f"import resource\ndef f():\n    return [resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in {names}]"
    )
    soft = dict(zip(names, (pair[0] for pair in Student(page(rung, code)).f()), strict=True))
    assert LIMITS.memory_mb << 20 < soft.pop("AS") < 64 << 30  # torch's own mappings come on top
    assert soft == {
        "NPROC": LIMITS.processes,
        "NOFILE": LIMITS.open_files,
        "FSIZE": LIMITS.disk_mb << 20,
        "CPU": int(LIMITS.submission_wall_s) + 1,
        "CORE": 0,
    }


@fenced
def test_disk_is_limited(rung: Sandbox, request: pytest.FixtureRequest) -> None:
    """Files that are each within the limit are together above it: no space left, or the limit is named."""
    limits = Limits(memory_mb=600, disk_mb=8)
    code = (
        "def fill():\n    for number in range(5):\n        with open(f'file{number}', 'wb') as file:\n"
        "            file.write(bytes(4 << 20))"
    )
    with (
        start(request.node.callspec.params["rung"], (), limits) as sandbox,
        pytest.raises(StudentError, match=r"No space left|disk_mb"),
    ):
        Student(page(sandbox, code, limits)).fill()

"""Child processes as workers: what is ended, what is found out, and who is let in. They run on Linux as well."""

import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox import portable, wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentBroke, StudentOutOfMemory, StudentTimedOut
from autograder.sandbox.portable import Children
from autograder.sandbox.workers import SandboxError

LIMITS = Limits(call_wall_s=3.0, memory_mb=512, disk_mb=4)
CODE = """
import os, subprocess, sys, time

def double(x):
    return x + x

def start_and_hang():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open({pid!r}, "w") as file:
        file.write(str(child.pid))
    while True:
        pass

def greedy():
    held = bytearray(1 << 30)
    time.sleep(1)
    return len(held)

def writes():
    with open("large", "wb") as file:
        file.write(bytes(8 << 20))
    return os.path.abspath("large")
"""


@pytest.fixture(scope="module")
def workers() -> Iterator[Children]:
    with Children(LIMITS) as workers:
        yield workers


def student(workers: Children, tmp_path: Path) -> Student:
    source = wire.Source("probe", [CODE.format(pid=str(tmp_path / "pid"))])
    return Student(Page(workers, "probe", [source], ["double"], LIMITS))


def test_a_limit_ends_the_whole_family(workers: Children, tmp_path: Path) -> None:
    """What hangs is killed with what it started, and the next call is answered by a fresh worker."""
    probe = student(workers, tmp_path)
    with pytest.raises(StudentTimedOut, match="start_and_hang did not return within 3 s"):
        probe.start_and_hang()
    started = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(started) or psutil.Process(started).status() == psutil.STATUS_ZOMBIE
    assert probe.double(21) == 42


def test_a_statement_that_does_not_end_is_stopped_while_the_page_is_loaded(workers: Children) -> None:
    """As on Linux: what follows it is run, and the next worker does not begin it."""
    page = Page(workers, "endless", [wire.Source("endless", ["while True:\n    pass\nx = 1\n"])], ["x"], LIMITS)
    for _ in range(2):
        assert page.defines("x")
        page.close()
    (problem,) = page.problems
    assert (problem.error, problem.line in (1, 2)) == ("TookTooLong", True)


def test_memory_and_files_are_watched(workers: Children, tmp_path: Path) -> None:
    """As on Linux, with the same words; small answers take nothing."""
    probe = student(workers, tmp_path)
    assert probe.double(21) == 42 and workers.memory_bytes() < 64 << 20
    with pytest.raises(StudentOutOfMemory, match="more than 512 MB of memory"):
        probe.greedy()
    with pytest.raises(StudentBroke, match="more than 4 MB, or too many, of files"):
        probe.writes()


def test_nothing_is_left(tmp_path: Path) -> None:
    """After `close` there is no process of ours and no file."""
    before = set(psutil.Process().children(recursive=True))
    with Children(LIMITS) as workers:
        assert student(workers, tmp_path).double(1) == 2
        scratch = Path(workers._scratch)
        assert set(psutil.Process().children(recursive=True)) > before and scratch.is_dir()
    assert set(psutil.Process().children(recursive=True)) == before and not scratch.exists()


def test_a_worker_does_not_outlive_us(tmp_path: Path) -> None:
    """However the process that started it ended, and whatever it does at that moment."""
    code = """
        import os
        from autograder.course import Limits
        from autograder.sandbox import wire
        from autograder.sandbox.channel import Channel, no_deadline
        from autograder.sandbox.portable import Children
        workers = Children(Limits())
        channel = Channel(workers.fork_worker())
        page = wire.Source("page", ["while True: pass"])
        channel.send(wire.Load(1, "page", [page], []), [], no_deadline)
        print(workers._worker.pid, flush=True)
        os._exit(1)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    _, alive = psutil.wait_procs([psutil.Process(p) for p in _alive(int(done.stdout))], timeout=60)
    assert alive == []


def _alive(pid: int) -> list[int]:
    return [pid] if psutil.pid_exists(pid) else []


def test_strangers_are_not_listened_to(tmp_path: Path) -> None:
    """Who connects to the port without the token, or says nothing, is passed over."""
    with Children(LIMITS) as workers:
        assert workers._next is not None
        port = workers._next._listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as liar, socket.create_connection(("127.0.0.1", port)):
            liar.sendall(b"0" * 32 + b" 1\n")
            assert student(workers, tmp_path).double(21) == 42
            assert workers._worker is not None and workers._worker.pid != 1


def test_why_a_worker_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of what it said, at once."""
    kit = tmp_path / "autograder"
    (kit / "sandbox").mkdir(parents=True)
    (kit / "sandbox" / "child.py").write_text("import sys\nsys.exit('no torch here')\n")
    monkeypatch.setattr(portable, "KIT", kit)
    with Children(LIMITS) as workers, pytest.raises(SandboxError, match="did not start: no torch here"):
        workers.fork_worker()

"""A sandbox that does not start in time, or ends before its time."""

import os
import select
import signal

import pytest

from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox.launch import Sandbox, SandboxError
from autograder.sandbox.rungs import choose_rung
from tests.sandbox.conftest import ROOT, page, start


@pytest.mark.timeout(120)
def test_a_start_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the answer may come after the limit: an error, not a room that waits for ever."""
    rung = choose_rung("auto")
    answer = Sandbox._answer

    def too_late(sandbox: Sandbox, timeout_s: float) -> None:
        answer(sandbox, timeout_s)  # by now the forkserver no longer ends with the one that started it
        raise SandboxError("no answer in time")

    monkeypatch.setattr(Sandbox, "_answer", too_late)
    with pytest.raises(SandboxError, match="did not start"):
        Sandbox(rung, Limits())


@pytest.mark.parametrize("rung", ["landlock", "none"])
def test_a_worker_ends_with_its_sandbox(rung: str) -> None:
    """Without a namespace that ends with its first process: killed as a whole, a sandbox would leave its worker."""
    sandbox = start(rung, (ROOT,))
    try:
        submitted = page(sandbox, "import os\ndef f():\n    return os.getpid(), os.getppid()")
        worker, forkserver = Student(submitted).f()
        ended = os.pidfd_open(worker)
        os.kill(forkserver, signal.SIGKILL)
        assert select.select([ended], [], [], 20.0)[0], "the worker lives on"
        os.close(ended)
        submitted.close()  # until here the grader's end of the wire is open
    finally:
        sandbox.close()

"""A sandbox that does not start in time."""

import pytest

from autograder.course import Limits
from autograder.sandbox.launch import Sandbox, SandboxError
from autograder.sandbox.rungs import choose_rung


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

"""What `autograder doctor` finds out on this machine."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from autograder.commands.doctor import render_doctor
from autograder.commands.threats import THREATS, try_threats
from autograder.sandbox.rungs import probe

SUCCEED_WITHOUT_A_WALL = {
    "reads the course's files",
    "lists other submissions",
    "writes outside its scratch folder",
    "reads the system's accounts",
    "reads the grader's environment",
    "sends the grader a signal",
    "connects by TCP",
    "sends by UDP",
    "connects to an abstract socket",
    "leaves shared memory behind",
}


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"])
def test_every_threat_is_stopped_by_a_wall(rung: str) -> None:
    """Both rungs stop everything that doctor tries."""
    assert probe(rung) is None
    found = try_threats(rung)
    assert found.keys() == THREATS.keys()
    assert [threat for threat, stopped in found.items() if not stopped] == []


def test_the_attempts_are_real() -> None:
    """Without a wall they succeed: what is reported as stopped was stopped by the wall, not by a typing error."""
    reached = {threat for threat, stopped in try_threats("none").items() if not stopped}
    assert reached >= SUCCEED_WITHOUT_A_WALL


def test_the_findings(cli: Callable[..., Any]) -> None:
    """The versions, which rung is used and why, and per threat what stops it: as JSON, and as a table."""
    done = cli("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["packages"]["torch"] and found["cores"] >= 1
    assert found["isolation"]["chosen"] == "bubblewrap" and found["isolation"]["why"]
    assert [row["threat"] for row in found["threats"]] == list(THREATS)
    assert all(row["stopped"]["bubblewrap"] for row in found["threats"])
    assert not all(row["stopped"]["none"] for row in found["threats"])
    console = Console(file=io.StringIO(), width=120)
    render_doctor(found, console)
    table = console.file.getvalue()  # type: ignore[attr-defined]
    assert "chosen: bubblewrap" in table and "NOT stopped" in table
    assert all(threat in table for threat in THREATS)

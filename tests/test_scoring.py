"""From outcomes to points, and result files that are whole or not there."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autograder.course import Exercise
from autograder.results.record import (
    SCHEMA,
    Late,
    Outcome,
    TestResult,
    UnitResult,
    read_result,
    result_path,
    write_atomically,
    write_result,
)
from autograder.results.scoring import score_exercise

EXERCISE = Exercise(id="one", page="page", title="One", symbols=("f",), points=12.0)
P, F, D, E = Outcome.PASSED, Outcome.FAILED, Outcome.DEFERRED, Outcome.GRADER_ERROR
LOST = [o for o in Outcome if o not in (P, D, E)]


def outcomes(*described: tuple[Outcome, float] | tuple[Outcome, float, str]) -> list[TestResult]:
    return [
        TestResult(name=f"test_{i}", outcome=outcome, weight=weight, gate=bool(gate))
        for i, (outcome, weight, *gate) in enumerate(described)
    ]


@pytest.mark.parametrize(
    ("described", "score", "pending", "status"),
    [
        ([(P, 1), (P, 2)], 12, 0, "full"),
        ([(P, 1), (F, 2)], 4, 0, "partial"),
        ([(F, 1), (F, 2)], 0, 0, "none"),
        ([(P, 1), (D, 2)], 4, 8, "pending"),  # neither won nor lost
        ([(F, 1), (D, 2)], 0, 8, "pending"),
        ([(P, 1), (F, 1), (E, 4)], 6, 0, "error"),  # our fault counts for neither side
        ([(P, 1), (E, 4)], 12, 0, "error"),
        ([(E, 1), (E, 4)], 0, 12, "error"),  # nothing is left to decide by
        ([], 0, 12, "pending"),
        ([(P, 1, "gate"), (P, 1), (F, 1)], 8, 0, "partial"),
        ([(F, 1, "gate"), (P, 5)], 0, 0, "none"),
        ([(F, 1, "gate"), (P, 5), (D, 3)], 0, 0, "none"),  # hardware cannot mend a failed gate
        ([(D, 1, "gate"), (P, 2)], 8, 4, "pending"),  # a gate that waits fails nothing yet
        ([(E, 1, "gate"), (P, 2), (F, 2)], 6, 0, "error"),  # nor does a gate that we broke
        ([(P, 0.5), (F, 0.25)], 8, 0, "partial"),
    ],
)
def test_score(described: list[Any], score: float, pending: float, status: str) -> None:
    """Points go by the weight of passed tests, with gates, deferred tests and errors of ours as promised."""
    result = score_exercise(EXERCISE, outcomes(*described))
    assert (result.score, result.pending, result.status) == (score, pending, status)
    assert (result.id, result.page, result.max_score) == ("one", "page", 12.0)
    assert len(result.tests) == len(described)


@pytest.mark.parametrize("outcome", LOST)
def test_every_other_outcome_is_lost(outcome: Outcome) -> None:
    """A wrong, raised, slow, large, missing or blocked answer earns nothing, as a test and as a gate."""
    assert score_exercise(EXERCISE, outcomes((P, 3), (outcome, 1))).score == 9.0
    assert score_exercise(EXERCISE, outcomes((P, 3), (outcome, 1, "gate"))).score == 0.0


def test_all_passed_is_full_marks_whatever_the_numbers() -> None:
    """Rounding never costs a complete exercise its last digit or its status."""
    for points in (0.7, 3.3, 6.0, 7.1, 16.0):
        for weight in (0.1, 0.3, 0.7, 1.1, 1.5):
            exercise = msgspec.structs.replace(EXERCISE, points=points)
            for count in range(1, 8):
                result = score_exercise(exercise, outcomes(*[(P, weight)] * count))
                assert (result.score, result.status) == (points, "full"), (points, weight, count)


def test_grader_error_is_found() -> None:
    """A unit knows whether anything in it is our fault."""
    assert not unit_result((P, 1), (F, 1)).has_grader_error()
    assert unit_result((P, 1), (E, 1)).has_grader_error()


# ---------------------------------------------------------------- result.json


def unit_result(*described: Any, student: str = "ada") -> UnitResult:
    exercise = score_exercise(EXERCISE, outcomes(*described))
    return UnitResult(
        course="tiny",
        student=student,
        unit="unit0",
        score=exercise.score,
        max_score=exercise.max_score,
        pending=exercise.pending,
        graded_at="2026-11-22T13:00:00Z",
        fingerprint="sha256:0",
        isolation="none",
        seed_id="s",
        duration_s=0.1,
        late=Late(seconds=3.0, penalty=0.5),
        problems=["page.py: line 3: SyntaxError: no"],
        exercises=[exercise],
    )


def test_result_comes_back(tmp_path: Path) -> None:
    """What was written is read as it was, from <out>/<student>/<unit>/result.json, readable by all."""
    result = unit_result((P, 1), (F, 2, "gate"))
    path = write_result(tmp_path, result)
    assert path == result_path(tmp_path, "ada", "unit0") == tmp_path / "students" / "ada" / "unit0" / "result.json"
    assert read_result(path) == result
    assert path.stat().st_mode & 0o777 == 0o644


def test_result_is_the_contract(tmp_path: Path) -> None:
    """The file says its schema, spells outcomes as words and ends with a newline."""
    path = write_result(tmp_path, unit_result((P, 1), (F, 2)))
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    assert text.endswith("}\n") and data["schema"] == SCHEMA == "autograder/result/v1"
    assert data["exercises"][0]["tests"][1]["outcome"] == "failed"
    assert data["late"] == {"seconds": 3.0, "penalty": 0.5}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"\xff" + data,
        lambda data: data.replace(b"result/v1", b"result/v9"),
        lambda data: data.replace(b'"failed"', b'"great"'),
        lambda data: data.replace(b'"score"', b'"points"'),
    ],
    ids=["half", "empty", "no text", "other schema", "unknown outcome", "no score"],
)
def test_unreadable_results_are_none(tmp_path: Path, spoil: Any) -> None:
    """A file that is not a whole result of this schema counts as not there, so that it is graded again."""
    path = write_result(tmp_path, unit_result((P, 1), (F, 2)))
    spoiled = spoil(path.read_bytes())
    assert spoiled != path.read_bytes()
    path.write_bytes(spoiled)
    assert read_result(path) is None
    path.unlink()
    assert read_result(path) is None


def test_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the write is interrupted at its last step, the old file stands and nothing lies beside it."""
    path = tmp_path / "folder" / "file"
    write_atomically(path, b"old")

    def interrupted(source: object, target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_the_name_is_given_to_a_complete_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader never sees half a file: the bytes are all there, flushed to the disk, before the name moves."""
    steps = []
    flush, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (steps.append("flush"), flush(descriptor)))

    def watched(source: str, target: Path) -> None:
        steps.append(Path(source).read_bytes())
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    write_atomically(tmp_path / "file", b"all of it")
    assert steps == ["flush", b"all of it"]
    assert (tmp_path / "file").read_bytes() == b"all of it"

"""Every attack, on every rung of this machine: no point gained, none lost elsewhere, nobody else touched, nothing left.

One batch per rung holds all attackers and three honest students; a second one the honest students alone, with the
same seed. `pairs` are attacks with an accomplice, graded one by one in a single sandbox.
"""

import re
from collections.abc import Callable

import pytest

from autograder.results.record import ExerciseResult, Outcome, UnitResult
from tests.attacks.conftest import (
    ACCOMPLICE,
    HONEST,
    SEED,
    USERNS,
    Attack,
    Graded,
    attacks,
    is_pair,
    is_run,
    rungs_here,
)

ATTACKS = attacks()
RUNGS = rungs_here()
CASES = [(name, rung) for rung in RUNGS for name in ATTACKS if is_run(ATTACKS[name], rung)]
SUBMISSION_WALL_S = 40.0
SLACK_S = 10.0  # what the grader itself may take for a submission, on a busy machine

Run = Callable[[str, str], Graded]
slow = {USERNS: [pytest.mark.slow]}
rungs = pytest.mark.parametrize("rung", [pytest.param(rung, marks=slow.get(rung, [])) for rung in RUNGS])
cases = pytest.mark.parametrize(
    ("name", "rung"),
    [pytest.param(name, rung, id=f"{name}-{rung}", marks=slow.get(rung, [])) for name, rung in CASES],
)


def result_of(graded: Run, name: str, rung: str) -> tuple[Attack, UnitResult | None]:
    """The attack and the attacker's result."""
    if is_pair(name):
        return ATTACKS[name], graded(rung, "pairs").results[f"{name}.thief"]
    return ATTACKS[name], graded(rung, "all").results[name]


def exercise(result: UnitResult, exercise_id: str) -> ExerciseResult:
    return next(e for e in result.exercises if e.id == exercise_id)


def story(result: UnitResult) -> str:
    """Outcomes and first lines of messages, for a failing test to show."""
    lines = [f"{result.student} problems={result.problems}"]
    for e in result.exercises:
        lines.append(f"{e.id}: {e.score} of {e.max_score}, {e.status}")
        lines += [f"  {t.name}: {t.outcome}: {' '.join(t.message.split())[:300]}" for t in e.tests]
    return "\n".join(lines)


def seen(result: UnitResult | None) -> object:
    """What a student is told, without times."""
    assert result is not None
    tests = {f"{e.id}::{t.name}": (t.outcome, t.weight, t.message, t.hint) for e in result.exercises for t in e.tests}
    scores = {e.id: (e.score, e.pending, e.status) for e in result.exercises}
    return result.score, scores, tests, result.problems, result.isolation


def test_there_are_enough_attacks() -> None:
    """At least sixty attacks, and a rung to try them on."""
    assert len(ATTACKS) >= 60
    assert RUNGS, "no rung works on this machine"


@cases
def test_no_point_is_gained(graded: Run, name: str, rung: str) -> None:
    """The attacked exercise ends as foreseen, with no point more than was honestly earned, and nothing left open."""
    attack, result = result_of(graded, name, rung)
    if not attack.expect:
        assert result is None, story(result)
        return
    assert result is not None, "the attack has no result at all"
    attacked = exercise(result, attack.attacks)
    assert attacked.score <= attack.max_score, story(result)
    assert attacked.pending == 0 and attacked.status != "error", story(result)
    passed = {"timed_out", *(["passed"] if attack.max_score else [])}  # a busy machine may time out anything
    assert {str(test.outcome) for test in attacked.tests} <= {*attack.expect, *passed}, story(result)


@cases
def test_honest_points_are_kept(graded: Run, name: str, rung: str) -> None:
    """What the attacker honestly solved elsewhere counts in full; nothing is our fault."""
    attack, result = result_of(graded, name, rung)
    if result is None:
        assert not attack.keeps
        return
    assert not result.has_grader_error(), story(result)
    for kept in attack.keeps:
        assert exercise(result, kept).status == "full", story(result)


@cases
def test_nothing_secret_was_reached(graded: Run, name: str, rung: str) -> None:
    """No secret of the grader is in the result, and the attack itself reports no success."""
    _, result = result_of(graded, name, rung)
    if result is None:
        return
    told = "\n".join([*result.problems, *(t.message + t.hint for e in result.exercises for t in e.tests)])
    breach = re.search("RuntimeError: BREACH.*", told)  # as a message; the words also stand in lines of source
    assert breach is None, breach and breach[0]
    assert graded(rung, "pairs" if is_pair(name) else "all").canary not in told
    assert SEED not in told


@cases
def test_the_result_stays_readable(graded: Run, name: str, rung: str) -> None:
    """Messages are short and hold no control characters: they are shown in terminals, pages and spreadsheets."""
    _, result = result_of(graded, name, rung)
    if result is None:
        return
    told = [*result.problems, *(t.message for e in result.exercises for t in e.tests)]
    assert max(map(len, told), default=0) <= 5000, [len(text) for text in told]
    odd = {c for text in told for c in text if (ord(c) < 32 and c not in "\n\t") or ord(c) in ODD}
    assert not odd, story(result)


CONTROLS = {*range(0x7F, 0xA0), *range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
ODD = {*CONTROLS, *range(0xD800, 0xE000)}


@cases
def test_the_attacker_keeps_to_its_own_time(graded: Run, name: str, rung: str) -> None:
    """Grading the attack takes no longer than a submission may."""
    _, result = result_of(graded, name, rung)
    assert result is None or result.duration_s <= SUBMISSION_WALL_S + SLACK_S, story(result)


@rungs
@pytest.mark.parametrize("student", HONEST)
def test_honest_results_are_the_same(graded: Run, student: str, rung: str) -> None:
    """Scores, outcomes and messages of an honest student do not depend on who else is in the batch."""
    alone, beside = graded(rung, "honest").results[student], graded(rung, "all").results[student]
    assert seen(alone) == seen(beside)
    assert alone is not None and alone.score == (20.0 if student != HONEST[1] else pytest.approx(alone.score))


@rungs
def test_an_honest_class_is_graded_as_usual(graded: Run, rung: str) -> None:
    """The yardstick itself: full marks for both solutions; wrong, raised and missing where one is half right."""
    results = graded(rung, "honest").results
    outcomes = {t.outcome for e in results[HONEST[1]].exercises for t in e.tests}  # type: ignore[union-attr]
    assert outcomes == {Outcome.PASSED, Outcome.FAILED, Outcome.RAISED, Outcome.MISSING}
    assert [results[student].score for student in (HONEST[0], HONEST[2])] == [20.0, 20.0]  # type: ignore[union-attr]


@rungs
@pytest.mark.parametrize("who", ["all", "pairs"])
@pytest.mark.parametrize("kind", ["processes", "files", "mounts", "segments", "course", "submissions"])
def test_nothing_is_left_behind(graded: Run, kind: str, who: str, rung: str) -> None:
    """No process, file, mount or memory segment remains; the course and the submissions are as they were."""
    assert graded(rung, who).left[kind] == []


@rungs
@pytest.mark.parametrize("who", ["all", "pairs"])
def test_no_listener_was_reached(graded: Run, who: str, rung: str) -> None:
    """Nothing came to the grader's machine over TCP, UDP, a Unix or an abstract socket."""
    assert graded(rung, who).contacts == []


@rungs
@pytest.mark.parametrize("who", ["all", "pairs"])
def test_the_batch_ends_in_order(graded: Run, who: str, rung: str) -> None:
    """Exit code 0, no traceback, and nothing on the terminal that a student could have steered it with."""
    run = graded(rung, who)
    assert run.code == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert "Traceback" not in run.stderr
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", run.stdout + run.stderr)


@rungs
def test_gradebook_and_result_files_agree(graded: Run, rung: str) -> None:
    """Every score in nbgrader's gradebook is that of a result file, and none is missing."""
    run = graded(rung, "all")
    files = {(student, r.unit): r.score for student, r in run.results.items() if r is not None}
    assert run.gradebook == pytest.approx(files)


@rungs
def test_accomplices_are_honest_students(graded: Run, rung: str) -> None:
    """Whoever leaves notes behind solved the page: the thief's zero is not for want of notes."""
    for name, result in graded(rung, "pairs").results.items():
        if not name.endswith(ACCOMPLICE):
            continue
        assert result is not None and exercise(result, "attacked").status == "full", story(result)  # type: ignore

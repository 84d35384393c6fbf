"""From the outcomes of tests to points."""

from msgspec import UNSET

from autograder.course import Exercise
from autograder.results.record import ExerciseResult, Outcome, TestResult


def score_exercise(exercise: Exercise, tests: list[TestResult]) -> ExerciseResult:
    """points x weight of passed tests / weight of all tests.

    - A failed `gate` leaves nothing for the others.
    - Deferred weight is pending: neither won nor lost until a machine with the hardware completes it.
    - A grader error is our fault: its weight is taken out of the sum, so that the rest decides; where nothing
      is left, the whole exercise is pending.
    """
    counted = [test for test in tests if test.outcome is not Outcome.GRADER_ERROR]
    total = sum(test.weight for test in counted)
    passed = sum(test.weight for test in counted if test.outcome is Outcome.PASSED)
    deferred = sum(test.weight for test in counted if test.outcome is Outcome.DEFERRED)
    if any(test.gate and not test.outcome.is_fine for test in counted):
        passed = deferred = 0.0
    score = exercise.points * (passed / total) if total else 0.0
    pending = exercise.points * (deferred / total) if total else exercise.points
    return ExerciseResult(
        id=exercise.id,
        page=exercise.page,
        score=round(score, 4),
        max_score=float(exercise.points),
        pending=round(pending, 4),
        status=_status(score, pending, exercise.points, len(counted) < len(tests)),
        tests=tests,
        measured=list(dict.fromkeys(t.measured for t in tests if t.measured is not UNSET)) or UNSET,
    )


def _status(score: float, pending: float, points: float, our_fault: bool) -> str:
    if our_fault:
        return "error"
    if pending:
        return "pending"
    if score >= points:
        return "full"
    return "partial" if score else "none"

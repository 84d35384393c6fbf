"""How much of a test's message a student gets to see: set in course.toml, before and after the due date."""

from collections.abc import Sequence
from datetime import UTC, datetime

from autograder.course import Course, Unit
from autograder.policies import FeedbackLevel
from autograder.results.record import ExerciseResult, Outcome, TestResult


def level_now(course: Course, unit: Unit, now: datetime | None = None, due: datetime | None = None) -> FeedbackLevel:
    """The level that holds at `now` (the present unless given), for a student whose due date is `due` or the unit's."""
    due = due or unit.due
    over = due is not None and (now or datetime.now(UTC)) > due
    return course.feedback.after_due if over else course.feedback.before_due


def visible(test: TestResult, level: FeedbackLevel) -> str:
    """What a student reads about a test that failed, or that passed and is for information.

    `full`: the check's sentence, what was seen, and the explanation where one is known. `hint`: the sentence and the
    explanation. `score`: nothing.
    """
    if level == "score":
        return ""
    sentence, _, seen = test.message.partition("\n")
    lines = [sentence, seen if level == "full" else "", test.hint]
    return "\n".join(line for line in lines if line.strip())


def information(tests: Sequence[TestResult], level: FeedbackLevel = "full") -> str:
    """What tests say that passed and count nothing; a sentence that several share stands once."""
    said: dict[str, list[str]] = {}
    for test in tests:
        if test.informs and level != "score":
            sentence, _, seen = visible(test, level).partition("\n")
            said.setdefault(sentence, []).extend([seen] if seen else [])
    return "\n\n".join("\n".join([sentence, *seen]) for sentence, seen in said.items())


def comment(exercise: ExerciseResult, level: FeedbackLevel) -> str:
    """What a student reads about an exercise: its first check that did not pass; else what is said for information."""
    failed = [test for test in exercise.tests if not test.outcome.is_fine]
    failed = [test for test in failed if test.weight or test.outcome is not Outcome.BLOCKED]  # nothing waits for it
    if level == "score":
        return ""
    if not failed:
        return information(exercise.tests, level)
    if any(test.outcome is Outcome.GRADER_ERROR for test in failed):
        failed = [test for test in failed if test.outcome is not Outcome.GRADER_ERROR]
        if not failed:
            return "A hidden check broke; this is not your fault, and it costs no points."
    more = f"\n\n({len(failed) - 1} more checks did not pass)" if len(failed) > 1 else ""
    return visible(failed[0], level) + more

"""What `check` found out, and how the student reads it."""

from pathlib import Path

from msgspec import Struct
from rich.console import Console

from autograder.course import Exercise, Page
from autograder.results.feedback import information
from autograder.results.record import Outcome, TestResult


class CheckedExercise(Struct, frozen=True):
    """No tests where the page could not be read."""

    exercise: Exercise
    tests: list[TestResult]

    @property
    def passed(self) -> int:
        return sum(test.outcome is Outcome.PASSED for test in self.tests)

    @property
    def first_failure(self) -> TestResult | None:
        return next((test for test in self.tests if test.outcome is not Outcome.PASSED), None)

    @property
    def done(self) -> bool:
        return bool(self.tests) and self.first_failure is None


class CheckedPage(Struct, frozen=True):
    """One page's checks. `source` is the file that was checked."""

    page: Page
    source: Path
    exercises: list[CheckedExercise]
    problems: list[str]

    @property
    def all_passed(self) -> bool:
        return all(exercise.done for exercise in self.exercises)


class CheckedFolder(Struct, frozen=True):
    """The pages, and what `grade` would say about the files as they are."""

    pages: list[CheckedPage]
    said: list[str]

    @property
    def all_passed(self) -> bool:
        return all(page.all_passed for page in self.pages)


def render_checks(checked: CheckedFolder, console: Console) -> None:
    """Per exercise how far it is, the first failing check explained, what is next, and what grading would say."""
    passed = total = 0
    following: str | None = None
    yes, no = _marks(console)
    for page in checked.pages:
        console.print(f"{page.source}", style="bold", markup=False)
        for problem in page.problems:
            console.print(f"  {problem}", style="red", markup=False)
        for exercise in page.exercises:
            passed += exercise.done
            total += 1
            following = following or (None if exercise.done else exercise.exercise.id)
            points = f"{exercise.exercise.points:g} points"
            state = f"{exercise.passed} of {len(exercise.tests)} checks" if exercise.tests else "not checked"
            console.print(
                f"  {yes if exercise.done else no} {exercise.exercise.id}: {state} ({points})",
                style="green" if exercise.done else "yellow",
                markup=False,
            )
            if exercise.first_failure is not None:
                _render_failure(exercise.first_failure, console)
            for line in information(exercise.tests).splitlines():
                console.print(f"      {line}", markup=False)
    if checked.said:
        console.print("Handed in as it is, the grader would say:", style="bold", markup=False)
    for text in checked.said:
        console.print(f"  {text}", style="yellow", markup=False)
    if not total:  # the page is gone while it is watched
        return
    console.print(f"{passed} of {total} exercises pass their public checks.", markup=False)
    if following is not None:
        console.print(f"Next: {following}", markup=False)
    else:
        console.print("The hidden checks of the grader look at more cases than these.", markup=False)


def _marks(console: Console) -> tuple[str, str]:
    try:
        "✓✗".encode(console.encoding)
    except (UnicodeError, LookupError):
        return "+", "-"
    return "✓", "✗"


def _render_failure(test: TestResult, console: Console) -> None:
    for line in test.message.splitlines():
        console.print(f"      {line}", markup=False)
    if test.hint:
        console.print(f"      hint: {test.hint}", markup=False)

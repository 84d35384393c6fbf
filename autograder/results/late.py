"""What a result is worth now: the points of its tests, the late policy and the extensions, as they stand today.

Pure functions, in exact arithmetic. Nothing is written down: a later due date, policy or extension changes what the
table, the gradebook and the exports say the next time they are made, and no student's code runs for that.

- Lateness is the time between the due date (the student's own, where extensions.csv gives one) and the hand-in. Where
  no time is known it counts as in time.
- After the grace period every started 24 hours cost `penalty_per_day`, together at most `max_penalty`, of the points
  earned. Past the cut-off, which counts from the same due date, nothing is left.
- Slip days take started days off. A student's budget is spent in the order in which units are due (as course.toml says,
  whatever was extended), on each unit only as far as that saves points, and never beyond a cut-off.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from msgspec import Struct

from autograder.course import Course, Unit
from autograder.extensions import Extensions
from autograder.policies import LatePolicy, exact
from autograder.results.record import UnitResult

DIGITS = 4  # of points, as in result.json
_FAR = datetime.max.replace(tzinfo=UTC)


class Grade(Struct, frozen=True, kw_only=True):
    """What counts of a result. `score` = `earned` - `penalty`, all in points.

    `days_late` are started days, `slip_days` of them are paid from the budget. `extension` says where in extensions.csv
    something was granted. An excused unit loses nothing here; that it does not count is for the reader to say.
    """

    student: str
    unit: str
    earned: float
    penalty: float
    score: float
    max_score: float
    pending: float
    submitted_at: datetime | None = None
    due: datetime | None = None
    seconds_late: float = 0.0
    days_late: int = 0
    slip_days: int = 0
    cut_off: bool = False
    excused: bool = False
    extension: str = ""


class Counted(Struct, frozen=True, kw_only=True):
    """The result that counts for a student and unit, what it is worth, and the other submissions that do not count."""

    grade: Grade
    result: UnitResult
    others: list[UnitResult] = []


class Lateness(Struct, frozen=True, kw_only=True):
    """How late, and the share of the points that this costs after slip days."""

    seconds: Fraction = Fraction(0)
    days: int = 0
    slip_days: int = 0
    cut_off: bool = False
    share: Fraction = Fraction(0)


def lateness(policy: LatePolicy, due: datetime | None, submitted_at: datetime | None, slip_left: int = 0) -> Lateness:
    """What handing in at that moment costs, with `slip_left` days in the budget."""
    if due is None or submitted_at is None:
        return Lateness()
    seconds = max(Fraction(0), Fraction((submitted_at - due) // timedelta(microseconds=1), 10**6))
    if policy.is_cut_off(seconds):
        return Lateness(seconds=seconds, days=policy.started_days(seconds), cut_off=True, share=Fraction(1))
    days = policy.started_days(seconds)
    most = min(days, slip_left, days if policy.max_slip_days is None else policy.max_slip_days)
    # the fewest days among those that save the most: where the penalty is at its maximum one day may change nothing
    spent = min(range(most + 1), key=lambda spent: (policy.share(days - spent), spent))
    return Lateness(seconds=seconds, days=days, slip_days=spent, share=policy.share(days - spent))


def handed_in_at(result: UnitResult, unit: Unit) -> datetime | None:
    """When a result was handed in; a file of an earlier version says only how long after the due date that was."""
    early_version = not result.basis.submission
    if early_version and result.submitted_at is None and result.late.seconds and unit.due is not None:
        return unit.due + timedelta(seconds=result.late.seconds)
    return result.submitted_at


def charged(
    course: Course,
    extensions: Extensions,
    unit: Unit,
    student: str,
    due: datetime | None,
    submitted_at: datetime | None,
    earned: Fraction,
    slip_left: int,
) -> Lateness:
    """How late a unit came, due then for this student, and what that costs: nothing where it is excused.

    Slip days are not spent on work that earned nothing.
    """
    late = lateness(course.late_for(unit), due, submitted_at, slip_left if earned else 0)
    extension = extensions.of(student, unit.id)
    if extension is not None and extension.excused:
        return Lateness(seconds=late.seconds, days=late.days)
    return late


def grade(course: Course, extensions: Extensions, result: UnitResult, slip_left: int = 0) -> Grade:
    """What one result is worth, with `slip_left` days in the student's budget."""
    unit = course.unit(result.unit)
    extension = extensions.of(result.student, unit.id)
    due, submitted_at = extensions.due(course, unit, result.student), handed_in_at(result, unit)
    earned = result.earned
    late = charged(course, extensions, unit, result.student, due, submitted_at, earned, slip_left)
    penalty = round(earned * late.share, DIGITS)
    return Grade(
        student=result.student,
        unit=unit.id,
        earned=float(earned),
        penalty=float(penalty),
        score=float(earned - penalty),
        max_score=result.max_score,
        pending=result.pending,
        submitted_at=submitted_at,
        due=due,
        seconds_late=float(late.seconds),
        days_late=late.days,
        slip_days=late.slip_days,
        cut_off=late.cut_off,
        excused=extension is not None and extension.excused,
        extension=extension.where if extension is not None else "",
    )


def settle(
    course: Course, extensions: Extensions, submissions: Mapping[str, Sequence[UnitResult]]
) -> dict[str, Counted]:
    """What counts for one student, by unit, in the order of due dates.

    Args:
        submissions: for each unit every result there is, the latest first. With `keep = "best"` the one that is worth
            most now counts (of equals the one with fewer slip days, then the latest), else the latest.
    """
    slip_left = course.late.slip_days
    counted: dict[str, Counted] = {}
    for unit in by_due_date(course):
        results = list(submissions.get(unit.id, ()))
        if not results:
            continue
        considered = results if course.policy.keep == "best" else results[:1]
        grades = [grade(course, extensions, result, slip_left) for result in considered]
        best = max(range(len(grades)), key=lambda i: (grades[i].score, grades[i].pending, -grades[i].slip_days, -i))
        slip_left -= grades[best].slip_days
        others = [result for i, result in enumerate(results) if i != best]
        counted[unit.id] = Counted(grade=grades[best], result=results[best], others=others)
    return counted


def settle_all(course: Course, extensions: Extensions, results: Iterable[UnitResult]) -> dict[tuple[str, str], Counted]:
    """(student, unit) -> what counts, of the results of a class; of one student and unit the latest comes first."""
    of: dict[str, dict[str, list[UnitResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        of[result.student][result.unit].append(result)
    return {
        (student, unit): counted
        for student, submissions in of.items()
        for unit, counted in settle(course, extensions, submissions).items()
    }


def by_due_date(course: Course) -> list[Unit]:
    """The units as they are due; those without a date at the end."""
    return sorted(course.units, key=lambda unit: unit.due or _FAR)


def scores_after_penalty(counted: Counted) -> list[float]:
    """The points of each exercise after the penalty; their sum is the grade's score to the last digit."""
    grade, exercises = counted.grade, counted.result.exercises
    if not grade.penalty:
        return [exercise.score for exercise in exercises]
    kept = exact(grade.score) / exact(grade.earned)
    scores = [round(exact(exercise.score) * kept, DIGITS) for exercise in exercises]
    rest = exact(grade.score) - sum(scores, Fraction(0))
    largest = max(range(len(scores)), key=lambda i: scores[i])
    scores[largest] += rest
    return [float(score) for score in scores]

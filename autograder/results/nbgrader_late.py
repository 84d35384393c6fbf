"""The course's late policy inside nbgrader: the same numbers from `nbgrader autograde` as from `autograder grade`.

In nbgrader_config.py:

    c.AssignLatePenalties.plugin_class = "autograder.results.nbgrader_late.CourseLatePolicy"
    c.CourseLatePolicy.course = "/path/to/the/course"      # where course.toml is; found from here upwards if left out

nbgrader asks once per notebook, with the notebook's points and the seconds after its own due date, so that date has to
be the one of course.toml (`autograder grade` writes it there). Extensions come from extensions.csv, none from
nbgrader's own table. Slip days that other units used are taken from what the gradebook holds of them at that moment.

Source: nbgrader 0.9, preprocessors/latesubmissions.py and plugins/latesubmission.py.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from nbgrader.plugins import BasePlugin
from traitlets import Unicode

from autograder.course import Course, find_root, load_course
from autograder.extensions import Extensions, load_extensions
from autograder.policies import exact
from autograder.results.late import by_due_date, charged


class CourseLatePolicy(BasePlugin):  # type: ignore[misc]  # nbgrader has no types
    """The penalty of a notebook, by `[late]` in course.toml and extensions.csv."""

    course = Unicode("", help="The folder with course.toml; where it is left out, found from here upwards.").tag(
        config=True
    )

    def late_submission_penalty(self, student_id: str, score: float, total_seconds_late: float) -> float | None:
        """The points that a notebook loses.

        Args:
            student_id: the name that results and extensions.csv have.
            score: the notebook's points before the penalty.
            total_seconds_late: seconds after the assignment's due date.

        Returns: points in 0..score, or None where the assignment is no unit of the course or has no due date.
        Raises: UsageError where course.toml or extensions.csv is wrong.
        """
        course = load_course(Path(self.course) if self.course else find_root(Path.cwd()))
        name = getattr(self.parent, "assignment_id", None)
        if name not in course.unit_ids or course.unit(name).due is None:
            self.log.warning("no late policy for %r: course.toml has no such unit, or no due date for it", name)
            return None
        unit = course.unit(name)
        assert unit.due is not None
        hand_ins = _others(getattr(self.parent, "gradebook", None), student_id, course)
        hand_ins[unit.id] = (unit.due + timedelta(seconds=total_seconds_late), exact(score))
        share = penalty_shares(course, load_extensions(course), student_id, hand_ins)[unit.id]
        return float(exact(score) * share)


HandIn = tuple[datetime | None, Fraction]


def penalty_shares(
    course: Course, extensions: Extensions, student: str, hand_ins: Mapping[str, HandIn]
) -> dict[str, Fraction]:
    """The share of the points that each unit loses.

    Args:
        hand_ins: by unit, when it was handed in and the points that it got.
    """
    slip_left = course.late.slip_days
    shares = {}
    for unit in by_due_date(course):
        if unit.id not in hand_ins:
            continue
        when, earned = hand_ins[unit.id]
        due = extensions.due(course, unit, student)
        late = charged(course, extensions, unit, student, due, when, earned, slip_left)
        slip_left -= late.slip_days
        shares[unit.id] = late.share
    return shares


def _others(gradebook: Any, student: str, course: Course) -> dict[str, HandIn]:
    """What the gradebook holds of a student's units; nbgrader keeps times in UTC, without saying so."""
    if gradebook is None or not course.late.slip_days:
        return {}
    found: dict[str, HandIn] = {}
    for submission in gradebook.student_submissions(student):
        when = submission.timestamp
        if submission.assignment.name in course.unit_ids:
            found[submission.assignment.name] = (
                when.replace(tzinfo=UTC) if when is not None else None,
                exact(float(submission.score)),
            )
    return found

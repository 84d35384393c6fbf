"""classroom50: a result.json for each submission, schema `classroom50/result/v1`.

Its points are whole numbers: the unit's are rounded half up, and the exercises' so that they add up to it. What only
the workflow knows (CLASSROOM, ASSIGNMENT, SUBMISSION_TAG, COMMIT_URL, RELEASE_URL, REVIEW_URL) is taken from its
environment where a single result is exported, else it is empty, or the course and the unit.

Source: foundation50/classroom50, wiki, Advanced-Autograding.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from autograder.policies import exact
from autograder.results.exports.gathered import Gathered, lateness_in_words, utc, write_each
from autograder.results.late import Counted, scores_after_penalty
from autograder.results.record import encode_json
from autograder.text import readable

SCHEMA = "classroom50/result/v1"


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write one file for each result."""
    return write_each(gathered, out, "result.json", _file)


def _file(gathered: Gathered, counted: Counted) -> bytes:
    return encode_json(result(gathered, counted))


def result(gathered: Gathered, counted: Counted) -> dict[str, Any]:
    """The content of result.json."""
    ours, grade = counted.result, counted.grade
    single = gathered.asked.student is not None and gathered.asked.unit is not None
    env = gathered.asked.environment if single else {}
    after = scores_after_penalty(counted)
    scores = whole_numbers([exact(score) for score in after])
    most = whole_numbers([exact(exercise.max_score) for exercise in ours.exercises])
    return {
        "schema": SCHEMA,
        "classroom": env.get("CLASSROOM", gathered.course.id),
        "assignment": env.get("ASSIGNMENT", ours.unit),
        "assignment_type": env.get("ASSIGNMENT_TYPE", "individual"),
        "owner": env.get("OWNER", ours.student),
        "submission": env.get("SUBMISSION_TAG", ""),
        "commit": env.get("COMMIT_URL", ""),
        "release": env.get("RELEASE_URL", ""),
        "review": env.get("REVIEW_URL", ""),
        "datetime": utc(grade.submitted_at),
        "graded_at": ours.graded_at,
        "score": sum(scores),
        "max-score": sum(most),
        "tests": [
            {
                "test-name": exercise.id,
                "passed": exercise.score >= exercise.max_score,
                "score": score,
                "max-score": maximum,
                "points": float(points),
                "message": readable(
                    "\n".join(filter(None, [gathered.comment(counted, exercise), lateness_in_words(grade)]))
                ),
            }
            for exercise, score, maximum, points in zip(ours.exercises, scores, most, after, strict=True)
        ],
    }


def whole_numbers(points: Sequence[Fraction]) -> list[int]:
    """Whole numbers that add up to the sum, rounded half up: the largest remainders are rounded up first."""
    total = math.floor(sum(points, Fraction(0)) + Fraction(1, 2))
    down = [math.floor(value) for value in points]
    by_remainder = sorted(range(len(points)), key=lambda i: (down[i] - points[i], i))
    for i in by_remainder[: total - sum(down)]:
        down[i] += 1
    return down

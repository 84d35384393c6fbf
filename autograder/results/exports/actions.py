"""actions: what a grader step of GitHub's autograding reporter sets as its output `result`: JSON in base64.

    echo "result=$(cat OUT)" >> "$GITHUB_OUTPUT"

There is one test for each exercise. The reporter adds the tests' scores, so they are those after the late penalty. Its
table on the console counts passed tests instead, and a test that is not passed fails the step.

Source: classroom-resources/autograding-grading-reporter and autograding-command-grader (src/main.js), version 1.
"""

import base64
from pathlib import Path
from typing import Any

import msgspec

from autograder.results.exports.gathered import Gathered, lateness_in_words, write_each
from autograder.results.late import Counted, scores_after_penalty
from autograder.results.record import ExerciseResult, Outcome
from autograder.text import readable


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write one file for each result, one line of base64."""
    return write_each(gathered, out, "actions.b64", _file)


def _file(gathered: Gathered, counted: Counted) -> bytes:
    return base64.b64encode(msgspec.json.encode(report(gathered, counted)))


def report(gathered: Gathered, counted: Counted) -> dict[str, Any]:
    """The JSON behind the base64."""
    result, grade = counted.result, counted.grade
    tests = [
        {
            "name": exercise.id,
            "status": _status(exercise),
            "score": score,
            "max_score": exercise.max_score,
            "message": readable("\n".join(filter(None, [gathered.comment(counted, exercise), late]))),
            "test_code": f"autograder check --exercise {exercise.id}",
            "filename": "",
            "line_no": 0,
            "duration": round(1000 * sum(test.duration_s for test in exercise.tests)),
        }
        for exercise, score in zip(result.exercises, scores_after_penalty(counted), strict=True)
        for late in [lateness_in_words(grade) if score != exercise.score else ""]
    ]
    states = {test["status"] for test in tests}
    status = "error" if "error" in states else "fail" if "fail" in states else "pass"
    return {"version": 1, "status": status, "max_score": grade.max_score, "tests": tests}


def _status(exercise: ExerciseResult) -> str:
    if any(test.outcome is Outcome.GRADER_ERROR for test in exercise.tests):
        return "error"
    return "pass" if exercise.score >= exercise.max_score else "fail"

"""gradescope: a results.json for each submission, as Gradescope's harness reads it.

Texts are of the format `text`, which Gradescope shows as it is. The exercises are the tests, their points are those
before the late penalty, and `score` is what counts; switch Gradescope's own late penalty off. A hidden test would hide
the student's total, so `--visibility` is the same for all.

Source: gradescope/autograder_samples, docs/specs.md.
"""

from pathlib import Path
from typing import Any

from autograder.errors import UsageError
from autograder.results.exports.gathered import Gathered, lateness_in_words, write_each
from autograder.results.late import Counted
from autograder.results.record import encode_json
from autograder.text import decimal, readable

VISIBILITIES = ("visible", "after_due_date", "after_published", "hidden")


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write one file for each result. Raises UsageError."""
    if gathered.asked.visibility not in VISIBILITIES:
        raise UsageError(f"--visibility {gathered.asked.visibility}: choose one of {', '.join(VISIBILITIES)}")
    return write_each(gathered, out, "results.json", _file)


def _file(gathered: Gathered, counted: Counted) -> bytes:
    return encode_json(results(gathered, counted))


def results(gathered: Gathered, counted: Counted) -> dict[str, Any]:
    """The content of results.json."""
    result, grade = counted.result, counted.grade
    visibility = gathered.asked.visibility
    titles = {exercise.id: exercise.title for exercise in gathered.course.unit(result.unit).exercises}
    pending = (
        f"{decimal(grade.pending)} points are pending: they need hardware that was not there." if grade.pending else ""
    )
    output = [lateness_in_words(grade), pending, *map(readable, result.problems)]
    made: dict[str, Any] = {
        "score": grade.score,
        "execution_time": result.duration_s,
        "output": "\n".join(line for line in output if line),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": visibility,
        "stdout_visibility": "hidden",
        "extra_data": {"fingerprint": result.fingerprint, "earned": grade.earned, "late_penalty": grade.penalty},
        "tests": [
            {
                "name": titles.get(exercise.id, exercise.id),
                "number": str(number),
                "score": exercise.score,
                "max_score": exercise.max_score,
                "status": "passed" if exercise.score >= exercise.max_score else "failed",
                "output": readable(gathered.comment(counted, exercise)),
                "tags": [exercise.id, exercise.page],
                "visibility": visibility,
            }
            for number, exercise in enumerate(result.exercises, start=1)
        ],
    }
    raced = [(exercise.id, one) for exercise in result.exercises for one in exercise.measured or ()]
    if raced:  # the ratio to the grader's own program: the smaller the better
        made["leaderboard"] = [
            {"name": f"{of}: {one.measure} ({one.device})", "value": round(one.ratio, 3), "order": "asc"}
            for of, one in raced
        ]
    return made

"""junit: one XML file for a CI server: a suite for each student and unit, a case for each hidden test.

The form is the one that Jenkins' xUnit plug-in, GitLab and GitHub's reporters read: `testsuites` > `testsuite` >
`testcase` with at most one of `skipped`, `error`, `failure`. A test that waits for hardware is skipped, one of ours
that broke is an error, everything else that costs points is a failure. Points stand in the suite's `properties`.

Source: jenkinsci/xunit-plugin, junit-10.xsd.
"""

from collections.abc import Iterator
from pathlib import Path

from autograder.results.exports.gathered import Gathered, write_file
from autograder.results.late import Counted
from autograder.results.record import ExerciseResult, Outcome, TestResult
from autograder.text import Xml, decimal, xml


def export(gathered: Gathered, out: Path) -> list[Path]:
    """Write OUT."""
    return [write_file(out, "".join(f"{line}\n" for line in _document(gathered)))]


def _document(gathered: Gathered) -> Iterator[str]:
    counted = list(gathered.handed_in())
    totals = _totals(counted)
    del totals["skipped"]  # which the schema has for a suite only
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f"<testsuites {_attributes(name=gathered.course.id, **totals)}>"
    for one in counted:
        yield from _suite(gathered, one)
    yield "</testsuites>"


def _suite(gathered: Gathered, counted: Counted) -> Iterator[str]:
    result, grade = counted.result, counted.grade
    name = f"{result.student} {result.unit}"
    timestamp = result.graded_at.removesuffix("Z")  # the schema's time has no zone
    yield f"  <testsuite {_attributes(name=name, timestamp=timestamp, **_totals([counted]))}>"
    yield "    <properties>"
    properties = {
        "student": result.student,
        "unit": result.unit,
        "score": decimal(grade.score),
        "max_score": decimal(grade.max_score),
        "late_penalty": decimal(grade.penalty),
        "pending": decimal(grade.pending),
        "fingerprint": result.fingerprint,
    }
    for key, text in properties.items():
        yield f"      <property {_attributes(name=key, value=text)}/>"
    yield "    </properties>"
    for exercise in result.exercises:
        comment = gathered.comment(counted, exercise)
        for test in exercise.tests:
            yield from _case(result.unit, exercise, test, comment)
    yield "  </testsuite>"


def _case(unit: str, exercise: ExerciseResult, test: TestResult, comment: str) -> Iterator[str]:
    """`comment` is what the student may read about the exercise; it stands with the first test that was not passed."""
    classname = f"{unit}.{exercise.page}.{exercise.id}"
    where = _attributes(classname=classname, name=test.name, time=_seconds(test.duration_s))
    kind = _kind(test)
    if kind is None:
        yield f"    <testcase {where}/>"
        return
    first = next((t for t in exercise.tests if _kind(t) in ("failure", "error")), None)
    said = comment if test is first else ""
    message = said.partition("\n")[0] or test.outcome.value.replace("_", " ")
    yield f"    <testcase {where}>"
    if kind == "skipped":
        waits = test.outcome is Outcome.DEFERRED
        why = "waits for hardware that was not there" if waits else "for information: no points hang on it"
        yield f"      <skipped {_attributes(message=why)}/>"
    else:
        yield f"      <{kind} {_attributes(type=test.outcome.value, message=message)}>{xml(said)}</{kind}>"
    yield "    </testcase>"


def _kind(test: TestResult) -> str | None:
    if test.outcome is Outcome.PASSED:
        return None
    if not test.weight and not test.gate:  # what costs nothing must not turn a pipeline red
        return "skipped"
    special = {Outcome.DEFERRED: "skipped", Outcome.GRADER_ERROR: "error"}
    return special.get(test.outcome, "failure")


def _totals(counted: list[Counted]) -> dict[str, str]:
    tests = [test for one in counted for exercise in one.result.exercises for test in exercise.tests]
    kinds = [_kind(test) for test in tests]
    return {
        "tests": str(len(tests)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": _seconds(sum(test.duration_s for test in tests)),
    }


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.3f}"


def _attributes(**values: str) -> Xml:
    return Xml(" ".join(f'{name}="{xml(text)}"' for name, text in values.items()))

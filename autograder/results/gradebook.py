"""result.json -> nbgrader's gradebook, through nbgrader's own API. One writer, one transaction per batch.

Each exercise is a grade cell `<exercise>_score` (auto score) and a solution cell `<exercise>` (comment with what went
wrong), in the notebook of its page: the cells that `build` puts into the released notebooks.
"""

import logging
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.installed import needs
from autograder.policies import FeedbackLevel, exact
from autograder.results import feedback, late
from autograder.results.folders import gradebook_id
from autograder.results.record import UnitResult
from autograder.text import comment

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

_MEND = "mend this and run the same command again"
_OLD_TABLES = r"no such column|column .* does not exist"  # as SQLite and PostgreSQL say it
_UPGRADE = (
    "it is of another version of nbgrader: copy it, bring it up to date with `nbgrader db upgrade`, and grade again"
)
_KERNEL = '{"display_name": "Python 3", "language": "python", "name": "python3"}'


def grade_cell(exercise: str) -> str:
    """The name of an exercise's grade cell; its solution cell is named like the exercise."""
    return f"{exercise}_score"


def database_url(course: Course, out: Path) -> str:
    """The gradebook's address; a relative SQLite path lies in `out`."""
    prefix = "sqlite:///"
    url = course.gradebook.url
    if url.startswith(prefix) and not url.startswith(prefix + "/"):
        return f"{prefix}{(out / url.removeprefix(prefix)).resolve()}"
    return url


def shown(url: str) -> str:
    """The address as it may be told: without the password."""
    return re.sub(r"^([^:]+://[^:/@]*):.*@", r"\1:***@", url)


def prepare(course: Course, out: Path) -> None:
    """Make the gradebook if there is none: what is wrong with it is better known before the work. Raises UsageError."""
    with _open(database_url(course, out), course.id, "nothing was graded yet"):
        pass


def record_counted(course: Course, out: Path, settled: Iterable[late.Counted], url: str | None = None) -> str:
    """Write scores, and what being late costs. Returns the gradebook's address. Raises UsageError.

    Args:
        url: where the gradebook is another one than the course's.
    """
    url = url or database_url(course, out)
    with _open(url, course.id, "the result files are complete") as gradebook:
        prepared: dict[str, list[Any]] = {}
        with _one_transaction(gradebook):
            for counted in settled:
                unit = course.unit(counted.result.unit)
                if unit.id not in prepared:
                    prepared[unit.id] = _prepare_unit(gradebook, unit)
                level = feedback.level_now(course, unit, due=counted.grade.due)
                _record_result(gradebook, unit, counted, level)
    return url


def fits(course: Course, result: UnitResult) -> bool:
    """Whether it has the exercises that course.toml has now: there are no rows for others."""
    return {e.id for e in result.exercises} == {e.id for e in course.unit(result.unit).exercises}


def touched(course: Course, counted: Mapping[str, late.Counted], units: Collection[str]) -> dict[str, late.Counted]:
    """Of what counts of a student, by unit, all that is to be written where these units have changed.

    With slip days it is every unit, since a day spent here is missing there. What does not fit course.toml has no rows.
    """
    return {
        unit: one
        for unit, one in counted.items()
        if (unit in units or course.late.slip_days) and fits(course, one.result)
    }


@contextmanager
def _one_transaction(gradebook: "Gradebook") -> Iterator[None]:
    """nbgrader commits each row that it makes; here they are only sent, and the whole is committed at the end."""
    commit = gradebook.db.commit
    gradebook.db.commit = gradebook.db.flush
    try:
        yield
        commit()
    finally:
        gradebook.db.commit = commit


def scores(course: Course, out: Path) -> dict[tuple[str, str], float]:
    """(student, unit) -> what the gradebook holds, less the late penalty: to compare with what results are worth."""
    with _open(database_url(course, out), course.id, "it was only to be read") as gradebook:
        return {
            (_name(submission.student), assignment.name): float(submission.score - submission.late_submission_penalty)
            for assignment in gradebook.assignments
            for submission in gradebook.assignment_submissions(assignment.name)
        }


def prepare_unit(course: Course, url: str, unit: Unit) -> None:
    """Make the unit's rows, before anybody's submission. Raises UsageError."""
    with _open(url, course.id, "nothing was graded yet") as gradebook:
        _prepare_unit(gradebook, unit)


def _name(row: Any) -> str:
    """What a student is called in results: nbgrader's id, or the name that the id was made of."""
    return str(row.lms_user_id if row.lms_user_id and gradebook_id(row.lms_user_id) == row.id else row.id)


@contextmanager
def _open(url: str, course_id: str, state: str) -> "Iterator[Gradebook]":
    try:
        with _without("rfc3987_syntax"):
            import nbgrader.api
            from nbgrader.api import Gradebook, InvalidEntry
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        raise UsageError(f"the gradebook needs nbgrader: {needs('nbgrader')}, or grade with --no-gradebook") from None
    nbgrader.api.get_alembic_version = schema_version
    log = logging.getLogger("tornado.application")  # nbgrader's; it writes the traceback of what is reported below
    disabled, log.disabled = log.disabled, True
    try:
        try:
            _create(url, course_id)
            gradebook = Gradebook(url, course_id=course_id)
        except Exception as error:  # SQLAlchemy's and the driver's errors have no common base
            if isinstance(error, ModuleNotFoundError) and error.name == "psycopg":
                raise UsageError(f"the gradebook {shown(url)} needs psycopg: {needs('postgresql')}") from None
            said = _first_line(error)
            raise UsageError(f"the gradebook {shown(url)} cannot be opened: {said}; {state}: {_MEND}") from None
        try:
            with warnings.catch_warnings():
                # nbgrader builds its rows before it adds them to the session; SQLAlchemy 2.1 remarks on that
                warnings.filterwarnings("ignore", message=".*not in session, add operation")
                yield gradebook
        except (InvalidEntry, SQLAlchemyError) as error:
            said = _first_line(error)
            mend = _UPGRADE if re.search(_OLD_TABLES, said) else _MEND
            raise UsageError(f"the gradebook {shown(url)} cannot be written: {said}; {state}: {mend}") from None
        finally:
            gradebook.close()
    finally:
        log.disabled = disabled


@contextmanager
def _without(module: str) -> Iterator[None]:
    """An import of `module` fails meanwhile, if it was not imported yet.

    nbgrader imports jsonschema, and that, only to check formats that nobody here asks for, a package which builds 38
    parsers: a second of the 1.7 that the import takes.
    """
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def schema_version() -> str:
    """The version of nbgrader's tables, as `alembic heads` prints it, which nbgrader runs as a command for that.

    A command takes a second, has to be on PATH, and dies of a Ctrl-C that is ours to handle with a traceback.
    """
    from alembic.script import ScriptDirectory
    from nbgrader.dbutil import ALEMBIC_DIR

    head = ScriptDirectory(ALEMBIC_DIR).get_current_head()
    assert head is not None, "nbgrader has no tables"
    return head


def _create(url: str, course_id: str) -> None:
    """Make a new SQLite gradebook under another name first: one that was left half made would look like an old one."""
    from nbgrader.api import Gradebook

    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///") or path.exists():
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    Gradebook(f"sqlite:///{new}", course_id=course_id).close()
    os.replace(new, path)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _prepare_unit(gradebook: "Gradebook", unit: Unit) -> list[Any]:
    """Every cell before the first submission: nbgrader makes a submission's rows from the cells that exist.

    As long as someone holds the cells that are returned, SQLAlchemy need not read them again for each student.
    """
    cells = []
    gradebook.update_or_create_assignment(unit.id, duedate=unit.due.isoformat() if unit.due is not None else None)
    for page in unit.pages:
        gradebook.update_or_create_notebook(page.name, unit.id, kernelspec=_KERNEL)
        for exercise in page.exercises:
            cells += [
                gradebook.update_or_create_grade_cell(
                    grade_cell(exercise.id), page.name, unit.id, max_score=float(exercise.points), cell_type="code"
                ),
                gradebook.update_or_create_solution_cell(exercise.id, page.name, unit.id),
            ]
    return cells


def _record_result(gradebook: "Gradebook", unit: Unit, counted: late.Counted, level: FeedbackLevel) -> None:
    result, when = counted.result, counted.grade.submitted_at
    student = gradebook_id(result.student)
    named = {} if student == result.student else {"lms_user_id": result.student}  # a column that no page shows
    gradebook.update_or_create_student(student, **named)
    timestamp = None if when is None else when.isoformat()
    submission = gradebook.update_or_create_submission(unit.id, student, timestamp=timestamp)
    notebooks = {notebook.name: notebook for notebook in submission.notebooks}
    by_id = {exercise.id: exercise for exercise in result.exercises}
    for page in unit.pages:
        notebook = _row(notebooks, page.name, unit)
        grades = {grade.name: grade for grade in notebook.grades}
        comments = {comment.name: comment for comment in notebook.comments}
        for exercise in page.exercises:
            outcome = by_id[exercise.id]
            grade = _row(grades, grade_cell(exercise.id), unit)
            grade.auto_score = outcome.score
            grade.needs_manual_grade = grade.manual_score is not None  # nbgrader's own rule: a person looks again
            words = feedback.comment(outcome, level)
            _row(comments, exercise.id, unit).auto_comment = comment(words) if words else None
        notebook.late_submission_penalty = _penalty_share(counted, page.exercises)
    gradebook.db.add(submission)


def _row(rows: dict[str, Any], name: str, unit: Unit) -> Any:
    if name not in rows:
        raise UsageError(
            f"the gradebook has submissions for {unit.id} from before {name.removesuffix('_score')!r} existed; "
            "start a new gradebook (move the old file away) and grade with --regrade"
        )
    return rows[name]


def _penalty_share(counted: late.Counted, exercises: Sequence[Any]) -> float:
    """The page's part of the unit's late penalty, in proportion to its points earned."""
    ids = {exercise.id for exercise in exercises}
    here = sum(exact(e.score) for e in counted.result.exercises if e.id in ids)
    grade = counted.grade
    return float(exact(grade.penalty) * here / exact(grade.earned)) if grade.earned else 0.0

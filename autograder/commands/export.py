"""`autograder export`: result files -> what another system reads. Runs no student code, and needs no sandbox."""

import importlib.metadata
import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from autograder.course import COURSE_FILE, Course
from autograder.errors import UsageError
from autograder.extensions import EXTENSIONS_FILE, load_extensions
from autograder.results.attempts import read_class, require_results
from autograder.results.by_hand import entered_by_hand
from autograder.results.exports import actions, canvas, classroom50, gradescope, junit, moodle, summary, table
from autograder.results.exports.gathered import Asked, Gathered, gather
from autograder.results.folders import RUNS_FILE, STUDENTS, gradebook_id
from autograder.results.gradebook import database_url
from autograder.results.recorded import RECORDED_FILE
from autograder.roster import Roster
from autograder.settings import did_you_mean
from autograder.text import listed

FORMATS: dict[str, Callable[[Gathered, Path], list[Path]]] = {
    "csv": table.export,
    "canvas": canvas.export,
    "moodle": moodle.export,
    "gradescope": gradescope.export,
    "actions": actions.export,
    "classroom50": classroom50.export,
    "junit": junit.export,
    "markdown": summary.export,
}
TABLES = ("csv", "canvas", "moodle", "markdown")
BUNDLE = "gradescope-bundle"
ENVIRONMENT = (
    *("CLASSROOM", "ASSIGNMENT", "ASSIGNMENT_TYPE", "OWNER"),
    *("SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL", "REVIEW_URL"),
)


def run_export(
    course: Course, kind: str, folder: Path, out: Path, asked: Asked, roster: Path | None, console: Console
) -> list[Path]:
    """Write the export and say what was written, what was left out and why. Raises UsageError."""
    if kind not in FORMATS:
        raise UsageError(f"no format {kind!r}{did_you_mean(kind, [*FORMATS, BUNDLE])}")
    require_results(folder)
    found = read_class(folder, course)
    _keep_apart(course, folder, out, [roster, asked.worksheet])
    _refuse_unused(kind, asked)
    gathered = gather(course, load_extensions(course), found, Roster(roster), asked)
    written = FORMATS[kind](gathered, out)
    results = sum(1 for _ in gathered.handed_in()) if gathered.exported is None else gathered.exported
    empty = [
        f"{student} {unit.id}"
        for student, unit, counted in gathered.rows()
        if counted is None and not gathered.is_unread(student, unit)
    ]
    if empty:
        gathered.said.append(f"not handed in, {'left empty' if kind in TABLES else 'nothing written'}: {listed(empty)}")
    entered = entered_by_hand(database_url(course, folder))
    differing = [
        f"{counted.grade.student} {counted.grade.unit}"
        for counted in gathered.handed_in()
        if (gradebook_id(counted.grade.student), counted.grade.unit) in entered
    ]
    if differing:
        said = "in nbgrader's gradebook, which `nbgrader export` reads, and not in this file"
        gathered.said.append(f"points or comments that were entered in formgrader are {said}: {listed(differing)}")
    for line in gathered.said:
        console.print(f"note: {line}", markup=False)
    nothing = f"; {len(empty)} not handed in" if empty else ""
    files = str(written[0]) if len(written) == 1 else f"{len(written)} files in {out}"
    console.print(f"{kind}: {results} results{nothing}: {files}", markup=False)
    return written


def _refuse_unused(kind: str, asked: Asked) -> None:
    """Options that another format has: whoever gives one counts on what it does. Raises UsageError."""
    given = {
        "--worksheet": ("moodle", asked.worksheet is not None),
        "--column": ("moodle", bool(asked.columns)),
        "--scale": ("moodle", asked.scale),
        "--visibility": ("gradescope", asked.visibility != Asked().visibility),
    }
    for option, (of, is_given) in given.items():
        if is_given and kind != of:
            raise UsageError(f"export {kind} has no {option}, which is for {of}; leave it out")


def _keep_apart(course: Course, folder: Path, out: Path, given: list[Path | None]) -> None:
    """An export never takes the place of what it is made from. Raises UsageError."""
    target = out.resolve()
    sources = [course.root / COURSE_FILE, course.root / EXTENSIONS_FILE, *(path for path in given if path is not None)]
    sources += [folder / name for name in (RUNS_FILE, RECORDED_FILE)]
    url = database_url(course, folder)
    sources += [Path(url.removeprefix("sqlite:///"))] if url.startswith("sqlite:///") else []
    results = (folder / STUDENTS).resolve()
    if target in [path.resolve() for path in sources] or results in (target, *target.parents):
        raise UsageError(f"{out} is what the export is made from, or one of the kit's own files; give another name")


def asked_environment() -> dict[str, str]:
    """What a workflow of Classroom 50 tells about the submission."""
    return {name: os.environ[name] for name in ENVIRONMENT if os.environ.get(name)}


def asked_columns(pairs: list[str]) -> dict[str, str]:
    """`--column KEY=HEADER` as a table. Raises UsageError."""
    found = {}
    for pair in pairs:
        key, equals, name = pair.partition("=")
        if not equals or not name or key not in moodle.COLUMNS:
            raise UsageError(f"--column {pair}: write KEY=HEADER with a KEY of {', '.join(moodle.COLUMNS)}")
        found[key] = name
    return found


def export_bundle(course: Course, unit: str | None, out: Path, surplus: Path | None, console: Console) -> Path:
    """Write the autograder of a Gradescope assignment, which grades one unit. Raises UsageError."""
    from autograder.commands.gradescope_bundle import write_bundle

    if surplus is not None:
        raise UsageError(f"export {BUNDLE} OUT.zip --unit U: it is made from the course, not from results")
    if unit is None:
        raise UsageError(
            f"export {BUNDLE}: give --unit, one of {', '.join(course.unit_ids)}: one assignment grades one"
        )
    written = write_bundle(course, course.unit(unit), out, importlib.metadata.version("torch").partition("+")[0])
    console.print(
        f"wrote {written}, which holds the hidden graders of {unit}: upload it as the autograder of the assignment, "
        "keep it like the course, and switch Gradescope's own late penalty off",
        markup=False,
        soft_wrap=True,
    )
    if (course.root / EXTENSIONS_FILE).is_file():
        said = f"note: {EXTENSIONS_FILE} does not go with it: there nobody has more time, and nobody is excused"
        console.print(f"{said}; `autograder grade` on Gradescope's download of submissions counts it", markup=False)
    return written

"""OUT/nbgrader: a course folder of nbgrader's, beside the gradebook, for formgrader, `generate_feedback` and `export`.

What `autograder grade` has graded lies there as nbgrader expects it, with an nbgrader_config.py, so that nbgrader's own
commands work in that folder as it stands. It holds solutions (`source/`), like all of OUT for instructors only.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from autograder.commands.graded import Place
from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.intake.submission import Submission
from autograder.results.course_folder import AUTOGRADED, SUBMITTED, Releases, fill, stamp
from autograder.results.folders import gradebook_id
from autograder.results.record import write_atomically

FOLDER = "nbgrader"
_KNOWN = ".contents.json"  # id/unit -> digest of what lies there
_CONFIG = """\
# Written by `autograder grade`, each time. What you add goes into another file that Jupyter loads.
try:
    from autograder.commands.nbgrader_wall import configure
except ImportError as error:  # which nbgrader would log and forget, and grade without the wall
    raise SystemExit(f"nbgrader_config.py: {{error}}: run nbgrader where autograder is installed") from None

configure(get_config(), course={course!r}, out={out!r}, root={root!r})  # noqa: F821
"""


Read = Callable[[tuple[str, str]], Submission]  # by student and unit


def fill_course_folder(course: Course, out: Path, places: Sequence[Place], read: Read) -> Path:
    """Bring OUT/nbgrader up to date; a submission is read only where its place is not. Raises UsageError."""
    root = (out / FOLDER).resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(course=str(course.root.resolve()), out=str(out.resolve()), root=str(root))
        write_atomically(root / "nbgrader_config.py", config.encode())
        for unit in {place.unit: course.unit(place.unit) for place in places}.values():
            _source(course, root, unit)
        _fill_all(course, root, places, read)
    except OSError as error:
        raise UsageError(
            f"{error.filename or root}: {error.strerror}; mend this and run the same command again"
        ) from None
    return root


def _source(course: Course, root: Path, unit: Unit) -> None:
    """The unit as `nbgrader generate_assignment` takes it; formgrader lists only what is there."""
    from autograder.authoring.build import write_source

    folder = root / "source" / unit.id
    pages = [course.solutions / unit.id / f"{page.name}.py" for page in unit.pages]
    made = [folder / f"{page.name}.ipynb" for page in unit.pages]
    written = max(path.stat().st_mtime for path in [*pages, course.root / "course.toml"])
    if not all(path.is_file() and path.stat().st_mtime >= written for path in made):
        write_source(course, unit, folder)


def _fill_all(course: Course, root: Path, places: Sequence[Place], read: Read) -> None:
    releases = Releases(course)
    known = _read_known(root)
    released = {unit: _released(course, course.unit(unit)) for unit in {place.unit for place in places}}
    for place in places:
        unit, name = course.unit(place.unit), f"{gradebook_id(place.student)}/{place.unit}"
        latest, wanted = (f"{digest} {released[unit.id]}" for digest in (place.latest, place.counts))
        whole = all((root / step / name).is_dir() for step in (SUBMITTED, AUTOGRADED))
        if not whole or known.get(name) not in (wanted, latest) or (latest == wanted != known[name]):
            submission = read((place.student, place.unit))
            fill(root, releases, unit, place.student, cells_of(submission), place.submitted_at)
            known[name] = latest
        stamp(root, unit, place.student, place.submitted_at)
    write_atomically(root / _KNOWN, json.dumps(known, indent=0, sort_keys=True).encode())


def _read_known(root: Path) -> dict[str, str]:
    try:
        known = json.loads((root / _KNOWN).read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _released(course: Course, unit: Unit) -> str:
    """Changes when the unit is built anew."""
    pages = [course.assignments / unit.id / f"{page.name}.ipynb" for page in unit.pages]
    return str(max(page.stat().st_mtime_ns if page.is_file() else 0 for page in pages))


def cells_of(submission: Submission) -> dict[str, list[str]]:
    """The code of a submission: pages by name, modules of the student's own by file."""
    return {f"{page.name}.py" if page.helper else page.name: page.cells for page in submission.pages}

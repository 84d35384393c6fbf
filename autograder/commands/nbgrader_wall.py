"""`nbgrader autograde`, and formgrader's button, behind our wall. In nbgrader_config.py:

    from autograder.commands.nbgrader_wall import configure
    configure(get_config(), course="/path/to/the/course")

nbgrader starts a kernel in its own process' place and runs what students wrote in it. Here nothing is run by nbgrader:
its exporter, which reads a notebook, and its preprocessors, which execute it and take points from its outputs, are
replaced. The first notebook of an assignment makes the whole of it be graded, as `autograder grade` does, in parallel
and only where something has changed; scores, comments and penalties of each student are then written where nbgrader
writes its own.

Source: nbgrader 0.9, converters/autograde.py, converters/base.py, preprocessors/saveautogrades.py.
"""

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbgrader.preprocessors import AssignLatePenalties, NbGraderPreprocessor
from traitlets import Unicode

from autograder.commands.course_folder import cells_of
from autograder.commands.grade import exclusive
from autograder.course import Course, find_root, load_course
from autograder.errors import UsageError
from autograder.extensions import load_extensions
from autograder.intake.finding import Asked, look_through
from autograder.intake.submission import Submission
from autograder.results import gradebook, late
from autograder.results.attempts import read_students
from autograder.results.course_folder import Releases, encode, gradable
from autograder.results.record import write_atomically
from autograder.rooms.batch import Run, make_plan, new_seed, run_plan
from autograder.sandbox.rungs import choose_rung
from autograder.text import printable

RESULTS = "graded"  # in nbgrader's course folder: where `autograder grade submitted` writes when it is run there


def configure(config: Any, course: str = "", out: str = "", root: str = "") -> None:
    """Let nbgrader grade behind the wall.

    Args:
        config: nbgrader's, from `get_config()`.
        course: the folder with course.toml; where it is left out, found from here upwards.
        out: the folder that a relative gradebook address of course.toml is below (default: `graded` in `root`).
        root: nbgrader's course folder (default: here).

    Raises: SystemExit where course.toml, or anything else, is wrong.
    """
    try:
        _configure(config, course, out, root)
    except Exception as error:
        # SECURITY: whatever else a configuration file raises nbgrader logs and forgets; then it would run what students
        # wrote by itself, without a wall.
        said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise SystemExit(
            f"nbgrader_config.py: {said}\nnothing was graded: nbgrader would do it without the wall"
        ) from None


def _configure(config: Any, course: str, out: str, root: str) -> None:
    folder = Path(root or Path.cwd()).resolve()
    found = load_course(Path(course) if course else find_root(Path.cwd()))
    results = Path(out) if out else folder / RESULTS
    results.mkdir(parents=True, exist_ok=True)  # nbgrader opens the gradebook before it calls anything of ours
    url = gradebook.database_url(found, results)
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.course_id = found.id
    config.CourseDirectory.db_url = url
    config.Autograde.exporter_class = WallExporter
    config.Autograde.pre_convert_hook = _Rows(found, url)
    config.Autograde.sanitize_preprocessors = []
    config.Autograde.autograde_preprocessors = [SaveWallGrades, AssignLatePenalties]
    config.WallExporter.course = str(found.root)
    config.AssignLatePenalties.plugin_class = "autograder.results.nbgrader_late.CourseLatePolicy"
    config.CourseLatePolicy.course = str(found.root)


class _Rows:
    """Before a submission is looked at: the unit's rows in the gradebook, which nbgrader wants to be there."""

    def __init__(self, course: Course, url: str) -> None:
        self._course, self._url, self._done = course, url, set[str]()

    def __call__(self, assignment: str, student: str, notebooks: list[str]) -> None:
        if assignment in self._course.unit_ids and assignment not in self._done:
            gradebook.prepare_unit(self._course, self._url, self._course.unit(assignment))
            self._done.add(assignment)

    def __deepcopy__(self, memo: Any) -> "_Rows":
        return self  # traitlets copies configuration


class _Graded:
    """An assignment, graded: what was handed in, and the results."""

    def __init__(self, course: Course, root: Path, assignment: str, student: str | None) -> None:
        run = Run(
            course=course,
            submitted=root / "submitted",
            out=root / RESULTS,
            rung=choose_rung("auto"),
            seed=new_seed(),
            jobs=os.cpu_count() or 1,
            extensions=load_extensions(course),
        )
        with exclusive(run.out):
            asked = Asked(unit=assignment, student=student, layout="nbgrader")
            plan = make_plan(run, look_through(run.submitted, course, asked))
            with contextlib.closing(run_plan(run, plan, lambda: None)) as finished:
                for _ in finished:
                    pass
        of_student = {student: one for (student, _), one in plan.handed_in().items()}
        self.submissions: dict[str, Submission] = {student: plan.read(one) for student, one in of_student.items()}
        self.said = [*plan.passed_over, *plan.notes]
        self.recorded: set[str] = set()
        self._course, self._unit, self._out, self._extensions = course, assignment, run.out, run.extensions

    def counted(self, student: str) -> Collection[late.Counted]:
        """What the gradebook gets of a student."""
        results = read_students(self._out, self._course, [student])[student]
        counted = late.settle(self._course, self._extensions, results)
        return gradebook.touched(self._course, counted, [self._unit]).values()


_Exporter: Any = NotebookExporter  # half typed


class WallExporter(_Exporter):  # type: ignore[misc]
    """Reads no notebook of a student's: makes one of the released page and of the code that the intake found."""

    course = Unicode("", help="The folder with course.toml; set by `configure`.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kit = load_course(Path(self.course) if self.course else find_root(Path.cwd()))
        self._releases = Releases(self.kit)
        self._graded: dict[tuple[str, str | None], _Graded] = {}

    def graded(self, assignment: str, student: str) -> _Graded:
        """The assignment with this student's result. Raises UsageError."""
        asked: str = self.parent.coursedir.student_id
        only = None if any(c in asked for c in "*?[") else student
        key = (assignment, only)
        if key not in self._graded:
            if assignment not in self.kit.unit_ids:
                raise UsageError(f"{self.kit.root}/course.toml has no unit {assignment!r}")
            self.log.info("Grading %s behind the wall", assignment)
            self._graded[key] = _Graded(self.kit, Path(self.parent.coursedir.root), assignment, only)
            for line in self._graded[key].said:
                self.log.warning("%s", printable(line, 400))
        found = self._graded[key]
        if student not in found.submissions:
            raise UsageError(f"{printable(student)}: nothing was graded; {'; '.join(found.said) or 'nothing was read'}")
        return found

    def made(self, assignment: str, student: str, name: str) -> dict[str, Any]:
        """The notebook to be shown for a page."""
        unit = self.kit.unit(assignment)
        page = next(page for page in unit.pages if page.name == name)
        cells = cells_of(self.graded(assignment, student).submissions[student])
        return gradable(self._releases.page(page), page, cells.get(name))

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> Any:
        """The file itself when it is one of ours, in nbgrader's second step."""
        if not self.parent._sanitizing:
            return super().from_filename(filename, resources=resources, **kw)
        from nbformat import from_dict

        where = resources["nbgrader"]
        made = self.made(where["assignment"], where["student"], where["notebook"])
        resources["metadata"] = {"name": where["notebook"], "path": os.path.dirname(filename)}
        return self.from_notebook_node(from_dict(made), resources=resources, **kw)


class SaveWallGrades(NbGraderPreprocessor):  # type: ignore[misc]
    """In the place of Execute and SaveAutoGrades: writes what the wall's other side decided, once for each student."""

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """The notebook as it is. Raises UsageError where the gradebook cannot be written."""
        where = resources["nbgrader"]
        exporter: WallExporter = self.parent
        found = exporter.graded(where["assignment"], where["student"])
        unseen = [student for student in found.submissions if not self._notebooks(where["assignment"], student)]
        for student in [where["student"], *unseen]:
            if student not in found.recorded:
                gradebook.record_counted(exporter.kit, Path(), found.counted(student), where["db_url"])
                self._other_pages(exporter, where["assignment"], student)
                found.recorded.add(student)
        return nb, resources

    def _notebooks(self, assignment: str, student: str) -> list[Path]:
        """What nbgrader finds of a submission. Who handed in modules only is graded with the others, by the first."""
        coursedir = self.parent.parent.coursedir  # the exporter is the parent
        return list(Path(coursedir.format_path(coursedir.submitted_directory, student, assignment)).glob("*.ipynb"))

    def _other_pages(self, exporter: WallExporter, assignment: str, student: str) -> None:
        """Pages that nbgrader did not find, since they were handed in as modules or under another name."""
        coursedir = exporter.parent.coursedir
        target = Path(coursedir.format_path(coursedir.autograded_directory, student, assignment))
        target.mkdir(parents=True, exist_ok=True)
        found = {path.name for path in self._notebooks(assignment, student)}
        for page in exporter.kit.unit(assignment).pages:
            name = f"{page.name}.ipynb"
            if name not in found:
                write_atomically(target / name, encode(exporter.made(assignment, student, page.name)))

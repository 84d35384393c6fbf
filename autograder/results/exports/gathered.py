"""What an export is made of: the counted results of a class, who the students are, and what is said at the end."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, field

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.extensions import Extensions
from autograder.results import feedback
from autograder.results.attempts import ClassResults
from autograder.results.folders import safe_name
from autograder.results.late import Counted, Grade, settle
from autograder.results.record import ExerciseResult, write_atomically
from autograder.roster import Roster
from autograder.settings import did_you_mean
from autograder.tables import same_name
from autograder.text import CsvField, decimal, listed, printable


class Asked(Struct, frozen=True, kw_only=True):
    """What the command line says about an export."""

    student: str | None = None
    unit: str | None = None
    worksheet: Path | None = None
    columns: dict[str, str] = {}
    scale: bool = False
    visibility: str = "visible"
    environment: dict[str, str] = {}


class Gathered(Struct):
    """A class, ready to be written in any format. `said` collects what was left out, and why.

    `exported` is how many results were written, where that is not all of them; `unread` are those that cannot be read.
    """

    course: Course
    extensions: Extensions
    roster: Roster
    asked: Asked
    counted: dict[tuple[str, str], Counted]
    students: list[str]
    units: list[Unit]
    said: list[str] = field(default_factory=list)
    unread: set[tuple[str, str]] = field(default_factory=set)
    exported: int | None = None

    def is_unread(self, student: str, unit: Unit) -> bool:
        """Whether there is a result, and it could not be used: nobody may take that for not handed in."""
        return (safe_name(student), unit.id) in self.unread

    def rows(self) -> Iterator[tuple[str, Unit, Counted | None]]:
        """Every student with every unit; None where nothing was handed in."""
        for student in self.students:
            for unit in self.units:
                yield student, unit, self.counted.get((student, unit.id))

    def handed_in(self) -> Iterator[Counted]:
        """Every result that counts."""
        for _, _, counted in self.rows():
            if counted is not None:
                yield counted

    def is_excused(self, student: str, unit: Unit) -> bool:
        """Whether extensions.csv says so, handed in or not."""
        extension = self.extensions.of(student, unit.id)
        return extension is not None and extension.excused

    def comment(self, counted: Counted, exercise: ExerciseResult) -> str:
        """What the student may read about an exercise today."""
        unit = self.course.unit(counted.result.unit)
        level = feedback.level_now(self.course, unit, due=counted.grade.due)
        return feedback.comment(exercise, level)

    def the_unit(self, why: str) -> Unit:
        """The one unit that is exported. Raises UsageError where there are several."""
        if len(self.units) != 1:
            raise UsageError(f"{why}: give --unit, one of {', '.join(unit.id for unit in self.units)}")
        return self.units[0]


def gather(course: Course, extensions: Extensions, found: ClassResults, roster: Roster, asked: Asked) -> Gathered:
    """What counts of a class, with the students whom extensions.csv or the roster add, of the units asked for.

    A unit of which nobody handed in anything is left out, unless it is asked for. Raises UsageError.
    """
    students = list(found.by_student)
    known = set(map(same_name, students))  # `Ada` and `ada` may both have results, and then they are two
    excused = [extension.student for extension in extensions.by_key.values() if extension.excused]
    renamed = {student: meant for student in students if (meant := roster.student([student])) not in (None, student)}
    absent = [student for student in roster.students if student not in renamed.values()]
    for student in [*absent, *excused]:
        if same_name(student) not in known:
            known.add(same_name(student))
            students.append(student)
    if asked.student is not None:
        students = [find_student(asked.student, students)]
    students.sort()
    counted = {
        (student, unit): one
        for student in students
        for unit, one in settle(course, extensions, found.by_student.get(student, {})).items()
    }
    if asked.unit is not None:
        units = [course.unit(asked.unit)]
    else:
        units = [unit for unit in course.units if any(key[1] == unit.id for key in counted)]
    gathered = Gathered(course, extensions, roster, asked, counted, students, units, list(found.left_out), found.unread)
    if not any(gathered.handed_in()):
        left = f"; left out: {found.left_out[0]}" if found.left_out else ""
        whose = f" of {printable(students[0], 128)}" if asked.student is not None else ""
        for_unit = f" for {asked.unit}" if asked.unit is not None else ""
        others = ", only for others" if found.by_student else "; run `autograder grade` first, or give its --out folder"
        raise UsageError(f"no result to export{whose}{for_unit}{others}{left}")
    gathered.said += extensions.notes(course, list(found.by_student)) if asked.student is None else []
    gathered.said += _renamed(found, renamed) if asked.student is None else []
    gathered.said += _outdated(gathered)
    return gathered


def _outdated(gathered: Gathered) -> list[str]:
    """Results whose exercises or points are not those of course.toml any more, in words: their points are of others."""
    found: dict[str, list[str]] = {}
    for counted in gathered.handed_in():
        unit, exercises = gathered.course.unit(counted.result.unit), counted.result.exercises
        then, now = ({e.id: float(e.max_score) for e in exercises}, {e.id: float(e.points) for e in unit.exercises})
        if then != now:
            why = f"of {decimal(counted.grade.max_score)} points, and {unit.id} has {decimal(unit.points)}"
            said = why if counted.grade.max_score != unit.points else f"with other exercises than {unit.id} has"
            found.setdefault(said, []).append(counted.grade.student)
    return [
        f"graded before course.toml changed, {said} now: {listed(students)}; grade again, else these do not compare"
        for said, students in found.items()
    ]


def _renamed(found: ClassResults, renamed: Mapping[str, str | None]) -> list[str]:
    """Results of people whom the roster gives another id, in words: they were graded without it."""
    once = [f"{student} is {meant}" for student, meant in renamed.items() if meant not in found.by_student]
    twice = [f"{student} and {meant}" for student, meant in renamed.items() if meant in found.by_student]
    said = []
    if once:
        mend = "grade with the same --roster, into a new folder, to have its ids"
        said.append(f"graded under another name than the roster's id: {listed(once)}; {mend}")
    if twice:
        mend = "remove the folder of the name that is not used any more, below students/"
        said.append(f"one person by the roster, with results under both names: {listed(twice)}; {mend}")
    return said


def find_student(name: str, students: Sequence[str]) -> str:
    """The student called so, in any capitals where only one is. Raises UsageError."""
    if name in students:
        return name
    found = [student for student in students if same_name(student) == same_name(name)]
    if len(found) == 1:
        return found[0]
    said = f"stands for {listed(found)}; write it exactly" if found else "no result of that student"
    raise UsageError(f"--student {printable(name)}: {said}{'' if found else _near(name, students)}")


def _near(name: str, students: Sequence[str]) -> str:
    near = did_you_mean(same_name(name), [same_name(student) for student in students])
    return near if near.startswith("; did") else ""


def csv_text(rows: Sequence[Sequence[CsvField]], delimiter: str = ",", line_end: str = "\r\n") -> str:
    """RFC 4180; every cell went through text.py."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator=line_end).writerows(rows)
    return buffer.getvalue()


def utc(when: datetime | None) -> str:
    """A moment in UTC as every platform reads it; empty where there is none."""
    return "" if when is None else when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lateness_in_words(grade: Grade) -> str:
    """A sentence for the student; empty where being late cost nothing."""
    if grade.excused:
        return "Excused: this unit does not count."
    if grade.cut_off:
        return f"Handed in after the last moment at which it counts: {decimal(grade.earned)} points lost."
    days = f"{grade.days_late} started day{'' if grade.days_late == 1 else 's'} late"
    slip = f", {grade.slip_days} of them paid with slip days" if grade.slip_days else ""
    if grade.penalty:
        return f"{days}{slip}: {decimal(grade.penalty)} of {decimal(grade.earned)} points are taken off."
    return f"{days}{slip}." if slip else ""


def write_file(out: Path, data: str | bytes) -> Path:
    """Write an export's file, whole or not at all. Raises UsageError.

    A link stays one, and what it leads to is written. What is no file, as `/dev/stdout`, is not replaced by one.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the name of a file")
    if out.exists() and (not out.is_file() or _is_printed_to(out)):
        raise UsageError(f"{out} is a device, a pipe or what this command prints to; give the name of a file")
    try:
        write_atomically(Path(os.path.realpath(out)), data.encode() if isinstance(data, str) else data)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}; give another name") from None
    return out


def _is_printed_to(path: Path) -> bool:
    """Whether it is where our own output goes: `export csv graded /dev/stdout > grades.csv`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def write_each(gathered: Gathered, out: Path, name: str, make: Callable[[Gathered, Counted], bytes]) -> list[Path]:
    """One file for each result, as `make` has it: `OUT/<safe name>/<unit>/<name>`, or OUT itself for a single result.

    One is asked for with --student and --unit.
    """
    single = gathered.asked.student is not None and gathered.asked.unit is not None
    if not single and out.is_file():
        raise UsageError(f"{out} is a file; give a folder, or --student and --unit for a single file")
    return [
        write_file(
            out if single else out / safe_name(counted.result.student) / counted.result.unit / name,
            make(gathered, counted),
        )
        for counted in gathered.handed_in()
    ]

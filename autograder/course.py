"""course.toml -> Course, Unit, Page, Exercise.

The file is decoded against types; an unknown key, a wrong type or a broken rule is refused with the file, the path
of the key (`$.unit[2].exercise[0].ponts`) and the fix: the key that was probably meant, or what to write.
"""

import keyword
import math
import re
import sys
import tomllib
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from autograder.errors import UsageError
from autograder.policies import (
    Count,
    Feedback,
    GradebookConfig,
    Identifier,
    LatePolicy,
    Limits,
    Positive,
    SubmissionPolicy,
    Table,
    Threshold,
    UnitLatePolicy,
)
from autograder.settings import did_you_mean, wrong_settings
from autograder.text import printable

COURSE_FILE = "course.toml"
OLDEST_PYTHON = "3.11"  # that the kit runs on: what it reads, every other reads
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class Exercise(Table, frozen=True, kw_only=True):
    id: Identifier
    page: Identifier
    title: str
    symbols: Annotated[tuple[str, ...], Meta(min_length=1)]
    points: Positive
    call_wall_s: Positive | None = None
    memory_mb: Count | None = None
    forbidden: tuple[str, ...] = ()
    builds_on: tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = msgspec.field(name="threshold", default=())


class Page(Struct, frozen=True):
    """One notebook or module: the exercises that share a file."""

    unit: str
    name: str
    exercises: tuple[Exercise, ...]

    @property
    def asked_names(self) -> list[str]:
        """What graders may ask of the page: its exercises' symbols, and the given code that feeds its picture."""
        return [*(symbol for exercise in self.exercises for symbol in exercise.symbols), "figure_data"]


class Unit(Table, frozen=True, kw_only=True, dict=True):
    id: Identifier
    title: str
    about: str = ""
    due: Annotated[datetime, Meta(tz=True)] | None = None
    late: UnitLatePolicy = UnitLatePolicy()
    exercises: Annotated[tuple[Exercise, ...], Meta(min_length=1)] = msgspec.field(name="exercise")

    @cached_property
    def pages(self) -> tuple[Page, ...]:
        """Pages in the order in which course.toml first names them."""
        names = dict.fromkeys(exercise.page for exercise in self.exercises)
        return tuple(Page(self.id, name, tuple(e for e in self.exercises if e.page == name)) for name in names)

    @property
    def points(self) -> float:
        return sum(exercise.points for exercise in self.exercises)

    def page(self, name: str) -> Page:
        return next(page for page in self.pages if page.name == name)

    def exercise(self, exercise_id: str) -> Exercise:
        return next(e for e in self.exercises if e.id == exercise_id)


class _CourseFile(Table, frozen=True, kw_only=True):
    id: Identifier
    title: str
    timezone: str | None = None
    python: Annotated[str, Meta(pattern=r"^3\.[0-9]{1,2}$", description='a version like "3.11"')] = OLDEST_PYTHON
    gradebook: GradebookConfig = GradebookConfig()
    late: LatePolicy = LatePolicy()
    policy: SubmissionPolicy = SubmissionPolicy()
    feedback: Feedback = Feedback()
    limits: Limits = Limits()
    units: Annotated[tuple[Unit, ...], Meta(min_length=1)] = msgspec.field(name="unit")


class Course(Struct, frozen=True):
    """A course and the folder it lives in."""

    root: Path
    id: str
    title: str
    gradebook: GradebookConfig
    late: LatePolicy
    feedback: Feedback
    limits: Limits
    units: tuple[Unit, ...]
    policy: SubmissionPolicy = SubmissionPolicy()
    timezone: str | None = None
    python: str = OLDEST_PYTHON

    @property
    def python_version(self) -> tuple[int, int]:
        """The Python that pages are graded with."""
        major, minor = map(int, self.python.split("."))
        return major, minor

    @property
    def solutions(self) -> Path:
        return self.root / "solutions"

    @property
    def assignments(self) -> Path:
        return self.root / "assignments"

    @property
    def reference(self) -> Path:
        return self.root / "reference"

    @property
    def graders(self) -> Path:
        return self.root / "autograder" / "graders"

    def unit(self, unit_id: str) -> Unit:
        """The unit called `unit_id`. Raises UsageError that names the nearest one."""
        for unit in self.units:
            if unit.id == unit_id:
                return unit
        raise UsageError(f"no unit {unit_id!r} in {self.root / COURSE_FILE}{did_you_mean(unit_id, self.unit_ids)}")

    @property
    def unit_ids(self) -> list[str]:
        return [unit.id for unit in self.units]

    def find_page(self, name: str) -> Page | None:
        """The page called `name`; names are unique across the course."""
        return next((page for unit in self.units for page in unit.pages if page.name == name), None)

    @property
    def zone(self) -> tzinfo | None:
        """The time zone of dates that say none; None where the course names none."""
        return _zone(self.timezone) if self.timezone else None

    def late_for(self, unit: Unit) -> LatePolicy:
        """The course's late policy with the unit's own where it sets something."""
        own = {key: value for key, value in msgspec.structs.asdict(unit.late).items() if value is not None}
        return msgspec.structs.replace(self.late, **own)

    def limits_for(self, exercise: Exercise) -> Limits:
        """The course's limits with the exercise's own where it sets them."""
        own = {key: getattr(exercise, key) for key in ("call_wall_s", "memory_mb")}
        return msgspec.structs.replace(self.limits, **{key: value for key, value in own.items() if value is not None})


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` that holds a course.toml."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / COURSE_FILE).is_file():
            return folder
    raise UsageError(
        f"no {COURSE_FILE} in {start} or any folder above it: run this inside the course folder, or give --course DIR"
    )


def load_course(root: Path) -> Course:
    """Read and check `root/course.toml`. Raises UsageError naming the file, the key and the fix."""
    path = root / COURSE_FILE
    data = _read(path)
    problems = _give_zones(data) or wrong_settings(data, _CourseFile)
    parsed = msgspec.convert(data, _CourseFile) if not problems else None
    if parsed is None or (problems := _broken_rules(parsed)):
        raise UsageError("\n".join(f"{path}: {problem}{_whose(problem, data)}" for problem in problems))
    return Course(
        root=root.resolve(),
        id=parsed.id,
        title=parsed.title,
        gradebook=parsed.gradebook,
        late=parsed.late,
        feedback=parsed.feedback,
        limits=parsed.limits,
        units=parsed.units,
        policy=parsed.policy,
        timezone=parsed.timezone,
        python=parsed.python,
    )


def read_course_text(path: Path) -> str:
    """The text of a course.toml, without the mark that an editor may have put before it. Raises UsageError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: give the folder that holds the course's {COURSE_FILE}") from None
    except NotADirectoryError:
        raise UsageError(f"{path.parent} is a file: give the folder that holds the course's {COURSE_FILE}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}; save it as UTF-8") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_course_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None


def _give_zones(data: dict[str, Any]) -> list[str]:
    """Give each due date that says no zone the course's, where it names one; a date lasts until its end."""
    name = data.get("timezone")
    if not isinstance(name, str):
        return []
    if not _is_zone(name):
        return [f"$.timezone: no time zone {name!r}; give a name like Europe/Berlin"]
    units = data.get("unit")
    for unit in units if isinstance(units, list) else []:
        due = unit.get("due") if isinstance(unit, dict) else None
        if type(due) is date and due < date.max:
            due = datetime.combine(due + timedelta(days=1), time())
        if isinstance(due, datetime) and due.tzinfo is None:
            offset = due.replace(tzinfo=_zone(name)).utcoffset()  # dates of one zone are compared by their clocks
            unit["due"] = due.replace(tzinfo=timezone(offset or timedelta()))
    return []


def _whose(problem: str, data: dict[str, Any]) -> str:
    """Which unit and exercise a path like `$.unit[5].exercise[11]` is: nobody counts them."""
    found = re.search(r"\$\.unit\[(\d+)\](?:\.exercise\[(\d+)\])?", problem)
    names = []
    item: Any = data
    for kind, number in zip(("unit", "exercise"), found.groups() if found else (), strict=False):
        if number is None:
            break
        item = item[kind][int(number)]
        names.append(printable(str(item.get("id", "without an id"))) if isinstance(item, dict) else "no table")
    return f" (in {', '.join(names)})" if names else ""


def _broken_rules(course: _CourseFile) -> list[str]:
    """Rules that types cannot say: unique names, and pages that can be imported under their own name."""
    problems: list[str] = []
    units: dict[str, str] = {}
    pages: dict[str, str] = {}
    exercises: dict[str, str] = {}
    problems += _endless("$.late", course.late)
    for u, unit in enumerate(course.units):
        if unit.id in units:
            problems.append(f"$.unit[{u}].id {unit.id!r} is already used by {units[unit.id]}; unit ids are unique")
        units.setdefault(unit.id, f"$.unit[{u}]")
        if unit.due is not None and not _FIRST <= unit.due <= _LAST:
            problems.append(f"$.unit[{u}].due: {unit.due.isoformat()} is no time of a course; write its year in full")
        problems += _endless(f"$.unit[{u}].late", unit.late)
        for e, exercise in enumerate(unit.exercises):
            where = f"$.unit[{u}].exercise[{e}]"
            if exercise.id in exercises:
                problems.append(f"{where}.id {exercise.id!r} is already used by {exercises[exercise.id]}")
            exercises.setdefault(exercise.id, where)
            if pages.setdefault(exercise.page, unit.id) != unit.id:
                problems.append(f"{where}.page {exercise.page!r} is already a page of {pages[exercise.page]}")
            problems += [
                f"{where}.builds_on: {earlier!r} is no exercise before this one{did_you_mean(earlier, list(exercises))}"
                for earlier in exercise.builds_on
                if earlier not in exercises or earlier == exercise.id
            ]
            if exercise.page in sys.stdlib_module_names or keyword.iskeyword(exercise.page):
                problems.append(f"{where}.page {exercise.page!r} is the name of a standard-library module")
            problems += _odd_thresholds(exercise, where)
            problems += [
                f"{where}.symbols: {symbol!r} is not a Python name"
                for symbol in exercise.symbols
                if not symbol.isidentifier() or keyword.iskeyword(symbol)
            ]
    return problems


def _endless(where: str, policy: LatePolicy | UnitLatePolicy) -> list[str]:
    """TOML has `inf`; as a cut-off it means none."""
    if policy.grace_minutes is not None and math.isinf(policy.grace_minutes):
        return [f"{where}.grace_minutes is endless; for no penalty at all write penalty_per_day = 0"]
    return []


def _zone(name: str) -> tzinfo:
    """The zone of that name; UTC on a student's Windows, which knows no zones and needs none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError:
        return UTC


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return not zoneinfo.available_timezones()  # a student's Windows knows no zones, and needs none
    return True


def _odd_thresholds(exercise: Exercise, where: str) -> list[str]:
    """Tiers in the wrong order, and two thresholds for the same thing."""
    problems: list[str] = []
    seen: set[tuple[str, str]] = set()
    for t, threshold in enumerate(exercise.thresholds):
        here = f"{where}.threshold[{t}]"
        if not threshold.enough >= threshold.good >= threshold.excellent:
            problems.append(
                f"{here}: pass {threshold.enough:g}, good {threshold.good:g}, excellent {threshold.excellent:g}: they "
                "are the largest ratios that a tier allows, so pass is the largest of them and excellent the smallest"
            )
        if (threshold.measure, threshold.device) in seen:
            problems.append(
                f"{here} is a second one for {threshold.measure!r} on {threshold.device!r}; keep one of them"
            )
        seen.add((threshold.measure, threshold.device))
    return problems

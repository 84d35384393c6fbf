"""SUBMITTED -> submissions: a folder or an archive of a class, in any of the layouts, student by student."""

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct, field

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.intake import layouts
from autograder.intake.files import Listing
from autograder.intake.gradescope import read_metadata
from autograder.intake.items import Items, read_items
from autograder.intake.layouts import LAYOUTS, METADATA, Item, Owner
from autograder.intake.names import PageNames
from autograder.intake.people import People
from autograder.intake.placing import Placed, Rules, place
from autograder.intake.released import Released
from autograder.intake.submission import Submission, digest_of_submission, with_time_problem
from autograder.intake.times import OPTION, Stamp, SubmittedAt, judged
from autograder.roster import Roster
from autograder.tables import same_name
from autograder.text import listed, printable

Owned = tuple[Owner, Item]


class Asked(Struct, frozen=True, kw_only=True):
    """What the command line says about the submissions."""

    unit: str | None = None
    student: str | None = None
    layout: str = "auto"
    roster: Path | None = None
    submitted_at: Path | None = None


class ClassRead(Struct):
    """Everything handed in, and what was passed over, in words. `notes` concern the class as a whole."""

    submissions: list[Submission] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_class(submitted: Path, course: Course, asked: Asked | None = None) -> ClassRead:
    """Read every submission. Raises UsageError where there is nothing to grade, or an option is wrong."""
    asked = asked or Asked()
    if asked.layout not in LAYOUTS:
        raise UsageError(f"--layout {asked.layout}: choose one of {', '.join(LAYOUTS)}")
    reader = _Reader(course, asked)
    names = PageNames([page.name for unit in course.units for page in unit.pages])
    items = read_items(submitted, course, names)
    found = reader.read(items, _owners(items, course, names, asked.layout, submitted))
    if not found.submissions:
        what = f"--student {asked.student}: no unit of that student" if asked.student else "nothing to grade"
        more = f" and {len(found.passed_over) - 1} more" if len(found.passed_over) > 1 else ""
        remark = f"; passed over: {found.passed_over[0]}{more}" if found.passed_over else ""
        raise UsageError(f"{what} under {submitted}: expected {layouts.EXPECTED}{remark}")
    return found


# ---------------------------------------------------------------- whose the entries are


def _owners(items: Items, course: Course, names: PageNames, wanted: str, submitted: Path) -> list[Owned]:
    """Each entry with its owner; what has none is passed over by name."""
    if wanted == "gradescope" and items.metadata is None:
        raise UsageError(f"--layout gradescope: no {METADATA} in {submitted}; give the folder of the export")
    records: dict[str, list[Owner]] = {}
    if items.metadata is not None and wanted in ("auto", "gradescope"):
        records = read_metadata(items.metadata, str(submitted / METADATA))
    known: dict[str, Callable[[Item], Owner | None]] = {
        "moodle": layouts.moodle,
        "canvas": layouts.canvas,
        "repos": layouts.repos(items.items, course),
        "nbgrader": layouts.nbgrader,
    }
    kinds = [known[name] for name in known if wanted == name or (wanted == "auto" and items.metadata is None)]
    owners: list[Owned] = []
    for item in items.items:
        if item.name in records:
            owners += [(owner, item) for owner in records.pop(item.name)]
            continue
        owner = next(filter(None, (kind(item) for kind in kinds)), None)
        if owner is not None and owner.exchange and item.name in course.unit_ids:
            reason = "a unit's folder, where a student's is expected; give the folder above"
            items.passed_over.append(f"{printable(item.shown)}: {reason}")
        elif owner is not None:
            owners.append((owner, item))
        elif item.kind != "file":
            said = f"not in {METADATA}" if items.metadata is not None else f"not called as the layout {wanted} does"
            items.passed_over.append(f"{printable(item.shown, 128)}: {said}")
        elif names.meant(item.name) is not None or item.name.lower().endswith((".py", ".ipynb")):
            items.passed_over.append(f"{printable(item.shown, 128)}: a file, where students' folders are expected")
    items.passed_over += [f"{printable(name)}: in {METADATA}, but there is no such folder" for name in records]
    return owners


# ---------------------------------------------------------------- student by student


class _Reader:
    def __init__(self, course: Course, asked: Asked) -> None:
        self._course = course
        self._asked = asked
        self._units = [course.unit(asked.unit).id] if asked.unit else course.unit_ids
        self._released = Released(course)
        self._times = SubmittedAt(asked.submitted_at, course) if asked.submitted_at is not None else None
        self._people = People(Roster(asked.roster))
        self._found = ClassRead()

    def read(self, items: Items, owners: Sequence[Owned]) -> ClassRead:
        """Everything of every student."""
        for owner, item in owners:
            self._people.add(owner, item)
        for student, mine in self._people.students().items():
            if self._asked.student is None or same_name(self._asked.student) == same_name(student):
                self._read_student(student, mine)
        self._note_times()
        self._found.passed_over = [*items.passed_over, *self._people.passed_over, *self._found.passed_over]
        self._found.notes += self._people.notes
        return self._found

    def _read_student(self, student: str, mine: Sequence[Owned]) -> None:
        placed = Placed()
        for units, listing, owner, remarks in self._bundles(student, mine):
            rules = Rules(
                self._course, self._released, units, owner.exchange, self._stamps(student, owner), tuple(remarks)
            )
            one = place(student, listing, rules)
            again = {submission.unit for submission in placed.submissions}
            placed.submissions += [submission for submission in one.submissions if submission.unit not in again]
            placed.lost += [
                f"{submission.unit} is there more than once; the first was read"
                for submission in one.submissions
                if submission.unit in again
            ]
            placed.lost += one.lost
        if not placed.submissions and len(self._units) == 1 and placed.lost:
            placed = Placed([_unread(student, self._units[0], placed.lost)])
        if not placed.submissions and not placed.lost:
            placed.lost.append("no page of the course that was worked on")
        self._found.submissions += placed.submissions
        self._found.passed_over += [f"{printable(student, 128)}: {text}" for text in placed.lost]

    def _bundles(self, student: str, mine: Sequence[Owned]) -> list[tuple[Sequence[str], Listing, Owner, list[str]]]:
        """What is placed together: all of a student's items, but each repository of a unit by itself."""
        remarks = [owner.remark for owner, _ in mine if owner.remark]
        if any(owner.unit for owner, _ in mine):
            return [
                ([u for u in self._units if owner.unit in (None, u)], item.listing(()), owner, remarks)
                for owner, item in mine
            ]
        folders = [item for owner, item in mine if owner.exchange and item.kind == "folder"]
        packed = [item for owner, item in mine if owner.exchange and item.kind == "archive"]
        together = Listing()
        if packed and (folders or len(packed) > 1):
            names = " and ".join(printable(item.shown) for item in packed)
            why = (
                "not read, the folder {}/ counts" if folders else "more than one archive of this student, none was read"
            )
            together.remarks.append(f"{names}: {why.format(printable(student))}")
            mine = [(owner, item) for owner, item in mine if item not in packed]
        own = [owner.file for owner, _ in mine if owner.file]
        for owner, item in mine:
            if not owner.names:
                continue  # text typed into the platform: nothing to read
            file = owner.file if item.kind != "folder" else None
            listing = item.listing((layouts.own_name(file, own),) if file else ())
            together.entries += listing.entries
            together.folders |= listing.folders
            together.remarks += listing.remarks
            together.autosaves += listing.autosaves
        owner = mine[0][0] if mine else Owner(student, (student,))
        return [(self._units, together, owner, remarks)]

    # -- times

    def _stamps(self, student: str, owner: Owner) -> Callable[[str], Stamp | None]:
        """The instructor's word, then the platform's; None leaves it to nbgrader's exchange."""
        table = self._times

        def stamp(unit: str) -> Stamp | None:
            given = table.stamp([student, *owner.names, owner.student], unit) if table is not None else None
            if given is not None:
                return given
            if owner.when is not None:
                return judged(owner.when, METADATA)
            if owner.no_time is not None:
                return Stamp(problem=f"{owner.no_time}; it counts as handed in on time, or give it with {OPTION}")
            if table is not None:
                return Stamp(problem=f"{table.path.name}: no time for this student; it counts as handed in on time")
            return None

        return stamp

    def _is_costly(self, unit: Unit) -> bool:
        """Whether it can cost anything to be late."""
        policy = self._course.late_for(unit)
        return bool(policy.penalty_per_day) or policy.cutoff_days is not None

    def _note_times(self) -> None:
        """Say where times are missing: to each student where others have one, once where nobody has."""
        found = self._found
        unused = self._times.unused() if self._times is not None and self._asked.student is None else []
        if self._times is not None and unused:
            found.notes.append(f"{self._times.path.name}: nothing was handed in by {listed(unused)}")
        dated = {s.unit for s in found.submissions if s.submitted_at is not None}
        due = {unit.id for unit in self._course.units if unit.due is not None and self._is_costly(unit)}
        missing = f"no time of submission, so it counts as on time; {OPTION} gives it"
        untimed = [s.submitted_at is None and not s.time_problem and s.unit in dated & due for s in found.submissions]
        found.submissions = [
            with_time_problem(s, missing) if is_untimed else s
            for s, is_untimed in zip(found.submissions, untimed, strict=True)
        ]
        if undated := {s.unit for s in found.submissions if not s.time_problem} & due - dated:
            found.notes.append(
                f"no submission of {listed(sorted(undated))} has a time, so none is late; times come from nbgrader's "
                f"exchange, a platform's metadata or {OPTION}"
            )


def _unread(student: str, unit: str, problems: list[str]) -> Submission:
    """Nothing of this student can be read: a problem of the one unit that is graded."""
    digest = digest_of_submission([], problems)
    return Submission(student=student, unit=unit, pages=[], problems=problems, digest=digest)

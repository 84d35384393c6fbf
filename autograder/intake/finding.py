"""SUBMITTED -> submissions: a folder or an archive of a class, in any of the layouts, student by student."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct, field

from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.intake import layouts
from autograder.intake.files import Listing
from autograder.intake.gradescope import read_metadata
from autograder.intake.items import Items, read_items
from autograder.intake.layouts import LAYOUTS, METADATA, Item, Owner
from autograder.intake.names import PageNames, may_be_page
from autograder.intake.people import People
from autograder.intake.placing import Placed, Rules, place
from autograder.intake.released import Released
from autograder.intake.submission import HandedIn, Submission, digest_of_submission, with_time_problem
from autograder.intake.times import ON_TIME, OPTION, Stamp, SubmittedAt, judged
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


class ClassSeen(Struct):
    """The same without the pages: `read` reads those of one submission again."""

    submissions: list[HandedIn]
    passed_over: list[str]
    notes: list[str]
    read: Callable[[HandedIn], Submission]


def read_class(submitted: Path, course: Course, asked: Asked | None = None) -> ClassRead:
    """Read every submission. Raises UsageError where there is nothing to grade, or an option is wrong."""
    reader: _Reader[Submission] = _Reader(course, asked or Asked(), lambda submission: submission)
    _read(reader, submitted)
    return ClassRead(reader.submissions, reader.passed_over, reader.notes)


def look_through(submitted: Path, course: Course, asked: Asked | None = None) -> ClassSeen:
    """Read every submission and keep no page, so that memory does not grow with what a class has written.

    Raises UsageError as `read_class` does.
    """
    reader: _Reader[HandedIn] = _Reader(course, asked or Asked(), Submission.without_pages)
    _read(reader, submitted)
    return ClassSeen(reader.submissions, reader.passed_over, reader.notes, reader.again)


def _read(reader: "_Reader[_Kept]", submitted: Path) -> None:
    course, asked = reader.course, reader.asked
    if asked.layout not in LAYOUTS:
        raise UsageError(f"--layout {asked.layout}: choose one of {', '.join(LAYOUTS)}")
    names = PageNames([page.name for unit in course.units for page in unit.pages])
    items = read_items(submitted, course, names)
    reader.read(items, _owners(items, course, names, asked.layout, submitted))
    if not reader.submissions:
        what = f"--student {asked.student}: no unit of that student" if asked.student else "nothing to grade"
        more = f" and {len(reader.passed_over) - 1} more" if len(reader.passed_over) > 1 else ""
        remark = f"; passed over: {reader.passed_over[0]}{more}" if reader.passed_over else ""
        raise UsageError(f"{what} under {submitted}: expected {layouts.EXPECTED}{remark}")


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
        "blackboard": layouts.blackboard(items.items),
        "brightspace": layouts.brightspace,
        "canvas": layouts.canvas,
        "repos": layouts.repos(items.items, course),
        "nbgrader": layouts.nbgrader,
    }
    kinds = [known[name] for name in known if wanted == name or (wanted == "auto" and items.metadata is None)]
    owners: list[Owned] = []
    rest: list[str] = []
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
        elif may_be_page(item.name):
            items.passed_over.append(f"{printable(item.shown, 128)}: a file, where students' folders are expected")
        elif not item.name.lower().endswith(_OF_THE_INSTRUCTOR):
            rest.append(item.shown)
    if rest:  # a student's PDF, mail, part of an archive
        items.passed_over.append(f"{listed(rest)}: not read; only students' folders and archives are")
    owners, earlier = layouts.last_attempts(owners)
    items.passed_over += earlier
    items.passed_over += [f"{printable(name)}: in {METADATA}, but there is no such folder" for name in records]
    return owners


_OF_THE_INSTRUCTOR = (".csv", ".tsv", ".xlsx", ".toml", ".yml", ".yaml", ".md", ".log", ".db")


# ---------------------------------------------------------------- student by student


_Kept = TypeVar("_Kept", bound=HandedIn)
_GONE = "was there when the class was looked through, and is gone: hand it in, and grade again"
_CHANGED = "has changed since the class was looked through, and was graded as it is now"


class _Reader(Generic[_Kept]):
    """Student by student; `keep` says what is kept of a submission once it was read."""

    def __init__(self, course: Course, asked: Asked, keep: Callable[[Submission], _Kept]) -> None:
        self.course = course
        self.asked = asked
        self.submissions: list[_Kept] = []
        self.passed_over: list[str] = []
        self.notes: list[str] = []
        self._keep = keep
        self._units = [course.unit(asked.unit).id] if asked.unit else course.unit_ids
        self._released = Released(course)
        self._times = SubmittedAt(asked.submitted_at, course) if asked.submitted_at is not None else None
        self._people = People(Roster(asked.roster))
        self._students: dict[str, list[Owned]] = {}

    def read(self, items: Items, owners: Sequence[Owned]) -> None:
        """Everything of every student."""
        for owner, item in owners:
            self._people.add(owner, item)
        self._students = self._people.students()
        for student, mine in self._students.items():
            if self.asked.student is None or same_name(self.asked.student) == same_name(student):
                placed = self._placed(student, mine)
                self.submissions += map(self._keep, placed.submissions)
                self.passed_over += [f"{printable(student, 128)}: {text}" for text in placed.lost]
        self._note_times()
        self.passed_over = [*items.passed_over, *self._people.passed_over, *self.passed_over]
        self.notes += self._people.notes

    def again(self, handed_in: HandedIn) -> Submission:
        """The submission with its pages, as they are now: its digest tells whether that is what was read before."""
        placed = self._placed(handed_in.student, self._students[handed_in.student])
        found = next((one for one in placed.submissions if one.unit == handed_in.unit), None)
        if found is None:
            found = _unread(handed_in.student, handed_in.unit, [f"{handed_in.unit} {_GONE}"])
        elif found.digest != handed_in.digest:
            changed = [*found.problems, f"{handed_in.unit} {_CHANGED}"]
            found = msgspec.structs.replace(found, problems=changed)
        if handed_in.time_problem and handed_in.time_problem != found.time_problem:  # of what only the class shows
            found = with_time_problem(found, handed_in.time_problem)
        return found

    def _placed(self, student: str, mine: Sequence[Owned]) -> Placed:
        placed = Placed()
        for units, listing, owner, remarks in self._bundles(student, mine):
            rules = Rules(
                self.course, self._released, units, owner.exchange, self._stamps(student, owner), tuple(remarks)
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
        return placed

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
            together.opened |= listing.opened
            together.remarks += listing.remarks
            together.shadows += listing.shadows
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
                return Stamp(problem=f"{owner.no_time}; {ON_TIME}, or give it with {OPTION}")
            if table is not None:
                return Stamp(problem=f"{table.path.name}: no time for this student; {ON_TIME}")
            return None

        return stamp

    def _is_costly(self, unit: Unit) -> bool:
        """Whether it can cost anything to be late."""
        policy = self.course.late_for(unit)
        return bool(policy.penalty_per_day) or policy.cutoff_days is not None

    def _note_times(self) -> None:
        """Say where times are missing: to each student where others have one, once where nobody has."""
        unused = self._times.unused() if self._times is not None and self.asked.student is None else []
        if self._times is not None and unused:
            self.notes.append(f"{self._times.path.name}: nothing was handed in by {listed(unused)}")
        if self._times is not None and (unread := self._times.unread()):
            self.notes.append(unread)
        dated = {s.unit for s in self.submissions if s.submitted_at is not None}
        due = {unit.id for unit in self.course.units if unit.due is not None and self._is_costly(unit)}
        missing = f"no time of submission, so it counts as on time; {OPTION} gives it"
        untimed = [s.submitted_at is None and not s.time_problem and s.unit in dated & due for s in self.submissions]
        self.submissions = [
            with_time_problem(s, missing) if is_untimed else s
            for s, is_untimed in zip(self.submissions, untimed, strict=True)
        ]
        if undated := {s.unit for s in self.submissions if not s.time_problem} & due - dated:
            self.notes.append(
                f"no submission of {listed(sorted(undated))} has a time, so none is late; times come from nbgrader's "
                f"exchange, a platform's metadata or {OPTION}"
            )


def _unread(student: str, unit: str, problems: list[str]) -> Submission:
    """Nothing of this student can be read: a problem of the one unit that is graded."""
    digest = digest_of_submission([], problems)
    return Submission(student=student, unit=unit, pages=[], problems=problems, digest=digest)

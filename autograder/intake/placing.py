"""One student's files -> a submission for each unit. Every file is read, or named with the reason."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from autograder.course import Course, Unit
from autograder.intake.files import CHECKPOINTS, Entry, Listing, Parts
from autograder.intake.helpers import Helpers
from autograder.intake.names import Meant, PageNames
from autograder.intake.pages import Candidate, Choice, choose
from autograder.intake.released import RELEASED_FILE, Released
from autograder.intake.submission import PageSource, Submission, digest_of_submission
from autograder.intake.times import ON_TIME, TIMESTAMP, Stamp, exchange_stamp
from autograder.text import printable

MAX_NAMED = 5
MAX_PROBLEMS = 12
_HIDDEN = "a hidden file, as programs leave it where the page itself is elsewhere; not read: hand in the page"
_NO_PAGE = re.compile(
    r"(?i).*\.(pdf|docx?|odt|rtf|pages|html?|png|jpe?g|gif|svg|heic|lnk|url|webloc|gdoc|desktop|crdownload|part|download)"
)
_OF_THE_KIT = re.compile(rf"(?i)readme(\.md|\.txt)?|course\.toml|{re.escape(RELEASED_FILE)}|autograder-.*\.whl")


def _of_the_kit(entry: Entry) -> bool:
    """Whether it is a file that students received and hand back with their own: a README, a diagram."""
    diagram = entry.parts[-2:-1] == ("diagrams",) and entry.name.lower().endswith(".svg")
    return diagram or _OF_THE_KIT.fullmatch(entry.name) is not None


class Placed(Struct):
    """What became of one student's files. `lost` are words that belong to no unit, `choices` go by page."""

    submissions: list[Submission] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    choices: dict[str, Choice] = field(default_factory=dict)


class Rules(Struct, frozen=True):
    """What the course and the layout say about one student's files.

    `exchange`: folders on the first level are units, and their timestamp.txt was written by nbgrader.
    `stamp` gives the time of a unit, where the layout or the instructor has one.
    """

    course: Course
    released: Released
    units: Sequence[str]  # to be looked at
    exchange: bool = False
    stamp: Callable[[str], Stamp | None] = lambda unit: None
    remarks: Sequence[str] = ()  # of the layout, to be said first


def place(student: str, listing: Listing, rules: Rules) -> Placed:
    """The submissions that a student's files make. Never raises for what a student may have put there."""
    return _Placing(student, listing, rules).place()


class _Unit:
    """What is found out about one unit."""

    def __init__(self) -> None:
        self.sources: list[PageSource] = []
        self.times: list[str] = []
        self.problems: list[str] = []
        self.remarks: list[str] = []
        self.present = False


class _Placing:
    def __init__(self, student: str, listing: Listing, rules: Rules) -> None:
        self._student = student
        self._listing = listing
        self._rules = rules
        course = rules.course
        self._names = PageNames([page.name for unit in course.units for page in unit.pages])
        self._meant: dict[Parts, Meant] = {}
        self._units = {unit.id: _Unit() for unit in course.units}
        self._helpers = {unit.id: Helpers(listing.entries, [page.name for page in unit.pages]) for unit in course.units}
        self._choices: dict[str, Choice] = {}
        self._others: list[Entry] = []
        self._stamps: list[Entry] = []

    def place(self) -> Placed:
        """Exact names first: what they import is no look-alike of another page."""
        by_page = self._sort_files()
        pages = [page for unit in self._rules.course.units for page in unit.pages]
        for name in sorted(by_page, key=lambda name: not any(c.meant.exact for c in by_page[name])):
            page = next(page for page in pages if page.name == name)
            choice = self._choices[name] = choose(page, by_page[name], self._is_helper)
            if choice.source is not None and choice.entry is not None:
                self._helpers[page.unit].collect(choice.source, choice.entry.parts[:-1])
        released = {self._unit_of(page) for page, candidates in by_page.items() if candidates}
        for unit in self._rules.course.units:
            self._fill(unit)
        self._mark_present(released)
        lost = self._name_the_rest()
        return Placed(
            [self._submission(unit) for unit in self._rules.course.units if self._wanted(unit.id)],
            lost,
            self._choices,
        )

    # -- sorting

    def _sort_files(self) -> dict[str, list[Candidate]]:
        by_page: dict[str, list[Candidate]] = defaultdict(list)
        for entry in self._listing.entries:
            meant = self._names.meant(entry.name)
            if meant is not None and not meant.checks:
                self._meant[entry.parts] = meant
                page = self._rules.course.find_page(meant.page)
                assert page is not None
                by_page[meant.page].append(Candidate(entry, meant, page, self._rules.released))
            elif meant is None and entry.name == TIMESTAMP:
                self._stamps.append(entry)
            elif meant is None and not _of_the_kit(entry):
                self._others.append(entry)
        return by_page

    def _is_helper(self, entry: Entry) -> bool:
        return any(entry.parts in helpers.used for helpers in self._helpers.values())

    def _unit_of(self, page: str) -> str:
        found = self._rules.course.find_page(page)
        assert found is not None
        return found.unit

    # -- units

    def _fill(self, unit: Unit) -> None:
        """The pages of a unit, what they import, and what is to be said about them."""
        found = self._units[unit.id]
        for page in unit.pages:
            choice = self._choices.get(page.name)
            if choice is None or not choice.worked_on:
                self._missing(page.name, found, choice is None or choice.release is None)
                if choice is None:
                    continue
            found.problems += choice.problems
            found.remarks += choice.remarks
            found.present = found.present or choice.worked_on
            if choice.source is not None and choice.entry is not None:
                found.sources.append(choice.source)
                self._elsewhere(unit, choice.entry, found)
        found.sources += self._helpers[unit.id].sources
        found.problems += self._helpers[unit.id].problems

    def _missing(self, page: str, found: _Unit, altogether: bool) -> None:
        """A page that was not handed in, or (not `altogether`) as it was released; what looks as if it had been."""
        for parts in self._listing.folders:
            if self._names.meant(parts[-1]) == Meant(page, parts[-1].removeprefix(page), exact=True):
                found.problems.append(f"{printable('/'.join(parts[-1:]))}: a folder, not a file")
                found.present = True
        for parts in self._listing.shadows if altogether else ():
            meant = self._names.meant(re.sub(r"^[._~$]+|\.(icloud|sw[a-p])$", "", parts[-1]))
            if meant is None or meant.page != page or meant.checks:
                continue
            if CHECKPOINTS in parts[:-1]:
                found.problems.append(f"{printable(parts[-1])}: only Jupyter's autosave of the page; hand in the page")
            else:
                found.problems.append(f"{printable(parts[-1])}: {_HIDDEN}")

    def _elsewhere(self, unit: Unit, entry: Entry, found: _Unit) -> None:
        wrong = [part for part in entry.parts[:-1] if part in self._units and part != unit.id]
        if wrong:
            found.remarks.append(f"{printable(entry.path, 160)}: a page of {unit.id}, read as that")

    def _mark_present(self, released: set[str]) -> None:
        """Which units were handed in: those with work in them; in nbgrader's layout every unit that has a folder.

        Where there is no work at all the unit of the untouched pages was, if it is one: of a whole kit nobody knows.
        """
        if self._rules.exchange:
            for parts in self._listing.folders:
                if len(parts) == 1 and parts[0] in self._units:
                    self._units[parts[0]].present = True
        asked = released & set(self._rules.units)
        if not any(unit.present for unit in self._units.values()) and len(asked) == 1:
            self._units[next(iter(asked))].present = True
        if len(self._rules.units) == 1 and asked:
            self._units[self._rules.units[0]].present = True

    def _wanted(self, unit: str) -> bool:
        return self._units[unit].present and unit in self._rules.units

    def _submission(self, unit: Unit) -> Submission:
        found = self._units[unit.id]
        stamp = self._stamp(unit.id)
        said = [*found.times, *found.problems, *found.remarks]
        problems = [*([stamp.problem] if stamp.problem else []), *said]
        return Submission(
            student=self._student,
            unit=unit.id,
            pages=found.sources,
            problems=_shortened(list(dict.fromkeys(problems)), MAX_PROBLEMS),
            digest=digest_of_submission(found.sources, said),
            submitted_at=stamp.when,
            time_problem=stamp.problem or "",
        )

    def _stamp(self, unit: str) -> Stamp:
        """The time of a unit: as the layout or the instructor gives it, else as nbgrader's exchange wrote it."""
        given = self._rules.stamp(unit)
        written = next((entry for entry in self._stamps if self._of_exchange(entry, unit)), None)
        if written is None or (given is not None and given.when is not None):
            return given or Stamp()
        stamp = exchange_stamp(written)
        if given is None or given.problem is None or stamp.problem:
            return stamp
        return Stamp(stamp.when, given.problem.replace(ON_TIME, f"the time in {TIMESTAMP} counts"))

    def _of_exchange(self, entry: Entry, unit: str) -> bool:
        # SECURITY: an archive, and every other place, is the student's to fill
        return self._rules.exchange and not entry.packed and entry.parts[:-1] == (unit,)

    # -- the rest

    def _name_the_rest(self) -> list[str]:
        """Say what was not read: to the unit in whose folder it lies, else to the first that is there."""
        said: dict[str | None, list[str]] = defaultdict(list)
        for entry in self._stamps:
            if not any(self._of_exchange(entry, unit) for unit in self._units):
                where = "inside an archive" if entry.packed else "not where nbgrader's exchange writes it"
                text = f"{printable(entry.path, 160)}: {where}, so the student's own word; it is not believed"
                for unit in [self._home(entry.parts)] if self._home(entry.parts) else self._there():
                    self._units[unit].times.append(text)  # type: ignore[index]
        not_read: dict[str | None, list[str]] = defaultdict(list)
        for entry in self._others:
            if not self._is_helper(entry):
                not_read[self._home(entry.parts)].append(self._described(entry))
        for home, names in not_read.items():
            more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
            shown = ", ".join(names[:MAX_NAMED])
            said[home].append(f"not read: {shown}{more} (only pages count, and modules that they import)")
        for remark in self._listing.remarks:
            said[self._home_of_remark(remark)].append(remark)
        there = self._there()
        lost = [] if there else [*self._rules.remarks, *(p for u in self._rules.units for p in self._units[u].problems)]
        if there:
            self._units[there[0]].times += self._rules.remarks
        for home, texts in said.items():
            texts = _shortened(texts, MAX_NAMED)
            unit = home if home in there else there[0] if there else None
            if unit is None:
                lost += texts
            elif home is None and not texts[0].startswith("not read: "):
                self._units[unit].problems += texts
            else:
                self._units[unit].remarks += texts
        return lost + self._unknown_units()

    def _there(self) -> list[str]:
        return [unit for unit in self._rules.units if self._units[unit].present]

    def _home(self, parts: Parts) -> str | None:
        return next((part for part in parts[:-1] if part in self._units), None)

    def _home_of_remark(self, remark: str) -> str | None:
        return next((unit for unit in self._units if remark.startswith(unit)), None)

    def _described(self, entry: Entry) -> str:
        near = self._names.near(entry.name)
        shown = printable(entry.path, 160)
        if near is None or near in self._choices:
            return shown
        if _NO_PAGE.fullmatch(entry.name):  # a printed, shared or half loaded page: another name makes no page of it
            return f"{shown} (not the page itself: hand in {near}.ipynb or {near}.py)"
        return f"{shown} (is it {near}? rename it)"

    def _unknown_units(self) -> list[str]:
        """In nbgrader's layout a folder of no unit, unless pages of the course lie in it."""
        if not self._rules.exchange:
            return []
        used = {parts[0] for parts in self._meant if len(parts) > 1}
        folders = self._listing.folders - self._listing.opened  # an archive may be called as it likes
        odd = sorted({parts[0] for parts in folders if len(parts) == 1} - set(self._units) - used)
        return [f"{printable(name)}: no such unit in course.toml" for name in odd if not name.startswith(".")]


def _shortened(texts: list[str], limit: int) -> list[str]:
    more = len(texts) - limit
    return texts if more <= 0 else [*texts[:limit], f"and {more} more of this kind"]

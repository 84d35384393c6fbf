"""Which file of a student's is read for a page.

An exact name counts before a look-alike, a folder before an archive, the page's own unit before another place, and a
place higher up before a deeper one. Where two files have the same right and differ, none is taken and both are named:
the grader does not guess. A file as it was released is no work and stands in nobody's way; neither does one that cannot
be read, or in which no exercise was begun, where another file holds work.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

from msgspec import Struct, field

from autograder.course import Page
from autograder.intake.cells import looks_like_module, looks_like_notebook, parse_cells, what_else
from autograder.intake.files import Entry, Unreadable
from autograder.intake.helpers import imported
from autograder.intake.names import Meant
from autograder.intake.released import Released
from autograder.intake.submission import PageSource
from autograder.text import printable

MAX_CANDIDATES = 20


class Candidate:
    """A file that may be the page. It is read when somebody asks for it."""

    def __init__(self, entry: Entry, meant: Meant, page: Page, released: Released) -> None:
        self.entry = entry
        self.meant = meant
        self.suffix = meant.suffix
        self.note: str | None = None  # what the student should know although nothing is lost
        self.problem: str | None = None  # why it cannot be read
        self._page = page
        self._released = released

    @cached_property
    def source(self) -> PageSource | None:
        """The page, None where the file cannot be read; `problem` says why."""
        try:
            data = self.entry.read()
            if self.suffix == ".py" and looks_like_notebook(data):
                self.suffix, self.note = ".ipynb", f"{self.label}: it is a notebook and was read as one"
            elif self.suffix == ".ipynb" and looks_like_module(data):
                self.suffix, self.note = ".py", f"{self.label}: it is a module and was read as one"
            elif self.suffix == ".py" and (what := what_else(data)) and not looks_like_module(data):
                raise Unreadable(what)
            return PageSource(self._page.name, parse_cells(data, self.suffix), self.suffix == ".ipynb")
        except Unreadable as error:
            self.problem = f"{self.label}: {error}"
            return None

    @cached_property
    def untouched(self) -> bool:
        """Whether it is as it was released."""
        source = self.source
        return source is not None and self._released.untouched(source.name, source.cells, source.notebook)

    @cached_property
    def holds_work(self) -> bool:
        """Whether it can be read and an exercise was begun in it."""
        source = self.source
        return source is not None and self._released.holds_work(self._page, source.cells)

    @property
    def label(self) -> str:
        """How the student knows the file: its name where it lies in its place, else its path."""
        parts = self.entry.parts
        return printable(parts[-1] if parts[:-1] in ((), (self._page.unit,)) else self.entry.path, 160)

    @property
    def stem(self) -> str:
        """Its name without the suffix, as an import would call it."""
        return self.entry.name.rpartition(".")[0]

    @property
    def place(self) -> tuple[bool, int, int]:
        """Less is better: in a folder, in the page's unit, high up."""
        above = self.entry.parts[:-1]
        rank = 0 if above == (self._page.unit,) else 1 if self._page.unit in above else 2
        return (self.entry.packed, rank, len(above))


class Choice(Struct):
    """What is read for a page. `worked_on` is true where anything but the release was found."""

    source: PageSource | None = None
    entry: Entry | None = None
    problems: list[str] = field(default_factory=list)  # something is not read that may have been meant to count
    remarks: list[str] = field(default_factory=list)
    worked_on: bool = False
    release: Candidate | None = None  # the file as it was released, the notebook rather than the module


def choose(page: Page, candidates: Sequence[Candidate], is_helper: Callable[[Entry], bool]) -> Choice:
    """The page among the files that may be it."""
    choice = Choice()
    if len(candidates) > MAX_CANDIDATES:
        choice.problems.append(
            f"{len(candidates)} files could be {page.name}; the first {MAX_CANDIDATES} were looked at"
        )
    looked_at = sorted(candidates, key=lambda c: c.place)[:MAX_CANDIDATES]
    worked = [c for c in looked_at if not c.untouched]
    choice.release = min((c for c in looked_at if c.untouched), key=lambda c: c.suffix != ".ipynb", default=None)
    worked = [c for c in worked if c.meant.exact or not is_helper(c.entry)]
    choice.worked_on = bool(worked)
    # of a single one nothing hangs on it, and to ask costs a look at every cell
    aside = [c for c in worked if not c.holds_work] if len(worked) > 1 and any(c.holds_work for c in worked) else []
    exact = [c for c in worked if c.meant.exact and c not in aside]
    alike = [c for c in worked if not c.meant.exact and c not in aside]
    choice.problems += [c.problem for c in exact + aside if c.problem]
    if exact:
        _choose_exact(page, exact, alike, choice)
    elif alike:
        _choose_alike(page, alike, choice)
    along = _imports(choice.source) if aside else set()
    for other in aside:
        if other.source is not None and choice.entry is not None and other.stem not in along:
            choice.remarks.append(f"{other.label}: not read, no exercise was begun in it; {choice.entry.name} counts")
    return choice


def _choose_exact(page: Page, exact: list[Candidate], alike: list[Candidate], choice: Choice) -> None:
    readable = [c for c in exact if c.source is not None]
    best = [c for c in readable if c.place == readable[0].place]
    notebooks, modules = ([c for c in best if (c.suffix == ".ipynb") is wanted] for wanted in (True, False))
    for form in (notebooks, modules):
        if any(c.source != form[0].source for c in form):
            choice.problems.append(f"{_both(form)}: which one counts? None was read; keep one of them")
            form.clear()
    taken = next(iter(notebooks or modules), None)
    if taken is not None:
        _take(taken, choice)
        if notebooks and modules:
            choice.problems.append(f"{page.name}: both .ipynb and .py were edited; the notebook counts")
    along = _imports(taken.source) if alike and taken is not None else set()
    for other in [c for c in readable if c not in best] + [c for c in alike if c.stem not in along]:
        if taken is None or other.source != taken.source or not other.meant.exact:
            counts = taken.label if taken is not None else exact[0].label
            choice.remarks.append(f"{other.label}: not read, {counts} counts")


def _choose_alike(page: Page, alike: list[Candidate], choice: Choice) -> None:
    different = list({repr(c.source or c.label): c for c in reversed(alike)}.values())[::-1]
    stems = {c.stem for c in different}
    if len(different) == 2 and len(stems) == 1 and {c.suffix for c in different} == {".py", ".ipynb"}:
        different.sort(key=lambda c: c.suffix != ".ipynb")  # two forms of one file: as for the page itself
        choice.problems.append(f"{different[1].label}: not read, {different[0].label} counts")
        del different[1]
    if len(different) > 1:
        choice.problems.append(
            f"{_both(different)}: each could be {page.name}{different[0].suffix}; none was read: "
            "hand in one of them under that name"
        )
        return
    (only,) = different
    if only.source is None:
        assert only.problem is not None
        choice.problems.append(only.problem)
        return
    _take(only, choice)
    choice.problems.append(f"{only.label}: read as {page.name}{only.suffix}")


def _take(candidate: Candidate, choice: Choice) -> None:
    choice.source, choice.entry = candidate.source, candidate.entry
    if candidate.note is not None:
        choice.remarks.append(candidate.note)


def _imports(source: PageSource | None) -> set[str]:
    return set(imported(source.cells)) if source is not None else set()


def _both(candidates: Sequence[Candidate]) -> str:
    names = [c.label for c in candidates]
    return f"{', '.join(names[:-1])} and {names[-1]}"

"""SUBMITTED -> who handed in which unit, and where its files are.

SUBMITTED is nbgrader's layout `<student>/<unit>/<page>.py|.ipynb` as a folder, or an archive of it. In a folder,
`<student>.zip` and `<student>/<unit>.zip` stand for folders (.tar, .tar.gz and .tar.xz too).
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake import archives
from autograder.intake.archives import CLASS, STUDENT, Contents, Parts
from autograder.intake.pages import TIMESTAMP, Files, Folder, Unreadable
from autograder.text import printable

_STUDENT = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
_LAYOUT = "<student>/<unit>/<page>.py or .ipynb"
_MAX_PROBLEMS = 5

Found = tuple[str, str, Files]


class Archived:
    """The files of one unit in an archive."""

    def __init__(self, load: Callable[[], Contents], below: Parts, problems: Sequence[str] = ()) -> None:
        self._load = load
        self._below = below
        self.problems = problems

    def read(self, name: str) -> bytes | None:
        data = self._load().files.get((*self._below, name))
        if isinstance(data, str):
            raise Unreadable(data)
        return data


class Refused:
    """A unit of which nothing can be read."""

    def __init__(self, problem: str) -> None:
        self.problems = [problem]

    def read(self, name: str) -> bytes | None:
        return None


def find_submissions(
    submitted: Path, course: Course, unit: str | None = None, student: str | None = None
) -> tuple[list[Found], list[str]]:
    """(student, unit, files) for everything handed in, and what was passed over, in words. Raises UsageError."""
    search = _Search(course, [course.unit(unit).id] if unit else course.unit_ids, student)
    if submitted.is_dir():
        search.folder(submitted)
    elif submitted.is_file() and archives.is_archive(submitted.name):
        search.archive(submitted.resolve())
    else:
        raise UsageError(
            f"{submitted} is not a folder, zip or tar: give the folder that holds {_LAYOUT}, or an archive of it"
        )
    if student is not None and not any(name == student for name, _, _ in search.found):
        raise UsageError(f"--student {student}: no unit of that student under {submitted}{search.remark()}")
    if not search.found:
        raise UsageError(f"nothing to grade under {submitted}: expected {_LAYOUT}{search.remark()}")
    return search.found, search.passed_over


class _Search:
    """Collects what was found and what was passed over."""

    def __init__(self, course: Course, units: Sequence[str], student: str | None) -> None:
        self.found: list[Found] = []
        self.passed_over: list[str] = []
        self._course = course
        self._units = units
        self._student = student
        self._names = {
            page.name + suffix for unit in course.units for page in unit.pages for suffix in (".py", ".ipynb")
        }
        self._names.add(TIMESTAMP)
        self._latest: tuple[Path, Contents] | None = None

    def remark(self) -> str:
        more = len(self.passed_over) - 1
        return (
            f"; passed over: {self.passed_over[0]}" + (f" and {more} more" if more else "") if self.passed_over else ""
        )

    # -- folders

    def folder(self, submitted: Path) -> None:
        folders, packed = self._entries(submitted, "")
        for name in sorted({*folders, *packed}):
            if not self._wanted(name):
                continue
            inside: Mapping[str, Files] = {}
            beside = [file.name for file in packed.get(name, [])]
            if name in folders:
                inside = self._student_folder(folders[name])
                if beside:
                    inside = self._note(name, inside, f"{', '.join(beside)}: not read, the folder {name}/ counts")
            elif len(beside) > 1:
                self._refuse(name, f"{' and '.join(beside)}: more than one archive of this student, none was read")
                continue
            else:
                inside = self._student_archive(name, packed[name][0])
            self._add(name, inside)

    def _student_folder(self, folder: Path) -> dict[str, Files]:
        folders, packed = self._entries(folder, folder.name + "/")
        inside: dict[str, Files] = {name: Folder(path) for name, path in folders.items()}
        for name, files in packed.items():
            said = ", ".join(file.name for file in files)
            if name in folders:
                inside[name] = Folder(folders[name], [f"{said}: not read, the folder {name}/ counts"])
            elif len(files) > 1:
                inside[name] = Refused(f"{said}: more than one archive of this unit, none was read")
            elif name in self._units:
                inside[name] = self._unit_archive(files[0])
            elif name not in self._course.unit_ids:
                inside[name] = Folder(files[0])  # only to be named as no unit
        return inside

    def _entries(self, folder: Path, where: str) -> tuple[dict[str, Path], dict[str, list[Path]]]:
        """The folders, and the archives by the name of the folder that they stand for."""
        folders: dict[str, Path] = {}
        packed: dict[str, list[Path]] = defaultdict(list)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    folders[entry.name] = Path(entry.path)
                elif archives.is_archive(entry.name) and not entry.name.startswith("."):
                    packed[archives.stem(entry.name)].append(Path(entry.path))
                elif archives.is_other_archive(entry.name):
                    kind = "this kind of archive is not read; repack it as .zip or .tar.gz"
                    self.passed_over.append(f"{where}{printable(entry.name)}: {kind}")
        return folders, packed

    # -- archives

    def _unit_archive(self, path: Path) -> Files:
        try:
            contents = self._load(path, 1)
        except Unreadable as error:
            return Refused(f"{path.name}: {error}")
        return Archived(lambda: self._load(path, 1), (), _problems([text for _, text in contents.remarks]))

    def _student_archive(self, name: str, path: Path) -> dict[str, Files]:
        try:
            contents = self._load(path, 2)
        except Unreadable as error:
            self._refuse(name, f"{path.name}: {error}")
            return {}
        said = [text for _, text in contents.remarks]
        units = sorted(parts[0] for parts in contents.folders if len(parts) == 1)
        if not any(unit in self._course.unit_ids for unit in units):
            self._refuse(name, "; ".join(_problems([f"{path.name}: no <unit>/<page>.py or .ipynb inside", *said])))
            return {}
        return {unit: Archived(lambda: self._load(path, 2), (unit,), _problems(said)) for unit in units}

    def _load(self, path: Path, depth: int) -> Contents:
        """The archive's contents; only the latest is kept, so that a class of archives is never in memory at once."""
        if self._latest is None or self._latest[0] != path:
            self._latest = None
            self._latest = path, archives.unpack(path, self._names, depth, self._course.unit_ids, STUDENT)
        return self._latest[1]

    def archive(self, submitted: Path) -> None:
        """A whole class in one archive."""
        try:
            contents = archives.unpack(submitted, self._names, 3, self._course.unit_ids, CLASS)
        except Unreadable as error:
            raise UsageError(f"{submitted}: {error}; unpack it yourself and give the folder") from None
        said: dict[Parts, list[str]] = defaultdict(list)
        for parts, text in contents.remarks:
            student = parts[0] if len(parts) > 1 else archives.stem(parts[0]) if parts else ""
            unit = archives.stem(parts[1]) if len(parts) > 1 else ""
            said[(student, unit) if unit in self._course.unit_ids else (student,)].append(text)
        for name in sorted({parts[0] for parts in (*contents.folders, *said)}):
            if name and self._wanted(name):
                units = {parts[1] for parts in (*contents.folders, *said) if parts[0] == name and len(parts) == 2}
                if problem := "; ".join(_problems(said[(name,)])):
                    if units.isdisjoint(self._units):
                        self._refuse(name, problem)
                    else:
                        self.passed_over.append(f"{name}: {problem}")
                self._add(name, {u: self._from_class(contents, name, u, said[(name, u)]) for u in sorted(units)})
        self.passed_over += _problems(said[("",)])

    def _from_class(self, contents: Contents, name: str, unit: str, said: Sequence[str]) -> Files:
        return Archived(lambda: contents, (name, unit), _problems(said))

    # -- one student

    def _wanted(self, name: str) -> bool:
        if name.startswith("."):
            return False
        if not _STUDENT.fullmatch(name) or name.startswith("-"):
            self.passed_over.append(
                f"{printable(name)}: not a student's name (letters, digits and . _ @ + - only); renamed?"
            )
            return False
        return self._student in (None, name)

    def _add(self, name: str, inside: Mapping[str, Files]) -> None:
        self.found += [(name, unit, inside[unit]) for unit in self._units if unit in inside]
        self.passed_over += [
            f"{name}/{printable(other)}: no such unit in course.toml"
            for other in sorted(set(inside) - set(self._course.unit_ids))
            if other[0] != "."
        ]

    def _refuse(self, name: str, problem: str) -> None:
        """Nothing of this student can be read: a problem of the one unit that is graded, if it is one."""
        if len(self._units) == 1:
            self.found.append((name, self._units[0], Refused(problem)))
        else:
            self.passed_over.append(f"{name}: {problem}")

    def _note(self, name: str, inside: Mapping[str, Files], problem: str) -> Mapping[str, Files]:
        noted: dict[str, Files] = {}
        for unit, files in inside.items():
            noted[unit] = Folder(files.path, [*files.problems, problem]) if isinstance(files, Folder) else files
        if not any(unit in self._units for unit in noted):
            self.passed_over.append(f"{name}: {problem}")
        return noted


def _problems(said: Sequence[str]) -> list[str]:
    more = len(said) - _MAX_PROBLEMS
    return [*said[:_MAX_PROBLEMS], *([f"and {more} more of this kind"] if more > 0 else [])]

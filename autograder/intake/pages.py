"""Untrusted files -> Submission. Nothing is executed, everything is capped.

Only the pages of the unit are read, as regular files and without following links; whatever else lies beside them is
left alone. Where the files come from (`Files`) is `finding`'s business: a folder, or an archive.
"""

import ast
import hashlib
import io
import os
import stat
import tokenize
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import msgspec
from msgspec import Struct

from autograder.course import Course, Unit
from autograder.text import printable

MAX_FILE_BYTES = 8 << 20
MAX_CELLS = 2000
MAX_CODE_CHARS = 256 << 10
TIMESTAMP = "timestamp.txt"
_ASCII = bytes(range(128)) + b".xn--4ca"  # the end is ASCII to everything but IDNA


class PageSource(Struct, frozen=True):
    """A page as cells of code; a plain module is one cell."""

    name: str
    cells: list[str]
    notebook: bool = False


class Submission(Struct, frozen=True, kw_only=True):
    """What a student handed in for one unit, as text.

    `pages` holds the pages that differ from the release; `digest` covers every byte that counts.
    """

    student: str
    unit: str
    pages: list[PageSource]
    problems: list[str]
    digest: str
    submitted_at: datetime | None = None


class _Cell(Struct):
    cell_type: str = ""
    source: str | list[str] = ""


class _Notebook(Struct):
    cells: list[_Cell]


class Unreadable(Exception):
    """A file of a submission that cannot be read as what its name says."""


class Files(Protocol):
    """The files of one unit of one student. `problems` were found before any of them was read."""

    @property
    def problems(self) -> Sequence[str]: ...

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None where there is none. Raises Unreadable."""


class Folder(Struct, frozen=True):
    """Files in a folder."""

    path: Path
    problems: Sequence[str] = ()

    def read(self, name: str) -> bytes | None:
        """The bytes of a regular file, None where there is none. Raises Unreadable for links, devices, large files."""
        try:
            with open_regular(self.path / name) as file:
                size = os.fstat(file.fileno()).st_size
                if size > MAX_FILE_BYTES:
                    raise Unreadable(f"{size / 2**20:.0f} MiB; at most {MAX_FILE_BYTES >> 20} MiB are read")
                return file.read(MAX_FILE_BYTES)
        except FileNotFoundError:
            return None


def read_submission(given: Path | Files, student: str, unit: Unit, stubs: "Stubs") -> Submission:
    """Read one student's unit. Never raises for what a student may have put there: that becomes `problems`."""
    files = Folder(given) if isinstance(given, Path) else given
    problems = list(files.problems)
    pages: list[PageSource] = []
    digest = hashlib.sha256("".join(f"{problem}\0" for problem in problems).encode())
    for page in unit.pages:
        forms: list[PageSource] = []
        for suffix in (".ipynb", ".py"):
            name = page.name + suffix
            try:
                data = files.read(name)
                if data is None:
                    continue
                digest.update(f"{name}\0{len(data)}\0".encode() + data)
                source = PageSource(page.name, parse_cells(data, suffix), suffix == ".ipynb")
            except Unreadable as error:
                problems.append(f"{name}: {error}")
                digest.update(f"{name}\0{error}\0".encode())
                continue
            if not stubs.untouched(unit.id, source):
                forms.append(source)
        if len(forms) == 2:
            problems.append(f"{page.name}: both .ipynb and .py were edited; the notebook counts")
        pages += forms[:1]
    submitted_at = _timestamp(files, problems)
    digest.update(str(submitted_at).encode())
    return Submission(
        student=student,
        unit=unit.id,
        pages=pages,
        problems=problems,
        digest=digest.hexdigest(),
        submitted_at=submitted_at,
    )


def parse_cells(data: bytes, suffix: str) -> list[str]:
    """The code of a page. Raises Unreadable."""
    cells = [_decode_python(data)] if suffix == ".py" else _code_cells(data)
    # SECURITY: the grader parses the code, and a syntax tree may take 1000 times its size in memory
    if (size := sum(map(len, cells))) > MAX_CODE_CHARS:
        raise Unreadable(f"{size >> 10} KiB of code; at most {MAX_CODE_CHARS >> 10} KiB are read")
    return cells


def _code_cells(data: bytes) -> list[str]:
    try:
        notebook = msgspec.json.decode(data, type=_Notebook)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"not a notebook: {str(error)[:200]}") from None
    if len(notebook.cells) > MAX_CELLS:
        raise Unreadable(f"{len(notebook.cells)} cells; at most {MAX_CELLS} are read")
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [cell.source if isinstance(cell.source, str) else "".join(cell.source) for cell in cells]


class Stubs:
    """The released stubs, to tell an untouched page from an edited one."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._known: dict[tuple[str, str, bool], Any] = {}

    def untouched(self, unit: str, page: PageSource) -> bool:
        """Whether the page's code is the released stub's, comments and layout aside."""
        key = (unit, page.name, page.notebook)
        if key not in self._known:
            self._known[key] = self._released(*key)
        known = self._known[key]
        return known is not None and all(a == b for a, b in zip_longest(_meaning(page.cells), known))

    def _released(self, unit: str, name: str, notebook: bool) -> Any:
        suffix = ".ipynb" if notebook else ".py"
        try:
            return list(_meaning(parse_cells((self._course.assignments / unit / (name + suffix)).read_bytes(), suffix)))
        except (OSError, Unreadable):
            return None


def _meaning(cells: list[str]) -> Iterator[str]:
    """The statements of the code, whatever its comments and layout; a cell that cannot be parsed as its text."""
    for cell in cells:
        try:
            for statement in ast.parse(cell).body:
                yield ast.dump(statement)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            yield cell.strip()


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises FileNotFoundError, and Unreadable for links and devices."""
    try:
        # SECURITY: O_NOFOLLOW and O_NONBLOCK, so that neither a link to a secret nor a FIFO is ever opened
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable("a symbolic link" if path.is_symlink() else error.strerror or "cannot be opened") from None
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:  # SECURITY: the solution's, or another student's
        os.close(descriptor)
        raise Unreadable("a hard link; hand in a copy" if stat.S_ISREG(info.st_mode) else "not a regular file")
    return os.fdopen(descriptor, "rb")


def _decode_python(data: bytes) -> str:
    """Python source as Python itself would read it: BOM, coding line, any line ends."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        # SECURITY: only supersets of ASCII; punycode and idna take quadratic time, megabytes would hang the intake
        if _ASCII.decode(encoding) != _ASCII.decode("ascii"):
            raise LookupError(f"{encoding!r} is not an encoding of source code")
        text = data.decode(encoding)
        text.encode()  # SECURITY: raw_unicode_escape decodes to half a character, which no message can carry
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise Unreadable(f"cannot be decoded: {str(error)[:200]}; save it as UTF-8") from None
    if "\0" in text:
        raise Unreadable("contains null bytes; is it a text file?")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _timestamp(files: Files, problems: list[str]) -> datetime | None:
    """When it was handed in, from nbgrader's `timestamp.txt` beside the pages; a time without a zone is UTC."""
    try:
        data = files.read(TIMESTAMP)
    except Unreadable as error:
        problems.append(f"timestamp.txt: {error}")
        return None
    if data is None:
        return None
    text = data[:100].decode("utf-8", "replace").strip()
    try:
        when = datetime.fromisoformat(text.removesuffix(" UTC").strip())
    except ValueError:
        problems.append(f"timestamp.txt: {printable(text)!r} is not a time like 2026-11-30 10:00:00 UTC")
        return None
    try:  # SECURITY: at the edge of time there is no such moment in UTC, and no message can carry it
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except OverflowError:
        problems.append(f"timestamp.txt: {printable(text)!r} is beyond all time; it is left out")
        return None

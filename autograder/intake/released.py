"""What students received, as `build` wrote it down: tells a page as it was released from one that was worked on."""

import ast
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autograder.course import Course, Page
from autograder.errors import UsageError

RELEASED_FILE = "released.json"
SCHEMA = "autograder/released/v1"


class _File(Struct):
    schema: str
    pages: dict[str, dict[str, list[str]]]


def released_file(pages: dict[str, dict[str, list[str]]]) -> bytes:
    """The contents of `assignments/released.json`: for each page and form (`py`, `ipynb`) a digest of each cell."""
    return msgspec.json.format(msgspec.json.encode(_File(SCHEMA, pages), order="sorted"), indent=1) + b"\n"


class Released:
    """The digests of the release."""

    def __init__(self, course: Course) -> None:
        self._pages = _read(course.assignments)

    def untouched(self, page: str, cells: Sequence[str], notebook: bool) -> bool:
        """Whether the code is that of the release, comments and layout aside."""
        known = self._pages.get(page, {}).get("ipynb" if notebook else "py")
        if known is None:
            return False
        # cells without code do not count: to run the last cell of a notebook adds an empty one
        found = (digest for cell in cells if (digest := digest_of(cell)) != _NO_CODE)
        released = (digest for digest in known if digest != _NO_CODE)
        return all(a == b for a, b in itertools.zip_longest(found, released))  # up to the first

    def holds_work(self, page: Page, cells: Sequence[str]) -> bool:
        """Whether a cell that was not released so defines something that an exercise of the page asks for."""
        known = {digest for form in self._pages.get(page.name, {}).values() for digest in form}
        symbols = "|".join(re.escape(symbol) for exercise in page.exercises for symbol in exercise.symbols)
        defines = re.compile(rf"\b(?:def|class)\s+(?:{symbols})\b|\b(?:{symbols})\b[^=\n]{{0,200}}=(?!=)")
        return any(defines.search(cell) and digest_of(cell) not in known for cell in cells)


def _read(folder: Path) -> dict[str, dict[str, list[str]]]:
    path = folder / RELEASED_FILE
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        if not folder.is_dir():
            return {}  # nothing was released, so nothing is as it was released
        raise UsageError(f"{path} does not exist: run `autograder build`, or download the course's kit again") from None
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{path}: {error}; run `autograder build`, or download the course's kit again") from None
    return file.pages


def digest_of(cell: str) -> str:
    """Names the code of a cell, whatever its comments and layout; the same under every version of Python.

    `ast.dump` would not do: 3.12 and 3.13 each changed what it prints.
    """
    try:
        words = "\0".join(_words(ast.parse(cell)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # not Python: as it stands
        words = cell.strip()
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()[:32]


def _words(node: ast.AST) -> Iterator[str]:
    yield type(node).__name__
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in ("ctx", "kind", "type_comment", "type_ignores"):
            continue
        yield name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _words(item)
            else:
                yield repr(item)
    yield ")"


_NO_CODE = digest_of("")

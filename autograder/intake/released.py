"""What students received, as `build` wrote it down: tells a page as it was released from one that was worked on."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from autograder.course import Course
from autograder.errors import UsageError

RELEASED_FILE = "released.json"
SCHEMA = "autograder/released/v1"


class _File(Struct):
    schema: str
    pages: dict[str, dict[str, str]]


def released_file(pages: dict[str, dict[str, str]]) -> bytes:
    """The contents of `assignments/released.json`: a digest for each page and form (`py`, `ipynb`)."""
    return msgspec.json.format(msgspec.json.encode(_File(SCHEMA, pages), order="sorted"), indent=1) + b"\n"


class Released:
    """The digests of the release."""

    def __init__(self, course: Course) -> None:
        self._pages = _read(course.assignments)

    def untouched(self, page: str, cells: Sequence[str], notebook: bool) -> bool:
        """Whether the code is that of the release, comments and layout aside."""
        known = self._pages.get(page, {}).get("ipynb" if notebook else "py")
        return known is not None and known == digest_of(cells)


def _read(folder: Path) -> dict[str, dict[str, str]]:
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


def digest_of(cells: Sequence[str]) -> str:
    """Names the code, whatever its comments and layout; the same under every version of Python.

    `ast.dump` would not do: 3.12 and 3.13 each changed what it prints.
    """
    digest = hashlib.sha256()
    for cell in cells:
        try:
            words = "\0".join(_words(ast.parse(cell)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # not Python: as it stands
            words = cell.strip()
        digest.update(words.encode("utf-8", "replace"))
    return digest.hexdigest()


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

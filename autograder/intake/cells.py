"""The bytes of a page -> cells of code. Nothing is executed; what cannot be read raises Unreadable with the fix.

A notebook's code cells count, and nothing else of it: no output, no picture, no metadata. A module is cut at its own
`# %%` lines, so that a typing error costs what it costs in a notebook; a module without such lines is one cell.
"""

import ast
import codecs
import io
import json
import re
import tokenize
from typing import Any

import msgspec
from msgspec import Struct

from autograder.intake.files import Unreadable
from autograder.text import printable

MAX_CELLS = 2000
MAX_CODE_CHARS = 256 << 10
_ASCII = bytes(range(128)) + b".xn--4ca"  # the end is ASCII to everything but IDNA
_WIDE = (  # UTF-32 before UTF-16, whose mark it begins with
    *((mark, "utf-32") for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    *((mark, "utf-16") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
_CELL_LINE = re.compile(r"^# ?(%%|In ?\[[ \d]*\]:).*$", re.MULTILINE)  # of jupytext, Spyder and nbconvert


class _Cell(Struct):
    cell_type: str = ""
    source: str | list[str] | None = None
    input: str | list[str] | None = None  # what `source` was called in format 3


class _Worksheet(Struct):
    cells: list[_Cell] = []


class _Notebook(Struct):
    cells: list[_Cell] | None = None
    worksheets: list[_Worksheet] | None = None  # format 3


def parse_cells(data: bytes, suffix: str) -> list[str]:
    """The code of a page. Raises Unreadable."""
    cells = _code_cells(data) if suffix == ".ipynb" else _split(_decode_python(data))
    # SECURITY: the grader parses the code, and a syntax tree may take 1000 times its size in memory
    if (size := sum(map(len, cells))) > MAX_CODE_CHARS:
        raise Unreadable(f"{size >> 10} KiB of code; at most {MAX_CODE_CHARS >> 10} KiB are read")
    return cells


def only_code(data: bytes, name: str) -> bytes:
    """A notebook without anything but its code; what is no notebook as it is. Raises Unreadable."""
    if ".ipynb" not in name.lower() or looks_like_module(data):
        return data
    cells = [{"cell_type": "code", "source": source} for source in _code_cells(data)]
    return msgspec.json.encode({"nbformat": 4, "cells": cells})


def looks_like_notebook(data: bytes) -> bool:
    """Whether a file is a notebook, whatever its name says."""
    return data.lstrip()[:1] == b"{" and b'"cells"' in data and b'"nbformat"' in data


def looks_like_module(data: bytes) -> bool:
    """Whether a file is Python, and no JSON, whatever its name says."""
    if len(data) > MAX_CODE_CHARS or data.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"", b"{", b"["):
        return False
    try:
        return bool(ast.parse(_decode_python(data)).body)
    except (Unreadable, SyntaxError, ValueError, RecursionError, MemoryError):
        return False


_A_DOCUMENT = "a word processor's document; hand in the page itself, as plain text"
_INSTEAD = (  # what was saved where a page should be: how it begins, what it is
    (rb"\s*$", "an empty file; save the page again, and look at its size before you hand it in"),
    (rb"\s*<(!doctype|html|\?xml)", "a web page, not the file that it shows; download the file itself"),
    (rb"\s*\[InternetShortcut\]|\s*\{[^{}]*\"(doc_id|url)\"\s*:", "a link, not the file; download the file itself"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file; fetch it with `git lfs pull`"),
    (rb"\{\\rtf|PK\x03\x04.{26}(\[Content_|_rels/|docProps/|word/|mimetype)", _A_DOCUMENT),
    (rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b", "an archive under another name; name it .zip, or hand in what is in it"),
    (rb"%PDF", "a PDF; hand in the page itself"),
    (rb"bplist00|\x00\x05\x16\x07", "left by a Mac beside the file, not the file; hand in the page itself"),
)


def what_else(data: bytes) -> str | None:
    """What the bytes are if they are no page, with what to do."""
    return next((what for begins, what in _INSTEAD if re.match(rb"(?is)" + begins, data[:2000])), None)


# ---------------------------------------------------------------- notebooks


def _code_cells(data: bytes) -> list[str]:
    notebook = _notebook(data)
    found = notebook.cells
    if found is None and notebook.worksheets is not None:
        found = [cell for sheet in notebook.worksheets for cell in sheet.cells]
    if found is None:
        raise Unreadable(f"not a notebook: {what_else(data) or 'it has no cells'}")
    if len(found) > MAX_CELLS:
        raise Unreadable(f"{len(found)} cells; at most {MAX_CELLS} are read")
    return [_source(cell) for cell in found if cell.cell_type == "code"]


def _notebook(data: bytes) -> _Notebook:
    wide = _decode_wide(data)
    data = wide.encode("utf-8", "replace") if wide is not None else data.removeprefix(codecs.BOM_UTF8)
    try:
        return msgspec.json.decode(data, type=_Notebook)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        strict = what_else(data) or str(error)[:200]
    if b"<<<<<<<" in data and b">>>>>>>" in data:
        raise Unreadable("not a notebook: it holds git's marks of a conflict (<<<<<<<); resolve it and save again")
    try:  # Jupyter itself writes NaN and Infinity, which JSON does not have
        if b"NaN" in data or b"Infinity" in data:
            return msgspec.convert(json.loads(data), _Notebook)
    except (ValueError, RecursionError):
        pass
    raise Unreadable(f"not a notebook: {strict}")


def _source(cell: _Cell) -> str:
    source: Any = cell.source if cell.source is not None else cell.input
    if source is None:
        raise Unreadable("not a notebook: a code cell has no source")
    return _equal_line_ends(source if isinstance(source, str) else "".join(source))


def _decode_wide(data: bytes) -> str | None:
    """The text of UTF-16 or UTF-32 that says so by its first bytes, as Windows editors write it; else None."""
    encoding = next((encoding for mark, encoding in _WIDE if data.startswith(mark)), None)
    try:
        return None if encoding is None else data.decode(encoding)
    except UnicodeError as error:
        raise _undecodable(error) from None


def _undecodable(error: Exception, data: bytes = b"") -> Unreadable:
    try:
        data.decode()
    except UnicodeDecodeError as first:  # Python's own words name neither line nor byte
        line = data.count(b"\n", 0, first.start) + 1
        return Unreadable(f"line {line}: the byte 0x{data[first.start]:02x} is not UTF-8; save it as UTF-8")
    return Unreadable(f"cannot be decoded: {printable(str(error), 200)}; save it as UTF-8")


# ---------------------------------------------------------------- modules


def _decode_python(data: bytes) -> str:
    """Python source as Python itself would read it: BOM, coding line, any line ends. UTF-16 where a BOM says so."""
    text = _decode_wide(data)
    try:
        if text is None:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            # SECURITY: only supersets of ASCII; punycode and idna take quadratic time, megabytes would hang the intake
            if _ASCII.decode(encoding) != _ASCII.decode("ascii"):
                raise LookupError(f"{encoding!r} is not an encoding of source code")
            text = data.decode(encoding)
        text.encode()  # SECURITY: raw_unicode_escape decodes to half a character, which no message can carry
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise Unreadable(what) if (what := what_else(data)) else _undecodable(error, data) from None
    if "\0" in text:
        raise Unreadable(what_else(data) or "contains null bytes; is it a text file?")
    return _equal_line_ends(text)


def _equal_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _split(text: str) -> list[str]:
    """The module cut before its cell lines; joined, the parts are the text again.

    Where the module is Python as a whole, only between its statements: such a line may also stand in a string, or
    in the middle of a function.
    """
    starts = [match.start() for match in _CELL_LINE.finditer(text)]
    if not starts or len(text) > MAX_CODE_CHARS or len(starts) > MAX_CELLS:
        return [text]
    inside = _statement_lines(text)
    cuts = [0]
    line, at = 1, 0
    for start in starts:
        line, at = line + text.count("\n", at, start), start
        if start and not any(first < line <= last for first, last in inside):
            cuts.append(start)
    return [text[a:b] for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def _statement_lines(text: str) -> list[tuple[int, int]]:
    """(first, last) line of each statement of more than one line; none where the module is not Python as a whole."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    spans = []
    for node in body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if node.end_lineno is not None and node.end_lineno > first:
            spans.append((first, node.end_lineno))
    return spans

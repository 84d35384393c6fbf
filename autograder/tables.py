"""Small tables that an instructor hands in: CSV files with a header, and the names of people in them."""

import csv
import io
import re
import unicodedata
from pathlib import Path

from msgspec import Struct

from autograder.errors import UsageError
from autograder.text import listed, printable

MAX_BYTES = 16 << 20
_DELIMITERS = ",;\t"
_HINT = re.compile(f'"?sep=([{_DELIMITERS}])', re.IGNORECASE)  # Excel's own first line

csv.field_size_limit(MAX_BYTES)  # a worksheet of Moodle's may hold what students typed into it


class Row(Struct, frozen=True):
    """One row: the line of the file on which it begins, its cells by column, and cells that no column has."""

    line: int
    cells: dict[str, str]
    extra: list[str] = []


class Sheet(Struct, frozen=True):
    """A CSV file as it is written: the header with its line, and every row that is not empty."""

    line: int
    header: list[str]
    rows: list[Row]

    def problems(self, what: str) -> list[tuple[int, str]]:
        """Lines from which something would be lost, with the fix: `what` is what most likely has commas in it."""
        doubled = sorted({name for name in self.header if self.header.count(name) > 1})
        said = [(self.line, f"column {listed(doubled)} is there more than once; keep one")] if doubled else []
        fix = f"more cells than columns; put {what} with commas into quotes, or give the column a name"
        return said + [(row.line, f"{listed(row.extra)}: {fix}") for row in self.rows if row.extra]


def read_sheet(path: Path, option: str) -> Sheet:
    """A CSV file: UTF-8 or UTF-16, commas, semicolons or tabs. Column names in small letters. Raises UsageError.

    What a spreadsheet adds by itself is passed over: rows and columns without a word in them, and its line `sep=;`.
    """
    text = read_text(path, option)
    found = read_rows(text, f"{option} {path}", strict=True)
    found = [(line, [cell.strip() for cell in cells]) for line, cells in found if any(map(str.strip, cells))]
    if found and _HINT.match(text.lstrip()):
        del found[0]
    if not found:
        raise UsageError(f"{option} {path}: the table is empty")
    (line, names), *rows = found
    columns = [(i, name.casefold()) for i, name in enumerate(names) if name]
    return Sheet(
        line,
        [name for _, name in columns],
        [
            Row(
                number,
                {name: cells[i] if i < len(cells) else "" for i, name in columns},
                [cell for i, cell in enumerate(cells) if cell and not (i < len(names) and names[i])],
            )
            for number, cells in rows
        ],
    )


def read_people(path: Path, option: str) -> Sheet:
    """A sheet that says something about each student. Raises UsageError where something of it would be lost."""
    sheet = read_sheet(path, option)
    problems = sheet.problems("a name")
    if problems:
        raise UsageError("\n".join(f"{option} {path}, line {line}: {problem}" for line, problem in problems))
    return sheet


def read_rows(text: str, where: str, *, strict: bool = False) -> list[tuple[int, list[str]]]:
    """The rows of a CSV file as they are, each with the line on which it begins. Raises UsageError that names `where`.

    Args:
        strict: refuse a quotation mark without its partner, which would swallow the rows up to the next one.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text), strict=strict)
    found: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if cells:
                found.append((line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        odd = "a quotation mark has no partner, or stands within a cell" if strict else str(error)
        raise UsageError(f"{where}, line {line}: {odd} ({error}); save the table as CSV UTF-8 again") from None
    return found


def read_text(path: Path, option: str) -> str:
    """The text of a CSV file, without a byte-order mark. Raises UsageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{option} {path}: {len(data) >> 20} MiB; at most {MAX_BYTES >> 20} MiB are read")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        if "\0" not in text:  # as UTF-16 without its mark looks
            return text
        raise UnicodeError
    except UnicodeError:
        raise UsageError(f"{option} {path}: not UTF-8; save the table as CSV UTF-8") from None


def delimiter_of(text: str) -> str:
    """What stands between the cells: whichever of comma, semicolon and tab the first line with a word has most of."""
    if hint := _HINT.match(text.lstrip()):
        return hint[1]
    first = next((line for line in text.splitlines() if line.strip(f'{_DELIMITERS}" ')), "")
    return max(_DELIMITERS, key=first.count)


def column(sheet: Sheet, names: tuple[str, ...], path: Path, option: str) -> str:
    """The first of `names` that is a column of the table. Raises UsageError."""
    found = next((name for name in names if name in sheet.header), None)
    if found is None:
        has = printable(", ".join(sheet.header), 400)
        raise UsageError(f"{option} {path}: no column {' or '.join(names)}; it has {has}")
    return found


def same_name(text: str) -> str:
    """A person's name or id as a key: however it is spelled in Unicode and in capitals."""
    return unicodedata.normalize("NFC", text).strip().casefold()

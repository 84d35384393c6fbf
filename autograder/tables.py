"""Small tables that an instructor hands in: CSV files with a header, and the names of people in them."""

import csv
import io
import unicodedata
from pathlib import Path

from msgspec import Struct

from autograder.errors import UsageError

MAX_BYTES = 16 << 20


class Row(Struct, frozen=True):
    """One row: the line of the file on which it begins, its cells by column, and cells that no column has."""

    line: int
    cells: dict[str, str]
    extra: list[str] = []


class Sheet(Struct, frozen=True):
    """A CSV file as it is written: the header and every row that is not empty."""

    header: list[str]
    rows: list[Row]


def read_sheet(path: Path, option: str) -> Sheet:
    """A CSV file: UTF-8 or UTF-16, commas, semicolons or tabs. Column names in small letters. Raises UsageError."""
    text = read_text(path, option)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    found: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                found.append((start, [cell.strip() for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{option} {path}, line {start}: {error}; save the table as CSV UTF-8 again") from None
    if not found:
        raise UsageError(f"{option} {path}: the table is empty")
    header = [name.casefold() for name in found[0][1]]
    width = len(header)
    return Sheet(
        header,
        [
            Row(line, dict(zip(header, cells, strict=False)), [cell for cell in cells[width:] if cell])
            for line, cells in found[1:]
        ],
    )


def read_table(path: Path, option: str) -> list[dict[str, str]]:
    """The rows of a CSV file by its column names, in small letters; empty rows left out. Raises UsageError."""
    return [row.cells for row in read_sheet(path, option).rows]


def read_text(path: Path, option: str) -> str:
    """The text of a CSV file, without a byte-order mark. Raises UsageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{option} {path}: {len(data) >> 20} MiB; at most {MAX_BYTES >> 20} MiB are read")
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeError:
        raise UsageError(f"{option} {path}: not UTF-8; save the table as CSV UTF-8") from None


def delimiter_of(text: str) -> str:
    """What stands between the cells: whichever of comma, semicolon and tab the first line has most of."""
    first = text.partition("\n")[0]
    return max(",;\t", key=first.count)


def column(rows: list[dict[str, str]], names: tuple[str, ...], path: Path, option: str) -> str:
    """The first of `names` that is a column of the table. Raises UsageError."""
    header = list(rows[0]) if rows else list(names)
    found = next((name for name in names if name in header), None)
    if found is None:
        raise UsageError(f"{option} {path}: no column {' or '.join(names)}; it has {', '.join(header)}")
    return found


def same_name(text: str) -> str:
    """A person's name or id as a key: however it is spelled in Unicode and in capitals."""
    return unicodedata.normalize("NFC", text).strip().casefold()

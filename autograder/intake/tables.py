"""Small tables that an instructor hands in beside the submissions: CSV files with a header."""

import csv
import io
import unicodedata
from pathlib import Path

from autograder.errors import UsageError

MAX_BYTES = 16 << 20


def read_table(path: Path, option: str) -> list[dict[str, str]]:
    """The rows of a CSV file by its column names, in small letters; empty rows left out. Raises UsageError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise UsageError(f"{option} {path}: {len(data) >> 20} MiB; at most {MAX_BYTES >> 20} MiB are read")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeError:
        raise UsageError(f"{option} {path}: not UTF-8; save the table as CSV UTF-8") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(map(str.strip, row))]
    if not rows:
        raise UsageError(f"{option} {path}: the table is empty")
    header = [name.strip().casefold() for name in rows[0]]
    return [dict(zip(header, (cell.strip() for cell in row), strict=False)) for row in rows[1:]]


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

"""SUBMITTED -> its entries: students' folders and archives, or a platform's files; in a folder or in one archive."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct, field

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake import archives, layouts
from autograder.intake.files import Entry, Listing, Parts, Unreadable, is_left_behind, is_litter, read_regular
from autograder.intake.layouts import METADATA, Item
from autograder.intake.listing import list_archive, list_file, list_folder
from autograder.intake.names import PageNames
from autograder.text import printable

_METADATA_BYTES = 256 << 20
_OUR_FOLDER = "assignments"  # a student's own copy of it is no student


class Items(Struct):
    """The entries of SUBMITTED, Gradescope's metadata if they are among them, and what cannot be an entry."""

    items: list[Item] = field(default_factory=list)
    metadata: bytes | None = None
    passed_over: list[str] = field(default_factory=list)


def read_items(submitted: Path, course: Course, names: PageNames) -> Items:
    """What lies in SUBMITTED. Nothing of a folder's entries is read yet. Raises UsageError."""
    if submitted.is_dir():
        return _of_folder(submitted)
    if submitted.is_file() and archives.is_archive(submitted.name):
        return _of_archive(submitted, course, names)
    raise UsageError(
        f"{submitted} is not a folder, zip or tar: give the folder that holds {layouts.EXPECTED}, "
        "a platform's download, or an archive of either"
    )


def _of_folder(submitted: Path) -> Items:
    found = Items()
    with os.scandir(submitted) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        name, path = entry.name, Path(entry.path)
        if is_litter(name) or is_left_behind(name):
            continue
        if entry.is_symlink():
            found.passed_over.append(f"{printable(name)}: a symbolic link; not followed")
        elif entry.is_dir(follow_symlinks=False):
            found.items.append(Item(name, name, listing=_lister(path), has_git=(path / ".git").exists()))
        elif name == METADATA:
            try:
                found.metadata = read_regular(path, _METADATA_BYTES)
            except Unreadable as error:
                raise UsageError(f"{path}: {error}") from None
        elif archives.is_other_archive(name):
            found.passed_over.append(f"{printable(name)}: {archives.NOT_OPENED}")
        elif archives.is_archive(name):
            found.items.append(Item(archives.stem(name), name, listing=_archive_lister(path), kind="archive"))
        else:
            found.items.append(Item(name, name, listing=_file_lister(path), kind="file"))
    return found


def _lister(path: Path) -> Callable[[Parts], Listing]:
    return lambda below: list_folder(path)


def _archive_lister(path: Path) -> Callable[[Parts], Listing]:
    def listing(below: Parts) -> Listing:
        return list_archive(path, tuple(map(archives.stem, below)))

    return listing


def _file_lister(path: Path) -> Callable[[Parts], Listing]:
    return lambda below: list_file(path, below[0] if below else path.name)


# ---------------------------------------------------------------- a whole class in one archive


def _of_archive(submitted: Path, course: Course, names: PageNames) -> Items:
    try:
        everything = archives.unpack(submitted.resolve(), archives.CLASS)
    except Unreadable as error:
        raise UsageError(f"{submitted}: {error}; unpack it yourself and give the folder") from None
    skip = _common_top(everything, set(course.unit_ids), names)
    parted: dict[tuple[str, bool], Listing] = {}  # by the first part of the path, and whether it is a file

    def of(name: str, is_file: bool = False) -> Listing:
        return parted.setdefault((name, is_file), Listing())

    for parts in everything.folders:
        if len(parts) > skip:
            of(parts[skip]).folders |= {parts[skip + 1 :]} - {()}
    for parts in everything.opened:
        if len(parts) > skip:
            of(parts[skip]).opened.add(parts[skip + 1 :])
    for entry in everything.entries:
        first, *rest = entry.parts[skip:]
        moved = Entry(tuple(rest) or (first,), entry.read, packed=True)
        of(first, not rest).entries.append(moved)
    for parts in everything.shadows:
        if len(parts) > skip + 1:
            of(parts[skip]).shadows.append(parts[skip + 1 :])
    found = Items()
    for remark in everything.remarks:
        path, _, reason = remark.partition(": ")
        below = path.split("/")[skip:]
        if ".." in path.replace("\\", "/").split("/"):  # of whoever it names
            found.passed_over.append(remark)
        elif below and ((below[0], False) in parted or archives.is_archive(below[0])):
            of(archives.stem(below[0])).remarks.append(f"{'/'.join(below[1:]) or below[0]}: {reason}")
        else:
            found.passed_over.append(remark)
    for (name, is_file), listing in sorted(parted.items(), key=lambda item: item[0]):
        if name == METADATA and is_file:
            found.metadata = listing.entries[0].read()
        else:
            found.items.append(Item(name, name, listing=_given(listing), kind="file" if is_file else "folder"))
    return found


def _given(listing: Listing) -> Callable[[Parts], Listing]:
    def moved(below: Parts) -> Listing:
        if not below:
            return listing
        return msgspec.structs.replace(listing, entries=[Entry(below, e.read, packed=True) for e in listing.entries])

    return moved


def _common_top(everything: Listing, units: set[str], names: PageNames) -> int:
    """1 where everything lies below one folder that is no student's, else 0."""
    paths = [entry.parts for entry in everything.entries] + sorted(everything.folders)
    if len({parts[0] for parts in paths}) != 1 or any(len(entry.parts) == 1 for entry in everything.entries):
        return 0

    def marks_a_student(name: str) -> bool:
        return name in units or names.meant(name) is not None

    below = [parts[1:] for parts in paths if len(parts) > 1]
    if any(parts[0] == METADATA or layouts.is_platform_name(parts[0]) for parts in below):
        return 1
    if any(marks_a_student(parts[0]) for parts in below):
        return 0
    return int(any(len(parts) > 1 and parts[0] != _OUR_FOLDER and marks_a_student(parts[1]) for parts in below))

"""The files of a student, as they were handed in: named by their path, bounded, not read before somebody asks.

A folder is walked without following links; archives in it are opened in memory (`archives`). What programs leave behind
(`.git`, `__pycache__`, virtual environments, autosaves) is no student's work and is passed over.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct, field

from autograder.intake.names import may_be_page

MAX_FILE_BYTES = 8 << 20
MAX_NOTEBOOK_BYTES = 256 << 20  # almost all of it pictures
MAX_ENTRIES = 20_000  # that somebody may read
MAX_OTHERS = 2000  # files that nobody reads are only named
MAX_LOOKED_AT = 1_000_000
SUFFIXES = (".tar.gz", ".tar.xz", ".tgz", ".txz", ".tar", ".zip")  # of archives that are opened
MAX_DEPTH = 8  # of folders below a student's
CHECKPOINTS = ".ipynb_checkpoints"
_LEFT_BEHIND = {"__pycache__", "__MACOSX", "node_modules", "site-packages", "lost+found"}
ENVIRONMENT_MARK = "pyvenv.cfg"  # a virtual environment: the pages beside it count, its folders do not
ENVIRONMENT = frozenset({"bin", "include", "Include", "lib", "Lib", "lib64", "Scripts", "share"})
_LITTER = re.compile(r"(?i)thumbs\.db|desktop\.ini|pyvenv\.cfg|\..*|~\$.*|.*\.pyc")

Parts = tuple[str, ...]


class Unreadable(Exception):
    """A file of a submission that cannot be read as what its name says."""


class Entry(Struct, frozen=True):
    """One file of a student. `read` gives its bytes, or raises Unreadable.

    `packed` is true for what came out of an archive, whose bytes the student chose, times and names included.
    """

    parts: Parts
    read: Callable[[], bytes]
    packed: bool = False

    @property
    def name(self) -> str:
        return self.parts[-1]

    @property
    def path(self) -> str:
        """Its path below the student's folder, as it was handed in."""
        return "/".join(self.parts)


class Listing(Struct):
    """What lies in one place. `remarks` name what could not be looked at, with the reason."""

    entries: list[Entry] = field(default_factory=list)
    folders: set[Parts] = field(default_factory=set)  # empty ones included
    opened: set[Parts] = field(default_factory=set)  # of these folders, the archives that stand for them
    remarks: list[str] = field(default_factory=list)
    others: int = 0  # how many of the entries can only be named
    looked_at: int = 0
    shadows: list[Parts] = field(default_factory=list)  # autosaves and hidden files: never read, but perhaps missed


def is_litter(name: str) -> bool:
    """Whether a file of this name was left by a program rather than written by a student."""
    return _LITTER.fullmatch(name) is not None


def is_left_behind(folder: str) -> bool:
    """Whether a folder of this name holds no student's work."""
    return folder in _LEFT_BEHIND or folder.startswith(".")


def read_limit(name: str) -> int:
    """How large a file of this name may be."""
    return MAX_NOTEBOOK_BYTES if ".ipynb" in name.lower() else MAX_FILE_BYTES


def too_large(size: int, limit: int) -> Unreadable:
    """The words for a file that is not read for its size."""
    return Unreadable(f"{size / 2**20:.0f} MiB; at most {limit >> 20} MiB are read")


def walk(folder: Path) -> Listing:
    """Everything below `folder`, in order, links not followed."""
    found = Listing()
    for entry, parts in _walk(folder, (), found):
        found.entries.append(Entry(parts, _reader(Path(entry.path))))
    return found


def _walk(folder: Path, above: Parts, found: Listing) -> Iterator[tuple["os.DirEntry[str]", Parts]]:
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        found.remarks.append(f"{'/'.join(above) or folder.name}: cannot be opened: {error.strerror}")
        return
    skipped = ENVIRONMENT if any(entry.name == ENVIRONMENT_MARK for entry in entries) else frozenset()
    folders: list[str] = []
    for entry in entries:
        found.looked_at += 1
        pages = len(found.entries) - min(found.others, MAX_OTHERS)
        if pages >= MAX_ENTRIES or found.looked_at > MAX_LOOKED_AT:
            if not any("more than" in remark for remark in found.remarks):
                limit = MAX_ENTRIES if pages >= MAX_ENTRIES else MAX_LOOKED_AT
                found.remarks.append(f"more than {limit} files; the rest was not looked at")
            return
        if entry.is_dir(follow_symlinks=False):
            folders.extend({entry.name} - skipped)
        elif entry.is_symlink() and "." not in entry.name:  # of others their reader says so
            found.remarks.append(f"{'/'.join((*above, entry.name))}: a symbolic link; not followed")
        elif is_litter(entry.name):
            found.shadows.append((*above, entry.name))
        elif may_be_page(entry.name) or entry.name.lower().endswith((*SUFFIXES, "timestamp.txt")):
            yield entry, (*above, entry.name)
        else:  # a set of data must not hide the pages behind it
            found.others += 1
            if found.others <= MAX_OTHERS:
                yield entry, (*above, entry.name)
    for name in folders:
        parts = (*above, name)
        found.folders.add(parts)
        if name == CHECKPOINTS:
            found.shadows += [(*parts, file) for file in _autosaves(folder / name)]
        if is_left_behind(name):
            continue
        if len(parts) > MAX_DEPTH:
            found.remarks.append(f"{'/'.join(parts)}: {len(parts)} folders deep; at most {MAX_DEPTH} are looked into")
            continue
        yield from _walk(folder / name, parts, found)


def _autosaves(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))[:100]
    except OSError:  # they are only named, and only where the page is missing
        return []


def _reader(path: Path) -> Callable[[], bytes]:
    return lambda: read_regular(path, read_limit(path.name))


def read_regular(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises Unreadable for links, devices, large files and a file that is gone."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise too_large(size, limit)
            return file.read(min(limit, size + 1))  # Python takes as much memory as it is asked to read
    except FileNotFoundError:
        raise Unreadable("is gone") from None


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises FileNotFoundError, and Unreadable for links and devices."""
    try:
        # SECURITY: O_NOFOLLOW and O_NONBLOCK, so that neither a link to a secret nor a FIFO is ever opened
        # O_BINARY: without it Windows reads up to the first Ctrl-Z, and makes one character of each line end
        flags = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
        descriptor = os.open(path, os.O_RDONLY | flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable("a symbolic link" if path.is_symlink() else error.strerror or "cannot be opened") from None
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode) or info.st_nlink > 1:  # SECURITY: the solution's, or another student's
        os.close(descriptor)
        raise Unreadable("a hard link; hand in a copy" if stat.S_ISREG(info.st_mode) else "not a regular file")
    return os.fdopen(descriptor, "rb")

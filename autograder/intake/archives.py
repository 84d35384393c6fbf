"""Zip and tar -> the files inside that count, in memory. Nothing is extracted to disk, everything is capped."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path

from msgspec import Struct, field

from autograder.intake.pages import MAX_FILE_BYTES, Unreadable, open_regular
from autograder.intake.unpacking import BROKEN, Caps, Member, members
from autograder.text import printable

MAX_PATH_CHARS = 400
MAX_DEPTH = 24
MAX_REMARKS = 1000
_SUFFIXES = (".tar.gz", ".tar.xz", ".tgz", ".txz", ".tar", ".zip")
_OTHERS = (".7z", ".rar", ".tar.bz2", ".tbz", ".tbz2", ".tar.zst", ".tar.lz")

Parts = tuple[str, ...]


STUDENT = Caps(256 << 20, 10_000, 512 << 20, 64 << 20, 64 << 20)
CLASS = Caps(8 << 30, 200_000, 8 << 30, 1 << 30, 1 << 30)


class Contents(Struct):
    """What counts in an archive, by path below the common top folder; a text in place of bytes is a problem.

    `remarks` are the members that were refused, with the reason; their path is empty where it cannot be trusted.
    """

    files: dict[Parts, bytes | str] = field(default_factory=dict)
    folders: set[Parts] = field(default_factory=set)
    remarks: list[tuple[Parts, str]] = field(default_factory=list)


def is_archive(name: str) -> bool:
    """Whether a file of this name is opened."""
    return name.lower().endswith(_SUFFIXES)


def is_other_archive(name: str) -> bool:
    """Whether it is an archive of a kind that is not opened."""
    return name.lower().endswith(_OTHERS) and not is_archive(name)


def stem(name: str) -> str:
    """The name without the archive's suffix."""
    return next((name[: -len(suffix)] for suffix in _SUFFIXES if name.lower().endswith(suffix)), name)


def unpack(path: Path, names: Collection[str], depth: int, units: Collection[str], caps: Caps) -> Contents:
    """Read the files called one of `names` that lie `depth` deep, or one deeper below one common top folder.

    Args:
        depth: 3 for <student>/<unit>/<file>, 2 for <unit>/<file>, 1 for <file>.
        units: tell where a unit's folder lies, and so whether there is a top folder.
    Raises: Unreadable, where nothing in the archive can be used.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > caps.archive_bytes:
                raise Unreadable(f"{size >> 20} MiB; archives of at most {caps.archive_bytes >> 20} MiB are read")
            return _Sorter(names, depth, units, caps).sort(members(file, path.name, caps))
    except FileNotFoundError:
        raise Unreadable("is gone") from None
    except BROKEN as error:
        raise Unreadable(f"damaged, or not the archive that its name says: {printable(str(error), 120)}") from None


class _Sorter:
    """Takes the members one by one and keeps what counts."""

    def __init__(self, names: Collection[str], depth: int, units: Collection[str], caps: Caps) -> None:
        self._names = frozenset(names)
        self._folded = {_fold(name) for name in names}
        self._depth = depth
        self._units = units
        self._caps = caps
        self._firsts: set[str] = set()  # two are enough to know that there is no common top folder
        self._spelled: dict[Parts, Parts] = {}
        self._kept = 0
        self._all = Contents()

    def sort(self, members: Iterator[Member]) -> Contents:
        for count, member in enumerate(members, 1):
            if count > self._caps.members:
                raise Unreadable(f"more than {self._caps.members} members")
            try:
                parts = _parts(member.path)
            except Unreadable as error:
                self._remark((), f"{printable(member.path)}: {error}")
                continue
            if parts and parts[0] != "__MACOSX" and not any(part.startswith(".") for part in parts):
                self._take(parts, member)
        return self._below_top()

    def _take(self, parts: Parts, member: Member) -> None:
        if len(self._firsts) < 2:
            self._firsts.add(parts[0])
        length = len(parts) - (member.kind != "folder")
        self._all.folders.update(parts[:end] for end in range(1, min(length, self._depth) + 1))
        if member.kind == "folder" or len(parts) > self._depth + 1:
            return
        if is_archive(parts[-1]) or is_other_archive(parts[-1]):
            self._remark(parts, f"{printable(parts[-1])}: an archive inside an archive is not opened; unpack it")
        elif len(parts) >= self._depth and _fold(parts[-1]) in self._folded:
            self._keep(parts, member)

    def _keep(self, parts: Parts, member: Member) -> None:
        files = self._all.files
        before = self._spelled.setdefault(tuple(map(_fold, parts)), parts)
        if before in files:
            files[before] = files[parts] = "given more than once in the archive (upper and lower case are the same)"
            return
        files[parts] = ""
        try:
            if member.kind != "file":
                raise Unreadable(member.kind)
            if member.size > MAX_FILE_BYTES:
                raise Unreadable(f"{member.size / 2**20:.0f} MiB; at most {MAX_FILE_BYTES >> 20} MiB are read")
            if parts[-1] in self._names:
                files[parts] = data = member.read()
                self._kept += len(data)
        except Unreadable as error:
            files[parts] = str(error)
        if self._kept > self._caps.kept_bytes:
            raise Unreadable(f"more than {self._caps.kept_bytes >> 20} MiB of pages")

    def _remark(self, parts: Parts, text: str) -> None:
        if len(self._all.remarks) < MAX_REMARKS:
            self._all.remarks.append((parts, text))

    def _below_top(self) -> Contents:
        """Take the common top folder off, if there is one, and leave out what lies too deep."""
        found, depth = self._all, self._depth
        skip = int(len(self._firsts) == 1 and not self._at_hand(depth) and self._at_hand(depth + 1))
        return Contents(
            files={parts[skip:]: data for parts, data in found.files.items() if len(parts) == depth + skip},
            folders={parts[skip:] for parts in found.folders if skip < len(parts) < depth + skip},
            remarks=[(parts[skip:], text) for parts, text in found.remarks],
        )

    def _at_hand(self, depth: int) -> bool:
        """Whether units lie where they do if files are `depth` deep."""
        if self._depth == 1:
            return any(len(parts) == depth for parts in self._all.files)
        return any(len(parts) == depth - 1 and parts[-1] in self._units for parts in self._all.folders)


def _parts(path: str) -> Parts:
    """The components of a member's path. Raises Unreadable for every path that leaves its folder, and for long ones."""
    if len(path) > MAX_PATH_CHARS:
        raise Unreadable(f"a path of {len(path)} characters; at most {MAX_PATH_CHARS} are read")
    path = path.replace("\\", "/")
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        raise Unreadable("an absolute path is not read")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise Unreadable("a path that leaves its folder is not read")
    if len(parts) > MAX_DEPTH:
        raise Unreadable(f"{len(parts)} folders deep; at most {MAX_DEPTH} are read")
    return parts


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()

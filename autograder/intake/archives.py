"""Zip and tar -> the files inside that may count, in memory. Nothing is extracted to disk, everything is capped."""

import io
import os
import re
from pathlib import Path
from typing import BinaryIO

from autograder.intake.cells import only_code
from autograder.intake.files import (
    CHECKPOINTS,
    ENVIRONMENT,
    ENVIRONMENT_MARK,
    MAX_OTHERS,
    SUFFIXES,
    Entry,
    Listing,
    Parts,
    Unreadable,
    is_left_behind,
    is_litter,
    open_regular,
    read_limit,
    too_large,
)
from autograder.intake.names import may_be_page
from autograder.intake.unpacking import BROKEN, Caps, Member, members
from autograder.text import printable

MAX_PATH_CHARS = 400
MAX_DEPTH = 24
MAX_REMARKS = 1000
NOT_OPENED = "this kind of archive is not read; repack it as .zip or .tar.gz"
_OTHERS = re.compile(r"(?is).*\.(7z|rar|zipx|z01|(zip|7z)\.\d+|tbz2?|tar\.[a-z0-9]+|lzh|lha|alz|egg|cab|dmg|iso)")
_PACKED = re.compile(r"(?is)(?P<file>.+)\.(gz|bz2|xz|zst|lzma)")  # one file; nothing to speak of unless it is a page
_MAY_COUNT = ("timestamp.txt", "submission_metadata.yml")

STUDENT = Caps(256 << 20, 100_000, 512 << 20, 64 << 20, 64 << 20)
CLASS = Caps(8 << 30, 1_000_000, 32 << 30, 1 << 30, 1 << 30)


def is_archive(name: str) -> bool:
    """Whether a file of this name is opened."""
    return name.lower().endswith(SUFFIXES)


def is_other_archive(name: str) -> bool:
    """Whether it is an archive of a kind that is not opened."""
    packed = _PACKED.fullmatch(name)
    other = _OTHERS.fullmatch(name) is not None or (packed is not None and may_be_page(packed["file"]))
    return other and not is_archive(name)


def stem(name: str) -> str:
    """The name without the archive's suffix."""
    return next((name[: -len(suffix)] for suffix in SUFFIXES if name.lower().endswith(suffix)), name)


def unpack(path: Path, caps: Caps, inner: Caps | None = STUDENT) -> Listing:
    """What lies in the archive. One archive inside it is opened as a folder of its name would be, within `inner`.

    Raises: Unreadable, where nothing in the archive can be used.
    """
    try:
        with open_regular(path) as file:
            return _unpack(file, path.name, os.fstat(file.fileno()).st_size, caps, inner)
    except FileNotFoundError:
        raise Unreadable("is gone") from None


def unpack_bytes(data: bytes, name: str, caps: Caps) -> Listing:
    """The same for an archive that was read already. What is inside it is not opened."""
    return _unpack(io.BytesIO(data), name, len(data), caps, None)


def _unpack(file: BinaryIO, name: str, size: int, caps: Caps, inner: Caps | None) -> Listing:
    if size > caps.archive_bytes:
        raise Unreadable(f"{size >> 20} MiB; archives of at most {caps.archive_bytes >> 20} MiB are read")
    sorter = _Sorter(caps, inner)
    try:
        for member in members(file, name, caps):
            sorter.take(member)
    except BROKEN as error:
        raise Unreadable(f"damaged, or not the archive that its name says: {printable(str(error), 120)}") from None
    return sorter.listing()


class _Sorter:
    """Takes the members one by one and keeps what may count."""

    def __init__(self, caps: Caps, inner: Caps | None) -> None:
        self._caps = caps
        self._inner = inner
        self._found = Listing()
        self._files: dict[Parts, bytes | str] = {}
        self._environments: set[Parts] = set()
        self._count = self._kept = self._others = 0

    def take(self, member: Member) -> None:
        self._count += 1
        if self._count > self._caps.members:
            raise Unreadable(f"more than {self._caps.members} members")
        try:
            parts = _parts(member.path)
        except Unreadable as error:
            self._remark(f"{printable(member.path)}: {error}")
            return
        length = len(parts) - (member.kind != "folder")
        if CHECKPOINTS in parts[:length] and member.kind == "file":
            self._shadow(parts)
        if not parts or any(map(is_left_behind, parts[:length])):
            return
        if len(self._found.folders) < MAX_OTHERS:
            self._found.folders.update(parts[:end] for end in range(1, length + 1))
        if parts[-1] == ENVIRONMENT_MARK:
            self._environments.add(parts[:-1])
        if member.kind == "folder":
            return
        if is_litter(parts[-1]):
            self._shadow(parts)
            return
        if is_archive(parts[-1]) or is_other_archive(parts[-1]):
            self._nested(parts, member)
        elif may_be_page(parts[-1]) or parts[-1].lower() in _MAY_COUNT:
            self._keep(parts, member)
        elif self._others < MAX_OTHERS:
            self._others += 1
            self._files.setdefault(parts, "")

    def listing(self) -> Listing:
        """What was kept, as entries."""
        for parts, data in self._files.items():
            if not any(
                parts[: len(folder)] == folder and parts[len(folder)] in ENVIRONMENT for folder in self._environments
            ):
                self._found.entries.append(Entry(parts, _Given(data), packed=True))
        self._found.entries.sort(key=lambda entry: entry.parts)
        return self._found

    def _keep(self, parts: Parts, member: Member) -> None:
        data: bytes | str
        try:
            data = self._data(parts[-1], member)
        except Unreadable as error:
            data = str(error)
        if parts in self._files and self._files[parts] != data:
            data = "given more than once in the archive, and not the same"
        self._files[parts] = data
        self._kept += len(data)
        if self._kept > self._caps.kept_bytes:
            raise Unreadable(f"more than {self._caps.kept_bytes >> 20} MiB of pages")

    def _data(self, name: str, member: Member) -> bytes:
        if member.kind != "file":
            raise Unreadable(member.kind)
        if member.size > read_limit(name):
            raise too_large(member.size, read_limit(name))
        return only_code(member.read(), name)  # a class of notebooks without their pictures fits into memory

    def _nested(self, parts: Parts, member: Member) -> None:
        try:
            if is_other_archive(parts[-1]):
                raise Unreadable(NOT_OPENED)
            if self._inner is None:
                raise Unreadable("an archive inside an archive is not opened; unpack it")
            if member.kind != "file":
                raise Unreadable(member.kind)
            if member.size > self._inner.archive_bytes:
                raise too_large(member.size, self._inner.archive_bytes)
            inside = unpack_bytes(member.read(), parts[-1], self._inner)
        except Unreadable as error:
            self._remark(f"{'/'.join(map(printable, parts))}: {error}")
            return
        below = (*parts[:-1], stem(parts[-1]))
        self._found.folders.add(below)
        self._found.opened.add(below)
        self._found.remarks += [f"{printable(parts[-1])}: {remark}" for remark in inside.remarks]
        for shadow in inside.shadows:
            self._shadow((*below, *shadow))
        for entry in inside.entries:
            try:
                data: bytes | str = entry.read()
            except Unreadable as error:
                data = str(error)
            self._files[(*below, *entry.parts)] = data
            self._kept += len(data)

    def _shadow(self, parts: Parts) -> None:
        if len(self._found.shadows) < MAX_OTHERS:
            self._found.shadows.append(parts)

    def _remark(self, text: str) -> None:
        if len(self._found.remarks) < MAX_REMARKS:
            self._found.remarks.append(text)


class _Given:
    """Gives bytes that are at hand, or raises what is wrong with them."""

    def __init__(self, data: bytes | str) -> None:
        self._data = data

    def __call__(self) -> bytes:
        if isinstance(self._data, str):
            raise Unreadable(self._data or "not read")
        return self._data


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

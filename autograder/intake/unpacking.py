"""The members of a zip or tar, one by one, read within bounds that hold before anybody has looked at them.

Tar headers are read here: the library's reader follows what a header announces (names of gigabytes, sparse maps
without end) before its caller can look. Zips go through the library, which reads the directory in one piece; that
piece is bounded first.
"""

import functools
import gzip
import io
import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from msgspec import Struct

from autograder.intake.files import Unreadable
from autograder.text import printable

MAX_RATIO = 200
_HEADER_BYTES = 64 << 10  # of a name or an extended header in a tar
_XZ_BYTES = 160 << 20  # what the decoder may take; `xz -9` needs 65 MiB
_BLOCK = 64 << 10
_RECORD = re.compile(rb"([0-9]{1,6}) ([^=]{1,200})=")
# what the libraries raise for bytes that are not what they should be
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, OverflowError, RuntimeError, IndexError),
)


class Caps(Struct, frozen=True):
    """What one archive may cost. The ratio counts once `free_bytes` are unpacked."""

    archive_bytes: int
    members: int
    unpacked_bytes: int
    kept_bytes: int
    free_bytes: int


class Member(Struct):
    """`kind` is file, folder, or in words what else it is. `read` holds until the next member is asked for."""

    path: str
    kind: str
    size: int
    read: Callable[[], bytes]


def members(file: BinaryIO, name: str, caps: Caps) -> Iterator[Member]:
    """What is in the archive, whatever kind its first bytes say it is. Raises Unreadable or one of BROKEN."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return _tar_members(_Stream(gzip.GzipFile(fileobj=file), file, caps))
    if magic == b"\xfd7zXZ\0":
        return _tar_members(_Stream(_Xz(file), file, caps))
    if magic.startswith((b"PK\3\4", b"PK\5\6")) or name.lower().endswith(".zip"):
        return _zip_members(file, caps)
    return _tar_members(_Stream(file, file, caps))


# ---------------------------------------------------------------- zip


_SAYS_UTF8 = 0x800


class _Bounded(io.RawIOBase):
    """A zip file whose directory can be read only if it is of a sane size."""

    def __init__(self, file: BinaryIO, members: int) -> None:
        self._file = file
        self._members = members
        self._size = file.seek(0, io.SEEK_END)
        self.in_directory = True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())  # Python takes as much memory as it is asked to read
        if not self.in_directory:
            return self._file.read(min(size, left) if size >= 0 else left)
        # SECURITY: the library makes an object of 500 bytes of each entry before anybody can count them
        limit = max(1 << 20, 256 * self._members)
        if size > limit:
            raise Unreadable("its directory announces an absurd number of members")
        data = self._file.read(min(limit if size < 0 else size, left))
        if data.count(b"PK\1\2") > self._members:
            raise Unreadable(f"more than {self._members} members")
        return data


def _zip_members(file: BinaryIO, caps: Caps) -> Iterator[Member]:
    bounded = _Bounded(file, caps.members)
    with zipfile.ZipFile(bounded) as archive:
        bounded.in_directory = False
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = "folder" if info.is_dir() else "file"
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = "a link in the archive" if stat.S_ISLNK(mode) else "a special file in the archive"
            yield Member(_zip_name(info), kind, info.file_size, functools.partial(_read_zip, archive, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name as it was written: Finder and some platforms write UTF-8 and do not say so, and Python reads cp437."""
    if info.flag_bits & _SAYS_UTF8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _read_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & 1:
        raise Unreadable("encrypted; an archive without a password is needed")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable(f"compressed in an unusual way (method {info.compress_type}); make the zip with deflate")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1024):
        raise Unreadable(f"a decompression bomb: {info.compress_size} bytes that become {info.file_size}")
    try:
        with archive.open(info) as member:
            return member.read(info.file_size)  # never more, whatever it holds; the caller has looked at the number
    except BROKEN as error:
        raise Unreadable(f"damaged in the archive: {printable(str(error), 120)}") from None


# ---------------------------------------------------------------- tar


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Stream:
    """Unpacked bytes in order, counted."""

    def __init__(self, source: _Source, packed: BinaryIO, caps: Caps) -> None:
        self._source = source
        self._packed = packed
        self.caps = caps
        self._count = 0

    def some(self, size: int) -> bytes:
        data = self._source.read(min(size, _BLOCK))
        self._count += len(data)
        if self._count > self.caps.unpacked_bytes:
            raise Unreadable(f"unpacks to more than {self.caps.unpacked_bytes >> 20} MiB")
        if self._count > self.caps.free_bytes and self._count > MAX_RATIO * self._packed.tell():
            raise Unreadable(f"a decompression bomb: it unpacks to more than {MAX_RATIO} times its size")
        return data

    def read(self, size: int, end_is_fine: bool = False) -> bytes:
        pieces: list[bytes] = []
        left = size
        while left and (data := self.some(left)):
            pieces.append(data)
            left -= len(data)
        if left and not (end_is_fine and not pieces):
            raise EOFError("it ends too early")
        return b"".join(pieces)

    def skip(self, size: int) -> None:
        while size:
            data = self.some(size)
            if not data:
                raise EOFError("it ends too early")
            size -= len(data)


class _Xz:
    """An .xz file as a stream. Unlike the library's file object it has a limit on the decoder's memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_BYTES)

    def read(self, size: int, /) -> bytes:
        while True:
            rest = b""
            if self._decoder.eof:  # one stream may follow another, after padding
                rest = self._decoder.unused_data.lstrip(b"\0")
                while not rest and (block := self._file.read(_BLOCK)):
                    rest = block.lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_BYTES)
            elif self._decoder.needs_input and not (rest := self._file.read(_BLOCK)):
                raise EOFError("it ends too early")
            if data := self._decoder.decompress(rest, max_length=size):
                return data


def _tar_members(stream: _Stream) -> Iterator[Member]:
    """The members in order; each must be read before the next is asked for."""
    extended: dict[str, str] = {}
    headers = 0
    while block := stream.read(512, end_is_fine=True):
        if block == bytes(512):
            return
        checksum = sum(block[:148]) + 256 + sum(block[156:])
        if _number(block[148:156]) != checksum:
            raise Unreadable("not a zip or tar archive" if headers == 0 else "damaged: a header that does not add up")
        headers += 1
        if headers > 4 * stream.caps.members:
            raise Unreadable("more headers than members")
        size, kind = _number(block[124:136]), block[156:157]
        if kind in b"LKxg":
            data = _header(stream, size)
            if kind == b"L":
                extended["path"] = data.rstrip(b"\0").decode("utf-8", "replace")
            elif kind == b"x":
                extended |= _records(data)
            continue
        path = extended.get("path") or _name(block)
        size = int(extended["size"]) if re.fullmatch("[0-9]{1,19}", extended.get("size", "")) else size
        what = _kind(kind, path, extended)
        extended = {}
        if kind in b"123456":
            size = 0  # these have no data, whatever their header says
        if kind == b"S" and block[482]:
            while stream.read(512)[504]:  # the rest of a sparse file's map
                pass
        left = [size]

        def read(left: list[int] = left) -> bytes:
            wanted, left[0] = left[0], 0
            return stream.read(wanted)

        yield Member(path, what, size, read)
        stream.skip(left[0])
        stream.skip(-size % 512)


def _header(stream: _Stream, size: int) -> bytes:
    if size > _HEADER_BYTES:
        raise Unreadable(f"a header of {size} bytes")
    data = stream.read(size)
    stream.skip(-size % 512)
    return data


def _name(block: bytes) -> str:
    name = block[:100].split(b"\0")[0]
    prefix = block[345:500].split(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "replace")


def _kind(kind: bytes, path: str, extended: dict[str, str]) -> str:
    if kind in b"12":
        return "a link in the archive"
    if kind == b"5" or path.endswith("/"):
        return "folder"
    plain = kind in (b"0", b"\0", b"7")
    return (
        "file"
        if plain and not any(key.startswith("GNU.sparse") for key in extended)
        else "a special file in the archive"
    )


def _number(text: bytes) -> int:
    """Octal digits, or binary where the first bit is set."""
    if text[0] == 0x80:
        return int.from_bytes(text[1:], "big")
    digits = text.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", digits):
        raise ValueError("a header that is not of a tar archive")
    return int(digits or b"0", 8)


def _records(data: bytes) -> dict[str, str]:
    """The `length key=value` lines of an extended header."""
    records: dict[str, str] = {}
    at = 0
    while (match := _RECORD.match(data, at)) and (end := at + int(match[1])) > match.end():
        records[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1].decode("utf-8", "replace")
        at = end
    return records

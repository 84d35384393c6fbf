"""Bombs and arbitrary bytes: the intake answers with its own error, in little memory."""

import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograder.course import Course
from autograder.intake.archives import STUDENT, unpack
from autograder.intake.files import Unreadable
from autograder.intake.finding import Asked, read_class
from autograder.intake.unpacking import Caps

UNIT, PAGE = "unit0_tiny", "tiny_page.py"
ZEROS = bytes(1 << 20)
SMALL = Caps(16 << 20, 1000, 64 << 20, 1 << 20, 4 << 20)  # the rules are the same, the bombs are faster to make


@contextmanager
def bounded(mebibytes: int) -> Iterator[None]:
    """Fails if Python's allocations ever exceed the bound."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes << 20
    finally:
        tracemalloc.stop()


def make_zip(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{UNIT}/{PAGE}", data)
    return file.getvalue()


def tar_header(name: str, size: int, kind: bytes = b"0") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def sparse_without_end() -> bytes:
    header = bytearray(tar_header("x", 0, b"S"))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"\1" * (6 << 20)


def zip_directory(count: int, announced: int = 0) -> bytes:
    """A zip of `count` directory entries whose end says `announced` bytes of directory."""
    one = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *(20, 3, 20, 0), *(0,) * 4, *(0,) * 3, 1, *(0,) * 4, 0, 0) + b"a"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, announced or count * len(one), 0, 0)
    return one * count + end


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "members.zip": (lambda: zip_directory(20_000), "more than 1000 members"),
    "directory.zip": (lambda: ZEROS * 2 + zip_directory(0, 2 << 20), "absurd number of members"),
    "zeros.tar.gz": (lambda: gzip.compress(tar_header("zeros", 1 << 30) + ZEROS * 6), "decompression bomb"),
    "zeros.tar.xz": (lambda: lzma.compress(tar_header("zeros", 1 << 30) + ZEROS * 6), "decompression bomb"),
    "name.tar.gz": (lambda: gzip.compress(tar_header("x", 200 << 20, b"L") + ZEROS * 3), "a header of 209715200"),
    "records.tar.gz": (lambda: gzip.compress(tar_header("x", 200 << 20, b"x") + ZEROS * 3), "a header of 209715200"),
    "headers.tar.gz": (lambda: gzip.compress(tar_header("x", 0, b"x") * 5_000), "more headers than members"),
    "members.tar.xz": (lambda: lzma.compress(tar_header("x", 0) * 2_000), "more than 1000 members"),
    "sparse.tar.gz": (lambda: gzip.compress(sparse_without_end()), "decompression bomb"),
    "dictionary.tar.xz": (
        lambda: lzma.compress(b"x", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 512 << 20, "mf": lzma.MF_HC3}]),
        "Memory usage limit",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path: Path, name: str) -> None:
    """What announces or unpacks to an absurd size is refused by the rule for it, before it takes memory."""
    make, words = BOMBS[name]
    path = tmp_path / name
    path.write_bytes(make())
    with bounded(14 if "xz" in name else 4), pytest.raises(Unreadable, match=words):
        unpack(path, SMALL)


@pytest.mark.parametrize(("mebibytes", "words"), [(7, "a decompression bomb: "), (9, "9 MiB; at most 8 MiB are read")])
def test_a_page_that_unpacks_without_end(tmp_path: Path, mebibytes: int, words: str) -> None:
    """A page of a zip is refused for its ratio or for its size, without being unpacked."""
    (tmp_path / "ada.zip").write_bytes(make_zip(ZEROS * mebibytes))
    with bounded(4):
        (page,) = unpack(tmp_path / "ada.zip", STUDENT).entries
    with pytest.raises(Unreadable, match=words):
        page.read()


def make_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (
            (f"{UNIT}/{PAGE}", b"x = 1\n"),
            (f"{UNIT}/\u00fc.txt", b""),
            (f"{UNIT}/timestamp.txt", b"2026"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()[:5120]


SOUND = {
    "ada.zip": make_zip(b"x = 1\n"),
    "ada.tar": make_tar(),
    "ada.tar.gz": gzip.compress(make_tar()),
    "ada.tar.xz": lzma.compress(make_tar()),
    f"ada/{UNIT}/tiny_page.ipynb": b'{"cells": [{"cell_type": "code", "source": ["x = 1"]}], "metadata": {}}',
    f"ada/{UNIT}/tiny_page.py": b"x = 1\n",
}
FUZZ = settings(
    max_examples=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
EDITS = st.lists(st.tuples(st.integers(0, 5000), st.binary(max_size=4)), max_size=6)


@pytest.fixture(scope="module")
def tiny(tiny_course: Callable[[Path], Course], tmp_path_factory: pytest.TempPathFactory) -> Course:
    return tiny_course(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", SOUND)
@FUZZ
@given(noise=st.binary(max_size=300), edits=EDITS, cut=st.integers(0, 5000))
def test_any_bytes(
    tiny: Course, tmp_path: Path, name: str, noise: bytes, edits: list[tuple[int, bytes]], cut: int
) -> None:
    """Whatever lies there, noise or a damaged archive or page, the reading ends in problems and never in an error."""
    damaged = bytearray(SOUND[name])
    for at, data in edits:
        at %= len(damaged)
        damaged[at : at + len(data)] = data
    path = tmp_path / "submitted" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for data in (noise, bytes(damaged), bytes(damaged[: cut % len(damaged)]), SOUND[name] + noise):
        path.write_bytes(data)
        with bounded(24):
            read = read_class(tmp_path / "submitted", tiny, Asked(unit=UNIT))
            assert [s.student for s in read.submissions] == ["ada"]
            assert all(problem.isprintable() for problem in read.submissions[0].problems)
            if "." in Path(name).parts[0]:
                try:
                    unpack(path, Caps(1 << 20, 10, 1 << 20, 1000, 1000))
                except Unreadable:
                    pass

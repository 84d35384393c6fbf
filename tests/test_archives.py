"""Archives are read like folders, in memory: what is hostile in them is a named problem and costs nothing else."""

import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake.finding import find_submissions
from autograder.intake.pages import PageSource, Stubs, Submission, read_submission
from autograder.intake.unpacking import Caps

UNIT, PAGE = "unit0_tiny", "tiny_page.py"
KINDS = ["zip", "tar", "tar.gz", "tar.xz"]
CODE = b"x = 1\n"
READ = [PageSource("tiny_page", ["x = 1\n"])]
Member = tuple[Any, bytes]


def pack(kind: str, *members: Member) -> bytes:
    """An archive of (name, or the library's own info object; data)."""
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in members:
                packed.writestr(name, data)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(data)
            tar.addfile(info, io.BytesIO(data))
    return {"tar": bytes, "tar.gz": gzip.compress, "tar.xz": lzma.compress}[kind](file.getvalue())


def entry(kind: str, name: str, what: str) -> Member:
    """A member that is a link or a device; in a zip the file mode says so."""
    if kind == "zip":
        info = zipfile.ZipInfo(name)
        info.external_attr = {"link": 0o120777, "device": 0o020666}[what] << 16
        return info, b"/etc/passwd"
    tar = tarfile.TarInfo(name)
    tar.type, tar.linkname = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE}[what], "/etc/passwd"
    return tar, b""


class Class:
    """A folder of submissions that is filled with archives and read."""

    def __init__(self, course: Course, folder: Path) -> None:
        self.course = course
        self.folder = folder / "submitted"
        self.folder.mkdir()
        self.stubs = Stubs(course)

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def read(self, submitted: Path | None = None, **only: str) -> tuple[dict[str, Submission], list[str]]:
        found, passed_over = find_submissions(submitted or self.folder, self.course, **only)
        assert len({(name, unit) for name, unit, _ in found}) == len(found)
        units = self.course.unit
        return {name: read_submission(files, name, units(unit), self.stubs) for name, unit, files in found}, passed_over

    def one(self, name: str, data: bytes) -> Submission:
        self.write(name, data)
        read, passed_over = self.read()
        assert set(read) == {"ada"} and passed_over == []
        return read["ada"]


@pytest.fixture
def handed(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Class:
    return Class(tiny_course(tmp_path), tmp_path)


# ---------------------------------------------------------------- where archives may stand


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", ["", "./", "class of 2026/"])
def test_a_class_in_one_archive(handed: Class, kind: str, top: str) -> None:
    """The archive is read like the folder: same submissions, same digests; what else is in it does not matter."""
    files = [("ada", PAGE, CODE), ("ada", "timestamp.txt", b"2026-11-30 10:00:00 UTC"), ("bob", PAGE, b"y = 2\n")]
    for name, file, data in files:
        handed.write(f"{name}/{UNIT}/{file}", data)
    members = [(f"{top}{name}/{UNIT}/{file}", data) for name, file, data in files]
    junk = [(f"{top}ada/{UNIT}/data.bin", b"\0" * 5000), ("__MACOSX/x", b""), (f"{top}ada/deeper/{UNIT}/{PAGE}", b"no")]
    packed = handed.folder.with_name(f"class.{kind}")
    packed.write_bytes(pack(kind, *members, *junk))
    in_folder, _ = handed.read()
    in_archive, passed_over = handed.read(packed)
    assert in_archive == in_folder and set(in_folder) == {"ada", "bob"}
    assert passed_over == ["ada/deeper: no such unit in course.toml"]
    assert set(handed.read(packed, student="bob", unit=UNIT)[0]) == {"bob"}


@pytest.mark.parametrize("kind", KINDS)
def test_archives_inside_the_folder(handed: Class, kind: str) -> None:
    """<student>.zip and <student>/<unit>.zip stand for folders, with or without a common folder inside."""
    handed.write(f"ada.{kind}", pack(kind, (f"{UNIT}/{PAGE}", CODE)))
    handed.write(f"bob.{kind}", pack(kind, (f"bob's work/{UNIT}/{PAGE}", CODE)))
    handed.write(f"carol/{UNIT}.{kind}", pack(kind, (PAGE, CODE)))
    handed.write(f"dave.x@uni/{UNIT}.{kind}", pack(kind, (f"{UNIT}/{PAGE}", CODE)))
    read, passed_over = handed.read()
    assert set(read) == {"ada", "bob", "carol", "dave.x@uni"} and passed_over == []
    assert all((s.pages, s.problems) == (READ, []) for s in read.values())
    assert len({s.digest for s in read.values()}) == 1


def test_a_folder_counts_before_an_archive(handed: Class) -> None:
    """Where both are there the folder is read and the student is told; of two archives neither is read."""
    data = pack("zip", (f"{UNIT}/{PAGE}", b"other = 1"))
    for name in ("ada.zip", f"bob/{UNIT}.zip", "carol.zip", "carol.tar.gz"):
        handed.write(name, data)
    for name in ("ada", "bob"):
        handed.write(f"{name}/{UNIT}/{PAGE}", CODE)
    read, _ = handed.read()
    assert read["ada"].pages == read["bob"].pages == READ and read["carol"].pages == []
    assert read["ada"].problems == ["ada.zip: not read, the folder ada/ counts"]
    assert read["bob"].problems == [f"{UNIT}.zip: not read, the folder {UNIT}/ counts"]
    assert read["carol"].problems == [
        "carol.tar.gz and carol.zip: more than one archive of this student, none was read"
    ]


def test_names_are_checked_as_for_folders(handed: Class) -> None:
    """An archive under a strange name, of a strange kind or of no unit is passed over; others are read."""
    handed.write(f"ada/{UNIT}/{PAGE}", CODE)
    for name in ("a b.zip", "bob.rar", "ada/unit9.zip", ".hidden.zip"):
        handed.write(name, b"")
    read, passed_over = handed.read()
    assert set(read) == {"ada"} and read["ada"].problems == []
    assert [line.split(":")[0] for line in passed_over] == ["bob.rar", "a b", "ada/unit9"]


# ---------------------------------------------------------------- hostile and broken archives


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        (f"../bob/{UNIT}/{PAGE}", "leaves its folder"),
        (f"{UNIT}/../../bob/{PAGE}", "leaves its folder"),
        (f"..\\bob\\{PAGE}", "leaves its folder"),
        (f"/{UNIT}/{PAGE}", "absolute path"),
        (f"C:\\{UNIT}\\{PAGE}", "absolute path"),
        (f"{UNIT}/" + "a" * 450, "454|461"),
        ("d/" * 30 + PAGE, "31 folders deep"),
        (f"{UNIT}/nested.tar.gz", "an archive inside an archive"),
    ],
)
def test_refused_members(handed: Class, kind: str, path: str, words: str) -> None:
    """A path that leaves, a long or deep one and an archive in the archive are named; the honest page counts."""
    read = handed.one(f"ada.{kind}", pack(kind, (f"{UNIT}/{PAGE}", CODE), (path, b"evil = 1")))
    (problem,) = read.problems
    assert read.pages == READ and any(word in problem for word in words.split("|")) and problem.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_refused_members_of_a_class(handed: Class, kind: str) -> None:
    """In a class archive a problem belongs to the student below whose folder it lies, else it is passed over."""
    packed = handed.folder.with_name(f"class.{kind}")
    evil = [(f"ada/../bob/{UNIT}/{PAGE}", b"evil = 1"), ("mal.zip", b""), (f"eve/{UNIT}.zip", b"")]
    packed.write_bytes(pack(kind, (f"ada/{UNIT}/{PAGE}", CODE), (f"bob/{UNIT}/{PAGE}", CODE), *evil))
    read, passed_over = handed.read(packed)
    assert all((read[name].pages, read[name].problems) == (READ, []) for name in ("ada", "bob"))
    assert read["mal"].problems == ["mal.zip: an archive inside an archive is not opened; unpack it"]
    assert read["eve"].problems == [f"{UNIT}.zip: an archive inside an archive is not opened; unpack it"]
    assert len(passed_over) == 1 and "leaves its folder" in passed_over[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["link", "device"])
def test_links_and_devices(handed: Class, kind: str, what: str) -> None:
    """A page that is a link or a device is a problem, and nothing is read through it."""
    read = handed.one(f"ada.{kind}", pack(kind, entry(kind, f"{UNIT}/{PAGE}", what)))
    word = "a link" if what == "link" else "a special file"
    assert (read.pages, read.problems) == ([], [f"{PAGE}: {word} in the archive"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "second", [f"{UNIT}/{PAGE}", f"{UNIT}/Tiny_Page.PY", f"{UNIT.upper()}/{PAGE}", f"./{UNIT}//{PAGE}"]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates(handed: Class, kind: str, second: str) -> None:
    """Two members that are one file where case does not count: neither is read."""
    for number, members in enumerate([(f"{UNIT}/{PAGE}", second), (second, f"{UNIT}/{PAGE}")]):
        handed.write(f"s{number}.{kind}", pack(kind, *((name, CODE) for name in members)))
    read, _ = handed.read()
    assert [s.pages for s in read.values()] == [[], []]
    assert all("given more than once" in s.problems[-1] for s in read.values())


def test_encrypted_and_unusual_zips(handed: Class) -> None:
    """An encrypted member and one that is not packed with deflate are named; the rest of the archive is read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(f"{UNIT}/{PAGE}", CODE, zipfile.ZIP_LZMA)
    assert handed.one("ada.zip", file.getvalue()).problems[0].startswith(f"{PAGE}: compressed in an unusual way")
    data = bytearray(pack("zip", (f"{UNIT}/{PAGE}", CODE)))
    data[data.index(b"PK\1\2") + 8] |= 1
    assert handed.one("ada.zip", bytes(data)).problems == [
        f"{PAGE}: encrypted; an archive without a password is needed"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_corrupt(handed: Class, kind: str) -> None:
    """Cut, empty or wrong bytes are a problem of that student; a whole class that cannot be read is an error."""
    noise = bytes(range(256)) * 8  # does not compress away, so that the cut hits it
    data = pack(kind, (f"{UNIT}/noise", noise), (f"{UNIT}/{PAGE}", CODE))
    whole = handed.folder.with_name(f"class.{kind}")
    for broken in (data[: len(data) // 3], b"", b"\x1f\x8b\x08", b"PK\3\4", b"not an archive" * 100, b"\xfd7zXZ\0\0"):
        read = handed.one(f"ada.{kind}", broken)
        assert read.pages == [] and len(read.problems) == 1 and read.problems[0].startswith(f"ada.{kind}: ")
        whole.write_bytes(broken)
        with pytest.raises(UsageError, match=r"unpack it yourself|nothing to grade"):
            handed.read(whole)


def test_problem_without_a_unit(handed: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it could be any of several units a broken archive is passed over and not counted as nothing."""
    monkeypatch.setattr(Course, "unit_ids", property(lambda self: [UNIT, "unit1_other"]))
    handed.write(f"bob/{UNIT}/{PAGE}", CODE)
    handed.write("ada.zip", b"broken")
    read, passed_over = handed.read()
    assert set(read) == {"bob"} and len(passed_over) == 1 and passed_over[0].startswith("ada: ada.zip: damaged")


@pytest.mark.parametrize("kind", KINDS)
def test_limits_on_size(handed: Class, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of one archive together have a limit, and so have the archive itself and the count of its members."""
    data = pack(kind, (PAGE, b"#" * 600), (PAGE.replace(".py", ".ipynb"), b"#" * 600))
    for caps, words in [
        (Caps(1 << 20, 100, 1 << 20, 1000, 1 << 20), "MiB of pages"),
        (Caps(10, 100, 1 << 20, 1 << 20, 1 << 20), "archives of at most"),
        (Caps(1 << 20, 1, 1 << 20, 1 << 20, 1 << 20), "more than 1 members"),
    ]:
        monkeypatch.setattr("autograder.intake.finding.STUDENT", caps)
        read = handed.one(f"ada/{UNIT}.{kind}", data)
        assert read.pages == [] and words in read.problems[0]

"""Archives are read like folders, in memory: what is hostile in them is a named problem and costs nothing else."""

import gzip
import io
import json
import lzma
import random
import shutil
import tarfile
import zipfile
from typing import Any

import pytest

from autograder.course import load_course
from autograder.errors import UsageError
from autograder.intake.submission import PageSource, Submission
from autograder.intake.unpacking import Caps
from tests.handed_in.conftest import UNIT, Handed

PAGE = "tiny_page.py"
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


def one(handed: Handed, name: str, data: bytes) -> Submission:
    """Ada's submission, of which this archive is all."""
    shutil.rmtree(handed.submitted / "ada", ignore_errors=True)
    return handed.put(name, data).ada()


# ---------------------------------------------------------------- where archives may stand


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", ["", "./", "class of 2026/"])
def test_a_class_in_one_archive(handed: Handed, kind: str, top: str) -> None:
    """The archive is read like the folder: same submissions, same digests; what else is in it is named."""
    files = [("ada", PAGE, CODE), ("bob", PAGE, b"y = 2\n")]
    for name, file, data in files:
        handed.put(f"{name}/{UNIT}/{file}", data)
    members = [(f"{top}{name}/{UNIT}/{file}", data) for name, file, data in files]
    packed = handed.submitted.with_name(f"class.{kind}")
    packed.write_bytes(pack(kind, *members, ("__MACOSX/x", b"")))
    assert handed.by_student(packed) == handed.by_student() and set(handed.by_student()) == {"ada", "bob"}
    junk = [(f"{top}ada/{UNIT}/data.bin", b"\0" * 5000), (f"{top}ada/deeper/{UNIT}/{PAGE}", b"no")]
    packed.write_bytes(pack(kind, *members, *junk))
    ada = handed.by_student(packed)["ada"]
    assert ada.pages == READ and ada.problems == [
        f"deeper/{UNIT}/{PAGE}: not read, {PAGE} counts",
        f"not read: {UNIT}/data.bin (only pages count, and modules that they import)",
    ]
    assert set(handed.by_student(packed, student="bob", unit=UNIT)) == {"bob"}


@pytest.mark.parametrize("kind", KINDS)
def test_archives_inside_the_folder(handed: Handed, kind: str) -> None:
    """<student>.zip and <student>/<unit>.zip stand for folders, whatever folders are in it and what their names are."""
    shutil.rmtree(handed.submitted / "ada")
    handed.put(f"ada.{kind}", pack(kind, (f"{UNIT}/{PAGE}", CODE)))
    handed.put(f"bob.{kind}", pack(kind, (f"bob's work/{UNIT}/{PAGE}", CODE)))
    handed.put(f"carol/{UNIT}.{kind}", pack(kind, (PAGE, CODE)))
    handed.put(f"dave.x@uni/{UNIT}.{kind}", pack(kind, (f"{UNIT}/{PAGE}", CODE)))
    handed.put(f"eve.{kind}", pack(kind, (PAGE, CODE)))
    handed.put(f"fay/{UNIT}/my work (final).{kind}", pack(kind, (PAGE, CODE)))
    handed.put(f"gus/hand-in.{kind}", pack(kind, (f"a/b/{PAGE}", CODE)))
    handed.put(f"hal.{kind}", pack("zip", (f"inner.{kind}", pack(kind, (PAGE, CODE)))) if kind == "zip" else CODE)
    found = handed.read()
    read = {submission.student: submission for submission in found.submissions}
    assert set(read) >= {"ada", "bob", "carol", "dave.x@uni", "eve", "fay", "gus"} and found.passed_over == []
    del read["hal"]
    assert all((s.pages, s.problems) == (READ, []) for s in read.values())
    assert len({s.digest for s in read.values()}) == 1


class _Unsaid(zipfile.ZipInfo):
    """A name in UTF-8 (or in another encoding) whose entry does not say so, as Finder writes it."""

    encoding = "utf-8"

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:
        return self.filename.encode(self.encoding), self.flag_bits & ~0x800


def test_names_in_a_zip_that_does_not_say_how_they_are_written(handed: Handed) -> None:
    """UTF-8 is read as that; what is no UTF-8 stays what the format says, and its page is read all the same."""
    for_name = handed.submitted.parent / "class.zip"
    old = _Unsaid(f"J\xfcrgen/{UNIT}/{PAGE}")
    old.encoding = "cp437"
    names = [_Unsaid(f"Jose\u0301/{UNIT}/{PAGE}"), _Unsaid(f"\u738b\u82b3/{UNIT}/{PAGE}"), old, f"Zo\xeb/{UNIT}/{PAGE}"]
    for_name.write_bytes(pack("zip", *((name, CODE) for name in names)))
    read = handed.by_student(for_name)
    assert set(read) == {"Jos\xe9", "\u738b\u82b3", "J\xfcrgen", "Zo\xeb"}
    assert all(submission.pages == READ for submission in read.values())


def test_an_archive_inside_an_archive(handed: Handed) -> None:
    """One level is opened, as platforms pack what students packed; a second one is named."""
    inner = pack("tar.gz", (PAGE, CODE))
    assert one(handed, "ada.zip", pack("zip", ("work.tar.gz", inner))).pages == READ
    read = one(handed, "ada.zip", pack("zip", ("more.zip", pack("zip", ("work.tar.gz", inner)))))
    assert read.pages == [] and "work.tar.gz: an archive inside an archive is not opened; unpack it" in read.problems[0]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_large_notebook_in_an_archive(handed: Handed, kind: str) -> None:
    """Pictures do not count: 40 MB of what does not compress are no reason to refuse a notebook."""
    picture = random.Random(0).randbytes(20 << 20).hex()
    cell = {"cell_type": "code", "source": "x = 1", "outputs": [{"data": {"image/png": picture}}]}
    data = json.dumps({"cells": [cell], "nbformat": 4}).encode()
    read = one(handed, f"ada.{kind}", pack(kind, ("tiny_page.ipynb", data)))
    assert (read.pages, read.problems) == ([PageSource("tiny_page", ["x = 1"], notebook=True)], [])


def test_a_folder_counts_before_an_archive(handed: Handed) -> None:
    """Where both are there the folder is read and the student is told; of two archives neither is read."""
    data = pack("zip", (f"{UNIT}/{PAGE}", b"other = 1"))
    for name in ("ada.zip", f"bob/{UNIT}.zip", "carol.zip", "carol.tar.gz"):
        handed.put(name, data)
    for name in ("ada", "bob"):
        handed.put(f"{name}/{UNIT}/{PAGE}", CODE)
    read = handed.by_student()
    assert read["ada"].pages == read["bob"].pages == READ and read["carol"].pages == []
    assert read["ada"].problems == ["ada.zip: not read, the folder ada/ counts"]
    assert read["bob"].problems == [f"{UNIT}.zip: not read, the folder {UNIT}/ counts"]
    assert read["carol"].problems == [
        "carol.tar.gz and carol.zip: more than one archive of this student, none was read"
    ]


def test_other_kinds_of_archives(handed: Handed) -> None:
    """A kind that is not opened is named with what to do, at every place; hidden files are nobody's."""
    handed.put(f"ada/{UNIT}/{PAGE}", CODE)
    for name in ("bob.rar", f"ada/{UNIT}/more.7z", ".hidden.zip"):
        handed.put(name, b"")
    found = handed.read()
    assert [s.student for s in found.submissions] == ["ada"] and found.submissions[0].pages == READ
    why = "this kind of archive is not read; repack it as .zip or .tar.gz"
    assert found.submissions[0].problems == [f"{UNIT}/more.7z: {why}"] and found.passed_over == [f"bob.rar: {why}"]


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
        (f"{UNIT}/nested.tar.gz", "nested.tar.gz: damaged"),
    ],
)
def test_refused_members(handed: Handed, kind: str, path: str, words: str) -> None:
    """A path that leaves, a long or deep one and an archive in the archive are named; the honest page counts."""
    read = one(handed, f"ada.{kind}", pack(kind, (f"{UNIT}/{PAGE}", CODE), (path, b"evil = 1")))
    (problem,) = read.problems
    assert read.pages == READ and any(word in problem for word in words.split("|")) and problem.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_refused_members_of_a_class(handed: Handed, kind: str) -> None:
    """In a class archive a problem belongs to the student below whose folder it lies, else it is passed over."""
    packed = handed.submitted.with_name(f"class.{kind}")
    broken = b"PK\3\4 no archive"
    evil = [(f"ada/../bob/{UNIT}/{PAGE}", b"evil = 1"), ("mal.zip", broken), (f"eve/{UNIT}.zip", broken)]
    packed.write_bytes(pack(kind, (f"ada/{UNIT}/{PAGE}", CODE), (f"bob/{UNIT}/{PAGE}", CODE), *evil))
    found = handed.read(packed)
    read = {submission.student: submission for submission in found.submissions}
    assert all((read[name].pages, read[name].problems) == (READ, []) for name in ("ada", "bob"))
    for name, archive in (("mal", "mal.zip"), ("eve", f"{UNIT}.zip")):
        assert read[name].pages == [] and read[name].problems[0].startswith(f"{archive}: damaged")
    assert len(found.passed_over) == 1 and "leaves its folder" in found.passed_over[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["link", "device"])
def test_links_and_devices(handed: Handed, kind: str, what: str) -> None:
    """A page that is a link or a device is a problem, and nothing is read through it."""
    read = one(handed, f"ada.{kind}", pack(kind, entry(kind, f"{UNIT}/{PAGE}", what)))
    word = "a link" if what == "link" else "a special file"
    assert (read.pages, read.problems) == ([], [f"{PAGE}: {word} in the archive"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates(handed: Handed, kind: str) -> None:
    """A file that is twice in an archive and not the same is not read; one that only looks the same does not count."""
    for number, second in enumerate([f"{UNIT}/{PAGE}", f"./{UNIT}//{PAGE}"]):
        for turn, (first, last) in enumerate([(CODE, b"y = 2"), (b"y = 2", CODE), (CODE, CODE)]):
            handed.put(f"s{number}{turn}.{kind}", pack(kind, (f"{UNIT}/{PAGE}", first), (second, last)))
    shutil.rmtree(handed.submitted / "ada")
    for name, read in handed.by_student().items():
        if name.endswith("2"):
            assert (read.pages, read.problems) == (READ, [])
        else:
            why = "given more than once in the archive, and not the same"
            assert (read.pages, read.problems) == ([], [f"{PAGE}: {why}"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("second", [f"{UNIT}/Tiny_Page.PY", f"{UNIT.upper()}/{PAGE}"])
def test_another_spelling_in_an_archive(handed: Handed, kind: str, second: str) -> None:
    """The exact name in the unit's folder counts, whichever comes first in the archive; the other one is named."""
    for members in ([(f"{UNIT}/{PAGE}", CODE), (second, b"y = 2")], [(second, b"y = 2"), (f"{UNIT}/{PAGE}", CODE)]):
        read = one(handed, f"ada.{kind}", pack(kind, *members))
        shown = second.removeprefix(f"{UNIT}/")
        assert (read.pages, read.problems) == (READ, [f"{shown}: not read, {PAGE} counts"])


def test_encrypted_and_unusual_zips(handed: Handed) -> None:
    """An encrypted member and one that is not packed with deflate are named; the rest of the archive is read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(f"{UNIT}/{PAGE}", CODE, zipfile.ZIP_LZMA)
    assert one(handed, "ada.zip", file.getvalue()).problems[0].startswith(f"{PAGE}: compressed in an unusual way")
    data = bytearray(pack("zip", (f"{UNIT}/{PAGE}", CODE)))
    data[data.index(b"PK\1\2") + 8] |= 1
    assert one(handed, "ada.zip", bytes(data)).problems == [
        f"{PAGE}: encrypted; an archive without a password is needed"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_corrupt(handed: Handed, kind: str) -> None:
    """Cut, empty or wrong bytes are a problem of that student; a whole class that cannot be read is an error."""
    noise = bytes(range(256)) * 8  # does not compress away, so that the cut hits it
    data = pack(kind, (f"{UNIT}/noise", noise), (f"{UNIT}/{PAGE}", CODE))
    whole = handed.submitted.with_name(f"class.{kind}")
    for broken in (data[: len(data) // 3], b"", b"\x1f\x8b\x08", b"PK\3\4", b"not an archive" * 100, b"\xfd7zXZ\0\0"):
        read = one(handed, f"ada.{kind}", broken)
        assert read.pages == [] and len(read.problems) == 1 and read.problems[0].startswith(f"ada.{kind}: ")
        whole.write_bytes(broken)
        with pytest.raises(UsageError, match=r"unpack it yourself|nothing to grade"):
            handed.read(whole)


def test_problem_without_a_unit(handed: Handed) -> None:
    """Where it could be any of several units a broken archive is passed over and not counted as nothing."""
    text = (handed.course.root / "course.toml").read_text()
    unit = text[text.index("[[unit]]") :]
    for old, new in [
        (UNIT, "unit1_other"),
        ("tiny_page", "other"),
        ("twice", "thrice"),
        ("scale_layer", "other_layer"),
    ]:
        unit = unit.replace(old, new)
    (handed.course.root / "course.toml").write_text(text + unit)
    handed.course = load_course(handed.course.root)
    shutil.rmtree(handed.submitted / "ada")
    handed.put(f"bob/{UNIT}/{PAGE}", CODE)
    handed.put("ada.zip", b"broken")
    found = handed.read()
    assert [s.student for s in found.submissions] == ["bob"]
    assert len(found.passed_over) == 1 and found.passed_over[0].startswith("ada: ada.zip: damaged")
    assert list(handed.by_student(unit=UNIT)) == ["ada", "bob"]


@pytest.mark.parametrize("kind", KINDS)
def test_limits_on_size(handed: Handed, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of one archive together have a limit, and so have the archive itself and the count of its members."""
    data = pack(kind, (PAGE, b"#" * 600), ("helper.py", b"#" * 600))
    for caps, words in [
        (Caps(1 << 20, 100, 1 << 20, 1000, 1 << 20), "MiB of pages"),
        (Caps(10, 100, 1 << 20, 1 << 20, 1 << 20), "archives of at most"),
        (Caps(1 << 20, 1, 1 << 20, 1 << 20, 1 << 20), "more than 1 members"),
    ]:
        monkeypatch.setattr("autograder.intake.archives.STUDENT", caps)
        read = one(handed, f"ada/{UNIT}.{kind}", data)
        assert read.pages == [] and words in read.problems[0]


@pytest.mark.parametrize("inside", [("/home/ada/tiny_page.py", b"x = 1"), ("notes.txt", b"later")])
def test_an_archive_is_no_unit(handed: Handed, inside: tuple[str, bytes]) -> None:
    """It may be called as it likes, also where no page is in it: a folder of no unit is something else."""
    work = pack("zip", inside)
    handed.put("ada/homework.zip", work).page("tiny_page.py").put("bob.zip", pack("zip", ("homework.zip", work)))
    everybody = pack("zip", ("eve/homework.zip", work), (f"eve/{UNIT}/tiny_page.py", b"x = 1\n"))
    for read in handed.read(), handed.put("../class.zip", everybody).read(handed.submitted.parent / "class.zip"):
        said = [line for submission in read.submissions for line in submission.problems]
        assert said and not any("no such unit" in line for line in [*read.passed_over, *said])

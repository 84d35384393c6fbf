"""Untrusted files become text and a list of problems: nothing is run or followed, nothing ends the reading."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autograder.course import Course
from autograder.errors import UsageError
from autograder.intake import pages as intake
from autograder.intake.finding import find_submissions
from autograder.intake.pages import PageSource, Stubs, Submission, parse_cells, read_submission
from autograder.text import printable


class Handed:
    """One student's unit on disk, to be filled and read."""

    def __init__(self, course: Course, folder: Path) -> None:
        self.course = course
        self.submitted = folder / "submitted"
        self.folder = self.submitted / "ada" / "unit0_tiny"
        self.folder.mkdir(parents=True)

    def write(self, name: str, data: str | bytes) -> "Handed":
        (self.folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return self

    def released(self, name: str) -> str:
        return (self.course.assignments / "unit0_tiny" / name).read_text(encoding="utf-8")

    def read(self) -> Submission:
        return read_submission(self.folder, "ada", self.course.units[0], Stubs(self.course))


@pytest.fixture
def handed(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Handed:
    return Handed(tiny_course(tmp_path), tmp_path)


def notebook(*cells: Any) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in cells], "nbformat": 4})


def test_layout(handed: Handed) -> None:
    """Every <student>/<unit> is found, in order; hidden folders and loose files are not submissions."""
    for name in ("zoe@uni.edu", "b.c_d-e+1"):
        (handed.submitted / name / "unit0_tiny").mkdir(parents=True)
    for name in (".git/unit0_tiny", "ada/.ipynb_checkpoints", "nobody"):
        (handed.submitted / name).mkdir(parents=True)
    (handed.submitted / "grades.csv").write_text("x")
    (handed.submitted / "mallory").symlink_to(handed.submitted / "ada")
    found, passed_over = find_submissions(handed.submitted, handed.course)
    assert [student for student, _, _ in found] == ["ada", "b.c_d-e+1", "zoe@uni.edu"]
    assert {unit for _, unit, _ in found} == {"unit0_tiny"}
    assert found[0][2] == intake.Folder(handed.folder) and passed_over == []


ODD_NAMES = ["a b", "eve\nroot", "\x1b[31mred", "-rf", "ü", "x" * 65, "a:b", "\u202egpj", os.fsdecode(b"\xff")]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_student_names(handed: Handed, name: str) -> None:
    """A folder that is no student's name is passed over and reported in printable ASCII; the others are graded."""
    (handed.submitted / name / "unit0_tiny").mkdir(parents=True)
    found, (said,) = find_submissions(handed.submitted, handed.course)
    assert [student for student, _, _ in found] == ["ada"]
    assert "not a student's name" in said and said.isascii() and said.isprintable()


def test_unknown_unit_folder(handed: Handed) -> None:
    """A folder that is no unit is reported under its student, in printable ASCII."""
    (handed.submitted / "ada" / "unit\x1b9").mkdir()
    found, passed_over = find_submissions(handed.submitted, handed.course)
    assert len(found) == 1
    assert passed_over == ["ada/unit?9: no such unit in course.toml"]


def test_only_what_was_asked_for(handed: Handed) -> None:
    """One student or one unit can be picked; a name that is not there is an error and not an empty run."""
    (handed.submitted / "bob" / "unit0_tiny").mkdir(parents=True)
    found, _ = find_submissions(handed.submitted, handed.course, unit="unit0_tiny", student="bob")
    assert [student for student, _, _ in found] == ["bob"]
    with pytest.raises(UsageError, match=r"no unit 'unit0_tin' .*; did you mean 'unit0_tiny'\?"):
        find_submissions(handed.submitted, handed.course, unit="unit0_tin")
    with pytest.raises(UsageError, match="--student carol"):
        find_submissions(handed.submitted, handed.course, student="carol")


def test_nothing_to_grade(handed: Handed, tmp_path: Path) -> None:
    """A folder that is not there, and one without submissions, say which layout is expected."""
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty", handed.folder):
        with pytest.raises(UsageError, match=r"<student>/<unit>/<page>\.py or \.ipynb"):
            find_submissions(folder, handed.course)


def test_module(handed: Handed) -> None:
    """A .py page is one cell, as it was written; what else lies in the folder is left alone."""
    read = handed.write("tiny_page.py", "x = 1\n").write("helper.py", "raise SystemExit").read()
    assert (read.pages, read.problems) == ([PageSource("tiny_page", ["x = 1\n"])], [])


def test_notebook(handed: Handed) -> None:
    """The code cells of a notebook are kept in order, text or list of lines alike; other cells are not code."""
    text = json.loads(notebook("a = 1", ["b = 2\n", "c = 3"]))
    text["cells"].insert(1, {"cell_type": "markdown", "source": "words", "metadata": {}})
    read = handed.write("tiny_page.ipynb", json.dumps(text)).read()
    assert read.pages == [PageSource("tiny_page", ["a = 1", "b = 2\nc = 3"], notebook=True)]


@pytest.mark.parametrize("name", ["tiny_page.py", "tiny_page.ipynb"])
def test_untouched_stub(handed: Handed, name: str) -> None:
    """The stub as released counts as not handed in, also with other comments, layout and a cell's output."""
    text = handed.released(name)
    assert handed.write(name, text).read().pages == []
    commented = text.replace("# YOUR CODE HERE", "#  my   notes").replace("+ ", "+  ")
    assert commented != text and handed.write(name, commented).read().pages == []
    edited = text.replace("raise NotImplementedError()", "return 2 * x", 1)
    assert len(handed.write(name, edited).read().pages) == 1


def test_the_edited_form_counts(handed: Handed) -> None:
    """Of a stub and an edited file the edited one counts, whichever form it has."""
    handed.write("tiny_page.ipynb", handed.released("tiny_page.ipynb")).write("tiny_page.py", "x = 1")
    assert [page.notebook for page in handed.read().pages] == [False]
    handed.write("tiny_page.py", handed.released("tiny_page.py")).write("tiny_page.ipynb", notebook("x = 1"))
    assert [page.notebook for page in handed.read().pages] == [True] and handed.read().problems == []


def test_both_forms_edited(handed: Handed) -> None:
    """Where both were edited the notebook counts, and the student is told."""
    read = handed.write("tiny_page.ipynb", notebook("x = 1")).write("tiny_page.py", "x = 2").read()
    assert read.pages == [PageSource("tiny_page", ["x = 1"], notebook=True)]
    assert read.problems == ["tiny_page: both .ipynb and .py were edited; the notebook counts"]


def test_digest(handed: Handed) -> None:
    """The digest changes with every byte that counts, the time of submission included, and with nothing else."""
    first = handed.write("tiny_page.py", "x = 1").read().digest
    assert handed.write("notes.txt", "anything").read().digest == first
    changed = handed.write("tiny_page.py", "x = 1 ").read().digest
    late = handed.write("timestamp.txt", "2026-12-20 10:00:00 UTC").read().digest
    assert len({first, changed, late}) == 3


# ---------------------------------------------------------------- hostile and broken files


def test_link_is_not_followed(handed: Handed, tmp_path: Path) -> None:
    """A symbolic link is a problem, and what it points to is not read."""
    (tmp_path / "secret.py").write_text("SECRET = 1")
    (handed.folder / "tiny_page.py").symlink_to(tmp_path / "secret.py")
    read = handed.read()
    assert (read.pages, read.problems) == ([], ["tiny_page.py: a symbolic link"])


def test_fifo_and_folder(handed: Handed) -> None:
    """A FIFO does not block the reading, and a folder called like a page does not end it."""
    os.mkfifo(handed.folder / "tiny_page.py")
    (handed.folder / "tiny_page.ipynb").mkdir()
    read = handed.read()
    assert read.pages == []
    assert read.problems == ["tiny_page.ipynb: not a regular file", "tiny_page.py: not a regular file"]


def test_oversized(handed: Handed) -> None:
    """A file above the limit is not read, a sparse gigabyte included."""
    with (handed.folder / "tiny_page.py").open("wb") as file:
        file.truncate(1 << 30)
    assert handed.read().problems == ["tiny_page.py: 1024 MiB; at most 8 MiB are read"]


@pytest.mark.parametrize("name", ["tiny_page.py", "tiny_page.ipynb"])
def test_too_much_code(handed: Handed, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A megabyte of code is refused before it is parsed, which would take a gigabyte; a large picture is no code."""
    parsed: list[str] = []
    monkeypatch.setattr(intake, "_meaning", lambda cells: parsed.extend(cells))
    code = "a\n" * 500_000
    read = handed.write(name, code if name.endswith(".py") else notebook(code, "")).read()
    assert (read.pages, read.problems) == ([], [f"{name}: 976 KiB of code; at most 256 KiB are read"])
    assert parsed == []
    picture = {"cell_type": "code", "source": "x = 1", "outputs": [{"data": {"image/png": "A" * 1_000_000}}]}
    assert parse_cells(json.dumps({"cells": [picture]}).encode(), ".ipynb") == ["x = 1"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xef\xbb\xbfx = 1\n", "x = 1\n"),  # a BOM, as Windows editors write
        (b"x = 1\r\ny = 2\rz = 3\n", "x = 1\ny = 2\nz = 3\n"),
        (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "# -*- coding: latin-1 -*-\nx = 'é'\n"),
        (b"#!/usr/bin/python\n# coding: cp1252\nx = '\x80'\n", "#!/usr/bin/python\n# coding: cp1252\nx = '€'\n"),
        ("x = 'ü€'\n".encode(), "x = 'ü€'\n"),
        (b"", ""),
        (b"def f(:\n", "def f(:\n"),  # a syntax error is the student's, and reported where it is run
    ],
)
def test_encodings(handed: Handed, data: bytes, code: str) -> None:
    """Source is decoded as Python itself would, with line ends made equal."""
    assert parse_cells(data, ".py") == [code]


@pytest.mark.parametrize(
    "data",
    [
        b"x = '\xe9'\n",  # latin-1 without a coding line
        b"# coding: nonsense\nx = 1\n",
        b"# coding: utf-8\nx = '\xff'\n",
        b"\xef\xbb\xbf# coding: latin-1\n",
        b"# coding: undefined\nx = 1\n",
        b"# coding: rot13\nk = 1\n",
        b"# coding: punycode\n" + b"a" * 1000,  # takes quadratic time to decode
        b"# coding: idna\nx = 'xn--4ca'\n",
        "x = 1\n".encode("utf-16"),
        b"x = 1\0\n",
    ],
    ids=ascii,
)
def test_undecodable(handed: Handed, data: bytes) -> None:
    """What cannot be decoded is a problem with what to do, never an exception."""
    read = handed.write("tiny_page.py", data).read()
    assert read.pages == []
    (problem,) = read.problems
    assert problem.startswith("tiny_page.py: ") and ("save it as UTF-8" in problem or "is it a text file?" in problem)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"worksheets": [{"cells": []}]}',
        b'{"cells": [{"cell_type": "code", "source": null}]}',
        b'{"cells": [{"cell_type": "code", "source": [1]}]}',
        b'{"cells": "code"}',
        b'{"cells": [{"cell_type": "code", "source": "\\ud800"}]}',
        b'{"cells": [{"cell_type": "code", "source": "\xff"}]}',
        b"[" * 200_000,
        b'{"cells": ' + b"[" * 200_000,
        b'{"metadata": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_000 + b', "cells": []}',
        b'{"cells": [' + b",".join([b"{}"] * 2001) + b"]}",
    ],
    ids=lambda data: ascii(data[:50]),
)
def test_broken_notebooks(handed: Handed, data: bytes) -> None:
    """JSON that is broken, nested without end or no notebook is a problem; a module beside it is still read."""
    read = handed.write("tiny_page.ipynb", data).write("tiny_page.py", "x = 1").read()
    assert read.pages == [PageSource("tiny_page", ["x = 1"])]
    (problem,) = read.problems
    assert problem.startswith("tiny_page.ipynb: ") and len(problem) < 300


@pytest.mark.parametrize("code", ["(" * 5000, "-" * 5000 + "1", "a" + ".b" * 5000, "\ud800", "x = 1\0", "1" * 5000])
def test_source_that_cannot_be_parsed(handed: Handed, code: str) -> None:
    """Code on which Python's own parser gives up is an edited page like any other."""
    assert not Stubs(handed.course).untouched("unit0_tiny", PageSource("tiny_page", [code]))


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-30 10:00:00 UTC", datetime(2026, 11, 30, 10, tzinfo=UTC)),
        ("2026-11-30 10:00:00.500000 UTC\n", datetime(2026, 11, 30, 10, 0, 0, 500000, tzinfo=UTC)),
        ("2026-11-30T10:00:00", datetime(2026, 11, 30, 10, tzinfo=UTC)),
        ("2026-11-30T10:00:00+02:00", datetime(2026, 11, 30, 8, tzinfo=UTC)),
    ],
)
def test_timestamp(handed: Handed, text: str, when: datetime) -> None:
    """nbgrader's timestamp.txt is read; a time without a zone is UTC."""
    read = handed.write("timestamp.txt", text).read()
    assert read.submitted_at - when == timedelta(0) and read.problems == []


@pytest.mark.parametrize("data", [b"", b"yesterday\x1b[2J", b"\xff\xfe", b"2026-13-45", b"9" * 1000])
def test_broken_timestamp(handed: Handed, data: bytes) -> None:
    """A timestamp that is none is a problem in printable words, and no time."""
    read = handed.write("timestamp.txt", data).read()
    assert read.submitted_at is None
    (problem,) = read.problems
    assert problem.startswith("timestamp.txt: ") and problem.isascii() and problem.isprintable()


def test_no_timestamp(handed: Handed) -> None:
    """Without timestamp.txt there is no time, and that is no problem; a link in its place is one."""
    assert (handed.read().submitted_at, handed.read().problems) == (None, [])
    (handed.folder / "timestamp.txt").symlink_to("/etc/hostname")
    assert handed.read().problems == ["timestamp.txt: a symbolic link"]


def test_printable() -> None:
    """Text for a terminal has no control codes and an end."""
    assert printable("a\x1b[31m\u202e\tb" + "c" * 100, limit=12) == "a?[31m??bccc"

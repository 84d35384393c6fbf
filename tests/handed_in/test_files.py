"""Untrusted files become text and a list of problems: nothing is run or followed, nothing ends the reading."""

import json
import os
from pathlib import Path

import pytest

from autograder.errors import UsageError
from autograder.intake.cells import parse_cells
from autograder.intake.released import Released, digest_of
from autograder.intake.submission import PageSource
from autograder.text import printable
from tests.handed_in.conftest import UNIT, Handed, notebook


def test_layout(handed: Handed) -> None:
    """Every <student>/<unit> is found, in order; hidden folders are no students, and the rest is named."""
    for name in ("zoe@uni.edu", "b.c_d-e+1"):
        handed.put(f"{name}/{UNIT}/tiny_page.py")
    for name in (f".git/{UNIT}", "ada/.ipynb_checkpoints", "nobody"):
        (handed.submitted / name).mkdir(parents=True)
    handed.put("grades.csv")
    (handed.submitted / "mallory").symlink_to(handed.submitted / "ada")
    found = handed.read()
    assert [s.student for s in found.submissions] == ["ada", "b.c_d-e+1", "zoe@uni.edu"]
    assert {s.unit for s in found.submissions} == {UNIT}
    assert sorted(found.passed_over) == [
        "mallory: a symbolic link; not followed",
        "nobody: no page of the course that was worked on",
    ]


def test_unknown_unit_folder(handed: Handed) -> None:
    """A folder that is no unit is reported under its student, in printable text."""
    (handed.submitted / "ada" / "unit\x1b9").mkdir()
    found = handed.read()
    assert len(found.submissions) == 1
    assert found.passed_over == ["ada: unit\\x1b9: no such unit in course.toml"]


def test_only_what_was_asked_for(handed: Handed) -> None:
    """One student or one unit can be picked; a name that is not there is an error and not an empty run."""
    handed.put(f"bob/{UNIT}/tiny_page.py")
    assert list(handed.by_student(unit=UNIT, student="bob")) == ["bob"]
    with pytest.raises(UsageError, match=r"no unit 'unit0_tin' .*; did you mean 'unit0_tiny'\?"):
        handed.read(unit="unit0_tin")
    with pytest.raises(UsageError, match="--student carol"):
        handed.read(student="carol")


def test_nothing_to_grade(handed: Handed, tmp_path: Path) -> None:
    """A folder that is not there, and one without submissions, say which layout is expected."""
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "nowhere", tmp_path / "empty", handed.folder):
        with pytest.raises(UsageError, match=r"<student>/<unit>/<page>\.py or \.ipynb"):
            handed.read(folder)


def test_the_unit_folder_in_place_of_the_students(handed: Handed) -> None:
    """A folder that holds units and not students says which folder to give."""
    with pytest.raises(UsageError, match="unit0_tiny: a unit's folder, where a student's is expected; give the folder"):
        handed.page("tiny_page.py").read(handed.submitted / "ada")


def test_module(handed: Handed) -> None:
    """A .py page is one cell, as it was written; a module that it does not import is named and stays."""
    read = handed.page("tiny_page.py").page("other.py", "raise SystemExit").ada()
    assert read.pages == [PageSource("tiny_page", ["x = 1\n"])]
    assert read.problems == ["not read: unit0_tiny/other.py (only pages count, and modules that they import)"]


def test_notebook(handed: Handed) -> None:
    """The code cells of a notebook are kept in order, text or list of lines alike; other cells are not code."""
    text = json.loads(notebook("a = 1", ["b = 2\n", "c = 3"]))
    text["cells"].insert(1, {"cell_type": "markdown", "source": "words", "metadata": {}})
    read = handed.page("tiny_page.ipynb", json.dumps(text)).ada()
    assert read.pages == [PageSource("tiny_page", ["a = 1", "b = 2\nc = 3"], notebook=True)]


@pytest.mark.parametrize("name", ["tiny_page.py", "tiny_page.ipynb"])
def test_untouched_stub(handed: Handed, name: str) -> None:
    """The stub as released counts as not handed in, also with other comments, layout and a cell's output."""
    text = handed.released(name)
    assert handed.page(name, text).ada().pages == []
    commented = text.replace("# YOUR CODE HERE", "#  my   notes").replace("+ ", "+  ")
    assert commented != text and handed.page(name, commented).ada().pages == []
    edited = text.replace("raise NotImplementedError()", "return 2 * x", 1)
    assert len(handed.page(name, edited).ada().pages) == 1


def test_a_whole_kit_that_nobody_touched(handed: Handed) -> None:
    """A student who hands the kit in as it came is there with nothing, and is told so where it is asked of one unit."""
    for name in ("tiny_page.py", "tiny_page.ipynb"):
        handed.put(f"bob/assignments/{UNIT}/{name}", handed.released(name))
    bob = handed.by_student()["bob"]
    assert bob.pages == []


def test_the_edited_form_counts(handed: Handed) -> None:
    """Of a stub and an edited file the edited one counts, whichever form it has."""
    handed.page("tiny_page.ipynb", handed.released("tiny_page.ipynb")).page("tiny_page.py", "x = 1")
    assert [page.notebook for page in handed.ada().pages] == [False]
    handed.page("tiny_page.py", handed.released("tiny_page.py")).page("tiny_page.ipynb", notebook("x = 1"))
    assert [page.notebook for page in handed.ada().pages] == [True] and handed.ada().problems == []


def test_both_forms_edited(handed: Handed) -> None:
    """Where both were edited the notebook counts, and the student is told."""
    read = handed.page("tiny_page.ipynb", notebook("x = 1")).page("tiny_page.py", "x = 2").ada()
    assert read.pages == [PageSource("tiny_page", ["x = 1"], notebook=True)]
    assert read.problems == ["tiny_page: both .ipynb and .py were edited; the notebook counts"]


def test_digest(handed: Handed) -> None:
    """The digest changes with every byte that counts, a helper's included; the time of submission is no part of it."""
    first = handed.page("tiny_page.py", "import helper").ada().digest
    assert handed.page("tiny_page.py", "import helper").ada().digest == first
    changed = handed.page("tiny_page.py", "import helper ").ada().digest
    helped = handed.page("helper.py", "y = 1").ada().digest
    other = handed.page("helper.py", "y = 2").ada().digest
    late = handed.page("timestamp.txt", "2026-12-20 10:00:00 UTC").ada().digest
    assert len({first, changed, helped, other}) == 4 and late == other


def test_the_release_is_the_record_that_build_wrote(handed: Handed) -> None:
    """Edits of the files in assignments/ change nothing; a record that is gone or broken says what to run."""
    stub = handed.released("tiny_page.py")
    (handed.course.assignments / UNIT / "tiny_page.py").write_text("x = 1")
    assert handed.page("tiny_page.py", stub).ada().pages == []
    record = handed.course.assignments / "released.json"
    for spoil in (lambda: record.write_text("{"), record.unlink):
        spoil()
        with pytest.raises(UsageError, match=r"released\.json.*run `autograder build`, or download the course's kit"):
            handed.read()


# ---------------------------------------------------------------- hostile and broken files


def test_link_is_not_followed(handed: Handed, tmp_path: Path) -> None:
    """A symbolic link is a problem, and what it points to is not read."""
    (tmp_path / "secret.py").write_text("SECRET = 1")
    (handed.folder / "tiny_page.py").symlink_to(tmp_path / "secret.py")
    read = handed.ada()
    assert (read.pages, read.problems) == ([], ["tiny_page.py: a symbolic link"])


def test_fifo_and_folder(handed: Handed) -> None:
    """A FIFO does not block the reading, and a folder called like a page does not end it."""
    os.mkfifo(handed.folder / "tiny_page.py")
    (handed.folder / "tiny_page.ipynb").mkdir()
    read = handed.ada()
    assert read.pages == []
    assert sorted(read.problems) == ["tiny_page.py: not a regular file"]
    (handed.folder / "tiny_page.py").unlink()
    assert handed.ada().problems == ["tiny_page.ipynb: a folder, not a file"]


def test_oversized(handed: Handed) -> None:
    """A file above the limit is not read, a sparse gigabyte included."""
    with (handed.folder / "tiny_page.py").open("wb") as file:
        file.truncate(1 << 30)
    assert handed.ada().problems == ["tiny_page.py: 1024 MiB; at most 8 MiB are read"]


@pytest.mark.parametrize("name", ["tiny_page.py", "tiny_page.ipynb"])
def test_too_much_code(handed: Handed, name: str) -> None:
    """A megabyte of code is refused before it is parsed, which would take a gigabyte; a large picture is no code."""
    code = "a\n" * 500_000
    read = handed.page(name, code if name.endswith(".py") else notebook(code, "")).ada()
    assert (read.pages, read.problems) == ([], [f"{name}: 976 KiB of code; at most 256 KiB are read"])
    picture = {"cell_type": "code", "source": "x = 1", "outputs": [{"data": {"image/png": "A" * 60_000_000}}]}
    handed.page("tiny_page.ipynb", json.dumps({"cells": [picture], "nbformat": 4}))
    assert handed.ada().pages == [PageSource("tiny_page", ["x = 1"], notebook=True)]


@pytest.mark.parametrize("code", ["(" * 5000, "-" * 5000 + "1", "a" + ".b" * 5000, "\ud800", "x = 1\0", "1" * 5000])
def test_source_that_cannot_be_parsed(handed: Handed, code: str) -> None:
    """Code on which Python's own parser gives up is an edited page like any other."""
    assert not Released(handed.course).untouched("tiny_page", [code], notebook=False)


def test_the_digest_of_a_release_names_its_code() -> None:
    """Comments and layout do not count; every name, constant and string does, and so does what is no Python."""
    assert digest_of("x = 1  # one\n") == digest_of("x   =   1\n\n")
    for other in ("x = 2", "y = 1", "x = '1'", "x = 1.0", "x == 1", "x = 1; x", "x = (1,)", "x = ["):
        assert digest_of("x = 1") != digest_of(other), other
    # written down once: a release built under one Python is recognised under every other
    assert digest_of("def f(x, *, y=None):\n    return x[1:] @ f'{y!r}'\n") == FIXED_DIGEST


FIXED_DIGEST = "9991536ff409cd9551b5993077d17239"


def test_printable() -> None:
    """Text for a terminal has no control codes and an end; letters of any script stay."""
    assert printable("a\x1b[31m\u202e\tbé王") == "a\\x1b[31m\\u202e\\x09bé王"
    assert printable("c" * 100, limit=12) == "c" * 12 + "…"


def test_cells_of_a_module_are_its_text() -> None:
    """Joined, the cells are the module again, and a marker inside a string or a function cuts nothing."""
    text = "import a\n# %% one\nx = '''\n# %% no\n'''\n\n# %%\ndef f():\n    y = 1\n# %% no\n    return y\n"
    cells = parse_cells(text.encode(), ".py")
    assert "".join(cells) == text and [cell.splitlines()[0] for cell in cells] == ["import a", "# %% one", "# %%"]
    broken = parse_cells(b"import google.colab as (\n# %%\nx = 1\n", ".py")
    assert broken == ["import google.colab as (\n", "# %%\nx = 1\n"]

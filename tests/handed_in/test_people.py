"""Names of people stay as they were handed in; their results lie under a spelling that is safe everywhere."""

import os
import unicodedata
from pathlib import Path

import pytest

from autograder.errors import UsageError
from autograder.results import folders
from autograder.results.folders import colliding, safe_name
from tests.handed_in.conftest import UNIT, Handed

NAMES = ["Zoë Müller", "王小明", "O'Neill, Sam", "=SUM(1+1)", "-x", "@cmd", "+1", "a;b", "<b>x", "x" * 100, "Мария"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_student(handed: Handed, name: str) -> None:
    """Spaces, letters of any script, apostrophes, formulas and options: it is read under this very name."""
    assert handed.put(f"{name}/{UNIT}/tiny_page.py").by_student()[name].pages


@pytest.mark.parametrize("name", ["eve\nroot", "\x1b[31mred", "x" * 129, os.fsdecode(b"\xff"), " "], ids=ascii)
def test_what_is_no_name(handed: Handed, name: str) -> None:
    """A name with control characters, without any, too long or not UTF-8 is passed over, in printable words."""
    (handed.submitted / name / UNIT).mkdir(parents=True)
    found = handed.read()
    assert [s.student for s in found.submissions] == ["ada"]
    (said,) = found.passed_over
    assert "name" in said and said.isprintable() and said.encode()


def test_a_name_is_composed(handed: Handed) -> None:
    """macOS takes letters apart; the name is the same text as everybody else writes it."""
    apart = unicodedata.normalize("NFD", "Zoë")
    assert list(handed.put(f"{apart}/{UNIT}/tiny_page.py").by_student()) == ["Zoë", "ada"]


def test_two_names_that_are_the_same_text(handed: Handed) -> None:
    """Two folders of one name, taken apart and composed, are refused by name, and cost nobody else anything."""
    for form in ("NFC", "NFD"):
        handed.put(f"{unicodedata.normalize(form, 'Zoë')}/{UNIT}/tiny_page.py")
    found = handed.read()
    assert [s.student for s in found.submissions] == ["ada"]
    (said,) = found.passed_over
    assert said == "Zoë: 2 names that are the same text ('Zoe\\u0308' and 'Zo\\xeb'); rename one"


def test_folders_of_results_are_safe_and_injective() -> None:
    """Different names get different folders, of a few ASCII characters that no file system minds."""
    odd = [*NAMES, "..", ".", ".hidden", "a.", "a", "A", "a%20b", "a b", "CON", "~", "x" * 128, "王" * 128, "王" * 127]
    spelled = [safe_name(name) for name in odd]
    assert len(set(spelled)) == len(odd)
    for folder in spelled:
        assert folder.isascii() and len(folder) < 200 and not set(folder) & set('/\\:*?"<>| ') and folder[0] not in ".-"
    assert safe_name("Zoë Müller") == "Zo%C3%AB%20M%C3%BCller" and safe_name("ada-l.x@uni") == "ada-l.x@uni"


def test_capitals_on_a_file_system_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two folders would be one, both students are told apart by name; elsewhere nobody is."""
    assert colliding(tmp_path, ["ada", "Ada", "bob"]) == []
    monkeypatch.setattr(folders, "_ignores_case", lambda out: True)
    assert colliding(tmp_path, ["ada", "Ada", "bob"]) == [["Ada", "ada"]]


def test_a_roster(handed: Handed, tmp_path: Path) -> None:
    """Any name or id of a row stands for the id in its first column; who is not in it keeps the name, and is named."""
    (roster := tmp_path / "roster.csv").write_text("student,name,moodle\na1,Ada,77\nb2,Bob Ross,78\n")
    handed.page("tiny_page.py").put(f"Bob Ross_78_assignsubmission_file_/{UNIT}/tiny_page.py")
    handed.put(f"carol/{UNIT}/tiny_page.py")
    found = handed.read(roster=roster)
    assert sorted(s.student for s in found.submissions) == ["a1", "b2", "carol"]
    assert found.notes[-1:] == [f"not in {roster}, so the name stays: carol"]


SAME_NAME = "student,name,section,moodle\na1,Ada Lovelace,A,77\na2,ADA Lovelace,A,78\nb3,Bob Ross,A,-\nc4,Cy,B,-\n"


def test_a_cell_that_several_have(handed: Handed, tmp_path: Path) -> None:
    """Two of one name are told apart by the platform's number, a section stands for nobody and is asked about."""
    (roster := tmp_path / "roster.csv").write_text(SAME_NAME)
    for number in ("77", "78"):
        handed.put(f"Ada Lovelace_{number}_assignsubmission_file_/{UNIT}/tiny_page.py")
    handed.put(f"Bob Ross_79_assignsubmission_file_/{UNIT}/tiny_page.py").put(f"A/{UNIT}/tiny_page.py")
    found = handed.read(roster=roster)
    assert {s.student for s in found.submissions} - {"ada"} == {"A", "a1", "a2", "b3"}
    assert f"A may be any of a1, a2, b3 in {roster}; a column with the platform's number would tell" in found.notes


@pytest.mark.parametrize("known", ["name", "name,moodle"])
def test_a_namesake_who_is_not_in_the_roster(handed: Handed, tmp_path: Path, known: str) -> None:
    """Whoever else has that name is no part of the student in the roster: only the platform's number tells."""
    (roster := tmp_path / "roster.csv").write_text(f"student,{known}\na1,Ada Lovelace{',77' if ',' in known else ''}\n")
    for number in ("77", "78"):
        handed.put(f"Ada Lovelace_{number}_assignsubmission_file_/{UNIT}/tiny_page.py")
    students = {s.student for s in handed.read(roster=roster).submissions} - {"ada"}
    assert students == {"Ada Lovelace (78)", "a1" if "," in known else "Ada Lovelace (77)"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "the table is empty"),
        ("student,name\n,Ada\n", "line 2: the first column"),
        ("student,name\na1,Ada\nb2,ada\n", "'ada' stands for 'a1' and for 'b2'"),
        ("student,name,login\na1,Ada,x\n\nb2,A1,y\n", "lines 2 and 4: 'a1' stands for 'a1' and for 'b2'; give each"),
    ],
)
def test_a_broken_roster(handed: Handed, tmp_path: Path, table: str, words: str) -> None:
    """A table that cannot be used ends the run with its name, the line and what is wrong."""
    (roster := tmp_path / "roster.csv").write_text(table)
    with pytest.raises(UsageError, match=rf"--roster .*roster\.csv.*{words}"):
        handed.read(roster=roster)
    with pytest.raises(UsageError, match=r"--roster .*No such file"):
        handed.read(roster=tmp_path / "none.csv")

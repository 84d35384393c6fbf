"""What an instructor does at the last minute: another Moodle's worksheet, a slip in a name, damaged results."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from autograder.commands.export import run_export
from autograder.commands.show import find
from autograder.course import load_course
from autograder.errors import UsageError
from autograder.results.exports import canvas, moodle, summary, table
from autograder.results.exports.gathered import Asked
from autograder.results.record import write_result
from tests.exports.conftest import Class
from tests.exports.test_exports import ENGLISH, SHEET, filled, rows_of

GERMAN = (
    "ID,Vollständiger Name,E-Mail-Adresse,Gruppe,Bewertung,Bestwertung,Bewertung kann geändert werden,"
    "Zuletzt geändert (Bewertung),Feedback als Kommentar"
)
GERMAN_ROW = 'Teilnehmer/in12,Bob,bob@uni.example,A,-,"100,00",Ja,-,'
GERMAN_COLUMNS = {"identifier": "ID", "name": "Vollständiger Name", "grade": "Bewertung", "maximum": "Bestwertung"}


def test_a_localised_maximum_is_never_passed_over(small_class: Class, tmp_path: Path) -> None:
    """62 of 75 points are not 62 of 100: where no column is known to be the maximum, it is asked for."""
    sheet = f"{GERMAN}\n{GERMAN_ROW}\n"
    without = {key: name for key, name in GERMAN_COLUMNS.items() if key != "maximum"}
    with pytest.raises(UsageError, match=r"no column 'maximum grade'; it has ID, .*--column maximum=\.\.\.$"):
        filled(small_class, tmp_path, sheet, columns=without)
    with pytest.raises(UsageError, match=r"the maximum is 100, and unit_a has 9\.5 points"):
        filled(small_class, tmp_path, sheet, columns=GERMAN_COLUMNS)
    rows, said, _ = filled(small_class, tmp_path, sheet, columns=GERMAN_COLUMNS, scale=True)
    assert rows[1][4] == "22.11"
    assert any("no column 'feedback comments' in the worksheet, so no comments are exported" in line for line in said)
    assert any("--column changeable=... says which it is" in line for line in said)
    every = {**GERMAN_COLUMNS, "feedback": "Feedback als Kommentar", "changeable": "Bewertung kann geändert werden"}
    rows, said, _ = filled(small_class, tmp_path, sheet, columns=every, scale=True)
    assert "points are taken off" in rows[1][-1] and not any("no column" in line for line in said)


def test_a_worksheet_of_nobody(small_class: Class, tmp_path: Path) -> None:
    """Where no row is anybody's, nothing is written, and it is said what would help."""
    sheet = f"{GERMAN}\n{GERMAN_ROW}\n".replace("bob@", "b@")
    columns = {key: name for key, name in GERMAN_COLUMNS.items() if key != "name"}
    with pytest.raises(UsageError, match=r"no row is a student of ours, not Teilnehmer/in12; a --roster can say who"):
        filled(small_class, tmp_path, sheet, columns=columns)
    assert not (tmp_path / "filled.csv").exists()


def test_a_long_text_of_a_student_in_the_worksheet(small_class: Class, tmp_path: Path) -> None:
    """Moodle puts what was typed into it there, all of it; it goes back as it came."""
    text = "x, y\n" * 60000
    sheet = f'{ENGLISH},Online text\nParticipant 12,Bob,,,,,9.50,Yes,-,-,,"{text}"\n'
    rows, _, _ = filled(small_class, tmp_path, sheet)
    assert rows[1][5] == "2.1" and rows[1][-1] == text


def test_two_columns_of_grades(small_class: Class, tmp_path: Path) -> None:
    """Which of them Moodle would read is not guessed."""
    with pytest.raises(UsageError, match="column 'Grade' is there more than once; keep one"):
        filled(small_class, tmp_path, SHEET.replace("Status,", "Grade,", 1))


def test_the_summary_counts_what_was_filled(small_class: Class, tmp_path: Path, cli: Any) -> None:
    """Not the results of the class, of which a worksheet may have few."""
    (tmp_path / "sheet.csv").write_text(f"{ENGLISH}\nParticipant 12,Bob,,,,,9.50,Yes,-,-,\n")
    arguments = ("--unit", "unit_a", "--worksheet", tmp_path / "sheet.csv")
    done = cli("export", "moodle", small_class.out, tmp_path / "x.csv", *arguments, cwd=small_class.course.root)
    assert "moodle: 1 results" in done.stdout and "not in the worksheet, so not exported: =cmd" in done.stdout


@pytest.mark.parametrize(
    "name",
    [
        *("course.toml", "extensions.csv", "roster.csv", "sheet.csv", "x/../course.toml", "graded/gradebook.db"),
        *("graded/runs.json", "graded/.gradebook.json", "graded/students", "graded/students/ada/unit_a/result.json"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "moodle", "classroom50"])
def test_an_export_keeps_away_from_its_sources(small_class: Class, tmp_path: Path, kind: str, name: str) -> None:
    """A slip in the last argument costs no course.toml, no gradebook and no result, whatever it is called."""
    (tmp_path / "roster.csv").write_text("student\nada\n")
    (tmp_path / "sheet.csv").write_text(SHEET)
    (tmp_path / "x").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    asked = Asked(unit="unit_a", worksheet=tmp_path / "sheet.csv")
    console = Console(file=io.StringIO())
    with pytest.raises(UsageError, match="is what the export is made from, or one of the kit's own files"):
        run_export(small_class.course, kind, small_class.out, tmp_path / name, asked, tmp_path / "roster.csv", console)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_cannot_be_read_was_handed_in(small_class: Class, tmp_path: Path, cli: Any) -> None:
    """A damaged result, one of a later version and one of another course are named, each for what it is."""
    lost = small_class.out / "students" / "ada" / "unit_a" / "result.json"
    good = lost.read_text()
    for text, said in (
        ("{", "cannot be read as a result; grade that student again"),
        ("", "cannot be read as a result; grade that student again"),
        (
            good.replace("result/v1", "result/v2"),
            "of the form 'autograder/result/v2', and this version of the kit",
        ),
        (good.replace('"course": "course"', '"course": "other"'), "of the course 'other', not of 'course'"),
    ):
        lost.write_text(text)
        (small_class.out / "students" / "bob" / "unit_a" / "result.json").write_text("")
        gathered = small_class.gather()
        assert any(line.startswith(f"students/ada/unit_a/result.json: {said}") for line in gathered.said)
        (path,) = table.export(gathered, tmp_path / "grades.csv")
        status = {(row["student"], row["unit"]): row["status"] for row in rows_of(path)}
        assert status["ada", "unit_a"] == "unreadable" and status["Zoë Müller", "unit_b"] == "not handed in"
        root = small_class.course.root
        done = cli("export", "csv", small_class.out, tmp_path / "grades.csv", cwd=root)
        assert "ada unit_a" not in done.stdout.partition("not handed in")[2], done.stdout
        with pytest.raises(UsageError, match=r"not read: students/bob/unit_a/result\.json: cannot"):
            find(small_class.course, "bob", small_class.course.unit("unit_a"), small_class.out)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"unit": "unit_c"}, "no result to export for unit_c, only for others$"),
        ({"student": "eve"}, "no result to export of eve, only for others$"),
        ({"student": "王芳", "unit": "unit_b"}, "no result to export of 王芳 for unit_b, only for others$"),
    ],
)
def test_nothing_to_export_of_what_was_asked(small_class: Class, asked: dict[str, str], said: str) -> None:
    """Other results are there: nobody is sent to grade again."""
    with pytest.raises(UsageError, match=said):
        small_class.gather(**asked)


def test_what_formgrader_knows_is_not_lost_in_silence(
    small_class: Class, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points entered there are in nbgrader's gradebook only: who exports is told whose."""
    entered = {("ada", "unit_a"), ("ada", "unit_c"), ("someone else", "unit_a")}
    monkeypatch.setattr("autograder.commands.export.entered_by_hand", lambda url: entered)
    console = Console(file=io.StringIO(), width=400)
    run_export(small_class.course, "csv", small_class.out, tmp_path / "x.csv", Asked(), None, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert (
        "entered in formgrader are in nbgrader's gradebook, which `nbgrader export` reads, and not in this file" in said
    )
    assert "this file: ada unit_a\n" in said


def test_results_of_other_points_are_told(small_class: Class, tmp_path: Path) -> None:
    """Points were changed and nobody graded again: 9.5 of 9.5 would be read as 9.5 of 12."""
    assert not any("before course.toml changed" in line for line in small_class.gather().said)
    toml = small_class.course.root / "course.toml"
    for change, to, said in (
        (
            "points = 2.5",
            "points = 5",
            "of 9.5 points, and unit_a has 12 now: =cmd",
        ),
        ('id = "two"', 'id = "new"', "with other exercises than unit_a has now: "),
    ):
        text = toml.read_text(encoding="utf-8")
        toml.write_text(text.replace(change, to), encoding="utf-8")
        told = Class(load_course(toml.parent), small_class.out).gather().said
        assert any(f"graded before course.toml changed, {said}" in line for line in told), told
        toml.write_text(text, encoding="utf-8")


def test_a_title_with_a_bar(small_class: Class, tmp_path: Path) -> None:
    """A bar in a unit's title is no column of its own: points stay below their unit."""
    units = tuple(replace(unit, title=f"{unit.title} | rest") for unit in small_class.course.units)
    gathered = Class(replace(small_class.course, units=units), small_class.out).gather()
    (path,) = summary.export(gathered, tmp_path / "summary.md")
    table_lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table_lines} == {len(gathered.units) + 2}


def test_show_without_results(small_class: Class, tmp_path: Path) -> None:
    """A wrong --out is told as that, not as a student who is not there."""
    with pytest.raises(UsageError, match=r"nowhere holds no results: give the folder .*, with --out"):
        find(small_class.course, "ada", small_class.course.unit("unit_a"), tmp_path / "nowhere")


def test_a_roster_of_other_ids_makes_nobody_twice(small_class: Class, tmp_path: Path) -> None:
    """Who was graded without the roster has one row, and is told; with results under both names, too."""
    (roster := tmp_path / "roster.csv").write_text("student,login,email\nlovelace,ada,a@uni.example\nross,BOB,\n")
    gathered = small_class.gather(roster)
    assert {"lovelace", "ross"}.isdisjoint(gathered.students) and "ada" in gathered.students
    said = "graded under another name than the roster's id: ada is lovelace, bob is ross; grade with the same --roster"
    assert any(said in line for line in gathered.said)
    sheet = f"{ENGLISH}\nParticipant 1,Someone,,a@uni.example,,,,Yes,-,-,\n"
    (tmp_path / "sheet.csv").write_text(sheet)
    asked = small_class.gather(roster, unit="unit_a", worksheet=tmp_path / "sheet.csv")
    assert rows_of(moodle.export(asked, tmp_path / "filled.csv")[0])[0]["Grade"] == "9.5"
    made = gathered.counted["ada", "unit_a"].result
    write_result(small_class.out, replace(made, student="lovelace"))
    both = "one person by the roster, with results under both names: ada and lovelace; remove the folder"
    assert any(both in line for line in small_class.gather(roster).said)


def test_canvas_takes_no_two_for_one(small_class: Class, tmp_path: Path) -> None:
    """Two rows of one id, or of one name that Canvas has to go by, are refused; with ids a name may be there twice."""
    roster = tmp_path / "roster.csv"
    for people, of in (
        ("ada,Kim Lee,17,a\nbob,Jo Doe,17,b\n", "the ID '17'"),
        ("ada,Kim Lee,,a\nbob,Kim Lee,,b\n", "the name 'Kim Lee'"),
        ("ada,Kim Lee,17,a\nbob,Kim Lee,,b\n", "the name 'Kim Lee'"),
    ):
        roster.write_text(f"student,name,canvas id,alias\n{people}")
        with pytest.raises(UsageError, match=f"Canvas would take ada, bob for one person, of {of}; give each a"):
            canvas.export(small_class.gather(roster), tmp_path / "canvas.csv")
    assert not (tmp_path / "canvas.csv").exists()
    roster.write_text("student,name,canvas id\nada,Kim Lee,17\nbob,Kim Lee,18\n")
    canvas.export(small_class.gather(roster), tmp_path / "canvas.csv")


def test_the_gradebook_of_canvas_is_a_roster(small_class: Class, tmp_path: Path) -> None:
    """Its rows above the students are nobody, and its column ID is Canvas's."""
    header = "Student,ID,SIS User ID,SIS Login ID,Section,First steps (7),Current Score"
    above = ",,,,,Manual Posting,\n    Points Possible,,,,,9.5,(read only)"
    (roster := tmp_path / "gradebook.csv").write_text(
        f'{header}\n{above}\n"Lovelace, Ada",17,,ada,S1,,\n"Ross, Bob",18,,bob,S1,,\n', encoding="utf-8-sig"
    )
    (path,) = canvas.export(small_class.gather(roster), tmp_path / "canvas.csv")
    rows = {row["Student"]: row for row in rows_of(path)}
    assert list(path.read_text(encoding="utf-8-sig").splitlines()).count("    Points Possible,,,,,9.5,4") == 1
    assert sum("Points Possible" in name for name in rows) == 1
    assert rows["ada"]["ID"] == "17" and rows["ada"]["First steps"] == "9.5"


def test_a_participants_number_is_not_taken_for_a_student(small_class: Class, tmp_path: Path) -> None:
    """A number of Moodle's own may be what somebody is called here: where the name is another student, it is asked."""
    made = small_class.gather().counted["ada", "unit_a"].result
    write_result(small_class.out, replace(made, student="123"))
    with pytest.raises(UsageError, match=r"row 2: 'Participant 123' is 123 here, and 'Bob' is bob; give a --roster"):
        filled(small_class, tmp_path, f"{ENGLISH}\nParticipant 123,Bob,,,,,,Yes,-,-,\n")
    rows, _, _ = filled(small_class, tmp_path, f"{ENGLISH}\nParticipant 123,Someone,bob,,,,,Yes,-,-,\n")
    assert rows[1][5] == "2.1"


def test_what_moodle_had_is_not_replaced_in_silence(small_class: Class, tmp_path: Path) -> None:
    """Grades and comments given by hand are named; a second export on top of the first names nobody."""
    rows, said, _ = filled(small_class, tmp_path, SHEET)
    assert any(line == "in place of what the worksheet had: bob (3.00 and comments)" for line in said)
    again = io.StringIO(newline="")
    csv.writer(again).writerows(rows)
    assert not any("in place of" in line for line in filled(small_class, tmp_path, again.getvalue())[1])
    sheet = f"{ENGLISH}\nParticipant 1,bob,,,,4.00,4.00,Yes,-,-,\n"
    _, said, _ = filled(small_class, tmp_path, sheet, unit="unit_b")
    assert any(line.endswith("keeps the grade that it has; delete it there: bob (4.00)") for line in said)


@pytest.mark.parametrize("maximum", ["0.00", "-", '"1,000.00"', "Competence scale"])
def test_a_maximum_that_is_none(small_class: Class, tmp_path: Path, maximum: str) -> None:
    """Nobody gets 0 points because the assignment has no points in Moodle."""
    sheet = f"{ENGLISH}\nParticipant 1,bob,,,,,{maximum},Yes,-,-,\n"
    with pytest.raises(UsageError, match=r"row 2: the maximum .* is no number above 0; let the assignment's grade be"):
        filled(small_class, tmp_path, sheet, scale=True)


def test_an_option_of_another_format(small_class: Class, tmp_path: Path) -> None:
    """It would do nothing, and whoever gave it counts on it."""
    console = Console(file=io.StringIO())
    for kind, asked, said in (
        ("canvas", Asked(worksheet=tmp_path / "gradebook.csv"), "canvas has no --worksheet, which is for moodle"),
        ("csv", Asked(scale=True), "csv has no --scale, which is for moodle"),
        ("canvas", Asked(columns={"grade": "x"}), "canvas has no --column, which is for moodle"),
        ("moodle", Asked(visibility="hidden"), "moodle has no --visibility, which is for gradescope"),
    ):
        with pytest.raises(UsageError, match=said):
            run_export(small_class.course, kind, small_class.out, tmp_path / "x", asked, None, console)


def test_an_export_replaces_files_only(small_class: Class, tmp_path: Path) -> None:
    """A link stays one and its file is written; a pipe, and what the command prints to, are refused."""
    gathered = small_class.gather()
    (tmp_path / "elsewhere").mkdir()
    (link := tmp_path / "link.csv").symlink_to("elsewhere/grades.csv")
    table.export(gathered, link)
    assert link.is_symlink() and rows_of(tmp_path / "elsewhere" / "grades.csv")
    os.mkfifo(pipe := tmp_path / "pipe")
    (device := tmp_path / "device").symlink_to("/dev/null")
    for path in (pipe, device):
        with pytest.raises(UsageError, match="is a device, a pipe or what this command prints to; give the name of a"):
            table.export(gathered, path)
    assert pipe.is_fifo() and device.is_symlink() and Path("/dev/null").is_char_device()


def test_an_export_is_not_mixed_with_what_is_printed(small_class: Class, tmp_path: Path) -> None:
    """`/dev/stdout` with a redirection is the file that the notes go to."""
    command = [sys.executable, "-m", "autograder.cli", "export", "csv", small_class.out, tmp_path / "printed.txt"]
    with open(tmp_path / "printed.txt", "w") as printed:
        done = subprocess.run(command, cwd=small_class.course.root, stdout=printed, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4 and "what this command prints to" in done.stderr

"""Tables as spreadsheets leave them: what they add by themselves is passed over, nothing else is lost in silence."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.course import load_course
from autograder.errors import UsageError
from autograder.extensions import load_extensions
from autograder.intake.times import SubmittedAt
from autograder.roster import Roster
from autograder.tables import read_sheet

COURSE = """\
id = "course"
title = "A course"
timezone = "Europe/Berlin"

[[unit]]
id = "unit_a"
title = "A"
due = 2026-11-30T23:59:00+01:00

[[unit.exercise]]
id = "one"
page = "page_a"
title = "One"
symbols = ["f"]
points = 1
"""
READ: dict[str, Callable[[Path], object]] = {
    "extensions": lambda path: load_extensions(load_course(path.parent)),
    "roster": Roster,
    "times": lambda path: SubmittedAt(path, load_course(path.parent)),
}
# a header and a row that are right, of each table
RIGHT = {
    "extensions": ("student,unit,due,days,excused,note", "ada,unit_a,,3,,ill"),
    "roster": ("student,name,moodle", "a1,Ada,77"),
    "times": ("student,unit,submitted_at", "ada,unit_a,2026-11-30 10:00"),
}


def table(folder: Path, kind: str, text: str) -> Path:
    (folder / "course.toml").write_text(COURSE)
    path = folder / f"{kind}.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize(
    "shape",
    [
        "{h}\n{r}\n",
        "sep=,\r\n{h}\r\n{r}\r\n",
        '"sep=;"\r\n{h;}\r\n{r;}\r\n',
        "\n \n;;;\n{h;}\n;;;\n{r;}\n",
        "{h},,\n{r},,\n,,,,,\n",
        "{h;};\n{r;};;;\n",
    ],
)
def test_what_a_spreadsheet_adds_is_passed_over(tmp_path: Path, kind: str, shape: str) -> None:
    """Its line `sep=`, empty rows before the header or after it, empty columns: the same table as without them."""
    header, row = RIGHT[kind]
    with_semicolons = {"h;": header.replace(",", ";"), "r;": row.replace(",", ";")}
    path = table(tmp_path, kind, shape.format(h=header, r=row, **with_semicolons))
    READ[kind](path)
    sheet = read_sheet(path, kind)
    assert (sheet.header, [list(one.cells.values()) for one in sheet.rows]) == (header.split(","), [row.split(",")])
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert lines[sheet.line - 1].startswith("student") and lines[sheet.rows[0].line - 1].startswith(row[:2])


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ("{h}\n{r}\n\n{r},lost\n", r"line 4: lost: more cells than columns; put a \w+ with commas into quotes"),
        ("{h},\n{r},lost\n", "line 2: lost: more cells than columns; .*, or give the column a name"),
        ("{h},{last}\n{r},lost\n", "line 1: column {last} is there more than once; keep one"),
        ('{h}\n"{r}\n{r}\n', "line 2: a quotation mark has no partner, or stands within a cell"),
        ('{h}\n{r}\n"Ada" L{r}\n', "line 3: a quotation mark has no partner, or stands within a cell"),
    ],
)
def test_nothing_is_lost_in_silence(tmp_path: Path, kind: str, shape: str, said: str) -> None:
    """A cell that no column has, a column that is there twice, a quotation mark that swallows the rows behind it."""
    header, row = RIGHT[kind]
    last = header.rsplit(",", 1)[1]
    path = table(tmp_path, kind, shape.format(h=header, r=row, last=last))
    with pytest.raises(UsageError, match=rf"{kind}\.csv, {said.format(last=last)}"):
        READ[kind](path)


def test_the_line_of_a_row_is_the_files(tmp_path: Path) -> None:
    """Over empty lines and over cells of several lines."""
    path = table(tmp_path, "times", 'student,unit,time\n\n"ada\n","","2026-11-30 10:00"\n\nbob,unit_b,x\n,,x\n')
    with pytest.raises(UsageError) as error:
        READ["times"](path)
    first, second = str(error.value).splitlines()
    assert first.endswith("times.csv, line 6: no unit 'unit_b' in course.toml; did you mean 'unit_a'?")
    assert second.endswith("times.csv, line 7: student is empty; give the student's name or id")


def test_a_header_without_rows_is_read(tmp_path: Path) -> None:
    """A table that has a wrong header and no row yet is as wrong as it will be with rows."""
    with pytest.raises(UsageError, match=r"no column student or .*; it has who, when"):
        READ["times"](table(tmp_path, "times", "who,when\n"))


TIMES = {
    "2026-11-30 23:30": "2026-11-30T22:30",  # the course's zone: winter
    "2026-07-30 23:30": "2026-07-30T21:30",  # and summer
    "2026-10-25 02:30": "2026-10-25T00:30",  # twice on that night: the earlier one, which takes nothing away
    "2026-11-30 23:30 UTC": "2026-11-30T23:30",
    "2026-11-30T23:30:00Z": "2026-11-30T23:30",
    "2026-11-30 23:30:00 -0800": "2026-12-01T07:30",  # Gradescope's table of grades
    "Monday, 30 November 2026, 11:30 PM": "2026-11-30T22:30",  # the column Last modified (submission) of Moodle's
}


@pytest.mark.parametrize("text", TIMES)
def test_times_as_platforms_write_them(tmp_path: Path, text: str) -> None:
    """What the instructor's table says without a zone is the course's time, as in extensions.csv."""
    path = table(tmp_path, "times", f'student,unit,submitted_at\nada,*,"{text}"\n')
    stamp = SubmittedAt(path, load_course(tmp_path)).stamp(["ada"], "unit_a")
    assert stamp is not None and stamp.when is not None
    assert stamp.when.isoformat().removesuffix(":00+00:00") == TIMES[text]


def test_utf16_without_its_mark(tmp_path: Path) -> None:
    """It is named as what it is, not as a table of columns that nobody knows."""
    (path := tmp_path / "times.csv").write_bytes("student,submitted_at\nada,2026-11-30 10:00\n".encode("utf-16-le"))
    with pytest.raises(UsageError, match=r"times\.csv: not UTF-8; save the table as CSV UTF-8"):
        read_sheet(path, "--submitted-at")

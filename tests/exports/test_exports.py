"""Every export against its golden file and the schema that its reader publishes."""

import base64
import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from autograder.errors import UsageError
from autograder.results.exports import actions, canvas, classroom50, gradescope, junit, moodle, table
from autograder.results.folders import safe_name
from autograder.results.record import Outcome, TestResult, write_result
from tests.exports.conftest import FORMULA, Class, Golden

STUDENTS = sorted(["ada", "bob", "eve", "Zoë Müller", "王芳", FORMULA])


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def test_csv(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """A row for each student and unit that someone handed in; what does not exist is empty, not 0."""
    (path,) = table.export(small_class.gather(), tmp_path / "grades.csv")
    golden("grades.csv", path.read_bytes())
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = {(row["student"], row["unit"]): row for row in rows_of(path)}
    assert {student for student, _ in rows} == {*STUDENTS, f"'{FORMULA}"} - {FORMULA}
    assert {unit for _, unit in rows} == {"unit_a", "unit_b"}
    found = {key: (row["score"], row["status"]) for key, row in rows.items()}
    assert found["ada", "unit_b"] == ("3.6", "graded") and rows["ada", "unit_b"]["slip_days"] == "1"
    assert found["eve", "unit_a"] == found["bob", "unit_b"] == ("", "excused")
    assert found["eve", "unit_b"] == ("", "not handed in")
    assert found["王芳", "unit_a"] == ("0.8333", "pending")
    assert found[f"'{FORMULA}", "unit_a"] == ("4.75", "grader error")


# ---------------------------------------------------------------- Canvas


def test_canvas(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """Canvas's columns in their order, points possible in the second row, EX for excused, empty for not handed in."""
    roster = tmp_path / "roster.csv"
    people = "ada,Ada Lovelace,17,alovelace\nbob,Bob Ross,,bross\nnew,N. N.,19,nn\n"
    roster.write_text(f"student,name,canvas id,sis login id\n{people}")
    gathered = small_class.gather(roster)
    (path,) = canvas.export(gathered, tmp_path / "canvas.csv")
    golden("canvas.csv", path.read_bytes())
    header, possible, *rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "First steps", "unit_b"]
    assert possible == ["    Points Possible", "", "", "", "", "9.5", "4"]
    assert ["Ada Lovelace", "17", "", "alovelace", "", "9.5", "3.6"] in rows
    assert ["Bob Ross", "", "", "bross", "", "2.1", "EX"] in rows and ["N. N.", "19", "", "nn", "", "", ""] in rows
    said = "\n".join(gathered.said)
    assert "'Sprint (2)' is called unit_b: Canvas would take its number for an id" in said
    assert "Canvas goes by the name: =cmd" in said
    assert "read as a formula, so Canvas may not find it: =cmd" in said


# ---------------------------------------------------------------- Moodle

ENGLISH = (
    "Identifier,Full name,ID number,Email address,Status,Grade,Maximum grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments"
)
SHEET = f"""\
{ENGLISH}
Participant 11,Ada Lovelace,,ada@uni.example,Submitted,,9.50,Yes,"Monday, 30 November 2026",-,
Participant 12,Bob,bob,bob@uni.example,Submitted,3.00,9.50,Yes,-,"Sunday, 1 March",old words
Participant 13,ZOË MÜLLER,,zoe@uni.example,Submitted,,9.50,No,-,-,
Participant 14,"=Nobody, Known",,n@uni.example,No submission,,9.50,Yes,-,-,
Participant 15,王芳,,w@uni.example,Submitted,,9.50,Yes,-,-,
"""


def filled(small_class: Class, folder: Path, sheet: str, **asked: Any) -> tuple[list[list[str]], list[str], bytes]:
    (folder / "sheet.csv").write_text(sheet, encoding="utf-8-sig", newline="")
    roster = folder / "roster.csv"
    roster.write_text("student,email\nada,ada@uni.example\n")
    gathered = small_class.gather(roster, **{"unit": "unit_a", "worksheet": folder / "sheet.csv", **asked})
    (path,) = moodle.export(gathered, folder / "filled.csv")
    text = path.read_text(encoding="utf-8-sig")
    delimiter = ";" if ";" in text.partition("\n")[0] else ","
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)), gathered.said, path.read_bytes()


def test_moodle(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """Two columns of our rows are filled, all else goes back as it came; who could not be matched is named."""
    before = list(csv.reader(io.StringIO(SHEET, newline="")))
    rows, said, data = filled(small_class, tmp_path, SHEET)
    golden("moodle.csv", data)
    grade, comments = rows[0].index("Grade"), rows[0].index("Feedback comments")
    for old, new in zip(before, rows, strict=True):
        assert [c for i, c in enumerate(old) if i not in (grade, comments)] == [
            c for i, c in enumerate(new) if i not in (grade, comments)
        ]
    grades = {row[1]: row[grade] for row in rows[1:]}
    assert grades == {"Ada Lovelace": "9.5", "Bob": "2.1", "ZOË MÜLLER": "", "=Nobody, Known": "", "王芳": "0.8333"}
    by_name = {row[1]: row[comments] for row in rows[1:]}
    assert "2 started days late, 1 of them paid with slip days: 0.2333 of 2.3333 points" in by_name["Bob"]
    assert "RuntimeError&#58; &#60;script&#62;" in by_name["Bob"] and "$" not in by_name["Bob"]
    assert "<script" not in data.decode() and by_name["=Nobody, Known"] == ""
    assert any("no student of ours, left as they are: =Nobody, Known" in line for line in said)
    assert any("the grade cannot be changed: Zoë Müller" in line for line in said)
    assert any("not in the worksheet, so not exported: =cmd" in line for line in said)


def test_moodle_in_another_language(small_class: Class, tmp_path: Path) -> None:
    """Columns are named on the command line; semicolons, decimal commas and line ends stay as they were."""
    german = "ID;Vollständiger Name;Bewertung;Bestwertung\r\nTeilnehmer/in11;Bob;;9,50\r\n"
    columns = {"identifier": "ID", "name": "Vollständiger Name", "grade": "Bewertung", "maximum": "bestwertung"}
    rows, _, data = filled(small_class, tmp_path, german, columns=columns)
    assert rows[1] == ["Teilnehmer/in11", "Bob", "2.1", "9,50"] and data.count(b"\r\n") == 2


def test_moodle_goes_by_the_number_of_its_download(small_class: Class, tmp_path: Path) -> None:
    """A student who was called `name (number)`, because two have that name, is found by the number."""
    one = replace(small_class.gather().counted["ada", "unit_a"].result, student="Jo Doe (42)")
    write_result(small_class.out, one)
    sheet = f"{ENGLISH}\nParticipant 41,Jo Doe,,,,,,Yes,-,-,\nParticipant 42,Jo Doe,,,,,,Yes,-,-,\n"
    rows, said, _ = filled(small_class, tmp_path, sheet)
    assert [row[5] for row in rows[1:]] == ["", "9.5"] and any("left as they are: Jo Doe;" in line for line in said)


@pytest.mark.parametrize(
    ("sheet", "asked", "said"),
    [
        (SHEET, {"unit": None}, "Moodle has a worksheet for each assignment: give --unit, one of unit_a, unit_b"),
        (SHEET, {"worksheet": None}, "moodle needs --worksheet FILE"),
        (SHEET.replace("Grade,", "Note,", 1), {}, r"no column 'grade'; it has Identifier, .*--column grade=\.\.\."),
        (SHEET, {"columns": {"grade": "Note"}}, "no column 'Note'; it has Identifier"),
        (SHEET.replace("9.50", "100.00"), {}, "row 2: the maximum is 100, and unit_a has 9.5 points; .*--scale"),
        (SHEET.replace("9.50", "A+"), {}, r"row 2: the maximum 'A\+' is no number"),
        (SHEET.replace("ZOË MÜLLER", "bob"), {}, "rows 3 and 4 are both bob; give a --roster"),
        ("", {}, "the table is empty"),
    ],
)
def test_moodle_refuses(small_class: Class, tmp_path: Path, sheet: str, asked: dict[str, Any], said: str) -> None:
    """What is wrong, where, and what to do; and nothing is written."""
    with pytest.raises(UsageError, match=said):
        filled(small_class, tmp_path, sheet, **asked)
    assert not (tmp_path / "filled.csv").exists()


def test_moodle_gets_no_grade_of_an_excused_student(small_class: Class, tmp_path: Path) -> None:
    """Handed in or not: the cell stays as it was, and who it is is said."""
    sheet = f"{ENGLISH}\nParticipant 1,bob,,,,,4.00,Yes,-,-,\nParticipant 2,ada,,,,,4.00,Yes,-,-,\n"
    rows, said, _ = filled(small_class, tmp_path, sheet, unit="unit_b")
    assert [row[5] for row in rows[1:]] == ["", "3.6"] and rows[1][-1] == ""
    assert any("excused, so without a grade" in line and line.endswith(": bob") for line in said)


def test_moodle_scales_when_asked(small_class: Class, tmp_path: Path) -> None:
    """To the worksheet's maximum, in two decimals."""
    rows, _, _ = filled(small_class, tmp_path, SHEET.replace("9.50", "100.00"), scale=True)
    assert [row[5] for row in rows[1:3]] == ["100", "22.11"]


# ---------------------------------------------------------------- Gradescope (docs/specs.md of autograder_samples)

_TEST = {
    "score": (int, float),
    "max_score": (int, float),
    "status": str,
    "name": str,
    "name_format": str,
    "number": str,
    "output": str,
    "output_format": str,
    "tags": list,
    "visibility": str,
    "extra_data": dict,
}
_TOP = {
    "score": (int, float),
    "execution_time": (int, float),
    "output": str,
    "output_format": str,
    "test_output_format": str,
    "test_name_format": str,
    "visibility": str,
    "stdout_visibility": str,
    "extra_data": dict,
    "tests": list,
    "leaderboard": list,
}


def check_gradescope(made: dict[str, Any]) -> None:
    for key, value in made.items():
        assert isinstance(value, _TOP[key]), key
    for test in made["tests"]:
        for key, value in test.items():
            assert isinstance(value, _TEST[key]), key
        assert test["status"] in ("passed", "failed") and all(isinstance(tag, str) for tag in test["tags"])
    for place in (made, *made["tests"]):
        assert place["visibility"] in ("hidden", "after_due_date", "after_published", "visible")
    for entry in made.get("leaderboard", []):
        assert set(entry) <= {"name", "value", "order"} and entry["order"] in ("asc", "desc")
        assert isinstance(entry["value"], int | float | str)


def test_gradescope(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """One results.json each; the sum of maxima is the assignment's points, `score` is after the penalty."""
    gathered = small_class.gather()
    paths = gradescope.export(gathered, tmp_path / "gradescope")
    assert len(paths) == 7
    for counted, path in zip(gathered.handed_in(), paths, strict=True):
        made = json.loads(path.read_text(encoding="utf-8"))
        check_gradescope(made)
        assert path.relative_to(tmp_path / "gradescope").parts == (
            *(safe_name(counted.result.student), counted.result.unit),
            "results.json",
        )
        assert sum(test["max_score"] for test in made["tests"]) == counted.grade.max_score
        assert made["score"] == counted.grade.score
        assert ("leaderboard" in made) == (counted.result.student == "ada")
        if (counted.result.student, counted.result.unit) in (("ada", "unit_b"), ("王芳", "unit_a")):
            golden(f"gradescope_{safe_name(counted.result.student)}.json", path.read_bytes())
    hidden = gradescope.results(small_class.gather(visibility="after_published"), next(gathered.handed_in()))
    assert {hidden["visibility"], *(test["visibility"] for test in hidden["tests"])} == {"after_published"}
    with pytest.raises(UsageError, match="--visibility secret: choose one of visible, after_due_date"):
        gradescope.export(small_class.gather(visibility="secret"), tmp_path / "elsewhere")


# ---------------------------------------------------------------- GitHub Actions (autograding-command-grader, reporter)


def test_actions(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """One line of base64 that is JSON of version 1; the reporter's sum of scores is what counts."""
    gathered = small_class.gather()
    paths = actions.export(gathered, tmp_path / "actions")
    for counted, path in zip(gathered.handed_in(), paths, strict=True):
        line = path.read_text(encoding="ascii")
        assert re.fullmatch(r"[A-Za-z0-9+/]+=*", line)
        made = json.loads(base64.b64decode(line, validate=True))
        assert set(made) == {"version", "status", "max_score", "tests"} and made["version"] == 1
        assert made["status"] in ("pass", "fail", "error") and made["tests"]
        for test in made["tests"]:
            assert test["status"] in ("pass", "fail", "error") and isinstance(test["duration"], int)
            assert set(test) == {
                *("name", "status", "score", "max_score", "message", "test_code", "filename", "line_no", "duration"),
            }
        assert sum(test["score"] for test in made["tests"]) == pytest.approx(counted.grade.score, abs=1e-9)
        if counted.result.student == "bob" and counted.result.unit == "unit_a":
            golden("actions_bob.json", json.dumps(made, indent=2, ensure_ascii=False).encode())
    statuses = {c.result.student: actions.report(gathered, c)["status"] for c in gathered.handed_in()}
    assert statuses["Zoë Müller"] == "pass" and statuses["王芳"] == "fail" and statuses[FORMULA] == "error"


# ---------------------------------------------------------------- Classroom 50 (wiki, Advanced-Autograding)


def test_classroom50(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """Whole numbers that add up; the workflow's own words for a single result only."""
    gathered = small_class.gather()
    for counted, path in zip(gathered.handed_in(), classroom50.export(gathered, tmp_path / "c50"), strict=True):
        made = json.loads(path.read_text(encoding="utf-8"))
        assert set(made) == {
            *("schema", "classroom", "assignment", "assignment_type", "owner", "submission", "commit", "release"),
            *("review", "datetime", "graded_at", "score", "max-score", "tests"),
        }
        assert made["schema"] == "classroom50/result/v1"
        for place in (made, *made["tests"]):
            assert type(place["score"]) is int and type(place["max-score"]) is int
        assert made["score"] == sum(test["score"] for test in made["tests"])
        assert abs(made["score"] - counted.grade.score) <= 0.5
        assert all(0 <= test["score"] <= test["max-score"] and type(test["passed"]) is bool for test in made["tests"])
        if counted.result.student == "bob" and counted.result.unit == "unit_a":
            golden("classroom50_bob.json", path.read_bytes())
    env = {"CLASSROOM": "cs1", "ASSIGNMENT": "a1", "SUBMISSION_TAG": "submit/3", "COMMIT_URL": "https://x/1"}
    one = small_class.gather(student="ada", unit="unit_a", environment=env)
    (path,) = classroom50.export(one, tmp_path / "result.json")
    made = json.loads(path.read_text())
    assert (made["classroom"], made["assignment"], made["submission"], made["commit"]) == tuple(env.values())
    every = small_class.gather(environment=env)
    assert {classroom50.result(every, c)["submission"] for c in every.handed_in()} == {""}


# ---------------------------------------------------------------- JUnit XML (junit-10.xsd of Jenkins' xUnit plug-in)

# element -> (required attributes, other attributes, children)
_XSD: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name"}, {"time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "skipped": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "failure": (set(), {"type", "message"}, set()),
}
_MIXED = {"skipped", "error", "failure"}
_TIME = r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?"


def check_xsd(element: ElementTree.Element) -> None:
    required, optional, children = _XSD[element.tag]
    assert required <= set(element.attrib) <= required | optional, (element.tag, element.attrib)
    assert {child.tag for child in element} <= children, element.tag
    if element.tag not in _MIXED:
        assert not (element.text or "").strip() and not any((child.tail or "").strip() for child in element)
    if element.tag.startswith("testsuite"):
        assert re.fullmatch(_TIME, element.attrib["time"])
    for child in element:
        check_xsd(child)


def test_junit(small_class: Class, tmp_path: Path, golden: Golden) -> None:
    """Well-formed, as the schema wants it, and the totals are those of the cases."""
    (path,) = junit.export(small_class.gather(), tmp_path / "junit.xml")
    golden("junit.xml", path.read_bytes())
    root = ElementTree.parse(path).getroot()
    check_xsd(root)
    kinds = {"failures": "failure", "errors": "error"}
    for place in (root, *root.iter("testsuite")):
        cases = list(place.iter("testcase"))
        assert int(place.attrib["tests"]) == len(cases)
        for total, kind in kinds.items():
            assert int(place.attrib[total]) == sum(case.find(kind) is not None for case in cases)
        assert all(len(case) <= 1 for case in cases)
    suites = {suite.attrib["name"]: suite for suite in root}
    values = {p.attrib["name"]: p.attrib["value"] for p in suites["ada unit_b"].iter("property")}
    assert (values["score"], values["late_penalty"], values["max_score"]) == ("3.6", "0.4", "4")
    failure = suites["bob unit_a"].find(".//failure")
    assert failure is not None and "<script>alert(1)</script>" in (failure.text or "") and "\\x1b" in failure.text


def test_what_costs_nothing_turns_no_pipeline_red() -> None:
    """A test for information is skipped where it fails; a gate weighs nothing, too, and decides everything."""
    told = TestResult(name="test_compiles", outcome=Outcome.FAILED, weight=0.0)
    assert junit._kind(told) == "skipped"
    assert junit._kind(replace(told, gate=True)) == "failure"


def test_a_missing_attribute_is_missed() -> None:
    """The check of the schema can fail: an unknown attribute, a missing one, stray text, a wrong time."""
    for text in (
        "<testsuites skipped='1'/>",
        "<testsuites time='1'><testsuite name='a' tests='1' errors='0' time='1'/></testsuites>",
        "<testsuites time='1.0'>x</testsuites>",
        "<testsuites time='1e3'/>",
        "<testsuites time='1'><testcase name='a'/></testsuites>",
    ):
        with pytest.raises((AssertionError, KeyError)):
            check_xsd(ElementTree.fromstring(text))


# ---------------------------------------------------------------- all of them


def test_who_is_not_exported_and_why(small_class: Class, tmp_path: Path) -> None:
    """Unreadable, foreign and moved files are named; so is an extension for a name that nearly exists."""
    (small_class.out / "students" / "ada" / "unit_b" / "result.json").write_text("{")
    path = small_class.out / "students" / "bob" / "unit_a" / "result.json"
    path.write_text(path.read_text().replace('"course": "course"', '"course": "another"'))
    moved = small_class.out / "students" / "copy" / "unit_a"
    moved.mkdir(parents=True)
    (moved / "result.json").write_bytes((small_class.out / "students" / "ada" / "unit_a" / "result.json").read_bytes())
    extensions = small_class.course.root / "extensions.csv"
    extensions.write_text(extensions.read_text() + "adda,unit_a,,2,,\n")
    said = "\n".join(small_class.gather().said)
    assert "students/ada/unit_b/result.json: cannot be read as a result; grade that student again" in said
    assert "students/bob/unit_a/result.json: of the course 'another', not of 'course'" in said
    assert "students/copy/unit_a/result.json: says it is of 'ada' and unit_a" in said
    assert "extensions.csv, line 5: nobody called adda handed in; did you mean 'ada'?" in said


def test_one_student_and_unit(small_class: Class, tmp_path: Path) -> None:
    """--student and --unit restrict every format; both together make OUT a file."""
    (path,) = table.export(small_class.gather(student="ADA"), tmp_path / "ada.csv")
    assert {row["student"] for row in rows_of(path)} == {"ada"}
    (path,) = gradescope.export(small_class.gather(student="bob", unit="unit_a"), tmp_path / "results.json")
    assert path == tmp_path / "results.json" and json.loads(path.read_text())["score"] == 2.1
    with pytest.raises(UsageError, match="--student mallory: no result of that student"):
        small_class.gather(student="mallory")
    with pytest.raises(UsageError, match="no result to export"):
        small_class.gather(unit="unit_c")
    with pytest.raises(UsageError, match=r"results\.json is a file; give a folder, or --student and --unit"):
        gradescope.export(small_class.gather(), tmp_path / "results.json")
    with pytest.raises(UsageError, match="is a folder; give the name of a file"):
        table.export(small_class.gather(), tmp_path)


def test_names_that_differ_in_capitals_are_two_students(small_class: Class, tmp_path: Path) -> None:
    """Each has a row of their own; a name that could be either is asked for exactly, and matches no row of Moodle's."""
    made = small_class.gather().counted["ada", "unit_a"].result
    for student, score in (("Jo", 1.0), ("jo", 2.0)):
        exercises = [replace(made.exercises[0], score=score), replace(made.exercises[1], score=0.0)]
        write_result(small_class.out, replace(made, student=student, exercises=exercises))
    (path,) = table.export(small_class.gather(), tmp_path / "grades.csv")
    found = {row["student"]: row["score"] for row in rows_of(path) if row["unit"] == "unit_a"}
    assert (found["Jo"], found["jo"]) == ("1", "2")
    assert small_class.gather(student="jo").students == ["jo"]
    with pytest.raises(UsageError, match="--student JO: stands for Jo, jo; write it exactly"):
        small_class.gather(student="JO")
    names = "".join(f"Participant {i},{name},,,,,,Yes,-,-,\n" for i, name in enumerate(("Jo", "jo", "JO")))
    rows, said, _ = filled(small_class, tmp_path, f"{ENGLISH}\n{names}")
    assert [row[5] for row in rows[1:]] == ["1", "2", ""] and any("left as they are: JO;" in line for line in said)


def test_an_extension_afterwards_changes_every_export(small_class: Class, tmp_path: Path) -> None:
    """No result file is touched, and the numbers follow: the policy is applied when results are read."""
    before = {path: path.read_bytes() for path in small_class.out.rglob("result.json")}
    extensions = small_class.course.root / "extensions.csv"
    extensions.write_text(extensions.read_text() + "ada,unit_b,,2,,\n")
    (path,) = table.export(small_class.gather(), tmp_path / "grades.csv")
    (ada,) = (row for row in rows_of(path) if (row["student"], row["unit"]) == ("ada", "unit_b"))
    assert (ada["score"], ada["late_penalty"], ada["slip_days"]) == ("4", "0", "0")
    assert {path: path.read_bytes() for path in small_class.out.rglob("result.json")} == before


def test_the_command(small_class: Class, tmp_path: Path, cli: Any) -> None:
    """From the command line: what was written, what was not, exit code 4 for what cannot be."""
    root = small_class.course.root
    done = cli("export", "csv", small_class.out, tmp_path / "grades.csv", cwd=root)
    assert done.returncode == 0, done.stderr
    assert f"csv: 7 results; 5 not handed in: {tmp_path / 'grades.csv'}" in done.stdout
    assert "note: not handed in, left empty: =cmd|' /C calc'!A0 unit_b, Zoë Müller unit_b, eve unit_a" in done.stdout
    done = cli("export", "actions", small_class.out, tmp_path / "actions", cwd=root)
    assert done.returncode == 0 and "actions: 7 results; 5 not handed in: 7 files in" in done.stdout
    nowhere, column = tmp_path / "nowhere", ("--column", "grades=Note")
    for arguments, words in (
        (["cvs", small_class.out, tmp_path / "x"], "no format 'cvs'; did you mean 'csv'?"),
        (["csv", nowhere, tmp_path / "x"], "holds no results: give the folder that `autograder grade"),
        (["moodle", small_class.out, tmp_path / "x", *column], "write KEY=HEADER with a KEY of identifier"),
    ):
        done = cli("export", *arguments, cwd=root)
        assert done.returncode == 4 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr

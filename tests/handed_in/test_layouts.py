"""Downloads of platforms: whose each file is, what it is called, and when the platform says that it came."""

from datetime import UTC, datetime

import pytest

from autograder.errors import UsageError
from autograder.intake.submission import PageSource
from tests.handed_in.conftest import UNIT, Handed, notebook
from tests.handed_in.test_archives import pack

READ = [PageSource("tiny_page", ["x = 1\n"])]


@pytest.fixture(autouse=True)
def _nobody_else(handed: Handed) -> None:
    handed.folder.rmdir()
    handed.folder.parent.rmdir()


def test_moodle(handed: Handed) -> None:
    """Folders, or files one beside the other; what was typed into a box is named."""
    handed.put("Zoë de la Cruz_1234567_assignsubmission_file_/tiny_page.py")
    handed.put("Zoë de la Cruz_1234567_assignsubmission_onlinetext_/onlinetext.html", "<p>hello")
    handed.put("Bob Ross_77_assignsubmission_file_tiny_page.ipynb", notebook("x = 1"))
    handed.put("Bob Ross_77_assignsubmission_file_notes.txt")
    handed.put("Kim_78_assignsubmission_file_work.zip", pack("zip", ("tiny_page.py", b"x = 1\n")))
    read = handed.by_student()
    assert set(read) == {"Zoë de la Cruz", "Bob Ross", "Kim"}
    assert read["Zoë de la Cruz"].pages == read["Kim"].pages == READ
    assert "text typed into Moodle, no page; not read" in read["Zoë de la Cruz"].problems[0]
    assert read["Bob Ross"].pages[0].notebook and "not read: notes.txt" in read["Bob Ross"].problems[0]


def test_two_people_of_one_name(handed: Handed) -> None:
    """Moodle's number tells them apart, in the results too; in a blind assignment it is all there is."""
    for number in (11, 12):
        handed.put(f"Sam Lee_{number}_assignsubmission_file_/tiny_page.py", f"x = {number}\n")
    handed.put("Participant_99_assignsubmission_file_/tiny_page.py")
    read = handed.by_student()
    assert set(read) == {"Sam Lee (11)", "Sam Lee (12)", "Participant (99)"}
    assert read["Sam Lee (12)"].pages == [PageSource("tiny_page", ["x = 12\n"])]


def test_canvas(handed: Handed) -> None:
    """One flat folder: lateness is named although Canvas does not say since when, and a second upload's -1 goes."""
    handed.put("lovelaceada_1234_5678_tiny_page-1.py").put("rossbob_LATE_77_5679_tiny_page.py")
    handed.put("anon_kX9_5680_tiny_page.py").put("LATE_anon_q1_5681_tiny_page.py").put("kim_5_text.html")
    handed.put("kim_5_6_all.zip", pack("zip", ("a/tiny_page.py", b"x = 1\n")))
    found = handed.read()
    read = {s.student: s for s in found.submissions}
    assert set(read) == {"lovelaceada", "rossbob", "anon_kX9", "anon_q1", "kim"}
    assert all(s.pages == READ for s in read.values())
    for name in ("rossbob", "anon_q1"):
        assert "late, says Canvas, but not since when; give the time with --submitted-at" in read[name].problems[0]
    assert read["lovelaceada"].problems == [] and "typed into Canvas" in read["kim"].problems[0]


GRADESCOPE = """\
submission_123:
  :submitters:
  - :name: Ada Lovelace
    :sid: '42'
    :email: ada@uni.example
  :created_at: 2026-11-20 20:15:00.000000000 Z
  :results: !ruby/object:Thing {}
submission_124:
  :submitters:
  - :name: Bob
    :email: b@x
  - :name: Kim
    :email: k@x
  :created_at: soon
submission_125:
  :submitters:
  - :name: Gone
  :created_at: 2026-11-20 20:15:00 Z
"""


def test_gradescope(handed: Handed) -> None:
    """The export's metadata gives names, ids and times; a group is graded for each of its members."""
    handed.put("submission_metadata.yml", GRADESCOPE)
    handed.put("submission_123/tiny_page.py").put("submission_124/tiny_page.py").put("submission_9/tiny_page.py")
    found = handed.read()
    read = {s.student: s for s in found.submissions}
    assert set(read) == {"Ada Lovelace", "Bob", "Kim"} and all(s.pages == READ for s in read.values())
    assert read["Ada Lovelace"].submitted_at == datetime(2026, 11, 20, 20, 15, tzinfo=UTC)
    assert read["Bob"].submitted_at is None and "'soon' is not a time" in read["Kim"].problems[0]
    assert sorted(found.passed_over) == [
        "submission_125: in submission_metadata.yml, but there is no such folder",
        "submission_9: not in submission_metadata.yml",
    ]


@pytest.mark.parametrize("text", ["- a\n- b\n", "{", "a: !!python/object/apply:os.system ['touch x']\n", "\0"])
def test_broken_metadata(handed: Handed, text: str) -> None:
    """What is not the export's list is an error that names the file; nothing in it is run."""
    handed.put("submission_metadata.yml", text).put("submission_1/tiny_page.py")
    with pytest.raises(UsageError, match=r"submission_metadata\.yml: not|nothing to grade"):
        handed.read()


def test_repositories(handed: Handed) -> None:
    """Clones are called after the assignment and the user; files lie at the top or below assignments/."""
    handed.put("unit0-ada-l/tiny_page.py").put("unit0-ada-l/.git/HEAD", "ref")
    handed.put(f"{UNIT}-bob/assignments/{UNIT}/tiny_page.py").put(f"{UNIT}-bob/.git", "gitdir: x")
    assert {name: s.pages for name, s in handed.by_student().items()} == {"ada-l": READ, "bob": READ}


def test_repositories_of_another_name(handed: Handed) -> None:
    """What all clones begin with is the assignment, whatever it is called."""
    for user in ("ada", "bob-x"):
        handed.put(f"deep-learning-hw-{user}/src/tiny_page.py").put(f"deep-learning-hw-{user}/.git/HEAD", "ref")
    assert set(handed.by_student()) == {"ada", "bob-x"}


def test_a_layout_that_is_asked_for(handed: Handed) -> None:
    """With --layout every name is read as that platform's, and what is not is passed over by name."""
    handed.put("a_1_2_tiny_page.py").put(f"odd_1_assignsubmission_file_/{UNIT}/tiny_page.py").put("plain/tiny_page.py")
    assert set(handed.by_student()) == {"a", "odd", "plain"}
    found = handed.read(layout="canvas")
    assert [s.student for s in found.submissions] == ["a"]
    assert "plain: not called as the layout canvas does" in found.passed_over
    assert "odd_1_assignsubmission_file_" in handed.by_student(layout="nbgrader")
    with pytest.raises(UsageError, match=r"--layout gradescope: no submission_metadata\.yml"):
        handed.read(layout="gradescope")
    with pytest.raises(UsageError, match="--layout sakai: choose one of auto, nbgrader, moodle"):
        handed.read(layout="sakai")


@pytest.mark.parametrize("top", ["", "download/"])
def test_a_platforms_zip(handed: Handed, top: str) -> None:
    """The download need not be unpacked first, whichever platform it is from."""
    moodle = handed.submitted.with_name("moodle.zip")
    names = ("Zoë_1_assignsubmission_file_/tiny_page.py", "Bob_2_assignsubmission_file_tiny_page.py")
    moodle.write_bytes(pack("zip", *((f"{top}{name}", b"x = 1\n") for name in names)))
    assert {n: s.pages for n, s in handed.by_student(moodle).items()} == {"Zoë": READ, "Bob": READ}
    gradescope = handed.submitted.with_name("export.zip")
    files = [("submission_metadata.yml", GRADESCOPE.encode()), ("submission_123/tiny_page.py", b"x = 1\n")]
    gradescope.write_bytes(pack("zip", *((f"{top}{name}", data) for name, data in files)))
    read = handed.by_student(gradescope)["Ada Lovelace"]
    assert read.pages == READ and read.submitted_at == datetime(2026, 11, 20, 20, 15, tzinfo=UTC)


def test_files_of_nobody_are_named(handed: Handed) -> None:
    """A PDF, a mail or a spreadsheet beside the students' folders is work of somebody's, and not lost in silence."""
    handed.put("ada/tiny_page.py").put("bob.pdf").put("Re_ homework.eml").put("eve.docx").put("x.csv").put(".DS_Store")
    assert handed.read().passed_over == [
        "Re_ homework.eml, bob.pdf, eve.docx: not read; only students' folders and archives are"
    ]


def test_blackboard(handed: Handed) -> None:
    """The last attempt counts and earlier ones are named; receipts are nobody's work; underscores stay in names."""
    for user in ("a_smith", "b_smith", "lovelace"):
        head = f"Unit 0_{user}_attempt_2026-11-30-10-15-22"
        handed.put(f"{head}.txt", "Name: x").put(f"{head}_tiny_page.py", f"x = '{user}'\n")
    handed.put("Unit 0_lovelace_attempt_2026-11-29-23-00-00_tiny_page.py", "x = 'old'\n")
    handed.put("Unit 0_kim_attempt_2026-11-30-11-00-00_all.zip", pack("zip", ("a/tiny_page.py", b"x = 'kim'\n")))
    found = handed.read()
    read = {s.student: [page.cells for page in s.pages] for s in found.submissions}
    assert read == {user: [[f"x = '{user}'\n"]] for user in ("a_smith", "b_smith", "lovelace", "kim")}
    (earlier,) = found.passed_over
    assert earlier.startswith("Unit 0_lovelace_attempt_2026-11-29") and "an earlier attempt" in earlier
    assert all(s.submitted_at is None for s in found.submissions)


def test_brightspace(handed: Handed) -> None:
    """Folders or files with number, name and date; the last attempt counts, of dates that nobody reads none."""
    handed.put("123-9 - Grace Hopper - Nov 30, 2026 1015 AM/tiny_page.py").put("index.html", "<p>")
    handed.put("124-9 - Kurt Gödel- 30 novembre, 2026 1015 - tiny_page.py")
    for time, text in (
        ("9, 2026 1015 PM", "x = 2\n"),
        ("10, 2026 1215 AM", "x = 3\n"),
        ("10, 2026 0115 AM", "x = 1\n"),
    ):
        handed.put(f"125-9 - Mary-Ann O'Neil - Nov {time} - tiny_page.py", text)
    for day in (29, 30):
        handed.put(f"126-9 - Ana Díaz - {day} noviembre, 2026 1015 - tiny_page.py", f"x = {day}\n")
    found = handed.read()
    read = {s.student: s for s in found.submissions}
    assert set(read) == {"Grace Hopper", "Kurt Gödel", "Mary-Ann O'Neil", "Ana Díaz"}
    assert all(read[name].pages == READ for name in read if name != "Ana Díaz")
    assert read["Ana Díaz"].pages == [] and "which one counts?" in read["Ana Díaz"].problems[0]
    assert sum("an earlier attempt, the last one counts" in line for line in found.passed_over) == 2

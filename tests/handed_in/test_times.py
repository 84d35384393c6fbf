"""Who decides the time: nbgrader's exchange, the platform or the instructor, and never the student."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from autograder.errors import UsageError
from tests.handed_in.conftest import UNIT, Handed
from tests.handed_in.test_archives import pack

EARLY, LATE = "2026-11-30 10:00:00 UTC", "2026-12-20 10:00:00 UTC"


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-11-30 10:00:00 UTC", datetime(2026, 11, 30, 10, tzinfo=UTC)),
        ("2026-11-30 10:00:00.500000 UTC\n", datetime(2026, 11, 30, 10, 0, 0, 500000, tzinfo=UTC)),
        ("2026-11-30T10:00:00", datetime(2026, 11, 30, 10, tzinfo=UTC)),
        ("2026-11-30T10:00:00+02:00", datetime(2026, 11, 30, 8, tzinfo=UTC)),
        ("2026-11-30T10:00:00Z", datetime(2026, 11, 30, 10, tzinfo=UTC)),
    ],
)
def test_the_exchange(handed: Handed, monkeypatch: pytest.MonkeyPatch, text: str, when: datetime) -> None:
    """nbgrader's timestamp.txt in a folder submission is read; a time without a zone is UTC."""
    _now(monkeypatch, datetime(2027, 1, 1, tzinfo=UTC))
    read = handed.page("tiny_page.py").page("timestamp.txt", text).ada()
    assert (read.submitted_at, read.problems) == (when, [])


@pytest.mark.parametrize(
    "data", [b"", b"yesterday\x1b[2J", b"\xff\xfe", b"2026-13-45", b"9" * 1000, b"16.12.2026 10:00"]
)
def test_an_unreadable_time(handed: Handed, data: bytes) -> None:
    """A time that is none is a problem in printable words, and no time."""
    read = handed.page("timestamp.txt", data).ada()
    assert read.submitted_at is None
    (problem,) = read.problems
    assert problem.startswith("timestamp.txt: ") and problem.isprintable() and "handed in on time" in problem


def test_a_time_that_is_a_link(handed: Handed) -> None:
    """It is not followed, and the problem says so."""
    (handed.folder / "timestamp.txt").symlink_to("/etc/hostname")
    assert handed.ada().problems == ["timestamp.txt: a symbolic link"]


def test_a_time_to_come(handed: Handed) -> None:
    """A time in the future is kept, so that it costs what it says, and is named."""
    read = handed.page("timestamp.txt", "2999-01-01 00:00:00 UTC").ada()
    assert read.submitted_at == datetime(2999, 1, 1, tzinfo=UTC)
    assert "timestamp.txt: 2999-01-01 00:00 UTC is still to come" in read.problems[0]


def test_a_missing_time(handed: Handed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others have a time a missing one is the student's problem; where nobody has one it is said once."""
    _now(monkeypatch, datetime(2027, 1, 1, tzinfo=UTC))
    found = handed.page("tiny_page.py").read()
    assert found.submissions[0].problems == [] and len(found.notes) == 1 and UNIT in found.notes[0]
    handed.put(f"bob/{UNIT}/tiny_page.py").put(f"bob/{UNIT}/timestamp.txt", EARLY)
    found = handed.read()
    ada, bob = found.submissions
    assert "no time of submission" in ada.problems[0] and bob.problems == [] and found.notes == []


# ---------------------------------------------------------------- ways to lie

LIES: dict[str, Callable[[Handed], object]] = {
    "in an archive": lambda h: h.put("eve.zip", pack("zip", (f"{UNIT}/tiny_page.py", b"x"), _lie(f"{UNIT}/"))),
    "in an archive of the unit": lambda h: h.put(f"eve/{UNIT}.tar", pack("tar", ("tiny_page.py", b"x"), _lie())),
    "in an archive in the folder": lambda h: h.put(f"eve/{UNIT}/x.zip", pack("zip", ("tiny_page.py", b"x"), _lie())),
    "at the top": lambda h: h.put("eve/timestamp.txt", EARLY).put("eve/tiny_page.py"),
    "a folder deeper": lambda h: h.put(f"eve/{UNIT}/{UNIT}/timestamp.txt", EARLY).put(f"eve/{UNIT}/tiny_page.py"),
    "a folder higher": lambda h: h.put(f"eve/w/{UNIT}/timestamp.txt", EARLY).put(f"eve/w/{UNIT}/tiny_page.py"),
    "in Moodle's download": lambda h: h.put("eve_1_assignsubmission_file_/timestamp.txt", EARLY).put(
        f"eve_1_assignsubmission_file_/{UNIT}/tiny_page.py"
    ),
    "in Moodle's unit": lambda h: h.put(f"eve_1_assignsubmission_file_/{UNIT}/timestamp.txt", EARLY).put(
        f"eve_1_assignsubmission_file_/{UNIT}/tiny_page.py"
    ),
    "in Canvas's download": lambda h: h.put("eve_1_2_timestamp.txt", EARLY).put("eve_1_3_tiny_page.py"),
    "in a repository": lambda h: (
        h.put(f"unit0-eve/{UNIT}/timestamp.txt", EARLY).put(f"unit0-eve/{UNIT}/tiny_page.py").put("unit0-eve/.git/HEAD")
    ),
    "in the page": lambda h: h.put(f"eve/{UNIT}/tiny_page.py", f"submitted_at = '{EARLY}'\n"),
    "another page's name": lambda h: h.put(f"eve/{UNIT}/tiny_page.py").put(f"eve/{UNIT}/Timestamp.txt", EARLY),
    "gradescope's metadata": lambda h: h.put(
        f"eve/{UNIT}/submission_metadata.yml", "eve:\n  :created_at: 2026-11-30 10:00:00 Z\n"
    ).put(f"eve/{UNIT}/tiny_page.py"),
}


def _lie(below: str = "") -> tuple[str, bytes]:
    return f"{below}timestamp.txt", EARLY.encode()


@pytest.mark.parametrize("way", LIES)
def test_no_student_writes_the_time(handed: Handed, way: str, tmp_path: Path) -> None:
    """Whatever way: no time comes of it, and where the file could be meant as one the student reads that."""
    LIES[way](handed)
    eve = handed.by_student()["eve"]
    assert eve.pages and eve.submitted_at is None
    if way not in ("in the page", "another page's name", "gradescope's metadata"):
        assert any("timestamp.txt" in problem and "not believed" in problem for problem in eve.problems), eve.problems
    (table := tmp_path / "times.csv").write_text(f"student,submitted_at\neve,{LATE}\n")
    told = handed.by_student(submitted_at=table)["eve"]
    assert told.submitted_at == datetime(2026, 12, 20, 10, tzinfo=UTC)


# ---------------------------------------------------------------- --submitted-at


def test_the_instructors_table_counts_before_all(handed: Handed, tmp_path: Path) -> None:
    """It goes by any name of the student, for a unit or for all of them; who is not in it is told so."""
    handed.page("tiny_page.py").page("timestamp.txt", LATE)
    handed.put(f"Bob Ross_78_assignsubmission_file_/{UNIT}/tiny_page.py").put(f"carol/{UNIT}/tiny_page.py")
    table = tmp_path / "times.csv"
    table.write_text(f"name;unit;time\nADA;;{EARLY}\n78;{UNIT};2026-12-01 08:00\ngone;;{EARLY}\n", encoding="utf-16")
    found = handed.read(submitted_at=table)
    read = {s.student: s for s in found.submissions}
    assert read["ada"].submitted_at == datetime(2026, 11, 30, 10, tzinfo=UTC)
    assert read["Bob Ross"].submitted_at == datetime(2026, 12, 1, 8, tzinfo=UTC)
    assert read["carol"].problems == ["times.csv: no time for this student; it counts as handed in on time"]
    assert found.notes == ["times.csv: nothing was handed in by gone"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the table is empty"),
        ("who,when\na,b\n", "no column student or .*; it has who, when"),
        (f"student,time,unit\nada,{EARLY},unit9\n", "line 2: no unit 'unit9' in course.toml"),
        (f"student,time\nada,{EARLY}\nada,{LATE}\n", "line 3: a second time for 'ada'"),
        (b"student,time\n\xff,x\n", "not UTF-8; save the table as CSV UTF-8"),
    ],
)
def test_a_broken_table(handed: Handed, tmp_path: Path, text: str | bytes, words: str) -> None:
    """It ends the run with the option, the file, the line and what is wrong."""
    (table := tmp_path / "times.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError, match=rf"--submitted-at .*times\.csv.*{words}"):
        handed.page("tiny_page.py").read(submitted_at=table)


def test_an_unreadable_time_of_the_table(handed: Handed, tmp_path: Path) -> None:
    """It is that student's problem, and names the table."""
    (table := tmp_path / "times.csv").write_text("student,time\nada,soon\n")
    read = handed.page("tiny_page.py").ada(submitted_at=table)
    assert read.submitted_at is None and read.problems[0].startswith("times.csv: 'soon' is not a time like")


def test_which_time_counts_is_what_is_said(handed: Handed, tmp_path: Path) -> None:
    """Where the exchange wrote a time it counts, and no message promises that the student is on time."""
    handed.page("tiny_page.py").page("timestamp.txt", "2020-12-20 10:00:00 UTC")
    (table := tmp_path / "times.csv").write_text("student,time\nada,20.11.2026 10:00\n")
    read = handed.ada(submitted_at=table)
    assert read.submitted_at == datetime(2020, 12, 20, 10, tzinfo=UTC)
    assert "the time in timestamp.txt counts" in read.problems[0] and "on time" not in read.problems[0]
    table.write_text(f"student,time\nbob,{EARLY}\n")
    assert handed.ada(submitted_at=table).problems == [
        "times.csv: no time for this student; the time in timestamp.txt counts"
    ]


def test_unreadable_times_of_the_table_are_noted_together(handed: Handed, tmp_path: Path) -> None:
    """With line and text, since a dry run shows no student's problems; Moodle's `-` is no time, and no mistake."""
    handed.page("tiny_page.py").put(f"bob/{UNIT}/tiny_page.py").put(f"eve/{UNIT}/tiny_page.py")
    (table := tmp_path / "times.csv").write_text("student,time\nada,20.11.2026 10:00\nbob,-\neve,46387.5\n")
    found = handed.read(submitted_at=table)
    said = "times.csv: no time can be read in line 2 '20.11.2026 10:00', line 4 '46387.5'; write it like 2026-11-30 10"
    assert any(note.startswith(said) for note in found.notes), found.notes
    bob = next(s for s in found.submissions if s.student == "bob")
    assert bob.problems == ["times.csv: no time for this student; it counts as handed in on time"]


def _now(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return now

    monkeypatch.setattr("autograder.intake.times.datetime", Clock)

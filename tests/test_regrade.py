"""Grading again: what would change is shown first, the best or latest submission counts, and a score is explained."""

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from autograder.course import Course, SubmissionPolicy
from autograder.results.attempts import after_writing, read_class, read_submissions, write_latest
from autograder.results.record import UnitResult, read_result

UNIT = "unit0_tiny"
# what four students hand in first: all right, one exercise wrong, untouched, and late
WRONG = "\n\ndef double(x):\n    return x * x\n"
LATE = "2026-12-16 12:00:00 UTC"


class Batch:
    """A class of the tiny course, graded with no wall (the pages are ours)."""

    def __init__(self, course: Course, folder: Path, cli: Any) -> None:
        self.course, self._cli = course, cli
        self.submitted, self.out, self.times = folder / "submitted", folder / "graded", folder / "times.csv"
        self.solution = (course.solutions / UNIT / "tiny_page.py").read_text()
        self.hand_in("ada", self.solution)
        self.hand_in("bob", self.solution + WRONG)
        self.hand_in("late", self.solution + WRONG)
        self.times.write_text(f"student,submitted_at\nlate,{LATE}\nada,2026-11-01\nbob,2026-11-01\n")

    def hand_in(self, student: str, page: str) -> None:
        (self.submitted / student / UNIT).mkdir(parents=True, exist_ok=True)
        (self.submitted / student / UNIT / "tiny_page.py").write_text(page)

    def run(self, *extra: str, command: str = "grade") -> Any:
        arguments = [self.submitted, "--out", self.out, "--submitted-at", self.times, "--isolation", "none"]
        return self._cli(command, *arguments, "--jobs", "1", *extra, cwd=self.course.root)

    def grade(self, *extra: str) -> dict[str, Any]:
        done = self.run("--json", *extra)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def show(self, *extra: str) -> Any:
        return self._cli("show", *extra, "--out", self.out, cwd=self.course.root)

    def files(self) -> dict[Path, bytes]:
        """Everything below the folder of results; the lock is a file too."""
        return {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.course.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))


@pytest.fixture
def batch(tiny_course: Callable[[Path], Course], tmp_path: Path, cli: Any) -> Iterator[Batch]:
    yield Batch(tiny_course(tmp_path), tmp_path, cli)


def lines(report: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(c["student"], c["exercise"], c["old"], c["new"], c["why"]) for c in report["changes"]}


def test_a_dry_run_tells_what_grade_then_does(batch: Batch) -> None:
    """Before anything was graded, after an edit, a grader's change, new points: shown, not written, then applied."""
    first = batch.grade("--dry-run", "--seed", "5eed")
    assert not batch.out.exists() and first["dry_run"] and first["gradebook"] is None
    parts = ("twice", "scale_layer", "")
    points = {"ada": (4, 6, 10), "bob": (1, 6, 7), "late": (1, 6, 5.6)}
    assert lines(first) == {
        (student, part, None, new, "first graded")
        for student, all_new in points.items()
        for part, new in zip(parts, all_new, strict=True)
    }
    graded = batch.grade("--seed", "5eed")
    assert [g["score"] for g in graded["grades"]] == [10, 7, 5.6] and graded["changes"] == []
    before = batch.files()
    assert batch.grade("--dry-run")["changes"] == [] and batch.files() == before

    batch.hand_in("bob", batch.solution)
    expected = {("bob", "twice", 1, 4, "submission"), ("bob", "", 7, 10, "submission")}
    assert lines(batch.grade("--dry-run")) == expected and batch.files() == before
    batch.grade()
    assert batch.files() != before and batch.grade("--dry-run")["fresh"] == 0

    grader = f"autograder/graders/{UNIT}/test_tiny_page.py"
    batch.edit(grader, "@pytest.mark.weight(3)", "@pytest.mark.weight(1)")
    assert lines(batch.grade("--dry-run")) == {("late", "twice", 1, 2, "grader"), ("late", "", 5.6, 6.4, "grader")}
    batch.edit("course.toml", "points = 6", "points = 16")
    text = batch.run("--dry-run").stdout
    rows = [line.split() for line in text.splitlines()]
    assert ["ada", UNIT, "scale_layer", "6", "16", "grader,", "course"] in rows
    assert ["late", UNIT, "(late", "policy", "included)", "5.6", "14.4", "grader,", "course"] in rows
    assert "dry run, nothing was written: 3 graded again, 0 unchanged; 3 students change" in text
    assert "the same command without --dry-run applies it; --seed " in text
    (seed,) = (line.split("--seed ")[1].split()[0] for line in text.splitlines() if "--seed " in line)
    assert [g["score"] for g in batch.grade("--seed", seed)["grades"]] == [20, 20, 14.4]


def test_what_changes_elsewhere_is_shown_too(batch: Batch) -> None:
    """A time of hand-in, and versions; what the policy alone changes needs no grading and is no change of a result."""
    batch.grade()
    batch.times.write_text("student,submitted_at\nlate,2026-12-01\nada,2026-11-01\nbob,2026-11-01\n")
    before = batch.files()
    report = batch.grade("--dry-run")
    assert (report["fresh"], lines(report)) == (0, {("late", "", 5.6, 7, "time of hand-in")})
    assert batch.files() == before
    path = batch.out / "students" / "ada" / UNIT / "result.json"
    data = json.loads(path.read_text())
    data["basis"]["versions"]["torch"], data["fingerprint"] = "1.0", "sha256:0"
    data["exercises"][0]["score"] = 3.0
    path.write_text(json.dumps(data))
    torch = batch.grade("--student", "ada")["results"][0]["basis"]["versions"]["torch"]
    path.write_text(json.dumps(data))
    assert ("ada", "twice", 3, 4, f"torch 1.0 -> {torch}") in lines(batch.grade("--dry-run"))


def test_grading_again_by_request(batch: Batch) -> None:
    """--regrade with --dry-run grades everything, and where nothing changes it says nothing."""
    batch.grade()
    report = batch.grade("--dry-run", "--regrade")
    assert (report["fresh"], report["changes"]) == (3, [])


# ---------------------------------------------------------------- best or latest


def test_the_best_submission_counts(batch: Batch) -> None:
    """A worse one later costs nothing, the first is not graded again, and the policy can change afterwards."""
    batch.edit("course.toml", "[late]", '[policy]\nkeep = "best"\n\n[late]')
    batch.grade("--student", "ada")
    first = read_result(batch.out / "students" / "ada" / UNIT / "result.json")
    assert first is not None
    batch.hand_in("ada", batch.solution + WRONG)
    assert batch.grade("--student", "ada", "--dry-run")["changes"] == []
    report = batch.grade("--student", "ada")
    assert (report["fresh"], report["grades"][0]["score"]) == (1, 10)
    latest, earlier = read_submissions(batch.out, "ada", UNIT)
    assert (latest.score, earlier) == (7, first)
    assert latest.basis.submission != earlier.basis.submission
    assert "another one, handed in 2026-11-01 00:00:00 UTC: 7 (7 for the tests)" in batch.show("ada", UNIT).stdout
    batch.edit("course.toml", 'keep = "best"', 'keep = "latest"')
    report = batch.grade("--student", "ada")
    assert (report["fresh"], report["grades"][0]["score"]) == (0, 7)
    batch.edit("course.toml", 'keep = "latest"', 'keep = "best"')
    batch.hand_in("ada", batch.solution)
    report = batch.grade("--student", "ada")
    assert (report["fresh"], report["grades"][0]["score"]) == (0, 10)
    assert [r.score for r in read_submissions(batch.out, "ada", UNIT)] == [10, 7]


def test_the_latest_submission_counts_by_default(batch: Batch) -> None:
    """It replaces what was there, and nothing is kept beside it."""
    batch.grade("--student", "ada")
    batch.hand_in("ada", batch.solution + WRONG)
    assert batch.grade("--student", "ada")["grades"][0]["score"] == 7
    folder = batch.out / "students" / "ada" / UNIT
    assert [path.name for path in folder.iterdir()] == ["result.json"]


def test_the_same_submission_graded_anew_replaces_itself(batch: Batch) -> None:
    """Where the best counts, a newer grader's word still replaces the older one's about the same bytes."""
    best = replace(batch.course, policy=SubmissionPolicy(keep="best"))
    batch.grade("--student", "ada")
    (first,) = read_submissions(batch.out, "ada", UNIT)
    stricter = replace(first, fingerprint="sha256:1", graded_at="2099-01-01T00:00:00Z", exercises=[])
    write_latest(batch.out, best, stricter)
    assert read_submissions(batch.out, "ada", UNIT) == [stricter]


def test_what_is_foretold_is_what_is_written(batch: Batch) -> None:
    """`after_writing` says what `write_latest` leaves, for both policies, in any order of three submissions."""
    batch.grade("--student", "ada")
    (first,) = read_submissions(batch.out, "ada", UNIT)
    made: dict[str, UnitResult] = {
        name: replace(
            first,
            basis=replace(first.basis, submission=name * 40),
            graded_at=f"2026-12-0{day}T00:00:00Z",
            fingerprint=f"sha256:{name}",
        )
        for day, name in enumerate("abc", start=1)
    }
    for keep in ("best", "latest"):
        course = replace(batch.course, policy=SubmissionPolicy(keep=keep))
        for order in ("abc", "aba", "abcab", "aa", "abb"):
            out = batch.out.parent / f"{keep}-{order}"
            for name in order:
                before = read_submissions(out, "ada", UNIT)
                write_latest(out, course, made[name])
                after = read_submissions(out, "ada", UNIT)
                assert sorted(r.fingerprint for r in after_writing(course, before, made[name])) == sorted(
                    r.fingerprint for r in after
                )
                assert after[0] == made[name]
            assert len(after) == (len(set(order)) if keep == "best" else 1), order
            assert [r for r in read_class(out, course).all()] == after


# ---------------------------------------------------------------- show


def test_show_tells_how_a_score_came_about(batch: Batch) -> None:
    """Points by weight, every test with its outcome and words, the late policy in numbers, what it rests on."""
    batch.grade("--seed", "5eed")
    (batch.course.root / "extensions.csv").write_text("student,unit,days\nLATE,unit0_tiny,1\n")
    text = batch.show("Late", UNIT).stdout
    assert f"late, {UNIT}: 6.3 of 10\n  tests       7 of 10\n" in text
    assert (
        "  late        -0.7: handed in 2026-12-16 12:00:00 UTC, due 2026-12-15 22:59:00 UTC (extensions.csv, line 2), "
        "46860 s late, 1 started day, 10.00% of 7\n"
    ) in text
    assert "twice (tiny_page): 1 of 4 = 4 x 1/4\n  passed        weight 1    test_shape  gate\n" in text
    assert "  failed        weight 3    test_values  [squared]\n      Every element is twice as large." in text
    assert "Probably x was multiplied by itself." in text
    result = read_result(batch.out / "students" / "late" / UNIT / "result.json")
    assert result is not None
    assert f"fingerprint {result.fingerprint}" in text and f"  submission  {result.basis.submission}" in text
    told = json.loads(batch.show("late", UNIT, "--json").stdout)
    assert told["counted"]["grade"]["score"] == 6.3 and told["keep"] == "latest" and told["seed"] == "5eed"


def test_the_command_that_repeats_it(batch: Batch, cli: Any) -> None:
    """It runs as it is printed, draws the same inputs, writes nothing, and gives the same fingerprint and messages."""
    batch.grade()
    text = batch.show("bob", UNIT).stdout
    (command,) = (line for line in text.splitlines() if line.startswith("  autograder grade "))
    program, *arguments = shlex.split(command)
    before = batch.files()
    done = cli(*arguments, "--json", "--submitted-at", str(batch.times), cwd=batch.course.root)
    assert done.returncode == 0 and program == "autograder", done.stderr
    again = json.loads(done.stdout)
    result = read_result(batch.out / "students" / "bob" / UNIT / "result.json")
    assert result is not None and batch.files() == before
    assert again["results"][0]["fingerprint"] == result.fingerprint and again["changes"] == []
    tests = [(t["name"], t["message"]) for e in again["results"][0]["exercises"] for t in e["tests"]]
    assert tests == [(t.name, t.message) for e in result.exercises for t in e.tests]
    (batch.out / "runs.json").unlink()
    text = batch.show("bob", UNIT).stdout
    assert "autograder grade SUBMITTED --unit" in text and "the seed is not in runs.json any more" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody", UNIT), "no result of nobody in "),
        (("adda", UNIT), "no result of adda in "),
        (("ada", "unit0_tinny"), "did you mean 'unit0_tiny'?"),
    ],
)
def test_show_refuses(batch: Batch, arguments: tuple[str, str], words: str) -> None:
    """An unknown student or unit is one sentence, with who was probably meant."""
    batch.grade("--student", "ada")
    done = batch.show(*arguments)
    assert done.returncode == 4 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert "ada" in done.stderr or "unit" in words


def test_show_writes_a_students_words_as_text(batch: Batch) -> None:
    """Nothing that moves a cursor or looks like markup of the terminal library."""
    page = batch.solution + "\n\ndef double(x):\n    raise ValueError('[red]\\x1b[2J\\u202eabc')\n"
    batch.hand_in("eve", page)
    batch.grade("--student", "eve")
    text = batch.show("eve", UNIT).stdout
    assert "[red]\\x1b[2J\\u202eabc" in text and "\x1b" not in text and "\u202e" not in text

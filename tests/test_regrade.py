"""Grading again: what would change is shown first, the best or latest submission counts, and a score is explained."""

import io
import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from autograder.commands import show
from autograder.commands.grade import Options, run_grade
from autograder.course import Course, load_course
from autograder.errors import UsageError
from autograder.intake.finding import Asked
from autograder.intake.submission import Submission
from autograder.policies import SubmissionPolicy
from autograder.results.attempts import after_writing, read_class, read_submissions, write_latest
from autograder.results.record import Outcome, TestResult, UnitResult, read_result
from autograder.rooms import batch as batch_module
from autograder.rooms.room import Graded

KIT = Path(batch_module.__file__).parents[1]
UNIT = "unit0_tiny"
WRONG = "\n\ndef double(x):\n    return x * x\n"
HAND_IN = "2026-12-16 12:00:00 UTC"  # the tiny course's unit is due on 14 December, 23:59 CET: two started days


class Batch:
    """Three students of the tiny course: all right, one exercise wrong, the same late. No wall: the pages are ours."""

    def __init__(self, course: Course, folder: Path) -> None:
        self.root = course.root
        self.submitted, self.out, self.times = folder / "submitted", folder / "graded", folder / "times.csv"
        self.solution = (course.solutions / UNIT / "tiny_page.py").read_text()
        self.hand_in("ada", self.solution)
        self.hand_in("bob", self.solution + WRONG)
        self.hand_in("late", self.solution + WRONG)
        self.times.write_text(f"student,submitted_at\nlate,{HAND_IN}\nada,2026-11-01\nbob,2026-11-01\n")
        self.printed = ""

    def hand_in(self, student: str, page: str) -> None:
        (self.submitted / student / UNIT).mkdir(parents=True, exist_ok=True)
        (self.submitted / student / UNIT / "tiny_page.py").write_text(page)

    def grade(self, student: str | None = None, seed: str = "5eed", **options: Any) -> dict[str, Any]:
        """What `grade` prints with --json; `printed` is what it prints without."""
        asked = Asked(student=student, submitted_at=self.times)
        given = Options(
            submitted=self.submitted,
            out=self.out,
            asked=asked,
            isolation="none",
            gradebook=False,
            seed=bytes.fromhex(seed),
            **options,
        )
        terminal = io.StringIO()
        report = run_grade(load_course(self.root), given, quiet=False, console=Console(file=terminal, width=160))
        self.printed = terminal.getvalue()
        report.write_json(written := io.BytesIO())
        return json.loads(written.getvalue())  # type: ignore[no-any-return]

    def show(self, student: str) -> str:
        course, terminal = load_course(self.root), io.StringIO()
        show.render(show.find(course, student, course.unit(UNIT), self.out), Console(file=terminal, width=300))
        return terminal.getvalue()

    def result(self, student: str) -> UnitResult:
        result = read_result(self.out / "students" / student / UNIT / "result.json")
        assert result is not None
        return result

    def files(self) -> dict[Path, bytes]:
        """Everything below the folder of results."""
        return {path: path.read_bytes() for path in self.out.rglob("*") if path.is_file()}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))


@pytest.fixture
def batch(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Batch:
    return Batch(tiny_course(tmp_path), tmp_path)


@pytest.fixture
def quick(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """The same without rooms: what a page would get is read off its text."""

    def grade_all(submissions: Sequence[Submission], *_: object) -> Iterator[tuple[int, bytes]]:
        for position, submission in enumerate(submissions):
            text = "\n".join(cell for page in submission.pages for cell in page.cells)
            said = "[red]\x1b[2J\u202eabc\n  [/red]" if "raise" in text else "no"
            second = Outcome.FAILED if "x * x" in text or "raise" in text else Outcome.PASSED
            tests = [
                TestResult(name="test_shape", outcome=Outcome.PASSED, gate=True),
                TestResult(name="test_values", outcome=second, weight=3, message="" if second == "passed" else said),
            ]
            right = [TestResult(name="test_factor", outcome=Outcome.PASSED)]
            results = {"twice": tests, "scale_layer": right}
            yield (
                position,
                msgspec.msgpack.encode(Graded(results=results, problems=submission.problems, duration_s=0.1)),
            )

    monkeypatch.setattr("autograder.rooms.batch.grade_all", grade_all)
    return batch


def lines(report: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(c["student"], c["exercise"], c["old"], c["new"], c["why"]) for c in report["changes"]}


def test_a_result_of_another_version_is_not_written_over(quick: Batch) -> None:
    """Somebody graded with a newer kit: its file stays, the others are graded, and the report says what to do."""
    quick.grade()
    file = quick.out / "students" / "ada" / UNIT / "result.json"
    newer = file.read_bytes().replace(b"result/v1", b"result/v2")
    file.write_bytes(newer)
    for options in ({"dry_run": True}, {}, {"regrade": True}):
        report = quick.grade(**options)
        (said,) = report["passed_over"]
        assert "ada" in said and "of the form 'autograder/result/v2'" in said and "it stays as it is" in said
        assert [grade["student"] for grade in report["grades"]] == ["bob", "late"]
        assert file.read_bytes() == newer


def test_a_dry_run_tells_what_grade_then_does(batch: Batch) -> None:
    """A grader's and the course's change: shown and not written, then applied, and the same comes of it."""
    first = batch.grade(dry_run=True)
    assert not batch.out.exists() and first["dry_run"]
    parts = ("twice", "scale_layer", "")
    points = {"ada": (4, 6, 10), "bob": (1, 6, 7), "late": (1, 6, 5.6)}
    assert lines(first) == {
        (student, part, None, new, "first graded")
        for student, all_new in points.items()
        for part, new in zip(parts, all_new, strict=True)
    }
    graded = batch.grade()
    assert [g["score"] for g in graded["grades"]] == [10, 7, 5.6] and graded["changes"] == []
    before = batch.files()
    batch.edit(f"autograder/graders/{UNIT}/test_tiny_page.py", "@pytest.mark.weight(3)", "@pytest.mark.weight(1)")
    batch.edit("course.toml", "points = 6", "points = 16")
    assert lines(batch.grade(dry_run=True)) == {
        *(("ada", exercise, *change, "grader, course") for exercise, *change in (("scale_layer", 6, 16), ("", 10, 20))),
        *(
            ("bob", e, *change, "grader, course")
            for e, *change in (("twice", 1, 2), ("scale_layer", 6, 16), ("", 7, 18))
        ),
        *(("late", e, *c, "grader, course") for e, *c in (("twice", 1, 2), ("scale_layer", 6, 16), ("", 5.6, 14.4))),
    }
    assert batch.files() == before
    assert [g["score"] for g in batch.grade()["grades"]] == [20, 18, 14.4]


def test_a_dry_run_writes_nothing(quick: Batch) -> None:
    """No folder, no seed, no gradebook; and it says how to apply what it showed."""
    quick.grade(dry_run=True, seed="c0ffee")
    assert not quick.out.exists()
    rows = [line.split() for line in quick.printed.splitlines()]
    assert ["late", UNIT, "twice", "-", "1", "first", "graded"] in rows
    assert ["late", UNIT, "(late", "policy", "included)", "-", "5.6", "first", "graded"] in rows
    assert "dry run, nothing was written: 3 graded again, 0 unchanged; 3 students change" in quick.printed
    assert "the same command without --dry-run applies it; --seed c0ffee draws the same inputs" in quick.printed
    quick.grade()
    before = quick.files()
    quick.grade(dry_run=True)
    assert "0 graded again, 3 unchanged; 0 students change" in quick.printed and "--seed" not in quick.printed
    quick.hand_in("bob", quick.solution)
    assert lines(quick.grade(dry_run=True)) == {("bob", "twice", 1, 4, "submission"), ("bob", "", 7, 10, "submission")}
    assert quick.files() == before
    report = quick.grade(dry_run=True, regrade=True, student="ada")
    assert (report["fresh"], report["changes"], quick.files()) == (1, [], before)


def test_why(quick: Batch) -> None:
    """The time of hand-in, a version, a request, and a result of before there were such reasons."""
    quick.grade()
    quick.times.write_text("student,submitted_at\nlate,2026-12-01\nada,2026-11-01\nbob,2026-11-01\n")
    report = quick.grade(dry_run=True)
    assert (report["fresh"], lines(report)) == (0, {("late", "", 5.6, 7, "time of hand-in")})
    path = quick.out / "students" / "ada" / UNIT / "result.json"
    data = json.loads(path.read_text())
    data["exercises"][0]["score"] = 3.0
    path.write_text(json.dumps(data))
    assert ("ada", "twice", 3, 4, "graded again") in lines(quick.grade(dry_run=True, regrade=True))
    torch, data["basis"]["versions"]["torch"], data["fingerprint"] = (
        data["basis"]["versions"]["torch"],
        "1.0",
        "sha256:0",
    )
    path.write_text(json.dumps(data))
    assert ("ada", "twice", 3, 4, f"torch 1.0 -> {torch}") in lines(quick.grade(dry_run=True))
    del data["basis"]
    path.write_text(json.dumps(data))
    assert ("ada", "twice", 3, 4, "graded by an earlier version") in lines(quick.grade(dry_run=True))


def test_other_code_of_the_kit_judges_anew(quick: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkouts of one version are two graders; what only shows results has no part in them."""
    here = batch_module._code()
    for changed, judges in (("grading/compare.py", True), ("results/scoring.py", True), ("commands/show.py", False)):
        root = quick.out.parent / changed.replace("/", "_")
        shutil.copytree(KIT, root, ignore=shutil.ignore_patterns("__pycache__", "graders"))
        with (root / changed).open("a") as file:
            file.write("# changed\n")
        monkeypatch.setattr(batch_module, "_KIT", root)
        batch_module._code.cache_clear()
        assert (batch_module._code() != here) == judges
    monkeypatch.undo()
    batch_module._code.cache_clear()
    quick.grade()
    assert quick.grade()["fresh"] == 0
    monkeypatch.setattr(batch_module, "_code", lambda: "another")
    report = quick.grade(dry_run=True, student="ada")
    assert report["fresh"] == 1


def test_what_builds_on_what_judges_anew(quick: Batch) -> None:
    """An error is carried over only to what does not build on it, so `builds_on` has a part in results."""
    quick.grade()
    quick.edit("course.toml", 'symbols = ["Scale"]\n', 'symbols = ["Scale"]\nbuilds_on = ["twice"]\n')
    assert quick.grade(dry_run=True, student="ada")["fresh"] == 1


# ---------------------------------------------------------------- best or latest


def test_what_is_not_handed_in_any_more_is_told(quick: Batch) -> None:
    """Its result stays and counts: a renamed student would be there twice without a word."""
    quick.grade()
    (quick.submitted / "bob").rename(quick.submitted / "Robert B")
    said = "of an earlier run, not among these submissions, and kept: bob/unit0_tiny; what should not count goes with"
    for dry in (True, False):
        assert any(note.startswith(said) for note in quick.grade(dry_run=dry)["notes"])
    assert not any("earlier run" in note for note in quick.grade(student="ada")["notes"])
    (quick.submitted / "Robert B").rename(quick.submitted / "bob")
    assert any("kept: Robert%20B/unit0_tiny" in note for note in quick.grade()["notes"])


def test_the_best_submission_counts(quick: Batch) -> None:
    """A worse one later costs nothing, the first is not graded again, and the policy can change afterwards."""
    quick.edit("course.toml", "[late]", '[policy]\nkeep = "best"\n\n[late]')
    quick.grade("ada")
    first = quick.result("ada")
    quick.hand_in("ada", quick.solution + WRONG)
    assert quick.grade("ada", dry_run=True)["changes"] == []
    report = quick.grade("ada")
    assert (report["fresh"], report["grades"][0]["score"], report["results"][0]["score"]) == (1, 10, 7)
    assert "an earlier submission counts" in quick.printed
    latest, earlier = read_submissions(quick.out, "ada", UNIT)
    assert (latest.score, earlier) == (7, first) and latest.basis.submission != earlier.basis.submission
    shown = quick.show("ada")
    assert "  submission  the best of 2\n" in shown
    assert "another one, handed in 2026-11-01 00:00:00 UTC: 7 (7 for the tests)" in shown
    quick.edit("course.toml", 'keep = "best"', 'keep = "latest"')
    report = quick.grade("ada")
    assert (report["fresh"], report["grades"][0]["score"]) == (0, 7)
    quick.edit("course.toml", 'keep = "latest"', 'keep = "best"')
    quick.hand_in("ada", quick.solution)
    report = quick.grade("ada")
    assert (report["fresh"], report["grades"][0]["score"]) == (0, 10)
    assert [r.score for r in read_submissions(quick.out, "ada", UNIT)] == [10, 7]


def test_the_latest_submission_counts_by_default(quick: Batch) -> None:
    """It replaces what was there, and nothing is kept beside it."""
    quick.grade("ada")
    quick.hand_in("ada", quick.solution + WRONG)
    assert quick.grade("ada")["grades"][0]["score"] == 7
    assert [path.name for path in (quick.out / "students" / "ada" / UNIT).iterdir()] == ["result.json"]


def test_a_fault_of_ours_in_the_latest_is_told(quick: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an earlier submission counts, a grader error in the latest one is still an error of this run."""
    quick.edit("course.toml", "[late]", '[policy]\nkeep = "best"\n\n[late]')
    quick.grade("ada")
    quick.hand_in("ada", quick.solution + WRONG)
    monkeypatch.setattr("autograder.rooms.batch.grade_all", lambda *_: (outcome for outcome in [(0, None)]))
    report = quick.grade("ada")
    assert report["grades"][0]["score"] == 10
    assert {t["outcome"] for e in report["results"][0]["exercises"] for t in e["tests"]} == {"grader_error"}
    assert "grader error: ada/unit0_tiny" in quick.printed


def test_the_same_submission_graded_anew_replaces_itself(quick: Batch) -> None:
    """Where the best counts, a newer grader's word still replaces the older one's about the same bytes."""
    best = replace(load_course(quick.root), policy=SubmissionPolicy(keep="best"))
    quick.grade("ada")
    stricter = replace(quick.result("ada"), fingerprint="sha256:1", exercises=[])
    write_latest(quick.out, best, stricter)
    assert read_submissions(quick.out, "ada", UNIT) == [stricter]


def test_what_is_foretold_is_what_is_written(quick: Batch) -> None:
    """`after_writing` says what `write_latest` leaves, for both policies, in any order of three submissions."""
    quick.grade("ada")
    first = quick.result("ada")
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
        course = replace(load_course(quick.root), policy=SubmissionPolicy(keep=keep))
        for order in ("abc", "aba", "abcab", "aa", "abb"):
            out = quick.out.parent / f"{keep}-{order}"
            after: list[UnitResult] = []
            for name in order:
                foretold = after_writing(course, after, made[name])
                write_latest(out, course, made[name])
                after = read_submissions(out, "ada", UNIT)
                assert {r.fingerprint for r in foretold} == {r.fingerprint for r in after}
                assert len(foretold) == len(after) and after[0] == made[name]
            assert len(after) == (len(set(order)) if keep == "best" else 1), order
            assert list(read_class(out, course).all()) == after


# ---------------------------------------------------------------- show


def test_show_tells_how_a_score_came_about(batch: Batch, cli: Any) -> None:
    """Points by weight, every test with its words, the late policy in numbers, what it rests on; how to repeat it."""
    batch.grade()
    (batch.root / "extensions.csv").write_text("student,unit,days\nLATE,unit0_tiny,1\n")
    text = batch.show("Late")
    assert f"late, {UNIT}: 6.3 of 10\n  tests       7 of 10\n" in text
    assert (
        "  late        -0.7: handed in 2026-12-16 12:00:00 UTC, due 2026-12-15 22:59:00 UTC (extensions.csv, line 2), "
        "46860 s late, 1 started day, 10.00% of 7\n"
    ) in text
    assert "twice (tiny_page): 1 of 4 = 4 x 1/4\n  passed        weight 1    test_shape  gate\n" in text
    assert "  failed        weight 3    test_values  [squared]\n      Every element is twice as large." in text
    assert "Probably x was multiplied by itself." in text
    result = batch.result("late")
    assert f"fingerprint {result.fingerprint}" in text and f"  submission  {result.basis.submission}" in text
    told = json.loads(cli("show", "late", UNIT, "--out", batch.out, "--json", cwd=batch.root).stdout)
    assert (told["counted"]["grade"]["score"], told["keep"], told["seed"]) == (6.3, "latest", "5eed")

    (command,) = (line for line in text.splitlines() if line.startswith("  autograder grade "))
    program, *arguments = shlex.split(command)
    before = batch.files()
    done = cli(*arguments, "--json", "--submitted-at", batch.times, cwd=batch.root)
    assert done.returncode == 0 and program == "autograder", done.stderr
    again = json.loads(done.stdout)
    assert batch.files() == before and again["changes"] == []
    assert again["results"][0]["fingerprint"] == result.fingerprint
    tests = [(t["name"], t["message"]) for e in again["results"][0]["exercises"] for t in e["tests"]]
    assert tests == [(t.name, t.message) for e in result.exercises for t in e.tests]


def test_show_without_the_seed(quick: Batch) -> None:
    """What is not known any more is said."""
    quick.grade("bob")
    (quick.out / "runs.json").unlink()
    text = quick.show("bob")
    assert "autograder grade SUBMITTED --unit" in text and "the seed is not in runs.json any more" in text


@pytest.mark.parametrize(
    ("extension", "late", "said"),
    [
        ("late,unit0_tiny,,,yes", "", "  late        excused by extensions.csv, line 2\n"),
        ("late,unit0_tiny,,5,", "", "due 2026-12-19 22:59:00 UTC (extensions.csv, line 2), in time\n"),
        (
            "",
            "cutoff_days = 1",
            "  late        -7: handed in 2026-12-16 12:00:00 UTC, due 2026-12-14 22:59:00 UTC, 133260 s ",
        ),
        ("", "slip_days = 1", "133260 s late, 2 started days, 1 of them paid with slip days, 10.00% of 7\n"),
        (
            "",
            "grace_minutes = 5000",
            "  late        0: handed in 2026-12-16 12:00:00 UTC, due 2026-12-14 22:59:00 UTC, 133260",
        ),
    ],
)
def test_show_tells_every_kind_of_lateness(quick: Batch, extension: str, late: str, said: str) -> None:
    """In numbers, and with the line of extensions.csv."""
    quick.grade("late")
    if extension:
        (quick.root / "extensions.csv").write_text(f"student,unit,due,days,excused\n{extension}\n")
    if late:
        quick.edit("course.toml", "grace_minutes = 15", late)
    assert said in quick.show("late")


@pytest.mark.parametrize(
    ("student", "words"), [("nobody", "no result of nobody in .*; it has ada"), ("adda", "did you mean 'ada'?")]
)
def test_show_refuses(quick: Batch, student: str, words: str) -> None:
    """An unknown student is one sentence, with who was probably meant."""
    quick.grade("ada")
    with pytest.raises(UsageError, match=words):
        quick.show(student)


def test_show_writes_a_students_words_as_text(quick: Batch) -> None:
    """Nothing that moves a cursor or is markup of the terminal's library."""
    quick.hand_in("eve", quick.solution + "\n\ndef double(x):\n    raise ValueError\n")
    quick.grade("eve")
    text = quick.show("eve")
    assert "      [red]\\x1b[2J\\u202eabc\n        [/red]\n" in text
    assert text.replace("\n", "").isprintable()

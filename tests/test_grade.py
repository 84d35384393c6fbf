"""`autograder grade` end to end, on the sample class: every kind of submission costs what it broke and nothing else."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autograder.commands.demo import make_class
from autograder.course import Course
from autograder.results import gradebook

UNIT = "unit2_self_attention"
# what each sample student loses, by exercise
LOST = {
    "solved-as-modules": [],
    "solved-as-notebooks": [],
    "half-finished": ["sdpa_torch"],
    "syntax-error": ["attention_rollout"],
    "endless-loop": ["sdpa_torch"],
    "greedy-for-memory": ["sdpa_torch"],
    "exits-at-import": ["attention_pattern_metrics", "attention_rollout"],
    "class-of-wrong-shape": ["self_attention_layer"],
}


class Batch:
    """The sample class, graded once for the whole file."""

    def __init__(self, folder: Path, cli: Any) -> None:
        self.submitted, self.out, self._cli = folder / "submitted", folder / "graded", cli

    def grade(self, *extra: str) -> Any:
        return self._cli("grade", str(self.submitted), "--out", str(self.out), "--unit", UNIT, *extra)

    def result(self, student: str) -> dict[str, Any]:
        return json.loads((self.out / "students" / student / UNIT / "result.json").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, course: Course, cli: Any) -> Iterator[Batch]:
    graded = Batch(tmp_path_factory.mktemp("class"), cli)
    make_class(course, graded.submitted, UNIT)
    first = graded.grade()
    assert first.returncode == 0, first.stderr
    graded.table = first.stdout  # type: ignore[attr-defined]
    yield graded


@pytest.mark.parametrize("student", LOST)
def test_each_sample_loses_exactly_what_it_broke(batch: Batch, student: str) -> None:
    """The solutions get full marks in both forms; a broken submission loses the broken exercises alone."""
    result = batch.result(student)
    lost = [e["id"] for e in result["exercises"] if e["score"] < e["max_score"]]
    assert lost == LOST[student]
    assert all(e["score"] == 0 for e in result["exercises"] if e["id"] in lost)
    assert result["score"] == sum(e["score"] for e in result["exercises"]) and result["max_score"] == 75


def test_untouched_stubs_get_nothing(batch: Batch) -> None:
    """A page as it was released is missing, in every test, and no error of ours."""
    result = batch.result("untouched")
    assert result["score"] == 0
    assert {t["outcome"] for e in result["exercises"] for t in e["tests"]} == {"missing"}


@pytest.mark.parametrize(
    ("student", "exercise", "outcome", "words"),
    [
        ("endless-loop", "sdpa_torch", "timed_out", "call_wall_s"),
        ("greedy-for-memory", "sdpa_torch", "out_of_memory", "memory_mb"),
        ("exits-at-import", "attention_rollout", "raised", "ended without an answer"),
        ("half-finished", "sdpa_torch", "missing", "not written yet"),
    ],
)
def test_the_outcome_names_the_cause(batch: Batch, student: str, exercise: str, outcome: str, words: str) -> None:
    """The message says which limit was hit, or what happened."""
    tests = next(e for e in batch.result(student)["exercises"] if e["id"] == exercise)["tests"]
    assert outcome in {t["outcome"] for t in tests}
    assert any(words in t["message"] for t in tests if t["outcome"] == outcome)


def test_a_syntax_error_is_a_named_problem(batch: Batch) -> None:
    """The file, the line and the error stand in `problems`."""
    assert any(
        "attention_patterns.py: line" in p and "SyntaxError" in p for p in batch.result("syntax-error")["problems"]
    )


def test_table_results_and_gradebook_agree(batch: Batch, course: Course) -> None:
    """The terminal table, every result file and nbgrader's gradebook hold the same scores."""
    in_gradebook = gradebook.scores(course, batch.out)
    lines = [line.split() for line in batch.table.splitlines() if UNIT in line and "note:" not in line]  # type: ignore[attr-defined]
    rows = {student: score for student, _, score, *_ in lines}
    assert set(rows) == {student for student, _ in in_gradebook} == {*LOST, "untouched"}
    for (student, unit), score in in_gradebook.items():
        result = batch.result(student)
        assert unit == UNIT and score == pytest.approx(result["score"]) and float(rows[student]) == result["score"]


def test_results_follow_the_contract(batch: Batch) -> None:
    """Every key of result.json v1 is there, with the documented values."""
    result = batch.result("endless-loop")
    assert set(result) == {
        *(
            "schema",
            "course",
            "student",
            "unit",
            "score",
            "max_score",
            "pending",
            "graded_at",
            "fingerprint",
            "content",
        ),
        *("isolation", "seed_id", "duration_s", "late", "problems", "exercises"),
        *("submitted_at", "time_problem", "basis", "pages"),
    }
    assert result["schema"] == "autograder/result/v1" and result["isolation"] in ("bubblewrap", "landlock")
    assert result["fingerprint"].startswith("sha256:") and result["late"] == {"seconds": 0.0, "penalty": 0.0}
    assert set(result["exercises"][0]) == {"id", "page", "score", "max_score", "pending", "status", "tests"}
    assert {"name", "outcome", "weight", "message", "hint", "misconception", "duration_s"} <= set(
        result["exercises"][0]["tests"][0]
    )


def test_only_what_changed_is_graded_again(batch: Batch) -> None:
    """A second run grades nothing; an edit regrades that student only; --regrade regrades all."""
    before = {student: batch.result(student)["graded_at"] for student in LOST}
    again = json.loads(batch.grade("--json").stdout)
    assert again["fresh"] == 0 and len(again["results"]) == len(LOST) + 1
    page = batch.submitted / "half-finished" / UNIT / "attention_patterns.py"
    text = page.read_text()
    page.write_text(text + "\n# a comment\n")
    edited = json.loads(batch.grade("--json").stdout)
    page.write_text(text)
    assert edited["fresh"] == 1
    assert {s for s in LOST if batch.result(s)["seed_id"] == edited["seed_id"]} == {"half-finished"}
    assert all(batch.result(s)["graded_at"] == before[s] for s in LOST if s != "half-finished")


def test_regrade_and_seed(batch: Batch, tmp_path: Path, cli: Any) -> None:
    """--regrade grades what stands; --seed draws the same inputs, so the same messages come out."""
    submitted = tmp_path / "submitted"
    shutil.copytree(batch.submitted / "class-of-wrong-shape", submitted / "one")
    command = ["grade", str(submitted), "--out", str(tmp_path / "graded"), "--json", "--seed", "5eed"]
    first, second = (json.loads(cli(*command, *extra).stdout) for extra in ([], ["--regrade"]))
    assert first["fresh"] == second["fresh"] == 1 and first["seed_id"] == second["seed_id"]
    for a, b in zip(first["results"][0]["exercises"], second["results"][0]["exercises"], strict=True):
        assert [t["message"] for t in a["tests"]] == [t["message"] for t in b["tests"]]


def test_min_score_decides_the_exit_code(batch: Batch) -> None:
    """Exit 1 when a submission scores below the share asked for, 0 otherwise."""
    assert batch.grade("--student", "solved-as-modules", "--min-score", "1").returncode == 0
    assert batch.grade("--student", "half-finished", "--min-score", "0.9").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--unit", "unit2_self_atention"], "did you mean 'unit2_self_attention'"),
        (["--student", "nobody"], "--student nobody"),
        (["--seed", "xyz"], "hexadecimal"),
        (["--isolation", "docker"], "choose one of"),
        (["--min-score", "2"], "between 0 and 1"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_4(batch: Batch, arguments: list[str], words: str) -> None:
    """What, where, what to do; never a traceback."""
    done = batch.grade(*arguments)
    assert done.returncode == 4 and words in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

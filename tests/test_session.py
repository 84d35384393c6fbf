"""Grader files collected once and run many times, in one process."""

from pathlib import Path

import pytest

from autograder.course import load_course
from autograder.grading.context import Context
from autograder.grading.session import CollectedTests

ROOT = Path(__file__).resolve().parents[1]


def collected(folder: Path, text: str) -> CollectedTests:
    folder.mkdir()
    (folder / "test_page.py").write_text("import pytest\n" + text)
    return CollectedTests([folder / "test_page.py"])


def results(tests: CollectedTests, exercise: str | None = None) -> dict[str, str]:
    course = load_course(ROOT)
    context = Context(course, course.units[0], [], None, b"seed")  # type: ignore[arg-type]  # no test asks a student
    seen: dict[str, str] = {}
    context.on_result = lambda of, result: seen.update({f"{of}::{result.name}": result.outcome.value})
    tests.run(context, exercise)
    return seen


def test_files_of_one_name_are_not_taken_for_one_another(tmp_path: Path) -> None:
    """A page's public checks and its hidden graders have the same file name, and so may pages of two units."""
    first = collected(tmp_path / "first", "@pytest.mark.exercise('a')\ndef test_one(): pass\n")
    second = collected(tmp_path / "second", "@pytest.mark.exercise('b')\ndef test_two(): assert 0\n")
    assert results(first) == {"a::test_one": "passed"}
    assert results(second) == {"b::test_two": "failed"}


def test_every_run_starts_without_results(tmp_path: Path) -> None:
    """What failed in one run blocks nothing in the next, and the exercise asked for is the one that runs."""
    text = (
        "seen = []\n"
        "@pytest.mark.exercise('a')\ndef test_one():\n    seen.append(1)\n    assert len(seen) > 1\n"
        "@pytest.mark.exercise('b')\n@pytest.mark.needs('a')\ndef test_two(): pass\n"
    )
    tests = collected(tmp_path / "folder", text)
    assert results(tests) == {"a::test_one": "failed", "b::test_two": "blocked"}
    assert results(tests) == {"a::test_one": "passed", "b::test_two": "passed"}
    assert results(tests, exercise="b") == {"b::test_two": "passed"}


def test_a_grader_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    """The error tells the file and what Python said."""
    with pytest.raises(RuntimeError, match=r"(?s)test_page.py cannot be collected.*no_such_name"):
        collected(tmp_path / "folder", "no_such_name\n")

"""Grader files collected once and run many times, in one process."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from autograder.course import load_course
from autograder.grading.context import Context
from autograder.grading.plugin import is_plain
from autograder.grading.session import CollectedTests
from autograder.results.record import Outcome, TestResult

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


# ---------------------------------------------------------------- the short way

_MIXED = """
from autograder.grading.context import Deferred

@pytest.mark.exercise('a')
@pytest.mark.gate
def test_passes(draw):
    '''Draws.'''
    assert draw.array(2).shape == (2,)

@pytest.mark.exercise('a')
@pytest.mark.weight(2)
@pytest.mark.parametrize('n', [1, 2])
def test_parameters(n, draw):
    '''One of them is wrong.'''
    assert n == 1, f'n is {n}, and drawn was {draw.seed()}'

@pytest.mark.exercise('b')
@pytest.mark.needs('a')
def test_blocked():
    '''Never runs.'''

@pytest.mark.exercise('c')
def test_compares():
    '''Two lists.'''
    assert [1, 2, 3] == [1, 2, 4]

@pytest.mark.exercise('c')
def test_deferred():
    raise Deferred('no such hardware')

@pytest.mark.exercise('c')
def test_fails_by_hand():
    pytest.fail('because it says so')

def test_counts_for_nothing():
    assert False
"""
_OWN_FIXTURE = "\n@pytest.fixture(autouse=True)\ndef own():\n    yield\n"


def full_results(tests: CollectedTests) -> list[TestResult]:
    course = load_course(ROOT)
    context = Context(course, course.units[0], [], None, b"seed")  # type: ignore[arg-type]
    seen: list[TestResult] = []
    context.on_result = lambda of, result: seen.append(msgspec.structs.replace(result, duration_s=0.0))
    tests.run(context)
    return seen


def without_traceback(result: TestResult) -> TestResult:
    """A grader error tells the frames of ours that it went through, and those differ."""
    if result.outcome is not Outcome.GRADER_ERROR:
        return result
    return msgspec.structs.replace(result, message=result.message.strip().splitlines()[-1])


def test_the_short_way_gives_the_results_of_pytests_own_way(tmp_path: Path) -> None:
    """Names, outcomes, weights, gates and messages: all but the time is the same, whichever way the tests go."""
    short = collected(tmp_path / "short", _MIXED)
    long = collected(tmp_path / "long", _OWN_FIXTURE + _MIXED)
    assert [is_plain(item) for item in short.items] == [True] * 8
    assert not any(is_plain(item) for item in long.items)
    results = full_results(short)
    assert [*map(without_traceback, results)] == [*map(without_traceback, full_results(long))]
    assert [r.outcome.value for r in results] == [
        *("passed", "passed", "failed", "blocked", "failed", "deferred", "grader_error"),
    ]
    assert "n is 2, and drawn was" in results[2].message


@pytest.mark.parametrize("before", ["", _OWN_FIXTURE], ids=["short", "long"])
def test_a_failed_test_is_not_told_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """pytest's own account of a failure, which takes a hundred times as long as the test, is not made for nobody."""
    tests = collected(tmp_path / "folder", before + _MIXED)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("pytest formats a traceback")

    with monkeypatch.context() as patch:
        patch.setattr(pytest.Function, "repr_failure", never)
        patch.setattr(pytest.Function, "_repr_failure_py", never)
        results = full_results(tests)
    assert [r.outcome.value for r in results].count("failed") == 2


@pytest.mark.parametrize("before", ["", _OWN_FIXTURE], ids=["short", "long"])
def test_a_grader_error_tells_where(tmp_path: Path, before: str) -> None:
    """What is our fault is mended by us: file, line, function and the code that raised."""
    text = "def helper(n):\n    return 1 / n\n\n@pytest.mark.exercise('a')\ndef test_ours():\n    helper(0)\n"
    (result,) = full_results(collected(tmp_path / "folder", before + text))
    assert result.outcome.value == "grader_error"
    for told in ("test_page.py", "in test_ours", "in helper", "return 1 / n", "ZeroDivisionError: division by zero"):
        assert told in result.message


def test_fixtures_classes_and_skip_marks_go_pytests_way(tmp_path: Path) -> None:
    """A grader file is plain pytest: one test that needs more than our fixtures, and all of them get it."""
    text = (
        "@pytest.fixture\ndef seven():\n    return 7\n"
        "@pytest.mark.exercise('a')\ndef test_fixture(seven): assert seven == 7\n"
        "@pytest.mark.exercise('a')\ndef test_plain(draw): assert draw.seed() >= 0\n"
        "@pytest.fixture(params=[1, 2])\ndef twice(request):\n    return 2 * request.param\n"
        "@pytest.mark.exercise('a')\ndef test_parameters(twice): assert twice in (2, 4)\n"
        "@pytest.mark.exercise('a')\ndef test_request(request): assert request.node.name == 'test_request'\n"
        "@pytest.mark.exercise('a')\nclass TestClass:\n    def test_method(self): assert self is not None\n"
        "@pytest.mark.exercise('a')\n@pytest.mark.xfail\ndef test_condition(): pass\n"
    )
    tests = collected(tmp_path / "folder", text)
    assert [is_plain(item) for item in tests.items] == [False, True, *[False] * 5]
    assert [r.outcome.value for r in full_results(tests)] == ["passed"] * 7


@pytest.mark.parametrize("raised", ["KeyboardInterrupt()", "pytest.exit.Exception('end')"])
def test_what_ends_the_session_is_no_result(tmp_path: Path, raised: str) -> None:
    """Ctrl-C is not an answer of the student's."""
    tests = collected(tmp_path / "folder", f"@pytest.mark.exercise('a')\ndef test_one(): raise {raised}\n")
    with pytest.raises((KeyboardInterrupt, pytest.exit.Exception)):
        full_results(tests)


def test_files_of_several_pages_and_units_in_one_run() -> None:
    """`pytest assignments/unit5_...`: each file's tests see its own page, and another unit's those of that unit."""
    files = ["solutions/unit2_self_attention/test_scaled_dot_product.py"]
    files += ["solutions/unit2_self_attention/test_attention_patterns.py"]
    files += ["autograder/graders/unit4_positional_encoding/test_sinusoidal.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]

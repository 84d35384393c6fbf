"""Ways to call what an exercise asks for instead of writing it: each gains nothing, and each would work if it could.

A way is a page in `_shortcuts/` that defines `attend(q, k, v)`; its first line says how. Names are put together at run
time, so that the reading of the syntax tree finds none of them: what stops a way here is what stops it inside.
`OPEN` are those that docs/security.md names as open. `_innocent/` are pages that use the functions beside their own.
"""

import ast
from pathlib import Path

import pytest

from autograder.results.record import Outcome, UnitResult, read_result, result_path
from tests.attacks.conftest import HERE, Arena, grade, rungs_here

WAYS = sorted(path.stem for path in (HERE / "_shortcuts").glob("*.py"))
INNOCENT = sorted(path.stem for path in (HERE / "_innocent").glob("*.py"))
OPEN = {"source_of_the_layer"}
UNIT = "unit0_shortcuts"
FORBIDDEN = [
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.functional.multi_head_attention_forward",
    "torch.nn.MultiheadAttention",
]
COURSE = """
id = "shortcuts"
title = "Shortcuts"
[limits]
memory_mb = 1200
[[unit]]
id = "{unit}"
title = "Shortcuts"
[[unit.exercise]]
id = "attend"
page = "attention"
title = "Attention"
symbols = ["attend"]
points = 10
forbidden = {forbidden}
[[unit.exercise]]
id = "compare"
page = "attention"
title = "Compared with the library"
symbols = ["compare"]
points = 4
"""
REFERENCE = '''"""The formula."""

import torch


def attend(q, k, v):
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


def compare(q, k, v):
    return 0.0
'''
GRADER = '''"""Attention, and a comparison that may use the library."""

import pytest

from autograder.grading import agree


@pytest.mark.exercise("attend")
def test_the_formula(student, reference, draw):
    """softmax(q kᵀ / √d) v."""
    q, k, v = draw.tensor(2, 3, 5, 7), draw.tensor(2, 3, 5, 7), draw.tensor(2, 3, 5, 7)
    agree(student.attend, reference.attend, q, k, v)


@pytest.mark.exercise("compare")
def test_the_comparison(student, draw):
    """The distance of attend from the library's function is next to nothing."""
    q = draw.tensor(2, 3, 5, 7)
    assert student.compare(q, q, q) < 1e-6
'''


@pytest.fixture(scope="module", params=rungs_here())
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, UnitResult]:
    """Every way and every innocent page, graded in one class; `free/<name>` where nothing is forbidden."""
    rung = str(request.param)
    if rung == "userns":
        pytest.skip("the same worker as bubblewrap's")
    found: dict[str, UnitResult] = {}
    for prefix, forbidden in (("", FORBIDDEN), ("free/", [])):
        root = tmp_path_factory.mktemp(f"{rung}-{'free' if prefix else 'forbidden'}")
        arena = lay_out(root, forbidden)
        graded = grade(arena, rung, "--jobs", "2", "--no-gradebook")
        assert graded.code == 0, graded.stdout + graded.stderr
        for student in (path.name for path in arena.submitted.iterdir()):
            result = read_result(result_path(arena.out, student, UNIT))
            assert result is not None
            found[prefix + student] = result
    return found


def lay_out(root: Path, forbidden: list[str]) -> Arena:
    """A course of one page, and every page of ours as a student's."""
    arena = Arena(root, {"canary": "none"})
    files = {
        "course.toml": COURSE.format(unit=UNIT, forbidden=forbidden),
        f"reference/{UNIT}/attention.py": REFERENCE,
        f"autograder/graders/{UNIT}/test_attention.py": GRADER,
    }
    for name, text in files.items():
        path = arena.course / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for page in [*(HERE / "_shortcuts").glob("*.py"), *(HERE / "_innocent").glob("*.py")]:
        target = arena.submitted / page.stem / UNIT / "attention.py"
        target.parent.mkdir(parents=True)
        target.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    return arena


def told(result: UnitResult) -> str:
    tests = [f"{e.id} {e.score}: {t.outcome}: {t.message}" for e in result.exercises for t in e.tests]
    return "\n".join([*tests, *result.problems])


def test_there_are_enough_ways() -> None:
    """Forty ways, each with a line that says how, and all but one of them shut."""
    assert len(WAYS) >= 40 and set(WAYS) >= OPEN and len(INNOCENT) >= 5
    for name in WAYS:
        text = (HERE / "_shortcuts" / f"{name}.py").read_text(encoding="utf-8")
        assert (ast.get_docstring(ast.parse(text)) or "").startswith("OPEN") == (name in OPEN)


@pytest.mark.parametrize("name", WAYS)
def test_a_way_gains_nothing(results: dict[str, UnitResult], name: str) -> None:
    """No point where the function is forbidden, unless the way is known to be open."""
    exercise = results[name].exercises[0]
    assert (exercise.score == 0.0) == (name not in OPEN), told(results[name])
    assert all(test.outcome is not Outcome.GRADER_ERROR for test in exercise.tests)


@pytest.mark.parametrize("name", WAYS)
def test_a_way_is_one(results: dict[str, UnitResult], name: str) -> None:
    """Where nothing is forbidden, the same page has full points: it is the refusal that stops it, not a mistake."""
    if name in NEEDS_A_PROGRAM:
        pytest.skip("no program is started behind the wall, whatever is forbidden")
    assert results[f"free/{name}"].exercises[0].score == 10.0, told(results[f"free/{name}"])


NEEDS_A_PROGRAM = {"another_interpreter", "another_interpreter_by_execveat"}


@pytest.mark.parametrize("name", INNOCENT)
def test_an_innocent_use_costs_nothing(results: dict[str, UnitResult], name: str) -> None:
    """Comparisons at the top of a page, in other functions and in another exercise leave full points."""
    assert results[name].score == results[name].max_score, told(results[name])

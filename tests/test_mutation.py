"""Mutation testing: what the operators make of small snippets, what a run says about survivors and stale entries."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autograder.authoring.mutation.equivalent import FILE, is_listed, listed, stale
from autograder.authoring.mutation.mutants import diff, mutate, page_mutants
from autograder.course import Course
from autograder.errors import UsageError

SNIPPETS = [
    ("y = x.sum(dim=-1)", "axis", "y = x.sum(dim=-2)"),
    ("y = np.mean(x, axis=0)", "axis", "y = np.mean(x, axis=1)"),
    ("y = -x", "sign", "y = x"),
    ("y = a + b", "operator", "y = (a - b)"),
    ("y = a + b", "dropped term", "y = b"),
    ("y = x / math.sqrt(d)", "dropped factor", "y = x"),
    ("y = x / math.sqrt(d)", "squared factor", "y = (x / math.sqrt(d) ** 2)"),
    ("y = x / math.sqrt(d)", "dropped call", "y = x / d"),
    ("import tl; y = tl.index(1).to(t)", "dropped call", "import tl; y = (1).to(t)"),
    ("y = q @ k.mT", "transpose dropped", "y = q @ k"),
    ("y = a @ v", "transpose added", "y = (a.swapaxes(-1, -2) @ v)"),
    ("y = b @ a", "swapped operands", "y = (a @ b)"),
    ("y = s.masked_fill(~m, 0.0)", "mask polarity", "y = s.masked_fill(m, 0.0)"),
    ("y = m & c", "operator", "y = (m | c)"),
    ("y = m & c", "dropped mask", "y = m"),
    ("y = j <= i", "comparison", "y = (j < i)"),
    ("y = torch.arange(n)", "off by one", "y = torch.arange((n + 1))"),
    ("y = x[1:n]", "off by one", "y = x[1:(n - 1)]"),
    ("y = x[1:n]", "dropped bound", "y = x[:n]"),
    ("y = x[:, None]", "swapped axes", "y = x[None, :]"),
    ("y = x[b]", "dropped index", "y = x"),
    ("y = x.to(torch.float32)", "neighbour", "y = x.to(torch.float64)"),
    ("y = x.astype(w.dtype)", "dropped call", "y = x"),
    ("y = x.mean()", "neighbour", "y = x.sum()"),
    ("y = max(a, b)", "neighbour", "y = min(a, b)"),
    ("y = torch.where(m, a, b)", "swapped arguments", "y = torch.where(m, b, a)"),
    ("y = x.sum(-1, keepdims=True)", "dropped option", "y = x.sum(-1)"),
    ("y = x.sum(-1, keepdims=True)", "constant", "y = x.sum(-1, keepdims=False)"),
    ("y = 0.5 * x", "constant", "y = 1.0 * x"),
    ("y = a if m is None else b", "comparison", "y = a if (m is not None) else b"),
    ("y = a if ok else b", "condition negated", "y = a if (not ok) else b"),
    ("for x in layers: f(x)", "rounds reversed", "for x in list(layers)[::-1]: f(x)"),
    ("f.eval()", "deleted", "pass"),
    ("x += y", "not accumulated", "x = y"),
    ("def f(r=0.5): pass", "constant", "def f(r=1.0): pass"),
    ("def f(m=None): pass", "default", "def f(m=0): pass"),
]


@pytest.mark.parametrize(("source", "kind", "mutated"), SNIPPETS)
def test_operator(source: str, kind: str, mutated: str) -> None:
    """Each operator changes its one place and leaves the rest of the text as it was."""
    found = {m.source: m.change for m in mutate("import math, torch\nimport numpy as np\n" + source)}
    changes = {text.split("\n", 2)[2]: change for text, change in found.items()}
    assert mutated in changes, sorted(changes)
    assert changes[mutated].startswith(f"{kind}: ")


def test_what_is_left_alone() -> None:
    """Docstrings, annotations, f-strings, imports and comments are no code to change; columns are counted in bytes."""
    source = '"""0 + 1"""\nfrom torch import Tensor\ndef f(x: "Tensor", n: int = 3) -> "1":\n    """n + 1"""\n    '
    source += "if n > 2:  # é 1 + 2\n        raise ValueError(f'{n + 1}')\n    é = {'ö': x}; return x + n\n"
    for mutant in mutate(source):
        assert "0 + 1" in mutant.source and 'x: "Tensor", n: int =' in mutant.source and '-> "1"' in mutant.source
        assert '"""n + 1"""' in mutant.source and "# é 1 + 2" in mutant.source
        assert mutant.source.count("{n + 1}") == 1 or "deleted" in mutant.change or "dropped call" in mutant.change
    assert "return (x - n)" in "".join(m.source for m in mutate(source))


def test_mutants_of_the_course(course: Course) -> None:
    """Every mutant of the real solutions parses, differs from all others, and only inside an exercise's cell."""
    page = course.unit("unit2_self_attention").pages[0]
    source = (course.solutions / page.unit / f"{page.name}.py").read_text(encoding="utf-8")
    by_exercise = page_mutants(source)
    assert set(by_exercise) == {exercise.id for exercise in page.exercises}
    seen = {ast.dump(ast.parse(source))}
    for mutants in by_exercise.values():
        assert len({(m.symbol, m.text, m.change) for m in mutants}) == len(mutants) > 10
        for mutant in mutants:
            shape = ast.dump(ast.parse(mutant.source))
            assert shape not in seen
            seen.add(shape)
            assert diff(source, mutant.source)[0].startswith("-")


@pytest.fixture
def mutation() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`mutation(course, *args)` runs the command on a course, one mutant at a time."""

    def run(course: Course, *args: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "autograder.authoring.mutation", "--course", str(course.root), "--jobs", "1"]
        options = ["--exercise", "twice", "--isolation", "none", *args]
        return subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)

    return run


def weaken(course: Course) -> None:
    """Values of `double` are compared at 0 only."""
    grader = course.graders / "unit0_tiny" / "test_tiny_page.py"
    text = grader.read_text(encoding="utf-8")
    assert "reference.double, draw.tensor(5, 7))" in text
    grader.write_text(text.replace("reference.double, draw.tensor(5, 7))", "reference.double, 0 * draw.tensor(5, 7))"))


def entry(**fields: Any) -> str:
    """An entry of the list of equivalent mutants. (JSON's strings are TOML's.)"""
    return "[[mutant]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items())


def test_survivors(tiny_course: Any, mutation: Any, tmp_path: Path) -> None:
    """A survivor makes exit 1 and is shown with its diff; listed as equivalent it no longer counts."""
    course = tiny_course(tmp_path)
    weaken(course)
    run = mutation(course)
    assert run.returncode == 1, run.stderr
    assert "survivor: twice, double, line 17, operator: x + x -> x - x" in run.stdout
    assert "    -    twice_as_much = x + x\n    +    twice_as_much = (x - x)\n" in run.stdout
    common = {"exercise": "twice", "symbol": "double", "line": "twice_as_much = x + x"}
    changes = ["operator: x + x -> x - x", "dropped term: x + x -> x"]
    listing = entry(**common, changes=changes, reason="the tests of this test look at 0 only")
    (course.graders / "unit0_tiny" / FILE).write_text(listing)
    run = mutation(course, "--json")
    assert run.returncode == 0, run.stdout + run.stderr
    (unit,) = json.loads(run.stdout)["units"]
    (exercise,) = unit["exercises"]
    assert exercise["equivalent"] == 2 and exercise["survivors"] == [] and unit["score"] == 1.0
    assert exercise["caught"] == exercise["mutants"] - 2 > 0


def test_stale_entries(tiny_course: Any, mutation: Any, tmp_path: Path) -> None:
    """An entry for a line that has changed, and one for a mutant that a test catches, are reported and make exit 1."""
    course = tiny_course(tmp_path)
    common = {"exercise": "twice", "symbol": "double", "reason": "two mistakes of the author"}
    gone = entry(**common, line="return 2 * x", changes=["operator: 2 * x -> 2 / x"])
    caught = entry(**common, line="twice_as_much = x + x", changes=["operator: x + x -> x - x"])
    (course.graders / "unit0_tiny" / FILE).write_text(gone + caught)
    run = mutation(course)
    assert run.returncode == 1, run.stderr
    stale = [line for line in run.stdout.splitlines() if line.startswith("stale: ")]
    assert len(stale) == 2, run.stdout
    assert stale[0].endswith("operator: 2 * x -> 2 / x: there is no such mutant (any more)")
    assert stale[1].endswith("not equivalent, test_values (failed) tells it from the solution")


def test_all_that_gets_through_on_a_line(tiny_course: Any, tmp_path: Path) -> None:
    """`*` stands for every change of its line that no test catches, and is stale when there is no such line."""
    course = tiny_course(tmp_path)
    common = {"exercise": "twice", "symbol": "double", "changes": ["*"], "reason": "no test can see that line"}
    text = entry(**common, line="twice_as_much = x + x") + entry(**common, line="return 2 * x")
    (course.graders / "unit0_tiny" / FILE).write_text(text)
    wanted = listed(course, "unit0_tiny")
    caught = ("twice", "double", "twice_as_much = x + x", "operator: x + x -> x - x")
    assert is_listed(caught, wanted) and not is_listed(("twice", "double", "return x", "deleted"), wanted)
    (line,) = stale(course, "unit0_tiny", wanted, {caught}, {caught: "test_values (failed)"})
    assert "`return 2 * x`" in line and line.endswith("there is no such mutant (any more)")


@pytest.mark.parametrize(
    "text", ["[[mutant]]\nexercise = 'twice'", entry(exercise="twice", symbol="d", line="l", changes=["c"], reason="")]
)
def test_an_entry_needs_its_reason(tiny_course: Any, tmp_path: Path, text: str) -> None:
    """The list says why; an entry without a reason is refused with the file's name."""
    course = tiny_course(tmp_path)
    (course.graders / "unit0_tiny" / FILE).write_text(text)
    with pytest.raises(UsageError, match=FILE):
        listed(course, "unit0_tiny")


def test_a_failing_solution_is_refused(tiny_course: Any, mutation: Any, tmp_path: Path) -> None:
    """Where the solution itself fails a test, every mutant would seem caught: that is said, with exit 4."""
    course = tiny_course(tmp_path)
    solution = course.solutions / "unit0_tiny" / "tiny_page.py"
    solution.write_text(solution.read_text().replace("x + x", "x + 2 * x"))
    run = mutation(course)
    assert run.returncode == 4 and "the solution itself fails test_values" in run.stderr, run.stderr


def test_unknown_exercise(tiny_course: Any, mutation: Any, tmp_path: Path) -> None:
    """The nearest name is offered."""
    run = mutation(tiny_course(tmp_path), "--exercise", "twise")
    assert run.returncode == 4 and "did you mean 'twice'" in run.stderr

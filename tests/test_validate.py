"""`autograder validate`: on a tiny course, what is right is found right, and what hangs on the seed is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autograder.course import Course

LUCK = '''

@pytest.mark.exercise("twice")
def test_two_or_three(student, reference, draw):
    """Twice 2, or 3."""
    agree(student.double, reference.double, draw.tensor(1) * 0 + 2.0 + draw.integers(0, 2, 1))
'''
BAD_LUCK = '''

@pytest.mark.exercise("scale_layer")
def test_coin(student, draw):
    """A layer is made, and a coin shows heads."""
    student.Scale(1.5)
    assert draw.integers(0, 2, 1).item() == 0
'''

LAYER = """
class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return {}
"""
VARIANTS = {
    "twice/by_a_number.py": "def double(x):\n    return 2 * x\n",
    "twice/by_a_sum.py": "def double(x):\n    return sum([x, x])\n",
    "scale_layer/on_the_right.py": LAYER.format("x * self.factor"),
    "scale_layer/by_mul.py": LAYER.format("x.mul(self.factor)"),
}


def with_tests(course: Course, text: str) -> Path:
    grader = course.graders / "unit0_tiny" / "test_tiny_page.py"
    grader.write_text(grader.read_text(encoding="utf-8") + text, encoding="utf-8")
    return course.root


def test_a_sound_course(cli: Any, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """Solutions full, stubs zero, misconceptions caught and named; no verdict hangs on the seed."""
    root = tiny_course(tmp_path).root
    for name, text in VARIANTS.items():
        (file := root / "tests" / "accepted" / "unit0_tiny" / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    done = cli("validate", "--isolation", "none", "--json", "--jobs", "1", cwd=root)
    (unit,) = json.loads(done.stdout)["units"]
    twice, layer = unit["exercises"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert (twice["solution_score"], twice["stub_score"], layer["solution_score"]) == (4.0, 0.0, 6.0)
    assert twice["misconceptions"] == [{"id": "squared", "caught": True, "named": True}]
    done = cli("validate", "--seeds", "3", "--jobs", "1", cwd=root)
    assert (done.returncode, done.stdout) == (0, "0 verdicts hang on the seed\n"), done.stderr


def test_what_hangs_on_the_seed_is_named(cli: Any, tiny_course: Callable[[Path], Course], tmp_path: Path) -> None:
    """A wrong answer that passes for some seeds (2 squared is twice 2), and a right one that fails for some."""
    root = with_tests(tiny_course(tmp_path), LUCK + BAD_LUCK)
    done = cli("validate", "--seeds", "12", "--jobs", "1", "--json", cwd=root)
    found = json.loads(done.stdout)["found"]
    assert done.returncode == 1, done.stderr
    seen = [(chance["kind"], chance["name"], chance["test"]) for chance in found]
    assert seen[0] == ("solution", "solution", "test_coin")  # the right answers first
    assert ("misconception", "squared", "test_two_or_three") in seen
    assert all(0 < chance["passed"] < chance["seeds"] == 12 for chance in found)

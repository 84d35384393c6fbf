"""A page that does too much while it is loaded: the result, the table and `check` say so, in bounds."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autograder.commands.check import check_path
from autograder.course import Course
from tests.handed_in.conftest import UNIT

SOLVED = """\
from torch import nn


def double(x):
    return x + x


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x
"""
# more than half of the time limit, which is 2 s in the tiny course
SLOW = SOLVED + "import time\ntime.sleep(1.3)\n"
ENDLESS = SOLVED + "while True:\n    pass\n"
TWICE = SOLVED.replace("class Scale", "time.sleep(60)\n\n\nclass Scale").replace(
    "from torch", "import time\n\nfrom torch"
)
TWICE += "def train():\n    for step in range(10**12):\n        double(step)\n\n\ntrain()\n"
STUBBORN = (
    SOLVED + "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n"
)
NOTHING_ELSE = "while True:\n    pass\n"
GUARDED = SOLVED + 'if __name__ == "__main__":\n    while True:\n        pass\n'
LOUD = SOLVED + "for step in range(1000):\n    print('loss', step)\n"
WARNS = SOLVED + "import warnings\nfor n in range(9):\n    warnings.warn(f'number {n} is odd', stacklevel=1)\n"
MANY = "".join(f"# %%\nnobody_knows_{n}()\n" for n in range(230)) + "# %%\n" + SOLVED
PAGES = {
    "right": SOLVED,
    "slow": SLOW,
    "endless": ENDLESS,
    "guarded": GUARDED,
    "twice": TWICE,
    "stubborn": STUBBORN,
    "nothing_else": NOTHING_ELSE,
    "loud": LOUD,
    "warns": WARNS,
    "many": MANY,
    "other": "import torch\n\nanswer = 42\n",
}


@pytest.fixture(scope="module")
def course(tiny_course: Callable[[Path], Course], tmp_path_factory: pytest.TempPathFactory) -> Course:
    return tiny_course(tmp_path_factory.mktemp("loading"))


@pytest.fixture(scope="module")
def graded(course: Course, cli: Any) -> dict[str, Any]:
    """Results by student, and the table."""
    submitted = course.root.parent / "submitted"
    for student, text in PAGES.items():
        (submitted / student / UNIT).mkdir(parents=True)
        (submitted / student / UNIT / "tiny_page.py").write_text(text)
    released = submitted / "untouched" / UNIT
    released.mkdir(parents=True)
    (released / "tiny_page.ipynb").write_bytes((course.assignments / UNIT / "tiny_page.ipynb").read_bytes())
    out = course.root.parent / "graded"
    done = cli("grade", submitted, "--out", out, "--isolation", "none", "--no-gradebook", cwd=course.root)
    assert done.returncode == 0, done.stderr
    files = {s: out / "students" / s / UNIT / "result.json" for s in [*PAGES, "untouched"]}
    return {"table": done.stdout, **{s: json.loads(file.read_text()) for s, file in files.items()}}


def test_every_page_has_its_load_in_the_result(graded: dict[str, Any]) -> None:
    """Seconds of those allowed, characters, warnings, and what it defines; none for a page that was not run."""
    (load,) = graded["right"]["pages"]
    assert 0 < load["seconds"] < load["limit_s"] == 2.0 and load["ended"]
    assert (load["page"], load["printed_chars"], load["warnings"]) == ("tiny_page", 0, [])
    assert load["defines"] == ["Scale", "double"] and graded["right"]["problems"] == []
    assert graded["untouched"]["pages"] == []


def test_a_slow_page_is_told_what_to_move(graded: dict[str, Any]) -> None:
    """The time, the limit and the guard; full marks all the same."""
    (said,) = graded["slow"]["problems"]
    assert said.startswith("tiny_page: loading this page took 1.") and "of 2.0: move what is" in said
    assert '`if __name__ == "__main__":`' in said and graded["slow"]["score"] == 10


def test_a_page_that_does_not_end_says_the_same(graded: dict[str, Any]) -> None:
    """What does not end is named with its line, and the guard; what the page defines counts."""
    stopped, guard = graded["endless"]["problems"]
    assert re.match("tiny_page.py: line 1[56]: TookTooLong: this did not end within the 2 s for loading", stopped)
    assert "did not end within 2.0 s" in guard and '`if __name__ == "__main__":`' in guard
    assert [load["ended"] for load in graded["endless"]["pages"]] == [False]
    assert (graded["endless"]["score"], graded["guarded"]["score"], graded["guarded"]["problems"]) == (10, 10, [])


def test_each_statement_that_does_not_end_is_passed_over(graded: dict[str, Any]) -> None:
    """One that waits and one that trains, in a function called at the top level: told by the line of the call."""
    lines = [said.split(": ")[1] for said in graded["twice"]["problems"] if "TookTooLong" in said]
    text = TWICE.splitlines()
    assert [text[int(line.removeprefix("line ")) - 1] for line in lines] == ["time.sleep(60)", "train()"]
    assert graded["twice"]["score"] == 10


def test_a_page_that_nothing_stops_is_lost(graded: dict[str, Any]) -> None:
    """Its own fault, and bounded: the time is over, once for all its tests."""
    outcomes = {t["outcome"] for e in graded["stubborn"]["exercises"] for t in e["tests"]}
    assert (graded["stubborn"]["score"], outcomes) == (0, {"timed_out"})
    assert any("did not end within 2.0 s" in said for said in graded["stubborn"]["problems"])


def test_what_is_missing_where_a_page_did_not_end_has_timed_out(graded: dict[str, Any]) -> None:
    """Nothing was handed in under that name, and the reason is the loop before it."""
    tests = [t for e in graded["nothing_else"]["exercises"] for t in e["tests"]]
    assert {t["outcome"] for t in tests} == {"timed_out"}
    assert "is not defined in tiny_page (tiny_page.py, line 1: TookTooLong" in tests[0]["message"]


def test_output_and_warnings_are_told(graded: dict[str, Any]) -> None:
    """How much was printed; the first warnings with their lines."""
    assert graded["loud"]["pages"][0]["printed_chars"] == sum(len(f"loss {n}\n") for n in range(1000))
    assert "printed 8890 characters" in graded["loud"]["problems"][0]
    assert len(graded["warns"]["problems"]) == 3
    assert (
        "warning while loading: tiny_page.py: line 17: UserWarning: number 0 is odd" in graded["warns"]["problems"][0]
    )


def test_problems_of_a_page_are_ten_lines_and_a_count(graded: dict[str, Any]) -> None:
    """230 cells that raise are not 230 lines."""
    problems = graded["many"]["problems"]
    assert len(problems) == 11 and problems[-1] == "tiny_page: 220 more problems of this page"
    assert "nobody_knows_9" in problems[9] and graded["many"]["score"] == 10


def test_the_table_tells_nothing_from_something_else(graded: dict[str, Any]) -> None:
    """A page that was read is not "nothing handed in"."""
    rows = {line.split()[0]: line for line in graded["table"].splitlines() if UNIT in line}
    assert "tiny_page was read and defines none of the exercises" in rows["other"]
    assert "nothing handed in" in rows["untouched"]
    assert sum("nothing handed in" in row for row in rows.values()) == 1


def test_check_tells_the_student_first(course: Course) -> None:
    """The same words, before the deadline."""
    page = course.root.parent / "mine" / "tiny_page.py"
    page.parent.mkdir()
    page.write_text(SLOW)
    (checked,) = check_path(course, page).pages
    assert checked.all_passed and "loading this page took 1." in checked.problems[0]

"""An error costs its points once: what calls a function that failed is graded as if that one were right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from autograder.course import Course
from autograder.grading.carry import Answerer, carry_over
from autograder.grading.context import Context
from autograder.grading.session import CollectedTests, grader_files
from autograder.intake.submission import PageSource
from autograder.results.record import TestResult
from autograder.sandbox.launch import Sandbox

COURSE = """
id = "carrying"
title = "Carrying"
[[unit]]
id = "unit0_carrying"
title = "Carrying"
"""
EXERCISES = {
    "square": "square",
    "norm": "norm",
    "layer": "Layer",
    "stack": "Stack",
    "counter": "Counter",
    "total": "total",
    "root": "root",
    "slope": "slope",
}
MORE = {  # of some exercises, what else course.toml says
    "norm": 'builds_on = ["square"]\n',
    "stack": 'builds_on = ["layer"]\n',
    "total": 'builds_on = ["counter"]\n',
    "root": 'builds_on = ["norm"]\n',
    "slope": 'builds_on = ["square"]\nforbidden = ["torch.autograd.grad"]\n',
}
PAGE = """
import torch
from torch import nn


def square(x):
    if not x.is_floating_point():
        raise ValueError("floating point is asked for")
    return x * x


def norm(x):
    return square(x).sum(-1)


class Layer(nn.Module):
    def __init__(self, d, inner=3):
        super().__init__()
        self.d = d
        self.net = nn.Sequential(nn.Linear(d, inner), nn.Tanh(), nn.Linear(inner, d))

    def forward(self, x, scale=1.0):
        return x + scale * self.net(x)


class Stack(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.first, self.second = Layer(d), Layer(d, inner=5)

    def forward(self, x):
        return self.second(self.first(x), scale=2.0) * self.first.d


class Counter:
    def __init__(self):
        self.n = 0

    def add(self, n):
        self.n += n
        return self.n


def root(x):
    return (x * x).sum(-1).sqrt()


def slope(x):
    return 2 * x


def total(numbers):
    counter = Counter()
    for number in numbers:
        counter.add(number)
    return counter.n
"""
GRADER = '''
import pytest
import torch

from autograder.grading import agree, agree_gradients, close, raises


@pytest.mark.exercise("square")
def test_square(student, reference, draw):
    """Squares."""
    agree(student.square, reference.square, draw.tensor(3, 5))


@pytest.mark.exercise("norm")
@pytest.mark.gate
def test_norm(student, reference, draw):
    """The sum of squares."""
    agree(student.norm, reference.norm, draw.tensor(3, 5))


@pytest.mark.exercise("norm")
def test_norm_gradient(student, reference, draw):
    """Differentiable."""
    agree_gradients(student.norm, reference.norm, draw.tensor(3, 5))


@pytest.mark.exercise("norm")
def test_norm_refuses(student):
    """Integers are refused."""
    raises(ValueError, student.norm, torch.arange(3))


@pytest.mark.exercise("norm")
@pytest.mark.needs("square")
def test_norm_of_zero(student):
    """0 has no length."""
    assert student.norm(torch.zeros(2)).item() == 0


def pair(student, reference, draw):
    ours = reference.Stack(4).double()
    theirs = student.Stack(4)
    theirs.load_reference(dict(ours.state_dict()))
    return theirs, ours


@pytest.mark.exercise("layer")
def test_layer(student, reference, draw):
    """One layer."""
    ours, theirs = reference.Layer(4).double(), student.Layer(4)
    theirs.load_reference(dict(ours.state_dict()))
    with torch.no_grad():
        close(theirs(x := draw.tensor(2, 4)), ours(x))


@pytest.mark.exercise("stack")
def test_stack(student, reference, draw):
    """Two layers."""
    theirs, ours = pair(student, reference, draw)
    with torch.no_grad():
        close(theirs(x := draw.tensor(2, 4)), ours(x))


@pytest.mark.exercise("stack")
def test_stack_gradients(student, reference, draw):
    """Every parameter is trained."""
    theirs, ours = pair(student, reference, draw)
    x, cotangent = draw.tensor(2, 4), draw.tensor(2, 4)
    found = student.vjp(theirs, x, cotangent=cotangent, parameters=True)
    x = x.requires_grad_()
    expected = torch.autograd.grad(ours(x), [x, *ours.parameters()], cotangent)
    close([*found.grads, *found.parameters.values()], list(expected))


@pytest.mark.exercise("counter")
def test_counter(student):
    """Adds up."""
    counter = student.Counter()
    assert [counter.add(1), counter.add(2)] == [1, 3]


@pytest.mark.exercise("root")
def test_root(student, reference, draw):
    """The length."""
    agree(student.root, reference.root, draw.tensor(3, 5))


@pytest.mark.exercise("slope")
def test_slope(student, reference, draw):
    """The gradient of the squares."""
    agree(student.slope, reference.slope, draw.tensor(3, 5))


@pytest.mark.exercise("total")
def test_total(student):
    """The sum."""
    assert student.total([1, 2, 3]) == 6
'''
WRONG = {
    "square": "def square(x):\n    return 3 * x\n",
    "norm": "def norm(x):\n    return square(x).sum()\n",
    "layer": "class Layer(nn.Module):\n    def __init__(self, d, inner=3):\n        raise NotImplementedError\n",
    "counter": "class Counter:\n    def __init__(self):\n        raise NotImplementedError\n",
}
# Two functions that are handed in as each other: with the reference in the other's place both would be right.
CIRCLE = "def square(x):\n    return norm(x[..., None])\n\n\ndef norm(x):\n    return square(x).sum(-1)\n"
# What answers in the other's place is kept for the tests of its own, on disk and in the module.
THIEF = """
import os
import pickle


def norm(x):
    found = square(x)
    with open("/scratch/kept" if os.path.isdir("/scratch") else "kept", "wb") as file:
        file.write(bytes(str(found.tolist()), "ascii"))
    globals()["square"] = lambda x: found
    return found.sum(-1)
"""
# Foundations are no answers: `norm` is easily had from `square_root`, which is built on it.
BACKWARDS = "def norm(x):\n    return root(x) ** 2\n\n\ndef root(x):\n    raise NotImplementedError\n"
# Nor is what has nothing to do with it: half a slope is the number itself.
SIDEWAYS = (
    "def norm(x):\n    return (slope(x) / 2).square().sum(-1)\n\n\ndef slope(x):\n    raise NotImplementedError\n"
)
# A gradient by hand, had from the grader's end of the function that failed.
ASKED = """
def square(x):
    raise NotImplementedError


def slope(x):
    if False:
        return square(x)
    ask = square.__closure__[0].cell_contents
    answer = ask("vjp", None, False, {}, (x,), {}, [torch.ones_like(x)])
    return answer[1][0]
"""
NOTHING = "def square(x):\n    raise NotImplementedError\n"


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory, cli: Any) -> Callable[[str], dict[str, dict[str, Any]]]:
    """The exercises of each student, by id."""
    root = tmp_path_factory.mktemp("carrying")
    exercises = "".join(
        f'[[unit.exercise]]\nid = "{name}"\npage = "carried"\ntitle = "-"\nsymbols = ["{symbol}"]\npoints = 10\n'
        + MORE.get(name, "")
        for name, symbol in EXERCISES.items()
    )
    pages = {
        "right": PAGE,
        **{f"wrong_{name}": f"{PAGE}\n\n{text}" for name, text in WRONG.items()},
        "wrong_both": f"{PAGE}\n\n{WRONG['square']}\n\n{WRONG['norm']}",
        "circle": f"{PAGE}\n\n{CIRCLE}",
        "backwards": f"{PAGE}\n\n{BACKWARDS}",
        "sideways": f"{PAGE}\n\n{SIDEWAYS}",
        "asked": f"{PAGE}\n\n{ASKED}",
        "thief": f"{PAGE}\n\n{NOTHING}\n\n{THIEF}",
    }
    files = {
        "course/course.toml": COURSE + exercises,
        "course/reference/unit0_carrying/carried.py": '"""Right."""\n' + PAGE,
        "course/autograder/graders/unit0_carrying/test_carried.py": GRADER,
        **{f"submitted/{name}/unit0_carrying/carried.py": text for name, text in pages.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    done = cli("grade", root / "submitted", "--out", root / "out", "--course", root / "course", "--no-gradebook")
    assert done.returncode == 0, done.stdout + done.stderr

    def exercises_of(student: str) -> dict[str, dict[str, Any]]:
        path = root / "out" / "students" / student / "unit0_carrying" / "result.json"
        return {exercise["id"]: exercise for exercise in json.loads(path.read_text(encoding="utf-8"))["exercises"]}

    return exercises_of


def scores(exercises: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {name: exercise["score"] for name, exercise in exercises.items()}


FULL = dict.fromkeys(EXERCISES, 10.0)


def test_who_is_right_has_no_remark(graded: Callable[[str], Any]) -> None:
    """Full marks, and nothing is carried over."""
    found = graded("right")
    assert scores(found) == FULL
    assert not any("carried" in test["message"] for exercise in found.values() for test in exercise["tests"])


@pytest.mark.parametrize(("wrong", "caller"), [("square", "norm"), ("layer", "stack")])
def test_an_error_costs_its_points_once(graded: Callable[[str], Any], wrong: str, caller: str) -> None:
    """Values, exceptions, gradients, a gate and a test that needs the other: all pass, and each says from where."""
    found = graded(f"wrong_{wrong}")
    assert scores(found) == FULL | {wrong: 0.0}
    carried = [test for test in found[caller]["tests"] if test["message"]]
    assert carried and all(test["outcome"] == "passed" for test in found[caller]["tests"])
    assert {test["message"] for test in carried} == {f"carried over from {wrong}"}
    assert not any(test["hint"] or test["misconception"] for test in carried)


def test_what_is_wrong_in_itself_stays_wrong(graded: Callable[[str], Any]) -> None:
    """With a right square, the wrong sum is as wrong as before, and keeps its own messages."""
    found = graded("wrong_both")
    assert scores(found) == FULL | {"square": 0.0, "norm": 0.0}
    assert "carried" not in found["norm"]["tests"][0]["message"]


def test_an_object_with_a_state_is_not_answered_for(graded: Callable[[str], Any]) -> None:
    """The grader answers for functions and layers; of another class nothing changes."""
    assert scores(graded("wrong_counter")) == FULL | {"counter": 0.0, "total": 0.0}


def test_two_that_call_each_other_gain_nothing(graded: Callable[[str], Any]) -> None:
    """Each would be right with the other's reference; neither was written."""
    assert scores(graded("circle")) == FULL | {"square": 0.0, "norm": 0.0}


def test_nothing_is_gained_from_what_builds_on_it(graded: Callable[[str], Any]) -> None:
    """An exercise is not made of what comes after it: that is never answered for."""
    assert scores(graded("backwards")) == FULL | {"norm": 0.0, "root": 0.0}


def test_nothing_is_gained_from_what_it_does_not_build_on(graded: Callable[[str], Any]) -> None:
    """Two exercises of which none builds on the other have nothing to answer for each other."""
    assert scores(graded("sideways")) == FULL | {"norm": 0.0, "slope": 0.0}


def test_gradients_that_are_asked_for_are_not_given(graded: Callable[[str], Any]) -> None:
    """Where automatic differentiation is forbidden, the grader does not differentiate either."""
    found = graded("asked")
    assert scores(found) == FULL | {"square": 0.0, "slope": 0.0}


def test_the_symbol_itself_never_gains(graded: Callable[[str], Any]) -> None:
    """What the grader answered in its place, kept in files and globals, is worth nothing for its own tests."""
    found = graded("thief")
    assert found["square"]["score"] == 0
    assert "not written yet" in found["square"]["tests"][0]["message"]


def test_a_page_that_cannot_be_run_is_not_run_once_more(
    tiny_course: Callable[[Path], Course], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that nothing stops has cost its time limit once; what calls what in it makes no difference."""
    course = tiny_course(tmp_path)
    unit = course.units[0]
    page = "class Scale:\n    pass\n\n\ndef double(x):\n    return Scale(2)(x)\n\n\n"
    page += "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n"
    results: dict[tuple[str, str], TestResult] = {}
    with Sandbox("none", replace(course.limits, call_wall_s=0.3)) as sandbox:
        context = Context(course, unit, [PageSource("tiny_page", [page])], sandbox, b"seed")
        context.on_result = lambda of, result: results.update({(of, result.name): result})
        tests = CollectedTests(grader_files(course, unit))
        tests.run(context)
        assert {exercise for exercise, _ in results} == {"twice", "scale_layer"}
        assert all("importing tiny_page did not return" in result.message for result in results.values())
        monkeypatch.setattr(Context, "once_more", None)  # whoever calls it fails
        assert list(carry_over(tests, context, results)) == []
        context.close()


def test_the_answers_of_a_layer_are_the_layers() -> None:
    """New, call and gradients of a layer with parameters from outside, in their dtype."""
    answerer = Answerer(torch.nn.Linear)
    kind, (number, parameters, attributes) = answerer("new", (3, 2), {})
    assert kind == "value" and attributes["in_features"] == 3
    parameters = {name: torch.ones_like(value, dtype=torch.float64) for name, value in parameters.items()}
    x = torch.arange(3, dtype=torch.float64)
    assert answerer("call", number, True, parameters, (x,), {})[1].tolist() == [4.0, 4.0]
    grads = answerer("vjp", number, True, parameters, (x,), {}, [torch.tensor([1.0, 2.0]).double()])[1]
    assert [g.tolist() for g in grads] == [[3.0, 3.0, 3.0], [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]], [1.0, 2.0]]
    assert answerer("new", (), {})[:2] == ("raised", "TypeError")


def test_the_layers_that_are_made_are_counted() -> None:
    """Whoever has the grader make one layer after the other is refused before they fill its memory."""
    answerer = Answerer(torch.nn.Linear)
    asked = [answerer("new", (1000, 1000), {})[0] for _ in range(20)]
    assert asked == ["value"] * 16 + ["raised"] * 4
    assert answerer("new", (1000, 1000), {})[1] == "MemoryError"

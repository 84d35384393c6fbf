"""Comparing answers: what counts as the same number at the ends of the number line."""

import math

import numpy as np
import pytest
import torch

from autograder.grading.compare import Disagreement, agree, close
from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentError
from autograder.sandbox.launch import Sandbox

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("expected", [INF, -INF])
@pytest.mark.parametrize("other", [0.0, 1e30, NAN, "the other infinity"])
@pytest.mark.parametrize("make", [torch.tensor, np.array, float], ids=["torch", "numpy", "float"])
def test_nothing_is_near_to_an_infinite_number(expected, other, make):
    """Where infinity is expected, infinity of the same sign is right, and nothing else, whatever is tolerated."""
    close(make(expected), make(expected))
    with pytest.raises(Disagreement):
        close(make(-expected if other == "the other infinity" else other), make(expected), rtol=0.5, atol=1e9)


def test_infinite_and_missing_numbers_in_place_of_others():
    """Where a number is expected, an infinite one is far and NaN is wrong; where NaN is expected, only NaN is right."""
    for actual in (INF, -INF, NAN):
        with pytest.raises(Disagreement):
            close(torch.tensor([1.0, actual]), torch.tensor([1.0, 2.0]))
    close(torch.tensor([NAN]), torch.tensor([NAN]))
    with pytest.raises(Disagreement):
        close(torch.tensor([1.0]), torch.tensor([NAN]))
    close(torch.tensor([INF, 1e30]), torch.zeros(2), rtol=0.0, atol=INF)  # how graders ask for a shape and a dtype only


NO_VALUES = """
async def coroutine():
    return 1.0

def generator():
    yield 1.0

def function():
    return lambda: 1.0

nothing = None
a_list = [1.0]
"""


SAID = {
    "coroutine": "an object of type coroutine (write def instead of async def), expected",
    "generator": "an object of type generator (write return instead of yield), expected",
    "function": "an object of type function (call it, and return what it returns), expected",
    "nothing": "nothing is None and cannot be called",
    "a_list": "a_list is of type list and cannot be called",
}


def test_what_is_no_answer_at_all_says_what_to_write():
    """Beginners' slips that Python does not complain about where they are made."""
    with Sandbox("none", Limits()) as sandbox:
        student = Student(Page(sandbox, "page", [wire.Source("page", [NO_VALUES])], [], Limits()))
        for name, said in SAID.items():
            with pytest.raises((Disagreement, StudentError)) as caught:
                close(getattr(student, name)(), torch.tensor(1.0))
            assert said in str(caught.value)


CHANGES = """
def same(a, b, c):
    return a[0] + b["x"] + c[1][0]

def first(a, b, c):
    a[0][...] = 7
    return same((a[0] - 6,), b, c)

def by_name(a, b, c):
    b["x"] += 1
    return same(a, {"x": b["x"] - 1}, c)

def deep(a, b, c):
    c[1][0] *= 2
    return same(a, b, [0, [c[1][0] / 2]])

def taken(a, b, c):
    return same(a, b, [0, [c[1].pop()]])
"""


@pytest.mark.parametrize(
    ("function", "place"),
    [
        ("same", None),
        ("first", r"input 1\[0\]"),
        ("by_name", r"b\['x'\]"),
        ("deep", r"c\[1\]\[0\]"),
        ("taken", r"c\[1"),
    ],
)
def test_arrays_within_arguments_are_left_alone_too(function, place):
    """In tuples, lists and dicts: who changes one is told which."""
    with Sandbox("none", Limits()) as sandbox:
        source = wire.Source("page", [CHANGES], notebook=True)
        page = Page(sandbox, "page", [source], ["same", function], Limits())
        given = (torch.ones(3),), {"b": {"x": torch.ones(3)}, "c": [0, [torch.full((3,), 2.0)]]}
        expected = torch.full((3,), 4.0)

        def ask():
            agree(getattr(Student(page), function), lambda *_, **__: expected, given[0], **given[1])

        if place is None:
            ask()
        else:
            with pytest.raises(Disagreement, match=f"{place}.* was changed in place"):
                ask()
        page.close()

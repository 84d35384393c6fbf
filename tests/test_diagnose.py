"""A misconception is named where it gives the student's very answers and fails in the same words, and nowhere else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autograder.course import Course, load_course
from autograder.grading.diagnose import same_answer
from autograder.intake.submission import PageSource, Submission
from autograder.rooms.room import Room
from autograder.sandbox import wire
from autograder.sandbox.failures import StudentRaised

UNIT = "unit0_tiny"
GRADER = '''
import pytest
import torch

from autograder.grading import agree


@pytest.mark.exercise("twice")
def test_values(student, reference, draw):
    """Every element is twice as large."""
    agree(student.double, reference.double, draw.tensor(5, 7))


@pytest.mark.exercise("twice")
def test_cost(student, draw):
    """No product of matrices is taken, and nothing is larger than the result."""
    x = draw.tensor(5, 7)
    seen = student.measure(student.double, x).measured
    assert not seen["product_flops"], "a product is taken"
    assert seen["largest_bytes"] <= x.nbytes, "something is larger than the result"


@pytest.mark.exercise("twice")
def test_three(student, reference):
    """Twice 3 is 6."""
    agree(student.double, reference.double, torch.tensor([3.0]))


@pytest.mark.exercise("scale_layer")
def test_factor(student):
    """The layer is made."""
    student.Scale(1.5)
'''
MISCONCEPTIONS = '''
"""Known wrong answers to the page `tiny_page`."""

import torch

from autograder.grading.misconceptions import correct, misconception


@misconception("twice", symbol="double")
def squared(x):
    """Probably x was multiplied by itself."""
    return x * x


@misconception("twice", symbol="double")
def by_matrix(x):
    """A matrix that doubles is a detour."""
    return x @ (2 * torch.eye(x.shape[-1], dtype=x.dtype))


@misconception("twice", symbol="double")
def nine_of_three(x):
    """Of 3 it makes 9 too."""
    return x**3 / 3


@misconception("scale_layer", symbol="Scale", id="squared")
class Without(correct.Scale):
    """The factor was probably looked up where it is not."""

    def __init__(self, factor):
        super().__init__(factor)
        [][3]
'''
LAYER = "class Scale:\n    def __init__(self, factor):\n        self.fixed = factor{}\n"


@pytest.fixture(scope="module")
def room(tiny_course: Callable[[Path], Course], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    course = tiny_course(tmp_path_factory.mktemp("diagnose"))
    (course.graders / UNIT / "test_tiny_page.py").write_text(GRADER)
    (course.graders / UNIT / "misconceptions" / "tiny_page.py").write_text(MISCONCEPTIONS.lstrip())
    with Room(course.root, [UNIT], "none", b"diagnose") as room:
        yield room


def named(room: Room, page: str) -> dict[str, str | None]:
    """The misconception that each failed test names."""
    pages = [PageSource("tiny_page", ["import torch\n" + page])]
    graded = room.grade(Submission(student="eve", unit=UNIT, pages=pages, problems=[], digest=""))
    return {t.name: t.misconception for tests in graded.results.values() for t in tests if t.outcome != "passed"}


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        # of two that make 9 of 3 the one is believed that alone gives the answers of an earlier test
        ("def double(x):\n    return x ** 2\n", {"test_values": "squared", "test_three": "squared"}),
        ("def double(x):\n    return x ** 3 / 3\n", {"test_values": "nine_of_three", "test_three": "nine_of_three"}),
        ("def double(x):\n    return 2 * x + 3 * (x == 3)\n", {"test_three": None}),
        ("def double(x):\n    return x ** 3\n", {"test_values": None, "test_three": None}),
        ("def double(x):\n    return x @ torch.eye(x.shape[-1]).to(x) * 2\n", {"test_cost": "by_matrix"}),
        # the same numbers, and another failure
        ("def double(x):\n    return 2 * torch.cat([x, x])[: len(x)]\n", {"test_cost": None}),
    ],
)
def test_answers_and_words_decide(room: Room, page: str, expected: dict[str, str | None]) -> None:
    """Written otherwise it is the same misconception; the same numbers with another failure are not."""
    assert named(room, page + LAYER.format("")) == expected


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        ("\n        (1, 2)[5]", None),
        ("\n        [1, 2][5]", "squared"),
        ("\n        raise IndexError('no such thing')", None),
        ("\n        [1, 2]['a']", None),
    ],
)
def test_of_an_exception_class_and_words_count(room: Room, wrong: str, cause: str | None) -> None:
    """An error of the same class may be about anything."""
    right = "def double(x):\n    return 2 * x\n"
    found = named(room, right + LAYER.format(wrong))
    assert found == {"test_factor": found["test_factor"]}
    assert (found["test_factor"] or "").lower() == (cause or "").lower()


def test_exercises_may_share_the_name_of_a_misconception(room: Room) -> None:
    """Each has its own."""
    page = "def double(x):\n    return x ** 2\n" + LAYER.format("\n        [1, 2][5]")
    assert set(named(room, page).items()) >= {("test_values", "squared"), ("test_factor", "squared")}


OWN_CACHE = """
def layer_norm_forward(x, gamma, beta, eps=1e-5):
    deviation = x - x.mean(axis=-1, keepdims=True)
    variance = (deviation**2).sum(axis=-1, keepdims=True) / (x.shape[-1] - 1)
    scale = 1 / np.sqrt(variance + eps)
    y = (deviation * scale * gamma + beta).astype(x.dtype)
    return y, {"what I keep": [deviation, scale], "gamma": gamma}


def layer_norm_backward(dy, cache):
    deviation, scale = cache["what I keep"]
    x_hat, g = deviation * scale, dy * cache["gamma"]
    axes = tuple(range(dy.ndim - 1))
    dx = scale * (g - g.mean(axis=-1, keepdims=True) - x_hat * (g * x_hat).mean(axis=-1, keepdims=True))
    return dx.astype(dy.dtype), (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)
"""


def test_what_is_the_students_own_affair_says_nothing_about_the_cause() -> None:
    """The cache of a forward pass may have any form; the variance of a sample is one all the same."""
    course = load_course(Path(__file__).resolve().parents[1])
    unit = course.unit("unit5_transformer")
    pages = [PageSource("layer_norm", [(course.solutions / unit.id / "layer_norm.py").read_text(), OWN_CACHE])]
    with Room(course.root, [unit.id], "none", b"cache") as room:
        handed_in = Submission(student="eve", unit=unit.id, pages=pages, problems=[], digest="")
        graded = room.grade(handed_in, exercise="layer_norm")
    causes = {test.misconception for test in graded.results["layer_norm"] if test.misconception}
    assert causes == {"unbiased_std"}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('Error(s) in loading state_dict for Mine:\n\tMissing key(s) in state_dict: "bias".', True),
        ('Error(s) in loading state_dict for Theirs:\n\tUnexpected key(s) in state_dict: "bias".', False),
        ("Error(s) in loading state_dict for Theirs:\n\tsize mismatch for weight: copying a param ...", False),
    ],
)
def test_what_does_not_fit_counts_when_weights_are_loaded(text: str, same: bool) -> None:
    """That weights lack a bias is another mistake than that they have another size; the class's name is nobody's."""
    theirs = 'Error(s) in loading state_dict for Theirs:\n\tMissing key(s) in state_dict: "bias".'
    one, other = (StudentRaised(wire.Raised(0, ["RuntimeError"], words, [])) for words in (theirs, text))
    assert same_answer(one, other) is same

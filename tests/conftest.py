"""What several test files share: the real course, a tiny one to change and break, and the command line."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from autograder.authoring.build import build
from autograder.course import Course, load_course
from autograder.extensions import load_extensions
from autograder.results import gradebook, late
from autograder.results.record import UnitResult
from autograder.sandbox.warm import interpret_kernels

interpret_kernels()  # some test or other imports Triton before the kernels of unit 7 are read


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/ anew; then read the diff")


ROOT = Path(__file__).resolve().parents[1]

_COURSE = """\
id = "tiny"
title = "A tiny course"

[gradebook]
url = "sqlite:///gradebook.db"

[late]
grace_minutes = 15
penalty_per_day = 0.10
max_penalty = 0.50

[limits]
call_wall_s = 2.0
memory_mb = 1024

[[unit]]
id = "unit0_tiny"
title = "Tiny"
about = "Two exercises, as small as they can be"
due = 2026-12-14T23:59:00+01:00

[[unit.exercise]]
id = "twice"
page = "tiny_page"
title = "Twice as much"
symbols = ["double"]
points = 4

[[unit.exercise]]
id = "scale_layer"
page = "tiny_page"
title = "A layer that scales"
symbols = ["Scale"]
points = 6
"""

_PAGE = '''\
# %% [markdown]
# # A tiny page
#
# Twice $x$ is $2x$.

# %%
from torch import Tensor, nn

# %% [markdown]
# ## Exercise `twice` (4 points)


# %% exercise="twice"
def double(x: Tensor) -> Tensor:
    """2x, and x is left as it was."""
    ### BEGIN SOLUTION
    twice_as_much = x + x
    return twice_as_much
    ### END SOLUTION


# %% [markdown]
# ## Exercise `scale_layer` (6 points)


# %% exercise="scale_layer"
class Scale(nn.Module):
    """x times a fixed factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.fixed_factor = factor
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION
        return self.fixed_factor * x
        ### END SOLUTION
'''

_PUBLIC = '''\
"""Public checks of the page `tiny_page`."""

import pytest
import torch


@pytest.mark.exercise("twice")
def test_example(student):
    """Twice 1.5 is 3."""
    assert student.double(torch.tensor([1.5])).tolist() == [3.0]


@pytest.mark.exercise("scale_layer")
def test_factor(student):
    """A factor of 3 makes 6 of 2."""
    assert student.Scale(3.0)(torch.tensor([2.0])).tolist() == [6.0]
'''

_REFERENCE = '''\
"""Reference of the page `tiny_page`."""

from torch import Tensor, nn


def double(x: Tensor) -> Tensor:
    return 2 * x


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor
'''

_GRADER = '''\
"""Hidden grader of the page `tiny_page`."""

import pytest

from autograder.grading import agree, agree_gradients, close


@pytest.mark.exercise("twice")
@pytest.mark.gate
def test_shape(student, draw):
    """The result has the shape of x."""
    assert student.double(draw.tensor(5, 7)).shape == (5, 7)


@pytest.mark.exercise("twice")
@pytest.mark.weight(3)
def test_values(student, reference, draw):
    """Every element is twice as large."""
    agree(student.double, reference.double, draw.tensor(5, 7))


@pytest.mark.exercise("scale_layer")
@pytest.mark.weight(2)
def test_factor(student, reference, draw):
    """The layer multiplies by its factor."""
    x = draw.tensor(3, 5)
    close(student.Scale(1.7)(x), reference.Scale(1.7)(x))


@pytest.mark.exercise("scale_layer")
def test_gradient(student, reference, draw):
    """The gradient is the factor."""
    agree_gradients(student.Scale(1.7), reference.Scale(1.7), draw.tensor(3, 5))
'''

_MISCONCEPTIONS = '''\
"""Known wrong answers to the page `tiny_page`."""

from autograder.grading.misconceptions import correct, misconception


@misconception("twice", symbol="double")
def squared(x):
    """Probably x was multiplied by itself. Which number should it be multiplied by?"""
    return x * x


@misconception("scale_layer", symbol="Scale")
class AddsFactor(correct.Scale):
    """The factor was probably added. What does "times" mean?"""

    def forward(self, x):
        return x + super().forward(x) / x
'''

_FILES = {
    "course.toml": _COURSE,
    "solutions/unit0_tiny/README.md": "# Tiny\n",
    "solutions/unit0_tiny/tiny_page.py": _PAGE,
    "solutions/unit0_tiny/test_tiny_page.py": _PUBLIC,
    "reference/unit0_tiny/tiny_page.py": _REFERENCE,
    "autograder/graders/unit0_tiny/test_tiny_page.py": _GRADER,
    "autograder/graders/unit0_tiny/misconceptions/tiny_page.py": _MISCONCEPTIONS,
}


def record(course: Course, out: Path, results: Iterable[UnitResult]) -> str:
    """Write what results are worth now into the gradebook of `out`; returns its address."""
    settled = late.settle_all(course, load_extensions(course), results)
    return gradebook.record_counted(course, out, settled.values())


@pytest.fixture(scope="session")
def course() -> Course:
    """The real course."""
    return load_course(ROOT)


@pytest.fixture(scope="session")
def _tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "course"
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    build(load_course(root))
    return root


@pytest.fixture(scope="session")
def tiny_course(_tiny_root: Path) -> Callable[[Path], Course]:
    """`tiny_course(tmp_path)` writes a complete course, assignments/ included, to `tmp_path / "course"`."""

    def write(folder: Path) -> Course:
        return load_course(Path(shutil.copytree(_tiny_root, folder / "course")))

    return write


@pytest.fixture(scope="session")
def cli() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`cli(*args, cwd=...)` runs the command line in a process of its own."""

    def run(*args: object, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "autograder.cli", *map(str, args)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)

    return run

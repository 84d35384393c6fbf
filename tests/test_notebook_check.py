"""`check("…")` in a notebook looks at what the kernel holds now, and says where the file is another."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autograder.commands.kernel import current, differing
from autograder.course import Course

# A kernel without its server: cells are run and kept in its history as Jupyter does it; what one prints is the answer.
KERNEL = """\
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        shell.run_cell(json.loads(line), store_history=True)
    print(json.dumps(printed.getvalue()), flush=True)
"""
CHECK = "from autograder import check\ncheck('twice')"
WRONG, RIGHT = "def double(x):\n    return x * x", "def double(x):\n    return x + x"
HELPED = "def double(x):\n    return helper(x)"


class Kernel:
    """Runs cells in a process of its own, in the folder of the tiny course's page."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", KERNEL], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, code: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture
def page(tiny_course: Callable[[Path], Course], tmp_path: Path) -> Path:
    course = tiny_course(tmp_path)
    (course.root / "course.toml").write_text(
        (course.root / "course.toml")
        .read_text()
        .replace('symbols = ["double"]', 'symbols = ["double"]\nforbidden = ["torch.add"]')
    )
    return course.assignments / "unit0_tiny" / "tiny_page.ipynb"


@pytest.fixture
def kernel(page: Path) -> Kernel:
    kernel = Kernel(page.parent)
    yield kernel  # type: ignore[misc]
    kernel.close()


def save(page: Path, *cells: str) -> None:
    page.write_text(json.dumps({"nbformat": 4, "cells": [{"cell_type": "code", "source": c} for c in cells]}))


def test_what_the_kernel_holds_counts(kernel: Kernel, page: Path) -> None:
    """Saved or not; what was run before and replaced does not count; a saved file that differs is named."""
    differs = "tiny_page.ipynb as it is saved differs from this (double): save the notebook"
    assert "NameError" in kernel.run("double") or True
    said = kernel.run(CHECK)
    assert "✗ twice: 0 of 1" in said and "not defined" in said
    kernel.run("import torch\ndef double(x):\n    return torch.add(x, x)")
    said = kernel.run(CHECK)
    assert "torch.add is used here" in said and differs in said
    kernel.run(WRONG)
    said = kernel.run(CHECK)
    assert "✗ twice: 0 of 1" in said and "torch.add" not in said
    kernel.run(f"%%time\n{RIGHT}")
    said = kernel.run(CHECK)
    assert "✓ twice: 1 of 1" in said and differs in said
    save(page, RIGHT)
    said = kernel.run(CHECK)
    assert "✓ twice: 1 of 1" in said and "differs" not in said
    page.unlink()
    assert "save the notebook there under this name" in kernel.run(CHECK)


def test_a_check_leaves_the_kernel_as_it_was(kernel: Kernel) -> None:
    """The global generators give the same next numbers, and the names of the notebook stay."""
    draw = "import random, numpy, torch\nprint(torch.rand(2), numpy.random.rand(2), random.random())"
    seed = "import random, numpy, torch\ntorch.manual_seed(0); numpy.random.seed(0); random.seed(0)\n"
    kernel.run(RIGHT)
    expected = kernel.run(f"{seed}{draw}")
    kernel.run(seed)
    assert "✓ twice" in kernel.run(CHECK)
    assert kernel.run(draw) == expected
    assert kernel.run("print(double(4), 'tiny_page' in __import__('sys').modules)") == "8 False\n"


COMPILED = """
import os
os.environ.setdefault("TRITON_INTERPRET", "0")  # as where there is a GPU
import torch
import triton
import triton.language as tl
from beside import TWO


@triton.heuristics({"BLOCK": lambda given: 64})
@triton.jit
def kernel(x, out, n, two, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + at, two * tl.load(x + at, mask=at < n, other=0.0), mask=at < n)


def double(x):
    x = torch.as_tensor(x)
    out = torch.empty_like(x)
    kernel[(triton.cdiv(x.numel(), 64),)](x, out, x.numel(), TWO)
    return out.numpy()
"""


def test_kernels_that_are_compiled_here_are_interpreted_to_be_checked(kernel: Kernel, page: Path) -> None:
    """On a GPU machine the notebook's kernels take no tensor of the CPU, and the checks have no other."""
    pytest.importorskip("triton")
    (page.parent / "beside.py").write_text("TWO = 2\n")
    kernel.run(COMPILED)
    said = kernel.run(CHECK)
    assert "✓ twice" in said, said
    kernel.run("TWO = 3\n")
    assert "✗ twice" in kernel.run(CHECK)


def test_current_cells() -> None:
    """A definition that a later cell replaced is taken out, and every other line keeps its number."""
    assert current(["x = 1\ndef f():\n    return 1\ny = 2", "%time\ndef f():\n    return 2"]) == [
        "x = 1\n\n\ny = 2",
        "pass\ndef f():\n    return 2",
    ]


def test_what_differs() -> None:
    """Of everything that the symbols reach: helpers and constants too, and nothing else; comments do not count."""
    here = [HELPED, "A = 1\ndef helper(x):\n    return A * x", "def other():\n    return 1"]
    assert differing(here, [*here[:2], "def other():\n    return 2"], ["double"]) == []
    assert differing(here, [here[0], here[1].replace("A = 1", "A = 2  # two")], ["double"]) == ["A"]
    assert differing(here, [here[0], "# more\n" + here[1]], ["double"]) == []
    assert differing(here, [here[0]], ["double"]) == ["helper", "A"]

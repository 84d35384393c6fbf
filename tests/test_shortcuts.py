"""Forbidden functions: found in the code that an exercise reaches, refused when called, and nothing else punished."""

import pytest
import torch

from autograder.course import Limits
from autograder.grading.context import Student
from autograder.grading.shortcuts import find_shortcut
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentForbidden
from autograder.sandbox.launch import Sandbox

BANNED = ["torch.nn.functional.softmax", "torch.softmax", "scipy.special"]


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ndef f(x):\n    return torch.softmax(x, -1)",
        "from torch.nn import functional as G\ndef f(x):\n    return G.softmax(x, -1)",
        "from torch import softmax as s\ndef f(x):\n    return s(x, -1)",
        "def f(x):\n    import torch as t\n    return t.softmax(x, -1)",
        "import torch\ndef helper(x):\n    return torch.softmax(x, -1)\ndef f(x):\n    return helper(x)",
        "import torch\nshort = torch.softmax\ndef f(x):\n    return short(x, -1)",
        "import scipy.special\ndef f(x):\n    return scipy.special.log_softmax(x)",
        "import torch\nclass f:\n    def forward(self, x):\n        return torch.softmax(x, -1)",
    ],
)
def test_a_use_is_found(code: str) -> None:
    """Aliases, local imports, helpers, assignments, submodules and methods do not hide it."""
    assert find_shortcut([code], ["f"], BANNED) is not None


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    '''Like torch.softmax.'''\n    return x  # torch.softmax(x, -1)",
        "import torch\ndef f(x):\n    return x\ndef picture(x):\n    return torch.softmax(x, -1)",
        "import torch\ndef softmax(x):\n    return x.exp() / x.exp().sum()\ndef f(x):\n    return softmax(x)",
        "import torch\ndef f(x):\n    return torch.nn.functional.softplus(x)",
        "def f(x:\n",
    ],
)
def test_an_innocent_page_is_left_alone(code: str) -> None:
    """Comments, strings, a use elsewhere, a function of one's own of that name, and another function are no uses."""
    assert find_shortcut([code], ["f"], BANNED) is None


def test_a_hidden_call_is_refused_and_an_innocent_one_goes_through() -> None:
    """What no tree shows is refused when it is called for the exercise, and allowed otherwise."""
    code = (
        "import torch\nprobabilities = torch.softmax(torch.zeros(2), -1)\n"
        "def f(x):\n    return getattr(torch, 'soft' + 'max')(x, -1)\n"
        "def g(x):\n    return torch.softmax(x, -1)\n"
    )
    limits = Limits()
    with Sandbox("none", limits) as sandbox:
        page = Page(sandbox, "page", [wire.Source("page", [code])], [], limits)
        page.forbidden_anywhere = BANNED
        page.forbidden = BANNED
        with pytest.raises(StudentForbidden, match=r"torch\.softmax is used here"):
            Student(page).f(torch.zeros(2))
        page.forbidden = []
        assert Student(page).g(torch.zeros(2)).tolist() == [0.5, 0.5]

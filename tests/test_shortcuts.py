"""Forbidden functions: found in the code that an exercise reaches, refused when called, and nothing else punished."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from autograder.grading.compare import quiet_rng
from autograder.grading.context import Student
from autograder.grading.shortcuts import find_shortcut
from autograder.intake.submission import PageSource
from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentError, StudentForbidden
from autograder.sandbox.launch import Sandbox

LIMITS = Limits()
BANNED = ["torch.nn.functional.softmax", "torch.softmax", "scipy.special"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all: a page gets workers of its own."""
    with Sandbox("none", LIMITS) as started:
        yield started


def page_of(sandbox: Sandbox, cells: list[str], *symbols: str) -> Page:
    return Page(sandbox, "page", [wire.Source("page", cells, notebook=True)], symbols, LIMITS)


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
        "  # no margin\nimport torch\ndef f(x):\n  return torch.softmax(x, -1)",
    ],
)
def test_a_use_is_found(code: str) -> None:
    """Aliases, local imports, helpers, assignments, submodules and methods do not hide it."""
    assert find_shortcut(PageSource("page", [code]), ["f"], BANNED) is not None


PICTURE = """
import torch
if __name__ == "__main__":
    y = torch.softmax(torch.zeros(3), -1)
    k, v = torch.softmax(torch.zeros(3), -1), 0
    def show():
        return y
"""


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    y = 2 * x\n    return y",
        "def f(y, *, k=3):\n    return y + k",
        "def f(*y, **k):\n    return y, k",
        "f = lambda y: y + 1",
        "def f(x):\n    return [y for y in x], {k: v for k, v in x}",
        "def f(x):\n    for y in x:\n        pass\n    return y",
        "def f(x):\n    with x as y:\n        return y",
        "def f(x):\n    if (y := x) > 0:\n        return y",
        "def f(x):\n    try:\n        return x\n    except ValueError as y:\n        raise y",
        "def f(x):\n    y = x\n    def inner():\n        return y\n    return inner()",
        "def f(x):\n    def show():\n        return x\n    return show()",
        "def f(x):\n    match x:\n        case [k, *y]:\n            return k, y",
        "def f(x):\n    y, (k, v) = x\n    y += k\n    return y, v",
    ],
)
def test_a_functions_own_variable_is_not_the_pages(code: str) -> None:
    """Names that code elsewhere on the page, the picture's say, gives a forbidden value to."""
    assert find_shortcut(PageSource("page", [code + PICTURE]), ["f"], BANNED) is None


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return y",
        "def f(x, z=y):\n    return z",
        "def f(x: y):\n    return x",
        "@show\ndef f(x):\n    return x",
        "def f(x):\n    global y\n    y = y + x\n    return y",
        "def f(x):\n    def inner(y):\n        return y\n    return inner(y)",
        "def f(x):\n    return [k for k in y], lambda v: v + k",
        "def f(x):\n    return [y for y in y]",
        "class f:\n    y = 1\n    def forward(self, x):\n        return y",
        "def f(x):\n    y.data = x",
    ],
)
def test_the_pages_name_is_followed_where_nothing_hides_it(code: str) -> None:
    """Defaults, annotations, decorators, what a comprehension goes through, and methods see the page's name."""
    assert find_shortcut(PageSource("page", [code + PICTURE]), ["f"], BANNED) is not None


@pytest.mark.parametrize(
    "code",
    [
        "from helpers import soft\ndef f(x):\n    return soft(x)",
        "from helpers import *\ndef f(x):\n    return soft(x)",
        "import helpers as h\ndef f(x):\n    return h.soft(x)",
        "def f(x):\n    from helpers import soft as s\n    return s(x)",
        "from helpers import outer\ndef f(x):\n    return outer(x)",
        "from helpers import again\ndef f(x):\n    return again(x, -1)",
    ],
)
def test_a_use_is_found_in_a_module_beside_the_page(code: str) -> None:
    """Whatever way the helper is imported, and also through the helper's own helper; its own line is told."""
    inner = PageSource(
        "inner", ["from torch import softmax\n\n\ndef deep(x):\n    return softmax(x, -1)\n"], helper=True
    )
    soft = "import torch\nimport inner\n\n\ndef soft(x):\n    return torch.softmax(x, -1)\n"
    more = "def outer(x):\n    return inner.deep(x)\n\n\nfrom torch import softmax as again\n"
    helpers = PageSource("helpers", [soft + more], helper=True)
    use = find_shortcut(PageSource("page", [code]), ["f"], BANNED, [inner, helpers])
    assert use is not None and use.where in ("helpers.py, line 6", "inner.py, line 5", "helpers.py, line 11")
    assert (
        find_shortcut(PageSource("page", ["import helpers\ndef f(x):\n    return x"]), ["f"], BANNED, [helpers]) is None
    )


@pytest.mark.parametrize(
    "code",
    [
        "f: object = s.softmax",
        "f, other = s.softmax, 0",
        "f, *other = s.softmax, 0",
        "print(f := s.softmax)",
        "for f in [s.softmax]: pass",
        "for n in [0]:\n    def f(x): return s.softmax(x)",
        "for n in []: pass\nelse:\n    f = s.softmax",
        "while True:\n    f = s.softmax\n    break",
        "with nullcontext(s.softmax) as f: pass",
        "try: import nothing\nexcept ImportError:\n    from scipy.special import softmax as f",
        "try: import nothing\nexcept* ImportError:\n    from scipy.special import softmax as f",
        "match s.softmax:\n    case f: pass",
        "match 0:\n    case 0:\n        f = s.softmax",
        "def g():\n    global f\n    f = s.softmax\ng()",
        "class G:\n    def g(self):\n        global f\n        def f(x): return s.softmax(x)",
        "f = Adds()\nf += s.softmax",
        "def f(x): return G.g(x)\nG.g = s.softmax",
        "def f(x): return g['g'](x)\ng = {}\ng['g'] = s.softmax",
        "def f(x, g=None): return g(x)\nf.__defaults__ = (s.softmax,)",
        "from helpers import *",
        "from between import *",
        "from scipy.special import *\ndef f(x): return log_softmax(x)",
        "from numpy import *\nfrom scipy.special import *\ndef f(x): return exp(log_softmax(x))",
        "from scipy import *\ndef f(x): return special.softmax(x)",
        "from numpy import *\ndef f(x): return logaddexp.reduce(x)",
    ],
)
def test_a_use_is_found_however_the_name_is_bound(code: str) -> None:
    """Whatever statement gives the name its value, wherever it stands, and where everything of a module is imported."""
    between = PageSource("between", ["from helpers import *"], helper=True)
    helpers = PageSource("helpers", ["from scipy.special import softmax as f"], helper=True)
    page = PageSource("page", [f"import scipy.special as s\n{code}\n"])
    use = find_shortcut(page, ["f"], ["scipy", "numpy.logaddexp"], [between, helpers])
    assert use is not None and use.where.startswith(("page.py, line ", "helpers.py, line 1"))


@pytest.mark.parametrize(
    "code",
    [
        "from numpy import *\nfrom scipy.special import *\ndef f(x): return exp(x) / sum(exp(x))",
        "from numpy import *\ndef f(x): return slip(x)",
        "from scipy.special import *\ndef f(x): return [len(row) for row in x]",
        "from helpers import *\nfrom scipy.special import *\ndef f(x): return mine(x)",
        "def f(x): return x\nfor g in (f, s.softmax):\n    print(g(0))",
        "def f(x): return x\nresults = {}\nresults['f'] = f(0), s.softmax(0)",
        "def f(x): return x\ntry:\n    print(f(0) == s.softmax(0))\nexcept ValueError as error:\n    print(error)",
    ],
)
def test_what_else_stands_there_is_no_use(code: str) -> None:
    """A comparison with the library in a loop, and names that another module of the page's has."""
    helpers = PageSource("helpers", ["def mine(x): return x"], helper=True)
    page = PageSource("page", [f"import scipy.special as s\n{code}\n"])
    assert find_shortcut(page, ["f"], ["scipy", "numpy.logaddexp"], [helpers]) is None


def test_the_place_is_the_students_own() -> None:
    """A module's lines count from its top, a notebook's from its cell, and magics hide nothing."""
    cells = ["import torch\n\n", "%%time\ndef f(x):\n    return torch.softmax(x, -1)\n"]
    notebook = find_shortcut(PageSource("page", cells, notebook=True), ["f"], BANNED)
    module = find_shortcut(PageSource("page", cells), ["f"], BANNED)
    assert notebook is not None and notebook.where == "page.ipynb, cell 2, line 3"
    assert module is not None and module.where == "page.py, line 5"


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
    assert find_shortcut(PageSource("page", [code]), ["f"], BANNED) is None


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import torch.nn.functional as F\ndef f(x):\n    return F.scaled(x, x, x, gqa=True)", True),
        ("from torch.nn.functional import scaled\ndef f(x):\n    return scaled(x, gqa=x > 0)", True),
        ("import torch.nn.functional as F\ndef f(x):\n    return F.scaled(x, x, x, gqa=False)", False),
        ("import torch.nn.functional as F\ndef f(x, gqa=True):\n    return F.scaled(x, x, x, is_causal=True)", False),
        ("def scaled(x, gqa):\n    return x\ndef f(x):\n    return scaled(x, gqa=True)", False),
    ],
)
def test_an_option_may_be_forbidden(code: str, found: bool) -> None:
    """The function itself may be used, without the option that does what is asked for."""
    use = find_shortcut(PageSource("page", [code]), ["f"], ["torch.nn.functional.scaled.gqa"])
    assert (use is not None) == found


def test_a_hidden_call_is_refused_and_an_innocent_one_goes_through(sandbox: Sandbox) -> None:
    """What no tree shows is refused when it is called for the exercise, and allowed otherwise."""
    code = (
        "import torch\nprobabilities = torch.softmax(torch.zeros(2), -1)\n"
        "def f(x):\n    return getattr(torch, 'soft' + 'max')(x, -1)\n"
        "def g(x):\n    return torch.softmax(x, -1)\n"
    )
    page = page_of(sandbox, [code])
    page.begin("f", LIMITS, BANNED)
    with pytest.raises(StudentForbidden, match=r"torch\.softmax is used here"):
        Student(page).f(torch.zeros(2))
    page.begin("g", LIMITS, [])
    assert Student(page).g(torch.zeros(2)).tolist() == [0.5, 0.5]


def test_no_reference_leads_to_a_refused_function(sandbox: Sandbox) -> None:
    """`torch.norm` and `torch.functional.norm` are one function: where one name is forbidden, no other one works."""
    code = "import torch\ndef f(x):\n    return torch.norm(x)\n"
    page = page_of(sandbox, [code])
    page.begin("f", LIMITS, [])
    assert Student(page).f(torch.ones(4, dtype=torch.float64)).item() == 2.0
    page.begin("f", LIMITS, ["torch.functional.norm"])
    with pytest.raises(StudentForbidden, match=r"torch\.functional\.norm is used here"):
        Student(page).f(torch.ones(4, dtype=torch.float64))


def test_what_the_worker_needs_is_refused_during_a_call_only(sandbox: Sandbox) -> None:
    """An exercise that forbids torch.autograd.grad can be tested for its gradients all the same."""
    code = (
        "import torch\ndef f(x):\n    return x.square()\ndef g(x):\n    return torch.autograd.grad(f(x).sum(), x)[0]\n"
    )
    page = page_of(sandbox, [code])
    page.begin("f", LIMITS, ["torch.autograd.grad"])
    student = Student(page)
    answered = student.vjp(student.f, torch.tensor([3.0]), cotangent=torch.tensor([1.0]))
    assert answered.grads[0].tolist() == [6.0]
    with pytest.raises(StudentForbidden, match=r"torch\.autograd\.grad"):
        student.vjp(student.g, torch.tensor([3.0]), cotangent=torch.tensor([1.0]))


def test_torch_as_a_whole_computes_nothing_but_pictures(sandbox: Sandbox) -> None:
    """No operator of torch answers for an exercise that forbids it; what generators draw can be looked at."""
    cells = [
        "import numpy as np\nimport torch\ntable = torch.zeros(3)\nNUMBER = 2\n",
        "def f(x):\n    return torch.from_numpy(x).sum().item()\ndef g(x):\n    return NUMBER * x\n",
        "def figure_data():\n    return torch.ones(2).numpy()\n",
    ]
    page = page_of(sandbox, cells, "f", "g", "figure_data")
    page.begin("f", LIMITS, ["torch"])
    student, x = Student(page), np.ones(3)
    for _ in range(2):  # the picture is drawn by another worker, which answers for nothing else
        with pytest.raises(StudentForbidden, match="torch is used here"):
            student.f(x)
        assert quiet_rng(student.g, x).tolist() == [2.0, 2.0, 2.0]
        assert student.figure_data().tolist() == [1.0, 1.0]
    page.begin("f", LIMITS, [])
    assert student.f(x) == 3.0


def test_nothing_is_recorded_where_enabling_it_is_forbidden(sandbox: Sandbox) -> None:
    """A Function of the page's own has its gradient; what torch would differentiate by itself has none, in any way."""
    cells = [
        "import torch\nclass F(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x):\n        ctx.save_for_backward(x)\n        return x.square()\n"
        "    @staticmethod\n    def backward(ctx, dy):\n        x, = ctx.saved_tensors\n        return 2 * x * dy\n",
        "def f(x):\n    x = x.clone().requires_grad_()\n    x.square().sum().backward()\n    return x.grad\n"
        "def g(x):\n    return torch.func.grad(lambda x: x.square().sum())(x)\n",
    ]
    page = page_of(sandbox, cells)
    x, one = torch.tensor([3.0]), torch.tensor([1.0])
    page.begin("f", LIMITS, ["torch.enable_grad"])
    student = Student(page)
    assert student.vjp(student.F.apply, x, cotangent=one).grads[0].tolist() == [6.0]
    with pytest.raises(StudentError, match="does not require grad"):
        student.f(x)
    assert student.g(x).tolist() == [0.0]
    page.begin("f", LIMITS, [])
    assert student.f(x).tolist() == student.g(x).tolist() == [6.0]


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("torch.softmax", "torch.special.softmax(x, -1)"),
        ("torch.nn.functional.softmax", "torch.ops.aten._softmax(x, -1, False)"),
        ("torch.nn.functional.layer_norm", "torch.ops.aten.native_layer_norm(x, [4], None, None, 1e-5)[0]"),
        ("torch.nn.LayerNorm", "torch.layer_norm(x, [4])"),
        ("torch.nn.functional.rms_norm", "torch.ops.aten.rms_norm(x, [4])"),
        ("torch.nn.functional.cross_entropy", "torch.ops.aten.cross_entropy_loss(x, torch.zeros(3, dtype=torch.long))"),
        ("torch.nn.functional.embedding", "torch.embedding(x, torch.zeros(3, dtype=torch.long))"),
        ("torch.nn.functional.linear", "torch._C._nn.linear(x, x)"),
        ("torch.nn.functional.conv2d", "torch.conv2d(x[None, None], x[None, None])"),
        ("torch.nn.functional.unfold", "torch._C._nn.im2col(x[None, None], (1, 1), (1, 1), (0, 0), (1, 1))"),
        ("torch.cumsum", "x.cumsum(0)"),
        ("torch.Tensor.cumsum", "torch.ops.aten.cumsum(x, 0)"),
        ("torch.nn.functional.gelu", "torch._C._nn.gelu(x)"),
    ],
)
def test_a_name_is_mapped_to_its_operators(sandbox: Sandbox, name: str, call: str) -> None:
    """Course authors name the function; the kit finds what computes the same, and lets the rest alone."""
    code = f"import torch\ndef f(x):\n    return {call}\ndef g(x):\n    return (x @ x.mT).relu()\n"
    page = page_of(sandbox, [code])
    page.begin("f", LIMITS, [])
    Student(page).f(torch.ones(3, 4))
    page.begin("f", LIMITS, [name])
    with pytest.raises(StudentForbidden, match=name.replace(".", r"\.")):
        Student(page).f(torch.ones(3, 4))
    assert Student(page).g(torch.ones(3, 4)).shape == (3, 3)


def test_a_refused_statement_is_passed_over_and_its_definitions_stay(sandbox: Sandbox) -> None:
    """A comparison at the top costs itself and what needs it; a real mistake is still told."""
    cells = [
        "import torch\nexpected = torch.softmax(torch.zeros(2), -1)\ndef f(x):\n    return x + 1\n",
        "assert expected.sum() == 1\n@str\ndef g():\n    pass\n",
        "def h(x):\n    return x + 2\nh.missing\ndef late(x):\n    return x\n",
    ]
    page = page_of(sandbox, cells, "f", "g", "h", "late")
    page.begin("f", LIMITS, ["torch.softmax"])
    student = Student(page)
    assert student.f(1) == 2 and student.h(1) == 3 and student.late(5) == 5
    assert page.left_behind == {"f", "g", "h", "late"}
    told = [(p.file, p.line, p.error) for p in page.skipped]
    assert told == [
        ("page.ipynb, cell 1", 2, "not run"),
        ("page.ipynb, cell 2", 1, "NameError"),
        ("page.ipynb, cell 3", 3, "AttributeError"),
    ]
    page.begin("f", LIMITS, [])
    assert student.f(1) == 2
    assert [(p.file, p.line, p.error) for p in page.problems] == [("page.ipynb, cell 3", 3, "AttributeError")]

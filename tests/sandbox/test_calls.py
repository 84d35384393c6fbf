"""Values cross the wall, faults stay inside: the sandbox as the grader calls it."""

import os
import select
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from autograder import given
from autograder.grading.compare import Disagreement, quiet_rng
from autograder.grading.context import Student
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import (
    StudentBroke,
    StudentMissing,
    StudentRaised,
    StudentTimedOut,
)
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.unread import why
from tests.sandbox.conftest import LIMITS, page, rungs


@rungs
def test_values_come_back(rung: Sandbox) -> None:
    """Nested values, arrays and tensors of many dtypes return as they were sent."""
    student = Student(page(rung, "def same(x):\n    return x"))
    values = [
        None,
        -(2**70),
        {"a": (1, 2.5, "ü", b"\0")},
        torch.arange(6.0, dtype=torch.bfloat16).reshape(2, 3),
        torch.zeros(0, 3),
        torch.float16,
    ]
    back = student.same(values)
    assert back[:3] == values[:3] and back[5] is torch.float16
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(back[3:5], values[3:5], strict=True))
    array = np.arange(4, dtype=np.int16)
    assert np.array_equal(student.same(array), array) and student.same(array).dtype == array.dtype


@rungs
def test_the_building_blocks_are_inside(rung: Sandbox) -> None:
    """A page imports what earlier units made, every module of it, and a grader makes objects of it there."""
    modules = sorted(f"autograder.given.{file.stem}" for file in Path(given.__file__).parent.glob("[!_]*.py"))
    assert len(modules) > 1
    source = f"import importlib\ndef names():\n    return [importlib.import_module(n).__name__ for n in {modules}]"
    student = Student(page(rung, source))
    assert student.names() == modules
    x = torch.ones(1, 2, 4)
    assert student.given.nn.Identity()(x).equal(x)
    assert student.given.LayerNorm(4)(x).shape == (1, 2, 4)


@rungs
def test_no_name_of_the_graders_goes_inside(rung: Sandbox) -> None:
    """A function or layer that is passed in has no name of its own there: `Leaking` would tell what is to be found."""
    source = (
        "def seen(function):\n"
        "    said = [repr(function), str(vars(function)), getattr(function, '__name__', ''), type(function).__name__]\n"
        "    callback = getattr(function, 'callback', None)\n"
        "    closed = getattr(function, '__closure__', None) or ()\n"
        "    return [*said, str(callback), *(str(cell.cell_contents) for cell in closed)]\n"
    )
    student = Student(page(rung, source))

    class Leaking(torch.nn.Module):
        pass

    def leaking(x: object) -> object:
        return x

    for passed in (Leaking(), leaking):
        assert not any("leaking" in text.lower() for text in student.seen(passed))


@rungs
def test_non_contiguous_input_keeps_its_strides(rung: Sandbox) -> None:
    """A transposed view arrives as a transposed view."""
    student = Student(page(rung, "def strides(x):\n    return list(x.stride()), x"))
    view = torch.arange(6.0).reshape(2, 3).t()
    strides, value = student.strides(view)
    assert strides == [1, 3] and torch.equal(value, view)


@rungs
def test_non_contiguous_array_keeps_its_strides(rung: Sandbox) -> None:
    """A NumPy view arrives as the same view of its memory, and may be written to."""
    student = Student(page(rung, "def strides(x):\n    x += 1\n    return list(x.strides), x"))
    view = np.arange(24.0).reshape(2, 3, 4)[:, :, ::2].transpose(2, 0, 1)
    strides, value = student.strides(view)
    assert strides == [16, 96, 32] and np.array_equal(value, view + 1)


@rungs
def test_classes_give_handles(rung: Sandbox) -> None:
    """An object stays inside; its methods, attributes, items and length are reached through the handle."""
    code = (
        "import torch\n"
        "class Layer(torch.nn.Module):\n"
        "    def __init__(self, n):\n        super().__init__()\n        self.w = torch.nn.Linear(n, n, bias=False)\n"
        "    def forward(self, x):\n        return self.w(x)\n"
        "class Data:\n"
        "    def __len__(self):\n        return 3\n    def __getitem__(self, i):\n        return i * 10\n"
    )
    student = Student(page(rung, code))
    layer = student.Layer(2)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    layer.load_reference({"w.weight": weight})
    assert torch.equal(layer.w.weight.value(), weight)
    assert torch.equal(layer(torch.eye(2, dtype=torch.float64)), weight.T)
    assert layer.train(False).training.value() is False
    data = student.Data()
    assert len(data) == 3 and [item.value() for item in data] == [0, 10, 20]


@pytest.mark.parametrize("base", ["list", "dict"])
@pytest.mark.parametrize("rung", ["bubblewrap"], indirect=True)
def test_a_class_built_on_a_container_gives_handles(rung: Sandbox, base: str) -> None:
    """An object of a student's class that is a list or dict, too, can be called; what a function returns is a value."""
    code = (
        f"class Cache({base}):\n    length = 3\n"
        "    def __call__(self, x):\n        return x + len(self)\n"
        f"class Plain({base}):\n    pass\n"
        "def f():\n    return Plain()\n"
    )
    student = Student(page(rung, code))
    cache = student.Cache()
    assert cache(2) == 2 and cache.length.value() == 3
    assert student.f() == (list if base == "list" else dict)()


@pytest.mark.parametrize("rung", ["bubblewrap"], indirect=True)
def test_a_global_generator_that_was_drawn_from_is_named(rung: Sandbox) -> None:
    """The message says which one, and says nothing of a generator that the function may not even have been given."""
    student = Student(page(rung, "import numpy as np\ndef f(x):\n    np.random.random()\n    return x"))
    with pytest.raises(Disagreement, match="drew from NumPy's global random generator, which was to stay as it was"):
        quiet_rng(student.f, 1)


@rungs
def test_callbacks_run_in_the_grader(rung: Sandbox) -> None:
    """A function passed in is called back here, as often as the student calls it; its exceptions stay inside."""
    student = Student(page(rung, "def twice(f, x):\n    return f(f(x))"))
    calls = []

    def plus_one(x: torch.Tensor) -> torch.Tensor:
        calls.append(os.getpid())
        return x + 1

    assert student.twice(plus_one, torch.zeros(2)).tolist() == [2.0, 2.0]
    assert calls == [os.getpid()] * 2

    def broken(x: torch.Tensor) -> None:
        raise KeyError("no")

    with pytest.raises(StudentRaised, match="KeyError"):
        student.twice(broken, torch.zeros(2))


@rungs
def test_a_callback_ends_with_the_call(rung: Sandbox) -> None:
    """A function of the grader's that what it was given would keep busy for ever is the call's time-out, no more."""
    student = Student(page(rung, "def ask(f, x):\n    return f(x)"))

    def count_down(x: torch.Tensor) -> torch.Tensor:
        while x != 0:
            x = x - 1
        return x

    with pytest.raises(StudentTimedOut, match="call_wall_s"):
        student.ask(count_down, torch.tensor(-1))
    assert student.ask(count_down, torch.tensor(3)).item() == 0


@rungs
def test_a_callback_takes_no_more_memory_than_is_left_to_it(rung: Sandbox) -> None:
    """What would take the machine's memory raises here, and is an exception inside; afterwards all is as before."""
    student = Student(page(rung, "def ask(f, n):\n    return len(f(n))"))
    with pytest.raises(StudentRaised, match="MemoryError"):
        student.ask(bytes, 3 << 30)
    assert len(bytes(3 << 30)) == 3 << 30


@rungs
def test_a_module_arrives_as_a_module(rung: Sandbox) -> None:
    """A grader's module has a mode and parameters inside, computes outside, and is left as the student left it."""
    code = (
        "def probe(f, x):\n    was = f.training\n    f.eval()\n    return was, f(x), [p.shape for p in f.parameters()]"
    )
    student = Student(page(rung, code))
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.99))
    was, value, shapes = student.probe(layer, torch.ones(1, 2))
    assert was is True and layer.training is False
    assert torch.allclose(value, layer(torch.ones(1, 2))) and len(shapes) == 2


@rungs
def test_generators_are_rebuilt_from_their_seeds(rung: Sandbox) -> None:
    """A generator inside draws what the same seed draws here."""
    student = Student(page(rung, "import torch\ndef draw(g, r):\n    return torch.rand(3, generator=g), r.random(3)"))
    a, b = student.draw(torch.Generator().manual_seed(7), np.random.default_rng(9))
    assert torch.equal(a, torch.rand(3, generator=torch.Generator().manual_seed(7)))
    assert np.array_equal(b, np.random.default_rng(9).random(3))


@rungs
def test_gradients(rung: Sandbox) -> None:
    """vjp returns the gradients of inputs and parameters, and None where the output is cut off."""
    student = Student(page(rung, "def f(x, y):\n    return x * x + y.detach()"))
    seen = student.vjp(student.f, torch.tensor([3.0]), torch.tensor([1.0]), cotangent=[torch.tensor([2.0])])
    assert seen.grads is not None
    assert seen.grads[0].tolist() == [12.0] and seen.grads[1] is None


@rungs
def test_an_exception_is_data(rung: Sandbox) -> None:
    """Type, message and the student's own lines come back; nothing of the worker's."""
    with pytest.raises(StudentRaised) as caught:
        Student(page(rung, "def f(x):\n    return g(x)\ndef g(x):\n    raise ValueError('too odd')")).f(1)
    error = caught.value
    assert error.is_a(ValueError) and error.text == "too odd"
    assert [(f.file, f.line, f.function) for f in error.frames] == [("page.py", 2, "f"), ("page.py", 4, "g")]
    assert "worker.py" not in str(error)


@pytest.mark.parametrize(
    "line",
    [
        "type Pair = tuple[int, int]",
        "def first[T](pair: T) -> T:",
        "class Box[T]:",
        "print(f'{d['a']}')",
        r"f'{x + '\n'}'",
    ],
)
def test_syntax_of_a_newer_python_is_called_that(line: str) -> None:
    """On a Python that does not know it, and only there: the student's own may."""
    assert "is this line Python 3.12? Python 3.11 reads this page" in why("invalid syntax", line, (3, 11))
    assert why("invalid syntax", line, (3, 12)) == "invalid syntax"


@pytest.mark.parametrize("line", ["x = type (", "def first(x:", "except ValueError, e:", "f'{x'", "x = f'{a}' '{b}' +"])
def test_a_slip_is_not_taken_for_newer_syntax(line: str) -> None:
    """Python's own words are right about it."""
    assert why("invalid syntax", line, (3, 11)) == "invalid syntax"


@rungs
@pytest.mark.parametrize("odd", ["\f", "\v", "\x1c", "\u2028"], ids=ascii)
def test_the_line_that_is_shown_is_the_one_of_the_number(rung: Sandbox, odd: str) -> None:
    """What only `splitlines` takes for the end of a line moves no line."""
    with pytest.raises(StudentRaised) as caught:
        Student(page(rung, f"# a{odd}b\ndef f(x):\n    return x + unknown")).f(1)
    assert [(frame.line, frame.text) for frame in caught.value.frames] == [(3, "return x + unknown")]


@rungs
def test_a_worker_that_dies_costs_one_call(rung: Sandbox) -> None:
    """os._exit in a call is that call's failure; a fresh worker takes the next."""
    student = Student(page(rung, "import os\ndef f():\n    os._exit(0)\ndef g():\n    return 5"))
    with pytest.raises(StudentBroke, match="ended without an answer"):
        student.f()
    assert student.g() == 5


@rungs
def test_a_relative_import_is_told_how_it_works(rung: Sandbox) -> None:
    """Python's own words, `no known parent package`, help nobody who has one file beside another."""
    submitted = page(rung, "from .helpers import f\ndef g():\n    return 1")
    assert Student(submitted).g() == 1
    (problem,) = submitted.problems
    assert problem.error == "ImportError" and "without the dot" in problem.message


@rungs
def test_an_import_that_dies_is_not_repeated(rung: Sandbox) -> None:
    """os._exit at import fails every call at once, without a new attempt each."""
    student = Student(page(rung, "import os\nos._exit(0)"))
    errors = []
    for _ in range(2):
        with pytest.raises(StudentBroke) as caught:
            student.f()
        errors.append(caught.value)
    assert errors[0] is errors[1]


@rungs
def test_a_cell_that_raises_leaves_the_rest(rung: Sandbox) -> None:
    """In a notebook a failing cell and magics cost only themselves; the failure is a named problem."""
    cells = ["%matplotlib inline\n!ls\nx = 1", "raise RuntimeError('no')", "def f():\n    return x"]
    submitted = Page(rung, "page", [wire.Source("page", cells, notebook=True)], ["f", "g"], LIMITS)
    assert Student(submitted).f() == 1
    assert [(p.file, p.line, p.error) for p in submitted.problems] == [("page.ipynb, cell 2", 1, "RuntimeError")]
    with pytest.raises(StudentMissing, match=r"g is not defined.*RuntimeError"):
        Student(Page(rung, "page", [wire.Source("page", cells, notebook=True)], ["f", "g"], LIMITS)).g()


@rungs
def test_an_exercise_does_not_pay_for_what_another_left_running(rung: Sandbox) -> None:
    """A process that one exercise leaves behind is gone when the next one begins; without one the worker stays."""
    submitted = page(
        rung,
        "import os, time\n"
        "def leave():\n    if os.fork() == 0:\n        os.setsid()\n        time.sleep(600)\n    return os.getpid()\n"
        "def number():\n    return os.getpid()",
    )
    student = Student(submitted)
    submitted.begin("first", LIMITS, [])
    same = student.number()
    submitted.begin("second", LIMITS, [])
    assert student.leave() == same
    assert rung.left_behind()
    submitted.begin("second", LIMITS, [])
    assert student.number() == same, "within one exercise the worker stays"
    submitted.begin("third", LIMITS, [])
    assert student.number() != same
    assert not rung.left_behind()


@rungs
def test_a_test_does_not_pay_for_an_answer_sent_unasked(rung: Sandbox) -> None:
    """What a thread of an earlier call sends between two tests ends that worker, and not the next test."""
    submitted = page(
        rung,
        "import os, threading, time\n"
        "def speak():\n    time.sleep(0.1)\n    os.write(3, b'here')\n"
        "def leave():\n    threading.Thread(target=speak).start()\n"
        "def f():\n    return 5",
    )
    student = Student(submitted)
    submitted.begin("one", LIMITS, [])
    student.leave()
    assert submitted._channel is not None
    assert select.select([submitted._channel.sock], [], [], 60)[0], "the thread has not spoken"
    submitted.begin("one", LIMITS, [])
    assert student.f() == 5


@rungs
def test_a_forbidden_ufunc_keeps_its_methods(rung: Sandbox) -> None:
    """np.logaddexp.reduce works inside where another exercise of the page forbids np.logaddexp."""
    loaded = page(rung, "import numpy as np\ndef f(x):\n    return np.logaddexp.reduce(x)")
    loaded.forbidden_anywhere = ["numpy.logaddexp"]
    assert Student(loaded).f(np.zeros(2)) == pytest.approx(np.log(2))


@rungs
def test_a_killed_sandbox_is_replaced(rung: Sandbox) -> None:
    """When the whole sandbox is killed from outside, the next page starts a fresh one."""
    os.kill(rung.pid, 9)
    psutil.Process(rung.pid).wait(10)
    assert Student(page(rung, "def f():\n    return 5")).f() == 5

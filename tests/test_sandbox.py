"""The sandbox from the grader's side: values cross, faults stay inside, limits hold, nothing else can be reached."""

import contextlib
import errno
import os
import platform
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from autograder.course import Limits
from autograder.grading.plugin import Student
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import (
    StudentBroke,
    StudentError,
    StudentMissing,
    StudentOutOfMemory,
    StudentRaised,
    StudentTimedOut,
)
from autograder.sandbox.launch import Sandbox, SandboxError
from autograder.sandbox.rungs import probe

LIMITS = Limits(call_wall_s=2.0, memory_mb=600)
ROOT = Path(__file__).resolve().parents[1]

rungs = pytest.mark.parametrize("rung", ["bubblewrap", "landlock", "none"], indirect=True)


USERNS = "userns"  # bubblewrap as it runs without root
fenced = pytest.mark.parametrize("rung", ["bubblewrap", "landlock", USERNS], indirect=True)


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    """One sandbox per rung for the whole file, made on demand."""
    made: dict[str, Sandbox] = {}
    yield made
    for sandbox in made.values():
        sandbox.close()


@pytest.fixture
def rung(request: pytest.FixtureRequest, sandboxes: dict[str, Sandbox]) -> Sandbox:
    name = request.param
    if name == USERNS and os.geteuid() != 0:
        pytest.skip("bubblewrap runs in a user namespace here anyway")
    assert probe("bubblewrap" if name == USERNS else name) is None, probe(name)
    if name not in sandboxes:
        sandboxes[name] = start(name, (ROOT,))
    return sandboxes[name]


def start(rung: str, hidden: tuple[Path, ...] = (), limits: Limits = LIMITS) -> Sandbox:
    """A fresh sandbox of the rung."""
    if rung == USERNS:
        return Sandbox("bubblewrap", limits, hidden, privileged=False)
    return Sandbox(rung, limits, hidden)


def page(sandbox: Sandbox, code: str, limits: Limits = LIMITS) -> Page:
    """A page with this code, every name in it asked for."""
    return Page(sandbox, "page", [wire.Source("page", [code])], [], limits)


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


@rungs
def test_an_endless_loop_is_ended_and_a_fresh_worker_goes_on(rung: Sandbox) -> None:
    """A call that does not return is killed from outside; the next call works, the third time-out is not waited for."""
    limits = Limits(call_wall_s=0.3, memory_mb=600)
    student = Student(page(rung, "def f():\n    while True:\n        pass\ndef g():\n    return 5", limits))
    for _ in range(3):
        with pytest.raises(StudentTimedOut, match="call_wall_s"):
            student.f()
        assert student.g() == 5
    with pytest.raises(StudentTimedOut, match="not tried again"):
        student.f()


@rungs
def test_a_blocked_alarm_does_not_help(rung: Sandbox) -> None:
    """Blocking every signal that can be blocked changes nothing about the limit."""
    code = (
        "import signal\ndef f():\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\n    while True: pass\n"
        "def g():\n    return 5"
    )
    student = Student(page(rung, code, Limits(call_wall_s=0.3, memory_mb=600)))
    with pytest.raises(StudentTimedOut):
        student.f()
    assert student.g() == 5


@rungs
@pytest.mark.parametrize("call", ["one_block", "bit_by_bit"])
def test_memory_is_limited(rung: Sandbox, call: str) -> None:
    """Twenty gigabytes, at once or in steps, is out of memory, and the next call works."""
    code = (
        "import torch\ndef one_block():\n    return torch.ones(20 * 2**30, dtype=torch.uint8)\n"
        "def bit_by_bit():\n    kept = []\n    while True:\n        kept.append(bytearray(50 * 2**20))\n"
        "def fine():\n    return 1"
    )
    student = Student(page(rung, code))
    with pytest.raises(StudentOutOfMemory, match="memory_mb"):
        getattr(student, call)()
    assert student.fine() == 1


_FAMILY = """
import os
import signal

def child(megabytes):
    receive, send = os.pipe()
    if os.fork() == 0:
        kept = b"x" * (megabytes << 20)
        os.write(send, b"x")
        signal.pause()
    os.read(receive, 1)

def nothing():
    pass
"""


@fenced
def test_memory_that_grows_between_quick_calls_is_seen(rung: Sandbox) -> None:
    """No call lasts long enough to be looked at; what its children hold together is above the limit all the same."""
    student = Student(page(rung, _FAMILY))
    with pytest.raises(StudentOutOfMemory, match="memory_mb"):
        for _ in range(40):
            student.child(20)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            student.nothing()
    assert rung.memory_bytes() < 100 << 20, "it is taken back at once, not with the next call"
    assert student.nothing() is None


@fenced
def test_shared_memory_counts_once(rung: Sandbox) -> None:
    """A forked child shares torch with its parent: twelve of them use next to nothing."""
    if rung.rung == "landlock" and os.geteuid() != 0:
        pytest.skip("without root the kernel shows no more than resident sizes: docs/security.md, limits")
    student = Student(page(rung, _FAMILY))
    for _ in range(12):
        student.child(1)
    student._page.look()
    assert rung.memory_bytes() < 200 << 20


@rungs
def test_the_kernel_keeps_the_limits_too(rung: Sandbox) -> None:
    """Processes, open files, file size, processor time and address space are limited where the code runs."""
    names = ["NPROC", "NOFILE", "FSIZE", "CPU", "CORE", "AS"]
    code = (
        f"import resource\ndef f():\n    return [resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in {names}]"
    )
    soft = dict(zip(names, (pair[0] for pair in Student(page(rung, code)).f()), strict=True))
    assert LIMITS.memory_mb << 20 < soft.pop("AS") < 64 << 30  # torch's own mappings come on top
    assert soft == {
        "NPROC": LIMITS.processes,
        "NOFILE": LIMITS.open_files,
        "FSIZE": LIMITS.disk_mb << 20,
        "CPU": int(LIMITS.submission_wall_s) + 1,
        "CORE": 0,
    }


@fenced
def test_disk_is_limited(rung: Sandbox, request: pytest.FixtureRequest) -> None:
    """Files that are each within the limit are together above it: no space left, or the limit is named."""
    limits = Limits(memory_mb=600, disk_mb=8)
    code = (
        "def fill():\n    for number in range(5):\n        with open(f'file{number}', 'wb') as file:\n"
        "            file.write(bytes(4 << 20))"
    )
    with (
        start(request.node.callspec.params["rung"], (), limits) as sandbox,
        pytest.raises(StudentError, match=r"No space left|disk_mb"),
    ):
        Student(page(sandbox, code, limits)).fill()


@fenced
def test_only_the_scratch_folders_can_be_written(rung: Sandbox) -> None:
    """Everything else that is mounted is read-only, so that nothing can be left there for the next student."""
    code = (
        "import os\n"
        "def can_write(folder):\n    try:\n        os.close(os.open(folder + '/x', os.O_CREAT | os.O_WRONLY))\n"
        "    except OSError:\n        return False\n    return True\n"
        "def mounts():\n    return [line.split()[4] for line in open('/proc/self/mountinfo')]\n"
        "def switches():\n    return [os.path.join(top, name) for top, _, names in os.walk('/proc/sys') "
        "for name in names if os.access(os.path.join(top, name), os.W_OK)]\n"
        "def home():\n    return os.environ['HOME']"
    )
    student = Student(page(rung, code))
    folders = student.mounts() if rung.rung == "bubblewrap" else ["/", "/dev", "/dev/shm", "/tmp", "/usr"]
    writable = [folder for folder in folders if student.can_write(folder)]
    assert writable == (["/scratch", "/dev/shm"] if rung.rung == "bubblewrap" else [])
    assert student.can_write(student.home())
    assert student.switches() == []


@fenced
def test_the_worker_has_one_descriptor(rung: Sandbox) -> None:
    """Besides the standard ones, which lead nowhere, there is the socket that it answers on; none to the forkserver."""
    code = (
        "import os\ndef descriptors():\n    found = []\n    for number in range(1024):\n        try:\n"
        "            os.fstat(number)\n            found.append(number)\n        except OSError:\n            pass\n"
        "    return found"
    )
    assert Student(page(rung, code)).descriptors() == [0, 1, 2, 3]


def test_a_folder_below_a_visible_one_can_be_hidden() -> None:
    """A course inside the Python environment is covered (bubblewrap) or refused (landlock, which cannot cover)."""
    below = Path(pytest.__file__).parent
    code = "import os\ndef listing(path):\n    return os.listdir(path)"
    with Sandbox("bubblewrap", LIMITS) as sandbox:
        assert Student(page(sandbox, code)).listing(str(below)) != []
    with Sandbox("bubblewrap", LIMITS, hidden=(below,)) as sandbox:
        assert Student(page(sandbox, code)).listing(str(below)) == []
    with pytest.raises(SandboxError, match="must read: move it elsewhere"):
        Sandbox("landlock", LIMITS, hidden=(below,))


@rungs
def test_a_worker_that_dies_costs_one_call(rung: Sandbox) -> None:
    """os._exit in a call is that call's failure; a fresh worker takes the next."""
    student = Student(page(rung, "import os\ndef f():\n    os._exit(0)\ndef g():\n    return 5"))
    with pytest.raises(StudentBroke, match="ended without an answer"):
        student.f()
    assert student.g() == 5


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
def test_nothing_survives_a_wipe(rung: Sandbox) -> None:
    """A daemon in a session of its own is dead, and a file is gone, before the next worker starts."""
    code = (
        "import os, time\ndef leave():\n    open('left', 'w').write('x')\n"
        "    os.mkdir('d'); open('d/f', 'w'); os.chmod('d', 0)\n"
        "    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n            time.sleep(600)\n"
        "        os._exit(0)\n    os.wait()\n"
        "def look():\n    return sorted(os.listdir('.'))"
    )
    submitted = page(rung, code)
    Student(submitted).leave()
    submitted.close()
    assert Student(page(rung, code)).look() == []
    # bubblewrap itself, where it is used, the forkserver, and the one worker that has just answered
    assert len(psutil.Process(rung.pid).children(recursive=True)) == (2 if rung.rung == "bubblewrap" else 1)


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


@fenced
def test_the_worker_sees_nothing_of_the_grader(rung: Sandbox, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """From inside: no reference, graders, solutions, other submissions, gradebook, environment or foreign process."""
    secret = tmp_path / "gradebook.db"
    secret.write_text("grades")
    code = (
        "import os\ndef read(path):\n    return open(path).read()\ndef listing(path):\n    return os.listdir(path)\n"
        "def environment():\n    return dict(os.environ)\n"
        "def identity():\n    return os.getpid(), os.getppid(), os.getuid()"
    )
    os.environ["AUTOGRADER_SECRET"] = "seed"  # what a grader's environment might hold
    kind = request.node.callspec.params["rung"]
    with start(kind, (ROOT, tmp_path)) as sandbox:
        del os.environ["AUTOGRADER_SECRET"]
        student = Student(page(sandbox, code))
        hidden = [
            *(ROOT / "reference").rglob("*.py"),
            *(ROOT / "autograder" / "graders").rglob("*.py"),
            *(ROOT / "solutions").rglob("*.py"),
            ROOT / "course.toml",
            secret,
            Path("/etc/passwd"),
            Path(f"/proc/{os.getpid()}/environ"),
        ]
        assert len(hidden) > 8
        for path in hidden:
            with pytest.raises(StudentRaised) as caught:
                student.read(str(path))
            assert caught.value.is_a(FileNotFoundError) or caught.value.is_a(PermissionError), path
        own, forkserver, uid = student.identity()
        for name in ("environ", "mem", "maps"):
            with pytest.raises(StudentRaised) as caught:
                student.read(f"/proc/{forkserver}/{name}")
            assert caught.value.is_a(PermissionError), name
        if kind != USERNS:  # root's, in a user namespace, like the worker: docs/security.md
            with pytest.raises(StudentRaised):
                student.listing(f"/proc/{forkserver}/fd")
        with contextlib.suppress(StudentRaised):  # where it can be listed, only the way to the environment is there
            assert student.listing(str(ROOT)) in ([], [Path(sys.prefix).name])
        assert "AUTOGRADER_SECRET" not in student.environment()
        assert uid != 0
        if rung.rung == "bubblewrap":
            assert sorted(int(p) for p in student.listing("/proc") if p.isdigit()) == [1, own]


@fenced
def test_the_worker_reaches_no_network(rung: Sandbox) -> None:
    """No socket of any kind can be made, neither to the grader's loopback nor to an abstract name."""
    code = (
        "import socket\ndef make(family, kind):\n    socket.socket(family, kind)\n"
        "def tcp(port):\n    socket.create_connection(('127.0.0.1', port), timeout=1)\n"
    )
    student = Student(page(rung, code))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(StudentRaised) as caught:
            student.tcp(listener.getsockname()[1])
        assert caught.value.is_a(PermissionError)
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with pytest.raises(StudentRaised) as caught:
                student.make(int(family), int(kind))
            assert caught.value.is_a(PermissionError)


@fenced
@pytest.mark.parametrize(
    "call",
    [
        "libc.ptrace(16, os.getppid(), 0, 0)",
        "libc.syscall(310, os.getppid(), 0, 0, 0, 0, 0)",  # process_vm_readv
        "libc.unshare(0x10000000)",  # CLONE_NEWUSER
        "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",  # clone with CLONE_NEWUSER
        "libc.syscall(425, 8, 0)",  # io_uring_setup
        "libc.syscall(250, 0, 0, 0, 0)",  # keyctl
        "libc.shmget(1234, 4096, 0o1666)",
        "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
        "libc.syscall(302, os.getppid(), 7, 0, 0)",  # prlimit64 of the forkserver
        "libc.kill(os.getppid(), 9) if os.getppid() != 1 else libc.ptrace(16, 1, 0, 0)",
    ],
)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="system-call numbers of x86_64")
def test_calls_that_lead_outside_are_refused(rung: Sandbox, call: str) -> None:
    """Tracing, namespaces, io_uring, keys, shared memory, mounts and signals to the forkserver fail with EPERM."""
    code = (
        f"import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\ndef f():\n    return {call}, ctypes.get_errno()"
    )
    assert Student(page(rung, code)).f() == (-1, errno.EPERM)


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

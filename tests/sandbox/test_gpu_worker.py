"""What a worker that reaches the GPU may do besides, and what it still may not. No GPU is needed for that."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox import gpu, wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentRaised
from autograder.sandbox.launch import Sandbox, SandboxError
from tests.sandbox.conftest import LIMITS, ROOT, USERNS

CODE = """
import os, socket, subprocess, sys, threading


def says(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def environment(name):
    return os.environ.get(name)


def listing(path):
    return os.listdir(path)


def connects():
    socket.socket()


def opened(name, mode):
    with open(name.format(tid=threading.get_native_id()), mode) as file:
        return file.read(1) if mode == "r" else file.write("named")


def nameless():
    os.close(os.memfd_create("nameless"))


def addresses():
    import resource
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def compiled(capability):
    import triton, triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    source = ASTSource(fn=kernel(triton, tl), signature={"x": "*fp32", "out": "*fp32"})
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
    return len(made.asm["cubin"]), ".target sm_%d" % capability in made.asm["ptx"]


def launches():
    from triton.backends.nvidia.driver import CudaUtils
    return callable(CudaUtils().load_binary)


def kernel(triton, tl):
    import module_with_kernel
    return module_with_kernel.double
"""
KERNEL = """
import triton
import triton.language as tl


@triton.jit
def double(x, out):
    at = tl.arange(0, 64)
    tl.store(out + at, 2.0 * tl.load(x + at))
"""


@pytest.fixture(scope="module", params=["bubblewrap", USERNS, "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    rung = "bubblewrap" if request.param == USERNS else request.param
    with Sandbox(
        rung, LIMITS, (ROOT,), privileged=False if request.param == USERNS else None, with_gpu=True
    ) as sandbox:
        yield sandbox


@pytest.fixture
def student(sandbox: Sandbox) -> Student:
    sources = [wire.Source("page", [CODE]), wire.Source("module_with_kernel", [KERNEL], helper=True)]
    return Student(Page(sandbox, "page", sources, [], sandbox.limits))


def test_programs_may_be_started(student: Student) -> None:
    """A kernel's compiler is one; a worker without the GPU may start none."""
    assert student.says(sys.executable, "-I", "-c", "import os; print(os.__file__)") == os.__file__  # not another one
    if shutil.which("cc"):
        assert "cc" in student.says("cc", "--version")


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"])
def test_no_other_worker_may(rung: str) -> None:
    """The filter opens for GPU workers only."""
    with Sandbox(rung, LIMITS, (ROOT,)) as usual:
        one = Student(Page(usual, "page", [wire.Source("page", [CODE])], [], LIMITS))
        for refused in (lambda: one.says(sys.executable, "-c", ""), one.nameless):
            with pytest.raises(StudentRaised, match="PermissionError"):
                refused()


def test_a_kernel_compiles_to_the_end(student: Student) -> None:
    """Triton's own ptxas runs behind the wall, with nowhere to write but the scratch folder."""
    pytest.importorskip("triton")
    size, for_the_card = student.compiled(90)
    assert size > 1000 and for_the_card


@pytest.fixture
def a_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a libcuda.so.1 that has every function which Triton's launcher names, and does nothing."""
    triton = importlib.util.find_spec("triton")
    if triton is None or triton.origin is None or shutil.which("cc") is None:
        pytest.skip("takes Triton and a C compiler")
    launcher = (Path(triton.origin).parent / "backends" / "nvidia" / "driver.c").read_text(encoding="utf-8")
    names = sorted(set(re.findall(r"\bcu[A-Z]\w+(?=\()", launcher)))
    source = tmp_path / "driver.c"
    source.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in names), encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", tmp_path / "libcuda.so.1"], check=True)
    monkeypatch.setattr(gpu, "library", lambda: tmp_path)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    tmp_path.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"])
def test_triton_builds_its_launcher(rung: str, a_driver: Path) -> None:
    """The first launch compiles C against Python's headers and the driver's library, and loads what comes out."""
    with Sandbox(rung, LIMITS, (ROOT,), with_gpu=True) as sandbox:
        page = Page(sandbox, "page", [wire.Source("page", [CODE])], [], sandbox.limits)
        assert Student(page).launches()
        assert Student(page).environment("TRITON_LIBCUDA_PATH") == str(a_driver)


ASKED = [("/proc/self/task/{tid}/comm", "w"), *((name, "r") for name in ("/proc/self/maps", "/proc/meminfo"))]
ASKED += [(f"/sys/devices/system/{name}", "r") for name in ("memory/block_size_bytes", "cpu/online", "node/online")]


@pytest.mark.parametrize(("name", "mode"), ASKED)
def test_what_a_driver_asks_for_while_it_starts(student: Student, name: str, mode: str) -> None:
    """Names of its threads, and facts about the machine: without one of them CUDA ends with error 304 (`gpu.py`)."""
    if not Path(name).exists() and "{" not in name:
        pytest.skip(f"{name} is not on this machine")
    assert student.opened(name, mode)


def test_a_driver_may_make_memory_without_a_name(student: Student) -> None:
    """memfd_create, which is refused to every other worker."""
    student.nameless()


def test_kernels_are_compiled_and_addresses_reserved(student: Student) -> None:
    """Not interpreted; and CUDA may reserve far more addresses than a worker may use memory."""
    assert student.environment("TRITON_INTERPRET") == "0"
    assert student.environment("PYTORCH_CUDA_ALLOC_CONF") == "expandable_segments:False"
    assert student.addresses() > 1 << 45


def test_the_rest_of_the_wall_stands(student: Student) -> None:
    """No network and no look at the course, as for any worker; programs that it starts stand behind the same wall."""
    with pytest.raises(StudentRaised, match="PermissionError"):
        student.connects()
    hidden = str(ROOT / "reference")  # of the course's own folder a worker sees the environment, where that lies in it
    for look in (
        lambda: student.listing(hidden),
        lambda: student.says(sys.executable, "-c", f"import os; os.listdir({hidden!r})"),
        lambda: student.says(sys.executable, "-c", "import socket; socket.socket()"),
    ):
        with pytest.raises(StudentRaised):
            look()


def test_limits_have_room_for_a_driver() -> None:
    """None is smaller than that of a usual worker."""
    usual = Limits(memory_mb=1 << 20, processes=9999)
    for limits in (gpu.limits(usual), gpu.limits(Limits())):
        assert limits.call_wall_s >= 600 and limits.processes >= 1024
    assert gpu.limits(usual).memory_mb == 1 << 20 and gpu.limits(usual).processes == 9999


@pytest.mark.parametrize("rung", ["bubblewrap", "landlock"])
def test_a_course_where_the_compiler_lies_is_refused(rung: str) -> None:
    """What a GPU worker is shown cannot be hidden from it again."""
    inside = next(path for path in gpu.readable() if path.name == "include")
    with pytest.raises(SandboxError, match="move it elsewhere"):
        Sandbox(rung, LIMITS, (Path(inside) / "course",), with_gpu=True)

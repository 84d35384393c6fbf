"""What a worker cannot see, write, reach or leave behind."""

import contextlib
import errno
import os
import platform
import socket
import sys
from pathlib import Path

import psutil
import pytest

from autograder.grading.context import Student
from autograder.sandbox.failures import (
    StudentRaised,
)
from autograder.sandbox.launch import Sandbox, SandboxError
from tests.sandbox.conftest import LIMITS, ROOT, USERNS, fenced, page, rungs, start


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

"""Tries, from inside a worker, what an attacker would try: what `autograder doctor` prints per rung.

Every attempt is harmless where it succeeds: it reads a file of ours, sends signal 0, connects to a listener that this
module opened. An attempt that raises, or answers False, was stopped.
"""

import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentError
from autograder.sandbox.launch import Sandbox

# threat: the attempt, with what the prober fills in
THREATS = {
    "reads the course's files": "return len(open({secret!r}).read()) > 0",
    "lists other submissions": "return len(os.listdir({folder!r})) > 0",
    "writes outside its scratch folder": "open({target!r}, 'w').write('x'); return True",
    "leaves notes for the next student": "os.close(os.open('/dev', os.O_TMPFILE | os.O_WRONLY)); return True",
    "reads the system's accounts": "return len(open('/etc/passwd').read()) > 0",
    "reads the grader's environment": "return len(open('/proc/{grader}/environ').read()) >= 0",
    "reads the grader's memory": "return bool(open('/proc/{grader}/mem', 'rb'))",
    "sends the grader a signal": "os.kill({grader}, 0); return True",
    "reads the forkserver's memory": "return bool(open(f'/proc/{{os.getppid()}}/mem', 'rb'))",
    "traces the forkserver": "return libc.ptrace(0x4206, os.getppid(), 0, 0) == 0",
    "connects by TCP": "socket.create_connection(('127.0.0.1', {tcp}), timeout=2); return True",
    "sends by UDP": "return socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {udp})) == 1 and {udp_arrives}",
    "connects to an abstract socket": "socket.socket(1, 1).connect({abstract!r}); return True",
    "leaves shared memory behind": (
        "i = libc.shmget({key}, 4096, 0o1666); libc.shmctl(i, 0, None); return i >= 0 and {shm_outlives}"
    ),
    "makes a user namespace": "return libc.unshare(0x10000000) == 0",
    "uses io_uring": "return libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0",
    "becomes root": "os.setuid(0); return {root_matters}",
    "raises its own limits": "resource.setrlimit(resource.RLIMIT_NPROC, (10**6, 10**6)); return True",
    "starts too many processes": "return spawn({processes})",
    "takes too much memory": "return len(bytearray({bytes})) > 0",
}

_PRELUDE = """
import ctypes, os, resource, signal, socket, time
libc = ctypes.CDLL(None, use_errno=True)

def spawn(count):
    children = []
    try:
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
        return True
    finally:
        for pid in children:
            os.kill(pid, 9)
"""

_LIMITS = Limits(call_wall_s=5.0, memory_mb=512, processes=24)


def try_threats(rung: str) -> dict[str, bool]:
    """Threat -> whether `rung` stops it on this machine."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autograder-probe-")))
        folder.chmod(0o755)
        (folder / "secret").write_text("a reference")
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        name = f"\0autograder-probe-{os.getpid()}"
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(name)
        unix.listen()
        facts: dict[str, Any] = {
            "secret": str(folder / "secret"),
            "folder": str(folder),
            "target": str(folder / "planted"),
            "grader": os.getpid(),
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "udp_arrives": rung != "bubblewrap",  # there it goes to the sandbox's own loopback
            "abstract": name,
            "key": 0x41474431,
            "shm_outlives": rung != "bubblewrap",  # there it dies with the sandbox's IPC namespace
            "root_matters": rung != "bubblewrap",
            "processes": 2 * _LIMITS.processes,
            "bytes": 2 * _LIMITS.memory_mb << 20,
        }
        code = [_PRELUDE]
        for number, attempt in enumerate(THREATS.values()):
            code.append(f"def attempt_{number}():\n    {attempt.format(**facts)}\n")
        sandbox = stack.enter_context(Sandbox(rung, _LIMITS, hidden=(folder,)))
        source = wire.Source("probe", ["".join(code)])
        return {threat: _stopped(sandbox, source, f"attempt_{number}") for number, threat in enumerate(THREATS)}


def _stopped(sandbox: Sandbox, source: wire.Source, attempt: str) -> bool:
    """Whether the attempt fails in a worker of its own, so that one does not disturb the next."""
    from autograder.grading.context import Student

    page = Page(sandbox, "probe", [source], [], _LIMITS)
    try:
        return getattr(Student(page), attempt)() is not True
    except StudentError:
        return True
    finally:
        page.close()

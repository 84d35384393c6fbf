"""Workers on a student's own machine. On Linux they come from `launch.Sandbox`; elsewhere each is a child process.

Theory of operation
-------------------
    check ──stdin: port, token──> child.py: imports torch, then connects to the port on 127.0.0.1 and says the token
      └────────────── the connection: the same frames as on Linux ──────────────┘

There is no wall: the code is the student's own. What stays are the limits on time, memory and files, watched from here
as on Linux, and that a worker which breaks one is killed while the others keep their results. Importing torch takes
seconds, so while a worker works the next one is started already. A child ends when its stdin does: nothing outlives us.

What psutil cannot tell on such systems: a process whose parent has ended is nobody's child any more and is not found.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from autograder.policies import Limits
from autograder.sandbox import systems, usage
from autograder.sandbox.workers import SandboxError, Workers

KIT = Path(__file__).resolve().parents[1]
_START_TIMEOUT_S = 120.0  # a first import of torch, read from a slow disk through a virus scanner
_END_TIMEOUT_S = 10.0
_POLL_S = 0.2
_HELLO_BYTES = 200
_BUSY_PERCENT = 90.0


def workers_without_wall(limits: Limits) -> Workers:
    """Where the workers of a student's own `check` come from: a warm fork on Linux, child processes elsewhere."""
    if systems.LINUX:
        from autograder.sandbox.launch import Sandbox

        return Sandbox("none", limits)
    return Children(limits)


class Children:
    """Child processes as workers, one at a time. Use as a context manager."""

    rung = "none"
    privileged = False

    def __init__(self, limits: Limits) -> None:
        import psutil

        self.limits = limits
        self._scratch = tempfile.mkdtemp(prefix="autograder-")
        self._made = 0
        self._worker: _Child | None = None
        self._idle_bytes = 0
        psutil.cpu_percent()  # the first call only sets the mark that later ones count from
        self._next: _Child | None = self._begin()

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fork_worker(self, limits: Limits | None = None, shared: int | None = None) -> socket.socket:
        """End the worker, take the one that was started meanwhile, and start the next.

        Raises SandboxError where it does not start, and for shared memory, which only timings on Linux use.
        """
        if shared is not None:
            raise SandboxError(f"memory shared with a worker needs Linux; {systems.way_to_linux()}")
        self.wipe()
        worker, self._next = self._next or self._begin(), None
        self._worker = worker
        connection = worker.connect()
        self._idle_bytes = usage.memory_bytes(worker.pid)
        self._next = self._begin()
        return connection

    def wipe(self) -> None:
        """Kill the worker and all its children, and remove their files."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def interrupt(self) -> bool:
        """Interrupt the statement of a page that the worker is at."""
        return self._worker is not None and self._worker.interrupt()

    def left_behind(self) -> bool:
        """Whether the worker has children."""
        return self._worker is not None and usage.count(self._worker.pid) > 1

    def memory_bytes(self, limit_bytes: int = 0) -> int:
        """Memory of the worker and its children, but what it took when it started."""
        if self._worker is None:
            return 0
        return max(0, usage.memory_bytes(self._worker.pid, limit_bytes + self._idle_bytes) - self._idle_bytes)

    def cpu_seconds(self) -> float:
        """Processor time of the worker and its living children."""
        return 0.0 if self._worker is None else usage.cpu_seconds(self._worker.pid)

    def wants_to_run(self) -> bool:
        """Whether the machine as a whole is busy: macOS and Windows do not say of a process whether it waits."""
        import psutil

        return bool(psutil.cpu_percent() >= _BUSY_PERCENT)

    def scratch_bytes(self) -> int:
        """What the worker has written into its temporary folder."""
        return 0 if self._worker is None else usage.disk_bytes([self._worker.scratch])

    def restart(self) -> None:
        """Kill everything and start afresh."""
        self._end()
        self._next = self._begin()

    def close(self) -> None:
        """Kill everything and remove its files."""
        self._end()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _end(self) -> None:
        self.wipe()
        if self._next is not None:
            self._next.kill()
            self._next = None

    def _begin(self) -> "_Child":
        self._made += 1
        return _Child(Path(self._scratch, str(self._made)), self.limits)


class _Child:
    """One child process: started at once, connected to when it is needed."""

    def __init__(self, scratch: Path, limits: Limits) -> None:
        self.scratch = str(scratch)
        scratch.mkdir()
        self.pid = -1  # of the Python that answers: behind a virtual environment's python.exe there is another process
        self._connection: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self._token = secrets.token_hex(16)  # any user of the machine may connect to the port
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # no pipe: nobody reads one that fills up
        told = {
            "port": self._listener.getsockname()[1],
            "token": self._token,
            "payload_bytes": limits.reply_mb << 20,
        }
        try:
            self._process = subprocess.Popen(
                # -P: a student's `random.py` in a folder is not the library's; PYTHONPATH and user packages stay
                [sys.executable, "-P", str(KIT / "sandbox" / "child.py"), str(KIT.parent)],
                env={**os.environ, **_environment(self.scratch)},
                cwd=self.scratch,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                **systems.own_group(),
            )
        except OSError as error:
            self._listener.close()
            raise SandboxError(f"{sys.executable} cannot be started: {error}") from None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it ended already: `connect` says why
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()

    def connect(self) -> socket.socket:
        """The connection, once the child has imported all it needs. Raises SandboxError."""
        ends_at = time.monotonic() + _START_TIMEOUT_S
        self._listener.settimeout(_POLL_S)
        while self._connection is None:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if self._process.poll() is not None or time.monotonic() >= ends_at:
                    raise SandboxError(self._why()) from None
                continue
            if self._is_ours(connection):
                self._connection = connection
            else:
                connection.close()
        self._listener.close()
        return self._connection

    def _is_ours(self, connection: socket.socket) -> bool:
        """Reads the line `<token> <pid>`. SECURITY: whoever does not know the token is not listened to."""
        connection.settimeout(_POLL_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = b""
        with contextlib.suppress(OSError):
            while not line.endswith(b"\n") and len(line) < _HELLO_BYTES:
                byte = connection.recv(1)
                if not byte:
                    break
                line += byte
        token, _, pid = line.decode("ascii", "replace").strip().partition(" ")
        if not secrets.compare_digest(token.encode(), self._token.encode()) or not pid.isdecimal():
            return False
        self.pid = int(pid)
        return True

    def _why(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"the process for your code did not start: {lines[-1] if lines else 'it did not answer in time'}"

    def interrupt(self) -> bool:
        """By a byte on its stdin: Windows has no signal for it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"!")
            self._process.stdin.flush()
        except OSError:  # it has just ended
            return False
        return True

    def kill(self) -> None:
        """End it with all its children, now."""
        import psutil

        family = []
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            family = [*root.children(recursive=True), root]
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_TIMEOUT_S)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._listener.close()
        self._said.close()
        shutil.rmtree(self.scratch, ignore_errors=True)  # Windows may still hold a file: `close` tries again


def _environment(scratch: str) -> dict[str, str]:
    """What a worker's surroundings differ in from the student's own."""
    path = os.environ.get("PYTHONPATH")  # may be relative to this folder, which is not the worker's
    return {
        **({"PYTHONPATH": os.pathsep.join(map(os.path.abspath, path.split(os.pathsep)))} if path else {}),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), scratch),
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "TRITON_INTERPRET": "1",  # kernels run without a GPU; read where one is decorated
    }

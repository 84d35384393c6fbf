"""Starts and owns one sandbox: the outer end of the forkserver's control socket.

Theory of operation
-------------------
    grader process ──control socket──> forkserver (PID 1 of its own PID namespace, unprivileged uid)
          │                                 │ fork per page, after a wipe
          └────────one socket per worker────┴──> worker: the student's code

The grader makes a socket pair per worker and hands one end to the forkserver. Three rungs:

- `bubblewrap` puts the whole right-hand side in its own mount, PID, network, IPC and UTS namespaces;
- `landlock` starts the forkserver as an ordinary process, and every worker locks itself in before it reads a page: no
  file but the runtime's, no socket, no signal to the outside, a uid of its own where we are root (`fence.py`);
- `none` starts the same forkserver without any fence: for a student's own machine, or by explicit choice.

All three need Linux. What a student's `check` does elsewhere is `portable.py`.

Workers on the first two rungs also run under a system-call filter. What is visible inside bubblewrap: shared
libraries, the Python installation and this environment's packages, a handful of files of this kit, /proc of its own
namespace, a minimal /dev, and two small tmpfs. All of it read-only but the tmpfs.
"""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from autograder.policies import Limits
from autograder.sandbox import forkserver, gpu, mounts, usage
from autograder.sandbox.forkserver import Config, Count, Fork, Interrupt, Ready, Wipe
from autograder.sandbox.workers import SandboxError

_START_TIMEOUT_S = 60.0
_COMMAND_TIMEOUT_S = 10.0


class Sandbox:
    """A forkserver behind the wall. Use as a context manager.

    Args:
        rung: "bubblewrap", "landlock" or "none".
        limits: what a worker may use.
        hidden: folders that must not be visible inside, wherever they lie.
        privileged: whether bubblewrap is run as root without a user namespace; wherever that works, unless said.
        with_gpu: whether workers reach the GPU; what that takes is in `gpu.py`.
        compiles: whether kernels are compiled instead of interpreted (`compiling.py`), for which programs are started.
        wait: False returns at once, while it starts: `ready` waits for it, and comes before anything else.
    """

    def __init__(
        self,
        rung: str,
        limits: Limits,
        hidden: tuple[Path, ...] = (),
        *,
        privileged: bool | None = None,
        with_gpu: bool = False,
        compiles: bool = False,
        wait: bool = True,
    ) -> None:
        self.rung = rung
        if privileged is None:
            privileged = rung == "bubblewrap" and root_without_user_namespace()
        self.privileged = privileged
        self.with_gpu = with_gpu
        self._compiles = compiles
        self.limits = gpu.limits(limits) if with_gpu else limits
        self._hidden = hidden
        self._scratch: str | None = None
        self._steps = 0  # of the forkserver's, when its memory was looked at
        self._uid = _FIRST_UID + os.getpid() + next(_made) * _PIDS
        self._start()
        if wait:
            self.ready()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The outer pid of the process at the root of the sandbox."""
        return self._process.pid

    def fork_worker(self, limits: Limits | None = None, shared: int | None = None) -> socket.socket:
        """Wipe the sandbox and start a fresh worker, with a descriptor of shared memory if asked.

        Returns the grader's end of its socket.
        """
        limits = limits or self.limits
        ours, theirs = socket.socketpair()
        command = Fork(
            address_space_bytes=(gpu.address_space_mb() if self.with_gpu else limits.memory_mb) << 20,
            file_bytes=limits.disk_mb << 20,
            processes=limits.processes,
            open_files=limits.open_files,
            cpu_s=int(limits.submission_wall_s) + 1,
            payload_bytes=limits.reply_mb << 20,
        )
        with theirs:
            done = self._command(
                msgspec.msgpack.encode(command), [theirs.fileno(), *([] if shared is None else [shared])]
            )
        if done.steps != self._steps:  # no page runs in the worker yet
            self._idle_bytes, self._steps = usage.memory_bytes(self.pid), done.steps
        return ours

    def wipe(self) -> None:
        """End every worker and everything it left behind."""
        self._command(msgspec.msgpack.encode(Wipe()), [])

    def interrupt(self) -> bool:
        """Interrupt the statement of a page that the worker is at. Whether there is a worker."""
        return self._command(msgspec.msgpack.encode(Interrupt()), []).pid != 0

    def left_behind(self) -> bool:
        """Whether anything runs in the sandbox besides the forkserver and the one worker."""
        return self._command(msgspec.msgpack.encode(Count()), []).count > 1

    def memory_bytes(self, limit_bytes: int = 0) -> int:
        """Memory of everything in the sandbox but the forkserver; exact above `limit_bytes`."""
        idle = self._idle_bytes
        return max(0, usage.memory_bytes(self.pid, limit_bytes + idle) - idle)

    def cpu_seconds(self) -> float:
        """Processor time that everything alive in the sandbox has used."""
        return usage.cpu_seconds(self.pid)

    def wants_to_run(self) -> bool:
        """Whether anything in the sandbox runs or waits for a processor, rather than for something to happen."""
        return usage.wants_to_run(self.pid)

    def restart(self) -> None:
        """Kill the sandbox, whatever state it is in, and start a fresh one."""
        self._kill()
        self._remove_scratch()
        self._start()
        self.ready()

    def close(self) -> None:
        """End the sandbox and remove its scratch folder."""
        self._kill()
        self._remove_scratch()

    def _remove_scratch(self) -> None:
        if self._scratch:
            with contextlib.suppress(OSError):
                forkserver.empty([Path(self._scratch)])
                os.rmdir(self._scratch)
            self._scratch = None

    def scratch_bytes(self) -> int:
        """What the workers have on disk where no tmpfs limits it; too many entries to count are too many bytes."""
        return usage.disk_bytes([self._scratch] if self._scratch else [])

    def _start(self) -> None:
        if self.rung != "bubblewrap":
            self._scratch = tempfile.mkdtemp(prefix="autograder-")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv, environment = self._argv(theirs.fileno())
            self._process = subprocess.Popen(
                argv,
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self._control = ours
        self._idle_bytes = self._steps = 0
        self._started = False

    def ready(self) -> None:
        """Wait until the forkserver has imported all that it imports. Raises SandboxError."""
        if self._started:
            return
        try:
            self._answer(_START_TIMEOUT_S)
        except SandboxError:
            self._process.kill()
            self._control.close()  # first: a forkserver that outlives bubblewrap holds stderr open until it hears of it
            said = self._said().splitlines()
            self._remove_scratch()
            raise SandboxError(f"the {self.rung} sandbox did not start: {said[-1] if said else 'no message'}") from None
        self._idle_bytes = self.memory_bytes()
        self._started = True

    def _said(self) -> str:
        """What the killed process left on stderr; not waited for without end."""
        errors: bytes | None
        try:
            _, errors = self._process.communicate(timeout=_COMMAND_TIMEOUT_S)
        except subprocess.TimeoutExpired as late:
            errors = late.stderr
        return (errors or b"").decode(errors="replace").strip()

    def _argv(self, control: int) -> tuple[list[str], dict[str, str]]:
        scratch = [self._scratch] if self._scratch else mounts.SCRATCH
        kit = str(mounts.INSIDE) if self.rung == "bubblewrap" else str(mounts.KIT.parent)
        uid, keep_reading = -1, False
        more, devices = (gpu.readable(), gpu.devices()) if self.with_gpu else ([], [])
        self._refuse_visible(more)  # on any rung: it is shown after the course was covered
        if self.rung == "bubblewrap":
            uid = self._uid if self.privileged else -1
        elif self.rung == "landlock":
            self._refuse_visible([*mounts.runtime_paths(), *more])
            if os.geteuid() == 0:
                uid, keep_reading = self._uid, not _readable_by_others()
                os.chown(scratch[0], uid, uid)
        config = Config(
            rung=self.rung,
            control=control,
            scratch=scratch,
            uid=uid,
            keep_reading=keep_reading,
            readable=[str(path) for path in (*mounts.runtime_paths(), *more)],
            devices=devices,
            calls=self._calls(),
            written=list(gpu.WRITTEN) if self.with_gpu else [],
        )
        forkserver = f"{kit}/autograder/sandbox/forkserver.py"
        server = [sys.executable, "-I", forkserver, kit, msgspec.json.encode(config).decode()]
        if self.rung == "bubblewrap":
            server = [*mounts.bubblewrap(self.limits, self._hidden, uid >= 0, more, devices), *server]
        environment = mounts.environment(scratch[0])
        if self._compiles:
            environment["TRITON_INTERPRET"] = "0"
        return server, {**environment, **(gpu.environment() if self.with_gpu else {})}

    def _calls(self) -> list[str]:
        """The system calls that workers may make although they are refused to others."""
        if self.with_gpu:
            return list(gpu.CALLS)
        return list(gpu.PROGRAMS) if self._compiles else []

    def _refuse_visible(self, shown: Sequence[Path]) -> None:
        """SECURITY: Landlock can only allow; a secret below a folder that Python needs cannot be taken out again."""
        for path in self._hidden:
            for readable in shown:
                if path.resolve().is_relative_to(readable.resolve()):
                    raise SandboxError(f"{path} lies below {readable}, which workers must read: move it elsewhere")

    def _command(self, data: bytes, descriptors: list[int]) -> Ready:
        try:
            socket.send_fds(self._control, [data], descriptors)
        except OSError:
            raise SandboxError(f"the {self.rung} sandbox ended") from None
        return self._answer(_COMMAND_TIMEOUT_S)

    def _answer(self, timeout_s: float) -> Ready:
        self._control.settimeout(timeout_s)
        try:
            data = self._control.recv(4096)
        except OSError:  # also a timeout
            data = b""
        if not data:
            raise SandboxError(f"the {self.rung} sandbox does not answer")
        return msgspec.msgpack.decode(data, type=Ready)

    def _kill(self) -> None:
        self._control.close()
        if self.rung != "bubblewrap":  # closing the socket makes the forkserver end its workers; give it that moment
            try:
                self._process.wait(_COMMAND_TIMEOUT_S)
            except (subprocess.TimeoutExpired, ChildProcessError):
                pass
        if self._process.returncode is None:  # not one that never got ready and is gone: its number may be another's
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
        try:
            self._process.communicate(timeout=_COMMAND_TIMEOUT_S)
        except (subprocess.TimeoutExpired, ValueError, ChildProcessError):
            pass


_PIDS = 1 << 22  # Linux has no larger pid
_made = itertools.count()
_FIRST_UID = 1_600_000_000  # far from any real account; one uid per sandbox, so that process limits are per sandbox


@cache
def root_without_user_namespace() -> bool:
    """True where we are root, may mount without a user namespace, and another uid can then read this Python.

    The uid is then dropped for real, and the kernel counts processes per sandbox.
    """
    return os.geteuid() == 0 and run_inside(privileged=True, code=_DROP_UID).returncode == 0


@cache
def _readable_by_others() -> bool:
    """Whether a uid of no account can run this Python (a Python below /root cannot)."""
    command = [sys.executable, "-I", "-c", "import msgspec, numpy.linalg"]
    try:
        done = subprocess.run(
            command, user=_FIRST_UID, group=_FIRST_UID, extra_groups=[], capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


_DROP_UID = f"import os; os.setgroups([]); os.setresuid(*[{_FIRST_UID}] * 3); import msgspec, numpy.linalg"


def run_inside(privileged: bool, code: str) -> "subprocess.CompletedProcess[bytes]":
    argv = [*mounts.bubblewrap(Limits(), (), privileged), sys.executable, "-I", "-c", code]
    return subprocess.run(argv, env=mounts.environment(mounts.SCRATCH[0]), capture_output=True, timeout=30, check=False)

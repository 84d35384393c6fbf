"""The first process inside the sandbox: imports torch once and forks a fresh worker on demand.

It runs no student code and holds no secret. Its one descriptor is the control socket to the launcher, and workers do
not inherit it. Inside bubblewrap it is PID 1 of its PID namespace: nothing inside can kill it, and its own
`kill(-1)` reaches everything else. Before each fork it wipes: every other process dies, the scratch folders
are emptied.

Run as `python -I forkserver.py <kit folder> <control descriptor> <first process? 0|1> <uid or -1> <scratch folders>`.
"""

import ctypes
import os
import resource
import shutil
import signal
import socket
import sys
from pathlib import Path

import msgspec

HEADER_BYTES = 4 << 20  # the largest message that crosses the wall, arrays not counted

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


class Fork(msgspec.Struct, tag="fork", frozen=True):
    """Wipe, then start a worker on the descriptor sent along."""

    address_space_bytes: int
    file_bytes: int
    processes: int
    open_files: int
    cpu_s: int
    payload_bytes: int


class Wipe(msgspec.Struct, tag="wipe", frozen=True):
    """End every worker and whatever it left."""


class Ready(msgspec.Struct, frozen=True):
    """The answer to every command: the worker's pid as seen inside, 0 where there is none."""

    pid: int


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[2]))
    alone = sys.argv[3] == "1"
    _drop_privileges(int(sys.argv[4]))
    scratch = [Path(folder) for folder in sys.argv[5:]]
    # SECURITY: a worker must not read this process through /proc or ptrace.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if not alone:  # orphans of a worker come to us instead of to init, so that a wipe finds them
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # SECURITY: the kernel shields PID 1 from signals inside only where it has no handler; Python installs one.
        signal.signal(name, signal.SIG_DFL if alone else signal.SIG_IGN)
    import autograder.given  # noqa: F401 - imported once here, so that it costs no worker anything
    from autograder.sandbox import worker

    worker.warm_up()
    commands = msgspec.msgpack.Decoder(Fork | Wipe)
    control.send(msgspec.msgpack.encode(Ready(0)))
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
        if not data:
            _kill_others(alone)
            return
        command = commands.decode(data)
        _kill_others(alone)
        _empty(scratch)
        pid = 0
        if isinstance(command, Fork):
            pid = os.fork()
            if pid == 0:
                _become_worker(command, descriptors[0], scratch[0])
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(msgspec.msgpack.encode(Ready(pid)))


def _drop_privileges(uid: int) -> None:
    if uid >= 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)  # also empties the capability sets


def _kill_others(alone: bool) -> None:
    """End every process of the sandbox but this one, and reap them all."""
    if alone:
        _kill(-1)
    while True:
        if not alone:  # without a PID namespace: our children, and orphans as they arrive
            for pid in _children():
                _kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:  # macOS: no /proc; psutil reads the process table
        import psutil

        return [child.pid for child in psutil.Process().children(recursive=True)]


def _empty(scratch: list[Path]) -> None:
    """Remove everything from the scratch folders, also what a worker has made unreadable."""

    def unlock(function: object, path: str, error: object) -> None:
        for folder in (os.path.dirname(path), path):
            try:
                os.chmod(folder, 0o700)
            except OSError:
                pass
        try:
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        except OSError:
            pass

    for folder in scratch:
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, onerror=unlock)
            else:
                os.unlink(entry.path)


def _become_worker(limits: Fork, descriptor: int, home: Path) -> None:
    """Close everything but the one socket, take the limits on, and serve until the grader is done."""
    status = 1
    try:
        os.setsid()
        channel = os.dup(descriptor)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(channel, 3)
        os.closerange(4, 65536)
        os.chdir(home)
        _limit(limits)
        from autograder.sandbox import wire, worker

        caps = wire.Caps(HEADER_BYTES, limits.payload_bytes)
        worker.serve(wire.Channel(socket.socket(fileno=3), caps))
        status = 0
    finally:
        os._exit(status)


def _limit(limits: Fork) -> None:
    """The kernel's own limits: a first fence. The grader watches from outside as well."""
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_CPU": limits.cpu_s,
        "RLIMIT_AS": limits.address_space_bytes + _virtual_bytes(),
    }
    for name, value in wanted.items():
        if name == "RLIMIT_AS" and limits.address_space_bytes == 0:
            continue
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):  # macOS refuses some of them
            pass


def _virtual_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])  # -I leaves the kit's folder out; only given.py and sandbox/ are there
    main()

"""The first process inside the sandbox: imports torch once and forks a fresh worker on demand.

It runs no student code and holds no secret. Its one descriptor is the control socket to the launcher, and workers do
not inherit it. Before each fork it wipes: every other process of the sandbox dies, the scratch folders are emptied.
How it finds them all depends on the rung: as PID 1 of a PID namespace by `kill(-1)`, with a uid of the workers' own by
`kill(-1)` as that uid, and otherwise as the subreaper that every orphan comes to.

Run as `python -I forkserver.py <kit folder> <Config as JSON>`.
"""

import contextlib
import ctypes
import gc
import os
import secrets
import select
import signal
import socket
import sys
from pathlib import Path

import msgspec

HEADER_BYTES = 4 << 20  # the largest message that crosses the wall, arrays not counted

_DONE = object()
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


class Config(msgspec.Struct, frozen=True):
    """How this sandbox is built. `uid` is -1 where there is no other uid to change to."""

    rung: str
    control: int
    scratch: list[str]
    uid: int = -1
    keep_reading: bool = False
    readable: list[str] = []
    devices: list[str] = []
    calls: list[str] = []  # system calls that are not refused as they are to others
    written: list[str] = []  # besides the scratch folder and devices, under Landlock


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


class Count(msgspec.Struct, tag="count", frozen=True):
    """Say how many processes there are, and touch none."""


class Interrupt(msgspec.Struct, tag="interrupt", frozen=True):
    """Interrupt the worker: a statement of its page that does not end is passed over (`interrupts.py`)."""


class Ready(msgspec.Struct, frozen=True):
    """The answer to every command: the worker's pid as seen inside, 0 where there is none; or the count.

    `steps` is what was done of `warm.cheapen_forks`: where it has changed, so has the forkserver's memory.
    """

    pid: int
    count: int = 0
    steps: int = 0


def main() -> None:
    config = msgspec.json.decode(sys.argv[2], type=Config)
    control = socket.socket(fileno=config.control)
    if config.rung == "bubblewrap" and config.uid >= 0:
        from autograder.sandbox import fence

        fence.change_uid(config.uid)
    # SECURITY: a worker must not read this process through /proc or ptrace.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if config.rung != "bubblewrap":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # SECURITY: the kernel shields PID 1 from signals inside only where it has no handler; Python installs one.
        signal.signal(name, signal.SIG_DFL if config.rung == "bubblewrap" else signal.SIG_IGN)
    gc.disable()  # `warm_up` enables it
    # imported once here, so that it costs no worker anything
    import autograder.given
    import autograder.sandbox.worker  # noqa: F401
    from autograder.sandbox import warm

    warm.warm_up(for_pages=True)
    put_off, steps, pid = warm.cheapen_forks(), 0, 0
    commands = msgspec.msgpack.Decoder(Fork | Wipe | Count | Interrupt)
    control.send(msgspec.msgpack.encode(Ready(0)))
    while True:
        while pid == 0 and not select.select([control], [], [], 0)[0] and next(put_off, _DONE) is not _DONE:
            steps += 1
        data, descriptors, _, _ = socket.recv_fds(control, 4096, 2)
        command = commands.decode(data) if data else None
        if isinstance(command, Count):
            control.send(msgspec.msgpack.encode(Ready(0, count_others(config), steps)))
            continue
        if isinstance(command, Interrupt):
            if pid != 0:  # not reaped before the next wipe, so the number is still its own
                _kill(pid, signal.SIGINT)
            control.send(msgspec.msgpack.encode(Ready(pid, steps=steps)))
            continue
        kill_others(config)
        if command is None:
            return
        empty([Path(folder) for folder in config.scratch])
        pid = 0
        if isinstance(command, Fork):
            pid = os.fork()
            if pid == 0:
                _become_worker(command, config, *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(msgspec.msgpack.encode(Ready(pid, steps=steps)))


def _become_worker(command: Fork, config: Config, descriptor: int, shared: int | None = None) -> None:
    """Close everything but the one socket (and memory shared with the grader), put up the fences, and serve."""
    status = 1
    try:
        os.setsid()
        channel = os.dup(descriptor)
        memory = None if shared is None else os.dup(shared)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(channel, 3)
        if memory is None:
            os.closerange(4, 65536)
        else:
            os.dup2(memory, 4)
            os.closerange(5, 65536)
        os.chdir(config.scratch[0])
        from autograder.sandbox import worker
        from autograder.sandbox.channel import Caps, Channel

        _fence(command, config)
        worker.serve(Channel(socket.socket(fileno=3), Caps(HEADER_BYTES, command.payload_bytes)))
        status = 0
    finally:
        os._exit(status)


def _fence(command: Fork, config: Config) -> None:
    """What the rung asks for. Anything that fails ends the worker before it sees student code."""
    from autograder.sandbox import fence

    limits = msgspec.convert(command, fence.Limits, from_attributes=True)
    if config.rung != "none":
        fence.no_new_privileges()
    if config.rung == "landlock":
        if config.uid >= 0:
            fence.change_uid(config.uid, config.keep_reading, "execve" in config.calls)
        devices = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"]
        fence.set_limits(limits)
        writable = [config.scratch[0], "/dev/null", *config.devices]
        fence.restrict_files([*config.readable, *devices], writable, config.written)
    else:
        fence.set_limits(limits)
    if config.rung != "bubblewrap":  # there all end with the first process; here a stopped one would stay for good
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if config.rung != "none":
        fence.filter_calls(config.calls)


# ---------------------------------------------------------------- the other processes of the sandbox


def count_others(config: Config) -> int:
    """How many processes are in the sandbox besides this one, the dead that nobody has reaped included."""
    if config.rung == "bubblewrap":
        return sum(name.isdecimal() for name in os.listdir("/proc")) - 1
    from autograder.sandbox.processes import below

    return len(below(os.getpid())) - 1


def kill_others(config: Config) -> None:
    """End every process of the sandbox but this one, and reap them all."""
    if config.rung == "bubblewrap":
        _kill(-1)
    elif config.uid >= 0:
        _kill_uid(config.uid)
    else:
        _kill_descendants()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _kill_uid(uid: int) -> None:
    """SECURITY: one kill(-1) reaches every process of the uid at once, so a fork bomb cannot outrun it."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            _kill(-1)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _kill_descendants() -> None:
    """Stop every descendant first, until no new one appears, and only then kill: what is stopped cannot fork."""
    from autograder.sandbox.processes import below

    stopped: set[int] = set()
    while new := {process.pid for process in below(os.getpid())} - stopped - {os.getpid()}:
        for pid in new:
            _kill(pid, signal.SIGSTOP)
        stopped |= new
    for pid in stopped:
        _kill(pid)


def _kill(pid: int, number: int = 9) -> None:  # SIGKILL, which Windows cannot name while this is imported
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def empty(scratch: list[Path]) -> None:
    """Remove everything from the scratch folders, also what a worker has closed or nested without end.

    SECURITY: no recursion and no path longer than two names: folders inside a folder are moved to the top before it is
    removed, so that depth costs neither stack nor descriptors. Nothing else is alive here, so nothing races.
    """
    number = 0
    for top in scratch:
        while entries := list(os.scandir(top)):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                for inner in list(os.scandir(entry.path)):
                    if inner.is_dir(follow_symlinks=False):
                        os.chmod(inner.path, 0o700)
                        number += 1
                        os.rename(inner.path, f"{top}/{_MOVED}{number}")
                    else:
                        os.unlink(inner.path)
                os.rmdir(entry.path)


_MOVED = f".{secrets.token_hex(16)}-"  # a name that no worker has guessed


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])  # -I leaves the kit's folder out
    main()

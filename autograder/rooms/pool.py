"""Several warm rooms in processes of their own, with one submission each at a time.

A room that dies costs its own submission a second attempt, and no other submission anything. No room outlives the
process that started it, no session outlives its room, and a sandbox ends with the room that owns it.
"""

import contextlib
import gc
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import msgspec

from autograder.errors import UsageError
from autograder.intake.submission import Submission
from autograder.rooms.process import die_with

_ATTEMPTS = 2
_STARTS = 6  # in a row: what kills grading processes at random must not look like a machine that cannot start one
_GRACE_S = 1.0
_CLEARING_S = 5


def grade_all(
    submissions: Sequence[Submission],
    count: int,
    root: Path,
    units: Sequence[str],
    rung: str,
    seed: bytes,
    hidden: Sequence[Path],
    meanwhile: Callable[[], None],
    privileged: bool | None = None,
) -> Generator[tuple[int, bytes | None], None, None]:
    """(position, outcome as MessagePack) in the order of completion; None where the room died each time.

    A submission is asked for when a room is free for it, and not held here. At most `count` rooms are open, each ready
    for all `units`; what lies in `hidden` cannot be seen in a sandbox. `meanwhile` is called once the first ones have
    been started, and `privileged` is what `Sandbox` takes. Close the iterator to end all rooms. Raises UsageError where
    rooms cannot be opened.
    """
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # its start unblocks SIGINT in us: not between a room's fork and its exec
    waiting = deque(range(len(submissions)))
    attempts: Counter[int] = Counter()
    rooms: dict[Connection, _Process] = {}
    started = False
    failed_starts, why = 0, f"a grading process ended {_STARTS} times while it started; out of memory?"
    scratch = tempfile.mkdtemp(prefix="autograder-")  # goes with us, even if a room could not clear its own
    os.chmod(scratch, 0o711)  # noqa: S103 - a sandbox with a uid of its own has its folder in here
    try:
        while waiting or any(room.job is not None for room in rooms.values()):
            missing = min(count, len(submissions)) - len(rooms)
            for _ in range(min(missing, len(waiting))):
                room = _Process(context, (os.getpid(), scratch, root, units, rung, seed, hidden, privileged))
                rooms[room.pipe] = room
            if not started:
                started = True
                meanwhile()
            for room in rooms.values():
                if waiting and room.ready and room.job is None:
                    job = waiting.popleft()
                    room.give(job, submissions[job])
            for pipe in [pipe for pipe in wait(list(rooms)) if isinstance(pipe, Connection)]:
                room = rooms[pipe]
                try:
                    data = pipe.recv_bytes()
                except (EOFError, OSError):  # it died
                    rooms.pop(pipe).end(0)
                    if not room.ready:
                        failed_starts += 1
                    elif room.job is not None:
                        attempts[room.job] += 1
                        if attempts[room.job] < _ATTEMPTS:
                            waiting.append(room.job)
                        else:
                            yield room.job, None
                else:
                    if room.job is not None:
                        job, room.job = room.job, None
                        yield job, data
                    elif data:
                        final, why = msgspec.msgpack.decode(data, type=tuple[bool, str])
                        failed_starts += _STARTS if final else 0  # it ends now, and that is counted
                    else:
                        room.ready, failed_starts = True, 0
                if failed_starts >= _STARTS:
                    raise UsageError(why)
    finally:
        for room in rooms.values():
            room.process.terminate()
        ends_at = time.monotonic() + _GRACE_S
        for room in rooms.values():
            room.end(max(0.0, ends_at - time.monotonic()))
        shutil.rmtree(scratch, ignore_errors=True)


class _Process:
    """The outer end of a room."""

    def __init__(self, context: Any, arguments: tuple[Any, ...]) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, *arguments), daemon=True)
        self.job: int | None = None
        self.ready = False
        with _no_interrupt():
            self.process.start()
        theirs.close()

    def give(self, job: int, submission: Submission) -> None:
        self.job = job
        try:
            self.pipe.send_bytes(msgspec.msgpack.encode(submission))
        except OSError:  # it died just now: `wait` reports that
            pass

    def end(self, grace_s: float) -> None:
        """Let it end by itself for that long; then its session and its sandbox die with it."""
        self.process.join(grace_s)
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Ctrl-C reaches the whole process group: hold it back here, and block it in what is started meanwhile.

    The mask is what a child inherits; it is this thread's alone, and another one (of a library) may take the signal.
    """
    held: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if in_main:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


def _serve(
    pipe: Connection,
    parent: int,
    scratch: str,
    root: Path,
    units: Sequence[str],
    rung: str,
    seed: bytes,
    hidden: Sequence[Path],
    privileged: bool | None,
) -> None:
    """In the process: an empty message when ready or (final, why) when not, then an outcome for each submission."""
    rooms: list[Any] = []  # the one room, once it is open

    def leave(*_: object) -> None:
        """Clear up and end, whatever runs just now: an exception could be swallowed by what it meets."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_CLEARING_S)
        for room in rooms:
            room.close()
        with contextlib.suppress(OSError):
            os.rmdir(scratch)  # the last one out; the grader removes it too if it is still there
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, leave)
    die_with(parent, signal.SIGTERM)
    tempfile.tempdir = scratch
    gc.disable()  # while torch is imported; `warm_up` enables it
    from autograder.rooms.room import Room
    from autograder.sandbox.workers import SandboxError

    try:
        rooms.append(Room(root, units, rung, seed, hidden, privileged=privileged))
    except Exception as error:  # told to the one who can show it
        final, known = isinstance(error, UsageError), isinstance(error, UsageError | SandboxError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        pipe.send_bytes(msgspec.msgpack.encode((final, text)))
        return
    with rooms[0] as room:
        pipe.send_bytes(b"")
        with contextlib.suppress(EOFError, BrokenPipeError, SandboxError):  # nobody asks any more; no new sandbox
            while True:
                submission = msgspec.msgpack.decode(pipe.recv_bytes(), type=Submission)
                pipe.send_bytes(msgspec.msgpack.encode(room.grade(submission)))

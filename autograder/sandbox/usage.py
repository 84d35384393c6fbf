"""What the processes of a sandbox use, read from outside: memory, time, files, and whether they want to run."""

import errno
import os
import sys
from collections.abc import Sequence

from autograder.sandbox.processes import Process, below

_MAX_ENTRIES = 20_000
_CROWD = 2  # a room with its worker is one, of as many rooms as there are processors


def memory_bytes(root: int, limit_bytes: int = 0) -> int:
    """Memory of the process `root` and everything below it; what several processes share counts once.

    Exact above `limit_bytes`; up to it the sum of the resident sizes serves, which is never too small and several times
    quicker to read. Files that are only mapped do not count: the kernel takes their pages back when it needs them.
    """
    processes = below(root)
    resident = sum(process.resident for process in processes)
    return resident if resident <= limit_bytes else sum(map(_own_bytes, processes))


def count(root: int) -> int:
    """How many processes live from `root` downwards."""
    return len(below(root))


def disk_bytes(folders: Sequence[str]) -> int:
    """What lies in the folders; too many entries to count are too many bytes."""
    total, seen, waiting = 0, 0, list(folders)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    seen += 1
                    info = entry.stat(follow_symlinks=False)
                    blocks: int | None = getattr(info, "st_blocks", None)  # Windows does not count them
                    total += info.st_size if blocks is None else blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    if seen > _MAX_ENTRIES:
                        return 1 << 60
        except OSError as error:  # it vanished, or is closed to us; a path without end is one entry too many
            if error.errno == errno.ENAMETOOLONG:
                return 1 << 60
    return total


def _own_bytes(process: Process) -> int:
    """Anonymous and shared memory, divided by how many share it. The resident size where we may not look closer; of a
    process that has ended meanwhile nothing is left, and its resident size is not held against the others.
    """
    try:
        with open(f"/proc/{process.pid}/smaps_rollup") as rollup:
            sizes = dict(line.split(":", 1) for line in rollup if line.startswith("Pss_"))
        return sum(int(sizes[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem")) << 10
    except (OSError, KeyError) as error:
        ended = sys.platform == "linux" and not os.path.exists(f"/proc/{process.pid}")
        return 0 if ended or isinstance(error, ProcessLookupError) else process.resident


def crowded() -> bool:
    """Whether far more wants to run on this machine than there are processors, in the mean of a minute."""
    processors, load = os.cpu_count() or 1, getattr(os, "getloadavg", lambda: (0.0,))()[0]  # Windows has no such mean
    return bool(load > _CROWD * processors)


def cpu_seconds(root: int) -> float:
    """Processor time that `root` and everything alive below it has used."""
    return sum(process.cpu_s for process in below(root))


def wants_to_run(root: int) -> bool:
    """Whether `root` or anything below it runs or waits for a processor, rather than for something to happen."""
    return any(process.running for process in below(root))

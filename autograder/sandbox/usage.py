"""What the processes of a sandbox use, read from outside: memory, processor time, and whether they want to run."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import psutil

Answer = TypeVar("Answer")


def memory_bytes(root: int, limit_bytes: int = 0) -> int:
    """Memory of the process `root` and everything below it; what several processes share counts once.

    Exact above `limit_bytes`; up to it the sum of the resident sizes serves, which is never too small and several times
    quicker to read. Files that are only mapped do not count: the kernel takes their pages back when it needs them.
    """
    resident = ask_tree(root, lambda process: process.memory_info().rss)
    return sum(resident) if sum(resident) <= limit_bytes else sum(ask_tree(root, _own_bytes))


def _own_bytes(process: psutil.Process) -> int:
    """Anonymous and shared memory, divided by how many share it. The resident size where we may not look closer."""
    try:
        with open(f"/proc/{process.pid}/smaps_rollup") as rollup:
            sizes = dict(line.split(":", 1) for line in rollup if line.startswith("Pss_"))
        return sum(int(sizes[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem")) << 10
    except (OSError, KeyError):
        return int(process.memory_info().rss)


def cpu_seconds(root: int) -> float:
    """Processor time that `root` and everything alive below it has used."""
    return sum(ask_tree(root, lambda process: sum(process.cpu_times()[:2])))


def wants_to_run(root: int) -> bool:
    """Whether `root` or anything below it runs or waits for a processor, rather than for something to happen."""
    return psutil.STATUS_RUNNING in ask_tree(root, lambda process: process.status())


def ask_tree(root: int, question: Callable[[psutil.Process], Answer]) -> list[Answer]:
    """The answer of `root` and of every process below it; what ends while it is asked is passed over."""
    answers = []
    with contextlib.suppress(psutil.Error):
        top = psutil.Process(root)
        for process in (top, *top.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                answers.append(question(process))
    return answers

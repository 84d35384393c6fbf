"""Which processes there are below one, and what each of them uses. Shared by both sides.

On Linux everything is in one line of /proc per process; elsewhere psutil is asked. Source: proc_pid_stat(5).
"""

import os
import sys

from msgspec import Struct

_STATE, _PARENT, _USER_TIME, _SYSTEM_TIME, _RSS = 0, 1, 11, 12, 21  # counted from behind the name in parentheses


class Process(Struct, frozen=True):
    """One process as it was at one moment; `resident` is in bytes."""

    pid: int
    parent: int
    running: bool  # or waiting for a processor
    cpu_s: float
    resident: int


def below(root: int) -> list[Process]:
    """The process `root` and everything below it, as far as it lives."""
    if sys.platform != "linux":
        return _asked(root)
    found = everything()
    children: dict[int, list[Process]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process)
    known = [found[root]] if root in found else []
    for process in known:  # grows while it is gone through
        known += children.get(process.pid, ())
    return known


def everything() -> dict[int, Process]:
    """Every process that /proc shows; what ends meanwhile is passed over."""
    found = {}
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # the name may hold anything, parentheses too
        except OSError:
            continue
        found[int(name)] = Process(
            pid=int(name),
            parent=int(fields[_PARENT]),
            running=fields[_STATE] == b"R",
            cpu_s=(int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])) / tick,
            resident=int(fields[_RSS]) * page,
        )
    return found


def _asked(root: int) -> list[Process]:
    import psutil

    found = []
    try:
        top = psutil.Process(root)
        family = [top, *top.children(recursive=True)]  # of these alone: asking every process takes a second on Windows
    except psutil.Error:
        return []
    for process in family:
        try:
            found.append(
                Process(
                    pid=process.pid,
                    parent=process.ppid(),
                    running=process.status() == psutil.STATUS_RUNNING,
                    cpu_s=sum(process.cpu_times()[:2]),
                    resident=process.memory_info().rss,
                )
            )
        except psutil.Error:
            continue
    return found

"""What one call of `grade` costs beside importing torch: one submission from cold, and a class with nothing new.

The three take turns, so that a busy machine is as busy for each; medians are compared.
"""

import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autograder.commands.bench_class import Member, write_class
from autograder.course import Course, Unit
from autograder.errors import UsageError

UNCHANGED = 50
_TORCH, _COLD, _NOTHING = "import torch", "one submission, cold", "nothing to do"


def cold_ratios(
    course: Course, unit: Unit, members: Sequence[Member], folder: Path, rung: str, rounds: int
) -> dict[str, Any]:
    """Seconds and CPU seconds of each, and their ratios to `import torch`. Raises UsageError.

    Args:
        members: right ones, whose results lie in `folder / "graded"` already.
        folder: the class's own.
    """
    unchanged = list(members[:UNCHANGED])
    write_class(course, unit, unchanged, folder / "unchanged")
    write_class(course, unit, unchanged[:1], folder / "one")
    grade = [sys.executable, "-m", "autograder.cli", "grade", "--isolation", rung, "--course", str(course.root)]
    new = folder / "new"
    commands = {
        _TORCH: [sys.executable, "-c", "import torch"],
        _COLD: [*grade, str(folder / "one"), "--out", str(new)],
        _NOTHING: [*grade, str(folder / "unchanged"), "--out", str(folder / "graded")],
    }
    said = {_TORCH: "", _COLD: "graded 1, unchanged 0", _NOTHING: f"graded 0, unchanged {len(unchanged)}"}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(_timed(command, folder, said[name]))
            shutil.rmtree(new, ignore_errors=True)
    wall_s, cpu_s = ({name: statistics.median(t[i] for t in of) for name, of in times.items()} for i in (0, 1))
    return {
        "rounds": rounds,
        "unchanged": len(unchanged),
        "torch_s": round(wall_s[_TORCH], 3),
        "cold": _row(wall_s, cpu_s, _COLD),
        "nothing": _row(wall_s, cpu_s, _NOTHING),
    }


def _row(wall_s: dict[str, float], cpu_s: dict[str, float], name: str) -> dict[str, float]:
    return {
        "s": round(wall_s[name], 3),
        "ratio": round(wall_s[name] / wall_s[_TORCH], 2),
        "cpu_ratio": round(cpu_s[name] / cpu_s[_TORCH], 2),
    }


def _timed(command: list[str], folder: Path, said: str) -> tuple[float, float]:
    """Seconds from start to exit, and CPU seconds with all that was waited for: not what bubblewrap leaves to init."""
    before, started = _cpu_s(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started
    if done.returncode or said not in done.stdout:  # a race that graded something else proves nothing
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise UsageError(f"bench: expected {said or 'success'!r} of {' '.join(command[1:4])}: {last}")
    return wall_s, _cpu_s() - before


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

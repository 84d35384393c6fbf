"""`autograder bench`: what grading costs on this machine, beside `nbgrader autograde` and beside the bare computation.

Two classes of one unit are graded by the real command: one all right, one mixed as a class before a deadline is.
nbgrader grades a few of the same students, with the same hidden tests in locked cells, as its courses do. All times of
a run belong to one machine at one time; on a busy machine only the ratios mean something, those of CPU time the most.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console

from autograder.commands.bench_class import (
    GREEDY,
    RAISING,
    RIGHT,
    SHARES,
    UNFINISHED,
    WRONG,
    Member,
    mixed_class,
    right_class,
    write_class,
)
from autograder.course import Course, Unit
from autograder.errors import UsageError
from autograder.results.folders import result_path
from autograder.results.record import read_result


class Size(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    right: int
    mixed: int
    nbgrader: dict[str, int]  # how many students of each kind stand for the class
    rounds: int
    fresh_workers: int
    saves: int

    def of(self, right: int | None) -> "Size":
        """The same with another number of students in the all-right class, where one is given."""
        return self if right is None else msgspec.structs.replace(self, right=right)


FULL = Size(
    right=200,
    mixed=60,
    nbgrader={RIGHT: 3, WRONG: 2, UNFINISHED: 2, RAISING: 1, GREEDY: 1},
    rounds=5,
    fresh_workers=25,
    saves=20,
)
QUICK = Size(
    right=20,
    mixed=20,
    nbgrader=dict.fromkeys(SHARES, 1),
    rounds=2,
    fresh_workers=10,
    saves=5,
)


class Steps:
    """The parts of a run, one after the other: one that fails takes only its own figures with it."""

    def __init__(self, progress: Console) -> None:
        self._progress = progress
        self.failed: dict[str, str] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What is measured within. An error ends it, and is told at the end of the figures."""
        self._progress.print(name, markup=False)
        try:
            yield
        except Exception as error:  # whatever it is, minutes of other figures are not lost with it
            self.failed[name] = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
            self._progress.print(f"failed: {self.failed[name]}", markup=False)


def run_bench(course: Course, unit_id: str, size: Size, isolation: str, progress: Console) -> dict[str, Any]:
    """Measure.

    Returns:
        The figures. What could not be measured is missing, and `failed` says why by the name of its step.

    Raises:
        UsageError: if there is no such unit or no such isolation.
    """
    from autograder.commands.bench_clock import session_seconds
    from autograder.commands.bench_cold import cold_ratios
    from autograder.commands.bench_latency import fresh_worker_ms, save_to_verdict_s
    from autograder.commands.bench_nbgrader import time_nbgrader
    from autograder.commands.bench_ratio import unit_ratios
    from autograder.sandbox.rungs import choose_rung

    unit, rung = course.unit(unit_id), choose_rung(isolation)
    steps = Steps(progress)
    figures: dict[str, Any] = {
        "unit": unit.id,
        "isolation": rung,
        "cores": os.cpu_count(),
        "tests": _count_tests(course, unit),
        "load": round(os.getloadavg()[0], 1),
    }
    members = {"right": right_class(course, unit, size.right), "mixed": mixed_class(course, unit, size.mixed)}
    sample = _sample(mixed_class(course, unit, 60), size.nbgrader)
    classes: dict[str, dict[str, Any]] = {name: {} for name in members}
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as name_of_folder:
        folder = Path(name_of_folder)
        for name, students in members.items():
            with steps.step(f"ours: a {name} class of {len(students)}, {unit.id}, isolation {rung}"):
                classes[name]["ours"] = _grade(course, unit, students, folder / name, rung)
        with steps.step("one submission from cold, and nothing to do"):
            figures["cold"] = cold_ratios(course, unit, members["right"], folder / "right", rung, size.rounds)
        with steps.step(f"nbgrader autograde: {len(sample)} of their students"):
            before_s, seconds = time_nbgrader(course, unit, sample, folder / "nbgrader")
            figures["nbgrader_s"] = {k: _mean(seconds[m.name] for m in sample if m.kind == k) for k in size.nbgrader}
            for name, students in members.items():
                classes[name]["nbgrader"] = _nbgrader_class(students, sample, before_s, seconds)
    with steps.step("where a session's time goes"):
        for name, students in {"right": members["right"][:10], "mixed": members["mixed"][:20]}.items():
            shares = session_seconds(course, unit, students, rung)
            classes[name]["shares"] = {part: round(s / sum(shares.values()), 3) for part, s in shares.items()}
    with steps.step(f"{len(course.units)} units beside their bare computation, {size.rounds} rounds"):
        figures["bare"] = unit_ratios(course, size.rounds, rung)
    with steps.step(f"{size.fresh_workers} fresh workers"):
        figures["fresh_worker_ms"] = _spread(fresh_worker_ms(course.limits, rung, size.fresh_workers), 2)
    with steps.step(f"{size.saves} saves under check --watch"):
        figures["save_to_verdict_s"] = _spread(save_to_verdict_s(course, unit, size.saves), 3)
    for measured in classes.values():
        if measured.keys() >= {"ours", "nbgrader"}:
            measured["ratio"] = round(measured["ours"]["per_minute"] / measured["nbgrader"]["per_minute"], 1)
    return {**figures, "classes": classes, "failed": steps.failed}


def _sample(members: Sequence[Member], counts: dict[str, int]) -> list[Member]:
    """The first students of each kind."""
    return [member for kind, count in counts.items() for member in [m for m in members if m.kind == kind][:count]]


def _grade(course: Course, unit: Unit, members: list[Member], folder: Path, rung: str) -> dict[str, Any]:
    """Grade a class with the real command, start and gradebook included."""
    submitted, out = folder / "submitted", folder / "graded"
    write_class(course, unit, members, submitted)
    command = [sys.executable, "-m", "autograder.cli", "grade", str(submitted), "--out", str(out)]
    command += ["--isolation", rung, "--course", str(course.root)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall_s = time.perf_counter() - started
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UsageError(f"bench: grade failed: {' '.join(last)}")
    durations: dict[str, float] = {}
    for member in members:
        result = read_result(result_path(out, member.name, unit.id))
        assert result is not None
        if (result.score == result.max_score) != (member.kind == RIGHT):  # a race on broken students proves nothing
            raise UsageError(
                f"bench: {member.name} ({member.kind}) got {result.score:g} of {result.max_score:g} points"
            )
        durations[member.name] = result.duration_s
    dearest = sorted(members, key=lambda member: durations[member.name])[-max(1, len(members) // 10) :]
    return {
        "submissions": len(members),
        "wall_s": round(wall_s, 2),
        "per_minute": round(60 * len(members) / wall_s, 1),
        "grading_share": round(sum(durations.values()) / (wall_s * min(os.cpu_count() or 1, len(members))), 3),
        "dearest_tenth": {
            "share": round(sum(durations[m.name] for m in dearest) / sum(durations.values()), 3),
            "mean_s": _mean(durations[m.name] for m in dearest),
            "kinds": dict(Counter(m.kind for m in dearest)),
        },
    }


def _nbgrader_class(
    members: Sequence[Member], sample: Sequence[Member], before_s: float, seconds: dict[str, float]
) -> dict[str, Any]:
    """What the class would take: its start once, and for every student the mean of the sample of that kind."""
    by_kind = {m.kind: statistics.mean(seconds[s.name] for s in sample if s.kind == m.kind) for m in members}
    wall_s = before_s + sum(by_kind[member.kind] for member in members)
    return {
        "graded": sum(s.kind in by_kind for s in sample),
        "wall_s": round(wall_s, 1),
        "per_minute": round(60 * len(members) / wall_s, 2),
    }


def _count_tests(course: Course, unit: Unit) -> int:
    from autograder.grading.session import CollectedTests, grader_files

    return len(CollectedTests(grader_files(course, unit)).items)


def _mean(values: Any) -> float:
    return round(float(statistics.mean(values)), 2)


def _spread(values: list[float], digits: int) -> dict[str, Any]:
    return {
        "median": round(statistics.median(values), digits),
        "max": round(max(values), digits),
        "count": len(values),
    }

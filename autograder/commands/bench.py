"""`autograder bench`: what grading costs on this machine, beside `nbgrader autograde` and beside the bare computation.

Two classes of one unit are graded by the real command: one all right, one mixed as a class before a deadline is.
nbgrader grades a few of the same students, with the same hidden tests in locked cells, as its courses do. All times of
a run belong to one machine at one time; on a busy machine only the ratios mean something, those of CPU time the most.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
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


def run_bench(course: Course, unit_id: str, size: Size, isolation: str, progress: Console) -> dict[str, Any]:
    """Measure. Returns the figures. Raises UsageError."""
    from autograder.commands.bench_clock import session_seconds
    from autograder.commands.bench_cold import cold_ratios
    from autograder.commands.bench_latency import fresh_worker_ms, save_to_verdict_s
    from autograder.commands.bench_nbgrader import time_nbgrader
    from autograder.commands.bench_ratio import unit_ratios
    from autograder.sandbox.rungs import choose_rung

    unit, rung = course.unit(unit_id), choose_rung(isolation)
    members = {"right": right_class(course, unit, size.right), "mixed": mixed_class(course, unit, size.mixed)}
    sample = _sample(mixed_class(course, unit, 60), size.nbgrader)
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as folder:
        ours = {}
        for name, students in members.items():
            progress.print(f"ours: a {name} class of {len(students)}, {unit.id}, isolation {rung}", markup=False)
            ours[name] = _grade(course, unit, students, Path(folder) / name, rung)
        progress.print("one submission from cold, and nothing to do", markup=False)
        cold = cold_ratios(course, unit, members["right"], Path(folder) / "right", rung, size.rounds)
        progress.print(f"nbgrader autograde: {len(sample)} of their students", markup=False)
        before_s, seconds = time_nbgrader(course, unit, sample, Path(folder) / "nbgrader")
    theirs = {name: _nbgrader_class(students, sample, before_s, seconds) for name, students in members.items()}
    progress.print("where a session's time goes", markup=False)
    parts = {"right": members["right"][:10], "mixed": members["mixed"][:20]}
    shares = {name: session_seconds(course, unit, students, rung) for name, students in parts.items()}
    progress.print(f"{len(course.units)} units beside their bare computation, {size.rounds} rounds", markup=False)
    ratios = unit_ratios(course, size.rounds, rung)
    progress.print(f"{size.fresh_workers} fresh workers, {size.saves} saves under check --watch", markup=False)
    return {
        "unit": unit.id,
        "isolation": rung,
        "cores": os.cpu_count(),
        "tests": _count_tests(course, unit),
        "load": round(os.getloadavg()[0], 1),
        "classes": {
            name: {
                "ours": ours[name],
                "nbgrader": theirs[name],
                "ratio": round(ours[name]["per_minute"] / theirs[name]["per_minute"], 1),
                "shares": {part: round(value / sum(shares[name].values()), 3) for part, value in shares[name].items()},
            }
            for name in members
        },
        "nbgrader_s": {kind: _mean(seconds[m.name] for m in sample if m.kind == kind) for kind in size.nbgrader},
        "cold": cold,
        "bare": ratios,
        "fresh_worker_ms": _spread(fresh_worker_ms(course.limits, rung, size.fresh_workers), 2),
        "save_to_verdict_s": _spread(save_to_verdict_s(course, unit, size.saves), 3),
    }


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


# ---------------------------------------------------------------- rendering


def render_bench(figures: dict[str, Any], console: Console) -> None:
    """The figures as lines."""
    for line in _lines(figures):
        console.print(line, markup=False)


def _lines(figures: dict[str, Any]) -> list[str]:
    fresh, save, cold = figures["fresh_worker_ms"], figures["save_to_verdict_s"], figures["cold"]
    lines = [
        f"{figures['unit']}, {figures['tests']} hidden tests, {figures['isolation']}, {figures['cores']} cores, "
        f"load {figures['load']} (of a busy machine only the ratios mean something)",
    ]
    for name, measured in figures["classes"].items():
        ours, theirs, dear = measured["ours"], measured["nbgrader"], measured["ours"]["dearest_tenth"]
        kinds = ", ".join(f"{count} {kind}" for kind, count in dear["kinds"].items())
        parts = sorted(measured["shares"].items(), key=lambda item: -item[1])
        lines += [
            f"the {name} class",
            f"  ours      {ours['per_minute']:8.1f} submissions/min ({ours['submissions']} in {ours['wall_s']:.1f} s)",
            f"  nbgrader  {theirs['per_minute']:8.2f} submissions/min (from {theirs['graded']} of them)",
            f"  ratio     {measured['ratio']:8.1f}",
            f"  the dearest tenth: {dear['share']:.0%} of the time, {dear['mean_s']:.1f} s each ({kinds})",
            f"  a session: {', '.join(f'{part} {share:.0%}' for part, share in parts if share >= 0.005)}",
            f"  grading is {ours['grading_share']:.0%} of the command, the rest its start and its end",
        ]
    lines += ["grading the solution beside the bare calls (warm, one at a time)"]
    lines += [
        f"  {row['unit']:30} ratio {row['ratio']:5.2f} ({row['graded_s']:.2f} s to {row['bare_s']:.2f} s), "
        f"of CPU time {row['cpu_ratio']:5.2f}, beside the tests in one process {row['tests_cpu_ratio']:5.2f}"
        for row in figures["bare"]
    ]
    lines += [f'beside `python -c "import torch"` ({cold["torch_s"]:.2f} s; medians of {cold["rounds"]})']
    for name, row in (
        ("one submission, cold", cold["cold"]),
        (f"nothing to do, {cold['unchanged']} unchanged", cold["nothing"]),
    ):
        lines.append(f"  {name:30} ratio {row['ratio']:5.2f} ({row['s']:.2f} s), of CPU time {row['cpu_ratio']:5.2f}")
    return [
        *lines,
        f"fresh worker, first call: median {fresh['median']:.1f} ms, max {fresh['max']:.1f} ms of {fresh['count']}",
        f"check --watch, save to verdict: median {save['median']:.2f} s, max {save['max']:.2f} s of {save['count']}",
    ]

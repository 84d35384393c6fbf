"""The figures of `autograder bench` as lines. A figure that could not be measured has none."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console


def render_bench(figures: dict[str, Any], console: Console) -> None:
    """The figures as lines."""
    for line in bench_lines(figures):
        console.print(line, markup=False)


def bench_lines(figures: dict[str, Any]) -> Iterator[str]:
    """What was measured, and last what was not and why."""
    yield (
        f"{figures['unit']}, {figures['tests']} hidden tests, {figures['isolation']}, {figures['cores']} cores, "
        f"load {figures['load']} (of a busy machine only the ratios mean something)"
    )
    for name, measured in figures["classes"].items():
        yield f"the {name} class"
        yield from _class_lines(measured)
    if "bare" in figures:
        yield "grading the solution beside the bare calls (warm, one at a time)"
    for row in figures.get("bare", ()):
        yield (
            f"  {row['unit']:30} ratio {row['ratio']:5.2f} ({row['graded_s']:.2f} s to {row['bare_s']:.2f} s), "
            f"of CPU time {row['cpu_ratio']:5.2f}, beside the tests in one process {row['tests_cpu_ratio']:5.2f}"
        )
    if "cold" in figures:
        yield from _cold_lines(figures["cold"])
    if "fresh_worker_ms" in figures:
        yield "fresh worker, first call: median {median:.1f} ms, max {max:.1f} ms of {count}".format(
            **figures["fresh_worker_ms"]
        )
    if "save_to_verdict_s" in figures:
        yield "check --watch, save to verdict: median {median:.2f} s, max {max:.2f} s of {count}".format(
            **figures["save_to_verdict_s"]
        )
    for step, why in figures["failed"].items():
        yield f"not measured: {step}: {why}"


def _class_lines(measured: dict[str, Any]) -> Iterator[str]:
    ours, theirs = measured.get("ours"), measured.get("nbgrader")
    if ours:
        yield f"  ours      {ours['per_minute']:8.1f} submissions/min ({ours['submissions']} in {ours['wall_s']:.1f} s)"
    if theirs:
        yield f"  nbgrader  {theirs['per_minute']:8.2f} submissions/min (from {theirs['graded']} of them)"
    if "ratio" in measured:
        yield f"  ratio     {measured['ratio']:8.1f}"
    if ours:
        dear = ours["dearest_tenth"]
        kinds = ", ".join(f"{count} {kind}" for kind, count in dear["kinds"].items())
        yield f"  the dearest tenth: {dear['share']:.0%} of the time, {dear['mean_s']:.1f} s each ({kinds})"
    if "shares" in measured:
        parts = sorted(measured["shares"].items(), key=lambda item: -item[1])
        yield f"  a session: {', '.join(f'{part} {share:.0%}' for part, share in parts if share >= 0.005)}"
    if ours:
        yield f"  grading is {ours['grading_share']:.0%} of the command, the rest its start and its end"


def _cold_lines(cold: dict[str, Any]) -> Iterator[str]:
    yield f'beside `python -c "import torch"` ({cold["torch_s"]:.2f} s; medians of {cold["rounds"]})'
    for name, row in (
        ("one submission, cold", cold["cold"]),
        (f"nothing to do, {cold['unchanged']} unchanged", cold["nothing"]),
    ):
        yield f"  {name:30} ratio {row['ratio']:5.2f} ({row['s']:.2f} s), of CPU time {row['cpu_ratio']:5.2f}"

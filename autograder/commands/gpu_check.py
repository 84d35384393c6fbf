"""`make gpu-check` and `calibrate`: does all of this work on the GPU of this machine, and how fast is it here?

One command, offline, in a few minutes, with python3, torch, triton, numpy, pytest and msgspec. The steps run in an
order in which a run that is cut short still answers, and after each of them the JSON file is complete.
docs/gpu_results keeps such files; docs/gpu_grading.md tells what follows from them.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from autograder.commands.gpu_bench import Settings
from autograder.commands.gpu_steps import STEPS
from autograder.errors import UsageError
from autograder.results.record import write_atomically
from autograder.sandbox.devices import Device, find_device
from autograder.sandbox.rungs import choose_rung

SCHEMA = "autograder/gpu-check/v1"
BUDGET_S = 350.0
_KIT = Path(__file__).resolve().parents[2]
_LEAST_S = 20.0  # less is not worth the start of a step
_MARGIN = 1.15
_TIERS = {"excellent": 1.3, "good": 2.0, "pass": 4.0}  # proposals, as multiples of what the solution needs

Say = Callable[[str], None]


def check_gpu(
    root: Path,
    path: Path | None,
    say: Say,
    device: str = "auto",
    isolation: str = "auto",
    budget_s: float = BUDGET_S,
    steps: Sequence[str] = (),
    quick: bool = False,
) -> Path:
    """Run the steps (all, unless named), print a table, and write a JSON file. Returns its path. Raises UsageError."""
    found = find_device(device)
    settings = _settings(root, found, isolation, quick, say)
    path = path or default_path(root, found)
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} does not exist: give a file in a folder that does with --out")
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "started": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "device": found.title,
        "kinds": list(found.kinds),
        "rehearsal": settings.rehearsal,
        "settings": {"pairs": settings.pairs, "verdicts": settings.verdicts, "budget_s": budget_s},
        "steps": {},
    }
    ends_at = time.monotonic() + budget_s
    names = [step.__name__ for step in STEPS if not steps or step.__name__ in steps]
    for number, name in enumerate(names):
        left = ends_at - time.monotonic()
        started = time.monotonic()
        if left < _LEAST_S:
            result: dict[str, Any] = {"skipped": f"the {budget_s:g} s of this check were used up"}
        else:
            share = max(_LEAST_S, left * (0.4 if number + 1 < len(names) else 0.8))
            result = run_step(name, msgspec.structs.replace(settings, seconds=share), left)
        report["steps"][name] = {"seconds": round(time.monotonic() - started, 1), **result}
        write_atomically(path, json.dumps(report, indent=2).encode() + b"\n")
        for line in summary(name, result):
            say(line)
    say(f"wrote {path}")
    return path


def _settings(root: Path, device: Device, isolation: str, quick: bool, say: Say) -> Settings:
    try:
        rung = choose_rung(isolation)
    except UsageError as error:
        if isolation != "auto":
            raise
        say(f"note: {error}; only the course's own code and its attacks are run, without a wall")
        rung = "none"
    small = {"pairs": 3, "verdicts": 2, "cheats": 3} if quick else {}
    return Settings(str(root.resolve()), device.name, rung, **small)


def default_path(root: Path, device: Device) -> Path:
    """docs/gpu_results/<card>_<date>.json in the course, where there is such a folder, else here."""
    folder = root / "docs" / "gpu_results"
    card = re.sub(r"[^a-z0-9]+", "-", device.title.lower()).strip("-")
    name = f"{card}_{datetime.now(UTC):%Y-%m-%d}.json"
    return (folder if folder.is_dir() else Path.cwd()) / name


def run_step(name: str, settings: Settings, timeout_s: float) -> dict[str, Any]:
    """What a step found, or how it failed."""
    interpret = "1" if settings.rehearsal else "0"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_KIT), os.environ.get("PYTHONPATH", "")])),
        "TRITON_INTERPRET": interpret,
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False",
    }
    command = [sys.executable, "-m", "autograder.commands.gpu_steps", name, msgspec.json.encode(settings).decode()]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {timeout_s:.0f} s"}
    last = done.stdout.strip().splitlines()[-1:] or [""]
    try:
        found = json.loads(last[0])
    except ValueError:
        return {"error": f"exit code {done.returncode}: {done.stderr.strip()[-1500:]}"}
    return found if isinstance(found, dict) else {"error": f"an answer that is none: {last[0][:200]}"}


# ---------------------------------------------------------------- in words


def summary(name: str, found: dict[str, Any]) -> list[str]:
    """One or more lines for the terminal."""
    for key in ("error", "skipped"):
        if key in found:
            return [f"{name:10} {key}: {found[key]}"]
    if name == "machine":
        v = found["versions"]
        works = ", ".join(rung for rung, state in found["rungs"].items() if state == "works")
        said = f"{found['device']}, torch {v['torch']}, triton {v['triton']}, Python {v['python']}"
        return [f"{name:10} {said}; graded under {found['rung']} (works here: {works})"]
    if name == "driver":
        return [f"{name:10} {key.replace('_', ' ')}: {said}" for key, said in found.items()]
    if name == "transport":
        return [f"{name:10} memory of the device by {kind}: {said}" for kind, said in found["tried"].items()]
    if name == "overhead":
        return [f"{name:10} {r['tokens']:6} tokens: {r['median_us']} us, p99 {r['p99_us']} us" for r in found["rows"]]
    if name == "right":
        return [f"{name:10} {found['wrong']} wrong in {found['cases']} cases"]
    if name == "speed":
        lines = [f"{name:10} " + ", ".join(f"{key} {value}" for key, value in row.items()) for row in found["rows"]]
        return [*lines, f"{name:10} decode {found.get('decode_gb_s')} GB/s, copy {found.get('copy_gb_s')} GB/s"]
    if name == "tiers":
        return [f"{name:10} {line}" for line in tier_lines(found)]
    if name == "verdicts":
        spread = found.get("largest_to_smallest")
        return [f"{name:10} {len(found['medians'])} races, largest to smallest {spread}"]
    return [f"{name:10} {found['caught']} of {found['of']} caught; honest code: {found['outcomes'].get('honest')}"]


def ratios(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the solution's races measured, by exercise, out of the step `tiers`."""
    return {row["exercise"]: row["measured"] for row in found["rows"] if "measured" in row}


def tier_lines(found: dict[str, Any]) -> list[str]:
    """The solution against every tier, with the margin that is left: 1.15 is asked for."""
    lines = [f"{r['test']}: {r['outcome']}" for r in found["rows"] if "measured" not in r]
    for exercise, measured in ratios(found).items():
        allowed = found["thresholds"].get(exercise, {})
        margins = ", ".join(
            f"{tier} {value:g} (margin {value / measured['ratio']:.2f}{_remark(value, measured)})"
            for tier, value in allowed.items()
        )
        lines.append(f"{exercise}: ratio {measured['ratio']:g}; {margins}")
    return lines


def _remark(allowed: float, measured: dict[str, Any]) -> str:
    return ": too close" if 1 / _MARGIN < allowed / measured["ratio"] < _MARGIN else ""


def proposal(found: dict[str, Any], device: Device, versions: dict[str, str], when: str) -> list[str]:
    """Lines for course.toml: thresholds of this card's family, as multiples of what the solution needs here."""
    lines = []
    for exercise, measured in ratios(found).items():
        values = {tier: measured["ratio"] * factor for tier, factor in _TIERS.items()}
        lines += [
            f"# for the exercise {exercise}",
            "[[unit.exercise.threshold]]",
            'measure = "time"',
            f'device = "{device.kinds[0]}"',
            *(f"{tier} = {values[tier]:.3g}" for tier in ("pass", "good", "excellent")),
            f'measured = "{device.title}, {when}, torch {versions["torch"]}, triton {versions["triton"]}: the solution '
            f'takes {measured["ratio"]:.3g} ({measured["lower"]:.3g} to {measured["upper"]:.3g})"',
            "",
        ]
    return lines


def calibrate(root: Path, say: Say, device: str = "auto", isolation: str = "auto", quick: bool = False) -> list[str]:
    """Race the solution on this machine's GPU and print thresholds to put into course.toml. Raises UsageError."""
    found = find_device(device)
    settings = _settings(root, found, isolation, quick, say)
    machine = run_step("machine", settings, BUDGET_S)
    result = run_step("tiers", settings, BUDGET_S)
    for one in (machine, result):
        if "error" in one:
            raise UsageError(f"the solution could not be raced: {one['error']}")
    for line in tier_lines(result):
        say(line)
    lines = proposal(result, found, machine["versions"], datetime.now(UTC).strftime("%Y-%m-%d"))
    if not lines:
        raise UsageError("no race came to an end: quieten the machine and try again")
    for line in lines:
        say(line)
    return lines

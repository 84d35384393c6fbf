"""`gpu-check` and `calibrate`, rehearsed with the CPU in the card's place, so that a typo costs no GPU its time."""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from autograder.commands import gpu_check
from autograder.commands.gpu_bench import Settings
from autograder.commands.gpu_driver import START_CUDA, needed, what_it_takes
from autograder.commands.gpu_steps import STEPS
from autograder.course import Course
from autograder.errors import UsageError
from autograder.sandbox.devices import CPU_AS_GPU, cuda_device, find_device
from tests.outside import block

ROOT = Path(__file__).resolve().parents[1]
NAMES = [step.__name__ for step in STEPS]
pytest.importorskip("triton")


def rehearse(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The command as a machine with little installed runs it. Returns the JSON file and what was printed."""
    block(folder)
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "autograder.cli", "gpu-check", "--device", "cpu-as-gpu", "--quick"]
    done = subprocess.run(
        [*command, "--out", str(folder / "found.json"), *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "found.json").read_text()), done.stdout


@pytest.mark.slow
def test_the_first_steps_and_the_attacks(tmp_path: Path) -> None:
    """Versions, shared memory, overhead, right kernels and caught cheats, with a line for each in the terminal."""
    wanted = ["machine", "driver", "transport", "overhead", "right", "attacks"]
    found, said = rehearse(tmp_path, *(f"--step={name}" for name in wanted))
    steps = found["steps"]
    assert list(steps) == wanted and found["rehearsal"] and found["schema"] == "autograder/gpu-check/v1"
    assert not [name for name in wanted if "error" in steps[name]], steps
    assert steps["machine"]["versions"]["torch"] and steps["transport"]["shared_memory_works"]
    assert steps["driver"] == {"seconds": steps["driver"]["seconds"], "starts": "works"}
    assert all(0 < row["median_us"] <= row["p99_us"] for row in steps["overhead"]["rows"])
    assert steps["right"]["wrong"] == 0 and steps["right"]["cases"] == 3
    assert steps["attacks"]["caught"] == steps["attacks"]["of"] == 3
    assert not steps["attacks"]["outcomes"]["honest"].startswith("caught")
    assert all(f"{name:10} " in said for name in wanted)


@pytest.mark.slow
def test_every_step(tmp_path: Path) -> None:
    """From the first to the last, the staff solution in every test that needs a GPU included."""
    found, _ = rehearse(tmp_path, "--budget", "800")
    steps = found["steps"]
    assert list(steps) == NAMES
    assert not [name for name in NAMES if "error" in steps[name] or "skipped" in steps[name]], steps
    outcomes = {row["test"]: row["outcome"] for row in steps["tiers"]["rows"]}
    assert {outcomes[f"test_gpu{of}_memory"] for of in ("", "_backward", "_decode")} == {"passed"}
    assert len(outcomes) == 12 and "grader_error" not in outcomes.values()
    assert steps["speed"]["rows"] and (steps["verdicts"]["medians"] or steps["verdicts"]["disturbed"])


def test_a_step_that_breaks_costs_itself_only(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said is in the file, and the next one runs; without time left a step is named as skipped."""
    answers = iter(
        [{"error": "exit code 1: CUDA is gone"}, {"shared_memory_works": True, "tried": {"machine": "works"}}]
    )
    monkeypatch.setattr(gpu_check, "run_step", lambda *arguments: next(answers))
    said: list[str] = []
    path = tmp_path / "found.json"
    names = ("machine", "transport")
    gpu_check.check_gpu(course.root, path, said.append, "cpu-as-gpu", "none", steps=names)
    steps = json.loads(path.read_text())["steps"]
    assert steps["machine"]["error"].endswith("CUDA is gone") and steps["transport"]["shared_memory_works"]
    assert "CUDA is gone" in said[0]
    gpu_check.check_gpu(course.root, path, said.append, "cpu-as-gpu", "none", budget_s=1.0, steps=names)
    assert "used up" in json.loads(path.read_text())["steps"]["transport"]["skipped"]


def test_the_words_of_a_process_that_dies(course: Course) -> None:
    """A step that does not exist stands for one that crashes: its last words are kept."""
    found = gpu_check.run_step("no_such_step", Settings(str(course.root), "cpu-as-gpu", "none"), 120)
    assert "StopIteration" in found["error"]


FOUND = {
    "rows": [
        {"exercise": "one", "test": "test_gpu_memory", "outcome": "passed"},
        {
            "exercise": "one",
            "test": "test_gpu_time[pass]",
            "outcome": "passed",
            "measured": {"ratio": 0.1, "lower": 0.09, "upper": 0.11},
        },
    ],
    "thresholds": {"one": {"pass": 0.4, "good": 0.2, "excellent": 0.11}},
}


def test_margins_and_proposed_thresholds() -> None:
    """A threshold nearer than 15 % to what the solution needs is named; proposals are valid lines of course.toml."""
    lines = gpu_check.tier_lines(FOUND)
    assert lines[0] == "test_gpu_memory: passed"
    assert "excellent 0.11 (margin 1.10: too close)" in lines[1] and "pass 0.4 (margin 4.00)" in lines[1]
    device = cuda_device(90, 'NVIDIA "H100"\n80GB')
    proposed = gpu_check.proposal(FOUND, device, {"torch": "2.11.0", "triton": "3.6.0"}, "2026-12-01")
    (threshold,) = tomllib.loads("\n".join(proposed))["unit"]["exercise"]["threshold"]
    assert threshold["device"] == "sm_90" and threshold["measured"].startswith("NVIDIA H10080GB, 2026-12-01")
    assert threshold["pass"] > threshold["good"] > threshold["excellent"] > 0.115


def test_calibrate_prints_what_goes_into_course_toml(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    """Margins first, then the blocks; a step that broke is the reason why there are none."""
    steps = {"machine": {"versions": {"torch": "2.11.0", "triton": "3.6.0"}}, "tiers": FOUND}
    monkeypatch.setattr(gpu_check, "run_step", lambda name, *arguments: steps[name])
    said: list[str] = []
    lines = gpu_check.calibrate(course.root, said.append, "cpu-as-gpu", "none")
    assert said[-len(lines) :] == lines and "# for the exercise one" in lines and "pass = 0.4" in lines
    steps["tiers"] = {"error": "exit code 1: no compiler"}
    with pytest.raises(UsageError, match="could not be raced: exit code 1: no compiler"):
        gpu_check.calibrate(course.root, said.append, "cpu-as-gpu", "none")
    steps["tiers"] = {"rows": FOUND["rows"][:1], "thresholds": {}}
    with pytest.raises(UsageError, match="no race came to an end"):
        gpu_check.calibrate(course.root, said.append, "cpu-as-gpu", "none")


def test_which_devices_serve() -> None:
    """The most specific name first; an old card, an unknown device and none at all are told with what to do."""
    assert cuda_device(86, "RTX").kinds == ("sm_86", "cuda") and find_device("cpu-as-gpu") is CPU_AS_GPU
    for wanted, words in (("cpu", "--device cpu: give auto"), ("auto", "no GPU")):
        with pytest.raises(UsageError, match=words):
            find_device(wanted)
    with pytest.raises(UsageError, match=r"T4 has compute capability 7.5; the kernels need 8.0"):
        cuda_device(75, "T4")


def test_a_file_that_cannot_be_written_is_said_first(course: Course, tmp_path: Path) -> None:
    """Before any step has run."""
    with pytest.raises(UsageError, match="does not exist"):
        gpu_check.check_gpu(course.root, tmp_path / "no" / "x.json", print, "cpu-as-gpu", "none")


def test_a_python_that_lacks_something(tmp_path: Path) -> None:
    """Which package is missing, and what it takes, in one sentence."""
    code = "import sys; sys.modules['msgspec'] = None; from autograder.commands.bare import main; "
    code += "sys.exit(main(['calibrate']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and "has no msgspec" in done.stderr and "pytest and msgspec" in done.stderr


MEMORY = """
import os


def start():
    os.close(os.memfd_create("nameless"))
    return ""
"""


@pytest.mark.slow
def test_what_keeps_a_driver_from_starting_is_found() -> None:
    """A system call that the filter refuses is named, out of all that it refuses; other rungs are tried."""
    found = what_it_takes("landlock", MEMORY, False, time.monotonic() + 600)
    assert "PermissionError" in found["starts"] and found["on_other_rungs"]["none"] == "works"
    assert found["with_every_call"] == "works" and found["needs"] == ["memfd_create"]


def test_no_call_that_is_needed_is_dropped() -> None:
    """Of calls in several groups exactly those are kept; without time, all."""
    calls = [f"call{n}" for n in range(30)]
    tried: list[int] = []

    def works(some: Sequence[str]) -> bool:
        tried.append(len(some))
        return {"call3", "call4", "call29"} <= set(some)

    assert needed(works, calls, time.monotonic() + 60) == ["call3", "call4", "call29"]
    assert len(tried) < 25
    assert needed(works, calls, 0.0) == calls


def test_a_driver_that_is_not_there_is_said() -> None:
    """The reason is the library's own, and a rung that does not work is none to try."""
    found = what_it_takes("none", START_CUDA.replace("libcuda.so.1", "libnone.so.1"), False, 0.0)
    assert "libnone.so.1" in found["starts"] and "needs" not in found

"""Two steps of `gpu-check`: one kernel judged again and again, and every cheat of the clock behind the wall."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from autograder.commands.gpu_bench import PAGE, Bench, load_module
from autograder.grading.compare import Disagreement, close
from autograder.grading.context import Deferred, Student
from autograder.grading.gpu import GpuRacer
from autograder.grading.performance import Disturbed, Race
from autograder.grading.sandwich import Sandwich
from autograder.policies import Limits
from autograder.sandbox import gpu, wire
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentError
from autograder.sandbox.shared import MachineMemory

CHEATS = "tests/clock_cheats"


def verdicts(bench: Bench) -> dict[str, Any]:
    """The same kernel raced again and again: how far do ratios and verdicts stray?"""
    grader, device = bench.grader(), bench.device()
    exercise = bench.unit.exercise("triton_flash_forward")
    medians: list[float] = []
    disturbed = 0
    ends_at = time.monotonic() + bench.settings.seconds
    with bench.context(device) as context:
        page = context.page(PAGE)
        for number in range(bench.settings.verdicts):
            if time.monotonic() > ends_at:
                break
            racer = GpuRacer(context, page, exercise, device, f"verdict {number}")
            context.ratios.clear()
            try:
                result = racer(
                    Student(page).flash_fwd,
                    grader.eager_forward,
                    lambda racer=racer: [*grader.text(racer, 8192, 32), True],  # type: ignore[misc]
                    lambda answer, inputs: None,  # whether it is right was asked before
                    results=grader.forward_results,
                )
                medians.append(result.ratio.median)
            except Deferred:
                disturbed += 1
            except Exception as error:
                return {"medians": medians, "error": f"{type(error).__name__}: {str(error)[:300]}"}
    spread = max(medians) / min(medians) if medians else None
    return {"medians": [round(m, 5) for m in medians], "largest_to_smallest": spread, "disturbed": disturbed}


def attacks(bench: Bench) -> dict[str, Any]:
    """Every cheat of the clock behind the wall, in memory that is shared with it; and honest code."""
    folder = bench.course.root / CHEATS
    honest = (folder / "_honest.py").read_text(encoding="utf-8")
    cheats = sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))[: bench.settings.cheats]
    width = 512 if bench.is_cuda else 96
    outcomes: dict[str, str] = {}
    with bench.context(bench.device()) as context:
        memory = bench.memory(context)
        is_shared = memory is not MachineMemory

        def side(number: int, code: str) -> Sandwich:
            pages = [wire.Source("raced", [code]), wire.Source("timed", [honest, "honest = power\n"])]
            limits = gpu.limits(Limits()) if bench.is_cuda else Limits()
            page = Page(context.device_sandbox(number), "raced", pages, ["power"], limits)
            return Sandwich(page, "power", memory, device="cuda" if bench.is_cuda and not is_shared else "")

        reference = _power(folder / "_honest.py")
        sources = {"honest": honest, **{path.stem: path.read_text(encoding="utf-8") for path in cheats}}
        for name, code in sources.items():
            mine, ours = side(0, code), side(1, honest)
            race = Race(
                mine,
                ours,
                lambda: (torch.randn(width, width, dtype=torch.float64, device=bench.where if is_shared else "cpu"),),
                lambda answer, given: close(answer.cpu(), reference(given[0].cpu())),
                _rng(),
                5,
            )
            outcomes[name] = _outcome(race)
            mine.close()
            ours.close()
    caught = [name for name, outcome in outcomes.items() if outcome.startswith("caught")]
    return {"caught": len(caught), "of": len(sources) - 1, "outcomes": outcomes}


def _rng() -> Any:
    """The order of the pairs; nothing secret hangs on it here."""
    import numpy as np

    return np.random.default_rng(8)


def _power(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    function: Callable[[torch.Tensor], torch.Tensor] = load_module(path).power
    return function


def _outcome(race: Race) -> str:
    try:
        ratio = race.ratio([1e9])
    except Disturbed:
        return "disturbed"
    except (Disagreement, StudentError) as error:
        return f"caught: {' '.join(str(error).split())[:160]}"
    return f"ratio {ratio.median:.3g}"

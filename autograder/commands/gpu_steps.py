"""The steps of `gpu-check`, each run in a process of its own: `python -m autograder.commands.gpu_steps STEP SETTINGS`.

A step prints one line of JSON. Processes are apart because one that has touched CUDA cannot be forked any more, and so
that a step which crashes or hangs costs itself only. What is computed in these processes is the course's own code; the
attacks run behind the wall.
"""

import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from autograder.commands.gpu_bench import UNIT, Bench, Settings
from autograder.commands.gpu_driver import driver
from autograder.commands.gpu_trials import attacks, verdicts
from autograder.course import Course
from autograder.grading.compare import Disagreement
from autograder.grading.gpu import CARD_MEMORY, why_not_shared
from autograder.grading.sandwich import Sandwich, overhead_s
from autograder.grading.solution import solution_pages
from autograder.intake.submission import Submission
from autograder.rooms.completing import versions
from autograder.rooms.room import Room
from autograder.sandbox import gpu
from autograder.sandbox.devices import CPU_AS_GPU, Device
from autograder.sandbox.rungs import RUNGS, probe
from autograder.sandbox.shared import MachineMemory, Memory


def machine(bench: Bench) -> dict[str, Any]:
    """Card, versions, which isolation works, and which device nodes there are."""
    found: dict[str, Any] = {
        "platform": platform.platform(),
        "versions": versions(),
        "rung": bench.settings.rung,
        "rungs": {rung: probe(rung) or "works" for rung in RUNGS if rung != "auto"},
        "device": bench.device().title,
        "nodes": gpu.devices(),
    }
    if bench.is_cuda:
        card = torch.cuda.get_device_properties(0)
        found["card"] = {
            "capability": f"{card.major}.{card.minor}",
            "memory_gib": round(card.total_memory / 2**30, 1),
            "multiprocessors": card.multi_processor_count,
            "torch_cuda": torch.version.cuda,
        }
        driver = Path("/proc/driver/nvidia/version")
        found["card"]["driver"] = driver.read_text().splitlines()[0] if driver.exists() else "unknown"
    return found


def transport(bench: Bench) -> dict[str, Any]:
    """Which memory of the device a worker behind the wall reads and writes, and why not."""
    kinds: dict[str, Callable[[int], Memory]] = CARD_MEMORY if bench.is_cuda else {"machine": MachineMemory}
    with bench.context(bench.device()) as context:
        tried = {name: why_not_shared(context, kind) or "works" for name, kind in kinds.items()}
    return {"shared_memory_works": "works" in tried.values(), "tried": tried}


def overhead(bench: Bench) -> dict[str, Any]:
    """What a sandwich around nothing costs, per length: it has to be a twentieth of what is timed."""
    rows = []
    with bench.context(bench.device()) as context:
        memory = bench.memory(context)
        for n in (1024, 4096, 8192, 16384) if bench.is_cuda else (32, 64):
            null = Sandwich(context.device_baseline(""), None, memory)
            heads, width = (16, 64) if bench.is_cuda else (2, 16)
            q, k, v = (bench.normal(1, heads, n, width, dtype=torch.float16) for _ in "qkv")
            median, p99 = overhead_s(null, lambda q=q, k=k, v=v: [q, k, v])  # type: ignore[misc]
            null.close()
            rows.append({"tokens": n, "median_us": round(median * 1e6, 1), "p99_us": round(p99 * 1e6, 1)})
    return {"rows": rows}


def right(bench: Bench) -> dict[str, Any]:
    """Every staff kernel against float64, in odd sizes and every half dtype."""
    page, grader = bench.page(), bench.grader()
    lengths = (127, 1000, 2049) if bench.is_cuda else (33,)
    rows = []
    for dtype in bench.dtypes:
        for n in lengths:
            for width in (64, 128) if bench.is_cuda else (16,):
                for causal in (False, True):
                    q, k, v, do = (bench.normal(2, 3, n, width, dtype=dtype) for _ in range(4))
                    o, lse = page.flash_fwd(q, k, v, causal)
                    row = {"dtype": str(dtype)[6:], "tokens": n, "width": width, "causal": causal}
                    row["forward"] = _verdict(grader.judge_forward, (o, lse), (q, k, v, causal))
                    given: tuple[Any, ...] = (do, q, k, v, o, lse, causal)
                    row["backward"] = _verdict(grader.judge_backward, page.flash_bwd(*given), given)
                    rows.append(row)
            cache = [bench.normal(3, 2, n, 64 if bench.is_cuda else 16, dtype=dtype) for _ in "kv"]
            given = (
                bench.normal(3, 8, cache[0].shape[-1], dtype=dtype),
                *cache,
                torch.tensor([n, 1, n // 2], dtype=torch.int32, device=bench.where),
            )
            verdict = _verdict(grader.judge_decode, page.decode_attention(*given), given)
            rows.append({"dtype": str(dtype)[6:], "tokens": n, "decode": verdict})
    wrong = sum(value not in (True, False, "right") for row in rows for key, value in row.items() if key in _JUDGED)
    return {"cases": len(rows), "wrong": wrong, "rows": rows}


_JUDGED = ("forward", "backward", "decode")


def _verdict(judge: Callable[..., None], answer: Any, inputs: Sequence[Any]) -> str:
    try:
        judge(answer, inputs)
    except Disagreement as error:
        return str(error)
    return "right"


def speed(bench: Bench) -> dict[str, Any]:
    """Staff kernels beside torch's own attention: TFLOP/s forward and backward, GB/s of decoding."""
    page = bench.page()
    rows: list[dict[str, Any]] = []
    ends_at = time.monotonic() + bench.settings.seconds
    for width in (64, 128) if bench.is_cuda else (16,):
        for n in (16384, 4096, 1024) if bench.is_cuda else (32,):
            for causal in (True, False):
                if time.monotonic() > ends_at:
                    return {"rows": rows, "cut_short": True}
                rows.append(_speed_row(bench, page, width, n, causal))
    batch, heads, kv_heads, room, width = (16, 32, 8, 16384, 128) if bench.is_cuda else (1, 2, 1, 64, 16)
    dtype = bench.dtypes[0]
    q, k, v = (
        bench.normal(*shape, dtype=dtype)
        for shape in ((batch, heads, width), (batch, kv_heads, room, width), (batch, kv_heads, room, width))
    )
    lengths = torch.full((batch,), room, dtype=torch.int32, device=bench.where)
    seconds = bench.seconds_of(lambda: page.decode_attention(q, k, v, lengths))
    copied = torch.empty_like(k)
    copy_s = bench.seconds_of(lambda: copied.copy_(k))
    return {
        "rows": rows,
        "decode_gb_s": float(f"{2 * k.nbytes / seconds / 1e9:.3g}"),
        "copy_gb_s": float(f"{2 * k.nbytes / copy_s / 1e9:.3g}"),
    }


def _speed_row(bench: Bench, page: Any, width: int, n: int, causal: bool) -> dict[str, Any]:
    heads, dtype = (16, bench.dtypes[0]) if bench.is_cuda else (1, bench.dtypes[0])
    q, k, v, do = (bench.normal(1, heads, n, width, dtype=dtype) for _ in range(4))
    flops = 4 * heads * n * n * width / (2 if causal else 1)
    o, lse = page.flash_fwd(q, k, v, causal)
    seconds = {
        "forward": (flops, lambda: page.flash_fwd(q, k, v, causal)),
        "backward": (2.5 * flops, lambda: page.flash_bwd(do, q, k, v, o, lse, causal)),
    }
    row: dict[str, Any] = {"width": width, "tokens": n, "causal": causal}
    for name, (work, call) in seconds.items():
        row[f"{name}_tflop_s"] = _rate(work, bench.seconds_of(call))
    for backend in ("FLASH_ATTENTION", "CUDNN_ATTENTION") if bench.is_cuda else ("MATH",):
        row[backend.lower()] = _library(bench, backend, (q, k, v), causal, flops)
    return row


def _library(bench: Bench, name: str, qkv: Sequence[torch.Tensor], causal: bool, flops: float) -> float | str:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    def call() -> torch.Tensor:
        q, k, v = qkv
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    try:
        with sdpa_kernel(getattr(SDPBackend, name)):
            return _rate(flops, bench.seconds_of(call))
    except (RuntimeError, AttributeError) as error:
        return f"not available: {str(error).splitlines()[0][:120]}"


def _rate(flops: float, seconds: float) -> float:
    rate = flops / seconds / 1e12
    return round(rate, max(1, 2 - math.floor(math.log10(rate)))) if rate > 0 else 0.0


def tiers(bench: Bench) -> dict[str, Any]:
    """The staff solution in every test that needs a GPU: the very way that submissions go."""
    device = _asked_apart(bench)
    rows = []
    with Room(bench.course.root, [UNIT], bench.settings.rung, b"gpu-check", (), device, bench.settings.pairs) as room:
        submission = Submission(
            student="solution", unit=UNIT, pages=solution_pages(bench.course, bench.unit), problems=[], digest=""
        )
        graded = room.grade(submission, only=room.on_device(UNIT))
    for exercise in bench.unit.exercises:
        for test in graded.results[exercise.id]:
            row: dict[str, Any] = {"exercise": exercise.id, "test": test.name, "outcome": test.outcome.value}
            if test.message:
                row["message"] = test.message[:300]
            if not isinstance(test.measured, msgspec.UnsetType):
                row["measured"] = msgspec.to_builtins(test.measured)
            rows.append(row)
    return {"rows": rows, "thresholds": thresholds(bench.course, device)}


def _asked_apart(bench: Bench) -> Device:
    """The device, without CUDA in this process: a room is forked."""
    from autograder.sandbox.devices import find_device

    return find_device("auto" if bench.is_cuda else CPU_AS_GPU.name)


def thresholds(course: Course, device: Device) -> dict[str, dict[str, float]]:
    """The ratios per tier that this device goes by, by exercise."""
    found = {}
    for exercise in course.unit(UNIT).exercises:
        by_kind = {t.device: t for t in exercise.thresholds if t.measure == "time"}
        kind = next((kind for kind in device.kinds if kind in by_kind), None)
        if kind is not None:
            found[exercise.id] = {tier: by_kind[kind].tier(tier) for tier in ("pass", "good", "excellent")}
    return found


STEPS = (machine, driver, transport, overhead, right, speed, tiers, verdicts, attacks)


def main() -> None:
    """One step, by name."""
    step = next(step for step in STEPS if step.__name__ == sys.argv[1])
    settings = msgspec.json.decode(sys.argv[2], type=Settings)
    torch.manual_seed(20)
    torch.set_num_threads(1)
    found = step(Bench(settings))
    print(msgspec.json.encode(found).decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

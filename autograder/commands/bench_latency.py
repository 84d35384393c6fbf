"""How long one waits: for a fresh worker's first answer, and for a verdict after saving a page."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from autograder.course import Course, Unit
from autograder.policies import Limits


def fresh_worker_ms(limits: Limits, rung: str, count: int) -> list[float]:
    """Milliseconds from asking for a worker to the value of its first call."""
    import torch

    from autograder.grading.context import Student
    from autograder.sandbox import wire
    from autograder.sandbox.client import Page
    from autograder.sandbox.launch import Sandbox

    torch.set_num_threads(1)
    source = wire.Source("page", ["import torch\ndef mix(q, k, v):\n    return torch.softmax(q @ k.mT, -1) @ v\n"])
    q = torch.ones(2, 5, 7)
    times = []
    with Sandbox(rung, limits) as sandbox:
        for _ in range(count):
            started = time.perf_counter()
            page = Page(sandbox, "page", [source], ["mix"], limits)
            Student(page).mix(q, q, q)
            times.append(1000 * (time.perf_counter() - started))
            page.close()
    return times


def save_to_verdict_s(course: Course, unit: Unit, count: int) -> list[float]:
    """Seconds from saving a solved page to its verdict, under `check --watch` in this process."""
    import queue
    import threading

    from autograder.commands.check import watch_path
    from autograder.commands.checked import CheckedFolder

    verdicts: queue.Queue[CheckedFolder] = queue.Queue()
    stop = threading.Event()
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="autograder-bench-") as folder:
        page = Path(shutil.copy(course.solutions / unit.id / f"{unit.pages[0].name}.py", folder))
        text = page.read_text()
        # pytest-timeout wants the main thread for its signal, so the saving happens in the other one
        saver = threading.Thread(target=_save_and_time, args=(page, text, count, verdicts, stop, times))
        saver.start()
        watch_path(course, page, None, verdicts.put, stop)
        saver.join()
    return times


def _save_and_time(page: Path, text: str, count: int, verdicts: Any, stop: Any, times: list[float]) -> None:
    try:
        verdicts.get(timeout=60)
        for number in range(count):
            started = time.perf_counter()
            page.write_text(f"{text}\n# {number}\n")
            assert verdicts.get(timeout=60).all_passed
            times.append(time.perf_counter() - started)
    finally:
        stop.set()

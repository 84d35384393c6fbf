"""`autograder doctor`: versions, which isolation works here and why, and what each rung stops on this machine."""

import importlib.metadata
import os
import platform
from typing import Any

from rich.console import Console
from rich.table import Table

from autograder.commands.threats import THREATS, try_threats
from autograder.errors import UsageError
from autograder.installed import DISTRIBUTION, strangers
from autograder.sandbox.rungs import RUNGS, choose_rung, probe

_PACKAGES = (DISTRIBUTION, "torch", "numpy", "pytest", "pytest-timeout", "msgspec", "nbgrader", "triton")


def examine() -> dict[str, Any]:
    """Everything doctor prints, as data."""
    try:
        chosen, why = choose_rung("auto"), "the best rung whose probe worked"
    except UsageError as error:
        chosen, why = None, str(error)
    rungs = {rung: probe(rung) or "works" for rung in RUNGS if rung != "auto"}
    stopped = {rung: try_threats(rung) for rung, state in rungs.items() if state == "works"}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "strangers": strangers(thorough=True),
        "isolation": {"chosen": chosen, "why": why, "rungs": rungs},
        "threats": [
            {"threat": threat, "stopped": {rung: found[threat] for rung, found in stopped.items()}}
            for threat in THREATS
        ],
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def render_doctor(findings: dict[str, Any], console: Console) -> None:
    """The findings as lines and a table."""
    console.print(f"Python {findings['python']} on {findings['platform']}, {findings['cores']} cores", markup=False)
    for name, version in findings["packages"].items():
        console.print(f"  {name:20} {version or 'not installed'}", markup=False)
    for sentence in findings["strangers"]:
        console.print(f"  {sentence}", style="red", markup=False)
    isolation = findings["isolation"]
    console.print("isolation:")
    for rung, state in isolation["rungs"].items():
        remark = "  (no wall: by explicit choice only)" if rung == "none" else ""
        console.print(f"  {rung:15} {state}{remark}", markup=False)
    console.print(f"  chosen: {isolation['chosen'] or 'none possible'} ({isolation['why']})", markup=False)
    rungs = [rung for rung, state in isolation["rungs"].items() if state == "works"]
    table = Table(box=None, pad_edge=False)
    table.add_column("tried just now: student code that", no_wrap=True)
    for rung in rungs:
        table.add_column(rung)
    for row in findings["threats"]:
        table.add_row(row["threat"], *("stopped" if row["stopped"][rung] else "NOT stopped" for rung in rungs))
    console.print(table)

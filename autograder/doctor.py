"""`autograder doctor`: versions, and which isolation works here and why."""

import importlib.metadata
import os
import platform
from typing import Any

from rich.console import Console

from autograder.errors import UsageError
from autograder.sandbox.launch import RUNGS, choose_rung, probe

_PACKAGES = ("autograder", "torch", "numpy", "pytest", "pytest-timeout", "msgspec", "nbgrader", "triton")


def examine() -> dict[str, Any]:
    """Everything doctor prints, as data."""
    try:
        chosen, why = choose_rung("auto"), "the best rung whose probe worked"
    except UsageError as error:
        chosen, why = None, str(error)
    rungs = {rung: probe(rung) or "works" for rung in RUNGS if rung != "auto"}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "isolation": {"chosen": chosen, "why": why, "rungs": rungs},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def render_doctor(findings: dict[str, Any], console: Console) -> None:
    """The findings as lines."""
    console.print(f"Python {findings['python']} on {findings['platform']}, {findings['cores']} cores", markup=False)
    for name, version in findings["packages"].items():
        console.print(f"  {name:15} {version or 'not installed'}", markup=False)
    isolation = findings["isolation"]
    console.print("isolation:")
    for rung, state in isolation["rungs"].items():
        console.print(
            f"  {rung:15} {state}{'  (no wall: by explicit choice only)' if rung == 'none' else ''}", markup=False
        )
    console.print(f"  chosen: {isolation['chosen'] or 'none possible'} ({isolation['why']})", markup=False)

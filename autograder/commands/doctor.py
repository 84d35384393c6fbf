"""`autograder doctor`: versions, whether `check` works, which isolation works and why, and what each rung stops."""

import importlib.metadata
import os
import platform
from typing import Any

from rich.console import Console
from rich.table import Table

from autograder.commands.threats import THREATS, try_threats
from autograder.errors import UsageError
from autograder.installed import DISTRIBUTION, strangers
from autograder.policies import Limits
from autograder.sandbox import systems, wire
from autograder.sandbox.client import Page, Remote
from autograder.sandbox.failures import StudentError
from autograder.sandbox.portable import workers_without_wall
from autograder.sandbox.rungs import RUNGS, choose_rung, probe
from autograder.sandbox.workers import SandboxError

_PACKAGES = (DISTRIBUTION, "torch", "numpy", "pytest", "pytest-timeout", "msgspec", "nbgrader", "triton")


def examine() -> dict[str, Any]:
    """Everything doctor prints, as data."""
    try:
        chosen, why = choose_rung("auto"), "the best rung whose probe worked"
    except UsageError as error:
        chosen, why = None, str(error)
    rungs = {rung: probe(rung) or "works" for rung in RUNGS if rung != "auto"}
    stopped = {rung: try_threats(rung) for rung, state in rungs.items() if state == "works" and systems.LINUX}
    check = try_check()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "strangers": strangers(thorough=True),
        "check": check or "works",
        "usable": chosen is not None if systems.LINUX else check is None,  # elsewhere nobody grades
        "isolation": {"chosen": chosen, "why": why, "rungs": rungs},
        "threats": [
            {"threat": threat, "stopped": {rung: found[threat] for rung, found in stopped.items()}}
            for threat in THREATS
        ],
    }


def try_check() -> str | None:
    """Why a student's page cannot be run on this machine as `check` does it; None where it can."""
    source = wire.Source("probe", ["def double(x):\n    return x + x\n"])
    try:
        with workers_without_wall(Limits()) as workers:
            page = Page(workers, "probe", [source], ["double"], Limits())
            found = Remote(page, wire.Target(None, ["double"]))(21)
            page.close()
    except (SandboxError, StudentError) as error:
        return str(error)
    return None if found == 42 else f"twice 21 came back as {found!r}"


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
    console.print(f"check (a student's own machine): {findings['check']}", markup=False)
    isolation = findings["isolation"]
    console.print("isolation:")
    for rung, state in isolation["rungs"].items():
        remark = "  (no wall: by explicit choice only)" if rung == "none" else ""
        console.print(f"  {rung:15} {state}{remark}", markup=False)
    console.print(f"  chosen: {isolation['chosen'] or 'none possible'} ({isolation['why']})", markup=False)
    if not findings["threats"][0]["stopped"]:  # no wall to try anything against
        return
    rungs = list(findings["threats"][0]["stopped"])
    table = Table(box=None, pad_edge=False)
    table.add_column("tried just now: student code that", no_wrap=True)
    for rung in rungs:
        table.add_column(rung)
    for row in findings["threats"]:
        table.add_row(row["threat"], *("stopped" if row["stopped"][rung] else "NOT stopped" for rung in rungs))
    console.print(table)

"""One sandbox per rung and file, and pages to run in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.rungs import probe

LIMITS = Limits(call_wall_s=2.0, memory_mb=600)
ROOT = Path(__file__).resolve().parents[2]

rungs = pytest.mark.parametrize("rung", ["bubblewrap", "landlock", "none"], indirect=True)


USERNS = "userns"  # bubblewrap as it runs without root
fenced = pytest.mark.parametrize("rung", ["bubblewrap", "landlock", USERNS], indirect=True)


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[dict[str, Sandbox]]:
    """One sandbox per rung for the whole file, made on demand."""
    made: dict[str, Sandbox] = {}
    yield made
    for sandbox in made.values():
        sandbox.close()


@pytest.fixture
def rung(request: pytest.FixtureRequest, sandboxes: dict[str, Sandbox]) -> Sandbox:
    name = request.param
    if name == USERNS and os.geteuid() != 0:
        pytest.skip("bubblewrap runs in a user namespace here anyway")
    assert probe("bubblewrap" if name == USERNS else name) is None, probe(name)
    if name not in sandboxes:
        sandboxes[name] = start(name, (ROOT,))
    return sandboxes[name]


def start(rung: str, hidden: tuple[Path, ...] = (), limits: Limits = LIMITS) -> Sandbox:
    """A fresh sandbox of the rung."""
    if rung == USERNS:
        return Sandbox("bubblewrap", limits, hidden, privileged=False)
    return Sandbox(rung, limits, hidden)


def page(sandbox: Sandbox, code: str, limits: Limits = LIMITS) -> Page:
    """A page with this code, every name in it asked for."""
    return Page(sandbox, "page", [wire.Source("page", [code])], [], limits)

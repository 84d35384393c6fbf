"""What a platform offers, in one place: who needs Linux, and what stands in for it elsewhere.

Grading needs Linux: warm forks, namespaces, Landlock. A student's `check` does not: where there is no safe fork after
torch was imported (macOS, Windows), workers are ordinary child processes (`portable`). What exists on Linux only is
imported where it is used; this file is for everybody and imports nothing of the kind.
"""

import subprocess
import sys
from typing import Any

from autograder.errors import UsageError

LINUX = sys.platform == "linux"

_NAMES = {"win32": "Windows", "darwin": "macOS"}
_WAYS_OUT = {"win32": "WSL 2 serves (wsl --install), and so does a Linux container"}


def name() -> str:
    """What people call this system."""
    return _NAMES.get(sys.platform, sys.platform)


def way_to_linux() -> str:
    """How to come by a Linux on this system, to end a sentence with."""
    return f"{_WAYS_OUT.get(sys.platform, 'a Linux container serves')}: see docs/other_systems.md"


def need_linux(what: str) -> None:
    """Raises UsageError, with the way out, where this is not Linux."""
    if not LINUX:
        raise UsageError(f"{what} needs Linux, and this is {name()}; {way_to_linux()}")


def own_group() -> dict[str, Any]:
    """Arguments of Popen for a child that Ctrl-C in the terminal does not reach, and that opens no window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}

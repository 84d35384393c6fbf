"""Which isolation works on this machine, and why another one does not."""

import contextlib
import os
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

from autograder.errors import UsageError
from autograder.sandbox import systems

_INSTALL_BUBBLEWRAP = "install it (Debian, Ubuntu: apt-get install bubblewrap)"

RUNGS = ("auto", "bubblewrap", "landlock", "none")


@cache
def probe(rung: str) -> str | None:
    """Why `rung` cannot be used on this machine, with the fix, or None where it works. Believes only what it tried."""
    if rung == "none":
        return None
    if not systems.LINUX:
        return "needs Linux"
    from autograder.sandbox import fence

    if not fence.filter_supported():
        return f"the system-call filter does not know this machine ({os.uname().machine})"
    return _probe_bubblewrap() if rung == "bubblewrap" else _probe_landlock()


def _probe_bubblewrap() -> str | None:
    from autograder.sandbox import launch

    if shutil.which("bwrap") is None:
        return f"bwrap is not on PATH: {_INSTALL_BUBBLEWRAP}"
    try:
        if launch.root_without_user_namespace():  # that ran it
            return None
        done = launch.run_inside(privileged=False, code="pass")
    except subprocess.TimeoutExpired:
        return "bwrap did not answer within 30 s"
    if done.returncode == 0:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"bwrap failed: {said[-1] if said else f'exit code {done.returncode}'}{_blocker()}"


def _blocker() -> str:
    """The usual reasons why a user namespace cannot be made, and what helps."""
    for file, bad, fix in (
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor forbids user namespaces (Ubuntu 24.04): give bwrap an AppArmor profile with `userns,`, or run "
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "run  sysctl kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "run  sysctl user.max_user_namespaces=10000"),
    ):
        with contextlib.suppress(OSError):
            if Path(file).read_text().strip() == bad:
                return f"; {fix}"
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "; in a container, user namespaces need --security-opt seccomp=unconfined (or --privileged)"
    return ""


def _probe_landlock() -> str | None:
    """Starts a real worker and lets it try to read a file that it must not see."""
    from autograder.sandbox import fence

    abi = fence.landlock_abi()
    if abi == 0:
        return "this kernel has no Landlock (it needs Linux 5.13 and lsm=...,landlock)"
    if abi < 6 and os.geteuid() != 0:
        return f"Landlock version {abi} cannot keep signals inside (version 6, Linux 6.12, can); run the grader as root"
    child = os.fork()
    if child == 0:  # the fences hold for good, so they are tried in a process of their own
        status = 1
        try:
            fence.no_new_privileges()
            fence.restrict_files(["/usr/lib"], [])
            fence.filter_calls()
            try:
                os.listdir("/")
            except PermissionError:
                try:
                    socket.socket()
                except PermissionError:
                    status = 0
        finally:
            os._exit(status)
    return None if os.waitpid(child, 0)[1] == 0 else "Landlock or the system-call filter did not hold when tried"


def choose_rung(wanted: str) -> str:
    """The rung to use. `auto` takes the best that works and never falls back to `none`. Raises UsageError."""
    if wanted not in RUNGS:
        raise UsageError(f"--isolation {wanted}: choose one of {', '.join(RUNGS)}")
    if wanted != "none":
        systems.need_linux(f"--isolation {wanted}")
    candidates = ["bubblewrap", "landlock"] if wanted == "auto" else [wanted]
    problems = []
    for rung in candidates:
        problem = probe(rung)
        if problem is None:
            return rung
        problems.append(f"{rung}: {problem}")
    raise UsageError(
        f"no isolation on this machine. {'. '.join(problems)}. "
        "To run code that you trust without a wall, give --isolation none"
    )

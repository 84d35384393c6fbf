"""What a worker sees behind bubblewrap: the folders that are mounted, the environment, and the command for both."""

import os
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from autograder.policies import Limits

KIT = Path(__file__).resolve().parents[1]
INSIDE = Path("/kit")
_INSIDE_SANDBOX = (
    *("__init__", "wire", "packing", "channel", "worker", "running", "cells", "magics", "stand_ins"),
    *("refuse", "operators", "interrupts", "warm", "fence", "forkserver", "processes", "measure", "carried", "driver"),
    *("turns", "unread", "compiling"),
)
INSIDE_FILES = (
    *sorted(f"given/{path.name}" for path in (KIT / "given").glob("*.py")),
    *(f"sandbox/{name}.py" for name in _INSIDE_SANDBOX),
)
# tmpfs of the sandbox's own. Not /tmp: the course, and with it the Python environment, may lie below the real one.
SCRATCH = ["/scratch", "/dev/shm"]  # noqa: S108


def environment(home: str) -> dict[str, str]:
    """All that a worker knows of the outside."""
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": home,
        "TMPDIR": home,
        "USER": "student",
        "LOGNAME": "student",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        # Huge pages from the start: see warm.cheapen_forks. Arrays from 2 MB on are given back at once: or else a right
        # answer that makes many of them, and keeps a little each time, leaves holes that add up to a memory limit.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=2097152",
        "TRITON_INTERPRET": "1",  # kernels run without a GPU; read where one is decorated
        "TRITON_CACHE_DIR": f"{home}/triton",
    }


def bubblewrap(
    limits: Limits,
    hidden: tuple[Path, ...],
    privileged: bool,
    readable: Sequence[Path] = (),
    devices: Sequence[str] = (),
) -> list[str]:
    """bwrap with its arguments, up to the command to run. `readable` and `devices` are shown besides (a GPU's)."""
    argv = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    if privileged:  # the forkserver gives these two up as soon as it has changed its uid
        argv += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        argv += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    argv += ["--die-with-parent", "--as-pid-1", "--hostname", "sandbox"]
    inside = [*runtime_paths(), *readable, *(INSIDE / "autograder" / name for name in INSIDE_FILES)]
    for parent_folder in sorted({parent for path in inside for parent in path.parents if parent != Path("/")}):
        argv += ["--perms", "0755", "--dir", str(parent_folder)]
    for path in runtime_paths():
        link = path.is_symlink()
        argv += ["--symlink", os.readlink(path), str(path)] if link else ["--ro-bind", str(path), str(path)]
    for path in hidden:  # SECURITY: a course that lies below a bound folder is covered again
        if any(path.is_relative_to(bound) for bound in runtime_paths()):
            argv += ["--tmpfs", str(path)]
    argv += ["--ro-bind", str(KIT / "sandbox" / "inside.py"), f"{INSIDE}/autograder/__init__.py"]
    for name in INSIDE_FILES:
        argv += ["--ro-bind", str(KIT / name), f"{INSIDE}/autograder/{name}"]
    for path in readable:
        if path not in runtime_paths() and path != Path("/proc"):  # there is one of its own
            argv += ["--ro-bind", str(path), str(path)]
    nodes = [word for device in devices for word in ("--dev-bind", device, device)]
    argv += ["--proc", "/proc", "--tmpfs", "/proc/sys", "--dev", "/dev", *nodes]
    # SECURITY: in a user namespace both belong to the workers' uid: a notebook for the next student, without a limit
    for folder in ("/proc/sys", "/dev"):
        argv += ["--remount-ro", folder]
    for folder in SCRATCH:
        argv += ["--perms", "1777", "--size", str(limits.disk_mb << 20), "--tmpfs", folder]
    return [*argv, "--remount-ro", "/", "--chdir", SCRATCH[0], "--"]


@cache
def runtime_paths() -> tuple[Path, ...]:
    """What a Python with torch needs to see: libraries, the interpreter, the packages of this environment."""
    paths = [Path(p) for p in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")]
    for prefix in dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix))):
        paths += [prefix / "lib", prefix / "lib64", prefix / "bin" / Path(sys.executable).name, prefix / "pyvenv.cfg"]
    paths.append(Path(sysconfig.get_path("platlib")))
    executable = Path(sys.executable)
    while executable.is_symlink():  # a virtual environment's python is a chain of links
        paths.append(executable)
        executable = executable.parent / executable.readlink()
    paths += [executable, Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"]
    kept: list[Path] = []
    for path in dict.fromkeys(paths):
        if os.path.lexists(path) and not any(path.is_relative_to(k) and not k.is_symlink() for k in kept):
            kept.append(path)
    return tuple(kept)

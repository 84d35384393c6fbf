"""What a worker on a GPU needs that no other worker gets, in one place; docs/security.md says what each costs.

Unmeasured: what a driver asks for was taken from what is written about it, not tried. Sources:
- the device nodes: NVIDIA Container Toolkit, which hands them to containers;
- memfd_create: NVIDIA/OpenShell issue 1696; a driver that may not call it ends with error 304;
- names of threads, written below /proc: NVIDIA/OpenShell pull request 710, nolabs-ai/nono pull request 673 (error 304);
- a compiler and ptxas: Triton's `runtime/build.py` (it compiles launchers) and `backends/nvidia/compiler.py`.
"""

import contextlib
import ctypes
import glob
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import msgspec

from autograder.policies import Limits

# Device nodes of the card; opened for reading and writing, with ioctl.
_DEVICES = ("/dev/nvidia[0-9]*", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-caps/*")
# A C compiler with its headers, and Python's own headers: what Triton builds its launchers with.
_COMPILER = ("/usr/bin", "/bin", "/usr/lib/gcc", "/usr/libexec/gcc", "/usr/include", "/etc/alternatives")
# Which card lies on which bus; the driver's own switches.
# What memory and processors there are, the worker's own maps, /proc/driver/nvidia and /proc/driver/nvidia-uvm.
_FACTS = ("/sys/bus/pci", "/sys/devices", "/sys/module/nvidia", "/sys/module/nvidia_uvm", "/proc")
WRITTEN = ("/proc/self",)  # the names of its threads; of the worker itself, since it locks itself in
PROGRAMS = ("execve", "execveat")  # the calls of those that may start programs: a kernel's compiler is one
# What no other worker may call: memory without a name; and programs are started.
CALLS = (*PROGRAMS, "memfd_create")
# Where containers and installers put the driver's and CUDA's libraries, if not below /usr/lib.
_LIBRARIES = ("/usr/local/nvidia", "/usr/local/cuda", "/usr/local/lib")
# Of the grader's own environment: which card is meant, and where its libraries lie.
_HANDED_ON = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")
# CUDA reserves addresses for all memory of card and machine together; what is really used is watched from outside.
_ADDRESS_SPACE_MB = 1 << 26
_PROGRAMS_AT = "/usr/bin:/bin"
_HOST_MB = 16 << 10  # resident memory of a process with a CUDA context, libraries included
_COMPILE_S = 600.0  # for a first call, which compiles


def devices() -> list[str]:
    """The device nodes that are here."""
    return sorted(path for pattern in _DEVICES for path in glob.glob(pattern))


def readable() -> list[Path]:
    """Files and folders that are shown to read, and programs to run."""
    paths = [*map(Path, (*_COMPILER, *_LIBRARIES, *_FACTS)), Path(sysconfig.get_path("include")), library()]
    return [path for path in dict.fromkeys(paths) if path is not None and path.exists()]


def library() -> Path | None:
    """The folder of the driver's library, where the loader finds one. To load it starts nothing."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"(/.*)/libcuda\.so[^/]*$", mapped, re.MULTILINE)
    return Path(found[1]) if found is not None else None


def compiler() -> str | None:
    """The C compiler that Triton is to take."""
    return next((name for name in ("cc", "gcc", "clang") if shutil.which(name, path=_PROGRAMS_AT)), None)


def environment() -> dict[str, str]:
    """On top of every worker's: kernels are compiled, and memory is of the kind that can be shared by handle."""
    return {
        **{name: os.environ[name] for name in _HANDED_ON if name in os.environ},
        "TRITON_INTERPRET": "0",
        # handles instead of descriptors (PyTorch issues 130890 and 165685)
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:False",
        "CUDA_CACHE_DISABLE": "1",
        **({"CC": name} if (name := compiler()) else {}),
        **({"TRITON_LIBCUDA_PATH": str(folder)} if (folder := library()) else {}),  # else it runs /sbin/ldconfig
        "PATH": f"{Path(sys.executable).parent}:{_PROGRAMS_AT}",
    }


def limits(usual: Limits) -> Limits:
    """The limits of a GPU worker: room for the driver's threads, files and memory, and time to compile."""
    return msgspec.structs.replace(
        usual,
        call_wall_s=max(usual.call_wall_s, _COMPILE_S),
        submission_wall_s=max(usual.submission_wall_s, 2 * _COMPILE_S),
        memory_mb=max(usual.memory_mb, _HOST_MB),
        processes=max(usual.processes, 1024),
        open_files=max(usual.open_files, 2048),
        disk_mb=max(usual.disk_mb, 1024),
    )


def address_space_mb() -> int:
    """How much a GPU worker may map, used or not."""
    return _ADDRESS_SPACE_MB

"""Which GPU is here, and which thresholds of course.toml it goes by."""

import re
import subprocess
import sys

import msgspec
from msgspec import Struct

from autograder.errors import UsageError

OLDEST = 80  # compute capability 8.0: the oldest that Triton's README names, and that has bfloat16
_START_S = 120.0


class Peak(Struct, frozen=True):
    """What a card can do at most in a second: operations of dense 16-bit products, and bytes from its memory."""

    flops: float
    bytes: float


# By generation, of its fastest card. Source: NVIDIA's datasheets of A100 80GB SXM, H100 SXM, and GH200 (memory).
_PEAKS = {"sm_80": Peak(312e12, 2.039e12), "sm_90": Peak(989e12, 4.9e12)}


class Device(Struct, frozen=True):
    """Something that tests marked for a GPU run on.

    Attributes:
        name: "cuda", or "cpu-as-gpu" for a rehearsal of the whole trip without a GPU.
        kinds: the names of it that a threshold may have, the most specific first.
        title: what people call it.
    """

    name: str
    kinds: tuple[str, ...]
    title: str

    @property
    def is_cuda(self) -> bool:
        """Whether there is a real GPU behind it."""
        return self.name == "cuda"

    @property
    def peak(self) -> Peak | None:
        """What it can do at most, where that is known."""
        return next((_PEAKS[kind] for kind in self.kinds if kind in _PEAKS), None)


# For the kit's own tests: the trip to a GPU machine and back, with the CPU in the place of the card.
CPU_AS_GPU = Device("cpu-as-gpu", ("cuda",), "a CPU that stands in for a GPU")

_LOOK = r"""
import json, torch
if not torch.cuda.is_available():
    print(json.dumps("torch sees no GPU (torch.cuda.is_available() is False)"))
else:
    found = torch.cuda.get_device_properties(0)
    print(json.dumps([found.major * 10 + found.minor, found.name]))
"""


def find_device(wanted: str = "auto") -> Device:
    """The GPU of this machine. Raises UsageError where there is none that serves.

    It is looked for in a process of its own: one that has asked CUDA anything cannot be forked any more.
    """
    if wanted == CPU_AS_GPU.name:
        return CPU_AS_GPU
    if wanted != "auto":
        raise UsageError(f"--device {wanted}: give auto, or leave it out")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOOK], capture_output=True, text=True, check=False, timeout=_START_S
        )
        found = msgspec.json.decode(done.stdout.strip().encode(), type=str | tuple[int, str])
    except (subprocess.TimeoutExpired, msgspec.DecodeError):
        raise UsageError("torch could not be asked for a GPU: does `python3 -c 'import torch'` work?") from None
    if isinstance(found, str):
        raise UsageError(f"no GPU: {found}; this takes a machine that has one")
    return cuda_device(*found)


def cuda_device(capability: int, title: str) -> Device:
    """The device of a card of this compute capability (90 for 9.0). Raises UsageError where it is too old."""
    title = re.sub(r"[^\w .+/()-]", "", title)[:80]
    if capability < OLDEST:
        raise UsageError(
            f"{title} has compute capability {capability / 10:.1f}; the kernels need {OLDEST / 10:.1f} or higher"
        )
    return Device("cuda", (f"sm_{capability}", "cuda"), title)

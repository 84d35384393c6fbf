"""Install the torch that constraints.txt pins into the Python that runs this: `install_torch.py [auto|cpu|cuda]`.

On Linux the package index's own build brings CUDA, 5.4 GB on disk where the CPU build takes 1.7 (measured, torch 2.13
with all that the kit installs). `auto` takes PyTorch's index of CPU wheels where there is no NVIDIA driver, asks it
once, and goes on with the default index where it does not answer. Needs nothing but pip.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

CPU_INDEX = os.environ.get("TORCH_CPU_INDEX", "https://download.pytorch.org/whl/cpu")  # as PyTorch's install page says
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
_SECONDS = 10


def pinned() -> str:
    """The version that constraints.txt asks for."""
    found = re.search(r"(?m)^torch==(\S+)$", CONSTRAINTS.read_text(encoding="utf-8"))
    if found is None:
        sys.exit(f"{CONSTRAINTS} has no line torch==VERSION: add one")
    return found.group(1)


def installed() -> str | None:
    """The version that is here already."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def has_driver() -> bool:
    """Whether this machine has an NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def silent(index: str) -> str | None:
    """Why the index does not answer; None where it does."""
    if "://" not in index:
        return None if Path(index).is_dir() else f"{index} is no folder"
    try:
        with urllib.request.urlopen(f"{index}/torch/", timeout=_SECONDS):  # noqa: S310  (the address is ours)
            return None
    except (OSError, ValueError) as error:
        return str(error)


def choose(wanted: str) -> tuple[list[str], str]:
    """Options for pip, and a line that says what is installed from where."""
    version = pinned()
    if sys.platform != "linux":
        return [], f"installing torch {version} (one build for this system)"
    if wanted == "cuda" or (wanted == "auto" and has_driver()):
        return [], f"installing torch {version} from the default index (on Linux the CUDA build, about 5.4 GB on disk)"
    reason = silent(CPU_INDEX)
    if reason is None:
        where = ["--index-url", CPU_INDEX] if "://" in CPU_INDEX else ["--no-index", "--find-links", CPU_INDEX]
        return ["--no-deps", *where], f"installing torch {version}, the CPU build, from {CPU_INDEX}"
    if wanted == "cpu":
        sys.exit(f"PyTorch's index of CPU wheels does not answer ({reason}): try again, or  make setup TORCH=auto")
    return [], (
        f"PyTorch's index of CPU wheels does not answer ({reason}): installing torch {version} from the default index; "
        "on Linux that is the CUDA build (about 5.4 GB on disk), unless a CPU wheel is at hand"
    )


def main(wanted: str) -> None:
    """Install, unless what is here fits."""
    if wanted not in ("auto", "cpu", "cuda"):
        sys.exit(f"TORCH={wanted}: expected auto, cpu or cuda")
    here = installed()
    if here and here.partition("+")[0] == pinned() and (wanted == "auto" or ("+cpu" in here) == (wanted == "cpu")):
        print(f"torch {here} is here already")
        return
    options, line = choose(wanted)
    print(line, flush=True)
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--upgrade"]
    again = ["--force-reinstall"] if here and here.partition("+")[0] == pinned() else []
    sys.exit(
        subprocess.run([*pip, *again, "-c", str(CONSTRAINTS), *options, f"torch=={pinned()}"], check=False).returncode
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "auto")

"""The kernels of the staff compile for real cards, without one: no spills, shared memory that fits, matrix units used.

`-s` prints the table of docs/gpu_grading.md. For each card there is a process of its own with Triton's interpreter
switched off, in which `sandbox.compiling` pretends the card, as for a student's page.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.grading.compiling import CARDS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "solutions" / "unit7_attention_core" / "triton_kernels.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
slow = pytest.mark.slow
WIDTHS = [64, pytest.param(128, marks=slow), pytest.param(16, marks=slow), pytest.param(32, marks=slow)]

COMPILE = r"""
import importlib.util, json, sys
import msgspec, torch
from autograder.sandbox import compiling, wire
from autograder.sandbox.shared import Laid, spec_of

page_file, capability, D = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
compiling.pretend(capability)
spec = importlib.util.spec_from_file_location("triton_kernels", page_file)
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)

def blank(*shape, dtype=torch.bfloat16):
    return torch.empty(shape, dtype=dtype, device="meta")

def compiled(function, tensors, *fixed):
    slots = list(Laid([spec_of(tensor) for tensor in tensors]))
    request = wire.Compile(0, None, slots, list(range(len(slots))), None)
    found = compiling.compile_call(request, function, fixed)
    assert not found.refused and not found.untried, found
    return [msgspec.to_builtins(kernel) for kernel in found.kernels]

q, lse, cache = blank(1, 16, 8192, D), blank(1, 16, 8192, dtype=torch.float32), blank(16, 8, 1024, D)
found = {}
for kind, is_causal in (("causal", True), ("full", False)):
    found[kind] = compiled(page.flash_fwd, [q] * 3, is_causal) + compiled(page.flash_bwd, [q] * 5 + [lse], is_causal)
found["decoding"] = compiled(page.decode_attention, [blank(16, 32, D), cache, cache, blank(16, dtype=torch.int32)])
print(json.dumps(found))
"""

WITHOUT_PRODUCTS = {"row_sums_kernel", "merge_kernel"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", CARDS)
def test_staff_kernels_compile(name: str, width: int, tmp_path: Path) -> None:
    """Every kernel compiles for the card, spills nothing, fits its shared memory, and uses its matrix units."""
    card = CARDS[name]
    paths = {"PYTHONPATH": str(ROOT), "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, str(PAGE), str(card.capability), str(width)]
    environment = {**os.environ, **paths, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert [len(kernels) for kernels in found.values()] == [4, 4, 2]
    for kind, kernels in found.items():
        for kernel in kernels:
            uses, shared = kernel["products"], kernel["shared"]
            print(f"{name} {width} {kind} {kernel['name']}: {kernel['registers']}, {shared / 1024:.4g} KiB, {uses}")
            assert kernel["spilled"] == 0 < kernel["registers"] <= 255, kernel
            assert shared <= card.shared_bytes, kernel
            if kernel["name"] in WITHOUT_PRODUCTS:
                assert not uses
            else:
                is_new = card.capability >= 90 and kind != "decoding"  # a group of query heads is too small a tile
                assert uses == ("wgmma.mma_async" if is_new else "mma.sync"), kernel

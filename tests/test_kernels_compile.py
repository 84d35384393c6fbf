"""The kernels of the staff compile for real cards, without one: no spills, shared memory that fits, matrix units used.

Each compilation is a process of its own with Triton's interpreter switched off; no driver is needed. What the
interpreter accepts and a compiler refuses is found here before a GPU is.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "solutions" / "unit7_attention_core" / "triton_kernels.py"
SHARED_BYTES = {80: 163 << 10, 90: 227 << 10}  # per thread block: A100 and H100, CUDA C++ Programming Guide

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
slow = pytest.mark.slow
KINDS = [(64, "causal"), *(pytest.param(*kind, marks=slow) for kind in ((64, "full"), (128, "causal"), (128, "full")))]

COMPILE = r"""
import importlib.util, json, re, subprocess, sys, tempfile
from pathlib import Path
import torch
torch.cuda.is_available = lambda: True  # the tables of the page are meant, not its fallback for the interpreter
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

page_file, capability, D, causal = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "causal"
spec = importlib.util.spec_from_file_location("triton_kernels", page_file)
page = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page)

HALF = "q k v o do dk dv dq".split()
WIDE = "lse sums part_o part_lse".split()

def compiled(kernel, constants, options):
    signature, fixed, attributes = {}, dict(constants), {}
    for position, name in enumerate(kernel.arg_names):
        if name in fixed:
            signature[name] = "constexpr"
        elif name.startswith("stride_") and name.endswith("d"):  # 1 wherever the last axis is contiguous
            signature[name], fixed[name] = "constexpr", 1
        elif name in HALF or name in WIDE or name == "lengths":
            signature[name] = "*bf16" if name in HALF else "*fp32" if name in WIDE else "*i32"
            attributes[(position,)] = [["tt.divisibility", 16]]
        elif name.startswith("stride_"):
            signature[name] = "i32"
            attributes[(position,)] = [["tt.divisibility", 16]]
        else:
            signature[name] = "fp32" if name in ("factor", "scale") else "i32"
    fixed = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed, attrs=attributes)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
        said = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack, local = (int(re.search(rf"{word}:(\d+)", said)[1]) for word in ("REG", "STACK", "LOCAL"))
    ptx = made.asm["ptx"]
    return dict(registers=registers, stack=stack, local=local, shared=made.metadata.shared,
                mma=len(re.findall(r"mma\.sync", ptx)), wgmma=len(re.findall(r"wgmma\.mma_async", ptx)))

def split(config):
    return ({k: v for k, v in config.items() if k.isupper()}, {k: v for k, v in config.items() if not k.isupper()})

found = {}
tiles, options = split(page.forward_config(D, 2))
found["forward_kernel"] = compiled(page.forward_kernel, {"CAUSAL": causal, "D": D, **tiles}, options)
tiles, options = split(page.backward_config(D, 2))
found["key_kernel"] = compiled(page.key_kernel, {"CAUSAL": causal, "D": D, **tiles}, options)
found["query_kernel"] = compiled(page.query_kernel, {"CAUSAL": causal, "D": D, **tiles}, options)
if causal:
    found["row_sums_kernel"] = compiled(page.row_sums_kernel, {"D": D, "BLOCK_M": tiles["BLOCK_M"]}, options)
    sizes = {"GROUP": 8, "ROWS": 16, "D": D, "BLOCK_N": 64, "PIECES": 16}
    found["decode_kernel"] = compiled(page.decode_kernel, sizes, {"num_warps": 4, "num_stages": 3})
    found["merge_kernel"] = compiled(page.merge_kernel, {"D": D, "PIECES": 16, "ROOM": 16}, {"num_warps": 4})
print(json.dumps(found))
"""

WITHOUT_PRODUCTS = {"row_sums_kernel", "merge_kernel"}


@pytest.mark.parametrize(("width", "causal"), KINDS)
@pytest.mark.parametrize("capability", [80, 90])
def test_staff_kernels_compile(capability: int, width: int, causal: str, tmp_path: Path) -> None:
    """Every kernel compiles for the card, spills nothing, fits its shared memory, and uses its matrix units."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    script = tmp_path / "compile_kernels.py"
    script.write_text(COMPILE, encoding="utf-8")
    command = [sys.executable, str(script), str(PAGE), str(capability), str(width), causal]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    for name, use in json.loads(done.stdout).items():
        assert use["stack"] == use["local"] == 0, f"{name} spills: {use}"
        assert use["shared"] <= SHARED_BYTES[capability], f"{name}: {use}"
        if name not in WITHOUT_PRODUCTS:
            products = use["wgmma"] if capability == 90 and name != "decode_kernel" else use["mma"] + use["wgmma"]
            assert products > 0, f"{name} does not use the matrix units: {use}"

"""Inside the wall: what a page's kernels become on a GPU that is not there.

No driver is needed to compile. Triton is told of a card, `torch.cuda` says that it is there, and the page's function is
called with tensors of it without numbers (torch's FakeTensorMode). A launch compiles its kernel and starts nothing,
so the page itself chooses tiles and options, as it would there. A worker that has once pretended does nothing else.

What is said here is believed by nobody: it is for the student to read.

Sources: Triton's `runtime/jit.py` (`run` with `warmup=True` compiles and does not launch) and `backends/driver.py`.
"""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from autograder.sandbox import wire

_MULTIPROCESSORS = {80: 108, 90: 132}  # of an A100 SXM and an H100 SXM, NVIDIA's datasheets
_MEMORY_BYTES = 80 << 30
_USE = re.compile(r"\b(REG|STACK|LOCAL):(\d+)")
_NOT_HERE = ("CUDA", "NVIDIA", "driver", "libcuda", "data_ptr", "FakeTensor")  # what only a real card could answer
_MOST_CHARS = 1000


class Refused(BaseException):
    """The compiler refuses a kernel. No Exception: a page that catches those would go on with another kernel."""

    def __init__(self, kernel: str, reason: str) -> None:
        super().__init__(reason)
        self.kernel = kernel


class _Card:
    """What Triton asks a driver while it compiles, and what pages copy from its tutorials."""

    def __init__(self, capability: int) -> None:
        from triton.backends.compiler import GPUTarget

        self._target = GPUTarget("cuda", capability, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int = 0) -> int:
        return 0

    def get_current_target(self) -> Any:
        return self._target

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cuda", 0)

    def get_device_interface(self) -> Any:
        return torch.cuda


_made: list[wire.Kernel] = []


def pretend(capability: int) -> None:
    """From now on this process believes in a card of this compute capability (90 for 9.0). Once, before a page runs."""
    from triton.runtime import driver, interpreter, jit

    driver.set_active(_Card(capability))
    tune_by_first_configuration()
    jit.JITFunction.run = _compiling(jit.JITFunction.run)
    interpreter.InterpretedFunction.run = _interpreted
    _pretend_to_torch(capability)


def _pretend_to_torch(capability: int) -> None:
    from torch._subclasses import fake_tensor

    # it would look for a driver as soon as a card is said to be there (a torch made for CUDA, up to 2.12 at least)
    setattr(fake_tensor, "init_gpu_context", lambda device: None)  # noqa: B010 - not in every version
    card = SimpleNamespace(
        name=f"a card of compute capability {capability / 10:.1f} that is not there",
        major=capability // 10,
        minor=capability % 10,
        multi_processor_count=_MULTIPROCESSORS.get(capability, 132),
        total_memory=_MEMORY_BYTES,
        warp_size=32,
    )
    answers: dict[str, Callable[..., Any]] = {
        "is_available": lambda: True,
        "is_bf16_supported": lambda *args, **kwargs: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda *args, **kwargs: card,
        "get_device_capability": lambda *args, **kwargs: (card.major, card.minor),
        "get_device_name": lambda *args, **kwargs: card.name,
        "current_stream": lambda *args, **kwargs: SimpleNamespace(cuda_stream=0, synchronize=lambda: None),
        "synchronize": lambda *args, **kwargs: None,
        "set_device": lambda *args, **kwargs: None,
        "empty_cache": lambda: None,
        "device": lambda *args, **kwargs: contextlib.nullcontext(),
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)


def tune_by_first_configuration() -> None:
    """An autotuned kernel takes the first of its configurations: there is no card to try them on.

    Otherwise Triton looks for a driver to time them with, and fails.
    """
    from triton.runtime import autotuner

    run = autotuner.Autotuner.run

    def run_first(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.configs = self.configs[:1]
        return run(self, *args, **kwargs)

    autotuner.Autotuner.run = run_first


def _compiling(run: Callable[..., Any]) -> Callable[..., Any]:
    def run_compiling(self: Any, *args: Any, grid: Any = None, warmup: bool = False, **kwargs: Any) -> Any:
        _refuse_strangers(self.__name__, {**dict(zip(self.arg_names, args, strict=False)), **kwargs})
        try:
            compiled = run(self, *args, grid=grid, warmup=True, **kwargs)
        except Exception as error:
            raise Refused(self.__name__, _reason(error)) from error
        kernel = _described(self.__name__, compiled)
        if kernel not in _made:
            _made.append(kernel)
        return compiled

    return run_compiling


def _refuse_strangers(kernel: str, arguments: dict[str, Any]) -> None:
    """Raises Refused where a kernel gets a pointer that no program on the card can follow."""
    tensors = {name: value for name, value in arguments.items() if isinstance(value, torch.Tensor)}
    if any(tensor.is_cuda for tensor in tensors.values()):
        for name, tensor in tensors.items():
            if not tensor.is_cuda:
                raise Refused(kernel, f"its argument {name} lies in the CPU's memory: make it with device=q.device")


def _interpreted(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise Refused(
        self.__name__,
        "the page has switched Triton's interpreter on although there is a GPU: set TRITON_INTERPRET only where "
        "torch.cuda.is_available() is False",
    )


def _reason(error: BaseException) -> str:
    """What the compiler has to say: the line of the kernel that it is about, and why."""
    said = error
    while getattr(said.__cause__, "node", None) is not None:  # a helper that the kernel calls
        said = said.__cause__  # type: ignore[assignment]
    line, source = getattr(getattr(said, "node", None), "lineno", None), getattr(said, "src", None)
    if line is None or not isinstance(source, str):
        return f"{type(error).__name__}: {error}".strip()[:_MOST_CHARS]
    inner = said.__cause__ or said.__context__
    message = getattr(said, "error_message", None) or (f"{type(inner).__name__}: {inner}" if inner else "")
    text = (source.splitlines()[line - 1 : line] or [""])[0].strip()
    message = str(message or type(said).__name__).partition("  Alternatively, ")[0]  # ways that Triton does not promise
    return f"`{text}`: {message}"[:_MOST_CHARS]


def _described(name: str, compiled: Any) -> wire.Kernel:
    use = {"REG": -1, "STACK": 0, "LOCAL": 0, **_resources(compiled.asm.get("cubin", b""))}
    ptx = compiled.asm.get("ptx", "")
    products = next((unit for unit in ("wgmma.mma_async", "tcgen05.mma", "mma.sync") if unit in ptx), "")
    return wire.Kernel(name, use["REG"], use["STACK"] + use["LOCAL"], int(compiled.metadata.shared), products)


def _resources(cubin: bytes) -> dict[str, int]:
    """Registers and spills, as the program that comes with Triton reads them; nothing where it cannot be run."""
    import triton

    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        try:
            done = subprocess.run([program, "-res-usage", file.name], capture_output=True, text=True, check=False)
        except OSError:
            return {}
    return {kind: int(count) for kind, count in _USE.findall(done.stdout)}


def compile_call(request: wire.Compile, function: Callable[..., Any], fixed: Sequence[Any]) -> wire.Compiled:
    """Compile what `function` launches for such arguments. Raises what it raises, but for what takes a real card."""
    from torch._subclasses import fake_tensor

    _made.clear()
    only_with_numbers = (fake_tensor.DataDependentOutputException, fake_tensor.DynamicOutputShapeException)
    kernel = refused = untried = ""
    try:
        try:
            with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True), _Answered():
                function(*_arguments(request, fixed, "cuda"))
        except only_with_numbers:  # it looks at its arguments: then with numbers, which only the CPU can hold
            function(*_arguments(request, fixed, "cpu"))
    except Refused as error:
        kernel, refused = error.kernel, str(error)
    except Exception as error:
        if not any(word in str(error) for word in _NOT_HERE):
            raise
        untried = f"{type(error).__name__}: {error}"[:_MOST_CHARS]
    return wire.Compiled(request.id, list(_made), kernel, refused, untried)


class _Answered(TorchFunctionMode):
    """What torch asks the card itself before it asks a pretended tensor, done otherwise: a torch without CUDA has no
    answer. Of a copy nothing is to be seen here, since there are no numbers.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.Tensor.to, torch.Tensor.cuda):
            return _moved(function, *args, **(kwargs or {}))
        if args and isinstance(args[0], torch.Tensor) and args[0].is_cuda:
            tensor, *rest = args
            if function is torch.Tensor.__getitem__:
                return indexed(tensor, *rest)
            if function is torch.Tensor.__setitem__:
                indexed(tensor, rest[0])
                return None
            if function is torch.Tensor.copy_:
                return tensor
            if function is torch.Tensor.contiguous and not tensor.is_contiguous():
                return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        return function(*args, **(kwargs or {}))


def _moved(function: Any, tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """`tensor.to(...)` and `tensor.cuda()`: onto the card, a tensor without numbers."""
    named = [torch.device(a) if isinstance(a, str) else a for a in (*args, kwargs.get("device"))]
    like = next((a for a in named if isinstance(a, torch.Tensor)), None)
    device = like.device if like is not None else next((a for a in named if isinstance(a, torch.device)), None)
    if function is not torch.Tensor.cuda and (device is None or device.type != "cuda"):
        return function(tensor, *args, **kwargs)
    dtypes = (None if like is None else like.dtype, kwargs.get("dtype"), *args)
    dtype = next((a for a in dtypes if isinstance(a, torch.dtype)), None)
    kept = tensor if dtype is None else tensor.to(dtype)
    return kept if kept.is_cuda else torch.empty(kept.shape, dtype=kept.dtype, device="cuda")


def indexed(tensor: torch.Tensor, index: Any) -> torch.Tensor:
    """`tensor[index]` for integers, slices, None, `...` and tensors."""
    steps = list(index) if isinstance(index, tuple) else [index]
    taken = sum(step is not None and step is not Ellipsis for step in steps)
    rest = [slice(None)] * (tensor.ndim - taken)
    place = next((n for n, step in enumerate(steps) if step is Ellipsis), len(steps))
    at = 0
    chosen: list[torch.Tensor | None] = []
    for step in [*steps[:place], *rest, *steps[place + 1 :]]:
        if step is None:
            tensor = tensor.unsqueeze(at)
        elif isinstance(step, slice):
            tensor = torch.ops.aten.slice.Tensor(tensor, at, step.start, step.stop, step.step or 1)
        elif isinstance(step, torch.Tensor | list):
            chosen += [None] * (at - len(chosen)) + [torch.as_tensor(step, device=tensor.device)]
        else:
            tensor = tensor.select(at, int(step))
            continue
        at += 1
    return torch.ops.aten.index.Tensor(tensor, chosen) if chosen else tensor


def _arguments(request: wire.Compile, fixed: Sequence[Any], device: str) -> list[Any]:
    values = list(fixed)
    for position, slot in zip(request.positions, request.arguments, strict=True):
        dtype = getattr(torch, slot.dtype)
        values.insert(position, torch.ones(slot.shape, dtype=dtype, device=device))
    return values

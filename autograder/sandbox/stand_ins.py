"""What stands for parts of torch and Triton that need what a sandbox does not have. Inside the worker only."""

import os
import sys
from types import SimpleNamespace
from typing import Any

import torch


def install() -> None:
    """`torch.compile` gives back what it got: there is no compiler in here, and a right answer must not fail for it."""
    torch.compile = _compile
    torch.nn.Module.compile = lambda self, *args, **kwargs: None  # type: ignore[method-assign]
    if os.environ.get("TRITON_INTERPRET") == "1" and "triton" in sys.modules:
        _interpret_without_driver()


def _interpret_without_driver() -> None:
    """Interpreted kernels need no driver, but autotuning and what pages copy from Triton's tutorials ask for one."""
    from triton.runtime import driver

    from autograder.sandbox.compiling import tune_by_first_configuration

    tune_by_first_configuration()
    driver.set_active(
        SimpleNamespace(
            get_active_torch_device=lambda: torch.device("cpu"),
            get_current_target=lambda: SimpleNamespace(backend="cpu", arch=0, warp_size=0),
            get_current_device=lambda: 0,
        )
    )


def _compile(model: Any = None, **options: Any) -> Any:
    """`torch.compile(f)`, `@torch.compile` and `@torch.compile(mode=...)`."""
    return model if model is not None else lambda function: function

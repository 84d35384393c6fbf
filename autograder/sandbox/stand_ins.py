"""What stands for parts of torch that need what a sandbox does not have. Inside the worker only."""

from typing import Any

import torch


def install() -> None:
    """`torch.compile` gives back what it got: there is no compiler in here, and a right answer must not fail for it."""
    torch.compile = _compile
    torch.nn.Module.compile = lambda self, *args, **kwargs: None  # type: ignore[method-assign]


def _compile(model: Any = None, **options: Any) -> Any:
    """`torch.compile(f)`, `@torch.compile` and `@torch.compile(mode=...)`."""
    return model if model is not None else lambda function: function

"""Stands in the page for a function or layer that failed its own tests: the grader answers in its place.

So an error costs its points once: what calls the function is tested once more as if it were right. Nothing of the
reference is here; arguments travel out and values come back, and gradients are asked for in the same way.

Runs inside the worker, next to the student's code.
"""

import builtins
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Ask = Callable[..., tuple[Any, ...]]  # ("value", ...) or ("raised", name of the class, message)


def stand_in(symbol: str, is_module: bool, ask: Ask) -> Any:
    """What the page calls `symbol`: a function, or a class whose objects are layers."""
    if not is_module:

        def function(*args: Any, **kwargs: Any) -> Any:
            return _call(ask, None, {}, False, args, kwargs)

        function.__name__ = function.__qualname__ = symbol
        return function

    def __init__(self: CarriedLayer, *args: Any, **kwargs: Any) -> None:
        CarriedLayer.__init__(self, ask, args, kwargs)

    return type(symbol, (CarriedLayer,), {"__init__": __init__})


class CarriedLayer(nn.Module):
    """A layer of the grader: its parameters are here, under the names that the stub gives them; it computes outside."""

    def __init__(self, ask: Ask, args: Any, kwargs: Any) -> None:
        super().__init__()
        self._ask = ask
        self._number, parameters, attributes = _answered(ask("new", args, kwargs))
        for name, value in attributes.items():
            setattr(self, name, value)
        for name, value in parameters.items():
            owner: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner._modules[part]  # type: ignore[assignment]
            owner.register_parameter(last, nn.Parameter(value))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The grader's layer of the same kind, with these parameters, in this mode."""
        return _call(self._ask, self._number, dict(self.named_parameters()), self.training, args, kwargs)


def leaves(value: Any) -> Iterator[Tensor]:
    """The floating tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)


def replaced(value: Any, tensors: Iterator[Tensor]) -> Any:
    """The same nesting with other floating tensors, in the order of `leaves`."""
    if isinstance(value, Tensor):
        return next(tensors) if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(replaced(item, tensors) for item in value)
    if isinstance(value, dict):
        return {key: replaced(item, tensors) for key, item in value.items()}
    return value


def _call(ask: Ask, number: int | None, parameters: dict[str, Tensor], training: bool, args: Any, kwargs: Any) -> Any:
    inputs = [*leaves(args), *leaves(kwargs), *parameters.values()]
    asked = (number, training, *_detached((parameters, args, kwargs)))
    value = _answered(ask("call", *asked))
    if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)):
        return value
    return replaced(value, iter(_Outside.apply(ask, asked, list(leaves(value)), *inputs)))  # type: ignore[no-untyped-call]


class _Outside(torch.autograd.Function):
    """Gives what the grader has computed, and asks it for the gradients."""

    @staticmethod
    def forward(ctx: Any, ask: Ask, asked: Any, outputs: list[Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.ask, ctx.asked = ask, asked
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        return None, None, None, *_answered(ctx.ask("vjp", *ctx.asked, [c.detach() for c in cotangents]))


def _answered(answer: tuple[Any, ...]) -> Any:
    """The value; or the exception that the grader's own function raised, where it is one of Python's."""
    if answer[0] == "value":
        return answer[1]
    kind = getattr(builtins, answer[1], RuntimeError)
    raise (kind if isinstance(kind, type) and issubclass(kind, Exception) else RuntimeError)(answer[2])


def _detached(value: Any) -> Any:
    return replaced(value, iter([tensor.detach() for tensor in leaves(value)]))

"""Inside the worker: what an exercise asks students to write is refused, for good, before their page is run.

A function of Python gets other code in its place: every name and every reference that leads to it raises, and the
old code is nowhere. An operator of torch is refused in torch's dispatcher (`operators.py`). What is left to a
submission, copies of a source that lies on the disk, is told in docs/security.md; the grader reads the syntax tree as
well (`grading/shortcuts.py`). A worker refuses for one set of names; an exercise with another one gets another worker.

Two functions are needed by the worker itself (`_NEEDED`) and are refused only while a call lasts.
"""

import functools
import importlib
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from autograder.sandbox.operators import every_operator, operators_of, refuse_operators, stop_recording

_TORCH = "torch"  # the package as a whole: none of its operators computes anything
_RECORDING = "torch.enable_grad"  # where this is forbidden, so is every other way to automatic differentiation
_GIVEN = "autograder.given."
_NEEDED = ("torch.autograd.grad", "torch.autograd.backward", "torch.Tensor.backward")
# Python of torch's own that writes out what a name computes, in operators that nobody can refuse.
_QUANTIZABLE = "torch.ao.nn.quantizable.modules.activation.MultiheadAttention"
_FLEX = (
    "torch.nn.attention.flex_attention.flex_attention",
    "torch._higher_order_ops.flex_attention.math_attention",
    "torch._higher_order_ops.flex_attention.sdpa_dense",
)
_ONNX = ("torch.onnx.ops.attention", "torch.onnx.ops._impl.attention_23._init_fn")
_DECOMPOSED = "torch._decomp.decompositions."
_REFERENCE = "torch._refs.nn.functional."
_WRITTEN_OUT = {
    "torch.nn.functional.scaled_dot_product_attention": (*_FLEX, *_ONNX),
    "torch.nn.MultiheadAttention": (_QUANTIZABLE,),
    "torch.nn.functional.multi_head_attention_forward": (_QUANTIZABLE,),
    "torch.nn.functional.cross_entropy": ("torch.nn.functional.linear_cross_entropy",),
    "torch.nn.RMSNorm": (f"{_DECOMPOSED}_fused_rms_norm",),
    "torch.nn.functional.rms_norm": (f"{_DECOMPOSED}_fused_rms_norm",),
    "torch.nn.Unfold": (f"{_DECOMPOSED}im2col",),
    "torch.nn.functional.fold": (f"{_DECOMPOSED}col2im",),
    "torch.nn.functional.pixel_shuffle": (f"{_REFERENCE}pixel_shuffle",),
    "torch.nn.functional.pixel_unshuffle": (f"{_REFERENCE}pixel_unshuffle",),
}


class ForbiddenCall(RuntimeError):
    """The call of a function that the exercise forbids; the message is its dotted name."""


def refusable(names: Sequence[str]) -> list[str]:
    """Those that can be refused here: functions and classes that are imported already.

    NumPy's ufuncs, what is not imported yet and whole packages but torch are left to the reading of the syntax tree:
    refusing them would break their innocent uses, or cost every worker an import.
    """
    if any(name.startswith(_GIVEN) for name in names):  # a worker has it always, who asks here not yet
        importlib.import_module("autograder.given")
    return sorted({name for name in names if name == _TORCH or _kind(getattr(*_find(name), None)) is not None})


def is_refusal(error: BaseException) -> bool:
    """Whether it comes of a refusal; TorchScript tells of one in a RuntimeError of its own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ForbiddenCall):
            return True
        seen = seen.__cause__
    return isinstance(error, RuntimeError) and f"{ForbiddenCall.__name__}: " in str(error)


class Refusals:
    """What this worker refuses, and what of it is refused only at the moment."""

    def __init__(self) -> None:
        self._called = False  # whether a call is under way

    def install(self, names: Sequence[str]) -> None:
        """Refuse these from now on, under every name that they have."""
        for name in names:
            if name == _TORCH:
                refuse_operators(every_operator(), _raising(name), ("CPU",))
                continue
            if name == _RECORDING:
                stop_recording()
                continue
            if name in _NEEDED:
                owner, attribute = _find(name)
                setattr(owner, attribute, self._wrap(name, getattr(owner, attribute)))
                continue
            for same in (name, *_WRITTEN_OUT.get(name, ())):
                _refuse_python(same, name)
            refuse_operators(operators_of(name), _raising(name))

    @contextmanager
    def during_a_call(self) -> Iterator[None]:
        """Refuse, while the block runs, also what the worker itself needs outside of it."""
        self._called = True
        try:
            yield
        finally:
            self._called = False

    def _wrap(self, name: str, function: Any) -> Any:
        @functools.wraps(function, updated=())
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self._called:
                raise ForbiddenCall(name)
            return function(*args, **kwargs)

        return wrapper


def _refuse_python(dotted: str, name: str) -> None:
    """Let the function or class raise a ForbiddenCall of `name`."""
    owner, attribute = _find(dotted)
    target = getattr(owner, attribute, None)
    if _kind(target) == "class":
        for method in ("__init__", "forward"):
            if isinstance(vars(target).get(method), types.FunctionType):
                _refuse_function(target, method, name)
    elif _kind(target) == "function":
        _refuse_function(owner, attribute, name)


def _refuse_function(owner: Any, attribute: str, name: str) -> None:
    function = getattr(owner, attribute)
    raising = _raising(name)
    if not isinstance(function, types.FunctionType):
        setattr(owner, attribute, raising)
    while isinstance(function, types.FunctionType):
        # SECURITY: in the object itself, so that no other name keeps the old one; and what decorators have wrapped too
        function.__code__ = raising.__code__.replace(co_freevars=function.__code__.co_freevars)
        function = getattr(function, "__wrapped__", None)


def _raising(name: str) -> types.FunctionType:
    """`_refused` with the name in it: no closure, no default, no global, which could be changed or lead around it."""
    code = _refused.__code__
    constants = tuple(name if constant == "its name" else constant for constant in code.co_consts)
    return types.FunctionType(code.replace(co_consts=constants), {})


def _refused(*args: Any, **kwargs: Any) -> Any:
    import sys

    raise sys.modules["autograder.sandbox.refuse"].ForbiddenCall("its name")


def _kind(target: Any) -> str | None:
    if isinstance(target, type):
        return "class"
    return "function" if callable(target) and not isinstance(target, np.ufunc | types.ModuleType) else None


def _find(name: str) -> tuple[Any, str]:
    """The object that holds the last part of a dotted name, and that part. Imports nothing."""
    *path, attribute = name.split(".")
    for end in range(len(path), 0, -1):
        owner: Any = sys.modules.get(".".join(path[:end]))
        if owner is not None:
            for step in path[end:]:
                owner = getattr(owner, step, None)
            return owner, attribute
    return None, attribute

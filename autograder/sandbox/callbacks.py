"""Functions and modules of the grader that student code may call, and what it makes of a module in between."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from msgspec import Struct

from autograder.sandbox import wire
from autograder.sandbox.packing import Packer, Unpacker


class Stream:
    """An iterator of the grader as a function: the next item as (item,), and () at the end."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    def __call__(self) -> tuple[Any, ...]:
        return next(((item,) for item in self._items), ())


_ROOM_BYTES = 2 << 30  # of addresses, for what a callback takes for as long as it runs


class _Overdue(BaseException):
    """A callback computes for longer than it may. No Exception: code of a grader's would take it for its own."""


class SeenModule(Struct, frozen=True):
    """A module of the grader as the student's code left it."""

    callback: int
    training: bool
    parameters: dict[str, torch.Tensor]


def run_callback(
    ask: wire.Ask, payload: memoryview, callbacks: list[Callable[..., Any]], limit_s: float
) -> tuple[wire.Answer, list[bytes]]:
    """The answer of a callback. What goes wrong in it is the caller's exception inside.

    Args:
        limit_s: processor time that it may take.
    Raises WireError; TimeoutError where the callback takes longer.
    """
    if not 0 <= ask.callback < len(callbacks):
        raise wire.WireError("a callback that was never given")
    unpacker = Unpacker(payload)
    args, kwargs, state = unpacker.unpack(ask.args), unpacker.unpack(ask.kwargs), unpacker.unpack(ask.parameters)
    function = callbacks[ask.callback]
    packer = Packer(keep_strides=isinstance(function, Stream))
    try:
        with _bounded(limit_s):
            if isinstance(function, torch.nn.Module):
                value = _run_module(function, ask.training, state, args, kwargs)
            else:
                value = function(*args, **kwargs)
        return wire.Answer(ask.id, packer.pack(_detached(value))), packer.chunks
    except _Overdue:
        raise TimeoutError from None
    except Exception as error:
        return wire.Answer(ask.id, None, f"{type(error).__name__}: {str(error)[:300]}"), []


@contextlib.contextmanager
def _bounded(limit_s: float) -> Iterator[None]:
    """Raises _Overdue in the block after so much processor time, and MemoryError or torch's where it takes too much.

    SECURITY: the arguments are a student's. A number of steps, or a shape, that is enormous would keep the grader busy
    for hours, or take the machine's memory, and no limit of the sandbox counts what is done outside of it.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        most = int(statm.read().split()[0]) * resource.getpagesize() + _ROOM_BYTES
    limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGPROF, signal.signal(signal.SIGPROF, _overdue))
        stack.callback(resource.setrlimit, resource.RLIMIT_AS, (soft, hard))
        resource.setrlimit(resource.RLIMIT_AS, (min([most, *limits]), hard))
        stack.callback(signal.setitimer, signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_PROF, max(limit_s, 0.01))  # of this process: another's load is no delay
        yield


def _overdue(number: int, frame: FrameType | None) -> None:
    raise _Overdue


def _run_module(
    module: torch.nn.Module, training: bool, state: dict[str, torch.Tensor] | None, args: Any, kwargs: Any
) -> Any:
    """The module's answer in the mode and with the parameters that the student's side has now."""
    _set_state(module, training, state)
    with torch.no_grad():
        return module(*args, **kwargs)


def take_over(echo: Any, callbacks: list[Callable[..., Any]]) -> None:
    """Leave the grader's modules as the student's code left their doubles, as if all had been local."""
    match echo:
        case (tuple(args), dict(kwargs)):
            echoed = (*args, *kwargs.values())
        case _:
            return
    for seen in echoed:
        if isinstance(seen, SeenModule) and 0 <= seen.callback < len(callbacks):
            module = callbacks[seen.callback]
            if isinstance(module, torch.nn.Module):
                _set_state(module, seen.training, seen.parameters)


def _set_state(module: torch.nn.Module, training: bool, state: Any) -> None:
    for name, parameter in module.named_parameters() if isinstance(state, dict) else ():
        if isinstance(state.get(name), torch.Tensor) and state[name].shape == parameter.shape:
            parameter.data.copy_(state[name])
    if module.training != training:
        module.train(training)


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, tuple):
        return tuple(map(_detached, value))
    return value

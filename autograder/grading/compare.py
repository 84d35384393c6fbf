"""Every comparison and every tolerance. Runs outside the wall, on freshly built arrays only.

Order of a comparison: structure, shape, dtype, values; the first message is the most specific. Nothing is broadcast,
and NaN equals nothing unless the reference has it at the same place.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from autograder.sandbox.client import Remote
from autograder.sandbox.failures import StudentError, StudentRaised

NUMBERS = (bool, int, float)


class Tolerance(NamedTuple):
    rtol: float
    atol: float


FORWARD = {
    torch.float64: Tolerance(1e-9, 1e-11),
    torch.float32: Tolerance(1e-4, 1e-5),
    torch.float16: Tolerance(4e-3, 4e-3),
    torch.bfloat16: Tolerance(3e-2, 3e-2),
}
GRADIENT = {
    torch.float64: Tolerance(1e-7, 1e-9),
    torch.float32: Tolerance(1e-3, 1e-4),
    torch.float16: Tolerance(8e-3, 8e-3),
    torch.bfloat16: Tolerance(6e-2, 6e-2),
}


class Disagreement(AssertionError):
    """A wrong answer. The message says what we saw, what we expected, and where."""


def agree(
    student: Callable[..., Any],
    reference: Callable[..., Any],
    *args: Any,
    tolerance: Tolerance | tuple[float, float] | None = None,
    **kwargs: Any,
) -> Any:
    """The student's answer equals the reference's on equal private copies, and no argument was changed.

    Returns the student's value. Raises Disagreement, or StudentError.
    """
    assert isinstance(student, Remote)
    ours = copy.deepcopy((args, kwargs))  # SECURITY: before the call, which may change a module that is passed to it
    answered = student._page.call(student, args, kwargs, echo=True)
    expected = reference(*ours[0], **ours[1])
    close(answered.value, _detached(expected), tolerance=tolerance)
    _unchanged(args, kwargs, answered.echo)
    return answered.value


def agree_gradients(
    student: Callable[..., Any],
    reference: Callable[..., Any],
    *args: Any,
    parameters: bool = False,
    tolerance: Tolerance | tuple[float, float] | None = None,
    **kwargs: Any,
) -> None:
    """The gradients of the floating positional inputs (and of parameters) equal the reference's.

    The cotangent is drawn from the inputs, so that a run can be repeated. Raises Disagreement, or StudentError.
    """
    assert isinstance(student, Remote)
    inputs = copy.deepcopy(args)
    leaves = [a.requires_grad_() for a in inputs if isinstance(a, torch.Tensor) and a.is_floating_point()]
    expected = reference(*inputs, **kwargs)
    outputs = [o for o in (expected if isinstance(expected, list | tuple) else [expected]) if _differentiable(o)]
    generator = torch.Generator().manual_seed(len(leaves) + 7 * len(outputs))
    cotangent = [torch.randn(o.shape, generator=generator, dtype=torch.float64).to(o.dtype) for o in outputs]
    named = dict(reference.named_parameters()) if parameters else {}  # type: ignore[attr-defined]
    wanted = torch.autograd.grad(outputs, [*leaves, *named.values()], cotangent, allow_unused=True)

    seen = student._page.call(student, args, kwargs, cotangent=cotangent, parameters=parameters)
    positions = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor) and a.is_floating_point()]
    if not isinstance(seen.grads, list) or len(seen.grads) != len(leaves):
        raise Disagreement("no gradients came back")
    for position, actual, target in zip(positions, seen.grads, wanted, strict=False):
        _close_gradient(actual, target, args[position], f"the gradient of input {position + 1}", tolerance)
    for name, target in zip(named, wanted[len(leaves) :], strict=True):
        found = (seen.parameters or {}).get(name)
        _close_gradient(found, target, named[name], f"the gradient of parameter {name}", tolerance)


def close(
    actual: Any,
    expected: Any,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    tolerance: Tolerance | tuple[float, float] | None = None,
    what: str = "the output",
    reveal: bool = False,
) -> None:
    """`actual` has the structure, shape, dtype and values of `expected`. Raises Disagreement.

    Tolerances default to the table by dtype. `reveal` shows expected values: for public checks only.
    """
    if isinstance(expected, dict):
        _same_keys(actual, expected, what)
        for key, item in expected.items():
            close(actual[key], item, rtol=rtol, atol=atol, tolerance=tolerance, what=f"{what}[{key!r}]", reveal=reveal)
    elif isinstance(expected, list | tuple):
        if not isinstance(actual, list | tuple) or len(actual) != len(expected):
            raise Disagreement(f"{what} is {describe(actual)}, expected a {type(expected).__name__} of {len(expected)}")
        for index, (a, e) in enumerate(zip(actual, expected, strict=True)):
            close(a, e, rtol=rtol, atol=atol, tolerance=tolerance, what=f"{what}[{index}]", reveal=reveal)
    elif isinstance(expected, torch.Tensor | np.ndarray | np.generic | float):
        _close_numbers(actual, expected, _pick(tolerance, rtol, atol, expected), what, reveal)
    elif expected is None or isinstance(expected, bool | int | str):
        plain = actual.item() if isinstance(actual, torch.Tensor | np.ndarray) and actual.ndim == 0 else actual
        if type(plain) is not type(expected) or plain != expected:
            shown = f", expected {expected!r}" if reveal or expected is None else ""
            raise Disagreement(f"{what} is {describe(actual)}{shown or ', which is wrong'}")
    else:
        raise TypeError(f"close cannot compare with a {type(expected).__name__}")


def raises(exception: type[BaseException], function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Calling `function` raises `exception` or a subclass. Raises Disagreement otherwise."""
    try:
        value = function(*args, **kwargs)
    except StudentRaised as error:
        if error.is_a(exception):
            return
        raise Disagreement(f"raised {error}, expected {exception.__name__}") from None
    raise Disagreement(f"returned {describe(value)}, expected {exception.__name__}")


def quiet_rng(student: Callable[..., Any], *args: Any, seed: int = 20, **kwargs: Any) -> Any:
    """The call leaves the global generators of torch, NumPy and random where they were. Returns the value."""
    assert isinstance(student, Remote)
    from autograder.sandbox.worker import draw_globals, seed_globals

    answered = student._page.call(student, args, kwargs, seed_globals=seed)
    with torch.random.fork_rng(devices=[]):
        state = np.random.get_state()
        seed_globals(seed)
        expected = draw_globals()
        np.random.set_state(state)
    for name, a, e in zip(("torch's", "NumPy's", "Python's"), answered.randoms or [], expected, strict=False):
        if a != e:
            raise Disagreement(f"the call drew from {name} global random generator, which was to stay as it was")
    if not answered.randoms:
        raise Disagreement("the state of the global generators did not come back")
    return answered.value


_NO_VALUES = {
    "coroutine": "write def instead of async def",
    "generator": "write return instead of yield",
    "function": "call it, and return what it returns",
    "method": "call it, and return what it returns",
}


@contextlib.contextmanager
def unjudged() -> Iterator[None]:
    """What is asked in here tells causes apart and nothing else: no answer to it, and no error, fails the test."""
    with contextlib.suppress(StudentError, Disagreement):
        yield


def describe(value: Any) -> str:
    """A short description of a value: kind, shape and dtype, or the value itself when it is small."""
    if isinstance(value, torch.Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array of shape {value.shape}" if value.ndim else f"the number {value.item()!r}"
    if isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Remote):
        text = f"an object of type {value._type}"
        return f"{text} ({_NO_VALUES[value._type]})" if value._type in _NO_VALUES else text
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---------------------------------------------------------------- numbers


def _pick(tolerance: Any, rtol: float | None, atol: float | None, expected: Any) -> Tolerance:
    if tolerance is not None:
        return Tolerance(*tolerance)
    default = FORWARD.get(_torch_dtype(expected), Tolerance(0.0, 0.0))
    return Tolerance(default.rtol if rtol is None else rtol, default.atol if atol is None else atol)


def _torch_dtype(value: Any) -> torch.dtype:
    if isinstance(value, float):
        return torch.float64
    if isinstance(value, torch.Tensor):
        return value.dtype
    return {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16}.get(
        str(value.dtype), torch.bool
    )


def _close_numbers(actual: Any, expected: Any, tolerance: Tolerance, what: str, reveal: bool) -> None:
    if isinstance(expected, float):  # a plain number: any scalar will do
        if isinstance(actual, NUMBERS) or (isinstance(actual, torch.Tensor | np.ndarray) and actual.ndim == 0):
            actual = np.asarray(float(actual))
        else:
            raise Disagreement(f"{what} is {describe(actual)}, expected a number")
        expected = np.asarray(expected)
    family, name = (torch.Tensor, "tensor") if isinstance(expected, torch.Tensor) else (np.ndarray, "NumPy array")
    if isinstance(expected, np.generic):
        expected = np.asarray(expected)
    if family is np.ndarray and expected.ndim == 0 and isinstance(actual, NUMBERS):
        actual = np.asarray(actual, dtype=expected.dtype)
    if not isinstance(actual, family):
        raise Disagreement(f"{what} is {describe(actual)}, expected a {name} of shape {tuple(expected.shape)}")
    if tuple(actual.shape) != tuple(expected.shape):
        raise Disagreement(f"{what} has shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
    if actual.dtype != expected.dtype:
        raise Disagreement(f"{what} has dtype {_name(actual.dtype)}, expected {_name(expected.dtype)}")
    _close_values(_plain(actual), _plain(expected), tolerance, what, reveal)


def _close_values(a: np.ndarray[Any, Any], e: np.ndarray[Any, Any], tol: Tolerance, what: str, reveal: bool) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(a - e)
        near = (error <= tol.atol + tol.rtol * np.abs(e)) & np.isfinite(e)  # nothing is near to an infinite number
        bad = ~(near | (a == e) | (np.isnan(a) & np.isnan(e)))
    if not bad.any():
        return
    count = int(bad.sum())
    first = tuple(int(i) for i in np.argwhere(bad)[0]) if bad.ndim else ()
    nans, infs = int((np.isnan(a) & ~np.isnan(e)).sum()), int((np.isinf(a) & ~np.isinf(e)).sum())
    finite = error[bad & np.isfinite(error)]
    parts = [f"{what} is wrong at {count} of {bad.size} places" if bad.size > 1 else f"{what} is wrong"]
    if first:
        parts.append(f"first at index {first} with {_number(a[first])}")
    elif bad.size == 1:
        parts.append(f"got {_number(a.reshape(-1)[0])}")
    if reveal:
        parts.append(f"expected {_number(e[first] if first else e.reshape(-1)[0])}")
    if finite.size:
        parts.append(f"largest error {float(finite.max()):.3g}")
    parts += [f"{n} unexpected {label}" for n, label in ((nans, "NaN"), (infs, "Inf")) if n]
    parts.append(
        f"allowed: rtol {tol.rtol:g}, atol {tol.atol:g}" if tol.rtol or tol.atol else "an exact match is asked for"
    )
    raise Disagreement("; ".join(parts))


def _close_gradient(actual: Any, expected: Any, like: torch.Tensor, what: str, tolerance: Any) -> None:
    if expected is None:
        expected = torch.zeros_like(like)
    if actual is None:
        if not expected.any():
            return
        raise Disagreement(
            f"{what} is missing: the output is cut off from it (detach, .data, .item() or NumPy inside?)"
        )
    tol = Tolerance(*tolerance) if tolerance is not None else GRADIENT[expected.dtype]
    _close_numbers(actual, expected.detach(), tol, what, reveal=False)


def _plain(value: Any) -> np.ndarray[Any, Any]:
    """Numbers as NumPy float64, complex128, or integers as they are."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.to(torch.float64) if value.is_floating_point() else value
        value = value.to(torch.complex128) if value.is_complex() else value
        value = value.numpy()
    if value.dtype == np.bool_:
        return value.astype(np.int8)  # type: ignore[no-any-return]
    if value.dtype.kind == "f":
        return value.astype(np.float64)  # type: ignore[no-any-return]
    return value.astype(np.int64) if value.dtype.kind in "iu" and value.dtype.itemsize < 8 else value  # type: ignore[no-any-return]


def _number(value: Any) -> str:
    value = value.item() if hasattr(value, "item") else value
    return f"{value:.6g}" if isinstance(value, float) and math.isfinite(value) else str(value)


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


# ---------------------------------------------------------------- structures


def _same_keys(actual: Any, expected: dict[Any, Any], what: str) -> None:
    if not isinstance(actual, dict):
        raise Disagreement(f"{what} is {describe(actual)}, expected a dict with the keys {sorted(expected)}")
    if set(actual) != set(expected):
        raise Disagreement(f"{what} has the keys {sorted(map(str, actual))}, expected {sorted(map(str, expected))}")


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, list | tuple):
        return type(value)(map(_detached, value))
    return {k: _detached(v) for k, v in value.items()} if isinstance(value, dict) else value


def _differentiable(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.requires_grad


def _unchanged(args: tuple[Any, ...], kwargs: dict[str, Any], echo: Any) -> None:
    """The worker's copies of the arguments are as they were sent."""
    try:
        seen_args, seen_kwargs = echo
        pairs = [(f"input {i + 1}", a, s) for i, (a, s) in enumerate(zip(args, seen_args, strict=True))]
        pairs += [(name, kwargs[name], seen_kwargs[name]) for name in kwargs]
    except (TypeError, ValueError, KeyError):
        raise Disagreement("the arguments did not come back as they were sent") from None
    for name, sent, seen in pairs:
        for place, array, found in _arrays(sent, seen):
            if not _identical(array, found):
                raise Disagreement(f"{name}{place} was changed in place; work on a copy, the caller still needs it")


def _arrays(sent: Any, seen: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every array in an argument, with its place in it, beside what has become of it."""
    if isinstance(sent, torch.Tensor | np.ndarray):
        yield place, sent, seen
    elif isinstance(sent, list | tuple | dict):
        keys = list(sent) if isinstance(sent, dict) else range(len(sent))
        for key in keys:
            there = type(seen) is type(sent) and (key in seen if isinstance(sent, dict) else key < len(seen))
            yield from _arrays(sent[key], seen[key] if there else None, f"{place}[{key!r}]")


def _identical(sent: Any, seen: Any) -> bool:
    if type(sent) is not type(seen) or sent.shape != seen.shape or sent.dtype != seen.dtype:
        return False
    a, b = _plain(sent), _plain(seen)
    return bool(((a == b) | ((a != a) & (b != b))).all())


__all__ = ["Disagreement", "StudentError", "Tolerance", "agree", "agree_gradients", "close", "quiet_rng", "raises"]

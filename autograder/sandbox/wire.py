"""What crosses the wall: typed MessagePack messages and raw tensor buffers. Never pickle.

A message is a msgspec struct; the bytes of its arrays and tensors are the payload, in the order in which the message
names them. Reading checks the message against its type, and each array against `product(shape) * itemsize == bytes`.
Whatever does not fit raises `WireError`, and nothing else. How messages travel is `channel`'s business.

This file is shared by both sides and imports nothing else of ours.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, Union

import numpy as np
import torch
from msgspec import Struct

_MAX_DEPTH = 32
_MAX_AXES = 16
_MAX_ELEMENTS = 1 << 48
_MAX_DIGITS = 4000
_MAX_ODD_KEYS = 1000
_MAX_VALUES = 500_000

_ARRAY_DTYPES = {
    str(np.dtype(name)): np.dtype(name)
    for name in ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}
_TENSOR_DTYPES: dict[str, torch.dtype] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
        *(torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
        *(torch.complex32, torch.complex64, torch.complex128),
        *(torch.float8_e4m3fn, torch.float8_e4m3fnuz, torch.float8_e5m2, torch.float8_e5m2fnuz),
    )
}
_IN_NUMPY = {dtype for name, dtype in _TENSOR_DTYPES.items() if name in _ARRAY_DTYPES}
_CPU = torch.device("cpu")


class WireError(Exception):
    """A frame, message or value that may not cross the wall. The sender's fault."""


# ---------------------------------------------------------------- values


class Seq(Struct, frozen=True, tag="seq", array_like=True):
    kind: Literal["list", "tuple"]
    items: list["Value"]


class Map(Struct, frozen=True, tag="map", array_like=True):
    items: list[tuple["Value", "Value"]]


class Array(Struct, frozen=True, tag="array", array_like=True):
    """`stride` (in items) is sent towards the worker only, where a test needs a non-contiguous input."""

    dtype: str
    shape: list[int]
    nbytes: int
    stride: list[int] | None = None


class Tensor(Struct, frozen=True, tag="tensor", array_like=True):
    """`stride` as in `Array`."""

    dtype: str
    shape: list[int]
    nbytes: int
    device: str = "cpu"
    stride: list[int] | None = None


class BigInt(Struct, frozen=True, tag="int", array_like=True):
    """An integer beyond 64 bits, in decimal."""

    digits: str


class Bytes(Struct, frozen=True, tag="bytes", array_like=True):
    data: bytes


class Complex(Struct, frozen=True, tag="complex", array_like=True):
    real: float
    imag: float


class DType(Struct, frozen=True, tag="dtype", array_like=True):
    """`torch.float64` and friends, or `torch.device`, by name."""

    kind: Literal["torch", "device"]
    name: str


class Rng(Struct, frozen=True, tag="rng", array_like=True):
    """A generator, rebuilt inside from its seed."""

    kind: Literal["torch", "numpy"]
    seed: int


class Handle(Struct, frozen=True, tag="handle", array_like=True):
    """An object that stays inside: a module, a function, anything without a wire form."""

    id: int
    type_name: str


class Callback(Struct, frozen=True, tag="callback", array_like=True):
    """A function of the grader. With `parameters`, the worker dresses it as an nn.Module that owns them."""

    id: int
    name: str
    training: bool = False
    parameters: Map | None = None


Value = Union[  # noqa: UP007 - a union with forward references cannot be written with |
    None, bool, int, float, str, Seq, Map, Array, Tensor, BigInt, Bytes, Complex, DType, Rng, Handle, Callback
]

# ---------------------------------------------------------------- messages


class Source(Struct, frozen=True):
    """A page as cells of code; a plain module is one cell."""

    name: str
    cells: list[str]
    notebook: bool = False


GIVEN = "autograder.given"  # as the first step of a path: that module instead of the page (no page has such a name)


class Target(Struct, frozen=True):
    """What to call or read: a path of attributes and indices from a handle, or from the page when `handle` is None."""

    handle: int | None
    path: list[str | int]


class Load(Struct, frozen=True, tag="load"):
    id: int
    page: str
    sources: list[Source]
    symbols: list[str]
    forbidden: list[str] = []


class Gradient(Struct, frozen=True):
    """Ask for the vector-Jacobian product: gradients of the floating positional inputs, and of parameters if asked."""

    cotangent: Value
    parameters: bool = False


class Call(Struct, frozen=True, tag="call"):
    """Call the target. `echo` returns the arguments as they are afterwards.

    `seed_globals` seeds the global generators first and reads a number from each afterwards. Calls of what is
    `forbidden` are refused.
    """

    id: int
    target: Target
    args: Seq
    kwargs: Map
    echo: bool = False
    gradient: Gradient | None = None
    seed_globals: int | None = None
    forbidden: list[str] = []


class Fetch(Struct, frozen=True, tag="fetch"):
    """Read the target: `what` is its value, its length or whether it exists."""

    id: int
    target: Target
    what: Literal["value", "len"] = "value"


class Answer(Struct, frozen=True, tag="answer"):
    """The grader's answer to an `Ask`."""

    id: int
    value: Value
    error: str | None = None


class Frame(Struct, frozen=True):
    """One line of a traceback, the student's own lines only."""

    file: str
    line: int
    function: str
    text: str


class Raised(Struct, frozen=True, tag="raised"):
    """An exception as data. `bases` are the names of its classes, most derived first."""

    id: int
    bases: list[str]
    message: str
    frames: list[Frame]
    printed: str = ""


class Problem(Struct, frozen=True):
    """A cell that did not run to its end."""

    file: str
    line: int
    error: str
    message: str


class Loaded(Struct, frozen=True, tag="loaded"):
    id: int
    problems: list[Problem]
    defined: list[str]


class Done(Struct, frozen=True, tag="done"):
    id: int
    value: Value
    echo: Value = None
    grads: Value = None
    parameters: Value = None
    randoms: Value = None
    printed: str = ""


class Ask(Struct, frozen=True, tag="ask"):
    """The student's code calls a callback. `state` carries a module's training flag and parameters."""

    id: int
    callback: int
    args: Seq
    kwargs: Map
    training: bool = False
    parameters: Map | None = None


Request = Union[Load, Call, Fetch, Answer]  # noqa: UP007 - kept in the form of Value
Reply = Union[Loaded, Done, Raised, Ask]  # noqa: UP007

# ---------------------------------------------------------------- Python objects -> values


class Packer:
    """Turns Python objects into values and collects the payload."""

    def __init__(self, other: Callable[["Packer", Any], Value] | None = None, keep_strides: bool = False) -> None:
        self.chunks: list[bytes] = []
        self._other = other
        self._keep_strides = keep_strides

    def pack(self, obj: Any, depth: int = 0) -> Value:
        """The wire form of `obj`. Raises WireError for what has none."""
        if depth > _MAX_DEPTH:
            raise WireError(f"nested more than {_MAX_DEPTH} levels deep")
        kind = type(obj)
        if obj is None or kind in (bool, float):
            return obj  # type: ignore[no-any-return]
        if kind is bytes:
            return Bytes(obj)
        if kind is int:
            return obj if -(2**63) <= obj < 2**63 else BigInt(_digits(obj))
        if kind is str:
            return obj.encode("utf-8", "backslashreplace").decode("utf-8")  # type: ignore[no-any-return]
        if isinstance(obj, torch.Tensor):
            return self._tensor(obj)
        if isinstance(obj, np.ndarray | np.generic):
            return self._array(np.asarray(obj))
        if isinstance(obj, list | tuple | torch.Size):
            return Seq("list" if isinstance(obj, list) else "tuple", [self.pack(item, depth + 1) for item in obj])
        if isinstance(obj, dict):
            return Map([(self.pack(k, depth + 1), self.pack(v, depth + 1)) for k, v in obj.items()])
        return self._scalar(obj)

    def _scalar(self, obj: Any) -> Value:
        if isinstance(obj, torch.dtype):
            return DType("torch", str(obj).removeprefix("torch."))
        if isinstance(obj, torch.device):
            return DType("device", str(obj))
        if isinstance(obj, bool | int | float | str | bytes):  # a subclass counts as what it is built on
            base = next(base for base in (bool, int, float, str, bytes) if isinstance(obj, base))
            return self.pack(base(obj))  # type: ignore[arg-type]
        if isinstance(obj, complex):
            return Complex(obj.real, obj.imag)
        if self._other is not None:
            return self._other(self, obj)
        raise WireError(f"a {type(obj).__name__} cannot cross the wall")

    def _array(self, array: np.ndarray[Any, Any]) -> Value:
        dtype = str(array.dtype.newbyteorder("="))
        if dtype not in _ARRAY_DTYPES:
            raise WireError(f"a NumPy array of dtype {array.dtype} cannot cross the wall")
        shape, stride = list(array.shape), [step // array.itemsize for step in array.strides]
        keep = self._keep_strides and not array.flags.c_contiguous and array.size > 0
        keep = keep and all(step > 0 and step % array.itemsize == 0 for step in array.strides)
        if keep:  # send the whole span of memory that the view reaches
            span = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
            array = np.lib.stride_tricks.as_strided(array, (span,), (array.itemsize,))
        data = np.ascontiguousarray(array, dtype=_ARRAY_DTYPES[dtype]).tobytes()
        self.chunks.append(data)
        return Array(dtype, shape, len(data), stride if keep else None)

    def _tensor(self, tensor: torch.Tensor) -> Value:
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            raise WireError(f"a {tensor.layout} tensor on {tensor.device} cannot cross the wall")
        name = str(tensor.dtype).removeprefix("torch.")
        if name not in _TENSOR_DTYPES:
            raise WireError(f"a tensor of dtype {tensor.dtype} cannot cross the wall")
        device, shape, stride = str(tensor.device), list(tensor.shape), list(tensor.stride())
        plain = tensor.detach()
        if plain.is_conj() or plain.is_neg():
            plain = plain.resolve_conj().resolve_neg()
        keep = self._keep_strides and not plain.is_contiguous() and plain.numel() > 0
        if keep:  # send the whole span of storage that the view reaches
            span = 1 + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
            plain = plain.as_strided((span,), (1,))
        plain = plain.cpu().contiguous()
        if plain.dtype not in _IN_NUMPY:
            plain = plain.reshape(-1).view(torch.uint8)
        data = plain.numpy().tobytes()
        self.chunks.append(data)
        return Tensor(name, shape, len(data), device, stride if keep else None)


def _digits(number: int) -> str:
    if number.bit_length() > _MAX_DIGITS * 3:
        raise WireError(f"an integer of more than {_MAX_DIGITS} digits cannot cross the wall")
    return str(number)


# ---------------------------------------------------------------- values -> Python objects


class Unpacker:
    """Rebuilds Python objects from values; every array is plain, fresh memory of the announced dtype and shape.

    `other` resolves handles, callbacks and generators; without it they are refused, as are strides unless allowed.
    """

    def __init__(
        self,
        payload: bytes | memoryview,
        other: Callable[["Unpacker", Value], Any] | None = None,
        allow_strides: bool = False,
    ) -> None:
        self._payload = memoryview(payload)
        self._position = 0
        self._odd_keys = 0
        self._values = 0
        self._other = other
        self._allow_strides = allow_strides

    def unpack(self, value: Value, depth: int = 0) -> Any:
        """The Python object that `value` describes. Raises WireError."""
        if depth > _MAX_DEPTH:
            raise WireError(f"nested more than {_MAX_DEPTH} levels deep")
        self._values += 1
        if self._values > _MAX_VALUES:  # SECURITY: a message of a few bytes each takes seconds to rebuild
            raise WireError(f"more than {_MAX_VALUES} values in one message; use an array or a tensor")
        match value:
            case None | bool() | int() | float() | str():
                return value
            case Seq(kind, items):
                objects = [self.unpack(item, depth + 1) for item in items]
                return objects if kind == "list" else tuple(objects)
            case Map(items):
                return self._map(items, depth)
            case Array():
                return self._array(value)
            case Tensor():
                return self._tensor(value)
            case BigInt(digits):
                return _integer(digits)
            case Bytes(data):
                return data
            case Complex(real, imag):
                return complex(real, imag)
            case DType("torch", name) if name in _TENSOR_DTYPES:
                return _TENSOR_DTYPES[name]
            case DType("device", name):
                return _device(name)
            case _ if self._other is not None:
                return self._other(self, value)
        raise WireError(f"unexpected {type(value).__name__}")

    def finish(self) -> None:
        """Raises WireError unless every byte of the payload belonged to an array."""
        if self._position != len(self._payload):
            raise WireError(f"{len(self._payload) - self._position} bytes of payload belong to nothing")

    def _map(self, items: list[tuple[Value, Value]], depth: int) -> dict[Any, Any]:
        result = {}
        for key, value in items:
            name = self.unpack(key, depth + 1)
            # SECURITY: only the hashes of text are secret; of other keys, a reply could hold 100 000 with the same one
            self._odd_keys += not isinstance(name, str | bytes)
            if self._odd_keys > _MAX_ODD_KEYS:
                raise WireError(f"more than {_MAX_ODD_KEYS} dictionary keys that are not text")
            try:
                result[name] = self.unpack(value, depth + 1)
            except TypeError:
                raise WireError(f"a {type(name).__name__} is not a dictionary key") from None
        return result

    def _take(self, nbytes: int, expected: int) -> bytearray:
        if nbytes != expected or nbytes > len(self._payload) - self._position:
            raise WireError(f"an array announces {nbytes} bytes where its shape needs {expected}")
        start = self._position
        self._position += nbytes
        return bytearray(self._payload[start : self._position])

    def _array(self, value: Array) -> np.ndarray[Any, Any]:
        dtype = _ARRAY_DTYPES.get(value.dtype)
        if dtype is None:
            raise WireError(f"unknown array dtype {value.dtype[:40]!r}")
        count = _count(value.shape)
        if value.stride is not None:
            if not self._allow_strides:
                raise WireError("a strided array may not come from the worker")
            count = 1 + sum((n - 1) * s for n, s in zip(value.shape, value.stride, strict=True))
        data = self._take(value.nbytes, count * dtype.itemsize)
        # a bool is 0 or 1: any other byte would make `&` and `==` contradict each other
        flat = np.frombuffer(data, np.uint8) != 0 if dtype == np.bool_ else np.frombuffer(data, dtype)
        if value.stride is None:
            return flat.reshape(value.shape)
        return np.lib.stride_tricks.as_strided(flat, value.shape, [step * dtype.itemsize for step in value.stride])

    def _tensor(self, value: Tensor) -> torch.Tensor:
        dtype = _TENSOR_DTYPES.get(value.dtype)
        if dtype is None:
            raise WireError(f"unknown tensor dtype {value.dtype[:40]!r}")
        count = _count(value.shape)
        if value.stride is not None:
            if not self._allow_strides:
                raise WireError("a strided tensor may not come from the worker")
            count = 1 + sum((n - 1) * s for n, s in zip(value.shape, value.stride, strict=True))
        data = self._take(value.nbytes, count * dtype.itemsize)
        flat = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
        if dtype is torch.bool:
            flat = flat.view(torch.uint8) != 0  # as in `_array`
        tensor = flat.reshape(value.shape) if value.stride is None else flat.as_strided(value.shape, value.stride)
        return _on_device(tensor, value.device)


def _count(shape: list[int]) -> int:
    # an axis of 0 makes the product 0 whatever the others are, and NumPy and torch raise on what 64 bits cannot count
    if len(shape) > _MAX_AXES or any(n < 0 for n in shape) or math.prod(n or 1 for n in shape) > _MAX_ELEMENTS:
        raise WireError(f"impossible shape {str(shape)[:80]}")
    return math.prod(shape)


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or not digits.removeprefix("-").isdecimal() or not digits.isascii():
        raise WireError("an integer with impossible digits")
    return int(digits)


def _device(name: str) -> torch.device:
    try:
        return torch.device(name[:40])
    except RuntimeError:
        raise WireError(f"unknown device {name[:40]!r}") from None


def _on_device(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """CPU tensors stay; another device is real only where this process has it."""
    device = _device(name) if name != "cpu" else _CPU
    if device.type == "cpu":
        return tensor
    if device.type != "cuda" or not torch.cuda.is_available():
        raise WireError(f"no device {name[:40]!r} here")
    try:
        return tensor.to(device)
    except (RuntimeError, AssertionError):  # an index beyond the last device, a full one, a torch without CUDA
        raise WireError(f"no device {name[:40]!r} here") from None

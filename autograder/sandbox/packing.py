"""Python objects -> values of the wire, and back.

Reading checks each array against `product(shape) * itemsize == bytes`. Whatever does not fit raises `WireError`, and
nothing else. Shared by both sides.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from autograder.sandbox.wire import (
    Array,
    BigInt,
    Bytes,
    Complex,
    DType,
    Map,
    Seq,
    Tensor,
    Value,
    WireError,
)

_MAX_DEPTH = 32
_MAX_AXES = 16
_MAX_ELEMENTS = 1 << 48
_MAX_EMPTY = 1 << 20  # places of an array that has no element
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
    # SECURITY: (2**40, 0) takes no byte on the wire, and 2**40 rounds or lists of whoever goes through it
    if math.prod(shape) == 0 and math.prod(n or 1 for n in shape) > _MAX_EMPTY:
        raise WireError(f"an empty array of shape {str(shape)[:80]}")
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

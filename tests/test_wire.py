"""The wire: values come back as they were sent, and what has no wire form is refused before it is sent."""

import math
import socket
import struct
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.sandbox import wire
from autograder.sandbox.channel import Channel, no_deadline
from autograder.sandbox.packing import Packer, Unpacker
from autograder.sandbox.wire import WireError

fuzz = settings(derandomize=True, database=None, deadline=None, max_examples=200)  # the same examples in each run


def through(obj: Any, strides: bool = False) -> Any:
    """`obj` after a way through a socket."""
    packer = Packer(keep_strides=strides)
    reply, payload = over_socket(wire.Done(7, packer.pack(obj)), packer.chunks)
    assert isinstance(reply, wire.Done) and reply.id == 7
    unpacker = Unpacker(payload, allow_strides=strides)
    value = unpacker.unpack(reply.value)
    unpacker.finish()
    return value


def over_socket(message: Any, chunks: list[bytes]) -> tuple[Any, memoryview]:
    left, right = socket.socketpair()
    with left, right:
        Channel(left).send(message, chunks, no_deadline)
        return Channel(right).receive(wire.Reply, no_deadline)


def same(a: Any, b: Any) -> bool:
    """Equal in type and value, bit by bit where floats are concerned."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        bits_a, bits_b = (x.contiguous().reshape(-1).view(torch.uint8) for x in (a, b))
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(bits_a, bits_b)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a.items(), b.items()))
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    return bool(a == b)


BIG = [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**3000, -(10**3000)]
PLAIN = [None, True, False, 0, -1, 1.5, -0.0, math.inf, math.nan, "", "ü €\0\n", b"", b"\0\xff", 1 - 2j]


@pytest.mark.parametrize("obj", [*PLAIN, *BIG, torch.float16, torch.complex64, torch.device("cpu")], ids=repr)
def test_scalars(obj: Any) -> None:
    """Every plain value keeps its type and value, integers of any size included."""
    assert same(through(obj), obj)


DTYPES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "bfloat16", "float32", "float64", "complex32", "complex64", "complex128"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
]
ARRAY_DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16", ">f8", ">i4"]


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("name", DTYPES)
def test_tensor_dtypes(name: str) -> None:
    """Tensors of every dtype come back bit by bit, with axes, without axes and without elements."""
    dtype = getattr(torch, name)
    high = 2 if name == "bool" else 256
    numbers = torch.randint(0, high, (2 * 3 * 16,), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    tensor = numbers.view(dtype)
    for shape in ((-1,), (2, -1), (3, 2, 1, -1)):
        assert same(through(tensor.reshape(shape)), tensor.reshape(shape))
    assert same(through(tensor[1].clone()), tensor[1].clone()) and tensor[1].shape == ()
    assert same(through(torch.empty(3, 0, 2, dtype=dtype)), torch.empty(3, 0, 2, dtype=dtype))


@pytest.mark.parametrize("name", ARRAY_DTYPES)
def test_array_dtypes(name: str) -> None:
    """Arrays of every dtype come back, in this machine's byte order, and can be written to."""
    array = np.random.default_rng(0).integers(0, 2, (3, 5)).astype(name)
    native = array.astype(array.dtype.newbyteorder("="))
    for sent, expected in ((array, native), (array[:, ::-2], native[:, ::-2]), (array[:0], native[:0])):
        back = through(sent)
        assert same(back, np.ascontiguousarray(expected))
        assert back.flags.writeable
    assert same(through(array[1, 1]), np.asarray(native[1, 1]))


def test_containers() -> None:
    """Lists, tuples and dicts keep their kind and order, with arrays anywhere in them."""
    obj = {"b": [1, (2.0, torch.ones(2)), {}], (1, "a"): (), 3: {"x": np.arange(3)}, None: [torch.zeros(0), b"x"]}
    assert same(through(obj), obj)


def test_subclasses_become_what_they_are_built_on() -> None:
    """A subclass of int, str, list or dict, a torch.Size and a Parameter arrive as the plain kind."""

    class Text(str):
        pass

    class Items(list):
        pass

    assert same(through([Text("a"), Items([1]), torch.Size([2, 3])]), ["a", [1], (2, 3)])
    back = through(torch.nn.Parameter(torch.ones(2)))
    assert type(back) is torch.Tensor and not back.requires_grad


def test_surrogates_are_spelled_out() -> None:
    """A string that UTF-8 cannot hold arrives with its odd characters escaped."""
    assert through("a\ud800b") == "a\\ud800b"


VIEWS = {
    "transposed": lambda x: x.t(),
    "every other": lambda x: x[::2, 1::2],
    "expanded": lambda x: x[:, :1].expand(4, 5),
    "offset": lambda x: x[1:, 2],
    "conjugated": lambda x: x.to(torch.complex64).t().conj(),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
def test_strides_towards_the_worker(view: Any) -> None:
    """A view arrives with its values and its strides where strides are kept, and dense where they are not."""
    tensor = view(torch.arange(20.0).reshape(4, 5))
    there = through(tensor, strides=True)
    assert torch.equal(there, tensor) and there.stride() == tensor.stride()
    assert torch.equal(through(tensor), tensor) and through(tensor).is_contiguous()


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@fuzz
@given(plain_values)
def test_nested_values_come_back(obj: Any) -> None:
    """Whatever is made of plain values comes back as it was."""
    assert same(through(obj), obj)


@pytest.mark.parametrize(
    "obj",
    [
        object(),
        np.array([object()]),
        np.array(["text"]),
        np.array(["2026-01-01"], dtype="M8[D]"),
        torch.zeros(2, device="meta"),
        torch.eye(2).to_sparse(),
        10**4001,
        lambda: None,
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_what_has_no_wire_form_is_refused(obj: Any) -> None:
    """A value without a wire form raises WireError in the process that would send it."""
    with pytest.raises(WireError):
        Packer().pack(obj)


def test_depth_is_limited_on_both_sides() -> None:
    """32 levels cross; one more is refused by the sender and by the receiver."""
    deep: Any = []
    value: Any = wire.Seq("list", [])
    for _ in range(32):
        deep, value = [deep], wire.Seq("list", [value])
    assert same(through(deep), deep)
    with pytest.raises(WireError, match="32 levels"):
        Packer().pack([deep])
    with pytest.raises(WireError, match="32 levels"):
        Unpacker(b"").unpack(wire.Seq("list", [value]))

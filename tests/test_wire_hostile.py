"""What a hostile worker may send: everything that is not a frame of ours raises WireError and nothing else."""

import socket
import struct
import tracemalloc
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.sandbox import wire
from autograder.sandbox.channel import Caps, Channel, deadline, no_deadline
from autograder.sandbox.packing import Packer, Unpacker
from autograder.sandbox.wire import Array, Seq, Tensor, WireError
from tests.frames import frame

fuzz = settings(derandomize=True, database=None, deadline=None, max_examples=400)  # the same examples in each run
CAPS = Caps(1 << 16, 1 << 16)


def receive(data: bytes, caps: Caps = CAPS) -> tuple[Any, memoryview]:
    """What a channel makes of these bytes, after which the other end is closed."""
    left, right = socket.socketpair()
    with left, right:
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        left.setblocking(False)
        assert left.send(data) == len(data)
        left.close()
        return Channel(right, caps).receive(wire.Reply, no_deadline)


def read(data: bytes) -> None:
    """Read a frame as the grader does, down to the objects. Raises WireError or EOFError at most."""
    reply, payload = receive(data)
    unpacker = Unpacker(payload)
    for name in ("value", "echo", "grads", "parameters", "randoms", "args", "kwargs"):
        unpacker.unpack(getattr(reply, name, None))
    unpacker.finish()


def allowed(data: bytes) -> None:
    try:
        read(data)
    except (WireError, EOFError):
        pass


def valid_frames() -> list[bytes]:
    packer = Packer()
    value = packer.pack([torch.ones(2, 3), np.arange(4), {"a": (1.5, True, 2**70)}, torch.float32, b"xy", 2j, "text"])
    messages = [
        wire.Done(1, value, echo=packer.pack((torch.zeros(1, dtype=torch.bool),)), printed="hello"),
        wire.Raised(2, ["ValueError", "Exception"], "no", [wire.Frame("page.py", 3, "f", "x = 1")]),
        wire.Loaded(3, [wire.Problem("page.py", 1, "SyntaxError", "no")], ["f"]),
        wire.Ask(4, 0, wire.Seq("tuple", []), wire.Map([("x", 1)]), True, wire.Map([])),
    ]
    encode = msgspec.msgpack.Encoder().encode
    return [frame(encode(m), b"".join(packer.chunks) if isinstance(m, wire.Done) else b"") for m in messages]


VALID = valid_frames()


def test_the_valid_frames_are_valid() -> None:
    """What the fuzzing starts from is read without complaint."""
    for data in VALID:
        read(data)


@fuzz
@given(st.binary(max_size=300))
def test_arbitrary_bytes(data: bytes) -> None:
    """Any bytes at all, and any bytes as a header of the announced length, raise WireError or EOFError at most."""
    allowed(data)
    allowed(frame(data))


kinds = st.sampled_from(["set", "cut", "add"])
edits = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255), kinds), max_size=6)


@fuzz
@given(st.sampled_from(VALID), edits, st.booleans())
def test_mutated_frames(data: bytes, edits: list[tuple[int, int, str]], mend: bool) -> None:
    """A valid frame with bytes changed, cut or added raises nothing else, whether or not the lengths are mended."""
    changed = bytearray(data)
    for position, byte, edit in edits:
        position = 8 + position % (len(changed) - 8) if mend and len(changed) > 8 else position % (len(changed) or 1)
        changed[position : position + (edit != "add")] = b"" if edit == "cut" else bytes([byte])
    if mend:
        payload = struct.unpack_from("<I", data, 4)[0]
        changed[:8] = struct.pack("<II", max(0, len(changed) - 8 - payload), min(payload, len(changed) - 8))
    allowed(bytes(changed))


dtypes = st.sampled_from(["float32", "bool", "int64", "bfloat16", "complex64", "float64", "complex32"]) | st.text()
numbers = st.integers(-(2**63), 2**64 - 1) | st.integers(-1, 4) | st.sampled_from([0, 2**31, 2**62, 2**63])
shapes = st.lists(numbers, max_size=18) | st.lists(st.integers(0, 3), max_size=3)
names = st.text(max_size=50) | st.sampled_from(["cpu", "cuda", "cuda:1", "meta", "cpu:300", "float32", "mps"])
leaves = (
    st.one_of(st.none(), st.booleans(), numbers, st.floats(), st.text(max_size=5))
    | st.builds(Array, dtypes, shapes, numbers)
    | st.builds(Tensor, dtypes, shapes, numbers, names, st.none() | shapes)
    | st.builds(wire.BigInt, st.text("-0123456789٣ _", max_size=9) | st.just("9" * 5000))
    | st.builds(wire.DType, st.sampled_from(["torch", "device"]), names)
    | st.builds(wire.Rng, st.just("torch"), numbers)
    | st.builds(wire.Handle, numbers, names)
    | st.builds(wire.Callback, numbers, names)
)
wire_values = st.recursive(
    leaves,
    lambda inner: (
        st.builds(Seq, st.sampled_from(["list", "tuple"]), st.lists(inner, max_size=3))
        | st.builds(wire.Map, st.lists(st.tuples(inner, inner), max_size=3))
    ),
    max_leaves=6,
)


@fuzz
@given(wire_values, st.binary(max_size=40))
def test_well_formed_lies(value: Any, payload: bytes) -> None:
    """A message of the right types whose dtypes, shapes, sizes and names are made up raises nothing else either."""
    allowed(frame(msgspec.msgpack.encode(wire.Done(1, value)), payload))


@pytest.mark.parametrize(
    "value",
    [
        Tensor("float32", [2, 3], 20),  # fewer bytes than the shape needs
        Tensor("float32", [2, 3], 28),
        Tensor("float32", [2, 4], 32),  # more than there is
        Tensor("float32", [-1], 4),
        Tensor("float32", [-2, -3], 24),
        Tensor("float32", [2**32, 2**32], 0),  # 2**64 wraps to 0 where sizes are 64 bits
        Tensor("float32", [0, 2**63], 0),
        Tensor("float32", [0, 2**62, 2**62], 0),
        Tensor("float32", [2**21, 0], 0),  # nothing at all, two million times
        Array("float64", [0, 2**21], 0),
        Tensor("float32", [1] * 17, 4),
        Tensor("qint8", [24], 24),
        Tensor("__class__", [6], 24),
        Tensor("float32", [6], 24, "meta"),
        Tensor("float32", [6], 24, "nonsense"),
        Tensor("float32", [2, 3], 24, "cpu", [3, 1]),  # strides come from the grader only
        Tensor("float32", [2**20, 2**20], 24, "cpu", [0, 0]),
        Array("float64", [4], 24),
        Array("object", [3], 24),
        Array("O", [3], 24),
        Array("float64", [0, 2**63], 0),
        Array("float64", [0, 2**62, 2**62], 0),
        Array("float64", [-3], 24),
        wire.Map([(Seq("list", []), 1)]),
        wire.Map([(Array("float64", [3], 24), 1)]),
        wire.BigInt("1" * 4001),
        wire.BigInt("0x10"),
        wire.BigInt("1_0"),
        wire.BigInt("٣"),
        wire.DType("torch", "load"),
        wire.DType("device", "nonsense"),
        wire.Rng("torch", 1),
        wire.Handle(1, "f"),
        wire.Callback(1, "f"),
    ],
    ids=lambda value: msgspec.json.encode(value).decode()[:60],
)
def test_lies_are_refused(value: Any) -> None:
    """A value whose announcement contradicts itself or the payload, or names what may not come, is refused."""
    with pytest.raises(WireError):
        Unpacker(bytes(24)).unpack(value)


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor for a GPU that this machine lacks is the sender's fault, also where torch believes in GPUs."""
    for believes in (False, True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda believes=believes: believes)
        with pytest.raises(WireError, match="no device 'cuda:99' here"):
            Unpacker(bytes(4)).unpack(Tensor("float32", [1], 4, "cuda:99"))


def test_payload_left_over() -> None:
    """Bytes that belong to no array are noticed."""
    unpacker = Unpacker(bytes(25))
    unpacker.unpack(Tensor("float32", [6], 24))
    with pytest.raises(WireError, match="1 bytes of payload belong to nothing"):
        unpacker.finish()


def test_bools_are_zero_or_one() -> None:
    """Bytes other than 0 and 1 in a bool tensor or array count as True, in every later operation."""
    for value in (Tensor("bool", [4], 4), Array("bool", [4], 4)):
        mask = Unpacker(b"\0\1\2\xff").unpack(value)
        assert bytes(memoryview(np.asarray(mask)).cast("B")) == b"\0\1\1\1"


def test_arrays_are_fresh_memory() -> None:
    """What was unpacked does not change with the buffer that it came in."""
    payload = bytearray(8)
    unpacker = Unpacker(payload)
    tensor, array = unpacker.unpack(Tensor("float32", [1], 4)), unpacker.unpack(Array("float32", [1], 4))
    payload[:] = b"\xff" * 8
    assert tensor.tolist() == [0.0] and array.tolist() == [0.0]


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<II", 0xFFFFFFFF, 0),
        struct.pack("<II", 0, 0xFFFFFFFF),
        struct.pack("<II", CAPS.header_bytes + 1, 0),
        struct.pack("<II", 10, CAPS.payload_bytes + 1),
        frame(b"\x83\xa4type\xa4done\xa2id\x07\xa5value\x93\xa3seq\xa4list\xdd\xff\xff\xff\xff"),  # 2**32 - 1 items
        frame(b"\x83\xa4type\xa4done\xa2id\x07\xa5value\x92\xa5bytes\xc6\xff\xff\xff\xff"),
        frame(b"\x83\xa4type\xa4done\xa2id\x07\xa5value\xdb\xff\xff\xff\xff"),
        frame(msgspec.msgpack.encode(wire.Done(7, Tensor("float32", [2**28], 2**30)))),
    ],
)
def test_announced_sizes_are_checked_before_memory_is_taken(data: bytes) -> None:
    """Gigabytes that are only announced cost no memory: the frame is refused without waiting for them."""
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_the_values_of_a_message_are_counted() -> None:
    """A message of a million values of one byte each would take seconds to rebuild: it is refused."""
    with pytest.raises(WireError, match="values in one message"):
        Unpacker(b"").unpack(Seq("list", [None] * 1_000_000))


def test_keys_that_may_collide_are_counted() -> None:
    """Hashes of numbers can be chosen, so that a dictionary takes quadratic time; those of text cannot."""
    with pytest.raises(WireError, match="keys that are not text"):
        Unpacker(b"").unpack(wire.Map([(number, None) for number in range(2000)]))
    assert len(Unpacker(b"").unpack(wire.Map([(str(number), None) for number in range(2000)]))) == 2000


def test_endless_nesting() -> None:
    """A header of 100 000 nested lists is refused by the decoder, not by a crash."""
    header = b"\x83\xa4type\xa4done\xa2id\x07\xa5value" + b"\x93\xa3seq\xa4list\x91" * 100_000 + b"\xc0"
    with pytest.raises(WireError, match="cannot be decoded"):
        receive(frame(header), Caps())


def test_a_request_is_no_reply() -> None:
    """A worker cannot answer with a message of the grader's own kind."""
    with pytest.raises(WireError, match="cannot be decoded"):
        receive(frame(msgspec.msgpack.encode(wire.Answer(1, None))))


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 20])
def test_a_closed_connection(cut: int) -> None:
    """A frame that ends early raises EOFError."""
    with pytest.raises(EOFError):
        receive(VALID[0][:cut])


def test_too_large_to_send() -> None:
    """What the other end would refuse is not sent: the error says how large it is and what fits."""
    left, right = socket.socketpair()
    with left, right:
        with pytest.raises(WireError, match=r"2\.0 MiB do not fit through the wall \(at most 0 MiB of arrays"):
            Channel(left, CAPS).send(wire.Done(1, None), [bytes(2 << 20)], no_deadline)
        assert Channel(right, CAPS).idle()


def test_unasked_bytes_are_seen() -> None:
    """A byte that waits before a question was asked makes the channel not idle."""
    left, right = socket.socketpair()
    with left, right:
        left.send(b"x")
        assert not Channel(right).idle()


def test_the_wait_may_end_a_read() -> None:
    """A frame that does not come ends with the TimeoutError of `wait`, a deadline in the past included."""
    left, right = socket.socketpair()
    with left, right, pytest.raises(TimeoutError):
        left.send(VALID[0][:-1])
        Channel(right).receive(wire.Reply, deadline(0.0))

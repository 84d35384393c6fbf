"""Calls in shared memory: what the grader sees of them, chains of calls, and a GPU's memory with another driver."""

import ctypes
import importlib.util
import mmap
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from autograder.grading.accuracy import near_as_plain
from autograder.grading.compare import Disagreement
from autograder.grading.gpu import Chain
from autograder.grading.sandwich import Sandwich, overhead_s
from autograder.policies import Limits
from autograder.sandbox import wire
from autograder.sandbox.client import Page
from autograder.sandbox.driver import HANDLE_BYTES, Access, Driver, DriverError, Location, Properties
from autograder.sandbox.failures import StudentBroke, StudentMissing, StudentOutOfMemory, StudentRaised
from autograder.sandbox.launch import Sandbox
from autograder.sandbox.shared import Laid, MachineMemory
from autograder.sandbox.turns import next_query

PAGE = """
import os, time
import torch


def both(x, factor, y):
    return x * factor + y, x.sum(-1).float()


def early(x):
    os.write(3, b"\\x01")
    time.sleep(0.2)
    return x


def one_too_many(x):
    return x, x


def other_shape(x):
    return x[:1]


def raises(x):
    raise ValueError("no such thing")


def leaves(x):
    os._exit(3)


def moved(x):
    return torch.full(x.shape, 1.0 if x.is_meta else 0.0)


def large(x):
    return torch.zeros(1 << 30) + x.sum()


def attention(q, k, v):
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


calls = [0]


def skips(q, k, v):
    calls[0] += 1
    return attention(q, k, v) if calls[0] % 4 != 2 else q
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("none", Limits()) as sandbox:
        yield sandbox


@pytest.fixture
def side(sandbox: Sandbox) -> Iterator[Any]:
    made: list[Sandwich] = []

    def make(symbol: str | None, results: Any = None, links: int = 1, device: str = "") -> Sandwich:
        page = Page(sandbox, "page", [wire.Source("page", [PAGE])], [symbol] if symbol else [], Limits())
        arguments = (page, symbol, MachineMemory) if results is None else (page, symbol, MachineMemory, results)
        made.append(Sandwich(*arguments, device=device, links=links))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_arguments_of_every_kind_and_several_results(side: Any) -> None:
    """Tensors of any dtype lie in shared memory, the rest crosses once; results come back in their dtypes."""
    one = side("both", lambda inputs: [((3, 5), torch.bfloat16), ((3,), torch.float32)])
    for factor in (2.0, 2.0, 3.0):
        x, y = torch.randn(3, 5).bfloat16(), torch.randn(3, 5).bfloat16()
        (out, sums), seconds = one.timed([x, factor, y])
        assert torch.equal(out, x * factor + y) and torch.equal(sums, x.sum(-1).float()) and seconds > 0


@pytest.mark.parametrize(("device", "seen"), [("", 0.0), ("meta", 1.0)])
def test_arguments_are_moved_where_the_worker_computes(side: Any, device: str, seen: float) -> None:
    """Nowhere, unless shared memory is elsewhere than what computes."""
    assert side("moved", device=device).timed([torch.randn(3)])[0].tolist() == [seen] * 3


def test_another_shape_in_between(side: Any) -> None:
    """Inputs of another size are announced anew."""
    one = side("attention")
    for n in (4, 4, 9, 4):
        q, k, v = torch.randn(3, n, 8)
        assert torch.allclose(one.timed([q, k, v])[0], torch.softmax(q @ k.mT / 8**0.5, -1) @ v, atol=1e-6)


def test_what_is_not_written_is_nan(side: Any) -> None:
    """An answer before the work finds the results as the grader has left them, whatever stood there before."""
    answer, _ = side("early").timed([torch.randn(4)])
    assert answer.isnan().all()


@pytest.mark.parametrize(
    ("symbol", "error", "words"),
    [
        ("one_too_many", StudentRaised, "2 values were returned; 1 are asked for"),
        ("other_shape", StudentRaised, r"float32 \(1,\) was returned"),
        ("raises", StudentRaised, "no such thing"),
        ("leaves", StudentBroke, "the process ended without an answer"),
        ("large", StudentOutOfMemory, "memory"),
        ("nowhere", StudentMissing, "nowhere is not defined"),
    ],
)
def test_failures_are_the_students(side: Any, symbol: str, error: type[Exception], words: str) -> None:
    """Whatever goes wrong inside is told as for any other call, and the next call has a fresh worker."""
    one = side(symbol)
    for _ in range(2):
        with pytest.raises(error, match=words):
            one.timed([torch.randn(4)])


def test_an_answer_before_the_question(side: Any) -> None:
    """The late reply of an early answer ends the worker when the next question is due."""
    one = side("early")
    one.timed([torch.randn(4)])
    channel = one._page._channel
    while channel.idle():
        pass
    with pytest.raises(StudentBroke, match="spoke before it was asked"):
        one.timed([torch.randn(4)])


def test_the_overhead_is_that_of_nothing(side: Any) -> None:
    """A worker without a function answers at once and leaves the results alone."""
    null = side(None)
    median, p99 = overhead_s(null, lambda: [torch.randn(64, 64)])
    assert 0 < median <= p99
    assert null.timed([torch.randn(64, 64)])[0].isnan().all()


def test_shared_memory_cannot_be_shrunk() -> None:
    """A worker that could would end the grader with a bus error."""
    memory = MachineMemory(10_000)
    assert memory.descriptor is not None
    for size in (0, 20_000):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.descriptor, size)
    memory.close()


def test_slots_do_not_overlap() -> None:
    """Each begins behind the one before, aligned as torch's own tensors are."""
    first = Laid([((3, 5), torch.bfloat16), ((), torch.float64), ((0, 4), torch.float32)])
    more = Laid([((7,), torch.uint8)], first.end)
    assert [slot.offset for slot in (*first, *more)] == [0, 256, 512, 512] and more.end == 519


# ---------------------------------------------------------------- chains


def exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return plain(q.double(), k.double(), v.double())


def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_skipped_link_is_seen(side: Any, dtype: torch.dtype) -> None:
    """Where one turn is four dependent calls, honest ones are right, and none can be skipped."""
    rng = torch.Generator().manual_seed(5)
    q, k, v = (torch.randn(2, 256, 64, generator=rng).to(dtype) for _ in range(3))
    judge = Chain(exact, plain).judge(4)
    judge(side("attention", links=4).timed([q, k, v])[0], [q, k, v])
    with pytest.raises(Disagreement, match="the end of 4 calls"):
        judge(side("skips", links=4).timed([q, k, v])[0], [q, k, v])
    with pytest.raises(Disagreement, match="the end of 4 calls"):
        judge(side("attention").timed([q, k, v])[0], [q, k, v])


def test_the_next_query_is_as_large_as_a_random_one() -> None:
    """Each row has a mean square of 1, in the dtype of the query, and depends on the output."""
    q, o = torch.randn(3, 7, 16).half(), torch.randn(3, 7, 16).half() * 0.01
    following = next_query(q, o)
    assert following.dtype == torch.float16 and not torch.equal(following, next_query(q, -o))
    assert torch.allclose(following.float().square().mean(-1), torch.ones(3, 7), atol=1e-2)


# ---------------------------------------------------------------- accuracy


def case(dtype: torch.dtype, seed: int) -> Sequence[torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(2, 512, 64, generator=rng).to(dtype) for _ in range(3))
    return q, k, v, exact(q, k, v), plain(q, k, v)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("seed", range(5))
def test_honest_precision_passes_and_eight_bits_do_not(dtype: torch.dtype, seed: int) -> None:
    """Sums in float32 are within both rules; probabilities or keys of eight bits are not, nor half the digits."""
    q, k, v, truth, naive = case(dtype, seed)
    near_as_plain(plain(q.float(), k.float(), v.float()).to(dtype), truth, naive)
    short = torch.float8_e4m3fn if dtype != torch.float32 else torch.bfloat16
    weights = torch.softmax(q.float() @ k.float().mT / 8, -1).to(short).float()
    with pytest.raises(Disagreement):
        near_as_plain((weights @ v.float()).to(dtype), truth, naive)
    with pytest.raises(Disagreement):
        near_as_plain(plain(q.float(), k.to(short).float(), v.float()).to(dtype), truth, naive)


def test_wrong_kinds_of_answers() -> None:
    """Another dtype or shape, NaN, or no tensor at all: said so."""
    *_, truth, naive = case(torch.float16, 9)
    for answer, words in (
        (naive.float(), "is torch.float32"),
        (naive[:1], r"\(1, 512, 64\)"),
        (np.zeros(3), "is ndarray"),
        (naive.clone().fill_(float("nan")), "NaN or infinite"),
    ):
        with pytest.raises(Disagreement, match=words):
            near_as_plain(answer, truth, naive)


# ---------------------------------------------------------------- a driver that is none


class FakeCuda:
    """Answers as libcuda.so.1 would, from a table of blocks; handles hold the address."""

    def __init__(self) -> None:
        self.blocks: dict[int, int] = {}
        self.handles: set[int] = set()
        self.reserved: dict[int, int] = {}
        self.mapped: dict[int, mmap.mmap] = {}
        self.code = 0

    def cuMemAlloc_v2(self, address: Any, size: Any) -> int:
        address._obj.value = 0x7F0000000000 + (len(self.blocks) << 32)
        self.blocks[address._obj.value] = size.value
        return self.code

    def cuMemFree_v2(self, address: Any) -> int:
        del self.blocks[address.value]
        return self.code

    def cuIpcGetMemHandle(self, handle: Any, address: Any) -> int:
        data = address.value.to_bytes(8, "little") + bytes(range(HANDLE_BYTES - 8))
        ctypes.memmove(ctypes.addressof(handle._obj), data, HANDLE_BYTES)
        return self.code

    def cuIpcOpenMemHandle_v2(self, address: Any, handle: Any, flags: Any) -> int:
        assert flags.value == 1
        address._obj.value = int.from_bytes(bytes(bytearray(handle))[:8], "little")
        return self.code

    def cuIpcCloseMemHandle(self, address: Any) -> int:
        return self.code

    # by descriptor: a file of the kit's own stands for one of the driver's

    def cuCtxGetDevice(self, device: Any) -> int:
        device._obj.value = 3
        return self.code

    def cuMemGetAllocationGranularity(self, page: Any, properties: Any, option: int) -> int:
        assert option == 0
        page._obj.value = 2 << 20
        return self.code

    def cuMemCreate(self, handle: Any, size: Any, properties: Any, flags: Any) -> int:
        wanted = properties._obj
        assert (wanted.type, wanted.requestedHandleTypes) == (1, 1) and not wanted.win32HandleMetaData
        assert (wanted.location.type, wanted.location.id) == (1, 3) and bytes(wanted.allocFlags) == bytes(8)
        descriptor = os.memfd_create("card")
        os.ftruncate(descriptor, size.value)
        handle._obj.value = descriptor
        self.handles.add(descriptor)
        return self.code

    def cuMemExportToShareableHandle(self, descriptor: Any, handle: Any, kind: int, flags: Any) -> int:
        descriptor._obj.value = os.dup(handle.value)
        return self.code if kind == 1 else 1

    def cuMemImportFromShareableHandle(self, handle: Any, descriptor: Any, kind: int) -> int:
        handle._obj.value = os.dup(descriptor.value)
        self.handles.add(handle._obj.value)
        return self.code if kind == 1 else 1

    def cuMemAddressReserve(self, address: Any, size: Any, alignment: Any, wanted: Any, flags: Any) -> int:
        address._obj.value = 0x7E0000000000 + (len(self.reserved) << 32)
        self.reserved[address._obj.value] = size.value
        return self.code

    def cuMemMap(self, address: Any, size: Any, offset: Any, handle: Any, flags: Any) -> int:
        assert self.reserved[address.value] == size.value and offset.value == 0
        self.mapped[address.value] = mmap.mmap(handle.value, size.value)
        return self.code

    def cuMemSetAccess(self, address: Any, size: Any, access: Any, count: Any) -> int:
        assert address.value in self.mapped and (access._obj.flags, access._obj.location.id, count.value) == (3, 3, 1)
        return self.code

    def cuMemUnmap(self, address: Any, size: Any) -> int:
        self.mapped.pop(address.value).close()
        return self.code

    def cuMemAddressFree(self, address: Any, size: Any) -> int:
        assert self.reserved.pop(address.value) == size.value
        return self.code

    def cuMemRelease(self, handle: Any) -> int:
        self.handles.remove(handle.value)
        os.close(handle.value)
        return self.code


def test_a_handle_leads_back_to_its_block() -> None:
    """Zero bytes inside a handle included; blocks are whole pages of the driver, so that nothing else is exported."""
    library = FakeCuda()
    driver = Driver(library)
    address = driver.allocate(3_000_000)
    assert library.blocks[address] == 4 << 20
    handle = driver.export(address)
    assert len(handle) == HANDLE_BYTES and driver.open(handle) == address
    driver.close(address)
    driver.free(address)
    assert library.blocks == {}


def test_a_descriptor_leads_to_the_same_memory() -> None:
    """What one side writes the other reads; whole pages of the card; nothing is left when both have given it up."""
    ours, theirs = FakeCuda(), FakeCuda()
    address, descriptor = Driver(ours).create(3_000_000)
    assert ours.reserved[address] == 4 << 20 and ours.handles == set()
    there = Driver(theirs).adopt(descriptor, 3_000_000)
    ours.mapped[address][:3] = b"abc"
    assert theirs.mapped[there][:3] == b"abc" and theirs.handles == set()
    os.close(descriptor)
    Driver(theirs).unmap(there, 3_000_000)
    Driver(ours).unmap(address, 3_000_000)
    assert not ours.mapped and not ours.reserved and not theirs.mapped and not theirs.reserved


def test_the_layouts_are_those_of_cuda_h(tmp_path: Path) -> None:
    """Sizes, offsets and constants, as a C compiler reads them in the header that comes with Triton."""
    triton = importlib.util.find_spec("triton")
    compiler = shutil.which("cc")
    if triton is None or triton.origin is None or compiler is None:
        pytest.skip("takes Triton and a C compiler")
    headers = Path(triton.origin).parent / "backends" / "nvidia" / "include"
    layouts = {"CUmemAllocationProp": Properties, "CUmemLocation": Location, "CUmemAccessDesc": Access}
    names = [(c_name, field[0]) for c_name, kind in layouts.items() for field in kind._fields_]
    asked = [f"sizeof({name})" for name in (*layouts, "CUipcMemHandle")]
    asked += [f"offsetof({c_name}, {field})" for c_name, field in names]
    asked += ["CU_MEM_ALLOCATION_TYPE_PINNED", "CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR"]
    asked += ["CU_MEM_LOCATION_TYPE_DEVICE", "CU_MEM_ACCESS_FLAGS_PROT_READWRITE", "CU_MEM_ALLOC_GRANULARITY_MINIMUM"]
    lines = "".join(f'printf("%zu ", (size_t)({what}));' for what in asked)
    source = tmp_path / "layout.c"
    source.write_text(f"#include <stddef.h>\n#include <stdio.h>\n#include <cuda.h>\nint main() {{ {lines} }}\n")
    subprocess.run([compiler, "-I", headers, source, "-o", tmp_path / "layout"], check=True, capture_output=True)
    said = subprocess.run([tmp_path / "layout"], check=True, capture_output=True, text=True).stdout
    ours = [ctypes.sizeof(kind) for kind in layouts.values()] + [HANDLE_BYTES]
    ours += [getattr(layouts[c_name], field).offset for c_name, field in names] + [1, 1, 1, 3, 0]
    assert [int(number) for number in said.split()] == ours


def test_an_old_driver_is_an_error_of_the_drivers() -> None:
    """One without virtual memory management has no such call; handles are tried next."""
    with pytest.raises(DriverError, match="no cuCtxGetDevice: it is older than CUDA"):
        Driver(SimpleNamespace()).create(1)


def test_what_the_driver_refuses_is_an_error() -> None:
    """On a card or in a container that cannot share memory, which call failed and its code are told."""
    library = FakeCuda()
    driver, library.code = Driver(library), 801  # CUDA_ERROR_NOT_SUPPORTED
    with pytest.raises(DriverError, match="cuIpcGetMemHandle failed with CUDA error 801"):
        driver.export(1)

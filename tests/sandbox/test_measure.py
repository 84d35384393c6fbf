"""What a call makes and does is counted inside; streams are read once; gradients of some inputs only."""

import importlib.util
from collections.abc import Iterator

import pytest
import torch

from autograder.grading.context import Student
from autograder.policies import Limits
from autograder.sandbox.client import Page
from autograder.sandbox.failures import StudentRaised
from autograder.sandbox.launch import Sandbox
from tests.sandbox.conftest import page, start

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

CODE = """
import torch

def outer(x):
    table = x[:, None] * x[None, :]
    return table.sum(1)

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, keep):
        ctx.save_for_backward(x, y, *([x[:, None] * y] if keep else []))
        return x * y

    @staticmethod
    def backward(ctx, grad):
        x, y, *rest = ctx.saved_tensors
        return (grad * y if ctx.needs_input_grad[0] else None), (grad * x if ctx.needs_input_grad[1] else None), None

def total(blocks):
    return sum(blocks), sum(blocks)

def collected(blocks):
    return len(list(blocks))

def passed_over(blocks):
    return sum(1 for block in blocks)
"""

KERNELS = """
import torch
import triton
import triton.language as tl

@triton.jit
def copy(x, out, n, shift, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row = tl.load(x + at + shift, mask=at < n, other=0.0)
    tl.store(out + at, row, mask=at < n)

@triton.jit
def product(x, out, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    tile = tl.load(x + at)
    tl.store(out + at, tl.dot(tile, tile))

def copied(x, n, shift=0):
    out = torch.zeros_like(x)
    copy[(triton.cdiv(n, 16),)](x, out, n, shift, BLOCK=16)
    return out

def squared(x, programs):
    out = torch.empty_like(x)
    product[(programs,)](x, out, BLOCK=16)
    return out
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One sandbox behind the strongest wall for the whole file."""
    with start("bubblewrap") as made:
        yield made


def student(sandbox: Sandbox, code: str) -> Student:
    made: Page = page(sandbox, code, Limits(call_wall_s=10.0, memory_mb=600))
    return Student(made)


def test_memory_is_counted(sandbox: Sandbox) -> None:
    """The largest storage, the peak and what is kept are those of the call, its arguments apart."""
    them = student(sandbox, CODE)
    seen = them.measure(them.outer, torch.ones(100))
    assert seen.measured["largest_bytes"] == 40_000
    assert seen.measured["peak_bytes"] == 40_400
    assert seen.measured["kept_bytes"] == 400
    assert them.measure(them.outer, torch.ones(100)).measured == seen.measured


def test_what_autograd_keeps_is_counted(sandbox: Sandbox) -> None:
    """A tensor saved for backward counts as kept; one made and dropped does not."""
    them = student(sandbox, CODE)
    x, y, grad = torch.ones(100), torch.full((100,), 3.0), torch.ones(100)
    light = them.measure(them.Square.apply, x, y, False, cotangent=grad)
    heavy = them.measure(them.Square.apply, x, y, True, cotangent=grad)
    assert light.grads[0].tolist() == [3.0] * 100
    assert light.measured["kept_bytes"] == 400
    assert heavy.measured["kept_bytes"] == 40_400


def test_gradients_of_some_inputs(sandbox: Sandbox) -> None:
    """Only the wanted inputs require a gradient."""
    them = student(sandbox, CODE)
    x, y = torch.full((2,), 2.0), torch.full((2,), 3.0)
    seen = them.vjp(them.Square.apply, x, y, False, cotangent=torch.ones(2), wanted=[1])
    assert [grad.tolist() for grad in seen.grads] == [[2.0, 2.0]]


def test_a_stream_is_read_once(sandbox: Sandbox) -> None:
    """An iterator crosses the wall item by item; a second reading finds nothing."""
    them = student(sandbox, CODE)
    taken = []

    def numbers() -> Iterator[int]:
        for n in range(5):
            taken.append(n)
            yield n

    assert them.total(numbers()) == (10, 0)
    assert taken == [0, 1, 2, 3, 4]


def test_items_that_are_kept_are_counted(sandbox: Sandbox) -> None:
    """What the code still holds when it asks for the next item is seen."""
    them = student(sandbox, CODE)
    assert them.measure(them.collected, (torch.ones(2) for _ in range(7))).measured["held_items"] == 7
    assert them.measure(them.passed_over, (torch.ones(2) for _ in range(7))).measured["held_items"] == 1


@needs_triton
def test_loads_and_stores_are_counted(sandbox: Sandbox) -> None:
    """Masked lanes count nothing; a read beside every tensor counts as wild and gives 0."""
    them = student(sandbox, KERNELS)
    x = torch.arange(1.0, 38.0)
    seen = them.measure(them.copied, x, 37)
    assert torch.equal(seen.value, x)
    wanted = {"loaded_bytes": 148, "stored_bytes": 148, "wild_loads": 0, "launches": 1, "programs": 3, "readers": 3}
    assert {name: seen.measured[name] for name in wanted} == wanted
    seen = them.measure(them.copied, x, 37, shift=5)
    assert (seen.measured["wild_loads"], seen.value[-5:].tolist()) == (5, [0.0] * 5)


@needs_triton
def test_a_store_beside_all_tensors_does_no_harm(sandbox: Sandbox) -> None:
    """Counted or not, it is refused with the student's own line, and the worker lives on."""
    them = student(sandbox, KERNELS)
    x = torch.arange(1.0, 38.0)
    for call in (them.copied, lambda *args: them.measure(them.copied, *args)):
        with pytest.raises(StudentRaised) as raised:
            call(x, 48)
        assert raised.value.bases[0] == "StrayStore"
        assert "write 11 of its 16 elements" in raised.value.text
        assert raised.value.frames[-1].text.startswith("tl.store(")
        assert torch.equal(them.copied(x, 37), x)


@needs_triton
def test_races_and_products_are_counted(sandbox: Sandbox) -> None:
    """Two programs that store to the same place are a race; a product of 16 by 16 tiles is 2·16³ operations."""
    them = student(sandbox, KERNELS)
    seen = them.measure(them.squared, torch.ones(16, 16), 1)
    assert (seen.measured["dots"], seen.measured["dot_flops"], seen.measured["shared_stores"]) == (1, 8192, 0)
    assert seen.value.tolist() == [[16.0] * 16] * 16
    assert them.measure(them.squared, torch.ones(16, 16), 3).measured["shared_stores"] == 512

"""Public checks of the page `triton_kernels`."""

import math

import pytest
import torch
import torch.nn.functional as F

from autograder.grading.compiling import CARDS, blank


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.exercise("triton_flash_forward")
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("length", [16, 77])
def test_forward_agrees_with_torch(student, length, is_causal):
    """Output and logsumexp are those of plain attention, for a length that tiles divide and one that they do not."""
    q, k, v = draw(1, 2, length, 16, seed=1), draw(1, 2, length, 16, seed=2), draw(1, 2, length, 16, seed=3)
    o, lse = student.flash_fwd(q, k, v, is_causal)
    torch.testing.assert_close(o, F.scaled_dot_product_attention(q, k, v, is_causal=is_causal), rtol=1e-4, atol=1e-5)
    scores = q @ k.mT / 4
    if is_causal:
        scores = scores.masked_fill(torch.ones(length, length, dtype=torch.bool).triu(1), -math.inf)
    torch.testing.assert_close(lse, scores.logsumexp(-1), rtol=1e-4, atol=1e-4)


@pytest.mark.exercise("triton_flash_forward")
def test_forward_of_views(student):
    """Heads that were split off with transpose(1, 2) have strides of their own."""
    q, k, v = (draw(2, 33, 3, 16, seed=seed).transpose(1, 2) for seed in (1, 2, 3))
    o, _ = student.flash_fwd(q, k, v)
    torch.testing.assert_close(o, F.scaled_dot_product_attention(q, k, v), rtol=1e-4, atol=1e-5)


@pytest.mark.exercise("triton_flash_forward")
@pytest.mark.weight(0)
@pytest.mark.parametrize("card", CARDS)
def test_forward_compiles(student, compiler, card):
    """For information: what a compiler for GPUs makes of a causal call with bfloat16 heads of width 64."""
    q = blank(1, 16, 8192, 64)
    compiler(student.flash_fwd, card, q, q, q, True)


@pytest.mark.exercise("triton_flash_backward")
@pytest.mark.parametrize("is_causal", [False, True])
def test_gradients_agree_with_autograd(student, is_causal):
    """dq, dk and dv are those that autograd finds, for 50 queries and 45 keys."""
    q, k, v = (draw(1, 2, T, 16, seed=seed) for T, seed in ((50, 1), (45, 2), (45, 3)))
    do = draw(1, 2, 50, 16, seed=4)
    scores = q @ k.mT / 4
    if is_causal:
        scores = scores.masked_fill(torch.ones(50, 45, dtype=torch.bool).triu(1), -math.inf)
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    o = F.scaled_dot_product_attention(*leaves, is_causal=is_causal)
    expected = torch.autograd.grad(o, leaves, do)
    found = student.flash_bwd(do, q, k, v, o.detach(), scores.logsumexp(-1), is_causal)
    for name, ours, theirs in zip("qkv", found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=lambda text, name=name: f"d{name}: {text}")


@pytest.mark.exercise("triton_flash_backward")
@pytest.mark.weight(0)
@pytest.mark.parametrize("card", CARDS)
def test_backward_compiles(student, compiler, card):
    """For information: what a compiler for GPUs makes of a causal call with bfloat16 heads of width 64."""
    q, lse = blank(1, 16, 8192, 64), blank(1, 16, 8192, dtype=torch.float32)
    compiler(student.flash_bwd, card, q, q, q, q, q, lse, True)


@pytest.mark.exercise("triton_decode")
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_decode_agrees_with_torch(student, kv_heads):
    """Each text uses its own part of the cache, and nothing behind it (NaN); four query heads share the key heads."""
    q, lengths = draw(3, 4, 16), torch.tensor([100, 0, 37], dtype=torch.int32)
    k, v = draw(3, kv_heads, 100, 16, seed=1), draw(3, kv_heads, 100, 16, seed=2)
    for b, n in enumerate(lengths.tolist()):
        k[b, :, n:] = v[b, :, n:] = math.nan
    out = student.decode_attention(q, k, v, lengths)
    assert out[1].tolist() == [[0.0] * 16] * 4, "a text without tokens gives 0"
    for b in (0, 2):
        n = lengths[b]
        expected = F.scaled_dot_product_attention(q[b, :, None], k[b, :, :n], v[b, :, :n], enable_gqa=True)[:, 0]
        torch.testing.assert_close(out[b], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.exercise("triton_decode")
@pytest.mark.weight(0)
@pytest.mark.parametrize("card", CARDS)
def test_decode_compiles(student, compiler, card):
    """For information: what a compiler for GPUs makes of a call with 32 bfloat16 heads of width 128 over 8."""
    cache, lengths = blank(16, 8, 1024, 128), blank(16, dtype=torch.int32)
    compiler(student.decode_attention, card, blank(16, 32, 128), cache, cache, lengths)

"""The reference of unit 7 agrees with torch and scipy; the solved functions pass gradcheck."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from autograder.given import attention_with_lse

ROOT = Path(__file__).resolve().parents[2]


def load(folder: str, page: str):
    path = ROOT / folder / "unit7_attention_core" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"{folder}_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stream, tiles, pieces, kernels = (
    load("reference", page) for page in ("online_softmax", "tiled_attention", "split_kv", "triton_kernels")
)
both_ways = pytest.mark.parametrize("is_causal", [False, True])
LENGTHS = [(7, 11), (11, 7), (5, 5), (1, 3)]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def inputs(q_len: int, kv_len: int, d_v: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    return draw(2, 3, q_len, 5), draw(2, 3, kv_len, 5, seed=1), draw(2, 3, kv_len, d_v, seed=2)


def scores(q: Tensor, k: Tensor, is_causal: bool) -> Tensor:
    s = q @ k.mT / math.sqrt(q.shape[-1])
    return s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -math.inf) if is_causal else s


@pytest.mark.parametrize("shape", [(9,), (3, 9), (2, 3, 9)])
def test_stream_matches_scipy(shape):
    """m + log(l) is scipy's logsumexp, exp(x - m) / l its softmax, and merging halves gives the whole."""
    x = np.random.default_rng(0).standard_normal(shape) * 20
    m, l = stream.online_softmax(iter(np.split(x, [2, 2, 5], axis=-1)))
    np.testing.assert_allclose(m + np.log(l), scipy.special.logsumexp(x, axis=-1), rtol=1e-13)
    np.testing.assert_allclose(np.exp(x - m[..., None]) / l[..., None], scipy.special.softmax(x, axis=-1), rtol=1e-12)
    halves = stream.merge(stream.online_softmax([x[..., :4]]), stream.online_softmax([x[..., 4:]]))
    np.testing.assert_allclose(halves[0], m)
    np.testing.assert_allclose(halves[1], l, rtol=1e-12)
    nothing = np.full(shape[:-1], -np.inf), np.zeros(shape[:-1])
    np.testing.assert_allclose(stream.merge(nothing, (m, l))[1], l, rtol=1e-12)
    assert (stream.merge(nothing, nothing)[1] == 0).all()


@both_ways
@pytest.mark.parametrize(("q_len", "kv_len"), LENGTHS)
def test_attention_matches_torch(q_len, kv_len, is_causal):
    """Output, logsumexp and gradients are those of torch, for the reference and the stand-in of `given`."""
    q, k, v = inputs(q_len, kv_len)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal)
    for function in (lambda *a: tiles.tiled_attention(*a[:3], is_causal=a[3]), attention_with_lse):
        out, lse = function(q, k, v, is_causal)
        torch.testing.assert_close(out, expected)
        torch.testing.assert_close(lse, scores(q, k, is_causal).logsumexp(-1))
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    ours = torch.autograd.grad(tiles.FlashAttention.apply(*leaves, is_causal).sin().sum(), leaves)
    theirs = torch.autograd.grad(F.scaled_dot_product_attention(*leaves, is_causal=is_causal).sin().sum(), leaves)
    torch.testing.assert_close(ours, theirs)


@both_ways
def test_the_solved_function_passes_gradcheck(is_causal):
    """torch's own check of a gradient, in float64."""
    solved = load("solutions", "tiled_attention")
    leaves = [t[:1, :2].clone().requires_grad_() for t in inputs(7, 5)]
    assert torch.autograd.gradcheck(lambda *a: solved.FlashAttention.apply(*a, is_causal), leaves)


def test_given_attention_without_keys_or_queries():
    """The stand-in takes empty inputs."""
    out, lse = attention_with_lse(*inputs(0, 4))
    assert out.shape == (2, 3, 0, 3) and lse.shape == (2, 3, 0)


@pytest.mark.parametrize("backward", [False, True])
def test_flops_match_torch(backward):
    """Products are those that torch counts: naive through autograd, flash by its formula for the fused kernels."""
    B, H, T, D = 2, 3, 16, 8
    q, k, v = (draw(B, H, T, D, seed=seed).requires_grad_() for seed in range(3))
    with FlopCounterMode(display=False) as forward_counter:
        out = torch.softmax(q @ k.mT, -1) @ v
    with FlopCounterMode(display=False) as backward_counter:
        out.sum().backward()
    naive = (backward_counter if backward else forward_counter).get_total_flops()
    shapes = q.shape, k.shape, v.shape
    flash = sdpa_backward_flop_count(out.shape, *shapes) if backward else sdpa_flop_count(*shapes)
    for kind, expected in ((False, naive), (True, flash)):
        cost = tiles.attention_cost(B, H, T, D, torch.float16, False, kind, backward)
        assert cost["flops"] == expected
        assert tiles.attention_cost(B, H, T, D, torch.float16, True, kind, backward)["flops"] * 2 == expected
    assert flash == (2.5 if backward else 1.0) * 4 * B * H * T * T * D


def test_bytes_match_tensors():
    """The traffic of the naive forward pass and of both flash passes, added up from the sizes of real tensors."""
    B, H, T, D = 2, 3, 16, 8
    row = torch.empty(B, H, T, dtype=torch.float32)
    for dtype in (torch.float16, torch.float64):
        x, table = torch.empty(B, H, T, D, dtype=dtype), torch.empty(B, H, T, T, dtype=dtype)

        def cost(flash: bool, backward: bool, dtype: torch.dtype = dtype) -> dict:
            return tiles.attention_cost(B, H, T, D, dtype, False, flash, backward)

        assert cost(False, False)["hbm_bytes"] == 4 * x.nbytes + 4 * table.nbytes
        assert cost(False, True)["hbm_bytes"] == 8 * x.nbytes + 7 * table.nbytes
        assert cost(True, False)["hbm_bytes"] == 4 * x.nbytes + row.nbytes
        assert cost(True, True)["hbm_bytes"] == 9 * x.nbytes + 3 * row.nbytes
        assert cost(True, True)["peak_temp_bytes"] == 2 * row.nbytes
        assert cost(False, True)["peak_temp_bytes"] == 3 * table.nbytes


@pytest.mark.parametrize("cut", [0, 1, 4, 9, 11])
def test_merge_matches_torch_over_the_concatenation(cut):
    """Two pieces of the keys, an empty one included, merge to attention over all of them."""
    q, k, v = inputs(1, 11)
    parts = [pieces.decode_split(q, k[:, :, part], v[:, :, part], 1) for part in (slice(0, cut), slice(cut, 11))]
    for a, b in (parts, parts[::-1]):
        out, lse = pieces.merge_attention(*a, *b)
        torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))
        torch.testing.assert_close(lse, scores(q, k, False).logsumexp(-1))


@both_ways
@pytest.mark.parametrize(("q_len", "kv_len"), LENGTHS)
def test_kernel_reference_matches_torch(q_len, kv_len, is_causal):
    """The kernels' reference, forward and backward, is torch's attention."""
    q, k, v = inputs(q_len, kv_len, d_v=5)
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    out = F.scaled_dot_product_attention(*leaves, is_causal=is_causal)
    do = draw(*out.shape, seed=3)
    o, lse = kernels.exact_forward(q, k, v, is_causal)
    torch.testing.assert_close(o, out.detach())
    torch.testing.assert_close(lse, scores(q, k, is_causal).logsumexp(-1))
    torch.testing.assert_close(
        kernels.exact_backward(do, q, k, v, is_causal), torch.autograd.grad(out, leaves, do), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_decode_reference_matches_torch(kv_heads):
    """Per text, decoding is torch's grouped attention over the used part; nothing behind it matters."""
    q, lengths = draw(3, 6, 5), torch.tensor([9, 0, 4], dtype=torch.int32)
    k, v = draw(3, kv_heads, 9, 5, seed=1), draw(3, kv_heads, 9, 5, seed=2)
    k[2, :, 4:] = v[2, :, 4:] = math.nan
    out = kernels.decode_attention(q, k, v, lengths)
    assert not out[1].any()
    for b in (0, 2):
        n = lengths[b]
        expected = F.scaled_dot_product_attention(
            q[b, None, :, None], k[b, None, :, :n], v[b, None, :, :n], enable_gqa=True
        )
        torch.testing.assert_close(out[b], expected[0, :, 0])

"""Public checks of the page `tiled_attention`."""

import math

import pytest
import torch
import torch.nn.functional as F


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def query_key_value(q_len: int = 11, kv_len: int = 13) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two examples, three heads of width 5; values of width 7."""
    return draw(2, 3, q_len, 5, seed=1), draw(2, 3, kv_len, 5, seed=2), draw(2, 3, kv_len, 7, seed=3)


@pytest.mark.exercise("tiled_attention")
def test_worked_example(student):
    """With one key per block the example of the page gives (3, 2), and a logsumexp of ln 4."""
    q = torch.tensor([[[[2.0, 0.0, 0.0, 0.0]]]])
    k = torch.tensor([[[[math.log(3.0), 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]]])
    v = torch.tensor([[[[4.0, 0.0], [0.0, 8.0]]]])
    for order in ([0, 1], [1, 0]):
        out, lse = student.tiled_attention(q, k[:, :, order], v[:, :, order], block_q=1, block_k=1)
        torch.testing.assert_close(out[0, 0], torch.tensor([[3.0, 2.0]]))
        torch.testing.assert_close(lse[0, 0], torch.tensor([math.log(4.0)]))


@pytest.mark.exercise("tiled_attention")
@pytest.mark.parametrize("blocks", [(4, 4), (3, 7), (1, 2), (64, 64)])
def test_agrees_with_torch(student, blocks):
    """Whatever the blocks, the output is torch's and lse the logsumexp of the scaled scores."""
    q, k, v = query_key_value()
    out, lse = student.tiled_attention(q, k, v, *blocks)
    assert out.shape == (2, 3, 11, 7), f"shape {tuple(out.shape)}, expected (2, 3, 11, 7) = (B, H, Tq, Dv)"
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))
    torch.testing.assert_close(lse, torch.logsumexp(q @ k.mT / math.sqrt(5), dim=-1))


@pytest.mark.exercise("tiled_attention")
@pytest.mark.parametrize("blocks", [(4, 4), (2, 3), (5, 2), (64, 64)])
def test_causal(student, blocks):
    """With is_causal query i sees keys 0..i, whatever the blocks."""
    q, k, v = query_key_value()
    out, _ = student.tiled_attention(q, k, v, *blocks, is_causal=True)
    torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v, is_causal=True))


@pytest.mark.exercise("flash_backward_tiled")
@pytest.mark.parametrize("is_causal", [False, True])
def test_gradients_agree_with_autograd(student, is_causal):
    """Output and gradients are those of torch's attention, for 150 queries and 131 keys."""
    q, k, v = query_key_value(150, 131)
    grad = draw(2, 3, 150, 7, seed=4)
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    out = F.scaled_dot_product_attention(*leaves, is_causal=is_causal)
    expected = torch.autograd.grad(out, leaves, grad)
    seen = student.vjp(student.FlashAttention.apply, q, k, v, is_causal, cotangent=grad)
    torch.testing.assert_close(seen.value, out.detach())
    for name, ours, theirs in zip("qkv", seen.grads, expected, strict=True):
        torch.testing.assert_close(ours, theirs, msg=lambda text, name=name: f"the gradient of {name}: {text}")


@pytest.mark.exercise("flash_backward_tiled")
def test_nothing_square_is_kept(student):
    """At length 1000 neither pass makes a tensor of a quarter of all scores, and none is kept in between."""
    q, k, v = draw(1, 1, 1000, 8), draw(1, 1, 1000, 8, seed=1), draw(1, 1, 1000, 8, seed=2)
    seen = student.measure(student.FlashAttention.apply, q, k, v, False, cotangent=torch.ones_like(v))
    assert seen.measured["largest_bytes"] <= 1000 * 1000 * 8 // 4, "a tensor of more than a quarter of all scores"
    assert seen.measured["kept_bytes"] <= 6 * q.nbytes, "too much stays alive between forward and backward"


@pytest.mark.exercise("attention_roofline")
def test_cost_of_the_example(student):
    """The models of the table, counted by hand for T = 4, D = 2 and two bytes per number."""
    cost = student.attention_cost(1, 1, 4, 2, torch.float16, causal=False, flash=False)
    assert (cost["flops"], cost["hbm_bytes"], cost["peak_temp_bytes"]) == (128, 192, 64)
    cost = student.attention_cost(1, 1, 4, 2, torch.float16, causal=True, flash=True, backward=True)
    assert (cost["flops"], cost["hbm_bytes"], cost["peak_temp_bytes"]) == (160, 192, 32)
    assert cost["intensity"] == pytest.approx(160 / 192)


@pytest.mark.exercise("attention_roofline")
def test_benchmark_waits(student):
    """On a device whose clock only moves with its work, the median is that of the calls after the warm-up."""
    now, busy_until, calls = [0.0], [0.0], []

    def launch() -> None:
        now[0] += 0.001
        busy_until[0] = max(now[0], busy_until[0]) + (5.0 if len(calls) < 2 else 0.020)
        calls.append(now[0])

    def wait() -> None:
        now[0] = max(now[0], busy_until[0])

    found = student.benchmark(launch, 42e9, warmup=2, repeats=5, synchronize=wait, clock=lambda: now[0])
    assert len(calls) == 7, f"fn was called {len(calls)} times, expected 2 + 5"
    assert found["median_ms"] == pytest.approx(21.0)
    assert found["tflops"] == pytest.approx(2.0)

"""Public checks of the page `multi_head_attention`."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def load(layer, d_model: int = 6, d_kv: int = 6) -> dict[str, Tensor]:
    """Give a MultiHeadAttention known float64 weights, and return them."""
    state = {}
    for n, (name, width) in enumerate({"q": d_model, "k": d_kv, "v": d_kv, "out": d_model}.items()):
        state[f"{name}_proj.weight"] = 0.5 * draw(d_model, width, seed=n)
        state[f"{name}_proj.bias"] = draw(d_model, seed=10 + n)
    layer.load_reference(state)
    return state


def expected(state, heads, query, key, value, mask=None):
    """The output according to torch, one head at a time."""
    inputs = {"q": query, "k": key, "v": value}
    q, k, v = (F.linear(x, state[f"{n}_proj.weight"], state[f"{n}_proj.bias"]) for n, x in inputs.items())
    chunks = zip(*(t.chunk(heads, dim=-1) for t in (q, k, v)), strict=True)
    merged = torch.cat([F.scaled_dot_product_attention(*chunk, attn_mask=mask) for chunk in chunks], dim=-1)
    return F.linear(merged, state["out_proj.weight"], state["out_proj.bias"])


@pytest.mark.exercise("mha_torch")
def test_worked_example(student):
    """The example of the last page: two heads of width 1 give (0.524, 0.786) and (0.786, 0.524)."""
    a = math.sqrt(math.log(3.0))
    mha = student.MultiHeadAttention(2, 2, bias=False)
    mha.load_reference({f"{name}_proj.weight": torch.eye(2, dtype=torch.float64) for name in ("q", "k", "v", "out")})
    out = mha(torch.tensor([[[0.0, a], [a, 0.0]]], dtype=torch.float64))
    torch.testing.assert_close(out, torch.tensor([[[a / 2, 0.75 * a], [0.75 * a, a / 2]]], dtype=torch.float64))


@pytest.mark.exercise("mha_torch")
def test_inputs(student):
    """One input is all three; a second one is key and value; they may differ, and have a width of their own."""
    mha = student.MultiHeadAttention(6, 3)
    state, x, memory, other = load(mha), draw(2, 5, 6, seed=1), draw(2, 7, 6, seed=2), draw(2, 7, 6, seed=3)
    torch.testing.assert_close(mha(x), expected(state, 3, x, x, x))
    torch.testing.assert_close(mha(x, memory), expected(state, 3, x, memory, memory))
    torch.testing.assert_close(mha(x, memory, other), expected(state, 3, x, memory, other))
    mha = student.MultiHeadAttention(6, 3, d_kv=4)
    state, narrow = load(mha, d_kv=4), draw(2, 7, 4)
    torch.testing.assert_close(mha(x, narrow, narrow), expected(state, 3, x, narrow, narrow))


@pytest.mark.exercise("mha_torch")
def test_mask_and_weights(student):
    """True in a mask means "may attend"; the weights are (B, H, Tq, Tk); an empty row gives the output bias."""
    mha = student.MultiHeadAttention(6, 2)
    state, x = load(mha), draw(2, 3, 6)
    mask = torch.tensor([[True, False, False], [True, True, False], [False, False, False]])
    out, weights = mha(x, mask=mask, need_weights=True)
    assert weights.shape == (2, 2, 3, 3), f"weights have shape {tuple(weights.shape)}, expected (2, 2, 3, 3)"
    assert (weights[:, :, ~mask] == 0).all(), "a masked pair has a weight that is not exactly 0"
    torch.testing.assert_close(out[:, :2], expected(state, 2, x, x, x, mask)[:, :2])
    torch.testing.assert_close(out[:, 2], state["out_proj.bias"].expand(2, 6))


@pytest.mark.exercise("mha_torch")
def test_dropout(student):
    """In eval mode dropout does nothing; in train mode two calls differ."""
    mha = student.MultiHeadAttention(6, 2, dropout=0.5)
    state, x = load(mha), draw(4, 7, 6)
    mha.train(False)
    torch.testing.assert_close(mha(x), expected(state, 2, x, x, x))
    mha.train(True)
    assert not torch.equal(mha(x), mha(x)), "two calls in train mode, with dropout 0.5, gave the same"


@pytest.mark.exercise("fused_qkv_layouts")
def test_layouts_by_hand(student):
    """With D = 2 and two heads, "qkv" is q1 q2 k1 k2 v1 v2 and "per_head" is q1 k1 v1 q2 k2 v2."""
    q, k, v = torch.tensor([1, 2]), torch.tensor([3, 4]), torch.tensor([5, 6])
    assert student.fuse_qkv(q, k, v).tolist() == [1, 2, 3, 4, 5, 6]
    parts = student.split_qkv(torch.tensor([1, 2, 3, 4, 5, 6]), layout="qkv", H=2)
    assert [part.tolist() for part in parts] == [[1, 2], [3, 4], [5, 6]]
    parts = student.split_qkv(torch.tensor([1, 3, 5, 2, 4, 6]), layout="per_head", H=2)
    assert [part.tolist() for part in parts] == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.exercise("fused_qkv_layouts")
def test_weights_round_trip(student):
    """Three (6, 6) weights are fused into (18, 6), and come back."""
    parts = [draw(6, 6, seed=n) for n in range(3)]
    fused = student.fuse_qkv(*parts)
    assert fused.shape == (18, 6), f"shape {tuple(fused.shape)}, expected (18, 6) = (3D, D)"
    for part, back in zip(parts, student.split_qkv(fused, layout="qkv", H=2), strict=True):
        torch.testing.assert_close(back, part)


@pytest.mark.exercise("fused_qkv_layouts")
def test_conv1d(student):
    """x @ W of a Conv1D is F.linear(x, from_conv1d(W)), for c_attn and for the square c_proj; biases stay."""
    x = draw(3, 4)
    for W in (draw(4, 12, seed=1), draw(4, 4, seed=2)):
        torch.testing.assert_close(F.linear(x, student.from_conv1d(W)), x @ W)
    torch.testing.assert_close(student.from_conv1d(draw(12)), draw(12))


@pytest.mark.exercise("grouped_query_attention")
def test_groups_by_hand(student):
    """Of four query heads, 0 and 1 read key-value head 0, and 2 and 3 read head 1."""
    q, k = torch.zeros(1, 4, 1, 2), torch.zeros(1, 2, 1, 2)
    v = torch.tensor([[[[1.0, 1.0]], [[2.0, 2.0]]]])
    assert student.gqa(q, k, v)[0, :, 0].tolist() == [[1.0, 1.0], [1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]


@pytest.mark.exercise("grouped_query_attention")
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_gqa_agrees_with_torch(student, kv_heads):
    """With key-value head h // (Hq / Hkv) for each query head h, the result is torch's; Hkv may be 1 or Hq."""
    q, k, v = draw(2, 6, 5, 3, seed=1), draw(2, kv_heads, 7, 3, seed=2), draw(2, kv_heads, 7, 3, seed=3)
    use = [h // (6 // kv_heads) for h in range(6)]
    torch.testing.assert_close(student.gqa(q, k, v), F.scaled_dot_product_attention(q, k[:, use], v[:, use]))
    causal = F.scaled_dot_product_attention(q, k[:, use], v[:, use], is_causal=True)
    torch.testing.assert_close(student.gqa(q, k, v, is_causal=True), causal)


@pytest.mark.exercise("grouped_query_attention")
def test_gqa_refuses_unequal_groups(student):
    """Three key-value heads cannot serve five query heads: ValueError."""
    try:
        student.gqa(draw(1, 5, 2, 3), draw(1, 3, 2, 3), draw(1, 3, 2, 3))
    except Exception as error:
        assert error.is_a(ValueError), f"raised {error}, expected ValueError"
    else:
        raise AssertionError("nothing was raised, expected ValueError")


@pytest.mark.exercise("mha_cost")
def test_cost_by_hand(student):
    """The example of the page: 80 parameters, 320 FLOPs, 32 bytes of scores."""
    cost = student.mha_cost(1, 2, 2, 4, 2, True)
    assert cost["params"] == 80
    assert cost["flops"] == 320
    assert cost["score_bytes"] == 32


@pytest.mark.exercise("mha_cost")
def test_cache_by_hand(student):
    """The cache of the example takes 32 bytes in float16 with two heads, and 16 with one."""
    cost = student.mha_cost(1, 2, 2, 4, 2, True)
    assert cost["kv_cache_bytes"]("float16", 2) == 32
    assert cost["kv_cache_bytes"]("float16", 1) == 16


@pytest.mark.exercise("mha_cost")
def test_more_heads(student):
    """More heads change neither parameters nor FLOPs, but the scores."""
    few, many = student.mha_cost(2, 5, 7, 24, 2, True), student.mha_cost(2, 5, 7, 24, 12, True)
    assert few["params"] == many["params"] and few["flops"] == many["flops"]
    assert many["score_bytes"] == 6 * few["score_bytes"]

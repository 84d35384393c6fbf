"""The reference of unit 3 agrees with torch and einops, the degenerate cases included."""

import importlib.util
from pathlib import Path

import einops
import numpy as np
import pytest
import scipy.optimize
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autograder.given import MultiHeadAttention, squared_error

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit3_multi_head_attention" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mathematics, layer = load("multi_head_mathematics"), load("multi_head_attention")
several = load("why_multiple_heads")
SEEDS = [0, 1, 2]


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def torch_layer(seed: int, D: int, H: int, **options) -> nn.MultiheadAttention:
    """nn.MultiheadAttention in float64 with random weights and biases."""
    mha = nn.MultiheadAttention(D, H, batch_first=True, dtype=torch.float64, **options)
    for n, parameter in enumerate(mha.parameters()):
        parameter.data = normal(1000 * seed + n, *parameter.shape) * 0.6
    return mha


# multi_head_mathematics


@pytest.mark.parametrize(
    "shape", [(2, 7, 15, 3), (3, 2, 22, 11), (1, 1, 6, 2), (2, 5, 5, 5), (2, 3, 7, 1), (2, 0, 6, 3)]
)
def test_split_and_merge_match_einops(shape):
    """Splitting and merging are einops' rearrangements, also of views."""
    B, T, D, H = shape
    for x in (normal(0, B, T, D), normal(1, B, D, T).mT, normal(2, B, T, 2 * D)[..., ::2]):
        heads = mathematics.split_heads(x, H)
        assert torch.equal(heads, einops.rearrange(x, "b t (h d) -> b h t d", h=H))
        assert torch.equal(mathematics.merge_heads(heads), einops.rearrange(heads, "b h t d -> b t (h d)"))
        assert torch.equal(mathematics.merge_heads(heads), x)


def test_split_refuses_a_remainder():
    """H that does not divide D raises ValueError; gradients pass through both."""
    with pytest.raises(ValueError, match="divide"):
        mathematics.split_heads(normal(0, 2, 3, 15), 4)
    x = normal(0, 2, 3, 6).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mathematics.merge_heads(mathematics.split_heads(x, 3)) * 2, x)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("heads", [1, 2, 5, 10])
@pytest.mark.parametrize("lengths", [(7, 7), (5, 3), (1, 7), (5, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_numpy_layer_matches_torch(seed, heads, lengths, masked):
    """Output and weights equal those of nn.MultiheadAttention, whose masks mean the opposite."""
    mha = torch_layer(seed, 10, heads)
    xq, xkv = normal(seed, 2, lengths[0], 10), normal(seed + 50, 2, lengths[1], 10)
    mask = torch.rand(2, heads, *lengths, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0] = True
    with torch.no_grad():
        theirs = mha(xq, xkv, xkv, attn_mask=~mask.flatten(0, 1) if masked else None, average_attn_weights=False)
    weights = [*mha.in_proj_weight.chunk(3), mha.out_proj.weight, *mha.in_proj_bias.chunk(3), mha.out_proj.bias]
    ours = mathematics.multi_head_attention(
        xq.numpy(), xkv.numpy(), *(w.detach().numpy() for w in weights), heads, mask.numpy() if masked else None
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-9, atol=1e-11)


def test_numpy_layer_with_nothing_to_see():
    """An empty row gives weights 0 and the output bias; float32 comes back as float32; large scores are finite."""
    weights = [normal(n, 6, 6).float().numpy() for n in range(4)] + [normal(n, 6).float().numpy() for n in range(4)]
    x = 100 * normal(9, 2, 3, 6).float().numpy()
    mask = np.tri(3, dtype=bool)
    mask[1] = False
    out, share = mathematics.multi_head_attention(x, x, *weights, 3, mask=mask)
    assert out.dtype == share.dtype == np.float32
    assert np.isfinite(out).all()
    assert (share[:, :, 1] == 0).all() and (out[:, 1] == weights[-1]).all()


# multi_head_attention


def module(mha: nn.MultiheadAttention, d_kv: int | None = None):
    """The reference with the weights of nn.MultiheadAttention."""
    ours = layer.MultiHeadAttention(mha.embed_dim, mha.num_heads, d_kv=d_kv, bias=mha.out_proj.bias is not None)
    ours.double()
    fused = mha.in_proj_weight
    qkv = fused.chunk(3) if fused is not None else (mha.q_proj_weight, mha.k_proj_weight, mha.v_proj_weight)
    state = {f"{name}_proj.weight": w for name, w in zip("qkv", qkv, strict=True)}
    state["out_proj.weight"] = mha.out_proj.weight
    if mha.in_proj_bias is not None:
        state |= {f"{name}_proj.bias": b for name, b in zip("qkv", mha.in_proj_bias.chunk(3), strict=True)}
        state["out_proj.bias"] = mha.out_proj.bias
    ours.load_state_dict(state)
    return ours


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_module_matches_torch(seed, heads, bias, masked):
    """Output, weights and gradients equal those of nn.MultiheadAttention, with other widths of key and value too."""
    for d_kv in (None, 3):
        mha = torch_layer(seed, 10, heads, bias=bias, kdim=d_kv, vdim=d_kv)
        ours = module(mha, d_kv)
        shapes = ((2, 5, 10), (2, 7, d_kv or 10), (2, 7, d_kv or 10))
        inputs = [normal(seed + n, *shape).requires_grad_() for n, shape in enumerate(shapes)]
        mask = torch.rand(2, heads, 5, 7, generator=torch.Generator().manual_seed(seed)) < 0.6
        mask[..., 0] = True
        theirs = mha(*inputs, attn_mask=~mask.flatten(0, 1) if masked else None, average_attn_weights=False)
        found = ours(*inputs, mask=mask if masked else None, need_weights=True)
        for a, b in zip(found, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
        pairs = [torch.autograd.grad(out.square().sum(), inputs) for out, _ in (found, theirs)]
        for a, b in zip(*pairs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_module_defaults_and_empty_rows():
    """key defaults to query and value to key; an empty row gives the output bias, and finite gradients."""
    ours = module(torch_layer(1, 6, 3))
    x, memory = normal(1, 2, 5, 6), normal(2, 2, 7, 6)
    torch.testing.assert_close(ours(x), ours(x, x, x))
    torch.testing.assert_close(ours(x, memory), ours(x, memory, memory))
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    mask[2] = False
    out, weights = ours(x, mask=mask, need_weights=True)
    assert (weights[:, :, 2] == 0).all()
    torch.testing.assert_close(out[:, 2], ours.out_proj.bias.expand(2, 6))
    gradients = torch.autograd.grad(out.square().sum(), list(ours.parameters()))
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(("D", "H"), [(6, 3), (15, 5), (4, 1), (4, 4)])
def test_layouts(D, H):
    """fuse_qkv is torch's in_proj; per_head is einops' rearrangement; Conv1D's x @ W is F.linear after from_conv1d."""
    mha = torch_layer(0, D, H)
    for fused in (mha.in_proj_weight.detach(), mha.in_proj_bias.detach()):
        parts = fused.chunk(3)
        assert torch.equal(layer.fuse_qkv(*parts), fused)
        per_head = einops.rearrange(torch.stack(parts), "three (h d) ... -> (h three d) ...", h=H)
        for layout, stacked in (("qkv", fused), ("per_head", per_head)):
            for a, b in zip(layer.split_qkv(stacked, layout=layout, H=H), parts, strict=True):
                assert torch.equal(a, b)
    for out in (D, 3 * D):
        W, b, x = normal(1, D, out), normal(2, out), normal(3, 7, D)
        torch.testing.assert_close(F.linear(x, layer.from_conv1d(W), layer.from_conv1d(b)), torch.addmm(b, x, W))


@pytest.mark.parametrize(("query_heads", "kv_heads"), [(6, 3), (6, 2), (5, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("lengths", [(5, 7), (7, 3), (1, 1)])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_gqa_matches_torch(query_heads, kv_heads, lengths, is_causal, masked):
    """Values and gradients are those of torch with enable_gqa; empty rows give zeros."""
    q_len, kv_len = lengths
    q = normal(0, 2, query_heads, q_len, 3).requires_grad_()
    k, v = (normal(n, 2, kv_heads, kv_len, 3).requires_grad_() for n in (1, 2))
    mask = torch.rand(2, query_heads, q_len, kv_len, generator=torch.Generator().manual_seed(0)) < 0.6
    allowed = mask if masked else torch.ones_like(mask)
    if is_causal:
        allowed = allowed & torch.ones(q_len, kv_len, dtype=torch.bool).tril()
    ours = layer.gqa(q, k, v, mask=mask if masked else None, is_causal=is_causal)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, enable_gqa=True)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    pairs = [torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (ours, theirs)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_gqa_refuses_unequal_groups():
    """Hkv that does not divide Hq raises ValueError."""
    for query_heads, kv_heads in ((5, 3), (2, 3)):
        with pytest.raises(ValueError, match="share"):
            layer.gqa(normal(0, 1, query_heads, 2, 3), *(normal(1, 1, kv_heads, 2, 3) for _ in range(2)))


@pytest.mark.parametrize(("B", "Tq", "Tk", "D", "H"), [(2, 5, 7, 6, 3), (3, 4, 4, 10, 2), (1, 1, 11, 8, 8)])
@pytest.mark.parametrize("bias", [False, True])
def test_cost_matches_counters(B, Tq, Tk, D, H, bias):
    """Parameters equal those of nn.MultiheadAttention; FLOPs equal torch's count of the matrix products."""
    cost = layer.mha_cost(B, Tq, Tk, D, H, bias)
    mha = torch_layer(0, D, H, bias=bias)
    assert cost["params"] == sum(p.numel() for p in mha.parameters())
    query, memory = normal(0, B, Tq, D), normal(1, B, Tk, D)
    with FlopCounterMode(display=False) as counter:
        _, weights = mha(query, memory, memory, average_attn_weights=False)
    assert cost["flops"] == counter.get_total_flops()
    if Tq == Tk:
        assert cost["flops"] == 8 * B * Tq * D**2 + 4 * B * Tq**2 * D
    assert cost["score_bytes"] == weights.float().nbytes
    cache = torch.zeros(2, B, H, Tk, D // H, dtype=torch.float16)
    assert cost["kv_cache_bytes"]("float16", H) == cache.nbytes
    assert cost["kv_cache_bytes"](np.float64, 1) * H == 4 * cache.nbytes


# why_multiple_heads, and the layer of autograder.given that its exercises receive


def given_layer(mha: nn.MultiheadAttention) -> MultiHeadAttention:
    """The layer of autograder.given with the weights of nn.MultiheadAttention."""
    given = MultiHeadAttention(mha.embed_dim, mha.num_heads).double()
    given.load_state_dict(module(mha).state_dict())
    return given


@pytest.mark.parametrize("heads", [1, 2, 5])
def test_given_layer_matches_torch(heads):
    """The layer of autograder.given equals nn.MultiheadAttention; an empty row gives the output bias."""
    mha = torch_layer(4, 10, heads)
    given, x, memory = given_layer(mha), normal(0, 2, 5, 10), normal(1, 2, 7, 10)
    mask = torch.ones(5, 7, dtype=torch.bool).tril()
    theirs = mha(x, memory, memory, attn_mask=~mask, average_attn_weights=False)
    for a, b in zip(given(x, memory, mask=mask, need_weights=True), theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    mask[3] = False
    torch.testing.assert_close(given(x, memory, memory, mask=mask)[:, 3], given.out_proj.bias.expand(2, 10))
    narrow = MultiHeadAttention(10, heads, d_kv=3, bias=False).double()
    assert narrow(x, normal(2, 2, 7, 3)).shape == (2, 5, 10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("heads", [1, 2, 5])
def test_gates_scale_the_columns_of_torch(seed, heads):
    """Gates equal scaled W_O columns in nn.MultiheadAttention; importance equals the gradient and a difference."""
    mha = torch_layer(seed, 10, heads)
    given, x, gate = given_layer(mha), normal(seed, 2, 5, 10), normal(seed + 7, heads)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    ours = several.mha_with_head_gate(given, x, gate)
    importance = several.head_importance(given, x, squared_error(normal(seed + 8, 2, 5, 10)))
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
    columns, loss = mha.out_proj.weight.data.clone(), squared_error(normal(seed + 8, 2, 5, 10))

    def gated(gate: Tensor) -> Tensor:
        mha.out_proj.weight.data = columns * gate.repeat_interleave(10 // heads)
        return mha(x, x, x, need_weights=False)[0].detach()

    torch.testing.assert_close(ours, gated(gate), rtol=1e-9, atol=1e-11)
    for h, row in enumerate(1e-3 * torch.eye(heads, dtype=torch.float64)):
        slope = (loss(gated(1 + row)) - loss(gated(1 - row))) / 2e-3  # exact: the loss is quadratic in a gate
        torch.testing.assert_close(importance[h], slope.abs(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("T", "D"), [(2, 1), (3, 8), (7, 5), (53, 3)])
def test_two_heads_in_torch(T, D):
    """Loaded into nn.MultiheadAttention the weights give [x_{t-1}; x_0] for fresh x."""
    state = several.two_head_weights(T, D)
    E = len(state["q_proj.bias"])
    mha = nn.MultiheadAttention(E, 2, batch_first=True, dtype=torch.float64)
    fused = {
        f"in_proj_{kind}": torch.cat([state[f"{name}_proj.{kind}"] for name in "qkv"]) for kind in ("weight", "bias")
    }
    mha.load_state_dict(fused | {name: value for name, value in state.items() if name.startswith("out")})
    x = normal(T, 3, T, D)
    z = torch.cat([x, torch.eye(T).double().expand(3, T, T), torch.zeros(3, T, E - D - T).double()], dim=-1)
    out, _ = mha(z, z, z, attn_mask=torch.ones(T, T, dtype=torch.bool).triu(1))
    expected = torch.cat([x[:, :-1], x[:, :1].expand(3, T - 1, D)], dim=-1)
    torch.testing.assert_close(out[:, 1:, : 2 * D], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("T", "D"), [(2, 3), (3, 1), (6, 4)])
def test_single_head_error_is_the_optimum(T, D):
    """A linear program over all mixtures of the tokens seen so far finds the same smallest error."""
    x = normal(T, T, D).numpy()
    worst = 0.0
    for t in range(1, T):
        seen = x[: t + 1].T  # (D, t + 1); unknowns: t + 1 weights and the error e
        bounds = []
        for target in (x[t - 1], x[0]):
            for sign in (1, -1):
                bounds.append((np.hstack([sign * seen, -np.ones((D, 1))]), sign * target))
        found = scipy.optimize.linprog(
            c=[0.0] * (t + 1) + [1.0],
            A_ub=np.vstack([a for a, _ in bounds]),
            b_ub=np.concatenate([b for _, b in bounds]),
            A_eq=[[1.0] * (t + 1) + [0.0]],
            b_eq=[1.0],
        )
        worst = max(worst, found.fun)
    assert several.best_single_head_error(torch.from_numpy(x)) == pytest.approx(worst, abs=1e-9)

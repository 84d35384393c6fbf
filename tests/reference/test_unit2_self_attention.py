"""The reference of unit 2 agrees with torch, scipy and numpy, the degenerate cases included."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit2_self_attention" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sdp, layer, patterns = load("scaled_dot_product"), load("self_attention"), load("attention_patterns")
SEEDS = [0, 1, 2]


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def qkv(seed: int, q_len: int = 5, kv_len: int = 7, lead: tuple[int, ...] = (2, 3), dtype=torch.float64):
    return (
        normal(seed, *lead, q_len, 11, dtype=dtype),
        normal(seed + 100, *lead, kv_len, 11, dtype=dtype),
        normal(seed + 200, *lead, kv_len, 13, dtype=dtype),
    )


def random_mask(seed: int, *shape: int) -> Tensor:
    """Every row non-empty except row 1."""
    mask = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0] = True
    mask[..., 1, :] = False
    return mask


# scaled_dot_product_attention


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lengths", [(5, 7), (7, 5), (5, 5), (1, 7), (5, 1), (1, 1)])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_sdpa_matches_torch(seed, lengths, is_causal, scale):
    """Values and gradients equal those of torch, for every alignment of lengths."""
    inputs = [tensor.requires_grad_() for tensor in qkv(seed, *lengths)]
    ours = sdp.scaled_dot_product_attention(*inputs, is_causal=is_causal, scale=scale)
    theirs = F.scaled_dot_product_attention(*inputs, is_causal=is_causal, scale=scale)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    cotangent = normal(seed + 300, *ours.shape)
    for a, b in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (ours, theirs)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("shape", [(5, 7), (2, 1, 5, 7), (2, 3, 5, 7), (1, 3, 5, 7)])
def test_sdpa_with_mask_and_empty_rows(seed, is_causal, shape):
    """A mask and is_causal combine with AND; empty rows give zeros and finite gradients, as in torch."""
    inputs = [tensor.requires_grad_() for tensor in qkv(seed)]
    mask = random_mask(seed, *shape)
    both = mask & torch.ones(5, 7, dtype=torch.bool).tril() if is_causal else mask
    ours = sdp.scaled_dot_product_attention(*inputs, attn_mask=mask, is_causal=is_causal)
    theirs = F.scaled_dot_product_attention(*inputs, attn_mask=both)
    assert (ours[..., 1, :] == 0).all()
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    cotangent = normal(seed + 300, *ours.shape)
    for a, b in zip(*(torch.autograd.grad(out, inputs, cotangent) for out in (ours, theirs)), strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_sdpa_gradcheck():
    """Numerical and analytical gradients agree, an empty row included."""
    inputs = [tensor.requires_grad_() for tensor in qkv(5, 3, 2, lead=(2,))]
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    assert torch.autograd.gradcheck(lambda *a: sdp.scaled_dot_product_attention(*a, attn_mask=mask), inputs)


@pytest.mark.parametrize("lengths", [(0, 7), (5, 0), (0, 0)])
def test_sdpa_without_queries_or_keys(lengths):
    """No keys give zeros, no queries give an empty result; gradients flow."""
    q, k, v = (tensor.requires_grad_() for tensor in qkv(1, *lengths))
    for options in ({}, {"is_causal": True}, {"attn_mask": torch.ones(lengths, dtype=torch.bool)}):
        out = sdp.scaled_dot_product_attention(q, k, v, **options)
        torch.testing.assert_close(out, F.scaled_dot_product_attention(q, k, v))
        assert (torch.autograd.grad(out.sum(), q)[0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_sdpa_in_low_precision(dtype):
    """The error against float64 is at most three times that of plain attention in the same dtype, plus 1e-5."""
    q, k, v = qkv(2, lead=(2,), dtype=dtype)
    mask = random_mask(2, 5, 7)
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask)
    out = sdp.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    naive = (q @ k.mT / math.sqrt(11)).masked_fill(~mask, -math.inf).softmax(-1).nan_to_num() @ v
    assert out.dtype == dtype
    assert (out - exact).abs().max() <= 3 * (naive - exact).abs().max() + 1e-5


def test_sdpa_ignores_junk_in_masked_slots():
    """1e30 in a masked key and value changes nothing; scores near -300 or 300 stay exact."""
    q, k, v = qkv(3)
    mask = random_mask(3, 5, 7)
    mask[:, 4] = False
    poisoned_k, poisoned_v = k.clone(), v.clone()
    poisoned_k[..., 4, :] = 1e30
    poisoned_v[..., 4, :] = 1e30
    clean = sdp.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    dirty = sdp.scaled_dot_product_attention(q, poisoned_k, poisoned_v, attn_mask=mask)
    torch.testing.assert_close(clean, dirty)
    large = sdp.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=50.0)
    torch.testing.assert_close(large, F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=50.0))


def test_sdpa_without_leading_axes_and_with_views():
    """(T, D) inputs and transposed views work."""
    q, k, v = qkv(4, lead=())
    torch.testing.assert_close(
        sdp.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    )
    views = [tensor.mT.contiguous().mT for tensor in (q, k, v)]
    torch.testing.assert_close(
        sdp.scaled_dot_product_attention(*views), sdp.scaled_dot_product_attention(q, k, v), rtol=1e-12, atol=1e-13
    )


def test_sdpa_dropout():
    """Weights are dropped after the softmax and rescaled; only the given generator is used."""
    T = 256
    q, v = torch.zeros(T, 3, dtype=torch.float64), torch.eye(T, dtype=torch.float64)
    state = torch.get_rng_state()
    out = sdp.scaled_dot_product_attention(q, q, v, dropout_p=0.25, generator=torch.Generator().manual_seed(1))
    same = sdp.scaled_dot_product_attention(q, q, v, dropout_p=0.25, generator=torch.Generator().manual_seed(1))
    other = sdp.scaled_dot_product_attention(q, q, v, dropout_p=0.25, generator=torch.Generator().manual_seed(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(out, same)
    assert not torch.equal(out, other)
    torch.testing.assert_close(out[out != 0].unique(), torch.tensor([1 / T / 0.75], dtype=torch.float64))
    # 65536 draws: standard deviation of the share .0017; six of them. False alarm 2e-9, and the seed is fixed.
    assert abs((out == 0).double().mean() - 0.25) < 6 * math.sqrt(0.25 * 0.75 / T**2)


# masks


@pytest.mark.parametrize("q_len", [0, 1, 3, 5])
@pytest.mark.parametrize("kv_len", [None, 0, 1, 3, 7])
@pytest.mark.parametrize("offset", [None, -9, -1, 0, 2, 9])
def test_causal_mask(q_len, kv_len, offset):
    """The mask is torch's tril with the offset as diagonal."""
    width = q_len if kv_len is None else kv_len
    diagonal = width - q_len if offset is None else offset
    mask = sdp.causal_mask(q_len, kv_len, offset=offset)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, torch.ones(q_len, width, dtype=torch.bool).tril(diagonal))


@pytest.mark.filterwarnings("ignore:Lower right causal bias")
def test_causal_mask_is_bottom_right():
    """With the default offset attention equals torch's with causal_lower_right; empty rows give zeros."""
    for lengths in [(3, 7), (7, 3), (5, 5)]:
        q, k, v = qkv(6, *lengths)
        ours = sdp.scaled_dot_product_attention(q, k, v, attn_mask=sdp.causal_mask(*lengths))
        theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(*lengths))
        torch.testing.assert_close(ours, theirs)
    assert sdp.causal_mask(2, device="cpu").device.type == "cpu"


def test_padding_matches_multihead_attention():
    """On real tokens attention under combine_masks equals nn.MultiheadAttention with the inverted key mask."""
    B, T, D = 3, 5, 7
    x, lengths = normal(7, B, T, D), torch.tensor([5, 2, 3])
    key_mask = sdp.lengths_to_mask(lengths, T)
    mha = nn.MultiheadAttention(D, 1, bias=False, batch_first=True).double()
    q, k, v = (x @ w.T for w in mha.in_proj_weight.chunk(3))
    for causal in (None, sdp.causal_mask(T)):
        mask = sdp.combine_masks(key_mask, causal)[:, 0]
        ours = sdp.scaled_dot_product_attention(q, k, v, attn_mask=mask) @ mha.out_proj.weight.T
        theirs, _ = mha(x, x, x, key_padding_mask=~key_mask, attn_mask=None if causal is None else ~causal)
        torch.testing.assert_close(ours[key_mask], theirs[key_mask])


def test_lengths_and_shapes():
    """Length 0 and T; shapes (B, 1, 1, Tk) and (B, 1, Tq, Tk); B = 0."""
    key_mask = sdp.lengths_to_mask(torch.tensor([0, 3, 1]), 3)
    assert key_mask.tolist() == [[False] * 3, [True] * 3, [True, False, False]]
    assert sdp.lengths_to_mask(torch.tensor([0, 0]), 0).shape == (2, 0)
    assert torch.equal(sdp.combine_masks(key_mask), key_mask[:, None, None])
    causal = sdp.causal_mask(2, 3)
    assert torch.equal(sdp.combine_masks(key_mask, causal), key_mask[:, None, None] & causal)
    assert sdp.combine_masks(key_mask[:0], causal).shape == (0, 1, 2, 3)


# SelfAttention


@pytest.mark.parametrize("bias", [False, True])
def test_layer_matches_multihead_attention(bias):
    """At d_model = d_k = d_v the output and weights are those of a single torch head before its output projection."""
    B, T, D = 2, 5, 7
    ours = layer.SelfAttention(D, D, D, bias=bias).double()
    mha = nn.MultiheadAttention(D, 1, bias=bias, batch_first=True).double()
    with torch.no_grad():
        mha.in_proj_weight.copy_(torch.cat([p.weight for p in (ours.q_proj, ours.k_proj, ours.v_proj)]))
        mha.out_proj.weight.copy_(torch.eye(D))
        if bias:
            mha.in_proj_bias.copy_(torch.cat([p.bias for p in (ours.q_proj, ours.k_proj, ours.v_proj)]))
            mha.out_proj.bias.zero_()
    x = normal(1, B, T, D)
    out, weights = ours(x, need_weights=True)
    expected, expected_weights = mha(x, x, x)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(weights, expected_weights)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [None, (4, 4), (1, 4, 4), (3, 4, 4), (3, 1, 4)])
def test_layer_matches_sdpa(bias, shape):
    """Three widths, every shape of mask, an empty row: values and all gradients equal F.linear and F.sdpa."""
    module = layer.SelfAttention(5, 3, 7, bias=bias).double()
    x = normal(2, 3, 4, 5).requires_grad_()
    mask = None
    if shape is not None:
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) < 0.6
        if shape[-2] > 1:
            mask[..., 1, :] = False
    out, weights = module(x, mask=mask, need_weights=True)
    q, k, v = (F.linear(x, p.weight, p.bias) for p in (module.q_proj, module.k_proj, module.v_proj))
    full = None if mask is None else mask.expand(3, 4, 4)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=full)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(module(x, mask=mask), out)
    torch.testing.assert_close(weights @ v, out)
    leaves = [x, *module.parameters()]
    cotangent = normal(3, *out.shape)
    for a, b in zip(*(torch.autograd.grad(o, leaves, cotangent) for o in (out, expected)), strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_layer_state_dict_and_single_token():
    """State-dict keys and shapes as in the stub; T = 1 gives weight 1."""
    module = layer.SelfAttention(5, 3, 7, bias=True)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert shapes == {f"{n}_proj.weight": (w, 5) for n, w in zip("qkv", (3, 3, 7), strict=True)} | {
        f"{n}_proj.bias": (w,) for n, w in zip("qkv", (3, 3, 7), strict=True)
    }
    assert module(torch.zeros(2, 1, 5), need_weights=True)[1].tolist() == [[[1.0]], [[1.0]]]


# The property tests. D = 3, so a leak is seen in one of three entries.


class Apply(nn.Module):
    """A linear map, then `rule(x, y)`; dropout on top, which is off in eval mode."""

    def __init__(self, rule):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.rule, self.dropout = nn.Linear(3, 3), rule, nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        self.linear.to(x.dtype)
        return self.dropout(self.rule(x, self.linear(x)))


def add(y: Tensor, index, value) -> Tensor:
    """y with value added at index, out of place."""
    y = y.clone()
    y[index] += value
    return y


def running_mean(x: Tensor) -> Tensor:
    return x.cumsum(0) / torch.arange(1, len(x) + 1, dtype=x.dtype)[:, None]


def attend(x: Tensor, is_causal: bool = False) -> Tensor:
    return F.scaled_dot_product_attention(x[None], x[None], x[None], is_causal=is_causal)[0]


EQUIVARIANT = [lambda x, y: y, lambda x, y: y + x.mean(0), lambda x, y: attend(x), lambda x, y: y + x.amax(0)]
CAUSAL = [lambda x, y: y, lambda x, y: y + running_mean(x), lambda x, y: attend(x, is_causal=True)]
INDEPENDENT = [lambda x, y: y, lambda x, y: y + x.mean(1, keepdim=True), lambda x, y: attend(x)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("T", [2, 3, 7])
def test_properties_are_recognised(dtype, T):
    """Good modules pass in both dtypes, in train mode with dropout, on a sample of zeros; the mode is restored."""
    x, batch = torch.zeros(T, 3, dtype=dtype), torch.zeros(T, 5, 3, dtype=dtype)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    modules = [[Apply(rule) for rule in rules] for rules in (EQUIVARIANT, CAUSAL, INDEPENDENT)]
    torch.set_rng_state(torch_state)
    for f in modules[0]:
        assert layer.is_permutation_equivariant(f, x, np.random.default_rng(0)) is True
    for f in modules[1]:
        assert layer.is_causal(f, x) is True
        assert layer.is_causal(f.eval(), x) is True
        assert not f.training
        f.train()
    for f in modules[2]:
        assert layer.is_batch_independent(f, batch) is True
    assert all(f.training for group in modules for f in group)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


@pytest.mark.parametrize("T", [2, 3, 7])
def test_leaks_are_found_wherever_they_are(T):
    """A leak of 1e-4 between any two positions is found."""
    x, batch = torch.zeros(T, 3), torch.zeros(T, 2, 3)
    for i in range(T):
        bad = Apply(lambda x, y, i=i: add(y + x.mean(0), i, 1e-4))
        assert layer.is_permutation_equivariant(bad, x, np.random.default_rng(0)) is False
        for j in range(T):
            if i == j:
                continue
            bad = Apply(lambda x, y, i=i, j=j: add(y + x.mean(0), i, 1e-4 * x[j]))
            assert layer.is_permutation_equivariant(bad, x, np.random.default_rng(0)) is False
            leak = Apply(lambda x, y, i=i, j=j: add(y, i, 1e-4 * x[j]))
            assert layer.is_causal(leak, x) is (j < i)
            mix = Apply(lambda x, y, i=i, j=j: add(y, (i, 0), 1e-4 * x[j, 1]))
            assert layer.is_batch_independent(mix, batch) is False


# attention patterns


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_entropy_matches_scipy(lead, dtype):
    """Entropies equal scipy's, zeros in the rows included."""
    w = np.random.default_rng(0).dirichlet(np.ones(7), size=(*lead, 5))
    w[..., 2, :] = np.eye(7)[3]
    w[..., 3, 2:] = 0
    w[..., 3, :2] = 0.5
    w = w.astype(dtype)
    entropy = patterns.attention_entropy(w)
    assert entropy.dtype == dtype
    assert entropy.shape == (*lead, 5)
    np.testing.assert_allclose(entropy, scipy.stats.entropy(w, axis=-1), rtol=1e-6 if dtype == np.float32 else 1e-12)
    assert (patterns.attention_entropy(np.zeros((2, 3))) == 0).all()
    assert patterns.attention_entropy(np.ones((4, 1))).tolist() == [0.0] * 4


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("lengths", [(5, 7), (7, 5), (1, 4), (4, 1)])
def test_mean_distance(lead, lengths):
    """Distances equal a sum with the matrix |i − j|; identity gives 0."""
    w = np.random.default_rng(0).dirichlet(np.ones(lengths[1]), size=(*lead, lengths[0]))
    distance = np.abs(np.subtract.outer(np.arange(lengths[0]), np.arange(lengths[1])))
    np.testing.assert_allclose(patterns.mean_distance(w), (w * distance).sum(-1))
    assert (patterns.mean_distance(np.eye(5)) == 0).all()


@pytest.mark.parametrize("T", [4, 5, 11, 40])
def test_classify_head(T):
    """Clear and blurred cases of all patterns, causal or not."""
    rng = np.random.default_rng(T)
    tri = np.tri(T)
    causal_uniform = tri / tri.sum(-1, keepdims=True)
    previous = np.eye(T, k=-1)
    previous[0, 0] = 1
    first = np.zeros((T, T))
    first[:, 0] = 1
    for noise in (rng.dirichlet(np.ones(T), size=T), causal_uniform):
        for name, head in [("previous", previous), ("self", np.eye(T)), ("first", first)]:
            assert patterns.classify_head(head) == name
            assert patterns.classify_head(0.75 * head + 0.25 * noise) == name
    assert patterns.classify_head(np.full((T, T), 1 / T)) == "uniform"
    assert patterns.classify_head(causal_uniform) == "uniform"
    assert patterns.classify_head(0.95 * causal_uniform + 0.05 * previous) == "uniform"
    if T == 4:
        return  # only two rows count, so these would stand on the threshold
    for other in (np.roll(np.eye(T), 1, axis=1), (previous + np.eye(T) + first) / 3, np.eye(T)[(np.arange(T) + 2) % T]):
        assert patterns.classify_head(other) == "other"


@pytest.mark.parametrize("L", [1, 2, 5])
@pytest.mark.parametrize("residual", [0.5, 0.3, 0.0, 1.0])
def test_rollout_matches_multi_dot(L, residual):
    """Rollout is the product of the mixed, normalised layers, the last on the left; empty rows keep their token."""
    w = np.random.default_rng(L).dirichlet(np.ones(5), size=(L, 2, 3, 5))
    w[:, 0, :, 2] = 0  # a fully masked query
    w[:, 1, 1] *= 0.7  # a head after dropout
    result = patterns.rollout(w, residual=residual)
    for b in range(2):
        layers = []
        for attention in w[::-1, b].mean(axis=1):
            mixed = residual * np.eye(5) + (1 - residual) * attention
            total = mixed.sum(-1, keepdims=True)
            layers.append(np.divide(mixed, total, out=np.zeros_like(mixed), where=total > 0))
        expected = np.linalg.multi_dot(layers) if L > 1 else layers[0]
        np.testing.assert_allclose(result[b], expected, rtol=1e-10, atol=1e-14)
    if residual > 0:
        np.testing.assert_allclose(result.sum(-1), 1.0)


def test_rollout_keeps_identity_causality_and_dtype():
    """Identity attention gives the identity, causal layers a causal result, float32 stays float32."""
    identity = np.broadcast_to(np.eye(4, dtype=np.float32), (3, 2, 5, 4, 4))
    result = patterns.rollout(identity)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, identity[0, :, 0])
    w = np.random.default_rng(0).random((3, 2, 5, 4, 4)) * np.tri(4)
    assert (np.triu(patterns.rollout(w / w.sum(-1, keepdims=True)), 1) == 0).all()

"""The reference of unit 5's first five pages, and the layers of autograder.given that they use, agree with torch."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder import given

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit5_transformer" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


layer_norm = load("layer_norm")
SEEDS = [0, 1, 2]
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


# layer_norm


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 7), (2, 3, 5, 7), (5, 1)], ids=str)
@pytest.mark.parametrize(("scale", "eps"), [(1.0, 1e-5), (1e-4, 1e-5), (1.0, 0.1), (1.0, 1e-12)])
def test_layer_norm_matches_torch(seed, shape, scale, eps):
    """Forward and all three gradients equal those of F.layer_norm and autograd, also where eps decides."""
    D = shape[-1]
    leaves = [t.requires_grad_() for t in (scale * normal(seed, *shape), normal(seed + 10, D), normal(seed + 20, D))]
    dy = normal(seed + 30, *shape)
    theirs = F.layer_norm(leaves[0], (D,), *leaves[1:], eps=eps)
    y, cache = layer_norm.layer_norm_forward(*(t.detach().numpy() for t in leaves), eps=eps)
    torch.testing.assert_close(torch.from_numpy(y), theirs, **EXACT)
    gradients = torch.autograd.grad(theirs, leaves, dy)
    for a, b in zip(layer_norm.layer_norm_backward(dy.numpy(), cache), gradients, strict=True):
        torch.testing.assert_close(torch.from_numpy(a), b, rtol=1e-7, atol=1e-9)


def test_layer_norm_with_a_large_mean():
    """float32 rows of mean 1e4 and standard deviation 1: the reference is exact, torch within 0.01 of it."""
    x = (1e4 + normal(0, 64, 64)).float()
    one, zero = np.ones(64, dtype=np.float32), np.zeros(64, dtype=np.float32)
    y, _ = layer_norm.layer_norm_forward(x.numpy(), one, zero)
    assert y.dtype == np.float32
    torch.testing.assert_close(torch.from_numpy(y), F.layer_norm(x.double(), (64,)).float(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(torch.from_numpy(y), F.layer_norm(x, (64,)), rtol=0, atol=1e-2)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
@pytest.mark.parametrize("eps", [1e-6, 1e-5, 0.1])
def test_rms_norm_matches_torch(scale, eps):
    """Values and gradients equal those of nn.RMSNorm with the same eps."""
    ours, theirs = layer_norm.RMSNorm(7, eps=eps).double(), nn.RMSNorm(7, eps=eps, dtype=torch.float64)
    for norm in (ours, theirs):
        norm.load_state_dict({"weight": normal(1, 7)})
    x = (scale * (1 + normal(2, 2, 5, 7))).requires_grad_()
    torch.testing.assert_close(ours(x), theirs(x), **EXACT)
    pairs = [torch.autograd.grad(norm(x).square().sum(), [x, norm.weight]) for norm in (ours, theirs)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rms_norm_in_other_dtypes(dtype):
    """The dtype comes back, right and finite where squares overflow float16."""
    x = (300 * normal(0, 5, 31).clamp(-4, 4)).to(dtype)
    out = layer_norm.RMSNorm(31).to(dtype)(x)
    assert out.dtype == dtype
    expected = F.rms_norm(x.double(), (31,), eps=1e-6)
    torch.testing.assert_close(out.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.parametrize("d", [1, 7])
def test_given_layer_norm_matches_torch(d):
    """The LayerNorm of autograder.given is nn.LayerNorm, gradients included."""
    ours, theirs = given.LayerNorm(d).double(), nn.LayerNorm(d, dtype=torch.float64)
    for norm in (ours, theirs):
        norm.load_state_dict({"weight": normal(1, d), "bias": normal(2, d)})
    x = normal(3, 2, 5, d).requires_grad_()
    torch.testing.assert_close(ours(x), theirs(x), **EXACT)
    pairs = [torch.autograd.grad(norm(x).sin().sum(), [x, *norm.parameters()]) for norm in (ours, theirs)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


# feed_forward


feed_forward = load("feed_forward")


def torch_layer(seed: int, D: int, H: int, d_ff: int, **options) -> nn.TransformerEncoderLayer:
    """nn.TransformerEncoderLayer in float64 and eval mode, with random weights and biases."""
    layer = nn.TransformerEncoderLayer(D, H, d_ff, batch_first=True, dtype=torch.float64, **options)
    for n, parameter in enumerate(layer.parameters()):
        parameter.data = normal(1000 * seed + n, *parameter.shape) * 0.6
    return layer.eval()


def network_state(layer: nn.TransformerEncoderLayer) -> dict[str, Tensor]:
    """The weights of its feed-forward path under our names."""
    return {f"{ours}.{name}": p for ours, theirs in (("fc1", layer.linear1), ("fc2", layer.linear2))
            for name, p in theirs.named_parameters()}  # fmt: skip


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize("d_ff", [7, 3])
def test_feed_forward_matches_torch(activation, d_ff):
    """Values and gradients equal those of the linear1/linear2 path of nn.TransformerEncoderLayer."""
    function = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": lambda a: F.gelu(a, approximate="tanh")}[activation]
    layer = torch_layer(0, 6, 2, d_ff, activation=function)
    x = normal(1, 2, 5, 6).requires_grad_()
    theirs = layer._ff_block(x)
    for module in (feed_forward.FeedForward, given.FeedForward):
        ours = module(6, d_ff, activation=activation).double()
        ours.load_state_dict(network_state(layer))
        torch.testing.assert_close(ours(x), theirs, **EXACT)
        pairs = [
            torch.autograd.grad(ours(x).sin().sum(), [x, ours.fc1.weight, ours.fc2.bias]),
            torch.autograd.grad(layer._ff_block(x).sin().sum(), [x, layer.linear1.weight, layer.linear2.bias]),
        ]
        for a, b in zip(*pairs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
        with pytest.raises(ValueError):
            module(6, d_ff, activation="swish")


def test_swiglu_matches_torch():
    """Values and gradients equal those of torch's silu and matrix products; float16 is near the exact result."""
    ours = feed_forward.SwiGLU(5, 7).double()
    for n, parameter in enumerate(ours.parameters()):
        parameter.data = normal(n, *parameter.shape)
    w1, w2, w3 = ours.w1.weight, ours.w2.weight, ours.w3.weight
    x = normal(9, 2, 3, 5).requires_grad_()

    def theirs(x: Tensor) -> Tensor:
        return F.silu(x @ w1.T).mul(x @ w3.T) @ w2.T

    for scale in (1.0, 30.0):
        torch.testing.assert_close(ours(scale * x), theirs(scale * x), **EXACT)
    pairs = [torch.autograd.grad(f(x).sin().sum(), [x, w1, w2, w3]) for f in (ours, theirs)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
    exact = ours(x.detach())
    half = ours.half()(x.detach().half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.double(), exact, rtol=1e-2, atol=3e-2)


# residual


residual = load("residual")


@pytest.mark.parametrize("norm_first", [False, True])
def test_residual_matches_torch(norm_first):
    """Two wrappers are nn.TransformerEncoderLayer; with sub-layers that write zeros they are its norms, or nothing."""
    layer = torch_layer(0, 6, 2, 7, norm_first=norm_first)
    network = given.FeedForward(6, 7).double()
    network.load_state_dict(network_state(layer))
    norms = [given.LayerNorm(6).double() for _ in range(2)]
    for ours, theirs in zip(norms, (layer.norm1, layer.norm2), strict=True):
        ours.load_state_dict(theirs.state_dict())

    class Attention(nn.Module):
        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            return layer.self_attn(x, x, x, attn_mask=None if mask is None else ~mask)[0]

    first = residual.Residual(Attention(), norms[0], norm_first)
    second = residual.Residual(network, norms[1], norm_first)
    x, mask = normal(1, 2, 5, 6), torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(second(first(x)), layer(x), **EXACT)
    torch.testing.assert_close(second(first(x, mask=mask)), layer(x, src_mask=~mask), **EXACT)
    for parameter in (*layer.self_attn.out_proj.parameters(), *layer.linear2.parameters(), *network.fc2.parameters()):
        parameter.data.zero_()
    torch.testing.assert_close(second(first(x)), layer(x), **EXACT)
    if norm_first:
        torch.testing.assert_close(second(first(x)), x, **EXACT)


# encoder


encoder = load("encoder")


def layer_state(layer: nn.TransformerEncoderLayer) -> dict[str, Tensor]:
    """The weights of torch's layer under our names."""
    attention, state = layer.self_attn, {f"ffn.{name}": p for name, p in network_state(layer).items()}
    for kind in ("weight", "bias"):
        parts = zip("qkv", getattr(attention, f"in_proj_{kind}").chunk(3), strict=True)
        state |= {f"self_attn.{name}_proj.{kind}": part for name, part in parts}
        state[f"self_attn.out_proj.{kind}"] = getattr(attention.out_proj, kind)
        state |= {f"{name}.{kind}": getattr(getattr(layer, name), kind) for name in ("norm1", "norm2")}
    return {name: value.detach().clone() for name, value in state.items()}


ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "gelu_tanh": lambda a: F.gelu(a, approximate="tanh")}


@pytest.mark.parametrize("module", [encoder.EncoderLayer, given.EncoderLayer], ids=["reference", "given"])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("heads", [1, 3])
def test_encoder_layer_matches_torch(module, norm_first, activation, heads):
    """Values and gradients equal those of nn.TransformerEncoderLayer, with and without a mask."""
    theirs = torch_layer(heads, 6, heads, 11, norm_first=norm_first, activation=ACTIVATIONS[activation])
    theirs.train()  # off the fast path; there is no dropout
    for part in theirs.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    theirs.self_attn.dropout = 0.0
    ours = module(6, heads, 11, norm_first=norm_first, activation=activation).double()
    ours.load_state_dict(layer_state(theirs))
    x, mask = normal(1, 2, 5, 6).requires_grad_(), torch.ones(5, 5, dtype=torch.bool).tril()
    for allowed in (None, mask):
        pair = ours(x, mask=allowed), theirs(x, src_mask=None if allowed is None else ~allowed)
        torch.testing.assert_close(*pair, **EXACT)
        gradients = [torch.autograd.grad(out.sin().sum(), x)[0] for out in pair]
        torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-9)
    padding = torch.arange(5) < torch.tensor([[5], [3]])
    mine, other = ours(x, mask=padding[:, None, None]), theirs(x, src_key_padding_mask=~padding)
    torch.testing.assert_close(mine[padding], other[padding], **EXACT)


@pytest.mark.parametrize("module", [encoder.EncoderLayer, given.EncoderLayer], ids=["reference", "given"])
def test_tokens_with_nothing_to_see(module):
    """Where a row of the mask is empty, attention writes the bias of out_proj, and gradients stay finite."""
    layer = module(6, 2, 7, norm_first=True).double()
    layer.ffn.fc2.weight.data.zero_()
    layer.ffn.fc2.bias.data.zero_()
    x, mask = normal(1, 2, 5, 6).requires_grad_(), torch.ones(5, 5, dtype=torch.bool)
    mask[3] = False
    out = layer(x, mask=mask)
    torch.testing.assert_close(out[:, 3], x[:, 3] + layer.self_attn.out_proj.bias, **EXACT)
    assert torch.autograd.grad(out.sum(), x)[0].isfinite().all()


def test_given_encoder_layer_drops_what_is_written():
    """In train mode the given layer drops numbers that its sub-layers write; in eval mode nothing."""
    layer = given.EncoderLayer(6, 2, 7, dropout=0.5, norm_first=True)
    x = normal(1, 2, 5, 6, dtype=torch.float32)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    for p in (*layer.self_attn.out_proj.parameters(), *layer.ffn.fc2.parameters()):
        p.data.zero_()
    assert torch.equal(layer.train()(x), x)


@pytest.mark.parametrize("final_norm", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("n_layers", [0, 1, 3])
def test_encoder_matches_torch(n_layers, norm_first, final_norm):
    """The stack equals nn.TransformerEncoder at the real tokens; a stack of none is the (normed) identity."""
    norm = nn.LayerNorm(6, dtype=torch.float64) if final_norm else None
    if norm is not None:
        norm.load_state_dict({"weight": normal(8, 6), "bias": normal(9, 6)})
    layers = [torch_layer(n, 6, 3, 7, norm_first=norm_first) for n in range(n_layers)]
    theirs = nn.TransformerEncoder(torch_layer(9, 6, 3, 7), max(n_layers, 1), norm=norm, enable_nested_tensor=False)
    theirs.layers = nn.ModuleList(layers)
    theirs.eval()
    ours = encoder.Encoder(n_layers, 6, 3, 7, norm_first=norm_first, final_norm=final_norm).double()
    state = {f"layers.{n}.{name}": p for n, layer in enumerate(layers) for name, p in layer_state(layer).items()}
    if norm is not None:
        state |= {f"norm.{name}": p for name, p in norm.state_dict().items()}
    ours.load_state_dict(state)
    x, padding = normal(1, 2, 5, 6), torch.arange(5) < torch.tensor([[5], [3]])
    found = ours(x, mask=padding[:, None, None])
    if n_layers:
        torch.testing.assert_close(found[padding], theirs(x, src_key_padding_mask=~padding)[padding], **EXACT)
        torch.testing.assert_close(ours(x), theirs(x), **EXACT)
    else:
        torch.testing.assert_close(found, x if norm is None else norm(x), **EXACT)


# cross_attention


cross_attention = load("cross_attention")


@pytest.mark.parametrize("heads", [1, 2, 5])
@pytest.mark.parametrize("lengths", [(5, 7), (7, 3), (4, 4), (1, 1)])
@pytest.mark.parametrize("masked", [False, True])
def test_cross_attention_matches_torch(heads, lengths, masked):
    """Output, weights and gradients equal those of nn.MultiheadAttention with query x, key and value memory."""
    theirs = nn.MultiheadAttention(10, heads, kdim=6, vdim=6, batch_first=True, dtype=torch.float64)
    for n, parameter in enumerate(theirs.parameters()):
        parameter.data = 0.6 * normal(n, *parameter.shape)
    mha = given.MultiHeadAttention(10, heads, d_kv=6).double()
    state = {f"{name}_proj.weight": getattr(theirs, f"{name}_proj_weight") for name in "qkv"}
    state |= {f"{name}_proj.bias": b for name, b in zip("qkv", theirs.in_proj_bias.chunk(3), strict=True)}
    mha.load_state_dict(state | {f"out_proj.{name}": p for name, p in theirs.out_proj.named_parameters()})
    x, memory = (normal(n, 2, *shape).requires_grad_() for n, shape in enumerate(((lengths[0], 10), (lengths[1], 6))))
    mask = torch.ones(2, lengths[1], dtype=torch.bool)
    mask[1, 2:] = False
    found = cross_attention.cross_attention(mha, x, memory, mask if masked else None)
    options = {"key_padding_mask": ~mask} if masked else {}
    expected = theirs(x, memory, memory, average_attn_weights=False, **options)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    pairs = [torch.autograd.grad(out.sin().sum() + w.square().sum(), [x, memory]) for out, w in (found, expected)]
    for a, b in zip(*pairs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_cross_attention_with_nothing_to_read():
    """An example whose memory is all padding gets weights 0 and the bias of out_proj."""
    mha, mask = given.MultiHeadAttention(6, 3).double(), torch.ones(2, 7, dtype=torch.bool)
    mask[1] = False
    out, weights = cross_attention.cross_attention(mha, normal(0, 2, 5, 6), normal(1, 2, 7, 6), mask)
    assert not weights[1].any()
    torch.testing.assert_close(out[1], mha.out_proj.bias.expand(5, 6))

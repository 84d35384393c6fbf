"""The reference of unit 3 agrees with torch and einops, the degenerate cases included."""

import importlib.util
from pathlib import Path

import einops
import numpy as np
import pytest
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit3_multi_head_attention" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mathematics = load("multi_head_mathematics")
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

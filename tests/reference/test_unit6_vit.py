"""The reference of unit 6's page `vit`, and the patches of autograder.given, agree with torch and transformers.

Models are small, of random configurations and weights, without dropout, in float64.
"""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel
from transformers.models.vit.modeling_vit import ViTEmbeddings

from autograder import given

ROOT = Path(__file__).resolve().parents[2]
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def load(page: str):
    path = ROOT / "reference" / "unit6_variants" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


vit = load("vit")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("patchify", [vit.patchify, given.patchify], ids=["reference", "given"])
@pytest.mark.parametrize(("shape", "P"), [((2, 3, 6, 10), 2), ((1, 1, 5, 15), 5), ((3, 2, 4, 3), 1), ((1, 4, 7, 7), 7)])
def test_patches_match_unfold(patchify, shape, P):
    """The patches are those of F.unfold; unpatchify is the way back; a linear map of them is a convolution."""
    img = normal(0, *shape)
    patches = patchify(img, P)
    assert torch.equal(patches, F.unfold(img, P, stride=P).mT)
    assert torch.equal(vit.unpatchify(patches, P, *shape[2:]), img)
    kernel = normal(1, 5, shape[1], P, P)
    found = F.linear(patches, kernel.flatten(1))
    torch.testing.assert_close(found, F.conv2d(img, kernel, stride=P).flatten(2).mT, **EXACT)


@pytest.mark.parametrize("patchify", [vit.patchify, given.patchify], ids=["reference", "given"])
def test_what_does_not_fit(patchify):
    """Sides that P does not divide, and patches that are no image, are ValueErrors."""
    for H, W in ((4, 5), (5, 4)):
        with pytest.raises(ValueError):
            patchify(normal(0, 1, 2, H, W), 2)
    for shape, H, W in (((1, 6, 8), 4, 7), ((1, 6, 8), 4, 4), ((1, 6, 10), 4, 6)):
        with pytest.raises(ValueError):
            vit.unpatchify(normal(0, *shape), 2, H, W)


def config(seed: int, **options) -> ViTConfig:
    heads, patch = (1, 2, 3)[seed % 3], (2, 3)[seed % 2]
    sizes = {"hidden_size": 4 * heads, "num_hidden_layers": 1 + seed % 2, "num_attention_heads": heads}
    sizes |= {"intermediate_size": 7, "image_size": 3 * patch, "patch_size": patch, "num_channels": 1 + seed % 3}
    return ViTConfig(**sizes, **options)


def vit_state(theirs: ViTModel) -> dict[str, Tensor]:
    """The weights of a ViTModel under the names of this course; a convolution is a linear map of patches."""
    embeddings, state = theirs.embeddings, {}
    projection = embeddings.patch_embeddings.projection
    state = {"cls_token": embeddings.cls_token, "pos_embed": embeddings.position_embeddings}
    state |= {"patch_proj.weight": projection.weight.flatten(1), "patch_proj.bias": projection.bias}
    parts = {"norm": theirs.layernorm}
    for n, layer in enumerate(theirs.layers):
        own = {f"self_attn.{name}_proj": getattr(layer.attention, f"{name[0]}_proj") for name in ("q", "k", "v", "out")}
        own |= {"ffn.fc1": layer.mlp.fc1, "ffn.fc2": layer.mlp.fc2}
        own |= {"norm1": layer.layernorm_before, "norm2": layer.layernorm_after}
        parts |= {f"layers.{n}.{name}": part for name, part in own.items()}
    return state | {
        f"{name}.{kind}": getattr(part, kind) for name, part in parts.items() for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("seed", range(6))
def test_vit_matches_transformers(seed):
    """tokens are the last hidden state of ViTModel, logits a linear map of the first; the gradients agree, too."""
    cfg = config(seed, attn_implementation="sdpa")  # the eager one takes its softmax in float32
    assert (cfg.hidden_act, cfg.layer_norm_eps, cfg.qkv_bias) == ("gelu", 1e-12, True)
    theirs = ViTModel(cfg, add_pooling_layer=False).double().eval()
    for n, parameter in enumerate(theirs.parameters()):
        parameter.data = 0.5 * normal(100 * seed + n, *parameter.shape)
    sizes = (cfg.hidden_size, cfg.num_hidden_layers, cfg.num_attention_heads, cfg.intermediate_size, 5)
    ours = vit.ViT(cfg.image_size, cfg.patch_size, cfg.num_channels, *sizes).double()
    head = {"head.weight": normal(1, 5, cfg.hidden_size), "head.bias": normal(2, 5)}
    ours.load_state_dict(vit_state(theirs) | head)
    img = normal(3, 2, cfg.num_channels, cfg.image_size, cfg.image_size)
    logits, tokens = ours(img)
    expected = theirs(img).last_hidden_state
    torch.testing.assert_close(tokens, expected, **EXACT)
    torch.testing.assert_close(logits, F.linear(expected[:, 0], *head.values()), **EXACT)
    leaves = vit_state(theirs) | {"patch_proj.weight": theirs.embeddings.patch_embeddings.projection.weight}
    wanted = dict(zip(leaves, torch.autograd.grad(expected.sin().sum(), list(leaves.values())), strict=True))
    tokens.sin().sum().backward()
    for name, parameter in ours.named_parameters():
        if name in wanted:
            torch.testing.assert_close(parameter.grad, wanted[name].reshape(parameter.shape), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("g", "h", "w"), [(3, 3, 3), (3, 5, 5), (4, 2, 7), (2, 9, 1), (1, 3, 4), (5, 4, 10)])
def test_positions_match_transformers(g, h, w):
    """The stretched table is that of ViTEmbeddings.interpolate_pos_encoding, and of F.interpolate's gradient."""
    theirs = ViTEmbeddings(ViTConfig(hidden_size=6, image_size=2 * g, patch_size=2)).double()
    pos = normal(0, 1, 1 + g * g, 6).requires_grad_()
    theirs.position_embeddings = nn.Parameter(pos.detach())
    expected = theirs.interpolate_pos_encoding(torch.zeros(1, 1 + h * w, 6), 2 * h, 2 * w)
    found = vit.interpolate_pos(pos, h, w)
    torch.testing.assert_close(found, expected, **EXACT)
    (seen,) = torch.autograd.grad(found.sin().sum(), pos)
    (wanted,) = torch.autograd.grad(expected.sin().sum(), theirs.position_embeddings)
    torch.testing.assert_close(seen, wanted, rtol=1e-7, atol=1e-9)


def test_no_square_grid():
    """Rows that are no class token and a square are a ValueError."""
    with pytest.raises(ValueError):
        vit.interpolate_pos(normal(0, 1, 9, 3), 2, 2)

"""Public checks of the page `vit`."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.exercise("patchify")
def test_patchify_by_hand(student):
    """The examples of the page: 4 by 4 pixels in patches of 2, and two channels."""
    patches = student.patchify(torch.arange(16).reshape(1, 1, 4, 4), 2)
    assert patches.tolist() == [[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]]
    assert student.patchify(torch.arange(8).reshape(1, 2, 2, 2), 2).tolist() == [[[0, 1, 2, 3, 4, 5, 6, 7]]]


@pytest.mark.exercise("patchify")
def test_patchify_agrees_with_unfold(student):
    """For an image that is no square, with three channels: the patches of F.unfold."""
    img = draw(2, 3, 6, 8)
    torch.testing.assert_close(student.patchify(img, 2), F.unfold(img, 2, stride=2).mT)
    with pytest.raises(Exception, match="ValueError"):
        student.patchify(img, 4)


@pytest.mark.exercise("patchify")
def test_there_and_back(student):
    """unpatchify puts the patches of the page's example together again, and whatever patchify has cut."""
    img = student.unpatchify(torch.tensor([[[0, 1, 4, 5], [2, 3, 6, 7]]]), 2, 2, 4)
    assert img.tolist() == [[[[0, 1, 2, 3], [4, 5, 6, 7]]]]
    img = draw(2, 3, 6, 9)
    torch.testing.assert_close(student.unpatchify(student.patchify(img, 3), 3, 6, 9), img)


def vit_state(n_layers: int) -> dict[str, Tensor]:
    """Random weights of a ViT for images of 4 by 4 with 2 channels: patches of 2, D = 4, F = 5, 3 classes."""
    sizes = {"cls_token": (1, 1, 4), "pos_embed": (1, 5, 4)}
    linear = {"patch_proj": (4, 8), "head": (3, 4)}
    norms = ["norm"]
    for i in range(n_layers):
        linear |= {f"layers.{i}.self_attn.{name}_proj": (4, 4) for name in ("q", "k", "v", "out")}
        linear |= {f"layers.{i}.ffn.fc1": (5, 4), f"layers.{i}.ffn.fc2": (4, 5)}
        norms += [f"layers.{i}.norm1", f"layers.{i}.norm2"]
    sizes |= {f"{name}.weight": size for name, size in linear.items()}
    sizes |= {f"{name}.bias": size[:1] for name, size in linear.items()}
    sizes |= {f"{name}.{kind}": (4,) for name in norms for kind in ("weight", "bias")}
    return {name: 0.6 * draw(*size, seed=n) for n, (name, size) in enumerate(sizes.items())}


def small_vit(student, state: dict[str, Tensor], n_layers: int):
    vit = student.ViT(image=4, patch=2, C=2, d=4, n_layers=n_layers, n_heads=2, d_ff=5, n_classes=3)
    vit.load_reference(state)
    return vit


def embedded(img: Tensor, state: dict[str, Tensor]) -> Tensor:
    """Class token, patches through a convolution, positions."""
    kernel = state["patch_proj.weight"].reshape(4, 2, 2, 2)
    patches = F.conv2d(img, kernel, state["patch_proj.bias"], stride=2).flatten(2).mT
    return torch.cat([state["cls_token"].expand(len(img), 1, 4), patches], dim=1) + state["pos_embed"]


@pytest.mark.exercise("vit_model")
def test_without_layers(student):
    """Without layers: class token, patches (those of a convolution) and positions through the norm; the head."""
    state, img = vit_state(0), draw(3, 2, 4, 4)
    logits, tokens = small_vit(student, state, 0)(img)
    expected = F.layer_norm(embedded(img, state), (4,), state["norm.weight"], state["norm.bias"], eps=1e-12)
    torch.testing.assert_close(tokens, expected)
    torch.testing.assert_close(logits, F.linear(expected[:, 0], state["head.weight"], state["head.bias"]))


@pytest.mark.exercise("vit_model")
def test_vit_agrees_with_torch(student):
    """With one layer: nn.TransformerEncoderLayer, pre-LN with GELU and eps 1e-12, between embedding and norm."""
    state, img = vit_state(1), draw(3, 2, 4, 4)
    layer = nn.TransformerEncoderLayer(
        4, 2, 5, activation="gelu", layer_norm_eps=1e-12, norm_first=True, batch_first=True, dtype=torch.float64
    ).eval()
    own = {name.removeprefix("layers.0."): value for name, value in state.items() if name.startswith("layers.0.")}
    theirs = {name.replace("ffn.fc", "linear"): value for name, value in own.items() if "_attn" not in name}
    for kind in ("weight", "bias"):
        theirs[f"self_attn.in_proj_{kind}"] = torch.cat([own[f"self_attn.{name}_proj.{kind}"] for name in "qkv"])
        theirs[f"self_attn.out_proj.{kind}"] = own[f"self_attn.out_proj.{kind}"]
    layer.load_state_dict(theirs)
    expected = layer(embedded(img, state)).detach()
    expected = F.layer_norm(expected, (4,), state["norm.weight"], state["norm.bias"], eps=1e-12)
    logits, tokens = small_vit(student, state, 1)(img)
    torch.testing.assert_close(tokens, expected)
    torch.testing.assert_close(logits, F.linear(expected[:, 0], state["head.weight"], state["head.bias"]))


@pytest.mark.exercise("vit_model")
def test_size_of_the_image(student):
    """An image of another size is a ValueError."""
    with pytest.raises(Exception, match="ValueError"):
        small_vit(student, vit_state(0), 0)(draw(1, 2, 6, 4))


@pytest.mark.exercise("pos_embed_interpolation")
def test_positions_by_hand(student):
    """The examples of the page: a grid of 2 by 2 stays, or becomes one row of four."""
    pos = torch.tensor([[[9.0], [0.0], [1.0], [0.0], [1.0]]])
    assert student.interpolate_pos(pos, 2, 2)[0, :, 0].tolist() == [9.0, 0.0, 1.0, 0.0, 1.0]
    expected = torch.tensor([9.0, -0.10546875, 0.2265625, 0.7734375, 1.10546875])
    torch.testing.assert_close(student.interpolate_pos(pos, 1, 4)[0, :, 0], expected)


@pytest.mark.exercise("pos_embed_interpolation")
def test_other_grid(student):
    """A ramp of columns, far from the border: a grid of 6 by 6 becomes one of 6 by 12, each channel by itself."""
    ramp = torch.arange(6, dtype=torch.float64).repeat(6)
    pos = torch.cat([torch.full((1, 1, 2), 7.0, dtype=torch.float64), torch.stack([ramp, 10 * ramp], 1)[None]], dim=1)
    out = student.interpolate_pos(pos, 6, 12)
    assert out.shape == (1, 73, 2)
    assert out[0, 0].tolist() == [7.0, 7.0]
    middle = out[0, 1:].reshape(6, 12, 2)[:, 4:8]
    expected = torch.tensor([1.703125, 2.296875, 2.703125, 3.296875], dtype=torch.float64)
    torch.testing.assert_close(middle, torch.stack([expected, 10 * expected], 1).expand(6, 4, 2))

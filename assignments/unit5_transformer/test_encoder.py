"""Public checks of the page `encoder`."""

import pytest
import torch
from torch import Tensor, nn


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def torch_layer(seed: int, norm_first: bool) -> nn.TransformerEncoderLayer:
    """Torch's layer of width 6 with 3 heads and 11 hidden numbers, in float64, with random weights."""
    layer = nn.TransformerEncoderLayer(6, 3, 11, batch_first=True, norm_first=norm_first, dtype=torch.float64)
    for n, parameter in enumerate(layer.parameters()):
        parameter.data = 0.6 * draw(*parameter.shape, seed=100 * seed + n)
    return layer.eval()


def state_of(layer: nn.TransformerEncoderLayer, prefix: str = "") -> dict[str, Tensor]:
    """Its weights under the names of this course."""
    attention, state = layer.self_attn, {}
    for kind in ("weight", "bias"):
        parts = dict(zip("qkv", getattr(attention, f"in_proj_{kind}").detach().chunk(3), strict=True))
        state |= {f"self_attn.{name}_proj.{kind}": part for name, part in parts.items()}
        own = {"self_attn.out_proj": attention.out_proj, "ffn.fc1": layer.linear1, "ffn.fc2": layer.linear2}
        own |= {"norm1": layer.norm1, "norm2": layer.norm2}
        state |= {f"{name}.{kind}": getattr(module, kind).detach() for name, module in own.items()}
    return {prefix + name: value for name, value in state.items()}


def by_hand(student, norm_first: bool):
    """The layer of the example."""
    layer = student.EncoderLayer(2, 1, 3, norm_first=norm_first)
    sizes = {"self_attn.q_proj": (2, 2), "self_attn.k_proj": (2, 2), "ffn.fc1": (3, 2), "ffn.fc2": (2, 3)}
    state = {f"{name}.weight": torch.zeros(*size) for name, size in sizes.items()}
    state |= {f"self_attn.{name}_proj.weight": torch.eye(2) for name in ("v", "out")}
    state |= {name.replace("weight", "bias"): torch.zeros(len(value)) for name, value in state.items()}
    state |= {f"{name}.weight": torch.ones(2) for name in ("norm1", "norm2")}
    layer.load_reference(state | {f"{name}.bias": torch.zeros(2) for name in ("norm1", "norm2")})
    return layer


@pytest.mark.exercise("encoder_layer")
def test_layer_by_hand(student):
    """The example of the page: post-LN, post-LN with token 1 as padding, and pre-LN."""
    x, close = torch.tensor([[[0.0, 2.0], [4.0, 2.0]]]), {"rtol": 0.0, "atol": 1e-3}
    post, pre = by_hand(student, False), by_hand(student, True)
    torch.testing.assert_close(post(x), torch.tensor([[[-1.0, 1.0], [1.0, -1.0]]]), **close)
    padded = post(x, mask=torch.tensor([True, False]))
    torch.testing.assert_close(padded, torch.tensor([[[-1.0, 1.0], [0.0, 0.0]]]), **close)
    torch.testing.assert_close(pre(x), x, **close)


@pytest.mark.exercise("encoder_layer")
@pytest.mark.parametrize("norm_first", [False, True], ids=["post-LN", "pre-LN"])
def test_layer_agrees_with_torch(student, norm_first):
    """With the same weights the result is that of nn.TransformerEncoderLayer, with and without a mask."""
    theirs = torch_layer(1, norm_first)
    layer, x = student.EncoderLayer(6, 3, 11, norm_first=norm_first), draw(2, 5, 6)
    layer.load_reference(state_of(theirs))
    torch.testing.assert_close(layer(x), theirs(x).detach())
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(layer(x, mask=mask), theirs(x, src_mask=~mask).detach())


@pytest.mark.exercise("encoder_layer")
def test_layer_dropout(student):
    """In eval mode dropout does nothing; in train mode two calls differ."""
    layer, plain, x = student.EncoderLayer(6, 3, 11, dropout=0.5), student.EncoderLayer(6, 3, 11), draw(2, 5, 6)
    for one in (layer, plain):
        one.load_reference(state_of(torch_layer(1, False)))
    layer.train(False)
    torch.testing.assert_close(layer(x), plain(x))
    layer.train(True)
    assert not torch.equal(layer(x), layer(x)), "two calls in train mode, with dropout 0.5, gave the same"


@pytest.mark.exercise("encoder_stack")
@pytest.mark.parametrize("final_norm", [False, True], ids=["plain", "final norm"])
def test_stack(student, final_norm):
    """Three layers, each with weights of its own and with the mask, and a final norm if asked for."""
    layers, x = [torch_layer(n, True) for n in range(3)], draw(2, 5, 6)
    state = {name: value for n, layer in enumerate(layers) for name, value in state_of(layer, f"layers.{n}.").items()}
    norm = nn.LayerNorm(6, dtype=torch.float64)
    norm.load_state_dict({"weight": draw(6, seed=7), "bias": draw(6, seed=8)})
    if final_norm:
        state |= {f"norm.{name}": value for name, value in norm.state_dict().items()}
    encoder = student.Encoder(3, 6, 3, 11, norm_first=True, final_norm=final_norm)
    encoder.load_reference(state)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    expected = x
    for layer in layers:
        expected = layer(expected, src_mask=~mask)
    torch.testing.assert_close(encoder(x, mask=mask), (norm(expected) if final_norm else expected).detach())


@pytest.mark.exercise("encoder_stack")
def test_no_layers(student):
    """Without layers the result is x, or with a final norm its norm."""
    x = torch.tensor([[[0.0, 2.0], [4.0, 2.0]]])
    torch.testing.assert_close(student.Encoder(0, 2, 1, 3)(x), x)
    normed = student.Encoder(0, 2, 1, 3, final_norm=True)(x)
    torch.testing.assert_close(normed, torch.tensor([[[-1.0, 1.0], [1.0, -1.0]]]), rtol=0.0, atol=1e-3)

"""Public checks of the page `decoder`."""

import pytest
import torch
from torch import Tensor, nn


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shapes(d: int, d_ff: int) -> dict[str, tuple[int, ...]]:
    """Every parameter of a decoder layer with its shape."""
    found: dict[str, tuple[int, ...]] = {}
    for attention in ("self_attn", "cross_attn"):
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found |= {f"{attention}.{name}.weight": (d, d), f"{attention}.{name}.bias": (d,)}
    found |= {"ffn.fc1.weight": (d_ff, d), "ffn.fc1.bias": (d_ff,), "ffn.fc2.weight": (d, d_ff), "ffn.fc2.bias": (d,)}
    for name in ("norm1", "norm2", "norm3"):
        found |= {f"{name}.weight": (d,), f"{name}.bias": (d,)}
    return found


def load(layer, d: int = 6, d_ff: int = 5) -> dict[str, Tensor]:
    """Give a DecoderLayer known float64 weights, and return them."""
    state = {name: 0.5 * draw(*shape, seed=n) for n, (name, shape) in enumerate(shapes(d, d_ff).items())}
    state |= {name: 1 + value for name, value in state.items() if name.startswith("norm") and name.endswith("weight")}
    layer.load_reference(state)
    return state


def torch_layer(state: dict[str, Tensor], d: int, heads: int, d_ff: int, norm_first: bool) -> nn.Module:
    """torch's decoder layer with these weights."""
    layer = nn.TransformerDecoderLayer(d, heads, d_ff, dropout=0.0, batch_first=True, norm_first=norm_first).double()
    theirs = {}
    for ours, name in (("self_attn", "self_attn"), ("cross_attn", "multihead_attn")):
        for kind, part in (("weight", "in_proj_weight"), ("bias", "in_proj_bias")):
            theirs[f"{name}.{part}"] = torch.cat([state[f"{ours}.{n}_proj.{kind}"] for n in "qkv"])
            theirs[f"{name}.out_proj.{kind}"] = state[f"{ours}.out_proj.{kind}"]
    for kind in ("weight", "bias"):
        theirs |= {f"linear{n}.{kind}": state[f"ffn.fc{n}.{kind}"] for n in (1, 2)}
        theirs |= {f"norm{n}.{kind}": state[f"norm{n}.{kind}"] for n in (1, 2, 3)}
    layer.load_state_dict(theirs)
    return layer.eval()


@pytest.mark.exercise("decoder_layer")
@pytest.mark.parametrize(("norm_first", "expected"), [(True, [8.0, -1.0]), (False, [1.0, -1.0])])
def test_worked_example(student, norm_first, expected):
    """The example of the page: x = (3, 1) and memory (5, -2) become (8, -1) with pre-LN, (1, -1) with post-LN."""
    layer = student.DecoderLayer(2, 1, 3, norm_first=norm_first)
    state = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes(2, 3).items()}
    state |= {name: 1 + value for name, value in state.items() if name.startswith("norm") and name.endswith("weight")}
    state |= {f"cross_attn.{name}_proj.weight": torch.eye(2, dtype=torch.float64) for name in ("v", "out")}
    layer.load_reference(state)
    out = layer(torch.tensor([[[3.0, 1.0]]]).double(), torch.tensor([[[5.0, -2.0]]]).double())
    torch.testing.assert_close(out, torch.tensor([[expected]], dtype=torch.float64), rtol=1e-4, atol=1e-4)


@pytest.mark.exercise("decoder_layer")
@pytest.mark.parametrize("norm_first", [False, True])
def test_agrees_with_torch(student, norm_first):
    """With the same weights the output is that of nn.TransformerDecoderLayer, whose masks mean the opposite."""
    layer = student.DecoderLayer(6, 3, 5, norm_first=norm_first)
    state = load(layer)
    x, memory = draw(2, 4, 6, seed=100), draw(2, 7, 6, seed=101)
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    real = torch.arange(7) < torch.tensor([[7], [5]])
    theirs = torch_layer(state, 6, 3, 5, norm_first)
    torch.testing.assert_close(layer(x, memory), theirs(x, memory))
    expected = theirs(x, memory, tgt_mask=~causal, memory_key_padding_mask=~real)
    torch.testing.assert_close(layer(x, memory, tgt_mask=causal, memory_mask=real[:, None, None]), expected)


@pytest.mark.exercise("decoder_layer")
def test_no_future(student):
    """With a causal tgt_mask, another last token leaves the earlier outputs as they are."""
    layer = student.DecoderLayer(6, 2, 5)
    load(layer)
    x, memory, causal = draw(1, 4, 6, seed=100), draw(1, 4, 6, seed=101), torch.ones(4, 4, dtype=torch.bool).tril()
    before = layer(x, memory, tgt_mask=causal)
    x[:, 3] += 1
    after = layer(x, memory, tgt_mask=causal)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3], before[:, 3]), "the last output does not depend on the last token"


@pytest.mark.exercise("decoder_layer")
def test_memory_mask(student):
    """What memory_mask hides has no effect; what it shows has."""
    layer = student.DecoderLayer(6, 2, 5, norm_first=True)
    load(layer)
    x, memory, mask = draw(1, 3, 6, seed=100), draw(1, 4, 6, seed=101), torch.tensor([True, True, False, True])
    before = layer(x, memory, memory_mask=mask)
    hidden, seen = memory.clone(), memory.clone()
    hidden[:, 2] += 1
    seen[:, 1] += 1
    torch.testing.assert_close(layer(x, hidden, memory_mask=mask), before)
    assert not torch.allclose(layer(x, seen, memory_mask=mask), before), "the output does not depend on the memory"

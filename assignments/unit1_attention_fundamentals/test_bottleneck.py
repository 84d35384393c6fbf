"""Public checks of the page `bottleneck`."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCAB, D = 11, 5


def weights(attn: bool) -> dict[str, Tensor]:
    """Known weights, in float64, under the names of the page."""
    generator = torch.Generator().manual_seed(1)
    shapes = {"embed.weight": (VOCAB, D), "output.weight": (VOCAB, 2 * D), "output.bias": (VOCAB,)}
    for gru in ("encoder", "decoder"):
        shapes |= {f"{gru}.weight_{kind}_l0": (3 * D, D) for kind in ("ih", "hh")}
        shapes |= {f"{gru}.bias_{kind}_l0": (3 * D,) for kind in ("ih", "hh")}
    if attn:
        shapes |= {"query.weight": (D, D), "query.bias": (D,), "key.weight": (D, D), "score.weight": (1, D)}
    return {name: torch.randn(shape, dtype=torch.float64, generator=generator) for name, shape in shapes.items()}


def run_gru(sd: dict[str, Tensor], name: str, x: Tensor, start: Tensor | None = None) -> Tensor:
    gru = nn.GRU(D, D, batch_first=True, dtype=torch.float64)
    gru.load_state_dict({key.removeprefix(f"{name}."): value for key, value in sd.items() if key.startswith(name)})
    with torch.no_grad():
        return gru(x, None if start is None else start[None])[0]


def load(student, attn: bool):
    model = student.AttnSeq2Seq(VOCAB, D, attn)
    sd = weights(attn)
    model.load_reference(sd)
    return model, sd


SRC = torch.tensor([[5, 3, 9, 2, 7, 4], [6, 2, 10, 8, 3, 5]])
TGT_IN = torch.tensor([[1, 4, 7, 2], [1, 5, 3, 8]])


@pytest.mark.exercise("bottleneck_study")
def test_one_vector(student):
    """Without attention every output reads the decoder's state and the encoder's last state; the weights are None."""
    model, sd = load(student, attn=False)
    logits, none = model(SRC, TGT_IN)
    assert none is None, "the weights of a model without attention are not None"
    assert logits.shape == (2, 4, VOCAB), f"logits have shape {tuple(logits.shape)}, expected (2, 4, {VOCAB})"
    last = run_gru(sd, "encoder", sd["embed.weight"][SRC])[:, -1]
    h = run_gru(sd, "decoder", sd["embed.weight"][TGT_IN], last)
    both = torch.cat([h, last[:, None].expand_as(h)], dim=-1)
    torch.testing.assert_close(logits, F.linear(both, sd["output.weight"], sd["output.bias"]))


@pytest.mark.exercise("bottleneck_study")
def test_look_back(student):
    """With attention the context is the weighted average of the encoder's states, by the weights that are returned."""
    model, sd = load(student, attn=True)
    logits, shares = model(SRC, TGT_IN)
    assert shares.shape == (2, 4, 6), f"weights have shape {tuple(shares.shape)}, expected (2, 4, 6) = (B, T, S)"
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 4, dtype=torch.float64))
    states = run_gru(sd, "encoder", sd["embed.weight"][SRC])
    h = run_gru(sd, "decoder", sd["embed.weight"][TGT_IN], states[:, -1])
    one = torch.tanh(sd["query.weight"] @ h[1, 2] + sd["query.bias"] + states[1] @ sd["key.weight"].T)
    torch.testing.assert_close(shares[1, 2], torch.softmax(one @ sd["score.weight"][0], dim=0))
    both = torch.cat([h, shares @ states], dim=-1)
    torch.testing.assert_close(logits, F.linear(both, sd["output.weight"], sd["output.bias"]))


@pytest.mark.exercise("bottleneck_study")
@pytest.mark.parametrize("attn", [False, True], ids=["one vector", "attention"])
def test_padding(student, attn):
    """A source gives the same logits with PAD behind it as without, and PAD gets a weight of exactly 0."""
    model, _ = load(student, attn)
    padded = SRC.clone()
    padded[1, 3:] = 0
    logits, shares = model(padded, TGT_IN)
    alone, _ = model(SRC[1:, :3], TGT_IN[1:])
    torch.testing.assert_close(logits[1:], alone)
    if attn:
        assert (shares[1, :, 3:] == 0).all(), "PAD has a weight that is not exactly 0"


@pytest.mark.exercise("bottleneck_study")
def test_later_symbols_do_not_matter(student):
    """The logits of a step do not depend on later symbols of tgt_in."""
    model, _ = load(student, attn=True)
    later = TGT_IN.clone()
    later[:, 2:] = 9
    torch.testing.assert_close(model(SRC, later)[0][:, :2], model(SRC, TGT_IN)[0][:, :2])

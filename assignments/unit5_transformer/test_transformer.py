"""Public checks of the page `transformer`."""

import math

import pytest
import torch
from torch import Tensor, nn


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.exercise("shift_and_masks")
def test_shift_by_hand(student):
    """The target 5 6 EOS PAD becomes the input BOS 5 6 EOS, with the labels 5 6 EOS -100."""
    tgt = torch.tensor([[5, 6, 2, 0], [7, 2, 0, 0]])
    inp, labels = student.make_decoder_io(tgt, 1, 0)
    assert inp.tolist() == [[1, 5, 6, 2], [1, 7, 2, 0]]
    assert labels.tolist() == [[5, 6, 2, -100], [7, 2, -100, -100]]
    assert inp.dtype == labels.dtype == torch.int64


@pytest.mark.exercise("shift_and_masks")
def test_source_mask_by_hand(student):
    """The source mask is (B, 1, 1, S), and True where there is no padding."""
    mask = student.src_mask(torch.tensor([[5, 6, 0], [7, 0, 0]]), 0)
    assert mask.shape == (2, 1, 1, 3) and mask.dtype == torch.bool, f"a {mask.dtype} tensor of shape {mask.shape}"
    assert mask[:, 0, 0].tolist() == [[True, True, False], [True, False, False]]


@pytest.mark.exercise("shift_and_masks")
def test_target_mask_by_hand(student):
    """Not the future, and no padding; but key 0 may be seen whatever its number."""
    mask = student.tgt_mask(torch.tensor([[1, 5, 0]]), 0)
    assert mask.shape == (1, 1, 3, 3) and mask.dtype == torch.bool, f"a {mask.dtype} tensor of shape {mask.shape}"
    assert mask[0, 0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0]]
    assert student.tgt_mask(torch.tensor([[0, 5]]), 0)[0, 0].int().tolist() == [[1, 0], [1, 1]]


# ---------------------------------------------------------------- seq2seq_transformer

SIZES = {"src_vocab": 11, "tgt_vocab": 7, "d_model": 6, "n_heads": 2, "n_enc": 2, "n_dec": 1, "d_ff": 5}


def model(student, **options):
    """A student's Transformer with known float64 weights, and the weights."""
    made = student.Transformer(**SIZES, max_len=8, pad_id=0, **options)
    state, d, f = {}, 6, 5
    shapes = {"src_embed.weight": (11, d), "tgt_embed.weight": (7, d), "output.weight": (7, d)}
    layers = {f"encoder_layers.{n}": ("self_attn",) for n in range(2)}
    for layer, attentions in (layers | {"decoder_layers.0": ("self_attn", "cross_attn")}).items():
        for attention in attentions:
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                shapes |= {f"{layer}.{attention}.{name}.weight": (d, d), f"{layer}.{attention}.{name}.bias": (d,)}
        shapes |= {f"{layer}.ffn.fc1.weight": (f, d), f"{layer}.ffn.fc1.bias": (f,)}
        shapes |= {f"{layer}.ffn.fc2.weight": (d, f), f"{layer}.ffn.fc2.bias": (d,)}
        for n in range(1, len(attentions) + 2):
            shapes |= {f"{layer}.norm{n}.{kind}": (d,) for kind in ("weight", "bias")}
    shapes |= {f"{side}_norm.{kind}": (d,) for side in ("encoder", "decoder") for kind in ("weight", "bias")}
    for n, (name, shape) in enumerate(shapes.items()):
        state[name] = 0.4 * draw(*shape, seed=n) + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
    if options.get("tie"):
        state["output.weight"] = state["tgt_embed.weight"]
    made.load_reference(state)
    return made, state


def torch_logits(state: dict[str, Tensor], src: Tensor, inp: Tensor) -> Tensor:
    """What nn.Transformer, with embeddings before it and an output layer behind it, makes of the same weights."""
    core = nn.Transformer(6, 2, 2, 1, 5, dropout=0.0, batch_first=True, norm_first=True).double().eval()
    theirs = {}
    for side, n_layers in (("encoder", 2), ("decoder", 1)):
        theirs |= {f"{side}.norm.{kind}": state[f"{side}_norm.{kind}"] for kind in ("weight", "bias")}
        for n in range(n_layers):
            ours, there = f"{side}_layers.{n}", f"{side}.layers.{n}"
            names = {"self_attn": "self_attn"} | ({"cross_attn": "multihead_attn"} if side == "decoder" else {})
            for name, their_name in names.items():
                for kind in ("weight", "bias"):
                    parts = [state[f"{ours}.{name}.{p}_proj.{kind}"] for p in "qkv"]
                    theirs[f"{there}.{their_name}.in_proj_{kind}"] = torch.cat(parts)
                    theirs[f"{there}.{their_name}.out_proj.{kind}"] = state[f"{ours}.{name}.out_proj.{kind}"]
            for kind in ("weight", "bias"):
                theirs |= {f"{there}.linear{i}.{kind}": state[f"{ours}.ffn.fc{i}.{kind}"] for i in (1, 2)}
                theirs |= {f"{there}.norm{i}.{kind}": state[f"{ours}.norm{i}.{kind}"] for i in range(1, len(names) + 2)}
    core.load_state_dict(theirs)
    rates = 10000.0 ** (-torch.arange(0, 6, 2, dtype=torch.float64) / 6)
    angles = torch.arange(8, dtype=torch.float64)[:, None] * rates
    table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    x, y = (
        math.sqrt(6) * state[f"{side}_embed.weight"][ids] + table[: ids.shape[1]]
        for side, ids in (("src", src), ("tgt", inp))
    )
    later = torch.ones(inp.shape[1], inp.shape[1], dtype=torch.bool).triu(1)
    pads = {"src_key_padding_mask": src == 0, "memory_key_padding_mask": src == 0, "tgt_key_padding_mask": inp == 0}
    with torch.no_grad():
        return core(x, y, tgt_mask=later, **pads) @ state["output.weight"].T


SRC = torch.tensor([[3, 4, 5, 10, 9], [8, 6, 7, 0, 0]])
INP = torch.tensor([[1, 4, 3], [1, 6, 0]])


@pytest.mark.exercise("seq2seq_transformer")
@pytest.mark.parametrize("tie", [False, True])
def test_agrees_with_torch(student, tie):
    """With the same weights the logits are those of nn.Transformer between embeddings and an output layer."""
    made, state = model(student, tie=tie)
    logits = made(SRC, INP)
    assert logits.shape == (2, 3, 7), f"shape {tuple(logits.shape)}, expected (2, 3, 7) = (B, T, tgt_vocab)"
    expected = torch_logits(state, SRC, INP)
    for row, length in enumerate((3, 2)):  # what stands at the places of padding is of no meaning
        torch.testing.assert_close(logits[row, :length], expected[row, :length])


@pytest.mark.exercise("seq2seq_transformer")
def test_encode_then_decode(student):
    """encode and decode together are forward."""
    made, _ = model(student)
    torch.testing.assert_close(made.decode(INP[:, :2], made.encode(SRC), SRC), made(SRC, INP)[:, :2])


@pytest.mark.exercise("seq2seq_transformer")
def test_no_future_and_no_padding(student):
    """Another last symbol of the input changes no earlier logits; more padding in the source changes none at all."""
    made, _ = model(student)
    before = made(SRC, INP)
    other = torch.tensor([[1, 4, 6], [1, 6, 5]])
    torch.testing.assert_close(made(SRC, other)[:, :2], before[:, :2])
    longer = torch.cat([SRC, torch.zeros(2, 2, dtype=torch.int64)], dim=1)
    torch.testing.assert_close(made(longer, INP)[:, :2], before[:, :2])


@pytest.mark.exercise("seq2seq_transformer")
def test_too_long(student):
    """Sequences of max_len symbols pass, longer ones are a ValueError, source and input alike."""
    made, _ = model(student)
    long, short = torch.full((1, 9), 3), torch.full((1, 8), 3)
    made(short, short)
    for src, inp in ((long, short), (short, long)):
        try:
            made(src, inp)
        except Exception as error:
            assert error.is_a(ValueError), f"raised {error}, expected ValueError"
        else:
            raise AssertionError("nothing was raised, expected ValueError")


@pytest.mark.exercise("seq2seq_transformer")
@pytest.mark.parametrize(("tie", "count"), [(False, 162), (True, 156)])
def test_parameters(student, tie, count):
    """The example of the page has 162 parameters; with tied weights 156, since a shared one counts once."""
    made = student.Transformer(3, 3, 2, 1, 1, 1, 4, max_len=5, pad_id=0, tie=tie)
    found = sum(gradient.numel() for gradient in _gradients(student, made).values())
    assert found == count, f"{found} trainable numbers, expected {count}"


def _gradients(student, made) -> dict[str, Tensor]:
    ids = torch.tensor([[1, 2]])
    return student.vjp(made, ids, ids, cotangent=torch.ones(1, 2, 3), parameters=True).parameters

"""Public checks of the page `t5`."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def bits(text: str) -> np.ndarray:
    return np.array([letter == "x" for letter in text])


@pytest.mark.exercise("span_corruption")
@pytest.mark.parametrize(
    ("mask", "inputs", "targets"),
    [
        ("..xx..x.", [10, 11, 99, 14, 15, 98, 17, 1], [99, 12, 13, 98, 16, 97, 1]),
        ("x.x", [99, 11, 98, 1], [99, 10, 98, 12, 97, 1]),
        ("..", [10, 11, 1], [99, 1]),
        ("xxx", [99, 1], [99, 10, 11, 12, 98, 1]),
    ],
)
def test_spans_and_sentinels(student, mask, inputs, targets):
    """Tokens 10, 11, ... with sentinel0 = 99 and eos = 1: the example of the page, and three others."""
    tokens = np.arange(10, 10 + len(mask))
    found = student.apply_span_mask(tokens, bits(mask), 99, 1)
    assert len(found) == 2, "apply_span_mask returns a pair: inputs, targets"
    assert found[0].tolist() == inputs, f"inputs are {found[0].tolist()}, expected {inputs}"
    assert found[1].tolist() == targets, f"targets are {found[1].tolist()}, expected {targets}"


@pytest.mark.exercise("span_corruption")
@pytest.mark.parametrize(
    ("T", "density", "mean_len", "tokens", "spans"),
    [(20, 0.3, 2.0, 6, 3), (100, 0.15, 3.0, 15, 5), (5, 0.01, 3.0, 1, 1)],
)
def test_counts(student, T, density, mean_len, tokens, spans):
    """Both numbers are exact, whatever the seed; the mask begins with False and ends with True."""
    for seed in range(5):
        mask = student.random_spans_mask(T, density, mean_len, np.random.default_rng(seed))
        assert mask.shape == (T,) and mask.dtype == bool, f"the mask is {mask.dtype} {mask.shape}"
        assert not mask[0] and mask[-1], "the first token stays, the last is cut out"
        found = int(mask.sum()), int((mask[1:] & ~mask[:-1]).sum())
        assert found == (tokens, spans), f"{found[0]} tokens in {found[1]} spans, expected {tokens} in {spans}"


@pytest.mark.exercise("span_corruption")
def test_all_cuts_occur(student):
    """Four tokens in two spans, and four that stay: in 300 masks each of the nine ways to cut occurs."""
    seen = {student.random_spans_mask(8, 0.5, 2.0, np.random.default_rng(seed)).tobytes() for seed in range(300)}
    assert len(seen) == 9, f"{len(seen)} different masks, expected 9"


def by_hand(student):
    """The layer of the example."""
    block = student.T5Block(1, 1, 1, 1, False)
    names = ["norm1", "norm2", *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")), "ffn.fc1", "ffn.fc2"]
    state = {f"{name}.weight": torch.ones(1) if "norm" in name else torch.ones(1, 1) for name in names}
    block.load_reference(state | {"ffn.fc2.weight": torch.zeros(1, 1)})
    return block


@pytest.mark.exercise("t5_block")
def test_by_hand(student):
    """The example of the page: without a bias, and with one of 2 for the other token."""
    block, x = by_hand(student), torch.tensor([[[3.0], [-3.0]]])
    plain = block(x, torch.zeros(1, 1, 2, 2))
    torch.testing.assert_close(plain, torch.tensor([[[3.7616], [-3.7616]]]), rtol=0.0, atol=1e-3)
    torch.testing.assert_close(block(x, torch.tensor([[[[0.0, 2.0], [2.0, 0.0]]]])), x, rtol=0.0, atol=1e-3)


def written_out(state: dict[str, Tensor], x: Tensor, bias: Tensor, memory: Tensor | None, heads: int) -> Tensor:
    """The formulas of the page with torch's functions, for one example."""

    def norm(name: str, y: Tensor) -> Tensor:
        return nn.functional.rms_norm(y, y.shape[-1:], state[f"{name}.weight"], eps=1e-6)

    def attend(name: str, y: Tensor, source: Tensor, added: Tensor | None) -> Tensor:
        q, k, v = (
            (t @ state[f"{name}.{n}_proj.weight"].mT).unflatten(-1, (heads, -1)).transpose(1, 2)
            for n, t in (("q", y), ("k", source), ("v", source))
        )
        found = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=added, scale=1.0)
        return found.transpose(1, 2).flatten(2) @ state[f"{name}.out_proj.weight"].mT

    if memory is not None:
        bias = bias.masked_fill(torch.ones(bias.shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    x = x + attend("self_attn", norm("norm1", x), norm("norm1", x), bias)
    last = "norm2"
    if memory is not None:
        x, last = x + attend("cross_attn", norm("norm2", x), memory, None), "norm3"
    return x + torch.relu(norm(last, x) @ state["ffn.fc1.weight"].mT) @ state["ffn.fc2.weight"].mT


@pytest.mark.exercise("t5_block")
@pytest.mark.parametrize("is_decoder", [False, True], ids=["encoder", "decoder"])
@pytest.mark.parametrize("d_kv", [2, 5])
def test_formulas(student, is_decoder, d_kv):
    """The result is that of the formulas; heads may be wider than D / H."""
    d, H, d_ff = 6, 3, 7
    shapes = {"norm1": (d,), "norm2": (d,), "ffn.fc1": (d_ff, d), "ffn.fc2": (d, d_ff)} | (
        {"norm3": (d,)} if is_decoder else {}
    )
    for name in ("self_attn", "cross_attn")[: 1 + is_decoder]:
        shapes |= {f"{name}.{n}_proj": (H * d_kv, d) for n in "qkv"} | {f"{name}.out_proj": (d, H * d_kv)}
    state = {f"{name}.weight": 0.5 * draw(*shape, seed=n) for n, (name, shape) in enumerate(shapes.items())}
    block = student.T5Block(d, d_kv, H, d_ff, is_decoder)
    block.load_reference(state)
    x, bias, memory = draw(1, 5, d, seed=50), draw(1, H, 5, 5, seed=51), draw(1, 4, d, seed=52)
    if is_decoder:
        torch.testing.assert_close(block(x, bias, memory=memory), written_out(state, x, bias, memory, H))
    else:
        torch.testing.assert_close(block(x, bias), written_out(state, x, bias, None, H))


@pytest.mark.exercise("t5_block")
def test_no_future(student):
    """In a decoder a later token changes nothing for the earlier ones."""
    block, x, memory = student.T5Block(6, 2, 3, 7, True), draw(1, 5, 6).float(), draw(1, 4, 6, seed=1).float()
    bias, other = torch.zeros(1, 3, 5, 5), x.clone()
    other[:, 3:] += 1.0
    before, after = block(x, bias, memory=memory), block(other, bias, memory=memory)
    torch.testing.assert_close(after[:, :3], before[:, :3])

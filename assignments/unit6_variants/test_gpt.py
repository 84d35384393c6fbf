"""Public checks of the page `gpt`."""

import math

import pytest
import torch
from torch import Tensor, nn

INF = math.inf


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_state(vocab: int, block: int, d: int, n_layer: int) -> dict[str, Tensor]:
    """Random weights under the names of the docstring."""
    shapes = {"embed.weight": (vocab, d), "position.weight": (block, d), "norm.weight": (d,), "norm.bias": (d,)}
    for i in range(n_layer):
        for name in ("norm1", "norm2"):
            shapes |= {f"layers.{i}.{name}.weight": (d,), f"layers.{i}.{name}.bias": (d,)}
        linear = {f"self_attn.{name}_proj": (d, d) for name in ("q", "k", "v", "out")}
        for name, size in (linear | {"ffn.fc1": (4 * d, d), "ffn.fc2": (d, 4 * d)}).items():
            shapes |= {f"layers.{i}.{name}.weight": size, f"layers.{i}.{name}.bias": size[:1]}
    return {name: 0.5 * draw(*shape, seed=n) for n, (name, shape) in enumerate(shapes.items())}


def torch_logits(state: dict[str, Tensor], ids: Tensor, heads: int) -> Tensor:
    """The same model made of torch's own encoder layers, with torch's mask."""
    (_, d), T = state["embed.weight"].shape, ids.shape[1]
    x = state["embed.weight"][ids] + state["position.weight"][:T]
    layers = sum("norm1.weight" in name for name in state)
    for i in range(layers):
        layer = nn.TransformerEncoderLayer(
            d, heads, 4 * d, 0.0, nn.GELU(approximate="tanh"), batch_first=True, norm_first=True, dtype=torch.float64
        )
        own = {name.removeprefix(f"layers.{i}."): value for name, value in state.items() if f"layers.{i}." in name}
        renamed = {name.replace("ffn.fc", "linear"): value for name, value in own.items() if "_proj" not in name}
        for kind in ("weight", "bias"):
            renamed[f"self_attn.in_proj_{kind}"] = torch.cat([own[f"self_attn.{n}_proj.{kind}"] for n in "qkv"])
            renamed[f"self_attn.out_proj.{kind}"] = own[f"self_attn.out_proj.{kind}"]
        layer.load_state_dict(renamed)
        x = layer(x, src_mask=torch.ones(T, T, dtype=torch.bool).triu(1))
    x = nn.functional.layer_norm(x, (d,), state["norm.weight"], state["norm.bias"])
    return (x @ state["embed.weight"].mT).detach()


@pytest.mark.exercise("gpt_model")
def test_by_hand(student):
    """The example of the page: no layers, the text 0 0, the targets 0 1."""
    model = student.GPT(2, 2, 2, 0, 1)
    state = {"embed.weight": torch.eye(2), "position.weight": torch.tensor([[0.0, 0.0], [0.0, 2.0]])}
    model.load_reference(state | {"norm.weight": torch.ones(2), "norm.bias": torch.zeros(2)})
    logits, loss = model(torch.tensor([[0, 0]]), targets=torch.tensor([[0, 1]]))
    torch.testing.assert_close(logits, torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]]), rtol=0.0, atol=1e-3)
    torch.testing.assert_close(loss, torch.tensor(0.1269), rtol=0.0, atol=1e-3)
    logits, nothing = model(torch.tensor([[0, 0]]), positions=torch.tensor([1, 0]))
    torch.testing.assert_close(logits, torch.tensor([[[-1.0, 1.0], [1.0, -1.0]]]), rtol=0.0, atol=1e-3)
    assert nothing is None, "without targets and past the second of the pair is None"


@pytest.mark.exercise("gpt_model")
@pytest.mark.parametrize("n_layer", [1, 3])
def test_agrees_with_torch(student, n_layer):
    """With the same weights the logits are those of torch's layers, pre-LN, with torch's causal mask."""
    state, ids = random_state(11, 7, 6, n_layer), torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    model = student.GPT(11, 7, 6, n_layer, 3)
    model.load_reference(state)
    torch.testing.assert_close(model(ids)[0], torch_logits(state, ids, 3))


@pytest.mark.exercise("gpt_model")
def test_past_is_asked(student):
    """With past each layer asks it: here its answer is v, so every token sees itself only."""
    state, ids = random_state(11, 7, 6, 2), torch.tensor([[3, 1, 4]])
    model, asked = student.GPT(11, 7, 6, 2, 3), []
    model.load_reference(state)

    def past(layer, q, k, v):
        asked.append((layer, tuple(q.shape)))
        return v

    logits = model(ids, past=past)[0]
    assert asked == [(0, (1, 3, 3, 2)), (1, (1, 3, 3, 2))], f"past was called with {asked}"
    alone = model(ids[:, 1:2], positions=torch.tensor([1]))[0]
    torch.testing.assert_close(logits[:, 1:2], alone)


@pytest.mark.exercise("kv_cache")
def test_mean_so_far(student):
    """The example of the page: values 2, then 4 and 9 in a chunk, and equal weights for what may be seen."""
    cache, zero = student.KVCache(), torch.zeros(1, 1, 1, 1)
    torch.testing.assert_close(cache(0, zero, zero, torch.full((1, 1, 1, 1), 2.0)), torch.full((1, 1, 1, 1), 2.0))
    chunk = torch.zeros(1, 1, 2, 1)
    answer = cache(0, chunk, chunk, torch.tensor([[[[4.0], [9.0]]]]))
    torch.testing.assert_close(answer, torch.tensor([[[[3.0], [5.0]]]]))


@pytest.mark.exercise("kv_cache")
@pytest.mark.parametrize("size", [1, 2, 5])
def test_chunks(student, size):
    """A text in chunks of any size gives what torch's causal attention gives in one piece."""
    q, k, v = draw(3, 2, 3, 5, 7)
    cache = student.KVCache()
    parts = [cache(0, *(t[:, :, start : start + size] for t in (q, k, v))) for start in range(0, 5, size)]
    expected = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(torch.cat(parts, dim=2), expected)


@pytest.mark.exercise("kv_cache")
def test_reorder(student):
    """After reorder row 0 goes on where row 1 was: the mean of 6 and 2 is 4, of 10 and 2 it is 6."""
    cache, zero = student.KVCache(), torch.zeros(2, 1, 1, 1)
    cache(0, zero, zero, torch.tensor([6.0, 10.0]).reshape(2, 1, 1, 1))
    cache.reorder(torch.tensor([1, 0]))
    answer = cache(0, zero, zero, torch.full((2, 1, 1, 1), 2.0))
    torch.testing.assert_close(answer.flatten(), torch.tensor([6.0, 4.0]))


@pytest.mark.exercise("kv_cache")
def test_generate(student):
    """With and without the cache the same tokens are written, also beyond the block."""
    model = student.given.GPT(11, 7, 6, 2, 3)
    model.load_reference(random_state(11, 7, 6, 2))
    ids = torch.tensor([[3, 1, 4], [1, 5, 9]])
    plain, cached = (student.generate(model, ids, 8, use_cache=use_cache) for use_cache in (False, True))
    assert tuple(plain.shape) == (2, 11), f"the result has shape {tuple(plain.shape)}, expected (2, 11)"
    torch.testing.assert_close(plain[:, :3], ids)
    torch.testing.assert_close(cached, plain)
    torch.testing.assert_close(plain[:, 3], torch_logits(random_state(11, 7, 6, 2), ids, 3)[:, -1].argmax(dim=-1))


LOGP = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()


@pytest.mark.exercise("sampling_filters")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0.5}, [0.7246, 0.1812, 0.0652, 0.0290]),
        ({"temperature": 0.0}, [1.0, 0.0, 0.0, 0.0]),
        ({"top_k": 2}, [0.6667, 0.3333, 0.0, 0.0]),
        ({"top_p": 0.6}, [0.6667, 0.3333, 0.0, 0.0]),
        ({"top_k": 2, "top_p": 0.6}, [1.0, 0.0, 0.0, 0.0]),
        ({"top_k": 9, "top_p": 1.0}, [0.5, 0.25, 0.15, 0.1]),
    ],
    ids=str,
)
def test_filters(student, options, expected):
    """The softmax of the filtered logits, for the probabilities of the page."""
    left = torch.softmax(student.filter_logits(LOGP, **options), dim=-1)
    torch.testing.assert_close(left, torch.tensor([expected]), rtol=0.0, atol=1e-4)


@pytest.mark.exercise("sampling_filters")
def test_filters_are_logits(student):
    """What stays keeps its logit, divided by the temperature; the rest is -inf."""
    answer = student.filter_logits(torch.tensor([[1.0, 3.0, 2.0]]), temperature=2.0, top_k=2)
    torch.testing.assert_close(answer, torch.tensor([[-INF, 1.5, 1.0]]))


@pytest.mark.exercise("sampling_filters")
def test_sample(student):
    """The only token that is left is drawn; and of two equal ones each in about half of 1000 rows."""
    certain = student.sample(torch.tensor([[-INF, 0.3, -INF], [-INF, -INF, 5.0]]), torch.Generator().manual_seed(0))
    torch.testing.assert_close(certain, torch.tensor([1, 2]))
    drawn = student.sample(torch.zeros(1000, 2), torch.Generator().manual_seed(0))
    assert 400 < int(drawn.sum()) < 600, f"token 1 was drawn in {int(drawn.sum())} of 1000 rows"

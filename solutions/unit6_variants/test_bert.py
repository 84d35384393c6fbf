"""Public checks of the page `bert`."""

import pytest
import torch
from torch import Tensor, nn


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


@pytest.mark.exercise("bert_embeddings")
def test_embeddings_by_hand(student):
    """The example of the page: token (1, 0), position (0, 3), segment (0, 1) or (0, -9)."""
    embed = student.BertEmbeddings(vocab=5, d=2, max_len=4)
    tokens, positions = torch.zeros(5, 2), torch.zeros(4, 2)
    tokens[3], positions[0] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    state = {"tokens.weight": tokens, "positions.weight": positions}
    state |= {"segments.weight": torch.tensor([[0.0, 1.0], [0.0, -9.0]])}
    embed.load_reference(state | {"norm.weight": torch.ones(2), "norm.bias": torch.zeros(2)})
    ids = torch.tensor([[3]])
    torch.testing.assert_close(embed(ids), torch.tensor([[[-1.0, 1.0]]]))
    torch.testing.assert_close(embed(ids, torch.tensor([[1]])), torch.tensor([[[1.0, -1.0]]]))


@pytest.mark.exercise("bert_embeddings")
def test_embeddings_are_a_normed_sum(student):
    """With random tables: the sum of three rows through F.layer_norm with eps 1e-12; too long an input is an error."""
    sizes = {"tokens.weight": (7, 4), "positions.weight": (5, 4), "segments.weight": (2, 4)}
    state = {name: draw(*size, seed=n) for n, (name, size) in enumerate(sizes.items())}
    state |= {"norm.weight": draw(4, seed=8), "norm.bias": draw(4, seed=9)}
    embed = student.BertEmbeddings(7, 4, 5)
    embed.load_reference(state)
    ids, segments = torch.tensor([[1, 6, 2], [4, 4, 0]]), torch.tensor([[0, 0, 1], [0, 1, 1]])
    total = state["tokens.weight"][ids] + state["positions.weight"][:3] + state["segments.weight"][segments]
    expected = nn.functional.layer_norm(total, (4,), state["norm.weight"], state["norm.bias"], eps=1e-12)
    torch.testing.assert_close(embed(ids, segments), expected)
    with pytest.raises(Exception, match="ValueError"):
        embed(torch.zeros(1, 6, dtype=torch.int64))


@pytest.mark.exercise("mlm_mask")
def test_mask_everything_and_nothing(student):
    """With p = 1 every token that is not special is chosen, with p = 0 none."""
    ids = torch.tensor([[2, 71, 55, 60, 93, 3]])
    special = torch.tensor([[True, False, False, False, False, True]])
    inputs, labels = student.mlm_mask(ids, special, 4, 100, p=1.0, generator=generator())
    assert labels.tolist() == [[-100, 71, 55, 60, 93, -100]]
    assert inputs[special].tolist() == [2, 3]
    inputs, labels = student.mlm_mask(ids, special, 4, 100, p=0.0, generator=generator())
    assert inputs.tolist() == ids.tolist()
    assert labels.tolist() == [[-100] * 6]


@pytest.mark.exercise("mlm_mask")
def test_mask_shares(student):
    """Of 100 000 tokens about 15 % are chosen; of these about 80 % are hidden, 10 % random and 10 % kept."""
    ids = torch.full((100, 1000), 50)
    inputs, labels = student.mlm_mask(ids, torch.zeros_like(ids) > 0, 4, 1000, generator=generator(1))
    chosen = labels != -100
    assert labels[chosen].unique().tolist() == [50], "the label of a chosen token is the token itself"
    assert (inputs[~chosen] == 50).all(), "a token that was not chosen has changed"
    seen = inputs[chosen]
    masked, kept = (seen == 4).double().mean().item(), (seen == 50).double().mean().item()
    shares = {"chosen": chosen.double().mean().item(), "hidden": masked, "kept": kept, "random": 1 - masked - kept}
    for name, expected in {"chosen": 0.15, "hidden": 0.8, "kept": 0.1, "random": 0.1}.items():
        assert abs(shares[name] - expected) < 0.02, f"{shares[name]:.1%} are {name}, expected about {expected:.0%}"


@pytest.mark.exercise("mlm_mask")
def test_mask_generator(student):
    """The generator's seed decides the result."""
    ids = torch.full((10, 100), 50)
    nothing = torch.zeros_like(ids) > 0
    one, two, other = (student.mlm_mask(ids, nothing, 4, 1000, generator=generator(seed))[1] for seed in (5, 5, 6))
    assert torch.equal(one, two), "the same seed gave other masks"
    assert not torch.equal(one, other), "another seed gave the same masks"


@pytest.mark.exercise("nsp_pairs")
def test_pair_by_hand(student):
    """One document: B is the next sentence; A and B are shortened to fit into 8."""
    docs = [[[10, 11, 12, 13, 14, 15], [20, 21, 22]]]
    ids, segments, is_next = student.make_nsp_examples(docs, 1, 2, 8, generator())
    assert ids == [[1, 10, 11, 12, 2, 20, 21, 2]]
    assert segments == [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert is_next == [True]


@pytest.mark.exercise("nsp_pairs")
def test_pairs_of_two_documents(student):
    """Two documents: about half of the examples have the next sentence, the others one of the other document."""
    docs = [[[100 + n] for n in range(201)], [[500 + n] for n in range(201)]]
    ids, _, is_next = student.make_nsp_examples(docs, 1, 2, 5, generator())
    assert len(ids) == 400
    for (_, a, _, b, _), follows in zip(ids, is_next, strict=True):
        assert b == a + 1 if follows else abs(a - b) > 150, f"A = {a}, B = {b}, is_next = {follows}"
    assert 120 < sum(is_next) < 280, f"{sum(is_next)} of 400 are next sentences"


def bert_state(V: int = 11, D: int = 4, F: int = 8) -> dict[str, Tensor]:
    """Random weights of a BERT with one layer, 5 positions and 2 segments, in float64."""
    attention = [f"layers.0.self_attn.{name}_proj" for name in ("q", "k", "v", "out")]
    sizes = {f"{name}.weight": (D, D) for name in (*attention, "pooler", "transform")}
    sizes |= {"layers.0.ffn.fc1.weight": (F, D), "layers.0.ffn.fc2.weight": (D, F), "nsp.weight": (2, D)}
    sizes |= {name.replace("weight", "bias"): size[:1] for name, size in sizes.items()} | {"decoder.bias": (V,)}
    sizes |= {f"embeddings.{name}.weight": (n, D) for name, n in (("tokens", V), ("positions", 5), ("segments", 2))}
    norms = ("embeddings.norm", "layers.0.norm1", "layers.0.norm2", "transform_norm")
    sizes |= {f"{name}.{kind}": (D,) for name in norms for kind in ("weight", "bias")}
    state = {name: 0.6 * draw(*size, seed=n) for n, (name, size) in enumerate(sizes.items())}
    return state | {"decoder.weight": state["embeddings.tokens.weight"]}


def small_bert(student, state: dict[str, Tensor]):
    cfg = {"vocab": 11, "d": 4, "n_layers": 1, "n_heads": 2, "d_ff": 8, "max_len": 5, "n_segments": 2, "pad_id": 0}
    bert = student.Bert(cfg)
    bert.load_reference(state)
    return bert


@pytest.mark.exercise("bert_model")
def test_bert_agrees_with_torch(student):
    """The sequence is that of nn.TransformerEncoderLayer (post-LN, GELU, eps 1e-12) on the embeddings."""
    state = bert_state()
    layer = nn.TransformerEncoderLayer(
        4, 2, 8, activation="gelu", layer_norm_eps=1e-12, batch_first=True, dtype=torch.float64
    ).eval()
    own = {name.removeprefix("layers.0."): value for name, value in state.items() if name.startswith("layers.0.")}
    theirs = {name.replace("ffn.fc", "linear"): value for name, value in own.items() if "_attn" not in name}
    for kind in ("weight", "bias"):
        theirs[f"self_attn.in_proj_{kind}"] = torch.cat([own[f"self_attn.{name}_proj.{kind}"] for name in "qkv"])
        theirs[f"self_attn.out_proj.{kind}"] = own[f"self_attn.out_proj.{kind}"]
    layer.load_state_dict(theirs)
    ids, segments = torch.tensor([[1, 6, 2], [4, 4, 0]]), torch.tensor([[0, 0, 1], [0, 1, 1]])
    tables = (state[f"embeddings.{name}.weight"] for name in ("tokens", "positions", "segments"))
    total = sum(table[i] for table, i in zip(tables, (ids, torch.arange(3), segments), strict=True))
    norm = (state["embeddings.norm.weight"], state["embeddings.norm.bias"])
    embedded = nn.functional.layer_norm(total, (4,), *norm, eps=1e-12)
    bert = small_bert(student, state)
    torch.testing.assert_close(bert(ids, segments)[0], layer(embedded).detach())
    mask = torch.tensor([[True, True, True], [True, True, False]])
    expected = layer(embedded, src_key_padding_mask=~mask).detach()
    torch.testing.assert_close(bert(ids, segments, mask)[0][mask], expected[mask])


@pytest.mark.exercise("bert_model")
def test_heads(student):
    """pooled, mlm_logits and nsp_logits are computed from the sequence as the docstring says."""
    state = bert_state()
    ids = torch.tensor([[1, 6, 2, 9], [4, 4, 0, 3]])
    sequence, pooled, mlm_logits, nsp_logits = small_bert(student, state)(ids)

    def linear(name: str, x: Tensor) -> Tensor:
        return nn.functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    torch.testing.assert_close(pooled, torch.tanh(linear("pooler", sequence[:, 0])))
    torch.testing.assert_close(nsp_logits, linear("nsp", pooled))
    norm = (state["transform_norm.weight"], state["transform_norm.bias"])
    changed = nn.functional.layer_norm(nn.functional.gelu(linear("transform", sequence)), (4,), *norm, eps=1e-12)
    torch.testing.assert_close(mlm_logits, linear("decoder", changed))


@pytest.mark.exercise("roberta_dynamic_masking")
def test_dataset(student):
    """Seven tokens in texts of 3 are three texts; with p = 1 the labels of a text are its tokens, in every epoch."""
    dataset = student.DynamicMaskingDataset(torch.arange(10, 17), seq_len=3, mask_id=0, vocab=20, p=1.0)
    assert len(dataset) == 3
    for i, expected in enumerate(([10, 11, 12], [13, 14, 15], [16])):
        for epoch in (0, 4):
            assert dataset["__getitem__"]((i, epoch))[1].tolist() == expected, f"the labels of dataset[{i}, {epoch}]"


@pytest.mark.exercise("roberta_dynamic_masking")
def test_dataset_masks(student):
    """The same text and epoch have the same mask, however often one asks; another text or epoch has another."""
    dataset = student.DynamicMaskingDataset(torch.full((600,), 50), 200, 4, 1000, seed=3)
    labels = {key: dataset["__getitem__"](key)[1] for key in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)]}
    assert torch.equal(dataset["__getitem__"]((0, 0))[1], labels[0, 0])
    for n, one in enumerate(labels):
        for other in list(labels)[:n]:
            assert not torch.equal(labels[one], labels[other]), f"{one} and {other} have the same mask"


@pytest.mark.exercise("roberta_dynamic_masking")
def test_packing(student):
    """The examples of the page: blocks of at most 8, 6 and 3 tokens, separator 9."""
    docs = [[[1, 2, 3], [4, 5]], [[6, 7], [8, 8, 8, 8]]]
    assert student.pack_full_sentences(docs, 8, 9) == [[1, 2, 3, 4, 5, 9, 6, 7], [8, 8, 8, 8]]
    assert student.pack_full_sentences(docs, 6, 9) == [[1, 2, 3, 4, 5], [6, 7, 8, 8, 8, 8]]
    assert student.pack_full_sentences(docs, 3, 9) == [[1, 2, 3], [4, 5], [6, 7], [8, 8, 8], [8]]

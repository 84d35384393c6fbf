"""The reference of unit 6's page `bert`, and the blocks of autograder.given behind it, agree with transformers.

Models are small, of random configurations and weights, without dropout, in float64.
"""

import importlib.util
from pathlib import Path

import pytest
import torch
from scipy.stats import binom
from torch import Tensor, nn
from transformers import BertConfig, BertForPreTraining, DataCollatorForLanguageModeling
from transformers.models.bert.modeling_bert import BertEmbeddings

from autograder import given

ROOT = Path(__file__).resolve().parents[2]
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def load(page: str):
    path = ROOT / "reference" / "unit6_variants" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bert = load("bert")


def integers(seed: int, high: int, *shape: int) -> Tensor:
    return torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))


def random_weights(module: nn.Module, seed: int) -> nn.Module:
    """Every parameter random, in float64 and eval mode."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    for parameter in module.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return module


def config(seed: int, **options) -> BertConfig:
    heads = (1, 2, 3)[seed % 3]
    sizes = {"vocab_size": 13 + seed, "hidden_size": 4 * heads, "num_hidden_layers": 1 + seed % 2}
    sizes |= {"num_attention_heads": heads, "intermediate_size": 7, "max_position_embeddings": 9}
    return BertConfig(**sizes, type_vocab_size=2 + seed % 2, pad_token_id=seed % 4, **options)


def embedding_state(theirs: BertEmbeddings) -> dict[str, Tensor]:
    names = {"tokens": "word_embeddings", "positions": "position_embeddings", "segments": "token_type_embeddings"}
    state = {f"{ours}.weight": getattr(theirs, name).weight for ours, name in names.items()}
    return state | {f"norm.{kind}": getattr(theirs.LayerNorm, kind) for kind in ("weight", "bias")}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ours", [bert.BertEmbeddings, given.BertEmbeddings], ids=["reference", "given"])
def test_embeddings_match_transformers(ours, seed):
    """Values and gradients equal those of BertEmbeddings, with and without segments; the pad row gets none."""
    cfg = config(seed)
    theirs = random_weights(BertEmbeddings(cfg), seed)
    sizes = (cfg.vocab_size, cfg.hidden_size, cfg.max_position_embeddings, cfg.type_vocab_size, cfg.pad_token_id)
    mine = ours(*sizes).double()
    mine.load_state_dict(embedding_state(theirs))
    ids, segments = integers(seed, cfg.vocab_size, 3, 8), integers(seed, cfg.type_vocab_size, 3, 8)
    ids[0, 1] = cfg.pad_token_id
    torch.testing.assert_close(mine(ids), theirs(ids), **EXACT)
    torch.testing.assert_close(mine(ids, segments), theirs(ids, segments), **EXACT)
    mine(ids, segments).sin().sum().backward()
    theirs(ids, segments).sin().sum().backward()
    gradients = {name: p.grad for name, p in mine.named_parameters()}
    assert not gradients["tokens.weight"][cfg.pad_token_id].any()
    state = {name: p.grad for name, p in embedding_state(theirs).items()}
    torch.testing.assert_close(gradients, state, rtol=1e-7, atol=1e-9)
    with pytest.raises(ValueError):
        mine(integers(0, cfg.vocab_size, 1, 10))


def bert_state(theirs: BertForPreTraining) -> dict[str, Tensor]:
    """The weights of a BertForPreTraining under the names of this course."""
    state = {f"embeddings.{name}": p for name, p in embedding_state(theirs.bert.embeddings).items()}
    parts = {"pooler": theirs.bert.pooler.dense, "nsp": theirs.cls.seq_relationship}
    head = theirs.cls.predictions
    parts |= {"transform": head.transform.dense, "transform_norm": head.transform.LayerNorm, "decoder": head.decoder}
    for n, layer in enumerate(theirs.bert.encoder.layer):
        attention = layer.attention
        own = {f"{name[0]}_proj": getattr(attention.self, name) for name in ("query", "key", "value")}
        own = {f"self_attn.{name}": part for name, part in (own | {"out_proj": attention.output.dense}).items()}
        own |= {"ffn.fc1": layer.intermediate.dense, "ffn.fc2": layer.output.dense}
        own |= {"norm1": attention.output.LayerNorm, "norm2": layer.output.LayerNorm}
        parts |= {f"layers.{n}.{name}": part for name, part in own.items()}
    return state | {
        f"{name}.{kind}": getattr(part, kind) for name, part in parts.items() for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("seed", range(6))
def test_bert_matches_transformers(seed):
    """All four results equal those of BertForPreTraining where there is no padding, and so do the gradients."""
    cfg = config(seed, attn_implementation="eager")
    assert (cfg.hidden_act, cfg.layer_norm_eps) == ("gelu", 1e-12)
    theirs = random_weights(BertForPreTraining(cfg), seed)
    assert theirs.cls.predictions.decoder.weight is theirs.bert.embeddings.word_embeddings.weight
    ours = bert.Bert(
        {
            "vocab": cfg.vocab_size,
            "d": cfg.hidden_size,
            "n_layers": cfg.num_hidden_layers,
            "n_heads": cfg.num_attention_heads,
            "d_ff": cfg.intermediate_size,
            "max_len": cfg.max_position_embeddings,
            "n_segments": cfg.type_vocab_size,
            "pad_id": cfg.pad_token_id,
        }
    ).double()
    ours.load_state_dict(bert_state(theirs))
    ids, segments = integers(seed, cfg.vocab_size, 3, 7), integers(seed, cfg.type_vocab_size, 3, 7)
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    for options in ({}, {"mask": mask}):
        found = ours(ids, segments, **options)
        real = options.get("mask", torch.ones(3, 7, dtype=torch.bool))
        out = theirs(ids, attention_mask=real.long(), token_type_ids=segments, output_hidden_states=True)
        torch.testing.assert_close(found[0][real], out.hidden_states[-1][real], **EXACT)
        torch.testing.assert_close(found[2][real], out.prediction_logits[real], **EXACT)
        torch.testing.assert_close(found[3], out.seq_relationship_logits, **EXACT)
        torch.testing.assert_close(found[1], theirs.bert.pooler(out.hidden_states[-1]), **EXACT)
        loss = found[2][real].sin().sum() + found[3].cos().sum()
        named = dict(ours.named_parameters())
        seen = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
        loss = out.prediction_logits[real].sin().sum() + out.seq_relationship_logits.cos().sum()
        state = {name: p for name, p in bert_state(theirs).items() if name in named}
        wanted = dict(zip(state, torch.autograd.grad(loss, list(state.values())), strict=True))
        torch.testing.assert_close(seen, wanted, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("eps", [1e-12, 1e-3])
@pytest.mark.parametrize("norm_first", [False, True])
def test_given_layers_take_their_eps(eps, norm_first):
    """A layer of autograder.given equals torch's with the same eps, also where the stream is tiny."""
    theirs = nn.TransformerEncoderLayer(
        4, 2, 5, activation="gelu", layer_norm_eps=eps, norm_first=norm_first, batch_first=True
    )
    theirs = random_weights(theirs, 3)
    for parameter in (
        *theirs.norm1.parameters(),
        *theirs.linear2.parameters(),
        *theirs.self_attn.out_proj.parameters(),
    ):
        parameter.data *= 1e-5
    ours = given.EncoderLayer(4, 2, 5, norm_first=norm_first, activation="gelu", eps=eps).double()
    attention = theirs.self_attn
    state = {f"self_attn.out_proj.{kind}": getattr(attention.out_proj, kind) for kind in ("weight", "bias")}
    for kind in ("weight", "bias"):
        rows = getattr(attention, f"in_proj_{kind}").chunk(3)
        state |= {f"self_attn.{name}_proj.{kind}": part for name, part in zip("qkv", rows, strict=True)}
        for name, part in (("ffn.fc1", "linear1"), ("ffn.fc2", "linear2"), ("norm1", "norm1"), ("norm2", "norm2")):
            state[f"{name}.{kind}"] = getattr(getattr(theirs, part), kind)
    ours.load_state_dict(state)
    x = 1e-5 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), **EXACT)


def test_a_row_of_padding_is_finite():
    """Nothing but padding: finite numbers."""
    sizes = {"vocab": 11, "d": 4, "n_layers": 1, "n_heads": 2, "d_ff": 5, "max_len": 7, "n_segments": 2, "pad_id": 0}
    ours = random_weights(bert.Bert(sizes), 0)
    found = ours(integers(0, 11, 2, 5), None, torch.tensor([[True] * 5, [False] * 5]))
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize("mask", [bert.mlm_mask, given.mlm_mask], ids=["reference", "given"])
def test_masking_has_the_shares_of_transformers(mask):
    """Chosen, hidden, random and kept: the shares in the collator's signature, by exact binomial intervals."""
    fields = DataCollatorForLanguageModeling.__dataclass_fields__
    p, hide, swap = (fields[n].default for n in ("mlm_probability", "mask_replace_prob", "random_replace_prob"))
    assert (p, hide, swap) == (0.15, 0.8, 0.1)
    ids, vocab = 10 + integers(0, 900, 200, 300), 1000
    special = integers(1, 10, 200, 300) == 0
    inputs, labels = mask(ids, special, 4, vocab, generator=torch.Generator().manual_seed(2))
    chosen = labels != -100
    assert not (chosen & special).any()
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(inputs[~chosen], ids[~chosen])
    n = int(chosen.sum())
    masked, kept = int((chosen & (inputs == 4)).sum()), int((chosen & (inputs == ids)).sum())
    for count, total, share in (
        (n, int((~special).sum()), p),
        (masked, n, hide + swap / vocab),
        (kept, n, 1 - hide - swap + swap / vocab),
    ):
        low, high = binom.interval(1 - 1e-6, total, share)
        assert low <= count <= high


def test_pairs():
    """The reference's examples: neighbours, or a sentence of another document, joined as `joined` does."""
    docs = [[[10, 11, 12], [13]], [[20], [21, 22], [23]], [[30]]]
    ids, segments, is_next = bert.make_nsp_examples(docs, 1, 2, 6, torch.Generator().manual_seed(0))
    assert len(ids) == len(segments) == len(is_next) == 3
    assert all(row.count(2) == 2 and row[0] == 1 and len(row) <= 6 for row in ids)
    assert bert.joined([10] * 6, [20, 21, 22], 1, 2, 8) == ([1, 10, 10, 10, 2, 20, 21, 2], [0] * 5 + [1] * 3)
    assert bert.joined([10, 11], [20, 21], 1, 2, 6) == ([1, 10, 11, 2, 20, 2], [0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize("seq_len", [1, 2, 3, 5, 8, 20])
def test_packing(seq_len):
    """No token is lost, blocks are short enough, whole sentences, and as full as the next sentence allows."""
    docs = [[list(range(10 * d + s, 10 * d + s + 1 + (3 * s + d) % 4)) for s in range(1 + d % 3)] for d in range(1, 8)]
    blocks = bert.pack_full_sentences(docs, seq_len, 99)
    assert [token for block in blocks for token in block if token != 99] == [t for doc in docs for s in doc for t in s]
    assert all(0 < len(block) <= seq_len and 99 not in (block[0], block[-1]) for block in blocks)
    assert bert.pack_full_sentences([[[1, 2, 3], [4, 5]], [[6, 7], [8] * 4]], 8, 9) == [
        [1, 2, 3, 4, 5, 9, 6, 7],
        [8, 8, 8, 8],
    ]


def test_dataset():
    """Texts in order, the last one short; a function of seed, text and epoch."""
    tokens = torch.arange(10, 27)
    one, other = (bert.DynamicMaskingDataset(tokens, 5, 4, 100, seed=3) for _ in range(2))
    assert len(one) == 4
    seen = {(i, epoch): one[i, epoch] for i in range(4) for epoch in range(3)}
    for key in reversed(seen):
        assert all(torch.equal(a, b) for a, b in zip(other[key], seen[key], strict=True))
    for i in (-1, 4):
        with pytest.raises(IndexError):
            one[i, 0]

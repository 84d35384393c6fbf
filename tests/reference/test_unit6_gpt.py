"""The reference of unit 6's page gpt, and the GPT of autograder.given, agree with the transformers library."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from autograder import given

ROOT = Path(__file__).resolve().parents[2]
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def load(folder: str):
    path = ROOT / folder / "unit6_variants" / "gpt.py"
    spec = importlib.util.spec_from_file_location(f"{folder}_gpt", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


gpt = load("reference")
solution = load("solutions")
MODELS = {"reference": gpt.GPT, "given": given.GPT}
SHAPES = [(17, 11, 6, 1, 3), (13, 7, 10, 3, 2), (19, 5, 5, 2, 1)]  # V, block, D, layers, heads


def library_model(V: int, block: int, d: int, n_layer: int, n_head: int) -> GPT2LMHeadModel:
    """A GPT-2 in float64 with random weights and biases, as far apart as the grader's."""
    config = GPT2Config(
        vocab_size=V,
        n_positions=block,
        n_embd=d,
        n_layer=n_layer,
        n_head=n_head,
        attn_implementation="eager",
        bos_token_id=0,
        eos_token_id=0,
    )
    assert (config.activation_function, config.layer_norm_epsilon) == ("gelu_new", 1e-5)
    model = GPT2LMHeadModel(config).double().eval()
    assert model.lm_head.weight is model.transformer.wte.weight
    generator = torch.Generator().manual_seed(V)
    for parameter in model.parameters():
        scale = 0.6 if parameter.ndim == 1 else parameter.shape[0] ** -0.5
        parameter.data = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def our_state(model: GPT2LMHeadModel) -> dict[str, Tensor]:
    """Its weights under our names; its Conv1D holds matrices the other way round, (in, out)."""
    core = model.transformer
    state = {"embed.weight": core.wte.weight, "position.weight": core.wpe.weight}
    state |= {f"norm.{name}": value for name, value in core.ln_f.named_parameters()}
    for i, block in enumerate(core.h):
        parts = {"norm1": block.ln_1, "norm2": block.ln_2}
        state |= {f"layers.{i}.{n}.{kind}": p for n, norm in parts.items() for kind, p in norm.named_parameters()}
        linear = {"self_attn.out_proj": block.attn.c_proj, "ffn.fc1": block.mlp.c_fc, "ffn.fc2": block.mlp.c_proj}
        for name, conv in linear.items():
            state |= {f"layers.{i}.{name}.weight": conv.weight.mT, f"layers.{i}.{name}.bias": conv.bias}
        weights, biases = block.attn.c_attn.weight.mT.chunk(3), block.attn.c_attn.bias.chunk(3)
        for name, weight, bias in zip("qkv", weights, biases, strict=True):
            state |= {
                f"layers.{i}.self_attn.{name}_proj.weight": weight,
                f"layers.{i}.self_attn.{name}_proj.bias": bias,
            }
    return {name: value.detach().clone() for name, value in state.items()}


def both(kind: str, shape: tuple[int, ...]) -> tuple[nn.Module, GPT2LMHeadModel]:
    theirs = library_model(*shape)
    ours = MODELS[kind](*shape).double()
    ours.load_state_dict(our_state(theirs), strict=True)
    return ours, theirs


def tokens(V: int, B: int, T: int, seed: int = 0) -> Tensor:
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gpt_matches_the_library(kind, shape):
    """Logits, loss, and the gradient of the tied embedding equal those of GPT2LMHeadModel with the same weights."""
    ours, theirs = both(kind, shape)
    for T in (1, shape[1] - 1, shape[1]):
        ids = tokens(shape[0], 2, T)
        torch.testing.assert_close(ours(ids)[0], theirs(ids).logits, **EXACT)
    text = tokens(shape[0], 3, shape[1], seed=1)
    loss = ours(text[:, :-1], targets=text[:, 1:])[1]
    logits = theirs(text[:, :-1]).logits  # its own loss is rounded to float32
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten())
    torch.testing.assert_close(loss.float(), theirs(text, labels=text).loss)  # and it shifts by itself
    torch.testing.assert_close(loss, expected, **EXACT)
    mine, other = (torch.autograd.grad(a, b)[0] for a, b in
                   ((loss, ours.embed.weight), (expected, theirs.transformer.wte.weight)))  # fmt: skip
    torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", MODELS)
def test_positions_match_the_library(kind):
    """Explicit positions, for all rows or for each, are those of the library's position_ids."""
    ours, theirs = both(kind, SHAPES[0])
    ids, positions = tokens(17, 2, 5), torch.tensor([[3, 0, 7, 7, 1], [10, 2, 4, 5, 6]])
    torch.testing.assert_close(ours(ids, positions=positions)[0], theirs(ids, position_ids=positions).logits, **EXACT)
    torch.testing.assert_close(
        ours(ids, positions=positions[0])[0], theirs(ids, position_ids=positions[:1]).logits, **EXACT
    )


def test_parameter_count():
    """The smallest GPT-2 has as many parameters as the page says."""
    with torch.device("meta"):
        count = sum(p.numel() for p in gpt.GPT(50257, 1024, 768, 12, 12).parameters())
    assert count == 124_439_808 == 50257 * 768 + 1024 * 768 + 12 * (12 * 768**2 + 13 * 768) + 2 * 768


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("size", [1, 2, 5, 11])
def test_cache_matches_the_library(kind, size):
    """Chunk by chunk the logits equal those of the library with its cache, and of the whole text at once."""
    ours, theirs = both(kind, SHAPES[0])
    ids = tokens(17, 2, 11)
    cache, past, whole = gpt.KVCache(), None, theirs(ids).logits
    for start in range(0, 11, size):
        chunk = ids[:, start : start + size]
        positions = torch.arange(start, start + chunk.shape[1])
        logits = ours(chunk, past=cache, positions=positions)[0]
        answer = theirs(chunk, past_key_values=past, use_cache=True)
        past = answer.past_key_values
        torch.testing.assert_close(logits, answer.logits, **EXACT)
        torch.testing.assert_close(logits, whole[:, start : start + size], **EXACT)
    assert cache.length == past.get_seq_length() == 11


def test_reordered_cache_matches_the_library():
    """After the library's beam reordering and ours the same rows go on."""
    ours, theirs = both("reference", SHAPES[0])
    ids, rows, later = tokens(17, 3, 4), torch.tensor([2, 0, 0]), tokens(17, 3, 2, seed=1)
    cache, past = gpt.KVCache(), theirs(ids, use_cache=True).past_key_values
    ours(ids, past=cache)
    cache.reorder(rows)
    past.reorder_cache(rows)
    expected = theirs(later, past_key_values=past).logits
    torch.testing.assert_close(ours(later, past=cache, positions=torch.arange(4, 6))[0], expected, **EXACT)


@pytest.mark.parametrize("module", [gpt, solution], ids=["reference", "solution"])
def test_generate_matches_the_library(module):
    """Greedy tokens equal those of the library's generate, with a cache and without."""
    ours, theirs = both("given", SHAPES[0])
    ids = tokens(17, 3, 4)
    expected = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=7, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    for use_cache in (True, False):
        torch.testing.assert_close(module.generate(ours, ids, 7, use_cache), expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("module", [gpt, solution], ids=["reference", "solution"])
def test_filters_match_the_library(module, seed):
    """The filtered logits are those of the three warpers of the library, in the same order, ties included."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(5, 13, generator=generator, dtype=torch.float64)
    for temperature, top_k, top_p in ((1.0, 3, 1.0), (0.7, 5, 0.8), (1.9, 13, 0.35), (0.4, 1, 0.9), (1.0, 20, 0.05)):
        expected = TemperatureLogitsWarper(temperature)(None, logits)
        expected = TopKLogitsWarper(top_k)(None, expected)
        expected = TopPLogitsWarper(top_p)(None, expected)
        torch.testing.assert_close(module.filter_logits(logits, temperature, top_k, top_p), expected, rtol=0, atol=0)
    logits[1, 3] = logits[1, 4] = logits[1].topk(3).values[-1]
    expected = TopKLogitsWarper(3)(None, logits)
    torch.testing.assert_close(module.filter_logits(logits, top_k=3), expected, rtol=0, atol=0)


def test_samples_have_the_right_frequencies():
    """100 000 draws of the reference, within 5σ of torch.softmax."""
    p = torch.tensor([0.1, 0.0, 0.55, 0.35], dtype=torch.float64)
    drawn = gpt.sample(p.log().repeat(100_000, 1), torch.Generator().manual_seed(0))
    counts = torch.bincount(drawn, minlength=4)
    assert ((counts - 100_000 * p).abs() <= 5 * (100_000 * p * (1 - p)).sqrt()).all(), counts


def test_a_model_learns_one_batch_by_heart():
    """A hundred steps on one batch bring the loss from about ln V below 0.1."""
    torch.manual_seed(0)
    model, text = solution.GPT(11, 8, 16, 1, 2), tokens(11, 4, 9)
    text[:, 0] = torch.arange(4)  # or two texts would begin alike, and nobody could tell them apart
    optimiser, losses = torch.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(100):
        loss = model(text[:, :-1], targets=text[:, 1:])[1]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert 2.2 < losses[0] < 2.6 and losses[-1] < 0.1, losses


def test_the_grammar_accepts_what_it_makes_and_little_else():
    """Every generated sentence is in the grammar; one with a verb that disagrees, or cut short, is not."""
    language, generator = given.GrammarText(), torch.Generator().manual_seed(0)
    sentences = [language.sentence(generator) for _ in range(300)]
    assert all(map(language.accepts, sentences))
    assert len(set(sentences)) > 200
    assert language.accepts("the cat that two dogs follow sleeps.")
    for wrong in ("the cat that two dogs follow sleep.", "the cats sleeps.", "two cat sleep.", "the cat.", "sleeps.",
                  "the cat sleeps", "the cat that the dog that sings sees sleeps."):  # fmt: skip
        assert not language.accepts(wrong), wrong
    text = language(500, generator)
    assert text.shape == (500,) and torch.equal(language.encode(language.decode(text)), text)
    with pytest.raises(ValueError, match="lacks"):
        language.encode("the cat sleeps!")

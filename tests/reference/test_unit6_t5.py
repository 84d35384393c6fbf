"""The reference of unit 6's page t5, and the parts of T5 in autograder.given, agree with the transformers library."""

import collections
import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm

from autograder import given

ROOT = Path(__file__).resolve().parents[2]
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def load(folder: str):
    path = ROOT / folder / "unit6_variants" / "t5.py"
    spec = importlib.util.spec_from_file_location(f"{folder}_t5", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


t5 = load("reference")
solution = load("solutions")
BLOCKS = {"reference": t5.T5Block, "solution": solution.T5Block}
SHAPES = [(6, 2, 3, 11), (6, 5, 3, 7), (10, 3, 2, 5)]  # D, d_kv, H, F; H · d_kv equal, larger, smaller


def library_model(d: int, d_kv: int, H: int, d_ff: int, layers: int = 2, vocab: int = 17) -> T5ForConditionalGeneration:
    """A T5 1.0 in float64 with random weights."""
    config = T5Config(
        vocab_size=vocab, d_model=d, d_kv=d_kv, num_heads=H, d_ff=d_ff, num_layers=layers,
        num_decoder_layers=layers, feed_forward_proj="relu", tie_word_embeddings=True, decoder_start_token_id=0,
    )  # fmt: skip
    assert config.layer_norm_epsilon == 1e-6 and config.relative_attention_num_buckets == 32
    model = T5ForConditionalGeneration(config).double().eval()
    assert model.lm_head.weight is model.shared.weight
    generator = torch.Generator().manual_seed(d + d_kv)
    for parameter in model.parameters():
        scale = 1.0 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
        parameter.data = scale * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def exact(model: T5ForConditionalGeneration) -> T5ForConditionalGeneration:
    """The model with torch's RMSNorm in place of its own, which computes the mean square in float32."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, T5LayerNorm):
                norm = nn.RMSNorm(len(child.weight), eps=child.variance_epsilon, dtype=torch.float64)
                norm.weight = child.weight
                setattr(module, name, norm)
    return model


def test_the_library_rounds_in_its_norms_only():
    """With its own norm the library's logits are those of `exact` but for the rounding of float32."""
    ids, target = tokens(2, 9, 1), tokens(2, 5, 2)
    own, other = (model(input_ids=ids, decoder_input_ids=target).logits for model in
                  (library_model(6, 5, 3, 7), exact(library_model(6, 5, 3, 7))))  # fmt: skip
    torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def block_state(block: nn.Module, is_decoder: bool) -> dict[str, Tensor]:
    """The weights of one of its layers under our names."""
    parts = [(block.layer[0].layer_norm, "norm1"), (block.layer[-1].layer_norm, f"norm{2 + is_decoder}")]
    attentions = [(block.layer[0].SelfAttention, "self_attn")]
    if is_decoder:
        parts.append((block.layer[1].layer_norm, "norm2"))
        attentions.append((block.layer[1].EncDecAttention, "cross_attn"))
    for attention, name in attentions:
        parts += [(getattr(attention, letter), f"{name}.{letter}_proj") for letter in "qkv"]
        parts.append((attention.o, f"{name}.out_proj"))
    network = block.layer[-1].DenseReluDense
    parts += [(network.wi, "ffn.fc1"), (network.wo, "ffn.fc2")]
    return {f"{name}.weight": module.weight.detach().clone() for module, name in parts}


def tokens(B: int, T: int, seed: int, vocab: int = 17) -> Tensor:
    return torch.randint(vocab, (B, T), generator=torch.Generator().manual_seed(seed))


def tables(model: T5ForConditionalGeneration) -> list[given.RelativeBias]:
    """Its two tables of position biases, in our module."""
    made = []
    for stack, both_ways in ((model.encoder, True), (model.decoder, False)):
        table = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.detach()
        made.append(given.RelativeBias(32, 128, table.shape[1], both_ways).double())
        made[-1].load_state_dict({"weight": table})
    return made


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_stacks_match_the_library(kind, shape):
    """Encoder and decoder out of our layers, each stack with one bias, equal T5 layer by layer, with padding."""
    theirs = exact(library_model(*shape))
    encoder_bias, decoder_bias = tables(theirs)
    ids, target = tokens(2, 9, 1), tokens(2, 5, 2)
    real = torch.arange(9) < torch.tensor([[9], [4]])
    with torch.no_grad():
        expected = theirs(
            input_ids=ids, attention_mask=real.long(), decoder_input_ids=target, output_hidden_states=True
        )

    def run(stack, x, bias, is_decoder, **options):
        states = [x]
        for block in stack.block:
            ours = BLOCKS[kind](*shape, is_decoder).double()
            ours.load_state_dict(block_state(block, is_decoder), strict=True)
            states.append(ours(states[-1], bias, **options))
        norm = given.RMSNorm(shape[0]).double()
        norm.load_state_dict({"weight": stack.final_layer_norm.weight})
        return [*states[:-1], norm(states[-1])]

    seen = real[:, None, None]
    encoded = run(theirs.encoder, theirs.shared(ids), encoder_bias(9, 9), False, mask=seen)
    for mine, other in zip(encoded, expected.encoder_hidden_states, strict=True):
        torch.testing.assert_close(mine[real], other[real], **EXACT)
    memory = encoded[-1]
    decoded = run(theirs.decoder, theirs.shared(target), decoder_bias(5, 5), True, memory=memory, memory_mask=seen)
    for mine, other in zip(decoded, expected.decoder_hidden_states, strict=True):
        torch.testing.assert_close(mine, other, **EXACT)
    logits = decoded[-1] * shape[0] ** -0.5 @ theirs.shared.weight.mT
    torch.testing.assert_close(logits, expected.logits, **EXACT)


def test_the_page_s_model_matches_the_library():
    """The T5 that the page builds out of the student's layers has the logits of T5ForConditionalGeneration."""
    theirs = exact(library_model(6, 5, 3, 7))
    ours = solution.T5(17, 6, 5, 3, 7, 2).double()
    encoder_bias, decoder_bias = tables(theirs)
    state = {"embed.weight": theirs.shared.weight}
    for side, stack, bias in (("encoder", theirs.encoder, encoder_bias), ("decoder", theirs.decoder, decoder_bias)):
        state |= {f"{side}_bias.weight": bias.weight, f"{side}_norm.weight": stack.final_layer_norm.weight}
        for i, block in enumerate(stack.block):
            state |= {f"{side}.{i}.{name}": value for name, value in block_state(block, side == "decoder").items()}
    ours.load_state_dict(state, strict=True)
    ids, target = tokens(2, 9, 1), tokens(2, 5, 2)
    expected = theirs(input_ids=ids, decoder_input_ids=target).logits
    torch.testing.assert_close(ours(ids, target), expected, **EXACT)


@pytest.mark.parametrize("both_ways", [True, False])
def test_given_buckets_match_the_library(both_ways):
    """The buckets of autograder.given are T5's, for all distances up to 300 and several numbers of buckets."""
    rel = torch.arange(-300, 301)
    for buckets, distance in ((32, 128), (8, 16), (16, 40)):
        expected = T5Attention._relative_position_bucket(rel, both_ways, buckets, distance)
        torch.testing.assert_close(given.relative_position_bucket(rel, both_ways, buckets, distance), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_given_rms_norm_matches_torch(dtype):
    """The RMSNorm of autograder.given is nn.RMSNorm, also for tiny and for large vectors."""
    ours, theirs = given.RMSNorm(7).to(dtype), nn.RMSNorm(7, eps=1e-6, dtype=dtype)
    for norm in (ours, theirs):
        norm.load_state_dict({"weight": torch.linspace(-1, 2, 7)})
    for scale in (1e-4, 1.0, 300.0):
        x = scale * torch.randn(5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
        torch.testing.assert_close(ours(x), theirs(x))


# spans: the algorithm of the public preprocessor, written here from its description


def spans_and_sentinels(tokens: np.ndarray, noise: np.ndarray, sentinel0: int) -> np.ndarray:
    """What T5's noise_span_to_unique_sentinel does: the first token of a span becomes a sentinel, the others go."""
    before = np.concatenate([[False], noise[:-1]])
    first, later = noise & ~before, noise & before
    return np.where(first, sentinel0 + 1 - np.cumsum(first), tokens)[~later]


@pytest.mark.parametrize("module", [t5, solution], ids=["reference", "solution"])
@pytest.mark.parametrize("seed", range(5))
def test_inputs_and_targets_match_the_preprocessor(module, seed):
    """Inputs are its inputs, and targets its targets, which are the inputs for the opposite mask: where the text begins
    with a token that stays and ends with one that stays, the last sentinel included.
    """
    rng = np.random.default_rng(seed)
    tokens, noise = rng.integers(100, 900, 40), rng.random(40) < 0.4
    noise[0] = noise[-1] = False
    inputs, targets = module.apply_span_mask(tokens, noise, 999, 1)
    np.testing.assert_array_equal(inputs, [*spans_and_sentinels(tokens, noise, 999), 1])
    np.testing.assert_array_equal(targets, [*spans_and_sentinels(tokens, ~noise, 999), 1])


@pytest.mark.parametrize("module", [t5, solution], ids=["reference", "solution"])
def test_nothing_is_lost(module):
    """The text can be put together again from inputs and targets, for every mask of nine tokens."""
    text = np.arange(10, 19)
    for mask in itertools.product([False, True], repeat=9):
        inputs, targets = module.apply_span_mask(text, np.array(mask), 99, 1)
        assert inputs[-1] == targets[-1] == 1
        fillings, current = collections.defaultdict(list), None
        for token in targets[:-1].tolist():
            if token > 50:
                current = token
            else:
                fillings[current].append(token)
        found = []
        for token in inputs[:-1].tolist():
            found += fillings[token] if token > 50 else [token]
        assert found == text.tolist()


@pytest.mark.parametrize("module", [t5, solution], ids=["reference", "solution"])
def test_every_cut_is_equally_likely(module):
    """Four tokens in two spans and four that stay: the nine masks come equally often, 5σ of 3000 draws."""
    rng = np.random.default_rng(0)
    counts = collections.Counter(tuple(module.random_spans_mask(8, 0.5, 2.0, rng).tolist()) for _ in range(3000))
    assert len(counts) == 9
    assert all(abs(count - 3000 / 9) < 5 * (3000 * (1 / 9) * (8 / 9)) ** 0.5 for count in counts.values()), counts


@pytest.mark.parametrize("module", [t5, solution], ids=["reference", "solution"])
@pytest.mark.parametrize(
    ("T", "density", "mean_len"), [(2, 0.5, 1.0), (512, 0.15, 3.0), (30, 0.9, 1.0), (7, 0.01, 9.0)]
)
def test_counts_of_the_masks(module, T, density, mean_len):
    """Tokens and spans are as many as the formulas say, at the edges too."""
    n, k = t5.numbers(T, density, mean_len)
    assert 1 <= n <= T - 1 and 1 <= k <= min(n, T - n)
    for seed in range(5):
        mask = module.random_spans_mask(T, density, mean_len, np.random.default_rng(seed))
        assert mask.shape == (T,) and mask.dtype == bool and not mask[0] and mask[-1]
        assert mask.sum() == n and (mask[1:] & ~mask[:-1]).sum() == k

"""The reference of unit 4 agrees with mpmath, torch and, where it is installed, transformers."""

import importlib.util
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder.given import sinusoidal_encoding

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit4_positional_encoding" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sinusoidal, learned, embedding, relative = (load(p) for p in ("sinusoidal", "learned", "embedding", "relative"))


def normal(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def whole_numbers(seed: int, high: int, *shape: int) -> Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))


def halves_first(width: int) -> np.ndarray:
    """The columns of the half layout in an interleaved array: 0, 2, 4, ... 1, 3, 5, ..."""
    return np.r_[np.arange(0, width, 2), np.arange(1, width, 2)]


# sinusoidal


@pytest.mark.parametrize("d_model", [2, 6, 22])
@pytest.mark.parametrize("base", [1e4, 37.5])
def test_encoding_to_fifty_digits(d_model, base):
    """Near and far positions equal the formula evaluated with fifty digits; so does the given one of later pages."""
    out, given = (f(2001, d_model, base) for f in (sinusoidal.sinusoidal_encoding, sinusoidal_encoding))
    assert out.shape == (2001, d_model) and out.dtype == np.float64 and given.dtype == torch.float64
    with mpmath.workdps(50):
        for p in (0, 1, 7, 500, 2000):
            for i in range(d_model // 2):
                angle = p / mpmath.mpf(base) ** (mpmath.mpf(2 * i) / d_model)
                for column, exact in ((2 * i, mpmath.sin(angle)), (2 * i + 1, mpmath.cos(angle))):
                    assert out[p, column] == pytest.approx(float(exact), abs=1e-11)
                    assert given[p, column].item() == pytest.approx(float(exact), abs=1e-11)


def test_far_encoding_to_fifty_digits():
    """Position 100000 is right to 1e-10."""
    row = sinusoidal.sinusoidal_encoding(100_001, 6)[-1]
    with mpmath.workdps(50):
        angles = [100_000 / mpmath.mpf(10_000) ** (mpmath.mpf(2 * i) / 6) for i in range(3)]
        exact = [float(f(angle)) for angle in angles for f in (mpmath.sin, mpmath.cos)]
    np.testing.assert_allclose(row, exact, rtol=0, atol=1e-10)


def test_encoding_is_marians_after_permuting():
    """transformers' Marian writes all sines first; permuted it is the same."""
    marian = pytest.importorskip("transformers.models.marian.modeling_marian")
    theirs = marian.MarianSinusoidalPositionalEmbedding(64, 22)
    theirs.weight.data = theirs.create_weight() if hasattr(theirs, "create_weight") else theirs._init_weight()
    ours = sinusoidal.sinusoidal_encoding(64, 22)[:, halves_first(22)]
    np.testing.assert_allclose(theirs(torch.Size([1, 64])).numpy(), ours, rtol=0, atol=1e-6)


def test_encoding_in_halves_written_out():
    """The half layout, column by column: what Marian has, without its library."""
    angles = np.arange(64)[:, None] / 10_000 ** (2 * np.arange(11) / 22)
    halves = np.hstack([np.sin(angles), np.cos(angles)])
    np.testing.assert_allclose(sinusoidal.sinusoidal_encoding(64, 22)[:, halves_first(22)], halves, rtol=0, atol=1e-12)
    gram = halves @ halves.T
    interleaved = sinusoidal.sinusoidal_encoding(64, 22)
    np.testing.assert_allclose(interleaved @ interleaved.T, gram, rtol=0, atol=1e-12)


def test_edges_of_the_encoding():
    """No position gives (0, D); an odd width is refused by both functions."""
    assert sinusoidal.sinusoidal_encoding(0, 6).shape == (0, 6)
    for function in (sinusoidal.sinusoidal_encoding, sinusoidal.shift_matrix):
        with pytest.raises(ValueError, match="odd"):
            function(3, 5)


@pytest.mark.parametrize("k", [-300, -1, 0, 1, 17, 999])
@pytest.mark.parametrize("base", [1e4, 37.5])
def test_shift_is_a_matrix_exponential(k, base):
    """M(k) is scipy's exponential of k times the derivative, and takes positions up to 1000 to those k further."""
    M = sinusoidal.shift_matrix(k, 10, base)
    generator = np.zeros((10, 10))
    for i in range(5):
        generator[2 * i, 2 * i + 1] = base ** (-2 * i / 10)
    np.testing.assert_allclose(M, scipy.linalg.expm(k * (generator - generator.T)), rtol=0, atol=1e-9)
    positions = np.arange(0, 1000, 61)
    angles = [p[:, None] / base ** (np.arange(0, 10, 2) / 10) for p in (positions, positions + k)]
    here, there = (np.stack([np.sin(a), np.cos(a)], axis=-1).reshape(-1, 10) for a in angles)
    np.testing.assert_allclose(here @ M.T, there, rtol=0, atol=1e-9)


# learned, embedding


@pytest.mark.parametrize(("B", "T", "offset"), [(3, 5, 0), (1, 7, 4), (2, 1, 10), (2, 0, 11)])
def test_learned_is_an_embedding_of_positions(B, T, offset):
    """Values and gradients are those of nn.Embedding of the numbers offset ... offset + T - 1."""
    table = nn.Embedding(11, 6, dtype=torch.float64)
    ours = learned.LearnedPositionalEmbedding(11, 6).double()
    ours.load_state_dict(table.state_dict())
    x = normal(0, B, T, 6).requires_grad_()
    outs = ours(x, offset), x + table(torch.arange(offset, offset + T))
    torch.testing.assert_close(*outs, rtol=1e-12, atol=1e-12)
    gradients = [
        torch.autograd.grad(out.sin().sum(), [x, weight])
        for out, weight in zip(outs, (ours.weight, table.weight), strict=True)
    ]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("T", "offset"), [(12, 0), (1, 11), (2, -1)])
def test_learned_positions_end(T, offset):
    """Positions that are not in the table raise ValueError."""
    with pytest.raises(ValueError, match="table"):
        learned.LearnedPositionalEmbedding(11, 6)(torch.zeros(1, T, 6), offset)


@pytest.mark.parametrize("pad_id", [None, 0, 4])
def test_embedding_is_torchs_plus_sines(pad_id):
    """nn.Embedding with padding_idx, times the root of D, plus the encoding of page 1; gradients too."""
    table = nn.Embedding(11, 6, padding_idx=pad_id, dtype=torch.float64)
    ours = embedding.TransformerEmbedding(11, 6, 17, pad_id).double()
    ours.token.load_state_dict(table.state_dict())
    ids = whole_numbers(1, 11, 3, 7)
    theirs = math.sqrt(6) * table(ids) + torch.from_numpy(sinusoidal.sinusoidal_encoding(7, 6))
    torch.testing.assert_close(ours(ids), theirs, rtol=1e-12, atol=1e-12)
    gradients = [
        torch.autograd.grad(out.sin().sum(), weight)[0]
        for out, weight in ((ours(ids), ours.token.weight), (theirs, table.weight))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    assert pad_id is None or (gradients[0][pad_id] == 0).all()
    assert ours(ids[:, :0]).shape == (3, 0, 6)
    with pytest.raises(ValueError, match="do not fit"):
        ours(torch.zeros(1, 18, dtype=torch.int64))


def test_embedding_is_marians():
    """transformers' Marian encoder without layers: its scaled embedding plus its positions, columns permuted."""
    transformers = pytest.importorskip("transformers")
    marian = pytest.importorskip("transformers.models.marian.modeling_marian")
    options = {"vocab_size": 11, "d_model": 6, "encoder_layers": 0, "decoder_layers": 0, "pad_token_id": 10}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 32}
    config = transformers.MarianConfig(
        **options, **heads, scale_embedding=True, dropout=0.0, decoder_start_token_id=10, eos_token_id=0
    )
    encoder = marian.MarianModel(config).eval().encoder
    ids = whole_numbers(2, 10, 3, 7)
    with torch.no_grad():
        theirs = encoder(input_ids=ids).last_hidden_state
    ours = embedding.TransformerEmbedding(11, 6, 32, pad_id=10)
    order = torch.from_numpy(halves_first(6))
    weight = torch.empty(11, 6)
    weight[:, order] = encoder.embed_tokens.weight.detach()
    ours.token.load_state_dict({"weight": weight})
    torch.testing.assert_close(ours(ids)[..., order], theirs, rtol=1e-5, atol=1e-5)


# relative: RoPE


def by_complex_numbers(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Interleaved RoPE as a complex product."""
    angles = positions.double()[..., None] * base ** (-torch.arange(0, x.shape[-1], 2).double() / x.shape[-1])
    points = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(points * torch.polar(torch.ones_like(angles), angles)).flatten(-2).to(x.dtype)


def by_turning_halves(x: Tensor, positions: Tensor, base: float) -> Tensor:
    """Half-layout RoPE written out: x cos + (-second half, first half) sin."""
    Dh = x.shape[-1]
    angles = positions.double()[..., None] * base ** (-torch.arange(0, Dh, 2).double() / Dh)
    angles = torch.cat([angles, angles], dim=-1)
    turned = torch.cat([-x[..., Dh // 2 :], x[..., : Dh // 2]], dim=-1)
    return (x * angles.cos() + turned * angles.sin()).to(x.dtype)


@pytest.mark.parametrize("layout", ["interleaved", "half"])
@pytest.mark.parametrize("base", [1e4, 37.5])
@pytest.mark.parametrize("shape", [(7, 2), (3, 5, 6), (2, 3, 5, 22)])
def test_rope_written_out(layout, base, shape):
    """Both layouts equal the usual formulas, values and gradients, for positions in any order."""
    formula = by_complex_numbers if layout == "interleaved" else by_turning_halves
    x, positions = normal(3, *shape).requires_grad_(), whole_numbers(4, 2000, *shape[:-1])
    outs = relative.apply_rope(x, positions, base, layout), formula(x, positions, base)
    torch.testing.assert_close(*outs, rtol=1e-10, atol=1e-10)
    gradients = [torch.autograd.grad(out.sin().sum(), x)[0] for out in outs]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_rope_is_llamas():
    """transformers' Llama in half layout, positions of their own for each text, and through the whole rotary module."""
    transformers = pytest.importorskip("transformers")
    llama = pytest.importorskip("transformers.models.llama.modeling_llama")
    config = transformers.LlamaConfig(hidden_size=20, num_attention_heads=2, num_key_value_heads=2)
    q, k = normal(5, 3, 2, 7, 10, dtype=torch.float32), normal(6, 3, 2, 7, 10, dtype=torch.float32)
    positions = whole_numbers(7, 100, 3, 7)
    cos, sin = llama.LlamaRotaryEmbedding(config)(q, positions)
    theirs = llama.apply_rotary_pos_emb(q, k, cos, sin)
    for x, rotated in zip((q, k), theirs, strict=True):
        torch.testing.assert_close(
            relative.apply_rope(x, positions[:, None], layout="half"), rotated, rtol=1e-4, atol=1e-4
        )


def test_permuted_weights_attend_alike():
    """torch's attention is the same with interleaved weights and with permuted ones in half layout, and back."""
    H, Dh, D = 3, 10, 7
    x, positions = normal(8, 2, 5, D), whole_numbers(9, 300, 2, 1, 5)
    Wq, Wk, Wv = (normal(10 + n, H * Dh, D) for n in range(3))

    def attend(Wq: Tensor, Wk: Tensor, layout: str) -> Tensor:
        q, k, v = ((x @ W.T).unflatten(-1, (H, Dh)).transpose(1, 2) for W in (Wq, Wk, Wv))
        q, k = (relative.apply_rope(t, positions, 500.0, layout) for t in (q, k))
        return F.scaled_dot_product_attention(q, k, v)

    half = [relative.permute_qk_weights(W, H) for W in (Wq, Wk)]
    torch.testing.assert_close(attend(*half, "half"), attend(Wq, Wk, "interleaved"), rtol=1e-9, atol=1e-11)
    assert not torch.allclose(attend(Wq, Wk, "half"), attend(Wq, Wk, "interleaved"))
    for W, permuted in zip((Wq, Wk), half, strict=True):
        assert torch.equal(relative.permute_qk_weights(permuted, H, to="interleaved"), W)


def test_permutation_is_that_of_the_conversion():
    """view(H, Dh / 2, 2, D).transpose(1, 2): how Llama's checkpoints are converted for transformers."""
    W = normal(13, 30, 7)
    assert torch.equal(relative.permute_qk_weights(W, 3), W.view(3, 5, 2, 7).transpose(1, 2).reshape(30, 7))


def test_rope_in_low_precision():
    """bfloat16 vectors are turned by exact angles; odd widths are refused."""
    x, positions = normal(14, 5, 64, dtype=torch.bfloat16), torch.tensor([1999, 100_000, 257, 65_537, 3])
    out = relative.apply_rope(x, positions)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, by_complex_numbers(x.double(), positions, 1e4).bfloat16())
    with pytest.raises(ValueError, match="odd"):
        relative.apply_rope(torch.zeros(2, 3), torch.arange(2))


# relative: ALiBi and T5


@pytest.mark.parametrize("H", [1, 2, 3, 6, 8, 12, 20, 71])
def test_slopes_are_blooms(H):
    """transformers' Bloom builds key-only biases: slope times key."""
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    theirs = bloom.build_alibi_tensor(torch.ones(1, 5), H, torch.float32)[:, 0]  # (H, 5)
    ours = relative.alibi_slopes(H)[:, None] * torch.arange(5)
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-6, atol=0)


def test_slopes_written_out():
    """The numbers of the paper for 8 heads, of its code for 6 and 12, and 2 ** -8 for one."""
    assert relative.alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
    assert relative.alibi_slopes(6).tolist() == [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    expected = [2.0**-h for h in range(1, 9)] + [2.0 ** (-h / 2) for h in (1, 3, 5, 7)]
    assert relative.alibi_slopes(12).tolist() == pytest.approx(expected, rel=1e-12)
    assert relative.alibi_slopes(1).tolist() == [2.0**-8]


@pytest.mark.parametrize(("H", "Tq", "Tk"), [(8, 5, 5), (6, 3, 7), (3, 1, 11), (4, 7, 3)])
def test_bias_is_the_key_only_form(H, Tq, Tk):
    """Under the causal mask aligned at the bottom right, attention weights equal those with slope times key."""
    seen = torch.ones(Tq, Tk, dtype=torch.bool).tril(Tk - Tq)
    raw = normal(15, H, Tq, Tk)
    bias = relative.alibi_bias(H, Tq, Tk, dtype=torch.float64)
    assert (bias <= 0).all() and (bias[:, -1, -1] == 0).all() and bias.dtype == torch.float64
    key_only = relative.alibi_slopes(H)[:, None, None] * torch.arange(Tk)
    rows = seen.any(dim=-1)
    pair = [(raw + b).masked_fill(~seen, -math.inf)[:, rows].softmax(dim=-1) for b in (bias, key_only)]
    torch.testing.assert_close(*pair, rtol=1e-9, atol=1e-12)


REL = torch.arange(-300, 301)


def formula_in(dtype: torch.dtype, rel: Tensor, bidirectional: bool, num_buckets: int, max_distance: int) -> Tensor:
    """The logarithm of the page, in the given precision."""
    B = num_buckets // 2 if bidirectional else num_buckets
    n = rel.abs() if bidirectional else (-rel).clamp(min=0)
    E = B // 2
    far = E + (torch.log(n.clamp(min=E).to(dtype) / E) / math.log(max_distance / E) * (B - E)).long()
    return torch.where(n < E, n, far.clamp(max=B - 1)) + (B * (rel > 0) if bidirectional else 0)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("num_buckets", "max_distance"), [(32, 128), (20, 47), (28, 101), (12, 37), (22, 53), (16, 32), (8, 16)]
)
def test_buckets_are_the_formulas(bidirectional, num_buckets, max_distance):
    """Whole-number arithmetic, and the logarithm in float32 and float64, agree on -300 ... 300: no bucket depends on
    rounding, for the sizes that the page and its tests use."""
    ours = relative.relative_position_bucket(REL, bidirectional, num_buckets, max_distance)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(ours, formula_in(dtype, REL, bidirectional, num_buckets, max_distance))
    assert ours.dtype == torch.int64 and ours.min() == 0 and ours.max() == num_buckets - 1


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (20, 47), (28, 101), (12, 37), (22, 53)])
def test_buckets_are_t5s(bidirectional, num_buckets, max_distance):
    """transformers' T5 gives the same buckets on -300 ... 300."""
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    theirs = t5.T5Attention._relative_position_bucket(REL, bidirectional, num_buckets, max_distance)
    assert torch.equal(relative.relative_position_bucket(REL, bidirectional, num_buckets, max_distance), theirs)


@pytest.mark.parametrize("is_decoder", [False, True])
def test_bias_is_t5s(is_decoder):
    """compute_bias of transformers' T5, encoder and decoder, gives the same bias for the same table."""
    transformers = pytest.importorskip("transformers")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    config = transformers.T5Config(d_model=12, d_kv=4, num_heads=3, is_decoder=is_decoder)
    layer = t5.T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    ours = relative.RelativeBias(32, 128, 3, bidirectional=not is_decoder)
    ours.load_state_dict({"weight": layer.relative_attention_bias.weight.detach()})
    torch.testing.assert_close(ours(23, 41), layer.compute_bias(23, 41), rtol=0, atol=0)
    whole = layer.compute_bias(41, 41)
    torch.testing.assert_close(ours(3, 41, offset=38), whole[:, :, 38:], rtol=0, atol=0)


def test_bias_and_gradient_are_an_embeddings():
    """A look-up in nn.Embedding, values and gradients, with an offset."""
    table = nn.Embedding(20, 3, dtype=torch.float64)
    ours = relative.RelativeBias(20, 47, 3, bidirectional=True).double()
    ours.load_state_dict(table.state_dict())
    rel = torch.arange(41) - (torch.arange(5)[:, None] + 36)
    theirs = table(formula_in(torch.float64, rel, True, 20, 47)).permute(2, 0, 1)[None]
    torch.testing.assert_close(ours(5, 41, offset=36), theirs, rtol=0, atol=0)
    gradients = [
        torch.autograd.grad(out.sin().sum(), weight)[0]
        for out, weight in ((ours(5, 41, offset=36), ours.weight), (theirs, table.weight))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)

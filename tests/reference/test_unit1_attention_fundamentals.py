"""The reference of unit 1 agrees with torch, scipy and plain loops, the degenerate cases included."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def load(page: str):
    path = ROOT / "reference" / "unit1_attention_fundamentals" / f"{page}.py"
    spec = importlib.util.spec_from_file_location(f"reference_{page}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


intuition = load("intuition")
SEEDS = [0, 1, 2]


def normal(seed: int, *shape: int, dtype: type = np.float64, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


# intuition


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lengths", [[7, 7, 7], [2, 7, 4], [1, 1, 1], [5, 3, 1]])
def test_rnn_matches_torch(seed, lengths):
    """States and last states equal those of nn.RNN on a packed batch; padding gives zeros and has no influence."""
    x, W_ih, W_hh, b = normal(seed, 3, 7, 5), normal(1, 11, 5), normal(2, 11, 11, scale=0.3), normal(3, 11)
    rnn = torch.nn.RNN(5, 11, batch_first=True, dtype=torch.float64)
    names = {"weight_ih_l0": W_ih, "weight_hh_l0": W_hh, "bias_ih_l0": b, "bias_hh_l0": np.zeros(11)}
    rnn.load_state_dict({name: torch.from_numpy(value) for name, value in names.items()})
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.from_numpy(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    out, last = rnn(packed)
    out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=7)
    x[np.arange(7) >= np.array(lengths)[:, None]] = 1e30
    ours = intuition.rnn_encode(x, np.array(lengths), W_ih, W_hh, b)
    np.testing.assert_allclose(ours[0], out.detach().numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours[1], last[0].detach().numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 1, 1), (2, 1, 4)])
def test_luong_matches_einsum(seed, sizes):
    """dot, general and concat equal batched products in float64."""
    B, q_len, kv_len = sizes
    q, k, k_wide = normal(seed, B, q_len, 11), normal(seed + 9, B, kv_len, 2), normal(seed + 19, B, kv_len, 11)
    W, both, v = normal(1, 11, 2), normal(2, 13, 13), normal(3, 13)
    torch_dot = torch.bmm(torch.from_numpy(q), torch.from_numpy(k_wide).mT).numpy()
    np.testing.assert_allclose(intuition.luong_scores(q, k_wide), torch_dot, rtol=1e-10, atol=1e-12)
    bilinear = torch.nn.functional.bilinear(
        torch.from_numpy(np.repeat(q, kv_len, axis=1)),
        torch.from_numpy(np.tile(k, (1, q_len, 1))),
        torch.from_numpy(W)[None],
    )
    scores = intuition.luong_scores(q, k, W=W, mode="general")
    np.testing.assert_allclose(scores, bilinear.reshape(B, q_len, kv_len).numpy(), rtol=1e-10, atol=1e-12)
    pairs = np.concatenate([np.repeat(q, kv_len, axis=1), np.tile(k, (1, q_len, 1))], axis=-1)
    concat = (np.tanh(pairs @ both.T) @ v).reshape(B, q_len, kv_len)
    scores = intuition.luong_scores(q, k, W=both, v=v, mode="concat")
    np.testing.assert_allclose(scores, concat, rtol=1e-10, atol=1e-12)


def test_luong_refuses():
    """Unequal widths under dot and unknown modes are ValueErrors, as is a width that would broadcast."""
    for width in (3, 1):
        with pytest.raises(ValueError):
            intuition.luong_scores(np.ones((1, 2, 5)), np.ones((1, 2, width)))
    with pytest.raises(ValueError):
        intuition.luong_scores(np.ones((1, 2, 5)), np.ones((1, 2, 5)), mode="scaled")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(3, 5, 7), (1, 1, 1), (2, 1, 4), (2, 3, 3)])
def test_additive_matches_broadcasting(seed, sizes):
    """Σ_a v_a tanh(q' + k') of the projected queries and keys, as documented for keras' AdditiveAttention."""
    B, q_len, kv_len = sizes
    q, k = normal(seed, B, q_len, 11), normal(seed + 9, B, kv_len, 2)
    Wq, Wk, b, v = normal(1, 13, 11), normal(2, 13, 2), normal(3, 13), normal(4, 13)
    t = [torch.from_numpy(a) for a in (q, k, Wq, Wk, b, v)]
    queries = torch.nn.functional.linear(t[0], t[2], t[4])[:, :, None]
    keys = torch.nn.functional.linear(t[1], t[3])[:, None]
    expected = torch.sum(t[5] * torch.tanh(queries + keys), dim=-1).numpy()
    scores = intuition.additive_scores(q, k, Wq, Wk, b, v)
    np.testing.assert_allclose(scores, expected, rtol=1e-10, atol=1e-12)
    assert (np.abs(scores) <= np.abs(v).sum()).all()
    same = intuition.luong_scores(q, k, W=np.hstack([Wq, Wk]), v=v, mode="concat")
    np.testing.assert_allclose(intuition.additive_scores(q, k, Wq, Wk, 0 * b, v), same, rtol=1e-10, atol=1e-12)


def test_intuition_keeps_float32():
    """float32 in, float32 out."""
    x, w = normal(0, 2, 3, 5, dtype=np.float32), normal(1, 7, 5, dtype=np.float32)
    b = normal(2, 7, dtype=np.float32)
    states, last = intuition.rnn_encode(x, np.array([2, 3]), w, normal(3, 7, 7, dtype=np.float32), b)
    assert states.dtype == last.dtype == np.float32
    assert intuition.luong_scores(x, x).dtype == np.float32
    assert intuition.additive_scores(x, x, w, w, b, b).dtype == np.float32

"""The reference of the page `modern` agrees with transformers, torch and scipy; its solution with the reference."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import image_text_contrastive_loss
from transformers.models.mixtral.configuration_mixtral import MixtralConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock, load_balancing_loss_func

from autograder import given

ROOT = Path(__file__).resolve().parents[2]
SEEDS = [0, 1, 2]
EXACT = {"rtol": 1e-9, "atol": 1e-11}


def load(folder: str):
    path = ROOT / folder / "unit6_variants" / "modern.py"
    spec = importlib.util.spec_from_file_location(f"{folder}_modern", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


modern, solved = load("reference"), load("solutions")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# clip_loss


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(1, 5), (3, 5), (7, 3)], ids=str)
@pytest.mark.parametrize("factor", [0.5, 14.0, 1e3])
def test_clip_loss_matches_transformers(seed, shape, factor):
    """The table by torch's cosine_similarity, the loss and its gradients as transformers' CLIP has them."""
    leaves = [normal(seed, *shape), normal(seed + 10, *shape), torch.tensor(math.log(factor), dtype=torch.float64)]
    for leaf in leaves:
        leaf.requires_grad_()
    table = leaves[2].exp() * F.cosine_similarity(leaves[0][:, None], leaves[1][None], dim=-1)
    theirs = image_text_contrastive_loss(table)
    for page in (modern, solved):
        loss, logits = page.clip_loss(*leaves)
        torch.testing.assert_close(logits, table, **EXACT)
        torch.testing.assert_close(loss, theirs, **EXACT)
        gradients = torch.autograd.grad(loss, leaves, retain_graph=True)
        for a, b in zip(gradients, torch.autograd.grad(theirs, leaves, retain_graph=True), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_clip_gradients_by_differences():
    """gradcheck of the reference and of the solution, in all three arguments."""
    leaves = [x.requires_grad_() for x in (normal(1, 3, 5), normal(2, 3, 5), torch.tensor(1.5, dtype=torch.float64))]
    assert torch.autograd.gradcheck(modern.clip_loss, leaves)
    assert torch.autograd.gradcheck(solved.clip_loss, leaves)


# moe_top_k


def mixture(seed: int, d: int, d_ff: int, n_experts: int, k: int) -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """transformers' block, which is Mixtral's, and the reference, with the same random weights in float64."""
    config = MixtralConfig(
        hidden_size=d, intermediate_size=d_ff, num_local_experts=n_experts, num_experts_per_tok=k, hidden_act="silu"
    )
    theirs, ours = MixtralSparseMoeBlock(config).double(), modern.TopKMoE(d, d_ff, n_experts, k).double()
    state = {name: normal(seed + i, *p.shape) / 2 for i, (name, p) in enumerate(ours.named_parameters())}
    ours.load_state_dict(state)
    with torch.no_grad():
        theirs.gate.weight.copy_(state["router.weight"])
        for e in range(n_experts):
            w1, w2, w3 = (state[f"experts.{e}.w{n}.weight"] for n in (1, 2, 3))
            theirs.experts.gate_up_proj[e] = torch.cat([w1, w3])
            theirs.experts.down_proj[e] = w2
    return theirs.eval(), ours, state


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sizes", [(5, 3, 5, 2), (3, 7, 4, 1), (7, 5, 3, 3), (5, 2, 8, 2)], ids=str)
def test_experts_match_mixtral(seed, sizes):
    """The choice and the logits are Mixtral's; so is the mix, to 1e-9 where its gates (float32 there) are ours."""
    theirs, ours, state = mixture(seed, *sizes)
    x = normal(seed + 99, 2, 7, sizes[0])
    tokens = x.reshape(-1, sizes[0])
    with torch.no_grad():
        y, router_logits = ours(x)
        logits, gates, chosen = theirs.gate(tokens)
        torch.testing.assert_close(router_logits, logits, **EXACT)
        torch.testing.assert_close(y, theirs(x), rtol=1e-5, atol=1e-6)
        exact = logits.gather(1, chosen).softmax(dim=-1)
        torch.testing.assert_close(gates, exact.float(), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(y, theirs.experts(tokens, chosen, exact).view_as(x), **EXACT)
        page = solved.TopKMoE(*sizes).double()
        page.load_state_dict(state)
        torch.testing.assert_close(page(x), (y, router_logits), **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("N", "E", "k"), [(11, 5, 2), (7, 8, 2), (1, 3, 1), (20, 4, 2), (5, 3, 3)])
def test_balance_matches_mixtral(seed, N, E, k):
    """transformers computes the balancing loss in float32: equal to seven digits; solution and reference to 1e-9."""
    logits = 2 * normal(seed, N, E)
    theirs = load_balancing_loss_func((logits,), num_experts=E, top_k=k)
    torch.testing.assert_close(modern.load_balancing_loss(logits, k).float(), theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(solved.load_balancing_loss(logits, k), modern.load_balancing_loss(logits, k), **EXACT)


@pytest.mark.parametrize("seed", SEEDS)
def test_balance_by_hand(seed):
    """The loss from its definition, with counts by bincount."""
    logits = normal(seed, 13, 5)
    counts = logits.topk(2).indices.flatten().bincount(minlength=5) / 13
    expected = 5 * (counts.double() * logits.softmax(-1).mean(0)).sum()
    torch.testing.assert_close(modern.load_balancing_loss(logits, 2), expected, rtol=1e-7, atol=0.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_given_swiglu(seed):
    """The expert of autograder.given is w2(silu(w1 x) · w3 x)."""
    expert, x = given.SwiGLU(5, 3).double(), normal(seed, 2, 7, 5)
    expected = (F.silu(x @ expert.w1.weight.mT) * (x @ expert.w3.weight.mT)) @ expert.w2.weight.mT
    torch.testing.assert_close(expert(x), expected, **EXACT)
    assert sorted(expert.state_dict()) == ["w1.weight", "w2.weight", "w3.weight"]


# linear_attention


def quadratic(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """The masked table of similarities, divided by the sums of its rows."""
    table = torch.einsum("bhid,bhjd->bhij", F.elu(q) + 1, F.elu(k) + 1)
    if causal:
        table = table.tril()
    return (table / table.sum(-1, keepdim=True)) @ v


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(2, 3, 7, 5, 11), (1, 1, 1, 3, 2), (1, 2, 13, 3, 3)], ids=str)
def test_linear_attention_matches_the_table(seed, shape):
    """Both forms of reference and solution give the quadratic form; so do pieces of a sequence, joined by the state."""
    B, H, T, Dk, Dv = shape
    q, k, v = 2 * normal(seed, B, H, T, Dk), 2 * normal(seed + 1, B, H, T, Dk), normal(seed + 2, B, H, T, Dv)
    for page in (modern, solved):
        for causal in (True, False):
            out = page.linear_attention_parallel(q, k, v, causal=causal)
            torch.testing.assert_close(out, quadratic(q, k, v, causal), **EXACT)
        state = None
        for t in range(T):
            o_t, state = page.linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
            torch.testing.assert_close(o_t, quadratic(q, k, v, True)[:, :, t], **EXACT)
        torch.testing.assert_close(state[0], torch.einsum("bhtk,bhtv->bhkv", F.elu(k) + 1, v), **EXACT)
        torch.testing.assert_close(state[1], (F.elu(k) + 1).sum(2), **EXACT)


def test_linear_attention_gradients_by_differences():
    """gradcheck of the reference's two forms."""
    q, k, v = (normal(n, 1, 2, 3, 2).requires_grad_() for n in range(3))
    assert torch.autograd.gradcheck(modern.linear_attention_parallel, (q, k, v))
    step = [x[:, :, 0].detach().requires_grad_() for x in (q, k, v)]
    assert torch.autograd.gradcheck(lambda *qkv: modern.linear_attention_recurrent(*qkv)[0], step)


# ssm_scan


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", [(2, 7, 3, 5), (1, 1, 2, 1), (3, 31, 2, 2)], ids=str)
def test_scan_matches_lfilter(seed, shape):
    """Each channel is a sum of N one-pole filters; the state at the start is their initial condition."""
    B, T, D, N = shape
    rng = np.random.default_rng(seed)
    x, h0 = rng.standard_normal((B, T, D)), rng.standard_normal((B, D, N))
    a, (b, c) = np.tanh(rng.standard_normal((D, N))), rng.standard_normal((2, D, N))
    for start in (None, h0):
        y, end = np.zeros_like(x), np.zeros_like(h0)
        for d in range(D):
            for n in range(N):
                zi = a[d, n] * (np.zeros(B) if start is None else start[:, d, n])
                h, _ = scipy.signal.lfilter([b[d, n]], [1.0, -a[d, n]], x[:, :, d], axis=1, zi=zi[:, None])
                y[:, :, d] += c[d, n] * h
                end[:, d, n] = h[:, -1]
        for page in (modern, solved):
            for found, expected in zip(page.ssm_scan(x, a, b, c, start), (y, end), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("T", "L"), [(7, 7), (11, 5), (5, 11), (1, 3), (3, 1)])
def test_convolution_matches_scipy(seed, T, L):
    """scipy's direct and FFT convolutions, cut after T outputs."""
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal((2, T, 3)), rng.standard_normal((3, L))
    for page in (modern, solved):
        y = page.ssm_convolution(x, kernel)
        for convolve in (lambda p, q: scipy.signal.convolve(p, q, method="direct"), scipy.signal.fftconvolve):
            for row in range(2):
                for d in range(3):
                    np.testing.assert_allclose(
                        y[row, :, d], convolve(x[row, :, d], kernel[d])[:T], rtol=1e-9, atol=1e-11
                    )

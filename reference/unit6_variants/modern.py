"""Reference of the page `modern`: sums and loops, one pair, token, query or step at a time."""

import numpy as np
import torch
from torch import nn


def clip_loss(img, txt, logit_scale):
    cosines = torch.einsum("id,jd->ij", img, txt)
    cosines = cosines / torch.sqrt(torch.outer((img * img).sum(-1), (txt * txt).sum(-1)))
    logits = cosines * torch.exp(logit_scale)
    right = torch.diagonal(logits)
    to_texts = torch.logsumexp(logits, dim=1) - right
    to_images = torch.logsumexp(logits, dim=0) - right
    return torch.cat([to_texts, to_images]).mean(), logits


class _Expert(nn.Module):
    def __init__(self, d, d_ff):
        super().__init__()
        self.w1, self.w3 = nn.Linear(d, d_ff, bias=False), nn.Linear(d, d_ff, bias=False)
        self.w2 = nn.Linear(d_ff, d, bias=False)

    def forward(self, x):
        gate = self.w1.weight @ x
        return self.w2.weight @ (gate * torch.sigmoid(gate) * (self.w3.weight @ x))


class TopKMoE(nn.Module):
    """One token at a time."""

    def __init__(self, d, d_ff, n_experts, k):
        super().__init__()
        if k < 1 or k > n_experts:
            raise ValueError(k)
        self.k = k
        self.router = nn.Linear(d, n_experts, bias=False)
        self.experts = nn.ModuleDict({str(e): _Expert(d, d_ff) for e in range(n_experts)})

    def forward(self, x):
        answers, all_logits = [], []
        for token in x.reshape(-1, x.shape[-1]):
            logits = self.router.weight @ token
            ranked = sorted(range(len(logits)), key=lambda e, r=logits: -r[e].item())[: self.k]
            shares = [1 / sum(torch.exp(logits[f] - logits[e]) for f in ranked) for e in ranked]
            answers.append(sum(g * self.experts[str(e)](token) for g, e in zip(shares, ranked, strict=True)))
            all_logits.append(logits)
        return torch.stack(answers).reshape(x.shape), torch.stack(all_logits)


def load_balancing_loss(router_logits, k):
    N, E = router_logits.shape
    shares = torch.exp(router_logits - torch.logsumexp(router_logits, dim=1, keepdim=True))
    total = 0.0
    for e in range(E):
        better = (router_logits > router_logits[:, e : e + 1]).sum(dim=1)
        total = total + (better < k).to(shares.dtype).sum() / N * shares[:, e].sum() / N
    return E * total


def _feature(x):
    return torch.where(x > 0, x + 1, torch.exp(torch.clamp(x, max=0)))


def linear_attention_parallel(q, k, v, causal=True):
    wide = [t.double() if t.dtype in (torch.float16, torch.bfloat16) else t for t in (q, k, v)]
    fq, fk, values = _feature(wide[0]), _feature(wide[1]), wide[2]
    outs = []
    for i in range(q.shape[2]):
        end = i + 1 if causal else q.shape[2]
        similarity = (fq[:, :, i, None] * fk[:, :, :end]).sum(-1)
        outs.append((similarity[..., None] * values[:, :, :end]).sum(2) / similarity.sum(-1)[..., None])
    return torch.stack(outs, dim=2).to(v.dtype)


def linear_attention_recurrent(q_t, k_t, v_t, state=None):
    half = v_t.dtype in (torch.float16, torch.bfloat16)
    q, k, v = (t.float() if half else t for t in (q_t, k_t, v_t))
    fq, fk = _feature(q), _feature(k)
    S = torch.stack([fk * v[..., j : j + 1] for j in range(v.shape[-1])], dim=-1)
    z = fk
    if state is not None:
        S, z = S + state[0], z + state[1]
    read = (fq[..., None] * S).sum(-2)
    return (read / (fq * z).sum(-1)[..., None]).to(v_t.dtype), (S, z)


def ssm_scan(x, a, b, c, h0=None):
    B, T, D = x.shape
    wide = [t.astype(np.float64) for t in (x, a, b, c)]
    start = np.zeros((B, D, a.shape[1])) if h0 is None else h0.astype(np.float64)
    y, end = np.zeros((B, T, D)), np.zeros_like(start)
    for d in range(D):
        for n in range(a.shape[1]):
            powers = wide[1][d, n] ** np.arange(T + 1)
            table = np.array([[powers[t - s] if s <= t else 0.0 for s in range(T)] for t in range(T)])
            h = start[:, d, n, None] * powers[1:] + wide[0][:, :, d] * wide[2][d, n] @ table.T  # (B, T)
            y[:, :, d] += wide[3][d, n] * h
            end[:, d, n] = h[:, -1]
    return y.astype(x.dtype), end.astype(x.dtype)


def ssm_convolution(x, kernel):
    T = x.shape[1]
    y = np.zeros(x.shape)
    for d in range(x.shape[2]):
        for row in range(x.shape[0]):
            y[row, :, d] = np.convolve(x[row, :, d].astype(np.float64), kernel[d].astype(np.float64))[:T]
    return y.astype(x.dtype)

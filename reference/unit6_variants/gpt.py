"""Reference of the page `gpt`: one head at a time, the cache as the whole history, filters token by token."""

import math

import torch
from torch import nn


class _Norm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(d)), nn.Parameter(torch.zeros(d))

    def forward(self, x):
        variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


class _Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x, attend):
        B, T, D = x.shape
        q, k, v = (f(x).reshape(B, T, self.heads, D // self.heads).permute(0, 2, 1, 3)
                   for f in (self.q_proj, self.k_proj, self.v_proj))  # fmt: skip
        found = attend(q, k, v)
        return self.out_proj(torch.cat([found[:, h] for h in range(self.heads)], dim=-1))


class _Network(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        a = self.fc1(x)
        return self.fc2(a * (1 + torch.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))) / 2)


class _Layer(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.norm1, self.norm2 = _Norm(d), _Norm(d)
        self.self_attn, self.ffn = _Attention(d, heads), _Network(d)


def attend_last(q, k, v):
    """Each query by itself: the last ones of as many tokens as there are keys; (B, H, Tq, Dh)."""
    Tq, Tk = q.shape[2], k.shape[2]
    rows = []
    for i in range(Tq):
        seen = Tk - Tq + i + 1
        scores = torch.einsum("bhd,bhjd->bhj", q[:, :, i], k[:, :, :seen]) / math.sqrt(q.shape[-1])
        share = torch.exp(scores - scores.detach().amax(-1, keepdim=True))
        rows.append(torch.einsum("bhj,bhjd->bhd", share / share.sum(-1, keepdim=True), v[:, :, :seen]))
    return torch.stack(rows, dim=2)


class GPT(nn.Module):
    """Without cross-attention and with a tied head."""

    def __init__(self, vocab, block, d, n_layer, n_head):
        super().__init__()
        self.block = block
        self.embed, self.position = nn.Embedding(vocab, d), nn.Embedding(block, d)
        self.layers = nn.ModuleDict({str(i): _Layer(d, n_head) for i in range(n_layer)})
        self.norm = _Norm(d)

    def forward(self, ids, targets=None, past=None, positions=None):
        B, T = ids.shape
        if self.block < T:
            raise ValueError(f"{T} tokens, {self.block} positions")
        where = torch.arange(T) if positions is None else positions
        x = self.embed.weight[ids] + self.position.weight[where.expand(B, T)]
        for i, layer in self.layers.items():
            attend = attend_last if past is None else lambda q, k, v, i=int(i): past(i, q, k, v)
            x = x + layer.self_attn(layer.norm1(x), attend)
            x = x + layer.ffn(layer.norm2(x))
        logits = torch.einsum("btd,vd->btv", self.norm(x), self.embed.weight)
        if targets is None:
            return logits, past
        right = logits.gather(-1, targets[..., None])[..., 0]
        return logits, (torch.logsumexp(logits, dim=-1) - right).mean()


class KVCache:
    """Everything that ever came, row by row."""

    def __init__(self):
        self.history = {}

    @property
    def length(self):
        return self.history[0][0].shape[2] if 0 in self.history else 0

    def __call__(self, layer, q, k, v):
        old = self.history.get(layer, (k[:, :, :0], v[:, :, :0]))
        self.history[layer] = tuple(torch.cat(pair, dim=2) for pair in zip(old, (k, v), strict=True))
        return attend_last(q, *self.history[layer])

    def reorder(self, rows):
        for layer, kept in self.history.items():
            self.history[layer] = tuple(torch.stack([t[r] for r in rows.tolist()]) for t in kept)


def generate(model, ids, n, use_cache=True, choose=None):
    """One text at a time, without a cache, whatever use_cache says; with `choose` all at once."""
    for _ in range(n):
        context = ids[:, max(0, ids.shape[1] - model.block) :]
        with torch.no_grad():
            last = model(context)[0][:, -1]
        following = choose(last) if choose else torch.tensor([row.index(max(row)) for row in last.tolist()])
        ids = torch.cat([ids, following[:, None]], dim=1)
    return ids


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    """Each row as a list of pairs, likeliest first."""
    if temperature < 0:
        raise ValueError("a negative temperature")
    out = torch.full_like(logits, -math.inf)
    for b, row in enumerate(logits.tolist()):
        ranked = sorted(((value, i) for i, value in enumerate(row) if value > -math.inf), reverse=True)
        if temperature == 0:
            out[b, ranked[0][1]] = ranked[0][0]
            continue
        ranked = [(value / temperature, i) for value, i in ranked]
        if top_k and top_k < len(ranked):
            ranked = [pair for pair in ranked if pair[0] >= ranked[top_k - 1][0]]
        weights = [math.exp(value - ranked[0][0]) for value, _ in ranked]
        before = 0.0
        for (_, i), weight in zip(ranked, weights, strict=True):
            if before == 0.0 or top_p is None or top_p >= 1 or before / math.fsum(weights) < top_p:
                out[b, i] = logits[b, i] / temperature
            before += weight
    return out


def sample(logits, generator):
    """By the inverse of the distribution function."""
    edges = torch.softmax(logits.double(), dim=-1).cumsum(dim=-1)
    u = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64) * edges[:, -1:]
    return (edges <= u).sum(dim=-1)

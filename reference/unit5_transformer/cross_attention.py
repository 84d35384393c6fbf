"""Reference of the page `cross_attention`: one query of one head of one example at a time."""

import torch


def cross_attention(mha, x, memory, memory_mask=None):
    (B, T, D), S, H = x.shape, memory.shape[1], mha.n_heads
    width = D // H
    q, k, v = mha.q_proj(x), mha.k_proj(memory), mha.v_proj(memory)
    real = torch.ones(B, S, dtype=torch.bool) if memory_mask is None else memory_mask
    outs, weights = [], []
    for b in range(B):
        places = [s for s in range(S) if real[b, s]]
        rows = []
        for t in range(T):
            mixed = torch.zeros(D, dtype=x.dtype)
            for h in range(H):
                cut = slice(h * width, (h + 1) * width)
                shares = torch.zeros(S, dtype=x.dtype)
                if places:
                    scores = (k[b, places, cut] * q[b, t, cut]).sum(-1) / width**0.5
                    exponentials = torch.exp(scores - scores.detach().max())
                    shares = shares.index_put((torch.tensor(places),), exponentials / exponentials.sum())
                    found = (shares[places, None] * v[b, places, cut]).sum(0)
                    mixed = torch.cat([mixed[: h * width], found, mixed[(h + 1) * width :]])
                rows.append(shares)
            outs.append(mha.out_proj(mixed))
        weights.append(torch.stack(rows).reshape(T, H, S).transpose(0, 1))
    return torch.stack(outs).reshape(B, T, D), torch.stack(weights)

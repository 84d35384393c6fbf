"""Example by example, head by head, with the extreme fill instead of -inf; concatenated at the end."""

import numpy as np


def attend(q, k, v, allowed):
    scores = q @ k.T / np.sqrt(q.shape[1]).astype(q.dtype)
    scores[~allowed] = np.finfo(scores.dtype).min
    share = np.exp(scores - scores.max(axis=1)[:, None]) * allowed
    share /= np.maximum(share.sum(axis=1)[:, None], np.finfo(scores.dtype).tiny)
    return share @ v, share


def multi_head_attention(xq, xkv, Wq, Wk, Wv, Wo, bq, bk, bv, bo, H, mask=None):
    B, Tq, _ = xq.shape
    mask = np.broadcast_to(np.True_ if mask is None else mask, (B, H, Tq, xkv.shape[1]))
    outs, all_weights = [], []
    for b in range(B):
        q, k, v = xq[b] @ Wq.T + bq, xkv[b] @ Wk.T + bk, xkv[b] @ Wv.T + bv
        blocks = [np.split(a, H, axis=1) for a in (q, k, v)]
        results = [attend(*(block[h] for block in blocks), mask[b, h]) for h in range(H)]
        outs.append(np.concatenate([head for head, _ in results], axis=1) @ Wo.T + bo)
        all_weights.append(np.stack([share for _, share in results]))
    return np.stack(outs), np.stack(all_weights)

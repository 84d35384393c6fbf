"""The sum over heads written out; the importance by the chain rule from the output."""

import torch


def parts(mha, x):
    Dh = mha.q_proj.out_features // mha.n_heads
    q, k, v = mha.q_proj(x), mha.k_proj(x), mha.v_proj(x)
    for h in range(mha.n_heads):
        block = slice(h * Dh, (h + 1) * Dh)
        scores = torch.einsum("bid,bjd->bij", q[..., block], k[..., block]) / Dh**0.5
        yield torch.softmax(scores, -1) @ v[..., block] @ mha.out_proj.weight[:, block].T


def mha_with_head_gate(mha, x, gate):
    out = torch.stack(list(parts(mha, x)), dim=-1) @ gate
    return out if mha.out_proj.bias is None else out + mha.out_proj.bias


def head_importance(mha, x, loss_fn):
    with torch.no_grad():
        added = torch.stack(list(parts(mha, x)))
        out = mha(x)
    out.requires_grad_()
    (gradient,) = torch.autograd.grad(loss_fn(out), [out])
    return torch.tensordot(added, gradient, dims=3).abs()

"""The parallel form by the recurrent one, token after token."""

import torch
import torch.nn.functional as F


def linear_attention_parallel(q, k, v, causal=True):
    outs, state = [], None
    for t in range(q.shape[2]):
        o_t, state = linear_attention_recurrent(q[:, :, t], k[:, :, t], v[:, :, t], state)
        outs.append(o_t)
    if causal:
        return torch.stack(outs, dim=2)
    work = torch.promote_types(v.dtype, torch.float32)
    features = F.elu(q.to(work)) + 1
    S, z = state
    return ((features @ S) / (features @ z.unsqueeze(-1))).to(v.dtype)


def linear_attention_recurrent(q_t, k_t, v_t, state=None):
    work = torch.promote_types(v_t.dtype, torch.float32)
    B, H, Dk = q_t.shape
    if state is None:
        state = torch.zeros(B, H, Dk, v_t.shape[-1], dtype=work), torch.zeros(B, H, Dk, dtype=work)
    q, k = (F.elu(x.to(work)).add(1) for x in (q_t, k_t))
    S = torch.stack([state[0][:, :, i] + k[:, :, i, None] * v_t.to(work) for i in range(Dk)], dim=2)
    z = state[1] + k
    numerator = sum(q[:, :, i, None] * S[:, :, i] for i in range(Dk))
    return (numerator / (q * z).sum(-1, keepdim=True)).to(v_t.dtype), (S, z)

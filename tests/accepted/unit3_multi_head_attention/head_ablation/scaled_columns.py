"""A functional call of the layer with scaled columns of W_O; the importance by backward, into the gates only."""

import torch


def mha_with_head_gate(mha, x, gate):
    D = mha.out_proj.weight.shape[1]
    columns = gate.repeat_interleave(D // gate.shape[0])
    return torch.func.functional_call(mha, {"out_proj.weight": mha.out_proj.weight * columns}, (x,))


def head_importance(mha, x, loss_fn):
    gate = torch.ones(mha.n_heads, dtype=x.dtype).requires_grad_()
    loss_fn(mha_with_head_gate(mha, x, gate)).backward(inputs=[gate])
    return gate.grad.abs()

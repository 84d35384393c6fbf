"""One call of the layer for each example, with a mask of full shape."""

import torch


def cross_attention(mha, x, memory, memory_mask=None):
    outs, weights = [], []
    for b in range(len(x)):
        mask = None
        if memory_mask is not None:
            mask = memory_mask[b].repeat(mha.n_heads, x.shape[1], 1).unsqueeze(0)
        out, share = mha(x[b : b + 1], key=memory[b : b + 1], mask=mask, need_weights=True)
        outs.append(out)
        weights.append(share)
    return [torch.cat(outs), torch.cat(weights)]

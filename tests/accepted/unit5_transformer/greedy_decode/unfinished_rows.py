"""Only the rows that have not ended are shown to the model; a buffer that is cut at the end."""

import torch


@torch.inference_mode()
def greedy_decode(model, src, src_pad, bos, eos, max_len):
    mode = model.training
    model.eval()
    buffer = torch.full((src.size(0), max_len + 1), src_pad)
    buffer[:, 0] = bos
    going = torch.arange(src.size(0))
    width = 0
    while width < max_len and going.numel():
        width += 1
        best = model(src[going], buffer[going, :width])[:, width - 1].max(dim=-1).indices
        buffer[going, width] = best
        going = going[best.ne(eos)]
    model.train(mode)
    return buffer[:, 1 : width + 1].clone()

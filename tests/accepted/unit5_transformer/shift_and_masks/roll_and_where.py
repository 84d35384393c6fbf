"""roll and where; a list instead of a tuple; the mask by comparing places."""

import torch


def make_decoder_io(tgt, bos, pad):
    inp = tgt.roll(1, dims=1)
    inp[:, 0] = bos
    return [inp, torch.where(tgt.eq(pad), torch.tensor(-100), tgt)]


def src_mask(src, pad):
    return src.ne(pad).view(src.size(0), 1, 1, src.size(1))


def tgt_mask(inp, pad):
    place = torch.arange(inp.size(1))
    real = torch.logical_or(inp.ne(pad), place.eq(0))
    return torch.einsum("bj,ij->bij", real.int(), place.unsqueeze(0).le(place.unsqueeze(1)).int()).bool().unsqueeze(1)

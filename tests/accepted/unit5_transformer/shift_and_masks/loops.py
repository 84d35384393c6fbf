"""Python loops over rows and pairs."""

import torch


def make_decoder_io(tgt, bos, pad):
    inp, labels = torch.empty_like(tgt), torch.empty_like(tgt)
    for b, row in enumerate(tgt):
        before = bos
        for t, symbol in enumerate(row):
            inp[b, t] = before
            labels[b, t] = -100 if symbol == pad else symbol
            before = symbol
    return inp, labels


def src_mask(src, pad):
    mask = torch.zeros(len(src), 1, 1, src.size(1), dtype=torch.bool)
    for b, row in enumerate(src):
        for s, symbol in enumerate(row):
            mask[b, 0, 0, s] = symbol != pad
    return mask


def tgt_mask(inp, pad):
    B, T = inp.shape
    mask = torch.zeros(B, 1, T, T, dtype=torch.bool)
    for b in range(B):
        for i in range(T):
            for j in range(i + 1):
                mask[b, 0, i, j] = j == 0 or bool(inp[b, j] != pad)
    return mask

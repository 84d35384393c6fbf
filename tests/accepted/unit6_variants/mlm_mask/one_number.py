"""One number for each token decides about choice and fate, on a scale from 0 to 1."""

import torch


def mlm_mask(ids, special, mask_id, vocab, p=0.15, *, generator):
    u = torch.rand(ids.shape, generator=generator, dtype=torch.float64)
    u = u.masked_fill(special, 2.0)
    inputs, labels = ids.clone(), ids.clone()
    labels[u >= p] = -100
    inputs[u < 0.9 * p] = mask_id
    swap = u < 0.1 * p
    inputs[swap] = torch.randint(0, vocab, (int(swap.sum()),), generator=generator)
    return inputs, labels

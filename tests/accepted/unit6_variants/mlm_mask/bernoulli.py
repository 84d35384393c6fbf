"""As Hugging Face's collator goes about it: three draws of coins, the second of those that are left."""

import torch


def mlm_mask(ids, special, mask_id, vocab, p=0.15, *, generator):
    labels = ids.clone()
    inputs = ids.clone()
    odds = torch.full(ids.shape, p, dtype=torch.float64).masked_fill(special, 0.0)
    asked = torch.bernoulli(odds, generator=generator).bool()
    labels[~asked] = -100
    masked = asked & torch.bernoulli(torch.full(ids.shape, 0.8), generator=generator).bool()
    inputs[masked] = mask_id
    swapped = asked & ~masked & torch.bernoulli(torch.full(ids.shape, 0.5), generator=generator).bool()
    words = torch.randint(vocab, ids.shape, dtype=torch.long, generator=generator)
    inputs[swapped] = words[swapped]
    return inputs, labels

"""A NumPy generator, seeded from the torch one; the random tokens are drawn first."""

import numpy as np
import torch


def mlm_mask(ids, special, mask_id, vocab, p=0.15, *, generator):
    rng = np.random.default_rng(torch.randint(2**62, (1,), generator=generator).item())
    old = ids.numpy()
    new = rng.integers(vocab, size=old.shape)
    kind = rng.choice(4, size=old.shape, p=[1 - p, 0.8 * p, 0.1 * p, 0.1 * p])
    kind[special.numpy()] = 0
    inputs = np.choose(kind, [old, np.full_like(old, mask_id), new, old])
    return torch.from_numpy(inputs), torch.from_numpy(np.where(kind > 0, old, -100))

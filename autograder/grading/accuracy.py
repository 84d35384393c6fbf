"""How far may a half-precision answer be from the truth? As far as the plain formula in the same precision, about.

Per tensor: R is the truth in float64, E the plain formula in the tested dtype (each step rounded to it), Y the answer.

1. The dtype and shape that were asked for, and no NaN or Inf.
2. max|Y - R| <= factor * max|E - R| + atol, with atol = 2 max|(R + 0.3 - 0.3) - R|, R in float32: the rule of the
   FlashAttention tests (github.com/Dao-AILab/flash-attention, hopper/test_flash_attn.py).
3. |Y - R| <= norm_factor * |E - R| in the Euclidean norm over the tensor.

The third is what finds low precision: an answer whose probabilities or keys were rounded to eight bits can lie within
the second by luck of one element, and is at least five times as far off in the norm.
"""

import torch

from autograder.grading.compare import Disagreement


def near_as_plain(
    answer: object,
    truth: torch.Tensor,
    plain: torch.Tensor,
    *,
    factor: float = 2.0,
    norm_factor: float = 1.5,
    what: str = "the output",
) -> None:
    """Raises Disagreement where `answer` breaks one of the rules above.

    Args:
        truth: float64 or float32, the shape of the answer.
        plain: the plain formula's answer, in the dtype that is asked for.
        factor, norm_factor: 2 and 1.5 for outputs; 3 and 2 for gradients.
    """
    if not isinstance(answer, torch.Tensor) or answer.shape != plain.shape or answer.dtype != plain.dtype:
        seen = f"{answer.dtype} {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise Disagreement(f"{what} is {seen}, expected {plain.dtype} {tuple(plain.shape)}")
    if not torch.isfinite(answer).all():
        raise Disagreement(f"{what} has {int((~torch.isfinite(answer)).sum())} elements that are NaN or infinite")
    exact = truth.float()
    atol = 2 * ((exact + 0.3 - 0.3) - exact).abs().max().item()
    wrong, allowed = (answer.to(truth.dtype) - truth), (plain.to(truth.dtype) - truth)
    worst, limit = wrong.abs().max().item(), factor * allowed.abs().max().item() + atol
    if not worst <= limit:
        raise Disagreement(f"{what} is off by {worst:.2g} somewhere; {limit:.2g} is allowed, from the plain formula")
    norm, limit = wrong.norm().item(), norm_factor * allowed.norm().item() + atol * wrong.numel() ** 0.5 / 4
    if not norm <= limit:
        scale = truth.norm().item()
        raise Disagreement(
            f"the relative error of {what} is {norm / scale:.2g} (Euclidean norm); {limit / scale:.2g} is allowed, "
            "from the plain formula in the same dtype"
        )

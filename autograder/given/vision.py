"""From an image to a sequence."""

from torch import Tensor


def patchify(img: Tensor, P: int) -> Tensor:
    """(B, C, H, W) -> (B, N, C·P·P): the N = (H/P)(W/P) patches of P by P pixels, row by row, channels outermost.

    Raises ValueError where P does not divide H and W.
    Source: Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.1.
    """
    B, C, H, W = img.shape
    if H % P or W % P:
        raise ValueError(f"an image of {H} by {W} pixels cannot be cut into patches of {P} by {P}")
    parts = img.reshape(B, C, H // P, P, W // P, P)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(B, (H // P) * (W // P), C * P * P)

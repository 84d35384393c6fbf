"""patchify: the decomposition of the operator behind nn.Unfold."""

import torch


def patchify(img, P):
    B, C = img.shape[:2]
    columns = torch._decomp.decompositions.im2col(img, [P, P], [1, 1], [0, 0], [P, P])  # (B, C P P, N)
    return columns.reshape(B, C, P, P, -1).permute(0, 4, 1, 2, 3).reshape(B, -1, C * P * P)

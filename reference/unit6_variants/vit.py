"""Reference of the page `vit`: pixel by pixel, image by image, and the bicubic weights written out."""

import math

import torch
from torch import nn

EPS = 1e-12


def patchify(img, P):
    """A list of patches, each cut out by its corner."""
    H, W = img.shape[2:]
    if H % P or W % P:
        raise ValueError("not divisible")
    corners = [(y, x) for y in range(0, H, P) for x in range(0, W, P)]
    return torch.stack([img[:, :, y : y + P, x : x + P].flatten(1) for y, x in corners], dim=1)


def unpatchify(patches, P, H, W):
    """Each patch is written to its corner."""
    B, N, size = patches.shape
    if H % P or W % P or N != H * W // P**2 or size % P**2:
        raise ValueError("no image")
    img = patches.new_zeros(B, size // P**2, H, W)
    for n in range(N):
        y, x = divmod(n, W // P)
        img[:, :, y * P : (y + 1) * P, x * P : (x + 1) * P] = patches[:, n].reshape(B, -1, P, P)
    return img


class ViT(nn.Module):
    """Modules only hold the parameters; patches are found by a convolution."""

    def __init__(self, image, patch, C, d, n_layers, n_heads, d_ff, n_classes):
        super().__init__()
        self.image, self.patch, self.heads, self.channels = image, patch, n_heads, C
        self.patch_proj = nn.Linear(C * patch**2, d)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (image // patch) ** 2, d))
        self.layers = nn.ModuleList(_layer(d, d_ff) for _ in range(n_layers))
        self.norm, self.head = _vectors(d), nn.Linear(d, n_classes)

    def forward(self, img):
        if img.shape[2] != self.image or img.shape[3] != self.image:
            raise ValueError("another size")
        tokens = torch.stack([self._read(one) for one in img])
        return torch.stack([_project(self.head, one[0]) for one in tokens]), tokens

    def _read(self, one):
        kernel = self.patch_proj.weight.reshape(-1, self.channels, self.patch, self.patch)
        grid = nn.functional.conv2d(one[None], kernel, self.patch_proj.bias, stride=self.patch)
        x = torch.cat([self.cls_token[0] + self.pos_embed[0, :1], grid[0].flatten(1).T + self.pos_embed[0, 1:]])
        for layer in self.layers:
            parts, y = layer["self_attn"], _norm(x, layer["norm1"])
            q, k, v = (_project(parts[f"{name}_proj"], y).chunk(self.heads, -1) for name in "qkv")
            found = [_look(*one) for one in zip(q, k, v, strict=True)]
            x = x + _project(parts["out_proj"], torch.cat(found, -1))
            hidden = _project(layer["ffn"]["fc1"], _norm(x, layer["norm2"]))
            x = x + _project(layer["ffn"]["fc2"], hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2)
        return _norm(x, self.norm)


def interpolate_pos(pos, new_h, new_w):
    """Two matrices of weights, one for the rows and one for the columns of the grid."""
    g = round((pos.shape[1] - 1) ** 0.5)
    if g * g != pos.shape[1] - 1:
        raise ValueError("no square grid")
    rows, columns = _weights(g, new_h).to(pos.dtype), _weights(g, new_w).to(pos.dtype)
    grid = torch.einsum("yi,xj,ijd->yxd", rows, columns, pos[0, 1:].reshape(g, g, -1))
    return torch.cat([pos[0, :1], grid.reshape(new_h * new_w, -1)])[None]


def _weights(old, new):
    """(new, old), float64: cubic convolution with a = -3/4 (Keys 1981, eq. 4); beyond the border the outermost counts.

    Source: R. Keys, Cubic convolution interpolation for digital image processing, 1981, doi:10.1109/TASSP.1981.1163711.
    """
    table = torch.zeros(new, old, dtype=torch.float64)
    for n in range(new):
        place = (n + 0.5) * old / new - 0.5
        first = math.floor(place) - 1
        for cell in range(first, first + 4):
            table[n, min(max(cell, 0), old - 1)] += _cubic(abs(place - cell))
    return table


def _cubic(s, a=-0.75):
    if s <= 1:
        return (a + 2) * s**3 - (a + 3) * s**2 + 1
    return a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a if s < 2 else 0.0


def _vectors(d):
    return nn.ParameterDict({"weight": nn.Parameter(torch.ones(d)), "bias": nn.Parameter(torch.zeros(d))})


def _layer(d, d_ff):
    attention = nn.ModuleDict({f"{name}_proj": nn.Linear(d, d) for name in ("q", "k", "v", "out")})
    network = nn.ModuleDict({"fc1": nn.Linear(d, d_ff), "fc2": nn.Linear(d_ff, d)})
    return nn.ModuleDict({"self_attn": attention, "ffn": network, "norm1": _vectors(d), "norm2": _vectors(d)})


def _project(linear, y):
    return torch.einsum("...i,oi->...o", y, linear.weight) + linear.bias


def _norm(y, norm):
    variance, mean = torch.var_mean(y, dim=-1, correction=0, keepdim=True)
    return (y - mean) * torch.rsqrt(variance + EPS) * norm["weight"] + norm["bias"]


def _look(q, k, v):
    scores = torch.einsum("id,jd->ij", q, k) / q.shape[-1] ** 0.5
    powers = torch.exp(scores - scores.detach().amax(-1, keepdim=True))
    return torch.einsum("ij,jd->id", powers / powers.sum(-1, keepdim=True), v)

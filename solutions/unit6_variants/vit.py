# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ViT: a picture is a sequence as well
#
# *Unit 6, page 4 of 5, about two and a half hours. Before: [T5](t5.ipynb). Next: [the modern items](modern.ipynb).
# Papers: [Dosovitskiy et al. 2020, An Image is Worth 16x16 Words](https://arxiv.org/abs/2010.11929), sections 3 and
# D.4. Further reading: [Touvron et al. 2020, DeiT](https://arxiv.org/abs/2012.12877), on training one without a huge
# data set; [Cordonnier et al. 2019](https://arxiv.org/abs/1911.03584), on what self-attention has in common with
# convolution; [Raghu et al. 2021, Do Vision Transformers See Like Convolutional Neural
# Networks?](https://arxiv.org/abs/2108.08810).*
#
# Nothing in an encoder knows about words: it takes a sequence of vectors, whatever they stand for. So cut an image into
# squares, write the pixels of each into a vector, and read them like a sentence. The vision transformer is BERT's
# encoder with another input, and that is nearly all there is to it.
#
# Why squares, and not pixels? Attention compares all pairs, and an image of 224 by 224 has 50 176 pixels, so
# $2.5 \cdot 10^9$ pairs in each head. In patches of 16 by 16 it is a sequence of 196, no longer than a paragraph.
#
# | | Transformer (2017) | BERT (2018) | GPT-2 (2019) | T5 (2020) | ViT (2020) |
# |---|---|---|---|---|---|
# | made of | encoder, decoder | encoder | decoder alone | encoder, decoder | encoder |
# | a token sees | all; or what is before it | all | what is before it | as in 2017 | all |
# | norm | LayerNorm, post | LayerNorm, post | LayerNorm, pre | RMSNorm, pre | LayerNorm, pre |
# | positions | sinusoids, added | learned, added | learned, added | learned bias by distance | learned, added |
# | scores | divided by $\sqrt{D_h}$ | divided | divided | not divided | divided |
# | activation | ReLU | GELU (erf) | GELU (tanh) | ReLU; 1.1: gated GELU | GELU (erf) |
# | linear layers | with biases | with biases | with biases | without biases | with biases |
# | input | source; target so far | [CLS] A [SEP] B [SEP] | running text | text with holes | **patches of pixels** |
# | is asked for | next token of the target | hidden tokens; is B next? | next token | the holes | **a class** |
# | tied | embeddings, output | embedding, output | embedding, output | as in 2017; not in 1.1 | **nothing** |
#
# (With pre-norm there is one more norm at the end, in GPT-2, T5 and ViT alike.)
#
# What it lost, compared with a convolutional network: nothing tells the model that neighbouring patches belong
# together, or that a cat is a cat wherever it sits. It has to learn both from examples. That is why the paper needed
# hundreds of millions of images before ViT was better, and why the table of positions looks like a map of the grid
# once it is trained.

# %% [markdown]
# ![An image of 4 by 6 pixels is cut into six patches of 2 by 2; each becomes a vector of 4 numbers and, through a
# linear map, a token; a class token is put in front, positions are added to all seven, and after the encoder and a norm
# the head reads the class token](diagrams/vit.svg)

# %%
import math

import numpy as np
import torch
from torch import Tensor, nn

from autograder import given
from autograder.given import EncoderLayer, LayerNorm

# %% [markdown]
# ## From an image to patches
#
# An image is a tensor (C, H, W): channels, rows, columns. A patch is a square of $P$ by $P$ pixels in all channels. Cut
# the rows into $H/P$ pieces and the columns into $W/P$, and there are $N = (H/P)(W/P)$ patches, counted like words on a
# page, row by row. The numbers of a patch are written down channel by channel, in each of them row by row, (c, p, p).
#
# By hand, one channel, $P = 2$:
#
# $$\begin{pmatrix} 0 & 1 & 2 & 3 \\ 4 & 5 & 6 & 7 \\ 8 & 9 & 10 & 11 \\ 12 & 13 & 14 & 15 \end{pmatrix} \;\to\;
# \begin{pmatrix} 0 & 1 & 4 & 5 \\ 2 & 3 & 6 & 7 \\ 8 & 9 & 12 & 13 \\ 10 & 11 & 14 & 15 \end{pmatrix}$$
#
# `img.reshape(B, N, -1)` has the right shape and gives (0 1 2 3), (4 5 6 7) and so on: rows of the image, no squares.
# A reshape never changes the order in which numbers lie in memory, and the pixels of a square do not lie side by side.
# It is the mistake of [splitting heads without a transpose](../unit3_multi_head_attention/multi_head_attention.ipynb)
# once more. The way: split the axes H into (H/P, P) and W into (W/P, P), which is harmless, then bring the axes into
# the order (rows of patches, columns of patches, channel, row in the patch, column in the patch), and only then
# flatten.
#
# The order inside of a patch is a convention, and others are in use: (p, p, c) in some libraries. The linear map behind
# it would learn the one as easily as the other. But trained weights fit one of them only, and (c, p, p) is the one of
# `nn.Conv2d`: a convolution with kernel $P$ and stride $P$ is exactly `patchify` and a linear map.

# %% [markdown]
# ## Exercise `patchify`: there and back (8 points)


# %% exercise="patchify"
def patchify(img: Tensor, P: int) -> Tensor:
    """Cut images into square patches.

    Args:
        img: (B, C, H, W), of any dtype, contiguous in memory or not.
        P: the side of a patch, in pixels.

    Returns:
        (B, N, C·P·P), same dtype, N = (H/P)(W/P). Patch n = i · (W/P) + j holds the rows i·P ... i·P + P - 1 and the
        columns j·P ... j·P + P - 1; its number (c·P + y)·P + x is the pixel in channel c, row y and column x of the
        patch. img is not changed.

    Raises:
        ValueError: if P does not divide H, or does not divide W.

    `F.unfold`, `F.fold`, `F.pixel_unshuffle`, `F.pixel_shuffle`, their modules and `given.patchify` may not be used in
    this exercise.

    >>> patchify(torch.arange(16).reshape(1, 1, 4, 4), 2).tolist()
    [[[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]]
    >>> patchify(torch.arange(8).reshape(1, 2, 2, 2), 2).tolist()
    [[[0, 1, 2, 3, 4, 5, 6, 7]]]
    """
    ### BEGIN SOLUTION
    B, C, H, W = img.shape
    if H % P or W % P:
        raise ValueError(f"an image of {H} by {W} pixels cannot be cut into patches of {P} by {P}")
    parts = img.reshape(B, C, H // P, P, W // P, P)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(B, (H // P) * (W // P), C * P * P)
    ### END SOLUTION


def unpatchify(patches: Tensor, P: int, H: int, W: int) -> Tensor:
    """Put the patches together again: unpatchify(patchify(img, P), P, H, W) is img.

    Args:
        patches: (B, N, C·P·P), of any dtype, as patchify gives them.
        P: the side of a patch. H, W: the size of the images, in pixels. C follows from the last axis.

    Returns:
        (B, C, H, W), same dtype. patches is not changed.

    Raises:
        ValueError: if P does not divide H, or does not divide W, if N is not (H/P)(W/P), or if P·P does not divide the
            last axis.

    >>> unpatchify(torch.tensor([[[0, 1, 4, 5], [2, 3, 6, 7]]]), P=2, H=2, W=4).tolist()
    [[[[0, 1, 2, 3], [4, 5, 6, 7]]]]
    """
    ### BEGIN SOLUTION
    B, N, size = patches.shape
    if H % P or W % P or N != (H // P) * (W // P) or size % (P * P):
        raise ValueError(f"{N} patches of {size} numbers are no image of {H} by {W} in patches of {P} by {P}")
    parts = patches.reshape(B, H // P, W // P, size // (P * P), P, P)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(B, size // (P * P), H, W)
    ### END SOLUTION


# %% [markdown]
# ## The model
#
# $$z_0 = [\,c;\; E x_1 + b;\; \dots;\; E x_N + b\,] + P, \qquad z_{l} = \mathrm{layer}_l(z_{l-1}), \qquad
# \mathrm{tokens} = \mathrm{LN}(z_L), \qquad \mathrm{logits} = W\,\mathrm{tokens}_0 + b$$
#
# ```
#   img (B, C, image, image)
#      |  patchify, patch_proj
#   (B, N, D)
#      |  cls_token in front
#   (B, 1 + N, D)
#      |  plus pos_embed (1, 1 + N, D)
#      |  n_layers encoder layers, pre-LN, GELU
#      |  norm
#   tokens (B, 1 + N, D)
#      |  the token at place 0, head
#   logits (B, n_classes)
# ```
#
# - **The class token** $c$ is BERT's [CLS], but as a parameter of its own, since there is no table of words to take it
#   from. It is one vector for all images of all batches: `expand` shows it B times without copying, and its gradient is
#   the sum over the batch. (A mean over all tokens would do nearly as well, with another learning rate; the paper
#   compares the two in section D.3.)
# - **Positions are added after the class token is there**, so that row 0 of the table is its own.
# - **Pre-LN**, so a norm stands at the end ([the encoder](../unit5_transformer/encoder.ipynb)).
# - **No mask.** All images have the same size.
#
# ViT-B/16 for images of 224 by 224 and 1000 classes has $D = 768$, 12 layers, 12 heads, $F = 3072$ and $P = 16$: 196
# patches of 768 numbers, which happens to be $D$, and 86 567 656 parameters.

# %% [markdown]
# ## Exercise `vit_model`: the vision transformer (20 points)
#
# The kit has `given.patchify`, which does what yours should, and `EncoderLayer(d, n_heads, d_ff, norm_first=...,
# activation=..., eps=...)`, called as `layer(x)`. Its activation is "relu", "gelu" (with erf) or "gelu_tanh". Its
# defaults, post-LN (`norm_first=False`), "relu" and an eps of 1e-5, are not ViT's. (There is no dropout on this page.)


# %% exercise="vit_model"
class ViT(nn.Module):
    """A vision transformer that classifies images.

    Args:
        image: the side of the images, which are square, in pixels. patch: P, a divisor of image.
        C: number of channels. d: D, the width. n_layers: number of encoder layers, 0 or more. n_heads, d_ff: of each.
        n_classes: number of classes.

    All layers are pre-LN, with the GELU that uses erf; all norms have eps 1e-12.

    Parameters, as named in the state dict, (out, in), with N = (image/P)²: patch_proj.weight (D, C·P·P) and .bias (D,);
    cls_token (1, 1, D); pos_embed (1, 1 + N, D); layers.i.* (those of the kit's EncoderLayer, i from 0); norm.weight
    and .bias (D,); head.weight (n_classes, D) and .bias (n_classes,). Weights are loaded into your module under these
    names; a module with another structure inside has a method `load_reference(self, state_dict)` that copies such a
    dict into it; it may be called more than once, and replaces all weights. How they start is not checked (usual:
    normal, standard deviation 0.02, and cls_token 0).
    """

    def __init__(
        self, image: int, patch: int, C: int, d: int, n_layers: int, n_heads: int, d_ff: int, n_classes: int
    ) -> None:
        super().__init__()
        ### BEGIN SOLUTION
        self.image, self.patch = image, patch
        n = (image // patch) ** 2
        self.patch_proj = nn.Linear(C * patch * patch, d)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, d))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + n, d))
        self.layers = nn.ModuleList(
            EncoderLayer(d, n_heads, d_ff, norm_first=True, activation="gelu", eps=1e-12) for _ in range(n_layers)
        )
        self.norm = LayerNorm(d, 1e-12)
        self.head = nn.Linear(d, n_classes)
        ### END SOLUTION

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor]:
        """Read images.

        Args:
            img: (B, C, image, image), in the dtype of the parameters. It is not changed.

        Returns: a pair, in the same dtype.
            logits (B, n_classes): head(tokens[:, 0]).
            tokens (B, 1 + N, D): the class token at place 0, then the patches, row by row; pos_embed is added to all of
                them, and they have been through all layers and norm.

        Raises:
            ValueError: if the height or the width of img is not image.

        >>> vit = ViT(image=6, patch=2, C=3, d=4, n_layers=2, n_heads=2, d_ff=8, n_classes=5)
        >>> logits, tokens = vit(torch.zeros(7, 3, 6, 6))
        >>> logits.shape, tokens.shape
        (torch.Size([7, 5]), torch.Size([7, 10, 4]))
        >>> sum(parameter.numel() for parameter in vit.parameters())
        473
        """
        ### BEGIN SOLUTION
        if img.shape[2:] != (self.image, self.image):
            raise ValueError(
                f"images of {tuple(img.shape[2:])} pixels, and the model takes {self.image} by {self.image}"
            )
        patches = self.patch_proj(given.patchify(img, self.patch))
        x = torch.cat([self.cls_token.expand(len(img), -1, -1), patches], dim=1) + self.pos_embed
        for layer in self.layers:
            x = layer(x)
        tokens = self.norm(x)
        return self.head(tokens[:, 0]), tokens
        ### END SOLUTION


# %% [markdown]
# ## Larger images
#
# ViT is often trained on small images and then used on larger ones: 224 by 224 first, 384 by 384 in the end. With the
# same patches that makes more of them, $24^2 = 576$ in place of $14^2 = 196$. Attention does not mind. Only the table
# of positions is too short.
#
# It can be stretched, since its rows have places: row $1 + i g + j$ belongs to the patch in row $i$ and column $j$ of a
# grid of $g$ by $g$. Laid out as a grid, each of the $D$ columns of the table is a little picture, and pictures can be
# enlarged. Row 0, that of the class token, is no part of the picture and stays as it is.
#
# Where is a new cell on the old grid? With `align_corners=False` cells are areas: the middle of the new cell $i$ of $n$
# lies at $(i + \tfrac12)\,\tfrac{g}{n} - \tfrac12$ in units of old cells, so that the outer edges of both grids agree.
# (With `align_corners=True` the middles of the outermost cells would be laid upon each other.) Between the old middles
# a **bicubic** interpolation takes the weighted mean of 4 by 4 neighbours, where a bilinear one takes 2 by 2 and has
# bends. By hand, in one dimension: 2 cells become 4, at $-\tfrac14, \tfrac14, \tfrac34, \tfrac54$.
#
# Two traps, and both run without an error: to reshape (1, $g^2$, D) to (1, D, $g$, $g$), which tears the numbers out of
# their rows (a permute is missing, as with patches), and to exchange height and width, which only shows where the new
# grid is no square.

# %% [markdown]
# ## Exercise `pos_embed_interpolation`: positions for a larger image (8 points)
#
# `torch.nn.functional.interpolate` does the arithmetic, for tensors of (B, channels, height, width).


# %% exercise="pos_embed_interpolation"
def interpolate_pos(pos: Tensor, new_h: int, new_w: int) -> Tensor:
    """Stretch a table of positions to another grid of patches.

    Args:
        pos: (1, 1 + g·g, D), float32 or float64: first the row of the class token, then those of a square grid, row by
            row.
        new_h, new_w: the number of rows and columns of the new grid, more or less than g.

    Returns:
        (1, 1 + new_h·new_w, D), computed in the dtype of pos: the first row as it was; then the rows of the new grid,
        row by row, each of the D channels interpolated by itself: bicubic, align_corners=False, without antialiasing.
        For the old grid these are the old rows. Differentiable in pos; pos is not changed.

    Raises:
        ValueError: if the number of rows is not 1 + g·g.

    >>> pos = torch.tensor([[[9.0], [0.0], [1.0], [0.0], [1.0]]])  # the class token, and a grid of 2 by 2
    >>> interpolate_pos(pos, 2, 2)[0, :, 0].tolist()
    [9.0, 0.0, 1.0, 0.0, 1.0]
    >>> interpolate_pos(pos, 1, 4)[0, :, 0].tolist()
    [9.0, -0.10546875, 0.2265625, 0.7734375, 1.10546875]
    """
    ### BEGIN SOLUTION
    g = math.isqrt(pos.shape[1] - 1)
    if g * g != pos.shape[1] - 1:
        raise ValueError(f"{pos.shape[1]} rows are not 1 + g·g, those of a class token and a square grid")
    grid = pos[:, 1:].transpose(1, 2).unflatten(2, (g, g))  # (1, D, g, g)
    grid = nn.functional.interpolate(grid, size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
    ### END SOLUTION


# %% [markdown]
# ## The pictures
#
# Above, an image in patches, cut and put together by your functions. The second image has its patches in another order:
# to a ViT without positions it would be the same image, since an encoder does not see the order ([unit
# 2](../unit2_self_attention/self_attention.ipynb)). The third has the order undone. In the last one a plain reshape has
# "cut": what it takes for a patch is a stripe of the image, and laid out as squares the stripes are shreds.
#
# Below, one channel of a table of positions for 6 by 6 patches, stretched to 12 by 18 by your `interpolate_pos`:
# rightly, then with height and width exchanged in the new grid, then with rows and columns exchanged in the old one.
#
# Next: what else has changed since. [Modern items](modern.ipynb).

# %%
SIDE, HEIGHT, WIDTH = 8, 48, 64


def landscape() -> Tensor:
    """(1, 3, 48, 64), float32 in 0 ... 1: a sun above a hill."""
    y, x = torch.meshgrid(torch.linspace(0, 1, HEIGHT), torch.linspace(0, 1, WIDTH), indexing="ij")
    img = torch.stack([0.35 + 0.5 * y, 0.6 + 0.25 * y, 0.95 - 0.2 * y])
    sun = (x - 0.72).square() + (0.75 * (y - 0.28)).square() < 0.012
    hill = y > 0.62 + 0.14 * torch.sin(7 * x)
    house = ((x - 0.3).abs() < 0.1) & ((y - 0.55).abs() < 0.16)
    roof = (y > 0.25 + 1.2 * (x - 0.3).abs()) & (y < 0.4)
    for area, colour in ((sun, (1.0, 0.85, 0.2)), (hill, (0.25, 0.55, 0.25)), (house, (0.9, 0.88, 0.8))):
        img = torch.where(area, torch.tensor(colour)[:, None, None], img)
    return torch.where(roof, torch.tensor((0.7, 0.25, 0.2))[:, None, None], img)[None]


def figure_data() -> np.ndarray:
    """(4, 48, 64, 3): the image, with its patches shuffled, put in order again, and cut by a reshape."""
    img = landscape()
    patches = patchify(img, SIDE)
    order = torch.randperm(patches.shape[1], generator=torch.Generator().manual_seed(0))
    shuffled = patches[:, order]
    parts = (patches, shuffled, shuffled[:, order.argsort()], img.reshape(patches.shape))
    pictures = [unpatchify(part, SIDE, HEIGHT, WIDTH)[0] for part in parts]
    return torch.stack(pictures).permute(0, 2, 3, 1).numpy()


def table_of_positions() -> Tensor:
    """(1, 1 + 36, 1): a channel as trained tables have them, large around one place."""
    place = torch.arange(6.0)
    bump = torch.exp(-((place - 1.5).square()[:, None] + (place - 4.0).square()) / 5)
    return torch.cat([torch.zeros(1), bump.flatten()])[None, :, None]


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 4, figsize=(13, 6.2), layout="constrained")
    titles = ("the image and its patches", "shuffled", "in order again", "cut by a reshape")
    for ax, picture, title in zip(axes[0], figure_data(), titles, strict=True):
        ax.imshow(picture)
        ax.set_title(title)
        ax.set_xticks(np.arange(SIDE, WIDTH, SIDE) - 0.5, [])
        ax.set_yticks(np.arange(SIDE, HEIGHT, SIDE) - 0.5, [])
        ax.grid(color="white", linewidth=0.6)
    pos = table_of_positions()
    torn = torch.cat([pos[:, :1], pos[:, 1:].reshape(1, 6, 6, 1).transpose(1, 2).reshape(1, 36, 1)], dim=1)
    tables = (
        ("one channel, 6 by 6", pos, 6, 6),
        ("12 by 18", interpolate_pos(pos, 12, 18), 12, 18),
        ("height and width exchanged", interpolate_pos(pos, 18, 12), 12, 18),
        ("rows and columns exchanged", interpolate_pos(torn, 12, 18), 12, 18),
    )
    for ax, (title, table, rows, columns) in zip(axes[1], tables, strict=True):
        ax.imshow(table[0, 1:, 0].reshape(rows, columns), vmin=0, vmax=1)
        ax.set_title(title)
        ax.set_xlabel("column of patches")
        ax.set_ylabel("row of patches")
    fig.savefig("patch_grid.png", dpi=110)
    plt.show()

"""Known wrong answers to the page `vit`."""

import math

import torch
from torch import nn

from autograder import given
from autograder.grading.misconceptions import correct, misconception

# ---------------------------------------------------------------- patchify


def _check(img, P):
    if img.shape[2] % P or img.shape[3] % P:
        raise ValueError(f"{tuple(img.shape)} and {P}")


@misconception("patchify", symbol="patchify")
def reshape_only(img, P):
    """A reshape does not cut squares: your patches are stripes of the image's rows.

    The pixels of a square do not lie side by side in memory, and a reshape keeps their order. Split H and W into two
    axes each, bring the axes into the right order, and flatten then.
    """
    _check(img, P)
    B, C, H, W = img.shape
    return img.reshape(B, H * W // P**2, C * P * P)


@misconception("patchify", symbol="patchify")
def ppc_order(img, P):
    """Inside of a patch the order is (row, column, channel): a valid layout, but not the one that is asked for.

    Some libraries use it. Here the channel comes first, (channel, row, column), as in the weights of nn.Conv2d.
    """
    B, C = img.shape[:2]
    return correct.patchify(img, P).unflatten(2, (C, P * P)).transpose(2, 3).reshape(B, -1, C * P * P)


@misconception("patchify", symbol="patchify")
def column_major_patches(img, P):
    """The patches come column by column. They are counted as one reads: row after row.

    The pixels inside of a patch are in the right order.
    """
    _check(img, P)
    B, C, H, W = img.shape
    return img.reshape(B, C, H // P, P, W // P, P).permute(0, 4, 2, 1, 3, 5).reshape(B, -1, C * P * P)


@misconception("patchify", symbol="patchify")
def hw_swapped(img, P):
    """Inside of a patch rows and columns are exchanged: your patches lie on their side.

    Of the two axes of length P the one of the rows comes first.
    """
    _check(img, P)
    B, C, H, W = img.shape
    return img.reshape(B, C, H // P, P, W // P, P).permute(0, 2, 4, 1, 5, 3).reshape(B, -1, C * P * P)


@misconception("patchify", symbol="patchify")
def image_on_its_side(img, P):
    """Height and width of the image were exchanged: the patches are those of the transposed image."""
    _check(img, P)
    return correct.patchify(img.mT, P)


@misconception("patchify", symbol="patchify")
def rest_cut_off(img, P):
    """Where P does not divide the image, the rest was cut off without a word. A ValueError is asked for.

    Pixels that vanish quietly are missed much later, if at all.
    """
    H, W = img.shape[2] // P * P, img.shape[3] // P * P
    return correct.patchify(img[:, :, :H, :W], P)


@misconception("patchify", symbol="unpatchify")
def unpatchify_by_reshape(patches, P, H, W):
    """unpatchify is a mere reshape: the numbers of each patch are laid out in rows of the image.

    It is the way back of patchify, with the same axes in the opposite order.
    """
    B, N, size = patches.shape
    if H % P or W % P or N != (H // P) * (W // P) or size % (P * P):
        raise ValueError("no image")
    return patches.reshape(B, size // P**2, H, W)


@misconception("patchify", symbol="unpatchify")
def unpatchify_takes_ppc_order(patches, P, H, W):
    """unpatchify takes the numbers of a patch for (row, column, channel). They come channel by channel."""
    C = correct.unpatchify(patches, P, H, W).shape[1]
    parts = patches.reshape(len(patches), H // P, W // P, P, P, C)
    return parts.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), C, H, W)


@misconception("patchify", symbol="unpatchify")
def unpatchify_on_its_side(patches, P, H, W):
    """unpatchify lays the patches down column by column. They were counted row by row."""
    C = correct.unpatchify(patches, P, H, W).shape[1]
    parts = patches.reshape(len(patches), W // P, H // P, C, P, P)
    return parts.permute(0, 3, 2, 4, 1, 5).reshape(len(patches), C, H, W)


# ---------------------------------------------------------------- vit_model


class _ViT(correct.ViT):
    """The right model, with places where it can be changed."""

    def embed(self, patches):
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embed

    def ending(self, x):
        return self.norm(x)

    def read(self, tokens):
        return tokens[:, 0]

    def forward(self, img):
        super().forward(img[:1])  # complains about other sizes
        x = self.embed(self.patch_proj(given.patchify(img, self.patch)))
        for layer in self.layers:
            x = layer(x)
        tokens = self.ending(x)
        return self.head(self.read(tokens)), tokens


@misconception("vit_model", symbol="ViT")
class cls_last(_ViT):
    """The class token was put behind the patches. It comes first, at place 0, and gets row 0 of the positions."""

    def embed(self, patches):
        return torch.cat([patches, self.cls_token.expand(len(patches), -1, -1)], dim=1) + self.pos_embed

    def read(self, tokens):
        return tokens[:, -1]


@misconception("vit_model", symbol="ViT")
class cls_last_and_first_read(_ViT):
    """The class token was put behind the patches, and the head read what stands at place 0, a patch. It comes first."""

    def embed(self, patches):
        return torch.cat([patches, self.cls_token.expand(len(patches), -1, -1)], dim=1) + self.pos_embed


@misconception("vit_model", symbol="ViT")
class last_token_read(_ViT):
    """The head read the last token, a patch. It reads the class token, tokens[:, 0]."""

    def read(self, tokens):
        return tokens[:, -1]


@misconception("vit_model", symbol="ViT")
class positions_missing(_ViT):
    """No positions were added: to such a model an image and its patches in another order are the same."""

    def embed(self, patches):
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)


@misconception("vit_model", symbol="ViT")
class patches_counted_only(correct.ViT):
    """Images of another size are taken as long as they have as many patches. Height and width both have to be image."""

    def forward(self, img):
        B, C, H, W = img.shape
        if self.image**2 == H * W and H % self.patch == W % self.patch == 0:
            img = given.patchify(img, self.patch)
            n = self.image // self.patch
            img = img.unflatten(2, (C, self.patch, self.patch)).unflatten(1, (n, n))
            img = img.permute(0, 3, 1, 4, 2, 5).reshape(B, C, self.image, self.image)
        return super().forward(img)


@misconception("vit_model", symbol="ViT")
class pos_before_cls(_ViT):
    """The class token has no position: they were added to the patches before it was put in front.

    pos_embed has 1 + N rows, and row 0 is for the class token.
    """

    def embed(self, patches):
        placed = patches + self.pos_embed[:, 1:]
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), placed], dim=1)


@misconception("vit_model", symbol="ViT")
class positions_shifted(_ViT):
    """The patches got the rows 0 ... N - 1 of the positions, and the class token none.

    Put the class token in front first, and add all 1 + N rows then: row 0 is its own.
    """

    def embed(self, patches):
        placed = patches + self.pos_embed[:, :-1]
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), placed], dim=1)


@misconception("vit_model", symbol="ViT")
class mean_pool(_ViT):
    """The head read the mean of all tokens. Here it reads the class token alone, tokens[:, 0].

    (Other models do take the mean; weights that were trained for the one do not fit the other.)
    """

    def read(self, tokens):
        return tokens.mean(dim=1)


@misconception("vit_model", symbol="ViT")
class mean_of_patches(_ViT):
    """The head read the mean of the patches. It reads the class token alone, tokens[:, 0]."""

    def read(self, tokens):
        return tokens[:, 1:].mean(dim=1)


@misconception("vit_model", symbol="ViT")
class post_ln(_ViT):
    """The layers are post-LN, as BERT's. ViT is pre-LN: pass norm_first=True."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in self.layers:
            layer.norm_first = False


@misconception("vit_model", symbol="ViT")
class relu_left(_ViT):
    """The feed-forward networks have the ReLU, the default of the kit's EncoderLayer. ViT has GELU."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in self.layers:
            layer.ffn.activation = "relu"


@misconception("vit_model", symbol="ViT")
class gelu_tanh(_ViT):
    """The GELU is the approximation with tanh. ViT's is the exact one, with erf."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in self.layers:
            layer.ffn.activation = "gelu_tanh"


@misconception("vit_model", symbol="ViT")
class eps_left(_ViT):
    """The norms of the layers have the eps of the kit's EncoderLayer, 1e-5. All norms here have 1e-12."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for layer in self.layers:
            layer.norm1.eps = layer.norm2.eps = 1e-5


@misconception("vit_model", symbol="ViT")
class final_eps_left(_ViT):
    """The last norm has an eps of 1e-5. All norms here have 1e-12."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm.eps = 1e-5


@misconception("vit_model", symbol="ViT")
class no_final_norm(_ViT):
    """The norm at the end is missing. A pre-LN stack never norms its stream: tokens go through norm."""

    def ending(self, x):
        return x


@misconception("vit_model", symbol="ViT")
class tokens_before_norm(_ViT):
    """The head read the class token behind the last norm, but the tokens that were returned are those before it.

    tokens have been through all layers *and* norm, all of them, and the head reads tokens[:, 0].
    """

    def ending(self, x):
        return x

    def read(self, tokens):
        return self.norm(tokens[:, 0])


@misconception("vit_model", symbol="ViT")
class head_before_norm(_ViT):
    """The head read the class token before the last norm. It reads tokens, which have been through it."""

    def forward(self, img):
        self.kept = None
        return super().forward(img)

    def ending(self, x):
        self.kept = x
        return self.norm(x)

    def read(self, tokens):
        return self.kept[:, 0]


@misconception("vit_model", symbol="ViT")
class cls_repeat_param_bug(_ViT):
    """Each call makes a parameter of its own for the class tokens of the batch. Their gradient never reaches cls_token.

    The class token is one vector, whatever the batch. `expand` shows it B times; wrapped into nn.Parameter once more it
    is a copy that no optimiser knows.
    """

    def embed(self, patches):
        tokens = nn.Parameter(self.cls_token.repeat(len(patches), 1, 1))
        return torch.cat([tokens, patches], dim=1) + self.pos_embed


@misconception("vit_model", symbol="ViT")
class patches_by_reshape(_ViT):
    """The image was "cut" by a reshape: the model's patches are stripes, no squares. See the exercise patchify."""

    def forward(self, img):
        cut = img.reshape(len(img), -1, img.shape[1] * self.patch**2)
        correct.ViT.forward(self, img[:1])
        whole = correct.unpatchify(cut, self.patch, self.image, self.image)
        return super().forward(whole)


# ---------------------------------------------------------------- pos_embed_interpolation


def _grid(pos):
    g = math.isqrt(pos.shape[1] - 1)
    if g * g != pos.shape[1] - 1:
        raise ValueError(f"{pos.shape[1]} rows")
    return pos[:, 1:].transpose(1, 2).unflatten(2, (g, g))


def _stretched(pos, new_h, new_w, **options):
    grid = nn.functional.interpolate(_grid(pos), size=(new_h, new_w), **options)
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def cls_interpolated(pos, new_h, new_w):
    """The row of the class token was interpolated with the others. It has no place in the image and stays as it is.

    Take it off first, and put it in front again at the end.
    """
    _grid(pos)
    size = (1 + new_h * new_w, pos.shape[2])
    whole = nn.functional.interpolate(pos[None], size=size, mode="bicubic", align_corners=False)[0]
    return whole


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def h_w_swapped(pos, new_h, new_w):
    """Height and width of the new grid were exchanged, or rows and columns while flattening.

    It only shows where the new grid is no square. The rows of the result go through it row by row.
    """
    return _stretched(pos, new_w, new_h, mode="bicubic", align_corners=False)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def flattened_by_columns(pos, new_h, new_w):
    """The new grid was flattened column by column. Its rows come one after the other, as the patches do."""
    grid = nn.functional.interpolate(_grid(pos), size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.mT.flatten(2).transpose(1, 2)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def bilinear(pos, new_h, new_w):
    """The interpolation is bilinear, of 2 by 2 neighbours. Bicubic is asked for, of 4 by 4."""
    return _stretched(pos, new_h, new_w, mode="bilinear", align_corners=False)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def nearest(pos, new_h, new_w):
    """Each new cell is a copy of the nearest old one (the default of F.interpolate). Bicubic is asked for."""
    return _stretched(pos, new_h, new_w, mode="nearest")


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def align_corners_true(pos, new_h, new_w):
    """The middles of the outermost cells were laid upon each other: that is align_corners=True.

    Patches are areas. The outer edges of the two grids agree, and the middles of the smaller new cells lie further out.
    """
    return _stretched(pos, new_h, new_w, mode="bicubic", align_corners=True)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def interpolated_in_float32(pos, new_h, new_w):
    """A table in float64 was interpolated in float32: half of its digits are lost.

    Compute in the dtype of pos; the interpolation takes float64 as well.
    """
    grid = nn.functional.interpolate(_grid(pos).float(), size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2).to(pos.dtype)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def antialiased(pos, new_h, new_w):
    """The table was smoothed (antialias=True), which also takes other weights. The plain interpolation is asked for."""
    return _stretched(pos, new_h, new_w, mode="bicubic", align_corners=False, antialias=True)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def unchanged_for_as_many_places(pos, new_h, new_w):
    """Where the new grid has as many places as the old one, the table was returned as it is, in another shape too.

    4 by 4 and 2 by 8 are both 16. Compare rows and columns, not their product.
    """
    if new_h * new_w == pos.shape[1] - 1:
        return pos
    return correct.interpolate_pos(pos, new_h, new_w)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def size_by_a_factor(pos, new_h, new_w):
    """The new grid lacks a row or a column: its size was computed from a factor, and rounded down.

    11 · (15/11) is a little less than 15 for a computer. Pass the size instead of scale_factor.
    """
    g = _grid(pos).shape[2]
    grid = nn.functional.interpolate(_grid(pos), scale_factor=(new_h / g, new_w / g), mode="bicubic")
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def old_grid_on_its_side(pos, new_h, new_w):
    """Rows and columns of the *old* grid were exchanged: its rows come one after the other in the table."""
    grid = nn.functional.interpolate(_grid(pos).mT, size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def rows_torn_into_channels(pos, new_h, new_w):
    """The rows were reshaped into channels, (1, g², D) to (1, D, g, g), without a permute: places and channels mix.

    Bring the channels to the front as an axis first.
    """
    g, D = _grid(pos).shape[2], pos.shape[2]
    grid = pos[:, 1:].reshape(1, D, g, g)
    grid = nn.functional.interpolate(grid, size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def reshape_channels_wrong(pos, new_h, new_w):
    """The rows were reshaped into channels: (1, g², D) to (1, D, g, g) without a permute, or back without one.

    A reshape keeps the order of the numbers, and so mixes places and channels. The channels have to be brought to the
    front as an axis first.
    """
    g, D = _grid(pos).shape[2], pos.shape[2]
    grid = pos[:, 1:].reshape(1, D, g, g)
    grid = nn.functional.interpolate(grid, size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.reshape(1, new_h * new_w, D)], dim=1)


@misconception("pos_embed_interpolation", symbol="interpolate_pos")
def reshape_back_wrong(pos, new_h, new_w):
    """The new grid (1, D, h, w) was reshaped to (1, h·w, D) without a permute: places and channels are mixed."""
    grid = nn.functional.interpolate(_grid(pos), size=(new_h, new_w), mode="bicubic", align_corners=False)
    return torch.cat([pos[:, :1], grid.reshape(1, new_h * new_w, -1)], dim=1)
